//! Set-up, sign-in and who one is, for the API.

use super::dto::{LoginIn, MeOut, SetupIn};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use crate::sign_in;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use fleet::record::{Role, Scopes};

/// `POST /api/setup`.
pub(crate) async fn set_up(ctx: Ctx, Input(body): Input<SetupIn>) -> Result<impl IntoResponse, Problem> {
    let opened = sign_in::set_up(&ctx, &body.code, &body.name, body.password).await?;
    Ok((StatusCode::CREATED, cookies(&opened), Json(me_of(&opened))))
}

/// `POST /api/login`.
pub(crate) async fn sign_in(ctx: Ctx, Input(body): Input<LoginIn>) -> Result<impl IntoResponse, Problem> {
    let opened = sign_in::sign_in(&ctx, &body.name, body.password).await?;
    Ok((cookies(&opened), Json(me_of(&opened))))
}

fn cookies(opened: &sign_in::OpenedSession) -> AppendHeaders<[(header::HeaderName, header::HeaderValue); 2]> {
    AppendHeaders(opened.set_cookies().map(|cookie| (header::SET_COOKIE, cookie)))
}

fn me_of(opened: &sign_in::OpenedSession) -> MeOut {
    MeOut {
        name: opened.operator.name.clone(),
        role: Some(opened.operator.role.as_str()),
        scopes: Scopes::of_role(opened.operator.role).words().collect(),
        csrf: Some(opened.session.csrf.clone()),
    }
}

/// `POST /api/logout`.
pub(crate) async fn sign_out(ctx: Ctx) -> impl IntoResponse {
    sign_in::sign_out(&ctx).await;
    (StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, sign_in::end_cookie(&ctx.app))]))
}

/// `GET /api/me`.
pub(crate) async fn me(ctx: Ctx) -> Result<Json<MeOut>, Problem> {
    let caller = ctx.caller.ok_or_else(Problem::unauthorised)?;
    Ok(Json(MeOut {
        name: caller.actor.name().to_owned(),
        role: caller.role.map(Role::as_str),
        scopes: caller.scopes.words().collect(),
        csrf: caller.session.map(|session| session.csrf),
    }))
}
