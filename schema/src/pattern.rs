//! Which patterns restic can read: those whose parts between slashes Go's `filepath.Match` can.
//!
//! The server asks before it saves a source group, the agent before a backup. How a search by name is written stands here,
//! too: on the server's pages and at the machine it is the same.

use core::{iter::Peekable, str::Chars};

/// Whether restic can read a pattern. It refuses a `[` that is not closed or holds nothing, a range in it without an end,
/// and a `\` with nothing behind it; behind a star it finds them later, and then takes nothing for excluded.
#[must_use]
pub fn is_readable(pattern: &str) -> bool {
    parts(pattern).all(|part| can_part_match(part).is_some())
}

/// Whether a pattern that can be read can match anything: one with `[z-a]` in it, a range whose end comes before its
/// beginning, can't.
#[must_use]
pub fn can_match(pattern: &str) -> bool {
    parts(pattern).all(|part| can_part_match(part) != Some(false))
}

fn parts(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.strip_prefix('!').unwrap_or(pattern).split('/')
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

/// The pattern of a search by name, in restic's form: a byte that is no UTF-8 may be written as `\xfc`, everything else is
/// as it stands, and a plain word is looked for anywhere in a name.
pub fn of_search(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let star = is_word(text).then_some(b'*');
    star.into_iter().chain(unspelt(text)).chain(star)
}

/// Whether there is no sign in it that is more than itself.
fn is_word(text: &[u8]) -> bool {
    let mut bytes = unspelt(text);
    let mut is_word = !text.is_empty();
    while let Some(byte) = bytes.next() {
        // What is quoted is itself, but for what parts a path; nothing is quoted at the end.
        is_word &= match byte {
            b'\\' => bytes.next().is_some_and(|quoted| quoted != b'/'),
            byte => !b"*?[/".contains(&byte),
        };
    }
    is_word
}

/// The text with the bytes that it spells.
fn unspelt(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let (mut rest, mut is_quoted) = (text, false);
    core::iter::from_fn(move || match rest {
        [] => None,
        [b'\\', b'x', high, low, behind @ ..] if !is_quoted && spelt(*high, *low).is_some() => {
            rest = behind;
            spelt(*high, *low)
        }
        [byte, behind @ ..] => {
            // A quoted letter, be it a backslash, is one for restic.
            is_quoted = *byte == b'\\' && !is_quoted;
            rest = behind;
            Some(*byte)
        }
    })
}

/// A byte that is no ASCII by its two digits.
fn spelt(high: u8, low: u8) -> Option<u8> {
    let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?).filter(|byte| *byte >= 0x80)
}

/// Whether anything can match; `None` = it can't be read.
fn can_part_match(part: &str) -> Option<bool> {
    let mut rest = part.chars().peekable();
    let mut can_match = true;
    while let Some(sign) = rest.next() {
        match sign {
            '\\' => {
                rest.next()?;
            }
            '[' => can_match &= set(&mut rest)?,
            _ => {}
        }
    }
    Some(can_match)
}

/// The rest of `[…]`: whether it takes any character.
fn set(rest: &mut Peekable<Chars<'_>>) -> Option<bool> {
    // All others: there is always one.
    let mut takes_any = rest.next_if_eq(&'^').is_some();
    let mut is_empty = true;
    while is_empty || rest.next_if_eq(&']').is_none() {
        let first = member(rest)?;
        let last = if rest.next_if_eq(&'-').is_some() { member(rest)? } else { first };
        takes_any |= first <= last;
        is_empty = false;
    }
    Some(takes_any)
}

/// One character of it, which something has to follow.
fn member(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    let member = match rest.next()? {
        '-' | ']' => return None,
        '\\' => rest.next()?,
        plain => plain,
    };
    rest.peek().map(|_| member)
}

#[cfg(test)]
mod tests {
    use super::{can_match, is_readable, of_search, spells_bytes};

    #[test]
    fn a_word_is_looked_for_anywhere_also_with_quoted_signs_in_it() {
        for (text, pattern) in [
            ("report", "*report*"),
            (r"star\*glob", r"*star\*glob*"),
            (r"a\?b\[c\]\\", r"*a\?b\[c\]\\*"),
            (r"star\*glob?", r"star\*glob?"),
            ("*.txt", "*.txt"),
            (r"a\", r"a\"),
            (r"a\\", r"*a\\*"),
            ("[ab]", "[ab]"),
            ("/etc/hosts", "/etc/hosts"),
            (r"etc\/hosts", r"etc\/hosts"),
            ("", ""),
        ] {
            assert!(of_search(text.as_bytes()).eq(pattern.bytes()), "{text}");
        }
        assert!(of_search(br"n\xfcn").eq([b'*', b'n', 0xfc, b'n', b'*']));
    }

    #[test]
    fn a_range_that_is_the_wrong_way_round_matches_nothing() {
        for pattern in ["[z-a]", "*.[9-0]", "/srv/[b-a]/x", "![z-a]", "x[z-ab-a]"] {
            assert!(is_readable(pattern) && !can_match(pattern), "{pattern}");
        }
        for pattern in ["[a-z]", "[a-a]", "[z-ax]", "[^z-a]", "\\[z-a]", "[z\\-a]", "*.tmp"] {
            assert!(can_match(pattern), "{pattern}");
        }
    }

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
