//! Which snapshots of a source group are whole.
//!
//! Retention counts snapshots, and one that is known to lack what its group names must not push a whole one out. What a
//! backup says of itself (a path was not there, was empty, could not be read) is kept as long as its snapshot is, and
//! goes to the agent with each forget, beside the newest that are known to be whole: what goes is judged there, in the
//! repository itself, and as many of the newest whole ones stay as the rules would keep. When more than
//! half of the usual files or bytes are gone, nothing of the group is forgotten and nothing is pruned until a person has
//! looked. When a backup does not fit in with those before it ([`unusual`]), nothing of the whole host is forgotten, for
//! what has changed one group may be in the others, too. A person's word that it is right as it is ends all of it.

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::groups::origins;
use crate::hosts;
use crate::op::Op;
use crate::record::{
    Accepted, Actor, AuditAction, Extent, Flawed, Group, Hold, Host, Job, JobFigures, JobState, JobWhat,
    Lack, Loss, Newest, Past, Soundness, UnusualBackups, Whole, named_by,
};
use crate::refused::{Refused, StoreError};
use crate::repo::partners;
use crate::request::By;
use crate::store::{GROUPS, HOSTS, JOBS, Reads, SOUNDNESS, Span, Tx};
use schema::job::ForgetResult;
use schema::{Class, HostId, Items, JobId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use unusual::EndedBackup;

pub(crate) mod past;
pub(crate) mod unusual;

/// So many whole backups say what is usual.
const USUAL: usize = 7;
/// So many of them, where these hold more.
const USUAL_OF_NEWEST: usize = 3;
/// This part of the last whole one is usual in any case.
const SHARE_OF_LAST: u64 = 5;
/// So many snapshots that lack something are known of one group.
pub(crate) const MOST_LACKING: usize = 1_000;
/// So many snapshots that are whole are known of one group.
const MOST_WHOLE: usize = 128;
/// The clock of a host may be behind by so much without a word.
const CLOCK_MS: u64 = 60_000;

/// A backup that made a snapshot.
struct Made<'a> {
    job: JobId,
    tag: &'a str,
    snapshot: &'a str,
    extent: Extent,
    lack: Option<Lack>,
    /// When it was asked for, and when it ended.
    asked_at: Timestamp,
    ended_at: Timestamp,
}

fn made(job: &Job) -> Option<Made<'_>> {
    let (JobFigures::Backup(figures), JobWhat::Backup { group: tag }) = (&job.figures, &job.what) else {
        return None;
    };
    if figures.snapshot.is_empty() {
        return None;
    }
    let extent = Extent { files: figures.total_files, bytes: figures.total_bytes };
    Some(Made {
        job: job.id,
        tag,
        snapshot: &figures.snapshot,
        extent,
        lack: lack_of(job),
        asked_at: job.created_at,
        ended_at: job.finished_at.unwrap_or(job.created_at),
    })
}

/// What a backup lacks by its own word. A hook that failed says nothing of what was saved.
fn lack_of(job: &Job) -> Option<Lack> {
    if job.state == JobState::Succeeded || job.class == Some(Class::Hook) {
        return None;
    }
    let (findings, paths_left_out, errors) = match &job.figures {
        JobFigures::Backup(figures) => {
            (figures.findings.as_slice(), figures.findings_left_out, figures.errors.into())
        }
        _ => (&[][..], 0, 0),
    };
    let mut paths: Vec<String> = findings
        .iter()
        .filter(|finding| finding.reason.class().is_some())
        .map(|finding| finding.path.clone())
        .collect();
    paths.sort();
    Some(Lack { class: job.class.unwrap_or(Class::Other), paths, paths_left_out, errors })
}

/// Takes a backup that has ended: pure.
fn take(known: &mut Soundness, made: Made<'_>, now: Timestamp) {
    let Made { job, tag, snapshot, extent, lack, asked_at, ended_at } = made;
    let began_at = Timestamp(asked_at.0.saturating_sub(CLOCK_MS));
    known.began_at = Some(known.began_at.map_or(began_at, |known| known.min(began_at)));
    let usual = usual_of(&known.usual);
    let swings = lack.is_none() && known.takes_little(extent);
    let is_lost = !swings && usual.is_some_and(|usual| is_less_than_half(extent, usual));
    let is_accepted = lack.as_ref().is_none_or(|lack| known.accepts(lack));
    if lack.is_none() {
        // The word was given for what was lacking then.
        known.accepted = known.accepted.take().filter(|accepted| accepted.lack.is_none());
    }
    match (&mut known.loss, usual) {
        (Some(loss), _) if is_lost => (loss.now, loss.is_back) = (extent, false),
        (Some(loss), _) => loss.is_back = true,
        (None, Some(usual)) if is_lost => {
            known.loss = Some(Loss { job, since: now, usual, now: extent, is_back: false });
        }
        (None, _) => {}
    }
    let brought_nothing = matches!(&lack, Some(lack) if !is_accepted && is_of_source(lack.class));
    if !is_lost && !brought_nothing {
        known.usual.push(extent);
        let surplus = known.usual.len().saturating_sub(USUAL);
        known.usual.drain(..surplus);
    }
    let is_whole = !is_lost && is_accepted;
    if known.newest.as_ref().is_none_or(|newest| newest.job <= job) {
        let snapshot = snapshot.to_owned();
        known.newest = Some(Newest { job, is_whole, snapshot, extent, at: ended_at });
    }
    known.lacking.retain(|flawed| flawed.job != Some(job));
    known.whole.retain(|whole| whole.snapshot != named_by(snapshot));
    if is_whole {
        known.add_whole(snapshot, now);
    } else {
        let (snapshot, tag) = (snapshot.to_owned(), tag.to_owned());
        known.add_lacking([Flawed { snapshot, tag, job: Some(job), heard_at: now, lack }]);
    }
}

/// Whether a whole path of the group was not saved.
const fn is_of_source(class: Class) -> bool {
    matches!(class, Class::SourceMissing | Class::SourceEmpty)
}

/// The middle of the last ones, or of the newest few of them where that is more, for a group that has just grown, or a
/// share of the very last, so that nine tenths of that are not lost without a word; of files and of bytes each by itself.
fn usual_of(last: &[Extent]) -> Option<Extent> {
    let middle_of = |last: &[Extent], of: fn(&Extent) -> u64| {
        let mut values: Vec<u64> = last.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    let newest = &last[last.len().saturating_sub(USUAL_OF_NEWEST)..];
    let usual = |of: fn(&Extent) -> u64| {
        let middle = middle_of(last, of).max(middle_of(newest, of))?;
        Some(middle.max(of(last.last()?) / SHARE_OF_LAST))
    };
    Some(Extent { files: usual(|extent| extent.files)?, bytes: usual(|extent| extent.bytes)? })
}

const fn is_less_than_half(extent: Extent, usual: Extent) -> bool {
    extent.files.saturating_mul(2) < usual.files || extent.bytes.saturating_mul(2) < usual.bytes
}

impl Soundness {
    /// Why nothing of the group is forgotten right now.
    #[must_use]
    pub const fn hold(&self) -> Option<Hold> {
        match self {
            Self { loss: Some(_), .. } => Some(Hold::Loss),
            Self { unusual: Some(unusual), .. } => Some(Hold::Unusual(unusual.first.what)),
            Self { is_cut: true, .. } => Some(Hold::TooManyLacking),
            Self { past: Past::Unlisted, .. } => Some(Hold::Unlisted),
            Self { past: Past::Unsized(_), .. } => Some(Hold::Unsized),
            _ => None,
        }
    }

    /// The backup that a person has to look at, and that names what is accepted; `None` = nothing is to be said.
    #[must_use]
    pub fn mark(&self) -> Option<JobId> {
        let is_held = self.hold().is_some_and(|hold| hold != Hold::Unlisted);
        if !is_held && self.spared == 0 && self.is_whole_again() {
            return None;
        }
        let lacking = self.lacking.last().and_then(|flawed| flawed.job);
        let lost = self.loss.as_ref().map(|loss| loss.job);
        let found = lacking.max(lost).max(self.unusual.map(|unusual| unusual.last.job));
        let is_asked = is_held || self.spared > 0;
        found.or(self.newest.as_ref().map(|newest| newest.job).filter(|_| is_asked))
    }

    /// Whether more than half of what is usual was gone in the backup that was taken last, and nobody has looked.
    pub(crate) fn is_lost(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| !loss.is_back)
    }

    /// Whether the newest backup is whole: whatever was before, nothing is lacking now.
    #[must_use]
    pub fn is_whole_again(&self) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.is_whole)
    }

    /// The newest of them are kept, in the order in which they were heard of.
    fn add_whole(&mut self, snapshot: &str, heard_at: Timestamp) {
        let place = self.whole.partition_point(|whole| whole.heard_at <= heard_at);
        self.whole.insert(place, Whole { snapshot: named_by(snapshot).to_owned(), heard_at });
        let surplus = self.whole.len().saturating_sub(MOST_WHOLE);
        self.whole.drain(..surplus);
    }

    /// What is beyond the bound is not known any more, and holds.
    fn add_lacking(&mut self, more: impl IntoIterator<Item = Flawed>) {
        self.lacking.extend(more);
        self.lacking.sort_by(|a, b| (a.job, &a.snapshot).cmp(&(b.job, &b.snapshot)));
        self.lacking.dedup_by(|a, b| a.job == b.job && (a.job.is_some() || a.snapshot == b.snapshot));
        let surplus = self.lacking.len().saturating_sub(MOST_LACKING);
        self.is_cut |= surplus > 0;
        self.lacking.drain(..surplus);
    }

    /// Whether a person has said of a backup that held about as little that it is right, not long ago: a source that
    /// swings is asked about once.
    fn takes_little(&mut self, extent: Extent) -> bool {
        let Some((little, left)) = self.little else { return false };
        let is_as_much = |now: u64, then: u64| now >= then - then / 10;
        let is_taken = is_as_much(extent.files, little.files)
            && is_as_much(extent.bytes, little.bytes)
            && !is_less_than_half(little, extent);
        let left = if is_taken { Some(USUAL as u8) } else { left.checked_sub(1) };
        self.little = left.map(|left| (little, left));
        is_taken
    }

    /// Whether a person has said that this lack is right.
    fn accepts(&self, lack: &Lack) -> bool {
        let accepted = self.accepted.as_ref().and_then(|accepted| accepted.lack.as_ref());
        accepted.is_some_and(|accepted| covers(accepted, lack))
    }

    /// Whether a backup is right for all that is known: it lacks nothing, or what a person has said may be lacking.
    pub(crate) fn is_right(&self, job: &Job) -> bool {
        made(job).is_some() && lack_of(job).is_none_or(|lack| self.accepts(&lack))
    }
}

/// Whether a word for one lack goes for another: one of the same kind, and of nothing else, as far as that can be told.
fn covers(accepted: &Lack, lack: &Lack) -> bool {
    let are_named = lack.paths_left_out == 0 && lack.paths.len() as u64 >= lack.errors;
    let can_be_told = are_named && (!lack.paths.is_empty() || is_of_source(lack.class));
    can_be_told && accepted.class == lack.class && lack.paths.iter().all(|path| accepted.paths.contains(path))
}

/// A person has said that the group is right as its last backup found it: pure. When that one is whole, what came before
/// it is not right because of that: only the hold ends.
fn accept(known: &mut Soundness, by: &Actor, now: Timestamp) {
    let lost = known.loss.take().filter(|loss| !loss.is_back);
    unusual::accept(known);
    known.is_cut = false;
    known.spared = 0;
    known.right = known.newest.clone();
    if matches!(known.past, Past::Unsized(_)) {
        known.past = Past::Known;
    }
    let lack = if known.is_whole_again() {
        known.accepted.take().and_then(|accepted| accepted.lack)
    } else {
        let last = known.lacking.last().cloned();
        let lack = last.as_ref().and_then(|last| last.lack.clone());
        let is_right = |flawed: &Flawed| match (&flawed.lack, &lack) {
            _ if last.as_ref().is_some_and(|last| last.job == flawed.job) => true,
            (None, _) => lost.is_some(),
            (Some(flawed), Some(lack)) => covers(lack, flawed),
            (Some(_), None) => false,
        };
        let (right, lacking) = std::mem::take(&mut known.lacking).into_iter().partition(is_right);
        known.lacking = lacking;
        let right: Vec<Flawed> = right;
        // Of those that no backup here has made, the order is not known.
        for flawed in right.iter().filter(|flawed| flawed.job.is_some()) {
            known.add_whole(&flawed.snapshot, flawed.heard_at);
        }
        lack
    };
    if let Some(lost) = lost {
        known.usual = vec![lost.now];
        // What is empty again is a mount that is gone again.
        known.little = (lost.now.files > 0).then_some((lost.now, USUAL as u8));
    }
    known.accepted = Some(Accepted { by: by.clone(), at: now, lack });
}

/// What is known of a group.
pub(crate) fn of(reads: &impl Reads, host: HostId, group: &str) -> Result<Soundness, StoreError> {
    Ok(reads.get(&SOUNDNESS, &(host, group.to_owned()))?.unwrap_or_default())
}

/// A backup has ended: which group its snapshot is of now, and what is known of that. The group may have another name by
/// then; where it is no more, what is known waits under the old one for whoever goes on with its snapshots.
pub(crate) fn backup_ended(
    op: &mut Op<'_, '_>,
    job: &Job,
) -> Result<Option<(String, Soundness)>, StoreError> {
    let Some(tag) = group_of(job) else { return Ok(None) };
    let owner = origins::owner_of(op.tx, job.host, tag)?;
    let group = owner.clone().unwrap_or_else(|| tag.to_owned());
    let mut known = of(op.tx, job.host, &group)?;
    if let (Some(made), JobFigures::Backup(figures)) = (made(job), &job.figures) {
        let before = known.clone();
        let (asked_at, ended_at) = (made.asked_at, made.ended_at);
        let brought_nothing = made.lack.as_ref().is_some_and(|lack| is_of_source(lack.class));
        take(&mut known, made, op.now);
        let is_lost = known.is_lost();
        let before_it = before.newest.as_ref();
        let seen = EndedBackup {
            job: job.id,
            figures,
            asked_at,
            ended_at,
            before: before_it,
            is_lost,
            brought_nothing,
        };
        unusual::take(&mut known, &seen, op.now);
        if known != before {
            op.tx.put(&SOUNDNESS, &(job.host, group), &known)?;
            op.tx.effects.changed(Changed::Groups(job.host));
        }
    }
    Ok(owner.map(|owner| (owner, known)))
}

/// A forget has ended: snapshots that are gone need not be known any more. What was heard of since the forget was asked
/// for was not in its question.
pub(crate) fn forgotten<'a>(
    tx: &mut Tx<'_>,
    job: &Job,
    results: &Items<'a, ForgetResult<'a>>,
) -> Result<(), StoreError> {
    for result in results.iter() {
        let Some(there) = result.lacking else { continue };
        let Some(group) = origins::owner_of(tx, job.host, result.group)? else { continue };
        let key = (job.host, group);
        let Some(mut known) = tx.get(&SOUNDNESS, &key)? else { continue };
        let before = (known.lacking.len(), known.spared);
        known.lacking.retain(|flawed| {
            flawed.heard_at >= job.created_at || there.iter().any(|id| id == named_by(&flawed.snapshot))
        });
        known.spared = result.spared;
        if (known.lacking.len(), known.spared) != before {
            tx.put(&SOUNDNESS, &key, &known)?;
            tx.effects.changed(Changed::Groups(job.host));
        }
    }
    Ok(())
}

/// A group has another name.
pub(crate) fn group_renamed(tx: &mut Tx<'_>, host: HostId, old: &str, new: &str) -> Result<(), StoreError> {
    let key = (host, old.to_owned());
    if let Some(mut known) = tx.get(&SOUNDNESS, &key)? {
        tx.remove(&SOUNDNESS, &key)?;
        // What a group that had the new name before has left.
        let left = of(tx, host, new)?;
        known.is_cut |= left.is_cut;
        known.unusual = known.unusual.or(left.unusual);
        known.add_lacking(left.lacking);
        tx.put(&SOUNDNESS, &(host, new.to_owned()), &known)?;
    }
    Ok(())
}

/// A group is no more, and its snapshots stay: all that is known of them waits for whoever goes on with them, but for a
/// person's word.
pub(crate) fn group_deleted(tx: &mut Tx<'_>, host: HostId, group: &str) -> Result<(), StoreError> {
    let key = (host, group.to_owned());
    match tx.get(&SOUNDNESS, &key)? {
        Some(known) => tx.put(&SOUNDNESS, &key, &Soundness { accepted: None, right: None, ..known }),
        None => Ok(()),
    }
}

/// Which snapshots are of which group has changed: what is known of each goes to where it is now.
pub(crate) fn groups_changed(tx: &mut Tx<'_>, host: &Host) -> Result<(), StoreError> {
    let groups: Vec<Group> =
        tx.rows(&GROUPS, &Span::under(&host.id))?.into_iter().map(|(_, group)| group).collect();
    let before: BTreeMap<String, Soundness> = tx
        .rows(&SOUNDNESS, &Span::under(&host.id))?
        .into_iter()
        .map(|((_, name), known)| (name, known))
        .collect();
    let after = sorted(before.clone(), |tag| origins::owner_among(&groups, &host.restic_host, tag));
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        tx.remove(&SOUNDNESS, &(host.id, name.clone()))?;
    }
    for (name, known) in after.iter().filter(|(name, known)| before.get(*name) != Some(known)) {
        tx.put(&SOUNDNESS, &(host.id, name.clone()), known)?;
    }
    Ok(())
}

/// What is known of groups, by their names, sorted anew by whose each tag is: pure.
fn sorted(
    before: BTreeMap<String, Soundness>,
    owner_of: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, Soundness> {
    let place_of = |tag: String| owner_of(&tag).unwrap_or(tag);
    let mut after: BTreeMap<String, Soundness> = BTreeMap::new();
    let (there, gone): (Vec<_>, Vec<_>) =
        before.into_iter().partition(|(name, _)| owner_of(name).as_ref() == Some(name));
    for (name, mut known) in there.into_iter().chain(gone) {
        let lacking = std::mem::take(&mut known.lacking);
        let place = place_of(name.clone());
        let entry = after.entry(place.clone()).or_default();
        entry.is_cut |= known.is_cut;
        // At which nobody has looked is to be looked at by whoever goes on with the snapshots.
        entry.unusual = entry.unusual.or(known.unusual);
        // A group that knows nothing of its own yet goes by what was usual before.
        if place == name || (entry.usual.is_empty() && entry.loss.is_none()) {
            known.accepted = known.accepted.filter(|_| place == name);
            let (lacking, is_cut, unusual) =
                (std::mem::take(&mut entry.lacking), entry.is_cut, entry.unusual);
            *entry = Soundness { lacking, is_cut, unusual, ..known };
        }
        for flawed in lacking {
            after.entry(place_of(flawed.tag.clone())).or_default().add_lacking([flawed]);
        }
    }
    after.retain(|_, known| *known != Soundness::default());
    after
}

/// The first group of a host at which a person has to look before anything goes.
pub(crate) fn held_group(reads: &impl Reads, host: HostId) -> Result<Option<(String, Hold)>, StoreError> {
    for (key, known) in reads.rows(&SOUNDNESS, &Span::under(&host))? {
        if let Some(hold) = known.hold().filter(|hold| hold.is_found())
            && reads.has(&GROUPS, &key)?
        {
            return Ok(Some((key.1, hold)));
        }
    }
    Ok(None)
}

/// The first group of a host of which a backup does not fit in with those before it: nothing of the whole host is forgotten
/// until a person has looked.
pub(crate) fn unusual_group(reads: &impl Reads, host: HostId) -> Result<Option<(String, Hold)>, StoreError> {
    for (key, known) in reads.rows(&SOUNDNESS, &Span::under(&host))? {
        if let Some(unusual) = known.unusual
            && reads.has(&GROUPS, &key)?
        {
            return Ok(Some((key.1, Hold::Unusual(unusual.first.what))));
        }
    }
    Ok(None)
}

/// A group gets other paths or excludes: what its backups usually change says nothing of what comes.
pub(crate) fn rules_changed(
    op: &mut Op<'_, '_>,
    host: HostId,
    before: Option<&Group>,
    group: &Group,
) -> Result<(), StoreError> {
    let key = (host, group.name.clone());
    let Some(mut known) = op.tx.get(&SOUNDNESS, &key)? else { return Ok(()) };
    if !before.is_some_and(|before| is_of_the_same(before, group)) {
        known.baseline.reset(op.now);
        op.tx.put(&SOUNDNESS, &key, &known)?;
    }
    Ok(())
}

/// Whether two groups save the same.
fn is_of_the_same(one: &Group, other: &Group) -> bool {
    let sorted = |texts: &[String]| texts.iter().cloned().collect::<BTreeSet<_>>();
    sorted(&one.includes) == sorted(&other.includes)
        && one.excludes == other.excludes
        && sorted(&one.exclude_if_present) == sorted(&other.exclude_if_present)
        && one.one_file_system == other.one_file_system
}

/// The first group for which nothing of this host's repository may be pruned: one of its own, or of a host that surely
/// is on the same repository, which is named with its host.
pub(crate) fn held_on_repository(
    reads: &impl Reads,
    host: HostId,
) -> Result<Option<(String, Hold)>, StoreError> {
    if let Some(own) = held_group(reads, host)? {
        return Ok(Some(own));
    }
    for other in partners::partners(reads, host)? {
        if let Some((group, why)) = held_group(reads, other)?
            && let Some(record) = reads.get(&HOSTS, &other)?
        {
            return Ok(Some((format!("{group} of {}", record.name), why)));
        }
    }
    Ok(None)
}

impl Fleet {
    /// Says that a source group is right as its last backup found it. `mark` is the backup that was shown; when another
    /// one is to be looked at, nothing is said of it.
    pub async fn accept_backup(
        &self,
        host: HostId,
        group: &str,
        mark: JobId,
        by: By,
    ) -> Result<Soundness, Refused> {
        let group = group.to_owned();
        self.write(by, move |op| {
            hosts::find(op.tx, host)?;
            let key = (host, group.clone());
            if !op.tx.has(&GROUPS, &key)? {
                return Err(Refused::GroupNotFound);
            }
            let mut known = op.tx.get(&SOUNDNESS, &key)?.unwrap_or_default();
            if known.mark() != Some(mark) {
                return Err(Refused::StateChanged);
            }
            let detail = words_of(&group, &known);
            accept(&mut known, &op.by.actor, op.now);
            op.tx.put(&SOUNDNESS, &key, &known)?;
            let newest = op.tx.get(&JOBS, &mark)?;
            hosts::change_summary(op.tx, host, |summary| {
                summary.accept(&group, newest.as_ref(), &known, op.now);
            })?;
            op.tx.effects.changed(Changed::Groups(host));
            op.tx.effects.changed(Changed::Repo(host));
            op.tx.effects.changed(Changed::Host(host));
            audit::note(op, AuditAction::GroupAccepted, hosts::target(op.tx, host)?, detail)?;
            Ok(known)
        })
        .await
    }
}

/// What was accepted, for the audit.
fn words_of(group: &str, known: &Soundness) -> String {
    let loss = known.loss.as_ref().map(|loss| {
        format!(
            "{} files and {} bytes, usual were {} and {}",
            loss.now.files, loss.now.bytes, loss.usual.files, loss.usual.bytes
        )
    });
    let unusual = known.unusual.map(|UnusualBackups { first, count, .. }| {
        let churn = first.churn;
        format!(
            "{count} unusual: {}, job {}: of {} files {} were as before, {} bytes added, usual were {}",
            first.what.as_str(),
            first.job,
            churn.files,
            churn.files_kept(),
            churn.added_bytes,
            first.usual_added_bytes
        )
    });
    let lack = known.lacking.last().and_then(|flawed| flawed.lack.as_ref());
    let lack = lack.map(|lack| lack.class.as_str().to_owned());
    let parts: Vec<String> = loss.into_iter().chain(unusual).chain(lack).collect();
    format!("{group}: {}", parts.join("; "))
}

/// The group of a backup.
pub(crate) fn group_of(job: &Job) -> Option<&str> {
    match &job.what {
        JobWhat::Backup { group } => Some(group),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
