//! What becomes of the addresses that agents are given. Pure.

use crate::record::{CameBy, GivenAddress};
use schema::Timestamp;
use schema::limits::MAX_ADDRESSES;

/// A host that is here by an address that retires is asked to come anew when its hello is so old.
const MOVED_AFTER_MS: u64 = 3_600_000;

/// The addresses that agents are given once the settings name these: first those of the settings, in their order, then
/// those that retire. Which ones are given up for want of room: first those that nobody needs, of these the ones that have
/// been retiring for longest.
pub(super) fn merge(
    before: &[GivenAddress],
    settings: &[String],
    is_needed: impl Fn(&str) -> bool,
    now: Timestamp,
) -> (Vec<GivenAddress>, Vec<String>) {
    let staying = settings.iter().take(MAX_ADDRESSES);
    let mut given: Vec<GivenAddress> =
        staying.map(|address| GivenAddress { address: address.clone(), retiring_since: None }).collect();
    let mut retiring: Vec<GivenAddress> = before
        .iter()
        .filter(|old| !settings.contains(&old.address))
        .map(|old| GivenAddress { retiring_since: old.retiring_since.or(Some(now)), ..old.clone() })
        .collect();
    // Those that have just been taken away come first.
    retiring.sort_by_key(|old| std::cmp::Reverse((is_needed(&old.address), old.retiring_since)));
    let room = MAX_ADDRESSES.saturating_sub(given.len()).min(retiring.len());
    let cut = retiring.split_off(room);
    given.extend(retiring);
    (given, cut.into_iter().map(|old| old.address).collect())
}

/// Writes down by which address a host came.
pub(super) fn came(came_by: &mut Vec<CameBy>, address: &str, now: Timestamp) {
    came_by.retain(|before| before.address != address);
    came_by.insert(0, CameBy { address: address.to_owned(), at: now });
    came_by.truncate(MAX_ADDRESSES);
}

/// Whether a host that has come like this would have no way that is known to lead here, were agents not given `address` any
/// more: one that the settings name, and by which it has come since `address` began to retire. What retires itself, or was
/// tried before, may lead nowhere by now.
pub(super) fn needs(came_by: &[CameBy], address: &GivenAddress, given: &[GivenAddress]) -> bool {
    let GivenAddress { address, retiring_since } = address;
    let stays = |tried: &str| {
        given.iter().any(|other| other.address == tried && tried != address && other.retiring_since.is_none())
    };
    let since = retiring_since.unwrap_or_default();
    let is_last = came_by.first().is_some_and(|last| last.address == *address);
    is_last || !came_by.iter().any(|way| way.at >= since && stays(&way.address))
}

/// Whether a host that is connected should come anew, to try an address that stays: it is here by one that retires, or that
/// is not given any more, and has been for a while.
pub(super) fn should_move(came_by: &[CameBy], given: &[GivenAddress], now: Timestamp) -> bool {
    let Some(last) = came_by.first() else { return false };
    let stays = given.iter().any(|it| it.address == last.address && it.retiring_since.is_none());
    !stays && now.ms_since(last.at) >= MOVED_AFTER_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(address: &str, retiring_since: Option<u64>) -> GivenAddress {
        GivenAddress { address: address.to_owned(), retiring_since: retiring_since.map(Timestamp) }
    }

    fn by(address: &str, at: u64) -> CameBy {
        CameBy { address: address.to_owned(), at: Timestamp(at) }
    }

    #[test]
    fn an_address_that_the_settings_name_no_more_retires_and_one_that_comes_back_stays() {
        let before = [given("old:1", None), given("older:1", Some(3))];
        let (now_given, cut) = merge(&before, &["new:1".to_owned()], |_| false, Timestamp(9));
        assert_eq!(now_given, [given("new:1", None), given("old:1", Some(9)), given("older:1", Some(3))]);
        assert!(cut.is_empty());
        let (again, _) =
            merge(&now_given, &["older:1".to_owned(), "new:1".to_owned()], |_| false, Timestamp(12));
        assert_eq!(again, [given("older:1", None), given("new:1", None), given("old:1", Some(9))]);
    }

    #[test]
    fn who_has_come_since_by_an_address_that_stays_needs_none_in_particular() {
        let all = [given("new:1", None), given("old:1", Some(5)), given("older:1", Some(3))];
        let old = &all[1];
        assert!(needs(&[by("old:1", 4)], old, &all));
        assert!(!needs(&[by("new:1", 8), by("old:1", 9)], old, &all));
        assert!(needs(&[by("old:1", 9), by("new:1", 8)], old, &all), "it is here by it");
        assert!(needs(&[by("new:1", 4), by("old:1", 2)], old, &all), "that was before the move");
        assert!(needs(&[by("older:1", 9), by("old:1", 4)], old, &all), "that one retires, too");
        assert!(needs(&[], old, &all), "of one that never came nothing is known");
        assert!(needs(&[by("elsewhere:1", 9)], old, &all), "that is given to nobody");
    }

    /// One wrong word in the settings: the only address that still works is not given up for one that worked before.
    #[test]
    fn an_address_that_all_came_by_last_stays_for_as_long_as_no_new_one_has_worked() {
        let before = [given("works:1", None), given("dead:1", None)];
        let (all, _) = merge(&before, &["wrong:1".to_owned()], |_| true, Timestamp(9));
        let came_by = [by("works:1", 8), by("dead:1", 2)];
        assert!(all[1..].iter().all(|retiring| needs(&came_by, retiring, &all)), "{all:?}");
    }

    #[test]
    fn for_want_of_room_what_somebody_needs_is_given_up_last() {
        let before: Vec<GivenAddress> =
            (0..MAX_ADDRESSES as u64).map(|n| given(&format!("{n}:1"), Some(n))).collect();
        let (_, cut) = merge(&before, &["new:1".to_owned()], |address| address == "0:1", Timestamp(99));
        assert_eq!(cut, ["1:1"]);
    }

    #[test]
    fn only_who_has_been_here_by_a_retiring_address_for_a_while_is_moved() {
        let all = [given("new:1", None), given("old:1", Some(5))];
        let later = Timestamp(MOVED_AFTER_MS + 10);
        assert!(should_move(&[by("old:1", 10)], &all, later));
        assert!(!should_move(&[by("old:1", 11)], &all, later));
        assert!(
            !should_move(&[by("new:1", 0), by("old:1", 0)], &all, later) && !should_move(&[], &all, later)
        );
        assert!(should_move(&[by("dropped:1", 10)], &all, later), "it is not even given any more");
    }

    fn address() -> impl Strategy<Value = String> {
        (0..14u8).prop_map(|number| format!("host-{number}:8883"))
    }

    proptest! {
        /// Whatever the settings were: each of them is given, first and in order; nothing is given twice or beyond the
        /// bound; what is gone without retiring is told; and the same settings again change nothing.
        #[test]
        fn what_is_given_follows_the_settings_and_loses_nothing_in_silence(
            settings in prop::collection::vec(prop::collection::btree_set(address(), 1..=8), 1..8),
        ) {
            let mut all: Vec<GivenAddress> = Vec::new();
            for (at, named) in settings.into_iter().enumerate() {
                let (named, now): (Vec<String>, _) = (named.into_iter().collect(), Timestamp(at as u64));
                let (after, cut) = merge(&all, &named, |_| false, now);
                let texts: Vec<&String> = after.iter().map(|it| &it.address).collect();
                assert!(texts.iter().zip(&named).all(|(a, b)| *a == b));
                assert!(after.len() <= MAX_ADDRESSES);
                assert_eq!(texts.iter().collect::<std::collections::BTreeSet<_>>().len(), texts.len());
                for it in &after {
                    assert_eq!(it.retiring_since.is_none(), named.contains(&it.address));
                }
                for old in &all {
                    assert!(texts.contains(&&old.address) != cut.contains(&old.address));
                }
                assert_eq!(merge(&after, &named, |_| true, Timestamp(99)), (after.clone(), Vec::new()));
                all = after;
            }
        }

        /// A host is held to need an address as long as it has come by none of the others that are given, and the one that it
        /// came by last in any case.
        #[test]
        fn a_host_needs_at_most_one_of_the_addresses_that_it_came_by(
            steps in prop::collection::vec(address(), 0..20),
            named in prop::collection::btree_set(address(), 1..=8),
        ) {
            let all: Vec<GivenAddress> = named.iter().map(|it| given(it, None)).collect();
            let mut came_by = Vec::new();
            for (at, address) in steps.iter().enumerate() {
                came(&mut came_by, address, Timestamp(at as u64));
                assert_eq!(&came_by[0].address, address);
                assert!(came_by.len() <= MAX_ADDRESSES);
            }
            let known = came_by.iter().filter(|it| named.contains(&it.address)).count();
            let needed = all.iter().filter(|it| needs(&came_by, it, &all)).count();
            let is_here_by_one = came_by.first().is_some_and(|last| named.contains(&last.address));
            assert_eq!(needed, match known { 0 => named.len(), 1 => 1, _ => usize::from(is_here_by_one) });
        }
    }
}
