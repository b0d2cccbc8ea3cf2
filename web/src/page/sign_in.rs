//! The pages before sign-in.

use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::query::Query;
use crate::sign_in as core;
use crate::template::View;
use crate::unsent_form::Kept;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode, header};
use fleet::Refused;
use fleet::record::Secret;
use serde::Serialize;

/// Sign in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoginView {
    pub(crate) name: String,
    /// The page that is opened after the sign-in.
    pub(crate) next: String,
    /// There is no account yet.
    pub(crate) set_up_first: bool,
    /// What was typed when the session had ended.
    pub(crate) kept: Option<Kept>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for LoginView {
    const TEMPLATE: &'static str = "page/login.html";
    const NAV: &'static str = "";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for LoginView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![
            Self {
                name: s.text("mira"),
                next: s.text("/hosts"),
                set_up_first: false,
                kept: Some(Kept::sample(s)),
                problem: Some(ProblemView::sample(s, "password")),
            },
            Self { name: String::new(), next: String::new(), set_up_first: true, kept: None, problem: None },
        ]
    }
}

/// What was typed, to be sent again by who has signed in again.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResumeView {
    pub(crate) kept: Kept,
    pub(crate) csrf: String,
}

impl View for ResumeView {
    const TEMPLATE: &'static str = "page/resume.html";
    const NAV: &'static str = "";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for ResumeView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self { kept: Kept::sample(s), csrf: "token".to_owned() }]
    }
}

/// The answer to a form whose session has ended: the sign-in, which keeps what was typed.
pub(crate) async fn sign_in_again(ctx: &Ctx, form: &Form) -> Response<Body> {
    let kept = Some(Kept::of(form, &ctx.target));
    let view =
        LoginView { name: String::new(), next: "/".to_owned(), set_up_first: false, kept, problem: None };
    ctx.show(StatusCode::UNAUTHORIZED, view).await.unwrap_or_else(|_| ctx.go("/login"))
}

/// Make the first account.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SetupView {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) problem: Option<ProblemView>,
}

impl View for SetupView {
    const TEMPLATE: &'static str = "page/setup.html";
    const NAV: &'static str = "";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for SetupView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            code: s.text("code"),
            name: s.text("mira"),
            version: s.text("0.1.0"),
            problem: Some(ProblemView::sample(s, "name")),
        }]
    }
}

/// An address of this site, or the fleet: a link must not lead elsewhere after the sign-in.
fn inside(next: &str) -> &str {
    let inside = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if inside { next } else { "/" }
}

/// `GET /login`.
pub(crate) async fn login(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    let next = inside(query.get("next").unwrap_or("/")).to_owned();
    if ctx.caller.as_ref().is_some_and(|caller| caller.session.is_some()) {
        return Ok(ctx.go(&next));
    }
    ctx.read(move |ctx, state| {
        let set_up_first = state.operators()?.is_empty() && !ctx.app.fleet.only_reads();
        ctx.page(&LoginView { name: String::new(), next, set_up_first, kept: None, problem: None })
    })
    .await
}

/// `POST /login`.
pub(crate) async fn sign_in(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let (name, next) = (form.text("name"), form.text("next"));
    let next = inside(&next);
    let kept = Kept::back(&form).filter(|kept| inside(&kept.to) == kept.to);
    match core::sign_in(&ctx, &name, Secret::new(form.raw("password"))).await {
        Ok(opened) => match kept {
            Some(kept) => resume(&ctx, &opened, kept).await,
            None => Ok(enter(&ctx, &opened, next)),
        },
        Err(problem) if problem.field.is_some() => {
            let (next, problem_view) = (next.to_owned(), Some((&problem).into()));
            let view = LoginView { name, next, set_up_first: false, kept, problem: problem_view };
            ctx.show(problem.status, view).await
        }
        Err(problem) => Err(problem),
    }
}

/// Signed in again: what was typed is shown with the button that sends it.
async fn resume(ctx: &Ctx, opened: &core::OpenedSession, kept: Kept) -> Result<Response<Body>, Problem> {
    let view = ResumeView { kept, csrf: opened.session.csrf.clone() };
    let mut response = ctx.show(StatusCode::OK, view).await?;
    for cookie in opened.set_cookies() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn enter(ctx: &Ctx, opened: &core::OpenedSession, to: &str) -> Response<Body> {
    let mut response = ctx.go(to);
    for cookie in opened.set_cookies() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// `POST /logout`.
pub(crate) async fn sign_out(ctx: Ctx) -> Result<Response<Body>, Problem> {
    core::sign_out(&ctx).await;
    let mut response = ctx.go("/login");
    let cookie = HeaderValue::from_str(&core::end_cookie(&ctx.app)).map_err(|_| Problem::internal())?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\""));
    Ok(response)
}

fn setup_view(ctx: &Ctx, code: String, name: String, problem: Option<&Problem>) -> SetupView {
    let version = ctx.app.settings.server.version.clone();
    SetupView { code, name, version, problem: problem.map(ProblemView::from) }
}

/// `GET /setup/{code}`.
pub(crate) async fn setup(ctx: Ctx, Path(code): Path<String>) -> Result<Response<Body>, Problem> {
    if !core::is_setup_code(&ctx, &code).await? {
        return Err(Refused::SetupCode.into());
    }
    ctx.show(StatusCode::OK, setup_view(&ctx, code, String::new(), None)).await
}

/// `POST /setup/{code}`.
pub(crate) async fn set_up(
    ctx: Ctx,
    Path(code): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let name = form.text("name");
    match core::set_up(&ctx, &code, &name, Secret::new(form.raw("password"))).await {
        Ok(opened) => Ok(enter(&ctx, &opened, "/")),
        Err(problem) if problem.field.is_some() => {
            let view = setup_view(&ctx, code, name, Some(&problem));
            ctx.show(StatusCode::UNPROCESSABLE_ENTITY, view).await
        }
        Err(problem) => Err(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_nowhere_else() {
        for (next, to) in [
            ("/jobs/01?x=1", "/jobs/01?x=1"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("", "/"),
        ] {
            assert_eq!(inside(next), to);
        }
    }
}
