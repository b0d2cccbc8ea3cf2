//! The evidence report as JSON.

use super::dto::ReportOut;
use crate::app::Ctx;
use crate::problem::Problem;
use crate::query::Query;
use crate::report::{Report, days};
use axum::Json;

/// `GET /api/report`.
pub(crate) async fn report(ctx: Ctx, query: Query) -> Result<Json<ReportOut>, Problem> {
    let days = days(&query)?;
    ctx.read(move |_, state| Ok(Json(ReportOut::from(&Report::read(state, days)?)))).await
}
