//! Incidents as they are shown.

use super::condition::{self, HostSeen, InCommon, ServerNeed, in_common};
use super::plan::{self, Plan, Seen};
use super::{grace, row};
use crate::record::{Incident, Met, Severity, Subject};
use crate::refused::StoreError;
use crate::roster::RosterEntry;
use crate::status;
use crate::store::{CHANNELS, INCIDENTS, Order, Reads, Span};
use crate::view::{
    CauseGroup, CauseGroups, HostRow, IncidentState, IncidentView, MetChannel, MetHost, Page, Paged,
};
use schema::{HostId, IncidentId, Timestamp};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The id of one that is not written down.
const NONE: IncidentId = IncidentId([0; 16]);
/// The most incidents looked at for one page.
const MAX_LOOKED_AT: usize = 5_000;

/// How each host stands, as far as incidents go.
pub(crate) fn hosts_seen(
    reads: &impl Reads,
    entries: &[RosterEntry],
    now: Timestamp,
) -> Result<Vec<HostSeen>, StoreError> {
    let graces = grace::all(reads)?;
    Ok(entries.iter().map(|entry| condition::of_host(&status::row(entry, now), &graces)).collect())
}

/// What would become of the incidents now; new ones have no id yet. `server` is what the server needs, but for its channels.
pub(crate) fn look(
    reads: &impl Reads,
    hosts: &[HostSeen],
    server: &[ServerNeed],
    now: Timestamp,
) -> Result<Plan, StoreError> {
    let known = row::standing(reads)?;
    let (channels, own) = super::with_channels(reads, server)?;
    Ok(plan::plan(now, Seen { hosts, own: &own, channels: &channels }, known, || NONE))
}

/// The hosts that need somebody by what they have in common, as of now: what is shown of incidents never lags behind how
/// the hosts stand. Hosts whose labels give them longer are in groups of their own until then: a list shows how they stand.
pub(crate) fn groups(
    reads: &impl Reads,
    entries: &[RosterEntry],
    now: Timestamp,
) -> Result<CauseGroups, StoreError> {
    let mut hosts = hosts_seen(reads, entries, now)?;
    let plan = look(reads, &hosts, &[], now)?;
    let mut planned = plan.incidents;
    let placed: BTreeSet<Subject> = planned.iter().flat_map(|planned| planned.known.now()).collect();
    hosts.retain(|seen| seen.grace_ms > 0 && !placed.contains(&Subject::Host(seen.host)));
    hosts.iter_mut().for_each(|seen| seen.grace_ms = 0);
    let apart = Seen { hosts: &hosts, own: &[], channels: &[] };
    planned.extend(plan::plan(now, apart, Vec::new(), || NONE).incidents);
    let mut groups = CauseGroups::default();
    for planned in planned {
        let known = planned.known;
        if known.incident.ended.is_some() || known.incident.cause.is_of_server() {
            continue;
        }
        let mut hosts = Vec::new();
        for subject in known.now() {
            if let Subject::Host(host) = subject {
                groups.of_host.insert(host, groups.all.len());
                hosts.push(host);
            }
        }
        let is_stored = known.incident.id != NONE;
        let is_by_storage = in_common(known.incident.cause) == InCommon::Storage;
        groups.all.push(CauseGroup { incident: known.incident, is_stored, is_by_storage, hosts });
    }
    Ok(groups)
}

/// Incidents that stand like this (`None` = those that have opened), newest first.
pub(crate) fn list(
    reads: &impl Reads,
    row_of: &impl Fn(HostId) -> Option<HostRow>,
    state: Option<IncidentState>,
    page: &Page,
    most_hosts: usize,
) -> Result<Paged<IncidentView>, StoreError> {
    let span = match page.cursor.as_deref().map(str::parse::<IncidentId>) {
        Some(Err(_)) => return Ok(Paged { items: Vec::new(), next: None }),
        Some(Ok(cursor)) => Span::ALL.before(&cursor),
        None => Span::ALL,
    };
    let limit = page.limit.clamp(1, 500);
    let (mut found, mut looked_at, mut next, mut last) = (Vec::new(), 0, None, None);
    reads.walk(&INCIDENTS, &span, Order::Descending, |id, incident: Incident| {
        if found.len() == limit || looked_at == MAX_LOOKED_AT {
            next = last.map(|last: IncidentId| last.to_string());
            return Ok(ControlFlow::Break(()));
        }
        looked_at += 1;
        last = Some(id);
        let stands = IncidentState::of(&incident);
        let is_wanted = state.map_or(stands != IncidentState::Noticed, |state| stands == state);
        found.extend(Some(incident).filter(|incident| is_wanted && !was_none(incident)));
        Ok(ControlFlow::Continue(()))
    })?;
    let items = found.into_iter().map(|incident| shown(reads, row_of, incident, most_hosts));
    Ok(Paged { items: items.collect::<Result<_, _>>()?, next })
}

/// One incident; `None` = there is none of this id.
pub(crate) fn one(
    reads: &impl Reads,
    row_of: &impl Fn(HostId) -> Option<HostRow>,
    id: IncidentId,
    most_hosts: usize,
) -> Result<Option<IncidentView>, StoreError> {
    reads.get(&INCIDENTS, &id)?.map(|incident| shown(reads, row_of, incident, most_hosts)).transpose()
}

/// Whether it was over within its grace: it is kept for a while in case that it comes again, and stands in no list.
const fn was_none(incident: &Incident) -> bool {
    incident.ended.is_some() && incident.opened_at.is_none()
}

fn shown(
    reads: &impl Reads,
    row_of: &impl Fn(HostId) -> Option<HostRow>,
    incident: Incident,
    most_hosts: usize,
) -> Result<IncidentView, StoreError> {
    let (mut count, mut mended, mut hosts, mut channels) = (0_u32, 0_u32, Vec::new(), Vec::new());
    for (subject, met) in row::met(reads, incident.id)? {
        count += u32::from(met.left.is_none());
        let Met { since, left } = met;
        match subject {
            Subject::Server => {}
            Subject::Host(host) => {
                let Some(row) = row_of(host) else { continue };
                let mended_at = row.reason.mended_at().filter(|_| left.is_none());
                mended += u32::from(mended_at.is_some());
                hosts.push(MetHost { host, name: row.host.name.clone(), since, mended_at, left });
            }
            Subject::Channel(channel) => {
                let Some(row) = reads.get(&CHANNELS, &channel)? else { continue };
                channels.push(MetChannel { name: row.name, since, left_at: left.map(|(at, _)| at) });
            }
        }
    }
    channels.sort_by(|one, other| {
        (one.left_at.is_some(), &one.name).cmp(&(other.left_at.is_some(), &other.name))
    });
    // Who has it comes first.
    hosts.sort_by(|one, other| (one.left.is_some(), &one.name).cmp(&(other.left.is_some(), &other.name)));
    let left_out = u32::try_from(hosts.len().saturating_sub(most_hosts)).unwrap_or(u32::MAX);
    hosts.truncate(most_hosts);
    Ok(IncidentView { incident, count, mended, hosts, hosts_left_out: left_out, channels })
}

/// The ids of those that are open.
pub(crate) fn open(reads: &impl Reads) -> Result<Vec<IncidentId>, StoreError> {
    let standing = row::standing_heads(reads)?.into_iter();
    let open = standing.filter(|incident| IncidentState::of(incident) == IncidentState::Open);
    Ok(open.map(|incident| incident.id).collect())
}

/// How many are open by severity, in the order of [`Severity::ALL`], and how many of all of them rest.
pub(crate) fn standing_counts(reads: &impl Reads) -> Result<([u32; 2], u32), StoreError> {
    let (mut counts, mut resting) = ([0; Severity::ALL.len()], 0);
    for incident in row::standing_heads(reads)? {
        if IncidentState::of(&incident) == IncidentState::Open {
            counts[incident.severity as usize] += 1;
            resting += u32::from(incident.ack.is_some());
        }
    }
    Ok((counts, resting))
}
