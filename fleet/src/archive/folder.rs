//! The folder of the archives that a server makes by itself: their names, which of them stay, and making one.

use super::error::ArchiveError;
use super::key::{ArchiveKey, ArchiveOpener, DrawnIdentity};
use super::read::{Contents, look_through};
use super::write::Archiving;
use crate::draft::Draft;
use crate::units::DAY_MS;
use schema::Timestamp;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, BufWriter, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

const PREFIX: &str = "holdfast-archive-";
const SUFFIX: &str = ".age";
/// How the name of the file begins in which a server notes which archives are its own; which server follows.
const NOTE: &str = ".holdfast-archives-of-";
/// What each file of age begins with.
const AGE: &[u8] = b"age-encryption.org/v1";
/// The name that an archive for a standby never gets: it has none as soon as it can be read.
const ASIDE: &str = "for-a-standby";
/// A draft that nobody has written to for so long is nobody's any more, in milliseconds: whoever writes one writes all the time.
const LEFT_AFTER_MS: u64 = 600_000;

/// Where a server puts its archives.
#[derive(Clone, Debug)]
pub struct ArchiveFolder {
    /// The folder.
    pub path: PathBuf,
    /// So many stay, the newest ones, and beside them the newest one of each of so many days; at least one.
    pub keep: usize,
    /// Whether it is made where it is not there. One that somebody has named may be on a disk that is not mounted.
    pub makes: bool,
    /// The file that says which folder the last archive was made in, to tell an empty mount point from the disk that is mounted
    /// there; `None` = nothing is told apart.
    pub last: Option<PathBuf>,
}

/// An archive in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Name of its file.
    pub name: String,
    /// The instant whose state it holds.
    pub at: Timestamp,
    /// How long it is.
    pub bytes: u64,
}

/// An archive that has no name, and is gone when it is closed.
#[derive(Debug)]
pub struct MadeAside {
    /// The file, to be read from its beginning.
    pub file: File,
    /// How long it is.
    pub bytes: u64,
}

/// The name of an archive: its instant to the second, so that names sort as instants do.
#[must_use]
pub fn archive_name(at: Timestamp) -> String {
    let at =
        jiff::Timestamp::from_millisecond(at.0.min(i64::MAX as u64) as i64).unwrap_or(jiff::Timestamp::MAX);
    format!("{PREFIX}{}{SUFFIX}", at.strftime("%Y-%m-%dT%H%M%SZ"))
}

/// The instant that a name tells; `None` = it is no archive's name.
fn instant(name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let at = jiff::civil::DateTime::strptime("%Y-%m-%dT%H%M%SZ", text).ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_millisecond();
    u64::try_from(at).ok().map(Timestamp)
}

/// Those that go when so many are to stay: the newest ones, and the newest of each of as many days, so that those which are made
/// by hand in an hour do not push out the nights. What a clock has dated that was ahead of `now` goes first.
fn beyond(kept: &[Kept], keep: usize, now: Timestamp) -> Vec<&Kept> {
    let keep = keep.max(1);
    let mut kept: Vec<_> = kept.iter().collect();
    kept.sort_by_key(|kept| std::cmp::Reverse((kept.at <= now, kept.at)));
    let mut days = BTreeSet::new();
    let mut goes = Vec::new();
    for (at, kept) in kept.into_iter().enumerate() {
        let is_of_another_day = kept.at <= now && days.len() < keep && days.insert(kept.at.0 / DAY_MS);
        if at >= keep && !is_of_another_day {
            goes.push(kept);
        }
    }
    goes.reverse();
    goes
}

/// What came of a file or a folder.
pub(super) fn failed_at(path: &Path) -> impl FnOnce(io::Error) -> ArchiveError + '_ {
    |why| ArchiveError::File { path: path.to_owned(), why }
}

/// Opens what was written, and reads it to its end.
pub(super) fn check(draft: &Draft, opener: &ArchiveOpener) -> Result<Contents, ArchiveError> {
    let written = draft.read_again().map_err(ArchiveError::Read)?;
    look_through(BufReader::with_capacity(1 << 20, written), opener)
}

impl ArchiveFolder {
    fn be_there(&self) -> Result<(), ArchiveError> {
        if !self.makes && !self.path.exists() {
            let why = "it is not there: mount its disk, or make the folder";
            return Err(failed_at(&self.path)(io::Error::new(ErrorKind::NotFound, why)));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(failed_at(&self.path))
    }

    /// Whether it is the folder that archives were made in before, if it is of that path: an empty mount point is not.
    fn is_mounted(&self, server: &str) -> Result<(), ArchiveError> {
        let Some(last) = self.last.as_ref().filter(|_| !self.makes) else { return Ok(()) };
        let is_known = fs::read(last).is_ok_and(|path| path == self.path.as_os_str().as_bytes());
        if !is_known || !self.notes()?.is_empty() {
            return Ok(());
        }
        let why = format!(
            "nothing of the archives that were made there is in it: mount its disk. If it is to begin empty, make the file {NOTE}{server} in it"
        );
        Err(failed_at(&self.path)(io::Error::new(ErrorKind::NotFound, why)))
    }

    /// Notes that archives are made in this folder.
    fn is_last(&self) -> Result<(), ArchiveError> {
        let path = self.path.as_os_str().as_bytes();
        let Some(last) = self.last.as_ref().filter(|last| fs::read(last).ok().as_deref() != Some(path))
        else {
            return Ok(());
        };
        let written = || {
            let draft = Draft::begin(last, true)?;
            io::Write::write_all(&mut &draft, path)?;
            draft.publish()
        };
        written().map_err(failed_at(last))
    }

    /// The archives in it, newest first; none when the folder is not there.
    pub fn list(&self) -> Result<Vec<Kept>, ArchiveError> {
        let failed = || failed_at(&self.path);
        let entries = match fs::read_dir(&self.path) {
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed())?,
        };
        let mut kept = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed())?;
            let Some((name, at)) =
                entry.file_name().into_string().ok().and_then(|name| instant(&name).map(|at| (name, at)))
            else {
                continue;
            };
            match entry.metadata() {
                Ok(facts) if facts.is_file() => kept.push(Kept { name, at, bytes: facts.len() }),
                // Gone meanwhile, or something else of that name.
                _ => {}
            }
        }
        kept.sort_by(|one, other| other.name.cmp(&one.name));
        Ok(kept)
    }

    /// Those of them that a server has noted as its own, newest first, but for a file of that name that is none of age. What
    /// nobody has noted somebody has put there: it is nobody's to count or remove.
    pub fn own(&self, server: &str) -> Result<Vec<Kept>, ArchiveError> {
        let all = self.list()?;
        if all.is_empty() {
            return Ok(all);
        }
        let own = self.noted(server)?;
        let is_own = |kept: &Kept| own.contains(&kept.name);
        Ok(all.into_iter().filter(|kept| is_own(kept) && is_of_age(&self.path.join(&kept.name))).collect())
    }

    /// The names that this server has noted as its own.
    fn noted(&self, server: &str) -> Result<BTreeSet<String>, ArchiveError> {
        let path = self.path.join(format!("{NOTE}{server}"));
        match fs::read_to_string(&path) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            text => Ok(text.map_err(failed_at(&path))?.lines().map(str::to_owned).collect()),
        }
    }

    /// The names of the files in which servers note which archives are their own.
    fn notes(&self) -> Result<Vec<String>, ArchiveError> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed_at(&self.path))? {
            let name = entry.map_err(failed_at(&self.path))?.file_name();
            notes.extend(name.to_str().filter(|name| name.starts_with(NOTE)).map(str::to_owned));
        }
        Ok(notes)
    }

    /// Notes that an archive of this name is a server's own; what is gone is forgotten.
    fn note(&self, server: &str, name: &str) -> Result<(), ArchiveError> {
        let own = self.noted(server)?;
        let there: BTreeSet<String> = self.list()?.into_iter().map(|kept| kept.name).collect();
        let mut names: BTreeSet<&str> =
            own.iter().filter(|name| there.contains(*name)).map(String::as_str).collect();
        names.insert(name);
        let text: String = names.into_iter().map(|name| format!("{name}\n")).collect();
        let path = self.path.join(format!("{NOTE}{server}"));
        let written = || {
            let draft = Draft::begin(&path, true)?;
            io::Write::write_all(&mut &draft, text.as_bytes())?;
            draft.publish()
        };
        written().map_err(failed_at(&path))
    }

    /// Opens an archive by its name, and nothing else of the folder.
    pub fn open(&self, name: &str) -> Result<Option<(File, Kept)>, ArchiveError> {
        let Some(kept) = self.list()?.into_iter().find(|kept| kept.name == name) else { return Ok(None) };
        let path = self.path.join(name);
        match File::open(&path) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            opened => Ok(Some((opened.map_err(failed_at(&path))?, kept))),
        }
    }

    /// Removes what an end of the server, or of a backup by the command line, in the middle of an archive has left. In the
    /// server's own folder that is known by the processes of this machine, in one that somebody has named, which others may
    /// write to, by its age.
    fn remove_drafts(&self, now: Timestamp) -> Result<(), ArchiveError> {
        let is_left = |target: &str, process, unwritten_ms| {
            let is_gone = self.makes && is_gone(process);
            let is_of_archives = instant(target).is_some() || target.starts_with(NOTE);
            target == ASIDE || is_of_archives && (is_gone || unwritten_ms >= LEFT_AFTER_MS)
        };
        for name in remove_drafts(&self.path, now, is_left)? {
            tracing::info!(name, "the draft of an archive was removed, which was broken off");
        }
        Ok(())
    }

    /// Makes an archive of now for whoever asks, which is not kept. Whoever gets it looks it through. Blocks.
    pub fn make_aside(&self, archiving: Archiving, key: &ArchiveKey) -> Result<MadeAside, ArchiveError> {
        self.be_there()?;
        remove_drafts(&self.path, archiving.made_at(), |target, _, _| target == ASIDE)?;
        let path = self.path.join(ASIDE);
        let draft = Draft::begin(&path, true).map_err(failed_at(&path))?;
        let file = draft.read_again().map_err(failed_at(&path))?;
        archiving.write(key, BufWriter::with_capacity(1 << 20, &draft))?;
        let bytes = file.metadata().map_err(failed_at(&path))?.len();
        Ok(MadeAside { file, bytes })
    }

    /// Makes an archive, looks it through, and removes those that are too many. One at a time; blocks. What fails leaves
    /// nothing behind, and all others as they were.
    pub fn make(&self, archiving: Archiving, key: &ArchiveKey) -> Result<Kept, ArchiveError> {
        self.be_there()?;
        let at = archiving.made_at();
        let server = archiving.server().to_owned();
        self.is_mounted(&server)?;
        self.remove_drafts(at)?;
        // Another server may make one in the same second, and this one may have.
        let taken: BTreeSet<String> = self.list()?.into_iter().map(|kept| kept.name).collect();
        let mut seconds = (0..).map(|second| archive_name(at.plus_ms(second * 1_000)));
        let name = seconds.find(|name| !taken.contains(name)).unwrap_or_else(|| archive_name(at));
        let path = self.path.join(&name);
        let draft = Draft::begin(&path, false).map_err(failed_at(&path))?;
        let (key, opener) = with_opener(key);
        let rows = archiving.write(&key, BufWriter::with_capacity(1 << 20, &draft))?;
        let found = check(&draft, &opener)?;
        if (found.rows, found.about.made_at_ms) != (rows, at.0) {
            return Err(ArchiveError::damaged("what was read back is not what was written"));
        }
        draft.publish().map_err(failed_at(&path))?;
        // Only now: before, it might have become another server's of that name.
        if let Err(error) = self.note(&server, &name).and_then(|()| self.is_last()) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let bytes = fs::metadata(&path).map_err(failed_at(&path))?.len();
        // A name may be a second later than what it is of.
        let named_at = instant(&name).map_or(at, |named| named.max(at));
        for old in beyond(&self.own(&server)?, self.keep, named_at) {
            let path = self.path.join(&old.name);
            fs::remove_file(&path).map_err(failed_at(&path))?;
            tracing::info!(name = old.name, keep = self.keep, "an archive was removed: newer ones are kept");
        }
        Ok(Kept { name, at, bytes })
    }
}

/// Whether a file begins as those of age do.
fn is_of_age(path: &Path) -> bool {
    let mut begins = [0; AGE.len()];
    File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut begins)).is_ok()
        && begins == AGE
}

/// Removes what backups to `to`, a folder or a file, have left that were broken off: drafts of archives that nobody has written
/// to for ten minutes, of the same name where it is a file. Returns their names.
pub fn remove_left_drafts(to: &Path, now: Timestamp) -> Result<Vec<String>, ArchiveError> {
    let is_old = |unwritten_ms| unwritten_ms >= LEFT_AFTER_MS;
    if to.is_dir() {
        return remove_drafts(to, now, |target, _, unwritten_ms| {
            instant(target).is_some() && is_old(unwritten_ms)
        });
    }
    let Some(name) = to.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    remove_drafts(folder, now, |target, _, unwritten_ms| target == name && is_old(unwritten_ms))
}

/// Removes drafts of this user's by what they are to be called, the process that writes them, and for how many milliseconds
/// nobody has. Returns their names.
fn remove_drafts(
    folder: &Path,
    now: Timestamp,
    is_left: impl Fn(&str, u32, u64) -> bool,
) -> Result<Vec<String>, ArchiveError> {
    let entries = match fs::read_dir(folder) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed_at(folder))?,
    };
    let mut removed = Vec::new();
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().into_string().ok() else { continue };
        let Some((target, process)) = Draft::parts_of(&name) else { continue };
        let Some(facts) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
        let written_at = facts.mtime().saturating_mul(1_000);
        let unwritten_ms = now.ms_since(Timestamp(u64::try_from(written_at).unwrap_or(0)));
        if facts.uid() != rustix::process::geteuid().as_raw() || !is_left(target, process, unwritten_ms) {
            continue;
        }
        let path = entry.path();
        match fs::remove_file(&path) {
            // Somebody else has removed it, or it has got its name meanwhile.
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            gone => {
                gone.map_err(failed_at(&path))?;
                removed.push(name);
            }
        }
    }
    Ok(removed)
}

/// Whether no other process of this machine has this number; `false` where that can't be told.
fn is_gone(process: u32) -> bool {
    let own = std::process::id();
    let processes = Path::new("/proc");
    process == own
        || processes.join(own.to_string()).exists() && !processes.join(process.to_string()).exists()
}

/// A key, and what opens what it closes now: for recipients, one more that is drawn for this.
pub(super) fn with_opener(key: &ArchiveKey) -> (ArchiveKey, ArchiveOpener) {
    match key {
        ArchiveKey::Passphrase(passphrase) => (key.clone(), ArchiveOpener::Passphrase(passphrase.clone())),
        ArchiveKey::Recipients(recipients) => {
            let drawn = DrawnIdentity::draw();
            let all = recipients.iter().cloned().chain([drawn.recipient()]).collect();
            (ArchiveKey::Recipients(all), ArchiveOpener::Drawn(drawn))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_instants_and_nothing_else_is_an_archive() {
        let at = Timestamp(1_764_385_201_000);
        let name = archive_name(at);
        assert_eq!(name, "holdfast-archive-2025-11-29T030001Z.age");
        assert_eq!(instant(&name), Some(at));
        for other in
            ["", "holdfast-archive-.age", "holdfast-archive-2025-11-29.age", "holdfast.redb", "x.age", ".age"]
        {
            assert_eq!(instant(other), None, "{other:?}");
        }
        assert_eq!(instant(&format!("{name}.77.new")), None);
    }

    #[test]
    fn the_newest_stay_and_one_always_does() {
        let kept: Vec<_> =
            (0..5).map(|n| Kept { name: format!("{n}"), at: Timestamp(9 - n), bytes: 1 }).collect();
        let gone = |keep, now| {
            beyond(&kept, keep, Timestamp(now)).iter().map(|kept| kept.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((gone(5, 9), gone(3, 9)), (vec![], vec!["4", "3"]));
        assert_eq!((gone(0, 9), gone(9, 9)), (vec!["4", "3", "2", "1"], vec![]));
        assert_eq!(gone(2, 7), ["1", "0", "4"], "a clock was ahead when two were made");
    }

    #[test]
    fn those_of_an_hour_do_not_push_out_the_nights() {
        let of =
            |day: u64, n: u64| Kept { name: format!("{day}.{n}"), at: Timestamp(day * DAY_MS + n), bytes: 1 };
        let nights = (10..20).map(|day| of(day, 1));
        let kept: Vec<_> = nights.chain((2..12).map(|n| of(19, n))).collect();
        let gone = beyond(&kept, 3, Timestamp(20 * DAY_MS));
        let stays = kept.iter().filter(|kept| !gone.contains(kept)).map(|kept| kept.name.as_str());
        // The newest three, and the newest of each of three days.
        assert_eq!(stays.collect::<Vec<_>>(), ["17.1", "18.1", "19.9", "19.10", "19.11"]);
    }

    #[test]
    fn drafts_that_were_broken_off_are_removed_and_no_others() {
        const NOW: u64 = 1_780_000_000_000;
        let scratch = tempfile::tempdir().unwrap();
        let archive = "holdfast-archive-2025-11-29T030001Z.age";
        // One that runs, and a number above any that is given.
        let (runs, gone) = (std::os::unix::process::parent_id(), 4_194_399);
        let aged = |process| process + 110_000_000;
        let file = |name: &str, minutes: u64| {
            let file = File::create(scratch.path().join(name)).unwrap();
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(NOW - minutes * 60_000);
            file.set_modified(at).unwrap();
        };
        let left = || {
            let names = fs::read_dir(scratch.path()).unwrap();
            let mut names: Vec<_> = names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let fill = || {
            for process in [runs, gone] {
                file(&format!("{archive}.{process}.new"), 0);
                file(&format!("{archive}.{}.new", aged(process)), 11);
            }
            file("kit.age.1.new", 11);
            file(&format!("{archive}.old"), 11);
            file(archive, 11);
        };
        fill();
        fs::create_dir(scratch.path().join(format!("{archive}.9.new"))).unwrap();
        let all = left();
        let mut removed = remove_left_drafts(scratch.path(), Timestamp(NOW)).unwrap();
        removed.sort();
        let mut old = [runs, gone].map(|process| format!("{archive}.{}.new", aged(process)));
        old.sort();
        assert_eq!(removed, old);
        assert_eq!(left().len(), all.len() - 2);
        // To a file: its own drafts alone.
        let other = remove_left_drafts(&scratch.path().join("kit.age"), Timestamp(NOW)).unwrap();
        assert_eq!(other, ["kit.age.1.new"]);
        // The server's own folder: also those of a process that is gone.
        fill();
        let folder = |makes| ArchiveFolder { path: scratch.path().to_owned(), keep: 1, makes, last: None };
        folder(false).remove_drafts(Timestamp(NOW)).unwrap();
        assert!(left().contains(&format!("{archive}.{gone}.new")));
        folder(true).remove_drafts(Timestamp(NOW)).unwrap();
        let mut stay = [
            archive.to_owned(),
            format!("{archive}.{runs}.new"),
            format!("{archive}.9.new"),
            format!("{archive}.old"),
            "kit.age.1.new".to_owned(),
        ];
        stay.sort();
        assert_eq!(left(), stay);
    }

    #[test]
    fn a_folder_that_somebody_has_named_is_not_made() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("mnt/nas/archives");
        let named = ArchiveFolder { path: path.clone(), keep: 7, makes: false, last: None };
        let why = named.be_there().unwrap_err().to_string();
        assert!(why.contains("mount its disk") && !path.exists(), "{why}");
        ArchiveFolder { makes: true, ..named.clone() }.be_there().unwrap();
        named.be_there().unwrap();
    }
}
