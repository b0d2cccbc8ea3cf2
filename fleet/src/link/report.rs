//! Durable reports: each is taken once, in order, and what it says is written in the same transaction.

use super::hello::{is_own_job, job_of_command, settle_suspects};
use super::{LinkState, Sent, earlier, outbox, returned};
use crate::audit;
use crate::bounds::clip;
use crate::budget;
use crate::change::Changed;
use crate::credentials;
use crate::find;
use crate::folder;
use crate::host_clock::HostClock;
use crate::hosts;
use crate::job::{self, follow, log, own, transition};
use crate::listing;
use crate::op::Op;
use crate::pending;
use crate::record::{AuditAction, JobState};
use crate::refused::{Refused, StoreError};
use crate::store::LINK_STATES;
use schema::command::Over;
use schema::report::{Finished, Trouble};
use schema::{CommandSeq, HostId, HostTopic, Refusal, Report, ReportBody, ReportSeq, Stream};
use serde::Deserialize;

/// The longest last words of a job that are kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// The head of a report, which can be read though its body can't.
#[derive(Deserialize)]
struct Head {
    stream: Stream,
    seq: ReportSeq,
    taken: CommandSeq,
}

/// What a report is against those that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is the one that is expected.
    Next,
    /// It has come before and is acknowledged again, without effect.
    Seen,
    /// Some before it are missing: not taken, it comes again.
    Ahead,
    /// Of another journal: not taken.
    OtherStream,
}

/// Places a report: pure.
pub(crate) fn place(state: &LinkState, stream: Stream, seq: ReportSeq) -> Arrival {
    if state.stream != Some(stream) {
        Arrival::OtherStream
    } else if seq <= state.reports {
        Arrival::Seen
    } else if seq == state.reports.next() {
        Arrival::Next
    } else {
        Arrival::Ahead
    }
}

/// The acknowledgement that follows a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) stream: Stream,
    pub(crate) through: ReportSeq,
    /// What was not taken of it.
    pub(crate) refused: Option<Over>,
}

/// Takes an authentic report. `None` = nothing to acknowledge.
pub(crate) fn take(op: &mut Op<'_, '_>, host: HostId, message: &[u8]) -> Result<Option<Acked>, Refused> {
    let report = schema::decode::<Report<'_>>(message);
    let earlier = if report.is_err() { earlier::read(HostTopic::Evt, message) } else { None };
    // It may have lain in the journal while the agent was updated.
    let report = earlier.as_deref().map_or(report, schema::decode);
    let head = match &report {
        Ok(report) => Head { stream: report.stream, seq: report.seq, taken: report.taken },
        Err(_) => match postcard::take_from_bytes::<Head>(message) {
            Ok((head, _)) => head,
            Err(_) => {
                odd(op, host, "a report that can't be read was dropped")?;
                return Ok(None);
            }
        },
    };
    let mut state = outbox::state_of(op.tx, host)?;
    let mut refused = None;
    hosts::seen(op, host)?;
    match place(&state, head.stream, head.seq) {
        Arrival::OtherStream => return Ok(None),
        Arrival::Seen | Arrival::Ahead => {}
        Arrival::Next => {
            match &report {
                Ok(report) => {
                    let within = budget::report(op, host, &report.body, message.len());
                    refused = match within {
                        Ok(()) => take_body(op, host, report)?,
                        Err(over) => Some(over),
                    };
                    if let Some(over) = refused {
                        op.tx.effects.refused.push((host, over));
                    }
                }
                Err(_) => odd(op, host, "a report of an unknown kind was passed over")?,
            }
            // The body may have written the state (a cancel that is sent again).
            state = outbox::state_of(op.tx, host)?;
            state.reports = head.seq;
            answer_skipped(op, host, &mut state, head.taken)?;
            if !state.suspects.is_empty() && state.reports >= state.suspects_until {
                settle_suspects(op, host, &mut state)?;
            }
            let has_caught_up = state.owed_until > ReportSeq::ZERO && !state.is_catching_up();
            if has_caught_up {
                state.owed_until = ReportSeq::ZERO;
            }
            op.tx.put(&LINK_STATES, &host, &state)?;
            if has_caught_up {
                pending::drain::host(op, host)?;
                op.tx.effects.wake(host);
            }
        }
    }
    Ok(Some(Acked { stream: head.stream, through: state.reports, refused }))
}

/// Clears what the agent has taken. A run that is taken but was never answered (the agent had no room to answer and
/// took a later command first) is sent again under a new number: the job id sees to it that it runs once.
pub(super) fn answer_skipped(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    taken: CommandSeq,
) -> Result<(), Refused> {
    let now = op.now;
    for (_, row) in outbox::clear_taken(op.tx, host, state, taken)? {
        let Sent::Run(id) = row.what else { continue };
        let mut is_unanswered = false;
        job::change(op, host, id, |job| {
            is_unanswered = job.state <= JobState::Sent;
            is_unanswered
                && row.expires_at <= now
                && transition::presume(
                    job,
                    JobState::Failed,
                    now,
                    "the agent passed the command over until it was too late",
                )
        })?;
        if is_unanswered && row.expires_at > now {
            outbox::move_to_end(op, host, state, &row)?;
        }
    }
    Ok(())
}

fn take_body(op: &mut Op<'_, '_>, host: HostId, report: &Report<'_>) -> Result<Option<Over>, Refused> {
    let now = op.now;
    let clock = HostClock::of(op.tx, host)?;
    let at = clock.corrected(report.at);
    match report.body {
        ReportBody::Accepted { job, .. } => {
            // A job is accepted when it is on the agent's disk.
            hosts::state_folder(op.tx, host, None)?;
            let job = job::change(op, host, job, |job| transition::accepted(job, at, now))?;
            cancel_again(op, host, job)?;
        }
        ReportBody::Started { job } => {
            hosts::state_folder(op.tx, host, None)?;
            let job = job::change(op, host, job, |job| transition::started(job, at, now))?;
            cancel_again(op, host, job)?;
        }
        ReportBody::Refused { job, reason, detail } => {
            if reason == Refusal::StateFolder {
                hosts::state_folder(op.tx, host, Some(at.min(now)))?;
            }
            let detail = clip(detail);
            job::change(op, host, job, |job| transition::refused(job, reason, &detail, at, now))?;
        }
        ReportBody::Log { job, first_line, lines } => {
            if !is_own_job(op.tx, host, job)? {
                return Ok(None);
            }
            if budget::is_full(op.facts, op.tx, host)? {
                return Ok(Some(Over::Share));
            }
            if let Some(next) = log::append(op.tx, host, job, log::chunk_of(first_line, &lines))? {
                op.tx.effects.durable_lines.push((job, next));
                op.tx.effects.changed(Changed::JobLog { host, job });
            }
        }
        ReportBody::Finished(finished) => take_finished(op, host, &finished, clock)?,
        ReportBody::ConfigApplied { slot, revision, refused: None } => {
            credentials::held(op.tx, host, slot, revision)?;
        }
        ReportBody::ConfigApplied { slot, revision, refused: Some(reason) } => {
            if credentials::refused(op.tx, host, slot, revision, reason)? {
                let text = format!("{} credentials were not taken: {}", slot.as_str(), reason.as_str());
                return note(op, host, AuditAction::CredentialsRefused, &text);
            }
        }
        ReportBody::Snapshots { job, first, snapshots } => {
            return Ok(listing::take_page(op.tx, host, job, first, &snapshots)?.err());
        }
        ReportBody::Entries { job, first, entries } => {
            return Ok(folder::take_page(op.tx, host, job, first, &entries)?.err());
        }
        ReportBody::Found { job, first, hits } => {
            return Ok(find::take_page(op.tx, host, job, first, &hits)?.err());
        }
        ReportBody::NotUnderstood { seq } => {
            if let Some(job) = job_of_command(op.tx, host, seq)? {
                job::change(op, host, job, |job| {
                    transition::refused(job, Refusal::Unsupported, "", at, now)
                })?;
            }
            odd(op, host, "the agent did not understand a command; update it")?;
        }
        ReportBody::Own { job, schedule, group, due_at } => {
            let own = own::OwnBackup { job, schedule, group, due_at };
            match own::take(op, host, &own, (at, now))? {
                own::OwnOutcome::In => {}
                own::OwnOutcome::Over(over) => return Ok(Some(over)),
                own::OwnOutcome::Impossible => {
                    let words = "a backup of the agent's own with an impossible name was dropped";
                    odd(op, host, words)?;
                }
            }
        }
        // It is told with the answer to the job.
        ReportBody::Dropped | ReportBody::CredentialsHeld { .. } => {}
        ReportBody::CancelMissed { job } => {
            let words = "the agent knows nothing of this job any more";
            job::change(op, host, job, |job| transition::lost(job, now, words))?;
        }
        ReportBody::Trouble { kind, detail } => {
            match kind {
                Trouble::StateFolder => hosts::state_folder(op.tx, host, Some(at.min(now)))?,
                Trouble::StateFolderMended => hosts::state_folder(op.tx, host, None)?,
                Trouble::JournalSetAside | Trouble::CredentialsSetAside => {}
            }
            let words = format!("{kind:?} {}", clip(detail));
            return note(op, host, AuditAction::AgentTrouble, &words);
        }
    }
    Ok(None)
}

fn take_finished(
    op: &mut Op<'_, '_>,
    host: HostId,
    finished: &Finished<'_>,
    clock: HostClock,
) -> Result<(), StoreError> {
    let now = op.now;
    let mut finished = *finished;
    finished.started_at = finished.started_at.map(|at| clock.corrected(at));
    finished.finished_at = clock.corrected(finished.finished_at);
    finished.message = &finished.message[..finished.message.floor_char_boundary(MAX_MESSAGE_BYTES)];
    returned::adopt_ended(op, host, &finished)?;
    let mut is_news = false;
    let job = job::change(op, host, finished.job, |job| {
        is_news = transition::finished(job, &finished, now);
        is_news
    })?;
    let Some(job) = job.filter(|_| is_news) else { return Ok(()) };
    follow::found(op, &job, &finished)
}

/// A job that was cancelled before it was sent is taken nevertheless: a session was faster. It is cancelled again.
fn cancel_again(op: &mut Op<'_, '_>, host: HostId, job: Option<crate::record::Job>) -> Result<(), Refused> {
    match job {
        Some(job) if job.state == JobState::Cancelled && job.presumed => {
            match crate::dispatch::send_cancel(op, host, job.id) {
                // It ends by itself; its result corrects what was presumed.
                Err(Refused::QueueFull) => Ok(()),
                sent => sent,
            }
        }
        _ => Ok(()),
    }
}

/// Audits something odd, at most once a minute for each host.
pub(crate) fn odd(op: &mut Op<'_, '_>, host: HostId, what: &str) -> Result<(), Refused> {
    if op.may_note(host)
        && let Some(over) = note(op, host, AuditAction::AgentOdd, what)?
    {
        op.tx.effects.refused.push((host, over));
    }
    Ok(())
}

fn note(
    op: &mut Op<'_, '_>,
    host: HostId,
    action: AuditAction,
    detail: &str,
) -> Result<Option<Over>, Refused> {
    let target = hosts::target(op.tx, host)?;
    Ok(audit::note_of_host(op, host, action, target, detail)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_report_of_the_journal_is_taken() {
        let state = LinkState { stream: Some(Stream(7)), reports: ReportSeq(3), ..LinkState::default() };
        let arrival = |stream, seq| place(&state, Stream(stream), ReportSeq(seq));
        assert_eq!(arrival(7, 3), Arrival::Seen);
        assert_eq!(arrival(7, 0), Arrival::Seen);
        assert_eq!(arrival(7, 4), Arrival::Next);
        assert_eq!(arrival(7, 5), Arrival::Ahead);
        assert_eq!(arrival(8, 4), Arrival::OtherStream);
        assert_eq!(place(&LinkState::default(), Stream(0), ReportSeq(1)), Arrival::OtherStream);
    }
}
