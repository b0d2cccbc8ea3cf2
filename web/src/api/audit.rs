//! The audit.

use super::dto::AuditOut;
use super::list::List;
use crate::app::Ctx;
use crate::problem::Problem;
use crate::query::Query;
use axum::Json;
use fleet::AuditFilter;

/// The filter in a query.
pub(crate) fn filter(query: &Query) -> AuditFilter {
    let text = |name| query.get(name).map(str::to_owned);
    AuditFilter { actor: text("actor"), action: text("action"), target: text("target") }
}

/// `GET /api/audit`.
pub(crate) async fn list(ctx: Ctx, query: Query) -> Result<Json<List<AuditOut>>, Problem> {
    let (filter, page) = (filter(&query), query.page_of::<u64>()?);
    ctx.read(move |_, state| Ok(List::part(state.audit(&filter, &page)?, AuditOut::from))).await
}
