//! Which authority enrolled agents trust: its fingerprint stands in the data file.
//!
//! An agent trusts what its enrolment token named, and nothing else. A server that comes with another authority locks
//! all of them out, and nothing on its pages would say so; so it does not start.

use crate::audit;
use crate::op::Op;
use crate::record::meta::{META_AUTHORITY, Meta};
use crate::record::{AuditAction, AuditTarget};
use crate::refused::{OpenError, StoreError};
use crate::request::By;
use crate::store::{LINKS, META, Reads, Span};
use data_encoding::HEXLOWER;

/// SHA-256 of a certificate, as people compare it.
fn in_words(fingerprint: &[u8; 32]) -> String {
    HEXLOWER.encode(fingerprint)
}

/// How an authority fits what is written down.
enum Fits {
    Same,
    /// None is, or another one with which nobody has been enrolled.
    Unused,
    Other([u8; 32]),
}

fn judge(reads: &impl Reads, found: &[u8; 32]) -> Result<Fits, StoreError> {
    match reads.get(&META, &META_AUTHORITY.to_owned())? {
        None => Ok(Fits::Unused),
        Some(Meta::Authority(bound)) if bound == *found => Ok(Fits::Same),
        Some(Meta::Authority(_)) if reads.keys(&LINKS, &Span::ALL, 1)?.is_empty() => Ok(Fits::Unused),
        Some(Meta::Authority(bound)) => Ok(Fits::Other(bound)),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// Refuses an authority that enrolled agents don't trust, unless a person has accepted it.
fn check(reads: &impl Reads, found: &[u8; 32], is_accepted: bool) -> Result<Fits, OpenError> {
    match judge(reads, found)? {
        Fits::Other(bound) if !is_accepted => {
            Err(OpenError::OtherAuthority { bound: in_words(&bound), found: in_words(found) })
        }
        fits => Ok(fits),
    }
}

/// The same; how many hosts it locks out, all that are enrolled or none. `None` = the next start makes one.
pub(crate) fn locks_out(
    reads: &impl Reads,
    found: Option<&[u8; 32]>,
    is_accepted: bool,
) -> Result<usize, OpenError> {
    let fits = found.map(|found| check(reads, found, is_accepted)).transpose()?;
    match fits {
        Some(Fits::Same | Fits::Unused) => Ok(0),
        Some(Fits::Other(_)) | None => Ok(reads.keys(&LINKS, &Span::ALL, usize::MAX)?.len()),
    }
}

/// The same, and writes down the one that is used from now on.
pub(crate) fn bind(op: &mut Op<'_, '_>, found: &[u8; 32], is_accepted: bool) -> Result<(), OpenError> {
    let fits = check(op.tx, found, is_accepted)?;
    if let Fits::Same = fits {
        return Ok(());
    }
    op.tx.put(&META, &META_AUTHORITY.to_owned(), &Meta::Authority(*found))?;
    if let Fits::Other(bound) = fits {
        let (found, bound) = (in_words(found), in_words(&bound));
        let detail = format!("{found} instead of {bound}: every host has to be enrolled again");
        tracing::warn!(detail, "another authority was accepted");
        audit::note(
            &mut op.as_by(&By::system()),
            AuditAction::AuthorityAccepted,
            AuditTarget::Server,
            detail,
        )?;
    }
    Ok(())
}
