//! The messages that pass, decoded, for whoever watches them just now.
//!
//! Nothing is opened or kept while nobody watches. Secrets are left out here, before anything is kept; the newest
//! [`KEPT`] messages are held in memory, older ones go.

use crate::change::Changed;
use crate::context::Context;
use crate::fleet::Fleet;
use crate::link::earlier;
use schema::command::{Command, CommandBody, ConfigUpdate, Credentials};
use schema::{
    Bulk, BulkBody, HostId, HostTopic, Items, JobId, Live, Plan, Presence, RepoId, RepoStats, Report,
    Timestamp, ToAgent, Topic, limits::MAX_VALUE_BYTES,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// So many messages are kept.
pub const KEPT: usize = 500;
/// Who looked this long ago does not watch any more.
const WATCHED_FOR_MS: u64 = 90_000;
/// The longest content that is kept, in bytes.
const MAX_CONTENT_BYTES: usize = 8 * 1024;
/// What stands where a secret was.
const LEFT_OUT: &str = "redacted";

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a host.
    FromHost,
    /// To a host.
    ToHost,
    /// To the viewers.
    View,
}

/// A message that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Grows by one with each.
    pub number: u64,
    /// When the message passed.
    pub at: Timestamp,
    /// Whether it came from a host, or went to a host or to the viewers.
    pub way: Direction,
    /// The host, unless it went to the viewers.
    pub host: Option<HostId>,
    /// The MQTT topic.
    pub topic: String,
    /// Its last part, by which kinds are told apart: `cmd`, `evt`, `view`, …
    pub kind: &'static str,
    /// The QoS that it was sent with, by MQTT's numbers.
    pub qos: u8,
    /// Whether the broker keeps it for who comes later.
    pub retained: bool,
    /// How long it was on the wire, sealed.
    pub bytes: usize,
    /// What it says, in a word or two.
    pub says: String,
    /// What it says, as JSON, secrets left out.
    pub content: String,
}

/// The newest messages, and whether anybody wants them.
#[derive(Default)]
pub(crate) struct Traffic {
    watched_until: AtomicU64,
    kept: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    number: u64,
    messages: VecDeque<Arc<Message>>,
}

impl Fleet {
    /// Somebody looks: what passes in the next minute and a half is kept. What was kept for who looked before that is
    /// let go when there was nobody in between.
    pub fn watch_traffic(&self) {
        let context = self.context();
        let (now, traffic) = (context.now(), &context.traffic);
        let until = traffic.watched_until.swap(now.0.saturating_add(WATCHED_FOR_MS), Ordering::Relaxed);
        if until < now.0 {
            traffic.kept.lock().unwrap_or_else(PoisonError::into_inner).messages.clear();
        }
    }

    /// The messages after a number, newest first.
    #[must_use]
    pub fn traffic(&self, after: u64) -> Vec<Arc<Message>> {
        let context = self.context();
        let kept = context.traffic.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.messages.iter().rev().take_while(|message| message.number > after).cloned().collect()
    }

    /// A message of the view tree; `None` takes its topic away.
    pub fn saw_view(&self, topic: &str, content: Option<&Value>) {
        let context = self.context();
        if context.traffic_is_watched() {
            let bytes = content.map_or(0, |content| content.to_string().len());
            let says = if content.is_some() { String::new() } else { "taken away".to_owned() };
            let seen = SeenMessage {
                way: Direction::View,
                host: None,
                topic,
                kind: "view",
                qos: 0,
                retained: true,
                bytes,
            };
            context.keep(&seen, says, content.unwrap_or(&Value::Null));
        }
    }
}

struct SeenMessage<'a> {
    way: Direction,
    host: Option<HostId>,
    topic: &'a str,
    kind: &'static str,
    qos: u8,
    retained: bool,
    bytes: usize,
}

impl<'a> SeenMessage<'a> {
    fn of_host(host: HostId, topic: HostTopic, text: &'a str, bytes: usize) -> Self {
        let way = if topic.is_from_agent() { Direction::FromHost } else { Direction::ToHost };
        let qos = u8::from(!matches!(topic, HostTopic::Live | HostTopic::Bulk));
        let (kind, retained) = (topic.suffix(), topic.is_retained());
        Self { way, host: Some(host), topic: text, kind, qos, retained, bytes }
    }
}

impl Context {
    pub(crate) fn traffic_is_watched(&self) -> bool {
        let until = self.traffic.watched_until.load(Ordering::Relaxed);
        // Further ahead it was set by a clock that was wrong.
        let now = self.now().0;
        until > 0 && now < until && until <= now.saturating_add(WATCHED_FOR_MS)
    }

    /// A message of a host that opened.
    pub(crate) fn saw_from_host(&self, host: HostId, topic: HostTopic, bytes: usize, message: &[u8]) {
        if !self.traffic_is_watched() {
            return;
        }
        let decoded = decoded(topic, message).or_else(|| decoded(topic, &earlier::read(topic, message)?));
        self.saw(host, topic, bytes, &decoded.unwrap_or_else(|| json!("not understood")));
    }

    /// A command that is handed to a host's session.
    pub(crate) fn saw_command(&self, host: HostId, bytes: usize, message: &[u8]) {
        let content = match schema::decode::<ToAgent<'_>>(message) {
            Ok(command) => written(&without_secrets(command)),
            Err(_) => json!("not understood"),
        };
        self.saw(host, HostTopic::Cmd, bytes, &content);
    }

    pub(crate) fn saw_ack(&self, host: HostId, bytes: usize, ack: &ToAgent<'_>) {
        if self.traffic_is_watched() {
            self.saw(host, HostTopic::Cmd, bytes, &written(ack));
        }
    }

    pub(crate) fn saw_plan(&self, host: HostId, bytes: usize, plan: &Plan<'_>) {
        if self.traffic_is_watched() {
            self.saw(host, HostTopic::Plan, bytes, &written(plan));
        }
    }

    fn saw(&self, host: HostId, topic: HostTopic, bytes: usize, content: &Value) {
        let text = Topic::Host(host, topic).to_string();
        self.keep(&SeenMessage::of_host(host, topic, &text, bytes), says(content), content);
    }

    fn keep(&self, seen: &SeenMessage<'_>, says: String, content: &Value) {
        let &SeenMessage { way, host, topic, kind, qos, retained, bytes } = seen;
        let mut content = serde_json::to_string_pretty(content).unwrap_or_default();
        if content.len() > MAX_CONTENT_BYTES {
            content.truncate(content.floor_char_boundary(MAX_CONTENT_BYTES));
            content.push_str("\n… cut here");
        }
        let topic = topic[..topic.floor_char_boundary(MAX_VALUE_BYTES)].to_owned();
        {
            let mut kept = self.traffic.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.number += 1;
            let (number, at) = (kept.number, self.now());
            let message = Message { number, at, way, host, topic, kind, qos, retained, bytes, says, content };
            kept.messages.push_back(Arc::new(message));
            if kept.messages.len() > KEPT {
                kept.messages.pop_front();
            }
        }
        self.tell(Changed::Traffic);
    }
}

/// What a message of a host says; `None` = it is not understood.
fn decoded(topic: HostTopic, message: &[u8]) -> Option<Value> {
    match topic {
        HostTopic::Evt => schema::decode::<Report<'_>>(message).ok().as_ref().map(written),
        HostTopic::Live => schema::decode::<Live<'_>>(message).ok().as_ref().map(written),
        HostTopic::Presence => schema::decode::<Presence<'_>>(message).ok().as_ref().map(written),
        HostTopic::RepoStats => schema::decode::<RepoStats<'_>>(message).ok().as_ref().map(written),
        // Of the bytes of somebody's files, only how many.
        HostTopic::Bulk => schema::decode::<Bulk<'_>>(message).ok().map(|bulk| {
            let bytes = match bulk.body {
                BulkBody::Chunk(chunk) => chunk.as_bytes().len(),
                _ => 0,
            };
            json!({"job": bulk.job.to_string(), "number": bulk.number, "bytes": bytes})
        }),
        HostTopic::Cmd | HostTopic::Plan => None,
    }
}

/// The same command, nothing secret in it.
fn without_secrets(message: ToAgent<'_>) -> ToAgent<'_> {
    let ToAgent::Command(Command { seq, expires_at, body: CommandBody::ConfigUpdate(update) }) = message
    else {
        return message;
    };
    let shown = |secret: &str| if secret.is_empty() { "" } else { LEFT_OUT };
    let credentials = update.credentials.map(|credentials| Credentials {
        password: shown(credentials.password),
        repo_password: shown(credentials.repo_password),
        // Values are secrets, and so may names be that somebody pasted into the wrong field.
        env: Items::EMPTY,
        ..credentials
    });
    let body = CommandBody::ConfigUpdate(ConfigUpdate { credentials, ..update });
    ToAgent::Command(Command { seq, expires_at, body })
}

/// A message as JSON, in words that people know: ids as text.
fn written(message: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(message).unwrap_or(Value::Null);
    name_ids(&mut value);
    value
}

fn name_ids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match bytes_of(field) {
                    Some(bytes) => *field = Value::String(id_text(key, &bytes)),
                    None => name_ids(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(name_ids),
        _ => {}
    }
}

/// The bytes of an id, which are all numbers of a known count.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let items = value.as_array().filter(|items| matches!(items.len(), 16 | 32))?;
    items.iter().map(|item| item.as_u64().and_then(|number| u8::try_from(number).ok())).collect()
}

fn id_text(key: &str, bytes: &[u8]) -> String {
    if let (Ok(bytes), "job" | "for_job") = (<[u8; 16]>::try_from(bytes), key) {
        return JobId(bytes).to_string();
    }
    match <[u8; 32]>::try_from(bytes) {
        // Whoever may look at messages need not know which repository is whose.
        Ok(bytes) => RepoId(bytes).to_string().chars().take(10).collect(),
        Err(_) => data_encoding::HEXLOWER.encode(bytes),
    }
}

/// What a message says, by its first variants: `command run backup`, `finished`, `ack`.
fn says(content: &Value) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut at = content;
    while let Value::Object(fields) = at
        && words.len() < 3
    {
        let inner = fields.get("body").or_else(|| fields.get("spec"));
        match (inner, fields.iter().next()) {
            (Some(inner), _) => at = inner,
            (None, Some((word, inner))) if fields.len() == 1 => {
                words.push(word);
                at = inner;
            }
            _ => break,
        }
    }
    if let (Value::String(word), true) = (at, words.len() < 3) {
        words.push(word);
    }
    words.join(" ").replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{CommandSeq, JobSpec, ReportBody, ReportSeq, Run, Slot, SlotRevision, Stream};

    fn command(body: CommandBody<'_>) -> ToAgent<'_> {
        ToAgent::Command(Command { seq: CommandSeq(7), expires_at: Timestamp(9), body })
    }

    #[test]
    fn credentials_lose_every_secret_before_they_are_shown() {
        let mut room = [0; 100];
        let credentials = Credentials {
            url: "rest:https://vault.lan/attic/",
            username: "attic",
            password: "geheim-1",
            repo_password: "geheim-2",
            ca: "",
            host_keys: "",
            env: Items::write([("AWS_SECRET_ACCESS_KEY", "geheim-3")], &mut room).unwrap(),
        };
        let update = ConfigUpdate {
            slot: Slot::Repo,
            revision: SlotRevision(1),
            for_job: None,
            credentials: Some(credentials),
        };
        let shown = written(&without_secrets(command(CommandBody::ConfigUpdate(update))));
        assert!(!shown.to_string().contains("geheim"), "{shown}");
        let update = &shown["command"]["body"]["config_update"];
        assert_eq!(update["credentials"]["repo_password"], LEFT_OUT);
        assert_eq!(update["credentials"]["url"], "rest:https://vault.lan/attic/");
        assert_eq!(says(&shown), "command config update");
    }

    #[test]
    fn messages_are_written_in_words_and_ids_as_text() {
        let spec = JobSpec::Ls { snapshot: "0123abcd", path: "/etc".into() };
        let run = Run { job: JobId([1; 16]), restic_host: "attic", deadline_secs: 60, spec, for_host: None };
        let shown = written(&command(CommandBody::Run(run)));
        assert_eq!(shown["command"]["body"]["run"]["job"], JobId([1; 16]).to_string());
        assert_eq!(shown["command"]["body"]["run"]["spec"]["ls"]["path"], "/etc");
        assert_eq!(says(&shown), "command run ls");
        let report = Report {
            stream: Stream(1),
            seq: ReportSeq(2),
            taken: CommandSeq(3),
            at: Timestamp(4),
            body: ReportBody::Dropped,
        };
        assert_eq!(says(&written(&report)), "dropped");
        let mut room = [0; 100];
        let lines: Items<'_, &str> = Items::write(["a", "b"], &mut room).unwrap();
        assert_eq!(written(&lines), json!(["a", "b"]));
    }
}
