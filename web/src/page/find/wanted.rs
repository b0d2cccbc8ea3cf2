//! What a page of searches is about: the hosts, the searches that were begun, and what of them is shown.

use crate::format::{When, many};
use crate::problem::Problem;
use crate::query::Query;
use fleet::record::{FindPlan, FoundVersion, Host, Job, JobWhat};
use fleet::{FleetState, HostFilter};
use schema::{HostId, JobId};
use serde::Serialize;

/// The most hosts that are searched at once.
pub(super) const MAX_HOSTS: usize = 20;
/// In so many of the newest snapshots it is searched when nothing else is said.
pub(super) const NEWEST: u32 = 30;

/// What is to be searched, or was.
pub(super) struct FindPageRequest {
    /// What was typed.
    pub(super) plan: FindPlan,
    /// The hosts that are, or were, searched.
    pub(super) hosts: Vec<Host>,
    /// How many more fit the filter.
    pub(super) left_out: usize,
    /// The searches that were begun.
    pub(super) jobs: Vec<Job>,
    pub(super) shown: Shown,
}

pub(super) const fn blank() -> FindPlan {
    FindPlan { pattern: String::new(), ignore_case: true, group: None, newest: NEWEST, since: None }
}

impl FindPageRequest {
    pub(super) fn of(state: &FleetState, query: &Query, filter: &HostFilter) -> Result<Self, Problem> {
        let mut jobs: Vec<Job> = Vec::new();
        for id in query.all("job").iter().filter_map(|id| id.parse::<JobId>().ok()).take(MAX_HOSTS) {
            jobs.extend(state.job(id)?.filter(|job| matches!(job.what, JobWhat::Find(_))));
        }
        let mut ids: Vec<HostId> = jobs.iter().map(|job| job.host).collect();
        ids.extend(query.all("host").iter().filter_map(|id| id.parse::<HostId>().ok()));
        if ids.is_empty() {
            ids.extend(state.fleet(filter).into_iter().map(|row| row.host.id));
        }
        let mut hosts: Vec<Host> = Vec::new();
        let mut left_out = 0;
        for id in ids {
            if hosts.iter().any(|host| host.id == id) {
                continue;
            }
            match state.host(id)? {
                Some(_) if hosts.len() == MAX_HOSTS => left_out += 1,
                found => hosts.extend(found),
            }
        }
        let plan = jobs.iter().find_map(plan_of).cloned().unwrap_or_else(|| FindPlan {
            pattern: query.get("pattern").unwrap_or_default().to_owned(),
            ..blank()
        });
        let shown = Shown { after: query.get("after").map(str::to_owned), split: Vec::new() };
        Ok(Self { plan, hosts, left_out, jobs, shown })
    }
}

pub(super) fn plan_of(job: &Job) -> Option<&FindPlan> {
    match &job.what {
        JobWhat::Find(plan) => Some(plan),
        _ => None,
    }
}

/// Where searches are shown, and hosts that were not searched.
pub(super) fn address(pattern: &str, jobs: &[JobId], hosts: &[HostId]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(jobs.iter().map(|job| ("job", job.to_string())));
    query.extend_pairs(hosts.iter().map(|host| ("host", host.to_string())));
    if jobs.is_empty() {
        query.append_pair("pattern", pattern);
    }
    format!("/find?{}", query.finish())
}

/// What is shown besides the searches.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Behind which path to go on.
    pub(super) after: Option<String>,
    /// What was picked, by the snapshots that have it.
    pub(super) split: Vec<Split>,
}

/// What is picked of one snapshot, when one is not enough.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Split {
    pub(crate) title: String,
    pub(crate) action: String,
    pub(crate) snapshot: String,
    pub(crate) paths: Vec<String>,
}

impl Split {
    pub(super) fn new(
        host: HostId,
        picks: &[(&str, &FoundVersion)],
        (snapshot, paths): &(&str, Vec<&str>),
    ) -> Self {
        let newest = picks.iter().find(|(_, version)| version.snapshot() == *snapshot);
        let short = &snapshot[..snapshot.floor_char_boundary(8)];
        let when = newest.map(|(_, version)| format!(" of {}", When::short(version.time).text));
        Self {
            title: format!(
                "{} in snapshot {short}{}",
                many(paths.len() as u64, "path"),
                when.unwrap_or_default()
            ),
            action: format!("/hosts/{host}/restore"),
            snapshot: (*snapshot).to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }
    }
}
