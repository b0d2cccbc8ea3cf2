//! Addresses that only take forms.

use crate::app::Ctx;
use axum::body::Body;
use axum::http::Response;

/// `GET` of an address that only takes forms: on to the page of the form.
pub(crate) async fn to_page_of_form(ctx: Ctx) -> Response<Body> {
    let path = ctx.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    ctx.go(&match parts.as_slice() {
        ["hosts", host, "enroll-token"] => format!("/hosts/{host}/enrol"),
        ["hosts", host, list @ ("groups" | "schedules")] => format!("/hosts/{host}#{list}"),
        ["hosts", host, "repo-credentials"] => format!("/hosts/{host}/repo#connection"),
        ["hosts", host, "snapshots", snapshot, "download"] => format!("/hosts/{host}/snapshots/{snapshot}"),
        ["hosts", host, "restore", ..] => format!("/hosts/{host}/restore"),
        ["hosts", host, form] => format!("/hosts/{host}/repo#{form}"),
        [list @ ("operators" | "tokens" | "viewers"), ..] => format!("/settings#{list}"),
        ["archives", ..] => "/archives#standbys".to_owned(),
        ["notices", "channels", name, "report", ..] => format!("/notices/channels/{name}#report"),
        ["notices", "graces", ..] => "/notices#graces".to_owned(),
        ["notices", "channels", name, ..] => format!("/notices/channels/{name}"),
        ["notices", ..] => "/notices".to_owned(),
        ["integrations", ..] => "/integrations".to_owned(),
        ["incidents", incident, ..] => format!("/incidents/{incident}"),
        ["account", ..] => "/account".to_owned(),
        _ => "/".to_owned(),
    })
}
