//! What schedules have due in the next days: pure, bounded, and it says where it was cut.

use super::row::cron_of;
use crate::refused::StoreError;
use crate::store::{Reads, SCHEDULES, SCHEDULES_DUE, Span};
use crate::units::DAY_MS;
use cron::Cron;
use schema::{HostId, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// More than so many times a day are not counted.
pub const MOST_TIMES_A_DAY: u32 = 24;

/// The backups of one schedule of a host on one day (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcoming {
    /// Of which host.
    pub host: HostId,
    /// Of which schedule.
    pub schedule: String,
    /// When the first of them runs.
    pub at: Timestamp,
    /// How many there are that day; more than [`MOST_TIMES_A_DAY`] = more than that.
    pub times: u32,
}

/// What is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpcomingList {
    /// In the order of their first times.
    pub all: Vec<Upcoming>,
    /// From here on there is more; `None` = this is all.
    pub cut_at: Option<Timestamp>,
}

/// A schedule that is on.
struct Planned {
    host: HostId,
    schedule: String,
    cron: Cron,
    /// The next due time, and how long after a due time it runs on its host.
    next_due_at: Timestamp,
    delay_ms: u64,
}

impl Planned {
    /// How often it runs on the day of a due time, and the first due time of a later one.
    fn day(&self, due: Timestamp) -> (u32, Option<Timestamp>) {
        let day = |due: Timestamp| due.plus_ms(self.delay_ms).0 / DAY_MS;
        let (mut times, mut next) = (1, self.cron.next_after(due));
        while let Some(at) = next.filter(|at| day(*at) == day(due)) {
            if times > MOST_TIMES_A_DAY {
                let last_of_day = (day(due) + 1) * DAY_MS - 1 - self.delay_ms;
                return (times, self.cron.next_after(Timestamp(last_of_day)));
            }
            times += 1;
            next = self.cron.next_after(at);
        }
        (times, next)
    }
}

/// The first `most` of what runs up to an instant.
fn plan(planned: &[Planned], until: Timestamp, most: usize) -> UpcomingList {
    let run = |index: usize, due: Timestamp| Reverse((due.plus_ms(planned[index].delay_ms), index, due));
    let mut queue: BinaryHeap<_> =
        planned.iter().enumerate().map(|(index, it)| run(index, it.next_due_at)).collect();
    let mut list = UpcomingList::default();
    while let Some(Reverse((at, index, due))) = queue.pop().filter(|Reverse((at, ..))| *at <= until) {
        if list.all.len() >= most {
            list.cut_at = Some(at);
            break;
        }
        let of = &planned[index];
        let (times, next) = of.day(due);
        list.all.push(Upcoming { host: of.host, schedule: of.schedule.clone(), at, times });
        queue.extend(next.map(|next| run(index, next)));
    }
    list
}

/// The first `most` of what the schedules of these hosts (`None` = of all) have due up to an instant.
pub(crate) fn upcoming(
    reads: &impl Reads,
    hosts: Option<&BTreeSet<HostId>>,
    until: Timestamp,
    most: usize,
) -> Result<UpcomingList, StoreError> {
    // Each schedule has one at least: only those that come next can be among the first.
    let (enough, read) = (most + 1, if hosts.is_some() { usize::MAX } else { most + 1 });
    let due = reads.keys(&SCHEDULES_DUE, &Span::ALL, read)?;
    let wanted = due.into_iter().filter(|(_, host, _)| hosts.is_none_or(|hosts| hosts.contains(host)));
    let mut planned = Vec::new();
    for (_, host, schedule) in wanted.take(enough) {
        let Some(row) = reads.get(&SCHEDULES, &(host, schedule.clone()))? else { continue };
        if let (Some(next_due_at), Ok(cron)) = (row.next_due_at, cron_of(&row.schedule)) {
            planned.push(Planned { host, schedule, cron, next_due_at, delay_ms: row.delay_ms(host) });
        }
    }
    Ok(plan(&planned, until, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Midnight (UTC).
    const DAY: u64 = 20_000 * DAY_MS;
    const HOUR_MS: u64 = 3_600_000;

    fn planned(schedule: &str, cron: &str, delay_ms: u64) -> Planned {
        let cron = Cron::parse(cron, "UTC").unwrap();
        let next_due_at = cron.next_after(Timestamp(DAY)).unwrap();
        Planned { host: HostId([1; 16]), schedule: schedule.to_owned(), cron, next_due_at, delay_ms }
    }

    fn found(list: &UpcomingList) -> Vec<(&str, u64, u32)> {
        list.all.iter().map(|it| (it.schedule.as_str(), it.at.0 - DAY, it.times)).collect()
    }

    #[test]
    fn the_first_come_first_and_a_schedule_that_runs_often_is_one_a_day() {
        let all = [
            planned("nightly", "0 3 * * *", 600_000),
            planned("often", "*/10 * * * *", 0),
            planned("hourly", "30 * * * *", 0),
        ];
        let list = plan(&all, Timestamp(DAY + 2 * DAY_MS - 1), 100);
        let often = MOST_TIMES_A_DAY + 1;
        assert_eq!(
            found(&list),
            [
                ("often", 600_000, often),
                ("hourly", HOUR_MS / 2, 24),
                ("nightly", 3 * HOUR_MS + 600_000, 1),
                ("often", DAY_MS, often),
                ("hourly", DAY_MS + HOUR_MS / 2, 24),
                ("nightly", DAY_MS + 3 * HOUR_MS + 600_000, 1),
            ]
        );
        assert_eq!(list.cut_at, None);
    }

    #[test]
    fn a_delay_that_leads_into_the_next_day_counts_there() {
        let late = [planned("late", "0 */6 * * *", 3 * HOUR_MS), planned("last", "59 23 * * *", 2 * 60_000)];
        let list = plan(&late, Timestamp(DAY + 2 * DAY_MS - 1), 100);
        assert_eq!(
            found(&list),
            [("late", 9 * HOUR_MS, 3), ("last", DAY_MS + 60_000, 1), ("late", DAY_MS + 3 * HOUR_MS, 4),]
        );
    }

    #[test]
    fn what_is_left_out_is_told_and_nothing_that_fits_is() {
        let all = [planned("one", "0 1 * * *", 0), planned("two", "0 2 * * *", 0)];
        let until = Timestamp(DAY + DAY_MS - 1);
        assert_eq!(plan(&all, until, 1).cut_at, Some(Timestamp(DAY + 2 * HOUR_MS)));
        assert_eq!((plan(&all, until, 2).all.len(), plan(&all, until, 2).cut_at), (2, None));
        assert_eq!(plan(&[], until, 2), UpcomingList::default());
        let ended = Planned { next_due_at: Timestamp(DAY + 9 * DAY_MS), ..planned("far", "0 1 * * *", 0) };
        assert_eq!(plan(&[ended], until, 2), UpcomingList::default());
    }
}
