//! How long hosts with a label may have some causes before that is an incident.

use super::dto::{GraceIn, GraceOut};
use super::list::List;
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use fleet::Refused;

/// `GET /api/graces`.
pub(crate) async fn list(ctx: Ctx) -> Result<Json<List<GraceOut>>, Problem> {
    ctx.read(|_, state| Ok(List::whole(state.graces()?.into_iter().map(GraceOut::from).collect()))).await
}

/// `PUT /api/graces/{label}`.
pub(crate) async fn set(
    ctx: Ctx,
    Path(label): Path<String>,
    Input(body): Input<GraceIn>,
) -> Result<Json<GraceOut>, Problem> {
    ctx.app.fleet.set_grace(body.input(label.clone()), ctx.by()).await?;
    ctx.answer(move |_, state| {
        let found = state.graces()?.into_iter().find(|grace| grace.label == label);
        Ok(Json(found.ok_or(Refused::GraceNotFound)?.into()))
    })
    .await
}

/// `DELETE /api/graces/{label}`.
pub(crate) async fn delete(ctx: Ctx, Path(label): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.delete_grace(label, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
