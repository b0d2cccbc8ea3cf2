//! Which snapshots of a group go: what restic's rules would drop, less those that only poorer ones push out. Pure.
//!
//! Nobody remembers everything: snapshots come from before, from other machines and by hand, ids change, servers are put
//! back. So it is judged here, from the repository itself and what the server knows beside it. A snapshot stands in for
//! an older one when it has each path of the group that the older one has, at least half its files and bytes, and is not
//! known to lack something; for one that is known to be whole, only when it is known to be whole, too. What the rules
//! drop goes only if they would drop it as well among those of the newer ones that stand in for it.

use super::{instant::Moment, rules::Walk};
use schema::{
    Timestamp,
    job::{ForgetGroup, Right},
};
use std::collections::BTreeSet;

/// The most snapshots of one group that are looked through; a group that has more is left alone.
pub const MOST_SNAPSHOTS: usize = 100_000;
/// The most pairs of snapshots that are compared; what was not compared stays for the next time.
const MOST_PAIRS: usize = 100_000_000;
/// So few letters of an id name no snapshot.
const SHORTEST_ID: usize = 8;
/// So many lists of paths are compared with a new one.
const SAME_AS_LAST: usize = 64;
/// So many bytes of lists of paths are kept; a group whose snapshots have more is left alone.
const MOST_PATH_BYTES: usize = 4 * 1024 * 1024;
/// So many paths of a group are looked for.
const MOST_PATHS: usize = 1_024;
/// A clock may be off by so much before a snapshot counts as one of the future.
const FUTURE_MS: u64 = 86_400_000;

/// A snapshot of a group, as a dry run of restic's forget shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// When it was taken.
    pub taken: Moment,
    /// restic's id, 64 letters.
    pub id: String,
    /// The id of the one that it was made from, by a change of its tags or by a copy; empty = of none.
    pub original: String,
    /// Its paths, by their place in [`ByRules::paths`].
    pub paths: usize,
    /// Files and bytes, where restic tells.
    pub extent: Option<Extent>,
    /// It is of another group of the host, too.
    pub is_shared: bool,
}

impl Member {
    /// Older ones come first.
    fn order(&self) -> (Timestamp, &str) {
        (self.taken.at, &self.id)
    }

    /// Whether it was taken before the other.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self.order() < other.order()
    }
}

/// How much a snapshot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Number of files.
    pub files: u64,
    /// Size of the files in bytes.
    pub bytes: u64,
}

impl Extent {
    const fn is_half_of(self, other: Self) -> bool {
        self.files.saturating_mul(2) >= other.files && self.bytes.saturating_mul(2) >= other.bytes
    }

    fn at_most(self, other: Self) -> Self {
        Self { files: self.files.min(other.files), bytes: self.bytes.min(other.bytes) }
    }
}

/// What restic's rules come to for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByRules {
    /// Snapshots that the rules keep.
    pub keep: Vec<Member>,
    /// Snapshots that the rules would drop.
    pub remove: Vec<Member>,
    /// The lists of paths that the snapshots were made of; members name theirs by its place here.
    pub paths: Vec<Vec<String>>,
    /// What the lists of paths take in memory, in bytes.
    pub path_bytes: usize,
    /// Members that were not taken up: too many, or no id or time was to be read.
    pub left_out: u32,
}

impl ByRules {
    fn all(&self) -> impl Iterator<Item = &Member> {
        self.keep.iter().chain(&self.remove)
    }

    /// The place of these paths, in any order; `None` = there is no room for them.
    pub fn place_of(&mut self, mut paths: Vec<String>) -> Option<usize> {
        paths.sort_unstable();
        // Those of one of the last few, as a rule; one that stands there twice does no harm.
        let first = self.paths.len().saturating_sub(SAME_AS_LAST);
        if let Some(place) = self.paths[first..].iter().rposition(|known| *known == paths) {
            return Some(first + place);
        }
        self.path_bytes += paths.iter().map(|path| path.len() + size_of::<String>()).sum::<usize>();
        self.paths.push(paths);
        (self.path_bytes <= MOST_PATH_BYTES).then(|| self.paths.len() - 1)
    }
}

/// Which snapshots are dropped, and which stay although the rules would drop them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionChoice {
    /// Ids of the snapshots to remove.
    pub remove: Vec<String>,
    /// So many stay.
    pub kept: u32,
    /// Of them those that the rules would have dropped: what is newer does not stand in for them.
    pub spared: u32,
    /// Of these, such as are of another group, too.
    pub shared: u32,
    /// Of these, such as there was no time to compare.
    pub uncompared: u32,
    /// Of the lacking ones that were named, those that are there; as they were named.
    pub lacking: Vec<String>,
}

/// Chooses what goes of a group.
#[must_use]
pub fn choose(by_rules: &ByRules, group: &ForgetGroup<'_>, now: Timestamp) -> RetentionChoice {
    let named = Named::of(group);
    let all: Vec<Judged<'_>> = judge(by_rules, group, &named, now);
    let missing = missing_of(by_rules, &all);
    let mut by_time: Vec<usize> = (0..all.len()).collect();
    // Of those with one time restic says which is newer, in an order of its own: it has kept that one.
    let order = |place: usize| {
        let Judged { member, is_dropped, .. } = &all[place];
        (member.taken.at, !is_dropped, member.id.as_str())
    };
    by_time.sort_unstable_by(|&a, &b| order(b).cmp(&order(a)));
    let mut by_rank: Vec<usize> = (0..all.len()).filter(|&place| all[place].rank.is_some()).collect();
    by_rank.sort_unstable_by_key(|&place| all[place].rank);
    let mut look = Comparison { all: &all, missing: &missing, group, stays: Vec::new(), pairs: 0 };
    look.stays = all.iter().map(|judged| !judged.is_dropped).collect();
    let mut choice = RetentionChoice::default();
    // Newest first, so that what stands in for one that is looked at is known to stay itself.
    let by_order = by_rank.iter().chain(by_time.iter().filter(|&&place| all[place].rank.is_none()));
    for &place in by_order.filter(|&&place| all[place].is_dropped) {
        let old = &all[place];
        look.stays[place] = if old.member.is_shared {
            choice.shared += 1;
            true
        } else if look.pairs > MOST_PAIRS {
            choice.uncompared += 1;
            true
        } else {
            !old.is_lacking && look.outlives(place, if old.rank.is_some() { &by_rank } else { &by_time })
        };
    }
    for &place in by_time.iter().filter(|&&place| all[place].is_dropped) {
        match look.stays[place] {
            true => choice.spared += 1,
            false => choice.remove.push(all[place].member.id.clone()),
        }
    }
    choice.kept = count(by_rules.keep.len()).saturating_add(choice.spared);
    let is_there = |named: &&str| all.iter().any(|judged| judged.is_named(named));
    choice.lacking = group.lacking.iter().filter(is_there).map(str::to_owned).collect();
    choice
}

struct Comparison<'a> {
    all: &'a [Judged<'a>],
    missing: &'a [Vec<u64>],
    group: &'a ForgetGroup<'a>,
    /// Which are known to stay.
    stays: Vec<bool>,
    pairs: usize,
}

impl Comparison<'_> {
    /// Whether the rules would keep a snapshot among those of the newer ones that stay and stand in for it.
    fn outlives(&mut self, place: usize, newest_first: &[usize]) -> bool {
        let old = &self.all[place];
        let (mut walk, mut are_all) = (Walk::by(&self.group.keep), true);
        for &newer in newest_first.iter().take_while(|&&newer| newer != place) {
            self.pairs += 1;
            if !self.stays[newer] {
                continue;
            }
            let newer = &self.all[newer];
            if !newer.stands_in_for(old, self.missing) {
                are_all = false;
                continue;
            }
            walk.keeps(&newer.member.taken);
            if walk.is_over(&old.member.taken) {
                return false;
            }
        }
        // With all of them restic has said it already; by the order in which they were made it was not asked.
        let is_restics = are_all && old.rank.is_none();
        !is_restics && walk.keeps(&old.member.taken)
    }
}

/// A snapshot, and what is known of it.
struct Judged<'a> {
    member: &'a Member,
    /// The rules would drop it.
    is_dropped: bool,
    is_lacking: bool,
    /// It is known to be whole, and so many were made after it.
    rank: Option<usize>,
    /// What newer ones are held against: no more than a person said is right.
    held: Option<Extent>,
    /// It was there before, and nothing tells how much it holds.
    is_unknown: bool,
    is_future: bool,
}

impl Judged<'_> {
    fn is_named(&self, named: &str) -> bool {
        names(named, &self.member.id) || names(named, &self.member.original)
    }

    fn stands_in_for(&self, old: &Self, missing: &[Vec<u64>]) -> bool {
        let is_known = old.rank.is_none() || self.rank.is_some();
        let has_paths = self.member.paths == old.member.paths
            || missing[self.member.paths]
                .iter()
                .zip(&missing[old.member.paths])
                .all(|(new, old)| new & !old == 0);
        let is_large = match (old.held, self.member.extent) {
            (Some(held), Some(extent)) => extent.is_half_of(held),
            (Some(_), None) => self.rank.is_some(),
            (None, _) => !old.is_unknown || self.is_unknown,
        };
        // What was made from another snapshot has its dates and figures, whatever it holds.
        let is_first_hand = self.member.original.is_empty() || !old.member.original.is_empty();
        !self.is_lacking
            && is_known
            && is_first_hand
            && has_paths
            && is_large
            && (!self.is_future || old.is_future)
    }
}

fn judge<'a>(
    by_rules: &'a ByRules,
    group: &ForgetGroup<'_>,
    named: &Named<'_>,
    now: Timestamp,
) -> Vec<Judged<'a>> {
    let right_at = group.right.map(|right| {
        let its = by_rules.all().find(|member| names_it(right, member));
        its.map_or(right.at, |its| its.taken.at)
    });
    let keep = by_rules.keep.iter().map(|member| (member, false));
    let remove = by_rules.remove.iter().map(|member| (member, true));
    let judge = |(member, is_dropped): (&'a Member, bool)| {
        let at = member.taken.at;
        let right = group.right.filter(|_| right_at.is_some_and(|right_at| at <= right_at));
        let right_extent = right.map(|right| Extent { files: right.files, bytes: right.bytes });
        let is_old = group.began_at.is_some_and(|began_at| at < began_at);
        let (is_lacking, rank) = named.find(member);
        Judged {
            member,
            is_dropped,
            is_lacking,
            rank,
            held: match (member.extent, right_extent) {
                (Some(extent), Some(right)) => Some(extent.at_most(right)),
                (extent, _) => extent,
            },
            is_unknown: member.extent.is_none() && is_old && rank.is_none() && right.is_none(),
            is_future: at > now.plus_ms(FUTURE_MS),
        }
    };
    keep.chain(remove).map(judge).collect()
}

fn names_it(right: Right<'_>, member: &Member) -> bool {
    names(right.snapshot, &member.id) || names(right.snapshot, &member.original)
}

/// For each list of paths: which paths of the group it does not have. What the newest snapshot that is known to be whole
/// has, is what the group names; without one, whatever any of them has.
fn missing_of(by_rules: &ByRules, all: &[Judged<'_>]) -> Vec<Vec<u64>> {
    let newest = all.iter().filter(|judged| judged.rank.is_some()).min_by_key(|judged| judged.rank);
    let any: BTreeSet<&String> = match newest {
        Some(newest) => by_rules.paths[newest.member.paths].iter().collect(),
        None => by_rules.paths.iter().flatten().collect(),
    };
    let wanted: Vec<&String> = any.into_iter().take(MOST_PATHS).collect();
    let bits = |paths: &Vec<String>| {
        let mut bits = vec![0_u64; wanted.len().div_ceil(64)];
        for (place, path) in wanted.iter().enumerate() {
            if paths.binary_search(path).is_err() {
                bits[place / 64] |= 1 << (place % 64);
            }
        }
        bits
    };
    by_rules.paths.iter().map(bits).collect()
}

/// The snapshots that the server knows, in the order of their names; of the whole ones with their rank.
struct Named<'a>(Vec<(&'a str, Option<usize>)>);

impl<'a> Named<'a> {
    fn of(group: &ForgetGroup<'a>) -> Self {
        let lacking = group.lacking.iter().map(|named| (named, None));
        let whole = group.whole.iter().enumerate().map(|(rank, named)| (named, Some(rank)));
        let mut all: Vec<_> =
            lacking.chain(whole).filter(|(named, _)| named.get(..SHORTEST_ID).is_some()).collect();
        all.sort_unstable();
        Self(all)
    }

    /// What is known under any beginning of this id.
    fn under(&self, id: &str) -> impl Iterator<Item = Option<usize>> {
        let start = id.get(..SHORTEST_ID).unwrap_or("~");
        let first = self.0.partition_point(|(named, _)| *named < start);
        let near = self.0[first..].iter().take_while(move |(named, _)| named.starts_with(start));
        near.filter(move |(named, _)| names(named, id)).map(|(_, rank)| *rank)
    }

    /// Whether it lacks something, and its rank among the whole ones. What was made from a lacking one lacks it, too; what
    /// was made from a whole one, by a repair or a rewrite, may lack anything.
    fn find(&self, member: &Member) -> (bool, Option<usize>) {
        let is_lacking =
            self.under(&member.id).chain(self.under(&member.original)).any(|rank| rank.is_none());
        (is_lacking, self.under(&member.id).flatten().min().filter(|_| !is_lacking))
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
    use super::super::instant::moment;
    use super::*;
    use proptest::prelude::*;
    use schema::{Items, Keep};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn id(n: u64) -> String {
        format!("{n:08x}{:056x}", 0)
    }

    fn short(n: u64) -> String {
        format!("{n:08x}")
    }

    /// A snapshot of day `n` of 2026, noon, that holds so many files.
    fn member(n: u64, files: Option<u64>) -> Member {
        let (month, day) = ((n - 1) / 28 + 1, (n - 1) % 28 + 1);
        let taken = moment(&format!("2026-{month:02}-{day:02}T12:00:00Z")).unwrap();
        Member {
            taken,
            id: id(n),
            extent: files.map(|files| Extent { files, bytes: files * 10 }),
            ..Member::default()
        }
    }

    /// What restic's rules come to for these.
    fn by_rules(keep: &Keep<'_>, members: impl IntoIterator<Item = Member>) -> ByRules {
        let mut all: Vec<Member> = members.into_iter().collect();
        all.sort_by(|a, b| b.order().cmp(&a.order()));
        let mut walk = Walk::by(keep);
        let (keep, remove) = all.into_iter().partition(|member| walk.keeps(&member.taken));
        ByRules { keep, remove, paths: vec![vec!["/a".to_owned(), "/b".to_owned()]], ..ByRules::default() }
    }

    /// What the server knows.
    #[derive(Default)]
    struct FromServer<'a> {
        lacking: Vec<String>,
        whole: Vec<String>,
        right: Option<Right<'a>>,
        began_at: Option<Timestamp>,
    }

    fn chosen(keep: Keep<'_>, by_rules: &ByRules, told: &FromServer<'_>) -> RetentionChoice {
        let (mut lacking, mut whole) = (vec![0; 20_000], vec![0; 20_000]);
        let group = ForgetGroup {
            lacking: Items::write(told.lacking.iter().map(String::as_str), &mut lacking).unwrap(),
            whole: Items::write(told.whole.iter().map(String::as_str), &mut whole).unwrap(),
            right: told.right,
            began_at: told.began_at,
            ..ForgetGroup::new("g", keep)
        };
        choose(by_rules, &group, NOW)
    }

    fn removed(choice: &RetentionChoice) -> Vec<u64> {
        let mut days: Vec<u64> =
            choice.remove.iter().map(|id| u64::from_str_radix(&id[..8], 16).unwrap()).collect();
        days.sort_unstable();
        days
    }

    fn last(last: u16) -> Keep<'static> {
        Keep { last, ..Keep::default() }
    }

    #[test]
    fn lacking_snapshots_push_no_whole_one_out() {
        let by_rules = by_rules(&last(3), (1..=7).map(|n| member(n, Some(10))));
        let told = FromServer { lacking: [5, 6, 7, 99].map(short).to_vec(), ..FromServer::default() };
        let choice = chosen(last(3), &by_rules, &told);
        assert_eq!(removed(&choice), [1]);
        assert_eq!((choice.kept, choice.spared), (6, 3));
        assert_eq!(choice.lacking, told.lacking[..3], "one that is gone is named no more");
    }

    #[test]
    fn a_change_of_tags_or_a_copy_makes_no_lacking_one_whole() {
        let copied = |n: u64| Member { original: id(n), id: id(n + 100), ..member(n, Some(10)) };
        let by_rules = by_rules(&last(3), (1..=6).map(copied));
        let told = FromServer { lacking: [4, 5, 6].map(short).to_vec(), ..FromServer::default() };
        let choice = chosen(last(3), &by_rules, &told);
        assert_eq!((removed(&choice), choice.lacking.len()), (vec![], 3));
    }

    #[test]
    fn what_was_made_from_a_whole_one_pushes_none_out() {
        // A repair or a rewrite of each: with the dates, the figures and the tags of what it was made from.
        let made_from = |n: u64| Member { original: id(n), id: id(n + 100), ..member(n, Some(10)) };
        let all = || (1..=3).flat_map(|n| [member(n, Some(10)), made_from(n)]);
        for whole in [vec![short(3), short(2), short(1)], vec![]] {
            let told = FromServer { whole, ..FromServer::default() };
            for number in 1..4 {
                let gone = removed(&chosen(last(number), &by_rules(&last(number), all()), &told));
                let newest = u64::from(number);
                assert!((4 - newest..=3).all(|n| !gone.contains(&n)), "keep last {number}: {gone:?}");
            }
        }
        // Where all were tagged anew they push each other out as before.
        let by_rules = by_rules(&last(2), (1..=4).map(made_from));
        assert_eq!(removed(&chosen(last(2), &by_rules, &FromServer::default())), [101, 102]);
    }

    /// restic sorts by time alone, so that chance says which of several is the newest.
    #[test]
    fn whichever_of_one_time_restic_keeps_the_one_that_others_were_made_from_stays() {
        let whole = |number| Member { id: id(number), ..member(1, Some(10)) };
        let made = |number, from| Member { id: id(number), original: id(from), ..member(1, Some(10)) };
        for ids in [[5, 2, 3, 4], [2, 3, 4, 5], [3, 2, 5, 4]] {
            for kept in 1..4 {
                let [first, rest @ ..] = ids;
                let all: Vec<Member> =
                    std::iter::once(whole(first)).chain(rest.map(|number| made(number, first))).collect();
                let mut by_rules = by_rules(&last(1), all.clone());
                (by_rules.keep, by_rules.remove) = all.into_iter().partition(|it| it.id == id(ids[kept]));
                for known in [vec![short(first)], vec![]] {
                    let told = FromServer { whole: known, ..FromServer::default() };
                    let gone = removed(&chosen(last(1), &by_rules, &told));
                    assert!(!gone.contains(&first), "{ids:?}, {kept} kept: {gone:?}");
                }
            }
        }
    }

    #[test]
    fn a_day_whose_last_snapshot_lacks_something_keeps_its_last_whole_one() {
        let keep = Keep { daily: 4, ..Keep::default() };
        let at = |day: u64, hour: u64| {
            let taken = moment(&format!("2026-01-{day:02}T{hour:02}:00:00Z")).unwrap();
            Member { taken, id: id(day * 100 + hour), ..member(1, Some(10)) }
        };
        let all = (1..=6).flat_map(|day| (1..=5).map(move |hour| at(day, hour)));
        let told = FromServer {
            lacking: (1..=6).map(|day| short(day * 100 + 5)).collect(),
            ..FromServer::default()
        };
        let choice = chosen(keep, &by_rules(&keep, all), &told);
        let gone = removed(&choice);
        for day in 3..=6 {
            assert!(
                !gone.contains(&(day * 100 + 4)) && gone.contains(&(day * 100 + 3)),
                "day {day}: {gone:?}"
            );
        }
        assert_eq!(choice.spared, 4);
    }

    #[test]
    fn what_holds_less_than_half_pushes_nothing_out_until_a_person_says_that_it_is_right() {
        let all = || (1..=3).map(|n| member(n, Some(100))).chain((4..=9).map(|n| member(n, Some(49))));
        let by_rules = by_rules(&last(3), all());
        let choice = chosen(last(3), &by_rules, &FromServer::default());
        assert_eq!((removed(&choice), choice.spared), (vec![4, 5, 6], 3));
        let right = |snapshot| Right { snapshot, at: member(5, None).taken.at, files: 49, bytes: 490 };
        let (sixth, gone) = (id(6), "0badcafe");
        for snapshot in [&*sixth, gone] {
            let told = FromServer { right: Some(right(snapshot)), ..FromServer::default() };
            assert_eq!(removed(&chosen(last(3), &by_rules, &told)), [1, 2, 3, 4, 5, 6], "{snapshot}");
        }
        // The word was given for what was older then.
        let second = id(2);
        let told = FromServer { right: Some(right(&second)), ..FromServer::default() };
        assert_eq!(removed(&chosen(last(3), &by_rules, &told)), [1, 2, 4, 5, 6]);
    }

    #[test]
    fn what_lacks_a_path_of_the_group_pushes_nothing_out_that_has_it() {
        let without = |n: u64| Member { paths: 1, ..member(n, Some(10)) };
        let all = || (1..=3).map(|n| member(n, Some(10))).chain((4..=9).map(without));
        let mut by_rules = by_rules(&last(3), all());
        by_rules.paths.push(vec!["/a".to_owned(), "/new".to_owned()]);
        assert_eq!(removed(&chosen(last(3), &by_rules, &FromServer::default())), [4, 5, 6]);
        // The group names other paths by now: its newest whole backup shows which.
        let told = FromServer { whole: vec![short(9), short(8), short(7)], ..FromServer::default() };
        assert_eq!(removed(&chosen(last(3), &by_rules, &told)), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_nobody_knows_pushes_no_whole_one_out() {
        let by_rules = by_rules(&last(1), (1..=3).map(|n| member(n, Some(10))));
        let told = FromServer { whole: vec![short(2), short(1)], ..FromServer::default() };
        let choice = chosen(last(1), &by_rules, &told);
        assert_eq!((removed(&choice), choice.spared), (vec![1], 1));
    }

    #[test]
    fn the_order_in_which_whole_ones_were_made_counts_and_not_their_dates() {
        // 8 and 9 were made first, by a clock that was ahead; 1 and 2 by one that was behind.
        for made in [[9, 8, 3, 4, 5], [5, 4, 3, 2, 1]] {
            let by_rules = by_rules(&last(2), made.map(|n| member(n, Some(10))));
            let told =
                FromServer { whole: made.iter().rev().map(|n| short(*n)).collect(), ..FromServer::default() };
            let gone = removed(&chosen(last(2), &by_rules, &told));
            assert!(
                !gone.contains(&made[4]) && !gone.contains(&made[3]) && gone.contains(&made[2]),
                "{gone:?}"
            );
        }
        // One of the future that nobody knows pushes nothing out either.
        let mut all: Vec<Member> = (1..=3).map(|n| member(n, Some(10))).collect();
        for n in [4, 5] {
            all.push(Member { taken: moment("2036-01-01T00:00:00Z").unwrap(), ..member(n, Some(10)) });
        }
        assert_eq!(removed(&chosen(last(2), &by_rules(&last(2), all), &FromServer::default())), [1]);
    }

    #[test]
    fn what_was_there_before_and_tells_no_size_stays_until_a_person_says_that_it_is_right() {
        let by_rules = by_rules(&last(2), (1..=7).map(|n| member(n, None)));
        let whole: Vec<String> = [7, 6, 5, 4].map(short).to_vec();
        let began_at = Some(member(4, None).taken.at);
        let told = FromServer { whole: whole.clone(), began_at, ..FromServer::default() };
        assert_eq!(removed(&chosen(last(2), &by_rules, &told)), [1, 4, 5]);
        let seventh = id(7);
        let right = Some(Right { snapshot: &seventh, at: Timestamp(0), files: 1, bytes: 1 });
        let told = FromServer { whole, right, began_at, ..FromServer::default() };
        assert_eq!(removed(&chosen(last(2), &by_rules, &told)), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_of_another_group_too_stays() {
        let shared = |n: u64| Member { is_shared: n < 3, ..member(n, Some(10)) };
        let choice = chosen(last(1), &by_rules(&last(1), (1..=4).map(shared)), &FromServer::default());
        assert_eq!((removed(&choice), choice.shared, choice.spared), (vec![3], 2, 2));
    }

    #[test]
    fn lists_of_paths_have_a_bound() {
        let mut by_rules = ByRules::default();
        let list = |n: usize| vec![format!("/{n}/{}", "x".repeat(30_000))];
        let kept = (0..1_000).map_while(|n| by_rules.place_of(list(n))).count();
        assert!((100..200).contains(&kept) && by_rules.paths.len() == kept + 1, "{kept}");
        let mut same = ByRules::default();
        assert!((0..1_000).all(|_| same.place_of(list(1)) == Some(0)));
    }

    #[test]
    fn what_names_no_snapshot_makes_none_lacking() {
        let told =
            FromServer { lacking: ["", "0", "0000000"].map(str::to_owned).to_vec(), ..FromServer::default() };
        let choice = chosen(last(1), &by_rules(&last(1), (1..=2).map(|n| member(n, Some(1)))), &told);
        assert_eq!((choice.kept, choice.spared, choice.lacking.len()), (1, 0, 0));
    }

    fn rules() -> impl Strategy<Value = Keep<'static>> {
        let within = prop::sample::select(vec!["", "", "3d", "1m2d", "20d6h"]);
        (0..4_u16, 0..5_u16, 0..3_u16, 0..3_u16, within).prop_map(|(last, daily, weekly, monthly, within)| {
            Keep { last, daily, weekly, monthly, within, ..Keep::default() }
        })
    }

    proptest! {
        /// Backups come one a day, whole or not, and a forget runs after each: as many of the newest whole ones as the
        /// rule names are always there, and nothing grows without end.
        #[test]
        fn day_by_day_the_newest_whole_ones_stay(
            days in prop::collection::vec(any::<bool>(), 1..60),
            number in 1..6_u16,
            is_told in any::<bool>(),
        ) {
            let mut there: Vec<u64> = Vec::new();
            let is_whole = |day: &u64| days[*day as usize - 1];
            for day in 1..=days.len() as u64 {
                there.push(day);
                let lacking = (1..=day).filter(|day| !is_whole(day)).map(short).collect();
                let whole = (1..=day).rev().filter(|day| is_whole(day) && is_told).map(short).collect();
                let told = FromServer { lacking, whole, ..FromServer::default() };
                let by_rules = by_rules(&last(number), there.iter().map(|n| member(*n, Some(10))));
                let choice = chosen(last(number), &by_rules, &told);
                there.retain(|n| !choice.remove.contains(&id(*n)));
                for whole in (1..=day).rev().filter(is_whole).take(number.into()) {
                    prop_assert!(there.contains(&whole), "day {day}: {whole} is gone of {there:?}");
                }
                prop_assert!(there.len() <= 2 * usize::from(number));
                prop_assert_eq!(choice.kept as usize, there.len());
            }
        }

        #[test]
        fn with_nothing_lacking_the_rules_alone_count(
            times in prop::collection::btree_set(1..300_u64, 0..40),
            keep in rules(),
            is_told in any::<bool>(),
        ) {
            let by_rules = by_rules(&keep, times.iter().map(|n| member(*n, Some(10))));
            let whole = times.iter().rev().filter(|_| is_told).map(|n| short(*n)).collect();
            let choice = chosen(keep, &by_rules, &FromServer { whole, ..FromServer::default() });
            let dropped: Vec<_> = by_rules.remove.iter().map(|member| member.id.clone()).collect();
            prop_assert_eq!(choice.remove, dropped);
            prop_assert_eq!(choice.spared, 0);
        }

        /// Whatever goes, something that stays stands in for it: as large by half, with its paths, and not lacking.
        #[test]
        fn what_goes_has_one_that_stands_in_for_it(
            all in prop::collection::vec((1..60_u64, prop::option::of(1..40_u64), 0..2_usize, any::<(bool, bool)>()), 1..40),
            keep in rules().prop_filter("a rule", |keep| !keep.is_empty()),
        ) {
            let members = all.iter().enumerate().map(|(n, (day, files, paths, _))| {
                Member { id: id(n as u64 + 1), paths: *paths, taken: member(*day, None).taken, ..member(1, *files) }
            });
            let mut by_rules = by_rules(&keep, members);
            by_rules.paths.push(vec!["/a".to_owned()]);
            let named = |of: fn((bool, bool)) -> bool| {
                let picked = all.iter().enumerate().filter(move |(_, (.., marks))| of(*marks));
                picked.map(|(n, _)| short(n as u64 + 1)).collect::<Vec<_>>()
            };
            let told = FromServer {
                lacking: named(|(lacking, _)| lacking),
                whole: named(|(lacking, whole)| whole && !lacking),
                ..FromServer::default()
            };
            let choice = chosen(keep, &by_rules, &told);
            let is_lacking = |member: &Member| told.lacking.contains(&member.id[..8].to_owned());
            let is_whole = |member: &Member| told.whole.contains(&member.id[..8].to_owned());
            for gone in by_rules.remove.iter().filter(|it| choice.remove.contains(&it.id) && !is_lacking(it)) {
                let stands_in = by_rules.all().filter(|it| !choice.remove.contains(&it.id) && !is_lacking(it)).any(|it| {
                    let is_large = match (gone.extent, it.extent) {
                        (Some(gone), Some(it)) => it.files * 2 >= gone.files,
                        (Some(_), None) => is_whole(it),
                        (None, _) => true,
                    };
                    is_large && (is_whole(it) || !is_whole(gone))
                });
                prop_assert!(stands_in, "{gone:?} is gone");
            }
        }
    }
}
