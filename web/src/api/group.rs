//! Source groups.

use super::dto::{AcceptIn, GroupBody, SoundnessOut};
use super::list::List;
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;

/// `GET …/groups`.
pub(crate) async fn list(ctx: Ctx, Path(host): Path<String>) -> Result<Json<List<GroupBody>>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        Ok(List::whole(state.groups(host.id)?.into_iter().map(GroupBody::from).collect()))
    })
    .await
}

/// `GET …/groups/{group}`.
pub(crate) async fn one(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Json<GroupBody>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let group = state.group(host.id, &group)?.ok_or(fleet::Refused::GroupNotFound)?;
        Ok(Json(group.into()))
    })
    .await
}

/// `POST …/groups`.
pub(crate) async fn create(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<GroupBody>,
) -> Result<impl IntoResponse, Problem> {
    let host = ctx.find_host(&host).await?;
    let group = ctx.app.fleet.put_group(host.id, None, body.into(), ctx.by()).await?;
    Ok((StatusCode::CREATED, Json(GroupBody::from(group))))
}

/// `PUT …/groups/{group}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
    Input(mut body): Input<GroupBody>,
) -> Result<impl IntoResponse, Problem> {
    let address = (host, group.clone());
    let found = ctx.read(move |ctx, state| {
        let host = ctx.host(state, &address.0)?;
        let old = state.group(host.id, &address.1)?;
        Ok((host, old))
    });
    let (host, old) = found.await?;
    if let Some(old) = &old {
        body.keep_origins(old);
    }
    let old = old.map(|old| old.name);
    if body.name.is_empty() {
        body.name.clone_from(&group);
    } else if old.is_none() && body.name != group {
        return Err(Problem::invalid("name", "The name in the body is not the one in the address."));
    }
    let saved = ctx.app.fleet.put_group(host.id, old.as_deref(), body.into(), ctx.by()).await?;
    let status = if old.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(GroupBody::from(saved))))
}

/// `GET …/groups/{group}/soundness`.
pub(crate) async fn soundness(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Json<SoundnessOut>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let group = state.group(host.id, &group)?.ok_or(fleet::Refused::GroupNotFound)?;
        Ok(Json(state.soundness(host.id, &group.name)?.into()))
    })
    .await
}

/// `PUT …/groups/{group}/acceptance`.
pub(crate) async fn accept(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
    Input(body): Input<AcceptIn>,
) -> Result<Json<SoundnessOut>, Problem> {
    let host = ctx.find_host(&host).await?;
    let mark = body
        .mark
        .parse()
        .map_err(|_| Problem::invalid("mark", "This is no mark: give the one that GET …/soundness shows."))?;
    Ok(Json(ctx.app.fleet.accept_backup(host.id, &group, mark, ctx.by()).await?.into()))
}

/// `DELETE …/groups/{group}`.
pub(crate) async fn delete(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.delete_group(host.id, &group, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
