//! Instants of the past, and what becomes of those that lie ahead.

use crate::record::{
    Arrivals, ChannelState, GroupProof, Host, Incident, Job, LONGEST_REST_MS, LastRuns, Met, Presence,
    RepoState, Soundness, Summary,
};
use crate::refused::StoreError;
use crate::store::{Order, Reads, Span, StoredRow, Table, TableKey, Tx};
use schema::Timestamp;
use std::ops::ControlFlow;

/// How long a clock must not have been set back to be believed.
pub(crate) const SETTLES_MS: u64 = 10 * 60_000;

/// A clock that is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The server's time.
    pub(crate) now: Timestamp,
    /// Since when it has not been set back.
    pub(crate) since: Timestamp,
}

/// Something with instants of the past in it.
pub(crate) trait PastInstants {
    /// What is ahead of now becomes now.
    fn cap(&mut self, clock: Clock);
}

impl PastInstants for Timestamp {
    fn cap(&mut self, clock: Clock) {
        if *self > clock.now {
            *self = clock.since;
        }
    }
}

impl<T: PastInstants> PastInstants for Option<T> {
    fn cap(&mut self, clock: Clock) {
        if let Some(inner) = self {
            inner.cap(clock);
        }
    }
}

impl PastInstants for Job {
    fn cap(&mut self, clock: Clock) {
        self.created_at.cap(clock);
        for at in [
            &mut self.sent_at,
            &mut self.accepted_at,
            &mut self.started_at,
            &mut self.finished_at,
            &mut self.cancel_asked_at,
        ] {
            at.cap(clock);
        }
    }
}

impl PastInstants for Host {
    fn cap(&mut self, clock: Clock) {
        self.created_at.cap(clock);
        self.enrolled_at.cap(clock);
        if let Some(facts) = &mut self.facts {
            facts.at.cap(clock);
        }
    }
}

impl PastInstants for Presence {
    fn cap(&mut self, clock: Clock) {
        self.changed_at.cap(clock);
        self.last_seen_at.cap(clock);
        self.clock_off_since.cap(clock);
        self.state_folder_since.cap(clock);
        if let Some(superseded) = &mut self.superseded {
            superseded.since.cap(clock);
        }
        if let Some(problem) = &mut self.wire_problem {
            problem.at.cap(clock);
        }
        if let Some(quarantine) = &mut self.quarantine {
            quarantine.since.cap(clock);
            quarantine.twins.iter_mut().for_each(|twin| twin.seen_at.cap(clock));
        }
    }
}

impl PastInstants for Incident {
    fn cap(&mut self, clock: Clock) {
        for at in [&mut self.since, &mut self.noticed_at] {
            at.cap(clock);
        }
        self.opened_at.cap(clock);
        if let Some((at, _)) = &mut self.ended {
            at.cap(clock);
        }
        if let Some(worsened) = &mut self.worsened {
            worsened.at.cap(clock);
        }
        if let Some(noted) = &mut self.noted {
            noted.at.cap(clock);
        }
        if let Some(ack) = &mut self.ack {
            ack.at.cap(clock);
            if ack.until > clock.now.plus_ms(LONGEST_REST_MS) {
                ack.until = clock.since.plus_ms(LONGEST_REST_MS);
            }
        }
    }
}

impl PastInstants for ChannelState {
    fn cap(&mut self, clock: Clock) {
        if let Some(sending) = &mut self.sending {
            sending.made_at.cap(clock);
            sending.tried_at.cap(clock);
        }
        self.done_at.cap(clock);
        self.taken_at.cap(clock);
        if let Some(refused) = &mut self.refused {
            refused.at.cap(clock);
        }
        if let Some((since, error)) = &mut self.failing {
            since.cap(clock);
            error.at.cap(clock);
        }
        for lost in &mut self.lost {
            lost.made_at.cap(clock);
            lost.error.at.cap(clock);
        }
    }
}

impl PastInstants for Met {
    fn cap(&mut self, clock: Clock) {
        self.since.cap(clock);
        if let Some((at, _)) = &mut self.left {
            at.cap(clock);
        }
    }
}

impl PastInstants for Arrivals {
    fn cap(&mut self, clock: Clock) {
        self.came_by.iter_mut().for_each(|came| came.at.cap(clock));
    }
}

impl PastInstants for Summary {
    fn cap(&mut self, clock: Clock) {
        self.running.cap(clock);
        self.last_backup.cap(clock);
        for group in &mut self.groups {
            if let Some(last) = &mut group.last {
                last.at.cap(clock);
            }
            if let Some((_, at)) = &mut group.last_good {
                at.cap(clock);
            }
            group.loss_since.cap(clock);
            if let Some((_, since)) = &mut group.hold {
                since.cap(clock);
            }
            group.cap_days(clock.now, clock.since);
            group.proof.cap(clock);
        }
        if let Some((_, at)) = &mut self.size {
            at.cap(clock);
        }
        self.damaged_at.cap(clock);
        self.replaced.cap(clock);
        if let Some((at, _)) = &mut self.test_failed {
            at.cap(clock);
        }
        if let Some(acked) = &mut self.acked {
            acked.at.cap(clock);
        }
        self.waits_since.cap(clock);
        if let Some(rate) = &mut self.rate {
            rate.at.cap(clock);
        }
        if let Some((since, _)) = &mut self.unplanned {
            since.cap(clock);
        }
    }
}

impl PastInstants for GroupProof {
    fn cap(&mut self, clock: Clock) {
        self.since.cap(clock);
        if let Some((_, last_run)) = &mut self.last_run {
            last_run.at.cap(clock);
        }
        if let Some(proven) = &mut self.proven {
            proven.at.cap(clock);
        }
        if let Some(failed) = &mut self.failed {
            failed.at.cap(clock);
        }
    }
}

impl PastInstants for RepoState {
    fn cap(&mut self, clock: Clock) {
        self.repo_at.cap(clock);
        if let Some(replaced) = &mut self.replaced {
            replaced.at.cap(clock);
        }
        if let Some((_, _, at)) = &mut self.newest {
            at.cap(clock);
        }
        if let Some(size) = &mut self.size {
            size.at.cap(clock);
        }
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.at.cap(clock);
            snapshots.newest_at.cap(clock);
        }
        if let Some(check) = &mut self.check {
            check.at.cap(clock);
        }
        if let Some(prune) = &mut self.prune {
            prune.at.cap(clock);
        }
        if let Some(lock) = &mut self.lock {
            lock.at.cap(clock);
            if let Some(holder) = &mut lock.holder {
                holder.since.cap(clock);
            }
        }
        if let Some((_, at)) = &mut self.append_only {
            at.cap(clock);
        }
        if let Some(tested) = &mut self.tested {
            tested.at.cap(clock);
        }
        let stated = &mut self.stated;
        let dates =
            [&mut stated.size, &mut stated.snapshots, &mut stated.check, &mut stated.prune, &mut stated.lock];
        dates.into_iter().flatten().for_each(|dated| dated.at.cap(clock));
        let told = &mut self.told;
        told.damage.iter_mut().chain(&mut told.check).for_each(|check| check.at.cap(clock));
        if let Some(prune) = &mut told.prune {
            prune.at.cap(clock);
        }
        if let Some(size) = &mut told.size {
            size.at.cap(clock);
        }
        if let Some(snapshots) = &mut told.snapshots {
            snapshots.at.cap(clock);
            snapshots.newest_at.cap(clock);
        }
        if let Some(lock) = &mut told.lock {
            lock.since.cap(clock);
            lock.seen.at.cap(clock);
            if let Some(holder) = &mut lock.seen.holder {
                holder.since.cap(clock);
            }
        }
    }
}

impl PastInstants for Soundness {
    fn cap(&mut self, clock: Clock) {
        self.lacking.iter_mut().for_each(|flawed| flawed.heard_at.cap(clock));
        self.whole.iter_mut().for_each(|whole| whole.heard_at.cap(clock));
        for backup in self.newest.iter_mut().chain(&mut self.right) {
            backup.at.cap(clock);
        }
        if let Some(began_at) = &mut self.began_at {
            began_at.cap(clock);
        }
        if let Some(loss) = &mut self.loss {
            loss.since.cap(clock);
        }
        self.baseline.reset_at.cap(clock);
        if let Some(unusual) = &mut self.unusual {
            unusual.since.cap(clock);
        }
        if let Some(accepted) = &mut self.accepted {
            accepted.at.cap(clock);
        }
    }
}

impl PastInstants for LastRuns {
    fn cap(&mut self, clock: Clock) {
        self.switched_at.cap(clock);
        self.latest.iter_mut().flatten().for_each(|last_run| last_run.at.cap(clock));
        for drill in &mut self.drills {
            drill.since.cap(clock);
            drill.last_run.iter_mut().for_each(|last_run| last_run.at.cap(clock));
        }
    }
}

/// Changes what is to be changed of each row of a table; returns of how many.
pub(crate) fn each<K: TableKey, V: StoredRow + Clone + PartialEq>(
    tx: &mut Tx<'_>,
    table: &Table<K, V>,
    change: impl Fn(&mut V),
) -> Result<usize, StoreError> {
    let mut changed = Vec::new();
    tx.walk(table, &Span::ALL, Order::Ascending, |key, row: V| {
        let mut after = row.clone();
        change(&mut after);
        if after != row {
            changed.push((key, after));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    changed.iter().try_for_each(|(key, row)| tx.put(table, key, row))?;
    Ok(changed.len())
}
