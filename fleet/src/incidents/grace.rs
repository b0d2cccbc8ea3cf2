//! How long a cause may last before it is an incident; hosts with a label may be given longer. A laptop that is closed for days
//! needs nobody.
//!
//! A label only makes it longer: what a person has to look at at once, and what the server needs itself, has none. One value of
//! the file.

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::nearest::nearest;
use crate::record::meta::{META_GRACES, Meta};
use crate::record::{AuditAction, AuditTarget, Cause, Grace};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{META, Reads};
use crate::units::{DAY_MS, MINUTE_MS};
use schema::name;
use std::collections::BTreeSet;

/// The most labels with a grace of their own.
pub const MOST_GRACES: usize = 64;
/// The longest grace, in hours: 90 days.
pub const MOST_GRACE_HOURS: u16 = 90 * 24;
const HOUR_MS: u64 = 3_600_000;

/// A grace as a person describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraceInput {
    /// The label.
    pub label: String,
    /// The causes, by their codes; none = [`Grace::USUAL`].
    pub causes: Vec<String>,
    /// How long, in hours.
    pub hours: u16,
}

/// How long a cause has to last before it is an incident: what may mend itself gets the time, and hosts that fall
/// together are counted together.
pub(super) const fn grace_ms(cause: Cause) -> u64 {
    match cause {
        // A person has to look, however it goes on.
        Cause::Quarantine
        | Cause::Damaged
        | Cause::Replaced
        | Cause::ProofFailed
        | Cause::Loss
        | Cause::Unusual { .. }
        | Cause::BackupsHeld
        | Cause::Wire => 0,
        // Somebody is setting it up.
        Cause::NotEnrolled | Cause::NoRepository | Cause::NoGroup | Cause::Never | Cause::NoSchedule => {
            DAY_MS
        }
        _ => 5 * MINUTE_MS,
    }
}

/// The codes of the causes that a label may give longer: no cause of that code is one that a person has to look at at once.
#[must_use]
pub fn grace_causes() -> BTreeSet<&'static str> {
    let codes = |may: bool| Cause::all().filter(move |cause| may_last(*cause) == may).map(Cause::code);
    let at_once: BTreeSet<&str> = codes(false).collect();
    codes(true).filter(|code| !at_once.contains(code)).collect()
}

const fn may_last(cause: Cause) -> bool {
    !cause.is_of_server() && grace_ms(cause) > 0
}

/// All of them, by label.
pub(crate) fn all(reads: &impl Reads) -> Result<Vec<Grace>, StoreError> {
    match reads.get(&META, &META_GRACES.to_owned())? {
        None => Ok(Vec::new()),
        Some(Meta::Graces(all)) => Ok(all),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// How long hosts with these labels may have a cause, in milliseconds: the longest that any of them gives; 0 = none gives any.
pub(super) fn longer_ms(graces: &[Grace], labels: &[String], cause: Cause) -> u64 {
    let gives = |grace: &&Grace| {
        labels.contains(&grace.label) && grace.causes.iter().any(|code| code == cause.code())
    };
    let hours = graces.iter().filter(gives).map(|grace| grace.hours).max().filter(|_| may_last(cause));
    u64::from(hours.unwrap_or(0)) * HOUR_MS
}

fn read(input: &GraceInput) -> Result<(Vec<String>, u16), Refused> {
    if !name::is_valid(&input.label) {
        return Err(Refused::invalid("label", "A label has letters, digits, and . _ - between them."));
    }
    if !(1..=MOST_GRACE_HOURS).contains(&input.hours) {
        let why = format!("A grace lasts from 1 to {MOST_GRACE_HOURS} hours (90 days).");
        return Err(Refused::invalid("hours", why));
    }
    let known = grace_causes();
    let given: BTreeSet<String> = input.causes.iter().map(|code| code.trim().to_owned()).collect();
    if let Some(other) = given.iter().find(|code| !known.contains(code.as_str())) {
        let mut like = Cause::all().filter(|cause| cause.code() == other);
        let why = match like.next() {
            None => {
                let meant = nearest(other, &known);
                format!("There is no cause {other:?}: did you mean {meant:?}?")
            }
            Some(cause) if cause.is_of_server() => {
                format!("The cause {other:?} is of the server itself, which has no labels.")
            }
            Some(_) => {
                format!("The cause {other:?} has no longer grace: a person has to look at it at once.")
            }
        };
        return Err(Refused::invalid("causes", why));
    }
    let causes = match given.is_empty() {
        true => Grace::USUAL.map(str::to_owned).to_vec(),
        false => given.into_iter().collect(),
    };
    Ok((causes, input.hours))
}

impl Fleet {
    /// Sets how long hosts with a label may have some causes before that is an incident; what was set for that label before
    /// is no more.
    pub async fn set_grace(&self, input: GraceInput, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let (causes, hours) = read(&input)?;
            let mut known = all(op.tx)?;
            known.retain(|grace| grace.label != input.label);
            if known.len() >= MOST_GRACES {
                let message =
                    format!("There are {MOST_GRACES} labels with a grace of their own; delete one first.");
                return Err(Refused::invalid("label", message));
            }
            let detail = format!("{}: {hours} h, {}", input.label, causes.join(", "));
            let (label, changed_at, changed_by) = (input.label.clone(), op.now, op.by.actor.clone());
            known.push(Grace { label, causes, hours, changed_at, changed_by });
            known.sort_by(|one, other| one.label.cmp(&other.label));
            op.tx.put(&META, &META_GRACES.to_owned(), &Meta::Graces(known))?;
            op.tx.effects.changed(Changed::Notices);
            Ok(audit::note(op, AuditAction::GraceChanged, AuditTarget::Server, detail)?)
        })
        .await
    }

    /// Hosts with this label have no longer grace than others any more.
    pub async fn delete_grace(&self, label: String, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let mut known = all(op.tx)?;
            let before = known.len();
            known.retain(|grace| grace.label != label);
            if known.len() == before {
                return Err(Refused::GraceNotFound);
            }
            op.tx.put(&META, &META_GRACES.to_owned(), &Meta::Graces(known))?;
            op.tx.effects.changed(Changed::Notices);
            Ok(audit::note(op, AuditAction::GraceDeleted, AuditTarget::Server, label.clone())?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Actor;
    use schema::Timestamp;

    fn grace(label: &str, causes: &[&str], hours: u16) -> Grace {
        Grace {
            label: label.to_owned(),
            causes: causes.iter().map(|code| (*code).to_owned()).collect(),
            hours,
            changed_at: Timestamp(0),
            changed_by: Actor::System,
        }
    }

    #[test]
    fn the_longest_grace_of_a_hosts_labels_counts_and_none_for_what_a_person_has_to_look_at() {
        let all = [
            grace("laptop", &["offline", "missed"], 72),
            grace("away", &["offline"], 100),
            grace("lab", &["damaged"], 9),
        ];
        let longer = |labels: &[&str], cause| {
            let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
            longer_ms(&all, &labels, cause) / HOUR_MS
        };
        assert_eq!(longer(&["laptop"], Cause::Offline), 72);
        assert_eq!(longer(&["laptop", "away"], Cause::Offline), 100);
        assert_eq!(longer(&["laptop", "away"], Cause::Missed), 72);
        assert_eq!(longer(&["laptop"], Cause::Old), 0);
        assert_eq!(longer(&[], Cause::Offline), 0);
        assert_eq!(longer(&["lab"], Cause::Damaged), 0, "also where a file says otherwise");
        let may = grace_causes();
        assert!(Grace::USUAL.iter().all(|code| may.contains(code)), "{may:?}");
        assert!(["damaged", "quarantine", "server_disk", "channel"].iter().all(|code| !may.contains(code)));
    }

    #[test]
    fn what_is_no_grace_names_its_field() {
        let input = |label: &str, causes: &[&str], hours| GraceInput {
            label: label.to_owned(),
            causes: causes.iter().map(|code| (*code).to_owned()).collect(),
            hours,
        };
        let field = |input: &GraceInput| read(input).err().and_then(|refused| refused.field());
        assert_eq!(field(&input("a b", &[], 1)), Some("label"));
        assert_eq!(field(&input("laptop", &[], 0)), Some("hours"));
        assert_eq!(field(&input("laptop", &[], MOST_GRACE_HOURS + 1)), Some("hours"));
        assert_eq!(field(&input("laptop", &["rain"], 1)), Some("causes"));
        assert_eq!(field(&input("laptop", &["quarantine"], 1)), Some("causes"));
        for (cause, why) in [
            ("offlin", "did you mean \"offline\"?"),
            ("channel", "is of the server itself, which has no labels"),
            ("damaged", "a person has to look at it at once"),
        ] {
            let refused = read(&input("laptop", &["offline", cause], 1)).err().unwrap();
            assert!(
                matches!(&refused, Refused::InvalidInput { message, .. } if message.contains(why)),
                "{refused:?}"
            );
        }
        let usual = read(&input("laptop", &[], 48)).unwrap();
        assert_eq!(usual, (Grace::USUAL.map(str::to_owned).to_vec(), 48));
    }
}
