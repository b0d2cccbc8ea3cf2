//! The archives that a server makes by itself, night by night, and when it is asked.

use super::error::ArchiveError;
use super::folder::{ArchiveFolder, Kept, MadeAside};
use super::key::ArchiveKey;
use super::own_key::ArchiveKeyFacts;
use super::write::{Archiving, Beside};
use crate::access_row::trusted;
use crate::fleet::Fleet;
use crate::record::{Actor, AuditAction};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::Moment;
use jiff::tz::TimeZone;
use schema::Timestamp;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// When an archive is made each night, by the server's own time zone.
const AT_NIGHT: jiff::civil::Time = jiff::civil::time(2, 30, 0, 0);
/// How long it waits after one that failed.
const AGAIN_AFTER_MS: u64 = 3_600_000;
/// The newest one is too old when it is older than this.
const LATE_AFTER_MS: u64 = 2 * 86_400_000;

/// What the server is beside its data file.
pub type Parts = Arc<dyn Fn() -> Beside + Send + Sync>;

/// Makes the archives of a server, one at a time.
pub struct Archives {
    fleet: Fleet,
    folder: ArchiveFolder,
    parts: Parts,
    version: &'static str,
    state: Mutex<State>,
    /// Somebody has said what opens them.
    hurried: Notify,
}

#[derive(Default)]
struct State {
    is_busy: bool,
    /// One is being made for a standby.
    is_made_aside: bool,
    kept: Vec<Kept>,
    failed: Option<(Timestamp, String)>,
    lacks: Vec<String>,
}

/// How the archives of a server stand.
#[derive(Clone, Debug)]
pub struct ArchiveStatus {
    /// For whom they are encrypted; `None` = nobody has said, and none is made.
    pub key: Option<ArchiveKeyFacts>,
    /// Those that there are, newest first.
    pub kept: Vec<Kept>,
    /// When the last try failed, and why; `None` = it did not.
    pub failed: Option<(Timestamp, String)>,
    /// What the last one that this process has begun goes without, in words.
    pub lacks: Vec<String>,
    /// Whether one is being made.
    pub is_busy: bool,
    /// How that is to be seen.
    pub state: ArchiveState,
    /// Where they are.
    pub folder: String,
}

impl ArchiveStatus {
    /// The newest one that no clock has dated ahead of now.
    #[must_use]
    pub fn newest(&self, now: Timestamp) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.at <= now)
    }
}

/// Whether the archives of a server are what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveState {
    /// The newest one is of the last two days.
    Ok,
    /// The first one is being made, or will be soon.
    Begun,
    /// Nobody has said for whom they are to be encrypted: none is made.
    NoKey,
    /// The newest one is older than two days, or the first one could not be made.
    Late,
}

impl ArchiveState {
    /// Its word in the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Begun => "begun",
            Self::NoKey => "no_key",
            Self::Late => "late",
        }
    }
}

/// Why no archive is made.
#[derive(Debug, thiserror::Error)]
pub enum NoArchive {
    /// Nobody has said for whom it is to be encrypted.
    #[error("nobody has said what opens an archive: set a passphrase or recipients first")]
    NoKey,
    /// One is being made.
    #[error("an archive is being made already; wait until it is there")]
    Busy,
    /// It could not be made.
    #[error("{0}")]
    Failed(String),
    /// The store failed.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl NoArchive {
    /// Its word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoKey => "archive_no_key",
            Self::Busy => "archive_busy",
            Self::Failed(_) => "archive_failed",
            Self::Refused(refused) => refused.code(),
        }
    }
}

/// The newest of those that are not ahead of now, and how they are to be seen: pure.
fn judge(
    now: Timestamp,
    key: Option<Timestamp>,
    kept: impl Iterator<Item = Timestamp>,
) -> (Option<Timestamp>, ArchiveState) {
    let newest = kept.filter(|at| *at <= now).max();
    let state = match (key, newest) {
        (None, _) => ArchiveState::NoKey,
        (Some(_), Some(at)) if now.ms_since(at) <= LATE_AFTER_MS => ArchiveState::Ok,
        (Some(since), None) if now.ms_since(since) <= LATE_AFTER_MS => ArchiveState::Begun,
        _ => ArchiveState::Late,
    };
    (newest, state)
}

/// Whether an archive is due: there is none, or the newest is of before this night, or of before agents were told of the newest
/// authority (`trusted_at`), without which no server made of it would get them back: pure.
fn is_due(
    now: Timestamp,
    newest: Option<Timestamp>,
    trusted_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    zone: &TimeZone,
) -> bool {
    if failed_at.is_some_and(|at| at <= now && now.ms_since(at) < AGAIN_AFTER_MS) {
        return false;
    }
    match (newest, last_night(now, zone)) {
        (Some(newest), Some(night)) => {
            newest < night || trusted_at.is_some_and(|at| at <= now && newest < at)
        }
        _ => true,
    }
}

/// The last instant of [`AT_NIGHT`].
fn last_night(now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
    let today = zone.to_datetime(at).date();
    let night_of = |day: jiff::civil::Date| zone.to_timestamp(day.to_datetime(AT_NIGHT)).ok();
    let night = night_of(today).filter(|night| *night <= at).or_else(|| night_of(today.yesterday().ok()?))?;
    u64::try_from(night.as_millisecond()).ok().map(Timestamp)
}

impl Archives {
    /// Those in a folder.
    #[must_use]
    pub fn new(fleet: Fleet, folder: ArchiveFolder, parts: Parts, version: &'static str) -> Self {
        Self { fleet, folder, parts, version, state: Mutex::default(), hurried: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the folder anew; what it can't is told as what fails. Blocks.
    pub fn look(&self) {
        let found = self.own();
        let mut state = self.state();
        match found {
            Ok(kept) => state.kept = kept,
            Err(error) => state.failed = Some((self.fleet.now(), error.to_string())),
        }
    }

    fn own(&self) -> Result<Vec<Kept>, ArchiveError> {
        self.folder.own(&self.fleet.archives_of()?)
    }

    /// How they stand, by the last look at the folder.
    pub fn status(&self) -> Result<ArchiveStatus, StoreError> {
        let key = self.fleet.read()?.archive_key()?;
        let state = self.state();
        let since = key.as_ref().map(|key| key.changed_at);
        let (_, judged) = judge(self.fleet.now(), since, state.kept.iter().map(|kept| kept.at));
        // What has failed is not about to be there.
        let has_failed = judged == ArchiveState::Begun && state.failed.is_some();
        let judged = if has_failed { ArchiveState::Late } else { judged };
        Ok(ArchiveStatus {
            key,
            kept: state.kept.clone(),
            failed: state.failed.clone(),
            lacks: state.lacks.clone(),
            is_busy: state.is_busy,
            state: judged,
            folder: self.folder.path.display().to_string(),
        })
    }

    /// Encrypts archives for these from now on; the first one is due at once.
    pub async fn set_key(&self, key: ArchiveKey, by: By) -> Result<(), Refused> {
        self.fleet.set_archive_key(key, by).await?;
        self.hurried.notify_one();
        Ok(())
    }

    /// Ends when there is a reason to ask at once whether one is due.
    pub async fn is_hurried(&self) {
        self.hurried.notified().await;
    }

    /// Whether one is due now. Reads the folder, and blocks.
    pub fn is_due(&self) -> Result<bool, StoreError> {
        self.look();
        if self.fleet.only_reads() {
            return Ok(false);
        }
        let Some(key) = self.fleet.read()?.archive_key()? else { return Ok(false) };
        let trusted_at = trusted(&self.fleet.view()?)?.iter().map(|authority| authority.since).max();
        let now = self.fleet.now();
        let context = self.fleet.context();
        let zone = cron::find_zone(&context.settings.timezone).unwrap_or(TimeZone::UTC);
        let state = self.state();
        let (newest, _) = judge(now, Some(key.changed_at), state.kept.iter().map(|kept| kept.at));
        let failed_at = state.failed.as_ref().map(|(at, _)| *at);
        Ok(!state.is_busy && is_due(now, newest, trusted_at, failed_at, &zone))
    }

    /// Makes one now. What is left of one that was torn is removed. Returns when it is there.
    pub async fn make(self: &Arc<Self>, by: By) -> Result<Kept, NoArchive> {
        // None pushes out those of before.
        self.fleet.may_change()?;
        let turn = Turn::take(self).ok_or(NoArchive::Busy)?;
        let key = self.fleet.archive_key().map_err(Refused::from)?.ok_or(NoArchive::NoKey)?;
        // Where there is none, it is read through the pages that the server has in memory: while the data file is looked
        // through, and where it can't be written, which is told then.
        let moment = self.fleet.moment().await.unwrap_or_default();
        let made = tokio::task::spawn_blocking(move || {
            let archives = &turn.0;
            let made = archives.make_by(moment, |archiving| archives.folder.make(archiving, &key));
            archives.look();
            drop(turn);
            made.map_err(|failure: ArchiveError| failure.to_string())
        });
        let made = made.await.unwrap_or_else(|error| Err(error.to_string()));
        let now = self.fleet.now();
        self.state().failed = made.as_ref().err().map(|why| (now, why.clone()));
        let kept = made.map_err(NoArchive::Failed)?;
        if by.actor != Actor::System {
            self.fleet.note_of_archive(AuditAction::ArchiveMade, kept.name.clone(), by).await;
        }
        Ok(kept)
    }

    /// Makes one for a standby; one at a time for all of them. Returns when it is there.
    pub async fn make_aside(self: &Arc<Self>, recipient: String) -> Result<MadeAside, NoArchive> {
        let turn = Aside::take(self).ok_or(NoArchive::Busy)?;
        let moment = self.fleet.moment().await.unwrap_or_default();
        let made = tokio::task::spawn_blocking(move || {
            let archives = &turn.0;
            let key = ArchiveKey::Recipients(vec![recipient]);
            let made = archives.make_by(moment, |archiving| archives.folder.make_aside(archiving, &key));
            drop(turn);
            made.map_err(|failure: ArchiveError| failure.to_string())
        });
        made.await.unwrap_or_else(|error| Err(error.to_string())).map_err(NoArchive::Failed)
    }

    /// Makes one of a moment; where that was overtaken meanwhile, or there is none, of now.
    fn make_by<T>(
        &self,
        moment: Option<Moment>,
        make: impl Fn(Archiving) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        match self.begin_at(moment).and_then(&make) {
            Err(ArchiveError::Overtaken) => make(self.begin_at(None)?),
            made => made,
        }
    }

    fn begin_at(&self, moment: Option<Moment>) -> Result<Archiving, ArchiveError> {
        let Beside { parts, lacks } = self.beside();
        let begun = match moment {
            Some(moment) => self.fleet.begin_archive_aside(moment, parts, self.version)?,
            None => self.fleet.begin_archive(parts, self.version)?,
        };
        Ok(begun.lacking(lacks))
    }

    /// Where one is.
    #[must_use]
    pub fn path_of(&self, kept: &Kept) -> PathBuf {
        self.folder.path.join(&kept.name)
    }

    /// Begins one that is not kept in the folder: whoever asks takes it. Reads files, and blocks.
    pub fn begin(&self) -> Result<Archiving, NoArchive> {
        let Beside { parts, lacks } = self.beside();
        let begun = self.fleet.begin_archive(parts, self.version);
        Ok(begun.map_err(|error| NoArchive::Failed(error.to_string()))?.lacking(lacks))
    }

    /// What the server is beside its data file, and tells once what that lacks.
    fn beside(&self) -> Beside {
        let beside = (self.parts)();
        let before = std::mem::replace(&mut self.state().lacks, beside.lacks.clone());
        for lacks in beside.lacks.iter().filter(|what| !before.contains(what)) {
            tracing::error!(lacks, "archives of the server go without this");
        }
        beside
    }

    /// Opens one by its name, to be sent; `None` = there is none of that name. Blocks.
    pub fn open(&self, name: &str) -> Result<Option<(File, Kept)>, ArchiveError> {
        let is_own = self.own()?.iter().any(|kept| kept.name == name);
        if is_own { self.folder.open(name) } else { Ok(None) }
    }
}

/// The right to make an archive, as long as it lives.
struct Turn(Arc<Archives>);

impl Turn {
    fn take(archives: &Arc<Archives>) -> Option<Self> {
        let was_busy = std::mem::replace(&mut archives.state().is_busy, true);
        (!was_busy).then(|| Self(Arc::clone(archives)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state().is_busy = false;
    }
}

/// The right to make one for a standby, as long as it lives.
struct Aside(Arc<Archives>);

impl Aside {
    fn take(archives: &Arc<Archives>) -> Option<Self> {
        let was_busy = std::mem::replace(&mut archives.state().is_made_aside, true);
        (!was_busy).then(|| Self(Arc::clone(archives)))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.state().is_made_aside = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    /// 2026-06-10 00:00 UTC.
    const MIDNIGHT: u64 = 1_781_049_600_000;

    #[test]
    fn one_is_due_each_night_by_the_servers_zone_and_an_hour_after_one_that_failed() {
        let zone = cron::find_zone("Europe/Berlin").unwrap();
        let due = |hours: f64, newest: Option<f64>, failed: Option<f64>| {
            let at = |hours: f64| Timestamp((MIDNIGHT as f64 + hours * HOUR as f64) as u64);
            is_due(at(hours), newest.map(at), Some(at(-1_000.0)), failed.map(at), &zone)
        };
        // 02:30 there is 00:30 UTC.
        assert!(due(0.0, None, None), "there is none yet");
        assert!(!due(0.4, Some(-23.4), None) && due(0.6, Some(-23.4), None));
        assert!(!due(5.0, Some(0.6), None));
        assert!(due(30.0, Some(0.6), None));
        assert!(!due(1.5, Some(-23.4), Some(0.6)) && due(1.7, Some(-23.4), Some(0.6)));
        assert!(due(1.0, Some(-23.4), Some(5.0)), "a clock was ahead when it failed");
        let since = |trusted: f64| {
            let at = |hours: f64| Timestamp((MIDNIGHT as f64 + hours * HOUR as f64) as u64);
            is_due(at(5.0), Some(at(1.0)), Some(at(trusted)), None, &zone)
        };
        assert!(since(2.0), "an authority that it has not");
        assert!(!since(0.5) && !since(6.0), "one that it has; a clock was ahead when agents were told");
    }

    #[test]
    fn how_archives_stand_is_told_by_the_newest_that_is_not_ahead() {
        let state = |key: Option<u64>, kept: &[u64]| {
            let kept = kept.iter().map(|at| Timestamp(*at));
            judge(Timestamp(100 * DAY), key.map(Timestamp), kept).1
        };
        let (old, new) = (Some(DAY), Some(99 * DAY));
        assert_eq!(state(None, &[99 * DAY]), ArchiveState::NoKey);
        assert_eq!(state(new, &[]), ArchiveState::Begun);
        assert_eq!(state(old, &[]), ArchiveState::Late);
        assert_eq!(state(old, &[98 * DAY]), ArchiveState::Ok);
        assert_eq!(state(old, &[97 * DAY, 200 * DAY]), ArchiveState::Late);
    }
}
