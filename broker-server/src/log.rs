//! The server's own log, on standard error.
//!
//! What is logged holds words of hosts and of strangers: whatever they hide in them is made visible, so that no line
//! forges another one and none steers a terminal.

use std::io::{self, Stderr, Write};
use tracing_subscriber::fmt::MakeWriter;
use web::{Breaks, visible};

/// Standard error, one event at a time.
#[derive(Clone, Copy, Debug)]
pub struct VisibleStderr {
    /// Whether colours are written: those stay what they are.
    pub colours: bool,
}

impl<'a> MakeWriter<'a> for VisibleStderr {
    type Writer = VisibleWriter<Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        VisibleWriter { to: io::stderr(), colours: self.colours }
    }
}

/// Makes visible what is hidden in what is written; each call is one event, with its line end behind it.
#[derive(Debug)]
pub struct VisibleWriter<W> {
    to: W,
    colours: bool,
}

impl<W: Write> Write for VisibleWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (text, end) = text.strip_suffix('\n').map_or((text.as_ref(), ""), |text| (text, "\n"));
        let mut line = String::with_capacity(event.len() + 16);
        let mut rest = text;
        while let Some((before, colour, after)) = self.colours.then(|| next_colour(rest)).flatten() {
            line.push_str(&visible(before, Breaks::Shown));
            line.push_str(colour);
            rest = after;
        }
        line.push_str(&visible(rest, Breaks::Shown));
        line.push_str(end);
        self.to.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What stands before the next change of colour, the change, and what stands behind it. What the log's words bring
/// along as such was made harmless before it came here.
fn next_colour(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("\u{1b}[") {
        let begin = from + at;
        let parameters = &text[begin + 2..];
        let length = parameters.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
        let end = begin + 2 + length + 1;
        if parameters[length..].starts_with('m') {
            return Some((&text[..begin], &text[begin..end], &text[end..]));
        }
        from = begin + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str, colours: bool) -> String {
        let mut writer = VisibleWriter { to: Vec::new(), colours };
        writer.write_all(event.as_bytes()).unwrap();
        String::from_utf8(writer.to).unwrap()
    }

    #[test]
    fn an_event_is_one_line_and_hides_nothing() {
        assert_eq!(
            written("INFO host=\"a\nERROR forged\u{202e}\u{9b}\"\n", false),
            "INFO host=\"a\\u000aERROR forged\\u202e\\u009b\"\n"
        );
        assert_eq!(written("no end\u{7}", false), "no end\\u0007");
        assert_eq!(written("\u{1b}[2mdim\u{1b}[0m\n", false), "\\u001b[2mdim\\u001b[0m\n");
    }

    #[test]
    fn colours_stay_and_other_escapes_do_not() {
        assert_eq!(
            written("\u{1b}[2mdim\u{1b}[0m\u{1b}[2J\u{1b}]0;x\u{7}\n", true),
            "\u{1b}[2mdim\u{1b}[0m\\u001b[2J\\u001b]0;x\\u0007\n"
        );
    }

    #[test]
    fn json_stays_json() {
        let line = written("{\"message\":\"a\u{202e}b\u{85}\"}\n", false);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "a\u{202e}b\u{85}");
        assert!(line.is_ascii());
    }
}
