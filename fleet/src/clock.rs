//! What a wrong clock of this server has left in the store, mended when the clock is right again.
//!
//! Instants are written down as `now`, and what an agent dates ahead of that counts as now when it is taken. So whatever
//! lies ahead was written while this server's own clock was ahead, and would be the newest, or not be over, until the
//! clock gets there again: a good backup that keeps a host green for years, a session that never ends. It becomes the
//! instant at which the clock was seen to be back, in the store and once, so that it grows old from then on.
//!
//! A machine without a clock of its own begins in the past, and a mistyped date is soon put right: then nothing was
//! wrong but the moment. So a clock is believed when it has not been set back for a while ([`SETTLES_MS`]), counted from
//! the start or from when it was. What is due by its own nature (next due times, next tries within their longest delay)
//! is no instant of the past and stays; points of a history that lie ahead are not shown.

use crate::enroll::TOKEN_LIVES_MS;
use crate::folder;
use crate::listing;
use crate::pending;
use crate::record::LastFired;
use crate::record::Summary;
use crate::record::{Host, Job, Presence, RepoState, Soundness};
use crate::refused::StoreError;
use crate::schedule;
use crate::store::{
    API_TOKENS, CONFIRMED, CREDENTIALS, FIRED, GIVEN_UP, HOSTS, JOBS, Key, OPEN_JOBS, OPERATORS, Order,
    PENDING, PRESENCES, REPOS, Reads, Row, SESSIONS, SOUNDNESS, SUMMARIES, Span, TOKENS, Table, Tx, VIEWERS,
};
use crate::units::DAY_MS;
use schema::{JobId, Timestamp};
use std::ops::ControlFlow;

/// How long a clock must not have been set back to be believed.
pub(crate) const SETTLES_MS: u64 = 10 * 60_000;
/// Jobs that were made so long before are looked at, too: they may have ended while the clock was ahead.
const JOBS_FROM_MS: u64 = 7 * DAY_MS;

/// A clock that is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The time.
    pub(crate) now: Timestamp,
    /// Since when it has not been set back.
    pub(crate) since: Timestamp,
}

/// Something with instants of the past in it.
pub(crate) trait Dated {
    /// What is ahead of now becomes now.
    fn cap(&mut self, clock: Clock);
}

impl Dated for Timestamp {
    fn cap(&mut self, clock: Clock) {
        if *self > clock.now {
            *self = clock.since;
        }
    }
}

impl<T: Dated> Dated for Option<T> {
    fn cap(&mut self, clock: Clock) {
        if let Some(inner) = self {
            inner.cap(clock);
        }
    }
}

impl Dated for Job {
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

impl Dated for Host {
    fn cap(&mut self, clock: Clock) {
        self.created_at.cap(clock);
        self.enrolled_at.cap(clock);
        if let Some(facts) = &mut self.facts {
            facts.at.cap(clock);
        }
    }
}

impl Dated for Presence {
    fn cap(&mut self, clock: Clock) {
        self.changed_at.cap(clock);
        self.last_seen_at.cap(clock);
        self.clock_off_since.cap(clock);
        self.state_folder_since.cap(clock);
        if let Some(problem) = &mut self.wire_problem {
            problem.at.cap(clock);
        }
        if let Some(quarantine) = &mut self.quarantine {
            quarantine.since.cap(clock);
            quarantine.twins.iter_mut().for_each(|twin| twin.seen_at.cap(clock));
        }
    }
}

impl Dated for Summary {
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
        if let Some((since, _)) = &mut self.unplanned {
            since.cap(clock);
        }
    }
}

impl Dated for RepoState {
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

impl Dated for Soundness {
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
        if let Some(accepted) = &mut self.accepted {
            accepted.at.cap(clock);
        }
    }
}

impl Dated for LastFired {
    fn cap(&mut self, clock: Clock) {
        self.switched_at.cap(clock);
        self.latest.iter_mut().flatten().for_each(|fired| fired.at.cap(clock));
    }
}

/// Mends all that lies ahead of now; returns how many rows that were.
pub(crate) fn mend(tx: &mut Tx<'_>, clock: Clock) -> Result<usize, StoreError> {
    schedule::begin_anew(tx, clock)?;
    let mut mended = each(tx, &HOSTS, |host| host.cap(clock))?
        + each(tx, &PRESENCES, |presence| presence.cap(clock))?
        + each(tx, &SUMMARIES, |summary| summary.cap(clock))?
        + each(tx, &REPOS, |repo| repo.cap(clock))?
        + each(tx, &SOUNDNESS, |sound| sound.cap(clock))?
        + each(tx, &CONFIRMED, |confirmed| confirmed.at.cap(clock))?
        + each(tx, &FIRED, |kept| kept.cap(clock))?
        + each(tx, &CREDENTIALS, |row| {
            if let Some(facts) = &mut row.facts {
                facts.updated_at.cap(clock);
            }
        })?
        + each(tx, &SESSIONS, |session| {
            session.created_at.cap(clock);
            session.used_at.cap(clock);
        })?
        + each(tx, &API_TOKENS, |token| {
            token.created_at.cap(clock);
            token.used_at.cap(clock);
        })?
        + each(tx, &OPERATORS, |operator| {
            operator.created_at.cap(clock);
            operator.signed_in_at.cap(clock);
        })?
        + each(tx, &VIEWERS, |viewer| viewer.created_at.cap(clock))?
        + each(tx, &TOKENS, |row| {
            row.token.created_at.cap(clock);
            if row.token.expires_at > clock.now.plus_ms(TOKEN_LIVES_MS) {
                row.token.expires_at = clock.since.plus_ms(TOKEN_LIVES_MS);
            }
            if let Some((at, ..)) = &mut row.token.used {
                at.cap(clock);
            }
        })?;
    mended += folder::mend(tx, clock)? + listing::mend(tx, clock)?;
    mended += waiting(tx, clock)? + given_up(tx, clock)? + open_jobs(tx, clock)?;
    // Most often there was nothing, and the rest is not read.
    if mended > 0 {
        mended += recent_jobs(tx, clock)?;
        tracing::warn!(rows = mended, "the clock was ahead: what lay in the future counts as now");
    }
    Ok(mended)
}

/// Changes what is to be changed of each row of a table; returns of how many.
pub(crate) fn each<K: Key, V: Row + Clone + PartialEq>(
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

fn waiting(tx: &mut Tx<'_>, clock: Clock) -> Result<usize, StoreError> {
    let mut mended = 0;
    for (_, before) in tx.rows(&PENDING, &Span::ALL)? {
        let mut run = before.clone();
        run.due_at.cap(clock);
        run.last_due_at.cap(clock);
        if run.next_attempt_at.is_some_and(|at| at > clock.now.plus_ms(pending::retry::LONGEST_MS)) {
            run.next_attempt_at = Some(clock.now);
        }
        if let Some(error) = &mut run.last_error {
            error.at.cap(clock);
        }
        mended += usize::from(run != before);
        pending::put(tx, Some(&before), &run)?;
    }
    Ok(mended)
}

fn given_up(tx: &mut Tx<'_>, clock: Clock) -> Result<usize, StoreError> {
    let ahead = Span::ALL.after(&(clock.now.0, schema::PendingId([u8::MAX; 16])));
    let rows = tx.rows(&GIVEN_UP, &ahead)?;
    for (key, mut row) in rows.iter().cloned() {
        tx.remove(&GIVEN_UP, &key)?;
        row.at.cap(clock);
        tx.put(&GIVEN_UP, &(clock.since.0, key.1), &row)?;
    }
    Ok(rows.len())
}

fn open_jobs(tx: &mut Tx<'_>, clock: Clock) -> Result<usize, StoreError> {
    let open: Vec<JobId> =
        tx.keys(&OPEN_JOBS, &Span::ALL, usize::MAX)?.into_iter().map(|(_, job)| job).collect();
    jobs(tx, &open, clock)
}

/// Those that were made of late, or have an id of the time ahead.
fn recent_jobs(tx: &mut Tx<'_>, clock: Clock) -> Result<usize, StoreError> {
    let from = JobId::new(Timestamp(clock.since.0.saturating_sub(JOBS_FROM_MS)), [0; 10]);
    let recent = tx.keys(&JOBS, &Span::ALL.from(&from), usize::MAX)?;
    jobs(tx, &recent, clock)
}

fn jobs(tx: &mut Tx<'_>, ids: &[JobId], clock: Clock) -> Result<usize, StoreError> {
    let mut mended = 0;
    for id in ids {
        let Some(before) = tx.get(&JOBS, id)? else { continue };
        let mut job = before.clone();
        job.cap(clock);
        if job != before {
            tx.put(&JOBS, id, &job)?;
            mended += 1;
        }
    }
    Ok(mended)
}
