//! Archives of the server, as people and programs ask for them: the one core behind the page and the API.
//!
//! An archive holds all secrets, but nobody can open it who has not been given its key, so that making one asks for
//! nothing more than the scope `admin`. Sending one away, and saying who can open the next, asks a person for the own
//! password; a token with that scope has none to give.

use crate::app::Ctx;
use crate::confirm_password::confirm_password;
use crate::kit::passphrase_objection;
use crate::problem::Problem;
use crate::readers::WhenBusy;
use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use fleet::record::{AuditAction, Secret};
use fleet::{ArchiveKey, Kept, NoArchive};
use futures_util::stream::unfold;
use std::fs::File;
use std::io::Read as _;

/// So much of an archive is read at once, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The own password of a person; a token has none.
pub(crate) async fn confirm(ctx: &Ctx, password: Option<Secret>, of: &str) -> Result<(), Problem> {
    if ctx.caller.as_ref().is_none_or(|caller| caller.session.is_none()) {
        return Ok(());
    }
    let password = password.ok_or_else(|| Problem::invalid("password", "Your own password is needed."))?;
    let confirmed = confirm_password(ctx, "password", password).await;
    if confirmed.as_ref().is_err_and(|problem| problem.status == StatusCode::UNPROCESSABLE_ENTITY) {
        let detail = format!("wrong password, {of}");
        ctx.app.fleet.note_of_archive(AuditAction::ArchiveRefused, detail, ctx.by()).await;
    }
    confirmed
}

/// Makes one now, as each night; answers when it is there.
pub(crate) async fn make(ctx: &Ctx) -> Result<Kept, Problem> {
    Ok(ctx.app.settings.archives.make(ctx.by()).await?)
}

/// Says for whom archives are encrypted from now on.
pub(crate) async fn set_key(ctx: &Ctx, key: ArchiveKey, password: Option<Secret>) -> Result<(), Problem> {
    if let ArchiveKey::Passphrase(passphrase) = &key
        && let Some(objection) = passphrase_objection(passphrase.expose())
    {
        return Err(Problem::invalid("passphrase", objection));
    }
    confirm(ctx, password, "key of archives").await?;
    Ok(ctx.app.settings.archives.set_key(key, ctx.by()).await?)
}

/// Sends one of them.
pub(crate) async fn download(
    ctx: &Ctx,
    name: String,
    password: Option<Secret>,
) -> Result<Response<Body>, Problem> {
    confirm(ctx, password, &name).await?;
    let asked = name.clone();
    let opened = ctx.apart(WhenBusy::Wait, move |ctx| Ok(ctx.app.settings.archives.open(&asked)?)).await?;
    let Some((file, kept)) = opened else {
        return Err(Problem::not_found("There is no such archive; a newer one may have taken its place."));
    };
    ctx.app.fleet.note_of_archive(AuditAction::ArchiveDownloaded, name.clone(), ctx.by()).await;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, kept.bytes.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, pieces(ctx.clone(), file, kept.bytes, || ())).into_response())
}

/// A file, piece by piece; `at_end` is called when all `bytes` of it were handed over.
pub(crate) fn pieces(ctx: Ctx, file: File, bytes: u64, at_end: impl FnOnce() + Send + 'static) -> Body {
    let pieces = unfold(Some((ctx, file, bytes, Some(at_end))), |state| async move {
        let (ctx, file, left, mut at_end) = state?;
        let read = ctx.apart(WhenBusy::Wait, move |_| {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = (&file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
            Ok((file, read.map(|_| piece)))
        });
        match read.await {
            Ok((_, Ok(piece))) if piece.is_empty() => None,
            Ok((file, Ok(piece))) => {
                let left = left.saturating_sub(piece.len() as u64);
                if left == 0
                    && let Some(at_end) = at_end.take()
                {
                    at_end();
                }
                Some((Ok(Bytes::from(piece)), Some((ctx, file, left, at_end))))
            }
            // The connection ends in the middle: it does not pass for whole.
            Ok((_, Err(why))) => Some((Err(why), None)),
            Err(problem) => Some((Err(std::io::Error::other(problem.message)), None)),
        }
    });
    Body::from_stream(pieces)
}

impl From<NoArchive> for Problem {
    fn from(why: NoArchive) -> Self {
        let text = crate::problem::sentence(&why.to_string());
        match why {
            NoArchive::NoKey => Self::new(StatusCode::CONFLICT, "archive_no_key", &text),
            NoArchive::Busy => Self::new(StatusCode::CONFLICT, "archive_busy", &text),
            NoArchive::Failed(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "archive_failed", &text),
            NoArchive::Refused(refused) => refused.into(),
        }
    }
}

impl From<fleet::ArchiveError> for Problem {
    fn from(error: fleet::ArchiveError) -> Self {
        let text = crate::problem::sentence(&error.to_string());
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "archive_failed", &text)
    }
}
