//! One incident: whom it meets, and the form by which it is acknowledged.

use super::incident_line::IncidentLine;
use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::form::Form;
use crate::format::When;
use crate::incident_request::{acknowledge, id_of};
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use ::fleet::{Acknowledgement, FleetState, Refused};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use schema::Timestamp;
use serde::Serialize;

/// So many hosts are listed; the API pages no further either.
pub(crate) const HOSTS: usize = 500;

/// For how long it may rest: the field's word, the label, and how long that is, in hours.
const RESTS: [(&str, &str, Option<u64>); 4] = [
    ("4h", "4 hours", Some(4)),
    ("1d", "1 day", Some(24)),
    ("7d", "1 week", Some(7 * 24)),
    ("end", "Until it ends", None),
];
/// What is chosen before anybody chooses.
const FIRST: &str = "1d";

/// One choice of how long it rests.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestChoice {
    pub(crate) word: &'static str,
    pub(crate) label: &'static str,
    pub(crate) until: String,
    pub(crate) checked: bool,
}

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
            rests: RESTS
                .map(|(word, label, _)| RestChoice {
                    word,
                    label,
                    until: s.text("until Mon 30 Nov 08:00 UTC"),
                    checked: word == FIRST,
                })
                .into(),
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
    let chosen = Some(form.text("until")).filter(|word| !word.is_empty());
    let chosen = chosen.as_deref().unwrap_or(FIRST);
    let explained = crate::words::explained(seen.incident.cause);
    Ok(IncidentView {
        label: crate::words::incident_label(&seen.incident),
        text: explained.map(|explanation| explanation.text),
        stands: seen.incident.ended.is_none(),
        rests: RESTS
            .map(|(word, label, hours)| RestChoice {
                word,
                label,
                until: match hours {
                    Some(hours) => format!("until {}", When::until(later(now, hours)).text),
                    None => "at most 30 days".to_owned(),
                },
                checked: word == chosen,
            })
            .into(),
        note: form.text("note"),
        line: IncidentLine::new(now, state, seen),
        problem,
    })
}

fn later(now: Timestamp, hours: u64) -> Timestamp {
    now.plus_ms(hours * 3_600_000)
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
    let word = form.text("until");
    let chosen = RESTS.into_iter().find(|known| known.0 == word);
    let (_, _, hours) = chosen.ok_or_else(|| Problem::invalid("until", "Choose until when it rests."))?;
    let until = hours.map(|hours| later(ctx.now(), hours));
    acknowledge(ctx, incident, Some(Acknowledgement { until, note: form.text("note") })).await.map(drop)
}

/// `POST /incidents/{incident}/unacknowledge`.
pub(crate) async fn take_back(ctx: Ctx, Path(incident): Path<String>) -> Result<Response<Body>, Problem> {
    acknowledge(&ctx, &incident, None).await?;
    Ok(ctx.go(&format!("/incidents/{incident}")))
}
