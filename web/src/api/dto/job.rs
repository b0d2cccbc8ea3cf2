//! Jobs and their logs.

use super::time;
use crate::format::rfc3339;
use fleet::record::{Job, JobFigures, JobProgress, JobState, JobWhat};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Progress)]
pub(crate) struct ProgressOut {
    at: String,
    percent: f64,
    files_done: u64,
    files_total: u64,
    bytes_done: u64,
    bytes_total: u64,
    errors: u32,
    /// Over the last seconds; null until there are two readings.
    bytes_per_second: Option<u64>,
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
    /// `operator`, `token`, `schedule`, `system` or `agent`.
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
                percent: f64::from(p.permille) / 10.0,
                files_done: p.files_done,
                files_total: p.files_total,
                bytes_done: p.bytes_done,
                bytes_total: p.bytes_total,
                errors: p.errors,
                bytes_per_second: p.rate_bytes,
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
        JobFigures::Prune { freed_bytes, repacked_packs, repacked_bytes, remaining_bytes } => json!({
            "freed_bytes": freed_bytes, "repacked_packs": repacked_packs, "repacked_bytes": repacked_bytes,
            "remaining_bytes": remaining_bytes,
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
