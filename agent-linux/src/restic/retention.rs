//! Which snapshots of a group go when some of it lack something of what the group names: what restic's rules would
//! drop, less the whole ones that only newer, lacking ones push out. Pure.

use schema::Timestamp;

/// The most snapshots of one group that are looked through; a group that has more is left alone.
pub const MOST_SNAPSHOTS: usize = 20_000;
/// So few letters of an id name no snapshot.
const SHORTEST_ID: usize = 8;

/// A snapshot of a group, as a dry run of restic's forget shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// When it was taken.
    pub time: Timestamp,
    /// restic's id, 64 letters.
    pub id: String,
}

/// What restic's rules come to for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByRules {
    /// What they keep.
    pub keep: Vec<Member>,
    /// What they would drop.
    pub remove: Vec<Member>,
    /// Members that were not taken up: too many, or no id or time was to be read.
    pub left_out: u32,
}

/// What is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// These go.
    pub remove: Vec<String>,
    /// So many stay.
    pub kept: u32,
    /// Of them whole ones that the rules would have dropped.
    pub spared: u32,
    /// Of the lacking ones that were named, those that are there; as they were named.
    pub lacking: Vec<String>,
}

/// Chooses: beside what the rules keep, the newest whole snapshots stay, as many as the rules keep in all; and for each
/// lacking one that is kept, say for its day, the newest whole one since the one that is kept before it.
#[must_use]
pub fn choose(by_rules: &ByRules, lacking: &[&str]) -> Choice {
    let is_lacking = |member: &Member| lacking.iter().any(|named| names(named, &member.id));
    let mut whole: Vec<&Member> =
        by_rules.keep.iter().chain(&by_rules.remove).filter(|member| !is_lacking(member)).collect();
    whole.sort_unstable_by(|a, b| b.cmp(a));
    whole.truncate(by_rules.keep.len());
    let mut kept: Vec<&Member> = by_rules.keep.iter().collect();
    kept.sort_unstable();
    for (place, lacking) in kept.iter().enumerate().filter(|(_, member)| is_lacking(member)) {
        let before = place.checked_sub(1).and_then(|before| kept.get(before));
        let stands_in = |member: &&Member| {
            !is_lacking(member) && *member < *lacking && before.is_none_or(|before| *member > *before)
        };
        whole.extend(by_rules.remove.iter().filter(stands_in).max());
    }
    let (spared, remove): (Vec<&Member>, Vec<&Member>) =
        by_rules.remove.iter().partition(|member| whole.contains(member));
    let is_there = |named: &&&str| by_rules.keep.iter().chain(&by_rules.remove).any(|m| names(named, &m.id));
    Choice {
        kept: count(by_rules.keep.len() + spared.len()),
        spared: count(spared.len()),
        remove: remove.into_iter().map(|member| member.id.clone()).collect(),
        lacking: lacking.iter().filter(is_there).map(|&named| named.to_owned()).collect(),
    }
}

fn names(named: &str, id: &str) -> bool {
    named.len() >= SHORTEST_ID && id.starts_with(named)
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(time: u64) -> Member {
        Member { time: Timestamp(time), id: format!("{time:08x}{:056x}", 0) }
    }

    fn keep_last(last: usize, times: &[u64]) -> ByRules {
        let mut times = times.to_vec();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let members: Vec<_> = times.into_iter().map(member).collect();
        let (keep, remove) = members.split_at(last.min(members.len()));
        ByRules { keep: keep.to_vec(), remove: remove.to_vec(), left_out: 0 }
    }

    fn short(time: u64) -> String {
        format!("{time:08x}")
    }

    #[test]
    fn lacking_snapshots_push_no_whole_one_out() {
        let by_rules = keep_last(3, &[1, 2, 3, 4, 5, 6, 7]);
        let lacking = [short(5), short(6), short(7), short(99)];
        let lacking: Vec<&str> = lacking.iter().map(String::as_str).collect();
        let choice = choose(&by_rules, &lacking);
        assert_eq!(choice.remove, [member(1).id]);
        assert_eq!((choice.kept, choice.spared), (6, 3));
        assert_eq!(choice.lacking, lacking[..3], "one that is gone is named no more");
    }

    /// One a day is kept, and the last of each day lacks something.
    #[test]
    fn a_day_whose_last_snapshot_lacks_something_keeps_its_last_whole_one() {
        let all: Vec<u64> = (1..=6).flat_map(|day| (1..=5).map(move |hour| day * 100 + hour)).collect();
        let is_kept = |time: &u64| time % 100 == 5 && time / 100 > 2;
        let (keep, remove): (Vec<u64>, Vec<u64>) = all.into_iter().partition(is_kept);
        let members = |times: Vec<u64>| times.into_iter().map(member).collect();
        let by_rules = ByRules { keep: members(keep), remove: members(remove), left_out: 0 };
        let lacking: Vec<String> = (1..=6).map(|day| short(day * 100 + 5)).collect();
        let choice = choose(&by_rules, &lacking.iter().map(String::as_str).collect::<Vec<_>>());
        for day in 4..=6 {
            assert!(!choice.remove.contains(&member(day * 100 + 4).id), "day {day}");
        }
        assert!(!choice.remove.contains(&member(304).id), "the oldest day too");
        assert!(choice.remove.contains(&member(403).id));
    }

    #[test]
    fn what_names_no_snapshot_makes_none_lacking() {
        let choice = choose(&keep_last(1, &[1, 2]), &["", "0", "0000000"]);
        assert_eq!((choice.kept, choice.spared, choice.lacking.len()), (1, 0, 0));
    }

    proptest! {
        /// Backups come one a day, whole or not, and forget runs after each: as many of the newest whole ones as the rule
        /// names are always there, and nothing grows without end.
        #[test]
        fn day_by_day_the_newest_whole_ones_stay(days in prop::collection::vec(any::<bool>(), 1..60), last in 1..6usize) {
            let mut there: Vec<u64> = Vec::new();
            for (day, _) in days.iter().enumerate() {
                there.push(day as u64 + 1);
                let lacking: Vec<String> =
                    (0..=day).filter(|day| !days[*day]).map(|day| short(day as u64 + 1)).collect();
                let lacking: Vec<&str> = lacking.iter().map(String::as_str).collect();
                let choice = choose(&keep_last(last, &there), &lacking);
                there.retain(|time| !choice.remove.contains(&member(*time).id));
                let newest_whole =
                    (0..=day).rev().filter(|day| days[*day]).take(last).map(|day| day as u64 + 1);
                for whole in newest_whole {
                    prop_assert!(there.contains(&whole), "day {}: {whole} is gone of {there:?}", day + 1);
                }
                prop_assert!(there.len() <= 2 * last);
                prop_assert_eq!(choice.kept as usize, there.len());
            }
        }

        #[test]
        fn with_nothing_lacking_the_rules_alone_count(times in prop::collection::btree_set(1..500u64, 0..40), last in 1..8usize) {
            let by_rules = keep_last(last, &times.into_iter().collect::<Vec<_>>());
            let choice = choose(&by_rules, &[]);
            let removed: Vec<_> = by_rules.remove.iter().map(|member| member.id.clone()).collect();
            prop_assert_eq!(choice.remove, removed);
            prop_assert_eq!(choice.spared, 0);
        }
    }
}
