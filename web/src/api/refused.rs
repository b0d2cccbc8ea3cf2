//! Whom the broker did not let in.

use super::dto::RefusedConnectionOut;
use super::list::List;
use crate::app::Ctx;
use crate::problem::Problem;
use crate::refused_connection::RefusedConnection;
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use fleet::Refused;

/// `GET /api/refused-connections`.
pub(crate) async fn list(ctx: Ctx) -> Result<Json<List<RefusedConnectionOut>>, Problem> {
    let rows = ctx.read(|ctx, state| {
        let (found, now) = ((ctx.app.settings.refused_connections)(), ctx.now());
        let row = |refused: RefusedConnection| {
            let host = refused.name.as_deref().and_then(|name| name.parse().ok());
            let host = host.map(|host| state.host(host)).transpose()?.flatten();
            Ok(RefusedConnectionOut::new(now, refused, host.map(|host| host.name)))
        };
        found.rows.into_iter().map(row).collect::<Result<Vec<_>, Problem>>()
    });
    Ok(List::whole(rows.await?))
}

/// `POST /api/refused-connections/{host}/take-in`.
pub(crate) async fn take_in(ctx: Ctx, Path(host): Path<String>) -> Result<StatusCode, Problem> {
    let newcomers = ctx.app.fleet.newcomers();
    let found = newcomers.into_iter().find(|newcomer| newcomer.host.to_string() == host);
    let found = found.ok_or(Refused::HostNotFound)?;
    ctx.app.fleet.take_in(found.host, found.enrolled_at, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
