//! Source groups: one body for both ways.

use super::time::time;
use super::words;
use crate::format::rfc3339;
use fleet::record::Hold;
use fleet::record::{Extent, Group, Origin, Retention, Soundness, UnusualBackup};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Hooks)]
pub(crate) struct HooksBody {
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Serialize, Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Keep)]
pub(crate) struct KeepBody {
    last: u16,
    hourly: u16,
    daily: u16,
    weekly: u16,
    monthly: u16,
    yearly: u16,
    within: String,
}

impl GroupBody {
    /// What a PUT leaves out stays: the snapshots that belong to the group.
    pub(crate) fn keep_origins(&mut self, old: &Group) {
        if self.origins.is_none() {
            self.origins = Some(old.origins.iter().cloned().map(OriginBody::from).collect());
        }
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Group)]
pub(crate) struct GroupBody {
    /// In a PUT it may be left out: the address names it. Another name renames.
    #[serde(default)]
    pub(crate) name: String,
    /// Absolute paths, or `command:` and the name of a command. Plain text: what a listing shows as `\xfc`, a byte that
    /// is no UTF-8, can't be named (save the folder above), and a `\` is a backslash.
    includes: Vec<String>,
    /// restic's patterns. A `\` quotes the character behind it; `?` also takes one byte that is no UTF-8.
    #[serde(default)]
    excludes: Vec<String>,
    /// Names of files: a folder that holds one is left out. restic reads `FILE:HEADER` as a file of that name which begins
    /// with that header.
    #[serde(default)]
    exclude_if_present: Vec<String>,
    #[serde(default)]
    one_file_system: bool,
    #[serde(default)]
    required_mounts: Vec<String>,
    #[serde(default)]
    hooks: HooksBody,
    #[serde(default)]
    keep: KeepBody,
    /// How often a scheduled backup is tried again; its schedule may allow less.
    #[serde(default = "retry_max")]
    retry_max: u16,
    /// It is backed up by hand, and a good backup may be so many days old, at most 366. 0: a schedule backs it up, and its
    /// host needs attention while none does.
    #[serde(default)]
    by_hand_days: u16,
    /// Snapshots of other tags or host names that belong to it too: of its former names, or adopted. Left out of a PUT,
    /// they stay.
    #[schema(nullable = false)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origins: Option<Vec<OriginBody>>,
}

/// Whose snapshots belong to a group beside its own.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Origin)]
pub(crate) struct OriginBody {
    /// The host name in them.
    hostname: String,
    /// Their tag; empty: they have none.
    tag: String,
}

/// Tries of a group or a schedule that says nothing of them.
pub(crate) const fn retry_max() -> u16 {
    12
}

/// A dry run of a forget: absent rules are those of the group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ForgetDryRun)]
pub(crate) struct ForgetDryRunBody {
    #[serde(default)]
    #[schema(nullable = false)]
    pub(crate) keep: Option<KeepBody>,
}

impl From<KeepBody> for Retention {
    fn from(keep: KeepBody) -> Self {
        Self {
            last: keep.last,
            hourly: keep.hourly,
            daily: keep.daily,
            weekly: keep.weekly,
            monthly: keep.monthly,
            yearly: keep.yearly,
            within: keep.within,
        }
    }
}

impl From<GroupBody> for Group {
    fn from(body: GroupBody) -> Self {
        Self {
            name: body.name,
            includes: body.includes,
            excludes: body.excludes,
            exclude_if_present: body.exclude_if_present,
            one_file_system: body.one_file_system,
            required_mounts: body.required_mounts,
            hooks_before: body.hooks.before,
            hooks_after: body.hooks.after,
            keep: body.keep.into(),
            retry_max: body.retry_max,
            by_hand_days: body.by_hand_days,
            origins: body.origins.unwrap_or_default().into_iter().map(Origin::from).collect(),
        }
    }
}

impl From<OriginBody> for Origin {
    fn from(body: OriginBody) -> Self {
        Self { hostname: body.hostname, tag: body.tag }
    }
}

impl From<Origin> for OriginBody {
    fn from(origin: Origin) -> Self {
        Self { hostname: origin.hostname, tag: origin.tag }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Extent)]
pub(crate) struct ExtentOut {
    files: u64,
    bytes: u64,
}

impl From<Extent> for ExtentOut {
    fn from(extent: Extent) -> Self {
        Self { files: extent.files, bytes: extent.bytes }
    }
}

/// More than half of the usual files or bytes was gone in a backup, and nobody has accepted it yet.
#[derive(Serialize, ToSchema)]
#[schema(as = Loss)]
pub(crate) struct LossOut {
    /// The first such backup.
    job: String,
    since: String,
    usual: ExtentOut,
    /// What the last such backup held.
    now: ExtentOut,
    /// A later backup held as much as usual again.
    is_back: bool,
}

/// Snapshots that lack something of what the group names.
#[derive(Serialize, ToSchema)]
#[schema(as = Lacking)]
pub(crate) struct LackingOut {
    snapshot: String,
    /// The backup that made it; null: none that is known here.
    job: Option<String>,
    heard_at: String,
    /// Why; null: it reports no error, but holds less than half of the usual size.
    #[schema(value_type = Option<words::Class>)]
    class: Option<&'static str>,
    paths: Vec<String>,
}

/// A backup that does not fit in with those before it.
#[derive(Serialize, ToSchema)]
#[schema(as = UnusualBackup)]
pub(crate) struct UnusualBackupOut {
    job: String,
    /// In which way: `grew_by`, it added more than 5 times what is usual; `files_gone`, half of the files are gone and others with
    /// new content came; `almost_all_changed`, almost no file is as it was, and what is there is new content.
    #[schema(value_type = words::Unusual)]
    what: &'static str,
    /// How many files the backup before it held.
    files_before: u64,
    files: u64,
    files_new: u64,
    files_changed: u64,
    /// How many of the files before are not there any more.
    files_gone: u64,
    bytes: u64,
    added_bytes: u64,
    /// How much backups of the group added in the middle, until then.
    usual_added_bytes: u64,
}

impl From<UnusualBackup> for UnusualBackupOut {
    fn from(backup: UnusualBackup) -> Self {
        let churn = backup.churn;
        Self {
            job: backup.job.to_string(),
            what: backup.what.as_str(),
            files_before: churn.files_before,
            files: churn.files,
            files_new: churn.files_new,
            files_changed: churn.files_changed,
            files_gone: churn.files_gone(),
            bytes: churn.bytes,
            added_bytes: churn.added_bytes,
            usual_added_bytes: backup.usual_added_bytes,
        }
    }
}

/// Backups that do not fit in with those before them, and that nobody has accepted yet.
#[derive(Serialize, ToSchema)]
#[schema(as = UnusualBackups)]
pub(crate) struct UnusualOut {
    since: String,
    first: UnusualBackupOut,
    /// The last one; the first, where there is one.
    last: UnusualBackupOut,
    count: u32,
}

/// Which snapshots of a source group lack data.
#[derive(Serialize, ToSchema)]
#[schema(as = Soundness)]
pub(crate) struct SoundnessOut {
    /// Why nothing of the group is forgotten: `loss` and `too_many_lacking` wait until somebody accepts a backup, `unlisted` until
    /// the snapshots were listed, `unsized` until somebody accepts the last backup beside the existing ones, `unusual`, which
    /// holds all groups of the host, until somebody accepts the backup that does not fit in with those before it; null: it is.
    #[schema(value_type = Option<words::Hold>)]
    held: Option<&'static str>,
    /// What is to be said right by `PUT …/acceptance`: the backup to look at; null: nothing.
    mark: Option<String>,
    loss: Option<LossOut>,
    unusual: Option<UnusualOut>,
    /// Oldest first; they displace no complete snapshot.
    lacking: Vec<LackingOut>,
    /// How many snapshots the last forget left beside the rules: newer ones do not stand in for them.
    spared: u32,
    /// Who has last said that the group is right as its backup found it.
    accepted_by: Option<String>,
    accepted_at: Option<String>,
}

impl From<Soundness> for SoundnessOut {
    fn from(known: Soundness) -> Self {
        Self {
            held: known.hold().map(Hold::as_str),
            mark: known.mark().map(|job| job.to_string()),
            loss: known.loss.map(|loss| LossOut {
                job: loss.job.to_string(),
                since: rfc3339(loss.since),
                usual: loss.usual.into(),
                now: loss.now.into(),
                is_back: loss.is_back,
            }),
            unusual: known.unusual.map(|unusual| UnusualOut {
                since: rfc3339(unusual.since),
                first: unusual.first.into(),
                last: unusual.last.into(),
                count: unusual.count,
            }),
            lacking: known
                .lacking
                .into_iter()
                .map(|flawed| LackingOut {
                    snapshot: flawed.snapshot,
                    job: flawed.job.map(|job| job.to_string()),
                    heard_at: rfc3339(flawed.heard_at),
                    class: flawed.lack.as_ref().map(|lack| lack.class.as_str()),
                    paths: flawed.lack.map(|lack| lack.paths).unwrap_or_default(),
                })
                .collect(),
            spared: known.spared,
            accepted_by: known.accepted.as_ref().map(|accepted| crate::words::by(&accepted.by)),
            accepted_at: time(known.accepted.map(|accepted| accepted.at)),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Acceptance)]
pub(crate) struct AcceptIn {
    /// The `mark` that was shown.
    pub(crate) mark: String,
}

impl From<Group> for GroupBody {
    fn from(group: Group) -> Self {
        let keep = group.keep;
        Self {
            name: group.name,
            includes: group.includes,
            excludes: group.excludes,
            exclude_if_present: group.exclude_if_present,
            one_file_system: group.one_file_system,
            required_mounts: group.required_mounts,
            hooks: HooksBody { before: group.hooks_before, after: group.hooks_after },
            keep: KeepBody {
                last: keep.last,
                hourly: keep.hourly,
                daily: keep.daily,
                weekly: keep.weekly,
                monthly: keep.monthly,
                yearly: keep.yearly,
                within: keep.within,
            },
            retry_max: group.retry_max,
            by_hand_days: group.by_hand_days,
            origins: Some(group.origins.into_iter().map(OriginBody::from).collect()),
        }
    }
}
