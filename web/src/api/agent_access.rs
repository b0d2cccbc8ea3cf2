//! How agents reach this server.

use super::dto::{AgentAccessOut, RetireIn, RotateIn};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;

/// `GET /api/agent-access`.
pub(crate) async fn show(ctx: Ctx) -> Result<Json<AgentAccessOut>, Problem> {
    let (addresses, authorities) =
        ctx.read(|_, state| Ok((state.addresses()?, state.authorities()?))).await?;
    Ok(Json(AgentAccessOut::new(addresses, authorities)))
}

/// `POST /api/agent-access/retire`.
pub(crate) async fn retire(ctx: Ctx, Input(body): Input<RetireIn>) -> Result<Json<AgentAccessOut>, Problem> {
    ctx.app.fleet.retire_address(body.address, body.force, ctx.by()).await?;
    show(ctx).await
}

/// `POST /api/agent-access/rotate`.
pub(crate) async fn rotate(ctx: Ctx, Input(body): Input<RotateIn>) -> Result<Json<AgentAccessOut>, Problem> {
    (ctx.app.settings.rotate)(body.force, ctx.by()).await?;
    show(ctx).await
}
