//! The archives that a standby has, and whether each still is what came.
//!
//! A disk that alters what lies on it does not say so. Each archive is read to its end, as before a restore, when it comes,
//! when the standby starts, when its file is not the one that was read, and once a day. Whoever asks how the standby stands is
//! told by their files as they are then, which are not read for that.

use super::folder::StandbyFolder;
use fleet::{About, ArchiveError, ArchiveOpener, Kept, check_archive, record::Secret};
use schema::Timestamp;
use std::{
    fs::{self, File},
    io::BufReader,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// How long after it was read an archive is read again, in milliseconds.
const AGAIN_AFTER_MS: u64 = 24 * 3_600_000;

/// What tells of a file that nobody has written or replaced it, without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    inode: u64,
    bytes: u64,
    changed_at: (i64, i64),
}

/// An archive that was read.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    pub(super) name: String,
    shape: Shape,
    /// When it was read last.
    pub(super) at: Timestamp,
    /// What it is of, or was before it was damaged; `None` = it never could be read.
    pub(super) about: Option<About>,
    /// Why no server can be made of it; `None` = one can.
    pub(super) wrong: Option<Wrong>,
}

/// Why no server can be made of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) why: String,
    /// It is not what came, and never will be again: it goes when another one has come.
    pub(super) is_damage: bool,
}

impl From<ArchiveError> for Wrong {
    fn from(error: ArchiveError) -> Self {
        let is_damage =
            matches!(error, ArchiveError::Damaged(_) | ArchiveError::NotAnArchive | ArchiveError::WrongKey);
        Self { why: error.to_string(), is_damage }
    }
}

impl Looked {
    /// One that was read just now, and is good.
    pub(super) fn good(path: &Path, name: String, about: About, at: Timestamp) -> std::io::Result<Self> {
        Ok(Self { name, shape: Shape::of(path)?, at, about: Some(about), wrong: None })
    }

    /// How long it is, and what it is of; `None` = no server can be made of it.
    pub(super) fn usable(&self) -> Option<(&About, u64)> {
        let about = self.about.as_ref().filter(|_| self.wrong.is_none())?;
        Some((about, self.shape.bytes))
    }

    /// Whether its file is the one that was read.
    fn is_as_read(&self, there: &There) -> bool {
        self.name == there.name && self.shape == there.shape
    }
}

impl Shape {
    fn of(path: &Path) -> std::io::Result<Self> {
        let facts = fs::metadata(path)?;
        Ok(Self { inode: facts.ino(), bytes: facts.len(), changed_at: (facts.ctime(), facts.ctime_nsec()) })
    }
}

/// An archive that is there, whether it was read or not.
#[derive(Debug)]
pub(super) struct There {
    name: String,
    shape: Shape,
}

/// The archives that are there, newest first. Blocks.
pub(super) fn there(folder: &StandbyFolder) -> Result<Vec<There>, ArchiveError> {
    // Where somebody has removed their folder there are none; that it can't be made is told by the list.
    let _ = folder.make();
    let archives = folder.archives();
    let shaped = |Kept { name, .. }: Kept| {
        // One that is gone meanwhile is not there.
        let shape = Shape::of(&archives.path.join(&name)).ok()?;
        Some(There { name, shape })
    };
    Ok(archives.list()?.into_iter().filter_map(shaped).collect())
}

/// Of those that were read the ones whose files are still the same, and whether these are all that are there: pure.
pub(super) fn as_read(known: &[Looked], there: &[There]) -> (Vec<Looked>, bool) {
    let found: Vec<Looked> =
        there.iter().filter_map(|it| known.iter().find(|known| known.is_as_read(it)).cloned()).collect();
    let is_all = found.len() == there.len() && found.len() == known.len();
    (found, is_all)
}

/// Whether it is to be read: pure. A clock that was set back does not put that off.
fn is_due(known: Option<&Looked>, now: Timestamp) -> bool {
    known.is_none_or(|known| known.at > now || now.ms_since(known.at) >= AGAIN_AFTER_MS)
}

/// Reads what is due, and says how all of them are, newest first. Blocks.
pub(super) fn look(
    folder: &StandbyFolder,
    identity: &Secret,
    known: &[Looked],
    now: Timestamp,
) -> Result<Vec<Looked>, ArchiveError> {
    let mut all = Vec::new();
    for it in there(folder)? {
        let same = known.iter().find(|known| known.is_as_read(&it));
        if let Some(same) = same.filter(|same| !is_due(Some(same), now)) {
            all.push(same.clone());
            continue;
        }
        let read = read(&folder.archives().path.join(&it.name), identity);
        let before = known.iter().find(|known| known.name == it.name);
        let (about, wrong) = match read {
            Ok(about) => (Some(about), None),
            Err(why) => (before.and_then(|before| before.about.clone()), Some(Wrong::from(why))),
        };
        if let Some(Wrong { why, .. }) =
            wrong.as_ref().filter(|wrong| before.and_then(|before| before.wrong.as_ref()) != Some(wrong))
        {
            tracing::error!(name = it.name, why, "an archive that is here can't be used");
        }
        all.push(Looked { name: it.name, shape: it.shape, at: now, about, wrong });
    }
    Ok(all)
}

fn read(path: &Path, identity: &Secret) -> Result<About, ArchiveError> {
    let file = File::open(path).map_err(|why| ArchiveError::File { path: path.to_owned(), why })?;
    let opener = ArchiveOpener::Identities(identity.clone());
    let found = check_archive(BufReader::with_capacity(1 << 20, file), &opener)?;
    Ok(found.contents.about)
}

#[cfg(test)]
impl Looked {
    /// One of these, that is as long as a byte.
    pub(super) fn sample(name: &str, about: About) -> Self {
        let shape = Shape { bytes: 1, ..Shape::default() };
        Self { name: name.to_owned(), shape, at: Timestamp(0), about: Some(about), wrong: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_read_again_after_a_day_or_when_its_file_is_another_one() {
        let looked = |at| Looked {
            name: "a".to_owned(),
            shape: Shape { inode: 1, bytes: 2, changed_at: (3, 4) },
            at: Timestamp(at),
            about: None,
            wrong: None,
        };
        let now = Timestamp(AGAIN_AFTER_MS * 3);
        for (at, due) in [
            (now.0, false),
            (now.0 - AGAIN_AFTER_MS + 1, false),
            (now.0 - AGAIN_AFTER_MS, true),
            (now.0 + 1, true),
        ] {
            assert_eq!(is_due(Some(&looked(at)), now), due, "{at}");
        }
        assert!(is_due(None, now));
        let there = |name: &str, shape: Shape| There { name: name.to_owned(), shape };
        let shape = looked(0).shape;
        let known = [looked(0)];
        let all = |there: &[There]| {
            let (found, is_all) = as_read(&known, there);
            (found.len(), is_all)
        };
        assert_eq!(all(&[there("a", shape)]), (1, true));
        assert_eq!(all(&[]), (0, false), "it is gone");
        assert_eq!(all(&[there("a", Shape { inode: 9, ..shape })]), (0, false), "another file");
        assert_eq!(all(&[there("a", Shape { changed_at: (3, 5), ..shape })]), (0, false), "it was written");
        assert_eq!(all(&[there("a", shape), there("b", shape)]), (1, false), "one that nobody has read");
    }
}
