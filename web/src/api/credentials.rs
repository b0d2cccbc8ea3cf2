//! The two credential slots of a host. No secret ever comes out.

use super::dto::{CredentialsIn, CredentialsOut, HostKeyIn};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use schema::Slot;

async fn get(ctx: Ctx, host: &str, slot: Slot) -> Result<Json<CredentialsOut>, Problem> {
    let host = host.to_owned();
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        Ok(Json(state.credentials(host.id, slot)?.into()))
    })
    .await
}

async fn put(ctx: Ctx, host: &str, slot: Slot, body: CredentialsIn) -> Result<Json<CredentialsOut>, Problem> {
    let host = ctx.find_host(host).await?;
    let facts = ctx.app.fleet.put_credentials(host.id, slot, body.into(), ctx.by()).await?;
    Ok(Json(Some(facts).into()))
}

async fn delete(ctx: Ctx, host: &str, slot: Slot) -> Result<StatusCode, Problem> {
    let host = ctx.find_host(host).await?;
    ctx.app.fleet.delete_credentials(host.id, slot, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET …/repo-credentials`.
pub(crate) async fn get_repo(ctx: Ctx, Path(host): Path<String>) -> Result<Json<CredentialsOut>, Problem> {
    get(ctx, &host, Slot::Repo).await
}

/// `GET …/admin-credentials`.
pub(crate) async fn get_admin(ctx: Ctx, Path(host): Path<String>) -> Result<Json<CredentialsOut>, Problem> {
    get(ctx, &host, Slot::Admin).await
}

/// `PUT …/repo-credentials`.
pub(crate) async fn put_repo(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<CredentialsIn>,
) -> Result<Json<CredentialsOut>, Problem> {
    put(ctx, &host, Slot::Repo, body).await
}

/// `PUT …/admin-credentials`.
pub(crate) async fn put_admin(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<CredentialsIn>,
) -> Result<Json<CredentialsOut>, Problem> {
    put(ctx, &host, Slot::Admin, body).await
}

/// `PUT /api/jobs/{job}/host-key`.
pub(crate) async fn accept_host_key(
    ctx: Ctx,
    Path(job): Path<String>,
    Input(body): Input<HostKeyIn>,
) -> Result<Json<CredentialsOut>, Problem> {
    let job = job.parse().map_err(|_| Problem::from(fleet::Refused::JobNotFound))?;
    let facts = ctx.app.fleet.accept_host_key(job, &body.fingerprint, ctx.by()).await?;
    Ok(Json(Some(facts).into()))
}

/// `DELETE …/repo-credentials`.
pub(crate) async fn delete_repo(ctx: Ctx, Path(host): Path<String>) -> Result<StatusCode, Problem> {
    delete(ctx, &host, Slot::Repo).await
}

/// `DELETE …/admin-credentials`.
pub(crate) async fn delete_admin(ctx: Ctx, Path(host): Path<String>) -> Result<StatusCode, Problem> {
    delete(ctx, &host, Slot::Admin).await
}
