//! Holdfast's pages and HTTP API.
//!
//! # Words
//!
//! A *route* is a row of the route table: method, address, and who may use it; the router, the guards, the
//! OpenAPI document and a test are all made from that one table. A *face* is JSON (`/api/…`) or pages; both lead
//! to one core for what they do. A *view* is what a template gets, a *form* what a browser sends, a *problem* why
//! a request is not answered as asked. A *part* is a fragment of a page with a template of its own: the page
//! includes it, and `?part=<id>` fetches it alone, from the same view.
//!
//! # The life of a request
//!
//! `headers` → `authenticate` (who asks: session cookie or API token) → `problems` (writes what went wrong for the
//! face that asked) → the route's own guard (role; for writes with a cookie also the CSRF token and the origin) →
//! the handler, which reads one snapshot of the fleet or asks it to do something. Whatever reads the data file or
//! renders a page runs on a thread of the `readers`, of which there is a bounded number: `Ctx::read` is the way there,
//! and only there a page can be made.
//!
//! # Live
//!
//! `/api/events` says which topic changed and nothing else. A fragment names its topics; the script of the page has
//! htmx fetch it again. So a lost event costs nothing, and without scripts every page works as plain forms.
//!
//! # What this crate does not do
//!
//! It decides nothing about hosts or jobs (the `fleet` does), opens no socket (the server program does), keeps no
//! state beyond the table of sign-in tries and the notes to pages that show a secret once, and loads nothing from elsewhere.

mod account;
mod acknowledge;
mod agent_access_request;
mod api;
mod app;
mod archive_request;
mod asset;
mod authorize;
mod body;
mod chart;
mod confirm_password;
mod download;
mod events;
mod explanation;
mod export;
mod feed;
mod feed_request;
mod form;
mod format;
mod headers;
mod health;
mod incident_request;
mod joblog;
mod kit;
mod kit_request;
mod limiter;
mod line_breaks;
mod lockout;
mod metrics;
mod new_secret;
mod notes;
mod notice;
mod notice_request;
mod openapi;
mod origin;
mod page;
mod password;
mod present;
mod problem;
mod proxy;
mod query;
mod readers;
mod reading;
mod refused_connection;
mod repo_password;
mod report;
mod rights;
mod route;
mod route_table;
mod run;
#[cfg(test)]
mod sample;
mod server_facts;
mod sh;
mod shell;
mod sign_in;
mod standby_request;
mod streams;
mod template;
mod trouble;
mod unsent_form;
mod visible;
mod words;

pub use api::redacted;
pub use format::{ago, rfc3339};
pub use kit::{KitError, KitFile, kit_name, new_passphrase, passphrase_objection};
pub use notice::{Mail, Request, RequestError, TemplateError, documented, mail, percent_encoded, requests};
pub use password::{HashFailed, hash_password};
pub use proxy::TrustedProxies;
pub use refused_connection::{NotLetIn, RefusedConnection, RefusedConnections};
pub use route::Access;
pub use server_facts::{
    BrokerFacts, BrokerFigure, Certificate, Delivery, HeldLogin, MqttListener, Rotate, SendNotice,
    ServerFacts, TaskFacts, WebSettings,
};
pub use trouble::LITTLE_SPACE;
pub use visible::{Breaks, visible};

use app::App;
use axum::Router;
use axum::middleware::from_fn_with_state;
use fleet::Fleet;
use template::Templates;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

/// The pages and the API, ready to be served with
/// `into_make_service_with_connect_info::<SocketAddr>()`: the peer's address is in the audit and in the limits.
pub fn router(fleet: Fleet, settings: WebSettings) -> Router {
    let app = App::new(fleet, settings, Templates::load(page::TEMPLATES_USED));
    route_table::router(&app)
        .fallback(async || problem::Problem::not_found("There is nothing at this address."))
        .layer(CatchPanicLayer::custom(present::panicked))
        .layer(from_fn_with_state(app.clone(), present::problems))
        .layer(from_fn_with_state(app.clone(), authorize::authenticate))
        .layer(from_fn_with_state(app.clone(), present::headers))
        .layer(CompressionLayer::new().compress_when(is_worth_it()))
        .with_state(app)
}

/// Files that somebody downloads are sent as they are: their length is known, and archives are compressed already.
fn is_worth_it() -> impl Predicate {
    DefaultPredicate::new()
        .and(NotForContentType::const_new("application/octet-stream"))
        .and(NotForContentType::const_new("application/gzip"))
        .and(NotForContentType::const_new("application/zip"))
}

/// Every route as (method, address, who may use it): what there is, and nothing else is served.
pub fn routes() -> Vec<(String, &'static str, Access)> {
    route_table::table()
        .into_iter()
        .map(|route| (route.method.to_string(), route.path, route.access))
        .collect()
}
