//! What became of the hosts since the server was restored, and of the server before it.

use super::dto::RestorationOut;
use crate::app::Ctx;
use crate::problem::Problem;
use axum::Json;
use axum::http::StatusCode;

/// `GET /api/restoration`.
pub(crate) async fn show(ctx: Ctx) -> Result<Json<RestorationOut>, Problem> {
    ctx.read(|ctx, state| {
        let former = ctx.app.fleet.former_server()?;
        Ok(Json(RestorationOut::new(state.reunion()?, former, state.superseded())))
    })
    .await
}

/// `POST /api/restoration/dismiss`.
pub(crate) async fn dismiss(ctx: Ctx) -> Result<StatusCode, Problem> {
    ctx.app.fleet.dismiss_restoration(ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
