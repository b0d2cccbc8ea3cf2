//! What stands where a restore writes, as far as restic does not tell of it by itself.
//!
//! restic counts a file that it writes over a file. A link, a pipe or a device it makes in the place of whatever stands
//! there, and a file in the place of one of those, and calls each of them new; so what is there is looked at before. With
//! `--delete` it also removes a folder, with all that is in it, where the snapshot has a file.

use super::{
    raw_names::as_json_shows,
    tree::{MOST_WAYS, Picked, Special},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{DirEntry, FileType},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
};

/// What becomes of something that is there when restic calls what it writes in its place new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is taken away.
    Replaced,
    /// It is made anew as it is.
    Alike,
    /// It is a folder that holds something, and restic fails: of that a dry run says nothing.
    Stays,
}

/// By the path in the snapshot, as JSON shows it.
pub type Fates = BTreeMap<String, Fate>;

/// What was found where a restore writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct There {
    pub(super) fates: Fates,
    /// What restic would open and wait for, mostly for ever, or remove without a word, if the snapshot has a file in its
    /// place: paths in the snapshot.
    pub(super) doubtful: Vec<Vec<u8>>,
}

/// What is restored, and over what.
#[derive(Debug)]
pub(super) struct Over<'o> {
    /// What lies in the paths that were asked for.
    pub(super) picked: &'o Picked,
    /// Those paths; empty = all.
    pub(super) picks: &'o [Vec<u8>],
    /// What the snapshot lacks is deleted.
    pub(super) deletes: bool,
    /// Where it goes.
    pub(super) target: &'o Path,
}

impl Over<'_> {
    /// Looks at all that is in the folders of the snapshot that are there.
    pub(super) fn look(&self) -> Result<There, String> {
        let specials = &self.picked.specials;
        if specials.len() > MOST_WAYS {
            return Err(format!(
                "more than {MOST_WAYS} links, pipes and devices are picked: pick less at once"
            ));
        }
        let specials: BTreeMap<&str, &Special> =
            specials.iter().map(|special| (special.path.as_str(), special)).collect();
        let folders: BTreeSet<&str> = self.picked.ways.iter().map(|way| way.path.as_str()).collect();
        let picks: BTreeSet<&[u8]> =
            self.picks.iter().map(|pick| pick.strip_suffix(b"/").unwrap_or(pick)).collect();
        let is_all = picks.is_empty() || picks.contains(&b""[..]);
        let mut there = There::default();
        let ways = self.picked.ways.iter().map(|way| (way.path.as_str(), way.above.is_some()));
        for (way, is_above) in core::iter::once(("", !is_all)).chain(ways) {
            let Ok(entries) = self.target.join(way.trim_start_matches('/')).read_dir() else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_file() && specials.is_empty() {
                    continue;
                }
                let path = [way.as_bytes(), b"/", entry.file_name().as_bytes()].concat();
                if is_above && !picks.contains(path.as_slice()) {
                    continue;
                }
                let shown = as_json_shows(&path);
                if kind.is_dir() && folders.contains(shown.as_str()) {
                    continue;
                }
                let special = specials.get(shown.as_str()).copied();
                let Some(fate) = fate(&entry, kind, special) else { continue };
                let holds = fate == Fate::Stays && self.deletes;
                if special.is_none() && (holds || kind.is_fifo() || kind.is_char_device()) {
                    there.doubtful.push(path);
                }
                there.fates.insert(shown, fate);
                if there.fates.len() > MOST_WAYS {
                    return Err(format!(
                        "more than {MOST_WAYS} folders, links, pipes and devices are there: pick less at once"
                    ));
                }
            }
        }
        Ok(there)
    }
}

/// What becomes of an entry that is no folder of the snapshot; `None` = a file, which restic tells of.
fn fate(entry: &DirEntry, kind: FileType, special: Option<&Special>) -> Option<Fate> {
    if kind.is_dir() {
        let is_empty = entry.path().read_dir().is_ok_and(|mut entries| entries.next().is_none());
        return Some(if is_empty { Fate::Replaced } else { Fate::Stays });
    }
    let Some(special) = special else { return (!kind.is_file()).then_some(Fate::Replaced) };
    let word = match kind {
        _ if kind.is_symlink() => "symlink",
        _ if kind.is_fifo() => "fifo",
        _ if kind.is_socket() => "socket",
        _ if kind.is_char_device() => "chardev",
        _ if kind.is_block_device() => "dev",
        _ => "file",
    };
    let is_alike = special.kind == word
        && entry.metadata().is_ok_and(|there| special.mtime == Some((there.mtime(), there.mtime_nsec())));
    Some(if is_alike { Fate::Alike } else { Fate::Replaced })
}
