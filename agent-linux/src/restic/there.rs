//! What stands where a restore writes, as far as restic does not tell of it by itself.
//!
//! restic counts a file that it writes over a file. A link, a pipe or a device it makes in the place of whatever stands
//! there, and a file in the place of one of those, and calls each of them new; so what is there is looked at before. With
//! `--delete` it also removes a folder, with all that is in it, where the snapshot has a file.

use super::{
    diff::Sizes,
    raw_names::as_json_shows,
    tree::{MOST_WAYS, Picked, Special, SpecialKind},
};
use std::{
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

/// Fates by path in the snapshot, as JSON shows it.
///
/// In maps of a type that is there already ([`Sizes`]): each other one has a kilobyte or more of code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fates(Sizes);

impl Fates {
    const ALL: [Fate; 3] = [Fate::Replaced, Fate::Alike, Fate::Stays];

    fn insert(&mut self, path: String, fate: Fate) {
        let _ = self.0.insert(path, Some(fate as u64));
    }

    /// What becomes of this.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Fate> {
        let place = usize::try_from((*self.0.get(path)?)?).ok()?;
        Self::ALL.get(place).copied()
    }
}

/// What was found where a restore writes.
#[derive(Debug, Default)]
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
    /// It is done, not only tried: restic says what it fails at.
    pub(super) says_failures: bool,
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
        // Folders, and where a special one stands in the list.
        let mut known = Sizes::new();
        for way in &self.picked.ways {
            let _ = known.insert(way.path.clone(), None);
        }
        for (place, special) in (0..).zip(specials) {
            let _ = known.insert(special.path.clone(), Some(place));
        }
        let is_picked =
            |path: &[u8]| self.picks.iter().any(|pick| pick.strip_suffix(b"/").unwrap_or(pick) == path);
        let is_all = self.picks.is_empty() || is_picked(b"");
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
                if is_above && !is_picked(&path) {
                    continue;
                }
                let shown = as_json_shows(&path);
                let special = match known.get(&shown) {
                    Some(None) if kind.is_dir() => continue,
                    Some(Some(place)) => usize::try_from(*place).ok().and_then(|place| specials.get(place)),
                    _ => None,
                };
                let Some(fate) = fate(&entry, kind, special) else { continue };
                let holds = fate == Fate::Stays && self.deletes;
                if special.is_none() && (holds || kind.is_fifo() || kind.is_char_device()) {
                    there.doubtful.push(path);
                }
                if !(self.says_failures && fate == Fate::Stays) {
                    there.fates.insert(shown, fate);
                }
                if there.fates.0.len() > MOST_WAYS {
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
    let is_same_kind = match special.kind {
        SpecialKind::Link => kind.is_symlink(),
        SpecialKind::Pipe => kind.is_fifo(),
        SpecialKind::Other => !kind.is_file() && !kind.is_symlink() && !kind.is_fifo(),
    };
    let is_alike = is_same_kind
        && entry.metadata().is_ok_and(|there| special.mtime == Some((there.mtime(), there.mtime_nsec())));
    Some(if is_alike { Fate::Alike } else { Fate::Replaced })
}
