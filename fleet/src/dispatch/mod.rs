//! The one path of every job, whoever asks: checked, recorded, put into the outbox, in one transaction.

pub(crate) mod for_other;
pub(crate) mod lease;
pub(crate) mod spec;

use crate::audit;
use crate::credentials;
use crate::drill;
use crate::facts::Facts;
use crate::find;
use crate::fleet::Fleet;
use crate::folder;
use crate::groups::{self, origins};
use crate::hosts;
use crate::job::{self, transition};
use crate::link::{LinkState, Sent, outbox};
use crate::maintenance;
use crate::op::Op;
use crate::record::{
    Actor, AuditAction, AuditTarget, DrillPlan, Group, Hold, Host, Job, JobState, JobWhat, Origin, SlotState,
    named_by,
};
use crate::refused::{Refused, RunnerSetback, StoreError};
use crate::request::{By, JobRequest};
use crate::restore;
use crate::soundness;
use crate::store::{GROUPS, JOBS, LINK_STATES, OUTBOX, PRESENCES, REPOS, Reads, SUMMARIES, Span, Tx};
use schema::{Command, CommandBody, CommandSeq, HostId, JobId, JobKind, Run, Slot, Timestamp};
use spec::{Source, Sources};

/// How long a command can wait for its agent.
pub(crate) const EXPIRES_AFTER_MS: u64 = 12 * 3_600_000;
/// And a download, for which somebody waits.
const DOWNLOAD_EXPIRES_MS: u64 = 120_000;
/// How long a cancel is worth sending.
const CANCEL_EXPIRES_MS: u64 = 30 * 86_400_000;
/// The most open jobs of a host that are looked at for one like the new one.
const LOOK_AT: usize = 1_000;

impl Fleet {
    /// Runs a job: the record is written and its command put into the outbox, or nothing happens.
    pub async fn dispatch(&self, host: HostId, request: JobRequest, by: By) -> Result<Job, Refused> {
        self.write(by, move |op| dispatch(op, host, &request)).await
    }

    /// Ends a job that has not ended. A job that its agent has never been sent ends at once; any other when the
    /// agent says so.
    pub async fn cancel(&self, job: JobId, by: By) -> Result<Job, Refused> {
        self.write(by, move |op| cancel(op, job)).await
    }
}

/// A request that may be carried out.
struct Passed {
    host: Host,
    what: JobWhat,
    sources: Sources,
    state: LinkState,
    with_admin: bool,
    /// The host whose repository it is about, when it is another one's.
    source: Option<Host>,
}

/// Why a request would be refused; the checks stand in the order in which a person can mend them.
pub(crate) fn blocked(
    (facts, now): (&Facts, Timestamp),
    reads: &impl Reads,
    host: HostId,
    request: &JobRequest,
) -> Result<Option<Refused>, StoreError> {
    match check((facts, now), reads, host, request) {
        Ok(_) => Ok(None),
        Err(Refused::Store(error)) => Err(error),
        Err(refused) => Ok(Some(refused)),
    }
}

fn check(
    (facts, now): (&Facts, Timestamp),
    reads: &impl Reads,
    id: HostId,
    request: &JobRequest,
) -> Result<Passed, Refused> {
    let host = hosts::find(reads, id)?;
    let source = for_other::source_of(reads, id, request)?;
    if source.is_some()
        && let Some(why) = for_other::runner_setback(reads, &host)?
    {
        return Err(Refused::RunnerUnfit { runner: host.name, why });
    }
    match for_other::setback(reads, id)? {
        None => {}
        Some(RunnerSetback::NotEnrolled) => return Err(Refused::HostNotEnrolled),
        Some(RunnerSetback::WireUnsupported | RunnerSetback::AgentTooOld) => {
            return Err(Refused::WireUnsupported);
        }
        Some(RunnerSetback::Offline) => return Err(Refused::HostOffline),
    }
    if host.backups_held.is_some()
        && matches!(request, JobRequest::Backup { .. } | JobRequest::Forget | JobRequest::Prune)
    {
        return Err(Refused::BackupsHeld);
    }
    let kind = request.kind();
    match &source {
        Some(source) => for_other::check((facts, reads), source.id, request)?,
        // What can't be opened here the agent has of its own, so its jobs go on.
        None if kind != JobKind::Browse && credentials::facts_of(facts, reads, id, Slot::Repo)?.is_none() => {
            return Err(Refused::RepoCredsRequired);
        }
        None => {}
    }
    let mut has_admin = false;
    if matches!(request, JobRequest::Prune | JobRequest::Forget) {
        match credentials::state_of(facts, reads, id, Slot::Admin)? {
            SlotState::Usable => has_admin = true,
            SlotState::Unreadable => return Err(Refused::AdminCredsUnreadable),
            SlotState::Forbidden if kind == JobKind::Prune => return Err(Refused::AdminCredsForbidden),
            SlotState::Empty if kind == JobKind::Prune => return Err(Refused::AdminCredsRequired),
            // The everyday credentials may be allowed to delete.
            SlotState::Forbidden | SlotState::Empty => {}
        }
    }
    let (what, groups) = what_of(facts, reads, id, request)?;
    let sources = sources_of(reads, &host, groups)?;
    check_like(reads, id, &what)?;
    if let JobRequest::Unlock { all: Some(mark) } = request {
        check_lock(reads, id, mark)?;
    }
    check_repo((facts, now), reads, id, &what)?;
    let state = outbox::state_of(reads, id)?;
    if !outbox::has_room(&state, 1 + u64::from(has_admin || source.is_some())) {
        return Err(Refused::QueueFull);
    }
    Ok(Passed { host, what, sources, state, with_admin: has_admin, source })
}

fn what_of(
    facts: &Facts,
    reads: &impl Reads,
    host: HostId,
    request: &JobRequest,
) -> Result<(JobWhat, Vec<Group>), Refused> {
    Ok(match request {
        JobRequest::Probe => (JobWhat::Probe, Vec::new()),
        JobRequest::Init => (JobWhat::Init, Vec::new()),
        JobRequest::Backup { group } => {
            let record = reads.get(&GROUPS, &(host, group.clone()))?.ok_or(Refused::GroupNotFound)?;
            (JobWhat::Backup { group: group.clone() }, vec![record])
        }
        JobRequest::Forget => {
            let (groups, held) = may_forget(reads, host)?;
            check_backups(reads, host, &groups)?;
            let rules = groups.iter().map(|group| (group.name.clone(), group.keep.clone())).collect();
            (JobWhat::Forget { groups: rules, held }, groups)
        }
        JobRequest::ForgetDryRun { group, keep } => {
            let record = reads.get(&GROUPS, &(host, group.clone()))?.ok_or(Refused::GroupNotFound)?;
            let keep = keep.clone().unwrap_or_else(|| record.keep.clone());
            groups::check_retention(&keep)?;
            if spec::keep_of(&keep).is_empty() {
                return Err(Refused::invalid("keep", "without a keep rule no snapshot is dropped; give one"));
            }
            let of_host = soundness::unusual_group(reads, host)?.map(|(_, why)| why);
            let held = soundness::of(reads, host, group)?.hold().or(of_host);
            (JobWhat::ForgetDryRun { group: group.clone(), keep, held }, vec![record])
        }
        JobRequest::Prune => {
            if let Some((group, why)) = soundness::held_on_repository(reads, host)? {
                return Err(Refused::Held { group, why });
            }
            (JobWhat::Prune, Vec::new())
        }
        JobRequest::Check { subset_pct } => {
            let settings = maintenance::settings::of(&facts.settings.timezone, reads, host)?;
            (
                JobWhat::Check { subset_pct: subset_pct.unwrap_or(settings.check_subset_pct).min(100) },
                Vec::new(),
            )
        }
        JobRequest::Unlock { all } => (JobWhat::Unlock { all: all.is_some() }, Vec::new()),
        JobRequest::Stats => (JobWhat::Stats, Vec::new()),
        JobRequest::Snapshots => (JobWhat::Snapshots, Vec::new()),
        JobRequest::Ls { snapshot, path } => {
            folder::check_snapshot(snapshot)?;
            (JobWhat::Ls { snapshot: snapshot.clone(), path: folder::clean_path(path)? }, Vec::new())
        }
        JobRequest::Browse { path } => (JobWhat::Browse { path: folder::clean_path(path)? }, Vec::new()),
        JobRequest::Download { snapshot, path, form, source } => {
            folder::check_snapshot(snapshot)?;
            // Whether one that waits on the agent is in its way the agent knows.
            let keeps_off = |open: &Job| match open.what.kind() {
                JobKind::Download => true,
                JobKind::Prune => open.state == JobState::Running,
                _ => false,
            };
            if let Some(open) = job::open_jobs(reads, host, LOOK_AT)?.into_iter().find(keeps_off) {
                return Err(Refused::HostBusy { job: open.id, kind: open.what.kind() });
            }
            let path = folder::clean_path(path)?;
            let (snapshot, form, source) = (snapshot.clone(), *form, *source);
            (JobWhat::Download { snapshot, path, form, source }, Vec::new())
        }
        JobRequest::Restore(plan) => {
            let plan = restore::check(plan)?;
            let what = JobWhat::Restore(plan);
            spec::with(&what, "", &Sources::default(), spec::fits)??;
            (what, Vec::new())
        }
        JobRequest::Drill { group, files, bytes } => {
            let name = match group {
                Some(group) => group.clone(),
                None => longest_unproven(reads, host)?,
            };
            let record = reads.get(&GROUPS, &(host, name.clone()))?.ok_or(Refused::GroupNotFound)?;
            (JobWhat::Drill(drill::plan(&name, *files, *bytes)?), vec![record])
        }
        JobRequest::Find(plan) => {
            let plan = find::check(plan)?;
            let group = match &plan.group {
                Some(name) => {
                    vec![reads.get(&GROUPS, &(host, name.clone()))?.ok_or(Refused::GroupNotFound)?]
                }
                None => Vec::new(),
            };
            (JobWhat::Find(plan), group)
        }
        JobRequest::Diff { against, snapshot } => {
            folder::check_snapshot(snapshot)?;
            find::check_against(against, snapshot)?;
            (JobWhat::Diff { against: against.clone(), snapshot: snapshot.clone() }, Vec::new())
        }
    })
}

/// The source group with a good backup that was drilled longest ago, or never.
fn longest_unproven(reads: &impl Reads, host: HostId) -> Result<String, Refused> {
    let summary = reads.get(&SUMMARIES, &host)?.unwrap_or_default();
    let groups = summary.groups.into_iter().filter(|group| group.proof.since.is_some());
    let oldest = groups.min_by_key(|group| group.proof.last_run.map(|(_, last_run)| last_run.at));
    let nothing = "no source group of this host has a good backup yet: there is nothing to prove";
    oldest.map(|group| group.name).ok_or_else(|| Refused::invalid("group", nothing))
}

/// The plan of the drill by which the proof of this group has failed.
fn failed_plan(reads: &impl Reads, host: HostId, group: &str) -> Result<Option<DrillPlan>, StoreError> {
    let summary = reads.get(&SUMMARIES, &host)?.unwrap_or_default();
    let proof = summary.groups.iter().find(|known| known.name == group).map(|group| &group.proof);
    let Some(failed) = proof.and_then(|proof| proof.failed) else { return Ok(None) };
    Ok(match reads.get(&JOBS, &failed.job)?.map(|job| job.what) {
        Some(JobWhat::Drill(plan)) => Some(plan),
        _ => None,
    })
}

/// Source groups of which nothing may go, and why.
type LeftOut = Vec<(String, Hold)>;

/// The groups with a keep rule: those to which it is applied, and those of which nothing may go.
fn may_forget(reads: &impl Reads, host: HostId) -> Result<(Vec<Group>, LeftOut), Refused> {
    let (mut groups, mut held) = (Vec::new(), Vec::new());
    for (_, group) in reads.rows(&GROUPS, &Span::under(&host))? {
        if spec::keep_of(&group.keep).is_empty() {
            continue;
        }
        match soundness::of(reads, host, &group.name)?.hold() {
            None => groups.push(group),
            Some(why) => held.push((group.name, why)),
        }
    }
    let is_ruled = !groups.is_empty() || !held.is_empty();
    if let Some((group, why)) = soundness::unusual_group(reads, host)?.filter(|_| is_ruled) {
        return Err(Refused::Held { group, why });
    }
    match held.first() {
        _ if !groups.is_empty() => Ok((groups, held)),
        Some((group, why)) => Err(Refused::Held { group: group.clone(), why: *why }),
        None => Err(Refused::invalid("keep", "no source group of this host has a retention rule")),
    }
}

/// A forget goes by what is known of snapshots when it is asked for: not while one of these groups is backed up.
fn check_backups(reads: &impl Reads, host: HostId, groups: &[Group]) -> Result<(), Refused> {
    for job in job::open_jobs(reads, host, LOOK_AT)? {
        let JobWhat::Backup { group: tag } = &job.what else { continue };
        let owner = origins::owner_of(reads, host, tag)?;
        if let Some(group) = owner.filter(|owner| groups.iter().any(|group| group.name == *owner)) {
            return Err(Refused::BackupOpen { group, job: job.id });
        }
    }
    Ok(())
}

/// What an agent has to know of the groups of a job, and whose snapshots are of others.
fn sources_of(reads: &impl Reads, host: &Host, groups: Vec<Group>) -> Result<Sources, StoreError> {
    let mut sources = Sources::default();
    if groups.is_empty() {
        return Ok(sources);
    }
    for (_, other) in reads.rows(&GROUPS, &Span::under(&host.id))? {
        if !groups.iter().any(|group| group.name == other.name) {
            sources.others.push(Origin { hostname: host.restic_host.clone(), tag: other.name });
            sources.others.extend(other.origins);
        }
    }
    let short = |snapshot: &str| named_by(snapshot).to_owned();
    for group in groups {
        let known = soundness::of(reads, host.id, &group.name)?;
        sources.groups.push(Source {
            lacking: known.lacking.iter().map(|flawed| short(&flawed.snapshot)).collect(),
            whole: known.whole.iter().rev().map(|whole| short(&whole.snapshot)).collect(),
            right: known.right,
            began_at: known.began_at,
            group,
        });
    }
    Ok(sources)
}

/// A second job of these kinds would only do the same again. Others may queue up at the agent.
fn check_like(reads: &impl Reads, host: HostId, what: &JobWhat) -> Result<(), Refused> {
    let kind = what.kind();
    let is_once = matches!(
        kind,
        JobKind::Backup | JobKind::Init | JobKind::Forget | JobKind::Prune | JobKind::Check | JobKind::Drill
    );
    if !is_once && !what.is_look() {
        return Ok(());
    }
    for job in job::open_jobs(reads, host, LOOK_AT)? {
        let is_like = match (what, &job.what) {
            (JobWhat::Backup { group }, JobWhat::Backup { group: other }) => group == other,
            (what, other) if what.is_look() || other.is_look() => what == other,
            _ => kind == job.what.kind(),
        };
        if is_like {
            return Err(Refused::JobInProgress { job: job.id });
        }
    }
    Ok(())
}

/// Whether another host works on the repository right now; see [`lease`].
fn check_repo(
    (facts, now): (&Facts, Timestamp),
    reads: &impl Reads,
    host: HostId,
    what: &JobWhat,
) -> Result<(), Refused> {
    let is_exclusive = match what {
        // What reads without a lock, and an unlock is for when locks are in the way.
        what if what.is_look() => return Ok(()),
        JobWhat::Probe | JobWhat::Unlock { all: false } => return Ok(()),
        // But it must not take away the lock of a job that is known to be at work.
        JobWhat::Unlock { all: true } => true,
        what => what.is_exclusive(),
    };
    let source = what.source().unwrap_or(host);
    match lease::neighbour((facts, now), reads, (host, source), is_exclusive)? {
        None => Ok(()),
        Some((host, job)) => Err(Refused::RepoBusy { host, kind: job.what.kind(), job: job.id }),
    }
}

/// Live locks are removed only when the one that is held is the one that was shown.
fn check_lock(reads: &impl Reads, host: HostId, mark: &str) -> Result<(), Refused> {
    let lock = reads.get(&REPOS, &host)?.and_then(|state| state.as_shown().lock);
    let message = match lock.and_then(|lock| lock.holder) {
        Some(holder) if holder.mark() == mark => return Ok(()),
        Some(holder) => format!(
            "the lock is another one now, of {}@{}, pid {}: look at it before you remove it",
            holder.username, holder.hostname, holder.pid
        ),
        None => "no lock is known to be held: unlock without removing live locks first".to_owned(),
    };
    Err(Refused::LockChanged { message })
}

/// The same inside a transaction. A refusal of a backup comes before anything is written.
pub(crate) fn dispatch(op: &mut Op<'_, '_>, host: HostId, request: &JobRequest) -> Result<Job, Refused> {
    let now = op.now;
    let Passed { host, mut what, sources, mut state, with_admin, source } =
        check((op.facts, now), op.tx, host, request)?;
    let id = op.job_id();
    if let JobWhat::Drill(plan) = &mut what {
        let failed = failed_plan(op.tx, host.id, &plan.group)?;
        drill::draw(plan, failed.as_ref(), id);
    }
    let expires_at = now.plus_ms(match what {
        JobWhat::Download { .. } => DOWNLOAD_EXPIRES_MS,
        _ => EXPIRES_AFTER_MS,
    });
    if with_admin {
        credentials::push(op, host.id, &mut state, Slot::Admin, Some(id), expires_at)?;
    }
    if let Some(source) = &source {
        credentials::lend(op, (source.id, host.id), &mut state, id, expires_at)?;
    }
    let command_seq = spec::with(&what, &host.restic_host, &sources, |spec| {
        spec::fits(spec)?;
        let run = Run {
            job: id,
            restic_host: &host.restic_host,
            deadline_secs: deadline_secs(&what),
            spec,
            for_host: source.as_ref().map(|source| source.name.as_str()),
        };
        outbox::enqueue(op, host.id, &mut state, expires_at, CommandBody::Run(run))
    })??;
    op.tx.put(&LINK_STATES, &host.id, &state)?;
    let kind = what.kind();
    let job = Job::new(id, host.id, what, op.by.actor.clone(), now, command_seq);
    job::create(op, &job)?;
    // Whoever looks around for a file leaves no line for each folder on the way.
    match &source {
        Some(source) => for_other::note(op, &job, (&host, source), &detail(&job))?,
        None if job.what.is_look() => {}
        None => audit::note(op, AuditAction::Job(kind), AuditTarget::Job(host.id, id), detail(&job))?,
    }
    Ok(job)
}

fn detail(job: &Job) -> String {
    match &job.what {
        JobWhat::Backup { group } => group.clone(),
        JobWhat::Forget { held, .. } if !held.is_empty() => {
            let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
            format!("without {}", names.join(", "))
        }
        JobWhat::Check { subset_pct } => format!("{subset_pct} % of the data"),
        JobWhat::Unlock { all: true } => "all locks".to_owned(),
        JobWhat::Restore(plan) => restore::detail(plan),
        JobWhat::Drill(plan) => plan.group.clone(),
        JobWhat::Download { snapshot, path, form, .. } => form.of(snapshot, path),
        _ => String::new(),
    }
}

/// When a job must have ended. What moves data takes as long as it takes.
const fn deadline_secs(what: &JobWhat) -> u32 {
    match what.kind() {
        JobKind::Restore if what.is_dry_run() => 6 * 3_600,
        JobKind::Probe => 120,
        JobKind::Init | JobKind::Unlock => 300,
        JobKind::Browse => 60,
        JobKind::Snapshots | JobKind::Ls | JobKind::Find | JobKind::Diff => 1_800,
        JobKind::Stats | JobKind::Drill => 6 * 3_600,
        JobKind::Backup | JobKind::Forget | JobKind::Prune | JobKind::Check => 0,
        JobKind::Restore | JobKind::Download => 0,
    }
}

fn cancel(op: &mut Op<'_, '_>, id: JobId) -> Result<Job, Refused> {
    let now = op.now;
    let before = op.tx.get(&JOBS, &id)?.ok_or(Refused::JobNotFound)?;
    if before.state.is_ended() {
        return Err(Refused::JobEnded);
    }
    let host = before.host;
    let mut job = before.clone();
    let is_online = op.tx.get(&PRESENCES, &host)?.is_some_and(|presence| presence.online);
    if !is_online && job.state == JobState::Queued {
        replace_command(op, &job)?;
        transition::presume(&mut job, JobState::Cancelled, now, "cancelled before the host was told of it");
    } else if job.cancel_asked_at.is_none() || !waits(op.tx, host, id)? {
        send_cancel(op, host, id)?;
    }
    if !is_online && !job.state.is_ended() {
        // Nobody waits for a machine that can't be asked. Should it come back with the job, it is told, and what it
        // says of it is late.
        transition::presume(&mut job, JobState::Cancelled, now, "cancelled while the host was away");
    }
    job.cancel_asked_at.get_or_insert(now);
    job.cancel_asked_by.get_or_insert_with(|| op.by.actor.clone());
    if job != before {
        job::save(op, Some(&before), &job)?;
        audit::note(op, AuditAction::JobCancelled, AuditTarget::Job(host, id), "")?;
    }
    Ok(job)
}

/// Its command becomes a cancel, so that the numbers keep no hole and a session that is just reading the outbox still
/// does the right thing; so does the one with credentials for it.
fn replace_command(op: &mut Op<'_, '_>, job: &Job) -> Result<(), Refused> {
    let expires_at = op.now.plus_ms(CANCEL_EXPIRES_MS);
    let is_for_it = |what: &Sent| matches!(what, Sent::Config { for_job: Some(id), .. } if *id == job.id);
    let waiting = op.tx.rows(&OUTBOX, &Span::under(&job.host))?;
    let with_it = waiting.iter().filter(|(_, row)| is_for_it(&row.what)).map(|((_, seq), _)| *seq);
    for seq in with_it.chain([job.command_seq]) {
        outbox::put(op, job.host, Command { seq, expires_at, body: CommandBody::Cancel { job: job.id } })?;
    }
    Ok(())
}

/// Takes a job back that no agent has: its command becomes a cancel.
pub(crate) fn withdraw(op: &mut Op<'_, '_>, before: &Job, why: &str) -> Result<(), Refused> {
    if op.tx.has(&OUTBOX, &(before.host, before.command_seq))? {
        replace_command(op, before)?;
    }
    let mut job = before.clone();
    job.cancel_asked_at.get_or_insert(op.now);
    job.cancel_asked_by.get_or_insert(Actor::System);
    transition::presume(&mut job, JobState::Cancelled, op.now, why);
    Ok(job::save(op, Some(before), &job)?)
}

/// Whether a cancel of this job waits in the outbox.
fn waits(tx: &Tx<'_>, host: HostId, job: JobId) -> Result<bool, StoreError> {
    let waiting = tx.rows(&OUTBOX, &Span::under(&host))?;
    Ok(waiting.iter().any(|(_, row)| row.what == Sent::Cancel(job)))
}

/// Puts a cancel into the outbox.
pub(crate) fn send_cancel(op: &mut Op<'_, '_>, host: HostId, job: JobId) -> Result<(), Refused> {
    let mut state = outbox::state_of(op.tx, host)?;
    let expires_at = op.now.plus_ms(CANCEL_EXPIRES_MS);
    outbox::enqueue(op, host, &mut state, expires_at, CommandBody::Cancel { job })?;
    Ok(op.tx.put(&LINK_STATES, &host, &state)?)
}

/// Notes that commands up to `through` were handed to a session.
pub(crate) fn sent(op: &mut Op<'_, '_>, host: HostId, through: CommandSeq) -> Result<(), StoreError> {
    let now = op.now;
    let mut state = outbox::state_of(op.tx, host)?;
    let through = through.min(state.last_command);
    if through <= state.sent {
        return Ok(());
    }
    let span = Span::under(&host).after(&(host, state.sent)).through(&(host, through));
    for (_, row) in op.tx.rows(&OUTBOX, &span)? {
        if let Sent::Run(job) = row.what {
            job::change(op, host, job, |job| {
                let is_new = job.state == JobState::Queued;
                if is_new {
                    job.state = JobState::Sent;
                    job.sent_at = Some(now);
                }
                is_new
            })?;
        }
    }
    state.sent = through;
    op.tx.put(&LINK_STATES, &host, &state)
}
