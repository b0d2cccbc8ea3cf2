//! How a job's state moves: pure, by what the agent reports, in one direction.
//!
//! What the server presumed of a silent agent (lost, failed for want of an answer) is corrected by a result that
//! comes after all; nothing else leaves an end.

use super::figures;
use crate::record::{Actor, AgentGone, Job, JobState, JobWhat};
use schema::report::Finished;
use schema::{Class, HeldPhase, Refusal, Timestamp};

/// When something happened that an agent dates `at` and the server hears of `now`. An agent's clock may be wrong by
/// years: what it reports of a job happened after the job was made and before it was heard of, or its date is not
/// believed.
fn believed(job: &Job, at: Timestamp, now: Timestamp) -> Timestamp {
    if (job.created_at..=now).contains(&at) { at } else { now }
}

/// The agent has taken it. `false`: nothing changes.
pub(crate) fn accepted(job: &mut Job, at: Timestamp, now: Timestamp) -> bool {
    if job.state > JobState::Sent {
        return false;
    }
    job.state = JobState::Accepted;
    job.accepted_at = Some(believed(job, at, now));
    true
}

/// restic is about to start.
pub(crate) fn started(job: &mut Job, at: Timestamp, now: Timestamp) -> bool {
    if job.state > JobState::Accepted {
        return false;
    }
    let at = believed(job, at, now);
    job.state = JobState::Running;
    job.accepted_at.get_or_insert(at);
    job.started_at = Some(at);
    true
}

/// The agent will not run it.
pub(crate) fn refused(job: &mut Job, reason: Refusal, detail: &str, at: Timestamp, now: Timestamp) -> bool {
    let at = believed(job, at, now);
    if reason == Refusal::AlreadyStarted {
        // Its own answer stands before this one in the journal, or was given up with an older journal.
        return job.state <= JobState::Sent
            && lost(job, at, "the agent says it has run this job before, but its result is gone");
    }
    if job.state == JobState::Running || job.state.is_ended() && !job.presumed {
        return false;
    }
    let words = match reason {
        Refusal::QueueFull => "the agent holds as many jobs as it can; try again when some have ended",
        Refusal::Expired => "the command came too late; run the job again",
        Refusal::AlreadyStarted => "the agent has run this job before",
        Refusal::Policy => "the policy file on the host forbids this job",
        Refusal::Unsupported => "the agent can't do this kind of job; update it",
        Refusal::NoCredentials => "the agent has no credentials for the repository; set them again",
        Refusal::StateFolder => "the agent can't write its state folder; look at its disk",
        Refusal::Busy => "the host does what no download runs beside; try again when that has ended",
    };
    job.state = JobState::Failed;
    job.presumed = false;
    job.refusal = Some(reason);
    job.class = match reason {
        Refusal::Policy => Some(Class::Policy),
        Refusal::NoCredentials => Some(Class::NoCredentials),
        _ => None,
    };
    job.finished_at = Some(at);
    job.message = if detail.is_empty() { words.to_owned() } else { format!("{words} ({detail})") };
    true
}

/// The agent reports its end. `false` = it had ended before, and nothing changes.
pub(crate) fn finished(job: &mut Job, finished: &Finished<'_>, now: Timestamp) -> bool {
    if job.state.is_ended() && !job.presumed {
        return false;
    }
    // It was taken to have ended: nobody has waited for this.
    job.late |= job.state.is_ended();
    let mut finished_at = believed(job, finished.finished_at, now);
    // How long it took is told by one clock alone, right or wrong.
    let started_at = finished.started_at.map(|started_at| {
        let took_ms = finished.finished_at.ms_since(started_at);
        // It had begun when that was heard, whatever the time is there: what came due since was not served by it.
        if let Some(known) = job.started_at.filter(|_| started_at <= finished.finished_at) {
            finished_at = finished_at.min(known.plus_ms(took_ms));
        }
        Timestamp(finished_at.0.saturating_sub(took_ms)).max(job.created_at)
    });
    job.state = JobState::from(finished.outcome);
    job.presumed = false;
    job.agent_gone = None;
    job.class = finished.class;
    job.exit_code = finished.exit_code;
    job.started_at = started_at.or(job.started_at);
    job.finished_at = Some(finished_at);
    // What this server has said of it, when it was this one that ended it.
    let said = std::mem::replace(&mut job.message, finished.message.to_owned());
    job.log_lines = job.log_lines.max(finished.log_lines);
    job.figures = figures::of(&finished.summary);
    if job.cancel_asked_by == Some(Actor::System) {
        undelivered(job, &said);
    }
    true
}

/// The transfer of a download broke off here, and this is why. `false` = it is none, or had ended otherwise.
pub(crate) fn undelivered(job: &mut Job, why: &str) -> bool {
    if !matches!(job.what, JobWhat::Download { .. }) {
        return false;
    }
    let is_ended_here = job.cancel_asked_by == Some(Actor::System);
    match job.state {
        // It did not succeed, though the agent has sent all of it; nor did anybody withdraw it.
        state if state == JobState::Succeeded || state == JobState::Cancelled && is_ended_here => {
            job.state = JobState::Failed;
            job.class = Some(Class::Network);
            if why.is_empty() {
                "it did not arrive whole at whoever asked for it".clone_into(&mut job.message);
            } else {
                why.clone_into(&mut job.message);
            }
            true
        }
        // The agent has not ended it yet.
        state if !state.is_ended() => {
            why.clone_into(&mut job.message);
            true
        }
        _ => false,
    }
}

/// Nobody knows what became of it.
pub(crate) fn lost(job: &mut Job, at: Timestamp, words: &str) -> bool {
    presume(job, JobState::Lost, at, words)
}

/// No agent can say here what became of it.
pub(crate) fn left_behind(job: &mut Job, at: Timestamp, gone: AgentGone) -> bool {
    let words = match gone {
        AgentGone::Reenrolled => "the host was enrolled anew",
        AgentGone::Replaced => "another machine took the host's place",
        AgentGone::ServerRestored => {
            "this server was restored from an archive of when the job was under way; what became of it was told to the server \
             that is lost"
        }
    };
    let is_changed = lost(job, at, words);
    if is_changed {
        job.agent_gone = Some(gone);
    }
    is_changed
}

/// It will not run, by the server's own judgement.
pub(crate) fn presume(job: &mut Job, state: JobState, at: Timestamp, words: &str) -> bool {
    if job.state.is_ended() {
        return false;
    }
    job.state = state;
    job.presumed = true;
    job.finished_at = Some(at);
    job.message = words.to_owned();
    true
}

/// The agent holds a job that was presumed to have ended.
pub(crate) fn held(job: &mut Job, phase: HeldPhase) -> bool {
    if !(job.state.is_ended() && job.presumed) || job.state == JobState::Cancelled {
        return false;
    }
    job.state = match phase {
        HeldPhase::Queued => JobState::Accepted,
        HeldPhase::Running => JobState::Running,
        // Its result comes.
        HeldPhase::Finished => return false,
    };
    job.presumed = false;
    job.agent_gone = None;
    job.late = true;
    job.finished_at = None;
    job.message.clear();
    true
}
