//! The standbys of this server: programs elsewhere that keep its archives, to take its place when it is gone.
//!
//! Each has a token that is good for one thing: to be sent archives that are encrypted for the recipient which an admin has
//! written down with it. So whoever steals the token gets files that nobody else can open.

use crate::archive::check_recipient;
use crate::audit;
use crate::context::sha256;
use crate::fleet::Fleet;
use crate::record::{AuditAction, AuditTarget, Secret, StandbyRow};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::standby_row::{put, rows};
use schema::{Timestamp, name};

/// The most standbys of a server.
pub const MOST_STANDBYS: usize = 8;
/// A standby that has not asked for so long is told of.
pub const STANDBY_LATE_AFTER_MS: u64 = 3 * 3_600_000;

/// One that was sent an archive so many times, and asked for the next with what it had before, can't use them. Once may be a
/// connection that broke.
const SENT_IN_VAIN: u32 = 2;

/// What a standby has said since this server runs.
#[derive(Clone, Debug)]
pub(crate) struct StandbyAsked {
    at: Timestamp,
    /// The mark of what it has; empty = nothing.
    mark: String,
    /// Whether it was sent an archive since.
    is_sent: bool,
    /// How many it was sent before, and had the same afterwards.
    in_vain: u32,
}

/// What can be seen of a standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// What it is called.
    pub name: String,
    /// For whom its archives are encrypted.
    pub recipient: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// When it asked last whether there is something new, since this server runs.
    pub asked_at: Option<Timestamp>,
    /// Whether, when it asked last, it had all that there is now.
    pub has_all: bool,
    /// Whether it said that it has an archive, since this server runs.
    pub has_one: bool,
    /// It is sent archives again and again, and still has what it had before: it can't use them.
    pub uses_none: bool,
    /// When an archive was sent to it last.
    pub fetched_at: Option<Timestamp>,
    /// How long that was, in bytes.
    pub bytes: u64,
    /// From which address it asked for that; empty = it has not.
    pub peer: String,
    /// It has not asked for too long, or can use nothing of what it is sent.
    pub is_late: bool,
}

/// Whether one that is not new has kept silent for too long: pure.
fn is_late(now: Timestamp, signs: &[Option<Timestamp>]) -> bool {
    signs.iter().flatten().max().is_some_and(|last| now.ms_since(*last) > STANDBY_LATE_AFTER_MS)
}

impl Fleet {
    /// Adds a standby, whose archives are encrypted for `recipient`. Its token is shown once.
    pub async fn add_standby(&self, name: String, recipient: String, by: By) -> Result<Secret, Refused> {
        self.write(by, move |op| {
            if !name::is_valid(&name) {
                return Err(Refused::invalid("name", "A name has letters, digits, and . _ - between them."));
            }
            check_recipient(&recipient).map_err(|error| Refused::invalid("recipient", error.to_string()))?;
            let mut rows = rows(op.tx)?;
            if rows.iter().any(|row| row.name == name) {
                return Err(Refused::NameTaken { name: name.clone() });
            }
            if rows.iter().any(|row| row.recipient == recipient) {
                return Err(Refused::invalid("recipient", "A standby of this recipient is there already."));
            }
            if rows.len() >= MOST_STANDBYS {
                let message = format!("There are {MOST_STANDBYS} standbys; remove one first.");
                return Err(Refused::invalid("name", message));
            }
            let token = op.facts.mint::<32>("hfs_");
            rows.push(StandbyRow {
                name: name.clone(),
                recipient: recipient.clone(),
                token_sha256: sha256(token.expose()),
                added_at: op.now,
                fetched_at: None,
                bytes: 0,
                peer: String::new(),
            });
            put(op, rows)?;
            let detail = format!("{name}: {recipient}");
            audit::note(op, AuditAction::StandbyAdded, AuditTarget::Server, detail)?;
            Ok(token)
        })
        .await
    }

    /// Removes a standby: its token is worth nothing any more. What it has, it keeps.
    pub async fn remove_standby(&self, name: String, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let (mut rows, before) = (rows(op.tx)?, rows(op.tx)?.len());
            rows.retain(|row| row.name != name);
            if rows.len() == before {
                return Err(Refused::StandbyNotFound);
            }
            put(op, rows)?;
            Ok(audit::note(op, AuditAction::StandbyRemoved, AuditTarget::Server, name.clone())?)
        })
        .await
    }

    /// The standby whose token this is.
    pub fn standby_of_token(&self, token: &str) -> Result<Option<Standby>, StoreError> {
        let hash = sha256(token);
        let row = rows(&self.view()?)?.into_iter().find(|row| row.token_sha256 == hash);
        Ok(row.map(|row| self.seen(row)))
    }

    /// It has asked, and says what it has by the mark of that; see [`Fleet::mark`].
    pub fn standby_has_asked(&self, name: &str, mark: &str) {
        let (at, context) = (self.now(), self.context());
        let mut asked = context.standbys_asked();
        let before = asked.get(name).filter(|before| before.mark == mark);
        let in_vain = before.map_or(0, |before| before.in_vain.saturating_add(before.is_sent.into()));
        asked.insert(name.to_owned(), StandbyAsked { at, mark: mark.to_owned(), is_sent: false, in_vain });
    }

    /// An archive was sent to it. Where it goes is audited when that is somewhere else than before. None of that counts as a
    /// change: it would be asked for an archive again that holds nothing else, and again by one that comes from two places.
    pub async fn standby_has_fetched(&self, name: &str, bytes: u64, by: By) -> Result<(), Refused> {
        let name = name.to_owned();
        if let Some(asked) = self.context().standbys_asked().get_mut(&name) {
            asked.is_sent = true;
        }
        self.write(by, move |op| {
            let mut rows = rows(op.tx)?;
            let Some(row) = rows.iter_mut().find(|row| row.name == name) else { return Ok(()) };
            let peer = op.by.peer.clone();
            let is_elsewhere = row.peer != peer;
            (row.fetched_at, row.bytes, row.peer) = (Some(op.now), bytes, peer);
            let before = op.tx.writes();
            put(op, rows)?;
            if is_elsewhere {
                audit::note(op, AuditAction::StandbyFetched, AuditTarget::Server, name.clone())?;
            }
            op.tx.is_passing_since(before);
            Ok(())
        })
        .await
    }

    fn seen(&self, row: StandbyRow) -> Standby {
        let context = self.context();
        let asked = context.standbys_asked().get(&row.name).cloned();
        let has_all = asked.as_ref().is_some_and(|asked| asked.mark == self.mark());
        let has_one = asked.as_ref().is_some_and(|asked| !asked.mark.is_empty());
        let uses_none = !has_all && asked.as_ref().is_some_and(|asked| asked.in_vain >= SENT_IN_VAIN);
        let asked_at = asked.map(|asked| asked.at);
        // What it did before this server was started is not known but for what was sent.
        let signs = [asked_at, row.fetched_at, Some(row.added_at), Some(context.started_at)];
        Standby {
            is_late: uses_none || is_late(context.now(), &signs),
            uses_none,
            has_one,
            name: row.name,
            recipient: row.recipient,
            added_at: row.added_at,
            asked_at,
            has_all,
            fetched_at: row.fetched_at,
            bytes: row.bytes,
            peer: row.peer,
        }
    }

    /// The standbys of this server, in the order in which they were added.
    pub fn standbys(&self) -> Result<Vec<Standby>, StoreError> {
        Ok(rows(&self.view()?)?.into_iter().map(|row| self.seen(row)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Role;
    use crate::settings::{Driver, Settings};
    use crate::view::{AuditFilter, Page};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn fleet(clock: &Arc<AtomicU64>) -> Fleet {
        let (clock, drawn) = (clock.clone(), AtomicU64::new(1));
        let driver = Driver {
            now: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst))),
            random: Arc::new(move |bytes| {
                bytes.iter_mut().for_each(|byte| *byte = drawn.fetch_add(7, Ordering::SeqCst) as u8);
            }),
        };
        Fleet::in_memory(Settings::for_tests(), driver).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_one_standbys_until_that_is_removed_and_a_silent_one_is_late() {
        let clock = Arc::new(AtomicU64::new(1_780_000_000_000));
        let fleet = fleet(&clock);
        let by = By::system;
        let add =
            |name: &str, recipient: &str| fleet.add_standby(name.to_owned(), recipient.to_owned(), by());
        assert_eq!(add("attic", "age1x").await.unwrap_err().field(), Some("recipient"));
        assert_eq!(add("a b", RECIPIENT).await.unwrap_err().field(), Some("name"));
        let token = add("attic", RECIPIENT).await.unwrap();
        assert_eq!(add("attic", RECIPIENT).await.unwrap_err().code(), "name_taken");
        assert_eq!(add("barn", RECIPIENT).await.unwrap_err().field(), Some("recipient"));
        let late = || fleet.standby_of_token(token.expose()).unwrap().unwrap().is_late;
        assert!(!late() && fleet.standby_of_token("hfs_x").unwrap().is_none());
        clock.fetch_add(STANDBY_LATE_AFTER_MS + 1, Ordering::SeqCst);
        assert!(late());
        fleet.standby_has_asked("attic", &fleet.mark());
        assert!(fleet.standbys().unwrap()[0].has_all);
        assert!(!late());
        let mark = fleet.mark();
        let from = |peer: &str| By { peer: peer.to_owned(), ..By::system() };
        // Also one that comes from two addresses in turn is told that there is nothing new.
        for (bytes, peer) in [(7, "192.0.2.7"), (8, "192.0.2.7"), (9, "2001:db8::7"), (10, "192.0.2.7")] {
            fleet.standby_has_fetched("attic", bytes, from(peer)).await.unwrap();
            assert_eq!((fleet.mark(), fleet.standbys().unwrap()[0].bytes), (mark.clone(), bytes));
        }
        let audit = fleet.read().unwrap().audit(&AuditFilter::default(), &Page::default()).unwrap();
        let fetched = audit.items.iter().filter(|line| line.action == AuditAction::StandbyFetched);
        assert_eq!(fetched.count(), 3, "where it went is audited when that is somewhere else");
        // Nor does anybody wait for that somebody has signed in.
        fleet.create_operator("ada", Role::Admin, "$argon2id$".into(), by()).await.unwrap();
        let mark = fleet.mark();
        let _ = fleet.open_session("ada", "192.0.2.1").await.unwrap();
        assert_eq!(fleet.mark(), mark);
        let _ = fleet.create_host("nas", vec![], by()).await.unwrap();
        assert!(!fleet.standbys().unwrap()[0].has_all);
        assert_ne!(fleet.mark(), mark);
        fleet.remove_standby("attic".to_owned(), by()).await.unwrap();
        assert_eq!(
            fleet.remove_standby("attic".to_owned(), by()).await.unwrap_err().code(),
            "standby_not_found"
        );
        assert!(fleet.standby_of_token(token.expose()).unwrap().is_none());
    }

    /// As one does whose recipient is another one, or whose disk is full.
    #[tokio::test]
    async fn a_standby_that_can_use_nothing_of_what_it_is_sent_is_late_and_has_nothing() {
        let fleet = fleet(&Arc::new(AtomicU64::new(1_780_000_000_000)));
        let by = By::system;
        fleet.add_standby("attic".to_owned(), RECIPIENT.to_owned(), by()).await.unwrap();
        let seen = || {
            let seen = fleet.standbys().unwrap().remove(0);
            (seen.has_one, seen.uses_none, seen.is_late)
        };
        for has in ["", "an older one"] {
            for is_useless in [false, false, true, true] {
                fleet.standby_has_asked("attic", has);
                assert_eq!(seen(), (!has.is_empty(), is_useless, is_useless), "{has}");
                fleet.standby_has_fetched("attic", 7, by()).await.unwrap();
            }
        }
        // It had nothing to fetch meanwhile, and has something else now.
        fleet.standby_has_asked("attic", "another one");
        fleet.standby_has_asked("attic", "another one");
        assert_eq!(seen(), (true, false, false));
        let mark = fleet.mark();
        fleet.standby_has_asked("attic", &mark);
        assert!(fleet.standbys().unwrap()[0].has_all);
    }
}
