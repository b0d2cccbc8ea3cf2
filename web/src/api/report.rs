//! The evidence report as JSON.

use super::dto::ReportOut;
use crate::app::Ctx;
use crate::problem::Problem;
use crate::report::Report;
use axum::Json;

/// `GET /api/report`.
pub(crate) async fn report(ctx: Ctx) -> Result<Json<ReportOut>, Problem> {
    ctx.read(|_, state| Ok(Json(ReportOut::from(&Report::read(state)?)))).await
}
