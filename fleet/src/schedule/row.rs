//! The rows of schedules, and the index of what is due.

use super::due;
use crate::change::Changed;
use crate::clock::Clock;
use crate::hosts;
use crate::op::Op;
use crate::record::{Group, Schedule, ScheduleRow, Summary};
use crate::refused::StoreError;
use crate::store::{GROUPS, HOSTS, Reads, SCHEDULES, SCHEDULES_DUE, Span, Tx};
use crate::units::DAY_MS;
use crate::unplanned;
use cron::{Cron, CronError};
use schema::{HostId, Timestamp};

/// How much older than its schedule wants a good backup may be: one may take long, or have been tried again.
const SPARE_MS: u64 = DAY_MS;

impl ScheduleRow {
    pub(super) fn delay_ms(&self, host: HostId) -> u64 {
        cron::delay_ms(host, &self.schedule.name, self.schedule.jitter_secs)
    }

    /// When it is to run next.
    pub(crate) fn runs_at(&self, host: HostId) -> Option<Timestamp> {
        self.next_due_at.map(|at| at.plus_ms(self.delay_ms(host)))
    }
}

pub(super) fn cron_of(schedule: &Schedule) -> Result<Cron, CronError> {
    Cron::parse(&schedule.cron, &schedule.timezone)
}

/// The occurrences of a schedule after one instant and up to another; `None` = there are none, or it is gone.
pub(crate) fn occurred(
    reads: &impl Reads,
    (host, name): (HostId, &str),
    after: Timestamp,
    until: Timestamp,
) -> Result<Option<due::Occurred>, StoreError> {
    let row = reads.get(&SCHEDULES, &(host, name.to_owned()))?;
    let cron = row.and_then(|row| cron_of(&row.schedule).ok());
    Ok(cron.and_then(|cron| due::due(&cron, after, 0, until).occurred))
}

/// Writes a row, its index, and what the host's summary says of it.
pub(super) fn put(
    op: &mut Op<'_, '_>,
    host: HostId,
    before: Option<&ScheduleRow>,
    row: &ScheduleRow,
) -> Result<(), StoreError> {
    if let Some(before) = before {
        unlist(op.tx, host, before)?;
    }
    let name = row.schedule.name.clone();
    op.tx.put(&SCHEDULES, &(host, name.clone()), row)?;
    if let Some(at) = row.runs_at(host) {
        op.tx.put(&SCHEDULES_DUE, &(at.0, host, name), &())?;
    }
    told(op, host)
}

pub(super) fn remove(op: &mut Op<'_, '_>, host: HostId, row: &ScheduleRow) -> Result<(), StoreError> {
    unlist(op.tx, host, row)?;
    told(op, host)
}

pub(super) fn unlist(tx: &mut Tx<'_>, host: HostId, row: &ScheduleRow) -> Result<(), StoreError> {
    let name = row.schedule.name.clone();
    if let Some(at) = row.runs_at(host) {
        tx.remove(&SCHEDULES_DUE, &(at.0, host, name.clone()))?;
    }
    tx.remove(&SCHEDULES, &(host, name)).map(|_| ())
}

/// A host's schedules, by name.
pub(crate) fn of_host(reads: &impl Reads, host: HostId) -> Result<Vec<ScheduleRow>, StoreError> {
    Ok(reads.rows(&SCHEDULES, &Span::under(&host))?.into_iter().map(|(_, row)| row).collect())
}

/// Whether a schedule that is on has no next time although there is one: what it lacked is there again.
pub(crate) fn has_unlisted(reads: &impl Reads, host: HostId) -> Result<bool, StoreError> {
    match of_host(reads, host) {
        Ok(rows) => Ok(rows.iter().any(|row| relisted(row).is_some())),
        Err(StoreError::Row { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives such schedules their next time. What came due meanwhile runs once.
pub(crate) fn list_again(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    if !has_unlisted(op.tx, host)? {
        return Ok(());
    }
    for before in of_host(op.tx, host)? {
        if let Some(after) = relisted(&before) {
            put(op, host, Some(&before), &after)?;
        }
    }
    Ok(())
}

pub(super) fn relisted(row: &ScheduleRow) -> Option<ScheduleRow> {
    if !row.schedule.enabled || row.next_due_at.is_some() {
        return None;
    }
    let next_due_at = cron_of(&row.schedule).ok()?.next_after(row.handled_at)?;
    Some(ScheduleRow { next_due_at: Some(next_due_at), ..row.clone() })
}

/// Marks that a wrong clock set are set to when it came back, see [`due::is_from_the_future`].
pub(crate) fn begin_anew(op: &mut Op<'_, '_>, Clock { now, since }: Clock) -> Result<(), StoreError> {
    for host in op.tx.keys(&HOSTS, &Span::ALL, usize::MAX)? {
        let rows = match of_host(op.tx, host) {
            // Its host says that they can't be read.
            Err(StoreError::Row { .. }) => continue,
            rows => rows?,
        };
        for before in rows {
            if !due::is_from_the_future(before.handled_at, now) {
                continue;
            }
            let cron = cron_of(&before.schedule).ok().filter(|_| before.schedule.enabled);
            let next_due_at = cron.and_then(|cron| cron.next_after(since));
            let row = ScheduleRow { handled_at: since, next_due_at, ..before.clone() };
            put(op, host, Some(&before), &row)?;
        }
    }
    Ok(())
}

/// What a host's summary says of its schedules, and of what is backed up by hand.
pub(crate) fn sum_up(summary: &mut Summary, host: HostId, schedules: &[ScheduleRow], groups: &[Group]) {
    summary.next_run_at = schedules.iter().filter_map(|row| row.runs_at(host)).min();
    for known in &mut summary.groups {
        let runs = |row: &&ScheduleRow| row.schedule.enabled && row.schedule.groups.contains(&known.name);
        let wanted = schedules.iter().filter(runs).map(|row| row.longest_ms + SPARE_MS).min();
        let by_hand = groups.iter().find(|group| group.name == known.name).map(|group| group.by_hand_days);
        let by_hand = by_hand.filter(|days| *days > 0).map(|days| u64::from(days) * DAY_MS);
        known.old_after_ms = wanted.or(by_hand);
    }
}

/// Brings the summary of a host up to date with its schedules and groups.
pub(crate) fn plans_changed(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    let rows = match of_host(tx, host) {
        // Its host says that they can't be read.
        Err(StoreError::Row { .. }) => return Ok(()),
        rows => rows?,
    };
    let groups: Vec<Group> =
        tx.rows(&GROUPS, &Span::under(&host))?.into_iter().map(|(_, group)| group).collect();
    hosts::change_summary(tx, host, |summary| sum_up(summary, host, &rows, &groups))
}

fn told(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    plans_changed(op.tx, host)?;
    op.tx.effects.changed(Changed::Schedules(host));
    unplanned::plan_changed(op, host)
}
