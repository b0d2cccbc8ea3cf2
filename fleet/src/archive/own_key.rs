//! For whom the server encrypts the archives that it makes by itself: kept in the data file, a passphrase sealed.

use super::error::ArchiveError;
use super::key::{ArchiveKey, check_recipient};
use crate::audit;
use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::op::Op;
use crate::record::meta::{META_ARCHIVE_KEY, Meta};
use crate::record::{ArchiveKeyRow, AuditAction, AuditTarget, ClosedBy, Secret};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::seal::Binding;
use crate::store::{META, Reads};
use schema::Timestamp;

/// The most recipients of an archive.
const MOST_RECIPIENTS: usize = 16;

/// What can be seen of the key of archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveKeyFacts {
    /// Since when it is used.
    pub changed_at: Timestamp,
    /// The recipients; none = a passphrase.
    pub recipients: Vec<String>,
}

impl Fleet {
    /// Encrypts archives for these from now on; those that are there stay as they are.
    pub(crate) async fn set_archive_key(&self, key: ArchiveKey, by: By) -> Result<(), Refused> {
        self.write(by, move |op| set(op, &key)).await
    }

    /// For whom archives are encrypted; `None` = nobody has said.
    pub(crate) fn archive_key(&self) -> Result<Option<ArchiveKey>, StoreError> {
        opened(&self.context().facts, &self.view()?)
    }

    /// Audits what was done with an archive. Where nothing can be written, as by a server that only reads or stands still, the log has
    /// it: there an archive may be what is needed most.
    pub async fn note_of_archive(&self, action: AuditAction, detail: String, by: By) {
        let (actor, said) = (by.actor.clone(), detail.clone());
        let noted =
            self.write(by, move |op| Ok(audit::note(op, action, AuditTarget::Server, detail.clone())?)).await;
        if let Err(refused) = noted {
            tracing::warn!(action = action.code(), ?actor, detail = said, %refused, "what was done with an archive could not be audited");
        }
    }
}

/// What can be seen of the key; `None` = nobody has said for whom archives are to be encrypted.
pub(crate) fn facts(reads: &impl Reads) -> Result<Option<ArchiveKeyFacts>, StoreError> {
    Ok(row(reads)?.map(|row| ArchiveKeyFacts {
        changed_at: row.changed_at,
        recipients: match row.closed_by {
            ClosedBy::Passphrase(_) => Vec::new(),
            ClosedBy::Recipients(recipients) => recipients,
        },
    }))
}

fn row(reads: &impl Reads) -> Result<Option<ArchiveKeyRow>, StoreError> {
    match reads.get(&META, &META_ARCHIVE_KEY.to_owned())? {
        None => Ok(None),
        Some(Meta::ArchiveKey(row)) => Ok(Some(row)),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

fn opened(facts: &Facts, reads: &impl Reads) -> Result<Option<ArchiveKey>, StoreError> {
    let Some(row) = row(reads)? else { return Ok(None) };
    Ok(Some(match row.closed_by {
        ClosedBy::Recipients(recipients) => ArchiveKey::Recipients(recipients),
        ClosedBy::Passphrase(sealed) => {
            let what = || StoreError::Seal { what: "the passphrase of archives" };
            let plain = facts.master.open(Binding::Archive, &sealed)?;
            let text = std::str::from_utf8(&plain).map_err(|_| what())?;
            ArchiveKey::Passphrase(Secret::new(text))
        }
    }))
}

fn set(op: &mut Op<'_, '_>, key: &ArchiveKey) -> Result<(), Refused> {
    let (closed_by, detail) = match key {
        ArchiveKey::Passphrase(passphrase) if passphrase.is_empty() => {
            return Err(Refused::invalid("passphrase", "The passphrase is empty."));
        }
        ArchiveKey::Passphrase(passphrase) => {
            let sealed =
                op.facts.master.seal(Binding::Archive, op.facts.random(), passphrase.expose().as_bytes());
            (ClosedBy::Passphrase(sealed), "a passphrase".to_owned())
        }
        ArchiveKey::Recipients(recipients) => {
            if recipients.is_empty() || recipients.len() > MOST_RECIPIENTS {
                let message = format!("Name one to {MOST_RECIPIENTS} recipients.");
                return Err(Refused::invalid("recipients", message));
            }
            let check = recipients.iter().try_for_each(|recipient| check_recipient(recipient));
            check.map_err(|error: ArchiveError| Refused::invalid("recipients", error.to_string()))?;
            (ClosedBy::Recipients(recipients.clone()), recipients.join(", "))
        }
    };
    let row = ArchiveKeyRow { changed_at: op.now, closed_by };
    op.tx.put(&META, &META_ARCHIVE_KEY.to_owned(), &Meta::ArchiveKey(row))?;
    audit::note(op, AuditAction::ArchiveKeyChanged, AuditTarget::Server, detail)?;
    Ok(())
}
