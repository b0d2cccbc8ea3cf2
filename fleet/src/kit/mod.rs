//! Break-glass kits: what goes into one, which hosts it holds, and what has changed since.
//!
//! A kit is a file that people keep elsewhere; nothing of it is kept here but, of each host, when a kit was last made
//! that holds it, and of which revisions of its credentials.

mod missing;

pub use missing::{KitGap, Kits, WhyGap};

use crate::audit;
use crate::change::Changed;
use crate::credentials::{self, OpenedSlot};
use crate::fleet::Fleet;
use crate::fleet_state::FleetState;
use crate::hosts;
use crate::op::Op;
use crate::record::{AuditAction, AuditTarget, CredentialsFacts, Group, Host, InKit, Secret};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{HOST_NAMES, HOSTS, IN_KITS, Reads, Span};
use missing::Held;
use schema::{HostId, Slot, SlotRevision, Timestamp};
use std::collections::BTreeMap;

/// So many bytes of names stand in the audit.
const MOST_NAMED_BYTES: usize = 900;

/// Which hosts a kit is for: those that are named, and those that have one of the labels. Neither = all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KitChoice {
    /// Ids or names.
    pub hosts: Vec<String>,
    /// Labels.
    pub labels: Vec<String>,
}

/// A kit that is to be written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKit {
    /// When it was made.
    pub at: Timestamp,
    /// Its hosts, by name.
    pub hosts: Vec<HostId>,
    /// What it holds of each of them.
    held: Vec<InKit>,
}

/// What a kit says of a host.
#[derive(Clone, Debug)]
pub struct KitHost {
    /// The host.
    pub host: Host,
    /// Its source groups, by name.
    pub groups: Vec<Group>,
    /// What its agent uses every day.
    pub everyday: KitSlot,
    /// What may delete.
    pub admin: KitSlot,
}

/// What a kit says of a credential slot.
#[derive(Clone, Debug)]
pub enum KitSlot {
    /// Nothing is set.
    Empty,
    /// The stored secrets don't open with this server's master key.
    Unreadable(CredentialsFacts),
    /// All of it.
    Held(KitCredentials),
}

/// The credentials of a slot, secrets and all.
#[derive(Clone, Debug)]
pub struct KitCredentials {
    /// Address, user, certificates, host keys.
    pub facts: CredentialsFacts,
    /// Password at a REST server; empty = none.
    pub password: Secret,
    /// Password of the repository.
    pub repo_password: Secret,
    /// Additional environment variables for restic.
    pub env: BTreeMap<String, Secret>,
}

impl Fleet {
    /// Begins a kit: says which hosts are in it, and audits that. What of each goes into it is read by
    /// [`FleetState::kit_host`] afterwards: credentials that change in between are at least as new as is remembered.
    pub async fn make_kit(&self, choice: KitChoice, by: By) -> Result<NewKit, Refused> {
        self.write(by, move |op| make(op, &choice)).await
    }

    /// Remembers a kit once its file was written, or sent, to the end: what nobody got makes nothing look safe.
    pub async fn keep_kit(&self, kit: NewKit) -> Result<(), Refused> {
        self.write(By::system(), move |op| {
            for (id, row) in kit.hosts.iter().zip(&kit.held) {
                // One may have been deleted meanwhile.
                if op.tx.has(&HOSTS, id)? {
                    op.tx.put(&IN_KITS, id, row)?;
                }
            }
            op.tx.effects.changed(Changed::Kits);
            Ok(())
        })
        .await
    }

    /// Audits that somebody saw a secret of this host, or was refused it.
    pub async fn note_of_secret(&self, host: HostId, action: AuditAction, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let found = hosts::find(op.tx, host)?;
            audit::note(op, action, AuditTarget::Host(host, found.name), "")?;
            Ok(())
        })
        .await
    }

    /// Audits that no kit was made, for the password that was asked for was wrong.
    pub async fn refuse_kit(&self, by: By) -> Result<(), Refused> {
        self.write(by, |op| {
            audit::note(op, AuditAction::KitRefused, AuditTarget::Server, "wrong password")?;
            Ok(())
        })
        .await
    }
}

impl FleetState {
    /// What a kit says of a host; `None` = it is not there any more.
    pub fn kit_host(&self, id: HostId) -> Result<Option<KitHost>, StoreError> {
        let Some(host) = self.host(id)? else { return Ok(None) };
        Ok(Some(KitHost {
            host,
            groups: self.groups(id)?,
            everyday: self.opened(id, Slot::Repo)?.into(),
            admin: self.opened(id, Slot::Admin)?.into(),
        }))
    }
}

impl From<Option<(CredentialsFacts, Option<OpenedSlot>)>> for KitSlot {
    fn from(opened: Option<(CredentialsFacts, Option<OpenedSlot>)>) -> Self {
        match opened {
            None => Self::Empty,
            Some((facts, None)) => Self::Unreadable(facts),
            Some((facts, Some(opened))) => {
                let OpenedSlot { password, repo_password, env } = opened;
                Self::Held(KitCredentials { facts, password, repo_password, env })
            }
        }
    }
}

fn make(op: &mut Op<'_, '_>, choice: &KitChoice) -> Result<NewKit, Refused> {
    let chosen = chosen(op.tx, choice)?;
    if chosen.is_empty() {
        return Err(Refused::invalid("hosts", "there is no host that it could hold"));
    }
    let mut held = Vec::with_capacity(chosen.len());
    for (_, id) in &chosen {
        let revision = |slot| -> Result<SlotRevision, StoreError> {
            let opened = credentials::opened(op.facts, op.tx, *id, slot)?;
            Ok(opened
                .filter(|(_, opened)| opened.is_some())
                .map_or(SlotRevision::ZERO, |(facts, _)| facts.revision))
        };
        held.push(InKit {
            at: op.now,
            repo_revision: revision(Slot::Repo)?,
            admin_revision: revision(Slot::Admin)?,
        });
    }
    audit::note(op, AuditAction::KitMade, AuditTarget::Server, in_words(&chosen))?;
    Ok(NewKit { at: op.now, hosts: chosen.into_iter().map(|(_, id)| id).collect(), held })
}

/// The hosts of a choice, each once, by name.
fn chosen(reads: &impl Reads, choice: &KitChoice) -> Result<Vec<(String, HostId)>, Refused> {
    let mut chosen = BTreeMap::new();
    if choice.hosts.is_empty() && choice.labels.is_empty() {
        let all = reads.rows(&HOSTS, &Span::ALL)?;
        return Ok(by_name(all.into_iter().map(|(id, host)| (host.name, id)).collect()));
    }
    for wanted in &choice.hosts {
        let id = match wanted.parse::<HostId>() {
            Ok(id) if reads.has(&HOSTS, &id)? => Some(id),
            _ => reads.get(&HOST_NAMES, &wanted.to_lowercase())?,
        };
        let id = id.ok_or_else(|| Refused::invalid("hosts", format!("there is no host {wanted:?}")))?;
        chosen.insert(id, hosts::find(reads, id)?.name);
    }
    if !choice.labels.is_empty() {
        let all = reads.rows(&HOSTS, &Span::ALL)?;
        for label in &choice.labels {
            let mut with = all.iter().filter(|(_, host)| host.labels.contains(label)).peekable();
            if with.peek().is_none() {
                return Err(Refused::invalid("labels", format!("no host has the label {label:?}")));
            }
            chosen.extend(with.map(|(id, host)| (*id, host.name.clone())));
        }
    }
    Ok(by_name(chosen.into_iter().map(|(id, name)| (name, id)).collect()))
}

fn by_name(mut hosts: Vec<(String, HostId)>) -> Vec<(String, HostId)> {
    hosts.sort();
    hosts
}

/// How many hosts, and their names as far as there is room.
fn in_words(chosen: &[(String, HostId)]) -> String {
    let what = if chosen.len() == 1 { "host" } else { "hosts" };
    let mut words = format!("{} {what}: ", chosen.len());
    for (place, (name, _)) in chosen.iter().enumerate() {
        if words.len() + name.len() > MOST_NAMED_BYTES {
            words.push_str(&format!(" and {} more", chosen.len() - place));
            break;
        }
        if place > 0 {
            words.push_str(", ");
        }
        words.push_str(name);
    }
    words
}

/// How the kits stand to the credentials of now.
pub(crate) fn kits(reads: &impl Reads) -> Result<Kits, StoreError> {
    let held = reads.rows(&HOSTS, &Span::ALL)?.into_iter().map(|(id, host)| {
        let revision = |slot| -> Result<Option<SlotRevision>, StoreError> {
            let row = credentials::row_of(reads, id, slot)?;
            Ok(row.filter(|row| row.facts.is_some()).map(|row| row.revision))
        };
        Ok(Held {
            id,
            name: host.name,
            repo_revision: revision(Slot::Repo)?,
            admin_revision: revision(Slot::Admin)?,
            in_kit: reads.get(&IN_KITS, &id)?,
        })
    });
    Ok(missing::judge(held.collect::<Result<Vec<_>, StoreError>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_names_the_hosts_as_far_as_there_is_room() {
        let host = |name: String| (name, HostId([1; 16]));
        assert_eq!(in_words(&[host("attic".to_owned())]), "1 host: attic");
        assert_eq!(in_words(&[host("attic".to_owned()), host("barn".to_owned())]), "2 hosts: attic, barn");
        let many: Vec<_> = (0..10_000).map(|n| host(format!("host-{n:05}"))).collect();
        let words = in_words(&many);
        assert!(words.starts_with("10000 hosts: host-00000, host-00001"), "{words}");
        let named = words.matches("host-").count();
        assert!(words.ends_with(&format!("and {} more", 10_000 - named)), "{words}");
        assert!(words.len() <= 1_000);
    }
}
