//! Which exclude patterns restic can read: those whose parts between slashes Go's `filepath.Match` can.
//!
//! The server asks before it saves a source group, the agent before a backup.

use core::{iter::Peekable, str::Chars};

/// Whether restic can read a pattern. It refuses a `[` that is not closed or holds nothing, a range in it without an end,
/// and a `\` with nothing behind it; behind a star it finds them later, and then takes nothing for excluded.
#[must_use]
pub fn is_readable(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('!').unwrap_or(pattern);
    pattern.split('/').all(|part| part_is_readable(part).is_some())
}

/// Whether a pattern means to name a byte by its number, as `\xfc`: restic reads a `\` as a quote, and that as `xfc`.
#[must_use]
pub fn spells_bytes(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(sign) = rest.next() {
        if sign == '\\' && rest.next() == Some('x') {
            let mut digits = rest.clone().take(2);
            if digits.next().is_some_and(|c| c.is_ascii_hexdigit())
                && digits.next().is_some_and(|c| c.is_ascii_hexdigit())
            {
                return true;
            }
        }
    }
    false
}

fn part_is_readable(part: &str) -> Option<()> {
    let mut rest = part.chars().peekable();
    while let Some(sign) = rest.next() {
        match sign {
            '\\' => {
                rest.next()?;
            }
            '[' => set(&mut rest)?,
            _ => {}
        }
    }
    Some(())
}

/// The rest of `[…]`.
fn set(rest: &mut Peekable<Chars<'_>>) -> Option<()> {
    rest.next_if_eq(&'^');
    let mut is_empty = true;
    while is_empty || rest.next_if_eq(&']').is_none() {
        member(rest)?;
        if rest.next_if_eq(&'-').is_some() {
            member(rest)?;
        }
        is_empty = false;
    }
    Some(())
}

/// One character of it, which something has to follow.
fn member(rest: &mut Peekable<Chars<'_>>) -> Option<()> {
    match rest.next()? {
        '-' | ']' => return None,
        '\\' => {
            rest.next()?;
        }
        _ => {}
    }
    rest.peek().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::{is_readable, spells_bytes};

    #[test]
    fn a_byte_by_its_number_is_told_from_a_quoted_backslash() {
        for pattern in ["/d\\xfcr", "\\x41", "!*\\xFF", "\\\\\\xfc"] {
            assert!(spells_bytes(pattern), "{pattern}");
        }
        for pattern in ["/d\\\\xfcr", "\\x", "\\xf", "\\*x", "xfc"] {
            assert!(!spells_bytes(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_restic_refuses_is_told() {
        for good in [
            "*.tmp",
            "/a/**/b",
            "[abc]",
            "[^a-z]x",
            "[b-a]",
            "[[]",
            "\\[abc",
            "x]",
            "!",
            "!!x",
            "[\\]*]",
            "é[é-ü]",
            "[a\\-]",
        ] {
            assert!(is_readable(good), "{good}");
        }
        for bad in [
            "[abc", "*.tmp\\", "[]", "[^]", "[a-]", "[]a]", "[-a]", "a[b/c]d", "[\\", "[*", "*[", "**/[a",
            "![a", "[a-\\]",
        ] {
            assert!(!is_readable(bad), "{bad}");
        }
    }
}
