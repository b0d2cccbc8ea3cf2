//! Run-now: one handler for both faces. JSON gets a 202 with the job, htmx a redirect header, a plain form a 303.

use crate::{
    api::dto::{
        DiffBody, DrillBody, FindBody, FolderBody, ForgetDryRunBody, JobOut, RestoreBody, words::REPO_JOBS,
    },
    app::{Ctx, Face},
    form::{Input, MaybeInput},
    page::restore::snapshot_before,
    problem::Problem,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use fleet::record::Job;
use fleet::{JobRequest, Refused};
use schema::JobId;

/// `…/repo-credentials/test`.
pub(crate) async fn probe(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    dispatch(&ctx, &host, JobRequest::Probe).await
}

/// `…/groups/{group}/backup`.
pub(crate) async fn backup(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    dispatch(&ctx, &host, JobRequest::Backup { group }).await
}

/// `…/groups/{group}/forget-dry-run`.
pub(crate) async fn forget_dry_run(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
    Input(body): Input<ForgetDryRunBody>,
) -> Result<Response<Body>, Problem> {
    dispatch(&ctx, &host, JobRequest::ForgetDryRun { group, keep: body.keep.map(Into::into) }).await
}

/// `…/snapshots/refresh`.
pub(crate) async fn snapshots(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    let job = ctx.app.fleet.dispatch(host.id, JobRequest::Snapshots, ctx.by()).await?;
    Ok(match ctx.face {
        Face::Api => accepted(&ctx, &job),
        // The list says that it is read again, and changes when it is.
        Face::Page => ctx.go(&format!("/hosts/{}/snapshots", host.id)),
    })
}

/// `…/snapshots/{snapshot}/files`.
pub(crate) async fn ls(
    ctx: Ctx,
    Path((host, snapshot)): Path<(String, String)>,
    Input(body): Input<FolderBody>,
) -> Result<Response<Body>, Problem> {
    dispatch(&ctx, &host, JobRequest::Ls { snapshot, path: body.path }).await
}

/// `…/folders`.
pub(crate) async fn browse(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<FolderBody>,
) -> Result<Response<Body>, Problem> {
    dispatch(&ctx, &host, JobRequest::Browse { path: body.path }).await
}

/// `…/find`.
pub(crate) async fn find(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<FindBody>,
) -> Result<Response<Body>, Problem> {
    dispatch(&ctx, &host, JobRequest::Find(body.plan()?)).await
}

/// `…/snapshots/{snapshot}/diff`.
pub(crate) async fn diff(
    ctx: Ctx,
    Path((host, snapshot)): Path<(String, String)>,
    Input(body): Input<DiffBody>,
) -> Result<Response<Body>, Problem> {
    Ok(accepted(&ctx, &compare(&ctx, &host, snapshot, body).await??))
}

/// Compares a snapshot with the one that is named, or the one before it.
pub(crate) async fn compare(
    ctx: &Ctx,
    host: &str,
    snapshot: String,
    body: DiffBody,
) -> Result<Result<Job, Refused>, Problem> {
    fleet::check_snapshot(&snapshot)?;
    let host = ctx.find_host(host).await?;
    let against = match body.against {
        Some(against) => against,
        None => {
            let (host, snapshot) = (host.clone(), snapshot.clone());
            let before = ctx.read(move |_, state| snapshot_before(state, &host, &snapshot)).await?;
            before.ok_or_else(|| {
                Problem::invalid(
                    "against",
                    "No snapshot before it is known: name one, or list the snapshots.",
                )
            })?
        }
    };
    let request = JobRequest::Diff { against, snapshot };
    Ok(ctx.app.fleet.dispatch(host.id, request, ctx.by()).await)
}

/// `…/restore`.
pub(crate) async fn restore(
    ctx: Ctx,
    Path(host): Path<String>,
    Input(body): Input<RestoreBody>,
) -> Result<Response<Body>, Problem> {
    let source = ctx.find_host(&host).await?;
    let runner = ctx.find_runner(&source, body.runner.as_deref()).await?;
    let plan = body.plan(&runner, source.id)?;
    let job = ctx.app.fleet.dispatch(runner.id, JobRequest::Restore(plan), ctx.by()).await?;
    Ok(accepted(&ctx, &job))
}

/// `POST /api/…/drill`.
pub(crate) async fn drill(
    ctx: Ctx,
    Path(host): Path<String>,
    MaybeInput(body): MaybeInput<DrillBody>,
) -> Result<Response<Body>, Problem> {
    let DrillBody { group, files, bytes } = body;
    dispatch(&ctx, &host, JobRequest::Drill { group, files, bytes }).await
}

/// `POST …/drill?group=`.
pub(crate) async fn prove(
    ctx: Ctx,
    Path(host): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response<Body>, Problem> {
    let group = value_in(query.as_deref().unwrap_or_default(), "group");
    dispatch(&ctx, &host, JobRequest::Drill { group, files: None, bytes: None }).await
}

fn value_in(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// `…/repo/{init,forget,prune,check,unlock,stats}`.
pub(crate) async fn repo(
    ctx: Ctx,
    Path((host, kind)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response<Body>, Problem> {
    let request = repo_request(&kind, query.as_deref().unwrap_or_default())?;
    dispatch(&ctx, &host, request).await
}

fn repo_request(kind: &str, query: &str) -> Result<JobRequest, Problem> {
    let value = |name: &str| value_in(query, name);
    Ok(match kind {
        "init" => JobRequest::Init,
        "forget" => JobRequest::Forget,
        "prune" => JobRequest::Prune,
        "stats" => JobRequest::Stats,
        // What is no number falls back to the setting; what is out of range is clamped.
        "check" => JobRequest::Check {
            subset_pct: value("subset").and_then(|text| text.parse::<i64>().ok()).map(percent),
        },
        "unlock" if value("all").is_some_and(|text| text == "true") => {
            // Who removes a live lock has looked at it: the lock that was shown comes along.
            let mark = value("lock").filter(|mark| !mark.is_empty()).ok_or_else(|| {
                Problem::invalid(
                    "lock",
                    "Say which lock: all=true needs the mark of the lock that was shown (lock.mark of the repository).",
                )
            })?;
            JobRequest::Unlock { all: Some(mark) }
        }
        "unlock" => JobRequest::Unlock { all: None },
        _ => {
            return Err(Problem::not_found(&format!(
                "A repository has no such job; there are: {}.",
                REPO_JOBS.join(", ")
            )));
        }
    })
}

fn percent(number: i64) -> u8 {
    u8::try_from(number.clamp(0, 100)).unwrap_or(100)
}

/// `/jobs/{job}/cancel`.
pub(crate) async fn cancel(ctx: Ctx, Path(job): Path<String>) -> Result<Response<Body>, Problem> {
    let id: JobId = job.parse().map_err(|_| Problem::from(Refused::JobNotFound))?;
    let job = ctx.app.fleet.cancel(id, ctx.by()).await?;
    Ok(accepted(&ctx, &job))
}

async fn dispatch(ctx: &Ctx, host: &str, request: JobRequest) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(host).await?;
    let job = ctx.app.fleet.dispatch(host.id, request, ctx.by()).await?;
    Ok(accepted(ctx, &job))
}

/// The answer of whatever made or ended a job.
pub(crate) fn accepted(ctx: &Ctx, job: &Job) -> Response<Body> {
    match ctx.face {
        Face::Api => (StatusCode::ACCEPTED, Json(JobOut::new(job, None))).into_response(),
        Face::Page => ctx.go(&format!("/jobs/{}", job.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_clamped_and_nonsense_falls_back() {
        for (query, subset_pct) in [
            ("", None),
            ("subset=7", Some(7)),
            ("subset=700", Some(100)),
            ("subset=-7", Some(0)),
            ("subset=lots", None),
        ] {
            assert_eq!(repo_request("check", query), Ok(JobRequest::Check { subset_pct }), "{query}");
        }
        let all = Some("7f".to_owned());
        assert_eq!(repo_request("unlock", "all=true&lock=7f"), Ok(JobRequest::Unlock { all }));
        for query in ["", "all=1", "all=false&lock=7f"] {
            assert_eq!(repo_request("unlock", query), Ok(JobRequest::Unlock { all: None }), "{query}");
        }
        for query in ["all=true", "all=true&lock="] {
            assert_eq!(repo_request("unlock", query).unwrap_err().field.as_deref(), Some("lock"));
        }
        for kind in REPO_JOBS {
            repo_request(kind, "").unwrap();
        }
        assert_eq!(repo_request("explode", "").unwrap_err().code, "not_found");
    }
}
