//! What a standby shows: one page, `/healthz`, `/readyz`, `/metrics`. None of it is secret, and nothing can be changed.

use super::follow::{Follower, Standing};
use crate::clock;
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use schema::Timestamp;
use serde_json::{Value, json};
use std::{fmt::Write as _, sync::Arc};

pub(super) fn router(follower: Arc<Follower>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(async || Json(json!({"status": "ok", "standby": true}))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || {
            let error = json!({"code": "standby", "message": "This is a standby: only /, /healthz, /readyz and /metrics are here."});
            (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
        })
        .with_state(follower)
}

fn seconds(now: Timestamp, at: Timestamp) -> u64 {
    now.ms_since(at) / 1_000
}

/// Whether it is ready, and how it stands.
fn told(follower: &Follower, standing: &Standing, now: Timestamp) -> (bool, Value) {
    let is_ready = standing.is_ready(now, follower.every);
    let newest = standing.newest().map(|(about, bytes)| {
        let as_of = Timestamp(about.made_at_ms);
        json!({
            "as_of": web::rfc3339(as_of), "age_seconds": seconds(now, as_of), "bytes": bytes, "hosts": about.hosts,
            "incarnation": about.incarnation, "addresses": about.addresses().collect::<Vec<_>>(),
        })
    });
    let trouble = standing.trouble.as_ref().map(|(since, trouble)| {
        json!({"code": trouble.code(), "message": trouble.to_string(), "since": web::rfc3339(*since)})
    });
    let unusable: Vec<Value> =
        standing.unusable().iter().map(|(name, why)| json!({ "name": name, "message": why })).collect();
    let value = json!({
        "status": if is_ready { "ok" } else { "not_ready" },
        "follows": follower.following.url,
        "recipient": follower.recipient,
        "newest": newest,
        "archives": standing.usable(),
        // What is here, and of which no server can be made.
        "unusable": unusable,
        // When all that is here was read to its end.
        "read_at": standing.read_at().map(web::rfc3339),
        // How long ago the server said that there is nothing newer than this.
        "behind_seconds": standing.current_at().map(|at| seconds(now, at)),
        "address_known": standing.knows_address(&follower.following),
        "trouble": trouble,
    });
    (is_ready, value)
}

/// `GET /readyz`: whether it could take the server's place with what that has of late.
async fn ready(State(follower): State<Arc<Follower>>) -> impl IntoResponse {
    let standing = follower.standing().await;
    let (is_ready, value) = told(&follower, &standing, clock::now());
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(value))
}

/// `GET /metrics`.
async fn metrics(State(follower): State<Arc<Follower>>) -> impl IntoResponse {
    let now = clock::now();
    let standing = follower.standing().await;
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: f64| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    };
    let at = |Timestamp(ms)| ms as f64 / 1_000.0;
    if let Some((about, bytes)) = standing.newest() {
        let help = "The instant whose state the newest archive of the standby holds.";
        gauge("holdfast_standby_newest_timestamp_seconds", help, at(Timestamp(about.made_at_ms)));
        gauge("holdfast_standby_newest_bytes", "Size of that archive.", bytes as f64);
    }
    if let Some(current_at) = standing.current_at() {
        let help = "When the server said last that the standby has all that there is.";
        gauge("holdfast_standby_current_timestamp_seconds", help, at(current_at));
    }
    let flag = |is: bool| f64::from(u8::from(is));
    let is_ready = standing.is_ready(now, follower.every);
    gauge("holdfast_standby_ready", "Whether the standby was up to date of late.", flag(is_ready));
    gauge(
        "holdfast_standby_failing",
        "Whether the last try to ask the server failed.",
        flag(standing.trouble.is_some()),
    );
    let help = "Archives that the standby keeps, and of which a server can be made.";
    gauge("holdfast_standby_archives", help, standing.usable() as f64);
    let help = "Archives on the standby that are damaged or can't be read.";
    gauge("holdfast_standby_unusable_archives", help, standing.unusable().len() as f64);
    let help = "The version of the program.";
    let name = "holdfast_build_info";
    let version = env!("CARGO_PKG_VERSION");
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{version=\"{version}\"}} 1\n");
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// `GET /`.
async fn page(State(follower): State<Arc<Follower>>) -> impl IntoResponse {
    let now = clock::now();
    let standing = follower.standing().await;
    let is_ready = standing.is_ready(now, follower.every);
    let mut rows = vec![("Follows", follower.following.url.clone())];
    let newest = standing.newest().map(|(about, bytes)| {
        let as_of = Timestamp(about.made_at_ms);
        let age = web::ago(now, as_of);
        format!("as of {} ({age}), {} hosts, {bytes} bytes", web::rfc3339(as_of), about.hosts)
    });
    rows.push(("Newest archive", newest.unwrap_or_else(|| "none yet".to_owned())));
    let current = standing.current_at().map(|at| web::ago(now, at));
    rows.push(("Up to date", current.unwrap_or_else(|| "not since this standby was started".to_owned())));
    let read = standing
        .read_at()
        .map(|at| format!("{}, all read to their end {}", standing.usable(), web::ago(now, at)));
    rows.push(("Archives kept", read.unwrap_or_else(|| "none".to_owned())));
    for (name, why) in standing.unusable() {
        rows.push(("Unusable", format!("{name}: {why}")));
    }
    if let Some((about, _)) = standing.newest() {
        let addresses: Vec<&str> = about.addresses().collect();
        let none =
            "nothing: the server has no --mqtt-public, so no agent finds this machine by itself".to_owned();
        rows.push(("Agents dial", if addresses.is_empty() { none } else { addresses.join(", ") }));
    }
    if standing.knows_address(&follower.following) == Some(false) {
        let own = follower.following.addresses.join(", ");
        rows.push((
            "Warning",
            format!("agents were given none of {own}: name one on the server with --mqtt-public"),
        ));
    }
    if let Some((since, trouble)) = &standing.trouble {
        rows.push(("Trouble", format!("since {}: {trouble}", web::rfc3339(*since))));
    }
    rows.push(("Recipient", follower.recipient.clone()));
    let state = if is_ready { "ready" } else { "not ready" };
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"30\"><title>Standby: {state}</title><style>body{{font:1rem/1.5 sans-serif;\
         margin:2rem auto;max-width:45rem;padding:0 1rem}}dt{{font-weight:bold;margin-top:.75rem}}dd{{margin:0;\
         overflow-wrap:anywhere}}</style></head><body><h1>Standby: {state}</h1><p>This machine keeps archives of a Holdfast \
         server, to take its place: <code>holdfast-server promote</code>. It serves no host.</p><dl>"
    );
    for (name, value) in rows {
        let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    }
    html.push_str("</dl></body></html>\n");
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, html)
}

/// What is not this program's own stands as text, with nothing hidden in it.
fn escaped(text: &str) -> String {
    let shown = web::visible(text, web::Breaks::Shown).to_string();
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
