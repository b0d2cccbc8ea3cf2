//! Schedules: what is backed up when, by itself; and the tick that sees that they are due.

pub(crate) mod due;
mod row;
pub(crate) mod tick;

pub(crate) use row::{begin_anew, has_unlisted, list_again, occurred, of_host};

use crate::audit;
use crate::context::Context;
use crate::fleet::Fleet;
use crate::hosts;
use crate::link::plan;
use crate::pending;
use crate::record::{AuditAction, Schedule, ScheduleRow};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{GROUPS, Reads, SCHEDULES, Span, Tx};
use cron::{Cron, CronError};
use row::{cron_of, put, remove, unlist};
use schema::{HostId, Timestamp};

/// The most schedules of one host.
const MAX_SCHEDULES: usize = 32;
/// The most tries that make sense: half an hour apart, they are two weeks.
const MAX_RETRIES: u16 = 1_000;
/// The widest spread: within a day.
const MAX_JITTER_SECS: u32 = 86_400;

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
            let action =
                if before.is_some() { AuditAction::ScheduleChanged } else { AuditAction::ScheduleCreated };
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
            audit::note(tx, now, &by, AuditAction::ScheduleDeleted, target, name.clone())?;
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
