//! Hello and gone: who is here, how far both sides are, what became of the jobs.

use super::report::answer_skipped;
use super::{LinkState, Sent, outbox, returned};
use crate::addresses;
use crate::bounds::clip;
use crate::change::Changed;
use crate::credentials;
use crate::dispatch::lease;
use crate::host_clock;
use crate::incarnation;
use crate::job::{self, transition};
use crate::op::Op;
use crate::pending;
use crate::quarantine;
use crate::record::{AgentGone, HostFacts, Job, JobState, Machine, Presence};
use crate::refused::{Refused, StoreError};
use crate::store::{HOSTS, JOBS, LINK_STATES, OUTBOX, PRESENCES, Reads, Span, Tx};
use schema::{CommandBody, CommandSeq, Epoch, HeldJob, Hello, HostId, JobId, ReportSeq, Slot, Stream};

/// No honest agent counts this far. What would go beyond is not followed, so that numbers never overflow.
const MAX_COMMAND: CommandSeq = CommandSeq(1 << 48);
/// The same of reports.
const MAX_REPORT: ReportSeq = ReportSeq(1 << 48);
/// How long a cancel of a job that must not run is worth sending.
const CANCEL_EXPIRES_MS: u64 = 30 * 86_400_000;
/// What a lost job says.
const LOST: &str = "the agent came back without this job and without its result; run it again";
/// What an epoch is against the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochOrder {
    /// Of a connection that has ended.
    Old,
    /// Of this connection.
    Same,
    /// Of a new one.
    New,
}

pub(crate) fn epoch_order(presence: &Presence, epoch: Epoch) -> EpochOrder {
    match epoch.cmp(&presence.epoch) {
        std::cmp::Ordering::Less => EpochOrder::Old,
        std::cmp::Ordering::Equal => EpochOrder::Same,
        std::cmp::Ordering::Greater => EpochOrder::New,
    }
}

/// Whether a hello begins a connection: pure.
///
/// Epochs grow within a journal, so an old hello that comes again changes nothing. Two may be behind and are believed
/// all the same: the first hello of a connection that the gate has let in (`is_first`; the machine may have been set
/// back), and one of a journal never heard of while nobody is connected (it takes its first epoch from a clock).
pub(crate) fn begins(
    presence: &Presence,
    state: &LinkState,
    (stream, new): (Stream, Epoch),
    is_first: bool,
) -> bool {
    match epoch_order(presence, new) {
        EpochOrder::New => true,
        EpochOrder::Same if presence.online && state.stream == Some(stream) => false,
        _ => is_first || (!presence.online && state.is_unheard_of(stream)),
    }
}

/// How far the agent says both sequences are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) stream: Stream,
    pub(crate) taken: CommandSeq,
    pub(crate) first_unacked: ReportSeq,
    pub(crate) last_report: ReportSeq,
    /// It has not heard of this incarnation of the server: its commands came from another one.
    pub(crate) is_foreign: bool,
}

impl Counts {
    /// Whether reports are still on their way.
    fn has_unacked(&self) -> bool {
        self.first_unacked <= self.last_report
    }
}

/// What a hello makes of the sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Reports are committed up to and with this one.
    pub(crate) reports: ReportSeq,
    /// The outbox gets new numbers from here on.
    pub(crate) renumber_from: Option<CommandSeq>,
}

/// Brings the two counts together: pure.
///
/// Normally there is nothing to do. A new journal begins anew. Where one side was set back (a restored server, a
/// machine rolled back to a snapshot) the other's count is followed, or reports would be dropped as seen or wait
/// for a number that never comes. The numbers of commands that another server has given out say nothing of ours.
pub(crate) fn resume(state: &LinkState, hello: Counts) -> Resumed {
    let before_unacked = hello.first_unacked.previous();
    let reports = if state.stream != Some(hello.stream) || before_unacked > state.reports {
        before_unacked
    } else {
        state.reports.min(hello.last_report)
    };
    let is_ahead = hello.taken > state.last_command;
    let counts_anew = (is_ahead || hello.is_foreign) && hello.taken < MAX_COMMAND;
    Resumed { reports: reports.min(MAX_REPORT), renumber_from: counts_anew.then(|| hello.taken.next()) }
}

/// A hello that was taken.
pub(crate) enum Taken {
    /// The host is online.
    In {
        /// Commands that a connection has acknowledged go out again.
        rewound: bool,
    },
    /// Two machines have its identity: see [`quarantine`].
    KeptOut,
    /// It obeys another server that was made of this one.
    Elsewhere,
}

/// A hello, in its order: online; sequences; jobs; credentials; backups that waited for it. `None` = it changes nothing.
pub(crate) fn take_hello(
    op: &mut Op<'_, '_>,
    host: HostId,
    hello: &Hello<'_>,
    first: Option<CommandSeq>,
) -> Result<Option<Taken>, Refused> {
    let presence = op.tx.get(&PRESENCES, &host)?.unwrap_or_default();
    let mut state = outbox::state_of(op.tx, host)?;
    if !begins(&presence, &state, (hello.stream, hello.epoch), first.is_some()) {
        if presence.online && epoch_order(&presence, hello.epoch) == EpochOrder::Same {
            addresses::trusts(op, host, hello)?;
        }
        return Ok(None);
    }
    let own = incarnation::read(op.tx)?;
    if hello.incarnation > own {
        returned::superseded(op, host, presence, hello)?;
        return Ok(Some(Taken::Elsewhere));
    }
    let comes_back = presence.incarnation < own && presence.quarantine.is_none();
    if comes_back {
        returned::settle_due(op, host, hello)?;
    }
    let before = presence.clone();
    if presence.quarantine.is_some() || !mark_online(op, host, presence, hello)? {
        return Ok(Some(Taken::KeptOut));
    }
    lease::heard_again(op, host, &before)?;
    addresses::came(op, host, hello)?;
    let counts = Counts {
        stream: hello.stream,
        taken: hello.taken,
        first_unacked: hello.first_unacked,
        last_report: hello.last_report,
        is_foreign: hello.incarnation < own,
    };
    if comes_back {
        let loss = returned::Loss::of(&state, hello);
        returned::note(op, host, &loss)?;
        returned::drop_taken(op, host, &state, hello.taken)?;
        state.former_commands = CommandSeq::ZERO;
    }
    let resumed = resume(&state, counts);
    let is_same_stream = state.stream == Some(hello.stream);
    let delivered = state.delivered;
    state.write_to(hello.stream);
    state.reports = resumed.reports;
    state.owed_until = if counts.has_unacked() { hello.last_report.min(MAX_REPORT) } else { ReportSeq::ZERO };
    match resumed.renumber_from {
        Some(first) => outbox::renumber(op, host, &mut state, first)?,
        // The reports on their way say which commands were answered; until then they stay, but don't go out again.
        None if is_same_stream && counts.has_unacked() => {}
        None if is_same_stream => answer_skipped(op, host, &mut state, hello.taken)?,
        None => {
            outbox::clear_taken(op.tx, host, &mut state, hello.taken)?;
        }
    }
    state.delivered = state.taken.max(hello.taken.min(state.last_command));
    if resumed.renumber_from.is_none() && !is_same_stream {
        state.delivered = state.taken;
    }
    state.sent = state.delivered;
    // What this very connection has acknowledged since the hello was written is no step back.
    let rewound = first.unwrap_or(delivered) > state.delivered;
    let held: Vec<HeldJob> = hello.jobs.iter().collect();
    take_held(op, host, &mut state, &held)?;
    if comes_back {
        returned::adopt_held(op, host, &held)?;
    }
    state.suspects_are_former = comes_back;
    reconcile(op, host, &mut state, &held, counts)?;
    let waiting = op.tx.rows(&OUTBOX, &Span::under(&host))?;
    let waits = |slot, revision| {
        waiting.iter().any(|(_, row)| row.what == Sent::Config { slot, revision, for_job: None })
    };
    if comes_back {
        credentials::count_anew(op, host, hello.repo_revision)?;
    }
    let repo_waits = |revision| waits(Slot::Repo, revision);
    credentials::push_changed(op, host, &mut state, hello.repo_revision, repo_waits)?;
    credentials::ask_about_admin(op, host, &mut state, |revision| waits(Slot::Admin, revision))?;
    op.tx.put(&LINK_STATES, &host, &state)?;
    pending::drain::host(op, host)?;
    if state.last_command > state.taken {
        op.tx.effects.wake(host);
    }
    Ok(Some(Taken::In { rewound }))
}

/// The connection of an epoch has ended. `false` = it changes nothing.
pub(crate) fn take_gone(op: &mut Op<'_, '_>, host: HostId, gone: Epoch) -> Result<bool, StoreError> {
    let now = op.now;
    let before = op.tx.get(&PRESENCES, &host)?.unwrap_or_default();
    // The end of a connection that never said hello says nothing of any other.
    if epoch_order(&before, gone) != EpochOrder::Same || !before.online {
        return Ok(false);
    }
    let mut after = before.clone();
    after.last_seen_at = Some(now);
    after.online = false;
    after.changed_at = Some(now);
    op.tx.put(&PRESENCES, &host, &after)?;
    op.tx.effects.changed(Changed::Host(host));
    Ok(true)
}

/// `false`: two machines have its identity, and it is kept out.
fn mark_online(
    op: &mut Op<'_, '_>,
    host: HostId,
    before: Presence,
    hello: &Hello<'_>,
) -> Result<bool, StoreError> {
    let now = op.now;
    let mut record = op.tx.get(&HOSTS, &host)?;
    let last = record.as_ref().and_then(|record| record.facts.as_ref());
    let machine = Machine { installation: hello.installation, boot_id: hello.boot_id };
    let of = |facts: &HostFacts| Machine { installation: facts.installation, boot_id: facts.boot_id };
    let (former, has_twin) = quarantine::displaced(machine, last.map(of), before.former);
    if has_twin && let Some(facts) = last {
        quarantine::begin(op, host, before, (facts, hello))?;
        return Ok(false);
    }
    let ahead_ms = host_clock::ahead_ms(hello.at, now);
    let is_off = ahead_ms.unsigned_abs() >= host_clock::WARNED_FROM_MS;
    let presence = Presence {
        former,
        quarantine: None,
        online: true,
        epoch: hello.epoch,
        changed_at: if before.online { before.changed_at.or(Some(now)) } else { Some(now) },
        last_seen_at: Some(now),
        peer: if op.by.peer.is_empty() { before.peer } else { Some(op.by.peer.clone()) },
        wire_problem: None,
        clock_ahead_ms: Some(ahead_ms),
        clock_off_since: is_off.then(|| before.clock_off_since.unwrap_or(now)),
        // A connection says nothing of the agent's disk.
        state_folder_since: before.state_folder_since,
        incarnation: incarnation::read(op.tx)?,
        superseded: None,
    };
    op.tx.put(&PRESENCES, &host, &presence)?;
    if let Some(record) = &mut record {
        record.facts = Some(HostFacts {
            at: now,
            agent_version: clip(hello.agent_version),
            restic_version: clip(hello.restic_version),
            os: clip(hello.os),
            arch: clip(hello.arch),
            hostname: clip(hello.hostname),
            installation: hello.installation,
            boot_id: hello.boot_id,
            state_free_bytes: hello.state_free_bytes,
            abilities: Some(hello.abilities.into()),
        });
        op.tx.put(&HOSTS, &host, record)?;
    }
    op.tx.effects.changed(Changed::Host(host));
    Ok(true)
}

/// Jobs that the agent holds although they were presumed to have ended: they live on, or are cancelled again.
fn take_held(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    held: &[HeldJob],
) -> Result<(), Refused> {
    for held in held {
        let job = job::change(op, host, held.job, |job| transition::held(job, held.phase))?;
        if job.is_some_and(|job| job.state == JobState::Cancelled && job.presumed)
            && outbox::has_room(state, 1)
        {
            let body = CommandBody::Cancel { job: held.job };
            outbox::enqueue(op, host, state, op.now.plus_ms(CANCEL_EXPIRES_MS), body)?;
        }
    }
    Ok(())
}

/// Finds the jobs that nobody holds any more: they were taken, the agent does not name them, and no command of
/// theirs waits. With reports still on the way they are suspects until those have come.
fn reconcile(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    held: &[HeldJob],
    counts: Counts,
) -> Result<(), Refused> {
    let open = job::open_jobs(op.tx, host, usize::MAX)?;
    state.suspects = open
        .iter()
        .filter(|job| was_taken(job, state.delivered) && !held.iter().any(|held| held.job == job.id))
        .map(|job| job.id)
        .collect();
    state.suspects_until = counts.last_report.min(MAX_REPORT);
    state.suspects_taken = state.delivered;
    if !counts.has_unacked() {
        settle_suspects(op, host, state)?;
    }
    Ok(())
}

/// Whether the agent has had it: it said so, or took its command.
fn was_taken(job: &Job, taken: CommandSeq) -> bool {
    job.state >= JobState::Accepted || job.command_seq <= taken
}

/// All reports of before the hello have come: who is a suspect still, and whose command does not go out again, is lost.
pub(crate) fn settle_suspects(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
) -> Result<(), Refused> {
    let now = op.now;
    answer_skipped(op, host, state, state.suspects_taken)?;
    let taken = state.taken;
    let is_former = state.suspects_are_former;
    for suspect in std::mem::take(&mut state.suspects) {
        job::change(op, host, suspect, |job| {
            was_taken(job, taken)
                && match is_former {
                    // Another server may have heard more.
                    true => transition::left_behind(job, now, AgentGone::ServerRestored),
                    false => transition::lost(job, now, LOST),
                }
        })?;
    }
    Ok(())
}

/// The job that has this command number, among the open ones.
pub(crate) fn job_of_command(
    tx: &Tx<'_>,
    host: HostId,
    seq: CommandSeq,
) -> Result<Option<JobId>, StoreError> {
    if let Some(row) = tx.get(&OUTBOX, &(host, seq))? {
        return Ok(if let Sent::Run(job) = row.what { Some(job) } else { None });
    }
    let open = job::open_jobs(tx, host, usize::MAX)?;
    Ok(open.into_iter().find(|job| job.command_seq == seq).map(|job| job.id))
}

/// A host without a connection is not online, whatever it said.
pub(crate) fn is_gone(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    let Some(mut presence) = op.tx.get(&PRESENCES, &host)?.filter(|presence| presence.online) else {
        return Ok(());
    };
    presence.online = false;
    presence.changed_at = Some(op.now);
    op.tx.put(&PRESENCES, &host, &presence)?;
    op.tx.effects.changed(Changed::Host(host));
    Ok(())
}

/// All hosts that a stopped server left online are not: their connections ended with it.
pub(crate) fn nobody_is_connected(op: &mut Op<'_, '_>) -> Result<usize, StoreError> {
    let mut online = op.tx.rows(&PRESENCES, &Span::ALL)?;
    online.retain(|(_, presence)| presence.online);
    for (host, mut presence) in online.iter().cloned() {
        presence.online = false;
        presence.changed_at = Some(presence.last_seen_at.unwrap_or(op.now).min(op.now));
        op.tx.put(&PRESENCES, &host, &presence)?;
    }
    Ok(online.len())
}

/// The record of a job, to tell whether a report about it may be believed.
pub(crate) fn is_own_job(tx: &Tx<'_>, host: HostId, job: JobId) -> Result<bool, StoreError> {
    Ok(tx.get(&JOBS, &job)?.is_some_and(|job| job.host == host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(last_command: u64, taken: u64, stream: Option<u64>, reports: u64) -> LinkState {
        LinkState {
            last_command: CommandSeq(last_command),
            taken: CommandSeq(taken),
            stream: stream.map(Stream),
            reports: ReportSeq(reports),
            ..LinkState::default()
        }
    }

    fn hello(stream: u64, taken: u64, first_unacked: u64, last_report: u64) -> Counts {
        Counts {
            stream: Stream(stream),
            taken: CommandSeq(taken),
            first_unacked: ReportSeq(first_unacked),
            last_report: ReportSeq(last_report),
            is_foreign: false,
        }
    }

    #[test]
    fn the_counts_come_together_as_the_table_says() {
        let table = [
            ("first hello", state(0, 0, None, 0), hello(7, 0, 1, 0), 0, None),
            ("nothing new", state(5, 5, Some(7), 9), hello(7, 5, 10, 9), 9, None),
            ("an ack was lost", state(5, 5, Some(7), 9), hello(7, 5, 6, 9), 9, None),
            ("reports on their way", state(5, 5, Some(7), 9), hello(7, 5, 6, 12), 9, None),
            ("a new journal", state(5, 5, Some(7), 9), hello(8, 0, 1, 2), 0, None),
            ("the server was set back", state(3, 3, Some(7), 4), hello(7, 6, 9, 12), 8, Some(7)),
            ("the machine was set back", state(9, 9, Some(7), 20), hello(7, 4, 11, 12), 12, None),
            ("absurd counts are not followed", state(1, 1, Some(7), 1), hello(7, u64::MAX, 0, 0), 0, None),
            (
                "absurd reports are bounded",
                state(1, 1, Some(7), 1),
                hello(7, 1, u64::MAX, u64::MAX),
                MAX_REPORT.0,
                None,
            ),
        ];
        for (name, state, hello, reports, renumber_from) in table {
            let resumed =
                Resumed { reports: ReportSeq(reports), renumber_from: renumber_from.map(CommandSeq) };
            assert_eq!(resume(&state, hello), resumed, "{name}");
            // Of commands from elsewhere, ours come behind all that it has taken.
            let foreign = Counts { is_foreign: true, ..hello };
            let behind = (hello.taken < MAX_COMMAND).then(|| hello.taken.next());
            assert_eq!(resume(&state, foreign), Resumed { renumber_from: behind, ..resumed }, "{name}");
        }
    }

    #[test]
    fn a_new_journal_is_believed_with_a_lower_epoch_while_nobody_is_connected() {
        let online = Presence { epoch: Epoch(5), online: true, ..Presence::default() };
        let offline = Presence { online: false, ..online.clone() };
        let mut known = state(0, 0, Some(6), 0);
        known.write_to(Stream(7));
        assert!(
            begins(&offline, &known, (Stream(8), Epoch(3)), false)
                && begins(&offline, &known, (Stream(8), Epoch(5)), false)
        );
        assert!(
            !begins(&online, &known, (Stream(8), Epoch(3)), false)
                && !begins(&offline, &known, (Stream(7), Epoch(5)), false)
        );
        assert!(!begins(&offline, &known, (Stream(6), Epoch(3)), false), "an old journal is no new one");
        assert!(begins(&online, &known, (Stream(7), Epoch(6)), false));
    }

    #[test]
    fn the_first_hello_of_a_connection_is_believed_when_the_machine_was_set_back() {
        let online = Presence { epoch: Epoch(5), online: true, ..Presence::default() };
        let offline = Presence { online: false, ..online.clone() };
        let known = state(0, 0, Some(7), 0);
        assert!(
            begins(&offline, &known, (Stream(7), Epoch(3)), true)
                && begins(&online, &known, (Stream(7), Epoch(3)), true)
        );
        assert!(
            !begins(&online, &known, (Stream(7), Epoch(5)), true),
            "the same hello again changes nothing"
        );
    }

    #[test]
    fn only_a_newer_epoch_is_a_new_connection() {
        let presence = Presence { epoch: Epoch(5), ..Presence::default() };
        assert_eq!(epoch_order(&presence, Epoch(4)), EpochOrder::Old);
        assert_eq!(epoch_order(&presence, Epoch(5)), EpochOrder::Same);
        assert_eq!(epoch_order(&presence, Epoch(6)), EpochOrder::New);
    }
}
