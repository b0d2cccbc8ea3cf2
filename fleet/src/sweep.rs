//! What time alone changes: commands that came too late, sessions that ended, old tokens and entries.

use crate::accounts;
use crate::audit;
use crate::find;
use crate::fleet::Fleet;
use crate::job::{self, transition};
use crate::link::outbox;
use crate::op::Op;
use crate::pending;
use crate::record::{Job, JobState, Presence};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{HOST_TOKENS, JOBS, OPEN_JOBS, PRESENCES, Reads, SESSIONS, Span, TOKENS};
use crate::units::DAY_MS;
use schema::{JobId, Timestamp};

/// When a command is too late, see [`crate::dispatch`].
const EXPIRES_AFTER_MS: u64 = crate::dispatch::EXPIRES_AFTER_MS;
/// How much longer a connected agent gets to answer.
const GRACE_MS: u64 = 10 * 60_000;
/// A host that is away for this long will not tell any more what became of its jobs.
const GIVEN_UP_AFTER_MS: u64 = 7 * DAY_MS;
/// A token is kept for this long after its end, to be seen.
const TOKENS_KEPT_MS: u64 = 30 * DAY_MS;
/// Live state of which nothing is heard for this long is let go.
const SILENT_AFTER_MS: u64 = 3_600_000;
/// Jobs changed in one operation.
const AT_ONCE: usize = 100;

/// What becomes of a job for want of news: its state, and why. Pure.
pub(crate) fn judge(
    job: &Job,
    presence: &Presence,
    is_taken: bool,
    now: Timestamp,
) -> Option<(JobState, &'static str)> {
    let age = now.ms_since(job.created_at);
    let heard_at = presence.last_seen_at.or(presence.changed_at).unwrap_or(job.created_at);
    let is_given_up = !presence.online && now.ms_since(heard_at.max(job.created_at)) > GIVEN_UP_AFTER_MS;
    match job.state {
        JobState::Queued if age > EXPIRES_AFTER_MS => {
            Some((JobState::Failed, "the host did not come back in time; run the job again"))
        }
        JobState::Sent if presence.online && !is_taken && age > EXPIRES_AFTER_MS + GRACE_MS => {
            Some((JobState::Failed, "the agent did not take the command in time; run the job again"))
        }
        JobState::Sent | JobState::Accepted | JobState::Running if is_given_up => {
            Some((JobState::Lost, "the host has not been heard of for a week"))
        }
        _ => None,
    }
}

impl Fleet {
    /// A tick of the driver.
    pub async fn sweep(&self) {
        let context = self.context();
        let now = context.now();
        context.board().forget_silent(Timestamp(now.0.saturating_sub(SILENT_AFTER_MS)), now);
        if self.only_reads() {
            return;
        }
        let due = match self.view().and_then(|view| due_jobs(&view, now)) {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "open jobs could not be looked through");
                return;
            }
        };
        for jobs in due.chunks(AT_ONCE) {
            let jobs = jobs.to_vec();
            log_failure(self.write(By::system(), move |op| Ok(end_due(op, &jobs)?)).await);
        }
        if self.view().is_ok_and(|view| has_old(&view, now).unwrap_or(false)) {
            log_failure(self.write(By::system(), move |op| Ok(remove_old(op)?)).await);
        }
        log_failure(self.retire_unneeded_addresses().await);
        log_failure(self.age().await);
    }
}

fn log_failure(result: Result<(), Refused>) {
    if let Err(error) = result {
        tracing::error!(%error, "a sweep could not be written");
    }
}

fn verdict(
    reads: &impl Reads,
    job: &Job,
    now: Timestamp,
) -> Result<Option<(JobState, &'static str)>, StoreError> {
    let presence = reads.get(&PRESENCES, &job.host)?.unwrap_or_default();
    let is_taken = job.command_seq <= outbox::state_of(reads, job.host)?.taken;
    Ok(judge(job, &presence, is_taken, now))
}

fn due_jobs(reads: &impl Reads, now: Timestamp) -> Result<Vec<JobId>, StoreError> {
    let mut due = Vec::new();
    for (_, id) in reads.keys(&OPEN_JOBS, &Span::ALL, usize::MAX)? {
        // Ids hold their time: most are too young to be read. One of the future was made by a wrong clock.
        if (id.made_at()..=id.made_at().plus_ms(EXPIRES_AFTER_MS)).contains(&now) {
            continue;
        }
        if let Some(job) = reads.get(&JOBS, &id)?
            && verdict(reads, &job, now)?.is_some()
        {
            due.push(id);
        }
    }
    Ok(due)
}

fn end_due(op: &mut Op<'_, '_>, jobs: &[JobId]) -> Result<(), StoreError> {
    let now = op.now;
    for id in jobs {
        let Some(record) = op.tx.get(&JOBS, id)? else { continue };
        // It may have moved since it was looked at.
        if let Some((state, words)) = verdict(op.tx, &record, now)? {
            job::change(op, record.host, *id, |job| transition::presume(job, state, now, words))?;
        }
    }
    Ok(())
}

fn has_old(reads: &impl Reads, now: Timestamp) -> Result<bool, StoreError> {
    let sessions = reads.rows(&SESSIONS, &Span::ALL)?;
    let tokens = reads.keys(&TOKENS, &Span::ALL, 1)?;
    let last_token = reads.last(&TOKENS, &Span::ALL)?;
    let is_long = audit::is_long(reads, audit::MAX_ENTRIES)?;
    let is_over = sessions.iter().any(|(_, session)| !accounts::lives(session, now));
    // One that a clock made which was ahead is never old by its id.
    let is_stale = tokens.first().is_some_and(|id| now.ms_since(id.made_at()) > 2 * TOKENS_KEPT_MS)
        || last_token.is_some_and(|(_, row)| now.ms_since(row.token.expires_at) > TOKENS_KEPT_MS);
    Ok(is_long || is_over || is_stale || pending::has_old(reads, now)? || find::has_old(reads, now)?)
}

fn remove_old(op: &mut Op<'_, '_>) -> Result<(), StoreError> {
    accounts::sweep_sessions(op)?;
    audit::trim(op.tx, audit::MAX_ENTRIES)?;
    pending::remove_old(op)?;
    find::remove_old(op)?;
    for (id, row) in op.tx.rows(&TOKENS, &Span::ALL)? {
        if op.now.ms_since(row.token.expires_at) > TOKENS_KEPT_MS {
            op.tx.remove(&TOKENS, &id)?;
            op.tx.remove(&HOST_TOKENS, &(row.token.host, id))?;
        }
    }
    Ok(())
}
