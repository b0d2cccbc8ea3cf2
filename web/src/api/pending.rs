//! Due backups that wait. "Run now" has two faces and one handler.

use super::dto::PendingOut;
use super::list::List;
use crate::app::Ctx;
use crate::problem::Problem;
use crate::query::Query;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::Refused;
use schema::PendingId;

/// The run of an id in an address.
pub(crate) fn id_of(text: &str) -> Result<PendingId, Problem> {
    Ok(text.parse().map_err(|_| Refused::PendingNotFound)?)
}

/// `GET /api/pending`.
pub(crate) async fn list(ctx: Ctx, query: Query) -> Result<Json<List<PendingOut>>, Problem> {
    let page = query.page_of::<PendingId>()?;
    ctx.read(move |_, state| {
        Ok(List::part(state.pending(&page)?, |run| PendingOut::new(run, state.is_known())))
    })
    .await
}

/// `POST …/pending/{run}/run`.
pub(crate) async fn run(ctx: Ctx, Path(run): Path<String>) -> Result<Response<Body>, Problem> {
    let job = ctx.app.fleet.run_pending(id_of(&run)?, ctx.by()).await?;
    Ok(crate::run::accepted(&ctx, &job))
}

/// `DELETE /api/pending/{run}`.
pub(crate) async fn delete(ctx: Ctx, Path(run): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.drop_pending(id_of(&run)?, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
