//! The last word on every answer: problems written for the face that asked, and the headers that every answer has.

use crate::app::{App, Ctx, Face};
use crate::problem::Problem;
use crate::readers::WhenBusy;
use crate::template::View;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use serde::Serialize;

/// Nothing but what this server itself sends is loaded, run, framed or posted to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=()"),
];

/// What an error page shows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorView {
    pub(crate) status: u16,
    pub(crate) title: &'static str,
    pub(crate) message: String,
    pub(crate) back: Option<(String, String)>,
}

impl View for ErrorView {
    const TEMPLATE: &'static str = "page/error.html";
    const NAV: &'static str = "";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for ErrorView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            status: 404,
            title: "Not found",
            message: s.text("There is no such host; it may have been deleted."),
            back: Some(("/".to_owned(), s.text("To the fleet"))),
        }]
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Sign in first",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
        StatusCode::GONE => "No longer valid",
        StatusCode::CONFLICT => "Not possible right now",
        status if status.is_server_error() => "Something went wrong",
        _ => "Invalid request",
    }
}

/// Writes a problem for the face that asked.
pub(crate) async fn write(ctx: &Ctx, problem: Problem) -> Response<Body> {
    let (status, is_busy) = (problem.status, problem.is_busy());
    let mut response = match ctx.face {
        Face::Api => problem.json_response(),
        Face::Page => page(ctx, problem).await,
    };
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if is_busy {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The error page. One that can't be rendered, for all that render are busy, say, is said in plain text.
async fn page(ctx: &Ctx, problem: Problem) -> Response<Body> {
    let plain = (problem.status, problem.message.clone());
    if problem.is_busy() {
        return plain.into_response();
    }
    let back = match (ctx.target.split(['/', '?']).nth(1), ctx.target.split(['/', '?']).nth(2)) {
        (Some("hosts"), Some(host)) if problem.code != "host_not_found" && host != "new" => {
            Some((format!("/hosts/{host}"), "Back to the host".to_owned()))
        }
        _ => Some(("/".to_owned(), "To the fleet".to_owned())),
    };
    let view = ErrorView {
        status: problem.status.as_u16(),
        title: title(problem.status),
        message: problem.message,
        back: back.filter(|_| ctx.caller.is_some()),
    };
    let whole = Ctx { part: None, ..ctx.clone() };
    let rendered = whole.apart(WhenBusy::Refuse, move |ctx| ctx.page_with(problem.status, &view));
    rendered.await.unwrap_or_else(|_| plain.into_response())
}

/// Writes what the handlers, the guard and the router left as bare problems.
pub(crate) async fn problems(State(app): State<App>, request: Request, next: Next) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let ctx = Ctx::from_request(&app, &parts);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        // Of a damaged file nobody can say that something is not there.
        let is_unsure = problem.status == StatusCode::NOT_FOUND
            && problem.code.ends_with("_not_found")
            && app.fleet.damage().is_some_and(|damage| damage.torn_tables().next().is_some());
        let problem = if is_unsure { Problem::unreadable() } else { problem };
        return write(&ctx, problem).await;
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let problem = Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("{} does nothing here.", ctx.method),
        );
        let mut written = write(&ctx, problem).await;
        if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
            written.headers_mut().insert(header::ALLOW, allow);
        }
        return written;
    }
    // What axum itself refuses (a path that is not UTF-8, say) becomes a problem like all others.
    if response.status() == StatusCode::BAD_REQUEST
        && response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "text/plain; charset=utf-8")
    {
        let problem =
            Problem::new(StatusCode::BAD_REQUEST, "invalid_input", "The address or the query can't be read.");
        return write(&ctx, problem).await;
    }
    response
}

/// A handler that panicked answers with an error page; the panic itself is in the log.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a request failed unexpectedly");
    Problem::internal().into()
}

/// The header of a server that only reads, which says why: what it knows is old.
const ONLY_READS: HeaderName = HeaderName::from_static("holdfast-only-reads");

/// The headers that every answer has. Only assets may be kept.
pub(crate) async fn headers(State(app): State<App>, request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if app.settings.strict_transport {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if app.fleet.succession().is_some() {
        headers.insert(ONLY_READS, HeaderValue::from_static("superseded"));
    } else if app.fleet.only_reads() {
        headers.insert(ONLY_READS, HeaderValue::from_static("damaged"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
