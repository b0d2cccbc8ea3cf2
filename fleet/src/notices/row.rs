//! The rows of channels, of routes, and of what waits to be told.

use crate::change::Changed;
use crate::op::Op;
use crate::record::{ChannelId, ChannelRow, ChannelState, Route, WaitingNotice};
use crate::refused::StoreError;
use crate::store::{
    CHANNEL_STATES, CHANNELS, INCIDENTS, REPORTS, ROUTES, Reads, Span, TOLD_CHANNELS, Tx, WAITING_NOTICES,
    WAITING_PINGS, WAITING_REPORTS,
};
use schema::IncidentId;
use std::collections::BTreeSet;

/// All channels.
pub(crate) fn channels(reads: &impl Reads) -> Result<Vec<(ChannelId, ChannelRow)>, StoreError> {
    reads.rows(&CHANNELS, &Span::ALL)
}

/// The channel of this name.
pub(crate) fn named(reads: &impl Reads, name: &str) -> Result<Option<(ChannelId, ChannelRow)>, StoreError> {
    Ok(channels(reads)?.into_iter().find(|(_, row)| row.name == name))
}

/// All routes, by name.
pub(crate) fn routes(reads: &impl Reads) -> Result<Vec<Route>, StoreError> {
    Ok(reads.rows(&ROUTES, &Span::ALL)?.into_iter().map(|(_, route)| route).collect())
}

/// How a channel stands.
pub(crate) fn state(reads: &impl Reads, id: ChannelId) -> Result<ChannelState, StoreError> {
    Ok(reads.get(&CHANNEL_STATES, &id)?.unwrap_or_default())
}

/// Writes how a channel stands.
pub(crate) fn put_state(tx: &mut Tx<'_>, id: ChannelId, state: &ChannelState) -> Result<(), StoreError> {
    tx.effects.changed(Changed::Notices);
    tx.put(&CHANNEL_STATES, &id, state)
}

/// The notices of a channel that are not done with, the oldest first: also those of the message that is on its way.
pub(crate) fn waiting(reads: &impl Reads, id: ChannelId) -> Result<Vec<(u64, WaitingNotice)>, StoreError> {
    let rows = reads.rows(&WAITING_NOTICES, &Span::under(&id))?;
    Ok(rows.into_iter().map(|((_, number), notice)| (number, notice)).collect())
}

/// How many signals wait at a channel.
pub(crate) fn signals(reads: &impl Reads, id: ChannelId) -> Result<usize, StoreError> {
    Ok(reads.keys(&WAITING_PINGS, &Span::under(&id), usize::MAX)?.len())
}

/// Takes these notices of a channel away.
pub(crate) fn remove(tx: &mut Tx<'_>, id: ChannelId, numbers: &[u64]) -> Result<(), StoreError> {
    numbers.iter().try_for_each(|number| tx.remove(&WAITING_NOTICES, &(id, *number)).map(|_| ()))
}

/// Takes all away that waits at a channel, and how it stands; returns how many notices, signals and reports that were.
pub(crate) fn forget(tx: &mut Tx<'_>, id: ChannelId) -> Result<usize, StoreError> {
    tx.remove(&CHANNEL_STATES, &id)?;
    let reports = usize::from(tx.remove(&WAITING_REPORTS, &id)?);
    let signals = tx.remove_all(&WAITING_PINGS, &Span::under(&id))?;
    Ok(reports + signals + tx.remove_all(&WAITING_NOTICES, &Span::under(&id))?)
}

/// Who was told of an incident.
pub(crate) fn told(reads: &impl Reads, incident: IncidentId) -> Result<BTreeSet<ChannelId>, StoreError> {
    let keys = reads.keys(&TOLD_CHANNELS, &Span::under(&incident), usize::MAX)?;
    Ok(keys.into_iter().map(|(_, channel)| channel).collect())
}

/// They were told of it.
pub(crate) fn put_told(
    tx: &mut Tx<'_>,
    incident: IncidentId,
    channels: impl IntoIterator<Item = ChannelId>,
) -> Result<(), StoreError> {
    channels.into_iter().try_for_each(|channel| tx.put(&TOLD_CHANNELS, &(incident, channel), &()))
}

/// The incident is over: nobody has to be remembered who was told of it.
pub(crate) fn forget_told(tx: &mut Tx<'_>, incident: IncidentId) -> Result<(), StoreError> {
    tx.remove_all(&TOLD_CHANNELS, &Span::under(&incident)).map(|_| ())
}

/// A channel is deleted: no route leads to it any more, and nobody remembers what it was told.
pub(crate) fn delete(op: &mut Op<'_, '_>, id: ChannelId) -> Result<(), StoreError> {
    op.tx.remove(&CHANNELS, &id)?;
    op.tx.remove(&REPORTS, &id)?;
    forget(op.tx, id)?;
    for key in op.tx.keys(&TOLD_CHANNELS, &Span::ALL, usize::MAX)? {
        if key.1 == id {
            op.tx.remove(&TOLD_CHANNELS, &key)?;
        }
    }
    for mut route in routes(op.tx)? {
        if route.channels.contains(&id) {
            route.channels.retain(|channel| *channel != id);
            op.tx.put(&ROUTES, &route.name, &route)?;
        }
    }
    Ok(())
}

/// Makes the tables fit one another again, of which only some rows may be there; returns how many rows were left out.
pub(crate) fn index_again(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    let mut left_out = 0;
    let known: BTreeSet<ChannelId> = tx.keys(&CHANNELS, &Span::ALL, usize::MAX)?.into_iter().collect();
    for id in tx.keys(&CHANNEL_STATES, &Span::ALL, usize::MAX)? {
        if !known.contains(&id) {
            left_out += u64::from(tx.remove(&CHANNEL_STATES, &id)?);
        }
    }
    for key in tx.keys(&WAITING_NOTICES, &Span::ALL, usize::MAX)? {
        if !known.contains(&key.0) {
            left_out += u64::from(tx.remove(&WAITING_NOTICES, &key)?);
        }
    }
    for key in tx.keys(&WAITING_PINGS, &Span::ALL, usize::MAX)? {
        if !known.contains(&key.0) {
            left_out += u64::from(tx.remove(&WAITING_PINGS, &key)?);
        }
    }
    for id in tx.keys(&REPORTS, &Span::ALL, usize::MAX)? {
        if !known.contains(&id) {
            left_out += u64::from(tx.remove(&REPORTS, &id)?);
        }
    }
    for id in tx.keys(&WAITING_REPORTS, &Span::ALL, usize::MAX)? {
        if !known.contains(&id) {
            left_out += u64::from(tx.remove(&WAITING_REPORTS, &id)?);
        }
    }
    for key in tx.keys(&TOLD_CHANNELS, &Span::ALL, usize::MAX)? {
        if !known.contains(&key.1) || !tx.has(&INCIDENTS, &key.0)? {
            left_out += u64::from(tx.remove(&TOLD_CHANNELS, &key)?);
        }
    }
    for mut route in routes(tx)? {
        let before = route.channels.len();
        route.channels.retain(|channel| known.contains(channel));
        if route.channels.len() != before {
            tx.put(&ROUTES, &route.name, &route)?;
        }
    }
    // What was lost of how a channel stands must not give the number of a notice that waits to another one.
    for id in known {
        let (mut state, waiting) = (state(tx, id)?, waiting(tx, id)?);
        let signals = tx.keys(&WAITING_PINGS, &Span::under(&id), usize::MAX)?;
        let newest = waiting.last().map(|(number, _)| *number).max(signals.last().map(|(_, number)| *number));
        let next = newest.map_or(0, |number| number + 1);
        if state.next < next {
            state.next = next;
            put_state(tx, id, &state)?;
        }
    }
    Ok(left_out)
}
