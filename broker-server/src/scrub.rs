//! Looks through the data file once a day while it is in use.

use crate::{own_pieces::OwnPieces, tasks::Beat};
use fleet::{Fleet, Found, Scrub};
use schema::Timestamp;
use std::{sync::Arc, time::Duration};

/// How often the data file is looked through.
const SCRUB_EVERY_MS: u64 = 24 * 3600 * 1000;
/// And when it could not be.
const SCRUB_AGAIN_MS: u64 = 3600 * 1000;
/// How often it is asked whether that is due.
const SCRUB_LOOK_EVERY: Duration = Duration::from_secs(60);
/// So many operations between two looks are a quiet time…
const QUIET_OPERATIONS: u64 = 300;
/// …which is waited for no longer than this.
const QUIET_WAIT_MS: u64 = 6 * 3600 * 1000;

/// Looks through the data file at quiet times.
pub(crate) async fn run(fleet: Fleet, pieces: Arc<OwnPieces>, beat: Beat) {
    let mut operations = fleet.writer_counts().operations;
    loop {
        beat.waits(tokio::time::sleep(SCRUB_LOOK_EVERY)).await;
        let looked_at = Arc::clone(&pieces);
        let _ = tokio::task::spawn_blocking(move || looked_at.look()).await;
        let before = std::mem::replace(&mut operations, fleet.writer_counts().operations);
        let quiet = operations.saturating_sub(before) <= QUIET_OPERATIONS;
        if !is_scrub_due(fleet.last_scrub().as_ref(), quiet, fleet.now()) {
            continue;
        }
        if let Err(refused) = beat.waits(fleet.scrub()).await {
            tracing::warn!(%refused, "the data file could not be looked through");
        }
    }
}

fn is_scrub_due(last: Option<&Scrub>, is_quiet: bool, now: Timestamp) -> bool {
    let Some(last) = last else { return true };
    let every = if matches!(last.found, Found::Failed(_)) { SCRUB_AGAIN_MS } else { SCRUB_EVERY_MS };
    // A clock that was ahead says nothing of when it was.
    let age = if last.at <= now { now.ms_since(last.at) } else { every };
    age >= every && (is_quiet || age >= every + QUIET_WAIT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_looked_through_once_a_day_when_it_is_quiet() {
        const HOUR: u64 = 3_600_000;
        let now = Timestamp(1_000 * HOUR);
        let due = |ago_hours: i64, found: Found, is_quiet| {
            let at = Timestamp(now.0.saturating_add_signed(-ago_hours * HOUR as i64));
            is_scrub_due(Some(&Scrub { at, took_ms: 1, found }), is_quiet, now)
        };
        let well = || Found::Well(1);
        let failed = || Found::Failed(String::new());
        assert!(is_scrub_due(None, false, now), "a file too large for the start");
        assert!(!due(23, well(), true) && due(24, well(), true));
        assert!(!due(29, well(), false) && due(30, well(), false));
        assert!(!due(0, failed(), true) && due(1, failed(), true) && !due(1, failed(), false));
        assert!(due(-5, well(), true), "the clock was set back");
    }
}
