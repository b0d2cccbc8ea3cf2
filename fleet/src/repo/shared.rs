//! Several hosts on one repository: what one of them sees of it, the others are told.
//!
//! Size, snapshots, check, prune and lock are the repository's, whoever looked. What credentials may do, and their
//! tests, are each host's own. A size that was only summed up is not told, for it lacks what the others added.
//!
//! A host that says it uses a repository is believed: the id stands inside restic's encryption, so who knows it has
//! opened the repository and could do worse to it than tell wrong figures.

use super::{add_point, counts, point, write};
use crate::record::{CheckSeen, PruneSeen, RepoState};
use crate::refused::StoreError;
use crate::store::{REPO_HOSTS, REPOS, Reads, Span, Tx};
use schema::{HostId, Timestamp};

/// The most hosts that are told; behind these each knows only what it saw itself.
const MOST_TOLD: usize = 256;

/// Takes over what another host saw later: pure.
fn absorb(state: &mut RepoState, seen: &RepoState, by: HostId) {
    let is_later = |known: Option<Timestamp>, seen: Timestamp| known.is_none_or(|known| known < seen);
    if let Some(size) = seen.size.as_ref().filter(|size| size.measured)
        && is_later(state.size.as_ref().map(|size| size.at), size.at)
    {
        state.size = Some(size.clone());
    }
    if let Some(snapshots) = &seen.snapshots
        && is_later(state.snapshots.as_ref().map(|snapshots| snapshots.at), snapshots.at)
    {
        state.snapshots = Some(snapshots.clone());
    }
    if let Some(check) = &seen.check
        && is_later(state.check.as_ref().map(|check| check.at), check.at)
        && counts(state.check.as_ref(), check.errors, check.subset_pct)
    {
        state.check = Some(CheckSeen { by: check.by.or(Some(by)), ..check.clone() });
    }
    if let Some(prune) = &seen.prune
        && is_later(state.prune.as_ref().map(|prune| prune.at), prune.at)
    {
        state.prune = Some(PruneSeen { by: prune.by.or(Some(by)), ..prune.clone() });
    }
    if let Some(lock) = &seen.lock
        && is_later(state.lock.as_ref().map(|lock| lock.at), lock.at)
    {
        state.lock = Some(lock.clone());
    }
}

/// Tells the other hosts what this one knows now.
pub(super) fn tell(
    tx: &mut Tx<'_>,
    host: HostId,
    state: &RepoState,
    now: Timestamp,
) -> Result<(), StoreError> {
    for other in others(tx, host, state)? {
        let Some(before) = tx.get(&REPOS, &other)? else { continue };
        let mut after = before.clone();
        absorb(&mut after, state, host);
        if after != before {
            write(tx, other, &after)?;
            if let Some(point) = point(&before, &after) {
                add_point(tx, other, &point, now)?;
            }
        }
    }
    Ok(())
}

/// A host has come to a repository: it learns what the others know.
pub(super) fn learn(tx: &Tx<'_>, host: HostId, state: &mut RepoState) -> Result<(), StoreError> {
    for other in others(tx, host, state)? {
        if let Some(seen) = tx.get(&REPOS, &other)? {
            absorb(state, &seen, other);
        }
    }
    Ok(())
}

fn others(tx: &Tx<'_>, host: HostId, state: &RepoState) -> Result<Vec<HostId>, StoreError> {
    let Some(repo) = state.repo else { return Ok(Vec::new()) };
    let hosts = tx.keys(&REPO_HOSTS, &Span::under(&repo), MOST_TOLD + 1)?;
    Ok(hosts.into_iter().map(|(_, other)| other).filter(|other| *other != host).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{LockView, SizeSeen, SnapshotsSeen};
    use proptest::prelude::*;

    const US: HostId = HostId([1; 16]);
    const THEM: HostId = HostId([2; 16]);

    fn check(at: u64, errors: u32, subset_pct: u8) -> Option<CheckSeen> {
        Some(CheckSeen { at: Timestamp(at), errors, subset_pct, by: None })
    }

    #[test]
    fn what_was_seen_later_is_taken_with_who_did_it_and_what_is_a_hosts_own_is_not() {
        let seen = RepoState {
            size: Some(SizeSeen { at: Timestamp(5), bytes: 7, measured: true }),
            check: check(5, 0, 100),
            prune: Some(PruneSeen { at: Timestamp(3), freed_bytes: 9, by: None }),
            append_only: Some((true, Timestamp(5))),
            newest: Some((1, 2, Timestamp(5))),
            ..RepoState::default()
        };
        let own = PruneSeen { at: Timestamp(4), freed_bytes: 1, by: None };
        let mut state = RepoState { prune: Some(own.clone()), ..RepoState::default() };
        absorb(&mut state, &seen, THEM);
        let expected = RepoState {
            size: seen.size.clone(),
            check: Some(CheckSeen { by: Some(THEM), ..seen.check.clone().unwrap() }),
            prune: Some(own),
            ..RepoState::default()
        };
        assert_eq!(state, expected);
        // And it comes back to who did it as its own.
        let mut theirs = seen.clone();
        absorb(&mut theirs, &state, US);
        assert_eq!(theirs.check, seen.check);
        assert_eq!(theirs.prune.unwrap().by, Some(US));
    }

    #[test]
    fn a_sum_is_not_told_and_damage_is_not_wiped_out_by_a_smaller_look() {
        let size = |at, measured| Some(SizeSeen { at: Timestamp(at), bytes: at, measured });
        let mut state = RepoState { size: size(1, true), check: check(1, 2, 50), ..RepoState::default() };
        let before = state.clone();
        let seen = RepoState { size: size(2, false), check: check(2, 0, 5), ..RepoState::default() };
        absorb(&mut state, &seen, THEM);
        assert_eq!(state, before);
    }

    proptest! {
        /// In whatever order hosts tell each other, none goes back in time, and telling twice is telling once.
        #[test]
        fn telling_again_changes_nothing(times in prop::array::uniform8(0u64..6)) {
            let state = |at: &[u64]| RepoState {
                size: Some(SizeSeen { at: Timestamp(at[0]), bytes: at[0], measured: true }),
                snapshots: Some(SnapshotsSeen { at: Timestamp(at[1]), count: 1, newest_at: None }),
                check: check(at[2], 0, 5),
                lock: Some(LockView { at: Timestamp(at[3]), holder: None }),
                ..RepoState::default()
            };
            let (mut us, them) = (state(&times[..4]), state(&times[4..]));
            absorb(&mut us, &them, THEM);
            prop_assert_eq!(us.size.as_ref().unwrap().at.0, times[0].max(times[4]));
            prop_assert_eq!(us.lock.as_ref().unwrap().at.0, times[3].max(times[7]));
            let once = us.clone();
            absorb(&mut us, &them, THEM);
            prop_assert_eq!(us, once);
        }
    }
}
