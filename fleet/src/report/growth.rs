//! How fast a repository grows: pure.
//!
//! The size of a repository goes up with each backup and down with each prune. What counts over weeks is what is left of both.
//! So sizes a week apart are compared, each with each other, and the one in the middle of all these rates is taken (the
//! estimator of Theil and Sen): a week that is unlike the others moves it little, and prunes that come again and again are a
//! part of it. A prune that is larger than all others together came once: sizes from before are not compared with later ones.

use crate::units::DAY_MS;
use schema::Timestamp;

/// How far the sizes lie apart that are compared.
pub(super) const APART_MS: u64 = 7 * DAY_MS;
/// So many are compared at most: those of the last twelve weeks.
pub(super) const MOST_SAMPLES: usize = 13;
/// Fewer say nothing: three weeks.
const LEAST_SAMPLES: usize = 4;
/// A shorter while says nothing either.
const LEAST_DAYS: u64 = 20;

/// A size at one time, in bytes.
pub(super) type Sample = (Timestamp, u64);

/// How fast a repository grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Bytes a day.
    pub(super) per_day_bytes: i64,
    /// Of how many days it is made.
    pub(super) days: u32,
}

/// How fast it grows by these sizes, oldest first; `None` = they are too few.
pub(super) fn rate(samples: &[Sample]) -> Option<Rate> {
    let (first, last) = (samples.first()?, samples.last()?);
    let days = last.0.ms_since(first.0) / DAY_MS;
    if samples.len() < LEAST_SAMPLES || days < LEAST_DAYS {
        return None;
    }
    let parts = match only_drop(samples) {
        Some(behind) => [&samples[..behind], &samples[behind..]],
        None => [samples, &[]],
    };
    let mut rates: Vec<i128> = parts.into_iter().flat_map(rates).collect();
    rates.sort_unstable();
    let middle = match rates.len() {
        0 => return None,
        odd if odd % 2 == 1 => rates[odd / 2],
        even => (rates[even / 2 - 1] + rates[even / 2]) / 2,
    };
    let bound = |rate: i128| i64::try_from(rate).unwrap_or(if rate < 0 { i64::MIN } else { i64::MAX });
    Some(Rate { per_day_bytes: bound(middle), days: u32::try_from(days).unwrap_or(u32::MAX) })
}

/// The place behind the drop that is deeper than all others together.
fn only_drop(samples: &[Sample]) -> Option<usize> {
    let drops =
        samples.windows(2).enumerate().map(|(at, pair)| (pair[0].1.saturating_sub(pair[1].1), at + 1));
    let (deepest, behind) = drops.clone().max()?;
    let all: u128 = drops.map(|(drop, _)| u128::from(drop)).sum();
    (deepest > 0 && u128::from(deepest) * 2 > all).then_some(behind)
}

/// The rates between each two, in bytes a day.
fn rates(samples: &[Sample]) -> Vec<i128> {
    let pairs = samples.iter().enumerate().flat_map(|(at, one)| {
        samples[at + 1..].iter().filter_map(move |other| {
            let ms = i128::from(other.0.ms_since(one.0));
            (ms > 0).then(|| (i128::from(other.1) - i128::from(one.1)) * i128::from(DAY_MS) / ms)
        })
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEGIN: u64 = 1_000 * DAY_MS;
    const GIB: u64 = 1 << 30;

    fn weekly(sizes: &[u64]) -> Vec<Sample> {
        let at = |week: usize| Timestamp(BEGIN + week as u64 * APART_MS);
        sizes.iter().enumerate().map(|(week, bytes)| (at(week), *bytes)).collect()
    }

    fn per_week(sizes: &[u64]) -> Option<i64> {
        rate(&weekly(sizes)).map(|rate| rate.per_day_bytes * 7)
    }

    #[test]
    fn too_little_says_nothing_and_what_is_there_says_from_how_many_days() {
        for few in [&[][..], &[5], &[5, 6], &[5, 6, 7]] {
            assert_eq!(rate(&weekly(few)), None, "{few:?}");
        }
        let day = |number: u64| (Timestamp(BEGIN + number * DAY_MS), number * GIB);
        assert_eq!(rate(&(0..19).map(day).collect::<Vec<_>>()), None, "many, but of a short while");
        let known = rate(&weekly(&[GIB, 8 * GIB, 15 * GIB, 22 * GIB])).unwrap();
        assert_eq!((known.per_day_bytes, known.days), (GIB as i64, 21));
    }

    #[test]
    fn prunes_that_come_again_are_a_part_of_it_and_one_that_came_once_is_not() {
        // Each week 7 GiB more; every third week all of it goes again.
        let sawtooth: Vec<u64> = (0..13).map(|week| (100 + week % 3 * 7) * GIB).collect();
        let rate = per_week(&sawtooth).unwrap();
        assert!(rate.unsigned_abs() < GIB, "{rate}");
        // The same, but one GiB stays.
        let grows: Vec<u64> = (0..13).map(|week| (100 + week % 3 * 7 + week / 3 * 3) * GIB).collect();
        let rate = per_week(&grows).unwrap();
        assert!((GIB / 2..2 * GIB).contains(&rate.unsigned_abs()) && rate > 0, "{rate}");
        // A clean-up.
        let once: Vec<u64> =
            (0..13).map(|week| (500 + week * 7 - if week > 6 { 300 } else { 0 }) * GIB).collect();
        assert_eq!(per_week(&once), Some(7 * GIB as i64));
    }

    proptest! {
        /// What grows by the same each day grows by that, whenever it was measured, whatever its size, and wherever it was
        /// cleaned up once.
        #[test]
        fn steady_growth_is_found_whatever_one_prune_took(
            mut days in prop::collection::btree_set(0_u64..120, 4..=MOST_SAMPLES),
            per_day in 1..10 * GIB,
            begin in 0..1_000 * GIB,
            pruned in 0..=100_u64,
            after in 0..MOST_SAMPLES,
        ) {
            days.insert(120);
            let size = |day: &u64| begin + 1_000_000 * GIB + day * per_day;
            let steady: Vec<Sample> = days.iter().map(|day| (Timestamp(BEGIN + day * DAY_MS), size(day))).collect();
            let span = (120 - *days.first().unwrap()) as u32;
            prop_assume!(u64::from(span) >= LEAST_DAYS);
            prop_assert_eq!(rate(&steady), Some(Rate { per_day_bytes: per_day as i64, days: span }));
            let mut cleaned = steady;
            for (_, bytes) in cleaned.iter_mut().skip(after) {
                *bytes -= 1_000_000 * GIB / 100 * pruned;
            }
            prop_assert_eq!(rate(&cleaned).map(|rate| rate.per_day_bytes), Some(per_day as i64));
        }

        /// Whatever the sizes are: it is no faster than the fastest week and no slower than the slowest, and a size that is
        /// added to all changes nothing.
        #[test]
        fn it_lies_between_the_slowest_and_the_fastest_week(
            sizes in prop::collection::vec(0..1_u64 << 50, 4..=MOST_SAMPLES),
            more in 0..1_u64 << 50,
        ) {
            let samples = weekly(&sizes);
            let found = rate(&samples).unwrap().per_day_bytes;
            let steps: Vec<i64> =
                sizes.windows(2).map(|pair| (pair[1] as i64 - pair[0] as i64) / 7).collect();
            let (least, most) = (*steps.iter().min().unwrap(), *steps.iter().max().unwrap());
            prop_assert!((least - 1..=most + 1).contains(&found), "{least} {found} {most}");
            let raised: Vec<u64> = sizes.iter().map(|bytes| bytes + more).collect();
            prop_assert_eq!(rate(&weekly(&raised)).unwrap().per_day_bytes, found);
        }

        /// Nothing that stands in a file panics.
        #[test]
        fn any_sizes_at_any_times_are_taken(samples in prop::collection::vec((any::<u64>(), any::<u64>()), 0..20)) {
            let samples: Vec<Sample> = samples.into_iter().map(|(at, bytes)| (Timestamp(at), bytes)).collect();
            let _ = rate(&samples);
        }
    }
}
