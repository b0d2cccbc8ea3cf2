//! The standbys of this server, what they fetch, and being told that one has taken its place.

use super::dto::{StandbyCreated, StandbyIn, StandbyOut, SuccessionIn, SuccessionOut};
use super::list::List;
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use crate::standby_request;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, Response, StatusCode};
use data_encoding::BASE64;
use fleet::Heard;

/// `GET /api/standbys`.
pub(crate) async fn list(ctx: Ctx) -> Result<Json<List<StandbyOut>>, Problem> {
    let all = ctx.read(|ctx, _| Ok(ctx.app.fleet.standbys()?)).await?;
    Ok(List::whole(all.into_iter().map(StandbyOut::from).collect()))
}

/// `POST /api/standbys`.
pub(crate) async fn add(
    ctx: Ctx,
    Input(body): Input<StandbyIn>,
) -> Result<(StatusCode, Json<StandbyCreated>), Problem> {
    let token = standby_request::add(&ctx, body.name.clone(), body.recipient, body.password).await?;
    Ok((StatusCode::CREATED, Json(StandbyCreated { name: body.name, token: token.expose().to_owned() })))
}

/// `DELETE /api/standbys/{name}`.
pub(crate) async fn remove(ctx: Ctx, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.remove_standby(name, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/standby/archive`.
pub(crate) async fn archive(ctx: Ctx, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    standby_request::fetch(ctx, headers).await
}

/// `POST /api/standby/succession`.
pub(crate) async fn succession(
    ctx: Ctx,
    Input(body): Input<SuccessionIn>,
) -> Result<Json<SuccessionOut>, Problem> {
    let sealed = BASE64.decode(body.statement.as_bytes()).unwrap_or_default();
    match ctx.app.fleet.hear_of_successor(&sealed, ctx.by()).await? {
        Heard::StandsStill => Ok(Json(SuccessionOut { stands_still: true })),
        Heard::GoesOn(_) => Ok(Json(SuccessionOut { stands_still: false })),
        Heard::NotBelieved => Err(Problem::forbidden(
            "This is not sealed with the master key of this server: it changes nothing.",
        )),
    }
}
