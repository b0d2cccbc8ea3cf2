//! What hosts on one repository know of each other; who that is says [`partners`].
//!
//! What another host says may make a host stand worse, never better. It is kept apart ([`Told`]) from what the host
//! has seen itself, and never replaces that:
//!
//! - **Damage** that one found counts for all, until that one has taken it back (a check of its own that reads as
//!   much finds none), or the host itself has checked as much since and found none. So nobody clears what another
//!   has found.
//! - **A lock** that one sees holds maintenance of the others back as their own look would, but for a day at most: who
//!   tells of one again and again keeps nobody off for ever. That there is none is not told.
//! - **A prune or check that went well** counts as done for the others only when the server asked for it, its result
//!   came in time (see [`dispatch::lease`](crate::dispatch::lease)) and, for a check, it read as much as the other's
//!   settings ask for. It puts the others' own off by one period at most: whoever relies on the word of others still
//!   does it every second time, so hosts that really share one repository do not all prune it each week, and one
//!   that lies is found out after one period.
//! - **Size and number of snapshots** are shown when they are newer. Nothing is decided by them; in particular does
//!   maintenance not stop because another host says that there is no snapshot.
//!
//! What credentials may do, and their tests, are each host's own. A size that was only summed up is not told, for it
//! lacks what the others added.

use super::partners;
use super::row::write;
use crate::op::Op;
use crate::record::{
    CheckSeen, Job, JobFigures, JobState, JobWhat, PruneSeen, RepoState, SizeSeen, SnapshotsSeen, Told,
    ToldLock,
};
use crate::refused::StoreError;
use crate::store::{REPOS, Reads, Tx};
use crate::units::DAY_MS;
use schema::{HostId, Timestamp};

/// The most hosts that are told; behind these each knows only what it saw itself.
const MOST_TOLD: usize = 256;
/// A lock that is told of again within this time is the same one.
const SAME_LOCK_MS: u64 = 2 * 3_600_000;

fn is_later(known: Option<Timestamp>, seen: Timestamp) -> bool {
    known.is_none_or(|known| known < seen)
}

/// Whether a check makes up for another: as late, and read as much.
fn makes_up_for(own: &CheckSeen, damage: &CheckSeen) -> bool {
    own.errors == 0 && own.at >= damage.at && own.subset_pct >= damage.subset_pct
}

impl Told {
    /// Takes what another host on the same repository has seen: pure. `own` is what the one that is told has seen.
    fn take(&mut self, own: Option<&CheckSeen>, seen: &RepoState, by: HostId, now: Timestamp) {
        if let Some(size) = seen.size.as_ref().filter(|size| size.measured)
            && is_later(self.size.as_ref().map(|size| size.at), size.at)
        {
            self.size = Some(size.clone());
        }
        if let Some(snapshots) = &seen.snapshots
            && is_later(self.snapshots.as_ref().map(|snapshots| snapshots.at), snapshots.at)
        {
            self.snapshots = Some(snapshots.clone());
        }
        if let Some(check) = &seen.check {
            self.damage.retain(|known| known.by != Some(by));
            let damage = CheckSeen { by: Some(by), ..check.clone() };
            let is_made_up_for = own.is_some_and(|own| makes_up_for(own, &damage));
            if check.errors > 0 && !is_made_up_for && self.damage.len() < MOST_TOLD {
                self.damage.push(damage);
            }
        }
        if let Some(lock) = &seen.lock
            && self.lock.as_ref().is_none_or(|known| known.seen.at <= lock.at)
        {
            let known = self.lock.take();
            self.lock = if lock.holder.is_some() {
                let goes_on = known.filter(|known| now.ms_since(known.seen.at) < SAME_LOCK_MS);
                let since = goes_on.map_or(lock.at, |known| known.since);
                Some(ToldLock { by, since, seen: lock.clone() })
            } else {
                known.filter(|known| known.by != by)
            };
        }
    }
}

impl RepoState {
    /// A check of the host itself has come in: it makes up for what others have found before.
    pub(super) fn own_check_counts(&mut self) {
        if let Some(own) = &self.check {
            self.told.damage.retain(|damage| !makes_up_for(own, damage));
        }
    }

    /// What is shown of the repository and what its host stands by: what it saw itself, and what counts of what
    /// others on it say.
    #[must_use]
    pub fn as_shown(&self) -> Self {
        let Told { damage, check, prune, size, snapshots, lock } = &self.told;
        let mut shown = self.clone();
        if self.check.as_ref().is_none_or(|own| own.errors == 0) {
            let later =
                check.as_ref().filter(|told| is_later(self.check.as_ref().map(|own| own.at), told.at));
            let worst = damage.iter().max_by_key(|damage| damage.at);
            shown.check = worst.or(later).or(self.check.as_ref()).cloned();
        }
        if let Some(told) = prune
            && is_later(self.prune.as_ref().map(|own| own.at), told.at)
        {
            shown.prune = Some(told.clone());
        }
        if let Some(told) = size
            && is_later(self.size.as_ref().map(|own: &SizeSeen| own.at), told.at)
        {
            shown.size = Some(told.clone());
        }
        if let Some(told) = snapshots
            && is_later(self.snapshots.as_ref().map(|own: &SnapshotsSeen| own.at), told.at)
        {
            shown.snapshots = Some(told.clone());
        }
        let sees_one = self.lock.as_ref().is_some_and(|own| own.holder.is_some());
        if let Some(told) = lock.as_ref().filter(|_| !sees_one)
            && is_later(self.lock.as_ref().map(|own| own.at), told.seen.at)
        {
            shown.lock = Some(told.seen.clone());
        }
        shown
    }

    /// Whether the lock that is shown is another host's word, and told of for so long that it holds nobody back.
    pub(crate) fn lock_is_old_word(&self, now: Timestamp) -> bool {
        let sees_one = self.lock.as_ref().is_some_and(|own| own.holder.is_some());
        !sees_one && self.told.lock.as_ref().is_some_and(|told| now.ms_since(told.since) >= DAY_MS)
    }
}

/// Tells the other hosts what this one has seen.
pub(super) fn tell(op: &mut Op<'_, '_>, host: HostId, state: &RepoState) -> Result<(), StoreError> {
    for other in partners::partners(op.tx, host)?.into_iter().take(MOST_TOLD) {
        let Some(before) = op.tx.get(&REPOS, &other)? else { continue };
        let mut after = before.clone();
        after.told.take(before.check.as_ref(), state, host, op.now);
        if after != before {
            write(op.tx, other, &after)?;
        }
    }
    Ok(())
}

/// What the others on the repository of a host have seen.
pub(super) fn learn(tx: &Tx<'_>, host: HostId) -> Result<Told, StoreError> {
    let mut told = Told::default();
    let own = tx.get(&REPOS, &host)?.and_then(|state| state.check);
    for other in partners::partners(tx, host)?.into_iter().take(MOST_TOLD) {
        if let Some(seen) = tx.get(&REPOS, &other)? {
            let at = seen.lock.as_ref().map_or_else(Timestamp::default, |lock| lock.at);
            told.take(own.as_ref(), &seen, other, at);
        }
    }
    Ok(told)
}

/// A job that the server asked for has ended well and in time: what counts as done for the others.
pub(super) fn tell_done(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    let now = op.now;
    if job.state != JobState::Succeeded || job.late {
        return Ok(());
    }
    let (at, by) = (job.finished_at.unwrap_or(now).min(now), Some(job.host));
    let (check, prune) = match (&job.what, &job.figures) {
        (JobWhat::Check { subset_pct }, JobFigures::Check { errors: 0, .. }) => {
            (Some(CheckSeen { at, errors: 0, subset_pct: *subset_pct, by }), None)
        }
        (JobWhat::Prune, JobFigures::Prune { freed_bytes, .. }) => {
            (None, Some(PruneSeen { at, freed_bytes: *freed_bytes, by }))
        }
        _ => return Ok(()),
    };
    for other in partners::partners(op.tx, job.host)?.into_iter().take(MOST_TOLD) {
        let Some(before) = op.tx.get(&REPOS, &other)? else { continue };
        let mut after = before.clone();
        let told = &mut after.told;
        if check.as_ref().is_some_and(|check| told.check.as_ref().is_none_or(|known| known.at <= check.at)) {
            told.check.clone_from(&check);
        }
        if prune.as_ref().is_some_and(|prune| told.prune.as_ref().is_none_or(|known| known.at <= prune.at)) {
            told.prune.clone_from(&prune);
        }
        if after != before {
            write(op.tx, other, &after)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{LockHolder, LockView};
    use proptest::prelude::*;

    const THEM: HostId = HostId([2; 16]);
    const OTHERS: HostId = HostId([3; 16]);
    const NOW: Timestamp = Timestamp(1_000 * DAY_MS);

    fn check(at: u64, errors: u32, subset_pct: u8) -> Option<CheckSeen> {
        Some(CheckSeen { at: Timestamp(at), errors, subset_pct, by: None })
    }

    fn lock(at: u64, is_held: bool) -> Option<LockView> {
        let holder = is_held.then(|| LockHolder {
            since: Timestamp(at),
            exclusive: true,
            hostname: "laptop".into(),
            username: "ada".into(),
            pid: 7,
            stale: false,
        });
        Some(LockView { at: Timestamp(at), holder })
    }

    fn hear(state: &mut RepoState, seen: &RepoState, by: HostId) {
        let own = state.check.clone();
        state.told.take(own.as_ref(), seen, by, NOW);
    }

    fn saw(check: Option<CheckSeen>) -> RepoState {
        RepoState { check, ..RepoState::default() }
    }

    #[test]
    fn nobody_clears_what_another_has_found() {
        let mut state = saw(check(1, 2, 50));
        hear(&mut state, &saw(check(9, 0, 100)), THEM);
        assert_eq!(state.as_shown().check, check(1, 2, 50), "found by itself");
        let mut state = saw(check(1, 0, 50));
        hear(&mut state, &saw(check(5, 3, 5)), THEM);
        hear(&mut state, &saw(check(6, 1, 5)), OTHERS);
        hear(&mut state, &saw(check(9, 0, 100)), OTHERS);
        assert_eq!(state.as_shown().check.unwrap().by, Some(THEM), "found by a third");
        hear(&mut state, &saw(check(10, 0, 5)), THEM);
        assert_eq!(state.as_shown().check, check(1, 0, 50), "what it saw itself is as it was");
    }

    #[test]
    fn a_check_of_the_hosts_own_that_reads_as_much_makes_up_for_what_others_found_before() {
        let mut state = saw(None);
        let damaged = saw(check(5, 3, 50));
        hear(&mut state, &damaged, THEM);
        state.check = check(6, 0, 5);
        state.own_check_counts();
        assert_eq!(state.as_shown().check.unwrap().errors, 3, "it read less");
        state.check = check(7, 0, 50);
        state.own_check_counts();
        hear(&mut state, &damaged, THEM);
        assert_eq!(state.as_shown().check, check(7, 0, 50), "and what is told again is not news");
        hear(&mut state, &saw(check(8, 1, 50)), THEM);
        assert_eq!(state.as_shown().check.unwrap().errors, 1);
    }

    #[test]
    fn that_there_is_no_lock_is_not_told_and_one_that_is_told_again_and_again_becomes_old_word() {
        let mut state = RepoState { lock: lock(1, true), ..RepoState::default() };
        hear(&mut state, &RepoState { lock: lock(2, false), ..RepoState::default() }, THEM);
        assert_eq!(state.as_shown().lock, lock(1, true));
        let mut state = RepoState::default();
        let begun = NOW.0;
        for hours in 0..30 {
            let now = Timestamp(begun + hours * 3_600_000);
            let seen = RepoState { lock: lock(now.0, true), ..RepoState::default() };
            state.told.take(None, &seen, THEM, now);
            assert_eq!(state.lock_is_old_word(now), hours >= 24, "{hours}");
        }
        hear(
            &mut state,
            &RepoState { lock: lock(NOW.0 + 40 * 3_600_000, false), ..RepoState::default() },
            THEM,
        );
        assert_eq!(state.as_shown().lock, None, "who told of it may say that it is gone");
    }

    #[test]
    fn a_sum_is_not_told_and_a_prune_that_was_not_asked_for_is_not_either() {
        let size = |at, measured| Some(SizeSeen { at: Timestamp(at), bytes: at, measured });
        let mut state = RepoState { size: size(1, true), ..RepoState::default() };
        let before = state.clone();
        let prune = Some(PruneSeen { at: Timestamp(3), freed_bytes: 9, by: None });
        let seen =
            RepoState { size: size(2, false), prune, append_only: Some((true, NOW)), ..RepoState::default() };
        hear(&mut state, &seen, THEM);
        assert_eq!(state, before);
        hear(&mut state, &RepoState { size: size(3, true), ..RepoState::default() }, THEM);
        assert_eq!((state.as_shown().size, state.size), (size(3, true), size(1, true)));
    }

    fn seen() -> impl Strategy<Value = RepoState> {
        let check = prop::option::of((0u64..6, 0u32..2, prop::sample::select(vec![5u8, 50, 100])))
            .prop_map(|found| found.and_then(|(at, errors, pct)| check(at, errors, pct)));
        let lock = prop::option::of((0u64..6, any::<bool>()))
            .prop_map(|found| found.and_then(|(at, held)| lock(at, held)));
        (check, lock).prop_map(|(check, lock)| RepoState { check, lock, ..RepoState::default() })
    }

    proptest! {
        /// Whatever others say in whatever order: what is damaged or locked by a host's own word stays so, what it saw
        /// is untouched, and telling twice is telling once.
        #[test]
        fn what_others_say_never_mends(own in seen(), said in prop::collection::vec((any::<bool>(), seen()), 0..12)) {
            let mut state = own.clone();
            for (first, seen) in &said {
                let by = if *first { THEM } else { OTHERS };
                hear(&mut state, seen, by);
                let once = state.clone();
                hear(&mut state, seen, by);
                prop_assert_eq!(&state, &once);
                let shown = state.as_shown();
                prop_assert_eq!((&state.check, &state.lock), (&own.check, &own.lock));
                if own.check.as_ref().is_some_and(|check| check.errors > 0) {
                    prop_assert_eq!(&shown.check, &own.check);
                }
                if own.lock.as_ref().is_some_and(|lock| lock.holder.is_some()) {
                    prop_assert_eq!(&shown.lock, &own.lock);
                }
                prop_assert_eq!(shown.as_shown(), shown);
            }
            // One that found damage last, later and by reading more than the host itself, is not overruled.
            let last = said.iter().rev().find(|(first, seen)| *first && seen.check.is_some());
            if let Some(check) = last.and_then(|(_, seen)| seen.check.as_ref()).filter(|check| check.errors > 0)
                && own.check.as_ref().is_none_or(|own| !makes_up_for(own, check))
            {
                prop_assert!(state.as_shown().check.is_some_and(|check| check.errors > 0));
            }
        }
    }
}
