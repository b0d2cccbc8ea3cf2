//! Who did what: one entry for each change, in the same transaction. Never a secret.

use crate::change::Changed;
use crate::record::{AuditEntry, AuditTarget};
use crate::refused::StoreError;
use crate::request::By;
use crate::store::format::{META_NEXT_AUDIT, Meta};
use crate::store::{AUDIT, META, Order, Reads, Span, Tx};
use crate::view::{AuditFilter, Page, Paged};
use schema::Timestamp;
use std::ops::ControlFlow;

/// The most entries kept; older ones go.
pub(crate) const MAX_ENTRIES: u64 = 200_000;
/// The longest detail, in bytes.
const MAX_DETAIL_BYTES: usize = 1024;
/// The most entries looked at for one page.
const MAX_LOOKED_AT: usize = 5_000;

/// All actions there are; those of jobs are `job.` with the kind besides.
pub const ACTIONS: [&str; 47] = [
    "agent.forged",
    "agent.log",
    "agent.odd",
    "agent.trouble",
    "credentials.deleted",
    "credentials.refused",
    "credentials.set",
    "enroll.refused",
    "group.accepted",
    "group.changed",
    "group.created",
    "group.deleted",
    "host.acknowledged",
    "host.created",
    "host.deleted",
    "host.enrolled",
    "host.labelled",
    "host.quarantined",
    "host.released",
    "host.renamed",
    "host.unacknowledged",
    "host.unplanned",
    "job.cancelled",
    "maintenance.changed",
    "mqtt.refused",
    "operator.created",
    "operator.deleted",
    "operator.password",
    "operator.role",
    "operator.sign_in_refused",
    "pending.abandoned",
    "pending.dropped",
    "pending.hurried",
    "repo.claimed",
    "repo.replaced",
    "repo.share_confirmed",
    "repo.share_undone",
    "schedule.changed",
    "schedule.created",
    "schedule.deleted",
    "session.closed",
    "session.opened",
    "setup.done",
    "token.created",
    "token.deleted",
    "viewer.created",
    "viewer.deleted",
];

/// Writes an entry.
pub(crate) fn note(
    tx: &mut Tx<'_>,
    now: Timestamp,
    by: &By,
    action: &str,
    target: AuditTarget,
    detail: impl Into<String>,
) -> Result<(), StoreError> {
    let (actor, peer) = (by.actor.clone(), by.peer.clone());
    write(tx, &AuditEntry { at: now, actor, action: action.to_owned(), target, peer, detail: detail.into() })
}

pub(crate) fn write(tx: &mut Tx<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
    let action = entry.action.as_str();
    debug_assert!(ACTIONS.contains(&action) || action.starts_with("job."), "{action} is not in the list");
    let key = META_NEXT_AUDIT.to_owned();
    let number = match tx.get(&META, &key)? {
        Some(Meta::NextAudit(number)) => number,
        _ => 1,
    };
    let mut entry = entry.clone();
    entry.detail.truncate(entry.detail.floor_char_boundary(MAX_DETAIL_BYTES));
    tx.put(&AUDIT, &number, &entry)?;
    tx.put(&META, &key, &Meta::NextAudit(number + 1))?;
    tx.effects.changed(Changed::Audit);
    Ok(())
}

/// Drops what is over [`MAX_ENTRIES`].
pub(crate) fn trim(tx: &mut Tx<'_>, max: u64) -> Result<(), StoreError> {
    let Some((newest, _)) = tx.last(&AUDIT, &Span::ALL)? else { return Ok(()) };
    tx.remove_all(&AUDIT, &Span::ALL.through(&newest.saturating_sub(max)))?;
    Ok(())
}

/// Entries that fit, newest first.
pub(crate) fn list(
    reads: &impl Reads,
    filter: &AuditFilter,
    page: &Page,
) -> Result<Paged<AuditEntry>, StoreError> {
    let span = match page.cursor.as_deref().map(str::parse::<u64>) {
        Some(Ok(before)) => Span::ALL.before(&before),
        // A cursor that is not ours: nothing comes behind it.
        Some(Err(_)) => return Ok(Paged { items: Vec::new(), next: None }),
        None => Span::ALL,
    };
    let limit = page.limit.clamp(1, 500);
    let (mut items, mut looked_at, mut next) = (Vec::new(), 0, None);
    reads.walk(&AUDIT, &span, Order::Descending, |number, entry| {
        if items.len() == limit || looked_at == MAX_LOOKED_AT {
            next = Some((number + 1).to_string());
            return Ok(ControlFlow::Break(()));
        }
        looked_at += 1;
        if fits(filter, &entry) {
            items.push(entry);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Paged { items, next })
}

fn fits(filter: &AuditFilter, entry: &AuditEntry) -> bool {
    let contains = |part: &Option<String>, texts: &[&str]| {
        part.as_ref().is_none_or(|part| {
            let part = part.to_lowercase();
            texts.iter().any(|text| text.to_lowercase().contains(&part))
        })
    };
    let target = match &entry.target {
        AuditTarget::Server => vec!["server".to_owned()],
        AuditTarget::Host(host, name) => vec![host.to_string(), name.clone()],
        AuditTarget::Job(host, job) => vec![host.to_string(), job.to_string()],
        AuditTarget::Account(name) => vec![name.clone()],
    };
    let target: Vec<&str> = target.iter().map(String::as_str).collect();
    contains(&filter.actor, &[entry.actor.name(), entry.actor.kind()])
        && contains(&filter.action, &[&entry.action])
        && contains(&filter.target, &target)
}
