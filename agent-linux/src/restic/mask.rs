//! Takes secrets out of what restic says, on its way out: what it means is read before.
//!
//! A secret that could stand in ordinary text (a **common** one: [`is_common`]) is not looked for in every text. With
//! the password `wrong`, *Fatal: wrong password* would lose its sense, and *Fatal: \*\*\* password* would tell the
//! password to whoever knows restic's words. It is hidden only where it stands as a whole value: alone on its line,
//! in quotes, behind `NAME=`, as the password of an address. restic has no other place for it.

use super::{location::percent_encoded, secrets::Credentials};
use core::fmt;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// What stands in a secret's place.
pub const MASKED: &str = "***";
/// Whatever is shorter than this, in bytes, is common.
const SHORTEST: usize = 4;
/// And a word or number up to this, in bytes: restic's own longest words are shorter.
const LONGEST_WORD: usize = 15;

/// Whether a secret could stand in ordinary text: it is very short, or no more than a word, a number, or a word with
/// a number behind it.
#[must_use]
pub fn is_common(secret: &str) -> bool {
    let number = secret.trim_start_matches(char::is_alphabetic);
    secret.len() < SHORTEST
        || (secret.len() <= LONGEST_WORD && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The secrets of one job in every form that restic could print. Prints nothing of itself; wiped when it goes.
pub struct Mask {
    /// Hidden anywhere; longest first, so that no secret is cut in two by one that it contains.
    needles: Vec<Zeroizing<String>>,
    /// Hidden as whole values only.
    common: Vec<Zeroizing<String>>,
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
        let (common, needles) = needles.into_iter().partition(|needle: &Zeroizing<String>| is_common(needle));
        Self { needles, common }
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
        for word in &self.common {
            if let Some(hidden) = hide_values(&shown, word) {
                shown = Cow::Owned(hidden);
            }
        }
        shown
    }
}

fn add_secrets(credentials: &Credentials, needles: &mut Vec<Zeroizing<String>>) {
    let values = credentials.env.iter().map(|(_, value)| value);
    for secret in [&credentials.password, &credentials.repo_password].into_iter().chain(values) {
        for form in core::iter::once(secret.as_str()).chain(secret.lines()).map(str::trim) {
            if !form.is_empty() {
                add_forms(form, needles);
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

/// `text` with `word` hidden where it is a whole value; `None` when it is nowhere.
fn hide_values(text: &str, word: &str) -> Option<String> {
    let (mut shown, mut kept) = (String::new(), 0);
    for (at, _) in text.match_indices(word) {
        if is_value(&text[..at], &text[at + word.len()..]) {
            shown.push_str(&text[kept..at]);
            shown.push_str(MASKED);
            kept = at + word.len();
        }
    }
    (kept > 0).then(|| shown + &text[kept..])
}

/// Whether what stands between the two is a whole value.
fn is_value(before: &str, after: &str) -> bool {
    let (opens, closes) = (before.chars().next_back(), after.chars().next());
    match (opens, closes) {
        (None | Some('\n'), None | Some('\n')) => true,
        // In JSON, the name of a field is in quotes, too.
        (Some('"'), Some('"')) => !after.starts_with("\":"),
        (Some('\''), Some('\'')) | (Some('`'), Some('`')) | (Some(':'), Some('@')) => true,
        (Some('='), None) => is_variable(before),
        (Some('='), Some(c)) => (c.is_whitespace() || c == ',') && is_variable(before),
        _ => false,
    }
}

/// Whether this ends with a variable of the environment and `=`.
fn is_variable(before: &str) -> bool {
    let name = before.strip_suffix('=').unwrap_or(before);
    name.ends_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
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
            ca: String::new(),
            host_keys: String::new(),
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
    fn a_common_secret_is_hidden_as_a_whole_value_only() {
        for secret in ["wrong", "password", "Fatal", "0", "00", "repository", "s3", "auto", "ab", "sha256"] {
            assert!(is_common(secret), "{secret}");
            let mut credentials = credentials(secret, secret);
            credentials.env = vec![("RESTIC_COMPRESSION".into(), secret.into())];
            let mask = Mask::new([&credentials]);
            for said in [
                "Fatal: wrong password or no key found",
                "[0:00] 83.33%  5 / 6 packs, sha256 of s3:about",
                "restic backup --json --keep-last=0 --tag=auto",
                r#"{"password":0,"wrong":true}"#,
            ] {
                assert_eq!(mask.hide(said), said, "{secret}");
            }
            for (said, shown) in [
                (format!("http://me:{secret}@nas/about"), "http://***nas/about".to_owned()),
                (format!("rest:http://:{secret}@nas/"), "rest:http://:***@nas/".to_owned()),
                (format!("opening \"{secret}\" failed"), "opening \"***\" failed".to_owned()),
                (format!("RESTIC_PASSWORD={secret} is set"), "RESTIC_PASSWORD=*** is set".to_owned()),
                (format!("one\n{secret}\ntwo"), "one\n***\ntwo".to_owned()),
                (secret.to_owned(), MASKED.to_owned()),
            ] {
                assert_eq!(mask.hide(&said), shown, "{secret}");
            }
        }
        for secret in ["a1b2", "pw-1", "two words", "correcthorsebatt", "x0x0", "ab1c"] {
            assert!(!is_common(secret), "{secret}");
        }
    }

    proptest! {
        #[test]
        fn no_secret_survives_anywhere_in_a_text(secret in "[ -~]{4,20}", before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            prop_assume!(!is_common(secret.trim()));
            let mask = Mask::new([&credentials(&secret, "")]);
            let said = format!("{before}{secret}{after}");
            // What the replacement and its neighbours make together is not the secret.
            prop_assume!(!secret.contains('*'));
            prop_assert!(!mask.hide(&said).contains(secret.trim()));
        }

        #[test]
        fn a_common_secret_survives_in_no_quotes(secret in "[a-z]{1,9}[0-9]{0,4}", before in "[ -~]{0,20}", after in "[ -~&&[^:]][ -~]{0,20}") {
            let mask = Mask::new([&credentials("", &secret)]);
            let end = format!("\"{secret}\"{after}");
            let said = format!("{before}{end}");
            prop_assert!(!mask.hide(&said).contains(&end));
        }
    }
}
