//! The rows of a host, as all read and change them.

use crate::change::Changed;
use crate::op::Op;
use crate::record::{AuditTarget, Host, Summary};
use crate::refused::{Refused, StoreError};
use crate::store::{HOST_INCIDENTS, HOSTS, PRESENCES, Reads, STANDING_INCIDENTS, SUMMARIES, Span, Tx};
use schema::{HostId, Timestamp, name};

/// The host, or the refusal that says it is not there.
pub(crate) fn find(reads: &impl Reads, host: HostId) -> Result<Host, Refused> {
    reads.get(&HOSTS, &host)?.ok_or(Refused::HostNotFound)
}

/// What the audit calls a host.
pub(crate) fn target(reads: &impl Reads, host: HostId) -> Result<AuditTarget, StoreError> {
    let name = reads.get(&HOSTS, &host)?.map_or_else(String::new, |host| host.name);
    Ok(AuditTarget::Host(host, name))
}

pub(crate) fn check_name(text: &str) -> Result<(), Refused> {
    if name::is_valid(text) {
        return Ok(());
    }
    Err(Refused::invalid(
        "name",
        "a name has 1 to 63 letters, digits, dots, underscores or hyphens, and begins with a letter or a digit",
    ))
}

/// Changes a host's summary.
pub(crate) fn change_summary(
    tx: &mut Tx<'_>,
    host: HostId,
    change: impl FnOnce(&mut Summary),
) -> Result<(), StoreError> {
    let before = tx.get(&SUMMARIES, &host)?.unwrap_or_default();
    let mut after = before.clone();
    change(&mut after);
    if after == before { Ok(()) } else { tx.put(&SUMMARIES, &host, &after) }
}

/// The agent can't write its state folder, or has just done so.
pub(crate) fn state_folder(
    tx: &mut Tx<'_>,
    host: HostId,
    fails_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let Some(mut presence) = tx.get(&PRESENCES, &host)? else { return Ok(()) };
    if presence.state_folder_since.is_some() == fails_at.is_some() {
        return Ok(());
    }
    presence.state_folder_since = fails_at;
    tx.put(&PRESENCES, &host, &presence)?;
    tx.effects.changed(Changed::Host(host));
    Ok(())
}

/// What incidents that a host is in show of it is another thing now.
pub(crate) fn shown_in_incidents(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    for (_, id) in tx.keys(&HOST_INCIDENTS, &Span::under(&host), usize::MAX)? {
        if tx.has(&STANDING_INCIDENTS, &id)? {
            tx.effects.changed(Changed::Incident(id));
        }
    }
    Ok(())
}

/// Notes that something was heard of a host; written at most once a minute.
pub(crate) fn seen(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    let now = op.now;
    const EVERY_MS: u64 = 60_000;
    let Some(mut presence) = op.tx.get(&PRESENCES, &host)? else { return Ok(()) };
    if presence.last_seen_at.is_some_and(|at| now >= at && now.ms_since(at) < EVERY_MS) {
        return Ok(());
    }
    presence.last_seen_at = Some(now);
    if !&op.by.peer.is_empty() {
        presence.peer = Some(op.by.peer.clone());
    }
    op.tx.put(&PRESENCES, &host, &presence)
}
