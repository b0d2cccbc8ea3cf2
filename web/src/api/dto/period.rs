//! What happened in a period, as the report and webhooks say it.

use super::time::time;
use super::words;
use crate::format::rfc3339;
use crate::words::{AHEAD_DAYS, cause_title};
use fleet::record::{CauseCount, EndCounts, FleetDay, Period, StorageSeen, VersionCount};
use serde::Serialize;
use utoipa::ToSchema;

/// How the fleet stood at one time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FleetDay)]
pub(crate) struct FleetDayOut {
    at: String,
    hosts: u32,
    protected: u32,
    proven: u32,
}

/// How backups or proofs ended; what somebody cancelled is not among them.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EndCounts)]
pub(crate) struct EndCountsOut {
    ended: u32,
    /// Of backups: those with a whole snapshot, also with warnings.
    good: u32,
    /// How many of the good ones had warnings.
    with_warnings: u32,
    failed: u32,
}

/// A cause, and how many hosts or backups have it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CauseCount)]
pub(crate) struct CauseCountOut {
    #[schema(value_type = words::IncidentCause)]
    cause: &'static str,
    /// The same in words.
    text: String,
    storage: Option<String>,
    count: u32,
}

/// The longest backup of a source group.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SlowRun)]
pub(crate) struct SlowRunOut {
    host: String,
    name: String,
    group: String,
    secs: u64,
    ended_at: String,
}

/// A repository; one that hosts share is of the first of them by name.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LargeRepo)]
pub(crate) struct LargeRepoOut {
    host: String,
    name: String,
    bytes: u64,
}

/// A storage; a repository that hosts share counts once.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StorageGrowth)]
pub(crate) struct StorageGrowthOut {
    /// As addresses name it; null: of each host's own, or not known.
    storage: Option<String>,
    repositories: u32,
    bytes: u64,
    /// By how much it has changed in the period; null: that is not known.
    change_bytes: Option<i64>,
    /// How fast it grows, prunes counted in; null with the next three: too little is known.
    bytes_per_day: Option<i64>,
    /// Of how many days that is made, at least.
    from_days: Option<u32>,
    /// Of how many of its repositories.
    from_repositories: Option<u32>,
    /// How large it will be in 90 days, if it goes on like that; null also where it does not grow.
    in_90_days_bytes: Option<u64>,
}

/// How many hosts have a version.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = VersionCount)]
pub(crate) struct VersionCountOut {
    version: String,
    hosts: u32,
}

/// What happened in a period. Of each list the first 10 (of `storages` 50), and how many more there are.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReportPeriod)]
pub(crate) struct PeriodOut {
    from: String,
    /// What came then or later is not in it.
    until: String,
    /// How the fleet stands.
    now: FleetDayOut,
    /// How it stood at the begin of the period; null: nobody has looked then.
    before: Option<FleetDayOut>,
    /// Why hosts need somebody now, and how many; most first.
    in_need: Vec<CauseCountOut>,
    in_need_left_out: u32,
    backups: EndCountsOut,
    /// Why backups failed, and how many; most first.
    failures: Vec<CauseCountOut>,
    failures_left_out: u32,
    proofs: EndCountsOut,
    incidents_opened: u32,
    incidents_ended: u32,
    /// Hosts that were added and are there still, by name.
    hosts_added: Vec<String>,
    hosts_added_left_out: u32,
    slowest: Vec<SlowRunOut>,
    slowest_left_out: u32,
    largest: Vec<LargeRepoOut>,
    largest_left_out: u32,
    storages: Vec<StorageGrowthOut>,
    storages_left_out: u32,
    /// Versions of agents, oldest first.
    agents: Vec<VersionCountOut>,
    agents_left_out: u32,
    /// Versions of restic, oldest first.
    restics: Vec<VersionCountOut>,
    restics_left_out: u32,
    /// Jobs that were made before are not counted, for there were too many; null: all are.
    jobs_since: Option<String>,
}

impl From<&FleetDay> for FleetDayOut {
    fn from(day: &FleetDay) -> Self {
        let FleetDay { at, hosts, protected, proven } = *day;
        Self { at: rfc3339(at), hosts, protected, proven }
    }
}

impl From<&EndCounts> for EndCountsOut {
    fn from(counts: &EndCounts) -> Self {
        let EndCounts { good, with_warnings, failed } = *counts;
        Self { ended: counts.all(), good, with_warnings, failed }
    }
}

impl From<&CauseCount> for CauseCountOut {
    fn from(counted: &CauseCount) -> Self {
        let CauseCount { cause, storage, count } = counted;
        let text = cause_title(*cause, storage.as_deref());
        Self { cause: cause.code(), text, storage: storage.clone(), count: *count }
    }
}

impl From<&StorageSeen> for StorageGrowthOut {
    fn from(seen: &StorageSeen) -> Self {
        Self {
            storage: seen.storage.clone(),
            repositories: seen.repositories,
            bytes: seen.bytes,
            change_bytes: seen.change_bytes,
            bytes_per_day: seen.rate.map(|rate| rate.per_day_bytes),
            from_days: seen.rate.map(|rate| rate.days),
            from_repositories: seen.rate.map(|rate| rate.repositories),
            in_90_days_bytes: seen.bytes_in(AHEAD_DAYS),
        }
    }
}

impl From<&VersionCount> for VersionCountOut {
    fn from(counted: &VersionCount) -> Self {
        Self { version: counted.version.clone(), hosts: counted.hosts }
    }
}

impl From<&Period> for PeriodOut {
    fn from(period: &Period) -> Self {
        let Period { in_need, failures, added, slowest, largest, storages, agents, restics, .. } = period;
        let causes = |all: &[CauseCount]| all.iter().map(CauseCountOut::from).collect();
        let versions = |all: &[VersionCount]| all.iter().map(VersionCountOut::from).collect();
        Self {
            from: rfc3339(period.from),
            until: rfc3339(period.until),
            now: FleetDayOut::from(&period.now),
            before: period.before.as_ref().map(FleetDayOut::from),
            in_need: causes(&in_need.items),
            in_need_left_out: in_need.left_out,
            backups: EndCountsOut::from(&period.backups),
            failures: causes(&failures.items),
            failures_left_out: failures.left_out,
            proofs: EndCountsOut::from(&period.proofs),
            incidents_opened: period.opened,
            incidents_ended: period.ended,
            hosts_added: added.items.clone(),
            hosts_added_left_out: added.left_out,
            slowest: slowest
                .items
                .iter()
                .map(|run| SlowRunOut {
                    host: run.host.to_string(),
                    name: run.name.clone(),
                    group: run.group.clone(),
                    secs: run.secs,
                    ended_at: rfc3339(run.ended_at),
                })
                .collect(),
            slowest_left_out: slowest.left_out,
            largest: largest
                .items
                .iter()
                .map(|repo| LargeRepoOut {
                    host: repo.host.to_string(),
                    name: repo.name.clone(),
                    bytes: repo.bytes,
                })
                .collect(),
            largest_left_out: largest.left_out,
            storages: storages.items.iter().map(StorageGrowthOut::from).collect(),
            storages_left_out: storages.left_out,
            agents: versions(&agents.items),
            agents_left_out: agents.left_out,
            restics: versions(&restics.items),
            restics_left_out: restics.left_out,
            jobs_since: time(period.jobs_since),
        }
    }
}
