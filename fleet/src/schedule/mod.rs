//! Schedules: what is backed up when, by itself; and the tick that sees that they are due.

pub(crate) mod due;
mod row;
pub(crate) mod tick;
mod upcoming;

#[cfg(feature = "seed")]
pub(crate) use row::sum_up;
pub(crate) use row::{begin_anew, has_unlisted, list_again, occurred, of_host, plans_changed};
pub(crate) use upcoming::upcoming;
pub use upcoming::{MOST_TIMES_A_DAY, Upcoming, UpcomingList};

use crate::audit;
use crate::fleet::Fleet;
use crate::hosts;
use crate::link::plan;
use crate::op::Op;
use crate::pending;
use crate::record::{AuditAction, Schedule, ScheduleRow};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{GROUPS, Reads, SCHEDULES, Span, Tx};
use cron::{Cron, CronError};
use row::{cron_of, put, remove, unlist};
use schema::HostId;

/// The most schedules of one host.
const MAX_SCHEDULES: usize = 32;
/// The most tries that make sense: half an hour apart, they are two weeks.
const MAX_RETRIES: u16 = 1_000;
/// The widest jitter: within a day.
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
        let old_name = old_name.map(str::to_owned);
        self.write(by, move |op| {
            hosts::find(op.tx, host)?;
            let before = match &old_name {
                None => None,
                Some(old) => {
                    Some(op.tx.get(&SCHEDULES, &(host, old.clone()))?.ok_or(Refused::ScheduleNotFound)?)
                }
            };
            let cron = check(op.tx, host, &schedule)?;
            let key = (host, schedule.name.clone());
            let is_new_name = before.as_ref().is_none_or(|before| before.schedule.name != schedule.name);
            if is_new_name && op.tx.has(&SCHEDULES, &key)? {
                return Err(Refused::NameTaken { name: schedule.name.clone() });
            }
            if before.is_none()
                && op.tx.keys(&SCHEDULES, &Span::under(&host), MAX_SCHEDULES)?.len() == MAX_SCHEDULES
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
            let handled_at = goes_on.map_or(op.now, |before| before.handled_at);
            let next_due_at = if schedule.enabled { cron.next_after(handled_at) } else { None };
            let longest_ms = due::longest_ms(&cron, op.now);
            let row = ScheduleRow { schedule: schedule.clone(), handled_at, next_due_at, longest_ms };
            put(op, host, before.as_ref(), &row)?;
            plan::changed(op.tx, host)?;
            if let Some(before) = &before {
                let (old, new) = (&before.schedule.name, &schedule.name);
                pending::change_all(op.tx, host, |run| {
                    if run.schedule == *old {
                        run.schedule.clone_from(new);
                        run.asleep = !schedule.enabled;
                    }
                })?;
                // Runs of groups that it no longer names are given up; those that slept may be due.
                pending::drain::host(op, host)?;
            }
            let action =
                if before.is_some() { AuditAction::ScheduleChanged } else { AuditAction::ScheduleCreated };
            let target = hosts::target(op.tx, host)?;
            audit::note(op, action, target, detail(&schedule))?;
            Ok(schedule.clone())
        })
        .await
    }

    /// Deletes a schedule. Backups that wait because of it are given up; one that runs goes on.
    pub async fn delete_schedule(&self, host: HostId, name: &str, by: By) -> Result<(), Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            hosts::find(op.tx, host)?;
            let before = op.tx.get(&SCHEDULES, &(host, name.clone()))?.ok_or(Refused::ScheduleNotFound)?;
            remove(op, host, &before)?;
            plan::changed(op.tx, host)?;
            let target = hosts::target(op.tx, host)?;
            audit::note(op, AuditAction::ScheduleDeleted, target, name.clone())?;
            pending::drain::host(op, host)
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
pub(crate) fn group_renamed(
    op: &mut Op<'_, '_>,
    host: HostId,
    old: &str,
    new: &str,
) -> Result<(), StoreError> {
    for before in of_host(op.tx, host)? {
        let mut row = before.clone();
        row.schedule.groups.iter_mut().filter(|group| *group == old).for_each(|group| new.clone_into(group));
        if row != before {
            put(op, host, Some(&before), &row)?;
        }
    }
    pending::change_all(op.tx, host, |run| {
        if run.group == old {
            new.clone_into(&mut run.group);
        }
    })
}

/// A source group is gone: schedules name it no longer, one that names no other is off, and what waits is given up.
pub(crate) fn group_deleted(op: &mut Op<'_, '_>, host: HostId, group: &str) -> Result<(), Refused> {
    for before in of_host(op.tx, host)? {
        let mut row = before.clone();
        row.schedule.groups.retain(|known| known != group);
        if row.schedule.groups.is_empty() {
            row.schedule.enabled = false;
            row.next_due_at = None;
        }
        if row != before {
            put(op, host, Some(&before), &row)?;
        }
    }
    pending::drain::host(op, host)
}

/// The host is deleted.
pub(crate) fn host_deleted(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    for row in of_host(tx, host)? {
        unlist(tx, host, &row)?;
    }
    Ok(())
}
