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
use wanted::{MAX_HOSTS, NEWEST, Shown, Wanted, address};

/// `GET /find`.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    let filter = crate::api::host::filter(&query)?;
    ctx.read(move |ctx, state| {
        let wanted = Wanted::of(state, &query, &filter)?;
        ctx.page(&view::read(state, &wanted)?)
    })
    .await
}

/// `POST /find`: one job a host. A host that can't be asked now is shown with the reason.
pub(crate) async fn start(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let hosts: Vec<HostId> =
        form.all("host").iter().filter_map(|id| id.parse().ok()).take(MAX_HOSTS).collect();
    let plan = FindPlan {
        pattern: form.raw("pattern").to_owned(),
        ignore_case: !form.has("case"),
        group: Some(form.text("group")).filter(|group| !group.is_empty()),
        newest: form.text("newest").parse().unwrap_or(NEWEST),
        since: since(&form.text("since")),
    };
    let (mut jobs, mut refused, mut problem) = (Vec::new(), Vec::new(), None);
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
                let wanted = Wanted { plan, hosts, left_out: 0, jobs: Vec::new(), shown };
                let mut view = view::read(state, &wanted)?;
                view.problem = Some(ProblemView::from(&problem));
                ctx.page_with(status, &view)
            })
            .await;
    }
    Ok(ctx.go(&address(&plan.pattern, &jobs, &refused)))
}

/// The day that a date field says, from its beginning.
fn since(day: &str) -> Option<Timestamp> {
    crate::format::from_rfc3339(&format!("{day}T00:00:00Z"))
}
