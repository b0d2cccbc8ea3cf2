//! Whom the broker did not let in.

use super::dto::RefusedConnectionOut;
use super::list::List;
use crate::app::Ctx;
use crate::problem::Problem;
use crate::refused_connection::{NotLetIn, RefusedConnection};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use fleet::Refused;

/// `GET /api/refused-connections`.
pub(crate) async fn list(ctx: Ctx) -> Result<Json<List<RefusedConnectionOut>>, Problem> {
    let rows = ctx.read(|ctx, state| {
        let (found, now) = ((ctx.app.settings.refused_connections)(), ctx.now());
        let newcomers = ctx.app.fleet.newcomers();
        // One that was taken in is refused no more.
        let stands = |refused: &RefusedConnection| refused.stands(&newcomers);
        let row = |refused: RefusedConnection| {
            let id = refused.name.as_deref().and_then(|name| name.parse().ok());
            let host = id.map(|id| state.host(id)).transpose()?.flatten();
            let newcomer = newcomers.iter().find(|newcomer| Some(newcomer.host) == id);
            let newcomer = newcomer.filter(|_| refused.reason == NotLetIn::Newcomer);
            let name = host.map(|host| host.name).or_else(|| newcomer.map(|newcomer| newcomer.name.clone()));
            Ok(RefusedConnectionOut::new(now, refused, name, newcomer))
        };
        found.rows.into_iter().filter(stands).map(row).collect::<Result<Vec<_>, Problem>>()
    });
    Ok(List::whole(rows.await?))
}

/// `POST /api/refused-connections/{host}/take-in`.
pub(crate) async fn take_in(ctx: Ctx, Path(host): Path<String>) -> Result<StatusCode, Problem> {
    let newcomers = ctx.app.fleet.newcomers();
    let found = newcomers.into_iter().find(|newcomer| newcomer.host.to_string() == host);
    let found = found.ok_or(Refused::NewcomerNotFound)?;
    ctx.app.fleet.take_in(found.host, found.enrolled_at, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
