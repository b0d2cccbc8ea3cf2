//! Finding files by name: on one host, or on several at once. Each search is a job of its host; the page shows what each
//! has found as it ends, and what is picked goes on to the page of restores. What was searched stands in the address.

mod pick;
mod view;
mod wanted;

pub(crate) use pick::pick;
pub(crate) use view::FindView;

use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::query::Query;
use axum::body::Body;
use axum::http::Response;
use fleet::record::FindPlan;
use fleet::{JobRequest, Refused};
use schema::{HostId, Timestamp};
use wanted::{FindPageRequest, MAX_HOSTS, NEWEST, Shown, address};

/// `GET /find`.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    let filter = crate::api::host::filter(&query)?;
    ctx.read(move |ctx, state| {
        let wanted = FindPageRequest::of(state, &query, &filter)?;
        ctx.page(&view::read(state, &wanted)?)
    })
    .await
}

/// `POST /find`: one job a host. A host that can't be asked now is shown with the reason.
pub(crate) async fn start(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let (plan, mut problem) = typed(&form);
    let hosts: Result<Vec<HostId>, _> = form.all("host").iter().map(|id| id.parse()).collect();
    let mut hosts =
        hosts.map_err(|_| Problem::invalid("host", "One of the hosts is not named by its id."))?;
    if hosts.len() > MAX_HOSTS {
        let words = format!("At most {MAX_HOSTS} hosts are searched at once, not {}.", hosts.len());
        return Err(Problem::invalid("host", words));
    }
    let (mut jobs, mut refused) = (Vec::new(), Vec::new());
    if problem.is_some() {
        refused = core::mem::take(&mut hosts);
    }
    for host in hosts {
        match ctx.app.fleet.dispatch(host, JobRequest::Find(plan.clone()), ctx.by()).await {
            Ok(job) => jobs.push(job.id),
            // The same search, asked for a moment ago.
            Err(Refused::JobInProgress { job }) => jobs.push(job),
            Err(Refused::Store(error)) => return Err(Refused::Store(error).into()),
            Err(error) => {
                refused.push(host);
                let found = Problem::from(error);
                problem = problem.or_else(|| Some(found).filter(Problem::is_about_input));
            }
        }
    }
    if let Some(problem) = problem.filter(|_| jobs.is_empty()) {
        let status = problem.status;
        return ctx
            .answer(move |ctx, state| {
                let mut hosts = Vec::new();
                for id in refused {
                    hosts.extend(state.host(id)?);
                }
                let shown = Shown::default();
                let wanted = FindPageRequest { plan, hosts, left_out: 0, jobs: Vec::new(), shown };
                let mut view = view::read(state, &wanted)?;
                view.problem = Some(ProblemView::from(&problem));
                ctx.page_with(status, &view)
            })
            .await;
    }
    Ok(ctx.go(&address(&plan.pattern, &jobs, &refused)))
}

/// What was typed, and what of it can't be read.
fn typed(form: &Form) -> (FindPlan, Option<Problem>) {
    let mut problem = None;
    let newest = match form.raw("newest").trim() {
        "" => NEWEST,
        _ => form.number("newest").map_or_else(
            |wrong| {
                problem = Some(wrong);
                NEWEST
            },
            u32::from,
        ),
    };
    let since = match form.raw("since").trim() {
        "" => None,
        day => {
            let found = since(day);
            if found.is_none() {
                problem = Some(Problem::invalid("since", "A day is needed, like 2026-11-29."));
            }
            found
        }
    };
    let group = Some(form.text("group")).filter(|group| !group.is_empty());
    let pattern = form.raw("pattern").to_owned();
    (FindPlan { pattern, ignore_case: !form.has("case"), group, newest, since }, problem)
}

/// The day that a date field says, from its beginning.
fn since(day: &str) -> Option<Timestamp> {
    crate::format::from_rfc3339(&format!("{day}T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_and_nothing_else_is_searched_instead() {
        let found = |body: &str| {
            let (plan, problem) = typed(&Form::parse(body.as_bytes()));
            (plan.newest, plan.since.is_some(), problem.and_then(|problem| problem.field))
        };
        assert_eq!(found("pattern=a"), (NEWEST, false, None));
        assert_eq!(found("newest=1&since=2026-11-29"), (1, true, None));
        assert_eq!(found("newest=0&since="), (0, false, None));
        for (body, field) in
            [("newest=many", "newest"), ("newest=-1", "newest"), ("since=yesterday", "since")]
        {
            assert_eq!(found(body).2.as_deref(), Some(field), "{body}");
        }
    }
}
