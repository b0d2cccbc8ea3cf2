//! `GET /api/events`: server-sent events that say what changed, never what it changed to.
//!
//! A client holds a set of topics; a change that hits one of them makes an event `{"topic": "host/<id>"}`, and the
//! client fetches what it shows again. A topic is told at most four times a second; what changes in between is told
//! once, afterwards (a topic about all hosts once a second). Nothing queues up: what is due is a set of topics, bounded, and when it overflows (or the
//! server's own channel did, or the client comes back with a `Last-Event-ID`) one event with the topic `all` says
//! "look at everything again". The stream ends when the session does, or the server.

use crate::app::{App, Caller, Ctx};
use crate::problem::Problem;
use crate::streams::{Holder, StreamPlace};
use axum::extract::RawQuery;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use fleet::{Change, ChangeSeq, Changed};
use futures_util::stream::unfold;
use schema::{HostId, JobId};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::Instant;

/// A topic is told at most once in this time.
const EVERY: Duration = Duration::from_millis(250);
/// The same for a topic that is about all hosts: whoever watches reads all of them again.
const EVERY_OF_ALL: Duration = Duration::from_secs(1);
/// And for the list of the hosts, whose rows are told one by one.
const EVERY_OF_LIST: Duration = Duration::from_secs(10);
/// How often it is looked whether the session still stands.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A comment goes out when nothing else does, so that both ends notice a dead line.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The most topics that are due at once.
const MOST_DUE: usize = 256;
/// Everything may have changed.
const ALL: &str = "all";

/// The topics that a change hits. `hosts` goes with `fleet`: it is about which hosts there are and in what order, and
/// is told more rarely, for each host has a topic of its own.
fn topics(what: &Changed) -> Vec<String> {
    let mut topics = topics_of(what);
    if topics.iter().any(|topic| topic == "fleet") {
        topics.push("hosts".to_owned());
    }
    topics
}

fn topics_of(what: &Changed) -> Vec<String> {
    match what {
        Changed::Host(host) => vec![format!("host/{host}"), "fleet".to_owned()],
        Changed::Job { host, job } => {
            vec![format!("job/{job}"), format!("host/{host}"), "fleet".to_owned(), "jobs".to_owned()]
        }
        Changed::JobLive { host, job } => vec![format!("job/{job}/live"), format!("host/{host}/live")],
        Changed::JobLog { job, .. } => vec![format!("job/{job}/log")],
        Changed::Repo(host) => vec![format!("repo/{host}"), format!("host/{host}"), "fleet".to_owned()],
        Changed::Groups(host) => vec![format!("groups/{host}"), format!("host/{host}"), "fleet".to_owned()],
        Changed::Schedules(host) => {
            vec![format!("schedules/{host}"), format!("host/{host}"), "fleet".to_owned()]
        }
        Changed::Pending(host) => vec!["pending".to_owned(), format!("host/{host}"), "fleet".to_owned()],
        Changed::Credentials(host) => vec![format!("credentials/{host}"), format!("host/{host}")],
        // A host that stands differently by time alone is told by this only.
        Changed::Incident(_) => vec!["incidents".to_owned(), "hosts".to_owned()],
        Changed::Audit => vec!["audit".to_owned()],
        Changed::Accounts => vec!["accounts".to_owned()],
        Changed::Kits => vec!["kits".to_owned()],
        Changed::Integrations => vec!["integrations".to_owned()],
        Changed::Notices => vec!["notices".to_owned()],
        Changed::Plan(_) => Vec::new(),
        // What every page shows at its top.
        Changed::Damage | Changed::Succeeded => vec!["fleet".to_owned()],
        Changed::Traffic => vec!["traffic".to_owned()],
    }
}

/// A topic as it is told, from what a client asked for; `None` = there is no such topic.
fn topic_of(text: &str) -> Option<String> {
    if matches!(
        text,
        "fleet"
            | "hosts"
            | "incidents"
            | "jobs"
            | "pending"
            | "audit"
            | "accounts"
            | "kits"
            | "integrations"
            | "notices"
            | "traffic"
    ) {
        return Some(text.to_owned());
    }
    let (kind, rest) = text.split_once('/')?;
    let (id, more) = rest.split_once('/').map_or((rest, None), |(id, more)| (id, Some(more)));
    let id = match (kind, more) {
        ("host", None | Some("live")) | ("repo" | "groups" | "schedules" | "credentials", None) => {
            id.parse::<HostId>().ok()?.to_string()
        }
        ("job", None | Some("live" | "log")) => id.parse::<JobId>().ok()?.to_string(),
        _ => return None,
    };
    Some(more.map_or_else(|| format!("{kind}/{id}"), |more| format!("{kind}/{id}/{more}")))
}

fn pause(topic: &str) -> Duration {
    match topic {
        "hosts" => EVERY_OF_LIST,
        "fleet" | "incidents" | "jobs" | "pending" | "traffic" => EVERY_OF_ALL,
        _ => EVERY,
    }
}

/// What one client is still to be told: pure, driven with the time.
struct Due {
    /// Topics that the client has asked for; empty = all.
    wanted: BTreeSet<String>,
    /// Topics that have changed and were not told yet.
    due: BTreeSet<String>,
    /// When each was told last; forgotten once it may be told again.
    told: BTreeMap<String, Instant>,
    /// The newest change that was seen.
    seq: ChangeSeq,
}

impl Due {
    fn new(wanted: BTreeSet<String>, behind: bool) -> Self {
        let due = if behind { BTreeSet::from([ALL.to_owned()]) } else { BTreeSet::new() };
        Self { wanted, due, told: BTreeMap::new(), seq: ChangeSeq::default() }
    }

    fn changed(&mut self, change: &Change) {
        self.seq = change.seq;
        if self.due.contains(ALL) {
            return;
        }
        for topic in topics(&change.what) {
            if self.wanted.is_empty() || self.wanted.contains(&topic) {
                self.due.insert(topic);
            }
        }
        if self.due.len() > MOST_DUE {
            self.lost_count();
        }
    }

    fn lost_count(&mut self) {
        self.due = BTreeSet::from([ALL.to_owned()]);
    }

    /// One topic to tell now.
    fn next(&mut self, now: Instant) -> Option<String> {
        self.told.retain(|topic, at| now.saturating_duration_since(*at) < pause(topic));
        let topic = self.due.iter().find(|topic| !self.told.contains_key(*topic))?.clone();
        self.due.remove(&topic);
        self.told.insert(topic.clone(), now);
        Some(topic)
    }

    /// When the next topic may be told.
    fn wake_at(&self) -> Option<Instant> {
        self.due.iter().filter_map(|topic| Some(*self.told.get(topic)? + pause(topic))).min()
    }
}

struct Watch {
    app: App,
    caller: Option<Caller>,
    changes: Receiver<Change>,
    due: Due,
    look_at: Instant,
    stopped: watch::Receiver<bool>,
    ended: bool,
    _place: StreamPlace,
}

/// Whose share a stream of this request counts for.
fn holders(ctx: &Ctx) -> Vec<Holder> {
    let caller = ctx.caller.as_ref().map(|caller| match (&caller.token, &caller.actor) {
        (Some(_), actor) => Holder::Token(actor.name().to_owned()),
        (None, actor) => Holder::Account(actor.name().to_owned()),
    });
    let address = crate::origin::origin(&ctx.peer);
    caller.into_iter().chain([Holder::Address(address)]).collect()
}

#[expect(clippy::disallowed_methods, reason = "this is the driver of a stream: its pace is real time")]
fn now() -> Instant {
    Instant::from_std(std::time::Instant::now())
}

impl Watch {
    /// Whether the one who asked may still look.
    fn stands(&self) -> bool {
        let Some(caller) = &self.caller else { return false };
        let Ok(snapshot) = self.app.fleet.read() else { return true };
        let found = match (&caller.session, &caller.token) {
            (Some(session), _) => snapshot.session(session.cookie.expose()).map(|found| found.is_some()),
            (None, Some(token)) => snapshot.api_token(token.expose()).map(|found| found.is_some()),
            (None, None) => Ok(false),
        };
        // A store that can't be read for a moment ends nothing.
        found.unwrap_or(true)
    }

    /// Messages are decoded only for as long as somebody looks at them.
    fn keep_watching(&self) {
        if self.due.wanted.contains("traffic") {
            self.app.fleet.watch_traffic();
        }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended {
                return None;
            }
            self.drain();
            if let Some(topic) = self.due.next(now()) {
                let data = serde_json::json!({"topic": topic}).to_string();
                return Some(Event::default().id(self.due.seq.to_string()).data(data));
            }
            let wake_at = self.due.wake_at().map_or(self.look_at, |at| at.min(self.look_at));
            let mut stopped = self.stopped.clone();
            tokio::select! {
                Ok(_) = stopped.wait_for(|stopped| *stopped) => self.ended = true,
                change = self.changes.recv() => self.take(change),
                () = tokio::time::sleep_until(wake_at) => {}
            }
            if now() >= self.look_at {
                self.look_at = now() + LOOK_EVERY;
                self.keep_watching();
                if !self.stands() {
                    self.ended = true;
                    return Some(Event::default().event("bye").data("{}"));
                }
            }
        }
    }

    fn take(&mut self, change: Result<Change, RecvError>) {
        match change {
            Ok(change) => {
                // Signing out is a change of the accounts: look at once.
                if change.what == Changed::Accounts {
                    self.look_at = now();
                }
                self.due.changed(&change);
            }
            Err(RecvError::Lagged(_)) => self.due.lost_count(),
            Err(RecvError::Closed) => self.ended = true,
        }
    }

    fn drain(&mut self) {
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.take(Ok(change)),
                Err(TryRecvError::Lagged(missed)) => self.take(Err(RecvError::Lagged(missed))),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Closed) => return self.take(Err(RecvError::Closed)),
            }
        }
    }
}

/// The newest change that the client knows of: `since`.
fn since(query: &str) -> Option<ChangeSeq> {
    let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "since")?;
    value.parse().ok().map(ChangeSeq)
}

/// The stream.
pub(crate) async fn stream(
    ctx: Ctx,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let place = ctx.app.streams.take(holders(&ctx))?;
    let wanted = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes())
        .filter(|(key, _)| key == "topics")
        .flat_map(|(_, value)| value.split(',').map(str::to_owned).collect::<Vec<_>>())
        .filter(|topic| !topic.is_empty())
        .map(|topic| {
            topic_of(&topic).ok_or_else(|| {
                Problem::invalid("topics", format!("There is no topic {}.", crate::format::cut(&topic, 80)))
            })
        })
        .collect::<Result<_, _>>()?;
    let changes = ctx.app.fleet.changes();
    // Between what the page knows and this stream something may have changed that nobody told it.
    let since = query.as_deref().and_then(since);
    let behind = headers.contains_key("last-event-id")
        || since.is_some_and(|since| since != ctx.app.fleet.change_seq());
    let watch = Watch {
        changes,
        stopped: ctx.app.settings.stopped.clone(),
        app: ctx.app,
        caller: ctx.caller,
        due: Due::new(wanted, behind),
        look_at: now() + LOOK_EVERY,
        ended: false,
        _place: place,
    };
    watch.keep_watching();
    let events = unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    // A proxy that buffers would hold events back.
    Ok(([("x-accel-buffering", "no")], Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(seq: u64, what: Changed) -> Change {
        Change { seq: ChangeSeq(seq), what }
    }

    const HOST: HostId = HostId([1; 16]);
    const JOB: JobId = JobId([2; 16]);

    #[test]
    fn a_topic_is_told_at_most_four_times_a_second_and_the_last_change_is_not_lost() {
        let start = now();
        let mut due = Due::new(BTreeSet::from([format!("job/{JOB}/live")]), false);
        let mut told = Vec::new();
        for ms in 0..1_000 {
            let at = start + Duration::from_millis(ms);
            due.changed(&change(ms, Changed::JobLive { host: HOST, job: JOB }));
            told.extend(due.next(at).map(|_| ms));
        }
        assert_eq!(told, [0, 250, 500, 750]);
        let at = due.wake_at().unwrap();
        assert_eq!(due.next(at), Some(format!("job/{JOB}/live")));
        assert_eq!((due.next(at), due.wake_at()), (None, None), "and then there is nothing more");
    }

    #[test]
    fn what_is_not_wanted_is_not_told() {
        let mut due = Due::new(BTreeSet::from(["audit".to_owned()]), false);
        due.changed(&change(1, Changed::Host(HOST)));
        assert_eq!(due.next(now()), None);
        due.changed(&change(2, Changed::Audit));
        assert_eq!(due.next(now()).as_deref(), Some("audit"));
        assert_eq!(due.seq, ChangeSeq(2));
    }

    #[test]
    fn each_topic_that_is_told_may_be_asked_for_and_no_other() {
        let (host, job) = (HOST, JOB);
        for what in [
            Changed::Host(host),
            Changed::Job { host, job },
            Changed::JobLive { host, job },
            Changed::JobLog { host, job },
            Changed::Repo(host),
            Changed::Groups(host),
            Changed::Schedules(host),
            Changed::Pending(host),
            Changed::Credentials(host),
            Changed::Audit,
            Changed::Accounts,
            Changed::Kits,
            Changed::Integrations,
            Changed::Notices,
            Changed::Incident(schema::IncidentId([3; 16])),
            Changed::Traffic,
            Changed::Damage,
            Changed::Succeeded,
        ] {
            for topic in topics(&what) {
                assert_eq!(topic_of(&topic), Some(topic));
            }
        }
        for text in ["all", "host", "host/", "host/attic", "boxes", &format!("repo/{HOST}/live")] {
            assert_eq!(topic_of(text), None, "{text}");
        }
    }

    #[test]
    fn too_many_topics_become_one() {
        let mut due = Due::new(BTreeSet::new(), false);
        for n in 0..2 * MOST_DUE as u64 {
            let host = HostId(u128::from(n).to_be_bytes());
            due.changed(&change(n, Changed::Host(host)));
        }
        assert_eq!(due.next(now()).as_deref(), Some(ALL));
        assert!(due.due.is_empty());
    }

    #[test]
    fn who_comes_back_looks_at_everything() {
        assert_eq!(Due::new(BTreeSet::new(), true).next(now()).as_deref(), Some(ALL));
    }
}
