//! Jobs and their logs age: those that ended longer ago than the settings say go, and so do the oldest of a host that
//! takes more of the data file than its share. What else refers to stays: the last job of each kind, the last and the
//! last good backup of each group, the last test, what lists the snapshots and folders that are shown.
//!
//! A round looks through all jobs, a bounded number at each sweep, and rests for an hour; what it removed is in the
//! audit and in the log.

mod round;

pub(crate) use round::Round;

use crate::audit;
use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::hosts;
use crate::job;
use crate::op::Op;
use crate::record::{AuditAction, AuditTarget, Job};
use crate::refused::StoreError;
use crate::request::By;
use crate::store::{
    FOLDERS, HOST_JOBS, JOBS, KIND_JOBS, LISTINGS, Order, REPOS, Reads, SUMMARIES, Span, Tx, USAGES,
};
use crate::units::DAY_MS;
use schema::{HostId, JobId, JobKind, Timestamp};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// How long a round rests.
const REST_MS: u64 = 3_600_000;
/// The most jobs that are removed at one sweep.
const REMOVED_AT_ONCE: usize = 500;
/// The most jobs that are looked at in one sweep.
const LOOKED_AT: usize = 5_000;
/// A host that takes more than its share is brought back to so much of it, in percent.
const BACK_TO_PCT: u64 = 90;

/// What goes at one sweep.
#[derive(Debug, Default)]
struct Removals {
    old: Vec<JobId>,
    over: Vec<(HostId, JobId)>,
    /// Where the next sweep goes on; `None` = the round has ended.
    after: Option<JobId>,
    /// More is over than goes at once: the next round does not rest.
    again: bool,
}

impl Fleet {
    /// Looks at the next jobs, and removes those that are too old or too many.
    pub(crate) async fn age(&self) -> Result<(), crate::Refused> {
        let context = self.context();
        let now = context.now();
        let (after, is_steady) = {
            let mut round = context.aging();
            let is_steady = round.watch.is_steady(now);
            if now < round.rests_until && now.plus_ms(2 * REST_MS) > round.rests_until {
                return Ok(());
            }
            (round.after, is_steady)
        };
        let due = due(&context, &self.view()?, after, now, is_steady)?;
        let jobs: Vec<JobId> = due.old.iter().copied().chain(due.over.iter().map(|(_, job)| *job)).collect();
        if !jobs.is_empty() {
            self.write(By::system(), move |op| Ok(remove(op.tx, &jobs)?)).await?;
        }
        let done = {
            let mut round = context.aging();
            round.old += due.old.len() as u64;
            for (host, _) in due.over {
                *round.over.entry(host).or_default() += 1;
            }
            round.after = due.after;
            if due.after.is_some() {
                return Ok(());
            }
            let done = std::mem::take(&mut *round);
            round.watch = done.watch;
            round.rests_until = if due.again { now } else { now.plus_ms(REST_MS) };
            done
        };
        if done.old > 0 || !done.over.is_empty() {
            self.write(By::system(), move |op| Ok(say(op, &done)?)).await?;
        }
        Ok(())
    }
}

/// What a round has removed, in the audit and in the log.
fn say(op: &mut Op<'_, '_>, done: &Round) -> Result<(), StoreError> {
    let keep = &op.facts.settings.keep;
    if done.old > 0 {
        let words = format!("{} jobs and their logs, older than {} days", done.old, keep.jobs_days);
        tracing::info!("{words}");
        audit::note(&mut op.as_by(&By::system()), AuditAction::JobsRemoved, AuditTarget::Server, words)?;
    }
    for (host, count) in &done.over {
        let words = format!(
            "the {count} oldest jobs and their logs: those of this host took more than {} MiB",
            keep.host_bytes >> 20
        );
        let target = hosts::target(op.tx, *host)?;
        tracing::info!(%host, "{words}");
        audit::note(&mut op.as_by(&By::system()), AuditAction::JobsRemoved, target, words)?;
    }
    Ok(())
}

fn due(
    facts: &Facts,
    reads: &impl Reads,
    after: Option<JobId>,
    now: Timestamp,
    is_steady: bool,
) -> Result<Removals, StoreError> {
    let keep = &facts.settings.keep;
    let mut due = Removals::default();
    let mut kept = Referenced::default();
    let oldest = Timestamp(now.0.saturating_sub(u64::from(keep.jobs_days).saturating_mul(DAY_MS)));
    let span = after.map_or(Span::ALL, |after| Span::ALL.after(&after));
    for id in reads.keys(&JOBS, &span, LOOKED_AT)? {
        if !is_steady || id.made_at() >= oldest || due.old.len() == REMOVED_AT_ONCE {
            due.after = due.after.filter(|_| id.made_at() < oldest);
            break;
        }
        due.after = Some(id);
        let Some(job) = reads.get(&JOBS, &id)? else { continue };
        let ended_at = job.finished_at.unwrap_or(job.created_at).max(job.created_at).min(now);
        if job.state.is_ended() && ended_at < oldest && !kept.has(reads, &job)? {
            due.old.push(id);
        }
    }
    if after.is_none() {
        for (host, usage) in reads.rows(&USAGES, &Span::ALL)? {
            if usage.bytes > keep.host_bytes && due.over.len() < REMOVED_AT_ONCE {
                oldest_of(
                    reads,
                    host,
                    usage.bytes - keep.host_bytes / 100 * BACK_TO_PCT,
                    &mut due,
                    &mut kept,
                )?;
            }
        }
        due.again = due.over.len() >= REMOVED_AT_ONCE;
    }
    Ok(due)
}

/// The oldest jobs of a host that together take so many bytes.
fn oldest_of(
    reads: &impl Reads,
    host: HostId,
    mut excess: u64,
    due: &mut Removals,
    kept: &mut Referenced,
) -> Result<(), StoreError> {
    let mut looked_at = 0;
    let mut found = Vec::new();
    reads.walk(&HOST_JOBS, &Span::under(&host), Order::Ascending, |(_, id), ()| {
        looked_at += 1;
        let goes_on = excess > 0 && looked_at < LOOKED_AT && due.over.len() + found.len() < REMOVED_AT_ONCE;
        if !goes_on {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(job) = reads.get(&JOBS, &id)?
            && job.state.is_ended()
            && !due.old.contains(&id)
            && !kept.has(reads, &job)?
        {
            excess = excess.saturating_sub(job::bytes_of(reads, id)?);
            found.push((host, id));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    due.over.extend(found);
    Ok(())
}

fn remove(tx: &mut Tx<'_>, jobs: &[JobId]) -> Result<(), StoreError> {
    for id in jobs {
        // It may have come back to life since it was looked at.
        if let Some(job) = tx.get(&JOBS, id)?.filter(|job| job.state.is_ended()) {
            job::remove(tx, &job)?;
        }
    }
    Ok(())
}

/// Jobs that something refers to, by host.
#[derive(Default)]
struct Referenced(BTreeMap<HostId, BTreeSet<JobId>>);

impl Referenced {
    fn has(&mut self, reads: &impl Reads, job: &Job) -> Result<bool, StoreError> {
        let kept = match self.0.entry(job.host) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(place) => place.insert(Self::of(reads, job.host)?),
        };
        Ok(kept.contains(&job.id))
    }

    fn of(reads: &impl Reads, host: HostId) -> Result<BTreeSet<JobId>, StoreError> {
        let mut kept = BTreeSet::new();
        let summary = reads.get(&SUMMARIES, &host)?.unwrap_or_default();
        kept.extend(summary.last_backup.iter().map(|job| job.id));
        for group in &summary.groups {
            kept.extend(group.last.map(|last| last.job));
            kept.extend(group.last_good.map(|(job, _)| job));
        }
        let repo = reads.get(&REPOS, &host)?.unwrap_or_default();
        kept.extend(repo.tested.map(|tested| tested.job));
        kept.extend(repo.replaced.and_then(|replaced| replaced.job));
        kept.extend(reads.get(&LISTINGS, &host)?.map(|listing| listing.job()));
        kept.extend(reads.rows(&FOLDERS, &Span::under(&host))?.into_iter().map(|(_, seen)| seen.job()));
        for kind in JobKind::ALL {
            let last = reads.last(&KIND_JOBS, &Span::under(&(host, job::kind_key(kind))))?;
            kept.extend(last.map(|((_, _, job), ())| job));
        }
        Ok(kept)
    }
}
