//! Words of a command line for a POSIX shell.

use crate::visible::{Breaks, is_hidden};

/// A word as the shell reads it.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '@' | '+' | ',');
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A word of any bytes but NUL. What is no text, or would not be seen, is written out for `printf`, so that the line
/// can be read and copied. A line break must not be the last byte: the shell drops it there.
pub(crate) fn quoted_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| is_hidden(c, Breaks::Shown)) => return quoted(text),
        _ => {}
    }
    let mut format = String::new();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'%' => format.push_str("%%"),
            // It would be taken for an option.
            b'-' if at == 0 => format.push_str("\\055"),
            b' '..=b'~' if !matches!(byte, b'\\' | b'\'') => format.push(char::from(byte)),
            _ => format.push_str(&format!("\\{byte:03o}")),
        }
    }
    format!("\"$(printf '{format}')\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection, prelude::*, sample};
    use std::process::Command;

    /// The words as a real shell hands them on.
    fn through_sh(words: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let script: String = words.iter().map(|word| format!(" {}", quoted_bytes(word))).collect();
        let said = Command::new("sh").args(["-c", &format!("printf '%s\\0'{script}")]).output().unwrap();
        assert!(said.status.success(), "{script}: {}", String::from_utf8_lossy(&said.stderr));
        let mut words: Vec<_> = said.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        words.pop();
        words
    }

    #[test]
    fn every_word_comes_out_of_the_shell_as_it_went_in() {
        let mut words: Vec<Vec<u8>> = (1..=255).map(|byte| vec![b'a', byte, b'z']).collect();
        words.extend(
            [
                "",
                "a b",
                "it's",
                "$HOME `id` $(id)",
                "-n",
                "\\",
                "%s",
                "a\nb",
                "-\u{202e}gnp",
                "ü ñ",
                "'\\''",
                "~",
                "!x",
            ]
            .map(|word| word.as_bytes().to_vec()),
        );
        assert_eq!(through_sh(&words), words);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn drawn_words_do_so_too(words in collection::vec(word(), 1..20)) {
            prop_assert_eq!(through_sh(&words), words);
        }
    }

    /// Mostly of the bytes that shells care for.
    fn word() -> impl Strategy<Value = Vec<u8>> {
        let odd = sample::select(b" '\"\\$`%!*?[]{}~#&|;<>()=\n\t\r\xfc\xc3\xbc".to_vec());
        let bytes = collection::vec(prop_oneof![3 => odd, 1 => 1_u8..=255], 0..12);
        bytes.prop_map(|bytes| [bytes, b"x".to_vec()].concat())
    }
}
