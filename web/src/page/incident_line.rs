//! An incident as pages show it.

use super::attention::SafeAction;
use super::cause::cause_of;
use crate::format::{When, ago, count, many, span};
use crate::words::{by, incident_title};
use ::fleet::record::{Cause, Incident, Left, Severity};
use ::fleet::{FleetState, IncidentState, IncidentView, MetChannel, MetHost};
use schema::Timestamp;
use serde::Serialize;

/// So many hosts are named beside an incident.
const MOST_NAMES: usize = 3;

/// A host, or a channel, that an incident meets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MetLine {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) text: String,
}

/// Who lets it rest.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AckLine {
    pub(crate) by: String,
    pub(crate) until: When,
    pub(crate) note: String,
}

/// An incident.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IncidentLine {
    pub(crate) id: String,
    pub(crate) href: String,
    pub(crate) title: String,
    /// The state in the templates, by which it has its colour and icon.
    pub(crate) state: &'static str,
    pub(crate) is_critical: bool,
    /// Whom it meets, in words, before and behind the names.
    pub(crate) whom: String,
    pub(crate) names: Vec<MetLine>,
    pub(crate) more: Option<String>,
    /// Since when, and what became of it.
    pub(crate) told: String,
    pub(crate) ack: Option<AckLine>,
    pub(crate) hosts: Vec<MetLine>,
    pub(crate) left_out: Option<String>,
    /// The one safe step.
    pub(crate) action: Option<SafeAction>,
    pub(crate) follows: Option<String>,
}

impl IncidentLine {
    pub(crate) fn new(now: Timestamp, state: &FleetState, seen: IncidentView) -> Self {
        let IncidentView { incident, count: has_it, mended, hosts, hosts_left_out, channels } = seen;
        let now_met: Vec<&MetHost> = hosts.iter().filter(|host| host.left.is_none()).collect();
        let number = u64::from(has_it);
        let failing = channels.iter().filter(|channel| channel.left_at.is_none());
        let names =
            now_met.iter().map(|host| met(now, host)).chain(failing.map(|channel| failed(now, channel)));
        let names = names.take(MOST_NAMES).collect::<Vec<_>>();
        let more = number.saturating_sub(names.len() as u64);
        let href = format!("/incidents/{}", incident.id);
        let action = match now_met.as_slice() {
            [only] if has_it == 1 => state
                .host_row(only.host)
                .filter(|row| row.needs_attention())
                .map(|row| cause_of(now, &row).1.action(&row.host.id.to_string())),
            _ => None,
        };
        Self {
            id: incident.id.to_string(),
            title: incident_title(&incident),
            state: icon(&incident),
            is_critical: incident.severity == Severity::Critical,
            whom: whom(&incident, number),
            more: (more > 0 && !names.is_empty()).then(|| format!("and {} more", count(more))),
            names,
            told: told(now, &incident, mended),
            ack: incident.ack.as_ref().map(|ack| AckLine {
                by: by(&ack.by),
                until: When::until(ack.until),
                note: ack.note.clone(),
            }),
            hosts: hosts
                .iter()
                .map(|host| met(now, host))
                .chain(channels.iter().map(|channel| failed(now, channel)))
                .collect(),
            left_out: (hosts_left_out > 0)
                .then(|| format!("{} are not listed", many(u64::from(hosts_left_out), "more host"))),
            action,
            follows: incident.follows.map(|before| format!("/incidents/{before}")),
            href,
        }
    }

    /// Those of a list.
    pub(crate) fn all(now: Timestamp, state: &FleetState, seen: Vec<IncidentView>) -> Vec<Self> {
        seen.into_iter().map(|seen| Self::new(now, state, seen)).collect()
    }
}

fn met(now: Timestamp, host: &MetHost) -> MetLine {
    let text = match host.left {
        None if host.mended_at.is_some() => {
            format!("since {}; mended, waits for proof by a good backup", When::until(host.since).text)
        }
        None => format!("since {}", When::until(host.since).text),
        Some((at, Left::Recovered)) => format!("recovered {}", ago(now, at)),
        Some((at, Left::OtherCause)) => format!("has another cause since {}", When::until(at).text),
    };
    MetLine { name: host.name.clone(), href: format!("/hosts/{}", host.host), text }
}

fn failed(now: Timestamp, channel: &MetChannel) -> MetLine {
    let text = match channel.left_at {
        None => format!("since {}", When::until(channel.since).text),
        Some(at) => format!("worked again {}", ago(now, at)),
    };
    MetLine { name: channel.name.clone(), href: "/notices".to_owned(), text }
}

fn icon(incident: &Incident) -> &'static str {
    match (IncidentState::of(incident), incident.severity) {
        (IncidentState::Ended, _) => "ok",
        (_, Severity::Critical) => "failed",
        (_, Severity::Warning) => "warning",
    }
}

fn whom(incident: &Incident, number: u64) -> String {
    let noun = noun(incident.cause);
    if incident.cause.is_of_server() && incident.cause != Cause::Channel {
        return "The server itself. See Settings.".to_owned();
    }
    if number == 0 {
        return format!("It met {}.", many(u64::from(incident.most), noun));
    }
    let hosts = many(number, noun);
    match (&incident.storage, number) {
        (Some(_), 2..) => format!("{hosts} at one storage:"),
        _ => format!("{hosts}:"),
    }
}

/// What those are who have it.
const fn noun(cause: Cause) -> &'static str {
    match cause {
        Cause::Channel => "channel",
        _ => "host",
    }
}

/// Since when, how it became worse, how it ended.
fn told(now: Timestamp, incident: &Incident, mended: u32) -> String {
    let since = When::until(incident.since).text;
    let mut text = match incident.ended {
        None => format!("Since {since} ({}).", span(now.ms_since(incident.since))),
        Some((at, ending)) => format!(
            "From {since} to {} ({}): {}.",
            When::until(at).text,
            span(at.ms_since(incident.since)),
            crate::words::ending(ending)
        ),
    };
    if let Some(worsened) = &incident.worsened {
        let at = When::until(worsened.at).text;
        text = if worsened.to > worsened.from {
            format!(
                "{text} Worsened {at}: {} to {}.",
                count(u64::from(worsened.from)),
                many(u64::from(worsened.to), noun(incident.cause))
            )
        } else {
            format!("{text} Became critical {at}.")
        };
    }
    match mended {
        0 => text,
        1 => format!("{text} 1 host is mended and waits for proof by a good backup."),
        hosts => {
            format!("{text} {} hosts are mended and wait for proof by a good backup.", count(hosts.into()))
        }
    }
}

#[cfg(test)]
impl IncidentLine {
    pub(crate) fn sample(s: &crate::sample::Sample, state: &'static str) -> Self {
        let host = || MetLine {
            name: s.text("boat-pi"),
            href: "/hosts/01".to_owned(),
            text: s.text("since Mon 23 Nov 06:41 UTC"),
        };
        let is_open = state != "ok";
        Self {
            id: "01".to_owned(),
            href: "/incidents/01".to_owned(),
            title: s.text("The storage nas:8000 can't be reached"),
            state,
            is_critical: state == "failed",
            whom: s.text("7 hosts at one storage:"),
            names: vec![host(), host()],
            more: s.some("and 5 more"),
            told: s.text("Since Mon 23 Nov 06:41 UTC (3 h). Worsened Mon 23 Nov 07:02 UTC: 4 to 7 hosts."),
            ack: (state == "warning").then(|| AckLine {
                by: s.text("mira"),
                until: s.when(),
                note: s.text("Disk ordered, comes Saturday."),
            }),
            hosts: vec![host(), host()],
            left_out: s.some("2 more hosts are not listed"),
            action: is_open.then(|| SafeAction::look("See why", "/jobs/01".to_owned())),
            follows: Some("/incidents/00".to_owned()).filter(|_| is_open),
        }
    }
}
