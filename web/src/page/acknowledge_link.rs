//! Where the link of a message leads: whoever has it lets the incident rest, without an account. Opening it changes nothing,
//! for programs that look through mail open links, too.

use super::problem_view::ProblemView;
use super::rest_choice::{RestChoice, acknowledgement, rest_choices};
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{When, many};
use crate::incident_request::id_of;
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use crate::words::incident_title;
use ::fleet::record::Cause;
use ::fleet::{FleetState, IncidentView};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use serde::Serialize;

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AcknowledgeLinkView {
    pub(crate) title: String,
    /// Whom it meets.
    pub(crate) whom: String,
    pub(crate) since: When,
    /// Until when it rests, once it was acknowledged.
    pub(crate) done: Option<String>,
    /// Where the form goes.
    pub(crate) action: String,
    pub(crate) rests: Vec<RestChoice>,
    pub(crate) note: String,
    pub(crate) problem: Option<ProblemView>,
}

impl View for AcknowledgeLinkView {
    const TEMPLATE: &'static str = "page/acknowledge.html";
    const NAV: &'static str = "";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for AcknowledgeLinkView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let view = Self {
            title: s.text("The storage nas:8000 can’t be reached"),
            whom: s.text("3 hosts"),
            since: s.when(),
            done: None,
            action: "/acknowledge/01/1-2-3".to_owned(),
            rests: RestChoice::samples(s),
            note: s.text("Disk ordered"),
            problem: None,
        };
        let wrong = |field| Self { problem: Some(ProblemView::sample(s, field)), ..view.clone() };
        let done = Self { done: s.some("until Mon 30 Nov 08:00 UTC"), ..view.clone() };
        vec![wrong("until"), wrong("note"), done, view]
    }
}

fn view(ctx: &Reading, seen: &IncidentView, action: String, form: &Form) -> AcknowledgeLinkView {
    let now = ctx.now();
    let whom = match seen.incident.cause {
        Cause::Channel => many(seen.count.into(), "channel"),
        cause if cause.is_of_server() => "The server itself".to_owned(),
        _ => many(seen.count.into(), "host"),
    };
    AcknowledgeLinkView {
        title: incident_title(&seen.incident),
        whom,
        since: When::ago(now, seen.incident.since),
        done: None,
        action,
        rests: rest_choices(now, form),
        note: form.text("note"),
        problem: None,
    }
}

fn seen(state: &FleetState, incident: &str, key: &str) -> Result<IncidentView, Problem> {
    Ok(state.incident_of_link(id_of(incident)?, key, 0)?)
}

fn action(incident: &str, key: &str) -> String {
    format!("/acknowledge/{incident}/{key}")
}

/// `GET /acknowledge/{incident}/{key}`.
pub(crate) async fn show(
    ctx: Ctx,
    Path((incident, key)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let seen = seen(state, &incident, &key)?;
        ctx.page(&view(ctx, &seen, action(&incident, &key), &Form::default()))
    })
    .await
}

/// `POST /acknowledge/{incident}/{key}`.
pub(crate) async fn save(
    ctx: Ctx,
    Path((incident, key)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    match saved(&ctx, &incident, &key, &form).await {
        Ok(()) => {
            ctx.answer(move |ctx, state| {
                let seen = state.incident(id_of(&incident)?, 0)?.ok_or(::fleet::Refused::IncidentNotFound)?;
                let until = seen.incident.ack.as_ref().map(|ack| When::until(ack.until).text);
                let done = Some(until.map_or_else(String::new, |until| format!("until {until}")));
                let view = view(ctx, &seen, action(&incident, &key), &form);
                ctx.page(&AcknowledgeLinkView { done, ..view })
            })
            .await
        }
        Err(problem) if problem.field.is_some() => {
            let refused = ProblemView::from(&problem);
            ctx.answer(move |ctx, state| {
                let seen = seen(state, &incident, &key)?;
                let view = view(ctx, &seen, action(&incident, &key), &form);
                let view = AcknowledgeLinkView { problem: Some(refused), ..view };
                ctx.page_with(StatusCode::UNPROCESSABLE_ENTITY, &view)
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn saved(ctx: &Ctx, incident: &str, key: &str, form: &Form) -> Result<(), Problem> {
    let word = acknowledgement(ctx.now(), form)?;
    let (id, linked) = (id_of(incident)?, (incident.to_owned(), key.to_owned()));
    let shown =
        ctx.read(move |_, state| Ok(incident_title(&seen(state, &linked.0, &linked.1)?.incident))).await?;
    let peer = ctx.by().peer;
    Ok(ctx.app.fleet.acknowledge_by_link(id, key.to_owned(), word, shown, peer).await?)
}
