//! Schedules.

use super::time::time;
use fleet::ScheduleView;
use fleet::record::Schedule;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSchedule)]
pub(crate) struct ScheduleIn {
    /// In a PUT it may be left out: the address names it. Another name renames.
    #[serde(default)]
    pub(crate) name: String,
    /// Five fields (minute, hour, day of the month, month, day of the week), or `@daily` and the like.
    cron: String,
    /// IANA name.
    #[serde(default = "utc")]
    timezone: String,
    groups: Vec<String>,
    #[serde(default = "yes")]
    enabled: bool,
    /// How often a backup that came to nothing is tried again; a group may allow less.
    #[serde(default = "super::retry_max")]
    retry_max: u16,
    /// Hosts are spread over so many seconds after the due time.
    #[serde(default)]
    jitter_secs: u32,
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn yes() -> bool {
    true
}

impl From<ScheduleIn> for Schedule {
    fn from(body: ScheduleIn) -> Self {
        let ScheduleIn { name, cron, timezone, groups, enabled, retry_max, jitter_secs } = body;
        Self { name, cron, timezone, groups, enabled, retry_max, jitter_secs }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Schedule)]
pub(crate) struct ScheduleOut {
    name: String,
    cron: String,
    timezone: String,
    groups: Vec<String>,
    enabled: bool,
    retry_max: u16,
    jitter_secs: u32,
    /// The next due time, before hosts are spread; null when it is off.
    next_due_at: Option<String>,
    /// When it runs next on this host: the due time and what the host is spread by. `next_run_at` of the host is the first of
    /// these.
    next_run_at: Option<String>,
    /// When it runs, in words.
    in_words: String,
    /// Why it never runs although it is on: its time zone or its expression is not known any more.
    problem: Option<String>,
}

impl From<ScheduleView> for ScheduleOut {
    fn from(view: ScheduleView) -> Self {
        let in_words = in_words(&view.schedule);
        let Schedule { name, cron, timezone, groups, enabled, retry_max, jitter_secs } = view.schedule;
        let (next_due_at, next_run_at) = (time(view.next_due_at), time(view.next_run_at));
        let problem = view.problem;
        Self {
            name,
            cron,
            timezone,
            groups,
            enabled,
            retry_max,
            jitter_secs,
            next_due_at,
            next_run_at,
            in_words,
            problem,
        }
    }
}

/// When a schedule runs, in words; its expression when it can't be read.
pub(crate) fn in_words(schedule: &Schedule) -> String {
    cron::Cron::parse(&schedule.cron, &schedule.timezone)
        .map_or_else(|_| schedule.cron.clone(), |cron| cron.in_words())
}
