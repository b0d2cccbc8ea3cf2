//! Set-up, sign-in and sign-out: the one core behind the pages and the API.

use crate::app::{App, Ctx};
use crate::limiter::Verdict;
use crate::password::objection;
use crate::problem::Problem;
use axum::http::{HeaderValue, StatusCode};
use fleet::record::{Actor, AuditEntry, AuditTarget, Operator, Secret, Session};
use fleet::{By, Refused};
use subtle::ConstantTimeEq;

/// How long a browser keeps the cookie; the server may end the session before, in seconds.
const COOKIE_SECS: u64 = 30 * 86_400;

/// A session that was just opened.
pub(crate) struct Opened {
    pub(crate) operator: Operator,
    pub(crate) session: Session,
    cookie: Secret,
    name: &'static str,
    secure: bool,
}

impl Opened {
    /// The header that gives the browser its cookie.
    ///
    /// Lax, not Strict: a link in a mail must lead to its page, and every write carries a token of its own.
    pub(crate) fn set_cookie(&self) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={COOKIE_SECS}{secure}",
            self.name,
            self.cookie.expose()
        );
        let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

/// The header that takes the cookie away.
pub(crate) fn end_cookie(app: &App) -> String {
    let secure = if app.settings.secure_cookies { "; Secure" } else { "" };
    format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}", app.cookie_name())
}

/// Whether this is the code of the set-up link.
pub(crate) async fn is_setup_code(ctx: &Ctx, code: &str) -> Result<bool, Problem> {
    let Some(right) = ctx.app.fleet.setup_code().await? else { return Err(Refused::SetupClosed.into()) };
    Ok(right.expose().as_bytes().ct_eq(code.as_bytes()).into())
}

/// Makes the first account and signs it in.
pub(crate) async fn set_up(ctx: &Ctx, code: &str, name: &str, password: Secret) -> Result<Opened, Problem> {
    // The code first: a stranger must not make the server hash.
    if !is_setup_code(ctx, code).await? {
        return Err(Refused::SetupCode.into());
    }
    check_name(name)?;
    if let Some(objection) = objection(password.expose()) {
        return Err(Problem::invalid("password", objection));
    }
    let hash = ctx.app.passwords.hash(password).await?;
    let by = By { actor: Actor::Operator(name.to_owned()), peer: ctx.peer.clone() };
    let operator = ctx.app.fleet.set_up(code, name, hash, by).await?;
    open(ctx, operator).await
}

/// Whether a name can be an account's.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    if schema::name::is_valid(name) {
        Ok(())
    } else {
        Err(Problem::invalid(
            "name",
            "A name has 1 to 63 letters, digits, dots, dashes or underscores and begins with a letter or a digit.",
        ))
    }
}

/// Signs in with name and password.
pub(crate) async fn sign_in(ctx: &Ctx, name: &str, password: Secret) -> Result<Opened, Problem> {
    let now = ctx.now();
    let verdict = ctx.app.limiter().try_once(now, &ctx.peer, name);
    let left = match verdict {
        Verdict::Go { left } => left,
        Verdict::Wait { until } => {
            let span = crate::format::span(until.ms_since(now));
            return Err(Problem {
                field: Some("password".to_owned()),
                ..Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    format!("Too many tries from this address. The next one counts in {span}."),
                )
            });
        }
    };
    let operator = ctx.read()?.operator(name)?;
    let hash = operator.as_ref().map(|operator| operator.password_hash.clone());
    let fits = ctx.app.passwords.verify(password, hash).await?;
    let Some(operator) = operator.filter(|_| fits) else {
        audit(ctx, name, "operator.sign_in_refused", "name and password do not match").await;
        let tries = match left {
            0 => "No try".to_owned(),
            left => crate::format::many(u64::from(left), "try").replace("trys", "tries"),
        };
        return Err(Problem {
            field: Some("password".to_owned()),
            ..Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorised",
                format!("Name and password do not match. {tries} left in this quarter of an hour."),
            )
        });
    };
    ctx.app.limiter().signed_in(&ctx.peer, name);
    open(ctx, operator).await
}

async fn open(ctx: &Ctx, operator: Operator) -> Result<Opened, Problem> {
    let (cookie, session) = ctx.app.fleet.open_session(&operator.name, &ctx.peer).await?;
    Ok(Opened {
        operator,
        session,
        cookie,
        name: ctx.app.cookie_name(),
        secure: ctx.app.settings.secure_cookies,
    })
}

/// Ends the session of the caller.
pub(crate) async fn sign_out(ctx: &Ctx) {
    if let Some(session) = ctx.caller.as_ref().and_then(|caller| caller.session.as_ref()) {
        ctx.app.fleet.close_session(session.cookie.expose(), ctx.by().peer).await;
    }
}

async fn audit(ctx: &Ctx, name: &str, action: &str, detail: &str) {
    // Whatever was typed as a name may be a password: only a name that could be one is written down.
    let account = if schema::name::is_valid(name) { name } else { "unknown" };
    let entry = AuditEntry {
        at: ctx.now(),
        actor: Actor::Operator(account.to_owned()),
        action: action.to_owned(),
        target: AuditTarget::Account(account.to_owned()),
        peer: ctx.peer.clone(),
        detail: detail.to_owned(),
    };
    ctx.app.fleet.audit(entry).await;
}
