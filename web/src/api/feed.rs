//! Feeds: what others read of the fleet by an address that nobody guesses.

use super::dto::{FeedCreated, FeedIn, FeedOut};
use super::list::List;
use crate::app::Ctx;
use crate::feed_request;
use crate::form::Input;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;

/// `GET /api/feeds`.
pub(crate) async fn list(ctx: Ctx) -> Result<Json<List<FeedOut>>, Problem> {
    ctx.read(|_, state| {
        let out = |feed| FeedOut::new(feed, state);
        Ok(List::whole(state.feeds()?.into_iter().map(out).collect::<Result<_, _>>()?))
    })
    .await
}

/// `POST /api/feeds`.
pub(crate) async fn add(
    ctx: Ctx,
    Input(body): Input<FeedIn>,
) -> Result<(StatusCode, Json<FeedCreated>), Problem> {
    let (name, url) = feed_request::add(&ctx, body.asked()).await?;
    Ok((StatusCode::CREATED, Json(FeedCreated { name, url })))
}

/// `DELETE /api/feeds/{name}`.
pub(crate) async fn delete(ctx: Ctx, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ctx.app.fleet.delete_feed(name, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
