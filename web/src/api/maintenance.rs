//! What the server does by itself to a repository: settings, and what is decided now.

use super::dto::{MaintenanceIn, MaintenanceOut};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use fleet::Refused;

/// `GET …/maintenance`.
pub(crate) async fn one(ctx: Ctx, Path(host): Path<String>) -> Result<Json<MaintenanceOut>, Problem> {
    let snapshot = ctx.read()?;
    let host = ctx.host(&snapshot, &host)?;
    let (settings, decisions) = snapshot.decisions(host.id)?.ok_or(Refused::HostNotFound)?;
    Ok(Json(MaintenanceOut::new(snapshot.now(), &settings, &decisions)))
}

/// `PUT …/maintenance`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<MaintenanceIn>,
) -> Result<Json<MaintenanceOut>, Problem> {
    let found = ctx.host(&ctx.read()?, &host)?;
    ctx.app.fleet.put_maintenance(found.id, body.into(), ctx.by()).await?;
    one(ctx, Path(host)).await
}
