//! What the other side says, without the secrets of the channel: pure.
//!
//! An answer may echo what it was sent: the whole address, a part of it, a header, a field of the body, a sign-in; as it is,
//! or as JSON or an address writes it, or in base64, also with something before it.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
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
    /// The same without what may be written in several ways.
    plain: Vec<String>,
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
        let mut plain: Vec<String> = needles.iter().map(|needle| plain(needle)).collect();
        plain.retain(|needle| needle.len() >= SHORTEST);
        Self { needles, plain, hides_all }
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
        let left = plain(&said);
        if self.plain.iter().any(|needle| left.contains(needle.as_str())) {
            return "(not shown: it holds a secret of this channel)".to_owned();
        }
        let line: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
        visible(&line, Breaks::Shown).chars().take(MOST_SHOWN).collect()
    }
}

/// A text without what can be written in several ways: escapes of JSON, of HTML and of addresses are read, blanks and the ends
/// of lines left out, capital letters made small.
fn plain(text: &str) -> String {
    let mut out = text.to_owned();
    // An escape may be escaped itself.
    for _ in 0..3 {
        out = unescaped(&out);
    }
    out.chars().filter(|letter| !letter.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn unescaped(text: &str) -> String {
    const NAMED: [(&str, char); 6] =
        [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''), ("nbsp", ' ')];
    let hex = |digits: Option<&str>| digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    // Each with how many bytes it took.
    let escape = |rest: &str| -> Option<(Vec<u8>, usize)> {
        let of_char = |letter: char| letter.to_string().into_bytes();
        match *rest.as_bytes().first()? {
            b'%' => Some((vec![u8::try_from(hex(rest.get(1..3))?).ok()?], 3)),
            b'\\' if rest.as_bytes().get(1) == Some(&b'u') => {
                Some((of_char(char::from_u32(hex(rest.get(2..6))?)?), 6))
            }
            b'\\' => matches!(rest.as_bytes().get(1), Some(b'"' | b'/' | b'\\'))
                .then(|| (vec![rest.as_bytes()[1]], 2)),
            b'&' => {
                let end = rest.bytes().take(12).position(|byte| byte == b';')?;
                let name = &rest[1..end];
                let numbered = name.strip_prefix('#').and_then(|number| {
                    let hexadecimal = number.strip_prefix(['x', 'X']);
                    hexadecimal.map_or_else(|| number.parse().ok(), |digits| hex(Some(digits)))
                });
                let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
                Some((of_char(named.or_else(|| numbered.and_then(char::from_u32))?), end + 1))
            }
            _ => None,
        }
    };
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let (bytes, took) = match text.get(at..).and_then(escape) {
            Some(read) => read,
            None => (vec![text.as_bytes()[at]], 1),
        };
        out.extend(bytes);
        at += took;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The other ways to write it.
fn spellings(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let json = json.trim_matches('"').to_owned();
    let percent = percent_encoded(secret);
    let mut all = vec![json.replace('/', "\\/"), json];
    if percent.contains('%') {
        all.extend([percent.to_lowercase(), percent]);
    }
    all.push(BASE64.encode(secret.as_bytes()));
    all.push(HEXLOWER.encode(secret.as_bytes()));
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

    /// What can't be cut out of it is not shown at all.
    #[test]
    fn what_holds_a_secret_in_yet_another_spelling_is_not_shown() {
        let values = [("token".to_owned(), Secret::new("<s3cr\u{e9}t>&tok3n"))].into();
        let url = Secret::new("https://hooks.example/say/se%40cret99?a=b");
        let redacted = Redacted::of(&ChannelSecrets { values, url, ..secrets() });
        for echo in [
            "bad token \\u003cs3cr\\u00e9t\\u003e\\u0026tok3n",
            "bad token &lt;s3cr\u{e9}t&gt;&amp;tok3n",
            "bad token &#60;s3cr&#xe9;t&#x3E;&#38;tok3n",
            "no /say/se@cret99 here",
            "no /say/se%2540cret99 here",
            "bearer-\n  token",
            "AUTH PLAIN AGFkYQBwYS9z\r\n cyJ3b3Jk",
            "70612F737322776F7264",
            "BEARER-TOKEN",
            "pa\\/ss\\\"word",
        ] {
            let shown = redacted.hide(echo);
            assert!(shown.contains("not shown") || shown.contains('\u{2026}'), "{echo} is shown as {shown}");
            for part in ["s3cr", "cret99", "token", "BwYS9z", "70612F", "TOKEN", "word"] {
                let in_words = "(not shown: it holds a secret of this channel)";
                assert!(shown == in_words || !shown.contains(part), "{echo} is shown as {shown}");
            }
        }
        for harmless in
            ["550 5.1.1 <gone@example.com>: no such user & no box", "100% of it", "\\u12", "a&b;c", "%4"]
        {
            assert_eq!(redacted.hide(harmless), harmless);
        }
    }

    #[test]
    fn with_a_secret_that_is_too_short_to_be_looked_for_nothing_is_shown() {
        let short = ChannelSecrets { password: Secret::new("abc"), ..secrets() };
        let redacted = Redacted::of(&short);
        assert!(!redacted.hide("you sent abc").contains("abc"));
        assert_eq!(redacted.hide(""), "");
    }
}
