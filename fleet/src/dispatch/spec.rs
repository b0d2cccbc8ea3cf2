//! From records to the wire's specifications, built in buffers that are as large as needed.

use crate::{
    find,
    record::{
        DrillPlan, FindPlan, Group, JobWhat, Newest, Origin, RestorePlan, RestoreTarget, Retention, named_by,
    },
    refused::Refused,
};
use schema::{
    Command, CommandBody, CommandSeq, Items, JobSpec, Keep, OsText, Timestamp, ToAgent,
    job::{self, BackupSpec, DrillSpec, FindSpec, ForgetGroup, Right},
    limits::{MAX_MESSAGE_BYTES, MAX_SPEC_BYTES},
    os_text::bytes_of,
    restore::RestoreSpec,
};

fn too_long() -> Refused {
    Refused::invalid(
        "includes",
        "the source group is longer than one command can carry: use fewer or shorter entries",
    )
}

/// Why the paths of a restore don't fit.
const TOO_MANY_PATHS: &str =
    "these paths are longer than one command can carry: name the folders that they are in";

/// Whether a specification fits a command.
pub(crate) fn fits(spec: JobSpec<'_>) -> Result<(), Refused> {
    let mut buffer = vec![0; MAX_SPEC_BYTES];
    schema::encode(&spec, &mut buffer).map(|_| ()).map_err(|_| match spec {
        JobSpec::Restore(_) => Refused::invalid("paths", TOO_MANY_PATHS),
        _ => too_long(),
    })
}

/// Whether a command fits a message.
pub(crate) fn fits_command(body: CommandBody<'_>) -> Result<(), Refused> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; MAX_MESSAGE_BYTES]);
    let command =
        ToAgent::Command(Command { seq: CommandSeq(u64::MAX), expires_at: Timestamp(u64::MAX), body });
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
    let mut origins = origins_room(&group.origins);
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
        origins: origins_of(&group.origins, &mut origins)?,
    })))
}

/// A source group as a job needs it.
pub(crate) struct Source {
    pub(crate) group: Group,
    /// The snapshots of it that lack something, as an agent is told of them.
    pub(crate) lacking: Vec<String>,
    /// Those that are known to be whole, newest first, named in the same way.
    pub(crate) whole: Vec<String>,
    /// As which backup found it the group is right.
    pub(crate) right: Option<Newest>,
    pub(crate) began_at: Option<Timestamp>,
}

/// The source groups that a job is about, in the order of the job.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) groups: Vec<Source>,
    /// Whose snapshots are of other groups of the host.
    pub(crate) others: Vec<Origin>,
}

/// So many bytes of a forget name snapshots that are known to be whole.
const MOST_WHOLE_BYTES: usize = 24 * 1024;
/// So many letters name one.
const WHOLE_BY: usize = 8;

/// The specification of any job.
pub(crate) fn with<R>(
    what: &JobWhat,
    restic_host: &str,
    sources: &Sources,
    then: impl FnOnce(JobSpec<'_>) -> R,
) -> Result<R, Refused> {
    let spec = match what {
        JobWhat::Probe => JobSpec::Probe,
        JobWhat::Init => JobSpec::Init,
        JobWhat::Backup { .. } => {
            let source = sources.groups.first().ok_or(Refused::GroupNotFound)?;
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
        JobWhat::Ls { snapshot, path } => {
            let path: Vec<u8> = bytes_of(path).collect();
            return Ok(then(JobSpec::Ls { snapshot, path: OsText::new(&path) }));
        }
        JobWhat::Browse { path } => {
            let path: Vec<u8> = bytes_of(path).collect();
            return Ok(then(JobSpec::Browse { path: OsText::new(&path) }));
        }
        JobWhat::Restore(plan) => return with_restore(plan, then),
        JobWhat::Drill(plan) => {
            let source = sources.groups.first().ok_or(Refused::GroupNotFound)?;
            return with_drill(plan, source, then);
        }
        JobWhat::Diff { against, snapshot } => JobSpec::Diff { against, snapshot },
        JobWhat::Find(plan) => return with_find(plan, restic_host, sources.groups.first(), then),
        JobWhat::Download { snapshot, path, form, .. } => {
            let path: Vec<u8> = bytes_of(path).collect();
            let path = OsText::new(&path);
            return Ok(then(JobSpec::Download { snapshot, path, archive: form.is_archive() }));
        }
    };
    Ok(then(spec))
}

/// The snapshots of a group are those of its own name, and those that it goes on with.
fn with_find<R>(
    plan: &FindPlan,
    restic_host: &str,
    source: Option<&Source>,
    then: impl FnOnce(JobSpec<'_>) -> R,
) -> Result<R, Refused> {
    let mut members = Vec::new();
    if let Some(Source { group, .. }) = source {
        members.push(Origin { hostname: restic_host.to_owned(), tag: group.name.clone() });
        members.extend(group.origins.iter().cloned());
    }
    let (mut room, pattern) = (origins_room(&members), find::pattern_of(&plan.pattern));
    Ok(then(JobSpec::Find(FindSpec {
        pattern: OsText::new(&pattern),
        ignore_case: plan.ignore_case,
        members: origins_of(&members, &mut room)?,
        newest: plan.newest,
        since: plan.since,
    })))
}

fn with_restore<R>(plan: &RestorePlan, then: impl FnOnce(JobSpec<'_>) -> R) -> Result<R, Refused> {
    let bytes = |text: &str| bytes_of(text).collect::<Vec<u8>>();
    let paths: Vec<Vec<u8>> = plan.paths.iter().map(|path| bytes(path)).collect();
    let mut room = vec![0; paths.iter().map(|path| path.len() + 10).sum()];
    let paths = Items::write(paths.iter().map(|path| OsText::new(path)), &mut room)
        .map_err(|_| Refused::invalid("paths", TOO_MANY_PATHS))?;
    let place = match &plan.target {
        RestoreTarget::NewFolder { within: path } | RestoreTarget::Folder { path } => bytes(path),
        RestoreTarget::Original => Vec::new(),
    };
    let path = OsText::new(&place);
    Ok(then(JobSpec::Restore(RestoreSpec {
        snapshot: &plan.snapshot,
        paths,
        target: match plan.target {
            RestoreTarget::NewFolder { .. } => schema::RestoreTarget::NewFolder { within: path },
            RestoreTarget::Folder { .. } => schema::RestoreTarget::Folder { path },
            RestoreTarget::Original => schema::RestoreTarget::Original,
        },
        overwrite: plan.overwrite,
        delete: plan.delete,
        verify: plan.verify,
        dry_run: plan.dry_run,
    })))
}

fn with_drill<R>(
    plan: &DrillPlan,
    source: &Source,
    then: impl FnOnce(JobSpec<'_>) -> R,
) -> Result<R, Refused> {
    let mut origins = origins_room(&source.group.origins);
    Ok(then(JobSpec::Drill(DrillSpec {
        group: &plan.group,
        origins: origins_of(&source.group.origins, &mut origins)?,
        seed: plan.seed,
        max_files: plan.files,
        max_bytes: plan.bytes,
        max_secs: plan.secs,
    })))
}

fn with_forget<R>(
    groups: &[(String, Retention)],
    sources: &Sources,
    dry_run: bool,
    then: impl FnOnce(JobSpec<'_>) -> R,
) -> Result<R, Refused> {
    let Sources { groups: sources, others } = sources;
    let mut rooms: Vec<_> = sources
        .iter()
        .map(|source| (room(&source.lacking), room(&source.whole), origins_room(&source.group.origins)))
        .collect();
    // Each group has the same share of the room; the newest come first.
    let most_whole = MOST_WHOLE_BYTES / (WHOLE_BY + 1) / sources.len().max(1);
    let mut items = Vec::new();
    for (((name, keep), source), (lacking, whole, origins)) in groups.iter().zip(sources).zip(&mut rooms) {
        let named = source.whole.iter().take(most_whole).map(|id| id.get(..WHOLE_BY).unwrap_or(id));
        items.push(ForgetGroup {
            group: name,
            keep: keep_of(keep),
            origins: origins_of(&source.group.origins, origins)?,
            lacking: texts(&source.lacking, lacking)?,
            whole: Items::write(named, whole).map_err(|_| too_long())?,
            right: source.right.as_ref().map(|right| Right {
                snapshot: named_by(&right.snapshot),
                at: right.at,
                files: right.extent.files,
                bytes: right.extent.bytes,
            }),
            began_at: source.began_at,
        });
    }
    let (mut buffer, mut room) = (vec![0; MAX_SPEC_BYTES], origins_room(others));
    let groups = Items::write(&items, &mut buffer).map_err(|_| too_long())?;
    Ok(then(JobSpec::Forget { groups, others: origins_of(others, &mut room)?, dry_run }))
}

fn origins_room(origins: &[Origin]) -> Vec<u8> {
    vec![0; origins.iter().map(|origin| origin.hostname.len() + origin.tag.len() + 20).sum()]
}

fn origins_of<'b>(origins: &[Origin], buffer: &'b mut [u8]) -> Result<Items<'b, job::Origin<'b>>, Refused> {
    let wire = origins.iter().map(|origin| job::Origin { hostname: &origin.hostname, tag: &origin.tag });
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
