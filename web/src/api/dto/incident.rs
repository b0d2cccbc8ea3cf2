//! Incidents.

use super::time::time;
use super::words;
use crate::format::rfc3339;
use crate::words::incident_title;
use fleet::record::Left;
use fleet::{IncidentState, IncidentView, MetChannel, MetHost};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When an incident has become worse.
#[derive(Serialize, ToSchema)]
#[schema(as = Worsened)]
pub(crate) struct WorsenedOut {
    at: String,
    /// How many it met before.
    from: u32,
    /// How many then; as many as before: it became critical.
    to: u32,
}

/// Who lets an incident rest.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentAcknowledgement)]
pub(crate) struct IncidentAckOut {
    /// `operator`, `token`, `schedule`, `system` or `agent`.
    #[schema(value_type = words::ActorKind)]
    by_kind: &'static str,
    by: String,
    at: String,
    until: String,
    note: String,
}

/// A host that an incident meets, or met.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentHost)]
pub(crate) struct IncidentHostOut {
    id: String,
    name: String,
    /// Since when it has the cause, as far as is known.
    since: String,
    /// When what its last backup failed of was seen to be mended: it waits for a good backup to show it; null: it was not.
    mended_at: Option<String>,
    /// When it had it no more; null: it still has it.
    left_at: Option<String>,
    /// It is well; false while it has the cause, and when it has another one.
    recovered: bool,
}

/// A channel of notices that an incident meets, or met.
#[derive(Serialize, ToSchema)]
#[schema(as = IncidentChannel)]
pub(crate) struct IncidentChannelOut {
    name: String,
    /// Since when it fails.
    since: String,
    /// When it worked again; null: it still fails.
    left_at: Option<String>,
}

/// A cause, and whom it meets.
#[derive(Serialize, ToSchema)]
#[schema(as = Incident)]
pub(crate) struct IncidentOut {
    id: String,
    /// `noticed`: in its grace, it may be over before it is an incident.
    #[schema(value_type = words::IncidentState)]
    state: &'static str,
    #[schema(value_type = words::IncidentCause)]
    cause: &'static str,
    /// The same in words.
    text: String,
    #[schema(value_type = words::Severity)]
    severity: &'static str,
    /// At which storage; null: the cause is of none, or nobody knows.
    storage: Option<String>,
    /// It is of the server itself.
    of_server: bool,
    /// Since when the first one has the cause, as far as is known.
    since: String,
    noticed_at: String,
    opened_at: Option<String>,
    ended_at: Option<String>,
    #[schema(value_type = Option<words::IncidentEnding>)]
    ended_by: Option<&'static str>,
    /// How many have the cause now.
    count: u32,
    /// How many of them are mended, and wait for a good backup to show it.
    mended: u32,
    /// The most that had it at once.
    most: u32,
    /// When it last became worse.
    worsened: Option<WorsenedOut>,
    acknowledgement: Option<IncidentAckOut>,
    /// The incident from which hosts went on to this one, with another cause.
    follows: Option<String>,
    /// The hosts that it meets, then those that it met. Deleted ones are not there.
    hosts: Vec<IncidentHostOut>,
    /// How many more there are: lists have 20 of each, an incident by itself 500. Of one that has ended for good 200 are
    /// kept.
    hosts_left_out: u32,
    /// Of the cause `channel`: the channels that fail, then those that failed. Deleted ones are not there.
    channels: Vec<IncidentChannelOut>,
}

/// Somebody's word that an incident is known.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IncidentAcknowledgementInput)]
pub(crate) struct IncidentAckIn {
    /// Until when it rests, RFC 3339, at most 30 days; absent: until it ends, at most 30 days.
    pub(crate) until: Option<String>,
    /// What others should know, at most 500 characters.
    #[serde(default)]
    pub(crate) note: String,
}

impl From<IncidentView> for IncidentOut {
    fn from(seen: IncidentView) -> Self {
        let IncidentView { incident, count, mended, hosts, hosts_left_out, channels } = seen;
        Self {
            id: incident.id.to_string(),
            state: IncidentState::of(&incident).as_str(),
            cause: incident.cause.code(),
            text: incident_title(&incident),
            severity: incident.severity.as_str(),
            of_server: incident.cause.is_of_server(),
            since: rfc3339(incident.since),
            noticed_at: rfc3339(incident.noticed_at),
            opened_at: time(incident.opened_at),
            ended_at: time(incident.ended.map(|(at, _)| at)),
            ended_by: incident.ended.map(|(_, ending)| ending.as_str()),
            count,
            mended,
            most: incident.most,
            worsened: incident.worsened.map(|worsened| WorsenedOut {
                at: rfc3339(worsened.at),
                from: worsened.from,
                to: worsened.to,
            }),
            acknowledgement: incident.ack.map(|ack| IncidentAckOut {
                by_kind: ack.by.kind(),
                by: ack.by.name().to_owned(),
                at: rfc3339(ack.at),
                until: rfc3339(ack.until),
                note: ack.note,
            }),
            follows: incident.follows.map(|before| before.to_string()),
            hosts: hosts.into_iter().map(IncidentHostOut::from).collect(),
            hosts_left_out,
            channels: channels.into_iter().map(IncidentChannelOut::from).collect(),
            storage: incident.storage,
        }
    }
}

impl From<MetChannel> for IncidentChannelOut {
    fn from(met: MetChannel) -> Self {
        Self { name: met.name, since: rfc3339(met.since), left_at: time(met.left_at) }
    }
}

impl From<MetHost> for IncidentHostOut {
    fn from(met: MetHost) -> Self {
        Self {
            id: met.host.to_string(),
            name: met.name,
            since: rfc3339(met.since),
            mended_at: time(met.mended_at),
            left_at: time(met.left.map(|(at, _)| at)),
            recovered: met.left.is_some_and(|(_, left)| left == Left::Recovered),
        }
    }
}
