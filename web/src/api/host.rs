//! Hosts and their enrolment.

use super::dto::{AckIn, EnrollTokenIn, HostCreated, HostIn, HostOut, HostPatch, StartBackupsIn, UsageOut};
use super::list::List;
use crate::app::Ctx;
use crate::form::{Input, MaybeInput};
use crate::problem::Problem;
use crate::query::{Query, one_of};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use fleet::record::Cause;
use fleet::{FleetState, HostFilter, HostRow, Page, Paged, Refused, Status};
use schema::HostId;

/// The filter in a query.
pub(crate) fn filter(query: &Query) -> Result<HostFilter, Problem> {
    let old_agent = query.word("agent", "old", |word| (word == "old").then_some(true))?;
    let cause = query.word("cause", "one that a link names, such as failed.network", Cause::from_key)?;
    // Present and empty: of hosts whose storage is not known.
    let storage = query.fields().find(|(name, _)| *name == "storage");
    Ok(HostFilter {
        old_agent: old_agent.unwrap_or(false),
        cause,
        storage: storage.map(|(_, text)| Some(text.to_owned()).filter(|text| !text.is_empty())),
        q: query.get("q").map(str::to_owned),
        label: query.get("label").map(str::to_owned),
        state: query.word("state", &one_of(Status::ALL.map(Status::as_str)), Status::from_word)?,
    })
}

/// A part of the rows; the cursor is the last host's id.
fn part(rows: Vec<HostRow>, page: &Page) -> Result<Paged<HostRow>, Problem> {
    let start = match &page.cursor {
        None => 0,
        Some(cursor) => {
            let at = rows.iter().position(|row| row.host.id.to_string() == *cursor);
            at.ok_or_else(|| {
                Problem::invalid("cursor", "The list has changed; begin again without a cursor.")
            })? + 1
        }
    };
    let more = rows.len() > start + page.limit;
    let items: Vec<HostRow> = rows.into_iter().skip(start).take(page.limit).collect();
    let next = items.last().filter(|_| more).map(|row| row.host.id.to_string());
    Ok(Paged { items, next })
}

/// `GET /api/hosts`.
pub(crate) async fn list(ctx: Ctx, query: Query) -> Result<Json<List<HostOut>>, Problem> {
    let (filter, page) = (filter(&query)?, query.page()?);
    ctx.read(move |_, state| match state.hosts_are_lost() {
        true => Err(Problem::unreadable()),
        false => Ok(List::part(part(state.fleet(&filter), &page)?, HostOut::from)),
    })
    .await
}

/// `GET /api/hosts/{host}`.
pub(crate) async fn one(ctx: Ctx, Path(host): Path<String>) -> Result<Json<HostOut>, Problem> {
    ctx.read(move |ctx, state| row(state, ctx.host(state, &host)?.id)).await
}

fn row(state: &FleetState, host: HostId) -> Result<Json<HostOut>, Problem> {
    Ok(Json(state.host_row(host).ok_or(Refused::HostNotFound)?.into()))
}

/// `GET /api/hosts/{host}/usage`.
pub(crate) async fn usage(ctx: Ctx, Path(host): Path<String>) -> Result<Json<UsageOut>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        Ok(Json(UsageOut::new(state.usage(host.id)?, &ctx.app.fleet.over_budget(host.id))))
    })
    .await
}

/// `POST /api/hosts`.
pub(crate) async fn create(ctx: Ctx, Input(body): Input<HostIn>) -> Result<impl IntoResponse, Problem> {
    let rights = body.rights.checked()?;
    let (host, token) = ctx.app.fleet.create_host(&body.name, body.labels, ctx.by()).await?;
    Ok((StatusCode::CREATED, Json(HostCreated::new(&host, &token, &rights))))
}

/// `POST /api/hosts/{host}/enroll-token`.
pub(crate) async fn new_token(
    ctx: Ctx,
    Path(host): Path<String>,
    MaybeInput(body): MaybeInput<EnrollTokenIn>,
) -> Result<impl IntoResponse, Problem> {
    let host = ctx.find_host(&host).await?;
    let machine = body.machine();
    let rights = body.rights.checked()?;
    let token = ctx.app.fleet.new_enroll_token(host.id, machine, ctx.by()).await?;
    Ok((StatusCode::CREATED, Json(HostCreated::new(&host, &token, &rights))))
}

/// `POST /api/hosts/{host}/start-backups`.
pub(crate) async fn start_backups(
    ctx: Ctx,
    Path(host): Path<String>,
    MaybeInput(body): MaybeInput<StartBackupsIn>,
) -> Result<Json<HostOut>, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.start_backups(host.id, body.mark, ctx.by()).await?;
    ctx.answer(move |_, state| row(state, host.id)).await
}

/// `PUT /api/hosts/{host}/acknowledgement`.
pub(crate) async fn acknowledge(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<AckIn>,
) -> Result<Json<HostOut>, Problem> {
    let host = crate::acknowledge::acknowledge(&ctx, &host, Some(body.mark)).await?;
    ctx.answer(move |_, state| row(state, host.id)).await
}

/// `DELETE /api/hosts/{host}/acknowledgement`.
pub(crate) async fn unacknowledge(ctx: Ctx, Path(host): Path<String>) -> Result<StatusCode, Problem> {
    crate::acknowledge::acknowledge(&ctx, &host, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/hosts/{host}/quarantine`.
pub(crate) async fn lift_quarantine(ctx: Ctx, Path(host): Path<String>) -> Result<StatusCode, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.lift_quarantine(host.id, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PATCH /api/hosts/{host}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<HostPatch>,
) -> Result<Json<HostOut>, Problem> {
    let host = ctx.find_host(&host).await?;
    let host = ctx.app.fleet.update_host(host.id, body.name, body.labels, ctx.by()).await?;
    ctx.answer(move |_, state| row(state, host.id)).await
}

/// `DELETE /api/hosts/{host}`.
pub(crate) async fn delete(ctx: Ctx, Path(host): Path<String>) -> Result<StatusCode, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.delete_host(host.id, ctx.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}
