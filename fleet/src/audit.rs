//! Who did what: one entry for each change, in the same transaction. Never a secret.

use crate::budget::{self, Spent};
use crate::change::Changed;
use crate::op::Op;
use crate::record::meta::{META_AUDIT_COUNTS, META_NEXT_AUDIT, Meta};
use crate::record::{Actor, AuditAction, AuditEntry, AuditTarget};
use crate::refused::StoreError;
use crate::store::{AUDIT, AUDIT_HOSTS, AUDIT_SHARES, HOST_NAMES, HOSTS, META, Order, Reads, Span, Tx};
use crate::view::{AuditFilter, Page, Paged};
use schema::HostId;
use schema::command::Over;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The most entries kept of each share, in the order of [`Share`]; older ones go.
pub(crate) const MAX_ENTRIES: [u64; 3] = [200_000, 100_000, 100_000];
/// The most entries kept that one host has caused by itself; older ones go.
const MAX_OF_HOST: u64 = 2_000;
/// The most entries removed at once.
const TRIMMED_AT_ONCE: u64 = 10_000;
/// The longest detail, in bytes.
const MAX_DETAIL_BYTES: usize = 1024;
/// The most entries looked at for one page.
const MAX_LOOKED_AT: usize = 5_000;

/// Whose share of the audit an entry is of. Each is kept for itself, so that what machines cause pushes out nothing
/// that people did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Lines about what people did.
    People,
    /// Lines about what programs did with an API token.
    Programs,
    /// Lines about what nobody here has caused: hosts, schedules, the server, refused logins.
    Machines,
}

impl Share {
    const ALL: [Self; 3] = [Self::People, Self::Programs, Self::Machines];

    fn of(entry: &AuditEntry) -> Self {
        match &entry.actor {
            // Whoever was refused need not be the one whose name was given.
            _ if entry.action.code().ends_with("refused") => Self::Machines,
            // Who has the link is a person, too.
            Actor::Operator(_) | Actor::Link(_) => Self::People,
            Actor::Token(_) => Self::Programs,
            Actor::Schedule(_) | Actor::System | Actor::Agent => Self::Machines,
        }
    }

    /// The host that caused an entry by itself.
    fn host(entry: &AuditEntry) -> Option<HostId> {
        match (&entry.actor, &entry.target) {
            (Actor::Agent, AuditTarget::Host(host, _) | AuditTarget::Job(host, _)) => Some(*host),
            _ => None,
        }
    }
}

/// Writes an entry that a host has caused, unless it has caused too many: then it is counted.
pub(crate) fn note_of_host(
    op: &mut Op<'_, '_>,
    host: HostId,
    action: AuditAction,
    target: AuditTarget,
    detail: impl Into<String>,
) -> Result<Option<Over>, StoreError> {
    if let Err(over) = budget::spend(op, (host, Spent::AuditLine, 1)) {
        return Ok(Some(over));
    }
    note(op, action, target, detail)?;
    Ok(None)
}

/// Writes an entry.
pub(crate) fn note(
    op: &mut Op<'_, '_>,
    action: AuditAction,
    target: AuditTarget,
    detail: impl Into<String>,
) -> Result<(), StoreError> {
    let (actor, peer) = (op.by.actor.clone(), op.by.peer.clone());
    write(op.tx, &AuditEntry { at: op.now, actor, action, target, peer, detail: detail.into() })
}

pub(crate) fn write(tx: &mut Tx<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
    let key = META_NEXT_AUDIT.to_owned();
    let number = match tx.get(&META, &key)? {
        Some(Meta::NextAudit(number)) => number,
        _ => 1,
    };
    let mut entry = entry.clone();
    entry.detail.truncate(entry.detail.floor_char_boundary(MAX_DETAIL_BYTES));
    tx.put(&AUDIT, &number, &entry)?;
    tx.put(&META, &key, &Meta::NextAudit(number + 1))?;
    let share = Share::of(&entry);
    tx.put(&AUDIT_SHARES, &(share as u8, number), &())?;
    count(tx, share, |count| count + 1)?;
    if let Some(host) = Share::host(&entry)
        && tx.has(&HOSTS, &host)?
    {
        tx.put(&AUDIT_HOSTS, &(host, number), &())?;
        let mut lines = 0;
        budget::change_usage(tx, host, |usage| {
            usage.audit_lines += 1;
            lines = usage.audit_lines;
        })?;
        if lines > MAX_OF_HOST
            && let Some((_, oldest)) = tx.keys(&AUDIT_HOSTS, &Span::under(&host), 1)?.first()
        {
            remove(tx, *oldest)?;
        }
    }
    tx.effects.changed(Changed::Audit);
    Ok(())
}

fn counts(reads: &impl Reads) -> Result<[u64; 3], StoreError> {
    Ok(match reads.get(&META, &META_AUDIT_COUNTS.to_owned())? {
        Some(Meta::AuditCounts(counts)) => counts,
        _ => [0; 3],
    })
}

fn count(tx: &mut Tx<'_>, share: Share, change: impl FnOnce(u64) -> u64) -> Result<(), StoreError> {
    let mut counts = counts(tx)?;
    counts[share as usize] = change(counts[share as usize]);
    tx.put(&META, &META_AUDIT_COUNTS.to_owned(), &Meta::AuditCounts(counts))
}

/// Makes the indices and the counts anew from the entries. The next number never goes back, and leaves out so many that
/// entries which are lost may have had.
pub(crate) fn index_again(tx: &mut Tx<'_>, left_out: u64) -> Result<(), StoreError> {
    let (mut counted, mut next) = ([0; 3], 1);
    for number in tx.keys(&AUDIT, &Span::ALL, usize::MAX)? {
        next = number.saturating_add(1);
        let Some(entry) = tx.get(&AUDIT, &number)? else { continue };
        let share = Share::of(&entry);
        counted[share as usize] += 1;
        tx.put(&AUDIT_SHARES, &(share as u8, number), &())?;
        if let Some(host) = Share::host(&entry)
            && tx.has(&HOSTS, &host)?
        {
            tx.put(&AUDIT_HOSTS, &(host, number), &())?;
            budget::change_usage(tx, host, |usage| usage.audit_lines += 1)?;
        }
    }
    let key = META_NEXT_AUDIT.to_owned();
    if let Some(Meta::NextAudit(known)) = tx.get(&META, &key)? {
        next = next.max(known);
    }
    tx.put(&META, &key, &Meta::NextAudit(next.saturating_add(left_out)))?;
    tx.put(&META, &META_AUDIT_COUNTS.to_owned(), &Meta::AuditCounts(counted))
}

fn remove(tx: &mut Tx<'_>, number: u64) -> Result<(), StoreError> {
    let Some(entry) = tx.get(&AUDIT, &number)? else { return Ok(()) };
    let share = Share::of(&entry);
    tx.remove(&AUDIT, &number)?;
    tx.remove(&AUDIT_SHARES, &(share as u8, number))?;
    if let Some(host) = Share::host(&entry) {
        // Those of a host that was deleted are not counted any more.
        if tx.remove(&AUDIT_HOSTS, &(host, number))? {
            budget::change_usage(tx, host, |usage| usage.audit_lines = usage.audit_lines.saturating_sub(1))?;
        }
    }
    count(tx, share, |count| count.saturating_sub(1))
}

/// Whether a share is over what is kept of it; in steps, so that not every tick writes.
pub(crate) fn is_long(reads: &impl Reads, most: [u64; 3]) -> Result<bool, StoreError> {
    Ok(counts(reads)?.into_iter().zip(most).any(|(count, most)| count > most + most / 100))
}

/// Drops what is over, oldest first: of each share for itself, and a bounded number at once.
pub(crate) fn trim(tx: &mut Tx<'_>, most: [u64; 3]) -> Result<(), StoreError> {
    for (share, most) in Share::ALL.into_iter().zip(most) {
        let excess = counts(tx)?[share as usize].saturating_sub(most).min(TRIMMED_AT_ONCE);
        let oldest = tx.keys(&AUDIT_SHARES, &Span::under(&(share as u8)), excess as usize)?;
        for (_, number) in oldest {
            remove(tx, number)?;
        }
    }
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
    let named = hosts_named(reads, filter.target.as_deref())?;
    let (mut items, mut looked_at, mut next) = (Vec::new(), 0, None);
    reads.walk(&AUDIT, &span, Order::Descending, |number, entry| {
        if items.len() == limit || looked_at == MAX_LOOKED_AT {
            next = Some((number + 1).to_string());
            return Ok(ControlFlow::Break(()));
        }
        looked_at += 1;
        if fits(filter, &named, &entry) {
            items.push(entry);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Paged { items, next })
}

/// The hosts of which a part of the name is this: entries of their jobs have their ids alone.
fn hosts_named(reads: &impl Reads, part: Option<&str>) -> Result<BTreeSet<HostId>, StoreError> {
    let Some(part) = part.map(str::to_lowercase) else { return Ok(BTreeSet::new()) };
    let hosts = reads.rows(&HOST_NAMES, &Span::ALL)?.into_iter();
    Ok(hosts.filter(|(name, _)| name.to_lowercase().contains(&part)).map(|(_, host)| host).collect())
}

fn fits(filter: &AuditFilter, named: &BTreeSet<HostId>, entry: &AuditEntry) -> bool {
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
        AuditTarget::Incident(id) => vec![id.to_string()],
    };
    let target: Vec<&str> = target.iter().map(String::as_str).collect();
    let is_of_named = matches!(&entry.target, AuditTarget::Job(host, _) if named.contains(host));
    contains(&filter.actor, &[entry.actor.name(), entry.actor.kind()])
        && contains(&filter.action, &[entry.action.code()])
        && (is_of_named || contains(&filter.target, &target))
}
