//! The outbox of channels to services such as Healthchecks: what a backup tells is put there in the transaction that writes the
//! job.

use super::{ping, row};
use crate::op::Op;
use crate::record::{
    Channel, ChannelId, Healthchecks, Host, Job, JobWhat, LostMessage, MessageId, SendError, SendFault,
    Signal, Summary, WaitingPing, Watched,
};
use crate::refused::StoreError;
use crate::store::{HOSTS, Reads, Span, WAITING_PINGS};

/// A job has moved: where it is a backup, the channels whose checks hear of it get their signal. `summary` is its host's, and
/// knows of the job.
pub(crate) fn job_moved(op: &mut Op<'_, '_>, job: &Job, summary: &Summary) -> Result<(), StoreError> {
    let JobWhat::Backup { group } = &job.what else { return Ok(()) };
    let Some((signal, other)) = ping::signal(job, group, summary) else { return Ok(()) };
    for (channel, known) in row::channels(op.tx)? {
        let Channel::Healthchecks(checks) = &known.channel else { continue };
        if !known.flags.is_on || checks.of == Watched::Fleet {
            continue;
        }
        let Some(host) = op.tx.get(&HOSTS, &job.host)? else { return Ok(()) };
        if !is_of(checks, &host) || !(checks.group.is_empty() || checks.group == *group) {
            continue;
        }
        let at = match signal {
            Signal::Start => job.started_at,
            Signal::Success | Signal::Fail => job.finished_at,
        };
        // A check of the whole host is good only when all of it is.
        let (signal, other) = match (checks.of, signal, &other) {
            (Watched::Host, Signal::Success, Some(other)) => (Signal::Fail, Some(other.clone())),
            _ => (signal, None),
        };
        let at = at.unwrap_or(op.now).min(op.now);
        let waiting = WaitingPing { signal, at, host: host.id, group: group.clone(), job: job.id, other };
        wait(op, channel, &waiting)?;
    }
    Ok(())
}

/// Whether the checks of a channel are of this host.
pub(super) fn is_of(checks: &Healthchecks, host: &Host) -> bool {
    checks.host.is_none_or(|only| only == host.id)
        && (checks.labels.is_empty() || checks.labels.iter().any(|label| host.labels.contains(label)))
}

/// The signals that wait at a channel, oldest first.
pub(super) fn waiting(reads: &impl Reads, id: ChannelId) -> Result<Vec<(u64, WaitingPing)>, StoreError> {
    let rows = reads.rows(&WAITING_PINGS, &Span::under(&id))?;
    Ok(rows.into_iter().map(|((_, number), ping)| (number, ping)).collect())
}

/// Drops what is of hosts that are deleted, and what is too old to be told of as what is now, and keeps how many that were.
pub(super) fn drop_late(op: &mut Op<'_, '_>, id: ChannelId) -> Result<(), StoreError> {
    let (mut late, mut first) = (0_u32, None);
    for (number, ping) in waiting(op.tx, id)? {
        if !op.tx.has(&HOSTS, &ping.host)? {
            op.tx.remove(&WAITING_PINGS, &(id, number))?;
        } else if ping::is_late(op.now, &ping) {
            op.tx.remove(&WAITING_PINGS, &(id, number))?;
            (late, first) = (late.saturating_add(1), first.or(Some(ping.at)));
        }
    }
    let Some(made_at) = first else { return Ok(()) };
    let mut state = row::state(op.tx, id)?;
    let error = SendError { at: op.now, fault: SendFault::TooLate, said: String::new() };
    let tries = state.sending.as_ref().map_or(0, |sending| sending.tries);
    let lost = LostMessage { id: MessageId(op.facts.random()), made_at, notices: late, tries, error };
    super::outbox::lose(&mut state, lost);
    row::put_state(op.tx, id, &state)
}

fn wait(op: &mut Op<'_, '_>, channel: ChannelId, ping: &WaitingPing) -> Result<(), StoreError> {
    let mut state = row::state(op.tx, channel)?;
    op.tx.put(&WAITING_PINGS, &(channel, state.next), ping)?;
    state.next += 1;
    // They are counted only where there can be too many: numbers grow, and have holes.
    let first = op.tx.keys(&WAITING_PINGS, &Span::under(&channel), 1)?.first().map_or(0, |(_, first)| *first);
    if state.next.saturating_sub(first) > super::outbox::MOST_WAITING as u64 {
        let numbers = op.tx.keys(&WAITING_PINGS, &Span::under(&channel), usize::MAX)?;
        let beyond = numbers.len().saturating_sub(super::outbox::MOST_WAITING);
        for key in &numbers[..beyond] {
            op.tx.remove(&WAITING_PINGS, key)?;
        }
        state.left_out = state.left_out.saturating_add(u32::try_from(beyond).unwrap_or(u32::MAX));
    }
    row::put_state(op.tx, channel, &state)
}
