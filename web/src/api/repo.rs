//! The repository of a host and its snapshots.

use super::Query;
use super::dto::{RepoOut, SnapshotOut, SnapshotsOut};
use crate::app::Ctx;
use crate::format::rfc3339;
use crate::guard::is_same_site;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::HeaderMap;
use fleet::maintenance::check_status;
use fleet::record::Scope;
use fleet::{JobRequest, SnapshotCursor};

/// `GET …/repo`.
pub(crate) async fn one(ctx: Ctx, Path(host): Path<String>) -> Result<Json<RepoOut>, Problem> {
    let snapshot = ctx.read()?;
    let host = ctx.host(&snapshot, &host)?;
    let state = snapshot.repo(host.id)?;
    let status = check_status(state.check.as_ref(), &snapshot.maintenance(host.id)?, snapshot.now());
    Ok(Json(RepoOut::new(&state, &snapshot.repo_history(host.id)?, status)))
}

/// `GET …/snapshots`; with `refresh=true` it also asks the agent, which takes the scope `run`.
pub(crate) async fn snapshots(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<SnapshotsOut>, Problem> {
    let host = ctx.host(&ctx.read()?, &host)?;
    let page = query.page_of::<SnapshotCursor>()?;
    let mut refresh_job = None;
    if query.get("refresh") == Some("true") {
        if !ctx.may(Scope::Run) {
            return Err(Problem::forbidden(
                "To ask the agent needs the role operator, or a token with the scope run.",
            ));
        }
        // A link on another site must not make hosts work.
        if !is_same_site(&headers) {
            return Err(Problem::csrf());
        }
        let job = ctx.app.fleet.dispatch(host.id, JobRequest::Snapshots, ctx.by()).await?;
        refresh_job = Some(job.id.to_string());
    }
    let snapshot = ctx.read()?;
    let listed = snapshot.listed(host.id)?;
    let part = snapshot.snapshots_part(host.id, query.get("group"), &page)?;
    Ok(Json(SnapshotsOut {
        items: part.items.into_iter().map(SnapshotOut::from).collect(),
        next: part.next,
        listed_at: listed.map(|listed| rfc3339(listed.at)),
        refresh_job,
        total: listed.map_or(0, |listed| listed.kept),
        left_out: listed.map_or(0, |listed| listed.left_out),
    }))
}
