//! The head that all pages of a host share: name, state, presence, tabs.

use super::bar::BarView;
use super::run_button::{RunButton, why_short};
use crate::app::Ctx;
use crate::format::{When, ago, exact};
use crate::problem::Problem;
use crate::words::{Badge, host_badge};
use fleet::record::{HostFacts, Presence};
use fleet::{FleetState, HostRow, JobRequest, Refused};
use schema::Timestamp;
use serde::Serialize;

/// Connected or not, and since when.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PresenceView {
    pub(crate) online: bool,
    pub(crate) text: String,
    pub(crate) exact: Option<String>,
}

impl PresenceView {
    pub(crate) fn new(now: Timestamp, presence: &Presence) -> Self {
        let at = if presence.online { presence.changed_at } else { presence.last_seen_at };
        let text = match (presence.online, at) {
            (true, Some(since)) => format!("online since {}", ago(now, since)),
            (true, None) => "online".to_owned(),
            (false, Some(seen)) => format!("offline, last seen {}", ago(now, seen)),
            (false, None) => "never connected".to_owned(),
        };
        // "since 3 h ago" is no English.
        let text = text.replace("since now", "just now");
        let text = match text.strip_prefix("online since ").and_then(|rest| rest.strip_suffix(" ago")) {
            Some(span) => format!("online for {span}"),
            None => text,
        };
        Self { online: presence.online, text, exact: at.map(exact) }
    }
}

/// The one button of the head.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BackupButton {
    /// Where to choose a group, when there are several.
    pub(crate) href: Option<String>,
    pub(crate) action: String,
    pub(crate) run: RunButton,
}

/// The head.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostHead {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) href: String,
    /// The page that is shown, for its fragments.
    pub(crate) here: String,
    pub(crate) tab: &'static str,
    pub(crate) badge: Badge,
    /// The state that can be acknowledged.
    pub(crate) mark: Option<String>,
    /// Who has acknowledged it.
    pub(crate) acked: Option<(String, When)>,
    pub(crate) labels: Vec<String>,
    pub(crate) presence: PresenceView,
    pub(crate) facts: String,
    pub(crate) bar: Option<BarView>,
    pub(crate) backup: Option<BackupButton>,
    /// Where files are restored; `None` = there is no repository yet.
    pub(crate) restore: Option<String>,
}

#[cfg(test)]
impl HostHead {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        use super::bar::BarView;
        Self {
            id: "01".to_owned(),
            name: s.text("boat-pi"),
            href: "/hosts/01".to_owned(),
            here: "/hosts/01".to_owned(),
            tab: "overview",
            badge: Badge::new("ok", s.text("Ok")),
            mark: s.some("7f3a"),
            acked: Some((s.text("mira"), s.when())),
            labels: vec![s.text("boats")],
            presence: PresenceView {
                online: false,
                text: s.text("offline, last seen 2 h ago"),
                exact: s.some("Mon 23 Nov 2026 06:41:12 UTC"),
            },
            facts: s.text("Debian GNU/Linux 12, aarch64, 192.0.2.7"),
            bar: Some(BarView {
                title: s.text("A machine that connects as this host is refused"),
                text: s.text("From 192.0.2.9, last 5 min ago."),
                more: Some(("/x".to_owned(), "See what to do")),
            }),
            backup: Some(BackupButton { href: None, action: "/x".to_owned(), run: RunButton::sample(s) }),
            restore: Some("/hosts/01/restore".to_owned()),
        }
    }
}

/// The system, in a few words.
pub(crate) fn facts_line(facts: Option<&HostFacts>, peer: Option<&str>) -> String {
    let Some(facts) = facts else { return "no agent enrolled yet".to_owned() };
    let parts = [facts.os.as_str(), facts.arch.as_str(), peer.unwrap_or_default()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

impl HostHead {
    /// Reads the head of a host's page.
    pub(crate) fn read(
        ctx: &Ctx,
        state: &FleetState,
        host: &str,
        tab: &'static str,
    ) -> Result<(Self, HostRow), Problem> {
        let id = ctx.host(state, host)?.id;
        let row = state.host_row(id).ok_or(Refused::HostNotFound)?;
        let now = ctx.now();
        let href = format!("/hosts/{id}");
        let badge = match row.protected && row.status == fleet::Status::Ok {
            true => Badge::new("ok", "Protected"),
            false => host_badge(&row),
        };
        let groups = state.groups(id)?;
        let backup = match groups.as_slice() {
            [] => None,
            [group] => {
                let request = JobRequest::Backup { group: group.name.clone() };
                Some(BackupButton {
                    href: None,
                    action: format!("{href}/groups/{}/backup", group.name),
                    run: RunButton {
                        label: "Back up now".to_owned(),
                        why: why_short(state, id, &request)?,
                        ..RunButton::default()
                    },
                })
            }
            _ => Some(BackupButton {
                href: Some(format!("{href}#groups")),
                action: String::new(),
                run: RunButton::default(),
            }),
        };
        let head = Self {
            id: id.to_string(),
            name: row.host.name.clone(),
            restore: row.has_repo_credentials.then(|| format!("{href}/restore")),
            here: match tab {
                "overview" => href.clone(),
                tab => format!("{href}/{tab}"),
            },
            href,
            tab,
            badge,
            mark: row.needs_attention().then(|| row.mark()),
            acked: row.acked.as_ref().map(|acked| (crate::words::by(&acked.by), When::ago(now, acked.at))),
            labels: row.host.labels.clone(),
            presence: PresenceView::new(now, &row.presence),
            facts: facts_line(row.host.facts.as_ref(), row.presence.peer.as_deref()),
            bar: BarView::new(now, &row, &(ctx.app.settings.refused_connections)().rows),
            backup,
        };
        Ok((head, row))
    }
}
