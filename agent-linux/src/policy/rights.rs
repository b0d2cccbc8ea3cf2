//! The rights that the command line of an enrolment gives, and the policy file that is written with them.

use super::{PolicyAt, PolicyError, file};
use crate::state_folder::StateFolder;
use std::{
    fmt::Write as _,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The file with every key commented out.
const TEMPLATE: &str = include_str!("../../../packaging/policy.toml");

/// What the command line of an enrolment says of the policy. Nothing said is what an empty policy file comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The key `source_roots` of the policy file.
    pub source_roots: Vec<String>,
    /// The key `repositories` of the policy file.
    pub repositories: Vec<String>,
    /// The key `restore_base` of the policy file; `None` = not set.
    pub restore_base: Option<String>,
    /// The key `restore_targets` of the policy file.
    pub restore_targets: Vec<String>,
    /// The key `restore_in_place` of the policy file.
    pub restore_in_place: bool,
    /// The key `other_hosts` of the policy file.
    pub other_hosts: bool,
    /// `admin_slot = false`.
    pub no_admin_slot: bool,
}

/// What became of the policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was written.
    New(PathBuf),
    /// There was one, and it stays as it is.
    Kept(PathBuf),
    /// It can't be written, and has nothing to say that would not hold without it.
    Not(String),
}

/// Why the rights of the command line can't be given.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A policy file with these rights could not be read.
    #[error("the rights make no policy: {0}")]
    Senseless(String),
    /// There is a policy that says something else.
    #[error(
        "there is a policy file already, {}, and it is never overwritten: change it by hand and leave the options that give rights away, or move it away",
        .0.display()
    )]
    There(PathBuf),
    /// The system refuses.
    #[error("the policy file {} can't be written: {source}", path.display())]
    System {
        /// Path of the policy file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// What was written is not trusted where it lies.
    #[error(transparent)]
    Untrusted(#[from] PolicyError),
}

impl Rights {
    /// Whether nothing was said.
    #[must_use]
    pub fn are_default(&self) -> bool {
        *self == Self::default()
    }

    /// The text of the policy file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let said = [
            ("source_roots", list(&self.source_roots)),
            ("repositories", list(&self.repositories)),
            ("restore_base", self.restore_base.as_deref().map(quoted)),
            ("restore_targets", list(&self.restore_targets)),
            ("restore_in_place", self.restore_in_place.then(|| "true".to_owned())),
            ("other_hosts", self.other_hosts.then(|| "true".to_owned())),
            ("admin_slot", self.no_admin_slot.then(|| "false".to_owned())),
        ];
        let mut text = String::with_capacity(TEMPLATE.len() + 512);
        for line in TEMPLATE.lines() {
            let key = line.strip_prefix('#').and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
            let value =
                said.iter().find(|(name, _)| Some(*name) == key).and_then(|(_, value)| value.as_ref());
            let _ = match (key, value) {
                (Some(key), Some(value)) => writeln!(text, "{key} = {value}"),
                _ => writeln!(text, "{line}"),
            };
        }
        text
    }

    /// Whether a policy can be made of them.
    pub fn check(&self, at: &PolicyAt) -> Result<(), WriteError> {
        file::parse(&self.to_text(), &at.state_dir, &at.path()).map(|_| ()).map_err(WriteError::Senseless)
    }

    /// Writes the policy file, unless there is one.
    pub fn write(&self, at: &PolicyAt) -> Result<Written, WriteError> {
        self.check(at)?;
        let (path, text) = (at.path(), self.to_text());
        // One that can't be looked at is there.
        if !matches!(fs::symlink_metadata(&path), Err(error) if error.kind() == ErrorKind::NotFound) {
            return self.keep(path, &text);
        }
        match write_new(&path, &text, path.starts_with(&at.state_dir)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return self.keep(path, &text),
            Err(error) if self.are_default() => {
                return Ok(Written::Not(format!("{} can't be written: {error}", path.display())));
            }
            Err(source) => return Err(WriteError::System { path, source }),
        }
        if let Err(error) = at.load() {
            // It would keep all jobs from being run.
            let _ = fs::remove_file(&path);
            return if self.are_default() { Ok(Written::Not(error.to_string())) } else { Err(error.into()) };
        }
        Ok(Written::New(path))
    }

    fn keep(&self, path: PathBuf, text: &str) -> Result<Written, WriteError> {
        let is_same = || fs::read_to_string(&path).is_ok_and(|found| found == *text);
        if self.are_default() || is_same() { Ok(Written::Kept(path)) } else { Err(WriteError::There(path)) }
    }
}

/// Writes a file that was not there: afterwards it is whole and on disk, or not there.
fn write_new(path: &Path, text: &str, is_in_state: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    // Nothing in the state folder may be read by others.
    let mode = if is_in_state { 0o600 } else { 0o644 };
    let new = folder.join(format!(".{}.{}", name.display(), std::process::id()));
    let written =
        (|| {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Unlike a rename it fails when the name is taken.
            match fs::hard_link(&new, path) {
                // Some file systems have no such links.
                Err(error)
                    if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) =>
                {
                    if path.exists() { Err(ErrorKind::AlreadyExists.into()) } else { fs::rename(&new, path) }
                }
                linked => linked,
            }?;
            File::open(folder)?.sync_all()
        })();
    // Gone already after a rename.
    let _ = fs::remove_file(&new);
    written
}

impl Written {
    /// Takes away what was written: the enrolment came to nothing.
    pub fn undo(&self, state: &StateFolder) {
        if let Self::New(path) = self {
            let _ = fs::remove_file(path);
            // The folder only when it was made for it, and is none that others use.
            if let Some(folder) = path.parent().filter(|folder| *folder != state.path()) {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

fn list(texts: &[String]) -> Option<String> {
    (!texts.is_empty())
        .then(|| format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")))
}

/// As a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            c if c.is_control() => write!(quoted, "\\u{:04X}", u32::from(c)),
            c => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn all() -> Rights {
        Rights {
            source_roots: vec!["/srv".into(), "/home/a \"b\"".into()],
            repositories: vec!["rest:https://nas/*".into()],
            restore_base: Some("/srv/back".into()),
            restore_targets: vec!["/srv/there".into()],
            restore_in_place: true,
            other_hosts: true,
            no_admin_slot: true,
        }
    }

    fn read(text: &str) -> Policy {
        file::parse(text, Path::new("/s"), Path::new("/p")).unwrap()
    }

    #[test]
    fn the_file_says_what_the_command_line_said_and_nothing_else() {
        assert_eq!(Rights::default().to_text(), TEMPLATE);
        assert_eq!(read(TEMPLATE), read(""));
        let policy = read(&all().to_text());
        let wanted = Policy {
            source_roots: vec!["/srv".into(), "/home/a \"b\"".into()],
            repositories: vec![super::super::Pattern::parse("rest:https://nas/*").unwrap()],
            restore_base: "/srv/back".into(),
            restore_targets: vec!["/srv/there".into()],
            restore_in_place: true,
            other_hosts: true,
            allows_admin_slot: false,
            ..read("")
        };
        assert_eq!(policy, wanted);
    }

    #[test]
    fn every_key_of_the_template_can_be_uncommented() {
        let text: String = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
                _ => String::new(),
            })
            .filter(|line| !line.starts_with("update_key"))
            .collect();
        let policy = read(&text);
        assert!(
            policy.restore_in_place && !policy.allows_admin_slot && policy.repositories.len() == 2,
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn a_path_comes_back_as_it_was_whatever_it_holds(name in "[^\\pC]*|.*") {
            let path = format!("/{name}");
            let rights = Rights { source_roots: vec![path.clone()], ..Rights::default() };
            prop_assert_eq!(read(&rights.to_text()).source_roots, [PathBuf::from(path)]);
        }
    }

    #[test]
    fn a_policy_that_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/policy.toml");
        let at = PolicyAt::new(Some(path.clone()), folder.path().join("state"));
        assert_eq!(all().write(&at).unwrap(), Written::New(path.clone()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(at.load().unwrap().restore_in_place);
        assert_eq!(fs::read_dir(folder.path().join("etc")).unwrap().count(), 1, "nothing is left beside it");
        // The same command once more, and one without rights.
        assert_eq!(all().write(&at).unwrap(), Written::Kept(path.clone()));
        assert_eq!(Rights::default().write(&at).unwrap(), Written::Kept(path.clone()));
        let other = Rights { no_admin_slot: true, ..Rights::default() };
        assert!(matches!(other.write(&at), Err(WriteError::There(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), all().to_text());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere/policy.toml", &path).unwrap();
        assert!(matches!(other.write(&at), Err(WriteError::There(_))), "nor a link that leads nowhere");
    }

    #[test]
    fn in_the_state_folder_nobody_else_reads_it_and_senseless_rights_write_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = PolicyAt::new(Some(folder.path().join("policy.toml")), folder.path().to_owned());
        for rights in [
            Rights { source_roots: vec!["photos".into()], ..Rights::default() },
            Rights { repositories: vec!["*".into()], ..Rights::default() },
            Rights { restore_base: Some("/a/../b".into()), ..Rights::default() },
        ] {
            assert!(matches!(rights.write(&at), Err(WriteError::Senseless(_))), "{rights:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let Written::New(path) = all().write(&at).unwrap() else { panic!() };
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn where_it_can_t_be_trusted_it_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = folder.path().join("policy.toml");
        let at = PolicyAt::new(Some(path.clone()), "/nowhere/state".into());
        assert!(matches!(all().write(&at), Err(WriteError::Untrusted(_))));
        assert!(matches!(Rights::default().write(&at), Ok(Written::Not(_))));
        assert!(!path.exists());
    }
}
