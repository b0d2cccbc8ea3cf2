//! Takes secrets out of what restic says.

use super::{location::percent_encoded, secrets::Credentials};
use core::fmt;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// What stands in a secret's place.
pub const MASKED: &str = "***";
/// A secret shorter than this is looked for only as it stands in an address: it would be found in any text.
const SHORTEST: usize = 4;

/// The secrets of one job in every form that restic could print. Prints nothing of itself; wiped when it goes.
pub struct Mask {
    /// Longest first, so that no secret is cut in two by one that it contains.
    needles: Vec<Zeroizing<String>>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(…)")
    }
}

impl Mask {
    /// The mask for these credentials; without any it hides nothing.
    #[must_use]
    pub fn new<'c>(all: impl IntoIterator<Item = &'c Credentials>) -> Self {
        let mut needles = Vec::new();
        all.into_iter().for_each(|credentials| add_secrets(credentials, &mut needles));
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles }
    }

    /// `text` without any of the secrets.
    #[must_use]
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut shown = Cow::Borrowed(text);
        for needle in &self.needles {
            if shown.contains(needle.as_str()) {
                shown = Cow::Owned(shown.replace(needle.as_str(), MASKED));
            }
        }
        shown
    }
}

fn add_secrets(credentials: &Credentials, needles: &mut Vec<Zeroizing<String>>) {
    let values = credentials.env.iter().map(|(_, value)| value);
    for secret in [&credentials.password, &credentials.repo_password].into_iter().chain(values) {
        if secret.trim().len() >= SHORTEST {
            add_forms(secret.trim(), needles);
            for line in secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST) {
                add_forms(line, needles);
            }
        }
    }
    if !credentials.password.is_empty() {
        let login = Zeroizing::new(format!("{}:{}", credentials.username, credentials.password));
        add_forms(&login, needles);
        let user = percent_encoded(&credentials.username);
        let password = Zeroizing::new(percent_encoded(&credentials.password));
        needles.push(Zeroizing::new(format!("{user}:{}@", *password)));
        needles.push(Zeroizing::new(BASE64.encode(login.as_bytes())));
    }
}

/// The secret as it is, in an address (every encoder spares other characters), in JSON, and in base64.
fn add_forms(secret: &str, needles: &mut Vec<Zeroizing<String>>) {
    let mut add = |form: String| needles.push(Zeroizing::new(form));
    add(secret.to_owned());
    let percent = percent_encoded(secret);
    add(percent.to_ascii_lowercase());
    add(percent);
    add(go_user_encoded(secret));
    if let Ok(json) = serde_json::to_string(secret) {
        let inner = json.trim_start_matches('"').strip_suffix('"').unwrap_or(&json).to_owned();
        // Go's encoder escapes these too.
        add(inner.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
        add(inner);
    }
    add(BASE64.encode(secret.as_bytes()));
    add(BASE64URL_NOPAD.encode(secret.as_bytes()));
}

/// As Go writes the user part of an address.
fn go_user_encoded(text: &str) -> String {
    use core::fmt::Write;
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,;=".contains(&byte) {
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
    use proptest::prelude::*;

    fn credentials(password: &str, repo_password: &str) -> Credentials {
        Credentials {
            url: "rest:http://nas/".into(),
            username: "me".into(),
            password: password.into(),
            repo_password: repo_password.into(),
            env: vec![("AWS_SECRET_ACCESS_KEY".into(), "key+/with=".into())],
        }
    }

    #[test]
    fn every_form_of_a_secret_is_hidden() {
        let mask = Mask::new([&credentials("p<w/1&2\"", "long one")]);
        for said in [
            "raw p<w/1&2\" end",
            "http://me:p%3Cw%2F1%262%22@nas/",
            "http://me:p%3cw%2f1%262%22@nas/",
            "http://me:p%3Cw%2F1&2%22@nas/",
            r#"{"message":"p\u003cw/1\u00262\""}"#,
            r#"{"message":"p<w/1&2\""}"#,
            "Authorization: Basic bWU6cDx3LzEmMiI=",
            "it is 'long one'",
            "key+/with=",
        ] {
            let shown = mask.hide(said);
            assert!(shown.contains(MASKED), "{said} → {shown}");
            assert!(!shown.contains("1&2") && !shown.contains("long one"), "{shown}");
        }
        assert_eq!(mask.hide("nothing here"), "nothing here");
    }

    #[test]
    fn a_short_password_is_hidden_in_an_address_only() {
        let mask = Mask::new([&credentials("ab", "x")]);
        assert_eq!(mask.hide("http://me:ab@nas/about"), format!("http://{MASKED}nas/about"));
    }

    proptest! {
        #[test]
        fn no_secret_survives_anywhere_in_a_text(secret in "[ -~]{4,20}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            prop_assume!(secret.trim().len() >= SHORTEST);
            let mask = Mask::new([&credentials(&secret, "")]);
            let said = format!("{before}{secret}{after}");
            // What the replacement and its neighbours make together is not the secret.
            prop_assume!(!secret.contains('*'));
            prop_assert!(!mask.hide(&said).contains(secret.trim()));
        }
    }
}
