//! Channels by which incidents are told, what waits there, and the routes that lead there. For admins.

use super::grace_form::{GraceForm, GraceLine};
use crate::app::Ctx;
use crate::format::{When, many};
use crate::notice::fault;
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use crate::words::{Badge, channel_leads_to, channel_state, channel_waits};
use ::fleet::record::{LostMessage, RouteState, Severity};
use ::fleet::{ChannelView, FleetState, RouteView};
use axum::body::Body;
use axum::http::Response;
use schema::Timestamp;
use serde::Serialize;

/// A message that was given up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LostLine {
    pub(crate) made: When,
    pub(crate) text: String,
    /// What the other side said last; may be empty.
    pub(crate) said: String,
}

impl LostLine {
    fn new(now: Timestamp, lost: &LostMessage, what: &str) -> Self {
        let notices = match lost.notices {
            0 => "A report".to_owned(),
            some => many(u64::from(some), what),
        };
        let tries = many(u64::from(lost.tries), "time");
        Self {
            made: When::ago(now, lost.made_at),
            text: format!("{notices}, tried {tries}. {}", fault(lost.error.fault)),
            said: lost.error.said.clone(),
        }
    }
}

/// How a channel stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChannelLine {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) to: String,
    pub(crate) state: Badge,
    pub(crate) sentence: String,
    /// What the other side said last; may be empty.
    pub(crate) said: String,
    pub(crate) waits: String,
    /// Messages that were given up, the newest first.
    pub(crate) lost: Vec<LostLine>,
    /// How many were given up before those, in words; may be empty.
    pub(crate) lost_before: String,
}

impl ChannelLine {
    pub(crate) fn new(now: Timestamp, channel: &ChannelView) -> Self {
        let stands = channel_state(now, channel);
        let before = u64::from(channel.lost_before);
        let what = if channel.channel.tells_incidents() { "notice" } else { "signal" };
        Self {
            name: channel.name.clone(),
            href: format!("/notices/channels/{}", channel.name),
            to: channel_leads_to(&channel.channel),
            state: Badge::new(stands.state, stands.short),
            sentence: stands.sentence,
            said: channel
                .failing
                .as_ref()
                .map(|(_, error)| error)
                .or(channel.refused.as_ref())
                .map(|error| error.said.clone())
                .unwrap_or_default(),
            waits: channel_waits(channel),
            lost: channel.lost.iter().rev().map(|lost| LostLine::new(now, lost, what)).collect(),
            lost_before: match before {
                0 => String::new(),
                before => format!("{} before.", many(before, "more message")),
            },
        }
    }

    #[cfg(test)]
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            name: s.text("mail"),
            href: "/notices/channels/mail".to_owned(),
            to: s.text("Mail to ada@example.com by mail.example.com"),
            state: Badge::new("failed", "fails"),
            sentence: "It began to fail 2 h ago. It did not answer in time. Tried 9 times, again in 40 min."
                .to_owned(),
            said: s.text("451 try again later"),
            waits: "Waiting: 2 notices in the message on its way, 5 notices for the next one.".to_owned(),
            lost: vec![LostLine {
                made: s.when(),
                text: "3 notices, tried 52 times. There was no connection.".to_owned(),
                said: s.text("connection refused"),
            }],
            lost_before: "4 more messages before.".to_owned(),
        }
    }
}

/// A route.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RouteLine {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) state: Badge,
    pub(crate) what: String,
    pub(crate) channels: String,
}

impl RouteLine {
    fn new(seen: &RouteView) -> Self {
        let route = &seen.route;
        let mut what = vec![match route.least {
            Severity::Warning => "Everything".to_owned(),
            Severity::Critical => "What is critical".to_owned(),
        }];
        if !route.causes.is_empty() {
            what.push(format!("of {}", many(route.causes.len() as u64, "cause")));
        }
        if !route.labels.is_empty() {
            what.push(format!("that meets hosts labelled {}", route.labels.join(", ")));
        }
        let quiet = route.quiet.as_ref().map(|quiet| {
            let [from, until] = quiet.window.ends();
            format!("; quiet from {from} to {until} ({})", quiet.timezone)
        });
        Self {
            name: route.name.clone(),
            href: format!("/notices/routes/{}", route.name),
            state: match route.state {
                RouteState::On if seen.channels.is_empty() => Badge::new("warning", "leads nowhere"),
                RouteState::On => Badge::new("ok", "on"),
                RouteState::Off => Badge::new("unset", "off"),
                RouteState::WhenTested => Badge::new("warning", "waits for a test"),
            },
            what: format!("{}{}", what.join(" "), quiet.unwrap_or_default()),
            channels: if seen.channels.is_empty() {
                "no channel".to_owned()
            } else {
                seen.channels.join(", ")
            },
        }
    }
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NoticesView {
    pub(crate) channels: Vec<ChannelLine>,
    pub(crate) routes: Vec<RouteLine>,
    /// Labels with a grace of their own.
    pub(crate) graces: Vec<GraceLine>,
    pub(crate) grace: GraceForm,
}

impl View for NoticesView {
    const TEMPLATE: &'static str = "page/notices.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &["channels"];
}

#[cfg(test)]
impl crate::sample::Samples for NoticesView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let well = ChannelLine {
            state: Badge::new("ok", "works"),
            sentence: "The last message was taken 2 h ago.".to_owned(),
            said: String::new(),
            waits: String::new(),
            lost: Vec::new(),
            lost_before: String::new(),
            ..ChannelLine::sample(s)
        };
        let route = RouteLine {
            name: s.text("everything"),
            href: "/notices/routes/everything".to_owned(),
            state: Badge::new("warning", "waits for a test"),
            what: s.text("Everything; quiet from 22:00 to 07:00 (Europe/Helsinki)"),
            channels: s.text("mail, ops"),
        };
        let grace = GraceLine {
            label: s.text("laptop"),
            long: "5 d".to_owned(),
            causes: s.text("missed, offline, old"),
            changed: s.when(),
            by: s.text("mira"),
        };
        let full = Self {
            channels: vec![ChannelLine::sample(s), well],
            routes: vec![route],
            graces: vec![grace],
            grace: GraceForm::sample(s, None),
        };
        let wrong = |field| Self { grace: GraceForm::sample(s, Some(field)), ..full.clone() };
        let mut views = ["label", "hours", "causes"].map(wrong).to_vec();
        let grace = GraceForm::blank();
        views.extend([full, Self { channels: Vec::new(), routes: Vec::new(), graces: Vec::new(), grace }]);
        views
    }
}

/// `GET /notices`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(|ctx, state| ctx.page(&read(ctx, state)?)).await
}

/// All of it, with an empty form.
pub(crate) fn read(ctx: &Reading, state: &FleetState) -> Result<NoticesView, Problem> {
    let now = ctx.now();
    let routes = state.routes()?;
    let line = |channel: &ChannelView| {
        let mut line = ChannelLine::new(now, channel);
        let is_led = routes.iter().any(|seen| seen.channels.contains(&channel.name));
        if !is_led && channel.channel.tells_incidents() {
            line.sentence += " No route leads here: it is told nothing.";
        }
        line
    };
    let channels = state.channels()?.iter().map(line).collect();
    let routes = routes.iter().map(RouteLine::new).collect();
    let graces = state.graces()?.iter().map(|grace| GraceLine::new(now, grace)).collect();
    Ok(NoticesView { channels, routes, graces, grace: GraceForm::blank() })
}
