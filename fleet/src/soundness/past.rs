//! What was there before a source group began here: snapshots that no backup of this server made, of a host that was added
//! again, of a repository that is gone on with. How much they hold is read from the list of snapshots; until then nothing
//! of the group is forgotten, for a new group that finds little would take that for usual.

use super::{Made, take};
use crate::groups::{Owner, Owners, origins};
use crate::hosts;
use crate::job;
use crate::listing::{self, short};
use crate::record::{Extent, Flawed, Group, Host, Job, Origin, Past, SnapshotRow, Soundness};
use crate::refused::StoreError;
use crate::store::{GROUPS, HOSTS, JOBS, REPOS, Reads, SOUNDNESS, Span, Tx};
use schema::{HostId, JobKind, Timestamp};
use std::collections::HashSet;

/// A group is new, or goes on with snapshots that it did not have: what they hold is to be read first, unless the host has
/// made its repository itself and they can only be its own.
pub(crate) fn group_changed(
    tx: &mut Tx<'_>,
    host: &Host,
    before: Option<&Group>,
    group: &Group,
) -> Result<(), StoreError> {
    let key = (host.id, group.name.clone());
    let mut known = tx.get(&SOUNDNESS, &key)?.unwrap_or_default();
    let is_known = |origin: &&Origin| {
        let is_former = |before: &Group| origin.hostname == host.restic_host && origin.tag == before.name;
        before.is_some_and(|before| before.origins.contains(origin) || is_former(before))
    };
    let has_more = !group.origins.iter().all(|origin| is_known(&origin));
    let past = match known.past {
        _ if has_more => Past::Unlisted,
        Past::Unlisted if group.origins.is_empty() && is_own(tx, host.id)? => Past::Known,
        past => past,
    };
    if past != known.past {
        known.past = past;
        tx.put(&SOUNDNESS, &key, &known)?;
    }
    Ok(())
}

/// Whether the host has made the repository that it uses.
fn is_own(reads: &impl Reads, host: HostId) -> Result<bool, StoreError> {
    Ok(reads.get(&REPOS, &host)?.is_some_and(|repo| repo.is_own))
}

/// A host has made its repository: it was empty.
pub(crate) fn repository_made(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    each(tx, host, |group, past| match past {
        Past::Unlisted if group.origins.is_empty() => Past::Known,
        past => past,
    })
}

/// A host uses another repository, or the same one by another address: nobody knows what is in it.
pub(crate) fn repository_changed(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    each(tx, host, |_, _| Past::Unlisted)
}

fn each(tx: &mut Tx<'_>, host: HostId, past: impl Fn(&Group, Past) -> Past) -> Result<(), StoreError> {
    for (key, group) in tx.rows(&GROUPS, &Span::under(&host))? {
        let mut known = tx.get(&SOUNDNESS, &key)?.unwrap_or_default();
        let after = past(&group, known.past);
        if after != known.past {
            known.past = after;
            tx.put(&SOUNDNESS, &key, &known)?;
        }
    }
    Ok(())
}

/// The first group with a keep rule of which nothing is known from before.
pub(crate) fn unlisted_group(reads: &impl Reads, host: HostId) -> Result<Option<String>, StoreError> {
    for (key, group) in reads.rows(&GROUPS, &Span::under(&host))? {
        let has_rule = !crate::dispatch::spec::keep_of(&group.keep).is_empty();
        if has_rule && reads.get(&SOUNDNESS, &key)?.unwrap_or_default().past == Past::Unlisted {
            return Ok(Some(group.name));
        }
    }
    Ok(None)
}

/// The snapshots were listed: what those from before hold is known now.
pub(crate) fn listed(tx: &mut Tx<'_>, host: HostId, now: Timestamp) -> Result<(), StoreError> {
    let Some(record) = tx.get(&HOSTS, &host)? else { return Ok(()) };
    let groups: Vec<Group> =
        tx.rows(&GROUPS, &Span::under(&host))?.into_iter().map(|(_, group)| group).collect();
    let mut open = Vec::new();
    for group in &groups {
        let known = super::of(tx, host, &group.name)?;
        if known.past == Past::Unlisted {
            open.push((group, known));
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    let backups = backups_of(tx, host)?;
    let rows = listing::read(tx, host)?.map(|(_, rows)| rows).unwrap_or_default();
    let owners = Owners::of_host(&record.restic_host, &groups);
    for (group, known) in open {
        let is_of = |made: &Made<'_>| {
            origins::owner_among(&groups, &record.restic_host, made.tag).as_ref() == Some(&group.name)
        };
        let made: Vec<Made<'_>> = backups.iter().filter_map(super::made).filter(is_of).collect();
        let own: HashSet<&str> = made.iter().map(|made| short(made.snapshot)).collect();
        let before = rows
            .iter()
            .filter(|row| owners.of(row) == Owner::Group(&group.name) && !own.contains(short(&row.id)));
        let before: Vec<&SnapshotRow> = before.collect();
        let after = learn(known, &before, made, now);
        tx.put(&SOUNDNESS, &(host, group.name.clone()), &after)?;
        hosts::change_summary(tx, host, |summary| summary.take_loss(&group.name, after.loss.as_ref()))?;
    }
    tx.effects.changed(crate::change::Changed::Groups(host));
    tx.effects.changed(crate::change::Changed::Host(host));
    Ok(())
}

/// The backups of a host that made a snapshot, oldest first.
fn backups_of(tx: &Tx<'_>, host: HostId) -> Result<Vec<Job>, StoreError> {
    let mut jobs = Vec::new();
    for id in job::newest(tx, host, JobKind::Backup, listing::MAX_BACKUPS)?.into_iter().rev() {
        jobs.extend(tx.get(&JOBS, &id)?.filter(|job| super::made(job).is_some()));
    }
    Ok(jobs)
}

/// What is known of a group once it is known what was there before, and what its backups here have said of themselves:
/// pure. The most that any held before is usual; what holds less than half of that lacks something.
pub(super) fn learn(
    known: Soundness,
    before: &[&SnapshotRow],
    made: Vec<Made<'_>>,
    now: Timestamp,
) -> Soundness {
    if before.is_empty() {
        return Soundness { past: Past::Known, ..known };
    }
    let sized =
        || before.iter().filter_map(|row| Some((*row, Extent { files: row.files?, bytes: row.bytes? })));
    let most = sized().map(|(_, extent)| extent).reduce(|most, extent| Extent {
        files: most.files.max(extent.files),
        bytes: most.bytes.max(extent.bytes),
    });
    let Some(most) = most else {
        return Soundness { past: Past::Unsized(u32::try_from(before.len()).unwrap_or(u32::MAX)), ..known };
    };
    let is_made = |flawed: &Flawed| made.iter().any(|made| flawed.job == Some(made.job));
    let mut after =
        Soundness { past: Past::Known, usual: vec![most], is_cut: known.is_cut, ..Soundness::default() };
    after.add_lacking(known.lacking.into_iter().filter(|flawed| !is_made(flawed)));
    let poor = sized().filter(|(_, extent)| super::is_less_than_half(*extent, most));
    after.add_lacking(poor.map(|(row, _)| Flawed {
        snapshot: row.id.clone(),
        tag: row.tags.first().cloned().unwrap_or_default(),
        job: None,
        heard_at: now,
        lack: None,
    }));
    made.into_iter().for_each(|made| take(&mut after, made, now));
    after
}
