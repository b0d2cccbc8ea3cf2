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

/// `text` with each `%XX` as its byte; what is none of these, or gives no UTF-8, stays as it is.
#[must_use]
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).filter(|_| *first == b'%').and_then(|two| str::from_utf8(two).ok());
        match digits.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit())) {
            Some(digits) => {
                plain.extend(u8::from_str_radix(digits, 16));
                rest = &behind[2..];
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
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
            host_keys: String::new(),
            env: Vec::new(),
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for text in ["me", "m@x", "p/w:ü&\"", "100%", "%4"] {
            assert_eq!(percent_decoded(&percent_encoded(text)), text);
        }
        for text in ["100%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(percent_decoded(text), text);
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
