//! The form of a route of notices.

use super::choice::{CauseChoice, Choice};
use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::template::View;
use ::fleet::record::{Cause, RouteState, Severity};
use ::fleet::{ChannelView, FleetState, Refused, RouteInput, RouteView};
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use serde::Serialize;

/// A channel to choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChannelChoice {
    pub(crate) name: String,
    pub(crate) chosen: bool,
}

/// The form: all as typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RouteFormView {
    /// The stored name; `None` = new.
    pub(crate) old_name: Option<String>,
    pub(crate) action: String,
    pub(crate) name: String,
    pub(crate) states: Vec<Choice>,
    pub(crate) leasts: Vec<Choice>,
    pub(crate) labels: String,
    pub(crate) causes: Vec<CauseChoice>,
    /// Not all of them are told.
    pub(crate) some_causes: bool,
    pub(crate) quiet_from: String,
    pub(crate) quiet_until: String,
    pub(crate) timezone: String,
    pub(crate) channels: Vec<ChannelChoice>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for RouteFormView {
    const TEMPLATE: &'static str = "page/notice-route.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for RouteFormView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let view = Self {
            old_name: s.some("everything"),
            action: "/notices/routes/everything".to_owned(),
            name: s.text("everything"),
            states: states("on"),
            leasts: leasts("warning"),
            labels: s.text("nas"),
            causes: vec![
                CauseChoice { code: s.text("missed"), chosen: false },
                CauseChoice { code: s.text("offline"), chosen: true },
            ],
            some_causes: true,
            quiet_from: s.text("22:00"),
            quiet_until: s.text("07:00"),
            timezone: s.text("Europe/Helsinki"),
            channels: vec![ChannelChoice { name: s.text("mail"), chosen: true }],
            problem: None,
        };
        let new = Self { old_name: None, channels: Vec::new(), ..view.clone() };
        let wrong = |field| Self { problem: Some(ProblemView::sample(s, field)), ..new.clone() };
        let fields = [
            "name",
            "state",
            "least",
            "labels",
            "causes",
            "quiet_from",
            "quiet_until",
            "timezone",
            "channels",
        ];
        let mut views = vec![view, new.clone()];
        views.extend(fields.map(wrong));
        views
    }
}

fn states(chosen: &str) -> Vec<Choice> {
    let label = |state| match state {
        RouteState::Off => "off",
        RouteState::On => "on",
        RouteState::WhenTested => "on, as soon as a channel of it was tested well",
    };
    let choice = |state: RouteState| Choice {
        word: state.as_str(),
        label: label(state).to_owned(),
        chosen: state.as_str() == chosen,
    };
    RouteState::ALL.map(choice).into()
}

fn leasts(chosen: &str) -> Vec<Choice> {
    let label = |severity| match severity {
        Severity::Warning => "everything",
        Severity::Critical => "only what is critical",
    };
    let choice = |severity: Severity| Choice {
        word: severity.as_str(),
        label: label(severity).to_owned(),
        chosen: severity.as_str() == chosen,
    };
    Severity::ALL.map(choice).into()
}

/// All causes by their codes; one that was asked for and is none stands there still.
fn causes(chosen: &[String]) -> Vec<CauseChoice> {
    let known = Cause::codes();
    let mut codes: Vec<String> = known.iter().map(|code| (*code).to_owned()).collect();
    codes.extend(chosen.iter().filter(|code| !known.contains(code.as_str())).cloned());
    codes.into_iter().map(|code| CauseChoice { chosen: chosen.contains(&code), code }).collect()
}

fn choices(state: &FleetState, chosen: &[String]) -> Result<Vec<ChannelChoice>, Problem> {
    let choice = |name: String| ChannelChoice { chosen: chosen.contains(&name), name };
    let tells = |channel: &ChannelView| channel.channel.tells_incidents();
    Ok(state.channels()?.into_iter().filter(tells).map(|channel| choice(channel.name)).collect())
}

fn blank(state: &FleetState) -> Result<RouteFormView, Problem> {
    Ok(RouteFormView {
        old_name: None,
        action: "/notices/routes".to_owned(),
        name: String::new(),
        states: states("on"),
        leasts: leasts("warning"),
        labels: String::new(),
        causes: causes(&[]),
        some_causes: false,
        quiet_from: String::new(),
        quiet_until: String::new(),
        timezone: "UTC".to_owned(),
        channels: choices(state, &[])?,
        problem: None,
    })
}

fn stored(state: &FleetState, name: &str) -> Result<RouteFormView, Problem> {
    let found = state.routes()?.into_iter().find(|seen| seen.route.name == name);
    let RouteView { route, channels } = found.ok_or(Refused::RouteNotFound)?;
    let (ends, timezone) = match route.quiet {
        Some(quiet) => (quiet.window.ends(), quiet.timezone),
        None => (Default::default(), "UTC".to_owned()),
    };
    let [quiet_from, quiet_until] = ends;
    Ok(RouteFormView {
        action: format!("/notices/routes/{}", route.name),
        old_name: Some(route.name.clone()),
        name: route.name,
        states: states(route.state.as_str()),
        leasts: leasts(route.least.as_str()),
        labels: route.labels.join(", "),
        causes: causes(&route.causes),
        some_causes: !route.causes.is_empty(),
        quiet_from,
        quiet_until,
        timezone,
        channels: choices(state, &channels)?,
        problem: None,
    })
}

fn typed(
    view: RouteFormView,
    state: &FleetState,
    form: &Form,
    problem: &Problem,
) -> Result<RouteFormView, Problem> {
    Ok(RouteFormView {
        name: view.old_name.clone().unwrap_or_else(|| form.text("name")),
        states: states(&form.text("state")),
        leasts: leasts(&form.text("least")),
        labels: form.raw("labels").to_owned(),
        causes: causes(&form.all("causes")),
        some_causes: form.has("causes"),
        quiet_from: form.raw("quiet_from").to_owned(),
        quiet_until: form.raw("quiet_until").to_owned(),
        timezone: form.raw("timezone").to_owned(),
        channels: choices(state, &form.all("channels"))?,
        problem: Some(ProblemView::from(problem)),
        ..view
    })
}

fn input(form: &Form, name: String) -> Result<RouteInput, Problem> {
    let severity = |word: &str| Severity::ALL.into_iter().find(|known| known.as_str() == word);
    Ok(RouteInput {
        name,
        state: RouteState::from_word(&form.text("state"))
            .ok_or_else(|| Problem::invalid("state", "Choose one of these."))?,
        labels: form.words("labels"),
        least: severity(&form.text("least"))
            .ok_or_else(|| Problem::invalid("least", "Choose one of these."))?,
        causes: form.all("causes"),
        quiet_from: form.text("quiet_from"),
        quiet_until: form.text("quiet_until"),
        timezone: form.text("timezone"),
        channels: form.all("channels"),
    })
}

/// `GET /notices/new-route`.
pub(crate) async fn new(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(|ctx, state| ctx.page(&blank(state)?)).await
}

/// `POST /notices/routes`.
pub(crate) async fn create(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    match created(&ctx, &form).await {
        Ok(()) => Ok(ctx.go("/notices")),
        Err(problem) if problem.is_about_input() => {
            ctx.answer(move |ctx, state| {
                ctx.page_with(problem.status, &typed(blank(state)?, state, &form, &problem)?)
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn created(ctx: &Ctx, form: &Form) -> Result<(), Problem> {
    Ok(ctx.app.fleet.add_route(input(form, form.text("name"))?, ctx.by()).await?)
}

/// `GET /notices/routes/{name}`.
pub(crate) async fn edit(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&stored(state, &name)?)).await
}

/// `POST /notices/routes/{name}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    match changed(&ctx, &name, &form).await {
        Ok(()) => Ok(ctx.go("/notices")),
        Err(problem) if problem.is_about_input() => {
            ctx.answer(move |ctx, state| {
                ctx.page_with(problem.status, &typed(stored(state, &name)?, state, &form, &problem)?)
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn changed(ctx: &Ctx, name: &str, form: &Form) -> Result<(), Problem> {
    Ok(ctx.app.fleet.change_route(input(form, name.to_owned())?, ctx.by()).await?)
}

/// `POST /notices/routes/{name}/delete`.
pub(crate) async fn delete(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.delete_route(name, ctx.by()).await?;
    Ok(ctx.go("/notices"))
}
