//! Repositories and snapshots.

use super::time::time;
use super::words;
use crate::format::rfc3339;
use crate::words::short_id;
use fleet::maintenance::CheckStatus;
use fleet::record::{Flawed, RepoPoint, RepoState, Sharer, SnapshotRow, WhyShared};
use fleet::{Owner, Owners};
use schema::RepoId;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Lock)]
pub(crate) struct LockOut {
    since: String,
    exclusive: bool,
    hostname: String,
    username: String,
    pid: u32,
    stale: bool,
    /// Tells this holder from others: `unlock?all=true&lock=` takes it.
    mark: String,
    seen_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RepoPoint)]
pub(crate) struct RepoPointOut {
    /// When the size was known.
    at: String,
    bytes: u64,
    /// As counted with the size or last before it; null = not counted by then.
    snapshots: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Repo)]
pub(crate) struct RepoOut {
    /// restic's id; null without the scope `write`.
    repo_id: Option<String>,
    /// The other hosts that use the same repository, or say so.
    shared_with: Vec<SharerOut>,
    /// Id of another repository that was found at the same address since; the figures are of the one before. A test of
    /// the credentials takes it as the host's own. Its first letters only, without the scope `write`.
    replaced_by: Option<String>,
    replaced_at: Option<String>,
    size_bytes: Option<u64>,
    size_at: Option<String>,
    /// Measured, or summed up from what backups added.
    size_measured: Option<bool>,
    snapshots: Option<u32>,
    snapshots_at: Option<String>,
    newest_snapshot_at: Option<String>,
    /// `ok`, `errors`, `overdue` or `never`.
    #[schema(value_type = words::CheckWord)]
    last_check_status: &'static str,
    last_check_at: Option<String>,
    last_check_errors: Option<u32>,
    last_check_subset_pct: Option<u8>,
    /// Id of the other host on the same repository that did it; null = this one.
    last_check_by: Option<String>,
    last_prune_at: Option<String>,
    last_prune_freed_bytes: Option<u64>,
    /// Id of the other host on the same repository that did it; null = this one.
    last_prune_by: Option<String>,
    append_only: Option<bool>,
    /// The last test of the everyday credentials as they stand now; null = not tested since they changed.
    tested_at: Option<String>,
    test_ok: Option<bool>,
    lock: Option<LockOut>,
    history: Vec<RepoPointOut>,
}

/// Another host on the same repository.
#[derive(Serialize, ToSchema)]
#[schema(as = Sharer)]
pub(crate) struct SharerOut {
    host: String,
    name: String,
    /// `address`: the server sent both to the same place; `confirmed`: somebody said so; `through`: each shares it with
    /// a third; `claimed`: it only says so, which counts for nothing until somebody confirms it.
    #[schema(value_type = words::WhyShared)]
    why: &'static str,
    confirmed_by: Option<String>,
    confirmed_at: Option<String>,
}

impl From<&Sharer> for SharerOut {
    fn from(sharer: &Sharer) -> Self {
        let confirmed = match &sharer.why {
            Some(WhyShared::Confirmed(confirmed)) => Some(confirmed),
            _ => None,
        };
        Self {
            host: sharer.host.to_string(),
            name: sharer.name.clone(),
            why: match sharer.why {
                Some(WhyShared::Address) => "address",
                Some(WhyShared::Confirmed(_)) => "confirmed",
                Some(WhyShared::Through) => "through",
                None => "claimed",
            },
            confirmed_by: confirmed.map(|confirmed| confirmed.by.name().to_owned()),
            confirmed_at: time(confirmed.map(|confirmed| confirmed.at)),
        }
    }
}

impl RepoOut {
    /// `whole`: for whom may know the ids of repositories.
    pub(crate) fn new(
        state: &RepoState,
        history: &[RepoPoint],
        status: CheckStatus,
        (sharers, whole): (&[Sharer], bool),
    ) -> Self {
        let shown = |id: RepoId| if whole { id.to_string() } else { short_id(&id.to_string()) };
        let lock = state.lock.as_ref();
        let by = |host: Option<schema::HostId>| host.map(|host| host.to_string());
        Self {
            repo_id: state.repo.filter(|_| whole).map(|id| id.to_string()),
            shared_with: sharers.iter().map(SharerOut::from).collect(),
            replaced_by: state.replaced.map(|replaced| shown(replaced.by)),
            replaced_at: time(state.replaced.map(|replaced| replaced.at)),
            size_bytes: state.size.as_ref().map(|size| size.bytes),
            size_at: time(state.size.as_ref().map(|size| size.at)),
            size_measured: state.size.as_ref().map(|size| size.measured),
            snapshots: state.snapshots.as_ref().map(|seen| seen.count),
            snapshots_at: time(state.snapshots.as_ref().map(|seen| seen.at)),
            newest_snapshot_at: time(state.snapshots.as_ref().and_then(|seen| seen.newest_at)),
            last_check_status: status.as_str(),
            last_check_at: time(state.check.as_ref().map(|check| check.at)),
            last_check_errors: state.check.as_ref().map(|check| check.errors),
            last_check_subset_pct: state.check.as_ref().map(|check| check.subset_pct),
            last_check_by: by(state.check.as_ref().and_then(|check| check.by)),
            last_prune_at: time(state.prune.as_ref().map(|prune| prune.at)),
            last_prune_freed_bytes: state.prune.as_ref().map(|prune| prune.freed_bytes),
            last_prune_by: by(state.prune.as_ref().and_then(|prune| prune.by)),
            append_only: state.append_only.map(|seen| seen.0),
            tested_at: time(state.tested.as_ref().map(|tested| tested.at)),
            test_ok: state.tested.as_ref().map(|tested| tested.well),
            lock: lock.and_then(|seen| {
                seen.holder.as_ref().map(|holder| LockOut {
                    since: rfc3339(holder.since),
                    exclusive: holder.exclusive,
                    hostname: holder.hostname.clone(),
                    username: holder.username.clone(),
                    pid: holder.pid,
                    stale: holder.stale,
                    mark: holder.mark(),
                    seen_at: rfc3339(seen.at),
                })
            }),
            history: history
                .iter()
                .map(|p| RepoPointOut { at: rfc3339(p.at), bytes: p.bytes, snapshots: p.snapshots })
                .collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub(crate) struct SnapshotOut {
    id: String,
    time: String,
    hostname: String,
    tags: Vec<String>,
    paths: Vec<String>,
    files: Option<u64>,
    bytes: Option<u64>,
    added_packed_bytes: Option<u64>,
    /// The source group that it belongs to; null: to none of this host.
    group: Option<String>,
    /// What it lacks of what its group names, or that it holds less than half of the usual size; null = nothing that is known.
    lacks: Option<String>,
    /// It belongs to a source group of another host on the same repository.
    is_of_other_host: bool,
    /// How many more tags it has.
    tags_left_out: u32,
    /// How many more paths it has.
    paths_left_out: u32,
}

impl SnapshotOut {
    pub(crate) fn new(row: SnapshotRow, owners: &Owners, lacking: &BTreeMap<String, Flawed>) -> Self {
        let (group, is_of_other_host) = match owners.of(&row) {
            Owner::Group(group) => (Some(group.to_owned()), false),
            Owner::OtherHost => (None, true),
            Owner::Nobody => (None, false),
        };
        Self {
            lacks: crate::words::snapshot_lacks(&row, lacking),
            group,
            is_of_other_host,
            id: row.id,
            time: rfc3339(row.time),
            hostname: row.hostname,
            tags: row.tags,
            paths: row.paths,
            files: row.files,
            bytes: row.bytes,
            added_packed_bytes: row.added_packed_bytes,
            tags_left_out: row.tags_left_out,
            paths_left_out: row.paths_left_out,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Snapshots)]
pub(crate) struct SnapshotsOut {
    pub(crate) items: Vec<SnapshotOut>,
    pub(crate) next: Option<String>,
    /// When they were listed; null = never.
    pub(crate) listed_at: Option<String>,
    /// The listing that was asked for.
    pub(crate) refresh_job: Option<String>,
    /// How many were listed and are kept, of all groups. The items have those of later backups, too.
    pub(crate) total: u32,
    /// How many there are beside these: the oldest of a very long list, or what can't be read.
    pub(crate) left_out: u32,
}
