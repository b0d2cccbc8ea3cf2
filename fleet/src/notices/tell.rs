//! What the plan of the incidents has to tell goes to the outboxes of the channels, in the transaction that writes it.

use super::outbox::too_many;
use super::{route, row};
use crate::op::Op;
use crate::record::{Cause, ChannelId, Event, Incident, Notice, WaitingNotice};
use crate::refused::StoreError;
use crate::store::{HOSTS, Reads, Span, WAITING_NOTICES};
use schema::HostId;
use std::collections::BTreeSet;

/// So many hosts of an incident are named in a notice, and how many more there are.
pub(crate) const MOST_NAMED: usize = 20;

/// What the plan says of one incident.
#[derive(Clone, Debug)]
pub(crate) struct Telling<'p> {
    /// As it is now.
    pub(crate) incident: &'p Incident,
    /// What there is to tell, and how many have it now, or, of one that recovered, had it at most.
    pub(crate) what: Option<(Event, u32)>,
    /// Those whom it meets now; of one that recovered, those that it met.
    pub(crate) hosts: Vec<HostId>,
}

/// Whether a channel that is on fails, so that the server needs somebody.
pub(crate) fn some_channel_fails(reads: &impl Reads) -> Result<bool, StoreError> {
    for (id, channel) in row::channels(reads)? {
        if channel.flags.is_on && row::state(reads, id)?.failing.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts it into the outboxes.
pub(crate) fn tell(op: &mut Op<'_, '_>, all: &[Telling<'_>]) -> Result<(), StoreError> {
    let (mut on, mut working) = (BTreeSet::new(), BTreeSet::new());
    for (id, channel) in row::channels(op.tx)? {
        if channel.flags.is_on {
            on.insert(id);
            if row::state(op.tx, id)?.failing.is_none() {
                working.insert(id);
            }
        }
    }
    let routes = row::routes(op.tx)?;
    for telling in all {
        let incident = telling.incident;
        // Whoever was told of the one before is told how this one goes on.
        if let Some(before) = incident.follows {
            let told = row::told(op.tx, before)?;
            if !told.is_empty() {
                row::put_told(op.tx, incident.id, told)?;
            }
        }
        if let Some((event, count)) = telling.what {
            let Described { labels, hosts } = described(op, telling)?;
            let told = row::told(op.tx, incident.id)?;
            let (cause, severity) = (incident.cause, incident.severity);
            let seen = route::Seen { event, cause, severity, labels: &labels, told: &told };
            let channels = if cause == Cause::Channel { &working } else { &on };
            let notice = Notice {
                at: op.now,
                event,
                incident: incident.id,
                cause,
                storage: incident.storage.clone(),
                severity,
                since: incident.since,
                count,
                hosts,
            };
            for (channel, quiet_until) in route::channels(op.now, seen, &routes, channels) {
                wait(op, channel, &WaitingNotice { notice: notice.clone(), quiet_until })?;
                row::put_told(op.tx, incident.id, [channel])?;
            }
        }
        if incident.is_settled {
            row::forget_told(op.tx, incident.id)?;
        }
    }
    Ok(())
}

/// The hosts of an incident.
struct Described {
    /// The labels of all.
    labels: BTreeSet<String>,
    /// The first of them by name.
    hosts: Vec<(HostId, String)>,
}

fn described(op: &Op<'_, '_>, telling: &Telling<'_>) -> Result<Described, StoreError> {
    let (mut labels, mut hosts) = (BTreeSet::new(), Vec::new());
    for id in &telling.hosts {
        if let Some(host) = op.tx.get(&HOSTS, id)? {
            labels.extend(host.labels);
            hosts.push((*id, host.name));
        }
    }
    hosts.sort_by(|one, other| one.1.cmp(&other.1));
    hosts.truncate(MOST_NAMED);
    Ok(Described { labels, hosts })
}

fn wait(op: &mut Op<'_, '_>, channel: ChannelId, notice: &WaitingNotice) -> Result<(), StoreError> {
    let mut state = row::state(op.tx, channel)?;
    op.tx.put(&WAITING_NOTICES, &(channel, state.next), notice)?;
    state.next += 1;
    let numbers = op.tx.keys(&WAITING_NOTICES, &Span::under(&channel), usize::MAX)?;
    let numbers: Vec<u64> = numbers.into_iter().map(|(_, number)| number).collect();
    let beyond = too_many(&state, &numbers);
    state.left_out = state.left_out.saturating_add(u32::try_from(beyond.len()).unwrap_or(u32::MAX));
    row::remove(op.tx, channel, &beyond)?;
    row::put_state(op.tx, channel, &state)
}
