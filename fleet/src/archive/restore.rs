//! Restoring a server from an archive, into a folder of its own.

use super::about::About;
use super::block;
use super::error::{ARCHIVE_PARTS, ArchiveError};
use super::folder::failed_at;
use super::key::ArchiveOpener;
use super::new_folder::{NewFolder, is_trace};
use super::read::{Contents, Visit, walk};
use crate::access_row::fingerprint;
use crate::audit;
use crate::authority;
use crate::incarnation;
use crate::op::Op;
use crate::pieces::{DATA_FILE, RESTORE_FILE, STANDBY_FOLDER};
use crate::record::meta::{META_AUTHORITY, META_KEY_CHECK, META_PREDECESSOR, META_TRUSTED, Meta};
use crate::record::{AuditAction, AuditTarget, Fingerprint, Predecessor, Succession, TrustedAuthority};
use crate::refused::{OpenError, StoreError};
use crate::request::By;
use crate::seal::{Binding, MasterKey};
use crate::settings::{Driver, Settings};
use crate::standby_row;
use crate::store::{Import, META, SESSIONS, Span, StoredRow as _, TableKey as _};
use crate::succession;
use crate::units::DAY_MS;
use schema::{Incarnation, Timestamp};
use std::fs::{self, DirEntry, File};
use std::io::{self, BufReader, ErrorKind};
use std::path::Path;

/// A server that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the archive was of.
    pub about: About,
    /// Rows of the data file.
    pub rows: u64,
    /// Its incarnation from now on.
    pub incarnation: Incarnation,
    /// What was written beside the data file.
    pub parts: Vec<&'static str>,
    /// Who has had the place of the server of the archive, which stood still.
    pub succession: Option<Succession>,
}

/// What a standby knows when it becomes the server.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// The server that it has followed.
    pub predecessor: Predecessor,
    /// For whom its archives were encrypted.
    pub recipient: String,
    /// What tells that server from others; `None` = that is not known.
    pub server: Option<Fingerprint>,
}

/// How a server is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreAs {
    /// Its incarnation is above this one, of which agents have heard.
    pub above: Incarnation,
    /// Somebody says that the clock is right, by which the archive is old, or of later than now.
    pub is_clock_right: bool,
}

/// An archive that is older than this, in milliseconds, may rather be one of a clock that is ahead.
const LONG_AGO_MS: u64 = 366 * DAY_MS;
/// One that is of later than now by more than this, in milliseconds, may rather be one of a clock that is behind.
const AHEAD_MS: u64 = 10 * 60_000;

/// The same as [`restore_as`], of an archive of the last year.
pub fn restore(
    archive: &Path,
    opener: &ArchiveOpener,
    data_dir: &Path,
    driver: Driver,
) -> Result<Restored, ArchiveError> {
    restore_as(archive, opener, data_dir, driver, RestoreAs::default())
}

/// Restores the server of an archive into a folder that is empty or not there. The whole archive is looked through before
/// anything is written; what is torn afterwards does not serve, and restoring into the same folder again goes on from
/// the beginning. Blocks.
pub fn restore_as(
    archive: &Path,
    opener: &ArchiveOpener,
    data_dir: &Path,
    driver: Driver,
    wish: RestoreAs,
) -> Result<Restored, ArchiveError> {
    may_restore_into(data_dir)?;
    restore_into(archive, opener, data_dir, (driver, wish), None, may_restore_into)
}

/// Makes a standby the server, in its own folder beside what it keeps there. Where it is torn, doing it again goes on from
/// the beginning. Blocks.
pub fn promote(
    archive: &Path,
    opener: &ArchiveOpener,
    data_dir: &Path,
    (driver, wish): (Driver, RestoreAs),
    promotion: &Promotion,
) -> Result<Restored, ArchiveError> {
    restore_into(archive, opener, data_dir, (driver, wish), Some(promotion), holds_no_server)
}

/// Whether a standby may become a server in its folder: there is none in it, or what a promotion has left that did not end.
fn holds_no_server(data_dir: &Path) -> Result<(), ArchiveError> {
    let is_torn = data_dir.join(RESTORE_FILE).exists();
    let parts = ARCHIVE_PARTS.into_iter().chain([DATA_FILE]);
    match parts.map(|name| data_dir.join(name)).find(|path| path.exists()) {
        Some(path) if !is_torn => Err(ArchiveError::IsThere(path)),
        _ => Ok(()),
    }
}

/// What an archive is found to be of which a server can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodArchive {
    /// What it holds.
    pub contents: Contents,
    /// What tells its server from others: it comes from the master key.
    pub server: Fingerprint,
    /// What told it before, by the key check of its data file, which a salvage may have made anew.
    pub formerly: Fingerprint,
    /// The certificates (PEM) of the server's own authorities, the present one first; empty = it has none.
    pub authorities: String,
}

/// Whether an archive is one of which a server can be made: all that a restore looks at before it writes anything.
pub fn check(from: impl io::Read, opener: &ArchiveOpener) -> Result<GoodArchive, ArchiveError> {
    let mut fits = Fits::default();
    let contents = walk(from, opener, &mut fits)?;
    let (server, formerly) = fits.server();
    let certificates = [&fits.authority, &fits.next].into_iter().flatten();
    let authorities =
        certificates.map(|pem| String::from_utf8_lossy(pem).trim_end().to_owned() + "\n").collect();
    fits.judge()?;
    Ok(GoodArchive { contents, server, formerly, authorities })
}

/// Whether an archive can be of when it says by this machine's clock: pure. A clock that is ahead makes numbers that later restores
/// do not reach, and one that is behind makes numbers below those of others.
fn fits_clock(made_at: Timestamp, now: Timestamp) -> Result<(), ArchiveError> {
    let (age_ms, ahead_ms) = (now.ms_since(made_at), made_at.ms_since(now));
    if age_ms > LONG_AGO_MS {
        return Err(ArchiveError::LongAgo { days: age_ms / DAY_MS });
    }
    if ahead_ms > AHEAD_MS {
        return Err(ArchiveError::Ahead { minutes: ahead_ms / 60_000 });
    }
    Ok(())
}

fn restore_into(
    archive: &Path,
    opener: &ArchiveOpener,
    data_dir: &Path,
    (driver, wish): (Driver, RestoreAs),
    promotion: Option<&Promotion>,
    may: impl Fn(&Path) -> Result<(), ArchiveError>,
) -> Result<Restored, ArchiveError> {
    let failed = |why| ArchiveError::File { path: archive.to_owned(), why };
    if !fs::metadata(archive).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let open = || File::open(archive).map(|file| BufReader::with_capacity(1 << 20, file)).map_err(failed);
    let mut fits = Fits::default();
    let found = walk(open()?, opener, &mut fits)?;
    let (server, formerly) = fits.server();
    if promotion
        .and_then(|promotion| promotion.server)
        .is_some_and(|known| ![server, formerly].contains(&known))
    {
        return Err(ArchiveError::OtherServer);
    }
    let master = fits.judge()?;
    if !wish.is_clock_right {
        fits_clock(Timestamp(found.about.made_at_ms), (driver.now)())?;
    }
    let (own, made_at) = (Incarnation(found.about.incarnation), Timestamp(found.about.made_at_ms));
    if wish.above > own && !incarnation::can_be_given_again(wish.above, made_at, (driver.now)()) {
        return Err(ArchiveError::IncarnationTooHigh);
    }
    let words = "A server is being restored into this folder. When that did not end: restore it again.\n";
    let folder = NewFolder::begin(data_dir, words, may)?;
    write(open()?, opener, folder, (&found, promotion), master, (driver, wish))
}

/// Whether a server may be restored there: nothing is in it, or what a restore has left that did not end.
pub fn may_restore_into(data_dir: &Path) -> Result<(), ArchiveError> {
    let failed = || failed_at(data_dir);
    let mut entries = match fs::read_dir(data_dir) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed())?,
    };
    let is_torn = data_dir.join(RESTORE_FILE).exists();
    if data_dir.join(STANDBY_FOLDER).is_dir() && (is_torn || !data_dir.join(DATA_FILE).exists()) {
        let data_dir = data_dir.to_owned();
        // It has archives of its own, and only a promotion knows whose place the server takes.
        return Err(ArchiveError::Piece(match is_torn {
            true => OpenError::HalfPromoted { data_dir },
            false => OpenError::Standby { data_dir },
        }));
    }
    if is_torn {
        return Ok(());
    }
    let is_none = |entry: &DirEntry| is_trace(&entry.file_name()) || is_of_the_file_system(entry);
    match entries.find(|entry| entry.as_ref().map_or(true, |entry| !is_none(entry))) {
        None => Ok(()),
        Some(Err(why)) => Err(failed()(why)),
        Some(Ok(_)) => Err(ArchiveError::NotEmpty(data_dir.to_owned())),
    }
}

/// The folder that a new file system has at its root.
fn is_of_the_file_system(entry: &DirEntry) -> bool {
    entry.file_name() == "lost+found" && entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// Whether the parts of an archive are one server's.
#[derive(Default)]
struct Fits {
    master: Option<MasterKey>,
    authority: Option<Vec<u8>>,
    has_authority_key: bool,
    next: Option<Vec<u8>>,
    has_next_key: bool,
    key_check: Option<Vec<u8>>,
    bound: Option<Fingerprint>,
    trusted: Vec<TrustedAuthority>,
}

impl Visit for Fits {
    fn part(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), ArchiveError> {
        match name {
            "master.key" => {
                let key = MasterKey::from_text(bytes);
                self.master = Some(key.ok_or_else(|| ArchiveError::damaged("its master key is none"))?);
            }
            "tls/ca.pem" => self.authority = Some(bytes.to_vec()),
            "tls/ca.key" => self.has_authority_key = true,
            "tls/next.pem" => self.next = Some(bytes.to_vec()),
            "tls/next.key" => self.has_next_key = true,
            _ => {}
        }
        Ok(())
    }

    fn rows(&mut self, table: &str, block: &[u8]) -> Result<(), ArchiveError> {
        if table != META.name() {
            return Ok(());
        }
        let read = block::read(block, |mut key, row| {
            let key = String::read(&mut key);
            match (key.as_deref(), Meta::from_bytes(row)) {
                (Some(META_KEY_CHECK), Ok(Meta::KeyCheck(check))) => self.key_check = Some(check),
                (Some(META_AUTHORITY), Ok(Meta::Authority(bound))) => self.bound = Some(bound),
                (Some(META_TRUSTED), Ok(Meta::Trusted(trusted))) => self.trusted = trusted,
                _ => {}
            }
            Ok::<_, ArchiveError>(())
        });
        read.unwrap_or(Ok(()))
    }
}

impl Fits {
    /// What tells its server from others, and what told it before.
    fn server(&self) -> (Fingerprint, Fingerprint) {
        let of_key = self.master.as_ref().map(|master| master.mark("server")).unwrap_or_default();
        (fingerprint(&of_key), fingerprint(self.key_check.as_deref().unwrap_or_default()))
    }

    fn judge(self) -> Result<MasterKey, ArchiveError> {
        let master = self.master.ok_or_else(|| ArchiveError::damaged("it holds no master key"))?;
        let opens = self.key_check.is_some_and(|check| master.open(Binding::Check, &check).is_ok());
        if !opens {
            return Err(ArchiveError::damaged("its master key does not fit its data file"));
        }
        if self.authority.is_some() != self.has_authority_key || self.next.is_some() != self.has_next_key {
            return Err(ArchiveError::damaged("it holds half an authority"));
        }
        let found: Vec<Fingerprint> = [self.authority, self.next]
            .into_iter()
            .flatten()
            .filter_map(|pem| authority::fingerprint_of(&pem))
            .collect();
        let next = self.trusted.iter().skip(1).map(|it| fingerprint(&it.certificate));
        let bound: Vec<Fingerprint> = self.bound.into_iter().chain(next).collect();
        if !found.is_empty() && !authority::is_usual(&bound, &found) {
            return Err(ArchiveError::damaged("its authority is not the one that its agents trust"));
        }
        Ok(master)
    }
}

/// Writes all of it.
struct Writing {
    folder: NewFolder,
    import: Import,
    parts: Vec<&'static str>,
}

impl Visit for Writing {
    fn part(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.folder.put(name, bytes)?;
        self.parts.push(name);
        Ok(())
    }

    fn rows(&mut self, table: &str, rows: &[u8]) -> Result<(), ArchiveError> {
        Ok(self.import.put(table, |put| {
            let damaged = || StoreError::Damaged { why: "the archive was changed meanwhile".to_owned() };
            block::read(rows, |key, row| put(key, row)).ok_or_else(damaged)?
        })?)
    }
}

fn write(
    from: impl io::Read,
    opener: &ArchiveOpener,
    mut folder: NewFolder,
    (found, promotion): (&Contents, Option<&Promotion>),
    master: MasterKey,
    (driver, wish): (Driver, RestoreAs),
) -> Result<Restored, ArchiveError> {
    let import = Import::begin(&folder.data_file()?)?;
    let mut writing = Writing { folder, import, parts: Vec::new() };
    let again = walk(from, opener, &mut writing)?;
    if again != *found {
        return Err(ArchiveError::damaged("it was changed meanwhile"));
    }
    let Writing { folder, import, parts } = writing;
    let settings = Settings::of_nobody(vec![found.about.mqtt_address.clone()]);
    let context = crate::context::Context::new(driver, settings, master);
    let (mut incarnation, mut succession) = (Incarnation::ZERO, None);
    import.end(|tx| {
        let mut op = Op { tx, now: context.now(), by: &By::system(), facts: &context.facts };
        succession = succession::of(op.tx)?;
        incarnation = incarnation::begin_anew(&mut op, Timestamp(found.about.made_at_ms), wish.above, false)?;
        if let Some(Promotion { predecessor, recipient, .. }) = promotion {
            op.tx.put(&META, &META_PREDECESSOR.to_owned(), &Meta::Predecessor(predecessor.clone()))?;
            standby_row::forget(&mut op, recipient)?;
        }
        // Whoever has signed out since then would be signed in again.
        op.tx.remove_all(&SESSIONS, &Span::ALL)?;
        let detail = detail(&found.about, op.now, incarnation);
        audit::note(&mut op, AuditAction::ServerRestored, AuditTarget::Server, detail)?;
        Ok::<_, OpenError>(())
    })?;
    folder.end()?;
    Ok(Restored { about: found.about.clone(), rows: found.rows, incarnation, parts, succession })
}

/// What the audit says: which span of time is lost.
fn detail(about: &About, now: Timestamp, incarnation: Incarnation) -> String {
    format!(
        "{}: what the server was told in between is lost but for what its agents still hold; incarnation {incarnation}",
        incarnation::span(Timestamp(about.made_at_ms), now)
    )
}
