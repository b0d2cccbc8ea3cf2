//! The repository of a host and its snapshots.

use super::dto::{RepoOut, SnapshotOut, SnapshotsOut};
use crate::app::Ctx;
use crate::format::rfc3339;
use crate::headers::is_same_site;
use crate::problem::Problem;
use crate::query::Query;
use crate::reading::Reading;
use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use fleet::maintenance::check_status;
use fleet::record::{Host, Scope, SnapshotRow};
use fleet::{FleetState, JobRequest, Page, SnapshotCursor};
use schema::HostId;

/// `GET …/repo`.
pub(crate) async fn one(ctx: Ctx, Path(host): Path<String>) -> Result<Json<RepoOut>, Problem> {
    ctx.read(move |ctx, fleet_state| {
        let host = ctx.host(fleet_state, &host)?;
        let state = fleet_state.repo(host.id)?;
        let status =
            check_status(state.check.as_ref(), &fleet_state.maintenance(host.id)?, fleet_state.now());
        let sharers = fleet_state.sharers(host.id)?;
        let history = fleet_state.repo_history(host.id)?;
        Ok(Json(RepoOut::new(&state, &history, status, (&sharers, ctx.may(Scope::Write)))))
    })
    .await
}

/// `PUT …/shared-with/{other}`: they use one repository.
pub(crate) async fn confirm_sharing(
    ctx: Ctx,
    Path((host, other)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (host, other) = both(&ctx, host, other).await?;
    ctx.app.fleet.confirm_sharing(host, other, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE …/shared-with/{other}`: takes that back.
pub(crate) async fn undo_sharing(
    ctx: Ctx,
    Path((host, other)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (host, other) = both(&ctx, host, other).await?;
    ctx.app.fleet.undo_sharing(host, other, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Two hosts of an address.
pub(crate) async fn both(ctx: &Ctx, host: String, other: String) -> Result<(HostId, HostId), Problem> {
    ctx.read(move |ctx, state| Ok((ctx.host(state, &host)?.id, ctx.host(state, &other)?.id))).await
}

/// `GET …/snapshots`; with `refresh=true` it also asks the agent, which takes the scope `run`.
pub(crate) async fn snapshots(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<SnapshotsOut>, Problem> {
    let host = ctx.find_host(&host).await?;
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
    let list = move |_: &Reading, state: &FleetState| {
        Ok(Json(listed(state, &host, query.get("group"), &page, refresh_job)?))
    };
    ctx.answer(list).await
}

fn listed(
    state: &FleetState,
    host: &Host,
    group: Option<&str>,
    page: &Page,
    refresh_job: Option<String>,
) -> Result<SnapshotsOut, Problem> {
    let listed = state.listed(host.id)?;
    let owners = state.owners(host)?;
    let wanted = |row: &SnapshotRow| group.is_none_or(|group| owners.is_of(row, group));
    let part = state.snapshots_part(host.id, wanted, page)?;
    let lacking = state.lacking(host.id)?;
    Ok(SnapshotsOut {
        items: part.items.into_iter().map(|row| SnapshotOut::new(row, &owners, &lacking)).collect(),
        next: part.next,
        listed_at: listed.map(|listed| rfc3339(listed.at)),
        refresh_job,
        total: listed.map_or(0, |listed| listed.kept),
        left_out: listed.map_or(0, |listed| listed.left_out),
    })
}
