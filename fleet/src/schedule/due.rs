//! Which occurrences of a schedule fell since the last look: pure.
//!
//! An occurrence is named by its schedule and its due time. The mark `handled_at` says up to where they have been
//! looked at; it only grows, so a clock that is set back repeats none. One that is set back by more than a day was
//! wrong before: the mark means nothing then, and the schedule begins anew ([`is_from_the_future`]).

use cron::Cron;
use schema::Timestamp;

/// The most occurrences that are counted one by one: a schedule of every minute, on a server that was off for years.
pub(crate) const MAX_COUNTED: u32 = 1_000;
/// A mark that is further ahead than this was set by a wrong clock.
const DAY_MS: u64 = 86_400_000;

/// Occurrences that are due: they run once, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occurred {
    /// The first of them.
    pub(crate) first: Timestamp,
    /// The last of them, or a little later.
    pub(crate) last: Timestamp,
    /// How many, at most [`MAX_COUNTED`].
    pub(crate) count: u32,
}

/// What is due of a schedule at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueNow {
    /// What is due.
    pub(crate) occurred: Option<Occurred>,
    /// The new mark.
    pub(crate) handled_at: Timestamp,
    /// The next due time.
    pub(crate) next_due_at: Option<Timestamp>,
}

/// Looks at a schedule whose host is `delay_ms` behind the due time.
pub(crate) fn due(cron: &Cron, handled_at: Timestamp, delay_ms: u64, now: Timestamp) -> DueNow {
    let until = Timestamp(now.0.saturating_sub(delay_ms));
    let first = cron.next_after(handled_at);
    let Some(first) = first.filter(|first| *first <= until) else {
        return DueNow { occurred: None, handled_at, next_due_at: first };
    };
    let (mut count, mut last, mut next) = (1, first, cron.next_after(first));
    while let Some(at) = next.filter(|at| *at <= until) {
        if count == MAX_COUNTED {
            (last, next) = (until, cron.next_after(until));
            break;
        }
        count += 1;
        (last, next) = (at, cron.next_after(at));
    }
    DueNow { occurred: Some(Occurred { first, last, count }), handled_at: until, next_due_at: next }
}

/// The longest time between two of the next occurrences.
pub(crate) fn longest_ms(cron: &Cron, now: Timestamp) -> u64 {
    const LOOK_AT: usize = 16;
    let occurrences = std::iter::successors(cron.next_after(now), |at| cron.next_after(*at));
    let occurrences: Vec<Timestamp> = occurrences.take(LOOK_AT).collect();
    occurrences.windows(2).map(|pair| pair[1].ms_since(pair[0])).max().unwrap_or_default()
}

/// Whether a mark was set by a clock that was ahead.
pub(crate) fn is_from_the_future(handled_at: Timestamp, now: Timestamp) -> bool {
    handled_at.0 > now.0 + DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    /// 1 January 2026.
    const START: u64 = 1_767_225_600_000;

    fn cron(text: &str, zone: &str) -> Cron {
        Cron::parse(text, zone).unwrap()
    }

    fn look(cron: &Cron, handled: u64, now: u64) -> (Option<(u64, u32)>, Option<u64>) {
        let look = due(cron, Timestamp(START + handled), 0, Timestamp(START + now));
        let rel = |at: Timestamp| at.0 - START;
        (look.occurred.map(|o| (rel(o.first), o.count)), look.next_due_at.map(rel))
    }

    #[test]
    fn what_fell_since_the_mark_runs_once() {
        let hourly = cron("@hourly", "UTC");
        let table = [
            ("nothing yet", 0, HOUR - 1, (None, Some(HOUR))),
            ("on the dot", 0, HOUR, (Some((HOUR, 1)), Some(2 * HOUR))),
            ("late", 0, HOUR + 5, (Some((HOUR, 1)), Some(2 * HOUR))),
            ("three at once", 0, 3 * HOUR + 5, (Some((HOUR, 3)), Some(4 * HOUR))),
            ("handled already", HOUR, HOUR + 1, (None, Some(2 * HOUR))),
            ("the clock was set back", 5 * HOUR, 2 * HOUR, (None, Some(6 * HOUR))),
        ];
        for (name, handled, now, expected) in table {
            assert_eq!(look(&hourly, handled, now), expected, "{name}");
        }
    }

    #[test]
    fn years_off_are_bounded_work_and_one_run() {
        let each = cron("* * * * *", "Europe/Berlin");
        let now = 5 * 365 * 24 * HOUR + 30_000;
        let (occurred, next) = look(&each, 0, now);
        assert_eq!(occurred, Some((MINUTE, MAX_COUNTED)));
        assert_eq!(next, Some(5 * 365 * 24 * HOUR + MINUTE));
    }

    proptest! {
        /// Over two years, with a clock that jumps both ways and a tick that comes when it will: no occurrence is
        /// handed out twice, none is passed over, and looking again at once finds nothing.
        #[test]
        fn each_occurrence_is_handled_once(
            zone in proptest::sample::select(&["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"][..]),
            text in proptest::sample::select(&["30 2 * * *", "15 */6 * * *", "0 3 * * 1", "45 1 1,15 * *"][..]),
            delay in 0..3 * HOUR,
            steps in proptest::collection::vec(
                prop_oneof![
                    8 => (MINUTE..30 * HOUR).prop_map(|ms| ms as i64),
                    1 => (HOUR..60 * 24 * HOUR).prop_map(|ms| ms as i64),
                    2 => (MINUTE..20 * HOUR).prop_map(|ms| -(ms as i64)),
                ],
                1..200,
            ),
        ) {
            let cron = cron(text, zone);
            let mut now = START;
            let mut mark = Timestamp(START);
            let (mut latest, mut handled) = (START, 0u64);
            for step in steps {
                now = now.saturating_add_signed(step);
                latest = latest.max(now);
                let seen = due(&cron, mark, delay, Timestamp(now));
                prop_assert!(seen.handled_at >= mark);
                if let Some(occurred) = seen.occurred {
                    prop_assert!(occurred.first > mark, "handled before");
                    prop_assert!(occurred.first.0 + delay <= now, "too early");
                    handled += u64::from(occurred.count);
                }
                mark = seen.handled_at;
                let again = due(&cron, mark, delay, Timestamp(now));
                prop_assert_eq!((again.occurred, again.handled_at), (None, mark));
                prop_assert_eq!(again.next_due_at, seen.next_due_at);
            }
            let mut expected = 0;
            let mut at = Timestamp(START);
            while let Some(next) = cron.next_after(at).filter(|next| next.0 + delay <= latest) {
                expected += 1;
                at = next;
            }
            prop_assert_eq!(handled, expected);
        }
    }
}
