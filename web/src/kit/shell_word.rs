//! Any bytes as one word of a POSIX shell, written so that it can be read, printed and pasted.
//!
//! What can be seen stands in single quotes, where nothing has a meaning. A single quote stands behind a backslash.
//! What can't be seen, would steer a terminal, or is no UTF-8 is made by `printf` from octal digits, so that the word
//! is plain text whatever it stands for. A line break stands in single quotes as it is: in `$(…)` it would be dropped at
//! the end. A long word goes on behind a backslash at the end of a line. Each further line of a word begins with a quote
//! or a backslash, so that none passes for a line of the text around it.

use schema::location::is_unseen;
use std::fmt::Write as _;

/// So many columns a printed page has.
pub(super) const COLUMNS: usize = 80;
/// The end of a line that is to go on.
const GOES_ON: usize = 1;

/// A part of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `'…'`
    Plain,
    /// `"$(printf '…')"`
    Made,
}

impl Part {
    const fn begin(self) -> &'static str {
        match self {
            Self::Plain => "'",
            Self::Made => "\"$(printf '",
        }
    }

    const fn end(self) -> &'static str {
        match self {
            Self::Plain => "'",
            Self::Made => "')\"",
        }
    }
}

/// Writes a word piece by piece, and goes on in the next line where one is full.
struct Writer {
    out: String,
    column: usize,
    part: Option<Part>,
}

impl Writer {
    fn put(&mut self, part: Part, piece: &str) {
        let width = piece.chars().count();
        let is_begun = self.part == Some(part);
        let ends = self.part.map_or(0, |part| part.end().len());
        let begins = if is_begun { 0 } else { ends + part.begin().len() };
        if self.column + begins + width + part.end().len() + GOES_ON > COLUMNS {
            self.end();
            self.out.push_str("\\\n");
            self.column = 0;
        }
        if self.part != Some(part) {
            self.end();
            self.push(part.begin());
            self.part = Some(part);
        }
        self.push(piece);
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn end(&mut self) {
        if let Some(part) = self.part.take() {
            self.push(part.end());
        }
    }

    fn quote(&mut self) {
        self.end();
        if self.column + 2 + GOES_ON > COLUMNS {
            self.out.push_str("\\\n");
            self.column = 0;
        }
        self.push("\\'");
    }

    fn line_break(&mut self) {
        self.put(Part::Plain, "");
        self.out.push('\n');
        self.column = 0;
        self.end();
    }
}

/// The word for these bytes, that begins in this column. A zero byte can't be in a word of a shell, and is left out.
pub(super) fn shell_word(bytes: &[u8], column: usize) -> String {
    let mut writer = Writer { out: String::new(), column, part: None };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0' => {}
                '\'' => writer.quote(),
                '\n' => writer.line_break(),
                c => {
                    let is_hidden = c.is_control() || is_unseen(c);
                    let mut room = [0; 4];
                    let text = c.encode_utf8(&mut room);
                    if is_hidden {
                        writer.put(Part::Made, &octal(text.as_bytes()));
                    } else {
                        writer.put(Part::Plain, text);
                    }
                }
            }
        }
        if !chunk.invalid().is_empty() {
            writer.put(Part::Made, &octal(chunk.invalid()));
        }
    }
    writer.end();
    if writer.out.is_empty() { "''".to_owned() } else { writer.out }
}

fn octal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "\\{byte:03o}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What a shell makes of these words, each with a line break behind it.
    fn by_shell(words: &[String]) -> Vec<u8> {
        let mut child =
            Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is a sh");
        let mut script = String::from("set -eu\n");
        for word in words {
            script.push_str(&format!("printf '%s\\n' {word}\n"));
        }
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{script}");
        output.stdout
    }

    fn is_kept(values: &[Vec<u8>]) {
        let mut expected = Vec::new();
        let mut words = Vec::new();
        for value in values {
            expected.extend(value.iter().filter(|byte| **byte != 0));
            expected.push(b'\n');
            words.push(shell_word(value, "printf '%s\\n' ".len()));
        }
        assert_eq!(by_shell(&words), expected, "{words:?}");
        for word in words {
            for (number, line) in word.lines().enumerate() {
                let before = if number == 0 { "printf '%s\\n' ".len() } else { 0 };
                assert!(before + line.chars().count() <= COLUMNS, "{word}");
                assert!(number == 0 || line.starts_with(['\'', '"', '\\']), "{word}");
            }
            assert!(word.chars().all(|c| c == '\n' || !(c.is_control() || is_unseen(c))), "{word:?}");
        }
    }

    #[test]
    fn what_is_seen_is_quoted_and_what_is_not_is_spelled_out() {
        for (value, word) in [
            (&b"plain"[..], "'plain'"),
            (b"", "''"),
            (b"it's $HOME `x` \\ \"y\" *", "'it'\\''s $HOME `x` \\ \"y\" *'"),
            (b"'", "\\'"),
            (b"a\nb\n", "'a\n''b\n'"),
            (b"-rf", "'-rf'"),
            (b"a\x1b[31mb", "'a'\"$(printf '\\033')\"'[31mb'"),
            (b"caf\xe9", "'caf'\"$(printf '\\351')\""),
            ("gr\u{fc}n \u{202e}gpj".as_bytes(), "'gr\u{fc}n '\"$(printf '\\342\\200\\256')\"'gpj'"),
        ] {
            assert_eq!(shell_word(value, 0), word);
        }
    }

    #[test]
    fn a_long_word_goes_on_in_the_next_line() {
        is_kept(&[vec![b'x'; 4_096], vec![b'\''; 500], vec![0xff; 500], vec![b'\n'; 200], vec![b' '; 300]]);
        is_kept(&(60..100).map(|length| vec![b'x'; length]).collect::<Vec<_>>());
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<Vec<u8>>(),
            any::<String>().prop_map(String::into_bytes),
            proptest::sample::select(vec![
                &b"'"[..],
                b"\"",
                b"\\",
                b"\n",
                b"\r\n",
                b"$(id)",
                b"`id`",
                b"${x}",
                b"!",
                b"\xff",
                b"\t",
                b"%s",
                b"\\n",
                b"\n\n",
                b"\x1b[2J",
                b"EOF\n",
                b" ",
                b"--",
                b"0",
                b"7",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn a_shell_reads_every_word_as_the_bytes_that_it_stands_for(
            values in proptest::collection::vec(value(), 1..8)
        ) {
            is_kept(&values);
        }
    }
}
