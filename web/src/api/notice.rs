//! Channels by which incidents are told, and the routes that lead there.

use super::dto::{ChannelIn, ChannelOut, ChannelTestOut, ReportPlanIn, RouteIn, RouteOut};
use super::list::List;
use crate::app::Ctx;
use crate::form::Input;
use crate::notice_request::{checked, send_report, try_channel};
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use fleet::{FleetState, Refused};

/// `GET /api/channels`.
pub(crate) async fn channels(ctx: Ctx) -> Result<Json<List<ChannelOut>>, Problem> {
    ctx.read(|_, state| Ok(List::whole(state.channels()?.into_iter().map(ChannelOut::from).collect()))).await
}

fn channel_of(state: &FleetState, name: &str) -> Result<Json<ChannelOut>, Problem> {
    let found = state.channels()?.into_iter().find(|channel| channel.name == name);
    Ok(Json(found.ok_or(Refused::ChannelNotFound)?.into()))
}

/// `GET /api/channels/{name}`.
pub(crate) async fn channel(ctx: Ctx, Path(name): Path<String>) -> Result<Json<ChannelOut>, Problem> {
    ctx.read(move |_, state| channel_of(state, &name)).await
}

/// `POST /api/channels`.
pub(crate) async fn add_channel(
    ctx: Ctx,
    Input(body): Input<ChannelIn>,
) -> Result<(StatusCode, Json<ChannelOut>), Problem> {
    let (name, flags) = (body.name.clone(), body.flags());
    let input = checked(&ctx, body.input()?)?;
    ctx.app.fleet.add_channel(name.clone(), flags, input, ctx.by()).await?;
    let answer = ctx.answer(move |_, state| channel_of(state, &name)).await?;
    Ok((StatusCode::CREATED, answer))
}

/// `PUT /api/channels/{name}`.
pub(crate) async fn change_channel(
    ctx: Ctx,
    Path(name): Path<String>,
    Input(body): Input<ChannelIn>,
) -> Result<Json<ChannelOut>, Problem> {
    same_name(&body.name, &name)?;
    let flags = body.flags();
    let input = checked(&ctx, body.input()?)?;
    ctx.app.fleet.change_channel(name.clone(), flags, input, ctx.by()).await?;
    ctx.answer(move |_, state| channel_of(state, &name)).await
}

/// `DELETE /api/channels/{name}`.
pub(crate) async fn delete_channel(ctx: Ctx, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.delete_channel(name, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/channels/{name}/test`.
pub(crate) async fn test(ctx: Ctx, Path(name): Path<String>) -> Result<Json<ChannelTestOut>, Problem> {
    Ok(Json(try_channel(&ctx, &name).await?.into()))
}

/// `PUT /api/channels/{name}/report`.
pub(crate) async fn set_report(
    ctx: Ctx,
    Path(name): Path<String>,
    Input(body): Input<ReportPlanIn>,
) -> Result<Json<ChannelOut>, Problem> {
    ctx.app.fleet.set_report(name.clone(), body.input()?, ctx.by()).await?;
    ctx.answer(move |_, state| channel_of(state, &name)).await
}

/// `POST /api/channels/{name}/report/send`.
pub(crate) async fn send_now(ctx: Ctx, Path(name): Path<String>) -> Result<Json<ChannelTestOut>, Problem> {
    Ok(Json(send_report(&ctx, &name).await?.into()))
}

/// `GET /api/routes`.
pub(crate) async fn routes(ctx: Ctx) -> Result<Json<List<RouteOut>>, Problem> {
    ctx.read(|_, state| Ok(List::whole(state.routes()?.into_iter().map(RouteOut::from).collect()))).await
}

fn route_of(state: &FleetState, name: &str) -> Result<Json<RouteOut>, Problem> {
    let found = state.routes()?.into_iter().find(|seen| seen.route.name == name);
    Ok(Json(found.ok_or(Refused::RouteNotFound)?.into()))
}

/// `GET /api/routes/{name}`.
pub(crate) async fn route(ctx: Ctx, Path(name): Path<String>) -> Result<Json<RouteOut>, Problem> {
    ctx.read(move |_, state| route_of(state, &name)).await
}

/// `POST /api/routes`.
pub(crate) async fn add_route(
    ctx: Ctx,
    Input(body): Input<RouteIn>,
) -> Result<(StatusCode, Json<RouteOut>), Problem> {
    let input = body.input(None)?;
    let name = input.name.clone();
    ctx.app.fleet.add_route(input, ctx.by()).await?;
    let answer = ctx.answer(move |_, state| route_of(state, &name)).await?;
    Ok((StatusCode::CREATED, answer))
}

/// `PUT /api/routes/{name}`.
pub(crate) async fn change_route(
    ctx: Ctx,
    Path(name): Path<String>,
    Input(body): Input<RouteIn>,
) -> Result<Json<RouteOut>, Problem> {
    same_name(body.name(), &name)?;
    ctx.app.fleet.change_route(body.input(Some(name.clone()))?, ctx.by()).await?;
    ctx.answer(move |_, state| route_of(state, &name)).await
}

/// `DELETE /api/routes/{name}`.
pub(crate) async fn delete_route(ctx: Ctx, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.delete_route(name, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn same_name(given: &str, name: &str) -> Result<(), Problem> {
    if given.is_empty() || given == name {
        return Ok(());
    }
    Err(Problem::invalid("name", "A name stays as it is: leave it out here."))
}
