//! Whether the server lives and can serve.

use crate::app::Ctx;
use crate::problem::Problem;
use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: the store can be read and the broker takes connections.
pub(crate) async fn ready(ctx: Ctx) -> Result<Json<Value>, Problem> {
    let away = |what: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", what);
    let snapshot = ctx.app.fleet.read().map_err(|_| away("The data file can't be read."))?;
    snapshot.operators().map_err(|_| away("The data file can't be read."))?;
    if !(ctx.app.settings.broker)().serving {
        return Err(away("The broker takes no connections."));
    }
    Ok(Json(json!({"status": "ok"})))
}
