//! What a forget would keep and remove of a source group, by the rules as they stand in its form: a dry run, shown in
//! the form's page while nothing is saved. Without scripts the job's own page tells it.

use super::group;
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{count, many};
use crate::problem::Problem;
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::record::{Job, JobFigures, JobState, JobWhat};
use fleet::{JobRequest, Refused};
use schema::JobId;
use serde::Serialize;

/// The fragment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PreviewView {
    /// The job, while it is open: its end changes this.
    pub(crate) open: Option<String>,
    pub(crate) here: String,
    pub(crate) failed: bool,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) job_href: Option<String>,
}

impl View for PreviewView {
    const TEMPLATE: &'static str = "part/group-preview.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for PreviewView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            open: s.some("02"),
            here: "/hosts/01/groups/etc/preview/02".to_owned(),
            failed: true,
            title: s.text("The preview failed"),
            text: s.text("The repository is locked."),
            job_href: Some("/jobs/02".to_owned()),
        }]
    }
}

impl PreviewView {
    fn of_job(job: &Job, here: String) -> Self {
        let (failed, title, text) = match (&job.figures, job.state) {
            (JobFigures::Forget(groups), JobState::Succeeded) => {
                let (kept, removed) = groups.first().map_or((0, 0), |group| (group.kept, group.removed));
                let title = format!(
                    "This would keep {} and remove {}",
                    many(kept.into(), "snapshot"),
                    count(removed.into())
                );
                let mut text = "A dry run: nothing was removed, and no rule was saved.".to_owned();
                if let Some(spared) = groups.first().map(|group| group.spared).filter(|spared| *spared > 0) {
                    text = format!(
                        "{} of them stay by safeguard, because newer ones lack data. {text}",
                        many(spared.into(), "snapshot")
                    );
                }
                if let JobWhat::ForgetDryRun { held: Some(why), .. } = &job.what {
                    text = format!("Nothing of it is removed yet: {}. {text}", crate::words::hold(*why));
                }
                (false, title, text)
            }
            (_, state) if state.is_ended() => (true, "The preview failed".to_owned(), job.message.clone()),
            _ => (false, "Asking the host…".to_owned(), "This is a dry run; nothing is removed.".to_owned()),
        };
        Self {
            open: (!job.state.is_ended()).then(|| job.id.to_string()),
            here,
            failed,
            title,
            text,
            job_href: Some(format!("/jobs/{}", job.id)),
        }
    }

    fn of_problem(problem: &Problem) -> Self {
        Self {
            open: None,
            here: String::new(),
            failed: true,
            title: "No preview".to_owned(),
            text: problem.message.clone(),
            job_href: None,
        }
    }
}

/// `POST /hosts/{host}/groups/{group}/preview`.
pub(crate) async fn ask(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    let asked = match group::read_keep(&form) {
        Ok(keep) => {
            let request = JobRequest::ForgetDryRun { group: group.clone(), keep: Some(keep) };
            ctx.app.fleet.dispatch(host.id, request, ctx.by()).await.map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    match asked {
        Ok(job) if ctx.htmx => {
            let here = format!("/hosts/{}/groups/{group}/preview/{}", host.id, job.id);
            ctx.show(StatusCode::OK, PreviewView::of_job(&job, here)).await
        }
        Ok(job) => Ok(ctx.go(&format!("/jobs/{}", job.id))),
        // It stands beside the form, which keeps what was typed.
        Err(problem) if ctx.htmx => ctx.show(StatusCode::OK, PreviewView::of_problem(&problem)).await,
        Err(problem) => Err(problem),
    }
}

/// `GET /hosts/{host}/groups/{group}/preview/{job}`.
pub(crate) async fn show(
    ctx: Ctx,
    Path((host, group, job)): Path<(String, String, String)>,
) -> Result<Response<Body>, Problem> {
    if !ctx.htmx {
        return Ok(ctx.go(&format!("/jobs/{job}")));
    }
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let id: JobId = job.parse().map_err(|_| Problem::from(Refused::JobNotFound))?;
        let is_it = |job: &Job| {
            job.host == host.id
                && matches!(&job.what, JobWhat::ForgetDryRun { group: of, .. } if *of == group)
        };
        let job = state.job(id)?.filter(is_it).ok_or(Refused::JobNotFound)?;
        ctx.page(&PreviewView::of_job(&job, format!("/hosts/{}/groups/{group}/preview/{id}", host.id)))
    })
    .await
}
