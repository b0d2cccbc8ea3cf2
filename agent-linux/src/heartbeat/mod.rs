//! A host that is watched by its own agent: while it is truly well, it asks an address every few minutes, and whoever watches that
//! address tells when nothing comes any more.
//!
//! It is asked from the one loop of the agent, so that an agent that stands still asks nobody. Whether the host is well is judged
//! here, from what the agent knows by itself ([`judge`], pure): the server may be away for long, and the host work on by its plan.
//! The address is a secret: neither the log, nor the status, nor an error shows more of it than its machine.

pub mod address;
pub mod ask;
pub mod backups;
pub mod error;
pub mod source;

use crate::{journal::Journal, rfc3339::Instant, status::HeartbeatStatus};
use address::Address;
use agent_core::Monotonic;
use backups::Backups;
use error::AskError;
use schema::{JobId, JobSpec, Outcome, Run, Timestamp};
use source::HeartbeatOptions;
use std::fmt;
use tokio::task::JoinHandle;

/// How often it is asked.
const EVERY_MS: u64 = 5 * 60_000;
/// What was not taken, or not sent for the host was not well, is looked at again after this while.
const AGAIN_MS: u64 = 60_000;
/// A backup of the plan that is overdue for so long does not come.
pub const OVERDUE_MS: u64 = 60 * 60_000;
/// So long nobody minds that there is no connection.
const AWAY_MS: u64 = 10 * 60_000;

/// What the agent knows of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition<'c> {
    /// Its state folder can't be written.
    pub store_fails: bool,
    /// There is a restic.
    pub has_restic: bool,
    /// There are everyday credentials.
    pub has_credentials: bool,
    /// Backups wait until a person starts them.
    pub is_held: bool,
    /// The source group of its plan whose last backup did not end well.
    pub failed: Option<&'c str>,
    /// The source group of its plan whose backup is overdue.
    pub overdue: Option<&'c str>,
    /// How long there has been no connection; `None` = there is one.
    pub away_ms: Option<u64>,
    /// The plan has a schedule that it can follow alone.
    pub has_plan: bool,
}

/// Why a host is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwell<'c> {
    /// See [`Condition::store_fails`].
    StateFolder,
    /// There is no restic.
    NoRestic,
    /// There are no everyday credentials.
    NoCredentials,
    /// See [`Condition::is_held`].
    Held,
    /// See [`Condition::failed`].
    Failed(&'c str),
    /// See [`Condition::overdue`].
    Overdue(&'c str),
    /// There is no connection, and no plan to follow without one.
    Alone,
}

impl fmt::Display for Unwell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateFolder => f.write_str("the state folder can't be written"),
            Self::NoRestic => f.write_str("there is no restic"),
            Self::NoCredentials => f.write_str("there are no credentials"),
            Self::Held => f.write_str("its backups are held"),
            Self::Failed(group) => write!(f, "the last backup of {group} did not end well"),
            Self::Overdue(group) => write!(f, "a backup of {group} is overdue"),
            Self::Alone => f.write_str("the server is away, and there is no plan to follow without it"),
        }
    }
}

/// Whether a host is well: pure.
///
/// # Errors
/// Why it is not.
pub const fn judge<'c>(known: &Condition<'c>) -> Result<(), Unwell<'c>> {
    let is_away = matches!(known.away_ms, Some(away_ms) if away_ms >= AWAY_MS);
    Err(match known {
        Condition { store_fails: true, .. } => Unwell::StateFolder,
        Condition { has_restic: false, .. } => Unwell::NoRestic,
        Condition { has_credentials: false, .. } => Unwell::NoCredentials,
        Condition { is_held: true, .. } => Unwell::Held,
        Condition { failed: Some(group), .. } => Unwell::Failed(group),
        Condition { overdue: Some(group), .. } => Unwell::Overdue(group),
        Condition { has_plan: false, .. } if is_away => Unwell::Alone,
        _ => return Ok(()),
    })
}

/// The heartbeat of a run of the agent.
#[derive(Debug)]
pub struct Heartbeat {
    wanted: HeartbeatOptions,
    /// How the last backups ended.
    pub backups: Backups,
    /// When it is looked again.
    at: Monotonic,
    asking: Option<JoinHandle<Result<(), AskError>>>,
    taken_at: Option<Timestamp>,
    /// Why the last one was not sent, or not taken; as the log has it.
    why: Option<String>,
}

impl Heartbeat {
    /// Begins at once.
    #[must_use]
    pub const fn new(wanted: HeartbeatOptions, backups: Backups, now: Monotonic) -> Self {
        Self { wanted, backups, at: now, asking: None, taken_at: None, why: None }
    }

    /// When to look; `None` = while one is on its way.
    #[must_use]
    pub fn due_at(&self) -> Option<Monotonic> {
        self.asking.is_none().then_some(self.at)
    }

    /// Asks the address, where the host is well. Returns what there is to log.
    pub fn look(&mut self, known: &Condition<'_>, now: Monotonic) -> Option<String> {
        match judge(known) {
            Ok(()) => {
                let (source, ca) = (self.wanted.source.clone(), self.wanted.ca.clone());
                self.asking = Some(tokio::spawn(ask::ask(source, ca)));
                None
            }
            Err(why) => {
                self.at = now.plus_ms(AGAIN_MS);
                self.changed(Some(format!("withheld: {why}")))
            }
        }
    }

    /// What came of the one that is on its way; never, where there is none.
    pub async fn heard(&mut self) -> Result<(), AskError> {
        let Some(asking) = &mut self.asking else { return std::future::pending().await };
        let heard = asking.await.unwrap_or(Err(AskError::Unreachable));
        self.asking = None;
        heard
    }

    /// Notes what came of it. Returns what there is to log.
    pub fn answered(
        &mut self,
        heard: &Result<(), AskError>,
        now: Monotonic,
        wall: Timestamp,
    ) -> Option<String> {
        self.at = now.plus_ms(if heard.is_ok() { EVERY_MS } else { AGAIN_MS });
        match heard {
            Ok(()) => {
                self.taken_at = Some(wall);
                self.changed(None)
            }
            Err(error) => self.changed(Some(format!("not taken: {error}"))),
        }
    }

    fn changed(&mut self, why: Option<String>) -> Option<String> {
        if self.why == why {
            return None;
        }
        self.why = why;
        Some(self.why.clone().unwrap_or_else(|| "taken".to_owned()))
    }

    /// For the status.
    #[must_use]
    pub fn status(&self) -> HeartbeatStatus {
        HeartbeatStatus { taken_at: self.taken_at.map(Instant), why: self.why.clone() }
    }

    /// A job begins.
    ///
    /// # Errors
    /// What keeps it from being written down, in words.
    pub fn job_begins(&mut self, job: JobId, journal: &Journal) -> Result<(), String> {
        match group_of(job, journal) {
            Some(group) => self.backups.begins(&group),
            None => Ok(()),
        }
    }

    /// A job has ended.
    ///
    /// # Errors
    /// What keeps it from being written down, in words.
    pub fn job_ended(&mut self, job: JobId, outcome: Outcome, journal: &Journal) -> Result<(), String> {
        match group_of(job, journal) {
            Some(group) => self.backups.ended(&group, outcome),
            None => Ok(()),
        }
    }
}

fn group_of(job: JobId, journal: &Journal) -> Option<String> {
    let spec = journal.spec(job)?;
    saves(&schema::decode::<Run<'_>>(&spec).ok()?.spec).map(str::to_owned)
}

/// The source group that a job saves; `None` = it saves none, or only says what it would.
const fn saves<'s>(spec: &JobSpec<'s>) -> Option<&'s str> {
    match spec {
        JobSpec::Backup(backup) if !backup.dry_run => Some(backup.group),
        _ => None,
    }
}

/// Checks an address that was given, so that one that can't be used is told at once.
///
/// # Errors
/// When it can't be used.
pub fn check(address: &str) -> Result<(), AskError> {
    Address::read(address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Items;
    use source::Source;

    const WELL: Condition<'static> = Condition {
        store_fails: false,
        has_restic: true,
        has_credentials: true,
        is_held: false,
        failed: None,
        overdue: None,
        away_ms: None,
        has_plan: false,
    };

    #[test]
    fn a_dry_run_mends_no_backup_that_failed() {
        let backup = |dry_run| {
            JobSpec::Backup(schema::job::BackupSpec {
                group: "docs",
                includes: Items::EMPTY,
                excludes: Items::EMPTY,
                exclude_if_present: Items::EMPTY,
                one_file_system: false,
                required_mounts: Items::EMPTY,
                hooks_before: Items::EMPTY,
                hooks_after: Items::EMPTY,
                dry_run,
                origins: Items::EMPTY,
            })
        };
        assert_eq!((saves(&backup(false)), saves(&backup(true))), (Some("docs"), None));
        assert_eq!(saves(&JobSpec::Probe), None);
    }

    #[test]
    fn a_host_is_well_only_while_nothing_speaks_against_it() {
        assert_eq!(judge(&WELL), Ok(()));
        for (known, why) in [
            (Condition { store_fails: true, ..WELL }, Unwell::StateFolder),
            (Condition { has_restic: false, ..WELL }, Unwell::NoRestic),
            (Condition { has_credentials: false, ..WELL }, Unwell::NoCredentials),
            (Condition { is_held: true, ..WELL }, Unwell::Held),
            (Condition { failed: Some("docs"), ..WELL }, Unwell::Failed("docs")),
            (Condition { overdue: Some("docs"), ..WELL }, Unwell::Overdue("docs")),
            (Condition { away_ms: Some(AWAY_MS), ..WELL }, Unwell::Alone),
        ] {
            assert_eq!(judge(&known), Err(why));
        }
        // It works on alone, by its plan; and nobody minds a short while.
        assert_eq!(judge(&Condition { away_ms: Some(AWAY_MS), has_plan: true, ..WELL }), Ok(()));
        assert_eq!(judge(&Condition { away_ms: Some(AWAY_MS - 1), ..WELL }), Ok(()));
    }

    #[test]
    fn what_is_the_same_is_logged_once_and_it_is_looked_sooner_when_it_was_not_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let wanted =
            HeartbeatOptions { source: Source::Given("http://127.0.0.1:9/a-secret".to_owned()), ca: None };
        assert!(!format!("{wanted:?}").contains("a-secret"));
        let state = crate::state_folder::StateFolder::open_or_make(&scratch.path().join("state")).unwrap();
        let now = Monotonic(1_000);
        let mut heart = Heartbeat::new(wanted, Backups::load(&state), now);
        assert_eq!(heart.due_at(), Some(now));
        let held = Condition { is_held: true, ..WELL };
        assert_eq!(heart.look(&held, now).as_deref(), Some("withheld: its backups are held"));
        assert_eq!(heart.look(&held, now), None, "it was said");
        assert_eq!(heart.due_at(), Some(now.plus_ms(AGAIN_MS)));
        assert_eq!(
            heart.answered(&Err(AskError::Status(404)), now, Timestamp(7)).as_deref(),
            Some("not taken: its answer is 404")
        );
        assert_eq!(heart.due_at(), Some(now.plus_ms(AGAIN_MS)));
        assert_eq!(heart.answered(&Ok(()), now, Timestamp(8)).as_deref(), Some("taken"));
        assert_eq!(heart.due_at(), Some(now.plus_ms(EVERY_MS)));
        assert_eq!(heart.status(), HeartbeatStatus { taken_at: Some(Instant(Timestamp(8))), why: None });
    }
}
