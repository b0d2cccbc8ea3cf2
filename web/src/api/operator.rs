//! Operators, API tokens and MQTT view accounts.

use super::dto::*;
use super::list::List;
use crate::account;
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;

/// `GET /api/operators`.
pub(crate) async fn list(ctx: Ctx) -> Result<Json<List<OperatorOut>>, Problem> {
    let all = ctx.read(|_, state| Ok(state.operators()?)).await?;
    Ok(List::whole(all.into_iter().map(OperatorOut::from).collect()))
}

/// `GET /api/operators/{name}`.
pub(crate) async fn one(ctx: Ctx, Path(name): Path<String>) -> Result<Json<OperatorOut>, Problem> {
    Ok(Json(account::find_operator(&ctx, &name).await?.into()))
}

/// `POST /api/operators`.
pub(crate) async fn create(ctx: Ctx, Input(body): Input<OperatorIn>) -> Result<impl IntoResponse, Problem> {
    let role = account::role(&body.role)?;
    let operator = account::create_operator(&ctx, &body.name, role, body.password).await?;
    Ok((StatusCode::CREATED, Json(OperatorOut::from(operator))))
}

/// `PATCH /api/operators/{name}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(name): Path<String>,
    Input(body): Input<OperatorPatch>,
) -> Result<Json<OperatorOut>, Problem> {
    let role = body.role.as_deref().map(account::role).transpose()?;
    Ok(Json(account::update_operator(&ctx, &name, role, body.password).await?.into()))
}

/// `DELETE /api/operators/{name}`.
pub(crate) async fn delete(ctx: Ctx, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.delete_operator(&name, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/tokens`.
pub(crate) async fn tokens(ctx: Ctx) -> Result<Json<List<TokenOut>>, Problem> {
    let all = ctx.read(|_, state| Ok(state.api_tokens()?)).await?;
    Ok(List::whole(all.into_iter().map(TokenOut::from).collect()))
}

/// `POST /api/tokens`.
pub(crate) async fn create_token(
    ctx: Ctx,
    Input(body): Input<TokenIn>,
) -> Result<impl IntoResponse, Problem> {
    let scopes = account::scopes(&body.scopes)?;
    let (token, secret) = ctx.app.fleet.create_api_token(&body.name, scopes, ctx.by()).await?;
    let created = TokenCreated {
        id: token.id,
        name: token.name,
        scopes: token.scopes.words().collect(),
        token: secret.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// `DELETE /api/tokens/{id}`.
pub(crate) async fn delete_token(ctx: Ctx, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.delete_api_token(&id, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/viewers`.
pub(crate) async fn viewers(ctx: Ctx) -> Result<Json<List<ViewerOut>>, Problem> {
    let all = ctx.read(|_, state| Ok(state.viewers()?)).await?;
    Ok(List::whole(all.into_iter().map(ViewerOut::from).collect()))
}

/// `GET /api/held-up`.
pub(crate) async fn held_up(ctx: Ctx) -> Result<Json<List<HeldUpOut>>, Problem> {
    let (held, _) = ctx.read(|ctx, state| crate::lockout::held_up(ctx, state)).await?;
    Ok(List::whole(held.into_iter().map(HeldUpOut::from).collect()))
}

/// `POST /api/viewers`.
pub(crate) async fn create_viewer(
    ctx: Ctx,
    Input(body): Input<ViewerIn>,
) -> Result<impl IntoResponse, Problem> {
    let (viewer, secret) = ctx.app.fleet.create_viewer(&body.name, body.debug, ctx.by()).await?;
    let commands = account::view_commands(&ctx.app, &viewer.name, secret.expose());
    let command = commands.into_iter().next().map(|(_, command)| command).unwrap_or_default();
    let created = ViewerCreated { name: viewer.name, password: secret.expose().to_owned(), command };
    Ok((StatusCode::CREATED, Json(created)))
}

/// `DELETE /api/viewers/{name}`.
pub(crate) async fn delete_viewer(ctx: Ctx, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.delete_viewer(&name, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
