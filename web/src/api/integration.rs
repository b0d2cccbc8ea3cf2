//! What other people's tools may find.

use super::dto::{HomeAssistantIn, HomeAssistantOut};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;

/// `GET /api/home-assistant`.
pub(crate) async fn home_assistant(ctx: Ctx) -> Result<Json<HomeAssistantOut>, Problem> {
    ctx.read(|_, state| Ok(Json(HomeAssistantOut { enabled: state.home_assistant()? }))).await
}

/// `PUT /api/home-assistant`.
pub(crate) async fn switch_home_assistant(
    ctx: Ctx,
    Input(body): Input<HomeAssistantIn>,
) -> Result<Json<HomeAssistantOut>, Problem> {
    ctx.app.fleet.switch_home_assistant(body.enabled, ctx.by()).await?;
    Ok(Json(HomeAssistantOut { enabled: body.enabled }))
}
