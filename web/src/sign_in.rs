//! Set-up, sign-in and sign-out: the one core behind the pages and the API.

use crate::app::{App, Ctx};
use crate::limiter::{Admittance, Left, Who};
use crate::origin::origin;
use crate::password::{Asker, objection};
use crate::problem::Problem;
use axum::http::{HeaderValue, StatusCode};
use fleet::record::{Actor, AuditAction, AuditEntry, AuditTarget, Operator, Secret, Session};
use fleet::{By, DEVICE_LIVES_MS, Refused};
use schema::Timestamp;
use subtle::ConstantTimeEq;

/// How long a browser keeps the cookie; the server may end the session before, in seconds.
const COOKIE_SECS: u64 = 30 * 86_400;
/// One browser is known again for so many accounts, the newest ones.
const MOST_MARKS: usize = 4;
/// What parts the marks in the cookie of a browser; none holds it.
const BETWEEN_MARKS: char = '.';

/// A session that was just opened.
pub(crate) struct OpenedSession {
    pub(crate) operator: Operator,
    pub(crate) session: Session,
    cookie: Secret,
    /// By what this browser is known again, for each account that signed in here.
    marks: Secret,
    name: &'static str,
    device: &'static str,
    secure: bool,
}

impl OpenedSession {
    /// The headers that give the browser its cookies: the session's, and the one by which it is known again.
    ///
    /// Lax, not Strict: a link in a mail must lead to its page, and every write carries a token of its own.
    pub(crate) fn set_cookies(&self) -> [HeaderValue; 2] {
        [
            self.cookie(self.name, &self.cookie, COOKIE_SECS),
            self.cookie(self.device, &self.marks, DEVICE_LIVES_MS / 1_000),
        ]
    }

    fn cookie(&self, name: &str, value: &Secret, secs: u64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text =
            format!("{name}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={secs}{secure}", value.expose());
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
pub(crate) async fn set_up(
    ctx: &Ctx,
    code: &str,
    name: &str,
    password: Secret,
) -> Result<OpenedSession, Problem> {
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
pub(crate) async fn sign_in(ctx: &Ctx, name: &str, password: Secret) -> Result<OpenedSession, Problem> {
    let now = ctx.now();
    let asked = name.to_owned();
    let operator = ctx.read(move |_, state| Ok(state.operator(&asked)?)).await?;
    let known = operator.as_ref().and_then(|operator| device_of(ctx, operator));
    let from = origin(&ctx.peer);
    let account = operator.as_ref().map(|operator| operator.name.as_str());
    if let Some(sole) = ctx.app.origins().note(&from, account, ctx.forwarded) {
        tracing::warn!("{}", sole.words());
    }
    let who = known.map_or(Who::Stranger { origin: &from, name }, |(id, _)| Who::Device(id));
    let asker = if known.is_some() { Asker::Known } else { Asker::Stranger };
    let begun = match ctx.app.limiter().begin(now, who) {
        Admittance::Go(begun) => begun,
        Admittance::Wait { until } => return Err(too_many(now, until)),
    };
    let hash = operator.as_ref().map(|operator| operator.password_hash.clone());
    let fits = match ctx.app.passwords.verify(asker, password, hash).await {
        Ok(fits) => fits,
        Err(error) => {
            ctx.app.limiter().undo(begun);
            return Err(error.into());
        }
    };
    let Some(operator) = operator.filter(|_| fits) else {
        let left = ctx.app.limiter().failed(ctx.now(), &begun);
        ctx.app.keep_tries().await;
        refused(ctx, name, "name and password do not match").await;
        return Err(Problem {
            field: Some("password".to_owned()),
            ..Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorised",
                format!("Name and password do not match. {}", what_is_left(left)),
            )
        });
    };
    ctx.app.limiter().succeeded(now, begun);
    ctx.app.keep_tries().await;
    open(ctx, operator).await
}

/// The answer to a try that comes too soon.
pub(crate) fn too_many(now: Timestamp, until: Timestamp) -> Problem {
    let span = crate::format::span(until.ms_since(now).max(1_000));
    Problem {
        field: Some("password".to_owned()),
        ..Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            format!("Too many attempts. Try again in {span}."),
        )
    }
}

/// What a wrong try leaves, in words.
pub(crate) fn what_is_left(left: Left) -> String {
    match left.tries {
        0 => format!("Try again in {}.", crate::format::span(left.wait_ms)),
        1 => "1 attempt left before you have to wait.".to_owned(),
        tries => format!("{tries} attempts left before you have to wait."),
    }
}

/// Which browser this is, and its mark, when it has signed in to this account before.
fn device_of<'a>(ctx: &'a Ctx, operator: &Operator) -> Option<([u8; 16], &'a str)> {
    let marks = ctx.device.as_ref()?.expose().split(BETWEEN_MARKS).take(MOST_MARKS);
    marks.filter_map(|mark| Some((ctx.app.fleet.known_device(mark, operator)?, mark))).next()
}

/// What the browser is given to be known again: its mark for this account first, then those of other accounts.
fn marks(ctx: &Ctx, operator: &Operator) -> Secret {
    let fleet = &ctx.app.fleet;
    let own =
        device_of(ctx, operator).map_or_else(|| fleet.mark_device(operator), |(_, mark)| Secret::new(mark));
    let sent = ctx.device.as_ref().map(Secret::expose).unwrap_or_default();
    let others = sent
        .split(BETWEEN_MARKS)
        .filter(|mark| !mark.is_empty() && mark.len() <= 512 && *mark != own.expose())
        .filter(|mark| mark.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    let all: Vec<&str> = [own.expose()].into_iter().chain(others).take(MOST_MARKS).collect();
    Secret::new(all.join("."))
}

async fn open(ctx: &Ctx, operator: Operator) -> Result<OpenedSession, Problem> {
    let (cookie, session) = ctx.app.fleet.open_session(&operator.name, &ctx.peer).await?;
    Ok(OpenedSession {
        marks: marks(ctx, &operator),
        operator,
        session,
        cookie,
        name: ctx.app.cookie_name(),
        device: ctx.app.device_cookie_name(),
        secure: ctx.app.settings.secure_cookies,
    })
}

/// Ends the session of the caller.
pub(crate) async fn sign_out(ctx: &Ctx) {
    if let Some(session) = ctx.caller.as_ref().and_then(|caller| caller.session.as_ref()) {
        ctx.app.fleet.close_session(session.cookie.expose(), ctx.by().peer).await;
    }
}

async fn refused(ctx: &Ctx, name: &str, detail: &str) {
    // Whatever was typed as a name may be a password: only a name that could be one is written down.
    let account = if schema::name::is_valid(name) { name } else { "unknown" };
    let entry = AuditEntry {
        at: ctx.now(),
        actor: Actor::Operator(account.to_owned()),
        action: AuditAction::OperatorSignInRefused,
        target: AuditTarget::Account(account.to_owned()),
        peer: ctx.peer.clone(),
        detail: detail.to_owned(),
    };
    ctx.app.fleet.audit(entry).await;
}
