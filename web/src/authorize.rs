//! Who may do what: finds out who asks, and stands before every route with the access that the route table says.

use crate::app::{App, BrowserSession, Caller, Ctx, Face, Identity};
use crate::body::read_body;
use crate::form::Form;
use crate::headers::{cookie, is_form, is_same_site};
use crate::page::sign_in::sign_in_again;
use crate::problem::Problem;
use crate::query::Query;
use crate::route::Access;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, header};
use axum::middleware::Next;
use fleet::record::{Actor, Scope, Scopes, Secret};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A session or token that was used is written down at most this often.
const TOUCH_EVERY_MS: u64 = 60_000;

/// Finds out who asks; refuses nobody but who shows a wrong API token.
pub(crate) async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response<Body> {
    // These say how the server is, also when its data file can't be read.
    let asks_nobody = |path: &str| {
        // A standby has a token of another sort.
        path.starts_with("/static/")
            // The key is in the address.
            || path.starts_with("/feeds/")
            || matches!(path, "/healthz" | "/readyz" | "/api/standby/archive")
    };
    if !asks_nobody(request.uri().path()) {
        match caller(&app, request.headers()) {
            Ok(caller) => {
                request.extensions_mut().insert(Identity(caller));
            }
            Err(problem) => {
                let (parts, _) = request.into_parts();
                return crate::present::write(&Ctx::from_request(&app, &parts), problem).await;
            }
        }
    }
    next.run(request).await
}

/// Looks up a row or two by key. Each request does, so they are in memory, and it takes less than the way to another
/// thread would.
fn caller(app: &App, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let secret = match text.split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim(),
            _ => return Err(Problem::unauthorised()),
        };
        return of_token(app, secret)?.map(Some).ok_or_else(Problem::unauthorised);
    }
    match cookie(headers, app.cookie_name()) {
        Some(value) => of_session(app, &value),
        None => Ok(None),
    }
}

fn of_token(app: &App, secret: &str) -> Result<Option<Caller>, Problem> {
    let Some(token) = app.fleet.read()?.api_token(secret)? else { return Ok(None) };
    let now = app.fleet.now();
    if token.used_at.is_none_or(|at| now.ms_since(at) >= TOUCH_EVERY_MS) {
        let (fleet, secret) = (app.fleet.clone(), Secret::new(secret));
        tokio::spawn(async move { fleet.touch_api_token(secret.expose()).await });
    }
    Ok(Some(Caller {
        actor: Actor::Token(token.name),
        role: None,
        scopes: token.scopes,
        session: None,
        token: Some(Secret::new(secret)),
    }))
}

fn of_session(app: &App, value: &str) -> Result<Option<Caller>, Problem> {
    let Some((session, operator)) = app.fleet.read()?.session(value)? else { return Ok(None) };
    if app.fleet.now().ms_since(session.used_at) >= TOUCH_EVERY_MS {
        let (fleet, cookie) = (app.fleet.clone(), Secret::new(value));
        tokio::spawn(async move { fleet.touch_session(cookie.expose()).await });
    }
    let session = BrowserSession { cookie: Secret::new(value), csrf: session.csrf, theme: operator.theme };
    Ok(Some(Caller {
        actor: Actor::Operator(operator.name),
        role: Some(operator.role),
        scopes: Scopes::of_role(operator.role),
        session: Some(session),
        token: None,
    }))
}

/// What [`require`] checks a request to one route against.
#[derive(Clone)]
pub(crate) struct RouteGuard {
    pub(crate) app: App,
    pub(crate) access: Access,
    /// The parameters that the query may have; `None` = it is a page's, which takes what is left of old links.
    pub(crate) parameters: Option<Arc<[&'static str]>>,
}

/// The middleware before each route: lets a request through, or answers it with the reason why not.
pub(crate) async fn require(
    State(RouteGuard { app, access, parameters }): State<RouteGuard>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let ctx = Ctx::from_request(&app, &parts);
    if let Some(refusal) = refusal(&ctx, access) {
        let is_typed = ctx.caller.is_none() && ctx.face == Face::Page && !parts.method.is_safe();
        if is_typed && !ctx.htmx && is_form(&parts.headers) && is_same_site(&parts.headers) {
            return match read_body(body).await {
                Ok(body) => sign_in_again(&ctx, &Form::parse(&body)).await,
                Err(problem) => problem.into(),
            };
        }
        return refusal;
    }
    if let Some(known) = &parameters
        && let Some(name) = Query::parse(parts.uri.query()).unknown(known)
    {
        let known = match known.as_ref() {
            [] => "there are none".to_owned(),
            known => format!("there are: {}", known.join(", ")),
        };
        return Problem::invalid(name, format!("There is no parameter {name} here; {known}.")).into();
    }
    if parts.method.is_safe() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(problem) => return problem.into(),
    };
    // A sign-in form was made without a session, even when there is one by now (another tab, say).
    let has_token = access == Access::Open || has_csrf_token(&ctx, &parts.headers, &body);
    if !has_token || !is_same_site(&parts.headers) {
        return Problem::csrf().into();
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

/// The answer for one who may not; `None` = go on.
fn refusal(ctx: &Ctx, access: Access) -> Option<Response<Body>> {
    let Some(caller) = &ctx.caller else {
        return (access != Access::Open).then(|| sign_in_first(ctx));
    };
    match access {
        Access::Open => None,
        Access::SignedIn if caller.session.is_some() => None,
        Access::SignedIn => Some(Problem::forbidden("Only a person who is signed in can do this.").into()),
        Access::Scope(scope) if caller.scopes.has(scope) => None,
        Access::Scope(scope) => Some(Problem::forbidden(what_lacks(caller, scope)).into()),
    }
}

fn what_lacks(caller: &Caller, scope: Scope) -> String {
    match caller.role {
        Some(role) => {
            format!("This needs the role {}, and you are {}.", scope.role().as_str(), role.as_str())
        }
        None => {
            let has = caller.scopes.to_string();
            format!("This needs the scope {}, and this token has: {has}.", scope.as_str())
        }
    }
}

/// A page leads to the sign-in and back; everything else says 401.
fn sign_in_first(ctx: &Ctx) -> Response<Body> {
    if ctx.face == Face::Api || ctx.htmx {
        return Problem::unauthorised().into();
    }
    if ctx.method != Method::GET || ctx.target == "/" {
        return ctx.go("/login");
    }
    let next: String = form_urlencoded::byte_serialize(ctx.target.as_bytes()).collect();
    ctx.go(&format!("/login?next={next}"))
}

/// A cookie alone is no proof that the person meant it: the token of the session must come along.
fn has_csrf_token(ctx: &Ctx, headers: &HeaderMap, body: &Bytes) -> bool {
    let Some(session) = ctx.caller.as_ref().and_then(|caller| caller.session.as_ref()) else { return true };
    let fits = |sent: &[u8]| -> bool { session.csrf.as_bytes().ct_eq(sent).into() };
    if let Some(sent) = headers.get("x-csrf-token") {
        return fits(sent.as_bytes());
    }
    is_form(headers)
        && form_urlencoded::parse(body).any(|(key, value)| key == "csrf" && fits(value.as_bytes()))
}
