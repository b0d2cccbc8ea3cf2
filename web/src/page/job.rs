//! The page of a job: live while it runs, with its answer when it has ended.

use super::fact::Fact;
use super::job_line::JobLine;
use super::job_view::{self, JobView, LogView, Mended};
use super::restored;
use super::run_button::why_not;
use crate::api::job::find;
use crate::app::Ctx;
use crate::format::{ago, many};
use crate::joblog::JobLog;
use crate::problem::Problem;
use crate::query::Query;
use crate::words::{is_broken_off, job_badge, job_result, job_title};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, header};
use axum::response::IntoResponse;
use fleet::record::{Job, JobFigures, JobState, JobWhat, RestoreTarget};
use fleet::{FleetState, JobFilter, JobRequest, Page};
use schema::{Class, Overwrite, Timestamp};

/// `GET /jobs/{job}`.
pub(crate) async fn show(ctx: Ctx, Path(job): Path<String>, query: Query) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let job = find(state, &job)?;
        let after = query.word("after", "the number of a line", |text| text.parse().ok())?.unwrap_or(0);
        ctx.page(&read(ctx, state, &job, after, query.get("find"))?)
    })
    .await
}

fn read(
    ctx: &Ctx,
    state: &FleetState,
    job: &Job,
    after: u32,
    find: Option<&str>,
) -> Result<JobView, Problem> {
    let now = ctx.now();
    let ended = job.state.is_ended();
    let href = format!("/jobs/{}", job.id);
    let host = state.host(job.host)?;
    let host_name = host.as_ref().map_or_else(|| "a deleted host".to_owned(), |host| host.name.clone());
    let progress = ctx.app.fleet.progress(job.id).filter(|_| job.state == JobState::Running);
    let good = state.good_backup_up_to(job)?;
    let mended = mended(state, now, job)?;
    let group_stands = match &job.what {
        JobWhat::Backup { group } => state.group(job.host, group)?.is_some(),
        _ => false,
    };
    let verdict = job_view::verdict(job, again(state, job)?);
    let log = JobLog::read(&ctx.app.fleet, state, job)?;
    let lines = log.view(after, find);
    let facts = job_view::facts(
        now,
        job,
        good.as_ref().filter(|_| !ended),
        host.as_ref().and_then(|host| host.facts.as_ref()).map(|facts| facts.restic_version.as_str()),
    );
    Ok(JobView {
        badge: job_badge(job),
        title: job_title(&job.what),
        host_href: format!("/hosts/{}", job.host),
        ended,
        can_cancel: !ended && job.cancel_asked_at.is_none(),
        cancel: job_view::cancel(job, &host_name),
        waiting: waiting(ctx, state, now, job)?,
        indeterminate: job.state == JobState::Running,
        live: progress.as_ref().map(|progress| job_view::live(now, job, progress)),
        stages: job_view::stages(job),
        cards: cards(now, job, good.as_ref(), mended.is_some(), group_stands),
        mended,
        figures: if ended { job_view::figures(job) } else { Vec::new() },
        findings: job_view::findings(job),
        findings_title: job_view::findings_title(job),
        restored: restored::read(state, job)?,
        log: LogView {
            none: (lines.is_empty() && after == 0 && ended).then_some(match find {
                Some(_) => "No line of the log matches.",
                None => "There is no log of this job.",
            }),
            find: find.unwrap_or_default().to_owned(),
            found: find.map(|_| many(lines.len() as u64, "line")),
            lines,
            tail: (!ended).then(|| tail(&href, log.next_number().max(after), find)),
        },
        before: if verdict.is_some() { before(ctx, state, now, job)? } else { Vec::new() },
        facts: match source_of(state, job)? {
            Some(source) => [vec![source], facts].concat(),
            None => facts,
        },
        verdict,
        id: job.id.to_string(),
        href,
        host_name,
    })
}

/// Whose files they are, when another host does the job.
fn source_of(state: &FleetState, job: &Job) -> Result<Option<Fact>, Problem> {
    let Some(source) = job.for_other() else { return Ok(None) };
    let name = state.host(source)?.map_or_else(|| "a deleted host".to_owned(), |host| host.name);
    Ok(Some(
        Fact::new("Files of", name).note("read with its credentials, which this host has for this job only"),
    ))
}

/// Where the lines after these are.
fn tail(href: &str, after: u32, find: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("part", "job-log").append_pair("after", &after.to_string());
    if let Some(find) = find {
        query.append_pair("find", find);
    }
    format!("{href}?{}", query.finish())
}

/// What a job that shows no progress waits for.
fn waiting(ctx: &Ctx, state: &FleetState, now: Timestamp, job: &Job) -> Result<String, Problem> {
    Ok(match job.state {
        JobState::Running => match ctx.app.fleet.progress(job.id) {
            None => "restic has started; no progress yet.".to_owned(),
            Some(_) => String::new(),
        },
        JobState::Accepted => {
            "Accepted by the agent; restic starts as soon as the job before it has ended.".to_owned()
        }
        JobState::Sent => "Sent to the host; not yet accepted by the agent.".to_owned(),
        _ => {
            let presence = state.presence(job.host)?;
            match (presence.online, presence.last_seen_at) {
                (true, _) => "Being sent to the host.".to_owned(),
                (false, Some(at)) => {
                    format!(
                        "The host is offline, last seen {}. The job runs when it reconnects.",
                        ago(now, at)
                    )
                }
                (false, None) => "The host is offline. The job runs when it reconnects.".to_owned(),
            }
        }
    })
}

/// The request that would run the same again.
fn request_of(what: &JobWhat) -> JobRequest {
    match what {
        JobWhat::Probe => JobRequest::Probe,
        JobWhat::Init => JobRequest::Init,
        JobWhat::Backup { group } => JobRequest::Backup { group: group.clone() },
        JobWhat::Forget { .. } => JobRequest::Forget,
        JobWhat::ForgetDryRun { group, keep, .. } => {
            JobRequest::ForgetDryRun { group: group.clone(), keep: Some(keep.clone()) }
        }
        JobWhat::Prune => JobRequest::Prune,
        JobWhat::Check { subset_pct } => JobRequest::Check { subset_pct: Some(*subset_pct) },
        JobWhat::Unlock { .. } => JobRequest::Unlock { all: None },
        JobWhat::Stats => JobRequest::Stats,
        JobWhat::Snapshots => JobRequest::Snapshots,
        JobWhat::Ls { snapshot, path } => JobRequest::Ls { snapshot: snapshot.clone(), path: path.clone() },
        JobWhat::Browse { path } => JobRequest::Browse { path: path.clone() },
        JobWhat::Restore(plan) => JobRequest::Restore(plan.clone()),
        JobWhat::Drill(plan) => {
            JobRequest::Drill { group: Some(plan.group.clone()), files: None, bytes: None }
        }
        JobWhat::Find(plan) => JobRequest::Find(plan.clone()),
        JobWhat::Diff { against, snapshot } => {
            JobRequest::Diff { against: against.clone(), snapshot: snapshot.clone() }
        }
        JobWhat::Download { snapshot, path, form, source } => {
            let (snapshot, path) = (snapshot.clone(), path.clone());
            JobRequest::Download { snapshot, path, form: *form, source: *source }
        }
    }
}

/// Where the same is run again, and why it can't be; `None` when its host is gone, or the page of the repository is the place.
fn again(state: &FleetState, job: &Job) -> Result<Option<(String, Option<String>)>, Problem> {
    if state.host(job.host)?.is_none() {
        return Ok(None);
    }
    let host = format!("/hosts/{}", job.host);
    let href = match &job.what {
        JobWhat::Probe => format!("{host}/repo-credentials/test"),
        JobWhat::Backup { group } => format!("{host}/groups/{group}/backup"),
        JobWhat::Snapshots => format!("{host}/snapshots/refresh"),
        JobWhat::Check { subset_pct } => format!("{host}/repo/check?subset={subset_pct}"),
        JobWhat::Browse { path } => super::folder::again_href(job.host, None, path),
        JobWhat::Ls { snapshot, path } => super::folder::again_href(job.host, Some(snapshot), path),
        JobWhat::Drill(plan) => super::proof::prove_href(job.host, Some(&plan.group)),
        // Its page is the place: what is there now is looked at first.
        JobWhat::Restore(_) | JobWhat::Find(_) | JobWhat::Diff { .. } => return Ok(None),
        // Its bytes go to whoever asked: the page of the files is the place.
        JobWhat::Download { .. } => return Ok(None),
        // Which live lock is meant is said on the page that shows it.
        JobWhat::Unlock { all: true } => return Ok(None),
        what => format!("{host}/repo/{}", what.kind().as_str()),
    };
    Ok(Some((href, why_not(state, job.host, &request_of(&job.what))?)))
}

/// How it stood when the job ended, not how it stands today.
fn cards(now: Timestamp, job: &Job, good: Option<&Job>, is_mended: bool, group_stands: bool) -> Vec<Fact> {
    let ended = job.finished_at.unwrap_or(job.created_at);
    let mut cards = vec![Fact::new("Ended", ago(now, ended)).note(crate::format::exact(ended))];
    let JobWhat::Backup { group } = &job.what else { return cards };
    if good.is_some_and(|good| good.id == job.id) {
        return cards;
    }
    let name = if is_mended { "Last good before it" } else { "Last good" };
    cards.push(match good.and_then(|job| Some((job, job.finished_at?))) {
        Some((good, at)) => Fact::new(name, ago(now, at)).note(job_result(good, None)),
        None => Fact::new(name, "never").note("no good backup of this group is known"),
    });
    if !is_mended && group_stands {
        cards.push(Fact::new("At risk", group).note("what changed since the last good one"));
    }
    cards
}

/// So many later jobs of its kind are looked through for one that did what a job did not.
const MOST_LATER: usize = 50;

/// Whether a later job of its kind, which did well, did what this one did not.
fn mends(good: &Job, job: &Job) -> bool {
    match (&good.what, &job.what) {
        (JobWhat::Restore(good), JobWhat::Restore(plan)) => {
            let is_new = matches!(plan.target, RestoreTarget::NewFolder { .. });
            (good.source, &good.paths, &good.target) == (plan.source, &plan.paths, &plan.target)
                && good.dry_run == plan.dry_run
                // What was left unfinished is left alone by another choice.
                && (is_new || plan.dry_run || good.overwrite == Overwrite::Always)
        }
        (JobWhat::Drill(good), JobWhat::Drill(plan)) => {
            good.group == plan.group && (job.class != Some(Class::ProofFailed) || good.is_of_usual_size())
        }
        (JobWhat::Find(_) | JobWhat::Diff { .. }, what) => good.what == *what,
        _ => true,
    }
}

/// The job after this one that did well what this one did not.
fn mended(state: &FleetState, now: Timestamp, job: &Job) -> Result<Option<Mended>, Problem> {
    let failed = matches!(job.state, JobState::Failed | JobState::Lost | JobState::Warning);
    if !failed && !is_broken_off(job) {
        return Ok(None);
    }
    let later = match &job.what {
        JobWhat::Backup { group } => state.last_good_backup(job.host, Some(group))?,
        what => {
            let (host, kind) = (Some(job.host), Some(what.kind()));
            let filter = JobFilter { host, kind, ..JobFilter::default() };
            let later = state.jobs(&filter, &Page { limit: MOST_LATER, ..Page::default() })?.items;
            later.into_iter().find(|later| later.state == JobState::Succeeded && mends(later, job))
        }
    };
    // A warning is mended by what warns no more.
    let is_better = |later: &Job| job.state != JobState::Warning || later.state == JobState::Succeeded;
    Ok(later.filter(|later| later.id > job.id && is_better(later)).map(|later| Mended {
        href: format!("/jobs/{}", later.id),
        title: job_title(&later.what),
        text: format!("succeeded {}", ago(now, later.finished_at.unwrap_or(later.created_at))),
    }))
}

/// The last jobs of the same host that were made before.
fn before(ctx: &Ctx, state: &FleetState, now: Timestamp, job: &Job) -> Result<Vec<JobLine>, Problem> {
    let filter = JobFilter { host: Some(job.host), kind: Some(job.what.kind()), ..JobFilter::default() };
    let older = state.jobs(&filter, &Page { limit: 4, cursor: Some(job.id.to_string()) })?.items;
    older.iter().map(|job| JobLine::new(ctx, state, now, job)).collect()
}

/// `GET /jobs/{job}/cancel`.
pub(crate) async fn confirm_cancel(ctx: Ctx, Path(job): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let job = find(state, &job)?;
        if job.state.is_ended() {
            return Ok(ctx.go(&format!("/jobs/{}", job.id)));
        }
        let name = state.host(job.host)?.map_or_else(|| "a deleted host".to_owned(), |host| host.name);
        ctx.page(&job_view::cancel(&job, &name))
    })
    .await
}

/// `GET /jobs/{job}/host-key`.
pub(crate) async fn confirm_host_key(ctx: Ctx, Path(job): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let job = find(state, &job)?;
        let (JobFigures::HostKey { key, .. }, Some(host)) = (&job.figures, state.host(job.host)?) else {
            return Ok(ctx.go(&format!("/jobs/{}", job.id)));
        };
        ctx.page(&job_view::accept_host_key(&job, key, &host.name))
    })
    .await
}

/// `POST /jobs/{job}/host-key?fingerprint=…`: and a test of the credentials.
pub(crate) async fn accept_host_key(
    ctx: Ctx,
    Path(job): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    let job = ctx.read(move |_, state| find(state, &job)).await?;
    let fingerprint = query.get("fingerprint").unwrap_or_default();
    ctx.app.fleet.accept_host_key(job.id, fingerprint, ctx.by()).await?;
    // A host that is away is no failure of the acceptance.
    let _ = ctx.app.fleet.dispatch(job.host, JobRequest::Probe, ctx.by()).await;
    Ok(ctx.go(&format!("/hosts/{}/repo#connection", job.host)))
}

/// `GET /jobs/{job}/log`: the whole of it, to keep.
pub(crate) async fn log_text(ctx: Ctx, Path(job): Path<String>) -> Result<Response<Body>, Problem> {
    let text = ctx.read(move |ctx, state| {
        let job = find(state, &job)?;
        Ok(JobLog::read(&ctx.app.fleet, state, &job)?.text(0))
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.await?).into_response())
}
