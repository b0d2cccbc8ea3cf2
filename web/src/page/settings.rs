//! Accounts of all sorts, and facts of the server. For admins.

use super::fact::Fact;
use super::problem_view::ProblemView;
use super::restoration;
use crate::account;
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{When, ago, bytes, count, many};
use crate::lockout::{HeldUp, held_up};
use crate::new_secret::Minted;
use crate::problem::Problem;
use crate::server_facts::TaskFacts;
use crate::template::View;
use crate::trouble::in_trouble;
use crate::words::Badge;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, header};
use axum::response::IntoResponse;
use fleet::record::{ApiToken, Operator, Role, Scope, Secret, Viewer};
use fleet::{FleetState, Found, Scrub};
use schema::Timestamp;
use serde::Serialize;

/// An operator's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OperatorRow {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) signed_in: Option<When>,
}

/// An API token's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ApiTokenRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scopes: String,
    pub(crate) created: When,
    pub(crate) by: String,
    pub(crate) used: Option<When>,
}

/// A view account's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ViewerRow {
    pub(crate) name: String,
    pub(crate) sees: &'static str,
    pub(crate) created: When,
    pub(crate) by: String,
}

/// Somebody who has to wait after wrong passwords.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HeldRow {
    pub(crate) from: String,
    pub(crate) listener: &'static str,
    pub(crate) account: Option<String>,
    pub(crate) failures: String,
    pub(crate) until: When,
}

/// A form for a new account, as typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccountForm {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) debug: bool,
    pub(crate) problem: Option<ProblemView>,
}

impl AccountForm {
    fn blank(role: Role) -> Self {
        Self { name: String::new(), role: role.as_str().to_owned(), debug: false, problem: None }
    }

    fn typed(form: &Form, problem: &Problem) -> Self {
        Self {
            name: form.text("name"),
            role: form.text("role"),
            debug: form.has("debug"),
            problem: Some(ProblemView {
                field: problem.field.clone().or_else(|| Some("name".to_owned())),
                message: problem.message.clone(),
            }),
        }
    }
}

/// A scope of the form for a new token.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScopeChoice {
    pub(crate) word: &'static str,
    pub(crate) what: &'static str,
    pub(crate) chosen: bool,
}

impl ScopeChoice {
    fn all(chosen: impl Fn(&str) -> bool) -> Vec<Self> {
        let choice = |scope: Scope| Self {
            word: scope.as_str(),
            what: what_for(scope),
            chosen: chosen(scope.as_str()),
        };
        Scope::ALL.map(choice).into()
    }
}

const fn what_for(scope: Scope) -> &'static str {
    match scope {
        Scope::Metrics => "Figures for Prometheus.",
        Scope::Read => "Everything that a viewer sees.",
        Scope::Run => "Starts and cancels jobs.",
        Scope::Restore => "Restores files, looks for them and downloads them.",
        Scope::Write => "Changes hosts, credentials, source groups and schedules.",
        Scope::Admin => "Accounts and tokens, and so everything.",
    }
}

/// The page.
#[derive(Clone, Serialize)]
pub(crate) struct SettingsView {
    pub(crate) roles: [&'static str; 3],
    pub(crate) operators: Vec<OperatorRow>,
    pub(crate) tokens: Vec<ApiTokenRow>,
    pub(crate) viewers: Vec<ViewerRow>,
    pub(crate) operator: AccountForm,
    pub(crate) token: AccountForm,
    pub(crate) scopes: Vec<ScopeChoice>,
    pub(crate) viewer: AccountForm,
    /// What is wrong with a change of an operator.
    pub(crate) changing: Option<String>,
    pub(crate) minted: Option<Minted>,
    /// How the archives of the server stand.
    pub(crate) archives: (Badge, String),
    /// Whether incidents are told.
    pub(crate) notices: (Badge, String),
    /// How the break-glass kits stand.
    pub(crate) kits: (Badge, String),
    /// What became of the last restore of the server; `None` = there was none.
    pub(crate) restoration: Option<(Badge, String)>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) has_ca: bool,
    /// Everybody comes from one address, in words.
    pub(crate) sole_origin: Option<String>,
    pub(crate) held: Vec<HeldRow>,
    /// More of them than are shown, in words.
    pub(crate) held_more: Option<String>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for SettingsView {
    const TEMPLATE: &'static str = "page/settings.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for SettingsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let form = || AccountForm {
            name: s.text("janne"),
            role: s.text("viewer"),
            debug: true,
            problem: Some(ProblemView::sample(s, "name")),
        };
        vec![Self {
            roles: ["viewer", "operator", "admin"],
            operators: vec![OperatorRow { name: s.text("janne"), role: "admin", signed_in: Some(s.when()) }],
            tokens: vec![ApiTokenRow {
                id: "01".to_owned(),
                name: s.text("prometheus"),
                scopes: s.text("metrics"),
                created: s.when(),
                by: s.text("mira"),
                used: None,
            }],
            viewers: vec![ViewerRow {
                name: s.text("home-assistant"),
                sees: "the view tree",
                created: s.when(),
                by: s.text("mira"),
            }],
            operator: form(),
            token: form(),
            scopes: vec![ScopeChoice { word: "read", what: "Everything that a viewer sees.", chosen: true }],
            viewer: form(),
            changing: s.some("This is the last admin."),
            minted: Some(Minted {
                title: s.text("API token prometheus"),
                text: "Copy it now: it is not shown again.",
                needs_ca: true,
                lines: vec![("The token", s.text("hft_token"))],
            }),
            archives: (Badge::new("ok", "Up to date"), "The newest was made 3 h ago.".to_owned()),
            notices: (
                Badge::new("warning", "nobody is told"),
                "Who does not look here hears of nothing.".to_owned(),
            ),
            kits: (Badge::new("warning", "Too old"), "The kit of 12 Nov lacks 2 hosts.".to_owned()),
            restoration: Some((Badge::new("warning", "Not all back"), "Restored 3 h ago.".to_owned())),
            facts: Fact::samples(s),
            has_ca: true,
            sole_origin: s.some("Everybody signs in from 192.0.2.1."),
            held: vec![HeldRow {
                from: s.text("192.0.2.9"),
                listener: "MQTT",
                account: s.some("nils"),
                failures: s.text("wrong password"),
                until: s.when(),
            }],
            held_more: s.some("And 3 more."),
            problem: Some(ProblemView { field: None, message: s.text("That was refused.") }),
        }]
    }
}

fn read(ctx: &Ctx, state: &FleetState) -> Result<SettingsView, Problem> {
    let now = ctx.now();
    let (held, more) = held_up(ctx, state)?;
    let kits = crate::words::kits(&state.kits()?);
    let notices = crate::words::notices(&state.channels()?, &state.routes()?);
    let archives =
        crate::words::archives(now, &ctx.app.settings.archives.status()?, &ctx.app.fleet.standbys()?);
    Ok(SettingsView {
        sole_origin: ctx.app.origins().sole().map(|sole| sole.words()),
        held: held.into_iter().map(|held| held_row(now, held)).collect(),
        held_more: (more > 0).then(|| format!("And {more} more.")),
        roles: Role::ALL.map(Role::as_str),
        operators: state.operators()?.into_iter().map(|o| operator_row(now, o)).collect(),
        tokens: state.api_tokens()?.into_iter().map(|token| token_row(now, token)).collect(),
        viewers: state.viewers()?.into_iter().map(|viewer| viewer_row(now, viewer)).collect(),
        operator: AccountForm::blank(Role::Operator),
        token: AccountForm::blank(Role::Viewer),
        scopes: ScopeChoice::all(|word| word == Scope::Metrics.as_str()),
        viewer: AccountForm::blank(Role::Viewer),
        changing: None,
        minted: None,
        archives: (Badge::new(archives.state, archives.short), archives.sentence),
        notices: (Badge::new(notices.state, notices.short), notices.sentence),
        kits: (Badge::new(kits.state, kits.short), kits.sentence),
        restoration: restoration::in_settings(now, state, ctx.app.fleet.former_server()?.as_ref())?,
        facts: facts(ctx, now, state.storage_bytes()),
        has_ca: !(ctx.app.settings.ca_pem)().is_empty(),
        problem: None,
    })
}

fn operator_row(now: Timestamp, operator: Operator) -> OperatorRow {
    OperatorRow {
        name: operator.name,
        role: operator.role.as_str(),
        signed_in: operator.signed_in_at.map(|at| When::ago(now, at)),
    }
}

fn token_row(now: Timestamp, token: ApiToken) -> ApiTokenRow {
    ApiTokenRow {
        id: token.id,
        name: token.name,
        scopes: token.scopes.to_string(),
        created: When::ago(now, token.created_at),
        by: crate::words::by(&token.created_by),
        used: token.used_at.map(|at| When::ago(now, at)),
    }
}

fn viewer_row(now: Timestamp, viewer: Viewer) -> ViewerRow {
    ViewerRow {
        name: viewer.name,
        sees: if viewer.debug { "the view tree and the sealed topics" } else { "the view tree" },
        created: When::ago(now, viewer.created_at),
        by: crate::words::by(&viewer.created_by),
    }
}

fn held_row(now: Timestamp, held: HeldUp) -> HeldRow {
    HeldRow {
        from: held.origin.unwrap_or_else(|| "from everywhere".to_owned()),
        listener: if held.listener == "mqtt" { "MQTT" } else { "pages" },
        account: held.account,
        failures: many(u64::from(held.failures), "wrong password"),
        until: When::ago(now, held.until),
    }
}

fn facts(ctx: &Ctx, now: Timestamp, storage_bytes: u64) -> Vec<Fact> {
    let settings = &ctx.app.settings;
    let broker = (settings.broker)();
    let mut facts = vec![
        Fact::new("Version", &settings.server.version),
        Fact::new("Started", ago(now, settings.server.started_at))
            .note(crate::format::exact(settings.server.started_at)),
        Fact::new("Pages", &settings.public_url),
    ];
    for listener in &settings.server.mqtt {
        let how = if listener.tls { "TLS" } else { "without TLS, this machine only" };
        facts.push(Fact::new("MQTT", &listener.address).note(how));
    }
    facts.push(tasks((settings.tasks)()));
    facts.push(
        Fact::new("Connected", many(u64::from(broker.hosts), "host"))
            .note(many(u64::from(broker.viewers), "viewer")),
    );
    for certificate in (settings.certificates)() {
        let ends = certificate.ends_at.map_or_else(|| "end not known".to_owned(), |at| ends_in(now, at));
        let exact = certificate.ends_at.map(crate::format::exact).unwrap_or_default();
        facts.push(Fact::new(certificate.of, ends).note(format!("{exact}; {}", certificate.renewed)));
    }
    let file = Fact::new("Data file", bytes(storage_bytes));
    facts.push(match (settings.space_left)() {
        Some(left) => file.note(format!("{} left on its disk", bytes(left))),
        None => file,
    });
    facts.push(scrubbed(now, ctx.app.fleet.last_scrub()));
    facts
}

/// What the last look through the data file has found.
fn scrubbed(now: Timestamp, scrub: Option<Scrub>) -> Fact {
    let of = "Data file check";
    let Some(scrub) = scrub else { return Fact::new(of, "not since the start; runs by itself") };
    let fact = Fact::new(of, ago(now, scrub.at));
    match scrub.found {
        Found::Well(rows) => fact.note(format!("no errors, {}", many(rows, "row"))),
        Found::Damage(why) => fact.note(format!("damaged: {why}")),
        Found::Failed(why) => fact.note(format!("failed: {why}")),
    }
}

/// How what runs beside the pages is.
fn tasks(tasks: Vec<TaskFacts>) -> Fact {
    let restarts: u64 = tasks.iter().map(|task| task.restarts).sum();
    let number = tasks.len() as u64;
    let fact = match in_trouble(tasks) {
        Some(trouble) => Fact::new("Tasks", trouble),
        None => Fact::new("Tasks", format!("all {} healthy", count(number))),
    };
    match restarts {
        0 => fact,
        _ => fact.note(format!("restarted {} after a fault: see the server's log", many(restarts, "time"))),
    }
}

/// When a certificate ends, in words.
fn ends_in(now: Timestamp, at: Timestamp) -> String {
    if at <= now { format!("ended {}", ago(now, at)) } else { format!("ends {}", ago(now, at)) }
}

const PAGE: &str = "/settings";

/// `GET /settings`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(|ctx, state| {
        let minted = ctx.app.minted().take(ctx.now(), &ctx.by().actor, PAGE);
        ctx.page(&SettingsView { minted, ..read(ctx, state)? })
    })
    .await
}

/// The settings with what was typed, and why it was not taken.
async fn show_again(
    ctx: &Ctx,
    problem: Problem,
    typed: impl FnOnce(SettingsView) -> SettingsView + Send + 'static,
) -> Result<Response<Body>, Problem> {
    ctx.answer(move |ctx, state| ctx.page_with(problem.status, &typed(read(ctx, state)?))).await
}

/// Back to the settings, which show what was minted, once.
fn go_with(ctx: &Ctx, minted: Minted) -> Response<Body> {
    ctx.app.minted().leave(ctx.now(), &ctx.by().actor, PAGE, minted);
    ctx.go(&format!("{PAGE}#minted"))
}

/// `GET /ca.pem`.
pub(crate) async fn ca(ctx: Ctx) -> Result<Response<Body>, Problem> {
    match (ctx.app.settings.ca_pem)().as_str() {
        "" => Err(Problem::not_found("This server has no certificate of its own.")),
        pem => Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem.to_owned()).into_response()),
    }
}

/// `POST /operators`.
pub(crate) async fn create_operator(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let made = async {
        let role = account::role(form.raw("role"))?;
        account::create_operator(&ctx, &form.text("name"), role, Secret::new(form.raw("password"))).await
    };
    match made.await {
        Ok(_) => Ok(ctx.go("/settings#operators")),
        Err(problem) if problem.is_about_input() => {
            let operator = AccountForm::typed(&form, &problem);
            show_again(&ctx, problem, |view| SettingsView { operator, ..view }).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /operators/{name}`.
pub(crate) async fn update_operator(
    ctx: Ctx,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let changed = async {
        let role = account::role(form.raw("role"))?;
        let now = account::find_operator(&ctx, &name).await?.role;
        let role = Some(role).filter(|role| *role != now);
        account::update_operator(&ctx, &name, role, form.secret("password")).await
    };
    answer_change(&ctx, &name, changed.await.map(|_| ())).await
}

/// `POST /operators/{name}/delete`.
pub(crate) async fn delete_operator(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    let deleted = ctx.app.fleet.delete_operator(&name, ctx.by()).await.map_err(Problem::from);
    answer_change(&ctx, &name, deleted).await
}

async fn answer_change(
    ctx: &Ctx,
    name: &str,
    result: Result<(), Problem>,
) -> Result<Response<Body>, Problem> {
    match result {
        Ok(()) => Ok(ctx.go("/settings#operators")),
        Err(problem) if problem.is_about_input() => {
            let changing = Some(format!("{name}: {}", problem.message));
            show_again(ctx, problem, |view| SettingsView { changing, ..view }).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /tokens`.
pub(crate) async fn create_token(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let made = async {
        let scopes = account::scopes(&form.all("scopes"))?;
        Ok::<_, Problem>(ctx.app.fleet.create_api_token(&form.text("name"), scopes, ctx.by()).await?)
    };
    match made.await {
        Ok((token, secret)) => {
            let minted = Minted {
                title: format!("API token {}", token.name),
                text: "Copy it now: it is not shown again.",
                needs_ca: false,
                lines: vec![("The token", secret.expose().to_owned())],
            };
            Ok(go_with(&ctx, minted))
        }
        Err(problem) if problem.is_about_input() => {
            let token = AccountForm::typed(&form, &problem);
            let typed = form.all("scopes");
            let scopes = ScopeChoice::all(|word| typed.iter().any(|typed| typed == word));
            show_again(&ctx, problem, |view| SettingsView { token, scopes, ..view }).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /tokens/{id}/delete`.
pub(crate) async fn delete_token(ctx: Ctx, Path(id): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.delete_api_token(&id, ctx.by()).await?;
    Ok(ctx.go("/settings#tokens"))
}

/// `POST /viewers`.
pub(crate) async fn create_viewer(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    match ctx
        .app
        .fleet
        .create_viewer(&form.text("name"), form.has("debug"), ctx.by())
        .await
        .map_err(Problem::from)
    {
        Ok((viewer, secret)) => {
            let minted = Minted {
                title: format!("MQTT viewer {}", viewer.name),
                text: "Copy it now: it is not shown again.",
                needs_ca: ctx.app.settings.server.mqtt.iter().any(|listener| listener.tls),
                lines: [("The password", secret.expose().to_owned())]
                    .into_iter()
                    .chain(account::view_commands(&ctx.app, &viewer.name, secret.expose()))
                    .collect(),
            };
            Ok(go_with(&ctx, minted))
        }
        Err(problem) if problem.is_about_input() => {
            let viewer = AccountForm::typed(&form, &problem);
            show_again(&ctx, problem, |view| SettingsView { viewer, ..view }).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /viewers/{name}/delete`.
pub(crate) async fn delete_viewer(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.delete_viewer(&name, ctx.by()).await?;
    Ok(ctx.go("/settings#viewers"))
}
