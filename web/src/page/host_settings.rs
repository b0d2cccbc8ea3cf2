//! Name, labels, a new key, and the end of a host.

use super::confirm::ConfirmView;
use super::head::HostHead;
use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::FleetState;
use serde::Serialize;

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostSettingsView {
    pub(crate) head: HostHead,
    pub(crate) name: String,
    pub(crate) labels: String,
    pub(crate) restic_host: String,
    pub(crate) delete: ConfirmView,
    pub(crate) problem: Option<ProblemView>,
}

impl View for HostSettingsView {
    const TEMPLATE: &'static str = "page/host-settings.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["host-presence"];
}

#[cfg(test)]
impl crate::sample::Samples for HostSettingsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            head: HostHead::sample(s),
            name: s.text("boat-pi"),
            labels: s.text("boats"),
            restic_host: s.text("boat"),
            delete: ConfirmView::sample(s),
            problem: Some(ProblemView::sample(s, "name")),
        }]
    }
}

fn read(ctx: &Ctx, state: &FleetState, host: &str) -> Result<HostSettingsView, Problem> {
    let (head, row) = HostHead::read(ctx, state, host, "settings")?;
    Ok(HostSettingsView {
        name: row.host.name.clone(),
        labels: row.host.labels.join(", "),
        restic_host: row.host.restic_host.clone(),
        delete: ConfirmView {
            title: format!("Delete {}?", row.host.name),
            body: vec![
                "Its credentials, source groups, jobs and logs are deleted here, and its agent can't connect any more."
                    .to_owned(),
                "The repository and its snapshots stay as they are.".to_owned(),
            ],
            action: format!("{}/delete", head.href),
            button: format!("Delete {}", row.host.name),
            dismiss: "Cancel".to_owned(),
            back: format!("{}/settings", head.href),
        },
        problem: None,
        head,
    })
}

/// `GET /hosts/{host}/settings`.
pub(crate) async fn show(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &host)?)).await
}

/// `POST /hosts/{host}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let found = ctx.find_host(&host).await?;
    let (name, labels) = (form.text("name"), form.words("labels"));
    let changed = ctx.app.fleet.update_host(found.id, Some(name.clone()), Some(labels), ctx.by()).await;
    match changed.map_err(Problem::from) {
        Ok(host) => Ok(ctx.go(&format!("/hosts/{}/settings", host.id))),
        Err(problem) if problem.is_about_input() => {
            ctx.answer(move |ctx, state| {
                let view = HostSettingsView {
                    name,
                    labels: form.text("labels"),
                    problem: Some((&problem).into()),
                    ..read(ctx, state, &host)?
                };
                ctx.page_with(problem.status, &view)
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

/// `GET /hosts/{host}/delete`.
pub(crate) async fn confirm_delete(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &host)?.delete)).await
}

/// `POST /hosts/{host}/delete`.
pub(crate) async fn delete(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.delete_host(host.id, ctx.by()).await?;
    Ok(ctx.go("/"))
}
