//! Adding a host: name it, run two commands, wait until it connects, give it something to do.

use super::bar::BarView;
use super::head::facts_line;
use super::problem_view::ProblemView;
use super::run_button::RunButton;
use crate::api::dto::enroll_command;
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{When, duration, many};
use crate::problem::Problem;
use crate::rights::Rights;
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode};
use fleet::record::TokenMachine;
use fleet::{FleetState, JobRequest, NewEnrollToken, Refused};
use schema::{Epoch, HostId, Slot};
use serde::Serialize;

/// The form.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewHostView {
    pub(crate) name: String,
    pub(crate) labels: String,
    pub(crate) rights: Rights,
    /// Whether the rights are shown at once.
    pub(crate) open: bool,
    pub(crate) problem: Option<ProblemView>,
}

impl View for NewHostView {
    const TEMPLATE: &'static str = "page/host-new.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for NewHostView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            name: s.text("boat-pi"),
            labels: s.text("boats, attic"),
            rights: Rights::sample(s),
            open: true,
            problem: Some(ProblemView::sample(s, "labels")),
        }]
    }
}

/// When a token was used, and from where.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UsedView {
    pub(crate) when: When,
    pub(crate) peer: String,
}

/// The steps of an enrolment.
#[derive(Clone, Serialize)]
pub(crate) struct EnrolView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) labels: Vec<String>,
    /// Whether the token is for a machine that takes the place of the host's.
    pub(crate) replaces: bool,
    /// Whether backups are held, for another machine took the host's place.
    pub(crate) held: bool,
    /// Whether the host has come.
    pub(crate) here: bool,
    pub(crate) used: Option<UsedView>,
    /// The enrolment command; only the first time that the page is shown after the token was created.
    pub(crate) command: Option<String>,
    pub(crate) expires: Option<When>,
    /// What the command allows, for the next token.
    pub(crate) rights: Rights,
    /// Whether they are shown at once.
    pub(crate) open: bool,
    /// What was wrong with them.
    pub(crate) problem: Option<ProblemView>,
    pub(crate) mqtt: Vec<String>,
    pub(crate) bar: Option<BarView>,
    pub(crate) here_title: String,
    pub(crate) here_facts: String,
    pub(crate) has_credentials: bool,
    pub(crate) test: Option<String>,
    pub(crate) has_group: bool,
    pub(crate) group_text: Option<String>,
    pub(crate) first: RunButton,
    pub(crate) first_action: String,
    /// What the first backup saved.
    pub(crate) done: Option<String>,
    pub(crate) has_admin: bool,
}

impl View for EnrolView {
    const TEMPLATE: &'static str = "page/enrol.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["enrol", "enrol-wait"];
}

#[cfg(test)]
impl crate::sample::Samples for EnrolView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let step = |here: bool, used: bool| Self {
            id: "01".to_owned(),
            name: s.text("boat-pi"),
            href: "/hosts/01".to_owned(),
            labels: vec![s.text("boats")],
            replaces: false,
            held: false,
            here,
            used: used.then(|| UsedView { when: s.when(), peer: s.text("192.0.2.7") }),
            command: s.some("holdfast-agent enroll hf1.token"),
            expires: Some(s.when()),
            rights: Rights::sample(s),
            open: false,
            problem: Some(ProblemView::sample(s, "repositories")),
            mqtt: vec![s.text("fleet.lan:8883")],
            bar: None,
            here_title: s.text("Connected 12 s after it was enrolled"),
            here_facts: s.text("Debian GNU/Linux 12, aarch64. Agent 0.1.0, restic 0.18.0."),
            has_credentials: false,
            test: s.some("Tested 5 min ago, all well."),
            has_group: false,
            group_text: s.some("media: /srv/media"),
            first: RunButton::sample(s),
            first_action: "/x".to_owned(),
            done: None,
            has_admin: false,
        };
        vec![
            step(false, false),
            step(false, true),
            step(true, true),
            Self { replaces: true, ..step(false, false) },
            Self { held: true, ..step(true, true) },
        ]
    }
}

/// `GET /hosts/new`.
pub(crate) async fn new(ctx: Ctx) -> Result<Response<Body>, Problem> {
    let (rights, open) = (Rights::default(), false);
    let view = NewHostView { name: String::new(), labels: String::new(), rights, open, problem: None };
    ctx.show(StatusCode::OK, view).await
}

/// On to the page that shows the command, once. That one can be loaded again without creating another token.
fn go_with(ctx: &Ctx, host: HostId, token: NewEnrollToken, rights: Rights) -> Response<Body> {
    let page = format!("/hosts/{host}/enrol");
    ctx.app.enrolments().leave(ctx.now(), &ctx.by().actor, &page, (token, rights));
    ctx.go(&page)
}

/// `POST /hosts`.
pub(crate) async fn create(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let (name, labels) = (form.text("name"), form.words("labels"));
    let rights = Rights::of_form(&form);
    let made = match rights.clone().checked() {
        Ok(_) => ctx.app.fleet.create_host(&name, labels, ctx.by()).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match made {
        Ok((host, token)) => Ok(go_with(&ctx, host.id, token, rights)),
        Err(problem) if problem.is_about_input() => {
            let open = !rights.are_default();
            let problem_view = Some((&problem).into());
            let view = NewHostView { name, labels: form.text("labels"), rights, open, problem: problem_view };
            ctx.show(problem.status, view).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /hosts/{host}/enroll-token`: the same for a host that is there.
pub(crate) async fn new_token(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    let (rights, replaces) = (Rights::of_form(&form), form.has("replacement"));
    if let Err(problem) = rights.clone().checked() {
        return ctx
            .answer(move |ctx, state| {
                let problem_view = Some((&problem).into());
                let blank = read(ctx, state, host.id, None)?;
                let view = EnrolView { rights, replaces, open: true, problem: problem_view, ..blank };
                ctx.page_with(problem.status, &view)
            })
            .await;
    }
    let machine = if replaces { TokenMachine::Replacement } else { TokenMachine::Any };
    let token = ctx.app.fleet.new_enroll_token(host.id, machine, ctx.by()).await?;
    Ok(go_with(&ctx, host.id, token, rights))
}

/// `GET /hosts/{host}/enrol`.
pub(crate) async fn show(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let new = match ctx.part {
            None => {
                let page = format!("/hosts/{}/enrol", host.id);
                ctx.app.enrolments().take(ctx.now(), &ctx.by().actor, &page)
            }
            Some(_) => None,
        };
        let view = read(ctx, state, host.id, new.as_ref())?;
        // The line above stays as it is until it has been used; then all steps are replaced.
        if ctx.part.as_deref() == Some("enrol-wait") && (view.here || view.used.is_some()) {
            let mut response = ctx.fragment(StatusCode::OK, "enrol", &view)?;
            response.headers_mut().insert("hx-retarget", HeaderValue::from_static("#enrol"));
            response.headers_mut().insert("hx-reswap", HeaderValue::from_static("outerMorph"));
            return Ok(response);
        }
        ctx.page(&view)
    })
    .await
}

fn read(
    ctx: &Ctx,
    state: &FleetState,
    id: HostId,
    made: Option<&(NewEnrollToken, Rights)>,
) -> Result<EnrolView, Problem> {
    let new = made.map(|(token, _)| token);
    let row = state.host_row(id).ok_or(Refused::HostNotFound)?;
    let now = ctx.now();
    let token = state.enroll_token(id)?;
    let waiting = token.as_ref().is_some_and(|token| token.used.is_none() && token.expires_at > now);
    // An enrolment alone is no connection: the agent may not have been started yet.
    let seen = row.presence.epoch > Epoch::ZERO || row.presence.wire_problem.is_some();
    let here = new.is_none() && row.host.enrolled_at.is_some() && seen && !waiting;
    let used = token.as_ref().and_then(|token| token.used.as_ref());
    let after = used.and_then(|used| {
        let since = row.presence.changed_at.filter(|_| row.presence.online)?;
        Some(match since.ms_since(used.0) / 1_000 {
            0 => "right".to_owned(),
            secs => duration(secs),
        })
    });
    let groups = state.groups(id)?;
    let repo = state.repo(id)?;
    let href = format!("/hosts/{id}");
    let (first, first_action) = match groups.first() {
        None => {
            let why = Some("Needs a source group.".to_owned());
            (RunButton { label: "Back up".to_owned(), why, ..RunButton::default() }, String::new())
        }
        Some(group) => {
            let request = JobRequest::Backup { group: group.name.clone() };
            let run = RunButton::new(state, id, &request, "Back up")?;
            (RunButton { primary: true, ..run }, format!("{href}/groups/{}/backup", group.name))
        }
    };
    Ok(EnrolView {
        id: id.to_string(),
        name: row.host.name.clone(),
        labels: row.host.labels.clone(),
        replaces: token.as_ref().is_some_and(|token| token.machine == TokenMachine::Replacement),
        held: row.host.backups_held.is_some(),
        here,
        used: used.map(|used| UsedView { when: When::ago(now, used.0), peer: used.1.clone() }),
        command: made.map(|(token, rights)| enroll_command(token, rights)),
        rights: made.map(|(_, rights)| rights.clone()).unwrap_or_default(),
        open: false,
        problem: None,
        expires: match new {
            Some(new) => Some(When::until(new.token.expires_at)),
            None => token.filter(|_| waiting).map(|token| When::until(token.expires_at)),
        },
        mqtt: ctx.app.settings.server.mqtt.iter().take(1).map(|listener| listener.address.clone()).collect(),
        bar: BarView::new(now, &row, &(ctx.app.settings.refused_connections)().rows),
        here_title: match (after, row.presence.online) {
            (Some(after), _) => format!("Connected {after} after it was enrolled"),
            (None, true) => "Connected".to_owned(),
            (None, false) => "Enrolled; offline right now".to_owned(),
        },
        here_facts: here_facts(&row),
        has_credentials: row.has_repo_credentials,
        test: repo.tested.as_ref().map(|tested| {
            let ago = crate::format::ago(now, tested.at);
            if tested.well { format!("Tested {ago}, all well.") } else { format!("The test {ago} failed.") }
        }),
        has_group: !groups.is_empty(),
        group_text: groups.first().map(|group| format!("{}: {}", group.name, group.includes.join(", "))),
        first,
        first_action,
        done: row.last_good_at.map(|at| {
            let files = row.last_backup().and_then(|job| match &job.figures {
                fleet::record::JobFigures::Backup(figures) => Some(many(figures.total_files, "file")),
                _ => None,
            });
            let files = files.map(|files| format!(", {files}")).unwrap_or_default();
            format!("Done {}{files}.", crate::format::ago(now, at))
        }),
        has_admin: state.credentials(id, Slot::Admin)?.is_some(),
        href,
    })
}

fn here_facts(row: &fleet::HostRow) -> String {
    let facts = row.host.facts.as_ref();
    let mut line = facts_line(facts, row.presence.peer.as_deref());
    if let Some(facts) = facts {
        let restic = match facts.restic_version.as_str() {
            "" if row.presence.epoch == Epoch::ZERO => "restic unknown yet".to_owned(),
            "" => "restic is not installed there".to_owned(),
            version => format!("restic {version}"),
        };
        line = format!("{line}. Agent {}, {restic}.", facts.agent_version);
    }
    line
}
