//! Which hosts are on one repository.
//!
//! A host names a repository by restic's id; that is no more than what it says. Two hosts share one when both name the
//! same **and** the server sent both to the same place (the address of their everyday credentials, in its one form),
//! or a person said that the two addresses lead to one repository; and so does who shares it with one of them. A host
//! that only says so is audited once and shown, and counts for nothing else.
//!
//! For taking turns less is enough: hosts that the server sent to the same place, unless they name different
//! repositories. A name such as `nas` may be another machine at another site; there the ids tell.

use crate::audit;
use crate::hosts;
use crate::op::Op;
use crate::record::{AuditAction, Place, RepoState, Sharer, WhyShared};
use crate::refused::StoreError;
use crate::store::{CONFIRMED, HOSTS, PLACE_HOSTS, PLACES, REPO_HOSTS, REPOS, Reads, Span, Tx};
use schema::{HostId, RepoId};
use std::collections::BTreeSet;

/// The most repositories of a host that are remembered as audited.
const MOST_CLAIMS: usize = 16;
/// The most names in one entry of the audit.
const MOST_NAMES: usize = 8;
/// How much of an id is shown.
const SHORT_ID: usize = 10;

pub(super) fn id_of(reads: &impl Reads, host: HostId) -> Result<Option<RepoId>, StoreError> {
    Ok(reads.get(&REPOS, &host)?.and_then(|state| state.repo))
}

/// The hosts that surely are on the repository of this one: they may be told of it.
pub(crate) fn partners(reads: &impl Reads, host: HostId) -> Result<BTreeSet<HostId>, StoreError> {
    let Some(repo) = id_of(reads, host)? else { return Ok(BTreeSet::new()) };
    let mut named: BTreeSet<HostId> = named_by(reads, repo)?.into_iter().collect();
    named.remove(&host);
    let (mut found, mut seen, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![host]);
    while let Some(member) = next.pop() {
        if named.is_empty() {
            break;
        }
        let mut beside: Vec<HostId> = reads
            .rows(&CONFIRMED, &Span::under(&member))?
            .into_iter()
            .filter(|(_, confirmed)| confirmed.repo == repo)
            .map(|((_, other), _)| other)
            .collect();
        if let Some(place) = reads.get(&PLACES, &member)?
            && seen.insert(place.fingerprint)
        {
            beside.extend(at_place(reads, &place)?);
        }
        for other in beside.into_iter().filter(|other| named.remove(other)) {
            found.insert(other);
            next.push(other);
        }
    }
    Ok(found)
}

/// The hosts with which this one takes turns.
pub(crate) fn takes_turns_with(reads: &impl Reads, host: HostId) -> Result<BTreeSet<HostId>, StoreError> {
    let mut found = partners(reads, host)?;
    if let Some(place) = reads.get(&PLACES, &host)?.filter(|place| place.is_plain) {
        let own = id_of(reads, host)?;
        for other in at_place(reads, &place)? {
            let is_other_one = own.is_some() && id_of(reads, other)?.is_some_and(|id| Some(id) != own);
            if other != host && !is_other_one {
                found.insert(other);
            }
        }
    }
    Ok(found)
}

pub(super) fn at_place(reads: &impl Reads, place: &Place) -> Result<Vec<HostId>, StoreError> {
    let keys = reads.keys(&PLACE_HOSTS, &Span::under(&place.fingerprint), usize::MAX)?;
    Ok(keys.into_iter().map(|(_, host)| host).collect())
}

pub(super) fn named_by(reads: &impl Reads, repo: RepoId) -> Result<Vec<HostId>, StoreError> {
    let keys = reads.keys(&REPO_HOSTS, &Span::under(&repo), usize::MAX)?;
    Ok(keys.into_iter().map(|(_, host)| host).collect())
}

/// The other hosts that use, or say they use, the repository of this one, by name.
pub(crate) fn sharers(reads: &impl Reads, host: HostId) -> Result<Vec<Sharer>, StoreError> {
    let partners = partners(reads, host)?;
    let place = reads.get(&PLACES, &host)?;
    let mut others = takes_turns_with(reads, host)?;
    if let Some(repo) = id_of(reads, host)? {
        others.extend(named_by(reads, repo)?);
    }
    others.remove(&host);
    let mut found = Vec::new();
    for other in others {
        let Some(record) = reads.get(&HOSTS, &other)? else { continue };
        let has_same_place =
            place.is_some_and(|place| reads.get(&PLACES, &other).is_ok_and(|other| other == Some(place)));
        let why = match reads.get(&CONFIRMED, &(host, other))? {
            _ if has_same_place => Some(WhyShared::Address),
            Some(confirmed) if partners.contains(&other) => Some(WhyShared::Confirmed(confirmed)),
            _ => partners.contains(&other).then_some(WhyShared::Through),
        };
        found.push(Sharer { host: other, name: record.name, why });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A host shares nothing any more.
pub(crate) fn leave(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    if let Some(place) = tx.get(&PLACES, &host)? {
        tx.remove(&PLACE_HOSTS, &(place.fingerprint, host))?;
        tx.remove(&PLACES, &host)?;
    }
    for (_, other) in tx.keys(&CONFIRMED, &Span::under(&host), usize::MAX)? {
        tx.remove(&CONFIRMED, &(host, other))?;
        tx.remove(&CONFIRMED, &(other, host))?;
    }
    Ok(())
}

/// A host names a repository: when others do so too to whom the server gave that and not to it, that is audited, once
/// for each.
pub(super) fn note_claim(op: &mut Op<'_, '_>, host: HostId, state: &mut RepoState) -> Result<(), StoreError> {
    let Some(repo) = state.repo.filter(|repo| !state.claimed.contains(repo)) else { return Ok(()) };
    let partners = partners(op.tx, host)?;
    let mut names = Vec::new();
    for other in named_by(op.tx, repo)? {
        if other != host && !partners.contains(&other) {
            names.extend(op.tx.get(&HOSTS, &other)?.map(|record| record.name));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let excess = (state.claimed.len() + 1).saturating_sub(MOST_CLAIMS);
    state.claimed.drain(..excess);
    state.claimed.push(repo);
    let more = names.len().saturating_sub(MOST_NAMES);
    names.truncate(MOST_NAMES);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let words = format!(
        "it names repository {}, as do {}{more}, and the server gave it another address: it counts for nothing until \
         somebody confirms it",
        short(repo),
        names.join(", ")
    );
    let target = hosts::target(op.tx, host)?;
    audit::note(op, AuditAction::RepoClaimed, target, words)
}

/// An id in few letters: enough to tell two apart, and not to name one.
pub(super) fn short(repo: RepoId) -> String {
    repo.to_string().chars().take(SHORT_ID).collect()
}
