//! What stands where a restore writes, as far as restic does not tell of it by itself.
//!
//! restic counts a file that it writes over a file. A link, a pipe or a device it makes in the place of whatever stands
//! there, and a file in the place of one of those, and calls each of them new; so what is there is looked at before. With
//! `--delete` it also removes a folder, with all that is in it, where the snapshot has a file.

use super::{
    diff::Sizes,
    failures::digest,
    raw_names::{STAND_IN, as_json_shows},
    tree::{MOST_WAYS, Picked, Special, SpecialKind},
};
use std::{
    ffi::OsStr,
    fs::{DirEntry, FileType},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

/// The most files that are remembered of those that are there, in up to 4 MiB.
const MOST_FILES: usize = 1 << 18;

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
pub struct Fates {
    named: Sizes,
    /// What is there and no folder of the snapshot, by the digests of its paths, each where that says or behind it;
    /// 0 = none.
    files: Vec<u64>,
    /// How many those are.
    filled: usize,
}

impl Fates {
    const ALL: [Fate; 3] = [Fate::Replaced, Fate::Alike, Fate::Stays];

    fn insert(&mut self, path: String, fate: Fate) {
        let _ = self.named.insert(path, Some(fate as u64));
    }

    /// Where a digest stands, or would; there is always room for one more.
    fn place(&self, digest: u64) -> Option<usize> {
        let mask = self.files.len().checked_sub(1)?;
        let mut place = usize::try_from(digest >> 32).map_or(0, |place| place & mask);
        while self.files[place] != 0 && self.files[place] != digest {
            place = (place + 1) & mask;
        }
        Some(place)
    }

    /// Takes a file that is there, while there are no more than [`MOST_FILES`].
    fn take_file(&mut self, path: &str) {
        if self.filled == MOST_FILES {
            return;
        }
        if 2 * self.filled >= self.files.len() {
            let larger = vec![0; (2 * self.files.len()).max(1024)];
            let before = core::mem::replace(&mut self.files, larger);
            before.into_iter().filter(|digest| *digest != 0).for_each(|digest| self.put(digest));
        }
        self.filled += usize::from(!self.was_file(path));
        self.put(digest(path) | 1);
    }

    fn put(&mut self, digest: u64) {
        if let Some(place) = self.place(digest) {
            self.files[place] = digest;
        }
    }

    /// Whether a file stood there. One that restic has made all the same is another name of a file (a hard link).
    #[must_use]
    pub fn was_file(&self, path: &str) -> bool {
        self.known(digest(path)).is_some()
    }

    /// The place of what stood there, by the digest of its path.
    pub(super) fn known(&self, digest: u64) -> Option<usize> {
        let digest = digest | 1;
        self.place(digest).filter(|&place| self.files[place] == digest)
    }

    /// What becomes of this.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Fate> {
        let place = usize::try_from((*self.named.get(path)?)?).ok()?;
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
pub(super) struct OverlapInput<'o> {
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

impl OverlapInput<'_> {
    /// Looks at all that is in the folders of the snapshot that are there.
    pub(super) fn look(&self) -> Result<There, String> {
        let specials = &self.picked.specials;
        if specials.len() > MOST_WAYS {
            return Err(format!(
                "more than {MOST_WAYS} links, pipes and devices are picked: pick some folders, and the others after them"
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
            for folder in looking_like(self.target, way)? {
                let Ok(entries) = at(self.target, &folder).read_dir() else { continue };
                for entry in entries.flatten() {
                    let Ok(kind) = entry.file_type() else { continue };
                    let path = [&folder, b"/".as_slice(), entry.file_name().as_bytes()].concat();
                    if is_above && !is_picked(&path) {
                        continue;
                    }
                    let shown = as_json_shows(&path);
                    let special = match known.get(&shown) {
                        Some(None) if kind.is_dir() => continue,
                        Some(Some(place)) => {
                            usize::try_from(*place).ok().and_then(|place| specials.get(place))
                        }
                        _ => None,
                    };
                    let Some(fate) = fate(&entry, kind, special) else {
                        there.fates.take_file(&shown);
                        continue;
                    };
                    let holds = fate == Fate::Stays && self.deletes;
                    if special.is_none() && (holds || kind.is_fifo() || kind.is_char_device()) {
                        there.doubtful.push(path);
                    }
                    if !(self.says_failures && fate == Fate::Stays) {
                        there.fates.take_file(&shown);
                        there.fates.insert(shown, fate);
                    }
                    if there.fates.named.len() > MOST_WAYS {
                        return Err(format!(
                            "more than {MOST_WAYS} links, pipes, devices, and folders that the snapshot has not, are there: pick some folders, and the others after them"
                        ));
                    }
                }
            }
        }
        Ok(there)
    }
}

/// The paths in the snapshot that JSON shows like this: where names are no UTF-8, all that are there and look the same.
pub(super) fn looking_like(target: &Path, shown: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut found = vec![Vec::new()];
    for part in shown.split('/').skip(1) {
        let mut below = Vec::new();
        for folder in &found {
            let mut take = |name: &[u8]| below.push([folder.as_slice(), b"/", name].concat());
            if !part.contains(STAND_IN) {
                take(part.as_bytes());
                continue;
            }
            let path = at(target, folder);
            let entries = match path.read_dir() {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{} can't be looked into: {error}", path.display())),
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if as_json_shows(name.as_bytes()) == part {
                    take(name.as_bytes());
                }
            }
        }
        found = below;
    }
    Ok(found)
}

/// Where a path of the snapshot lies in the target.
pub(super) fn at(target: &Path, path: &[u8]) -> PathBuf {
    let from = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
    target.join(OsStr::from_bytes(&path[from..]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_there_are_remembered_up_to_the_bound() {
        let mut fates = Fates::default();
        assert!(!fates.was_file("/0"));
        for number in 0..=MOST_FILES {
            fates.take_file(&format!("/{number}"));
            fates.take_file(&format!("/{number}"));
        }
        assert_eq!((fates.filled, fates.files.len()), (MOST_FILES, 2 * MOST_FILES));
        assert!((0..MOST_FILES).all(|number| fates.was_file(&format!("/{number}"))));
        assert!(!fates.was_file(&format!("/{MOST_FILES}")) && !fates.was_file("/"), "beyond it, and nowhere");
    }

    #[test]
    fn a_path_stays_in_the_target_and_names_that_look_the_same_are_all_found() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path();
        for name in [&b"d\xfe"[..], b"d\xff", "d\u{fffd}".as_bytes(), b"d"] {
            std::fs::create_dir(target.join(OsStr::from_bytes(name))).unwrap();
        }
        assert_eq!(at(target, b"//a/b"), target.join("a/b"));
        assert_eq!(looking_like(target, ""), Ok(vec![Vec::new()]));
        assert_eq!(looking_like(target, "/no/where"), Ok(vec![b"/no/where".to_vec()]));
        let mut found = looking_like(target, "/d\u{fffd}/x").unwrap();
        found.sort();
        assert_eq!(found, ["/d\u{fffd}/x".as_bytes(), b"/d\xfe/x", b"/d\xff/x"]);
        assert_eq!(looking_like(target, "/none/d\u{fffd}"), Ok(Vec::new()));
    }
}
