//! Bytes to lines, and lines to text that may be shown.

use schema::limits::MAX_LOG_LINE_BYTES;

/// What is put where a text was cut.
const CUT: &str = " […]";
/// The longest line that is kept whole, for parsing; a JSON line of restic can be far longer than a log line.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Gathers lines from pieces; what is longer than [`MAX_LINE_BYTES`] loses its end.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Takes the next piece and calls `on_line` for each line that ends in it, without its end.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut on_line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n' || b == b'\r') {
            self.keep(&bytes[..end]);
            on_line(&self.line);
            self.line.clear();
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// The last line, when it had no end.
    pub(crate) fn finish(&mut self, mut on_line: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            on_line(&self.line);
            self.line = Vec::new();
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// `text` for a log: terminal sequences dropped, control characters replaced, cut to `limit` bytes with a mark.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut chars = text.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // ESC [ parameters letter.
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
                chars.next();
            }
            continue;
        }
        let c = match c {
            '\t' => ' ',
            c if c.is_control() || is_invisible(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        if out.len() + c.len_utf8() > limit {
            let keep = out.floor_char_boundary(limit.saturating_sub(CUT.len()));
            out.truncate(keep);
            out.push_str(CUT);
            break;
        }
        out.push(c);
    }
    out
}

/// A log line of ours: as [`clean`], at the schema's limit.
pub(crate) fn log_line(text: &str) -> String {
    clean(text, MAX_LOG_LINE_BYTES)
}

/// Characters that turn the direction of text or break lines: they make a log lie.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_sequences_and_control_characters_do_not_reach_a_log() {
        assert_eq!(
            clean("\u{1b}[2Ksignal interrupt\u{7} received\t\u{202e}x \r", 99),
            "signal interrupt\u{fffd} received \u{fffd}x"
        );
        assert_eq!(clean("\u{1b}[31", 99), "");
    }

    #[test]
    fn an_overlong_text_is_cut_at_a_character_and_marked() {
        assert_eq!(clean("äääääääääää", 13), "äää […]");
        assert_eq!(clean("exactly", 7), "exactly");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_come(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400),
            size in 1_usize..50,
        ) {
            let gather = |size: usize| {
                let (mut lines, mut all) = (Lines::default(), Vec::new());
                for piece in bytes.chunks(size) {
                    lines.push(piece, |line| all.push(line.to_vec()));
                }
                lines.finish(|line| all.push(line.to_vec()));
                all
            };
            prop_assert_eq!(gather(size), gather(bytes.len().max(1)));
        }

        #[test]
        fn cleaned_text_keeps_the_limit(text in "\\PC{0,40}", limit in 8_usize..60) {
            let shown = clean(&text, limit);
            prop_assert!(shown.len() <= limit);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
