//! The bodies of the API, apart from the records they are made of.

use crate::format::rfc3339;
use fleet::record::*;
use fleet::{HostRow, NewEnrollToken};
use schema::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(rfc3339)
}

#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub(crate) struct MeOut {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    /// For the header `X-CSRF-Token`; only in a browser session.
    pub(crate) csrf: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetUp)]
pub(crate) struct SetupIn {
    pub(crate) code: String,
    pub(crate) name: String,
    #[schema(value_type = String)]
    pub(crate) password: Secret,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignIn)]
pub(crate) struct LoginIn {
    pub(crate) name: String,
    #[schema(value_type = String)]
    pub(crate) password: Secret,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WireProblem)]
pub(crate) struct WireProblemOut {
    /// The version that the agent speaks.
    version: u8,
    at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Host)]
pub(crate) struct HostOut {
    id: String,
    name: String,
    labels: Vec<String>,
    /// `ok`, `running`, `warning`, `failed`, `missed`, `offline` or `new`.
    status: &'static str,
    /// Why, in short words.
    reason: String,
    /// Whether every source group has a good and recent backup.
    protected: bool,
    online: bool,
    last_seen_at: Option<String>,
    /// Present when the agent speaks a wire version that is not understood here.
    wire_problem: Option<WireProblemOut>,
    agent_version: Option<String>,
    restic_version: Option<String>,
    os: Option<String>,
    arch: Option<String>,
    created_at: String,
    enrolled_at: Option<String>,
    last_backup_at: Option<String>,
    last_good_at: Option<String>,
    next_run_at: Option<String>,
    repo_size_bytes: Option<u64>,
    repo_snapshots: Option<u32>,
    groups: u32,
    open_jobs: u32,
    has_repo_credentials: bool,
    /// A word for each of the last 30 days, oldest first.
    days: Vec<&'static str>,
}

impl From<HostRow> for HostOut {
    fn from(row: HostRow) -> Self {
        let facts = row.host.facts.as_ref();
        Self {
            id: row.host.id.to_string(),
            status: row.status.as_str(),
            reason: row.reason,
            protected: row.protected,
            online: row.presence.online,
            last_seen_at: time(row.presence.last_seen_at),
            wire_problem: row
                .presence
                .wire_problem
                .map(|problem| WireProblemOut { version: problem.version, at: rfc3339(problem.at) }),
            agent_version: facts.map(|facts| facts.agent_version.clone()),
            restic_version: facts.map(|facts| facts.restic_version.clone()).filter(|v| !v.is_empty()),
            os: facts.map(|facts| facts.os.clone()),
            arch: facts.map(|facts| facts.arch.clone()),
            created_at: rfc3339(row.host.created_at),
            enrolled_at: time(row.host.enrolled_at),
            last_backup_at: time(row.last_backup.and_then(|job| job.finished_at)),
            last_good_at: time(row.last_good_at),
            next_run_at: None,
            repo_size_bytes: row.size_bytes,
            repo_snapshots: row.snapshots,
            groups: row.groups,
            open_jobs: row.open_jobs,
            has_repo_credentials: row.has_repo_credentials,
            days: row.days.iter().map(|day| day.as_str()).collect(),
            name: row.host.name,
            labels: row.host.labels,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewHost)]
pub(crate) struct HostIn {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostPatch {
    pub(crate) name: Option<String>,
    pub(crate) labels: Option<Vec<String>>,
}

/// The token is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct HostCreated {
    id: String,
    name: String,
    enroll_token: String,
    enroll_command: String,
    expires_at: String,
}

impl HostCreated {
    pub(crate) fn new(host: &Host, new: &NewEnrollToken) -> Self {
        Self {
            id: host.id.to_string(),
            name: host.name.clone(),
            enroll_token: new.text.expose().to_owned(),
            enroll_command: enroll_command(new),
            expires_at: rfc3339(new.token.expires_at),
        }
    }
}

/// The line to run on the host.
pub(crate) fn enroll_command(new: &NewEnrollToken) -> String {
    format!("holdfast-agent enroll {}", new.text.expose())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Credentials)]
pub(crate) struct CredentialsOut {
    set: bool,
    url: String,
    username: String,
    has_password: bool,
    has_repo_password: bool,
    env_names: Vec<String>,
    updated_at: Option<String>,
    updated_by: Option<String>,
    /// Whether the agent says that it holds this revision (everyday credentials only).
    held: bool,
}

impl From<Option<CredentialsFacts>> for CredentialsOut {
    fn from(facts: Option<CredentialsFacts>) -> Self {
        let set = facts.is_some();
        let facts = facts.unwrap_or_default();
        Self {
            set,
            held: set && facts.held_revision == facts.revision,
            url: facts.url,
            username: facts.username,
            has_password: facts.has_password,
            has_repo_password: facts.has_repo_password,
            env_names: facts.env_names,
            updated_at: set.then(|| rfc3339(facts.updated_at)),
            updated_by: set.then_some(facts.updated_by),
        }
    }
}

/// An absent secret keeps the stored one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetCredentials)]
pub(crate) struct CredentialsIn {
    url: String,
    username: Option<String>,
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    #[schema(value_type = Option<String>)]
    repo_password: Option<Secret>,
    /// Replaces all; a null keeps the stored value of that name.
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    env: Option<BTreeMap<String, Option<Secret>>>,
}

impl From<CredentialsIn> for CredentialsInput {
    fn from(body: CredentialsIn) -> Self {
        Self {
            url: body.url,
            username: body.username,
            password: body.password,
            repo_password: body.repo_password,
            env: body.env,
        }
    }
}

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

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Group)]
pub(crate) struct GroupBody {
    /// In a PUT it may be left out: the address names it. Another name renames.
    #[serde(default)]
    pub(crate) name: String,
    includes: Vec<String>,
    #[serde(default)]
    excludes: Vec<String>,
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
    #[serde(default)]
    retry_max: u16,
}

impl From<GroupBody> for Group {
    fn from(body: GroupBody) -> Self {
        let keep = body.keep;
        Self {
            name: body.name,
            includes: body.includes,
            excludes: body.excludes,
            exclude_if_present: body.exclude_if_present,
            one_file_system: body.one_file_system,
            required_mounts: body.required_mounts,
            hooks_before: body.hooks.before,
            hooks_after: body.hooks.after,
            keep: Retention {
                last: keep.last,
                hourly: keep.hourly,
                daily: keep.daily,
                weekly: keep.weekly,
                monthly: keep.monthly,
                yearly: keep.yearly,
                within: keep.within,
            },
            retry_max: body.retry_max,
        }
    }
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
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Progress)]
pub(crate) struct ProgressOut {
    at: String,
    permille: u16,
    files_done: u64,
    files_total: u64,
    bytes_done: u64,
    bytes_total: u64,
    errors: u32,
    rate_bytes: Option<u64>,
    left_secs: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobOut {
    id: String,
    host: String,
    kind: &'static str,
    /// The source groups that it works on.
    groups: Vec<String>,
    state: &'static str,
    class: Option<&'static str>,
    /// Why the agent refused it.
    refusal: Option<&'static str>,
    actor_kind: &'static str,
    actor: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    cancel_asked_at: Option<String>,
    progress: Option<ProgressOut>,
    /// The figures of its kind.
    summary: Value,
    exit_code: Option<i32>,
    log_lines: u32,
    /// What restic or the agent said, when it did not plainly succeed.
    error: Option<String>,
}

impl JobOut {
    pub(crate) fn new(job: &Job, progress: Option<JobProgress>) -> Self {
        let groups = match &job.what {
            JobWhat::Backup { group } => vec![group.clone()],
            JobWhat::Forget { groups } => groups.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        Self {
            id: job.id.to_string(),
            host: job.host.to_string(),
            kind: job.what.kind().as_str(),
            groups,
            state: job.state.as_str(),
            class: job.class.map(schema::Class::as_str),
            refusal: job.refusal.map(schema::Refusal::as_str),
            actor_kind: job.actor.kind(),
            actor: job.actor.name().to_owned(),
            created_at: rfc3339(job.created_at),
            started_at: time(job.started_at),
            finished_at: time(job.finished_at),
            cancel_asked_at: time(job.cancel_asked_at),
            progress: progress.filter(|_| !job.state.is_ended()).map(|p| ProgressOut {
                at: rfc3339(p.at),
                permille: p.permille,
                files_done: p.files_done,
                files_total: p.files_total,
                bytes_done: p.bytes_done,
                bytes_total: p.bytes_total,
                errors: p.errors,
                rate_bytes: p.rate_bytes,
                left_secs: p.left_secs,
            }),
            summary: summary(&job.figures),
            exit_code: job.exit_code,
            log_lines: job.log_lines,
            error: Some(job.message.clone()).filter(|m| !m.is_empty() && job.state != JobState::Succeeded),
        }
    }
}

fn summary(figures: &JobFigures) -> Value {
    match figures {
        JobFigures::None => Value::Null,
        JobFigures::Probe(p) => json!({
            "repo": p.repo.map(|id| id.to_string()), "repo_version": p.repo_version,
            "append_only": p.append_only, "answered_ms": p.answered_ms,
        }),
        JobFigures::Init { repo } => json!({"repo": repo.to_string()}),
        JobFigures::Backup(b) => json!({
            "snapshot": b.snapshot, "files_new": b.files_new, "files_changed": b.files_changed,
            "files_unmodified": b.files_unmodified, "total_files": b.total_files, "total_bytes": b.total_bytes,
            "added_bytes": b.added_bytes, "added_packed_bytes": b.added_packed_bytes, "errors": b.errors,
        }),
        JobFigures::Forget(groups) => Value::Array(
            groups
                .iter()
                .map(|g| {
                    json!({
                        "group": g.group, "kept": g.kept, "removed": g.removed,
                        "class": g.class.map(schema::Class::as_str),
                    })
                })
                .collect(),
        ),
        JobFigures::Prune { freed_bytes, repacked_bytes, remaining_bytes } => json!({
            "freed_bytes": freed_bytes, "repacked_bytes": repacked_bytes, "remaining_bytes": remaining_bytes,
        }),
        JobFigures::Check { errors, subset_pct } => json!({"errors": errors, "subset_pct": subset_pct}),
        JobFigures::Unlock { removed } => json!({"removed": removed}),
        JobFigures::Stats { total_bytes, blobs } => json!({"total_bytes": total_bytes, "blobs": blobs}),
        JobFigures::Snapshots { count } => json!({"count": count}),
        JobFigures::Restore { files, bytes, skipped } => {
            json!({"files": files, "bytes": bytes, "skipped": skipped})
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LogLineOut {
    pub(crate) number: u32,
    /// Milliseconds after the start.
    pub(crate) after_ms: u32,
    /// `agent`, `out` or `err`.
    pub(crate) stream: &'static str,
    pub(crate) text: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Log)]
pub(crate) struct LogOut {
    pub(crate) items: Vec<LogLineOut>,
    pub(crate) total_lines: u32,
    /// Lines of the middle that were not kept.
    pub(crate) left_out: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Lock)]
pub(crate) struct LockOut {
    since: String,
    exclusive: bool,
    hostname: String,
    username: String,
    pid: u32,
    stale: bool,
    seen_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RepoPoint)]
pub(crate) struct RepoPointOut {
    at: String,
    bytes: u64,
    snapshots: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Repo)]
pub(crate) struct RepoOut {
    repo_id: Option<String>,
    size_bytes: Option<u64>,
    size_at: Option<String>,
    /// Measured, or summed up from what backups added.
    size_measured: Option<bool>,
    snapshots: Option<u32>,
    snapshots_at: Option<String>,
    newest_snapshot_at: Option<String>,
    last_check_at: Option<String>,
    last_check_errors: Option<u32>,
    last_check_subset_pct: Option<u8>,
    last_prune_at: Option<String>,
    last_prune_freed_bytes: Option<u64>,
    append_only: Option<bool>,
    tested_at: Option<String>,
    test_ok: Option<bool>,
    lock: Option<LockOut>,
    history: Vec<RepoPointOut>,
}

impl RepoOut {
    pub(crate) fn new(state: &RepoState, history: &[RepoPoint]) -> Self {
        let lock = state.lock.as_ref();
        Self {
            repo_id: state.repo.map(|id| id.to_string()),
            size_bytes: state.size.as_ref().map(|size| size.bytes),
            size_at: time(state.size.as_ref().map(|size| size.at)),
            size_measured: state.size.as_ref().map(|size| size.measured),
            snapshots: state.snapshots.as_ref().map(|seen| seen.count),
            snapshots_at: time(state.snapshots.as_ref().map(|seen| seen.at)),
            newest_snapshot_at: time(state.snapshots.as_ref().and_then(|seen| seen.newest_at)),
            last_check_at: time(state.check.as_ref().map(|check| check.at)),
            last_check_errors: state.check.as_ref().map(|check| check.errors),
            last_check_subset_pct: state.check.as_ref().map(|check| check.subset_pct),
            last_prune_at: time(state.prune.as_ref().map(|prune| prune.at)),
            last_prune_freed_bytes: state.prune.as_ref().map(|prune| prune.freed_bytes),
            append_only: state.append_only.map(|seen| seen.0),
            tested_at: time(state.tested.map(|tested| tested.1)),
            test_ok: state.tested.map(|tested| tested.2),
            lock: lock.and_then(|seen| {
                seen.holder.as_ref().map(|holder| LockOut {
                    since: rfc3339(holder.since),
                    exclusive: holder.exclusive,
                    hostname: holder.hostname.clone(),
                    username: holder.username.clone(),
                    pid: holder.pid,
                    stale: holder.stale,
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
}

impl From<SnapshotRow> for SnapshotOut {
    fn from(row: SnapshotRow) -> Self {
        Self {
            id: row.id,
            time: rfc3339(row.time),
            hostname: row.hostname,
            tags: row.tags,
            paths: row.paths,
            files: row.files,
            bytes: row.bytes,
            added_packed_bytes: row.added_packed_bytes,
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
}

#[derive(Serialize, ToSchema)]
#[schema(as = Operator)]
pub(crate) struct OperatorOut {
    name: String,
    role: &'static str,
    created_at: String,
    signed_in_at: Option<String>,
}

impl From<Operator> for OperatorOut {
    fn from(operator: Operator) -> Self {
        Self {
            name: operator.name,
            role: operator.role.as_str(),
            created_at: rfc3339(operator.created_at),
            signed_in_at: time(operator.signed_in_at),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOperator)]
pub(crate) struct OperatorIn {
    pub(crate) name: String,
    pub(crate) role: String,
    #[schema(value_type = String)]
    pub(crate) password: Secret,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorPatch {
    pub(crate) role: Option<String>,
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenOut {
    id: String,
    name: String,
    role: &'static str,
    created_by: String,
    created_at: String,
    used_at: Option<String>,
}

impl From<ApiToken> for TokenOut {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role.as_str(),
            created_by: token.created_by,
            created_at: rfc3339(token.created_at),
            used_at: time(token.used_at),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
pub(crate) struct TokenIn {
    pub(crate) name: String,
    pub(crate) role: String,
}

/// The secret is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenCreated {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Viewer)]
pub(crate) struct ViewerOut {
    name: String,
    debug: bool,
    created_by: String,
    created_at: String,
}

impl From<Viewer> for ViewerOut {
    fn from(viewer: Viewer) -> Self {
        Self {
            name: viewer.name,
            debug: viewer.debug,
            created_by: viewer.created_by,
            created_at: rfc3339(viewer.created_at),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewViewer)]
pub(crate) struct ViewerIn {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) debug: bool,
}

/// The password is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ViewerCreated {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) command: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditOut {
    at: String,
    actor_kind: &'static str,
    actor: String,
    action: String,
    target_kind: &'static str,
    target: String,
    target_id: Option<String>,
    peer: String,
    detail: String,
}

impl From<AuditEntry> for AuditOut {
    fn from(entry: AuditEntry) -> Self {
        let (target_kind, target, target_id) = match entry.target {
            AuditTarget::Server => ("server", "server".to_owned(), None),
            AuditTarget::Host(id, name) => ("host", name, Some(id.to_string())),
            AuditTarget::Job(_, id) => ("job", id.to_string(), Some(id.to_string())),
            AuditTarget::Account(name) => ("account", name, None),
        };
        Self {
            at: rfc3339(entry.at),
            actor_kind: entry.actor.kind(),
            actor: entry.actor.name().to_owned(),
            action: entry.action,
            target_kind,
            target,
            target_id,
            peer: entry.peer,
            detail: entry.detail,
        }
    }
}
