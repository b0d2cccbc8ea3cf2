//! The rows of incidents, as all read and write them.

use super::link;
use super::plan::{Known, Plan};
use crate::change::Changed;
use crate::op::Op;
use crate::record::{Incident, Met, Subject};
use crate::refused::{Refused, StoreError};
use crate::store::{
    HOST_INCIDENTS, HOSTS, INCIDENT_ACTS, INCIDENT_SUBJECTS, INCIDENTS, Order, Reads, STANDING_INCIDENTS,
    Span, Tx,
};
use schema::{HostId, IncidentId};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// So many that have ended are kept; the oldest go.
pub(crate) const MOST_ENDED: usize = 2_000;
/// Of one that has ended so many of the hosts that it met are kept by name; how many it met stays.
pub(crate) const MOST_MET: usize = 200;

/// All that stand: that are not over for good.
pub(crate) fn standing(reads: &impl Reads) -> Result<Vec<Known>, StoreError> {
    let mut all = Vec::new();
    for incident in standing_heads(reads)? {
        let met = met(reads, incident.id)?;
        all.push(Known { incident, met });
    }
    Ok(all)
}

/// The same without whom they meet.
pub(crate) fn standing_heads(reads: &impl Reads) -> Result<Vec<Incident>, StoreError> {
    let ids = reads.keys(&STANDING_INCIDENTS, &Span::ALL, usize::MAX)?;
    ids.into_iter().filter_map(|id| reads.get(&INCIDENTS, &id).transpose()).collect()
}

/// Whom an incident meets, or met.
pub(crate) fn met(reads: &impl Reads, id: IncidentId) -> Result<BTreeMap<Subject, Met>, StoreError> {
    let rows = reads.rows(&INCIDENT_SUBJECTS, &Span::under(&id))?;
    Ok(rows.into_iter().map(|((_, subject), met)| (subject, met)).collect())
}

/// The incident, or the refusal that says it is not there.
pub(crate) fn find(reads: &impl Reads, id: IncidentId) -> Result<Incident, Refused> {
    reads.get(&INCIDENTS, &id)?.ok_or(Refused::IncidentNotFound)
}

/// Writes what was planned.
pub(crate) fn apply(op: &mut Op<'_, '_>, plan: &Plan) -> Result<(), StoreError> {
    let mut has_settled = false;
    for planned in plan.incidents.iter().filter(|planned| planned.changes()) {
        let id = planned.known.incident.id;
        op.tx.effects.changed(Changed::Incident(id));
        if planned.is_forgotten {
            remove(op.tx, id)?;
            continue;
        }
        put(op, &planned.known.incident)?;
        for subject in &planned.touched {
            put_met(op.tx, id, *subject, planned.known.met.get(subject))?;
        }
        if planned.known.incident.is_settled {
            op.tx.remove(&STANDING_INCIDENTS, &id)?;
            link::forget(op.tx, id)?;
            let met = op.tx.keys(&INCIDENT_SUBJECTS, &Span::under(&id), usize::MAX)?;
            met.into_iter().skip(MOST_MET).try_for_each(|(id, subject)| put_met(op.tx, id, subject, None))?;
            has_settled = true;
        }
    }
    if has_settled { trim(op.tx) } else { Ok(()) }
}

/// Writes the row of an incident.
pub(crate) fn put(op: &mut Op<'_, '_>, incident: &Incident) -> Result<(), StoreError> {
    op.tx.put(&INCIDENTS, &incident.id, incident)?;
    if !incident.is_settled {
        op.tx.put(&STANDING_INCIDENTS, &incident.id, &())?;
    }
    Ok(())
}

/// Writes, or removes, how one stands in an incident. What was planned may name a host that is deleted by now.
fn put_met(tx: &mut Tx<'_>, id: IncidentId, subject: Subject, met: Option<&Met>) -> Result<(), StoreError> {
    let host = match subject {
        Subject::Server | Subject::Channel(_) => None,
        Subject::Host(host) => Some(host),
    };
    let is_there = host.map_or(Ok(true), |host| tx.has(&HOSTS, &host))?;
    match met.filter(|_| is_there) {
        Some(met) => {
            tx.put(&INCIDENT_SUBJECTS, &(id, subject), met)?;
            host.map_or(Ok(()), |host| tx.put(&HOST_INCIDENTS, &(host, id), &()))
        }
        None => {
            tx.remove(&INCIDENT_SUBJECTS, &(id, subject))?;
            host.map_or(Ok(false), |host| tx.remove(&HOST_INCIDENTS, &(host, id))).map(|_| ())
        }
    }
}

/// Removes an incident.
fn remove(tx: &mut Tx<'_>, id: IncidentId) -> Result<(), StoreError> {
    for (id, subject) in tx.keys(&INCIDENT_SUBJECTS, &Span::under(&id), usize::MAX)? {
        put_met(tx, id, subject, None)?;
    }
    tx.remove(&STANDING_INCIDENTS, &id)?;
    tx.remove(&INCIDENTS, &id)?;
    link::forget(tx, id)?;
    Ok(())
}

/// Removes the oldest of those that have ended, when there are too many.
fn trim(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let mut ended = Vec::new();
    tx.walk(&INCIDENTS, &Span::ALL, Order::Descending, |id, incident| {
        ended.extend(incident.is_settled.then_some(id));
        Ok(ControlFlow::Continue(()))
    })?;
    ended.into_iter().skip(MOST_ENDED).try_for_each(|id| remove(tx, id))
}

/// A host is deleted: what it was in forgets it.
pub(crate) fn host_deleted(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    for (_, id) in tx.keys(&HOST_INCIDENTS, &Span::under(&host), usize::MAX)? {
        tx.remove(&INCIDENT_SUBJECTS, &(id, Subject::Host(host)))?;
        tx.effects.changed(Changed::Incident(id));
    }
    Ok(())
}

/// Makes the tables fit one another again, of which only some rows may be there; returns how many rows were left out.
pub(crate) fn index_again(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    let mut left_out = 0;
    for (id, incident) in tx.rows(&INCIDENTS, &Span::ALL)? {
        if !incident.is_settled {
            tx.put(&STANDING_INCIDENTS, &id, &())?;
        }
    }
    for (id, subject) in tx.keys(&INCIDENT_SUBJECTS, &Span::ALL, usize::MAX)? {
        let Some(met) = tx.get(&INCIDENT_SUBJECTS, &(id, subject))? else { continue };
        let is_whole = tx.has(&INCIDENTS, &id)?;
        left_out += u64::from(!is_whole);
        put_met(tx, id, subject, Some(&met).filter(|_| is_whole))?;
    }
    for id in tx.keys(&INCIDENT_ACTS, &Span::ALL, usize::MAX)? {
        if !tx.has(&STANDING_INCIDENTS, &id)? {
            left_out += u64::from(tx.remove(&INCIDENT_ACTS, &id)?);
        }
    }
    Ok(left_out)
}
