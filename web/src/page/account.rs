//! The own account: password and theme.

use super::problem_view::ProblemView;
use crate::account::find_operator;
use crate::app::Ctx;
use crate::form::Form;
use crate::limiter::{Admittance, Who};
use crate::password::Asker;
use crate::problem::Problem;
use crate::sign_in::{too_many, what_is_left};
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
    let operator = find_operator(ctx, &name).await?;
    // Somebody at an unlocked screen must not try passwords either; others, with sessions of their own, go on.
    let caller = ctx.caller.as_ref().and_then(|caller| caller.session.as_ref());
    let session = caller.ok_or_else(Problem::unauthorised)?.cookie.clone();
    let now = ctx.now();
    let begun = match ctx.app.limiter().begin(now, Who::Session(session.expose())) {
        Admittance::Go(begun) => begun,
        Admittance::Wait { until } => {
            return Err(Problem { field: Some("old".to_owned()), ..too_many(now, until) });
        }
    };
    let old = Secret::new(form.raw("old"));
    match ctx.app.passwords.verify(Asker::Known, old, Some(operator.password_hash)).await {
        Ok(true) => ctx.app.limiter().succeeded(now, begun),
        Ok(false) => {
            let left = what_is_left(ctx.app.limiter().failed(ctx.now(), &begun));
            ctx.app.keep_tries().await;
            return Err(Problem::invalid("old", format!("This is not your password. {left}")));
        }
        Err(error) => {
            ctx.app.limiter().undo(begun);
            return Err(error.into());
        }
    }
    ctx.app.keep_tries().await;
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
