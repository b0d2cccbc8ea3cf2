//! Folders as they were listed last.

use super::dto::FolderOut;
use crate::app::Ctx;
use crate::problem::Problem;
use crate::query::Query;
use axum::Json;
use axum::extract::Path;
use fleet::FleetState;
use fleet::record::{EntryCursor, FolderPlace};

/// `GET …/folders`.
pub(crate) async fn of_host(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Json<FolderOut>, Problem> {
    ctx.read(move |ctx, state| read(ctx, state, &host, FolderPlace::Host, &query)).await
}

/// `GET …/snapshots/{snapshot}/files`.
pub(crate) async fn of_snapshot(
    ctx: Ctx,
    Path((host, id)): Path<(String, String)>,
    query: Query,
) -> Result<Json<FolderOut>, Problem> {
    fleet::check_snapshot(&id)?;
    ctx.read(move |ctx, state| read(ctx, state, &host, FolderPlace::Snapshot(&id), &query)).await
}

fn read(
    ctx: &Ctx,
    state: &FleetState,
    host: &str,
    place: FolderPlace<'_>,
    query: &Query,
) -> Result<Json<FolderOut>, Problem> {
    let path = fleet::clean_path(query.get("path").unwrap_or("/"))?;
    let page = query.page_of::<EntryCursor>()?;
    let host = ctx.host(state, host)?;
    let folder = state.folder(host.id, place, &path)?;
    let failed = state.folder_failure(host.id, place, &path)?;
    Ok(Json(FolderOut::new(path, folder.as_ref(), failed.as_ref(), &page)))
}
