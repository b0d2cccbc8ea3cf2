//! The same restore without Holdfast: restic's own command.

use super::choices::{ALL, Choices, To};
use crate::format::count;
use crate::sh::{quoted, quoted_bytes};
use fleet::record::CredentialsFacts;
use schema::os_text::bytes_of;
use serde::Serialize;

/// The most paths that the command names.
const MOST_PATHS: usize = 100;

/// A command to copy, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CommandView {
    pub(crate) line: String,
    pub(crate) needs: Vec<String>,
    /// The one path that was picked, given to a pipe or file.
    pub(crate) dump: Option<String>,
}

#[cfg(test)]
impl CommandView {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            line: s.text(
                "restic -r rest:https://nas.lan/boat restore 4d02a9f1 --target /tmp/x --include=/srv/a",
            ),
            needs: vec![s.text("restic asks for the password of the repository.")],
            dump: s.some("restic -r rest:https://nas.lan/boat dump 4d02a9f1 /srv/a > a"),
        }
    }
}

impl CommandView {
    pub(super) fn new(choices: &Choices, credentials: &CredentialsFacts) -> Self {
        let mut words =
            vec!["restic".to_owned(), "-r".to_owned(), quoted(&credentials.url), "restore".to_owned()];
        words.push(quoted(&choices.snapshot));
        let new_name = format!("restore-{}", &choices.snapshot[..choices.snapshot.floor_char_boundary(8)]);
        let folder = choices.folder.trim_end_matches('/');
        let (target, is_new) = match choices.to {
            To::Within if !folder.is_empty() => (format!("{folder}/{new_name}"), true),
            To::Folder if !folder.is_empty() => (folder.to_owned(), false),
            To::Original => ("/".to_owned(), false),
            // What is not named yet.
            To::New | To::Within | To::Folder => (format!("./{new_name}"), true),
        };
        words.push("--target".to_owned());
        let target: Vec<u8> = bytes_of(&target).collect();
        words.push(quoted_bytes(&target));
        if !is_new {
            words.push(format!("--overwrite={}", choices.overwrite.as_restic()));
            words.extend(choices.delete.then(|| "--delete".to_owned()));
        }
        words.extend(choices.verify.then(|| "--verify".to_owned()));
        let paths = choices.paths.iter().filter(|_| !choices.is_all()).filter(|path| *path != ALL);
        words.extend(paths.clone().take(MOST_PATHS).map(|path| include(path)));
        let left_out = paths.count().saturating_sub(MOST_PATHS);
        let mut needs = vec!["restic asks for the password of the repository.".to_owned()];
        if !credentials.username.is_empty() || credentials.has_password {
            needs.push(format!(
                "The storage wants a login, as RESTIC_REST_USERNAME ({}) and RESTIC_REST_PASSWORD in the environment.",
                credentials.username
            ));
        }
        if !credentials.env_names.is_empty() {
            needs.push(format!("Further environment: {}.", credentials.env_names.join(", ")));
        }
        if !credentials.ca.is_empty() {
            needs.push(
                "The storage's certificate authority goes into a file, named with --cacert.".to_owned(),
            );
        }
        if !is_new {
            needs.push("--overwrite and --delete need restic 0.17 or newer.".to_owned());
        }
        if left_out > 0 {
            let all = MOST_PATHS.saturating_add(left_out) as u64;
            needs.push(format!(
                "The command names only {} of the {} paths that were picked.",
                count(MOST_PATHS as u64),
                count(all)
            ));
        }
        let dump = choices.one().map(|path| dump(&credentials.url, &choices.snapshot, path));
        if dump.is_some() {
            needs.push("dump writes a file as it is, and a folder as a tar archive.".to_owned());
        }
        Self { line: words.join(" "), needs, dump }
    }
}

/// The command that writes this path to its output.
fn dump(url: &str, snapshot: &str, path: &str) -> String {
    let bytes: Vec<u8> = bytes_of(path).collect();
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let word = match bytes.strip_suffix(b"\n") {
        // At the end of a word made by `printf` the shell would drop it; in quotes it stays.
        Some(rest) => format!("{}'\n'", quoted_bytes(rest)),
        None => quoted_bytes(&bytes),
    };
    format!("restic -r {} dump {} {word} > ./{name}", quoted(url), quoted(snapshot))
}

/// The option that restores this path and nothing else: restic takes the value for a pattern.
fn include(path: &str) -> String {
    let mut pattern = Vec::new();
    let bytes: Vec<u8> = bytes_of(path).collect();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'*' | b'?' | b'[' | b']' | b'\\' => pattern.extend([b'\\', byte]),
            // At the end of a word the shell would drop it.
            b'\n' if at + 1 == bytes.len() => pattern.extend(*b"[\n]"),
            _ => pattern.push(byte),
        }
    }
    format!("--include={}", quoted_bytes(&pattern))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::Actor;
    use schema::Timestamp;

    fn credentials() -> CredentialsFacts {
        CredentialsFacts {
            url: "rest:https://nas.lan:8000/it's".to_owned(),
            username: "boat".to_owned(),
            has_password: true,
            has_repo_password: true,
            ca: String::new(),
            host_keys: String::new(),
            env_names: vec!["AWS_SESSION_TOKEN".to_owned()],
            revision: schema::SlotRevision(1),
            updated_at: Timestamp(1),
            updated_by: Actor::System,
            held_revision: schema::SlotRevision(1),
            refused: None,
            unreadable: false,
        }
    }

    fn said(paths: &[&str], to: To) -> String {
        let mut chosen = Choices { snapshot: "4d02a9f1c0ffee00".to_owned(), to, ..Choices::default() };
        paths.iter().for_each(|path| chosen.pick(path));
        chosen.folder = "/srv/my back".to_owned();
        CommandView::new(&chosen, &credentials()).line
    }

    #[test]
    fn the_command_names_each_path_and_no_other() {
        assert_eq!(
            said(&["/srv/a", "/srv/it's [1]*"], To::New),
            "restic -r 'rest:https://nas.lan:8000/it'\\''s' restore 4d02a9f1c0ffee00 --target ./restore-4d02a9f1 --verify \
             --include=/srv/a --include='/srv/it'\\''s \\[1\\]\\*'"
        );
        assert!(said(&["/d\\xfcr"], To::New).ends_with(" --include=\"$(printf '/d\\374r')\""));
        assert!(said(&["/n\n"], To::New).ends_with(" --include=\"$(printf '/n[\\012]')\""));
        let folder = said(&["/"], To::Folder);
        assert!(folder.ends_with(" --target '/srv/my back' --overwrite=never --verify"), "{folder}");
        assert!(said(&["/a"], To::Original).contains(" --target / --overwrite=never"));
    }

    #[test]
    fn one_path_is_dumped_by_its_bytes() {
        for (path, word, name) in [
            ("/srv/a", "/srv/a", "a"),
            ("/srv/it's [1]*", "'/srv/it'\\''s [1]*'", "it_s__1__"),
            ("/d\\xfcr", "\"$(printf '/d\\374r')\"", "d_xfcr"),
            ("/a/-rf", "/a/-rf", "-rf"),
            ("/n\n", "/n'\n'", "n_"),
            ("/n\n\n", "\"$(printf '/n\\012')\"'\n'", "n__"),
        ] {
            let wanted = format!("restic -r /repo dump 4d02a9f1 {word} > ./{name}");
            assert_eq!(dump("/repo", "4d02a9f1", path), wanted);
        }
    }

    #[test]
    fn what_is_secret_is_asked_for_or_named_and_what_is_left_out_is_told() {
        let mut chosen = Choices { snapshot: "4d02a9f1".to_owned(), ..Choices::default() };
        (0..=MOST_PATHS).for_each(|at| chosen.pick(&format!("/{at}")));
        let needs = CommandView::new(&chosen, &credentials()).needs.join(" ");
        for wanted in ["RESTIC_REST_USERNAME (boat)", "AWS_SESSION_TOKEN", "only 100 of the 101 paths"] {
            assert!(needs.contains(wanted), "{needs}");
        }
    }
}
