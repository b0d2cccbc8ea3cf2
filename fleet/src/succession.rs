//! A server that was promoted tells the one of before that its place is taken, and that one stands still.
//!
//! What is told is sealed with the master key, which nobody else has: neither a host nor whoever watches the network can
//! stop a server. It names the incarnation, so that what was told once is worth nothing against a server that was restored
//! later. A server that stands still writes nothing any more but who is signed in; what it has, people can read.

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::former::{FormerFound, FormerServer};
use crate::incarnation;
use crate::op::Op;
use crate::page_url::told_to;
use crate::record::meta::{META_PREDECESSOR, META_SUCCEEDED, Meta};
use crate::record::{AuditAction, AuditTarget, Predecessor, Succession};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::seal::Binding;
use crate::store::{META, Reads};
use schema::{Incarnation, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The longest address of a server's pages that is told, in bytes.
const MOST_URL_BYTES: usize = 300;

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Statement {
    incarnation: u64,
    since_ms: u64,
    url: String,
}

/// What a server makes of being told that another has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It stands still.
    StandsStill,
    /// It is that server itself, or was restored later: it goes on.
    GoesOn(Incarnation),
    /// Whoever told it has not the master key.
    NotBelieved,
}

/// Who has taken the place of this server; `None` = nobody, as far as it knows.
pub(crate) fn of(reads: &impl Reads) -> Result<Option<Succession>, StoreError> {
    match reads.get(&META, &META_SUCCEEDED.to_owned())? {
        None => Ok(None),
        Some(Meta::Succeeded(succession)) => {
            Ok(Some(succession).filter(|it| incarnation::read(reads).is_ok_and(|own| it.incarnation > own)))
        }
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

fn predecessor(reads: &impl Reads) -> Result<Option<Predecessor>, StoreError> {
    match reads.get(&META, &META_PREDECESSOR.to_owned())? {
        None => Ok(None),
        Some(Meta::Predecessor(predecessor)) => Ok(Some(predecessor)),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

impl Fleet {
    /// Who has taken the place of this server; `None` = nobody, as far as it knows.
    #[must_use]
    pub fn succession(&self) -> Option<Arc<Succession>> {
        self.context().succession()
    }

    /// Whether nothing is begun and nothing written any more: the data file is damaged, or another server has the place of
    /// this one.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        self.context().only_reads()
    }

    /// Whether anything may be changed still; why not.
    pub fn may_change(&self) -> Result<(), Refused> {
        let context = self.context();
        context.may_change()?;
        if context.damage().is_some() { Err(StoreError::OnlyReads.into()) } else { Ok(()) }
    }

    /// Whom this server has to tell that it has its place, and what proves it; `url` is where its own pages are. `None` = it
    /// was not promoted.
    pub fn statement(&self, url: &str) -> Result<Option<(Predecessor, Vec<u8>)>, StoreError> {
        let (view, context) = (self.view()?, self.context());
        let Some(predecessor) = predecessor(&view)? else { return Ok(None) };
        let since = incarnation::restoration(&view)?.map_or(context.started_at, |it| it.restored_at);
        let url = Some(told_to(url, &predecessor.url)).filter(|url| url.len() <= MOST_URL_BYTES);
        let url = url.unwrap_or_default().to_owned();
        let statement = Statement { incarnation: incarnation::read(&view)?.0, since_ms: since.0, url };
        let plain = serde_json::to_vec(&statement).unwrap_or_default();
        Ok(Some((predecessor, context.master.seal(Binding::Succession, context.random(), &plain))))
    }

    /// It was tried to tell the former server that this one has its place. Returns whether something else was found than before.
    pub fn tried_to_tell(&self, found: FormerFound) -> bool {
        let now = self.now();
        self.context().telling().note(now, found)
    }

    /// The server whose place this one has; `None` = it was not promoted.
    pub fn former_server(&self) -> Result<Option<FormerServer>, StoreError> {
        let predecessor = predecessor(&self.view()?)?;
        Ok(predecessor.map(|it| self.context().telling().of(it.url)))
    }

    /// Somebody says that another server has the place of this one.
    pub async fn hear_of_successor(&self, sealed: &[u8], by: By) -> Result<Heard, Refused> {
        let context = self.context();
        let opened = context.master.open(Binding::Succession, sealed).ok();
        let Some(told) = opened.and_then(|plain| serde_json::from_slice::<Statement>(&plain).ok()) else {
            return Ok(Heard::NotBelieved);
        };
        let own = incarnation::read(&self.view()?)?;
        if Incarnation(told.incarnation) <= own || told.url.len() > MOST_URL_BYTES {
            return Ok(Heard::GoesOn(own));
        }
        let succession = Succession {
            incarnation: Incarnation(told.incarnation),
            since: Timestamp(told.since_ms),
            url: told.url,
        };
        if self.succession().is_some_and(|known| known.incarnation >= succession.incarnation) {
            return Ok(Heard::StandsStill);
        }
        let row = succession.clone();
        // Also where nothing else is written any more.
        self.write_in_passing(by, move |op| Ok(write(op, &row)?)).await?;
        context.succeeded(succession);
        context.tell(Changed::Succeeded);
        Ok(Heard::StandsStill)
    }
}

fn write(op: &mut Op<'_, '_>, succession: &Succession) -> Result<(), StoreError> {
    op.tx.put(&META, &META_SUCCEEDED.to_owned(), &Meta::Succeeded(succession.clone()))?;
    let at = if succession.url.is_empty() { "" } else { ", " };
    let detail = format!("incarnation {}{at}{}", succession.incarnation, succession.url);
    audit::note(op, AuditAction::ServerSuperseded, AuditTarget::Server, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Group, Schedule};
    use crate::settings::{Driver, Settings};
    use crate::view::{AuditFilter, Page};
    use std::sync::atomic::{AtomicU64, Ordering};

    const NOW: Timestamp = Timestamp(1_780_000_000_000);

    fn fleet() -> Fleet {
        let driver = Driver { now: Arc::new(|| NOW), random: Arc::new(|bytes| bytes.fill(7)) };
        Fleet::in_memory(Settings::for_tests(), driver).unwrap()
    }

    fn told(fleet: &Fleet, incarnation: u64) -> Vec<u8> {
        let statement = Statement { incarnation, since_ms: NOW.0, url: "https://standby".to_owned() };
        let plain = serde_json::to_vec(&statement).unwrap();
        fleet.context().master.seal(Binding::Succession, [3; 24], &plain)
    }

    /// A schedule that is due makes no job where another server has the place; it does where none has.
    #[tokio::test]
    async fn nothing_is_begun_by_time_where_another_server_has_the_place() {
        for stands_still in [false, true] {
            let clock = Arc::new(AtomicU64::new(NOW.0));
            let (reads, drawn) = (clock.clone(), AtomicU64::new(1));
            let driver = Driver {
                now: Arc::new(move || Timestamp(reads.load(Ordering::SeqCst))),
                random: Arc::new(move |bytes| {
                    bytes.iter_mut().for_each(|byte| *byte = drawn.fetch_add(7, Ordering::SeqCst) as u8);
                }),
            };
            let fleet = Fleet::in_memory(Settings::for_tests(), driver).unwrap();
            let by = By::system;
            let host = fleet.create_host("nas", vec![], by()).await.unwrap().0.id;
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
            if stands_still {
                let heard = fleet.hear_of_successor(&told(&fleet, 9), by()).await.unwrap();
                assert_eq!(heard, Heard::StandsStill);
            }
            clock.fetch_add(600_000, Ordering::SeqCst);
            let audited = || {
                fleet.read().unwrap().audit(&AuditFilter::default(), &Page::default()).unwrap().items.len()
            };
            let before = audited();
            assert!(fleet.tick().await);
            fleet.maintain().await;
            fleet.sweep().await;
            let waiting = fleet.read().unwrap().pending_count().unwrap();
            assert_eq!(waiting, usize::from(!stands_still));
            assert!(audited() == before || !stands_still);
        }
    }

    #[tokio::test]
    async fn a_server_stands_still_when_one_with_its_master_key_says_so_and_for_nobody_else() {
        let fleet = fleet();
        let by = By::system;
        for (sealed, heard) in [
            (Vec::new(), Heard::NotBelieved),
            (br#"{"incarnation":9,"since_ms":1,"url":""}"#.to_vec(), Heard::NotBelieved),
            (
                // Sealed by the same key, and of something else: what a host's password holds, say.
                fleet.context().master.seal(
                    Binding::Enrolment,
                    [3; 24],
                    br#"{"incarnation":9,"since_ms":1,"url":""}"#,
                ),
                Heard::NotBelieved,
            ),
            (told(&fleet, 0), Heard::GoesOn(Incarnation::ZERO)),
        ] {
            assert_eq!(fleet.hear_of_successor(&sealed, by()).await.unwrap(), heard);
            assert!(fleet.create_host(&format!("host-{}", sealed.len()), vec![], by()).await.is_ok());
        }
        let mut altered = told(&fleet, 9);
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(fleet.hear_of_successor(&altered, by()).await.unwrap(), Heard::NotBelieved);
        assert!(fleet.succession().is_none() && !fleet.only_reads());
        for _ in 0..2 {
            assert_eq!(fleet.hear_of_successor(&told(&fleet, 9), by()).await.unwrap(), Heard::StandsStill);
        }
        let refused = fleet.create_host("late", vec![], by()).await.unwrap_err();
        assert_eq!(refused.code(), "superseded");
        assert!(refused.to_string().contains("https://standby"), "{refused}");
        assert!(fleet.only_reads() && fleet.tick().await && fleet.next_tick_at().unwrap().is_none());
        let audit = fleet.read().unwrap().audit(&AuditFilter::default(), &Page::default()).unwrap();
        let lines = audit.items.iter().filter(|line| line.action == AuditAction::ServerSuperseded);
        assert_eq!(lines.count(), 1);
    }

    /// Where a server does not know an address of its pages that leads others there, none is shown to people.
    #[tokio::test]
    async fn an_address_that_leads_nowhere_from_the_other_machine_is_not_told() {
        for (former, url, told) in [
            ("https://former.example", "https://standby.example", ", https://standby.example)"),
            ("https://former.example", "http://127.0.0.1:8080", ", on the machine that was its standby)"),
            ("https://former.example", "http://0.0.0.0:8080", ", on the machine that was its standby)"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8081", ", http://127.0.0.1:8081)"),
        ] {
            let (new, old) = (fleet(), fleet());
            let put = new.write(By::system(), move |op| {
                incarnation::begin_anew(op, NOW, Incarnation::ZERO, false)?;
                let predecessor = Predecessor { url: former.to_owned(), authority: None, plain: true };
                Ok(op.tx.put(&META, &META_PREDECESSOR.to_owned(), &Meta::Predecessor(predecessor))?)
            });
            put.await.unwrap();
            let former_server = || new.former_server().unwrap().unwrap();
            assert_eq!((former_server().url, former_server().last), (former.to_owned(), None));
            for (found, is_news, told_at) in [
                (FormerFound::Untold("refused".to_owned()), true, None),
                (FormerFound::Untold("refused".to_owned()), false, None),
                (FormerFound::StandsStill, true, Some(NOW)),
                (FormerFound::Untold("refused".to_owned()), true, Some(NOW)),
            ] {
                assert_eq!(new.tried_to_tell(found.clone()), is_news, "{found:?}");
                let known = former_server();
                assert_eq!((known.last, known.told_at), (Some((NOW, found)), told_at));
            }
            assert!(old.former_server().unwrap().is_none());
            let (_, sealed) = new.statement(url).unwrap().unwrap();
            assert_eq!(old.hear_of_successor(&sealed, By::system()).await.unwrap(), Heard::StandsStill);
            let refused = old.create_host("late", vec![], By::system()).await.unwrap_err().to_string();
            assert!(refused.contains(told), "{url}: {refused}");
        }
    }

    #[tokio::test]
    async fn whose_place_a_server_had_is_forgotten_when_it_is_made_anew() {
        let fleet = fleet();
        let former = Predecessor { url: "https://former".to_owned(), authority: None, plain: false };
        let put = fleet.write(By::system(), move |op| {
            Ok(op.tx.put(&META, &META_PREDECESSOR.to_owned(), &Meta::Predecessor(former.clone()))?)
        });
        put.await.unwrap();
        assert!(fleet.statement("").unwrap().is_some());
        let anew =
            fleet.write(By::system(), |op| Ok(incarnation::begin_anew(op, NOW, Incarnation::ZERO, false)?));
        let _ = anew.await.unwrap();
        assert!(fleet.statement("").unwrap().is_none(), "a copy that was restored stops nobody");
    }
}
