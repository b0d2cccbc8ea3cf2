//! The passphrase of a kit: what it must be, and one to take.

use crate::password::objection;
use crate::problem::Problem;
use fleet::record::Secret;
use std::collections::BTreeSet;

/// Characters of a group of a generated one.
const GROUP_CHARS: usize = 4;
/// Fewer different characters than this are a pattern.
const MIN_DIFFERENT: usize = 5;

/// Why a passphrase can't be taken, in words; `None` = it can. It may be tried for as long as somebody likes, on as many
/// machines as they have, once the file is in wrong hands.
pub fn passphrase_objection(passphrase: &str) -> Option<String> {
    if let Some(objection) = objection(passphrase) {
        return Some(objection);
    }
    if passphrase.chars().any(char::is_control) {
        return Some(
            "It holds a control character, which nobody can type when it is to be opened.".to_owned(),
        );
    }
    if passphrase.trim() != passphrase {
        return Some("It begins or ends with white space, which nobody sees.".to_owned());
    }
    let different: BTreeSet<char> = passphrase.chars().collect();
    (different.len() < MIN_DIFFERENT).then(|| "Too simple: it repeats the same few characters.".to_owned())
}

/// Six groups of four letters and digits that can't be mistaken for each other: 120 bits.
#[expect(clippy::disallowed_methods, reason = "the driver of new passphrases: nothing else here draws one")]
pub fn new_passphrase() -> Result<Secret, getrandom::Error> {
    let mut bytes = zeroize::Zeroizing::new([0; 15]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(written(&bytes))
}

fn written(bytes: &[u8; 15]) -> Secret {
    let text = zeroize::Zeroizing::new(data_encoding::BASE32_NOPAD.encode(bytes).to_ascii_lowercase());
    let mut groups = String::with_capacity(text.len() + text.len() / GROUP_CHARS);
    for (place, c) in text.chars().enumerate() {
        if place > 0 && place % GROUP_CHARS == 0 {
            groups.push('-');
        }
        groups.push(c);
    }
    Secret::new(groups)
}

/// A passphrase that was typed twice.
pub(crate) fn typed(passphrase: Secret, again: &Secret) -> Result<Secret, Problem> {
    if let Some(objection) = passphrase_objection(passphrase.expose()) {
        return Err(Problem::invalid("passphrase", objection));
    }
    if passphrase != *again {
        return Err(Problem::invalid("again", "The two are not the same."));
    }
    Ok(passphrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_passphrase_is_refused_with_the_reason() {
        for (passphrase, word) in [
            ("", "0 characters"),
            ("ninechars", "Too short: 9 characters, at least 12"),
            ("aaaaaaaaaaaaaaaa", "Too simple"),
            ("abababababab", "Too simple"),
            (" twelve chars and more", "white space"),
            ("twelve\tchars and more", "control character"),
            (&"long enough ".repeat(200), "Too long"),
        ] {
            let objection = passphrase_objection(passphrase).unwrap();
            assert!(objection.contains(word), "{passphrase:?}: {objection}");
        }
        assert_eq!(passphrase_objection("a few words in a row"), None);
        assert_eq!(passphrase_objection("über alle Berge weg"), None);
    }

    #[test]
    fn a_generated_one_is_six_groups_that_may_be_taken_and_differs_each_time() {
        assert_eq!(written(&[0; 15]).expose(), "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa");
        let (one, other) = (new_passphrase().unwrap(), new_passphrase().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.expose().split('-').map(str::len).collect::<Vec<_>>(), [4; 6]);
        assert_eq!(passphrase_objection(one.expose()), None);
        assert!(fleet::is_drawn(one.expose()));
    }

    #[test]
    fn what_is_typed_twice_must_be_the_same() {
        let secret = Secret::new;
        assert_eq!(
            typed(secret("a few words in a row"), &secret("a few words in a Row"))
                .unwrap_err()
                .field
                .as_deref(),
            Some("again")
        );
        assert!(typed(secret("a few words in a row"), &secret("a few words in a row")).is_ok());
        assert_eq!(typed(secret("short"), &secret("")).unwrap_err().field.as_deref(), Some("passphrase"));
    }
}
