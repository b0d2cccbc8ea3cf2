//! restic's exclude patterns, read as restic reads them, so that it can be told beforehand what they leave of a path.
//!
//! A pattern is split at slashes, and its parts have to fit neighbouring parts of the path: from the root on when it
//! begins with a slash, anywhere otherwise. What lies below a match is excluded, too. `**` stands for any number of
//! parts; the wildcards of one part are those of Go's `filepath.Match`. A pattern that begins with `!` takes back what
//! those before it have excluded.

use std::{
    borrow::Cow,
    path::{Component, Path},
};

/// What a source group leaves out by its names.
#[derive(Debug, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    parts: Vec<Part>,
    takes_back: bool,
}

#[derive(Debug)]
enum Part {
    Root,
    /// `**`
    Any,
    Plain(String),
    Wild(Vec<char>),
}

impl Patterns {
    pub(crate) fn new<'p>(patterns: impl Iterator<Item = &'p str>) -> Self {
        Self(patterns.filter(|text| !text.is_empty()).map(Pattern::of_exclude).collect())
    }

    /// The pattern of a search: there `!` is a letter.
    pub(crate) fn of_search(text: &str) -> Self {
        Self(vec![Pattern::new(text, false)])
    }

    /// Whether this absolute path matches as a whole, not only one that it is in.
    pub(crate) fn name(&self, path: &Path) -> bool {
        let parts = parts_of(path);
        self.0.iter().any(|pattern| pattern.reached(&parts).last() == Some(&true))
    }

    /// Whether this absolute path is excluded by its own name; those above it are not asked.
    pub(crate) fn exclude(&self, path: &Path) -> bool {
        let parts = parts_of(path);
        self.0.iter().fold(false, |excluded, pattern| {
            if excluded != pattern.takes_back {
                // It could only say what is so already.
                return excluded;
            }
            if pattern.matches(&parts) { !pattern.takes_back } else { excluded }
        })
    }
}

fn parts_of(path: &Path) -> Vec<Cow<'_, str>> {
    path.components()
        .filter_map(|part| match part {
            Component::RootDir => Some("/".into()),
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        })
        .collect()
}

impl Pattern {
    fn of_exclude(text: &str) -> Self {
        match text.strip_prefix('!') {
            Some(rest) => Self::new(rest, true),
            None => Self::new(text, false),
        }
    }

    fn new(text: &str, takes_back: bool) -> Self {
        let mut parts = Vec::new();
        if text.starts_with('/') {
            parts.push(Part::Root);
        }
        for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            match part {
                ".." if matches!(parts.last(), Some(Part::Root)) => {}
                ".." if !parts.is_empty() => {
                    parts.pop();
                }
                "**" => parts.push(Part::Any),
                part if part.contains(['\\', '[', ']', '*', '?']) => {
                    parts.push(Part::Wild(part.chars().collect()));
                }
                part => parts.push(Part::Plain(part.to_owned())),
            }
        }
        if matches!(parts.as_slice(), [Part::Root]) {
            parts.push(Part::Any);
        }
        Self { parts, takes_back }
    }

    fn matches(&self, path: &[Cow<'_, str>]) -> bool {
        self.reached(path).contains(&true)
    }

    /// Up to which parts of the path the whole pattern may get.
    fn reached(&self, path: &[Cow<'_, str>]) -> Vec<bool> {
        if self.parts.is_empty() {
            return Vec::new();
        }
        let is_rooted = matches!(self.parts.first(), Some(Part::Root));
        // Up to where the parts so far may have got.
        let mut reached = vec![!is_rooted; path.len() + 1];
        reached[0] = is_rooted || path.first().is_none_or(|part| part != "/");
        for part in &self.parts {
            let mut next = vec![false; path.len() + 1];
            match part {
                Part::Any => {
                    let first = reached.iter().position(|it| *it).unwrap_or(path.len() + 1);
                    next.iter_mut().skip(first).for_each(|it| *it = true);
                }
                part => {
                    for (at, name) in path.iter().enumerate().filter(|(at, _)| reached[*at]) {
                        next[at + 1] = match part {
                            Part::Root => name == "/",
                            Part::Any => true,
                            Part::Plain(text) => name == text,
                            Part::Wild(pattern) => fits(pattern, &name.chars().collect::<Vec<_>>()),
                        };
                    }
                }
            }
            reached = next;
        }
        reached
    }
}

/// Whether a name fits a part with wildcards. A malformed one fits nothing; restic refuses it.
fn fits(mut pattern: &[char], mut name: &[char]) -> bool {
    // Where to go on when the last star takes one character more.
    let mut again: Option<(&[char], &[char])> = None;
    loop {
        let step = match (pattern, name) {
            ([], []) => return true,
            (['*', rest @ ..], _) => {
                again = Some((rest, name));
                Some((rest, name))
            }
            (_, []) => None,
            (_, [c, names @ ..]) => one(pattern, *c).map(|rest| (rest, names)),
        };
        (pattern, name) = match (step, again) {
            (Some(step), _) => step,
            (None, Some((rest, [_, names @ ..]))) => {
                again = Some((rest, names));
                (rest, names)
            }
            (None, _) => return false,
        };
    }
}

/// The pattern behind what fits this one character.
fn one(pattern: &[char], c: char) -> Option<&[char]> {
    match pattern {
        ['?', rest @ ..] => Some(rest),
        ['[', rest @ ..] => class(rest, c),
        ['\\', plain, rest @ ..] => (*plain == c).then_some(rest),
        [plain, rest @ ..] => (*plain == c && *plain != '\\').then_some(rest),
        [] => None,
    }
}

/// The same behind the opening bracket of a class.
fn class(pattern: &[char], c: char) -> Option<&[char]> {
    let (mut rest, is_negated) = match pattern {
        ['^', rest @ ..] => (rest, true),
        rest => (rest, false),
    };
    let (mut fits, mut count) = (false, 0);
    loop {
        if let ([']', behind @ ..], 1..) = (rest, count) {
            return (fits != is_negated).then_some(behind);
        }
        let (low, behind) = bound(rest)?;
        let (high, behind) = match behind {
            ['-', behind @ ..] => bound(behind)?,
            behind => (low, behind),
        };
        fits |= (low..=high).contains(&c);
        count += 1;
        rest = behind;
    }
}

fn bound(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern {
        ['-' | ']', ..] | [] | ['\\'] => None,
        ['\\', c, rest @ ..] | [c, rest @ ..] => Some((*c, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(patterns: &[&str], path: &str) -> bool {
        Patterns::new(patterns.iter().copied()).exclude(Path::new(path))
    }

    #[test]
    fn patterns_match_as_in_restics_own_tests() {
        for (pattern, path, matches) in [
            ("*", "/foo", true),
            ("*.go", "/foo/bar/test.go", true),
            ("*.c", "/foo/bar/test.go", false),
            ("sdk", "/foo/bar/sdk/test", true),
            ("sdk", "/foo/bar/sdk-2", false),
            ("foo/bar", "/a/foo/bar/baz", true),
            ("/foo/bar", "/a/foo/bar/baz", false),
            ("/foo/bar", "/foo/bar/baz", true),
            ("/foo/*/test.*", "/foo/bar/test.go", true),
            ("/foo/*/test.*", "/foo/bar/baz/test.go", false),
            ("/foo/**/test.*", "/foo/bar/baz/test.go", true),
            ("/foo/**/test.*", "/foo/test.go", true),
            ("/**/test", "/foo/bar/test/x", true),
            ("foo/**", "/x/foo", true),
            ("foo/**/bar/**/end", "/x/foo/1/2/bar/3/end", true),
            ("foo/**/bar/**/end", "/x/foo/1/2/3/end", false),
            ("/", "/anything", true),
            ("/a/./b//c/..", "/a/b/d", true),
            ("te[a-cs]?", "/foo/test", true),
            ("te[^a-c]t", "/foo/test", true),
            ("te[^a-s]t", "/foo/test", false),
            ("a\\*b", "/a*b", true),
            ("a\\*b", "/axb", false),
            ("[\\]]", "/]", true),
            ("[", "/[", false),
            ("[]a]", "/]", false),
            ("a[", "/a[", false),
            ("*ab*ab", "/abxabyab", true),
            ("ü?", "/üä", true),
        ] {
            assert_eq!(excludes(&[pattern], path), matches, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_pattern_takes_back_what_those_before_it_excluded() {
        assert!(!excludes(&["/a/*", "!/a/b"], "/a/b"));
        assert!(excludes(&["/a/*", "!/a/b"], "/a/c"));
        assert!(excludes(&["!/a/b", "/a/*"], "/a/b"));
        assert!(excludes(&["*", "!*.txt", "/a/x.txt"], "/a/x.txt"));
        assert!(!excludes(&[], "/a"));
    }

    #[test]
    fn a_pattern_of_many_wildcards_costs_little() {
        let pattern = "**/x/".repeat(200);
        let path = "/x".repeat(150) + "/y";
        assert!(!excludes(&[&pattern], &path));
        let stars = "*a".repeat(200);
        assert!(!excludes(&[&stars], &format!("/{}b", "a".repeat(190))));
    }
}
