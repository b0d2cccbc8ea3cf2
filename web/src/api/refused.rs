//! Whom the broker did not let in.

use super::dto::RefusedConnectionOut;
use super::list::List;
use crate::app::Ctx;
use axum::Json;

/// `GET /api/refused-connections`.
pub(crate) async fn list(ctx: Ctx) -> Json<List<RefusedConnectionOut>> {
    let (found, now) = ((ctx.app.settings.refused_connections)(), ctx.now());
    List::whole(found.rows.into_iter().map(|refused| RefusedConnectionOut::new(now, refused)).collect())
}
