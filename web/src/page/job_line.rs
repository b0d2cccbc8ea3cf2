//! A job in one line of a list.

use super::restored::runner_of;
use crate::app::Ctx;
use crate::format::When;
use crate::problem::Problem;
use crate::words::{Badge, job_badge, job_result, job_title};
use fleet::FleetState;
use fleet::record::Job;
use schema::Timestamp;
use serde::Serialize;

/// A job in a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobLine {
    pub(crate) href: String,
    pub(crate) title: String,
    pub(crate) badge: Badge,
    pub(crate) result: String,
    pub(crate) when: When,
}

#[cfg(test)]
impl JobLine {
    pub(crate) fn sample(s: &crate::sample::Sample, state: &'static str) -> Self {
        Self {
            href: "/jobs/01".to_owned(),
            title: s.text("Backup of media"),
            badge: Badge::new(state, s.text("Succeeded")),
            result: s.text("1.20 GiB new in 214 files, 3 min 12 s"),
            when: s.when(),
        }
    }
}

impl JobLine {
    pub(crate) fn new(ctx: &Ctx, state: &FleetState, now: Timestamp, job: &Job) -> Result<Self, Problem> {
        let by = match runner_of(state, job)? {
            Some(runner) => format!(", by {runner}"),
            None => String::new(),
        };
        Ok(Self {
            href: format!("/jobs/{}", job.id),
            title: format!("{}{by}", job_title(&job.what)),
            badge: job_badge(job),
            result: job_result(job, ctx.app.fleet.progress(job.id).as_ref()),
            when: When::ago(now, job.started_at.unwrap_or(job.created_at)),
        })
    }
}
