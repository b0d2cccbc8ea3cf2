//! Jobs and their logs.

use super::dto::{DifferencesOut, FoundOut, JobOut, LogLineOut, LogOut};
use super::list::List;
use crate::app::Ctx;
use crate::joblog::JobLog;
use crate::problem::Problem;
use crate::query::{Query, one_of};
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, Response, header};
use axum::response::IntoResponse;
use fleet::record::{Job, JobState};
use fleet::{FleetState, JobFilter, Refused};
use schema::{JobId, JobKind};

/// The filter in a query.
pub(crate) fn filter(ctx: &Ctx, fleet_state: &FleetState, query: &Query) -> Result<JobFilter, Problem> {
    let host = query.get("host").map(|host| ctx.host(fleet_state, host)).transpose()?;
    let state = |word: &str| JobState::ALL.into_iter().find(|state| state.as_str() == word);
    Ok(JobFilter {
        host: host.map(|host| host.id),
        kind: query.word("kind", &one_of(JobKind::ALL.map(JobKind::as_str)), JobKind::from_word)?,
        state: query.word("state", &one_of(JobState::ALL.map(JobState::as_str)), state)?,
        looks: query.word("looks", "true or false", |text| text.parse().ok())?.unwrap_or(false),
        since: query.word("since", "an RFC 3339 time: 2026-11-23T06:41:12Z", crate::format::from_rfc3339)?,
    })
}

/// The job of an id in an address.
pub(crate) fn find(state: &FleetState, id: &str) -> Result<Job, Problem> {
    let id: JobId = id.parse().map_err(|_| Refused::JobNotFound)?;
    Ok(state.job(id)?.ok_or(Refused::JobNotFound)?)
}

/// `GET /api/jobs`.
pub(crate) async fn list(ctx: Ctx, query: Query) -> Result<Json<List<JobOut>>, Problem> {
    ctx.read(move |ctx, state| {
        let jobs = state.jobs(&filter(ctx, state, &query)?, &query.page_of::<JobId>()?)?;
        Ok(List::part(jobs, |job| JobOut::new(&job, ctx.app.fleet.progress(job.id))))
    })
    .await
}

/// `GET /api/jobs/{job}`.
pub(crate) async fn one(ctx: Ctx, Path(job): Path<String>) -> Result<Json<JobOut>, Problem> {
    ctx.read(move |ctx, state| {
        let job = find(state, &job)?;
        Ok(Json(JobOut::new(&job, ctx.app.fleet.progress(job.id))))
    })
    .await
}

/// `GET /api/jobs/{job}/found`.
pub(crate) async fn found(
    ctx: Ctx,
    Path(job): Path<String>,
    query: Query,
) -> Result<Json<FoundOut>, Problem> {
    ctx.read(move |_, state| {
        let job = find(state, &job)?;
        Ok(Json(FoundOut::new(state.found(&job)?, &query.page()?)))
    })
    .await
}

/// `GET /api/jobs/{job}/differences`.
pub(crate) async fn differences(
    ctx: Ctx,
    Path(job): Path<String>,
    query: Query,
) -> Result<Json<DifferencesOut>, Problem> {
    ctx.read(move |_, state| {
        let job = find(state, &job)?;
        Ok(Json(DifferencesOut::new(state.differences(&job)?, &query.page()?)))
    })
    .await
}

/// `GET /api/jobs/{job}/log`.
pub(crate) async fn log(
    ctx: Ctx,
    Path(job): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let plain =
        headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain"));
    ctx.read(move |ctx, state| {
        let job = find(state, &job)?;
        let after = query.word("after", "the number of a line", |text| text.parse().ok())?.unwrap_or(0);
        let log = JobLog::read(&ctx.app.fleet, state, &job)?;
        if plain {
            return Ok(log.text(after).into_response());
        }
        let items = log
            .from(after)
            .map(|line| LogLineOut {
                number: line.number,
                after_ms: line.after_ms,
                stream: line.stream_word(),
                text: line.text.clone(),
            })
            .collect();
        Ok(Json(LogOut { items, total_lines: log.total_lines, left_out: log.left_out }).into_response())
    })
    .await
}
