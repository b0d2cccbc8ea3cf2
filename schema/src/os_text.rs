//! Names and paths as a file system has them: bytes, which are text nearly always.
//!
//! People see and write them as text in which each byte that is no UTF-8 stands as `\xfc`; a backslash that would be read
//! so is doubled. On the wire they are the bytes themselves.

use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name or a path of a file system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OsText<'a>(&'a [u8]);

impl<'a> OsText<'a> {
    /// Wraps these bytes as they are.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes as the operating system has them; not always UTF-8.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> From<&'a str> for OsText<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

/// How many bytes a byte takes that is written as such.
const ESCAPED: usize = 4;

/// The byte that is written at the beginning of this text.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit =
        |at: usize| char::from(*text.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if text.get(..2)? != b"\\x" {
        return None;
    }
    // What is ASCII is written as itself.
    Some(digit(2)? << 4 | digit(3)?).filter(|byte| *byte >= 0x80)
}

impl fmt::Display for OsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let (text, odd) = (chunk.valid(), chunk.invalid());
            let mut from = 0;
            for (at, _) in text.match_indices('\\') {
                let rest = &text.as_bytes()[at..];
                let is_read_otherwise = match rest.get(1) {
                    None => !odd.is_empty(),
                    Some(next) => *next == b'\\' || escaped(rest).is_some(),
                };
                if is_read_otherwise {
                    f.write_str(&text[from..=at])?;
                    from = at;
                }
            }
            f.write_str(&text[from..])?;
            for byte in odd {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for OsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OsText({self})")
    }
}

/// The bytes of a name or path as people write it, one after the other.
pub fn bytes_of(text: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text.as_bytes();
    core::iter::from_fn(move || {
        let (byte, taken) = match (escaped(rest), rest) {
            (Some(byte), _) => (byte, ESCAPED),
            (None, [b'\\', b'\\', ..]) => (b'\\', 2),
            (None, [byte, ..]) => (*byte, 1),
            (None, []) => return None,
        };
        rest = &rest[taken..];
        Some(byte)
    })
}

/// Whether a byte is written as `\xfc` anywhere in this text, also behind another backslash.
#[must_use]
pub fn holds_escape(text: &str) -> bool {
    text.match_indices('\\').any(|(at, _)| escaped(&text.as_bytes()[at..]).is_some())
}

impl Serialize for OsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for OsText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::{string::ToString, vec::Vec};
    use proptest::prelude::*;

    #[test]
    fn what_is_text_stays_as_it_is_and_what_is_not_is_written_as_bytes() {
        for (bytes, text) in [
            (&b"/srv/photos"[..], "/srv/photos"),
            ("zoë".as_bytes(), "zoë"),
            (b"d\xfcr", "d\\xfcr"),
            (b"a\\b", "a\\b"),
            (b"a\\\\b", "a\\\\\\b"),
            (b"a\\xfcb", "a\\\\xfcb"),
            (b"a\\x41b", "a\\x41b"),
            (b"a\\", "a\\"),
            (b"a\\\xff", "a\\\\\\xff"),
            (b"\xe2\x82", "\\xe2\\x82"),
        ] {
            assert_eq!(OsText::new(bytes).to_string(), text);
            assert_eq!(bytes_of(text).collect::<Vec<u8>>(), bytes, "{text}");
        }
        assert_eq!(bytes_of("D\\xFCR").collect::<Vec<u8>>(), b"D\xfcR");
    }

    #[test]
    fn a_byte_that_is_written_out_is_found_anywhere() {
        for text in ["\\xfc", "/d\\xFCr", "/a\\\\xfcb", "\\\\\\xff"] {
            assert!(holds_escape(text), "{text}");
        }
        for text in ["", "/d\\x41", "/d\\xf", "/d\\", "/dür", "\\xg0\\\\"] {
            assert!(!holds_escape(text), "{text}");
        }
    }

    proptest! {
        /// What is shown leads back to the same bytes, so a name can be opened as it is shown.
        #[test]
        fn text_leads_back_to_its_bytes(
            bytes in prop::collection::vec(prop_oneof![Just(b'\\'), Just(b'x'), Just(b'f'), Just(0xfc), Just(0xc3), any::<u8>()], 0..40),
        ) {
            let text = OsText::new(&bytes).to_string();
            prop_assert_eq!(bytes_of(&text).collect::<Vec<u8>>(), bytes);
        }
    }
}
