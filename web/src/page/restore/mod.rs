//! The page to restore files: what, where to, the plan that a dry run makes, and the button that does it. The restore
//! itself is followed on its job's page. What is chosen travels in the address and in the fields of the forms; a plan
//! that was made holds it all by itself.

mod address;
mod calendar;
mod choices;
mod command;
mod failures;
mod listing;
mod plan;
mod reach;
mod view;
mod wanted;
mod what;

pub(crate) use address::{group_href, paths_href, plan_href};
pub(crate) use failures::{Failure, failures, more_failures};
pub(crate) use view::RestoreView;

use super::folder::ask_for;
use crate::api::dto::confirmed;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::{Problem, sentence};
use crate::query::Query;
use crate::reading::Reading;
use address::{MAX_ADDRESS, address};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use choices::{ALL, Choices, To};
use fleet::record::{FolderPlace, Host};
use fleet::{FleetState, JobRequest, Refused};
use listing::Listing;
use schema::{HostId, JobId};
use view::read;
use wanted::{OpenPart, RestorePageRequest};
use what::BrowsePosition;

/// `GET /hosts/{host}/restore`.
pub(crate) async fn show(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let wanted = RestorePageRequest::of_query(state, &host, &query)?;
        ctx.page(&read(ctx, state, &host, wanted)?)
    })
    .await
}

/// `POST /hosts/{host}/restore`: what was ticked in the first part, and where to go from there.
pub(crate) async fn choose(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    let mut choices = Choices::read(form.fields());
    let mut place = BrowsePosition {
        at: Some(form.text("at")).filter(|at| !at.is_empty()),
        cursor: form.raw("cursor").parse().ok(),
        month: calendar::month_of(form.raw("month")),
        more: String::new(),
        refused: None,
    };
    let (mut problem, mut by_name) = (None, None);
    let typed = form.raw("more").trim();
    if !typed.is_empty() {
        match fleet::clean_path(typed) {
            Ok(path) => {
                by_name = Some(path.clone()).filter(|path| !choices.paths.contains(path));
                choices.pick(&path);
            }
            Err(refused) => {
                problem = Some(Problem { field: Some("more".to_owned()), ..refused.into() });
                typed.clone_into(&mut place.more);
            }
        }
    }
    if form.has("all") {
        choices.paths = [ALL.to_owned()].into();
    }
    if form.has("clear") {
        choices.paths.clear();
    }
    if form.has("open") {
        place.at = Some(form.raw("open").to_owned()).filter(|at| !at.is_empty());
        place.cursor = None;
    }
    if form.has("go_on") {
        place.cursor = form.raw("go_on").parse().ok();
    }
    let other = form.text("use");
    if !other.is_empty() {
        choices.snapshot = other;
    }
    let is_done = form.raw("step") == "where";
    if is_done && choices.paths.is_empty() && problem.is_none() {
        problem =
            Some(Problem::invalid("paths", "Tick files or folders first, or take all of the snapshot."));
    }
    let by_day = form.has("by_day").then(|| (form.text("group"), form.text("day")));
    let settle = move |_: &Reading, state: &FleetState| {
        let (listing, mut problem, mut place) = (Listing::read(state, &host)?, problem, place);
        if let Some((group, day)) = by_day {
            match listing.newest(&group, &day) {
                Some(row) => choices.snapshot.clone_from(&row.id),
                None => problem = Some(Problem::invalid("day", "No snapshot is as old as that.")),
            }
        }
        choices.group.clear();
        listing.settle(&mut choices);
        if let Some(path) = by_name
            && let Some(why) = listing.not_in(&choices.snapshot, &path)
        {
            choices.paths.remove(&path);
            place.more = path;
            problem.get_or_insert(Problem::invalid("more", why));
        }
        let look = listing.folder(&choices.snapshot, place.at.as_deref());
        let is_listed = match &look {
            Some(path) => {
                let place = FolderPlace::Snapshot(&choices.snapshot);
                state.folder(host.id, place, path)?.is_some()
            }
            None => true,
        };
        Ok((host, choices, place, problem, look.filter(|_| !is_listed)))
    };
    let (host, choices, mut place, problem, unlisted) = ctx.read(settle).await?;
    let walks = form.has("open") || query.get("look").is_some();
    if let Some(path) = unlisted.filter(|_| walks && ctx.part.is_none()) {
        let of = FolderPlace::Snapshot(&choices.snapshot);
        // It stands beside the folder.
        let refused = ask_for(&ctx, host.id, of, &path).await.err();
        place.refused = refused.map(|refused| sentence(&crate::words::refused(&refused)));
    }
    let is_refused = place.refused.is_some();
    let open = if is_done && problem.is_none() { OpenPart::Where } else { OpenPart::What(place) };
    if ctx.part.is_none() && problem.is_none() && !is_refused {
        let address = address(host.id, &choices, &open);
        if address.len() <= MAX_ADDRESS {
            return Ok(ctx.go(&address));
        }
    }
    if is_refused && ctx.htmx {
        let wanted = RestorePageRequest { choices, open, problem };
        let show = move |ctx: &Reading, state: &FleetState| {
            ctx.fragment(StatusCode::OK, "restore-files", &read(ctx, state, &host, wanted)?)
        };
        return ctx.answer(show).await;
    }
    // A part is shown beside what is still being typed.
    let status = problem.as_ref().filter(|_| ctx.part.is_none()).map_or(StatusCode::OK, |it| it.status);
    answer(&ctx, host, RestorePageRequest { choices, open, problem }, status).await
}

/// `POST /hosts/{host}/restore/plan`: starts the dry run.
pub(crate) async fn make_plan(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    let mut choices = Choices::read(form.fields());
    if choices.is_all_in_place() {
        // A machine whose owner lets only some folders be restored wants them named.
        let (known, snapshot) = (host.clone(), choices.snapshot.clone());
        let roots = ctx.read(move |_, state| {
            Ok(Listing::read(state, &known)?.find(&snapshot).map(listing::own_paths).unwrap_or_default())
        });
        choices.name_all(roots.await?);
    }
    let request = JobRequest::Restore(choices.dry_run(host.id));
    let runner = choices.runner_of(host.id);
    let problem = if choices.to == To::Within && choices.folder.is_empty() {
        Problem::invalid("target.path", "Name the folder that the new one is made in.")
    } else {
        match ctx.app.fleet.dispatch(runner, request, ctx.by()).await {
            Ok(job) => return Ok(ctx.go(&plan_href(host.id, job.id))),
            // The same dry run, asked for a moment ago.
            Err(Refused::JobInProgress { job }) => return Ok(ctx.go(&plan_href(host.id, job))),
            Err(refused) => refused.into(),
        }
    };
    if !problem.is_about_input() {
        return Err(problem);
    }
    let status = problem.status;
    answer(&ctx, host, RestorePageRequest { choices, open: OpenPart::Where, problem: Some(problem) }, status)
        .await
}

/// `POST /hosts/{host}/restore/start`: restores by a plan, once it was confirmed where it has to be.
pub(crate) async fn start(ctx: Ctx, Path(host): Path<String>, form: Form) -> Result<Response<Body>, Problem> {
    let id = form.text("plan").parse::<JobId>().map_err(|_| Problem::from(Refused::JobNotFound))?;
    let find = move |ctx: &Reading, state: &FleetState| {
        let host = ctx.host(state, &host)?;
        let job = state.job(id)?.filter(|job| plan::of_dry_run(job, &host).is_some());
        let job = job.ok_or(Refused::JobNotFound)?;
        let why = plan::why_not_yet(ctx.now(), &job, plan::used_at(state, &job)?);
        let runner = state.host(job.host)?.ok_or(Refused::HostNotFound)?;
        Ok((host, runner, job, why))
    };
    let using = ctx.app.using_plan.lock().await;
    let (host, runner, job, why) = ctx.read(find).await?;
    let Some(planned) = plan::of_dry_run(&job, &host) else { return Err(Refused::JobNotFound.into()) };
    let earnest = plan::in_earnest(planned);
    let typed = form.raw("confirm").to_owned();
    let stale = why.map(|why| Problem::new(StatusCode::CONFLICT, "plan_stale", why));
    let problem = match stale.map_or_else(|| confirmed(&earnest, &runner, Some(&typed)), Err) {
        Err(problem) => problem,
        Ok(()) => match ctx.app.fleet.dispatch(runner.id, JobRequest::Restore(earnest), ctx.by()).await {
            Ok(job) => return Ok(ctx.go(&format!("/jobs/{}", job.id))),
            Err(refused) => refused.into(),
        },
    };
    drop(using);
    if !problem.is_about_input() {
        return Err(problem);
    }
    let (choices, status) = (Choices::of_plan(planned, runner.id), problem.status);
    let open = OpenPart::Plan(Box::new(job), typed);
    answer(&ctx, host, RestorePageRequest { choices, open, problem: Some(problem) }, status).await
}

async fn answer(
    ctx: &Ctx,
    host: Host,
    wanted: RestorePageRequest,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    ctx.answer(move |ctx, state| ctx.page_with(status, &read(ctx, state, &host, wanted)?)).await
}

/// Starts the dry run of a restore of these paths into a new folder.
pub(crate) async fn plan_paths(
    ctx: &Ctx,
    host: HostId,
    snapshot: &str,
    paths: Vec<String>,
) -> Result<Response<Body>, Problem> {
    let choices =
        Choices { snapshot: snapshot.to_owned(), paths: paths.into_iter().collect(), ..Choices::default() };
    match ctx.app.fleet.dispatch(host, JobRequest::Restore(choices.dry_run(host)), ctx.by()).await {
        Ok(job) => Ok(ctx.go(&plan_href(host, job.id))),
        Err(Refused::JobInProgress { job }) => Ok(ctx.go(&plan_href(host, job))),
        Err(refused) => Err(refused.into()),
    }
}

/// The snapshot before this one in its group, when both are known.
pub(crate) fn snapshot_before(state: &FleetState, host: &Host, id: &str) -> Result<Option<String>, Problem> {
    Ok(Listing::read(state, host)?.before(id).map(|row| row.id.clone()))
}
