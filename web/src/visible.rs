//! Makes characters visible that would not be seen as themselves: controls, and marks that turn the direction of text.
//!
//! Names, paths, messages and log lines come from hosts. Shown as they are, they could hide parts of themselves, turn
//! a name round (an image that is a program), forge lines of a log or steer a terminal. What is stored stays as it came; it is
//! written as `\u202e` wherever people read it: pages, downloads, and the server's own log. JSON of the API is data
//! for programs and is left alone.

use std::borrow::Cow;

/// What becomes of the ends of lines and tabulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// They stay: the text has lines of its own.
    Kept,
    /// They are made visible, but for tabulators: the text is one line.
    Shown,
}

/// Whether this character is made visible. All of them have four digits.
pub(crate) fn is_hidden(c: char, breaks: Breaks) -> bool {
    match c {
        '\t' => false,
        '\n' | '\r' => breaks == Breaks::Shown,
        // Controls, C0 and C1.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Marks, embeddings, overrides and isolates of direction.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Deprecated ones of the same sort, and ends of lines that few know.
        '\u{206a}'..='\u{206f}' | '\u{2028}' | '\u{2029}' => true,
        _ => false,
    }
}

/// Writes such a character, as JSON does.
pub(crate) fn show(out: &mut impl std::fmt::Write, c: char) -> std::fmt::Result {
    write!(out, "\\u{:04x}", u32::from(c))
}

/// The text with what is hidden made visible.
#[must_use]
pub fn visible(text: &str, breaks: Breaks) -> Cow<'_, str> {
    let is_hidden = |c| is_hidden(c, breaks);
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            let _ = show(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_shown_and_all_else_stays() {
        for (text, shown) in [
            ("photo\u{202e}gpj.exe", "photo\\u202egpj.exe"),
            ("\u{1b}[31mred\u{7}", "\\u001b[31mred\\u0007"),
            ("\u{9b}31m\u{85}", "\\u009b31m\\u0085"),
            ("a\u{61c}b\u{200e}c\u{200f}d\u{2066}e\u{2069}", "a\\u061cb\\u200ec\\u200fd\\u2066e\\u2069"),
            ("one\r\ntwo\tthree", "one\\u000d\\u000atwo\tthree"),
            ("Grüße, שלום, 日本, 👩‍👩‍👧, a\u{a0}b", "Grüße, שלום, 日本, 👩‍👩‍👧, a\u{a0}b"),
        ] {
            assert_eq!(visible(text, Breaks::Shown), shown);
        }
        assert_eq!(visible("one\r\ntwo\u{0}", Breaks::Kept), "one\r\ntwo\\u0000");
    }

    #[test]
    fn no_control_and_no_direction_gets_through() {
        for c in (0..=0x2fff).filter_map(char::from_u32) {
            let text = c.to_string();
            let shown = visible(&text, Breaks::Shown);
            let is_seen = shown.chars().all(|c| c == '\t' || !c.is_control());
            assert!(is_seen, "{:x}", u32::from(c));
        }
    }
}
