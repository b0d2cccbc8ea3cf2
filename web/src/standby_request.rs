//! What the standbys of this server ask for, and what people ask about them: the one core behind the pages and the API.
//!
//! A standby shows a token of its own, which is good for nothing but being sent archives that are encrypted for its
//! recipient. What costs is bounded: an archive is made only where something has changed, for one standby at a time, and
//! for each not sooner again than [`AGAIN_AFTER_MS`]; what is sent is a file by then, so that a slow line holds nothing up.

use crate::app::Ctx;
use crate::archive_request::{confirm, pieces};
use crate::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Response, StatusCode, header};
use axum::response::IntoResponse;
use fleet::record::Secret;
use fleet::{NoArchive, Standby};

/// No standby is made another archive for so long after the last one, in milliseconds.
const AGAIN_AFTER_MS: u64 = 2_000;
/// When one that is told to wait may ask again, in seconds.
const RETRY_SECONDS: &str = "5";

/// Adds a standby; its token is in this answer only. A person gives the own password again, as for who can open archives.
pub(crate) async fn add(
    ctx: &Ctx,
    name: String,
    recipient: String,
    password: Option<Secret>,
) -> Result<Secret, Problem> {
    confirm(ctx, password, "a standby").await?;
    Ok(ctx.app.fleet.add_standby(name, recipient, ctx.by()).await?)
}

fn busy(why: &str) -> Response<Body> {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", why);
    let mut answer: Response<Body> = problem.into();
    answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_SECONDS));
    answer
}

fn of_token(ctx: &Ctx, headers: &HeaderMap) -> Result<Standby, Problem> {
    let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let secret = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let secret = secret.map(|(_, secret)| secret.trim()).unwrap_or_default();
    let standby = ctx.app.fleet.standby_of_token(secret)?;
    standby.ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "no_standby", "No standby of this server has this token.")
    })
}

/// An archive of now, for the standby that asks; 304 when nothing has changed since the one that it has.
pub(crate) async fn fetch(ctx: Ctx, headers: HeaderMap) -> Result<Response<Body>, Problem> {
    let (fleet, archives) = (&ctx.app.fleet, &ctx.app.settings.archives);
    let standby = of_token(&ctx, &headers)?;
    if let Some(succession) = fleet.succession() {
        let (incarnation, url) = (succession.incarnation, succession.url.clone());
        return Err(fleet::Refused::Superseded { incarnation, url }.into());
    }
    // Before the instant of the archive: what is changed in between is in it, and asked for again.
    let mark = format!("\"{}\"", fleet.mark());
    let has = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    fleet.standby_has_asked(&standby.name, has.trim_matches('"'));
    if has == mark {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, mark)]).into_response());
    }
    if !ctx.app.standby_may_have_another(&standby.name, ctx.now(), AGAIN_AFTER_MS) {
        return Ok(busy("An archive was made for this standby just now. Ask again in a moment."));
    }
    let made = match archives.make_aside(standby.recipient).await {
        Err(NoArchive::Busy) => {
            return Ok(busy("An archive is being made for a standby. Ask again in a moment."));
        }
        made => made?,
    };
    let sent = headers_of(made.bytes, mark);
    let (fleet, name, bytes, by) = (fleet.clone(), standby.name, made.bytes, ctx.by());
    let at_end = move || {
        tokio::spawn(async move {
            if let Err(refused) = fleet.standby_has_fetched(&name, bytes, by).await {
                tracing::warn!(%refused, "that a standby was sent an archive could not be noted");
            }
        });
    };
    Ok((sent, pieces(ctx, made.file, made.bytes, at_end)).into_response())
}

fn headers_of(bytes: u64, mark: String) -> [(HeaderName, String); 4] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::ETAG, mark),
    ]
}
