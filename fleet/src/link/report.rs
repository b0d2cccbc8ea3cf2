//! Durable reports: each is taken once, in order, and what it says is written in the same transaction.

use super::hello::{is_own_job, job_of_command, settle_suspects};
use super::{LinkState, Sent, outbox};
use crate::audit;
use crate::bounds::clip;
use crate::budget;
use crate::change::Changed;
use crate::context::Context;
use crate::credentials;
use crate::folder;
use crate::host_clock::HostClock;
use crate::hosts;
use crate::job::{self, log, own, step};
use crate::listing;
use crate::pending;
use crate::record::{Actor, AuditAction, JobState};
use crate::refused::{Refused, StoreError};
use crate::repo;
use crate::request::By;
use crate::soundness;
use crate::store::{LINK_STATES, Tx};
use schema::command::Over;
use schema::report::{Finished, Trouble};
use schema::{HostId, Refusal, Report, ReportBody, Summary, Timestamp};
use serde::Deserialize;

/// The longest last words of a job that are kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// The head of a report, which can be read though its body can't.
#[derive(Deserialize)]
struct Head {
    stream: u64,
    seq: u64,
    taken: u64,
}

/// What a report is against those that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next one.
    Next,
    /// It has come before.
    Seen,
    /// Some before it are missing: not taken, it comes again.
    Ahead,
    /// Of another journal: not taken.
    OtherStream,
}

/// Places a report: pure.
pub(crate) fn place(state: &LinkState, stream: u64, seq: u64) -> Place {
    if state.stream != Some(stream) {
        Place::OtherStream
    } else if seq <= state.reports {
        Place::Seen
    } else if seq == state.reports + 1 {
        Place::Next
    } else {
        Place::Ahead
    }
}

/// The acknowledgement that follows a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) stream: u64,
    pub(crate) through: u64,
    /// What was not taken of it.
    pub(crate) refused: Option<Over>,
}

/// Takes an authentic report. `None` = nothing to acknowledge.
pub(crate) fn take(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    message: &[u8],
    peer: &str,
    now: Timestamp,
) -> Result<Option<Acked>, Refused> {
    let report = schema::decode::<Report<'_>>(message);
    let head = match &report {
        Ok(report) => Head { stream: report.stream, seq: report.seq, taken: report.taken },
        Err(_) => match postcard::take_from_bytes::<Head>(message) {
            Ok((head, _)) => head,
            Err(_) => {
                odd(context, tx, host, peer, now, "a report that can't be read was dropped")?;
                return Ok(None);
            }
        },
    };
    let mut state = outbox::state_of(tx, host)?;
    let mut refused = None;
    hosts::seen(tx, host, peer, now)?;
    match place(&state, head.stream, head.seq) {
        Place::OtherStream => return Ok(None),
        Place::Seen | Place::Ahead => {}
        Place::Next => {
            match &report {
                Ok(report) => {
                    let within = budget::report(context, tx, host, &report.body, message.len(), now);
                    refused = match within {
                        Ok(()) => take_body(context, tx, host, report, peer, now)?,
                        Err(over) => Some(over),
                    };
                    if let Some(over) = refused {
                        tx.effects.refused.push((host, over));
                    }
                }
                Err(_) => odd(context, tx, host, peer, now, "a report of an unknown kind was passed over")?,
            }
            // The body may have written the state (a cancel that is sent again).
            state = outbox::state_of(tx, host)?;
            state.reports = head.seq;
            answer_skipped(context, tx, host, &mut state, head.taken, now)?;
            if !state.suspects.is_empty() && state.reports >= state.suspects_until {
                settle_suspects(context, tx, host, &mut state, now)?;
            }
            let has_caught_up = state.owed_until > 0 && !state.is_catching_up();
            if has_caught_up {
                state.owed_until = 0;
            }
            tx.put(&LINK_STATES, &host, &state)?;
            if has_caught_up {
                pending::drain::host(context, tx, host, now)?;
                tx.effects.wake(host);
            }
        }
    }
    Ok(Some(Acked { stream: head.stream, through: state.reports, refused }))
}

/// Clears what the agent has taken. A run that is taken but was never answered (the agent had no room to answer and
/// took a later command first) is sent again under a new number: the job id sees to it that it runs once.
pub(super) fn answer_skipped(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    state: &mut LinkState,
    taken: u64,
    now: Timestamp,
) -> Result<(), Refused> {
    for (_, row) in outbox::clear_taken(tx, host, state, taken)? {
        let Sent::Run(id) = row.what else { continue };
        let mut is_unanswered = false;
        job::change(tx, host, id, now, |job| {
            is_unanswered = job.state <= JobState::Sent;
            is_unanswered
                && row.expires_at <= now
                && step::presume(
                    job,
                    JobState::Failed,
                    now,
                    "the agent passed the command over until it was too late",
                )
        })?;
        if is_unanswered && row.expires_at > now {
            outbox::move_to_end(context, tx, host, state, &row)?;
        }
    }
    Ok(())
}

fn take_body(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    report: &Report<'_>,
    peer: &str,
    now: Timestamp,
) -> Result<Option<Over>, Refused> {
    let clock = HostClock::of(tx, host)?;
    let at = clock.corrected(report.at);
    match report.body {
        ReportBody::Accepted { job, .. } => {
            // A job is accepted when it is on the agent's disk.
            hosts::state_folder(tx, host, None)?;
            let job = job::change(tx, host, job, now, |job| step::accepted(job, at, now))?;
            cancel_again(context, tx, host, job, now)?;
        }
        ReportBody::Started { job } => {
            hosts::state_folder(tx, host, None)?;
            let job = job::change(tx, host, job, now, |job| step::started(job, at, now))?;
            cancel_again(context, tx, host, job, now)?;
        }
        ReportBody::Refused { job, reason, detail } => {
            if reason == Refusal::StateFolder {
                hosts::state_folder(tx, host, Some(at.min(now)))?;
            }
            let detail = clip(detail);
            job::change(tx, host, job, now, |job| step::refused(job, reason, &detail, at, now))?;
        }
        ReportBody::Log { job, first_line, lines } => {
            if !is_own_job(tx, host, job)? {
                return Ok(None);
            }
            if budget::is_full(context, tx, host)? {
                return Ok(Some(Over::Share));
            }
            if let Some(next) = log::append(tx, host, job, log::chunk_of(first_line, &lines))? {
                tx.effects.durable_lines.push((job, next));
                tx.effects.changed(Changed::JobLog { host, job });
            }
        }
        ReportBody::Finished(finished) => take_finished(tx, host, &finished, clock, now)?,
        ReportBody::ConfigApplied { slot, revision, refused: None } => {
            credentials::held(tx, host, slot, revision)?;
        }
        ReportBody::ConfigApplied { slot, revision, refused: Some(reason) } => {
            if credentials::refused(tx, host, slot, revision, reason)? {
                let text = format!("{} credentials were not taken: {}", slot.as_str(), reason.as_str());
                return note(context, tx, host, peer, now, AuditAction::CredentialsRefused, &text);
            }
        }
        ReportBody::Snapshots { job, first, snapshots } => {
            return Ok(listing::take_page(tx, host, job, first, &snapshots)?.err());
        }
        ReportBody::Entries { job, first, entries } => {
            return Ok(folder::take_page(tx, host, job, first, &entries)?.err());
        }
        ReportBody::NotUnderstood { seq } => {
            if let Some(job) = job_of_command(tx, host, seq)? {
                job::change(tx, host, job, now, |job| step::refused(job, Refusal::Unsupported, "", at, now))?;
            }
            odd(context, tx, host, peer, now, "the agent did not understand a command; update it")?;
        }
        ReportBody::Own { job, schedule, group, due_at } => {
            let own = own::Own { job, schedule, group, due_at };
            match own::take(context, tx, host, &own, (at, now), peer)? {
                own::Taken::In => {}
                own::Taken::Over(over) => return Ok(Some(over)),
                own::Taken::Impossible => {
                    let words = "a backup of the agent's own with an impossible name was dropped";
                    odd(context, tx, host, peer, now, words)?;
                }
            }
        }
        ReportBody::Dropped => {}
        ReportBody::CancelMissed { job } => {
            let words = "the agent knows nothing of this job any more";
            job::change(tx, host, job, now, |job| step::lost(job, now, words))?;
        }
        ReportBody::Trouble { kind, detail } => {
            match kind {
                Trouble::StateFolder => hosts::state_folder(tx, host, Some(at.min(now)))?,
                Trouble::StateFolderMended => hosts::state_folder(tx, host, None)?,
                Trouble::JournalSetAside | Trouble::CredentialsSetAside => {}
            }
            let words = format!("{kind:?} {}", clip(detail));
            return note(context, tx, host, peer, now, AuditAction::AgentTrouble, &words);
        }
    }
    Ok(None)
}

fn take_finished(
    tx: &mut Tx<'_>,
    host: HostId,
    finished: &Finished<'_>,
    clock: HostClock,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut finished = *finished;
    finished.started_at = finished.started_at.map(|at| clock.corrected(at));
    finished.finished_at = clock.corrected(finished.finished_at);
    finished.message = &finished.message[..finished.message.floor_char_boundary(MAX_MESSAGE_BYTES)];
    let mut is_news = false;
    let job = job::change(tx, host, finished.job, now, |job| {
        is_news = step::finished(job, &finished, now);
        is_news
    })?;
    let Some(job) = job.filter(|_| is_news) else { return Ok(()) };
    if let (Summary::Forget { groups }, false) = (&finished.summary, job.what.is_dry_run()) {
        soundness::forgotten(tx, &job, groups)?;
    }
    repo::take_job(tx, &job, now)
}

/// A job that was cancelled before it was sent is taken nevertheless: a session was faster. It is cancelled again.
fn cancel_again(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    job: Option<crate::record::Job>,
    now: Timestamp,
) -> Result<(), Refused> {
    match job {
        Some(job) if job.state == JobState::Cancelled && job.presumed => {
            match crate::dispatch::send_cancel(context, tx, host, job.id, now) {
                // It ends by itself; its result corrects what was presumed.
                Err(Refused::QueueFull) => Ok(()),
                sent => sent,
            }
        }
        _ => Ok(()),
    }
}

/// Audits something odd, at most once a minute for each host.
pub(crate) fn odd(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    peer: &str,
    now: Timestamp,
    what: &str,
) -> Result<(), Refused> {
    if context.may_note(&mut tx.effects, host, now)
        && let Some(over) = note(context, tx, host, peer, now, AuditAction::AgentOdd, what)?
    {
        tx.effects.refused.push((host, over));
    }
    Ok(())
}

fn note(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    peer: &str,
    now: Timestamp,
    action: AuditAction,
    detail: &str,
) -> Result<Option<Over>, Refused> {
    let by = By { actor: Actor::Agent, peer: peer.to_owned() };
    let target = hosts::target(tx, host)?;
    Ok(audit::note_of_host(context, tx, now, (host, &by), action, target, detail)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_report_of_the_journal_is_taken() {
        let state = LinkState { stream: Some(7), reports: 3, ..LinkState::default() };
        assert_eq!(place(&state, 7, 3), Place::Seen);
        assert_eq!(place(&state, 7, 0), Place::Seen);
        assert_eq!(place(&state, 7, 4), Place::Next);
        assert_eq!(place(&state, 7, 5), Place::Ahead);
        assert_eq!(place(&state, 8, 4), Place::OtherStream);
        assert_eq!(place(&LinkState::default(), 0, 1), Place::OtherStream);
    }
}
