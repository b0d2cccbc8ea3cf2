//! One incident: whom it meets, and the form by which it is acknowledged.

use super::incident_line::IncidentLine;
use super::problem_view::ProblemView;
use super::rest_choice::{RestChoice, acknowledgement, rest_choices};
use crate::app::Ctx;
use crate::form::Form;
use crate::incident_request::{acknowledge, id_of};
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use ::fleet::{FleetState, Refused};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use serde::Serialize;

/// So many hosts are listed; the API pages no further either.
pub(crate) const HOSTS: usize = 500;

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IncidentView {
    pub(crate) line: IncidentLine,
    /// In which state it is, in a word.
    pub(crate) label: String,
    /// What probably happened and what to do.
    pub(crate) text: Option<&'static str>,
    /// It can be acknowledged.
    pub(crate) stands: bool,
    pub(crate) rests: Vec<RestChoice>,
    pub(crate) note: String,
    pub(crate) problem: Option<ProblemView>,
}

impl View for IncidentView {
    const TEMPLATE: &'static str = "page/incident.html";
    const NAV: &'static str = "incidents";
    const PARTS: &'static [&'static str] = &["incident"];
}

#[cfg(test)]
impl crate::sample::Samples for IncidentView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let view = |state, stands| Self {
            line: IncidentLine::sample(s, state),
            label: s.text("Open, critical"),
            text: Some("The storage did not answer."),
            stands,
            rests: RestChoice::samples(s),
            note: s.text("Disk ordered"),
            problem: Some(ProblemView::sample(s, "note")).filter(|_| stands),
        };
        vec![view("failed", true), view("warning", true), view("ok", false)]
    }
}

/// `GET /incidents/{incident}`.
pub(crate) async fn show(ctx: Ctx, Path(incident): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &incident, &Form::default(), None)?)).await
}

fn read(
    ctx: &Reading,
    state: &FleetState,
    incident: &str,
    form: &Form,
    problem: Option<ProblemView>,
) -> Result<IncidentView, Problem> {
    let now = ctx.now();
    let seen = state.incident(id_of(incident)?, HOSTS)?.ok_or(Refused::IncidentNotFound)?;
    Ok(IncidentView {
        label: crate::words::incident_label(&seen.incident),
        text: crate::words::advice(seen.incident.cause),
        stands: seen.incident.ended.is_none(),
        rests: rest_choices(now, form),
        note: form.text("note"),
        line: IncidentLine::new(now, state, seen),
        problem,
    })
}

/// `POST /incidents/{incident}/acknowledge`: until when, and a note.
pub(crate) async fn save(
    ctx: Ctx,
    Path(incident): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    match saved(&ctx, &incident, &form).await {
        Ok(()) => Ok(ctx.go(&format!("/incidents/{incident}"))),
        Err(problem) if problem.field.is_some() => {
            let refused = ProblemView::from(&problem);
            ctx.answer(move |ctx, state| {
                let view = read(ctx, state, &incident, &form, Some(refused))?;
                ctx.page_with(StatusCode::UNPROCESSABLE_ENTITY, &view)
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn saved(ctx: &Ctx, incident: &str, form: &Form) -> Result<(), Problem> {
    let word = acknowledgement(ctx.now(), form)?;
    acknowledge(ctx, incident, Some(word)).await.map(drop)
}

/// `POST /incidents/{incident}/unacknowledge`.
pub(crate) async fn take_back(ctx: Ctx, Path(incident): Path<String>) -> Result<Response<Body>, Problem> {
    acknowledge(&ctx, &incident, None).await?;
    Ok(ctx.go(&format!("/incidents/{incident}")))
}
