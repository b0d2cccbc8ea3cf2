//! The tick: what is due becomes pending runs, and what can be handed over is.

use super::due::{self, DueNow};
use super::row::{begin_anew, cron_of, put};
use crate::clock::{self, Clock};
use crate::fleet::Fleet;
use crate::op::Op;
use crate::pending;
use crate::record::{PendingRun, ScheduleRow};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{PENDING_DUE, Reads, SCHEDULES, SCHEDULES_DUE, Span};
use crate::unplanned;
use schema::{HostId, PendingId, Timestamp};

/// Schedules that are dealt with in one operation, so that a thousand that are due in the same second don't keep
/// everybody else waiting.
const AT_ONCE: usize = 25;

/// A schedule that is due, as it was looked at.
#[derive(Clone)]
struct DueSchedule {
    host: HostId,
    row: ScheduleRow,
    look: DueNow,
}

impl Fleet {
    /// Runs what is due: schedules first, then what waits. Costs what is due, not what there is.
    ///
    /// `false` = something failed and is due still: try again later, not at once. One host that can't be written
    /// keeps no other from its backup.
    pub async fn tick(&self) -> bool {
        // Nothing is begun of which nothing can be written down.
        if self.only_reads() {
            return true;
        }
        if let Err(error) = self.review_plans().await {
            tracing::error!(%error, "the plans of hosts could not be looked through");
        }
        let ran = self.run_due().await.unwrap_or_else(|error| {
            tracing::error!(%error, "due backups could not be looked through");
            false
        });
        let drained = self.drain_due().await.unwrap_or_else(|error| {
            tracing::error!(%error, "backups that wait could not be looked through");
            false
        });
        ran && drained
    }

    /// When the next tick has something to do; `None` = not by the clock.
    pub fn next_tick_at(&self) -> Result<Option<Timestamp>, StoreError> {
        if self.only_reads() {
            return Ok(None);
        }
        let view = self.view()?;
        let schedule = view.keys(&SCHEDULES_DUE, &Span::ALL, 1)?.first().map(|(at, _, _)| Timestamp(*at));
        let run = view.keys(&PENDING_DUE, &Span::ALL, 1)?.first().map(|(at, _)| Timestamp(*at));
        Ok(schedule.into_iter().chain(run).min())
    }

    async fn run_due(&self) -> Result<bool, Refused> {
        let context = self.context();
        let now = context.now();
        if context.clock_was_set_back(now) {
            let begun =
                self.write(By::system(), move |op| Ok(begin_anew(op, Clock { now, since: now })?)).await;
            told(&begun);
        }
        if let Some(clock) = context.believed_clock(now)
            && told(&self.write(By::system(), move |op| Ok(clock::mend(op, clock)?)).await)
        {
            context.clock_was_mended(clock);
        }
        let view = self.view()?;
        let due = look_at_due(&view, now)?;
        drop(view);
        let mut is_well = true;
        for part in due.chunks(AT_ONCE) {
            if self.run_part(part).await.is_ok() {
                continue;
            }
            for due in part {
                if let Err(error) = self.run_part(std::slice::from_ref(due)).await {
                    let (host, schedule) = (due.host, &due.row.schedule.name);
                    tracing::error!(%host, schedule, %error, "a due backup could not be written");
                    is_well = false;
                }
            }
        }
        Ok(is_well)
    }

    async fn run_part(&self, part: &[DueSchedule]) -> Result<(), Refused> {
        let part = part.to_vec();
        self.write(By::system(), move |op| part.iter().try_for_each(|due| run(op, due))).await
    }
}

/// What a wrong clock left and can't be mended keeps nobody from a backup: it is tried again at the next tick.
fn told<T>(mended: &Result<T, Refused>) -> bool {
    if let Err(error) = mended {
        tracing::error!(%error, "what a wrong clock left could not be mended");
    }
    mended.is_ok()
}

/// What is due by the index. Looked at outside the writer: cron arithmetic is not for its thread.
fn look_at_due(reads: &impl Reads, now: Timestamp) -> Result<Vec<DueSchedule>, StoreError> {
    let span = Span::ALL.before(&(now.0 + 1));
    let mut found = Vec::new();
    for (_, host, name) in reads.keys(&SCHEDULES_DUE, &span, usize::MAX)? {
        let row = match reads.get(&SCHEDULES, &(host, name)) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            // It keeps no other from its backup, and its host says so.
            Err(error @ StoreError::Row { .. }) => {
                tracing::error!(%host, %error, "a schedule can't be read");
                continue;
            }
            Err(error) => return Err(error),
        };
        let look = look(host, &row, now);
        found.push(DueSchedule { host, row, look });
    }
    Ok(found)
}

fn look(host: HostId, row: &ScheduleRow, now: Timestamp) -> DueNow {
    match cron_of(&row.schedule) {
        Ok(cron) => due::due(&cron, row.handled_at, row.delay_ms(host), now),
        // Its time zone is not known any more on this machine. It stays on and shows that it has no next time.
        Err(error) => {
            tracing::error!(%host, schedule = row.schedule.name, %error, "a schedule can't be read any more");
            DueNow { occurred: None, handled_at: row.handled_at, next_due_at: None }
        }
    }
}

/// What of one schedule is due becomes pending runs, without waiting for the tick.
pub(crate) fn note_due(op: &mut Op<'_, '_>, host: HostId, name: &str) -> Result<(), Refused> {
    let Some(row) = op.tx.get(&SCHEDULES, &(host, name.to_owned()))? else { return Ok(()) };
    if !row.schedule.enabled {
        return Ok(());
    }
    let look = look(host, &row, op.now);
    run(op, &DueSchedule { host, row, look })
}

/// Moves the mark, writes the runs, hands over what can be: together or not at all.
fn run(op: &mut Op<'_, '_>, due: &DueSchedule) -> Result<(), Refused> {
    let DueSchedule { host, row, look } = due;
    let host = *host;
    // It was changed since it was looked at: the next tick looks again.
    if op.tx.get(&SCHEDULES, &(host, row.schedule.name.clone()))?.as_ref() != Some(row) {
        return Ok(());
    }
    let after = ScheduleRow { handled_at: look.handled_at, next_due_at: look.next_due_at, ..row.clone() };
    put(op, host, Some(row), &after)?;
    if look.next_due_at.is_none() {
        unplanned::review(op, host)?;
    }
    let Some(occurred) = look.occurred else { return Ok(()) };
    let known = pending::of_host(op.tx, host)?;
    for group in &row.schedule.groups {
        let before = known.iter().find(|run| run.schedule == row.schedule.name && run.group == *group);
        let run = match before {
            Some(run) => PendingRun {
                last_due_at: run.last_due_at.max(occurred.last),
                missed: run.missed.saturating_add(occurred.count),
                ..run.clone()
            },
            None => PendingRun {
                id: PendingId::new(op.now, op.facts.random()),
                host,
                schedule: row.schedule.name.clone(),
                group: group.clone(),
                due_at: occurred.first,
                last_due_at: occurred.last,
                missed: occurred.count,
                attempt: 0,
                next_attempt_at: Some(op.now),
                last_error: None,
                job: None,
                asleep: false,
            },
        };
        pending::put(op.tx, before, &run)?;
    }
    pending::drain::host(op, host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::By;
    use crate::link::Link;
    use crate::record::{CredentialsInput, Group, Presence, Schedule, Secret};
    use crate::settings::{Driver, Settings};
    use crate::store::{LINKS, PRESENCES};
    use schema::{InstallationId, Slot, TokenId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A host with a schedule of each minute.
    async fn host(fleet: &Fleet, name: &str) -> HostId {
        let by = By::system;
        let host = fleet.create_host(name, vec![], by()).await.unwrap().0.id;
        let password = Some(Secret::new("repo-password"));
        let credentials =
            CredentialsInput { url: "/srv/repo".into(), repo_password: password, ..Default::default() };
        fleet.put_credentials(host, Slot::Repo, credentials, by()).await.unwrap();
        let group = Group { name: "etc".into(), includes: vec!["/etc".into()], ..Group::default() };
        fleet.put_group(host, None, group, by()).await.unwrap();
        let schedule = Schedule {
            name: "often".into(),
            cron: "* * * * *".into(),
            timezone: "UTC".into(),
            groups: vec!["etc".into()],
            enabled: true,
            ..Schedule::default()
        };
        fleet.put_schedule(host, None, schedule, by()).await.unwrap();
        host
    }

    #[tokio::test]
    async fn a_host_that_cant_be_written_keeps_no_other_from_its_backup() {
        let now = Arc::new(AtomicU64::new(1_700_000_000_000));
        let clock = now.clone();
        let dice = AtomicU64::new(1);
        let driver = Driver {
            now: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
            random: Arc::new(move |bytes| {
                for byte in bytes {
                    *byte = (dice.fetch_add(0x9E37_79B9, Ordering::SeqCst) >> 16) as u8;
                }
            }),
        };
        let settings = Settings::for_tests();
        let fleet = Fleet::in_memory(settings, driver).unwrap();
        let broken = host(&fleet, "broken").await;
        let other = host(&fleet, "other").await;
        fleet
            .write(By::system(), move |op| {
                let link = Link {
                    key_id: 1,
                    sealed_key: vec![0; 48],
                    password_sha256: [0; 32],
                    token: TokenId([0; 16]),
                    installation: InstallationId([0; 16]),
                };
                op.tx.put(&LINKS, &broken, &link)?;
                Ok(op.tx.put(&PRESENCES, &broken, &Presence { online: true, ..Presence::default() })?)
            })
            .await
            .unwrap();
        now.fetch_add(60_000, Ordering::SeqCst);
        assert!(!fleet.tick().await, "it is due still");
        let waiting = fleet.read().unwrap().pending(&crate::Page::default()).unwrap().items;
        assert_eq!(waiting.iter().map(|run| run.host).collect::<Vec<_>>(), [other]);
    }
}
