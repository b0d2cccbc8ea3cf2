//! What was there before a source group began here: snapshots that no backup of this server made, of a host that was added
//! again, of a repository that is gone on with. How much they hold is read from the list of snapshots; until then nothing
//! of the group is forgotten, for a new group that finds little would take that for usual.

use super::{Made, take};
use crate::credentials;
use crate::groups::{Owner, Owners, origins};
use crate::hosts;
use crate::job;
use crate::listing::{self, short};
use crate::op::Op;
use crate::record::{
    Extent, Flawed, Group, Host, Job, Origin, Past, SnapshotRow, Soundness, Whole, named_by,
};
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
    let is_known = |origin: &Origin| {
        let is_former = |before: &Group| origin.hostname == host.restic_host && origin.tag == before.name;
        before.is_some_and(|before| before.origins.contains(origin) || is_former(before))
    };
    // A group that gets another name goes on with what the repository has of that.
    let own = Origin { hostname: host.restic_host.clone(), tag: group.name.clone() };
    let has_more = !group.origins.iter().all(is_known) || (before.is_some() && !is_known(&own));
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
pub(crate) fn repository_made(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    each(op, host, |group, known| {
        if known.past == Past::Unlisted && group.origins.is_empty() {
            known.past = Past::Known;
        }
    })
}

/// A host uses another repository, or the same one by another address: nobody knows what is in it.
pub(crate) fn repository_changed(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    let now = op.now;
    each(op, host, |_, known| {
        (known.past, known.began_at) = (Past::Unlisted, None);
        known.baseline.reset(now);
        // A word for what is older than a snapshot goes for where that is.
        if let Some(right) = &mut known.right {
            right.at = Timestamp(0);
        }
    })
}

fn each(
    op: &mut Op<'_, '_>,
    host: HostId,
    change: impl Fn(&Group, &mut Soundness),
) -> Result<(), StoreError> {
    let now = op.now;
    for (key, group) in op.tx.rows(&GROUPS, &Span::under(&host))? {
        let before = op.tx.get(&SOUNDNESS, &key)?.unwrap_or_default();
        let mut known = before.clone();
        change(&group, &mut known);
        if known != before {
            op.tx.put(&SOUNDNESS, &key, &known)?;
            hosts::change_summary(op.tx, host, |summary| summary.take_sound(&group.name, &known, now))?;
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

/// The snapshots were listed, all of them, and with the credentials that stand now: what those from before hold is known.
pub(crate) fn listed(op: &mut Op<'_, '_>, listing: &Job) -> Result<(), StoreError> {
    let now = op.now;
    let host = listing.host;
    if credentials::is_outdated(op.tx, listing)? {
        return Ok(());
    }
    let Some(record) = op.tx.get(&HOSTS, &host)? else { return Ok(()) };
    let groups: Vec<Group> =
        op.tx.rows(&GROUPS, &Span::under(&host))?.into_iter().map(|(_, group)| group).collect();
    let mut open = Vec::new();
    for group in &groups {
        let known = super::of(op.tx, host, &group.name)?;
        if known.past == Past::Unlisted {
            open.push((group, known));
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    let backups = backups_of(op.tx, host)?;
    let rows = listing::read(op.tx, host)?.map(|(_, rows)| rows).unwrap_or_default();
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
        op.tx.put(&SOUNDNESS, &(host, group.name.clone()), &after)?;
        hosts::change_summary(op.tx, host, |summary| summary.take_sound(&group.name, &after, now))?;
    }
    op.tx.effects.changed(crate::change::Changed::Groups(host));
    op.tx.effects.changed(crate::change::Changed::Host(host));
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
/// pure. The most that any held before is usual; what holds less than half of that lacks something, but for what a person
/// has said is right.
pub(super) fn learn(
    known: Soundness,
    before: &[&SnapshotRow],
    made: Vec<Made<'_>>,
    now: Timestamp,
) -> Soundness {
    let sized: Vec<(&SnapshotRow, Extent)> = before
        .iter()
        .filter_map(|row| Some((*row, Extent { files: row.files?, bytes: row.bytes? })))
        .collect();
    let unsized_ones = u32::try_from(before.len() - sized.len()).unwrap_or(u32::MAX);
    let past = if unsized_ones > 0 { Past::Unsized(unsized_ones) } else { Past::Known };
    let most = sized.iter().map(|(_, extent)| *extent).reduce(|most, extent| Extent {
        files: most.files.max(extent.files),
        bytes: most.bytes.max(extent.bytes),
    });
    let Some(most) = most else { return Soundness { past, ..known } };
    // A person has looked at what was there by then.
    let looked_at = known.right.as_ref().map(|right| right.job);
    let made: Vec<Made<'_>> =
        made.into_iter().filter(|made| looked_at.is_none_or(|looked_at| made.job > looked_at)).collect();
    let is_made = |flawed: &Flawed| made.iter().any(|made| flawed.job == Some(made.job));
    let is_again = |whole: &Whole| made.iter().any(|made| whole.snapshot == named_by(made.snapshot));
    let (loss, usual) = match looked_at {
        Some(_) => (known.loss, known.usual),
        None => (None, vec![most]),
    };
    let mut after = Soundness { past, loss, usual, lacking: Vec::new(), whole: Vec::new(), ..known };
    after.add_lacking(known.lacking.into_iter().filter(|flawed| !is_made(flawed)));
    after.whole = known.whole.into_iter().filter(|whole| !is_again(whole)).collect();
    if looked_at.is_none() {
        let poor = sized.iter().filter(|(_, extent)| super::is_less_than_half(*extent, most));
        after.add_lacking(poor.map(|(row, _)| Flawed {
            snapshot: row.id.clone(),
            tag: row.tags.first().cloned().unwrap_or_default(),
            job: None,
            heard_at: now,
            lack: None,
        }));
    }
    made.into_iter().for_each(|made| take(&mut after, made, now));
    after
}
