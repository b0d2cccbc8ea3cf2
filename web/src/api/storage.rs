//! The data file.

use super::dto::StorageOut;
use crate::app::Ctx;
use axum::Json;

/// `GET /api/storage`.
pub(crate) async fn show(ctx: Ctx) -> Json<StorageOut> {
    let fleet = &ctx.app.fleet;
    Json(StorageOut::new(fleet.last_scrub(), fleet.damage().as_deref()))
}
