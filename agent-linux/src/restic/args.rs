//! A job as restic's arguments: which steps, in which order. Pure, and free of secrets.
//!
//! What comes from outside stands behind `--flag=` or after `--`, so that no value can become an option.

use super::{
    draw::Bounds,
    find::{OddHit, Search},
    order::{CommandSource, RestoreTo},
    overlap::{literal, literal_bytes},
    step::{FROM_COMMAND, RETRY_LOCK, Step, StepKind},
    version::Version,
};
use schema::{
    Items, JobSpec, Keep, OsText, Timestamp,
    job::{BackupSpec, FindSpec, ForgetGroup, Origin},
    limits::MAX_FIND_PATTERN_BYTES,
    name,
    restore::RestoreSpec,
};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// The folder in the new one that restic restores into.
pub const INNER_FOLDER: &str = ".holdfast-restoring";
/// How restic finds it: it is started in the new one. A path could be swapped on the way; this can't. Without the inner
/// folder 0.18 and newer take `cwd` for a link to be replaced, as soon as a file is restored beside no folder.
pub const RESTORE_FOLDER: &str = "/proc/self/cwd/.holdfast-restoring";
/// The folder that it is started in.
pub(super) const STARTED_IN: &str = "/proc/self/cwd/";
/// Each file of which restic says what became of it.
pub(super) const TELLS: &str = "--verbose=2";
/// It is only tried.
pub(super) const DRY_RUN: &str = "--dry-run";
/// What is all zeros in a file takes no room where it is restored to: a disk image that is mostly empty would fill a disk.
const SPARSE: &str = "--sparse";

/// What the arguments depend on besides the job.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Of the restic at hand.
    pub version: Version,
    /// The host name for snapshots.
    pub restic_host: &'a str,
    /// Spare memory rather than time.
    pub small: bool,
    /// restic's cache folder, left out of backups.
    pub cache: &'a str,
    /// To the storage, in KiB a second; 0 = no limit.
    pub upload_kib: u32,
    /// From the storage, in KiB a second; 0 = no limit.
    pub download_kib: u32,
    /// What a backup saves instead of files.
    pub command: Option<CommandSource<'a>>,
    /// Where a restore goes. Who allows it is not asked here.
    pub restore_to: Option<&'a RestoreTo>,
}

/// Why a job can't be put into arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A name that could be taken for something else.
    #[error("{0:?} is not a name for a source group or host")]
    Name(String),
    /// A relative or odd path.
    #[error("{0:?} is not an absolute path")]
    Path(String),
    /// Not a snapshot id.
    #[error("{0:?} is not a snapshot id")]
    Snapshot(String),
    /// Not a duration as restic writes them.
    #[error("{0:?} is not a duration like 1y5m7d2h")]
    Duration(String),
    /// A pattern with control characters, an empty one, or one that restic can't read.
    #[error(
        "{0:?} is not a pattern that restic can read: close each [, and put another character behind a \\"
    )]
    Pattern(String),
    /// A backup of nothing.
    #[error("the source group has no paths")]
    NoPaths,
    /// Nobody has said where to restore to.
    #[error("nothing says where to restore to")]
    NoTarget,
    /// This restic is not safe where links may be.
    #[error(
        "restic {have} follows symbolic links on its way to the original places, so that files could land elsewhere. restore_in_place needs restic {needs} or newer; into a new folder this one restores as well"
    )]
    FollowsLinks {
        /// What there is.
        have: Version,
        /// What is needed.
        needs: Version,
    },
    /// This restic is too old for it.
    #[error("restic {have} can't do that: {what} needs restic {needs} or newer")]
    TooOld {
        /// What it can't.
        what: &'static str,
        /// What there is.
        have: Version,
        /// What is needed.
        needs: Version,
    },
}

/// The steps of a job, in order. Without any, there is nothing to do (a forget without keep rules).
///
/// A probe's and an init's further steps depend on what the first one says, see [`init`].
pub fn plan_steps(spec: &JobSpec<'_>, setting: &Setting<'_>) -> Result<Vec<Step>, ArgsError> {
    let host = setting.restic_host;
    if host.is_empty() || host.len() > 255 || host.starts_with('-') || host.chars().any(char::is_control) {
        return Err(ArgsError::Name(host.to_owned()));
    }
    let mut steps = match spec {
        JobSpec::Probe | JobSpec::Init => vec![config()],
        JobSpec::Backup(backup) => vec![plan_backup(backup, setting)?],
        JobSpec::Forget { groups, others, .. } => plan_forgets(groups, *others, setting)?,
        JobSpec::Prune { dry_run } => {
            let mut step = Step::locking(StepKind::Prune, &["prune"], setting);
            step.flag(*dry_run, DRY_RUN);
            vec![step]
        }
        JobSpec::Check { subset_pct } => vec![plan_check(*subset_pct, setting)],
        JobSpec::Unlock { all } => vec![unlock(*all)],
        JobSpec::Stats => vec![stats()],
        JobSpec::Snapshots => vec![snapshots()],
        JobSpec::Ls { snapshot, path } => {
            let mut step = Step::new(StepKind::Ls, &["ls", "--json", "--no-lock", "--"]);
            step.args.push(snapshot_id(snapshot)?);
            step.path = absolute_bytes(*path)?;
            vec![step]
        }
        JobSpec::Restore(restore) => vec![plan_restore(restore, setting)?],
        JobSpec::Drill(drill) => {
            let members = members_of(drill.group, host, drill.origins)?;
            let mut step = Step::new(StepKind::Restore, &["restore", "--json", "--no-lock", "--verify"]);
            step.flag(setting.version.has_sparse(), SPARSE);
            vec![snapshots_of(&members), step]
        }
        JobSpec::Download { snapshot, path, archive } => plan_download(snapshot, *path, *archive)?,
        // Not restic's.
        JobSpec::Browse { .. } => Vec::new(),
        JobSpec::Find(find) => vec![plan_choose(find, setting)?],
        JobSpec::Diff { against, snapshot } => {
            let mut step = Step::new(StepKind::Diff, &["diff", "--json", "--no-lock", "--"]);
            step.args.extend([snapshot_id(against)?, snapshot_id(snapshot)?]);
            vec![step]
        }
    };
    for (rate, flag) in [(setting.upload_kib, "--limit-upload"), (setting.download_kib, "--limit-download")] {
        if rate > 0 {
            steps.iter_mut().for_each(|step| step.args.insert(1, format!("{flag}={rate}")));
        }
    }
    Ok(steps)
}

/// The step `restic cat config`.
#[must_use]
pub fn config() -> Step {
    Step::new(StepKind::Config, &["cat", "config", "--json", "--no-lock"])
}

/// `init`, for when [`config`] said that there is no repository.
#[must_use]
pub fn init() -> Step {
    Step::new(StepKind::Init, &["init", "--json"])
}

/// The step `restic unlock`.
#[must_use]
pub fn unlock(all: bool) -> Step {
    let mut step = Step::new(StepKind::Unlock, &["unlock"]);
    step.flag(all, "--remove-all");
    step
}

/// `stats` of what is stored.
#[must_use]
pub fn stats() -> Step {
    Step::new(StepKind::Stats, &["stats", "--json", "--no-lock", "--mode=raw-data"])
}

/// `snapshots`, oldest first.
#[must_use]
pub fn snapshots() -> Step {
    Step::new(StepKind::Snapshots, &["snapshots", "--json", "--no-lock"])
}

/// `snapshots` of a group: those of these host names and tags.
#[must_use]
pub fn snapshots_of(members: &[(String, String)]) -> Step {
    let mut step = snapshots();
    step.about(members.to_vec());
    step
}

/// `forget` of the snapshots that were chosen.
#[must_use]
pub fn forget_these(ids: &[String], version: Version) -> Step {
    let mut step = Step::new(StepKind::Forget, &["forget"]);
    step.flag(version.has_retry_lock(), RETRY_LOCK);
    step.args.push("--".to_owned());
    step.args.extend(ids.iter().cloned());
    step
}

/// Whose snapshots a group's are: its own pair of host name and tag, then the others.
pub fn members_of(
    group: &str,
    restic_host: &str,
    origins: Items<'_, Origin<'_>>,
) -> Result<Vec<(String, String)>, ArgsError> {
    let mut members = vec![(restic_host.to_owned(), group_name(group)?)];
    members.extend(pairs_of(origins)?);
    Ok(members)
}

/// Host names and tags that can stand in restic's arguments.
fn pairs_of(origins: Items<'_, Origin<'_>>) -> Result<Vec<(String, String)>, ArgsError> {
    let mut members = Vec::new();
    for Origin { hostname, tag } in origins.iter() {
        // restic takes a comma for the end of a tag.
        let is_odd =
            |text: &str| text.len() > 255 || text.contains(',') || text.chars().any(char::is_control);
        if hostname.is_empty() || is_odd(hostname) {
            return Err(ArgsError::Name(hostname.to_owned()));
        }
        if is_odd(tag) {
            return Err(ArgsError::Name(tag.to_owned()));
        }
        members.push((hostname.to_owned(), tag.to_owned()));
    }
    Ok(members)
}

/// A look at what the path is, and the dump of it. Both name the snapshot in the same way.
fn plan_download(snapshot: &str, path: OsText<'_>, archive: bool) -> Result<Vec<Step>, ArgsError> {
    let mut look = Step::new(StepKind::Stat, &["ls", "--json", "--no-lock", "--"]);
    look.args.push(snapshot_id(snapshot)?);
    look.path = absolute_bytes(path)?;
    let mut dump = Step::new(StepKind::Dump, &["dump", "--no-lock"]);
    dump.flag(archive, "--archive=tar");
    dump.args.extend(["--".to_owned(), snapshot_id(snapshot)?]);
    dump.path.clone_from(&look.path);
    Ok(vec![look, dump])
}

/// The same folder as an [`StepKind::Ls`] lists, in plain lines.
#[must_use]
pub fn raw_ls(ls: &Step) -> Step {
    let args = ls.args.iter().filter(|arg| *arg != "--json").cloned().collect();
    Step { kind: StepKind::RawLs, args, ..ls.clone() }
}

/// `ls` of all that is in a snapshot; what lies in the paths is counted, in none of them: all.
pub fn walk(snapshot: &str, picks: &[Vec<u8>]) -> Result<Step, ArgsError> {
    let mut step = Step::new(StepKind::Walk, &["ls", "--json", "--no-lock", "--"]);
    step.picks = picks.to_vec();
    step.args.push(snapshot_id(snapshot)?);
    Ok(step)
}

/// Lists the snapshots that may be looked through.
fn plan_choose(find: &FindSpec<'_>, setting: &Setting<'_>) -> Result<Step, ArgsError> {
    let pattern = find.pattern.as_bytes();
    let is_readable = core::str::from_utf8(pattern).is_ok_and(schema::pattern::is_readable)
        || schema::pattern::is_readable(&String::from_utf8_lossy(pattern));
    if pattern.is_empty() || pattern.len() > MAX_FIND_PATTERN_BYTES || pattern.contains(&0) || !is_readable {
        return Err(ArgsError::Pattern(find.pattern.to_string()));
    }
    let mut step = choose_any();
    if find.members.is_empty() {
        step.args.push(format!("--host={}", setting.restic_host));
    } else {
        step.about(pairs_of(find.members)?);
    }
    Ok(step)
}

/// Lists all snapshots, to choose of them.
#[must_use]
pub fn choose_any() -> Step {
    Step::new(StepKind::Choose, &["snapshots", "--json", "--no-lock"])
}

/// `find` in these snapshots, newest first.
#[must_use]
pub fn find(spec: &FindSpec<'_>, snapshots: Vec<(Timestamp, String)>) -> Step {
    let mut step = Step::new(StepKind::Find, &["find", "--json", "--no-lock"]);
    step.flag(spec.ignore_case, "--ignore-case");
    step.args.push("--".to_owned());
    step.options = snapshots.iter().map(|(_, id)| format!("--snapshot={id}").into()).collect();
    step.path = spec.pattern.as_bytes().to_vec();
    let (pattern, ignore_case, odd) = (step.path.clone(), spec.ignore_case, Vec::new());
    step.search = Some(Box::new(Search { pattern, ignore_case, snapshots, odd }));
    step
}

/// The same search in plain lines, in the snapshots in which names are not known yet.
#[must_use]
pub fn raw_find(find: &Step, odd: Vec<OddHit>) -> Step {
    let mut step = Step { kind: StepKind::RawFind, ..find.clone() };
    step.args.retain(|arg| arg != "--json");
    if let Some(search) = &mut step.search {
        let is_asked = |place: usize| odd.iter().any(|hit| hit.snapshot == place);
        let ids = search.snapshots.iter().enumerate().filter(|(place, _)| is_asked(*place));
        step.options = ids.map(|(_, (_, id))| format!("--snapshot={id}").into()).collect();
        search.odd = odd;
    }
    step
}

/// The same comparison in plain lines.
#[must_use]
pub fn raw_diff(diff: &Step) -> Step {
    let mut step = Step { kind: StepKind::RawDiff, ..diff.clone() };
    step.args.retain(|arg| arg != "--json");
    step
}

/// `ls` of all that is in a snapshot, for the sizes of these paths, as JSON shows them.
pub fn sizes(snapshot: &str, paths: Vec<Vec<u8>>) -> Result<Step, ArgsError> {
    let step = walk(snapshot, &[])?;
    Ok(Step { kind: StepKind::Sizes, picks: paths, ..step })
}

/// The step `restic list locks`.
#[must_use]
pub fn list_locks() -> Step {
    Step::new(StepKind::ListLocks, &["list", "locks", "--no-lock"])
}

/// `cat lock` of an id from [`list_locks`].
#[must_use]
pub fn cat_lock(id: &str) -> Step {
    let mut step = Step::new(StepKind::CatLock, &["cat", "lock", "--json", "--no-lock", "--"]);
    step.args.push(id.to_owned());
    step
}

fn plan_backup(backup: &BackupSpec<'_>, setting: &Setting<'_>) -> Result<Step, ArgsError> {
    let mut step = Step::locking(StepKind::Backup, &["backup", "--json"], setting);
    step.group = group_name(backup.group)?;
    step.args.push(format!("--host={}", setting.restic_host));
    step.args.push(format!("--tag={}", step.group));
    // A group whose paths changed is compared with its last snapshot all the same, instead of being read anew.
    step.flag(setting.version.has_backup_group_by(), "--group-by=host,tags");
    step.flag(backup.one_file_system, "--one-file-system");
    step.flag(backup.dry_run, DRY_RUN);
    if setting.small {
        step.flag(setting.version.has_no_scan(), "--no-scan");
        step.flag(setting.version.has_read_concurrency(), "--read-concurrency=1");
        step.args.push("--option=local.connections=1".to_owned());
    }
    if setting.cache.starts_with('/') {
        step.args.push(format!("--exclude={}", literal(Path::new(setting.cache))));
    }
    for pattern in backup.excludes.iter() {
        if !schema::pattern::is_readable(pattern) {
            return Err(ArgsError::Pattern(pattern.to_owned()));
        }
        step.args.push(format!("--exclude={}", checked_pattern(pattern)?));
    }
    for name in backup.exclude_if_present.iter() {
        step.args.push(format!("--exclude-if-present={}", checked_pattern(name)?));
    }
    if let Some(source) = setting.command {
        let (have, needs) = (setting.version, Version::new(0, 16));
        if !have.has_stdin_from_command() {
            return Err(ArgsError::TooOld { what: "a backup of a command's output", have, needs });
        }
        step.args.extend([FROM_COMMAND.to_owned(), format!("--stdin-filename={}", source.file_name)]);
        step.args.push("--".to_owned());
        step.args.extend(source.command.iter().cloned());
        return Ok(step);
    }
    step.args.push("--".to_owned());
    step.extend_with_paths(backup.includes)?;
    Ok(step)
}

/// What restic's rules come to for each group; what goes of it is chosen by [`super::retention`].
fn plan_forgets(
    groups: &Items<'_, ForgetGroup<'_>>,
    others: Items<'_, Origin<'_>>,
    setting: &Setting<'_>,
) -> Result<Vec<Step>, ArgsError> {
    let of = |group: ForgetGroup<'_>| members_of(group.group, setting.restic_host, group.origins);
    let members = groups.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let no_group: Vec<(String, String)> =
        others.iter().map(|Origin { hostname, tag }| (hostname.to_owned(), tag.to_owned())).collect();
    let plan = |(place, group): (usize, ForgetGroup<'_>)| {
        let mut step = plan_forget(&group, members[place].clone())?;
        let elsewhere = members.iter().enumerate().filter(|(other, _)| *other != place);
        step.others = no_group.iter().chain(elsewhere.flat_map(|(_, members)| members)).cloned().collect();
        Ok(step)
    };
    groups.iter().enumerate().filter(|(_, group)| !group.keep.is_empty()).map(plan).collect()
}

fn plan_forget(group: &ForgetGroup<'_>, members: Vec<(String, String)>) -> Result<Step, ArgsError> {
    // A dry run only reads: it goes beside everything else and where nothing may be deleted.
    let mut step = Step::new(StepKind::Forget, &["forget", "--json", DRY_RUN, "--no-lock"]);
    step.group = group_name(group.group)?;
    step.about(members);
    // Grouping by paths, the default, leaves old snapshots behind when the paths of a group change.
    step.args.push("--group-by=".to_owned());
    let Keep { last, hourly, daily, weekly, monthly, yearly, within } = group.keep;
    for (count, word) in [
        (last, "last"),
        (hourly, "hourly"),
        (daily, "daily"),
        (weekly, "weekly"),
        (monthly, "monthly"),
        (yearly, "yearly"),
    ] {
        if count > 0 {
            step.args.push(format!("--keep-{word}={count}"));
        }
    }
    if !within.is_empty() {
        step.args.push(format!("--keep-within={}", checked_duration(within)?));
    }
    Ok(step)
}

fn plan_check(subset_pct: u8, setting: &Setting<'_>) -> Step {
    // Plain text in every version: with --json a check says nothing until its end, which may be days away.
    let mut step = Step::locking(StepKind::Check, &["check"], setting);
    match subset_pct {
        0 => {}
        1..=99 => step.args.push(format!("--read-data-subset={subset_pct}%")),
        100.. => step.args.push("--read-data".to_owned()),
    }
    step
}

/// A restore but for its target, see [`into_new`], [`into_found`] and [`into_original`].
fn plan_restore(restore: &RestoreSpec<'_>, setting: &Setting<'_>) -> Result<Step, ArgsError> {
    let have = setting.version;
    if restore.delete && !have.has_overwrite() {
        let needs = Version::OVERWRITES;
        return Err(ArgsError::TooOld { what: "deleting what the snapshot lacks", have, needs });
    }
    match setting.restore_to.ok_or(ArgsError::NoTarget)? {
        RestoreTo::New { .. } | RestoreTo::Folder { .. } => {}
        RestoreTo::Original { .. } if have.follows_links() => {
            return Err(ArgsError::FollowsLinks { have, needs: Version::RESTORES_BESIDE_LINKS });
        }
        RestoreTo::Original { .. } => {}
    }
    let mut step = Step::new(StepKind::Restore, &["restore", "--json", "--no-lock"]);
    for path in restore.paths.iter() {
        let path = absolute_bytes(path)?;
        // The root is all there is.
        if path.iter().any(|&byte| byte != b'/') {
            step.picks.push(path);
        }
    }
    if step.picks.len() < restore.paths.count() {
        step.picks.clear();
    }
    step.options = step
        .picks
        .iter()
        .map(|path| OsString::from_vec([b"--include=", &*literal_bytes(path)].concat()))
        .collect();
    // A dry run has nothing to read back, and restic does not take both.
    step.flag(restore.verify && !restore.dry_run, "--verify");
    step.flag(restore.dry_run, DRY_RUN);
    step.flag(have.has_sparse(), SPARSE);
    step.args.extend(["--".to_owned(), snapshot_id(restore.snapshot)?]);
    Ok(step)
}

/// `ls` of all that is in a snapshot, of which files are drawn by lot.
pub fn draw(snapshot: &str, bounds: Bounds) -> Result<Step, ArgsError> {
    Ok(Step { draw: Some(bounds), ..walk(snapshot, &[])? })
}

/// The same with another cache folder.
#[must_use]
pub fn with_cache(step: &Step, cache: &Path) -> Step {
    let mut step = step.clone();
    step.args.insert(1, format!("--cache-dir={}", cache.display()));
    step
}

/// The restore of these files, but for its target, see [`into_new`]; `restore` is the second step of a drill.
#[must_use]
pub fn of_files<'p>(restore: &Step, snapshot: &str, files: impl Iterator<Item = &'p str>) -> Step {
    let mut step = restore.clone();
    step.args.extend(["--".to_owned(), snapshot.to_owned()]);
    step.options = files
        .map(|path| OsString::from_vec([b"--include=", &*literal_bytes(path.as_bytes())].concat()))
        .collect();
    step
}

/// The restore into a new, empty folder that restic is started in.
#[must_use]
pub fn into_new(restore: &Step) -> Step {
    let mut step = restore.clone();
    step.options.push(format!("--target={RESTORE_FOLDER}").into());
    step
}

/// The restore into a folder that is there, of this name in the folder that restic is started in.
#[must_use]
pub fn into_found(restore: &Step, spec: &RestoreSpec<'_>, name: &OsStr, version: Version) -> Step {
    let mut step = restore.clone();
    let mut target = OsString::from(format!("--target={STARTED_IN}"));
    target.push(name);
    step.options.push(target);
    step.over(spec, version);
    step
}

/// The restore to where it was, but for these.
#[must_use]
pub fn into_original(restore: &Step, spec: &RestoreSpec<'_>, without: &[PathBuf], version: Version) -> Step {
    let mut step = restore.clone();
    step.options.push("--target=/".into());
    step.options.extend(without.iter().map(|path| OsString::from(format!("--exclude={}", literal(path)))));
    step.over(spec, version);
    step
}

impl Step {
    /// What becomes of what is there, each file of which restic then tells by name.
    fn over(&mut self, spec: &RestoreSpec<'_>, version: Version) {
        if version.has_overwrite() {
            self.options.push(format!("--overwrite={}", spec.overwrite.as_restic()).into());
            self.options.push(TELLS.into());
        }
        if spec.delete {
            self.options.push("--delete".into());
        }
    }

    /// A step that takes a lock, and waits for it where restic can.
    fn locking(kind: StepKind, args: &[&str], setting: &Setting<'_>) -> Self {
        let mut step = Self::new(kind, args);
        step.flag(setting.version.has_retry_lock(), RETRY_LOCK);
        step
    }

    fn extend_with_paths(&mut self, paths: Items<'_, &str>) -> Result<(), ArgsError> {
        if paths.is_empty() {
            return Err(ArgsError::NoPaths);
        }
        for path in paths.iter() {
            self.args.push(absolute(path)?);
        }
        Ok(())
    }
}

fn group_name(text: &str) -> Result<String, ArgsError> {
    if name::is_valid(text) { Ok(text.to_owned()) } else { Err(ArgsError::Name(text.to_owned())) }
}

fn absolute(path: &str) -> Result<String, ArgsError> {
    absolute_bytes(path.into()).map(|_| path.to_owned())
}

fn absolute_bytes(path: OsText<'_>) -> Result<Vec<u8>, ArgsError> {
    let bytes = path.as_bytes();
    if bytes.starts_with(b"/") && !bytes.contains(&0) {
        Ok(bytes.to_vec())
    } else {
        Err(ArgsError::Path(path.to_string()))
    }
}

fn snapshot_id(text: &str) -> Result<String, ArgsError> {
    let is_id =
        (8..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Ok(text.to_owned()) } else { Err(ArgsError::Snapshot(text.to_owned())) }
}

fn checked_duration(text: &str) -> Result<&str, ArgsError> {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&end| (1..=6).contains(&end));
        let unit = digits.filter(|&end| matches!(rest.as_bytes()[end], b'y' | b'm' | b'd' | b'h'));
        let Some(end) = unit else { return Err(ArgsError::Duration(text.to_owned())) };
        rest = &rest[end + 1..];
    }
    Ok(text)
}

fn checked_pattern(text: &str) -> Result<&str, ArgsError> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(ArgsError::Pattern(text.to_owned()));
    }
    Ok(text)
}
