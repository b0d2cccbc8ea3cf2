//! The agent's own record of the snapshots that its restic has made.
//!
//! A tree that was written by hand is what a snapshot is looked through for before it is restored, see [`super::tree`].
//! One that restic has made on this machine holds none, whoever knows the repository's password: a snapshot, and all that
//! is in it, are named by their digests.

use crate::state_folder;
use std::{
    fs::{self, DirBuilder},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// The file's name in the state folder.
const FILE: &str = "snapshots-made";
/// The most that are remembered, 16 KB; the oldest go first, and are looked through like those of others.
const MOST: usize = 512;

/// A snapshot's whole id, as bytes.
type Id = [u8; 32];

/// Takes a snapshot in. One that restic did not name by its whole id (before 0.15) is left out.
pub(super) fn remember(folder: &Path, id: &str) -> io::Result<()> {
    let Some(id) = parse(id) else { return Ok(()) };
    let mut ids = load(folder);
    ids.retain(|other| *other != id);
    ids.push(id);
    let surplus = ids.len().saturating_sub(MOST);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    state_folder::replace(folder, FILE, |file| file.write_all(&ids[surplus..].concat())).map(|_| ())
}

/// Whether it is one of them. A part of an id names none: another snapshot could begin like it.
pub(super) fn knows(folder: &Path, id: &str) -> bool {
    parse(id).is_some_and(|id| load(folder).contains(&id))
}

/// A record that can't be read names none.
fn load(folder: &Path) -> Vec<Id> {
    let bytes = fs::read(folder.join(FILE)).unwrap_or_default();
    let (ids, rest) = bytes.as_chunks();
    if rest.is_empty() { ids.to_vec() } else { Vec::new() }
}

fn parse(id: &str) -> Option<Id> {
    let (pairs, []) = id.as_bytes().as_chunks() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|&[high, low]| Some((digit(high)? << 4) | digit(low)?));
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_by_their_whole_ids() {
        let folder = tempfile::tempdir().unwrap();
        let folder = &folder.path().join("state");
        let id = |number: usize| format!("{number:064x}");
        assert!(!knows(folder, &id(1)));
        for number in (0..MOST).chain([0, MOST]) {
            remember(folder, &id(number)).unwrap();
        }
        assert!(knows(folder, &id(0)), "it was made once more");
        assert!(!knows(folder, &id(1)) && knows(folder, &id(2)) && knows(folder, &id(MOST)));
        assert_eq!(fs::metadata(folder.join(FILE)).unwrap().len(), 32 * MOST as u64);
        assert!(!knows(folder, &id(2)[..8]) && !knows(folder, ""));
        remember(folder, "0123abcd").unwrap();
        assert!(knows(folder, &id(2)), "half an id has no place");
    }

    #[test]
    fn a_record_that_is_cut_names_none() {
        let folder = tempfile::tempdir().unwrap();
        let id = "ab".repeat(32);
        remember(folder.path(), &id).unwrap();
        let file = folder.path().join(FILE);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, [&bytes[..], b"\xab"].concat()).unwrap();
        assert!(!knows(folder.path(), &id));
        remember(folder.path(), &id).unwrap();
        assert!(knows(folder.path(), &id), "it begins anew");
    }

    /// When this fails: fix the code, or read both forms.
    #[test]
    fn a_kept_record_says_what_it_always_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), [[0xab; 32], [0xcd; 32]].concat()).unwrap();
        assert!(knows(folder.path(), &"ab".repeat(32)) && knows(folder.path(), &"cd".repeat(32)));
        remember(folder.path(), &"ef".repeat(32)).unwrap();
        let written = fs::read(folder.path().join(FILE)).unwrap();
        assert_eq!(written, [[0xab; 32], [0xcd; 32], [0xef; 32]].concat());
    }
}
