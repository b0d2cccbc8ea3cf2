//! Line breaks in fields that nobody types into: a browser sends each one, of whatever kind, as CR LF, and names of files
//! may hold either. So they are written with a mark before they stand in a form, and read back from it.

use std::borrow::Cow;

/// Stands before what it marks, and is doubled where it is meant itself: SYMBOL FOR ESCAPE, which no name is likely to hold.
const MARK: char = '\u{241b}';

/// Fields with paths in them, which nobody types.
const MARKED: [&str; 4] = ["path", "version", "open", "at"];

/// What stands in a field of this name.
pub(crate) fn written(name: &str, text: &str) -> String {
    if MARKED.contains(&name) { marked(text) } else { text.to_owned() }
}

/// What was sent in a field of this name. Of other fields, which may hold secrets, no copy is made.
pub(crate) fn read(name: &str, sent: Cow<'_, str>) -> String {
    if MARKED.contains(&name) { unmarked(&sent) } else { sent.into_owned() }
}

/// The text for a field of a form.
pub(crate) fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.extend([MARK, 'n']),
            '\r' => out.extend([MARK, 'r']),
            MARK => out.extend([MARK, MARK]),
            c => out.push(c),
        }
    }
    out
}

/// The text that was [`marked`].
fn unmarked(text: &str) -> String {
    let (mut out, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            (MARK, Some(next @ ('n' | 'r' | MARK))) => {
                chars.next();
                out.push(match next {
                    'n' => '\n',
                    'r' => '\r',
                    _ => MARK,
                });
            }
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_browser_sends_back_what_stood_in_the_form(
            text in "[nr\n\r\u{241b}\\\\a ]{0,20}",
        ) {
            let sent = marked(&text);
            prop_assert!(!sent.contains(['\n', '\r']), "a browser would change it: {:?}", sent);
            prop_assert_eq!(unmarked(&sent), text);
        }
    }
}
