//! The pages: each has a typed view, made from one snapshot, and its handlers. What several pages show alike is here.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup_charts;
pub(crate) mod door;
pub(crate) mod enrol;
pub(crate) mod fleet;
pub(crate) mod folder;
pub(crate) mod group;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod host_settings;
pub(crate) mod job;
pub(crate) mod job_view;
pub(crate) mod jobs;
pub(crate) mod maintenance;
pub(crate) mod pending;
pub(crate) mod preview;
pub(crate) mod quarantine;
pub(crate) mod refused;
pub(crate) mod repo;
pub(crate) mod repo_view;
pub(crate) mod schedule;
pub(crate) mod settings;
pub(crate) mod snapshots;
pub(crate) mod soundness;
#[cfg(test)]
mod tests;
pub(crate) mod topics;

use crate::app::Ctx;
use crate::format::When;
use crate::problem::{Problem, sentence};
use crate::template::View;
use crate::words::{Badge, job_badge, job_result, job_title};
use ::fleet::record::Job;
use ::fleet::{JobRequest, Refused, Snapshot};
use axum::body::Body;
use axum::http::Response;
use schema::{HostId, Timestamp};
use serde::Serialize;
use std::borrow::Cow;

/// The templates of all views; looked up at the start.
pub(crate) const TEMPLATES_USED: &[&str] = &[
    account::AccountView::TEMPLATE,
    audit::AuditView::TEMPLATE,
    door::LoginView::TEMPLATE,
    door::ResumeView::TEMPLATE,
    door::SetupView::TEMPLATE,
    enrol::EnrolView::TEMPLATE,
    enrol::NewHostView::TEMPLATE,
    fleet::FleetView::TEMPLATE,
    fleet::FleetRowView::TEMPLATE,
    folder::FolderView::TEMPLATE,
    group::GroupView::TEMPLATE,
    host::HostView::TEMPLATE,
    host_settings::HostSettingsView::TEMPLATE,
    job_view::JobView::TEMPLATE,
    jobs::HostJobsView::TEMPLATE,
    jobs::JobsView::TEMPLATE,
    pending::PendingView::TEMPLATE,
    pending::COUNT,
    preview::PreviewView::TEMPLATE,
    refused::RefusedView::TEMPLATE,
    repo::RepoPageView::TEMPLATE,
    schedule::ScheduleFormView::TEMPLATE,
    settings::SettingsView::TEMPLATE,
    snapshots::SnapshotsView::TEMPLATE,
    topics::TopicsView::TEMPLATE,
    ConfirmView::TEMPLATE,
    crate::present::ErrorView::TEMPLATE,
];

/// `GET` of an address that only takes forms: on to the page of the form.
pub(crate) async fn to_page_of_form(ctx: Ctx) -> Response<Body> {
    let path = ctx.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    ctx.go(&match parts.as_slice() {
        ["hosts", host, "enroll-token"] => format!("/hosts/{host}/enrol"),
        ["hosts", host, list @ ("groups" | "schedules")] => format!("/hosts/{host}#{list}"),
        ["hosts", host, "repo-credentials"] => format!("/hosts/{host}/repo#connection"),
        ["hosts", host, form] => format!("/hosts/{host}/repo#{form}"),
        [list @ ("operators" | "tokens" | "viewers"), ..] => format!("/settings#{list}"),
        ["account", ..] => "/account".to_owned(),
        _ => "/".to_owned(),
    })
}

/// A problem beside the field that it is about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProblemView {
    pub(crate) field: Option<String>,
    pub(crate) message: String,
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> Self {
        Self { field: problem.field.clone(), message: problem.message.clone() }
    }
}

/// A link that filters a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FilterLink {
    pub(crate) label: String,
    pub(crate) href: String,
    pub(crate) count: String,
    pub(crate) current: bool,
}

/// A key and its value.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) note: Option<String>,
    pub(crate) code: bool,
}

impl Fact {
    pub(crate) fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), note: None, code: false }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into()).filter(|note| !note.is_empty());
        self
    }

    pub(crate) fn code(mut self) -> Self {
        self.code = true;
        self
    }
}

/// A figure: the number, and what stands small behind it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: String,
    pub(crate) note: String,
}

impl Figure {
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), value: value.into(), note: note.into() }
    }

    /// A size, its unit small.
    pub(crate) fn bytes(name: &'static str, bytes: u64, more: &str) -> Self {
        let (value, unit) = crate::format::bytes_parts(bytes);
        Self::new(name, value, format!("{unit}{more}"))
    }
}

/// A run-now button: off when there is a reason.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Run {
    pub(crate) label: String,
    pub(crate) why: Option<String>,
    pub(crate) small: bool,
    pub(crate) primary: bool,
    /// What a screen reader says, where the label alone says too little.
    pub(crate) name: Option<String>,
}

impl Run {
    pub(crate) fn new(
        snapshot: &Snapshot,
        host: HostId,
        request: &JobRequest,
        label: impl Into<String>,
    ) -> Result<Self, Problem> {
        Ok(Self { label: label.into(), why: why_not(snapshot, host, request)?, ..Self::default() })
    }
}

/// The same in a few words, for a narrow place.
pub(crate) fn why_short(
    snapshot: &Snapshot,
    host: HostId,
    request: &JobRequest,
) -> Result<Option<String>, Problem> {
    let Some(refused) = snapshot.blocked(host, request)? else { return Ok(None) };
    Ok(Some(match refused {
        Refused::HostOffline => "host is offline".to_owned(),
        Refused::HostNotEnrolled => "no agent is enrolled yet".to_owned(),
        Refused::RepoCredsRequired => "set repository credentials first".to_owned(),
        Refused::AdminCredsUnreadable => "the admin credentials must be set again".to_owned(),
        Refused::AdminCredsForbidden => "the agent refuses admin credentials".to_owned(),
        Refused::JobInProgress { .. } => "it runs or waits already".to_owned(),
        Refused::BackupOpen { group, .. } => format!("a backup of {group} waits or runs"),
        Refused::RepoBusy { host, .. } => format!("{host} uses the repository"),
        Refused::Held { group, .. } => format!("{group} waits until somebody has looked at it"),
        Refused::WireUnsupported => "the agent can't be spoken with".to_owned(),
        other => sentence(&other.to_string()),
    }))
}

/// Why a request would be refused right now, as a sentence.
pub(crate) fn why_not(
    snapshot: &Snapshot,
    host: HostId,
    request: &JobRequest,
) -> Result<Option<String>, Problem> {
    Ok(snapshot.blocked(host, request)?.map(|refused| sentence(&refused.to_string())))
}

/// A job in a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobLine {
    pub(crate) href: String,
    pub(crate) title: String,
    pub(crate) badge: Badge,
    pub(crate) result: String,
    pub(crate) when: When,
}

impl JobLine {
    pub(crate) fn new(ctx: &Ctx, now: Timestamp, job: &Job) -> Self {
        Self {
            href: format!("/jobs/{}", job.id),
            title: job_title(&job.what),
            badge: job_badge(job),
            result: job_result(job, ctx.app.fleet.progress(job.id).as_ref()),
            when: When::ago(now, job.started_at.unwrap_or(job.created_at)),
        }
    }
}

/// A question before something is destroyed: a dialog, or a page of its own.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConfirmView {
    /// What will be done, and to what.
    pub(crate) title: String,
    pub(crate) body: Vec<String>,
    /// Where the form goes.
    pub(crate) action: String,
    /// The words of the act.
    pub(crate) button: String,
    /// The words of the way out: what stays.
    pub(crate) keep: String,
    /// Where the way out leads.
    pub(crate) back: String,
}

impl View for ConfirmView {
    const TEMPLATE: &'static str = "page/confirm.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}
