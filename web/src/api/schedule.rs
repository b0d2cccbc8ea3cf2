//! Schedules.

use super::dto::{ScheduleIn, ScheduleOut};
use super::list::List;
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use fleet::{FleetState, Refused};
use schema::HostId;

fn find(state: &FleetState, host: HostId, name: &str) -> Result<ScheduleOut, Problem> {
    Ok(state.schedule(host, name)?.ok_or(Refused::ScheduleNotFound)?.into())
}

/// `GET …/schedules`.
pub(crate) async fn list(ctx: Ctx, Path(host): Path<String>) -> Result<Json<List<ScheduleOut>>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        Ok(List::whole(state.schedules(host.id)?.into_iter().map(ScheduleOut::from).collect()))
    })
    .await
}

/// `GET …/schedules/{schedule}`.
pub(crate) async fn one(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
) -> Result<Json<ScheduleOut>, Problem> {
    ctx.read(move |ctx, state| Ok(Json(find(state, ctx.host(state, &host)?.id, &schedule)?))).await
}

/// `POST …/schedules`.
pub(crate) async fn create(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<ScheduleIn>,
) -> Result<impl IntoResponse, Problem> {
    let host = ctx.find_host(&host).await?;
    let saved = ctx.app.fleet.put_schedule(host.id, None, body.into(), ctx.by()).await?;
    let out = ctx.answer(move |_, state| find(state, host.id, &saved.name)).await?;
    Ok((StatusCode::CREATED, Json(out)))
}

/// `PUT …/schedules/{schedule}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
    Input(mut body): Input<ScheduleIn>,
) -> Result<impl IntoResponse, Problem> {
    let address = (host, schedule.clone());
    let found = ctx.read(move |ctx, state| {
        let host = ctx.host(state, &address.0)?;
        let old = state.schedule(host.id, &address.1)?.map(|old| old.schedule.name);
        Ok((host, old))
    });
    let (host, old) = found.await?;
    if body.name.is_empty() {
        body.name.clone_from(&schedule);
    } else if old.is_none() && body.name != schedule {
        return Err(Problem::invalid("name", "The name in the body is not the one in the address."));
    }
    let saved = ctx.app.fleet.put_schedule(host.id, old.as_deref(), body.into(), ctx.by()).await?;
    let status = if old.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let out = ctx.answer(move |_, state| find(state, host.id, &saved.name)).await?;
    Ok((status, Json(out)))
}

/// `DELETE …/schedules/{schedule}`.
pub(crate) async fn delete(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.delete_schedule(host.id, &schedule, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
