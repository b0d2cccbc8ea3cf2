//! What the other side says, without the secrets of the channel: pure.
//!
//! An answer may echo what it was sent: the whole address, a part of it, a header, a field of the body, a sign-in; as it is,
//! or as JSON or an address writes it, or in base64, also with something before it.

use data_encoding::{BASE64, BASE64_NOPAD};
use fleet::record::ChannelSecrets;
use web::{Breaks, percent_encoded, visible};

/// Pieces of an address that are shorter are no secrets.
const SHORTEST_PIECE: usize = 6;
/// A secret that is shorter would hide everything: then nothing is shown.
const SHORTEST: usize = 4;
/// The most characters of it that are shown.
const MOST_SHOWN: usize = 300;

/// The secrets of a channel, to hide them.
pub(super) struct Redacted {
    /// The longest first, so that none leaves a piece of another.
    needles: Vec<String>,
    /// A secret is too short to be looked for.
    hides_all: bool,
}

impl Redacted {
    pub(super) fn of(secrets: &ChannelSecrets) -> Self {
        let mut needles = Vec::new();
        let mut hides_all = false;
        let url = secrets.url.expose();
        let named = secrets.all().filter(|text| !text.is_empty() && *text != url);
        for secret in named {
            hides_all |= secret.len() < SHORTEST;
            needles.push(secret.to_owned());
            // `Bearer …`
            needles.extend(secret.split(' ').filter(|word| word.len() >= SHORTEST_PIECE).map(str::to_owned));
        }
        let behind = url.split_once("://").map_or(url, |(_, rest)| rest);
        if let Some(at) = behind.find(['/', '?']) {
            let path = &behind[at..];
            needles.push(url.to_owned());
            needles.push(path.to_owned());
            let pieces = path.split(['/', '?', '&', '=']).filter(|piece| piece.len() >= SHORTEST_PIECE);
            needles.extend(pieces.map(str::to_owned));
        }
        let spelled: Vec<String> = needles.iter().flat_map(|needle| spellings(needle)).collect();
        needles.extend(spelled);
        needles.retain(|needle| needle.len() >= SHORTEST);
        needles.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        needles.dedup();
        Self { needles, hides_all }
    }

    /// One line of it, cut, without secrets.
    pub(super) fn hide(&self, said: &str) -> String {
        if self.hides_all && !said.is_empty() {
            return "(not shown: a secret of this channel is too short to be hidden in it)".to_owned();
        }
        let mut said = said.to_owned();
        for needle in &self.needles {
            said = said.replace(needle.as_str(), "…");
        }
        let line: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
        visible(&line, Breaks::Shown).chars().take(MOST_SHOWN).collect()
    }
}

/// The other ways to write it.
fn spellings(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let json = json.trim_matches('"').to_owned();
    let percent = percent_encoded(secret);
    let mut all = vec![json.replace('/', "\\/"), json, percent.to_lowercase(), percent];
    all.push(BASE64.encode(secret.as_bytes()));
    // Behind other bytes, such as the user of a sign-in, its letters are others: of each three places one.
    all.extend((0..3).map(|before| {
        let bytes = [&b"   "[..before], secret.as_bytes()].concat();
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        BASE64_NOPAD.encode(&bytes)[first..end].to_owned()
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::Secret;

    fn secrets() -> ChannelSecrets {
        ChannelSecrets {
            password: Secret::new("pa/ss\"word"),
            url: Secret::new("https://hooks.example/services/T0/abcdef123?token=querytoken"),
            signing_key: Secret::new("signing-key"),
            headers: [("Authorization".to_owned(), Secret::new("Bearer bearer-token"))].into(),
            values: [("user".to_owned(), Secret::new("user-key"))].into(),
        }
    }

    #[test]
    fn no_secret_is_left_however_it_is_echoed() {
        let redacted = Redacted::of(&secrets());
        for echo in [
            "POST https://hooks.example/services/T0/abcdef123?token=querytoken",
            "no hook /services/T0/abcdef123?token=querytoken here",
            "bad token abcdef123",
            r#"{"error":"\/services\/T0\/abcdef123"}"#,
            "token=querytoken",
            "Authorization: Bearer bearer-token",
            "invalid bearer-token",
            r#"{"password":"pa\/ss\"word"}"#,
            "pa/ss\"word",
            "user-key and signing-key",
            "AUTH PLAIN cGEvc3Mid29yZA==",
            // printf '\0ada\0pa/ss"word' | base64, and the same of ad and of a
            "AUTH PLAIN AGFkYQBwYS9zcyJ3b3Jk",
            "AUTH PLAIN AGFkAHBhL3NzIndvcmQ=",
            "AUTH PLAIN AGEAcGEvc3Mid29yZA==",
            "GET /?password=pa%2Fss%22word",
            "GET /?password=pa%2fss%22word",
        ] {
            let shown = redacted.hide(echo);
            for secret in [
                "abcdef123",
                "querytoken",
                "bearer-token",
                "ss\"word",
                "ss\\\"word",
                "user-key",
                "signing-key",
                "cGEvc3Mi",
                "wYS9zcyJ3b3Jk",
                "BhL3NzIndvcm",
                "ss%22word",
            ] {
                assert!(!shown.contains(secret), "{echo} is shown as {shown}");
            }
            assert!(shown.contains('…'), "{shown}");
        }
        assert_eq!(redacted.hide("550 no such\r\n user\u{202e}"), "550 no such user\\u202e");
        assert_eq!(redacted.hide(&"x".repeat(9_000)).len(), MOST_SHOWN);
    }

    #[test]
    fn with_a_secret_that_is_too_short_to_be_looked_for_nothing_is_shown() {
        let short = ChannelSecrets { password: Secret::new("abc"), ..secrets() };
        let redacted = Redacted::of(&short);
        assert!(!redacted.hide("you sent abc").contains("abc"));
        assert_eq!(redacted.hide(""), "");
    }
}
