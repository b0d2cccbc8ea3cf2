//! The messages that pass between the server, its hosts and MQTT viewers, decoded, newest first.

use super::filter_link::FilterLink;
use crate::app::Ctx;
use crate::format::{clock, count, exact, rfc3339};
use crate::problem::Problem;
use crate::query::Query;
use crate::template::View;
use axum::body::Body;
use axum::http::Response;
use fleet::FleetState;
use fleet::traffic::{Direction, Message};
use schema::{HostId, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The rate is taken over this long.
const RATE_OVER_MS: u64 = 10_000;
const ALL: &str = "hf/1/#";
const KINDS: [&str; 8] = ["cmd", "plan", "evt", "live", "presence", "repo/stats", "bulk", "view"];

/// A message's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MessageView {
    pub(crate) time: String,
    pub(crate) iso: String,
    pub(crate) exact: String,
    pub(crate) way: &'static str,
    /// The topic: before the host's id, the host's name, behind it.
    pub(crate) before: String,
    pub(crate) name: String,
    pub(crate) behind: String,
    pub(crate) topic: String,
    pub(crate) retained: bool,
    pub(crate) says: String,
    pub(crate) meta: String,
    pub(crate) content: String,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TopicsView {
    pub(crate) filter: String,
    pub(crate) problem: Option<String>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) kinds: Vec<FilterLink>,
    /// Where the filters with their counts are fetched again.
    pub(crate) kinds_href: String,
    pub(crate) paused: bool,
    /// Pause, or go on.
    pub(crate) pause_href: String,
    /// Where what comes next is fetched.
    pub(crate) next_href: String,
    pub(crate) rate: String,
    pub(crate) rows: Vec<MessageView>,
}

impl View for TopicsView {
    const TEMPLATE: &'static str = "page/topics.html";
    const NAV: &'static str = "topics";
    const PARTS: &'static [&'static str] = &["topics-next", "topics-kinds"];
}

#[cfg(test)]
impl crate::sample::Samples for TopicsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        [true, false]
            .map(|paused| Self {
                filter: s.text("hf/1/#"),
                problem: s.some("# stands alone, as the last level."),
                kind: Some("cmd"),
                kinds: vec![FilterLink::sample(s)],
                kinds_href: "/topics?part=topics-kinds".to_owned(),
                paused,
                pause_href: "/topics?pause=1".to_owned(),
                next_href: "/topics?part=topics-next&after=7".to_owned(),
                rate: s.text("0.3 messages a second"),
                rows: vec![MessageView {
                    time: "06:41:12".to_owned(),
                    iso: "2026-11-23T06:41:12Z".to_owned(),
                    exact: s.text("Mon 23 Nov 2026 06:41:12 UTC"),
                    way: "from host",
                    before: s.text("hf/1/h/"),
                    name: s.text("boat-pi"),
                    behind: s.text("/evt"),
                    topic: s.text("hf/1/h/01/evt"),
                    retained: true,
                    says: s.text("finished"),
                    meta: s.text("qos 1, 412 B"),
                    content: s.text("{}"),
                }],
            })
            .into()
    }
}

/// `GET /topics`, with `topic` (an MQTT filter), `kind`, `pause`, and `after` for what came since.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.watch_traffic();
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &query)?)).await
}

fn read(ctx: &Ctx, state: &FleetState, query: &Query) -> Result<TopicsView, Problem> {
    let filter = query.get("topic").unwrap_or(ALL).trim().to_owned();
    let kind = query.get("kind").and_then(|kind| KINDS.into_iter().find(|known| *known == kind));
    let paused = query.get("pause").is_some();
    let after = query.get("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    let kept = ctx.app.fleet.traffic(0);
    let newest = kept.first().map_or(after, |message| message.number);
    let mut names = BTreeMap::new();
    for host in kept.iter().filter_map(|message| message.host).collect::<BTreeSet<_>>() {
        names.extend(state.host(host)?.map(|record| (host, record.name)));
    }
    let fits = |message: &&Arc<Message>| {
        matches(&filter, &message.topic) || matches(&filter, &named(&names, message))
    };
    let wanted: Vec<&Arc<Message>> = kept.iter().filter(fits).collect();
    let address = |kind: Option<&str>, pause: bool, after: Option<u64>| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        if filter != ALL {
            text.append_pair("topic", &filter);
        }
        if let Some(kind) = kind {
            text.append_pair("kind", kind);
        }
        if pause {
            text.append_pair("pause", "1");
        }
        if let Some(after) = after {
            text.append_pair("part", "topics-next").append_pair("after", &after.to_string());
        }
        match text.finish() {
            query if query.is_empty() => "/topics".to_owned(),
            query => format!("/topics?{query}"),
        }
    };
    let of_kind = |word: &str| wanted.iter().filter(|message| message.kind == word).count() as u64;
    let link = |label: &str, word: Option<&'static str>, number: u64| FilterLink {
        label: label.to_owned(),
        href: address(word, paused, None),
        count: count(number),
        current: kind == word,
    };
    let mut kinds = vec![link("All", None, wanted.len() as u64)];
    kinds.extend(KINDS.into_iter().map(|word| link(word, Some(word), of_kind(word))));
    let rows: Vec<MessageView> = wanted
        .iter()
        .filter(|message| message.number > after && kind.is_none_or(|kind| message.kind == kind))
        .map(|message| row(&names, message))
        .collect();
    Ok(TopicsView {
        problem: check(&filter).err().map(str::to_owned),
        kinds,
        kinds_href: {
            let here = address(kind, false, None);
            format!("{here}{}part=topics-kinds", if here.contains('?') { '&' } else { '?' })
        },
        pause_href: address(kind, !paused, None),
        next_href: address(kind, false, Some(newest)),
        rate: rate(&kept, ctx.now()),
        kind,
        paused,
        rows,
        filter,
    })
}

/// The topic with the host's name in the place of its id.
fn named(names: &BTreeMap<HostId, String>, message: &Message) -> String {
    match message.host.and_then(|host| Some((host, names.get(&host)?))) {
        Some((host, name)) => message.topic.replace(&host.to_string(), name),
        None => message.topic.clone(),
    }
}

fn row(names: &BTreeMap<HostId, String>, message: &Message) -> MessageView {
    let id = message.host.map(|host| host.to_string()).unwrap_or_default();
    let (before, behind) = match message.topic.split_once(&id) {
        Some((before, behind)) if !id.is_empty() => (before.to_owned(), behind.to_owned()),
        _ => (message.topic.clone(), String::new()),
    };
    MessageView {
        time: clock(message.at),
        iso: rfc3339(message.at),
        exact: exact(message.at),
        way: match message.way {
            Direction::FromHost => "from host",
            Direction::ToHost => "to host",
            Direction::View => "to viewers",
        },
        before,
        name: message.host.and_then(|host| names.get(&host).cloned()).unwrap_or(id),
        behind,
        topic: message.topic.clone(),
        retained: message.retained,
        says: message.says.clone(),
        meta: format!("qos {}, {} B", message.qos, count(message.bytes as u64)),
        content: message.content.clone(),
    }
}

/// Messages a second, over the last seconds.
fn rate(kept: &[Arc<Message>], now: Timestamp) -> String {
    let recent = kept.iter().take_while(|message| now.ms_since(message.at) < RATE_OVER_MS).count() as u64;
    format!("{}.{} messages a second", recent / 10, recent % 10)
}

/// What is wrong with an MQTT filter.
fn check(filter: &str) -> Result<(), &'static str> {
    let levels: Vec<&str> = filter.split('/').collect();
    for (place, level) in levels.iter().enumerate() {
        if level.contains('#') && (*level != "#" || place + 1 != levels.len()) {
            return Err("# stands alone, as the last level.");
        }
        if level.contains('+') && *level != "+" {
            return Err("+ stands alone in its level.");
        }
    }
    Ok(())
}

/// Whether a topic fits an MQTT filter.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_fit_topics_as_the_standard_says() {
        for (filter, topic, fits) in [
            ("#", "hf/1/a/cmd", true),
            ("hf/1/#", "hf/1/a/repo/stats", true),
            ("hf/1/a/#", "hf/1/a", true),
            ("hf/1/+/cmd", "hf/1/a/cmd", true),
            ("hf/1/+/cmd", "hf/1/a/evt", false),
            ("hf/1/+", "hf/1/a/cmd", false),
            ("hf/1/a/cmd", "hf/1/a/cmd", true),
            ("hf/1/a", "hf/1/a/cmd", false),
            ("hf/1/a/cmd/x", "hf/1/a/cmd", false),
            ("", "hf", false),
        ] {
            assert_eq!(matches(filter, topic), fits, "{filter} {topic}");
        }
        for filter in ["#/a", "a#", "a/b+", "a/#/b"] {
            assert!(check(filter).is_err(), "{filter}");
        }
        for filter in ["#", "+/+", "hf/1/+/#", "a"] {
            assert!(check(filter).is_ok(), "{filter}");
        }
    }
}
