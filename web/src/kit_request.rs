//! Asking for a break-glass kit: the one core behind the page and the API.

use crate::app::Ctx;
use crate::confirm_password::confirm_password;
use crate::kit::{KitError, KitFile, kit_name};
use crate::problem::Problem;
use crate::readers::WhenBusy;
use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use fleet::KitChoice;
use fleet::record::Secret;
use futures_util::stream::unfold;
use tokio::sync::Semaphore;

/// One file is begun at a time: that takes 128 MiB.
static BEGINNING: Semaphore = Semaphore::const_new(1);

/// Makes a kit and answers with its file. A person gives the own password again; a token with the scope `admin` has none
/// to give, and could make itself an account with one. `passphrase` must have been looked at before.
pub(crate) async fn make(
    ctx: &Ctx,
    choice: KitChoice,
    passphrase: Secret,
    password: Option<Secret>,
) -> Result<Response<Body>, Problem> {
    let is_person = ctx.caller.as_ref().is_some_and(|caller| caller.session.is_some());
    if is_person {
        let password =
            password.ok_or_else(|| Problem::invalid("password", "Your own password is needed."))?;
        if let Err(problem) = confirm_password(ctx, "password", password).await {
            if problem.status == StatusCode::UNPROCESSABLE_ENTITY {
                ctx.app.fleet.refuse_kit(ctx.by()).await?;
            }
            return Err(problem);
        }
    }
    let turn = BEGINNING.acquire().await.map_err(|_| Problem::internal())?;
    let kit = ctx.app.fleet.make_kit(choice, ctx.by()).await?;
    let name = kit_name(kit.at);
    let file = ctx
        .apart(WhenBusy::Wait, move |ctx| Ok(KitFile::begin(ctx.app.fleet.clone(), kit, &passphrase)?))
        .await?;
    drop(turn);
    let pieces = unfold(Some((ctx.clone(), file)), |state| async move {
        let (ctx, mut file) = state?;
        let next = ctx.apart(WhenBusy::Wait, move |_| {
            let piece = file.next_piece()?;
            Ok((file, piece))
        });
        match next.await {
            Ok((file, Some(piece))) => Some((Ok(Bytes::from(piece)), Some((ctx, file)))),
            // This is asked when the connection has taken all of it.
            Ok((file, None)) => match file.keep().await {
                Ok(()) => None,
                Err(refused) => Some((Err(std::io::Error::other(refused)), None)),
            },
            // The connection ends in the middle, and `age` refuses what came: it does not pass for whole.
            Err(problem) => Some((Err(std::io::Error::other(problem.message)), None)),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

impl From<KitError> for Problem {
    fn from(error: KitError) -> Self {
        tracing::error!(%error, "a break-glass kit could not be written to its end");
        Self::internal()
    }
}
