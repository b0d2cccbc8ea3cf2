//! Feeds: addresses that nobody guesses, by which others read a little of the fleet without an account. One value of the
//! file; of the keys in the addresses it has the hashes.

use crate::audit;
use crate::change::Changed;
use crate::context::sha256;
use crate::fleet::Fleet;
use crate::hosts;
use crate::record::meta::{META_FEEDS, Meta};
use crate::record::{AuditAction, AuditTarget, Feed, FeedKind, FeedOf, FeedRow, Secret};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{META, Reads};
use schema::name;

/// The most feeds of a server.
pub const MOST_FEEDS: usize = 64;

/// A feed that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFeed {
    /// What it is called here.
    pub name: String,
    /// What it is read by.
    pub kind: FeedKind,
    /// Of which hosts it tells.
    pub of: FeedOf,
    /// Whether it names hosts.
    pub names: bool,
}

fn rows(reads: &impl Reads) -> Result<Vec<FeedRow>, StoreError> {
    match reads.get(&META, &META_FEEDS.to_owned())? {
        None => Ok(Vec::new()),
        Some(Meta::Feeds(rows)) => Ok(rows),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// All of them, in the order in which they were made.
pub(crate) fn all(reads: &impl Reads) -> Result<Vec<Feed>, StoreError> {
    Ok(rows(reads)?.into_iter().map(|row| row.feed).collect())
}

/// The feed that has this key in its address.
pub(crate) fn of_key(reads: &impl Reads, key: &str) -> Result<Option<Feed>, StoreError> {
    let hash = sha256(key);
    Ok(rows(reads)?.into_iter().find(|row| row.key_sha256 == hash).map(|row| row.feed))
}

impl Fleet {
    /// Makes a feed; the key in its address is told this once.
    pub async fn add_feed(&self, new: NewFeed, by: By) -> Result<Secret, Refused> {
        self.write(by, move |op| {
            let NewFeed { name, kind, of, names } = new.clone();
            if !name::is_valid(&name) {
                return Err(Refused::invalid("name", "A name has letters, digits, and . _ - between them."));
            }
            let mut rows = rows(op.tx)?;
            if rows.iter().any(|row| row.feed.name == name) {
                return Err(Refused::NameTaken { name });
            }
            if rows.len() >= MOST_FEEDS {
                let message = format!("There are {MOST_FEEDS} feeds; delete one first.");
                return Err(Refused::invalid("name", message));
            }
            let whom = match &of {
                FeedOf::Fleet => "all hosts".to_owned(),
                FeedOf::Label(label) if label.is_empty() => {
                    return Err(Refused::invalid("label", "Name a label."));
                }
                FeedOf::Label(label) => format!("hosts labelled {label}"),
                FeedOf::Host(host) => hosts::find(op.tx, *host)?.name,
            };
            let key = op.facts.mint::<32>("hff_");
            let named = if names { ", with names" } else { "" };
            let detail = format!("{name}: {} of {whom}{named}", kind.as_str());
            let feed = Feed { name, kind, of, names, created_at: op.now, created_by: op.by.actor.clone() };
            rows.push(FeedRow { feed, key_sha256: sha256(key.expose()) });
            op.tx.put(&META, &META_FEEDS.to_owned(), &Meta::Feeds(rows))?;
            op.tx.effects.changed(Changed::Integrations);
            audit::note(op, AuditAction::FeedCreated, AuditTarget::Server, detail)?;
            Ok(key)
        })
        .await
    }

    /// Deletes a feed: there is nothing at its address any more.
    pub async fn delete_feed(&self, name: String, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let mut rows = rows(op.tx)?;
            let before = rows.len();
            rows.retain(|row| row.feed.name != name);
            if rows.len() == before {
                return Err(Refused::FeedNotFound);
            }
            op.tx.put(&META, &META_FEEDS.to_owned(), &Meta::Feeds(rows))?;
            op.tx.effects.changed(Changed::Integrations);
            Ok(audit::note(op, AuditAction::FeedDeleted, AuditTarget::Server, name.clone())?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Driver, Settings};
    use crate::view::{AuditFilter, Page};
    use schema::{HostId, Timestamp};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn fleet() -> Fleet {
        let drawn = AtomicU8::new(1);
        let driver = Driver {
            now: Arc::new(|| Timestamp(1_780_000_000_000)),
            random: Arc::new(move |bytes| {
                bytes.iter_mut().for_each(|byte| *byte = drawn.fetch_add(7, Ordering::SeqCst));
            }),
        };
        Fleet::in_memory(Settings::for_tests(), driver).unwrap()
    }

    fn badge(name: &str, of: FeedOf) -> NewFeed {
        NewFeed { name: name.to_owned(), kind: FeedKind::Badge, of, names: false }
    }

    #[tokio::test]
    async fn a_key_is_good_for_its_feed_until_that_is_deleted_and_stands_nowhere() {
        let fleet = fleet();
        let by = By::system;
        let (host, _) = fleet.create_host("nas", vec![], by()).await.unwrap();
        let key = fleet.add_feed(badge("wall", FeedOf::Host(host.id)), by()).await.unwrap();
        let other = fleet.add_feed(badge("other", FeedOf::Fleet), by()).await.unwrap();
        assert_ne!(key.expose(), other.expose());
        assert!(key.expose().len() > 50, "256 bits are not guessed");
        let of_key = |key: &str| fleet.read().unwrap().feed_of_key(key).unwrap().map(|feed| feed.name);
        assert_eq!(of_key(key.expose()).as_deref(), Some("wall"));
        for wrong in ["", "hff_", &key.expose()[..key.expose().len() - 1]] {
            assert_eq!(of_key(wrong), None);
        }
        let audit = || fleet.read().unwrap().audit(&AuditFilter::default(), &Page::default()).unwrap().items;
        let made = audit().into_iter().find(|line| line.detail.starts_with("wall")).unwrap();
        assert_eq!((made.action, made.detail.as_str()), (AuditAction::FeedCreated, "wall: badge of nas"));
        assert!(audit().iter().all(|line| !line.detail.contains(key.expose())));
        let stored = format!("{:?}", rows(&fleet.view().unwrap()).unwrap());
        assert!(!stored.contains(key.expose()));
        fleet.delete_feed("wall".to_owned(), by()).await.unwrap();
        assert_eq!(of_key(key.expose()), None);
        assert_eq!(fleet.delete_feed("wall".to_owned(), by()).await.unwrap_err().code(), "feed_not_found");
        assert_eq!(audit()[0].action, AuditAction::FeedDeleted);
        assert_eq!(of_key(other.expose()).as_deref(), Some("other"));
    }

    #[tokio::test]
    async fn what_can_be_no_feed_is_refused_and_there_is_an_end_to_them() {
        let fleet = fleet();
        let by = By::system;
        let refused = async |new: NewFeed| fleet.add_feed(new, by()).await.unwrap_err();
        assert_eq!(refused(badge("a b", FeedOf::Fleet)).await.field(), Some("name"));
        assert_eq!(refused(badge("a", FeedOf::Label(String::new()))).await.field(), Some("label"));
        assert_eq!(refused(badge("a", FeedOf::Host(HostId([9; 16])))).await.code(), "host_not_found");
        for number in 0..MOST_FEEDS {
            let _ = fleet.add_feed(badge(&format!("f{number}"), FeedOf::Fleet), by()).await.unwrap();
        }
        assert_eq!(refused(badge("f0", FeedOf::Fleet)).await.code(), "name_taken");
        let message = refused(badge("more", FeedOf::Fleet)).await.to_string();
        assert!(message.contains("There are 64 feeds"), "{message}");
    }
}
