//! What a host's plans need and no longer find: a time zone that the machine has given up, a source group that is gone,
//! an expression or a row that can't be read. Then nothing runs where something should, and no clock will mend it: the
//! host needs somebody, and says why.
//!
//! Looked for at the start, each hour, and wherever a plan is changed.

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::hosts;
use crate::op::Op;
use crate::record::{AuditAction, Every, UNREADABLE_SCHEDULES, Unplanned};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::schedule;
use crate::store::{GROUPS, HOSTS, MAINTENANCE, Reads, SUMMARIES, Span};
use cron::{Cron, CronError};
use schema::HostId;
use std::fmt;

/// How often all hosts are looked through.
const EVERY_MS: u64 = 3_600_000;

impl fmt::Display for Unplanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeZone { schedule, timezone } => {
                write!(f, "The time zone {timezone} of the schedule {schedule} is not known any more")
            }
            Self::Cron { schedule } => write!(f, "The schedule {schedule} can't be read any more"),
            Self::Group { schedule, group } if group.is_empty() => {
                write!(f, "The schedule {schedule} names no source group")
            }
            Self::Group { schedule, group } => {
                write!(f, "The source group {group} of the schedule {schedule} is gone")
            }
            Self::Unreadable { what } => write!(f, "Its {what} can't be read"),
            Self::MaintenanceTimeZone { timezone } => {
                write!(f, "The time zone {timezone} of its maintenance is not known any more")
            }
            Self::MaintenanceCron { text } => {
                write!(f, "The time {text} of its maintenance can't be read any more")
            }
        }
    }
}

/// What a host's plans lack; the first thing that is found.
fn look(reads: &impl Reads, host: HostId) -> Result<Option<Unplanned>, StoreError> {
    let unreadable = |what: &str| Ok(Some(Unplanned::Unreadable { what: what.to_owned() }));
    let rows = match schedule::of_host(reads, host) {
        Ok(rows) => rows,
        Err(StoreError::Row { .. }) => return unreadable(UNREADABLE_SCHEDULES),
        Err(error) => return Err(error),
    };
    for row in rows.into_iter().filter(|row| row.schedule.enabled) {
        let of = row.schedule;
        match Cron::parse(&of.cron, &of.timezone) {
            Ok(_) => {}
            Err(CronError::TimeZone(_)) => {
                return Ok(Some(Unplanned::TimeZone { schedule: of.name, timezone: of.timezone }));
            }
            Err(CronError::Cron(_)) => return Ok(Some(Unplanned::Cron { schedule: of.name })),
        }
        if of.groups.is_empty() {
            return Ok(Some(Unplanned::Group { schedule: of.name, group: String::new() }));
        }
        for group in of.groups {
            if !reads.has(&GROUPS, &(host, group.clone()))? {
                return Ok(Some(Unplanned::Group { schedule: of.name, group }));
            }
        }
    }
    let settings = match reads.get(&MAINTENANCE, &host) {
        Ok(settings) => settings,
        Err(StoreError::Row { .. }) => return unreadable("maintenance settings"),
        Err(error) => return Err(error),
    };
    // Without settings it goes by the server's own time zone.
    let Some(settings) = settings else { return Ok(None) };
    let rules = [&settings.forget, &settings.prune, &settings.check, &settings.drill];
    if rules.iter().all(|rule| !rule.enabled) {
        return Ok(None);
    }
    if !cron::is_timezone(&settings.timezone) {
        return Ok(Some(Unplanned::MaintenanceTimeZone { timezone: settings.timezone }));
    }
    let unread = rules.into_iter().filter(|rule| rule.enabled).find_map(|rule| match &rule.every {
        Every::Cron(text) => Cron::parse(text, &settings.timezone).is_err().then(|| text.clone()),
        _ => None,
    });
    Ok(unread.map(|text| Unplanned::MaintenanceCron { text }))
}

/// Notes what a host's plans lack now: in its summary, and once in the audit.
pub(crate) fn review(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    let found = look(op.tx, host)?;
    let known = op.tx.get(&SUMMARIES, &host)?.unwrap_or_default().unplanned;
    let is_news = known.as_ref().map(|(_, what)| what) != found.as_ref();
    if !is_news {
        return Ok(());
    }
    if let Some(what) = &found {
        tracing::error!(%host, %what, "a plan can't be kept");
        let target = hosts::target(op.tx, host)?;
        audit::note(&mut op.as_by(&By::system()), AuditAction::HostUnplanned, target, what.to_string())?;
    }
    let since = known.map_or(op.now, |(since, _)| since);
    hosts::change_summary(op.tx, host, |summary| summary.unplanned = found.map(|what| (since, what)))?;
    op.tx.effects.changed(Changed::Host(host));
    Ok(())
}

/// A plan of this host was changed: what was lacking may be there now.
pub(crate) fn plan_changed(op: &mut Op<'_, '_>, host: HostId) -> Result<(), StoreError> {
    let known = op.tx.get(&SUMMARIES, &host)?.and_then(|summary| summary.unplanned);
    // Whatever a person enters is looked at before it is taken: nothing new comes up here.
    if known.is_some() { review(op, host) } else { Ok(()) }
}

impl Fleet {
    /// Looks through the plans of all hosts, once at the start and then each hour.
    pub(crate) async fn review_plans(&self) -> Result<(), Refused> {
        let context = self.context();
        let now = context.now();
        if !context.plans_are_due(now, EVERY_MS) {
            return Ok(());
        }
        let view = self.view()?;
        let mut changed = Vec::new();
        for host in view.keys(&HOSTS, &Span::ALL, usize::MAX)? {
            let known = view.get(&SUMMARIES, &host)?.and_then(|summary| summary.unplanned);
            let is_news = known.map(|(_, what)| what) != look(&view, host)?;
            if is_news || schedule::has_unlisted(&view, host)? {
                changed.push(host);
            }
        }
        drop(view);
        for host in changed {
            let noted = self.write(By::system(), move |op| {
                schedule::list_again(op, host)?;
                Ok(review(op, host)?)
            });
            if let Err(error) = noted.await {
                tracing::error!(%host, %error, "what its plans lack could not be noted");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Group, Maintenance, MaintenanceInput, RuleInput, Schedule};
    use crate::settings::{Driver, Settings};
    use crate::store::SCHEDULES;
    use crate::view::{AuditFilter, Page, Reason, Status};
    use schema::Timestamp;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct World {
        fleet: Fleet,
        now: Arc<AtomicU64>,
        host: HostId,
    }

    impl World {
        async fn new() -> Self {
            let now = Arc::new(AtomicU64::new(1_795_392_000_000));
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
            let host = fleet.create_host("attic", vec![], By::system()).await.unwrap().0.id;
            let group = Group { name: "etc".into(), includes: vec!["/etc".into()], ..Group::default() };
            fleet.put_group(host, None, group, By::system()).await.unwrap();
            fleet.put_schedule(host, None, nightly(), By::system()).await.unwrap();
            Self { fleet, now, host }
        }

        /// Changes the row of the schedule as no person can.
        async fn spoil(&self, change: fn(&mut Schedule)) {
            let host = self.host;
            self.fleet
                .write(By::system(), move |op| {
                    let key = (host, "nightly".to_owned());
                    let mut row = op.tx.get(&SCHEDULES, &key)?.unwrap();
                    change(&mut row.schedule);
                    Ok(op.tx.put(&SCHEDULES, &key, &row)?)
                })
                .await
                .unwrap();
        }

        async fn pass(&self, ms: u64) {
            self.now.fetch_add(ms, Ordering::SeqCst);
            self.fleet.tick().await;
        }

        fn stands(&self) -> (Status, String, bool) {
            let row = self.fleet.read().unwrap().host_row(self.host).unwrap();
            let told = match &row.reason {
                Reason::Unplanned { what, .. } => what.to_string(),
                other => other.code().to_owned(),
            };
            (row.status, told, row.needs_attention())
        }

        fn told(&self) -> usize {
            let filter = AuditFilter { action: Some("host.unplanned".into()), ..AuditFilter::default() };
            self.fleet.read().unwrap().audit(&filter, &Page::default()).unwrap().items.len()
        }
    }

    fn nightly() -> Schedule {
        Schedule {
            name: "nightly".into(),
            cron: "0 2 * * *".into(),
            timezone: "UTC".into(),
            groups: vec!["etc".into()],
            enabled: true,
            ..Schedule::default()
        }
    }

    #[tokio::test]
    async fn whatever_a_schedule_no_longer_finds_the_host_needs_somebody_until_it_is_there_again() {
        type Spoil = fn(&mut Schedule);
        let cases: [(&str, Spoil); 4] = [
            ("Moon/Base", |schedule| schedule.timezone = "Moon/Base".into()),
            ("can't be read", |schedule| schedule.cron = "never".into()),
            ("vanished", |schedule| schedule.groups.push("vanished".into())),
            ("no source group", |schedule| schedule.groups.clear()),
        ];
        for (words, spoil) in cases {
            let world = World::new().await;
            world.pass(1_000).await;
            assert!(!world.stands().1.contains(words));
            world.spoil(spoil).await;
            world.pass(EVERY_MS).await;
            let (status, reason, needs_attention) = world.stands();
            assert_eq!((status, needs_attention), (Status::Warning, true), "{words}: {reason}");
            assert!(reason.contains(words) && reason.contains("nightly"), "{words}: {reason}");
            for _ in 0..50 {
                world.pass(EVERY_MS).await;
            }
            assert_eq!(world.told(), 1, "{words}: told once");
            // It comes back by itself, as a time zone does with another upgrade.
            world.spoil(|schedule| *schedule = nightly()).await;
            world.pass(EVERY_MS).await;
            assert!(!world.stands().1.contains(words), "{words}");
            let read = world.fleet.read().unwrap();
            assert!(read.schedule(world.host, "nightly").unwrap().unwrap().next_due_at.is_some(), "{words}");
            let was_missed = words != "no source group";
            assert_eq!(read.pending_count().unwrap() > 0, was_missed, "{words}: what was missed waits");
        }
    }

    #[tokio::test]
    async fn a_person_who_mends_a_schedule_need_not_wait() {
        let world = World::new().await;
        world.spoil(|schedule| schedule.timezone = "Moon/Base".into()).await;
        world.pass(EVERY_MS).await;
        assert!(world.stands().1.contains("Moon/Base"));
        let mended = Schedule { timezone: "Europe/Berlin".into(), ..nightly() };
        world.fleet.put_schedule(world.host, Some("nightly"), mended, By::system()).await.unwrap();
        assert!(!world.stands().1.contains("Moon/Base"));
    }

    #[tokio::test]
    async fn maintenance_does_not_move_to_another_time_zone_by_itself() {
        let world = World::new().await;
        let host = world.host;
        let spoiled = Maintenance { timezone: "Moon/Base".into(), ..Maintenance::default() };
        world
            .fleet
            .write(By::system(), move |op| Ok(op.tx.put(&MAINTENANCE, &host, &spoiled)?))
            .await
            .unwrap();
        world.pass(EVERY_MS).await;
        let (status, reason, _) = world.stands();
        assert_eq!(status, Status::Warning);
        assert!(reason.contains("Moon/Base"), "{reason}");
        let (_, decisions) = world.fleet.read().unwrap().decisions(host).unwrap().unwrap();
        for decision in decisions {
            assert_eq!(decision.action, crate::maintenance::Action::Hold);
            assert_eq!(decision.why, crate::maintenance::Why::NoTimeZone("Moon/Base".to_owned()));
        }
        let rule =
            || RuleInput { enabled: true, every: "1 day".into(), from: String::new(), until: String::new() };
        let mended = MaintenanceInput {
            timezone: Some("Europe/Berlin".into()),
            forget: rule(),
            prune: rule(),
            check: rule(),
            check_subset_pct: None,
            drill: Some(rule()),
        };
        world.fleet.put_maintenance(host, mended, By::system()).await.unwrap();
        assert!(!world.stands().1.contains("Moon/Base"));
    }

    #[tokio::test]
    async fn a_row_that_cant_be_read_is_told_of_and_keeps_no_other_host_from_its_backup() {
        let world = World::new().await;
        let other = world.fleet.create_host("barn", vec![], By::system()).await.unwrap().0.id;
        let group = Group { name: "etc".into(), includes: vec!["/etc".into()], ..Group::default() };
        world.fleet.put_group(other, None, group, By::system()).await.unwrap();
        world.fleet.put_schedule(other, None, nightly(), By::system()).await.unwrap();
        let host = world.host;
        world
            .fleet
            .write(By::system(), move |op| {
                Ok(op.tx.put_damaged(&SCHEDULES, &(host, "nightly".to_owned()))?)
            })
            .await
            .unwrap();
        world.pass(25 * EVERY_MS).await;
        let (status, reason, _) = world.stands();
        assert_eq!((status, reason.as_str()), (Status::Warning, "Its schedules can't be read"));
        let waiting = world.fleet.read().unwrap().pending(&Page::default()).unwrap().items;
        assert_eq!(waiting.iter().map(|run| run.host).collect::<Vec<_>>(), [other]);
    }
}
