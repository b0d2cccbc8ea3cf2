//! Archives of the server.

use super::dto::{ArchiveDownloadIn, ArchiveKeyIn, ArchiveOut, ArchivesOut};
use crate::app::Ctx;
use crate::archive_request;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::ArchiveKey;

/// `GET /api/archives`.
pub(crate) async fn show(ctx: Ctx) -> Result<Json<ArchivesOut>, Problem> {
    let status = ctx.read(|ctx, _| {
        let archives = &ctx.app.settings.archives;
        archives.look();
        Ok(archives.status()?)
    });
    Ok(Json(status.await?.into()))
}

/// `POST /api/archives`.
pub(crate) async fn make(ctx: Ctx) -> Result<(StatusCode, Json<ArchiveOut>), Problem> {
    Ok((StatusCode::CREATED, Json(archive_request::make(&ctx).await?.into())))
}

/// `PUT /api/archives/key`.
pub(crate) async fn set_key(
    ctx: Ctx,
    Input(body): Input<ArchiveKeyIn>,
) -> Result<Json<ArchivesOut>, Problem> {
    let key = match (body.passphrase, body.recipients) {
        (Some(passphrase), None) => ArchiveKey::Passphrase(passphrase),
        (None, Some(recipients)) => ArchiveKey::Recipients(recipients),
        _ => return Err(Problem::invalid("passphrase", "Give either a passphrase or recipients.")),
    };
    archive_request::set_key(&ctx, key, body.password).await?;
    show(ctx).await
}

/// `POST /api/archives/{archive}/download`.
pub(crate) async fn download(
    ctx: Ctx,
    Path(name): Path<String>,
    Input(body): Input<ArchiveDownloadIn>,
) -> Result<Response<Body>, Problem> {
    archive_request::download(&ctx, name, body.password).await
}
