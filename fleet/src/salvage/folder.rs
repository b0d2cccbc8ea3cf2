//! A data folder that is made of what can be read of a damaged one.

use super::fill::{fill, survey};
use super::readable::tell;
use super::rebuild::rebuild;
use crate::archive::{ARCHIVE_PARTS, ArchiveError, NewFolder, may_restore_into};
use crate::audit;
use crate::context::Context;
use crate::damage::Damage;
use crate::incarnation;
use crate::op::Op;
use crate::pieces::{KEY_FILE, Pieces};
use crate::record::{AuditAction, AuditTarget, Succession};
use crate::refused::{OpenError, StoreError};
use crate::request::By;
use crate::seal::MasterKey;
use crate::settings::{Driver, Settings};
use crate::store::{AUDIT, Import, Order, PageFile, Reads, SESSIONS, Span, check, is_in_use};
use crate::succession;
use schema::{Incarnation, Timestamp};
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A server that was made anew of a damaged one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// What could be read, and what is missing.
    pub damage: Damage,
    /// Rows of the new data file.
    pub rows: u64,
    /// Its incarnation from now on.
    pub incarnation: Incarnation,
    /// What was written beside the data file.
    pub parts: Vec<&'static str>,
    /// Who has had the place of the damaged one, which stood still.
    pub succession: Option<Succession>,
}

/// Why nothing is salvaged; one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// A server runs on it.
    #[error("{} is in use: stop the server first", .0.display())]
    InUse(PathBuf),
    /// The new folder would be in the damaged one.
    #[error("{} is in the damaged folder, which stays as it is: give one beside it", .0.display())]
    Inside(PathBuf),
    /// Nothing of it can be read.
    #[error("nothing of {} can be read: restore an archive of the server (holdfast-server restore)", .0.display())]
    Nothing(PathBuf),
    /// A piece can't be used, or not be made.
    #[error(transparent)]
    Piece(#[from] OpenError),
    /// The new folder can't be used, or a file in it not be written.
    #[error(transparent)]
    Folder(ArchiveError),
}

impl SalvageError {
    /// Its word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse(_) => "in_use",
            Self::Inside(_) => "inside_damaged",
            Self::Nothing(_) => "nothing_readable",
            Self::Piece(error) => error.code(),
            Self::Folder(error) => error.code(),
        }
    }
}

impl From<ArchiveError> for SalvageError {
    fn from(error: ArchiveError) -> Self {
        Self::Folder(error)
    }
}

/// Reads what can be read of a damaged data file into a folder that is empty or not there, with the master key and what
/// else belongs to the server. Nothing is written where it is read. What was torn on the way does not serve, and doing it
/// again into the same folder begins from the beginning. Blocks.
pub fn salvage(from: &Pieces, data_dir: &Path, driver: Driver) -> Result<Salvaged, SalvageError> {
    let file = from.data_file();
    match fs::metadata(&file) {
        Ok(facts) if facts.is_file() => {}
        Ok(_) => return Err(OpenError::NotAFile { path: file }.into()),
        Err(why) if why.kind() == ErrorKind::NotFound => return Err(OpenError::NoData { path: file }.into()),
        Err(why) => return Err(OpenError::Folder { path: file, why }.into()),
    }
    let master = MasterKey::read(&from.key_path(), from.key_file.is_some())?;
    let parts = parts(from)?;
    if is_within(data_dir, &from.data_dir) {
        return Err(SalvageError::Inside(data_dir.to_owned()));
    }
    if is_in_use(&file) {
        return Err(SalvageError::InUse(file));
    }
    may_restore_into(data_dir)?;
    let pages = PageFile::open(&file).map_err(|why| OpenError::Folder { path: file.clone(), why })?;
    if survey(&pages).rows() == 0 {
        return Err(SalvageError::Nothing(file));
    }
    let words = "A server is being salvaged into this folder. When that did not end: salvage it again.\n";
    let folder = NewFolder::begin(data_dir, words, may_restore_into)?;
    write(&pages, &file, folder, &parts, master, driver)
}

/// Whether a path, which need not be there, leads into a folder, by whatever way it is written.
fn is_within(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = fs::canonicalize(folder) else { return path.starts_with(folder) };
    let Ok(path) = std::path::absolute(path) else { return false };
    let there = path.ancestors().find_map(|ancestor| fs::canonicalize(ancestor).ok());
    there.is_some_and(|there| there.starts_with(&folder))
}

type Part = (&'static str, Zeroizing<Vec<u8>>);

/// What lies beside the data file, but for the master key.
fn parts(from: &Pieces) -> Result<Vec<Part>, OpenError> {
    let mut parts = Vec::new();
    for name in ARCHIVE_PARTS.into_iter().filter(|name| *name != KEY_FILE) {
        let path = from.data_dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => parts.push((name, Zeroizing::new(bytes))),
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => return Err(OpenError::Folder { path, why }),
        }
    }
    Ok(parts)
}

fn write(
    pages: &PageFile,
    file: &Path,
    mut folder: NewFolder,
    parts: &[Part],
    master: MasterKey,
    driver: Driver,
) -> Result<Salvaged, SalvageError> {
    let made = folder.data_file()?;
    let mut import = Import::begin(&made)?;
    let (mut damage, known) = fill(pages, &survey(pages), &mut import)?;
    folder.put(KEY_FILE, &master.text())?;
    let context = Context::new(driver, Settings::of_nobody(Vec::new()), master);
    let (mut incarnation, mut succession) = (Incarnation::ZERO, None);
    import.end(|tx| {
        let mut op = Op { tx, now: context.now(), by: &By::system(), facts: &context.facts };
        let rebuilt = rebuild(&mut op, &known)?;
        tell(&mut damage, &known, rebuilt, op.tx)?;
        let known_until = last_word(op.tx)?.unwrap_or(op.now).min(op.now);
        succession = succession::of(op.tx)?;
        incarnation = incarnation::begin_anew(&mut op, known_until, Incarnation::ZERO, true)?;
        op.tx.remove_all(&SESSIONS, &Span::ALL)?;
        let detail = detail(file, &damage, incarnation);
        Ok(audit::note(&mut op, AuditAction::ServerSalvaged, AuditTarget::Server, detail)?)
    })?;
    let mut written = vec![KEY_FILE];
    for (name, bytes) in parts {
        folder.put(name, bytes)?;
        written.push(name);
    }
    // What a start would look through, before anybody relies on it.
    let rows = check(&made, |_| Ok(()))?;
    folder.end()?;
    Ok(Salvaged { damage, rows, incarnation, parts: written, succession })
}

/// When the audit was written to last: what came later may be lost.
fn last_word(reads: &impl Reads) -> Result<Option<Timestamp>, StoreError> {
    let mut at = None;
    reads.walk(&AUDIT, &Span::ALL, Order::Descending, |_, entry| {
        at = Some(entry.at);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(at)
}

/// What the audit says.
fn detail(file: &Path, damage: &Damage, incarnation: Incarnation) -> String {
    let torn: Vec<&str> = damage.torn_tables().map(|table| table.table.as_str()).collect();
    let missing = if torn.is_empty() {
        "nothing is missing".to_owned()
    } else {
        format!("rows are missing in {}", torn.join(", "))
    };
    format!("from {}: {} rows were read; {missing}; incarnation {incarnation}", file.display(), damage.rows())
}
