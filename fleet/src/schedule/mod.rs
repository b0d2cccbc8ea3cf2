//! Schedules: what is backed up when, by itself; and the tick that sees that they are due.

pub(crate) mod due;
pub(crate) mod tick;

pub(crate) use tick::begin_anew;

use crate::audit;
use crate::change::Changed;
use crate::context::Context;
use crate::fleet::Fleet;
use crate::hosts;
use crate::link::plan;
use crate::pending;
use crate::record::Schedule;
use crate::record::ScheduleRow;
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{GROUPS, Reads, SCHEDULES, SCHEDULES_DUE, Span, Tx};
use crate::unplanned;
use cron::{Cron, CronError};
use schema::{HostId, Timestamp};

/// The most schedules of one host.
const MAX_SCHEDULES: usize = 32;
/// The most tries that make sense: half an hour apart, they are two weeks.
const MAX_RETRIES: u16 = 1_000;
/// How much older than its schedule wants a good backup may be: one may take long, or have been tried again.
const SPARE_MS: u64 = 86_400_000;
/// The widest spread: within a day.
const MAX_JITTER_SECS: u32 = 86_400;

impl ScheduleRow {
    fn delay_ms(&self, host: HostId) -> u64 {
        cron::delay_ms(host, &self.schedule.name, self.schedule.jitter_secs)
    }

    /// When it is to run next.
    pub(crate) fn runs_at(&self, host: HostId) -> Option<Timestamp> {
        self.next_due_at.map(|at| at.plus_ms(self.delay_ms(host)))
    }
}

impl Fleet {
    /// Creates a schedule (`old_name` is `None`), or changes the one that is called `old_name`.
    ///
    /// A schedule that is new, has other times, or was off begins now: what would have been due before is no
    /// occurrence of it.
    pub async fn put_schedule(
        &self,
        host: HostId,
        old_name: Option<&str>,
        schedule: Schedule,
        by: By,
    ) -> Result<Schedule, Refused> {
        let (context, old_name) = (self.context(), old_name.map(str::to_owned));
        self.write(move |tx| {
            let now = context.now();
            hosts::find(tx, host)?;
            let before = match &old_name {
                None => None,
                Some(old) => {
                    Some(tx.get(&SCHEDULES, &(host, old.clone()))?.ok_or(Refused::ScheduleNotFound)?)
                }
            };
            let cron = check(tx, host, &schedule)?;
            let key = (host, schedule.name.clone());
            let is_new_name = before.as_ref().is_none_or(|before| before.schedule.name != schedule.name);
            if is_new_name && tx.has(&SCHEDULES, &key)? {
                return Err(Refused::NameTaken { name: schedule.name.clone() });
            }
            if before.is_none()
                && tx.keys(&SCHEDULES, &Span::under(&host), MAX_SCHEDULES)?.len() == MAX_SCHEDULES
            {
                return Err(Refused::invalid(
                    "name",
                    format!("a host has at most {MAX_SCHEDULES} schedules"),
                ));
            }
            if before.as_ref().is_some_and(|before| before.schedule == schedule) {
                return Ok(schedule.clone());
            }
            let goes_on = before.as_ref().filter(|before| {
                let old = &before.schedule;
                old.enabled && old.cron == schedule.cron && old.timezone == schedule.timezone
            });
            let handled_at = goes_on.map_or(now, |before| before.handled_at);
            let next_due_at = if schedule.enabled { cron.next_after(handled_at) } else { None };
            let longest_ms = due::longest_ms(&cron, now);
            let row = ScheduleRow { schedule: schedule.clone(), handled_at, next_due_at, longest_ms };
            put(tx, host, before.as_ref(), &row)?;
            plan::changed(tx, host)?;
            if let Some(before) = &before {
                let (old, new) = (&before.schedule.name, &schedule.name);
                pending::change_all(tx, host, |run| {
                    if run.schedule == *old {
                        run.schedule.clone_from(new);
                        run.asleep = !schedule.enabled;
                    }
                })?;
                // Runs of groups that it no longer names are given up; those that slept may be due.
                pending::drain::host(&context, tx, host, now)?;
            }
            let action = if before.is_some() { "schedule.changed" } else { "schedule.created" };
            let target = hosts::target(tx, host)?;
            audit::note(tx, now, &by, action, target, detail(&schedule))?;
            Ok(schedule.clone())
        })
        .await
    }

    /// Deletes a schedule. Backups that wait because of it are given up; one that runs goes on.
    pub async fn delete_schedule(&self, host: HostId, name: &str, by: By) -> Result<(), Refused> {
        let (context, name) = (self.context(), name.to_owned());
        self.write(move |tx| {
            let now = context.now();
            hosts::find(tx, host)?;
            let before = tx.get(&SCHEDULES, &(host, name.clone()))?.ok_or(Refused::ScheduleNotFound)?;
            remove(tx, host, &before)?;
            plan::changed(tx, host)?;
            let target = hosts::target(tx, host)?;
            audit::note(tx, now, &by, "schedule.deleted", target, name.clone())?;
            pending::drain::host(&context, tx, host, now)
        })
        .await
    }
}

fn detail(schedule: &Schedule) -> String {
    let state = if schedule.enabled { "" } else { ", off" };
    let Schedule { name, cron, timezone, groups, .. } = schedule;
    format!("{name}: {cron} {timezone}, {}{state}", groups.join(", "))
}

/// Whether a schedule can be used; its times.
fn check(reads: &impl Reads, host: HostId, schedule: &Schedule) -> Result<Cron, Refused> {
    hosts::check_name(&schedule.name)?;
    let cron = cron_of(schedule).map_err(|error| match error {
        CronError::Cron(why) => Refused::invalid("cron", why),
        CronError::TimeZone(why) => Refused::invalid("timezone", why),
    })?;
    if schedule.groups.is_empty() {
        return Err(Refused::invalid("groups", "choose at least one source group"));
    }
    for (place, group) in schedule.groups.iter().enumerate() {
        if !reads.has(&GROUPS, &(host, group.clone()))? {
            let message = format!("the host has no source group {group:?}");
            return Err(Refused::invalid("groups", message));
        }
        if schedule.groups[..place].contains(group) {
            return Err(Refused::invalid("groups", format!("the source group {group} is named twice")));
        }
    }
    if schedule.retry_max > MAX_RETRIES {
        return Err(Refused::invalid("retry_max", format!("at most {MAX_RETRIES} retries make sense")));
    }
    if schedule.jitter_secs > MAX_JITTER_SECS {
        let message = format!("at most {MAX_JITTER_SECS} seconds, which is a day");
        return Err(Refused::invalid("jitter_secs", message));
    }
    Ok(cron)
}

fn cron_of(schedule: &Schedule) -> Result<Cron, CronError> {
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
fn put(
    tx: &mut Tx<'_>,
    host: HostId,
    before: Option<&ScheduleRow>,
    row: &ScheduleRow,
) -> Result<(), StoreError> {
    if let Some(before) = before {
        unlist(tx, host, before)?;
    }
    let name = row.schedule.name.clone();
    tx.put(&SCHEDULES, &(host, name.clone()), row)?;
    if let Some(at) = row.runs_at(host) {
        tx.put(&SCHEDULES_DUE, &(at.0, host, name), &())?;
    }
    told(tx, host)
}

fn remove(tx: &mut Tx<'_>, host: HostId, row: &ScheduleRow) -> Result<(), StoreError> {
    unlist(tx, host, row)?;
    told(tx, host)
}

fn unlist(tx: &mut Tx<'_>, host: HostId, row: &ScheduleRow) -> Result<(), StoreError> {
    let name = row.schedule.name.clone();
    if let Some(at) = row.runs_at(host) {
        tx.remove(&SCHEDULES_DUE, &(at.0, host, name.clone()))?;
    }
    tx.remove(&SCHEDULES, &(host, name)).map(|_| ())
}

fn told(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    let rows = of_host(tx, host)?;
    hosts::change_summary(tx, host, |summary| {
        summary.next_run_at = rows.iter().filter_map(|row| row.runs_at(host)).min();
        for group in &mut summary.groups {
            let runs = |row: &&ScheduleRow| row.schedule.enabled && row.schedule.groups.contains(&group.name);
            group.old_after_ms = rows.iter().filter(runs).map(|row| row.longest_ms + SPARE_MS).min();
        }
    })?;
    tx.effects.changed(Changed::Schedules(host));
    unplanned::plan_changed(tx, host)
}

/// A host's schedules, by name.
pub(crate) fn of_host(reads: &impl Reads, host: HostId) -> Result<Vec<ScheduleRow>, StoreError> {
    Ok(reads.rows(&SCHEDULES, &Span::under(&host))?.into_iter().map(|(_, row)| row).collect())
}

/// A source group has another name.
pub(crate) fn group_renamed(tx: &mut Tx<'_>, host: HostId, old: &str, new: &str) -> Result<(), StoreError> {
    for before in of_host(tx, host)? {
        let mut row = before.clone();
        row.schedule.groups.iter_mut().filter(|group| *group == old).for_each(|group| new.clone_into(group));
        if row != before {
            put(tx, host, Some(&before), &row)?;
        }
    }
    pending::change_all(tx, host, |run| {
        if run.group == old {
            new.clone_into(&mut run.group);
        }
    })
}

/// A source group is gone: schedules name it no longer, one that names no other is off, and what waits is given up.
pub(crate) fn group_deleted(
    context: &Context,
    tx: &mut Tx<'_>,
    host: HostId,
    group: &str,
    now: Timestamp,
) -> Result<(), Refused> {
    for before in of_host(tx, host)? {
        let mut row = before.clone();
        row.schedule.groups.retain(|known| known != group);
        if row.schedule.groups.is_empty() {
            row.schedule.enabled = false;
            row.next_due_at = None;
        }
        if row != before {
            put(tx, host, Some(&before), &row)?;
        }
    }
    pending::drain::host(context, tx, host, now)
}

/// The host is deleted.
pub(crate) fn host_deleted(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    for row in of_host(tx, host)? {
        unlist(tx, host, &row)?;
    }
    Ok(())
}
