//! Incidents, and the word that one is known.

use super::dto::{IncidentAckIn, IncidentOut};
use super::list::List;
use crate::app::Ctx;
use crate::form::MaybeInput;
use crate::format::from_rfc3339;
use crate::incident_request::{acknowledge as say, id_of};
use crate::problem::Problem;
use crate::query::{Query, one_of};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use fleet::{Acknowledgement, FleetState, IncidentState, Refused};
use schema::IncidentId;

/// So many hosts of each in a list.
const HOSTS_OF_LIST: usize = 20;
/// So many of one by itself.
const HOSTS: usize = 500;

/// `GET /api/incidents`.
pub(crate) async fn list(ctx: Ctx, query: Query) -> Result<Json<List<IncidentOut>>, Problem> {
    let words = one_of(IncidentState::ALL.map(IncidentState::as_str));
    let state = query.word("state", &words, IncidentState::from_word)?;
    let page = query.page_of::<IncidentId>()?;
    ctx.read(move |_, fleet| Ok(List::part(fleet.incidents(state, &page, HOSTS_OF_LIST)?, IncidentOut::from)))
        .await
}

/// `GET /api/incidents/{incident}`.
pub(crate) async fn one(ctx: Ctx, Path(incident): Path<String>) -> Result<Json<IncidentOut>, Problem> {
    let id = id_of(&incident)?;
    ctx.read(move |_, state| read(state, id)).await
}

fn read(state: &FleetState, id: IncidentId) -> Result<Json<IncidentOut>, Problem> {
    Ok(Json(state.incident(id, HOSTS)?.ok_or(Refused::IncidentNotFound)?.into()))
}

/// `PUT /api/incidents/{incident}/acknowledgement`.
pub(crate) async fn acknowledge(
    ctx: Ctx,
    Path(incident): Path<String>,
    MaybeInput(body): MaybeInput<IncidentAckIn>,
) -> Result<Json<IncidentOut>, Problem> {
    let until = body.until.as_deref().map(|text| {
        from_rfc3339(text)
            .ok_or_else(|| Problem::invalid("until", "A time is written like 2026-11-30T08:00:00Z."))
    });
    let word = Acknowledgement { until: until.transpose()?, note: body.note };
    let id = say(&ctx, &incident, Some(word)).await?;
    ctx.answer(move |_, state| read(state, id)).await
}

/// `DELETE /api/incidents/{incident}/acknowledgement`.
pub(crate) async fn unacknowledge(ctx: Ctx, Path(incident): Path<String>) -> Result<StatusCode, Problem> {
    say(&ctx, &incident, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
