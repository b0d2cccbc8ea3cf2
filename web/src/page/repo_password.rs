//! The repository's password in clear, for who has to go on without Holdfast. For admins, who type their own again.

use super::head::HostHead;
use super::problem_view::ProblemView;
use crate::api::dto::RepoPasswordOut;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::repo_password::{Shown, show as asked};
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// The page.
#[derive(Clone, Serialize)]
pub(crate) struct RepoPasswordView {
    pub(crate) head: HostHead,
    pub(crate) action: String,
    /// Once the own password was typed.
    pub(crate) shown: Option<RepoPasswordOut>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for RepoPasswordView {
    const TEMPLATE: &'static str = "page/repo-password.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["host-presence"];
}

#[cfg(test)]
impl crate::sample::Samples for RepoPasswordView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let asks = Self {
            head: HostHead::sample(s),
            action: "/hosts/01/repo-password".to_owned(),
            shown: None,
            problem: None,
        };
        let shown = RepoPasswordOut {
            url: s.text("rest:https://nas.lan/boat"),
            username: s.text("boat"),
            repo_password: s.text("correct horse"),
        };
        let wrong = Self { problem: Some(ProblemView::sample(s, "password")), ..asks.clone() };
        let refused = Self {
            problem: Some(ProblemView { field: None, message: s.text("Nothing is stored.") }),
            ..asks.clone()
        };
        vec![Self { shown: Some(shown), ..asks.clone() }, asks, wrong, refused]
    }
}

/// `GET /hosts/{host}/repo-password`.
pub(crate) async fn form(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    page(&ctx, host, None, None).await
}

/// `POST /hosts/{host}/repo-password`.
pub(crate) async fn show(ctx: Ctx, Path(host): Path<String>, form: Form) -> Result<Response<Body>, Problem> {
    match asked(&ctx, &host, form.secret("password")).await {
        Ok(shown) => page(&ctx, host, Some(shown), None).await,
        Err(problem) if problem.is_about_input() => page(&ctx, host, None, Some(problem)).await,
        Err(problem) => Err(problem),
    }
}

async fn page(
    ctx: &Ctx,
    host: String,
    shown: Option<Shown>,
    problem: Option<Problem>,
) -> Result<Response<Body>, Problem> {
    let status = problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let mut answer = ctx
        .answer(move |ctx, state| {
            let (head, row) = HostHead::read(ctx, state, &host, "repo")?;
            let view = RepoPasswordView {
                head,
                action: format!("/hosts/{}/repo-password", row.host.id),
                shown: shown.as_ref().map(RepoPasswordOut::new),
                problem: problem.as_ref().map(ProblemView::from),
            };
            ctx.page_with(status, &view)
        })
        .await?;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}
