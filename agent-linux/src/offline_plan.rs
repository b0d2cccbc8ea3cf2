//! What this machine does alone while the server is away: which backups of the plan are due, pure. The words of
//! occurrences and cron are the server's, and so is the code ([`cron`]).
//!
//! An occurrence is due when its time has passed, nobody took a backup of its group since, and the server has been away
//! for a while ([`GRACE_SECS`]): a server that is only started anew does it itself. Occurrences that were missed, because
//! the machine was off, count as one.

use cron::Cron;
use schema::{HostId, Plan, Timestamp, plan::PlannedSchedule};

/// How long the server may be away, and an occurrence be due, before the agent does it by itself, in seconds.
pub const GRACE_SECS: u32 = 120;
/// How far the server's clock may be ahead of this one: what was taken so long before an occurrence may be that one…
const SKEW_MS: u64 = 120_000;
/// …but no longer than this part of the time between two.
const SKEW_PART: u64 = 4;
/// A mark that is further ahead than this was set by a wrong clock.
const DAY_MS: u64 = 86_400_000;
/// The most occurrences that are walked through: a schedule of each minute, on a machine that was off for long.
const MOST: usize = 2_000;
/// What is due and can't be taken now is looked at again.
pub const AGAIN_MS: u64 = 60_000;

/// A backup that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueBackup {
    /// The schedule.
    pub schedule: String,
    /// The source group.
    pub group: String,
    /// When it was due.
    pub due_at: Timestamp,
}

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// DueBackup now, one for each source group.
    pub due: Vec<DueBackup>,
    /// When to look again; `None` = when the connection is lost, or another plan comes.
    pub look_at: Option<Timestamp>,
    /// A schedule that can't be kept here, and why.
    pub left: Option<String>,
}

/// Looks at a plan that is known since `since`, while the server is away for `away_ms` (`None` = it is here): by the
/// clock that never jumps, for this one may.
pub fn look(
    plan: &Plan<'_>,
    (host, since): (HostId, Timestamp),
    (away_ms, grace_ms): (Option<u64>, u64),
    taken_at: impl Fn(&str) -> Option<Timestamp>,
    now: Timestamp,
) -> Outlook {
    let Some(away_ms) = away_ms else { return Outlook::default() };
    if away_ms < grace_ms {
        return Outlook { look_at: Some(now.plus_ms(grace_ms - away_ms)), ..Outlook::default() };
    }
    let mut outlook = Outlook::default();
    for schedule in plan.schedules.iter() {
        let cron = match Cron::parse_with_rules(schedule.cron, schedule.timezone, schedule.zone_rules) {
            Ok(cron) => cron,
            // The server runs it when it is back.
            Err(error) => {
                outlook.left = Some(format!("the schedule {} is left to the server: {error}", schedule.name));
                continue;
            }
        };
        let after_ms = cron::delay_ms(host, schedule.name, schedule.jitter_secs) + grace_ms;
        for group in schedule.groups.iter() {
            let floor = floor(&cron, since, taken_at(group), now)
                // Set by a clock that was ahead: what came due since the server went away counts.
                .unwrap_or_else(|| Timestamp(now.0.saturating_sub(away_ms)));
            match latest(&cron, floor, after_ms, now) {
                (Some(due_at), _) => outlook.add(schedule.name, group, due_at),
                (None, Some(next)) => outlook.look_again(next.plus_ms(after_ms)),
                (None, None) => {}
            }
        }
    }
    outlook
}

/// When the next backup of a plan is due, whoever sees to it.
#[must_use]
pub fn next_due(plan: &Plan<'_>, host: HostId, now: Timestamp) -> Option<Timestamp> {
    let next = |schedule: PlannedSchedule<'_>| {
        let cron = Cron::parse_with_rules(schedule.cron, schedule.timezone, schedule.zone_rules).ok()?;
        let delay_ms = cron::delay_ms(host, schedule.name, schedule.jitter_secs);
        // One that is held back by the jitter still comes.
        let at = cron.next_after(Timestamp(now.0.saturating_sub(delay_ms)))?;
        Some(at.plus_ms(delay_ms))
    };
    plan.schedules.iter().filter_map(next).min()
}

impl Outlook {
    fn add(&mut self, schedule: &str, group: &str, due_at: Timestamp) {
        match self.due.iter_mut().find(|due| due.group == group) {
            Some(due) if due.due_at >= due_at => {}
            Some(due) => (due.schedule, due.due_at) = (schedule.to_owned(), due_at),
            None => {
                self.due.push(DueBackup { schedule: schedule.to_owned(), group: group.to_owned(), due_at });
            }
        }
    }

    fn look_again(&mut self, at: Timestamp) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }
}

/// Occurrences up to here are dealt with; `None`: that can't be told.
fn floor(cron: &Cron, since: Timestamp, taken_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let is_sane = |at: &Timestamp| at.0 <= now.0 + DAY_MS;
    let Some(taken_at) = taken_at else { return Some(since).filter(is_sane) };
    if !is_sane(&taken_at) {
        return None;
    }
    // It may be the one that comes next by this clock.
    let next = cron.next_after(taken_at);
    let after = next.and_then(|next| cron.next_after(next));
    let skew = match (next, after) {
        (Some(next), Some(after)) => SKEW_MS.min(after.ms_since(next) / SKEW_PART),
        _ => SKEW_MS,
    };
    let taken_until = taken_at.plus_ms(skew);
    Some(if is_sane(&since) { since.max(taken_until) } else { taken_until })
}

/// The latest occurrence behind `floor` whose time has come, else the next one.
fn latest(
    cron: &Cron,
    floor: Timestamp,
    after_ms: u64,
    now: Timestamp,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let until = Timestamp(now.0.saturating_sub(after_ms));
    let (mut found, mut next) = (None, cron.next_after(floor));
    for _ in 0..MOST {
        let Some(at) = next.filter(|at| *at <= until) else { break };
        found = Some(at);
        next = cron.next_after(at);
    }
    (found, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Incarnation, Items, PlanRevision};

    const HOST: HostId = HostId([7; 16]);
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    /// Mon 2026-11-23 00:00 UTC.
    const MIDNIGHT: Timestamp = Timestamp(1_795_392_000_000);

    fn at(hours: u64, minutes: u64) -> Timestamp {
        MIDNIGHT.plus_ms(hours * HOUR + minutes * MINUTE)
    }

    /// Looks at schedules (name, cron, groups).
    fn seen(
        schedules: &[(&str, &str, &[&str])],
        since: Timestamp,
        away_since: Option<Timestamp>,
        taken: &[(&str, Timestamp)],
        now: Timestamp,
    ) -> Outlook {
        let mut groups = vec![[0; 256]; schedules.len()];
        let planned: Vec<PlannedSchedule<'_>> = schedules
            .iter()
            .zip(&mut groups)
            .map(|((name, cron, names), room)| PlannedSchedule {
                name,
                cron,
                timezone: "UTC",
                groups: Items::write(names.iter().copied(), room).unwrap(),
                jitter_secs: 0,
                zone_rules: "",
            })
            .collect();
        let mut room = [0; 2_048];
        let plan = Plan {
            revision: PlanRevision(1),
            incarnation: Incarnation::ZERO,
            backups_held: false,
            restic_host: "attic",
            groups: Items::EMPTY,
            schedules: Items::write(planned.iter().copied(), &mut room).unwrap(),
            addresses: "",
            authorities: Items::EMPTY,
        };
        let taken_at = |group: &str| taken.iter().find(|(name, _)| *name == group).map(|(_, at)| *at);
        let away_ms = away_since.map(|at| now.ms_since(at));
        look(&plan, (HOST, since), (away_ms, 2 * MINUTE), taken_at, now)
    }

    fn due(outlook: &Outlook) -> Vec<(&str, &str, Timestamp)> {
        outlook.due.iter().map(|due| (due.schedule.as_str(), due.group.as_str(), due.due_at)).collect()
    }

    const NIGHTLY: &[(&str, &str, &[&str])] = &[("nightly", "0 2 * * *", &["etc", "srv"])];

    #[test]
    fn nothing_is_done_alone_while_the_server_is_here_or_just_left() {
        assert_eq!(seen(NIGHTLY, at(0, 0), None, &[], at(3, 0)), Outlook::default());
        let outlook = seen(NIGHTLY, at(0, 0), Some(at(2, 59)), &[], at(3, 0));
        assert_eq!((outlook.due.len(), outlook.look_at), (0, Some(at(3, 1))));
    }

    #[test]
    fn what_is_due_runs_after_its_grace_once_for_each_group() {
        let away = Some(at(0, 30));
        let outlook = seen(NIGHTLY, at(0, 0), away, &[], at(2, 1));
        assert_eq!((outlook.due.len(), outlook.look_at), (0, Some(at(2, 2))));
        let outlook = seen(NIGHTLY, at(0, 0), away, &[], at(2, 2));
        assert_eq!(due(&outlook), [("nightly", "etc", at(2, 0)), ("nightly", "srv", at(2, 0))]);
        let taken = [("etc", at(2, 2)), ("srv", at(2, 3))];
        let outlook = seen(NIGHTLY, at(0, 0), away, &taken, at(2, 5));
        assert_eq!((outlook.due.len(), outlook.look_at), (0, Some(at(26, 2))));
    }

    #[test]
    fn a_backup_that_the_server_asked_for_is_the_occurrence_also_by_a_clock_that_is_behind() {
        // By this clock it came a minute early.
        let taken = [("etc", at(1, 59)), ("srv", at(1, 0))];
        let outlook = seen(NIGHTLY, at(0, 0), Some(at(2, 10)), &taken, at(2, 30));
        assert_eq!(due(&outlook), [("nightly", "srv", at(2, 0))]);
        // A schedule of each two minutes is not put off for so long.
        let often: &[(&str, &str, &[&str])] = &[("often", "*/2 * * * *", &["etc"])];
        let outlook = seen(often, at(0, 0), Some(at(1, 0)), &[("etc", at(1, 58))], at(2, 2));
        assert_eq!(due(&outlook), [("often", "etc", at(2, 0))]);
    }

    #[test]
    fn what_was_missed_counts_as_one_and_what_the_plan_did_not_know_as_none() {
        let outlook = seen(NIGHTLY, at(0, 0), Some(at(80, 0)), &[("srv", at(2, 0))], at(81, 0));
        assert_eq!(due(&outlook), [("nightly", "etc", at(74, 0)), ("nightly", "srv", at(74, 0))]);
        let outlook = seen(NIGHTLY, at(75, 0), Some(at(80, 0)), &[], at(81, 0));
        assert_eq!(due(&outlook), []);
    }

    #[test]
    fn two_schedules_of_one_group_run_it_once() {
        let both: &[(&str, &str, &[&str])] = &[("a", "0 2 * * *", &["etc"]), ("b", "30 1 * * *", &["etc"])];
        assert_eq!(due(&seen(both, at(0, 0), Some(at(0, 0)), &[], at(3, 0))), [("a", "etc", at(2, 0))]);
    }

    #[test]
    fn marks_of_a_clock_that_was_years_ahead_stop_nothing_for_years() {
        let ahead = at(24 * 700, 0);
        let marks = [("etc", ahead), ("srv", ahead)];
        for (since, taken) in [(at(0, 0), &marks[..]), (ahead, &[])] {
            let outlook = seen(NIGHTLY, since, Some(at(0, 0)), taken, at(1, 0));
            assert_eq!((outlook.due.len(), outlook.look_at), (0, Some(at(2, 2))));
            assert_eq!(seen(NIGHTLY, since, Some(at(0, 0)), taken, at(2, 2)).due.len(), 2);
        }
    }

    #[test]
    fn a_time_zone_that_is_not_known_here_goes_by_its_rules_or_is_left_to_the_server() {
        let mut room = [0; 256];
        let mut schedules = [0; 512];
        let planned = PlannedSchedule {
            name: "nightly",
            cron: "0 2 * * *",
            timezone: "Moon/Tranquility",
            groups: Items::write(["etc"], &mut room).unwrap(),
            jitter_secs: 0,
            zone_rules: "",
        };
        let by_rules = PlannedSchedule { name: "ruled", zone_rules: "<-02>2", ..planned };
        let plan = Plan {
            revision: PlanRevision(1),
            incarnation: Incarnation::ZERO,
            backups_held: false,
            restic_host: "attic",
            groups: Items::EMPTY,
            schedules: Items::write([planned, by_rules], &mut schedules).unwrap(),
            addresses: "",
            authorities: Items::EMPTY,
        };
        let outlook = look(&plan, (HOST, at(0, 0)), (Some(9 * HOUR), 2 * MINUTE), |_| None, at(9, 0));
        assert_eq!(due(&outlook), [("ruled", "etc", at(4, 0))], "two hours behind UTC");
        let left = outlook.left.unwrap();
        assert!(left.contains("nightly") && left.contains("Moon/Tranquility"), "{left}");
    }

    #[test]
    fn the_next_backup_is_the_first_of_all_schedules_also_one_that_is_held_back() {
        let groups = Items::EMPTY;
        let schedule = |name, cron, jitter_secs| PlannedSchedule {
            name,
            cron,
            timezone: "UTC",
            jitter_secs,
            groups,
            zone_rules: "",
        };
        let mut room = [0; 512];
        let mut due = |schedules: &[PlannedSchedule<'_>], now| {
            let schedules = Items::write(schedules.iter().copied(), &mut room).unwrap();
            next_due(
                &Plan {
                    revision: PlanRevision(1),
                    incarnation: Incarnation::ZERO,
                    backups_held: false,
                    restic_host: "attic",
                    groups: Items::EMPTY,
                    schedules,
                    addresses: "",
                    authorities: Items::EMPTY,
                },
                HOST,
                now,
            )
        };
        let (daily, hourly) = (schedule("daily", "0 3 * * *", 0), schedule("hourly", "30 * * * *", 0));
        assert_eq!(due(&[], at(1, 0)), None);
        assert_eq!(due(&[schedule("odd", "never", 0)], at(1, 0)), None);
        assert_eq!(due(&[daily, hourly], at(1, 0)), Some(at(1, 30)));
        assert_eq!(due(&[daily, hourly], at(2, 30)), Some(at(3, 0)));
        // Its time has passed, and its delay has not.
        let late = schedule("late", "0 3 * * *", 3_600);
        let delay_ms = cron::delay_ms(HOST, "late", 3_600);
        assert!(delay_ms > 2, "a host without a delay shows nothing");
        let at_last = at(3, 0).plus_ms(delay_ms);
        assert_eq!(due(&[late], at(3, 0).plus_ms(delay_ms - 1)), Some(at_last));
    }
}
