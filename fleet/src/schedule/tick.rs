//! The tick: what is due becomes pending runs, and what can be handed over is.

use super::due::{self, Look};
use super::{ScheduleRow, cron_of, of_host, put};
use crate::context::Context;
use crate::fleet::Fleet;
use crate::pending;
use crate::record::PendingRun;
use crate::refused::{Refused, StoreError};
use crate::store::{HOSTS, PENDING_DUE, Reads, SCHEDULES, SCHEDULES_DUE, Span, Tx};
use schema::{HostId, PendingId, Timestamp};

/// Schedules that are dealt with in one operation, so that a thousand that are due in the same second don't keep
/// everybody else waiting.
const AT_ONCE: usize = 25;

/// A schedule that is due, as it was looked at.
#[derive(Clone)]
struct DueSchedule {
    host: HostId,
    row: ScheduleRow,
    look: Look,
}

impl Fleet {
    /// Runs what is due: schedules first, then what waits. Costs what is due, not what there is.
    pub async fn tick(&self) {
        if let Err(error) = self.run_due().await {
            tracing::error!(%error, "due backups could not be looked through");
        }
        if let Err(error) = self.drain_due().await {
            tracing::error!(%error, "backups that wait could not be looked through");
        }
    }

    /// When the next tick has something to do; `None` = not by the clock.
    pub fn next_tick_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let view = self.view()?;
        let schedule = view.keys(&SCHEDULES_DUE, &Span::ALL, 1)?.first().map(|(at, _, _)| Timestamp(*at));
        let run = view.keys(&PENDING_DUE, &Span::ALL, 1)?.first().map(|(at, _)| Timestamp(*at));
        Ok(schedule.into_iter().chain(run).min())
    }

    async fn run_due(&self) -> Result<(), Refused> {
        let context = self.context();
        let now = context.now();
        if context.clock_was_set_back(now) {
            self.write(move |tx| Ok(begin_anew(tx, now)?)).await?;
        }
        let view = self.view()?;
        let due = look_at_due(&view, now)?;
        drop(view);
        for part in due.chunks(AT_ONCE) {
            let (context, part) = (context.clone(), part.to_vec());
            self.write(move |tx| part.iter().try_for_each(|due| run(&context, tx, due, now))).await?;
        }
        Ok(())
    }
}

/// What is due by the index. Looked at outside the writer: cron arithmetic is not for its thread.
fn look_at_due(reads: &impl Reads, now: Timestamp) -> Result<Vec<DueSchedule>, StoreError> {
    let span = Span::ALL.before(&(now.0 + 1));
    let mut found = Vec::new();
    for (_, host, name) in reads.keys(&SCHEDULES_DUE, &span, usize::MAX)? {
        let Some(row) = reads.get(&SCHEDULES, &(host, name))? else { continue };
        let look = look(host, &row, now);
        found.push(DueSchedule { host, row, look });
    }
    Ok(found)
}

fn look(host: HostId, row: &ScheduleRow, now: Timestamp) -> Look {
    match cron_of(&row.schedule) {
        Ok(cron) => due::due(&cron, row.handled_at, row.delay_ms(host), now),
        // Its time zone is not known any more on this machine. It stays on and shows that it has no next time.
        Err(error) => {
            tracing::error!(%host, schedule = row.schedule.name, %error, "a schedule can't be read any more");
            Look { occurred: None, handled_at: row.handled_at, next_due_at: None }
        }
    }
}

/// Moves the mark, writes the runs, hands over what can be: together or not at all.
fn run(context: &Context, tx: &mut Tx<'_>, due: &DueSchedule, now: Timestamp) -> Result<(), Refused> {
    let DueSchedule { host, row, look } = due;
    let host = *host;
    // It was changed since it was looked at: the next tick looks again.
    if tx.get(&SCHEDULES, &(host, row.schedule.name.clone()))?.as_ref() != Some(row) {
        return Ok(());
    }
    let after = ScheduleRow { handled_at: look.handled_at, next_due_at: look.next_due_at, ..row.clone() };
    put(tx, host, Some(row), &after)?;
    let Some(occurred) = look.occurred else { return Ok(()) };
    let known = pending::of_host(tx, host)?;
    for group in &row.schedule.groups {
        let before = known.iter().find(|run| run.schedule == row.schedule.name && run.group == *group);
        let run = match before {
            Some(run) => PendingRun { missed: run.missed.saturating_add(occurred.count), ..run.clone() },
            None => PendingRun {
                id: PendingId::new(now, context.random()),
                host,
                schedule: row.schedule.name.clone(),
                group: group.clone(),
                due_at: occurred.first,
                missed: occurred.count,
                attempt: 0,
                next_attempt_at: Some(now),
                last_error: None,
                job: None,
                asleep: false,
            },
        };
        pending::put(tx, before, &run)?;
    }
    pending::drain::host(context, tx, host, now)
}

/// Marks that a wrong clock set are set to now, see [`due::is_from_the_future`].
pub(crate) fn begin_anew(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    for host in tx.keys(&HOSTS, &Span::ALL, usize::MAX)? {
        for before in of_host(tx, host)? {
            if !due::is_from_the_future(before.handled_at, now) {
                continue;
            }
            let cron = cron_of(&before.schedule).ok().filter(|_| before.schedule.enabled);
            let next_due_at = cron.and_then(|cron| cron.next_after(now));
            let row = ScheduleRow { handled_at: now, next_due_at, ..before.clone() };
            put(tx, host, Some(&before), &row)?;
        }
    }
    Ok(())
}
