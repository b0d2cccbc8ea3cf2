//! What one host may make this server do and keep: budgets for each sender, not for each message.
//!
//! Each is a leaky bucket: so much at once, and so much a minute from then on. They are far above what an honest agent
//! does, also when it comes back after weeks on its own. What is over is not taken: it is counted, shown on the host's
//! page and in the API, and the agent is told in the acknowledgement of that report. Reports that are not taken are
//! acknowledged all the same, so that the journal behind them is not held up.
//!
//! Bounds in all stand where things are kept: pieces of a listing in [`take_piece`], the audit's share of a host in
//! [`audit`](crate::audit), jobs and logs in [`aging`](crate::aging).

mod meters;

pub use meters::OverBudget;
pub(crate) use meters::{Meters, Spending, Spent};

use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::op::Op;
use crate::record::Usage;
use crate::refused::StoreError;
use crate::store::{LISTING_STATES, Reads, Span, StoredRow, Table, Tx, USAGES};
use schema::command::Over;
use schema::{HostId, JobId, ReportBody};

/// The most backups of an agent's own that are open at once: twice what an agent can hold.
pub(crate) const MAX_OPEN_OWN: usize = 2 * schema::limits::MAX_HELD_JOBS;
/// How far ahead of now the id of an agent's own job may be dated; what sorts by it would stand before all others.
pub(crate) const MAX_AHEAD_MS: u64 = 5 * 60_000;
/// The most bytes that the pieces of one listing of snapshots take; each piece is bounded by the wire.
pub(crate) const MAX_LISTING_BYTES: u64 = 64 << 20;
/// The same of a folder.
pub(crate) const MAX_FOLDER_BYTES: u64 = 4 << 20;
/// What a job costs beside its log, in bytes: its record and its places in the indices.
pub(crate) const JOB_BYTES: u64 = 2 * 1024;

impl Fleet {
    /// What was refused of a host since the server started.
    #[must_use]
    pub fn over_budget(&self, host: HostId) -> OverBudget {
        self.context().meters().refused_of(host)
    }
}

/// Takes from a budget of a host, once the operation is committed: it may run more than once before that.
pub(crate) fn spend(op: &mut Op<'_, '_>, (host, what, amount): (HostId, Spent, u64)) -> Result<(), Over> {
    let now = op.now;
    let is_same = |spent: &&Spending| spent.host == host && spent.what == what;
    let before: u64 = op.tx.effects.spent.iter().filter(is_same).map(|spent| spent.amount).sum();
    op.facts.meters().has_room(host, what, before.saturating_add(amount), now)?;
    op.tx.effects.spent.push(Spending { host, what, amount, at: now });
    Ok(())
}

/// Takes a report from the budgets of its host.
pub(crate) fn report(
    op: &mut Op<'_, '_>,
    host: HostId,
    body: &ReportBody<'_>,
    bytes: usize,
) -> Result<(), Over> {
    spend(op, (host, Spent::Report, 1))?;
    match body {
        ReportBody::Log { .. }
        | ReportBody::Snapshots { .. }
        | ReportBody::Entries { .. }
        | ReportBody::Found { .. } => spend(op, (host, Spent::Bytes, bytes as u64)),
        _ => Ok(()),
    }
}

/// Stores a piece of a listing, unless it goes back behind what has come, or makes the listing too large: then nothing
/// changes. Pieces come in order; one that is left out leaves a gap.
pub(crate) fn take_piece<V: StoredRow>(
    tx: &mut Tx<'_>,
    table: &Table<(JobId, u32), V>,
    (job, first, items): (JobId, u32, usize),
    piece: &V,
    most_bytes: u64,
) -> Result<Result<(), Over>, StoreError> {
    let mut state = tx.get(&LISTING_STATES, &job)?.unwrap_or_default();
    let bytes = state.bytes.saturating_add(piece.encode().len() as u64);
    if items == 0 || first < state.next || bytes > most_bytes {
        return Ok(Err(Over::Listing));
    }
    state.next = first.saturating_add(u32::try_from(items).unwrap_or(u32::MAX));
    state.bytes = bytes;
    tx.put(&LISTING_STATES, &job, &state)?;
    tx.put(table, &(job, first), piece)?;
    Ok(Ok(()))
}

/// Removes the pieces of a listing.
pub(crate) fn remove_pieces<V: StoredRow>(
    tx: &mut Tx<'_>,
    table: &Table<(JobId, u32), V>,
    job: JobId,
) -> Result<(), StoreError> {
    tx.remove(&LISTING_STATES, &job)?;
    tx.remove_all(table, &Span::under(&job))?;
    Ok(())
}

/// Counts what a host's jobs and logs take.
pub(crate) fn change_usage(
    tx: &mut Tx<'_>,
    host: HostId,
    change: impl FnOnce(&mut Usage),
) -> Result<(), StoreError> {
    let mut usage = tx.get(&USAGES, &host)?.unwrap_or_default();
    change(&mut usage);
    tx.put(&USAGES, &host, &usage)
}

/// Whether a host's jobs and logs take twice their share: then no more is taken until the sweep has made room.
pub(crate) fn is_full(facts: &Facts, reads: &impl Reads, host: HostId) -> Result<bool, StoreError> {
    let usage = reads.get(&USAGES, &host)?.unwrap_or_default();
    Ok(usage.bytes > facts.settings.keep.host_bytes.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::meters::Bucket;
    use super::*;
    use crate::By;
    use crate::record::LogChunk;
    use crate::settings::{Driver, Settings};
    use crate::store::LOGS;
    use proptest::prelude::*;
    use schema::Timestamp;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    proptest! {
        /// In any stretch of time no more fits than so much at once and so much a minute, wherever the clock jumps.
        #[test]
        fn no_more_fits_than_at_once_and_a_minute(
            steps in prop::collection::vec((0..200_000u64, 0..40u64), 1..200), most in 1..100u64, a_minute in 1..50u64,
        ) {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), Timestamp(1 << 40), 0);
            let begun = now;
            for (ms, amount) in steps {
                now = now.plus_ms(ms);
                if bucket.take(amount, (most, a_minute), now) {
                    taken += amount;
                }
                prop_assert!(taken <= most + now.ms_since(begun) * a_minute / 60_000 + 1);
            }
            prop_assert!(bucket.take(most, (most, a_minute), now.plus_ms(60_000 * most)), "it is empty again");
            let back = Timestamp(0);
            bucket.take(0, (most, a_minute), back);
            prop_assert!(bucket.take(most, (most, a_minute), back.plus_ms(60_000 * most)), "also when set back");
        }
    }

    #[tokio::test]
    async fn pieces_of_a_listing_neither_overlap_nor_grow_without_end() {
        let driver = Driver { now: Arc::new(|| Timestamp(1)), random: Arc::new(|bytes| bytes.fill(7)) };
        let settings = Settings::for_tests();
        let fleet = Fleet::in_memory(settings, driver).unwrap();
        let taken = fleet.write(By::system(), |op| {
            let job = JobId([1; 16]);
            let piece = |first_line| LogChunk { first_line, lines: vec![(1, 1, "x".repeat(1_000))] };
            let mut taken = Vec::new();
            for first in [0, 1, 1, 0, 5, 4, 6, 7, 8] {
                if take_piece(op.tx, &LOGS, (job, first, 1), &piece(first), 5_100)?.is_ok() {
                    taken.push(first);
                }
            }
            assert_eq!(
                take_piece(op.tx, &LOGS, (job, 9, 0), &piece(9), 1 << 20)?,
                Err(Over::Listing),
                "nothing in it"
            );
            remove_pieces(op.tx, &LOGS, job)?;
            assert!(
                take_piece(op.tx, &LOGS, (job, 0, 1), &piece(0), 5_100)?.is_ok(),
                "a new one begins anew"
            );
            Ok(taken)
        });
        assert_eq!(taken.await.unwrap(), [0, 1, 5, 6, 7], "five fit");
    }

    #[test]
    fn an_honest_agent_is_far_within_its_budgets() {
        let (at_once, _) = Spent::OwnJob.limit();
        assert!(at_once >= 24 * 7 * 20, "twenty groups each hour of a week alone");
        assert!(Spent::Report.limit().0 >= 4 * at_once, "each with what becomes of it");
        let (_, bytes) = Spent::Bytes.limit();
        assert!(bytes >= crate::job::log::HEAD_BYTES + crate::job::log::TAIL_BYTES, "a whole log a minute");
    }

    /// An operation that fails after a write has its batch run again: what the others take is taken once, and together.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_an_operation_takes_is_taken_once_however_often_it_runs() {
        let now = Timestamp(1_795_415_472_000);
        let driver = Driver { now: Arc::new(move || now), random: Arc::new(|buffer| buffer.fill(7)) };
        let settings = Settings::for_tests();
        let fleet = Fleet::in_memory(settings, driver).unwrap();
        let host = HostId([1; 16]);
        let runs = Arc::new(AtomicU32::new(0));
        let take = |amount: u64| {
            let runs = runs.clone();
            fleet.write(By::system(), move |op| {
                runs.fetch_add(1, Ordering::SeqCst);
                // There is nothing to commit without a write.
                change_usage(op.tx, host, |usage| usage.jobs += 1)?;
                Ok(spend(op, (host, Spent::AuditLine, amount)))
            })
        };
        let (open, opened) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel::<()>();
        let (mut begun, mut opened) = (Some(begun), Some(opened));
        let blocks = fleet.write(By::system(), move |_| {
            if let (Some(begun), Some(opened)) = (begun.take(), opened.take()) {
                let _ = begun.send(());
                let _ = opened.recv();
            }
            Ok(())
        });
        let spoils = fleet.write(By::system(), move |op| {
            change_usage(op.tx, host, |usage| usage.jobs += 100)?;
            Err::<(), _>(crate::refused::Refused::HostNotFound)
        });
        let rest = async {
            // The writer holds the first one alone; the others wait for it in one batch.
            begins.await.unwrap();
            tokio::join!(take(40), take(15), take(6), spoils, async { drop(open) })
        };
        let (_, (first, second, third, spoiled, ())) = tokio::join!(blocks, rest);
        assert!(spoiled.is_err());
        assert_eq!((first.unwrap(), second.unwrap(), third.unwrap()), (Ok(()), Ok(()), Err(Over::Audit)));
        assert!(runs.load(Ordering::SeqCst) > 3, "the batch ran again");
        assert_eq!(take(5).await.unwrap(), Ok(()), "60 lines fit at once");
        assert_eq!(take(1).await.unwrap(), Err(Over::Audit));
        assert_eq!(fleet.read().unwrap().usage(host).unwrap().jobs, 5);
    }
}
