//! How agents reach this server.

use super::dto::{AgentAccessOut, RetireIn};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;

/// `GET /api/agent-access`.
pub(crate) async fn show(ctx: Ctx) -> Result<Json<AgentAccessOut>, Problem> {
    let addresses = ctx.read(|_, state| Ok(state.addresses()?)).await?;
    Ok(Json(AgentAccessOut::new(addresses)))
}

/// `POST /api/agent-access/retire`.
pub(crate) async fn retire(ctx: Ctx, Input(body): Input<RetireIn>) -> Result<Json<AgentAccessOut>, Problem> {
    ctx.app.fleet.retire_address(body.address, body.force, ctx.by()).await?;
    show(ctx).await
}
