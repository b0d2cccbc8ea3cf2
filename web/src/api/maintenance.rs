//! What the server does by itself to a repository: settings, and what is decided now.

use super::dto::{MaintenanceIn, MaintenanceOut};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use fleet::{FleetState, Refused};
use schema::HostId;

/// `GET …/maintenance`.
pub(crate) async fn one(ctx: Ctx, Path(host): Path<String>) -> Result<Json<MaintenanceOut>, Problem> {
    ctx.read(move |ctx, state| decided(state, ctx.host(state, &host)?.id)).await
}

fn decided(state: &FleetState, host: HostId) -> Result<Json<MaintenanceOut>, Problem> {
    let (settings, decisions) = state.decisions(host)?.ok_or(Refused::HostNotFound)?;
    Ok(Json(MaintenanceOut::new(state.now(), &settings, &decisions)))
}

/// `PUT …/maintenance`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<MaintenanceIn>,
) -> Result<Json<MaintenanceOut>, Problem> {
    let found = ctx.find_host(&host).await?;
    ctx.app.fleet.put_maintenance(found.id, body.into(), ctx.by()).await?;
    ctx.answer(move |_, state| decided(state, found.id)).await
}
