//! Which snapshots of a source group are whole.
//!
//! Retention counts snapshots, and one that is known to lack what its group names must not push a whole one out. What a
//! backup says of itself (a path was not there, was empty, could not be read) is kept as long as its snapshot is, and
//! goes to the agent with each forget: beside what the rules keep, as many of the newest whole ones stay. When more than
//! half of the usual files or bytes are gone, nothing of the group is forgotten and nothing is pruned until a person has
//! looked. A person's word that it is right as it is ends both.

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::hosts;
use crate::record::{
    Accepted, Actor, Extent, Flawed, Group, Host, Job, JobFigures, JobState, JobWhat, Lack, Loss, Origin,
    Soundness,
};
use crate::refused::{Refused, StoreError};
use crate::repo::sharing;
use crate::request::By;
use crate::store::{GROUPS, HOSTS, JOBS, Reads, SOUNDNESS, Span, Tx};
use schema::job::ForgetResult;
use schema::{Class, HostId, Items, JobId, Timestamp};

/// So many whole backups say what is usual.
const USUAL: usize = 7;
/// So many snapshots that lack something are known of one group.
pub(crate) const MOST_LACKING: usize = 1_000;
/// So many letters of a snapshot's id name it to an agent.
pub(crate) const NAMED_BY: usize = 16;

/// Why nothing of a group is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// More than half of what is usual is gone.
    Loss,
    /// More snapshots lack something than are kept in mind.
    TooManyLacking,
}

impl Hold {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Loss, Self::TooManyLacking];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::TooManyLacking => "too_many_lacking",
        }
    }
}

/// A backup that made a snapshot.
struct Made<'a> {
    job: JobId,
    snapshot: &'a str,
    extent: Extent,
    lack: Option<Lack>,
}

fn made(job: &Job) -> Option<Made<'_>> {
    let JobFigures::Backup(figures) = &job.figures else { return None };
    if figures.snapshot.is_empty() {
        return None;
    }
    let extent = Extent { files: figures.total_files, bytes: figures.total_bytes };
    Some(Made { job: job.id, snapshot: &figures.snapshot, extent, lack: lack_of(job) })
}

/// What a backup lacks by its own word. A hook that failed says nothing of what was saved.
fn lack_of(job: &Job) -> Option<Lack> {
    if job.state == JobState::Succeeded || job.class == Some(Class::Hook) {
        return None;
    }
    let findings = match &job.figures {
        JobFigures::Backup(figures) => figures.findings.as_slice(),
        _ => &[],
    };
    let mut paths: Vec<String> = findings
        .iter()
        .filter(|finding| finding.reason.class().is_some())
        .map(|finding| finding.path.clone())
        .collect();
    paths.sort();
    Some(Lack { class: job.class.unwrap_or(Class::Other), paths })
}

/// Takes a backup that has ended: pure.
fn take(known: &mut Soundness, made: Made<'_>, now: Timestamp) {
    let Made { job, snapshot, extent, lack } = made;
    let usual = usual_of(&known.usual);
    let is_lost = usual.is_some_and(|usual| is_less_than_half(extent, usual));
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
    known.lacking.retain(|flawed| flawed.job != job);
    if is_lost || !is_accepted {
        known.lacking.push(Flawed { snapshot: snapshot.to_owned(), job, heard_at: now, lack });
        let surplus = known.lacking.len().saturating_sub(MOST_LACKING);
        known.is_cut |= surplus > 0;
        known.lacking.drain(..surplus);
    }
}

/// Whether a whole path of the group was not saved.
const fn is_of_source(class: Class) -> bool {
    matches!(class, Class::SourceMissing | Class::SourceEmpty)
}

/// The middle of the last ones; of files and of bytes each by itself.
fn usual_of(last: &[Extent]) -> Option<Extent> {
    let middle = |of: fn(&Extent) -> u64| {
        let mut values: Vec<u64> = last.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    Some(Extent { files: middle(|extent| extent.files)?, bytes: middle(|extent| extent.bytes)? })
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
            Self { is_cut: true, .. } => Some(Hold::TooManyLacking),
            _ => None,
        }
    }

    /// The backup that a person has to look at, and that names what is accepted; `None` = nothing is to be said.
    #[must_use]
    pub fn mark(&self) -> Option<JobId> {
        let lacking = self.lacking.last().map(|flawed| flawed.job);
        lacking.max(self.loss.as_ref().map(|loss| loss.job))
    }

    /// Snapshots of a former group that lack something. What is beyond the bound is not known any more, and holds.
    fn add_lacking(&mut self, former: Vec<Flawed>) {
        self.lacking.extend(former);
        self.lacking.sort_by_key(|flawed| flawed.job);
        self.lacking.dedup_by_key(|flawed| flawed.job);
        let surplus = self.lacking.len().saturating_sub(MOST_LACKING);
        self.is_cut |= surplus > 0;
        self.lacking.drain(..surplus);
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

fn covers(accepted: &Lack, lack: &Lack) -> bool {
    accepted.class == lack.class && lack.paths.iter().all(|path| accepted.paths.contains(path))
}

/// A person has said that the group is right as its last backup found it: pure.
fn accept(known: &mut Soundness, by: &Actor, now: Timestamp) {
    let last = known.lacking.last().cloned();
    let lack = last.as_ref().and_then(|last| last.lack.clone());
    if let Some(loss) = known.loss.take().filter(|loss| !loss.is_back) {
        known.usual = vec![loss.now];
    }
    // What lacked something else is not right because of that.
    known.lacking.retain(|flawed| match (&flawed.lack, &lack) {
        (None, _) => false,
        (Some(flawed), Some(lack)) => !covers(lack, flawed),
        (Some(_), None) => true,
    });
    known.is_cut = false;
    known.accepted = Some(Accepted { by: by.clone(), at: now, lack });
}

/// What is known of a group.
pub(crate) fn of(reads: &impl Reads, host: HostId, group: &str) -> Result<Soundness, StoreError> {
    Ok(reads.get(&SOUNDNESS, &(host, group.to_owned()))?.unwrap_or_default())
}

/// A backup has ended: what is known of its group now.
pub(crate) fn backup_ended(
    tx: &mut Tx<'_>,
    job: &Job,
    group: &str,
    now: Timestamp,
) -> Result<Soundness, StoreError> {
    let mut known = of(tx, job.host, group)?;
    let key = (job.host, group.to_owned());
    let is_there = tx.has(&GROUPS, &key)?;
    if let Some(made) = made(job).filter(|_| is_there) {
        let before = known.clone();
        take(&mut known, made, now);
        if known != before {
            tx.put(&SOUNDNESS, &key, &known)?;
            tx.effects.changed(Changed::Groups(job.host));
        }
    }
    Ok(known)
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
        let key = (job.host, result.group.to_owned());
        let Some(mut known) = tx.get(&SOUNDNESS, &key)? else { continue };
        let before = known.lacking.len();
        known.lacking.retain(|flawed| {
            flawed.heard_at >= job.created_at || there.iter().any(|id| id == named_by(&flawed.snapshot))
        });
        if known.lacking.len() != before {
            tx.put(&SOUNDNESS, &key, &known)?;
            tx.effects.changed(Changed::Groups(job.host));
        }
    }
    Ok(())
}

/// What names a snapshot to an agent.
pub(crate) fn named_by(snapshot: &str) -> &str {
    snapshot.get(..NAMED_BY).unwrap_or(snapshot)
}

/// A group has another name.
pub(crate) fn group_renamed(tx: &mut Tx<'_>, host: HostId, old: &str, new: &str) -> Result<(), StoreError> {
    let key = (host, old.to_owned());
    if let Some(known) = tx.get(&SOUNDNESS, &key)? {
        tx.remove(&SOUNDNESS, &key)?;
        tx.put(&SOUNDNESS, &(host, new.to_owned()), &known)?;
    }
    Ok(())
}

/// A group is deleted, and its snapshots stay: which of them lack something counts again for whoever goes on with them.
pub(crate) fn group_deleted(tx: &mut Tx<'_>, host: HostId, group: &str) -> Result<(), StoreError> {
    let key = (host, group.to_owned());
    let Some(Soundness { lacking, is_cut, .. }) = tx.get(&SOUNDNESS, &key)? else { return Ok(()) };
    if lacking.is_empty() && !is_cut {
        return tx.remove(&SOUNDNESS, &key).map(|_| ());
    }
    tx.put(&SOUNDNESS, &key, &Soundness { lacking, is_cut, ..Soundness::default() })
}

/// A group goes on with the snapshots of groups of this host that are no more: what is known of those is known of it.
pub(crate) fn group_goes_on(tx: &mut Tx<'_>, host: &Host, group: &Group) -> Result<(), StoreError> {
    let is_own = |origin: &&Origin| origin.hostname == host.restic_host && origin.tag != group.name;
    for origin in group.origins.iter().filter(is_own) {
        let key = (host.id, origin.tag.clone());
        if tx.has(&GROUPS, &key)? {
            continue;
        }
        let Some(former) = tx.get(&SOUNDNESS, &key)? else { continue };
        tx.remove(&SOUNDNESS, &key)?;
        let key = (host.id, group.name.clone());
        let mut known = tx.get(&SOUNDNESS, &key)?.unwrap_or_default();
        known.add_lacking(former.lacking);
        known.is_cut |= former.is_cut;
        tx.put(&SOUNDNESS, &key, &known)?;
    }
    Ok(())
}

/// The first group of a host in which more than half is gone, or of which else nothing may go.
pub(crate) fn held_group(reads: &impl Reads, host: HostId) -> Result<Option<(String, Hold)>, StoreError> {
    for (key, known) in reads.rows(&SOUNDNESS, &Span::under(&host))? {
        if let Some(hold) = known.hold()
            && reads.has(&GROUPS, &key)?
        {
            return Ok(Some((key.1, hold)));
        }
    }
    Ok(None)
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
    for other in sharing::partners(reads, host)? {
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
        let (context, group) = (self.context(), group.to_owned());
        self.write(move |tx| {
            let now = context.now();
            hosts::find(tx, host)?;
            let key = (host, group.clone());
            if !tx.has(&GROUPS, &key)? {
                return Err(Refused::GroupNotFound);
            }
            let mut known = tx.get(&SOUNDNESS, &key)?.unwrap_or_default();
            if known.mark() != Some(mark) {
                return Err(Refused::StateChanged);
            }
            let detail = words_of(&group, &known);
            accept(&mut known, &by.actor, now);
            tx.put(&SOUNDNESS, &key, &known)?;
            let newest = tx.get(&JOBS, &mark)?;
            hosts::change_summary(tx, host, |summary| summary.accept(&group, newest.as_ref(), &known, now))?;
            tx.effects.changed(Changed::Groups(host));
            tx.effects.changed(Changed::Repo(host));
            tx.effects.changed(Changed::Host(host));
            audit::note(tx, now, &by, "group.accepted", hosts::target(tx, host)?, detail)?;
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
    let lack = known.lacking.last().and_then(|flawed| flawed.lack.as_ref());
    let lack = lack.map(|lack| lack.class.as_str().to_owned());
    let parts: Vec<String> = loss.into_iter().chain(lack).collect();
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
