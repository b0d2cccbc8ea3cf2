//! The password of a repository in clear.

use super::dto::{RepoPasswordIn, RepoPasswordOut};
use crate::app::Ctx;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, header};
use axum::response::IntoResponse;

/// `POST /api/hosts/{host}/repo-password`.
pub(crate) async fn show(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<RepoPasswordIn>,
) -> Result<Response<Body>, Problem> {
    let shown = crate::repo_password::show(&ctx, &host, body.password).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(RepoPasswordOut::new(&shown))).into_response())
}
