//! Feeds: what others read of the fleet by an address that nobody guesses, without a session and without a cookie.
//!
//! What a feed says is what the pages say: it is counted from the same rows. It is made once in a while and sent again in
//! between, so that whoever knows an address costs no more by asking often; and who asks too often is told to wait.

mod asked;
mod badge;
mod calendar;
mod made;
mod numbers;
mod rate;

pub(crate) use asked::AskedFeed;
pub(crate) use made::Made;
pub(crate) use rate::Rate;

use crate::app::Ctx;
use crate::origin::origin;
use crate::problem::Problem;
use crate::reading::Reading;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use fleet::FleetState;
use fleet::record::FeedKind;
use numbers::Numbers;
use std::sync::Arc;

/// So long the same is sent again, in milliseconds; a calendar is read through all schedules.
const fn kept_ms(kind: FeedKind) -> u64 {
    match kind {
        FeedKind::Status | FeedKind::Badge => 10_000,
        FeedKind::Calendar => 60_000,
    }
}

/// `GET /feeds/{key}/status.json`.
pub(crate) async fn status(ctx: Ctx, Path(key): Path<String>, headers: HeaderMap) -> Response<Body> {
    let mut answer = serve(&ctx, key, &headers, FeedKind::Status).await;
    // A page elsewhere may read it: there is nothing in it that its address does not give anybody.
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

/// `GET /feeds/{key}/badge.svg`.
pub(crate) async fn badge(ctx: Ctx, Path(key): Path<String>, headers: HeaderMap) -> Response<Body> {
    serve(&ctx, key, &headers, FeedKind::Badge).await
}

/// `GET /feeds/{key}/calendar.ics`.
pub(crate) async fn calendar(ctx: Ctx, Path(key): Path<String>, headers: HeaderMap) -> Response<Body> {
    serve(&ctx, key, &headers, FeedKind::Calendar).await
}

async fn serve(ctx: &Ctx, key: String, headers: &HeaderMap, kind: FeedKind) -> Response<Body> {
    let taken = ctx.app.feed_rate().take(&origin(&ctx.peer), ctx.now());
    if let Err(wait_secs) = taken {
        let mut answer =
            plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests from there. Try again in a moment.");
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_secs));
        return answer;
    }
    let made = match ctx.read(move |ctx, state| made(ctx, state, &key, kind)).await {
        Ok(made) => made,
        Err(problem) => return plain(problem.status, &problem.message),
    };
    let caching = [
        (header::ETAG, made.etag.clone()),
        (header::CACHE_CONTROL, format!("public, max-age={}", kept_ms(kind) / 1_000)),
    ];
    if has_it(headers, &made.etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let content_type = match kind {
        FeedKind::Status => "application/json",
        FeedKind::Badge => "image/svg+xml",
        FeedKind::Calendar => "text/calendar; charset=utf-8",
    };
    (caching, [(header::CONTENT_TYPE, content_type)], made.body.clone()).into_response()
}

/// Whoever asks is a program: no page, and no word of who could sign in.
fn plain(status: StatusCode, message: &str) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{message}\n")).into_response()
}

/// Whether the one who asks has what would be sent (RFC 9110, weak comparison).
fn has_it(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let has = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    has.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

fn made(ctx: &Reading, state: &FleetState, key: &str, kind: FeedKind) -> Result<Arc<Made>, Problem> {
    let nothing = || Problem::not_found("There is nothing at this address.");
    let feed = state.feed_of_key(key)?.filter(|feed| feed.kind == kind).ok_or_else(nothing)?;
    let now = state.now();
    let is_kept =
        |made: &Arc<Made>| made.feed == feed && now >= made.at && now.ms_since(made.at) < kept_ms(kind);
    if let Some(kept) = ctx.app.feeds().get(&feed.name).filter(|made| is_kept(made)) {
        return Ok(Arc::clone(kept));
    }
    let numbers = Numbers::read(ctx, state, &feed)?;
    let body = match kind {
        FeedKind::Status => numbers.json(&feed),
        FeedKind::Badge => badge::draw(&numbers.title(&feed), &numbers.words(&feed), numbers.verdict()),
        FeedKind::Calendar => calendar::write(state, &feed, &numbers)?,
    };
    let name = feed.name.clone();
    let made = Arc::new(Made::new(feed, now, body));
    let mut feeds = ctx.app.feeds();
    // Those that were deleted go when there are more than there can be.
    if feeds.len() > fleet::MOST_FEEDS {
        feeds.clear();
    }
    feeds.insert(name, Arc::clone(&made));
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_again_however_it_is_sent() {
        let etag = "W/\"abc\"";
        let has = |sent: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(header::IF_NONE_MATCH, value.parse().unwrap());
            }
            has_it(&headers, etag)
        };
        for sent in [&["W/\"abc\""][..], &["\"abc\""], &["*"], &["\"x\", W/\"abc\""], &["\"x\"", "\"abc\""]] {
            assert!(has(sent), "{sent:?}");
        }
        for sent in [&[][..], &["\"ab\""], &["abc"], &["\"x\""]] {
            assert!(!has(sent), "{sent:?}");
        }
    }
}
