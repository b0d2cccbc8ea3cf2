//! What a request of the page is about: what was chosen, and which part is open.

use super::calendar::month_of;
use super::choices::Choices;
use super::plan;
use super::what::BrowsePosition;
use crate::problem::Problem;
use crate::query::Query;
use fleet::FleetState;
use fleet::record::{Host, Job, JobWhat};
use schema::{JobId, Overwrite};

/// Which part is open.
pub(super) enum OpenPart {
    What(BrowsePosition),
    Where,
    Plan(Box<Job>, String),
}

/// What a request is about.
pub(super) struct RestorePageRequest {
    pub(super) choices: Choices,
    pub(super) open: OpenPart,
    pub(super) problem: Option<Problem>,
}

impl RestorePageRequest {
    /// As an address says.
    pub(super) fn of_query(state: &FleetState, host: &Host, query: &Query) -> Result<Self, Problem> {
        let named = match query.get("plan").and_then(|id| id.parse::<JobId>().ok()) {
            Some(id) => state.job(id)?,
            None => None,
        };
        let is_elsewhere = named.as_ref().is_some_and(|job| job.repository_of() != host.id);
        let job = named.filter(|job| job.repository_of() == host.id);
        let plan = job.as_ref().and_then(|job| match &job.what {
            JobWhat::Restore(plan) => Some((plan, job)),
            _ => None,
        });
        let choices = match plan {
            Some((plan, job)) if plan::may_have_left_unfinished(job, plan) => {
                Choices { overwrite: Overwrite::Always, ..Choices::of_plan(plan, job.host) }
            }
            Some((plan, job)) => Choices::of_plan(plan, job.host),
            None => Choices::read(query.fields()),
        };
        let place = BrowsePosition {
            at: query.get("at").map(str::to_owned),
            cursor: query.get("cursor").and_then(|cursor| cursor.parse().ok()),
            month: query.get("month").and_then(month_of),
            more: String::new(),
            refused: None,
        };
        let open = match (query.get("step"), &job) {
            (Some("what"), _) => OpenPart::What(place),
            (None, Some(job)) if plan::of_dry_run(job, host).is_some() => {
                OpenPart::Plan(Box::new(job.clone()), String::new())
            }
            (Some("where"), _) | (None, Some(_)) if !choices.paths.is_empty() => OpenPart::Where,
            _ => OpenPart::What(place),
        };
        let gone = query.get("plan").is_some() && plan.is_none();
        let problem = gone.then(|| {
            Problem::not_found(match (is_elsewhere, &job) {
                (true, _) => "This plan is one of another host.",
                (false, Some(_)) => "The job that is named is no plan of a restore.",
                (false, None) => "This plan is not kept any more: make it again.",
            })
        });
        Ok(Self { choices, open, problem })
    }
}
