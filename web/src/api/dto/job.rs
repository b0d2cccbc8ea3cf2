//! Jobs and their logs.

use super::restore::RestoreOut;
use super::summary::SummaryOut;
use super::time::time;
use super::words;
use crate::format::rfc3339;
use fleet::record::{Hold, Job, JobProgress, JobState, JobWhat};
use serde::Serialize;
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
    /// Of a restore or a drill: read by restic so far, mostly from the repository. It moves before anything is written; 0 = not known.
    bytes_read: u64,
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
    #[schema(value_type = words::JobKind)]
    kind: &'static str,
    /// The source groups that it works on.
    groups: Vec<String>,
    /// Of a forget: the groups with a keep rule of which nothing is removed until somebody accepts a backup; of its dry run: its group,
    /// when a forget would leave it out.
    left_out: Vec<HeldOut>,
    #[schema(value_type = words::JobState)]
    state: &'static str,
    #[schema(value_type = Option<words::Class>)]
    class: Option<&'static str>,
    /// Why the agent refused it.
    #[schema(value_type = Option<words::Refusal>)]
    refusal: Option<&'static str>,
    /// Whether it only says what it would do.
    dry_run: bool,
    /// `operator`, `token`, `schedule`, `system` or `agent`.
    #[schema(value_type = words::ActorKind)]
    actor_kind: &'static str,
    actor: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    cancel_asked_at: Option<String>,
    /// What took the agent away that had it, when it is `lost` for that.
    #[schema(value_type = Option<words::AgentGone>)]
    agent_gone: Option<&'static str>,
    /// Who ended it before it was done: only what a person ended is not tried again.
    #[schema(value_type = Option<words::EndedBy>)]
    ended_by: Option<&'static str>,
    progress: Option<ProgressOut>,
    /// The figures of its kind.
    summary: Option<SummaryOut>,
    /// Of a restore: what it is to do.
    restore: Option<RestoreOut>,
    exit_code: Option<i32>,
    /// Others went on without it before its host said what became of it: it counts as done for none of them.
    late: bool,
    log_lines: u32,
    /// What restic or the agent said, when it did not plainly succeed.
    error: Option<String>,
}

/// A source group of which nothing is removed until somebody accepts a backup.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldGroup)]
pub(crate) struct HeldOut {
    group: String,
    /// Why: as `held` of a group's soundness.
    #[schema(value_type = words::Hold)]
    why: &'static str,
}

impl HeldOut {
    pub(crate) fn new((group, why): &(String, Hold)) -> Self {
        Self { group: group.clone(), why: why.as_str() }
    }
}

impl JobOut {
    pub(crate) fn new(job: &Job, progress: Option<JobProgress>) -> Self {
        let groups = match &job.what {
            JobWhat::Backup { group } | JobWhat::ForgetDryRun { group, .. } => vec![group.clone()],
            JobWhat::Forget { groups, .. } => groups.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        let left_out = match &job.what {
            JobWhat::Forget { held, .. } => held.iter().map(HeldOut::new).collect(),
            JobWhat::ForgetDryRun { group, held: Some(why), .. } => {
                vec![HeldOut::new(&(group.clone(), *why))]
            }
            _ => Vec::new(),
        };
        Self {
            id: job.id.to_string(),
            host: job.host.to_string(),
            kind: job.what.kind().as_str(),
            groups,
            left_out,
            state: job.state.as_str(),
            class: job.class.map(schema::Class::as_str),
            dry_run: job.what.is_dry_run(),
            refusal: job.refusal.map(schema::Refusal::as_str),
            actor_kind: job.actor.kind(),
            actor: job.actor.name().to_owned(),
            created_at: rfc3339(job.created_at),
            started_at: time(job.started_at),
            finished_at: time(job.finished_at),
            cancel_asked_at: time(job.cancel_asked_at),
            agent_gone: job.agent_gone.map(fleet::record::AgentGone::as_str),
            ended_by: job.ended_by().map(fleet::record::EndedBy::as_str),
            progress: progress.filter(|_| !job.state.is_ended()).map(|p| ProgressOut {
                at: rfc3339(p.at),
                percent: f64::from(p.permille) / 10.0,
                files_done: p.files_done,
                files_total: p.files_total,
                bytes_done: p.bytes_done,
                bytes_total: p.bytes_total,
                bytes_read: p.bytes_read,
                errors: p.errors,
                bytes_per_second: p.rate_bytes,
                left_secs: p.left_secs,
            }),
            summary: SummaryOut::of(&job.figures),
            restore: match &job.what {
                JobWhat::Restore(plan) => Some(RestoreOut::new(plan)),
                _ => None,
            },
            exit_code: job.exit_code,
            late: job.late,
            log_lines: job.log_lines,
            error: Some(job.message.clone()).filter(|m| !m.is_empty() && job.state != JobState::Succeeded),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LogLineOut {
    pub(crate) number: u32,
    /// Milliseconds after the start.
    pub(crate) after_ms: u32,
    /// `agent`, `out` or `err`.
    #[schema(value_type = words::LogStream)]
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
