//! From records to the wire's specifications, built in buffers that are as large as needed.

use crate::record::{Group, JobWhat, Retention};
use crate::refused::Refused;
use schema::job::{BackupSpec, ForgetGroup, Origin};
use schema::limits::{MAX_MESSAGE_BYTES, MAX_SPEC_BYTES};
use schema::{Command, CommandBody, Items, JobSpec, Keep, Timestamp, ToAgent};

fn too_long() -> Refused {
    Refused::invalid(
        "includes",
        "the source group is longer than one command can carry: use fewer or shorter entries",
    )
}

/// Whether a specification fits a command.
pub(crate) fn fits(spec: JobSpec<'_>) -> Result<(), Refused> {
    let mut buffer = vec![0; MAX_SPEC_BYTES];
    schema::encode(&spec, &mut buffer).map(|_| ()).map_err(|_| too_long())
}

/// Whether a command fits a message.
pub(crate) fn fits_command(body: CommandBody<'_>) -> Result<(), Refused> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; MAX_MESSAGE_BYTES]);
    let command = ToAgent::Command(Command { seq: u64::MAX, expires_at: Timestamp(u64::MAX), body });
    schema::encode(&command, &mut buffer)
        .map(|_| ())
        .map_err(|_| Refused::invalid("env", "the credentials are longer than one command can carry"))
}

fn room(texts: &[String]) -> Vec<u8> {
    vec![0; texts.iter().map(|text| text.len() + 10).sum()]
}

fn texts<'b>(texts: &[String], buffer: &'b mut [u8]) -> Result<Items<'b, &'b str>, Refused> {
    Items::write(texts.iter().map(String::as_str), buffer).map_err(|_| too_long())
}

/// The specification that saves a group.
pub(crate) fn with_backup<R>(group: &Group, then: impl FnOnce(JobSpec<'_>) -> R) -> Result<R, Refused> {
    let (mut includes, mut excludes, mut markers) =
        (room(&group.includes), room(&group.excludes), room(&group.exclude_if_present));
    let (mut mounts, mut before, mut after) =
        (room(&group.required_mounts), room(&group.hooks_before), room(&group.hooks_after));
    let mut origins = origins_room(group);
    Ok(then(JobSpec::Backup(BackupSpec {
        group: &group.name,
        includes: texts(&group.includes, &mut includes)?,
        excludes: texts(&group.excludes, &mut excludes)?,
        exclude_if_present: texts(&group.exclude_if_present, &mut markers)?,
        one_file_system: group.one_file_system,
        required_mounts: texts(&group.required_mounts, &mut mounts)?,
        hooks_before: texts(&group.hooks_before, &mut before)?,
        hooks_after: texts(&group.hooks_after, &mut after)?,
        dry_run: false,
        origins: origins_of(group, &mut origins)?,
    })))
}

/// A source group as a job needs it.
pub(crate) struct Source {
    pub(crate) group: Group,
    /// The snapshots of it that lack something, as an agent is told of them.
    pub(crate) lacking: Vec<String>,
}

/// The specification of any job. `sources` are the groups that it is about, in the order of the job.
pub(crate) fn with<R>(
    what: &JobWhat,
    sources: &[Source],
    then: impl FnOnce(JobSpec<'_>) -> R,
) -> Result<R, Refused> {
    let spec = match what {
        JobWhat::Probe => JobSpec::Probe,
        JobWhat::Init => JobSpec::Init,
        JobWhat::Backup { .. } => {
            let source = sources.first().ok_or(Refused::GroupNotFound)?;
            return with_backup(&source.group, then);
        }
        JobWhat::Forget { groups, .. } => return with_forget(groups, sources, false, then),
        JobWhat::ForgetDryRun { group, keep, .. } => {
            return with_forget(&[(group.clone(), keep.clone())], sources, true, then);
        }
        JobWhat::Prune => JobSpec::Prune { dry_run: false },
        JobWhat::Check { subset_pct } => JobSpec::Check { subset_pct: *subset_pct },
        JobWhat::Unlock { all } => JobSpec::Unlock { all: *all },
        JobWhat::Stats => JobSpec::Stats,
        JobWhat::Snapshots => JobSpec::Snapshots,
        JobWhat::Ls { snapshot, path } => JobSpec::Ls { snapshot, path },
        JobWhat::Browse { path } => JobSpec::Browse { path },
    };
    Ok(then(spec))
}

fn with_forget<R>(
    groups: &[(String, Retention)],
    sources: &[Source],
    dry_run: bool,
    then: impl FnOnce(JobSpec<'_>) -> R,
) -> Result<R, Refused> {
    let mut rooms: Vec<_> =
        sources.iter().map(|source| (room(&source.lacking), origins_room(&source.group))).collect();
    let mut items = Vec::new();
    for (((name, keep), source), (lacking, origins)) in groups.iter().zip(sources).zip(&mut rooms) {
        items.push(ForgetGroup {
            group: name,
            keep: keep_of(keep),
            origins: origins_of(&source.group, origins)?,
            lacking: texts(&source.lacking, lacking)?,
        });
    }
    let mut buffer = vec![0; MAX_SPEC_BYTES];
    let groups = Items::write(&items, &mut buffer).map_err(|_| too_long())?;
    Ok(then(JobSpec::Forget { groups, dry_run }))
}

fn origins_room(group: &Group) -> Vec<u8> {
    vec![0; group.origins.iter().map(|origin| origin.hostname.len() + origin.tag.len() + 20).sum()]
}

fn origins_of<'b>(group: &Group, buffer: &'b mut [u8]) -> Result<Items<'b, Origin<'b>>, Refused> {
    let wire = group.origins.iter().map(|origin| Origin { hostname: &origin.hostname, tag: &origin.tag });
    Items::write(wire, buffer).map_err(|_| too_long())
}

/// The wire's form of a retention.
pub(crate) fn keep_of(keep: &Retention) -> Keep<'_> {
    Keep {
        last: keep.last,
        hourly: keep.hourly,
        daily: keep.daily,
        weekly: keep.weekly,
        monthly: keep.monthly,
        yearly: keep.yearly,
        within: &keep.within,
    }
}
