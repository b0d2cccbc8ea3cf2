//! What happened in a period, and how the fleet stands at its end, as it is read.

use super::day;
use super::growth::{self, APART_MS, MOST_SAMPLES, Sample};
use crate::record::{
    Cause, CauseCount, EndCounts, EndedBy, First, FleetDay, Incident, Job, JobFigures, JobState, JobWhat,
    LargeRepo, Period, SlowRun, StorageRate, StorageSeen, VersionCount,
};
use crate::refused::StoreError;
use crate::store::{HISTORY, INCIDENTS, JOBS, Order, REPOS, Reads, Span};
use crate::summary::is_good;
use crate::units::DAY_MS;
use crate::view::{CauseGroups, HostRow};
use schema::{Class, HostId, JobId, JobKind, RepoId, Timestamp, version};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// So many of each list are told, and how many more there are.
pub(crate) const MOST_LISTED: usize = 10;
/// So many storages.
const MOST_STORAGES: usize = 50;
/// So many jobs are looked at, the newest.
pub(crate) const MOST_JOBS: u32 = 300_000;
/// A job that was made so long before the period may have ended in it.
const LONGEST_JOB_MS: u64 = 7 * DAY_MS;

/// The period from `from` until `until`. `rows` are all hosts, `groups` what they have in common that need somebody.
pub(crate) fn read(
    reads: &impl Reads,
    (rows, groups, figures): (&[HostRow], &CauseGroups, FleetDay),
    (from, until): (Timestamp, Timestamp),
) -> Result<Period, StoreError> {
    let names: BTreeMap<HostId, &str> = rows.iter().map(|row| (row.host.id, &*row.host.name)).collect();
    let jobs = Jobs::read(reads, from, until)?;
    let (opened, ended) = incidents(reads, from, until)?;
    let is_within = |at: Timestamp| from <= at && at < until;
    let mut added: Vec<String> =
        rows.iter().filter(|row| is_within(row.host.created_at)).map(|row| row.host.name.clone()).collect();
    added.sort_unstable();
    let (storages, largest) = storages(reads, rows, from, until)?;
    let facts = || rows.iter().filter_map(|row| row.host.facts.as_ref());
    Ok(Period {
        made_at: figures.at,
        from,
        until,
        now: figures,
        before: day::before(reads, from)?,
        in_need: in_need(groups),
        backups: jobs.backups,
        failures: failures(&jobs.failures),
        proofs: jobs.proofs,
        opened,
        ended,
        added: First::of(added, MOST_LISTED),
        slowest: slowest(jobs.longest, &names),
        largest,
        storages,
        agents: versions(facts().map(|facts| &*facts.agent_version)),
        restics: versions(facts().map(|facts| &*facts.restic_version)),
        jobs_since: jobs.since,
    })
}

/// What the jobs of a period say.
#[derive(Debug, Default)]
struct Jobs {
    backups: EndCounts,
    proofs: EndCounts,
    failures: BTreeMap<Cause, u32>,
    /// The longest backup of each source group: how long it took, in seconds, and when it ended.
    longest: BTreeMap<(HostId, String), (u64, Timestamp)>,
    since: Option<Timestamp>,
}

impl Jobs {
    fn read(reads: &impl Reads, from: Timestamp, until: Timestamp) -> Result<Self, StoreError> {
        let oldest = JobId::new(Timestamp(from.0.saturating_sub(LONGEST_JOB_MS)), [0; 10]);
        let newest = JobId::new(until, [0; 10]);
        let (mut jobs, mut looked_at) = (Self::default(), 0_u32);
        let span = Span::ALL.from(&oldest).before(&newest);
        reads.walk(&JOBS, &span, Order::Descending, |_, job: Job| {
            if looked_at == MOST_JOBS {
                jobs.since = Some(job.created_at).filter(|at| *at >= from);
                return Ok(ControlFlow::Break(()));
            }
            looked_at += 1;
            if job.finished_at.is_some_and(|at| from <= at && at < until) {
                jobs.take(&job);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(jobs)
    }

    fn take(&mut self, job: &Job) {
        if job.is_untold() || !job.state.is_ended() {
            return;
        }
        // What somebody or the server took back, or the machine put off, was no try.
        if job.ended_by().is_some_and(|by| !by.is_interruption()) {
            return;
        }
        match job.what.kind() {
            JobKind::Backup => {
                if let Some(cause) = failure(job) {
                    self.backups.failed = self.backups.failed.saturating_add(1);
                    *self.failures.entry(cause).or_default() += 1;
                    return;
                }
                let has_warnings = job.state == JobState::Warning;
                self.backups.good = self.backups.good.saturating_add(1);
                self.backups.with_warnings += u32::from(has_warnings);
                if let (JobWhat::Backup { group }, Some(ended_at)) = (&job.what, job.finished_at) {
                    let secs = ended_at.ms_since(job.began_at()) / 1_000;
                    let longest = self.longest.entry((job.host, group.clone())).or_insert((secs, ended_at));
                    *longest = (*longest).max((secs, ended_at));
                }
            }
            JobKind::Drill => match job.state {
                JobState::Succeeded => self.proofs.good += 1,
                JobState::Warning => {
                    self.proofs.good += 1;
                    self.proofs.with_warnings += 1;
                }
                _ => self.proofs.failed += 1,
            },
            _ => {}
        }
    }
}

/// Why a backup that has ended is not a good one; `None` = it is.
fn failure(job: &Job) -> Option<Cause> {
    if is_good(job) {
        return None;
    }
    Some(match (job.state, job.ended_by()) {
        (JobState::Lost, _) => Cause::Lost { gone: job.agent_gone },
        (_, Some(EndedBy::Machine)) => Cause::Interrupted,
        (JobState::Warning | JobState::Succeeded, _) => match &job.figures {
            JobFigures::Backup(figures) if !figures.snapshot.is_empty() => {
                Cause::Lacking { class: job.class.or(Some(Class::SourceEmpty)) }
            }
            _ => Cause::NoSnapshot,
        },
        _ => Cause::Failed { class: job.class, refusal: job.refusal },
    })
}

/// The most first; those of one number by their words.
fn by_count(one: &CauseCount, other: &CauseCount) -> Ordering {
    let key = |cause: &CauseCount| (cause.cause, cause.storage.clone());
    other.count.cmp(&one.count).then_with(|| key(one).cmp(&key(other)))
}

fn failures(all: &BTreeMap<Cause, u32>) -> First<CauseCount> {
    let count = |(cause, count): (&Cause, &u32)| CauseCount { cause: *cause, storage: None, count: *count };
    let mut counts: Vec<CauseCount> = all.iter().map(count).collect();
    counts.sort_by(by_count);
    First::of(counts, MOST_LISTED)
}

/// What hosts have that need somebody; incidents of one cause at one storage are one line.
fn in_need(groups: &CauseGroups) -> First<CauseCount> {
    let mut all: BTreeMap<(Cause, Option<String>), u32> = BTreeMap::new();
    for group in &groups.all {
        let hosts = u32::try_from(group.hosts.len()).unwrap_or(u32::MAX);
        let key = (group.incident.cause, group.incident.storage.clone());
        *all.entry(key).or_default() += hosts;
    }
    let count = |((cause, storage), count)| CauseCount { cause, storage, count };
    let mut counts: Vec<CauseCount> = all.into_iter().map(count).filter(|cause| cause.count > 0).collect();
    counts.sort_by(by_count);
    First::of(counts, MOST_LISTED)
}

/// How many incidents have opened in the period, and how many have ended, as far as they are kept.
fn incidents(reads: &impl Reads, from: Timestamp, until: Timestamp) -> Result<(u32, u32), StoreError> {
    let (mut opened, mut ended) = (0, 0);
    let is_within = |at: Timestamp| from <= at && at < until;
    reads.walk(&INCIDENTS, &Span::ALL, Order::Ascending, |_, incident: Incident| {
        if let Some(at) = incident.opened_at {
            opened += u32::from(is_within(at));
            ended += u32::from(incident.ended.is_some_and(|(at, _)| is_within(at)));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((opened, ended))
}

fn slowest(
    longest: BTreeMap<(HostId, String), (u64, Timestamp)>,
    names: &BTreeMap<HostId, &str>,
) -> First<SlowRun> {
    // Of a host that was deleted nothing is said.
    let run = |((host, group), (secs, ended_at)): ((HostId, String), (u64, Timestamp))| {
        let name = (*names.get(&host)?).to_owned();
        Some(SlowRun { host, name, group, secs, ended_at })
    };
    let mut runs: Vec<SlowRun> = longest.into_iter().filter_map(run).collect();
    runs.sort_by(|one, other| {
        other.secs.cmp(&one.secs).then_with(|| (&one.name, &one.group).cmp(&(&other.name, &other.group)))
    });
    First::of(runs, MOST_LISTED)
}

/// A repository: that of a host, or one that hosts share.
struct Repository<'r> {
    host: &'r HostRow,
    bytes: u64,
}

fn storages(
    reads: &impl Reads,
    rows: &[HostRow],
    from: Timestamp,
    until: Timestamp,
) -> Result<(First<StorageSeen>, First<LargeRepo>), StoreError> {
    let mut by_name: Vec<&HostRow> = rows.iter().collect();
    by_name.sort_by(|one, other| one.host.name.cmp(&other.host.name));
    let (mut seen, mut repositories): (BTreeSet<RepoId>, Vec<Repository<'_>>) = Default::default();
    for host in by_name {
        let Some(bytes) = host.size_bytes else { continue };
        let repo = reads.get(&REPOS, &host.host.id)?.and_then(|state| state.repo);
        if repo.is_none_or(|repo| seen.insert(repo)) {
            repositories.push(Repository { host, bytes });
        }
    }
    let mut all: BTreeMap<Option<Arc<str>>, StorageSeen> = BTreeMap::new();
    for repository in &repositories {
        let storage = repository.host.storage.clone();
        let entry = all.entry(storage.clone()).or_insert_with(|| StorageSeen {
            storage: storage.as_deref().map(str::to_owned),
            repositories: 0,
            bytes: 0,
            change_bytes: None,
            rate: None,
        });
        entry.repositories += 1;
        entry.bytes = entry.bytes.saturating_add(repository.bytes);
        if let Some(change) = change(reads, repository, from, until)? {
            entry.change_bytes = Some(entry.change_bytes.unwrap_or(0).saturating_add(change));
        }
        if let Some(rate) = growth::rate(&samples(reads, repository.host.host.id, until)?) {
            let known =
                entry.rate.unwrap_or(StorageRate { per_day_bytes: 0, days: rate.days, repositories: 0 });
            entry.rate = Some(StorageRate {
                per_day_bytes: known.per_day_bytes.saturating_add(rate.per_day_bytes),
                days: known.days.min(rate.days),
                repositories: known.repositories + 1,
            });
        }
    }
    let mut storages: Vec<StorageSeen> = all.into_values().collect();
    storages.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.storage.cmp(&other.storage)));
    repositories.sort_by_key(|repository| std::cmp::Reverse(repository.bytes));
    let large = |Repository { host, bytes }: Repository<'_>| LargeRepo {
        host: host.host.id,
        name: host.host.name.clone(),
        bytes,
    };
    let largest = First::of(repositories.into_iter().map(large).collect(), MOST_LISTED);
    Ok((First::of(storages, MOST_STORAGES), largest))
}

/// The last size that was known until then.
fn size_at(reads: &impl Reads, host: HostId, at: Timestamp) -> Result<Option<Sample>, StoreError> {
    let span = Span::under(&host).through(&(host, at.0));
    Ok(reads.last(&HISTORY, &span)?.map(|(_, point)| (point.at, point.bytes)))
}

/// By how much a repository has changed in the period; of a host that came in it, all of it is new.
fn change(
    reads: &impl Reads,
    repository: &Repository<'_>,
    from: Timestamp,
    until: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let host = repository.host.host.id;
    let Some((_, after)) = size_at(reads, host, until)? else { return Ok(None) };
    let before = match size_at(reads, host, from)? {
        Some((_, before)) => before,
        None if repository.host.host.created_at >= from => 0,
        None => return Ok(None),
    };
    let bound = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Ok(Some(bound(after).saturating_sub(bound(before))))
}

/// Sizes of a repository a week apart, oldest first, the newest until then: as far back as there is one of each week.
fn samples(reads: &impl Reads, host: HostId, until: Timestamp) -> Result<Vec<Sample>, StoreError> {
    let mut samples = Vec::with_capacity(MOST_SAMPLES);
    let Some(newest) = size_at(reads, host, until)? else { return Ok(samples) };
    samples.push(newest);
    while samples.len() < MOST_SAMPLES {
        let at = Timestamp(newest.0.0.saturating_sub(samples.len() as u64 * APART_MS));
        match size_at(reads, host, at)? {
            Some(sample) if at.ms_since(sample.0) < APART_MS => samples.push(sample),
            _ => break,
        }
    }
    samples.reverse();
    Ok(samples)
}

/// How many hosts have each version, the oldest first; one that is not known is not counted.
fn versions<'v>(all: impl Iterator<Item = &'v str>) -> First<VersionCount> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for version in all.filter(|version| !version.is_empty()) {
        *counts.entry(version).or_default() += 1;
    }
    let mut counts: Vec<VersionCount> = counts
        .into_iter()
        .map(|(version, hosts)| VersionCount { version: version.to_owned(), hosts })
        .collect();
    counts.sort_by(|one, other| {
        let order = || one.version.cmp(&other.version);
        match (
            version::is_older(&one.version, &other.version),
            version::is_older(&other.version, &one.version),
        ) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => order(),
        }
    });
    First::of(counts, MOST_LISTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Actor, AgentGone};
    use schema::CommandSeq;

    #[test]
    fn versions_are_counted_the_oldest_first() {
        let all = ["0.18.0", "0.9.1", "", "0.18.0", "0.10.2"];
        let said: Vec<_> =
            versions(all.into_iter()).items.into_iter().map(|it| (it.version, it.hosts)).collect();
        assert_eq!(said, [("0.9.1".to_owned(), 1), ("0.10.2".to_owned(), 1), ("0.18.0".to_owned(), 2)]);
    }

    fn job(state: JobState, class: Option<Class>) -> Job {
        let at = Timestamp(1_780_000_000_000);
        let what = JobWhat::Backup { group: "etc".to_owned() };
        let (id, host) = (JobId::new(at, [1; 10]), HostId([2; 16]));
        let job = Job::new(id, host, what, Actor::System, at, CommandSeq::ZERO);
        Job { state, class, finished_at: Some(at), ..job }
    }

    #[test]
    fn what_somebody_took_back_or_nobody_was_told_is_no_backup_that_failed() {
        let person = Some(Actor::Operator("ada".to_owned()));
        let cases = [
            (job(JobState::Failed, Some(Class::Network)), 1),
            (job(JobState::Failed, Some(Class::AgentRestarted)), 1),
            (job(JobState::Lost, None), 1),
            (job(JobState::Succeeded, None), 1),
            (job(JobState::Cancelled, Some(Class::Cancelled)), 1),
            (job(JobState::Cancelled, Some(Class::NotNow)), 0),
            (job(JobState::Cancelled, None), 0),
            (Job { cancel_asked_by: person, ..job(JobState::Cancelled, Some(Class::Cancelled)) }, 0),
            (Job { agent_gone: Some(AgentGone::ServerRestored), ..job(JobState::Lost, None) }, 0),
            (job(JobState::Running, None), 0),
        ];
        for (one, failed) in cases {
            let mut jobs = Jobs::default();
            jobs.take(&one);
            assert_eq!((jobs.backups.failed, jobs.backups.good), (failed, 0), "{one:?}");
            assert_eq!(jobs.failures.values().sum::<u32>(), failed);
        }
        assert_eq!(failure(&job(JobState::Succeeded, None)), Some(Cause::NoSnapshot));
        assert_eq!(failure(&job(JobState::Cancelled, Some(Class::Cancelled))), Some(Cause::Interrupted));
    }

    #[test]
    fn a_list_is_cut_and_says_how_many_more_there_are() {
        let all: Vec<u32> = (0..25).collect();
        let first = First::of(all, MOST_LISTED);
        assert_eq!((first.items.len(), first.left_out), (MOST_LISTED, 15));
    }
}
