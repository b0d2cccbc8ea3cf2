//! Commands on their way: numbered, sealed, kept until taken.

use super::{LinkState, Outgoing, Sent, key_of, open_envelope, seal_message};
use crate::op::Op;
use crate::refused::{Refused, StoreError};
use crate::store::{JOBS, LINK_STATES, OUTBOX, Order, Reads, Span, Tx};
use schema::{Command, CommandBody, CommandSeq, HostId, HostTopic, JobId, Timestamp, ToAgent, Topic};
use std::ops::ControlFlow;

/// The most commands that wait for one host.
pub(crate) const MAX_WAITING: u64 = 10_000;

/// Whether there is room for `more` commands.
pub(crate) fn has_room(state: &LinkState, more: u64) -> bool {
    state.last_command.since(state.taken) + more <= MAX_WAITING
}

/// Writes a command under the host's next number; the caller stores `state`.
pub(crate) fn enqueue(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    expires_at: Timestamp,
    body: CommandBody<'_>,
) -> Result<CommandSeq, Refused> {
    if !has_room(state, 1) {
        return Err(Refused::QueueFull);
    }
    let seq = state.last_command.next();
    put(op, host, Command { seq, expires_at, body })?;
    state.last_command = seq;
    op.tx.effects.wake(host);
    Ok(seq)
}

/// Writes a command under a number of its own choice, over what stands there.
pub(crate) fn put(op: &mut Op<'_, '_>, host: HostId, command: Command<'_>) -> Result<(), Refused> {
    let key = key_of(&op.facts.master, op.tx, host)?.ok_or(Refused::HostNotEnrolled)?;
    let topic = Topic::Host(host, HostTopic::Cmd);
    let frame =
        seal_message(|| op.facts.random(), &key, topic, &ToAgent::Command(command)).map_err(|_| {
            Refused::invalid("group", "this is more than fits one command: use fewer or shorter paths")
        })?;
    let what = match command.body {
        CommandBody::Run(run) => Sent::Run(run.job),
        CommandBody::Cancel { job } => Sent::Cancel(job),
        CommandBody::ConfigUpdate(update) => {
            Sent::Config { slot: update.slot, revision: update.revision, for_job: update.for_job }
        }
    };
    let row = Outgoing { frame, expires_at: command.expires_at, what };
    Ok(op.tx.put(&OUTBOX, &(host, command.seq), &row)?)
}

/// Notes how far the agent has come and drops what it has taken. Returns what was dropped.
pub(crate) fn clear_taken(
    tx: &mut Tx<'_>,
    host: HostId,
    state: &mut LinkState,
    taken: CommandSeq,
) -> Result<Vec<(CommandSeq, Outgoing)>, StoreError> {
    // An agent can't have taken what was never given.
    let taken = taken.min(state.last_command);
    if taken <= state.taken {
        return Ok(Vec::new());
    }
    state.taken = taken;
    state.sent = state.sent.max(taken);
    state.delivered = state.delivered.max(taken);
    let span = Span::under(&host).through(&(host, taken));
    let mut dropped = Vec::new();
    tx.walk(&OUTBOX, &span, Order::Ascending, |(_, seq), row| {
        dropped.push((seq, row));
        Ok(ControlFlow::Continue(()))
    })?;
    for (seq, _) in &dropped {
        tx.remove(&OUTBOX, &(host, *seq))?;
    }
    Ok(dropped)
}

/// Notes that a connection has acknowledged commands up to `seq`.
pub(crate) fn delivered(tx: &mut Tx<'_>, host: HostId, seq: CommandSeq) -> Result<(), StoreError> {
    let mut state = state_of(tx, host)?;
    let seq = seq.min(state.last_command);
    if seq > state.delivered {
        state.delivered = seq;
        tx.put(&LINK_STATES, &host, &state)?;
    }
    Ok(())
}

/// Gives everything that waits new numbers, the first being `first`. For an agent whose count is not ours any more:
/// it was set up anew, or this server was restored from a backup.
pub(crate) fn renumber(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    first: CommandSeq,
) -> Result<(), Refused> {
    let waiting = op.tx.rows(&OUTBOX, &Span::under(&host))?;
    op.tx.remove_all(&OUTBOX, &Span::under(&host))?;
    let before = first.previous();
    state.taken = before;
    state.sent = before;
    state.delivered = before;
    state.last_command = before;
    for (_, row) in waiting {
        move_to_end(op, host, state, &row)?;
    }
    Ok(())
}

/// Seals a waiting command anew under the next number.
pub(crate) fn move_to_end(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    row: &Outgoing,
) -> Result<(), Refused> {
    let Some((_, key)) = key_of(&op.facts.master, op.tx, host)? else { return Ok(()) };
    let Ok(plain) = open_envelope(&key, host, HostTopic::Cmd, &row.frame) else {
        // Sealed with a key that has ended: nobody could read it any more.
        return Ok(());
    };
    let Ok(ToAgent::Command(command)) = schema::decode(&plain) else { return Ok(()) };
    let seq = enqueue(op, host, state, command.expires_at, command.body)?;
    if let Sent::Run(job) = row.what {
        follow(op.tx, job, seq)?;
    }
    Ok(())
}

/// The job's command has another number now.
fn follow(tx: &mut Tx<'_>, job: JobId, seq: CommandSeq) -> Result<(), StoreError> {
    if let Some(mut record) = tx.get(&JOBS, &job)? {
        record.command_seq = seq;
        tx.put(&JOBS, &job, &record)?;
    }
    Ok(())
}

/// The sealed commands behind a number, oldest first.
pub(crate) fn after(
    reads: &impl Reads,
    host: HostId,
    after: CommandSeq,
    max: usize,
) -> Result<Vec<(CommandSeq, Vec<u8>)>, StoreError> {
    let mut commands = Vec::new();
    if max == 0 {
        return Ok(commands);
    }
    reads.walk(&OUTBOX, &Span::under(&host).after(&(host, after)), Order::Ascending, |(_, seq), row| {
        commands.push((seq, row.frame));
        Ok(if commands.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(commands)
}

/// A host's state; a fresh one when there is none yet.
pub(crate) fn state_of(reads: &impl Reads, host: HostId) -> Result<LinkState, StoreError> {
    Ok(reads.get(&LINK_STATES, &host)?.unwrap_or_default())
}
