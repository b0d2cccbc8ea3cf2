//! The addresses by which agents reach this server: which are given to them, by which each host has come, and when one
//! that the settings name no more may be forgotten.
//!
//! All of them travel in the plan, and agents try them in their order. One that is taken out of the settings **retires**:
//! it is still given, behind the others, until every enrolled host has said hello by one that stays since it began to retire,
//! or a person has it retired and has seen whom that would lose.

mod decide;

use crate::access_row::{given, text};
use crate::audit;
use crate::fleet::Fleet;
use crate::link::plan;
use crate::op::Op;
use crate::record::meta::{META_ADDRESSES, Meta};
use crate::record::{Arrivals, AuditAction, AuditTarget, Fingerprint, GivenAddress};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::roster::RosterEntry;
use crate::store::{ARRIVALS, LINKS, META, Reads, Span};
use schema::limits::{MAX_ADDRESS_BYTES, MAX_AUTHORITIES};
use schema::{Hello, HostId, Timestamp};
use std::collections::BTreeMap;

/// Of so many hosts it is listed that they would be lost.
pub const MOST_LISTED: usize = 100;

/// An address that agents are given, and who comes by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressUse {
    /// The address.
    pub given: GivenAddress,
    /// Enrolled hosts that came by it last.
    pub hosts: usize,
    /// Enrolled hosts that have come by no other one that stays, since this one retires where it does, or never yet.
    pub dependent: usize,
    /// The first [`MOST_LISTED`] of them, by name.
    pub listed: Vec<Dependent>,
}

/// A host that would be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependent {
    /// Which one.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// When it said hello last; `None` = not since it was enrolled.
    pub seen_at: Option<Timestamp>,
}

/// The server starts with these settings.
pub(crate) fn begin(op: &mut Op<'_, '_>, settings: &[String]) -> Result<(), StoreError> {
    let before = given(op.tx)?;
    let staying = |address: &String| GivenAddress { address: address.clone(), retiring_since: None };
    let (now, named) = (op.now, settings.iter().map(staying).collect::<Vec<_>>());
    let mut needed = Vec::new();
    for old in before.iter().filter(|old| !settings.contains(&old.address)) {
        let retiring = GivenAddress { retiring_since: old.retiring_since.or(Some(now)), ..old.clone() };
        if dependent(op.tx, &retiring, &named)? > 0 {
            needed.push(old.address.clone());
        }
    }
    let is_needed = |address: &str| needed.iter().any(|it| it == address);
    let (after, cut) = decide::merge(&before, settings, is_needed, now);
    for address in cut {
        tracing::warn!(address, "agents are not given this address any more: there are too many that retire");
        forgotten(op, format!("{address}: too many retire"))?;
    }
    store(op, &before, after)
}

/// A host has said hello: by an address, and trusting authorities.
pub(crate) fn came(op: &mut Op<'_, '_>, host: HostId, hello: &Hello<'_>) -> Result<(), StoreError> {
    let mut arrivals = op.tx.get(&ARRIVALS, &host)?.unwrap_or_default();
    if !hello.address.is_empty() && hello.address.len() <= MAX_ADDRESS_BYTES {
        decide::came(&mut arrivals.came_by, hello.address, op.now);
    }
    arrivals.trusts = trusted_by(hello);
    op.tx.put(&ARRIVALS, &host, &arrivals)
}

/// A host that is here says anew which authorities its agent trusts.
pub(crate) fn trusts(op: &mut Op<'_, '_>, host: HostId, hello: &Hello<'_>) -> Result<(), StoreError> {
    let before = op.tx.get(&ARRIVALS, &host)?.unwrap_or_default();
    let after = Arrivals { trusts: trusted_by(hello), ..before.clone() };
    if after == before { Ok(()) } else { op.tx.put(&ARRIVALS, &host, &after) }
}

fn trusted_by(hello: &Hello<'_>) -> Vec<Fingerprint> {
    hello.trusts.iter().take(MAX_AUTHORITIES).collect()
}

/// What was given is another list now; all agents are told.
fn store(op: &mut Op<'_, '_>, before: &[GivenAddress], after: Vec<GivenAddress>) -> Result<(), StoreError> {
    if before == after {
        return Ok(());
    }
    let is_same_text = text(before) == text(&after);
    op.tx.put(&META, &META_ADDRESSES.to_owned(), &Meta::Addresses(after))?;
    if !is_same_text {
        for host in op.tx.keys(&LINKS, &Span::ALL, usize::MAX)? {
            plan::changed(op.tx, host)?;
        }
    }
    Ok(())
}

fn forgotten(op: &mut Op<'_, '_>, detail: String) -> Result<(), StoreError> {
    audit::note(op, AuditAction::AddressRetired, AuditTarget::Server, detail)
}

/// How many enrolled hosts need an address.
fn dependent(
    reads: &impl Reads,
    address: &GivenAddress,
    given: &[GivenAddress],
) -> Result<usize, StoreError> {
    let mut hosts = 0;
    for host in reads.keys(&LINKS, &Span::ALL, usize::MAX)? {
        let arrivals = reads.get(&ARRIVALS, &host)?.unwrap_or_default();
        hosts += usize::from(decide::needs(&arrivals.came_by, address, given));
    }
    Ok(hosts)
}

/// An address that retires and that nobody needs.
fn unneeded(reads: &impl Reads) -> Result<Option<String>, StoreError> {
    let given = given(reads)?;
    for it in given.iter().filter(|it| it.retiring_since.is_some()) {
        if dependent(reads, it, &given)? == 0 {
            return Ok(Some(it.address.clone()));
        }
    }
    Ok(None)
}

/// The enrolled hosts of which this is true by how they have come: how many, and the first of them by name.
pub(crate) fn dependents_of(
    all_arrivals: &AllArrivals,
    entries: &[RosterEntry],
    is_one: impl Fn(&Arrivals) -> bool,
) -> (usize, Vec<Dependent>) {
    let (mut listed, never) = (Vec::new(), Arrivals::default());
    for entry in entries.iter().filter(|entry| entry.host.enrolled_at.is_some()) {
        let arrivals = all_arrivals.get(&entry.host.id).unwrap_or(&never);
        if is_one(arrivals) {
            let seen_at = arrivals.came_by.first().map(|last| last.at);
            listed.push(Dependent { host: entry.host.id, name: entry.host.name.clone(), seen_at });
        }
    }
    let all = listed.len();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    listed.truncate(MOST_LISTED);
    (all, listed)
}

/// How each host has come, read at once.
pub(crate) type AllArrivals = BTreeMap<HostId, Arrivals>;

/// Reads it.
pub(crate) fn all_arrivals(reads: &impl Reads) -> Result<AllArrivals, StoreError> {
    Ok(reads.rows(&ARRIVALS, &Span::ALL)?.into_iter().collect())
}

/// What agents are given, and who comes by what.
pub(crate) fn uses(reads: &impl Reads, entries: &[RosterEntry]) -> Result<Vec<AddressUse>, StoreError> {
    let (all, arrivals) = (given(reads)?, all_arrivals(reads)?);
    let mut uses = Vec::new();
    for it in &all {
        let address = &it.address;
        let is_last =
            |arrivals: &Arrivals| arrivals.came_by.first().is_some_and(|last| last.address == *address);
        let (hosts, _) = dependents_of(&arrivals, entries, is_last);
        let needs = |arrivals: &Arrivals| decide::needs(&arrivals.came_by, it, &all);
        let (dependent, listed) = dependents_of(&arrivals, entries, needs);
        uses.push(AddressUse { given: it.clone(), hosts, dependent, listed });
    }
    Ok(uses)
}

impl Fleet {
    /// Has agents not be given an address any more that the settings name no more. Hosts that have come by no other one are
    /// lost with it, until somebody enrols them anew; only who says so by `is_forced` may lose any.
    pub async fn retire_address(&self, address: String, is_forced: bool, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let before = given(op.tx)?;
            let known = before.iter().find(|it| it.address == address && it.retiring_since.is_some());
            let Some(known) = known else {
                let why = "only an address that agents are given and that --mqtt-public names no more can be retired";
                return Err(Refused::invalid("address", why));
            };
            let lost = dependent(op.tx, known, &before)?;
            if lost > 0 && !is_forced {
                return Err(Refused::WouldLose { hosts: lost });
            }
            let detail = if lost > 0 { format!("{address}; hosts that came by no other that stays: {lost}") } else { address.clone() };
            forgotten(op, detail)?;
            let after = before.iter().filter(|it| it.address != address).cloned().collect();
            Ok(store(op, &before, after)?)
        })
        .await
    }

    /// Has agents not be given what retires and nobody needs.
    pub(crate) async fn retire_unneeded_addresses(&self) -> Result<(), Refused> {
        while let Some(address) = unneeded(&self.view()?)? {
            self.retire_address(address, false, By::system()).await?;
        }
        Ok(())
    }

    /// Hosts that are here by an address that retires, or is not given any more, and have been for so long that they may be asked to come anew, by
    /// one that stays. None of them has an open job.
    pub fn hosts_to_move(&self) -> Result<Vec<HostId>, StoreError> {
        let (view, context) = (self.view()?, self.context());
        let given = given(&view)?;
        let (mut hosts, now) = (Vec::new(), context.now());
        for entry in context.roster.entries().iter().flat_map(|entries| entries.iter()) {
            let arrivals = view.get(&ARRIVALS, &entry.host.id)?.unwrap_or_default();
            let is_idle = entry.presence.online && entry.summary.open_jobs == 0;
            if is_idle && decide::should_move(&arrivals.came_by, &given, now) {
                hosts.push(entry.host.id);
            }
        }
        Ok(hosts)
    }
}
