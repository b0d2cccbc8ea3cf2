//! A rehearsal of a restore: a server is made of an archive and opened, in a folder that is gone afterwards.
//!
//! It never serves: no agent and no server hears of it.

use super::error::ArchiveError;
use super::folder::{failed_at, is_gone};
use super::key::ArchiveOpener;
use super::restore::{RestoreAs, Restored, restore_as};
use crate::credentials;
use crate::fleet::Fleet;
use crate::pieces::Pieces;
use crate::refused::StoreError;
use crate::seal::Binding;
use crate::settings::{Driver, Settings};
use crate::store::{HOSTS, JOBS, LINKS, OPERATORS, Order, Reads, Span};
use schema::{Slot, Timestamp};
use std::fs::{self, DirBuilder};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// How the name of the folder begins; the number of the process follows.
const PREFIX: &str = "holdfast-rehearsal.";

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

/// Makes a server of an archive in a folder of its own below `parent`, lets `look` judge that, opens it as a start does, and
/// reads each secret of its hosts. The folder is removed, whatever comes of it, and so is what a rehearsal has left there that
/// was broken off. Blocks.
pub fn rehearse(
    archive: &Path,
    opener: &ArchiveOpener,
    parent: &Path,
    driver: Driver,
    look: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Rehearsal, ArchiveError> {
    remove_left(parent)?;
    let scratch = Scratch::begin(parent)?;
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
    scratch.end()?;
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

/// Removes what this user's rehearsals have left there whose process is gone: it holds a master key in clear.
fn remove_left(parent: &Path) -> Result<(), ArchiveError> {
    for entry in fs::read_dir(parent).map_err(failed_at(parent))?.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        let Ok(facts) = entry.metadata() else { continue };
        let is_own = facts.is_dir() && facts.uid() == rustix::process::geteuid().as_raw();
        if is_own && process.is_some_and(is_gone) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(failed_at(&path))?;
        }
    }
    Ok(())
}

/// The folder of a rehearsal, for its owner alone. It goes when it is dropped before its end.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn begin(parent: &Path) -> Result<Self, ArchiveError> {
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).map_err(failed_at(&path))?;
        Ok(Self { path })
    }

    fn end(self) -> Result<(), ArchiveError> {
        fs::remove_dir_all(&self.path).map_err(failed_at(&self.path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Gone already when it came to its end.
        let _ = fs::remove_dir_all(&self.path);
    }
}
