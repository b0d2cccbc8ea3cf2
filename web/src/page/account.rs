//! The own account: password and theme.

use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::confirm_password::confirm_password;
use crate::form::Form;
use crate::problem::Problem;
use crate::template::View;
use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use fleet::OperatorChange;
use fleet::record::{Role, Secret};
use serde::Serialize;

/// The account page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccountView {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) problem: Option<ProblemView>,
}

impl View for AccountView {
    const TEMPLATE: &'static str = "page/account.html";
    const NAV: &'static str = "";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for AccountView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self { name: s.text("mira"), role: "admin", problem: Some(ProblemView::sample(s, "old")) }]
    }
}

fn view(ctx: &Ctx, problem: Option<&Problem>) -> Result<AccountView, Problem> {
    let caller = ctx.caller.as_ref().ok_or_else(Problem::unauthorised)?;
    Ok(AccountView {
        name: caller.actor.name().to_owned(),
        role: caller.role.map_or("", Role::as_str),
        problem: problem.map(ProblemView::from),
    })
}

/// `GET /account`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.show(StatusCode::OK, view(&ctx, None)?).await
}

/// `POST /account/password`.
pub(crate) async fn change_password(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    match change(&ctx, &form).await {
        Ok(()) => Ok(ctx.go("/login")),
        Err(problem) if problem.field.is_some() => {
            ctx.show(StatusCode::UNPROCESSABLE_ENTITY, view(&ctx, Some(&problem))?).await
        }
        Err(problem) => Err(problem),
    }
}

async fn change(ctx: &Ctx, form: &Form) -> Result<(), Problem> {
    let name = ctx.by().actor.name().to_owned();
    confirm_password(ctx, "old", Secret::new(form.raw("old"))).await?;
    crate::account::update_operator(ctx, &name, None, Some(Secret::new(form.raw("password")))).await?;
    Ok(())
}

/// `POST /account/theme`.
pub(crate) async fn change_theme(
    ctx: Ctx,
    headers: HeaderMap,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let theme = form.text("theme");
    if !matches!(theme.as_str(), "system" | "light" | "dark") {
        return Err(Problem::invalid("theme", "The theme is system, light or dark."));
    }
    let by = ctx.by();
    let change = OperatorChange { theme: Some(theme), ..OperatorChange::default() };
    let name = by.actor.name().to_owned();
    ctx.app.fleet.update_operator(&name, change, by).await?;
    Ok(ctx.go(&came_from(&headers)))
}

/// The page that the form stood on; only its path is believed.
fn came_from(headers: &HeaderMap) -> String {
    let referer = headers.get("referer").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match referer.parse::<axum::http::Uri>().ok().and_then(|uri| uri.into_parts().path_and_query) {
        Some(target) if target.as_str().starts_with('/') && !target.as_str().starts_with("//") => {
            target.as_str().to_owned()
        }
        _ => "/".to_owned(),
    }
}
