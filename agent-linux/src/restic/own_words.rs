//! What of a line is restic's own: the names in it are taken out, for a file may be called like anything that restic
//! says. What a line means is read from the rest.
//!
//! A name is known (the repository, the file that an error is about), or told by where it stands: in quotes, behind
//! `scheme://`, or from a slash that begins a word on. Where such a path ends nothing says; what it is followed by, if
//! by anything, is `: ` and the cause, so it is taken to end at the last of these.

use super::mask::MASKED;

/// What stands in the place of a name.
const NAME: char = '…';
/// Shorter names are told by where they stand only.
const SHORTEST: usize = 3;
/// How an alert of TLS begins where an answer of HTTP was expected: no name, and all that tells that the storage speaks TLS.
const TLS_ALERT: &str = r#""\x15\x03"#;

/// The names that are known to stand in restic's lines; without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Spellings of the repository's address, longest first.
    repository: Vec<String>,
    /// Its storage is reached by ssh, whose words restic passes on.
    is_by_ssh: bool,
}

impl Names {
    /// Those of a repository: its address as restic writes it, and what of it may stand alone.
    pub(crate) fn of_repository(address: &str) -> Self {
        let mut repository = match address.split_once("://") {
            Some((scheme, rest)) => {
                let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
                let shown = match place.rsplit_once('@') {
                    None => place.to_owned(),
                    Some((login, host)) => match login.split_once(':') {
                        None => place.to_owned(),
                        Some((user, _)) => format!("{user}:{MASKED}@{host}"),
                    },
                };
                vec![format!("{scheme}://{shown}/{path}"), format!("/{path}")]
            }
            None => {
                let parts = address.match_indices(':').map(|(at, _)| &address[at + 1..]);
                core::iter::once(address).chain(parts).map(str::to_owned).collect()
            }
        };
        for name in &mut repository {
            name.truncate(name.trim_end_matches('/').len());
        }
        repository.retain(|name| name.len() >= SHORTEST);
        repository.sort_by_key(|name| core::cmp::Reverse(name.len()));
        Self { repository, is_by_ssh: address.starts_with("sftp:") }
    }
}

/// The line without the names in it. `item` is the file that it is about; empty = none is known.
pub(crate) fn own_words(line: &str, names: &Names, item: &str) -> String {
    let line = match line.strip_prefix("subprocess ") {
        None => line,
        Some(said) if names.is_by_ssh && said.starts_with("ssh: ") => said,
        // The output of a command whose output is saved; what of it goes wrong restic says by itself.
        Some(_) => return String::new(),
    };
    let base = item.rsplit('/').next().unwrap_or_default();
    let item = if item.len() >= SHORTEST { item } else { "" };
    let mut own = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let before = own.chars().next_back();
        let is_start = before.is_none_or(|before| !before.is_alphanumeric() && before != NAME);
        let length = length_of_item(rest, item, base, is_start)
            .or_else(|| is_start.then(|| length_in_repository(rest, names)).flatten())
            .or_else(|| is_start.then(|| length_of_address(rest)).flatten())
            .or_else(|| length_of_path(rest, before));
        if let Some(length) = length {
            own.push(NAME);
            rest = &rest[length..];
        } else if let Some(length) = length_of_quote(rest) {
            let is_alert = own.ends_with("malformed HTTP response ") && rest.starts_with(TLS_ALERT);
            own.push_str(if is_alert { TLS_ALERT } else { "\"" });
            own.push('"');
            rest = &rest[length..];
        } else {
            own.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    own
}

/// The item itself wherever it stands; its last name only as a word before the cause.
fn length_of_item(rest: &str, item: &str, base: &str, is_start: bool) -> Option<usize> {
    if !item.is_empty() && rest.starts_with(item) {
        return Some(item.len());
    }
    let is_base = is_start && !base.is_empty() && rest.strip_prefix(base)?.starts_with(": ");
    is_base.then_some(base.len())
}

/// A name of the repository, with what restic puts behind it: names without spaces.
fn length_in_repository(rest: &str, names: &Names) -> Option<usize> {
    names.repository.iter().find_map(|name| {
        let behind = rest.strip_prefix(name.as_str())?;
        let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        let length = name.len() + behind.find(|c| !is_inner(c)).unwrap_or(behind.len());
        let after = &rest[length..];
        // Else another name begins like it.
        let is_all = (behind.is_empty() || !behind.starts_with(|c: char| is_inner(c) && c != '/'))
            && (after.is_empty() || after.starts_with([':', '"', '\'', ')']) || after.starts_with(" failed"));
        is_all.then_some(length)
    })
}

/// `http://…`, up to a space or a quote.
fn length_of_address(rest: &str) -> Option<usize> {
    let scheme = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | ':')))?;
    if scheme == 0 || !rest[..scheme].ends_with(':') || !rest[scheme..].starts_with("//") {
        return None;
    }
    Some(rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(rest.len()))
}

/// An absolute path of which nothing else is known.
fn length_of_path(rest: &str, before: Option<char>) -> Option<usize> {
    let begins = rest.starts_with('/') && before.is_none_or(|before| " \t([=<'`\"".contains(before));
    // `5 / 6 packs` is none.
    let is_path = begins && rest[1..].chars().next().is_some_and(|c| !c.is_whitespace());
    is_path.then(|| rest.rfind(": ").unwrap_or(rest.len()))
}

/// A text in quotes, as Go writes it.
fn length_of_quote(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inner.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(line: &str, item: &str) -> String {
        own_words(line, &Names::of_repository("rest:http://me:x@nas:8000/wrong password/"), item)
    }

    #[test]
    fn names_are_taken_out_and_words_stay() {
        for (line, item, expected) in [
            ("Fatal: wrong password or no key found", "", "Fatal: wrong password or no key found"),
            (
                "open /src/hash does not match.txt: permission denied",
                "/src/hash does not match.txt",
                "open …: permission denied",
            ),
            ("open /src/a: b: permission denied", "", "open …: permission denied"),
            (
                "failed to save /db: x.sql: read db: x.sql: no data read",
                "/db: x.sql",
                "failed to save …: read …: no data read",
            ),
            (
                "ignoring error for /a (403): write /b/(401): no space left on device",
                "",
                "ignoring error for …: no space left on device",
            ),
            (
                "Stat(<config/>) failed: Head \"http://h1:***@127.0.0.1:1/(401)/config\": dial tcp 127.0.0.1:1: connect: connection refused",
                "",
                "Stat(<config/>) failed: Head \"\": dial tcp 127.0.0.1:1: connect: connection refused",
            ),
            ("rest:http://h1:***@nas/wrong password/", "", "… password/"),
            ("rest:http://me:***@nas:8000/wrong password/", "", "…"),
            ("rest:http://me:***@nas:8000/wrong password/ failed: (403)", "", "… failed: (403)"),
            ("/wrong password/config: (403)", "", "…: (403)"),
            ("/wrong password (403)/x: (401)", "", "…: (401)"),
            ("Ignoring \"wrong password\": no", "", "Ignoring \"\": no"),
            ("a \"quote without end: (403)", "", "a \"quote without end: (403)"),
            ("[0:00] 83.33%  5 / 6 packs processed", "", "[0:00] 83.33%  5 / 6 packs processed"),
            (
                "Load(<data/0102>, 246, 515) failed: open /r/data/x: no such file",
                "",
                "Load(<data/0102>, 246, 515) failed: open …: no such file",
            ),
            (
                r#"malformed HTTP response "\x15\x03\x01\x00 (403)""#,
                "",
                r#"malformed HTTP response "\x15\x03""#,
            ),
            (r#"malformed HTTP response "(403)""#, "", r#"malformed HTTP response """#),
            (r#"open "\x15\x03": (403)"#, "", r#"open "": (403)"#),
            ("subprocess pg_dump: wrong password", "", ""),
            ("tree x could not be loaded: /", "/", "tree x could not be loaded: /"),
        ] {
            assert_eq!(own(line, item), expected, "{line}");
        }
    }
}
