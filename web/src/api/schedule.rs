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
use fleet::{Refused, Snapshot};
use schema::HostId;

fn find(snapshot: &Snapshot, host: HostId, name: &str) -> Result<ScheduleOut, Problem> {
    Ok(snapshot.schedule(host, name)?.ok_or(Refused::ScheduleNotFound)?.into())
}

/// `GET …/schedules`.
pub(crate) async fn list(ctx: Ctx, Path(host): Path<String>) -> Result<Json<List<ScheduleOut>>, Problem> {
    let snapshot = ctx.read()?;
    let host = ctx.host(&snapshot, &host)?;
    Ok(List::whole(snapshot.schedules(host.id)?.into_iter().map(ScheduleOut::from).collect()))
}

/// `GET …/schedules/{schedule}`.
pub(crate) async fn one(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
) -> Result<Json<ScheduleOut>, Problem> {
    let snapshot = ctx.read()?;
    let host = ctx.host(&snapshot, &host)?;
    Ok(Json(find(&snapshot, host.id, &schedule)?))
}

/// `POST …/schedules`.
pub(crate) async fn create(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<ScheduleIn>,
) -> Result<impl IntoResponse, Problem> {
    let host = ctx.host(&ctx.read()?, &host)?;
    let saved = ctx.app.fleet.put_schedule(host.id, None, body.into(), ctx.by()).await?;
    Ok((StatusCode::CREATED, Json(find(&ctx.read()?, host.id, &saved.name)?)))
}

/// `PUT …/schedules/{schedule}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
    Input(mut body): Input<ScheduleIn>,
) -> Result<impl IntoResponse, Problem> {
    let snapshot = ctx.read()?;
    let host = ctx.host(&snapshot, &host)?;
    let old = snapshot.schedule(host.id, &schedule)?.map(|old| old.schedule.name);
    drop(snapshot);
    if body.name.is_empty() {
        body.name.clone_from(&schedule);
    } else if old.is_none() && body.name != schedule {
        return Err(Problem::invalid("name", "The name in the body is not the one in the address."));
    }
    let saved = ctx.app.fleet.put_schedule(host.id, old.as_deref(), body.into(), ctx.by()).await?;
    let status = if old.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(find(&ctx.read()?, host.id, &saved.name)?)))
}

/// `DELETE …/schedules/{schedule}`.
pub(crate) async fn delete(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let host = ctx.host(&ctx.read()?, &host)?;
    ctx.app.fleet.delete_schedule(host.id, &schedule, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
