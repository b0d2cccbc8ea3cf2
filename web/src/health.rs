//! Whether the server lives and can serve.

use crate::app::Ctx;
use crate::format::rfc3339;
use crate::problem::Problem;
use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// What was found of the data file's being written counts for so long, so that who asks often writes no more.
const PROVEN_FOR_MS: u64 = 10_000;
/// How long a write may take.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: the data file can be read and written and is whole as far as is known, and all that runs beside the
/// pages is well.
pub(crate) async fn ready(ctx: Ctx) -> Result<Json<Value>, Problem> {
    // Not in the queue of the pages: it has to answer when that is long, and reads one small table.
    let away = |what: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", what);
    let state = ctx.app.fleet.read().map_err(|_| away("The data file can't be read."))?;
    state.operators().map_err(|_| away("The data file can't be read."))?;
    let is_writable = is_writable(&ctx).await;
    if let Some(trouble) = ctx.app.troubles().into_iter().find(|trouble| trouble.is_failure) {
        return Err(away(&format!("{}. {}", trouble.title, trouble.text)));
    }
    if !is_writable {
        return Err(away(
            "The data file can't be written: look at the space on its disk, and at the server's log.",
        ));
    }
    // What is late is told and keeps nobody from working: whoever balances load must not take this server away for it.
    let archives = ctx.app.settings.archives.status().map_err(|_| away("The data file can't be read."))?;
    let now = ctx.now();
    let newest = archives.newest(now);
    let archive = json!({
        "state": archives.state.code(),
        "newest_at": newest.map(|kept| rfc3339(kept.at)),
        "age_seconds": newest.map(|kept| now.ms_since(kept.at) / 1_000),
    });
    Ok(Json(json!({"status": "ok", "archive": archive})))
}

/// Who asks while another one tries waits for that.
async fn is_writable(ctx: &Ctx) -> bool {
    let mut proven = ctx.app.proven.lock().await;
    let now = ctx.now();
    if let Some((at, is_writable)) = *proven
        && at <= now
        && now.ms_since(at) < PROVEN_FOR_MS
    {
        return is_writable;
    }
    let write = tokio::time::timeout(WRITE_LIMIT, ctx.app.fleet.prove_writable()).await;
    let is_writable = matches!(write, Ok(Ok(())));
    *proven = Some((now, is_writable));
    is_writable
}
