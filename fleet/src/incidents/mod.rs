//! Incidents: a cause, and whom it meets, from when it is noticed until nobody has it any more.
//!
//! `condition` reads them off the one judgement of each host ([`crate::status`]), with the longer `grace` that its labels may
//! give it, `plan` decides, `row` reads and writes.
//! The driver has them planned when hosts change and each half minute; a plan that changes something is made again in the
//! transaction that writes it. What there is to tell comes out of the plan beside the rows, and goes to the
//! outboxes of the channels in that transaction ([`crate::notices`]).
//!
//! Bounds: of incidents that have ended the newest [`row::MOST_ENDED`] are kept, of each of them [`row::MOST_MET`] hosts by
//! name, and how many it met. Those that stand are no more than there are hosts, for each host has one cause at a time.

mod condition;
pub(crate) mod grace;
pub(crate) mod link;
mod plan;
mod read;
pub(crate) mod row;
#[cfg(test)]
mod tests;

pub(crate) use condition::HostSeen;
pub use condition::ServerNeed;
pub use grace::{GraceInput, MOST_GRACE_HOURS, MOST_GRACES, grace_causes};
pub(crate) use read::{groups, hosts_seen, list, look, one, open, standing_counts};

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::notices::{self, Telling};
use crate::op::Op;
use crate::record::{
    Actor, AuditAction, AuditTarget, Cause, ChannelId, Incident, IncidentAck, LONGEST_REST_MS, Noted,
    Severity, Subject,
};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{INCIDENT_SUBJECTS, Reads, Span};
use condition::OwnNeed;
use link::AckLink;
use plan::{Notice, Plan, Seen};
use schema::{IncidentId, Timestamp};

/// The longest note, in characters.
const LONGEST_NOTE: usize = 500;

/// Somebody's word that an incident is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Until when it rests; `None` = until it ends, at most 30 days.
    pub until: Option<Timestamp>,
    /// What others should know; may be empty.
    pub note: String,
}

impl Fleet {
    /// Brings the incidents up to date with how the hosts stand, and the server: `server` is what it needs itself.
    pub async fn plan_incidents(&self, server: Vec<ServerNeed>) {
        if self.only_reads() {
            return;
        }
        let looked = self.read().and_then(|state| {
            let hosts = state.hosts_seen()?;
            Ok(state.incidents_change(&hosts, &server)?.then_some(hosts))
        });
        let hosts = match looked {
            Ok(Some(hosts)) => hosts,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "the incidents could not be looked through");
                return;
            }
        };
        let written = self.write(By::system(), move |op| {
            let plan = planned(op, &hosts, &server)?;
            row::apply(op, &plan)?;
            notices::tell(op, &tellings(&plan))?;
            Ok(plan.notices)
        });
        match written.await {
            Ok(notices) => notices.iter().for_each(log),
            Err(error) => tracing::error!(%error, "incidents could not be written"),
        }
    }

    /// Lets an incident rest, or takes that back (`None`). `shown` is how it was shown, for the audit.
    pub async fn acknowledge_incident(
        &self,
        id: IncidentId,
        word: Option<Acknowledgement>,
        shown: String,
        by: By,
    ) -> Result<(), Refused> {
        self.write(by, move |op| {
            let incident = row::find(op.tx, id)?;
            acknowledge(op, incident, word.as_ref(), &shown)
        })
        .await
    }

    /// Lets an incident rest on the word of whoever has the link of a message: its key, and from where it was asked.
    pub async fn acknowledge_by_link(
        &self,
        id: IncidentId,
        key: String,
        word: Acknowledgement,
        shown: String,
        peer: String,
    ) -> Result<(), Refused> {
        self.write(By { actor: Actor::Link(String::new()), peer }, move |op| {
            let incident = row::find(op.tx, id)?;
            let link = AckLink::read(id, &key, &op.facts.master);
            let channel = link::check(op.tx, link, &incident, op.now)?;
            let by = By { actor: Actor::Link(channel), ..op.by.clone() };
            acknowledge(&mut op.as_by(&by), incident, Some(&word), &shown)
        })
        .await
    }
}

/// Takes somebody's word of an incident, or takes it back.
fn acknowledge(
    op: &mut Op<'_, '_>,
    mut incident: Incident,
    word: Option<&Acknowledgement>,
    shown: &str,
) -> Result<(), Refused> {
    let id = incident.id;
    let action = match word {
        None if incident.ack.is_none() => return Ok(()),
        None => AuditAction::IncidentUnacknowledged,
        Some(_) if incident.ended.is_some() => return Err(Refused::IncidentEnded),
        Some(_) => AuditAction::IncidentAcknowledged,
    };
    incident.ack = word.map(|word| acknowledged(op, word)).transpose()?;
    let note = incident.ack.as_ref().map(|ack| ack.note.clone()).filter(|note| !note.is_empty());
    if incident.ack.is_some() {
        let count = count_of(op.tx, id)?;
        is_known(&mut incident, op.now, count);
    }
    row::put(op, &incident)?;
    if !incident.is_settled {
        link::acted(op, id)?;
    }
    op.tx.effects.changed(Changed::Incident(id));
    let detail = note.map_or_else(|| shown.to_owned(), |note| format!("{shown}: {note}"));
    Ok(audit::note(op, action, AuditTarget::Incident(id), detail)?)
}

fn planned(op: &mut Op<'_, '_>, hosts: &[HostSeen], server: &[ServerNeed]) -> Result<Plan, StoreError> {
    let (now, facts) = (op.now, op.facts);
    let known = row::standing(op.tx)?;
    let (channels, own) = with_channels(op.tx, server)?;
    let seen = Seen { hosts, own: &own, channels: &channels };
    Ok(plan::plan(now, seen, known, || IncidentId::new(now, facts.random())))
}

/// The channels that are on, and what the server needs, those of them that fail included: of that only their rows know.
fn with_channels(
    reads: &impl Reads,
    server: &[ServerNeed],
) -> Result<(Vec<ChannelId>, Vec<OwnNeed>), StoreError> {
    let channels = notices::channels_on(reads)?;
    let own = server.iter().map(|need| OwnNeed::from(*need));
    let failing = channels.iter().filter_map(|(channel, failing_since)| {
        let (subject, since) = (Subject::Channel(*channel), Some((*failing_since)?));
        Some(OwnNeed { subject, cause: Cause::Channel, severity: Severity::Warning, since })
    });
    let own = own.chain(failing).collect();
    Ok((channels.into_iter().map(|(channel, _)| channel).collect(), own))
}

/// What the plan has to tell, and of which incidents nobody needs to remember any more who was told.
fn tellings(plan: &Plan) -> Vec<Telling<'_>> {
    let mut all = Vec::new();
    for planned in plan.incidents.iter().filter(|planned| planned.changes()) {
        let incident = &planned.known.incident;
        let notice = plan.notices.iter().find(|notice| notice.incident == incident.id);
        let what = notice.map(|notice| (notice.event, notice.count));
        let is_over = what.is_some_and(|(event, _)| event.is_over());
        let met = planned.known.met.iter().filter(|(_, met)| is_over || met.left.is_none());
        all.push(Telling { incident, what, met: met.map(|(subject, _)| *subject).collect() });
    }
    all
}

fn acknowledged(op: &Op<'_, '_>, word: &Acknowledgement) -> Result<IncidentAck, Refused> {
    // As browsers send it.
    let note = word.note.replace("\r\n", "\n");
    let note = note.trim();
    if note.chars().count() > LONGEST_NOTE {
        return Err(Refused::invalid("note", format!("A note has at most {LONGEST_NOTE} characters.")));
    }
    if note.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Err(Refused::invalid("note", "A note has no control characters."));
    }
    let longest = op.now.plus_ms(LONGEST_REST_MS);
    let until = word.until.unwrap_or(longest);
    if until <= op.now || until > longest {
        return Err(Refused::invalid("until", "An incident rests until a time in the next 30 days."));
    }
    Ok(IncidentAck { by: op.by.actor.clone(), at: op.now, until, note: note.to_owned() })
}

fn count_of(reads: &impl Reads, id: IncidentId) -> Result<u32, StoreError> {
    let met = reads.rows(&INCIDENT_SUBJECTS, &Span::under(&id))?;
    let now = met.iter().filter(|(_, met)| met.left.is_none()).count();
    Ok(u32::try_from(now).unwrap_or(u32::MAX))
}

/// Whoever lets it rest knows how it stands: it is told again when it is worse than that.
fn is_known(incident: &mut Incident, now: Timestamp, count: u32) {
    let known = incident.noted.unwrap_or(Noted { at: now, severity: incident.severity, count });
    incident.noted = Some(Noted {
        severity: known.severity.max(incident.severity),
        count: known.count.max(count),
        ..known
    });
}

fn log(notice: &Notice) {
    let Notice { event, incident, cause, storage, severity, count } = notice;
    tracing::info!(
        %incident,
        event = event.as_str(),
        cause = cause.code(),
        storage = storage.as_deref().unwrap_or_default(),
        severity = severity.as_str(),
        count,
        "incident"
    );
}
