//! Looks into a folder of this machine, so that whoever sets a backup up can pick paths instead of guessing them.

use crate::{
    folder::{Folder, FolderError},
    policy::{Policy, in_words, real},
    restic::{EntrySeen, lookalike},
};
use schema::{
    OsText, Timestamp,
    limits::{MAX_ENTRIES, MAX_NAME_BYTES, MAX_VALUE_BYTES},
    report::EntryKind,
};
use std::{
    ffi::OsStr,
    fs::{DirEntry, FileType},
    io::{self, ErrorKind},
    os::fd::{AsFd as _, AsRawFd as _},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// What is in a folder.
#[derive(Debug, Default)]
pub struct FolderContents {
    /// The entries, sorted by name.
    pub entries: Vec<EntrySeen>,
    /// Too many, or too long.
    pub left_out: u32,
}

/// Why a folder is not listed.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// The machine's owner does not want it.
    #[error(
        "This machine's own policy does not let {path} be looked into; it allows {allowed}. To change that: source_roots in its policy file."
    )]
    Policy {
        /// What was asked for.
        path: String,
        /// The folders that the policy allows.
        allowed: String,
    },
    /// It is the agent's own.
    #[error("The agent's own state folder holds its keys: it is never shown, whatever the policy says.")]
    OwnState,
    /// It became another folder.
    #[error("{0} was replaced while it was opened. Try again.")]
    Replaced(String),
    /// There is no such folder.
    #[error("There is no folder {0} on this machine.")]
    Missing(String),
    /// There is none, and one that looks the same.
    #[error(
        "There is no folder {path} on this machine, but one is there that looks the same, with a letter written as other \
         characters: open {alike} instead."
    )]
    Alike {
        /// What was asked for.
        path: String,
        /// The name that is there and looks the same.
        alike: String,
    },
    /// The system does not let it be read.
    #[error("{path} can't be read: {source}.")]
    Unreadable {
        /// What was asked for.
        path: String,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Lists a folder. With source roots, folders above them show the way to them and nothing else.
pub async fn list(path: OsText<'_>, policy: Policy) -> Result<FolderContents, BrowseError> {
    let path = path.as_bytes().to_vec();
    // A dead network mount must not hold up the agent.
    tokio::task::spawn_blocking(move || list_now(&path, &policy)).await.unwrap_or_else(|error| {
        Err(BrowseError::Unreadable { path: String::new(), source: io::Error::other(error) })
    })
}

fn list_now(path: &[u8], policy: &Policy) -> Result<FolderContents, BrowseError> {
    let folder = Path::new(OsStr::from_bytes(path));
    let path = || OsText::new(path).to_string();
    if !folder.is_absolute() || folder.as_os_str().len() > MAX_VALUE_BYTES {
        return Err(BrowseError::Missing(path()));
    }
    // What is judged is where the path leads, and that is opened without following anything further.
    let here = real(folder);
    if policy.is_in_state(&here) {
        return Err(BrowseError::OwnState);
    }
    let roots: Vec<PathBuf> = policy.source_roots.iter().map(|root| real(root)).collect();
    let is_within = roots.is_empty() || roots.iter().any(|root| here.starts_with(root));
    let way: Option<Vec<&PathBuf>> =
        (!is_within).then(|| roots.iter().filter(|root| root.starts_with(&here)).collect());
    if way.as_ref().is_some_and(Vec::is_empty) {
        return Err(BrowseError::Policy { path: path(), allowed: in_words(&policy.source_roots) });
    }
    let unreadable = |source: io::Error| match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => match lookalike::of(folder) {
            Some(alike) => BrowseError::Alike { path: path(), alike: alike.display().to_string() },
            None => BrowseError::Missing(path()),
        },
        _ => BrowseError::Unreadable { path: path(), source },
    };
    let opened = Folder::open(&here).map_err(|error| match error {
        FolderError::System { source, .. } => unreadable(source),
        _ => BrowseError::Replaced(path()),
    })?;
    let itself = format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd());
    let mut found = FolderContents::default();
    for entry in std::fs::read_dir(itself).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if way.as_ref().is_some_and(|roots| !leads_to(&here.join(entry.file_name()), roots)) {
            continue;
        }
        match (found.entries.len() < MAX_ENTRIES as usize).then(|| seen(&entry)).flatten() {
            Some(entry) => found.entries.push(entry),
            None => found.left_out = found.left_out.saturating_add(1),
        }
    }
    found.entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn leads_to(path: &Path, roots: &[&PathBuf]) -> bool {
    let path = real(path);
    roots.iter().any(|root| root.starts_with(&path))
}

fn seen(entry: &DirEntry) -> Option<EntrySeen> {
    let name = Some(entry.file_name().into_vec()).filter(|name| name.len() <= MAX_NAME_BYTES)?;
    // It may have gone since.
    let metadata = entry.metadata().ok()?;
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Some(EntrySeen {
        name,
        kind: kind_of(metadata.file_type()),
        bytes: if metadata.is_file() { metadata.len() } else { 0 },
        modified_at: modified.and_then(|since| u64::try_from(since.as_millis()).ok()).map(Timestamp),
    })
}

fn kind_of(kind: FileType) -> EntryKind {
    if kind.is_dir() {
        EntryKind::Folder
    } else if kind.is_file() {
        EntryKind::File
    } else if kind.is_symlink() {
        EntryKind::Symlink
    } else {
        EntryKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn policy(roots: &[PathBuf]) -> Policy {
        Policy { source_roots: roots.to_vec(), ..Policy::default() }
    }

    fn names(found: &FolderContents) -> Vec<(&str, EntryKind)> {
        found
            .entries
            .iter()
            .map(|entry| (std::str::from_utf8(&entry.name).unwrap_or("odd"), entry.kind))
            .collect()
    }

    #[test]
    fn a_folder_is_listed_by_name_with_what_each_entry_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("photos")).unwrap();
        fs::write(at("notes.txt"), "hello").unwrap();
        symlink("/", at("link")).unwrap();
        let at_bytes = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        fs::create_dir(at_bytes(b"not-\xff-text")).unwrap();
        fs::write(at_bytes(b"not-\xff-text").join("inside"), "").unwrap();
        let found = list_now(folder.path().as_os_str().as_bytes(), &policy(&[])).unwrap();
        assert_eq!(
            names(&found),
            [
                ("link", EntryKind::Symlink),
                ("odd", EntryKind::Folder),
                ("notes.txt", EntryKind::File),
                ("photos", EntryKind::Folder)
            ]
        );
        assert_eq!((found.entries[2].bytes, found.left_out), (5, 0));
        assert!(found.entries[2].modified_at.is_some());
        // It is opened by its bytes.
        assert_eq!(found.entries[1].name, b"not-\xff-text");
        let odd = list_now(at_bytes(b"not-\xff-text").as_os_str().as_bytes(), &policy(&[])).unwrap();
        assert_eq!(names(&odd), [("inside", EntryKind::File)]);
    }

    #[test]
    fn above_the_roots_only_the_way_to_them_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b/wanted/inside")).unwrap();
        fs::create_dir_all(at("a/b/other")).unwrap();
        fs::create_dir_all(at("secret")).unwrap();
        let roots = [at("a/b/wanted")];
        let list = |name: &str| list_now(at(name).as_os_str().as_bytes(), &policy(&roots));
        assert_eq!(
            names(&list_now(folder.path().as_os_str().as_bytes(), &policy(&roots)).unwrap())[0].0,
            "a"
        );
        assert_eq!(names(&list("a").unwrap()), [("b", EntryKind::Folder)]);
        assert_eq!(names(&list("a/b").unwrap()), [("wanted", EntryKind::Folder)]);
        assert_eq!(names(&list("a/b/wanted").unwrap()), [("inside", EntryKind::Folder)]);
        for name in ["secret", "a/b/other", "a/b/wanted/../other"] {
            assert!(matches!(list(name), Err(BrowseError::Policy { .. })), "{name}");
        }
    }

    #[test]
    fn the_agents_own_state_is_not_shown_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        fs::create_dir_all(at.join("state/cache")).unwrap();
        symlink(at.join("state"), at.join("door")).unwrap();
        for roots in [vec![], vec![at.clone()], vec![at.join("state")]] {
            let policy = Policy { source_roots: roots, state_dir: at.join("door"), ..Policy::default() };
            for name in ["state", "state/cache", "door", "door/cache", "state/../door"] {
                let path = format!("{}/{name}", at.display());
                assert!(matches!(list_now(path.as_bytes(), &policy), Err(BrowseError::OwnState)), "{name}");
                let path = format!("/proc/self/root{path}");
                assert!(matches!(list_now(path.as_bytes(), &policy), Err(BrowseError::OwnState)), "{path}");
            }
        }
    }

    #[test]
    fn what_is_no_folder_is_said_to_be_missing() {
        for path in ["/nowhere/at/all", "/proc/self/status", "etc", ""] {
            assert!(
                matches!(list_now(path.as_bytes(), &policy(&[])), Err(BrowseError::Missing(_))),
                "{path}"
            );
        }
    }
}
