//! A rehearsal of a restore: a server is made of an archive and opened, in a folder that is gone afterwards.
//!
//! It never serves: no agent and no server hears of it.

use super::error::ArchiveError;
use super::folder::failed_at;
use super::key::ArchiveOpener;
use super::restore::{RestoreAs, Restored, restore_as};
use crate::credentials;
use crate::fleet::Fleet;
use crate::pieces::Pieces;
use crate::refused::StoreError;
use crate::seal::Binding;
use crate::settings::{Driver, Settings};
use crate::store::{HOSTS, JOBS, LINKS, OPERATORS, Order, Reads, Span};
use rustix::fs::{FlockOperation, flock};
use schema::{Slot, Timestamp};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the name of the folder begins; the number of the process follows, and another one where there is one of that name.
const PREFIX: &str = "holdfast-rehearsal.";
/// In the folder, and locked as long as its rehearsal runs, also for who sees other processes, such as another container.
const LOCK_FILE: &str = "lock";
/// One without that file is somebody's who is about to make it, for so long.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// What a server is that was made of an archive, for a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// What was restored.
    pub restored: Restored,
    /// What it holds.
    pub holds: Holds,
}

/// What a server holds, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Its hosts.
    pub hosts: u64,
    /// Those of them that are enrolled.
    pub enrolled: u64,
    /// Its jobs.
    pub jobs: u64,
    /// When the newest of them was made; `None` = there is none.
    pub newest_job_at: Option<Timestamp>,
    /// Slots of credentials that are filled.
    pub credentials: u64,
    /// Secrets of hosts, in those slots and of their logins, that the master key does not open.
    pub sealed: u64,
    /// Its accounts.
    pub accounts: u64,
}

/// Makes a server of an archive in a folder of its own, lets `look` judge that, opens it as a start does, and reads each secret of
/// its hosts. Blocks.
pub fn rehearse(
    archive: &Path,
    opener: &ArchiveOpener,
    scratch: &Scratch,
    driver: Driver,
    look: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Rehearsal, ArchiveError> {
    let data_dir = scratch.path.join("server");
    // It becomes no server: what its clock says is no matter.
    let wish = RestoreAs { is_clock_right: true, ..RestoreAs::default() };
    let restored = restore_as(archive, opener, &data_dir, driver.clone(), wish)?;
    look(&data_dir).map_err(ArchiveError::Rehearsal)?;
    let fleet = Fleet::open(Pieces::from(data_dir.as_path()), Settings::of_nobody(Vec::new()), driver)?;
    let holds = holds(&fleet);
    fleet.store().close();
    drop(fleet);
    let holds = holds?;
    scratch.remove()?;
    Ok(Rehearsal { restored, holds })
}

fn holds(fleet: &Fleet) -> Result<Holds, StoreError> {
    let (view, context) = (fleet.view()?, fleet.context());
    let mut holds = Holds::default();
    for host in view.keys(&HOSTS, &Span::ALL, usize::MAX)? {
        holds.hosts += 1;
        for slot in Slot::ALL {
            if let Some(facts) = credentials::facts_of(&context.facts, &view, host, slot)? {
                holds.credentials += 1;
                holds.sealed += u64::from(facts.unreadable);
            }
        }
    }
    view.walk(&LINKS, &Span::ALL, Order::Ascending, |host, link| {
        holds.enrolled += 1;
        holds.sealed += u64::from(context.master.open(Binding::Link(host), &link.sealed_key).is_err());
        Ok(ControlFlow::Continue(()))
    })?;
    view.walk(&JOBS, &Span::ALL, Order::Ascending, |_, job| {
        holds.jobs += 1;
        holds.newest_job_at = holds.newest_job_at.max(Some(job.created_at));
        Ok(ControlFlow::Continue(()))
    })?;
    holds.accounts = view.keys(&OPERATORS, &Span::ALL, usize::MAX)?.len() as u64;
    Ok(holds)
}

/// Removes what this user's rehearsals have left there that have ended: it holds a master key in clear.
fn remove_left(parent: &Path) -> Result<(), ArchiveError> {
    for entry in fs::read_dir(parent).map_err(failed_at(parent))?.flatten() {
        let name = entry.file_name();
        let is_named = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        let Ok(facts) = entry.metadata() else { continue };
        let is_own = facts.is_dir() && facts.uid() == rustix::process::geteuid().as_raw();
        let path = entry.path();
        if is_named && is_own && has_ended(&path, &facts) {
            fs::remove_dir_all(&path).map_err(failed_at(&path))?;
        }
    }
    Ok(())
}

/// Whether nobody works in the folder of a rehearsal any more.
fn has_ended(path: &Path, facts: &Metadata) -> bool {
    match OpenOptions::new().write(true).open(path.join(LOCK_FILE)) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(why) if why.kind() == ErrorKind::NotFound => {
            let age = facts.modified().ok().and_then(|at| at.elapsed().ok());
            age.is_some_and(|age| age > BEGINS_WITHIN)
        }
        Err(_) => false,
    }
}

/// The folder of a rehearsal, for its owner alone. It goes when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    #[expect(dead_code, reason = "closing it is what gives the right back")]
    lock: File,
}

impl Scratch {
    /// Makes one below `parent`, and removes what rehearsals have left there that were broken off.
    pub fn begin(parent: &Path) -> Result<Self, ArchiveError> {
        remove_left(parent)?;
        let process = std::process::id();
        let numbers = (1..).map(|number| format!("{PREFIX}{process}.{number}"));
        for name in std::iter::once(format!("{PREFIX}{process}")).chain(numbers) {
            let path = parent.join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                // One of a process of that number in another container.
                Err(why) if why.kind() == ErrorKind::AlreadyExists => continue,
                made => made.map_err(failed_at(&path))?,
            }
            let lock = path.join(LOCK_FILE);
            let locked = || {
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock)?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                Ok(file)
            };
            let lock = locked().map_err(failed_at(&lock))?;
            return Ok(Self { path, lock });
        }
        Err(failed_at(parent)(ErrorKind::AlreadyExists.into()))
    }

    /// Removes it, also while somebody works in it: that one finds nothing there any more.
    pub fn remove(&self) -> Result<(), ArchiveError> {
        let mut ended = self.path.clone().into_os_string();
        ended.push(".ended");
        let ended = PathBuf::from(ended);
        match fs::rename(&self.path, &ended) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
            renamed => {
                renamed.map_err(failed_at(&self.path))?;
                fs::remove_dir_all(&ended).map_err(failed_at(&ended))
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        let _ = self.remove();
    }
}
