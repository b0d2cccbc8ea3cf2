//! What the plan of the incidents has to tell goes to the outboxes of the channels, in the transaction that writes it.

use super::outbox::too_many;
use super::{route, row};
use crate::op::Op;
use crate::record::{Cause, ChannelId, Event, Incident, Notice, Subject, WaitingNotice};
use crate::refused::StoreError;
use crate::store::{CHANNELS, HOSTS, Reads, Span, WAITING_NOTICES};
use schema::{HostId, Timestamp};
use std::collections::BTreeSet;

/// So many hosts of an incident are named in a notice, and how many more there are.
pub(crate) const MOST_NAMED: usize = 20;

/// What the plan says of one incident.
#[derive(Clone, Debug)]
pub(crate) struct Telling<'p> {
    /// As it is now.
    pub(crate) incident: &'p Incident,
    /// What there is to tell, and how many have it now, or, of one that is over, had it at most.
    pub(crate) what: Option<(Event, u32)>,
    /// Those whom it meets now; of one that is over, those that it met.
    pub(crate) met: Vec<Subject>,
}

/// The channels that are on, each with since when it fails.
pub(crate) fn channels_on(reads: &impl Reads) -> Result<Vec<(ChannelId, Option<Timestamp>)>, StoreError> {
    let on = row::channels(reads)?.into_iter().filter(|(_, channel)| channel.flags.is_on);
    on.map(|(id, _)| Ok((id, row::state(reads, id)?.failing.map(|(since, _)| since)))).collect()
}

/// Puts it into the outboxes.
pub(crate) fn tell(op: &mut Op<'_, '_>, all: &[Telling<'_>]) -> Result<(), StoreError> {
    let (mut on, mut working) = (BTreeSet::new(), BTreeSet::new());
    for (id, failing_since) in channels_on(op.tx)? {
        on.insert(id);
        if failing_since.is_none() {
            working.insert(id);
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
            let Described { labels, hosts, channels: names } = described(op, telling)?;
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
                channels: names,
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

/// Whom an incident meets.
struct Described {
    /// The labels of all hosts.
    labels: BTreeSet<String>,
    /// The first of them by name.
    hosts: Vec<(HostId, String)>,
    /// The names of all channels.
    channels: Vec<String>,
}

fn described(op: &Op<'_, '_>, telling: &Telling<'_>) -> Result<Described, StoreError> {
    let (mut labels, mut hosts, mut channels) = (BTreeSet::new(), Vec::new(), Vec::new());
    for subject in &telling.met {
        match subject {
            Subject::Server => {}
            Subject::Host(id) => {
                if let Some(host) = op.tx.get(&HOSTS, id)? {
                    labels.extend(host.labels);
                    hosts.push((*id, host.name));
                }
            }
            Subject::Channel(id) => channels.extend(op.tx.get(&CHANNELS, id)?.map(|row| row.name)),
        }
    }
    channels.sort();
    hosts.sort_by(|one, other| one.1.cmp(&other.1));
    hosts.truncate(MOST_NAMED);
    Ok(Described { labels, hosts, channels })
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
