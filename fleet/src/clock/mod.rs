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

mod dated;

pub(crate) use dated::{Clock, PastInstants, SETTLES_MS, each};

use crate::folder;
use crate::listing;
use crate::op::Op;
use crate::pending;
use crate::record::TOKEN_LIVES_MS;
use crate::refused::StoreError;
use crate::schedule;
use crate::store::{
    API_TOKENS, ARRIVALS, CHANNEL_STATES, CHANNELS, CONFIRMED, CREDENTIALS, GIVEN_UP, HOSTS,
    INCIDENT_SUBJECTS, INCIDENTS, JOBS, LAST_RUNS, OPEN_JOBS, OPERATORS, PENDING, PRESENCES, REPORTS, REPOS,
    Reads, SESSIONS, SOUNDNESS, SUMMARIES, Span, TOKENS, Tx, VIEWERS, WAITING_NOTICES, WAITING_REPORTS,
};
use crate::units::DAY_MS;
use schema::{JobId, Timestamp};

/// Jobs that were made so long before are looked at, too: they may have ended while the clock was ahead.
const JOBS_FROM_MS: u64 = 7 * DAY_MS;

/// Mends all that lies ahead of now; returns how many rows that were.
pub(crate) fn mend(op: &mut Op<'_, '_>, clock: Clock) -> Result<usize, StoreError> {
    schedule::begin_anew(op, clock)?;
    let tx = &mut *op.tx;
    let mut mended = each(tx, &HOSTS, |host| host.cap(clock))?
        + each(tx, &PRESENCES, |presence| presence.cap(clock))?
        + each(tx, &ARRIVALS, |arrivals| arrivals.cap(clock))?
        + each(tx, &SUMMARIES, |summary| summary.cap(clock))?
        + each(tx, &REPOS, |repo| repo.cap(clock))?
        + each(tx, &SOUNDNESS, |sound| sound.cap(clock))?
        + each(tx, &CONFIRMED, |confirmed| confirmed.at.cap(clock))?
        + each(tx, &LAST_RUNS, |kept| kept.cap(clock))?
        + each(tx, &INCIDENTS, |incident| incident.cap(clock))?
        + each(tx, &INCIDENT_SUBJECTS, |met| met.cap(clock))?
        + each(tx, &CHANNELS, |channel| channel.changed_at.cap(clock))?
        + each(tx, &CHANNEL_STATES, |state| state.cap(clock))?
        + each(tx, &REPORTS, |report| report.done_until.cap(clock))?
        + each(tx, &WAITING_REPORTS, |waiting| {
            waiting.sending.made_at.cap(clock);
            waiting.sending.tried_at.cap(clock);
            waiting.period.made_at.cap(clock);
        })?
        + each(tx, &WAITING_NOTICES, |waiting| {
            waiting.notice.at.cap(clock);
            waiting.notice.since.cap(clock);
        })?
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
