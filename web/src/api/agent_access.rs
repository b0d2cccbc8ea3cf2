//! How agents reach this server.

use super::dto::{AgentAccessOut, RetireIn, RotateIn};
use crate::agent_access_request::{self, Force};
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
    let force = Force { is_meant: body.force, password: body.password };
    agent_access_request::retire(&ctx, body.address, force).await?;
    show(ctx).await
}

/// `POST /api/agent-access/rotate`.
pub(crate) async fn rotate(ctx: Ctx, Input(body): Input<RotateIn>) -> Result<Json<AgentAccessOut>, Problem> {
    agent_access_request::rotate(&ctx, Force { is_meant: body.force, password: body.password }).await?;
    show(ctx).await
}
