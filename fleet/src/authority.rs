//! Which authorities enrolled agents trust: their certificates stand in the data file, and travel in plans.
//!
//! An agent trusts what its enrolment token named and what its plan says, and nothing else. A server that comes with
//! another authority locks all of them out, and nothing on its pages would say so; so it does not start.
//!
//! There is one, the **present** one, and while it is replaced a second, the **next**: agents are told of it long before it
//! is needed, and say in their hello that they have it. Once all have it, or a person gives up those that have not, the
//! present one is retired, and the next becomes the present.

use crate::access_row::{bound, fingerprint, trusted};
use crate::addresses::{Dependent, all_arrivals, dependents_of};
use crate::audit;
use crate::fleet::Fleet;
use crate::link::plan;
use crate::op::Op;
use crate::record::meta::{META_AUTHORITY, META_TRUSTED, Meta};
use crate::record::{AuditAction, AuditTarget, Fingerprint, TrustedAuthority};
use crate::refused::{OpenError, Refused, StoreError};
use crate::request::By;
use crate::roster::RosterEntry;
use crate::store::{ARRIVALS, LINKS, META, Reads, Span};
use data_encoding::{BASE64, HEXLOWER};

/// An authority that agents are told to trust, and who does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityUse {
    /// Its certificate, and since when agents are told of it.
    pub authority: TrustedAuthority,
    /// SHA-256 of that.
    pub fingerprint: Fingerprint,
    /// Enrolled hosts whose agents have said that they trust it.
    pub hosts: usize,
    /// Those that have not, or that have said nothing since they were enrolled.
    pub lacking: usize,
    /// The first [`crate::MOST_LISTED`] of them, by name.
    pub listed: Vec<Dependent>,
}

/// SHA-256 of a certificate, as people compare it.
fn in_words(fingerprint: &Fingerprint) -> String {
    HEXLOWER.encode(fingerprint)
}

/// How the authorities that a server has fit what is written down.
#[derive(Debug, PartialEq, Eq)]
enum Fits {
    Same,
    /// Nothing is, or what nobody has been enrolled with.
    Unused,
    /// The present one is there, and the next one, of which agents are told, is not.
    NoNext {
        present: Fingerprint,
        next: Fingerprint,
    },
    /// This one of what is written down is not there.
    Other(Fingerprint),
}

/// Pure. `found`: the present one, and the next when there is one.
fn judge(bound: &[Fingerprint], found: &[Fingerprint], is_used: bool) -> Fits {
    match bound {
        [] => Fits::Unused,
        // A next one that is not written down yet was made by a server that was ended before it could be.
        _ if found.starts_with(bound) => Fits::Same,
        // A retirement was written down, and the server was ended before the files followed.
        [only] if found.get(1) == Some(only) => Fits::Same,
        _ if !is_used => Fits::Unused,
        &[present, next] if found == [present] => Fits::NoNext { present, next },
        [first, ..] => Fits::Other(bound.iter().find(|it| !found.contains(it)).copied().unwrap_or(*first)),
    }
}

/// Whether the authorities that a server has are those that agents trust, or nobody trusts any yet: pure.
pub(crate) fn is_usual(bound: &[Fingerprint], found: &[Fingerprint]) -> bool {
    matches!(judge(bound, found, true), Fits::Same | Fits::Unused)
}

/// SHA-256 of the first certificate of a text in PEM form; `None` = there is none.
pub(crate) fn fingerprint_of(pem: &[u8]) -> Option<Fingerprint> {
    let (_, text) = std::str::from_utf8(pem).ok()?.split_once("-----BEGIN CERTIFICATE-----")?;
    let (text, _) = text.split_once("-----END CERTIFICATE-----")?;
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    Some(fingerprint(&BASE64.decode(plain.as_bytes()).ok()?))
}

/// Refuses authorities that enrolled agents don't trust, unless a person has accepted them.
fn check(reads: &impl Reads, found: &[Fingerprint], is_accepted: bool) -> Result<Fits, OpenError> {
    let is_used = !reads.keys(&LINKS, &Span::ALL, 1)?.is_empty();
    match judge(&bound(reads)?, found, is_used) {
        Fits::Other(bound) if !is_accepted => Err(OpenError::OtherAuthority {
            bound: in_words(&bound),
            found: found.iter().map(in_words).collect::<Vec<_>>().join(", "),
        }),
        Fits::NoNext { next, .. } if !is_accepted => {
            Err(OpenError::NoNextAuthority { next: in_words(&next) })
        }
        fits => Ok(fits),
    }
}

/// The same; how many hosts it locks out, all that are enrolled or none. `None` = the next start makes one.
pub(crate) fn locks_out(
    reads: &impl Reads,
    found: Option<&[Fingerprint]>,
    is_accepted: bool,
) -> Result<usize, OpenError> {
    let fits = found.map(|found| check(reads, found, is_accepted)).transpose()?;
    match fits {
        Some(Fits::Same | Fits::Unused) => Ok(0),
        Some(Fits::NoNext { present, .. }) => Ok(lacking(reads, &present)?),
        Some(Fits::Other(_)) | None => Ok(reads.keys(&LINKS, &Span::ALL, usize::MAX)?.len()),
    }
}

/// The same, and writes down those that are used from now on; `found` are their certificates.
pub(crate) fn bind(op: &mut Op<'_, '_>, found: &[Vec<u8>], is_accepted: bool) -> Result<(), OpenError> {
    let fingerprints: Vec<Fingerprint> = found.iter().map(|it| fingerprint(it)).collect();
    let fits = check(op.tx, &fingerprints, is_accepted)?;
    let before = bound(op.tx)?;
    if fits == Fits::Same && !fingerprints.starts_with(&before) {
        // The present one is retired already.
        return Ok(());
    }
    store(op, found)?;
    let accepted = match fits {
        Fits::Other(bound) => {
            let found = fingerprints.iter().map(in_words).collect::<Vec<_>>().join(", ");
            Some(format!("{found} instead of {}: every host has to be enrolled again", in_words(&bound)))
        }
        Fits::NoNext { present, next } => Some(format!(
            "the next one, {}, is given up; hosts that are not known to trust the present one: {}",
            in_words(&next),
            lacking(op.tx, &present)?
        )),
        Fits::Same | Fits::Unused => None,
    };
    if let Some(detail) = accepted {
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

/// Agents trust these from now on, and are told so.
fn store(op: &mut Op<'_, '_>, certificates: &[Vec<u8>]) -> Result<(), StoreError> {
    let before = trusted(op.tx)?;
    if before.iter().map(|it| &it.certificate).eq(certificates) {
        return Ok(());
    }
    let now = op.now;
    let since = |certificate: &Vec<u8>| {
        before.iter().find(|it| it.certificate == *certificate).map_or(now, |it| it.since)
    };
    let after: Vec<TrustedAuthority> = certificates
        .iter()
        .map(|certificate| TrustedAuthority { certificate: certificate.clone(), since: since(certificate) })
        .collect();
    if let Some(present) = certificates.first() {
        op.tx.put(&META, &META_AUTHORITY.to_owned(), &Meta::Authority(fingerprint(present)))?;
    }
    op.tx.put(&META, &META_TRUSTED.to_owned(), &Meta::Trusted(after))?;
    for host in op.tx.keys(&LINKS, &Span::ALL, usize::MAX)? {
        plan::changed(op.tx, host)?;
    }
    Ok(())
}

/// How many enrolled hosts have not said that they trust an authority.
fn lacking(reads: &impl Reads, fingerprint: &Fingerprint) -> Result<usize, StoreError> {
    let mut hosts = 0;
    for host in reads.keys(&LINKS, &Span::ALL, usize::MAX)? {
        let arrivals = reads.get(&ARRIVALS, &host)?.unwrap_or_default();
        hosts += usize::from(!arrivals.trusts.contains(fingerprint));
    }
    Ok(hosts)
}

/// The authorities that agents are told of, and who trusts them.
pub(crate) fn uses(reads: &impl Reads, entries: &[RosterEntry]) -> Result<Vec<AuthorityUse>, StoreError> {
    let (mut uses, arrivals) = (Vec::new(), all_arrivals(reads)?);
    for authority in trusted(reads)? {
        let fingerprint = fingerprint(&authority.certificate);
        let enrolled = entries.iter().filter(|entry| entry.host.enrolled_at.is_some()).count();
        let (lacking, listed) =
            dependents_of(&arrivals, entries, |arrivals| !arrivals.trusts.contains(&fingerprint));
        uses.push(AuthorityUse { authority, fingerprint, hosts: enrolled - lacking, lacking, listed });
    }
    Ok(uses)
}

impl Fleet {
    /// Tells agents of an authority that follows the present one. There is room for one.
    pub async fn trust_next_authority(&self, certificate: Vec<u8>, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let present: Vec<Vec<u8>> = trusted(op.tx)?.into_iter().map(|it| it.certificate).collect();
            let [present] = present.as_slice() else {
                return Err(Refused::invalid(
                    "authority",
                    "a next authority is on its way to agents already",
                ));
            };
            let detail = in_words(&fingerprint(&certificate));
            audit::note(op, AuditAction::AuthorityNext, AuditTarget::Server, detail)?;
            Ok(store(op, &[present.clone(), certificate.clone()])?)
        })
        .await
    }

    /// The next authority becomes the present one: agents are told to trust it alone. Hosts whose agents have not said that
    /// they trust it are lost, until somebody enrols them anew; only who says so by `is_forced` may lose any.
    pub async fn retire_authority(&self, is_forced: bool, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let trusted: Vec<Vec<u8>> = trusted(op.tx)?.into_iter().map(|it| it.certificate).collect();
            let [present, next] = trusted.as_slice() else {
                return Err(Refused::invalid("authority", "there is no next authority to take its place"));
            };
            let lost = lacking(op.tx, &fingerprint(next))?;
            if lost > 0 && !is_forced {
                return Err(Refused::WouldLose { hosts: lost });
            }
            let mut detail =
                format!("{}, after {}", in_words(&fingerprint(next)), in_words(&fingerprint(present)));
            if lost > 0 {
                detail.push_str(&format!("; hosts that did not trust it: {lost}"));
            }
            audit::note(op, AuditAction::AuthorityRetired, AuditTarget::Server, detail)?;
            Ok(store(op, std::slice::from_ref(next))?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_has_fits_what_agents_trust_also_when_a_change_was_torn() {
        let [a, b, c] = [1u8, 2, 3].map(|n| [n; 32]);
        let table: [(&str, &[Fingerprint], &[Fingerprint], Fits); 9] = [
            ("a first start", &[], &[a], Fits::Unused),
            ("as ever", &[a], &[a], Fits::Same),
            ("both", &[a, b], &[a, b], Fits::Same),
            ("the next was made, not written down", &[a], &[a, b], Fits::Same),
            ("the present is retired, its files are left", &[b], &[a, b], Fits::Same),
            ("another one", &[a], &[c], Fits::Other(a)),
            (
                "the next is lost, of which agents were told",
                &[a, b],
                &[a],
                Fits::NoNext { present: a, next: b },
            ),
            ("the present is lost", &[a, b], &[b], Fits::Other(a)),
            ("another next", &[a, b], &[a, c], Fits::Other(b)),
        ];
        for (name, bound, found, fits) in table {
            assert_eq!(judge(bound, found, true), fits, "{name}");
            let unused = judge(bound, found, false);
            assert!(unused == fits || unused == Fits::Unused, "{name}: nobody is locked out");
            assert_ne!(unused, Fits::Other(a), "{name}");
        }
    }
}
