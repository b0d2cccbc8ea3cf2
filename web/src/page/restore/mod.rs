//! The page to restore files: what, where to, the plan that a dry run makes, and the button that does it. The restore
//! itself is followed on its job's page. What is chosen travels in the address and in the fields of the forms; a plan
//! that was made holds it all by itself.

mod choices;
mod command;
mod failures;
mod plan;
mod what;

pub(crate) use failures::{Failure, failures, more_failures};

use super::folder::ask_for;
use super::problem_view::ProblemView;
use super::run_button::why_not;
use crate::api::dto::confirmed;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::{Problem, sentence};
use crate::query::Query;
use crate::reading::Reading;
use crate::template::View;
use crate::words::{overwrite, restore_target};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use choices::{ALL, Choices, To};
use command::CommandView;
use fleet::record::{FolderPlace, Host, Job, JobWhat, RestorePlan, RestoreTarget};
use fleet::{FleetState, JobRequest, Refused};
use plan::PlanView;
use schema::{HostId, JobId, Overwrite, Slot};
use serde::Serialize;
use what::{Listing, Place, WhatView};

/// An address that is longer than this is not gone on to: proxies refuse long ones.
const MAX_ADDRESS: usize = 4_000;

/// What becomes of files that are there: a choice.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OverwriteChoice {
    pub(crate) value: &'static str,
    pub(crate) words: &'static str,
    pub(crate) current: bool,
}

/// The second part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WhereView {
    pub(crate) to: &'static str,
    pub(crate) folder: String,
    pub(crate) overwrite: Vec<OverwriteChoice>,
    pub(crate) delete: bool,
    pub(crate) verify: bool,
    /// The name that the new folder begins with.
    pub(crate) new_name: String,
    /// Why files can't be restored over what is there.
    pub(crate) only_empty: Option<String>,
    /// Why the dry run can't be started.
    pub(crate) why: Option<String>,
    /// What was chosen before, for the form.
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestoreView {
    pub(crate) host_name: String,
    pub(crate) host_href: String,
    pub(crate) href: String,
    pub(crate) problem: Option<ProblemView>,
    /// Where the snapshots are listed, when none is known.
    pub(crate) none_href: Option<String>,
    /// The first part; `None` = it is done.
    pub(crate) what: Option<WhatView>,
    pub(crate) said_what: String,
    /// The second part; `None` = it is done, or not yet begun.
    pub(crate) place: Option<WhereView>,
    pub(crate) said_where: Option<String>,
    /// Where what was chosen can be changed.
    pub(crate) change_what: String,
    pub(crate) change_where: String,
    pub(crate) plan: Option<PlanView>,
    pub(crate) command: Option<CommandView>,
}

impl View for RestoreView {
    const TEMPLATE: &'static str = "page/restore.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["restore-files", "restore-picked", "restore-plan"];
}

#[cfg(test)]
impl crate::sample::Samples for RestoreView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let blank = || Self {
            host_name: s.text("boat-pi"),
            host_href: "/hosts/01".to_owned(),
            href: "/hosts/01/restore".to_owned(),
            problem: None,
            none_href: None,
            what: None,
            said_what: s.text("2 picked, 2 files (8.00 KiB), of Mon 23 Nov 2026 06:31:12 UTC, group media"),
            place: None,
            said_where: None,
            change_what: "/x".to_owned(),
            change_where: "/x".to_owned(),
            plan: None,
            command: None,
        };
        let problem = |field| Some(ProblemView::sample(s, field));
        let command = || Some(CommandView::sample(s));
        let place = |to| WhereView {
            to,
            folder: s.text("/srv/back"),
            overwrite: overwrites(Overwrite::IfChanged),
            delete: true,
            verify: true,
            new_name: s.text("holdfast-restore-4d02a9f1-…"),
            only_empty: s.some("restic 0.17.3 on this host can't."),
            why: s.some("The host is offline."),
            fields: vec![("snapshot", s.text("4d02a9f1")), ("path", s.text("/srv/a"))],
        };
        let plan = |open| Self {
            said_where: Some(s.text("the original places")),
            plan: Some(PlanView::sample(s, open)),
            command: command(),
            ..blank()
        };
        vec![
            Self { none_href: Some("/x".to_owned()), ..blank() },
            Self { what: Some(WhatView::sample(s, false)), problem: problem("more"), ..blank() },
            Self { what: Some(WhatView::sample(s, true)), problem: problem("paths"), ..blank() },
            Self {
                place: Some(place("new_folder")),
                command: command(),
                problem: problem("target.path"),
                ..blank()
            },
            Self {
                place: Some(place("original")),
                command: command(),
                problem: problem("delete"),
                ..blank()
            },
            plan(true),
            Self { problem: problem("confirm"), ..plan(false) },
        ]
    }
}

/// Which part is open.
enum Open {
    What(Place),
    Where,
    Plan(Box<Job>, String),
}

/// What a request is about.
struct Wanted {
    choices: Choices,
    open: Open,
    problem: Option<Problem>,
}

impl Wanted {
    /// As an address says.
    fn of_query(state: &FleetState, host: &Host, query: &Query) -> Result<Self, Problem> {
        let job = match query.get("plan").and_then(|id| id.parse::<JobId>().ok()) {
            Some(id) => state.job(id)?.filter(|job| job.host == host.id),
            None => None,
        };
        let plan = job.as_ref().and_then(|job| match &job.what {
            JobWhat::Restore(plan) => Some(plan),
            _ => None,
        });
        let choices = match plan {
            Some(plan) => Choices::of_plan(plan),
            None => Choices::read(query.fields()),
        };
        let place = Place {
            at: query.get("at").map(str::to_owned),
            cursor: query.get("cursor").and_then(|cursor| cursor.parse().ok()),
            more: String::new(),
            refused: None,
        };
        let open = match (query.get("step"), &job) {
            (Some("what"), _) => Open::What(place),
            (None, Some(job)) if plan::of_dry_run(job, host).is_some() => {
                Open::Plan(Box::new(job.clone()), String::new())
            }
            (Some("where"), _) | (None, Some(_)) if !choices.paths.is_empty() => Open::Where,
            _ => Open::What(place),
        };
        let gone = query.get("plan").is_some() && plan.is_none();
        let problem = gone.then(|| Problem::not_found("This plan is not kept any more: make it again."));
        Ok(Self { choices, open, problem })
    }
}

/// `GET /hosts/{host}/restore`.
pub(crate) async fn show(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let wanted = Wanted::of_query(state, &host, &query)?;
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
    let mut place = Place {
        at: Some(form.text("at")).filter(|at| !at.is_empty()),
        cursor: form.raw("cursor").parse().ok(),
        more: String::new(),
        refused: None,
    };
    let mut problem = None;
    let typed = form.raw("more").trim();
    if !typed.is_empty() {
        match fleet::clean_path(typed) {
            Ok(path) => choices.pick(&path),
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
        let (listing, mut problem) = (Listing::read(state, &host)?, problem);
        if let Some((group, day)) = by_day {
            match listing.newest(&group, &day) {
                Some(row) => choices.snapshot.clone_from(&row.id),
                None => problem = Some(Problem::invalid("day", "No snapshot is as old as that.")),
            }
        }
        choices.group.clear();
        listing.settle(&mut choices);
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
    let open = if is_done && problem.is_none() { Open::Where } else { Open::What(place) };
    if ctx.part.is_none() && problem.is_none() && !is_refused {
        let address = address(host.id, &choices, &open);
        if address.len() <= MAX_ADDRESS {
            return Ok(ctx.go(&address));
        }
    }
    if is_refused && ctx.htmx {
        let wanted = Wanted { choices, open, problem };
        let show = move |ctx: &Reading, state: &FleetState| {
            ctx.fragment(StatusCode::OK, "restore-files", &read(ctx, state, &host, wanted)?)
        };
        return ctx.answer(show).await;
    }
    // A part is shown beside what is still being typed.
    let status = problem.as_ref().filter(|_| ctx.part.is_none()).map_or(StatusCode::OK, |it| it.status);
    answer(&ctx, host, Wanted { choices, open, problem }, status).await
}

/// `POST /hosts/{host}/restore/plan`: starts the dry run.
pub(crate) async fn make_plan(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    let choices = Choices::read(form.fields());
    let request = JobRequest::Restore(choices.dry_run(host.id));
    let problem = if choices.to == To::Within && choices.folder.is_empty() {
        Problem::invalid("target.path", "Name the folder that the new one is made in.")
    } else {
        match ctx.app.fleet.dispatch(host.id, request, ctx.by()).await {
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
    answer(&ctx, host, Wanted { choices, open: Open::Where, problem: Some(problem) }, status).await
}

/// `POST /hosts/{host}/restore/start`: restores by a plan, once it was confirmed where it has to be.
pub(crate) async fn start(ctx: Ctx, Path(host): Path<String>, form: Form) -> Result<Response<Body>, Problem> {
    let id = form.text("plan").parse::<JobId>().map_err(|_| Problem::from(Refused::JobNotFound))?;
    let find = move |ctx: &Reading, state: &FleetState| {
        let host = ctx.host(state, &host)?;
        let job = state.job(id)?.filter(|job| plan::of_dry_run(job, &host).is_some());
        let job = job.ok_or(Refused::JobNotFound)?;
        let why = plan::why_not_yet(ctx.now(), &job);
        Ok((host, job, why))
    };
    let (host, job, why) = ctx.read(find).await?;
    let Some(planned) = plan::of_dry_run(&job, &host) else { return Err(Refused::JobNotFound.into()) };
    let earnest = plan::in_earnest(planned);
    let typed = form.raw("confirm").to_owned();
    let stale = why.map(|why| Problem::new(StatusCode::CONFLICT, "plan_stale", why));
    let problem = match stale.map_or_else(|| confirmed(&earnest, &host, Some(&typed)), Err) {
        Err(problem) => problem,
        Ok(()) => match ctx.app.fleet.dispatch(host.id, JobRequest::Restore(earnest), ctx.by()).await {
            Ok(job) => return Ok(ctx.go(&format!("/jobs/{}", job.id))),
            Err(refused) => refused.into(),
        },
    };
    if !problem.is_about_input() {
        return Err(problem);
    }
    let (choices, status) = (Choices::of_plan(planned), problem.status);
    let open = Open::Plan(Box::new(job), typed);
    answer(&ctx, host, Wanted { choices, open, problem: Some(problem) }, status).await
}

async fn answer(
    ctx: &Ctx,
    host: Host,
    wanted: Wanted,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    ctx.answer(move |ctx, state| ctx.page_with(status, &read(ctx, state, &host, wanted)?)).await
}

fn page_href(host: HostId) -> String {
    format!("/hosts/{host}/restore")
}

/// Where the choices of a restore, or of a dry run, are seen; of a dry run with what it has found.
pub(crate) fn plan_href(host: HostId, job: JobId) -> String {
    format!("{}?plan={job}", page_href(host))
}

/// Where these paths of a snapshot can be restored, and how many of them the address holds.
pub(crate) fn paths_href<'a>(
    host: HostId,
    snapshot: &str,
    paths: impl Iterator<Item = &'a str>,
) -> (String, usize) {
    let mut choices = Choices { snapshot: snapshot.to_owned(), ..Choices::default() };
    let (mut href, mut held) = (address(host, &choices, &Open::Where), 0);
    for path in paths {
        choices.pick(path);
        let longer = address(host, &choices, &Open::Where);
        if longer.len() > MAX_ADDRESS {
            break;
        }
        (href, held) = (longer, held + 1);
    }
    (href, held)
}

/// The snapshot before this one in its group, when both are known.
pub(crate) fn snapshot_before(state: &FleetState, host: &Host, id: &str) -> Result<Option<String>, Problem> {
    Ok(Listing::read(state, host)?.before(id).map(|row| row.id.clone()))
}

fn address(host: HostId, choices: &Choices, open: &Open) -> String {
    let mut query = form_urlencoded::Serializer::new(choices.query());
    match open {
        Open::What(place) => {
            query.extend_pairs(place.at.iter().map(|at| ("at", at)));
            query.extend_pairs(place.cursor.iter().map(|cursor| ("cursor", cursor.to_string())));
        }
        Open::Where => {
            query.append_pair("step", "where");
        }
        Open::Plan(job, _) => return plan_href(host, job.id),
    }
    let anchor = if matches!(open, Open::What(_)) { "#restore-files" } else { "" };
    format!("{}?{}{anchor}", page_href(host), query.finish())
}

fn overwrites(current: Overwrite) -> Vec<OverwriteChoice> {
    let choice = |mode: Overwrite| OverwriteChoice {
        value: mode.as_str(),
        words: overwrite(mode),
        current: mode == current,
    };
    Overwrite::ALL.map(choice).into()
}

fn read(ctx: &Ctx, state: &FleetState, host: &Host, wanted: Wanted) -> Result<RestoreView, Problem> {
    let Wanted { mut choices, open, problem } = wanted;
    let listing = Listing::read(state, host)?;
    listing.settle(&mut choices);
    let host_href = format!("/hosts/{}", host.id);
    let mut view = RestoreView {
        host_name: host.name.clone(),
        href: page_href(host.id),
        problem: problem.as_ref().map(ProblemView::from),
        none_href: None,
        what: None,
        said_what: String::new(),
        place: None,
        said_where: None,
        change_what: String::new(),
        change_where: String::new(),
        plan: None,
        command: None,
        host_href,
    };
    if choices.snapshot.is_empty() && listing.is_empty() {
        view.none_href = Some(format!("{}/snapshots", view.host_href));
        return Ok(view);
    }
    if let Open::What(place) = open {
        view.what = Some(what::read(ctx, state, host, (&listing, &choices, place))?);
        return Ok(view);
    }
    view.said_what = said_what(state, host, &listing, &choices)?;
    view.command =
        state.credentials(host.id, Slot::Repo)?.map(|credentials| CommandView::new(&choices, &credentials));
    let request = choices.dry_run(host.id);
    match open {
        Open::What(_) | Open::Where => view.place = Some(place(state, host, &choices)?),
        Open::Plan(job, typed) => {
            let Some(planned) = plan::of_dry_run(&job, host) else { return Err(Refused::JobNotFound.into()) };
            let earnest = JobRequest::Restore(plan::in_earnest(planned));
            let blocked = if job.state.is_ended() { why_not(state, host.id, &earnest)? } else { None };
            view.said_where = Some(said_where(&request));
            let change = plan_href(host.id, job.id);
            view.change_what = format!("{change}&step=what");
            view.change_where = format!("{change}&step=where");
            view.plan = Some(PlanView { typed, ..plan::view(ctx.now(), host, &job, planned, blocked) });
        }
    }
    Ok(view)
}

fn said_what(
    state: &FleetState,
    host: &Host,
    listing: &Listing,
    choices: &Choices,
) -> Result<String, Problem> {
    let picked = what::picked(state, host.id, choices, listing.find(&choices.snapshot))?;
    let what = match (choices.paths.len(), choices.paths.first()) {
        (1, Some(path)) if path != ALL => path.clone(),
        _ => picked.head,
    };
    let counted = if picked.text.is_empty() { String::new() } else { format!(", {}", picked.text) };
    Ok(format!("{what}{counted}, of {}", listing.title(&choices.snapshot)))
}

fn said_where(plan: &RestorePlan) -> String {
    let mut parts = vec![restore_target(&plan.target)];
    if !matches!(plan.target, RestoreTarget::NewFolder { .. }) {
        parts.push(format!("files that are there already {}", overwrite(plan.overwrite)));
    }
    parts.extend(plan.delete.then(|| "what the snapshot lacks is deleted".to_owned()));
    parts.push(if plan.verify { "read back and compared" } else { "not read back" }.to_owned());
    parts.join("; ")
}

fn place(state: &FleetState, host: &Host, choices: &Choices) -> Result<WhereView, Problem> {
    let restic = host.facts.as_ref().map(|facts| facts.restic_version.as_str()).unwrap_or_default();
    let short: String = choices.snapshot.chars().take(8).collect();
    // What can be refused of the choices themselves is told when the plan is asked for.
    let plain = Choices { to: To::New, delete: false, ..choices.clone() };
    Ok(WhereView {
        to: choices.to.as_str(),
        folder: choices.folder.clone(),
        overwrite: overwrites(choices.overwrite),
        delete: choices.delete,
        verify: choices.verify,
        new_name: format!("holdfast-restore-{short}-…"),
        only_empty: only_empty(restic),
        why: why_not(state, host.id, &JobRequest::Restore(plain.dry_run(host.id)))?,
        fields: choices.fields(),
    })
}

/// Why this restic restores into empty folders only; `None` = it does not, or its version is not known.
fn only_empty(restic: &str) -> Option<String> {
    let mut numbers = restic.split('.').map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    ((major, minor) < (0, 18)).then(|| {
        let estimate = if minor < 17 { " Its dry run is an estimate." } else { "" };
        format!(
            "This host has restic {restic}, which follows links in the folder that it restores into: below 0.18 only a new \
             folder or an empty one is restored into.{estimate}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_as_many_paths_as_it_holds_and_says_how_many() {
        let host = HostId([1; 16]);
        let paths: Vec<String> = (0..100).map(|at| format!("/srv/{at}/{}", "x".repeat(90))).collect();
        let (few, held) = paths_href(host, "4d02a9f1", paths.iter().take(2).map(String::as_str));
        assert_eq!((held, few.matches("&path=").count()), (2, 2));
        let (many, held) = paths_href(host, "4d02a9f1", paths.iter().map(String::as_str));
        assert!(many.len() <= MAX_ADDRESS && (20..100).contains(&held), "{held}");
        assert_eq!(many.matches("&path=").count(), held);
    }

    #[test]
    fn an_old_restic_is_told_by_its_version() {
        for old in ["0.14.0", "0.16.4", "0.17.3"] {
            let said = only_empty(old).unwrap();
            assert_eq!(said.contains("estimate"), old < "0.17", "{said}");
        }
        for other in ["0.18.0", "0.18.1-dev", "1.0.0", "", "not found"] {
            assert_eq!(only_empty(other), None, "{other}");
        }
    }
}
