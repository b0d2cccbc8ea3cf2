//! The rule for names that stand in topics, tags and addresses.

use crate::limits::MAX_NAME_CHARS;

/// Whether `text` can name a host, a source group, a schedule or an account: 1 to 63 ASCII letters, digits, `.`,
/// `_` or `-`, beginning with a letter or a digit.
///
/// So a name is always one MQTT topic level without wildcard, one URL path segment and one restic tag, and can't
/// be taken for an option.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME_CHARS
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
