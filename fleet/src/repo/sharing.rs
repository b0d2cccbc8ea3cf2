//! What people say of hosts on one repository, and where the server sends a host.

use super::partners::{id_of, leave, partners};
use super::row::write;
use super::shared_repository;
use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::hosts;
use crate::op::Op;
use crate::record::{AuditAction, Confirmed, Place};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{CONFIRMED, PLACE_HOSTS, PLACES, REPOS, Reads, Tx};
use schema::HostId;

impl Fleet {
    /// A person says that two hosts use one repository, by whatever addresses; both must name it. Doing it again
    /// changes nothing.
    pub async fn confirm_sharing(&self, host: HostId, other: HostId, by: By) -> Result<(), Refused> {
        self.write(by, move |op| confirm(op, host, other)).await
    }

    /// Takes that back. Doing it again changes nothing.
    pub async fn undo_sharing(&self, host: HostId, other: HostId, by: By) -> Result<(), Refused> {
        self.write(by, move |op| undo(op, host, other)).await
    }
}

fn confirm(op: &mut Op<'_, '_>, host: HostId, other: HostId) -> Result<(), Refused> {
    let (record, other_record) = (hosts::find(op.tx, host)?, hosts::find(op.tx, other)?);
    if host == other {
        return Err(Refused::invalid("other", "name another host than this one"));
    }
    let repo = id_of(op.tx, host)?;
    let Some(repo) = repo.filter(|repo| id_of(op.tx, other).is_ok_and(|id| id == Some(*repo))) else {
        let words = format!(
            "{} and {} do not name the same repository: test the credentials of both first",
            record.name, other_record.name
        );
        return Err(Refused::invalid("other", words));
    };
    if partners(op.tx, host)?.contains(&other) {
        return Ok(());
    }
    let confirmed = Confirmed { repo, by: op.by.actor.clone(), at: op.now };
    op.tx.put(&CONFIRMED, &(host, other), &confirmed)?;
    op.tx.put(&CONFIRMED, &(other, host), &confirmed)?;
    for (one, with) in [(host, &other_record.name), (other, &record.name)] {
        audit::note(op, AuditAction::RepoShareConfirmed, hosts::target(op.tx, one)?, format!("with {with}"))?;
    }
    for member in partners(op.tx, host)?.into_iter().chain([host]) {
        learn_anew(op.tx, member)?;
    }
    Ok(())
}

fn undo(op: &mut Op<'_, '_>, host: HostId, other: HostId) -> Result<(), Refused> {
    let (record, other_record) = (hosts::find(op.tx, host)?, hosts::find(op.tx, other)?);
    if !op.tx.has(&CONFIRMED, &(host, other))? {
        return Ok(());
    }
    let members = partners(op.tx, host)?;
    op.tx.remove(&CONFIRMED, &(host, other))?;
    op.tx.remove(&CONFIRMED, &(other, host))?;
    for (one, with) in [(host, &other_record.name), (other, &record.name)] {
        audit::note(op, AuditAction::RepoShareUndone, hosts::target(op.tx, one)?, format!("with {with}"))?;
    }
    for member in members.into_iter().chain([host]) {
        learn_anew(op.tx, member)?;
    }
    Ok(())
}

/// What others say is read anew from those who share the repository now. What counts as done of them stays with those
/// that still do.
fn learn_anew(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    let Some(mut state) = tx.get(&REPOS, &host)? else { return Ok(()) };
    let partners = partners(tx, host)?;
    let is_partner = |by: Option<HostId>| by.is_some_and(|by| partners.contains(&by));
    let mut told = shared_repository::learn(tx, host)?;
    told.check = state.told.check.take().filter(|check| is_partner(check.by));
    told.prune = state.told.prune.take().filter(|prune| is_partner(prune.by));
    state.told = told;
    write(tx, host, &state)?;
    tx.effects.changed(Changed::Repo(host));
    Ok(())
}

/// The server sends a host to this address from now on, or to none: what a person confirmed of another address, and
/// what others said of the repository there, is not kept.
pub(crate) fn sent_to(tx: &mut Tx<'_>, host: HostId, url: Option<&str>) -> Result<(), StoreError> {
    let (before, after) = (tx.get(&PLACES, &host)?, url.and_then(Place::of));
    if before == after {
        return Ok(());
    }
    leave(tx, host)?;
    if let Some(place) = after {
        tx.put(&PLACES, &host, &place)?;
        tx.put(&PLACE_HOSTS, &(place.fingerprint, host), &())?;
    }
    if let Some(mut state) = tx.get(&REPOS, &host)? {
        state.told = shared_repository::learn(tx, host)?;
        write(tx, host, &state)?;
    }
    Ok(())
}
