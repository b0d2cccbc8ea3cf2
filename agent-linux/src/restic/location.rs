//! Where a repository is: the address with its login, as restic takes it.

use super::secrets::Credentials;
pub use schema::location::{Location, LocationError, is_env_allowed};
use zeroize::Zeroizing;

/// The whole location for restic, with user and password in it where they belong.
pub fn compose(credentials: &Credentials) -> Result<Zeroizing<String>, LocationError> {
    let location = Location::parse(&credentials.url)?;
    if credentials.username.is_empty() && credentials.password.is_empty() {
        return Ok(Zeroizing::new(credentials.url.clone()));
    }
    let Location::Rest(address) = location else { return Err(LocationError::LoginNotUsed) };
    let (scheme, rest) = address.split_once("://").ok_or(LocationError::Unknown)?;
    let user = Zeroizing::new(percent_encoded(&credentials.username));
    let password = Zeroizing::new(percent_encoded(&credentials.password));
    Ok(Zeroizing::new(format!("rest:{scheme}://{}:{}@{rest}", *user, *password)))
}

/// `text` with everything but RFC 3986's unreserved characters as `%XX`.
#[must_use]
pub(crate) fn percent_encoded(text: &str) -> String {
    use core::fmt::Write;
    // Never grows, so that no copy of a secret stays behind.
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(url: &str, username: &str, password: &str) -> Credentials {
        Credentials {
            url: url.into(),
            username: username.into(),
            password: password.into(),
            repo_password: String::new(),
            ca: String::new(),
            env: Vec::new(),
        }
    }

    #[test]
    fn user_and_password_are_encoded_into_the_location() {
        let composed = compose(&credentials("rest:https://nas:8000/me/", "m@x", "p/w:ü&\"")).unwrap();
        assert_eq!(*composed, "rest:https://m%40x:p%2Fw%3A%C3%BC%26%22@nas:8000/me/");
        assert_eq!(*compose(&credentials("/srv/repo", "", "")).unwrap(), "/srv/repo");
        assert_eq!(compose(&credentials("/srv/repo", "me", "pw")), Err(LocationError::LoginNotUsed));
    }
}
