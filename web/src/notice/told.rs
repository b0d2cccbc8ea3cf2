//! What a message says, in words: the same for each channel.

use crate::api::dto::PeriodOut;
use crate::format::{When, count, cut, many, rfc3339};
use crate::visible::{Breaks, visible};
use crate::words::{PeriodWords, advice, cause_title, period_words};
use fleet::record::{Cause, Event, Notice, SendFault, Severity};
use fleet::{MOST_TOLD, Message};
use serde::Serialize;

/// So many hosts of a notice are named in words.
const MOST_NAMED: usize = 8;
/// What is said of an incident that is over without a recovery.
const ENDED: &str = "Nobody has this cause any more: the last ones have another cause now, or are gone.";
/// Room for what is said of those that are not told one by one, in characters.
const REST_ROOM: usize = 400;
/// The longest name of a storage, in characters.
const LONGEST_STORAGE: usize = 100;

/// A host of an incident.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToldHost {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// One notice in words.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToldNotice {
    pub(crate) event: &'static str,
    #[serde(skip)]
    pub(crate) is_over: bool,
    pub(crate) incident: String,
    pub(crate) cause: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) at: String,
    pub(crate) since: String,
    pub(crate) storage: Option<String>,
    pub(crate) count: u32,
    pub(crate) hosts: Vec<ToldHost>,
    /// Of an incident of channels: what they are called.
    pub(crate) channels: Vec<String>,
    /// How many more hosts there are.
    pub(crate) hosts_left_out: u32,
    pub(crate) url: String,
    /// By which whoever reads it acknowledges, where the channel may have that.
    pub(crate) acknowledge_url: Option<String>,
    /// What happened, in a line: `The storage nas can't be reached`.
    pub(crate) title: String,
    /// What became of it: `Open`, `Recovered`.
    pub(crate) state: &'static str,
    /// Whom it meets.
    pub(crate) whom: String,
    /// Since when.
    pub(crate) since_words: String,
    /// What to do; empty when it is over.
    pub(crate) advice: &'static str,
}

/// A message in words: what templates get.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    pub(crate) id: String,
    /// `opened`, `worsened`, `reminder`, `recovered` or `ended`; `digest` of several notices, `report`, or `test`.
    pub(crate) event: &'static str,
    /// The worst of those that are not over; `none` where nothing is wrong.
    pub(crate) severity: &'static str,
    /// Of one notice.
    pub(crate) cause: Option<&'static str>,
    pub(crate) at: String,
    pub(crate) count: u32,
    pub(crate) hosts: Vec<ToldHost>,
    pub(crate) url: String,
    /// One line.
    pub(crate) subject: String,
    /// Where all incidents are.
    pub(crate) base_url: String,
    pub(crate) notices: Vec<ToldNotice>,
    /// How many more notices there are than are told one by one.
    pub(crate) not_listed: u32,
    /// How many older ones were left out, for too many waited.
    pub(crate) left_out: u32,
    /// What is reported.
    pub(crate) report: Option<PeriodOut>,
    /// The same in words.
    #[serde(skip)]
    pub(super) words: Option<PeriodWords>,
}

const fn state(event: Event) -> &'static str {
    match event {
        Event::Opened => "Open",
        Event::Worsened => "Worse",
        Event::StillOpen => "Still open",
        Event::Recovered => "Recovered",
        Event::Ended => "Over",
    }
}

fn whom(notice: &Notice) -> String {
    let is_of_channels = notice.cause == Cause::Channel;
    if notice.cause.is_of_server() && !is_of_channels {
        return "The server itself".to_owned();
    }
    let hosts = notice.hosts.iter().map(|(_, name)| name);
    let names: Vec<&str> = hosts.chain(&notice.channels).take(MOST_NAMED).map(String::as_str).collect();
    let more = u64::from(notice.count).saturating_sub(names.len() as u64);
    let hosts = many(u64::from(notice.count), if is_of_channels { "channel" } else { "host" });
    match (names.is_empty(), more) {
        (true, _) => hosts,
        (false, 0) => format!("{hosts}: {}", names.join(", ")),
        (false, more) => format!("{hosts}: {} and {} more", names.join(", "), count(more)),
    }
}

fn told(notice: &Notice, message: &Message, base: &str) -> ToldNotice {
    let is_over = notice.event.is_over();
    let advice = advice(notice.cause)
        .unwrap_or("The page of the incident says what can be done, and is where it is acknowledged.");
    let since = When::until(notice.since).text;
    let shown = |storage| cut(&visible(storage, Breaks::Shown), LONGEST_STORAGE);
    let storage = notice.storage.as_deref().map(shown);
    ToldNotice {
        event: notice.event.as_str(),
        is_over,
        incident: notice.incident.to_string(),
        cause: notice.cause.code(),
        severity: notice.severity.as_str(),
        at: rfc3339(notice.at),
        since: rfc3339(notice.since),
        count: notice.count,
        hosts: notice
            .hosts
            .iter()
            .map(|(id, name)| ToldHost { id: id.to_string(), name: name.clone() })
            .collect(),
        channels: notice.channels.clone(),
        hosts_left_out: match notice.cause.is_of_server() {
            true => 0,
            false => notice.count.saturating_sub(u32::try_from(notice.hosts.len()).unwrap_or(u32::MAX)),
        },
        url: format!("{base}/incidents/{}", notice.incident),
        acknowledge_url: message
            .ack_keys
            .get(&notice.incident)
            .filter(|_| !is_over)
            .map(|key| format!("{base}/acknowledge/{}/{key}", notice.incident)),
        title: cause_title(notice.cause, storage.as_deref()),
        storage,
        state: state(notice.event),
        whom: whom(notice),
        since_words: match notice.event {
            Event::Recovered => format!("It began {since}."),
            Event::Ended => format!("It began {since}. {ENDED}"),
            Event::Opened | Event::Worsened | Event::StillOpen => format!("Since {since}."),
        },
        advice: if is_over { "" } else { advice },
    }
}

fn subject(message: &Message, notices: &[ToldNotice]) -> String {
    if let Some(report) = &message.report {
        return format!("[Holdfast] Report: {}", period_words(report).title);
    }
    match (message.notices.as_slice(), notices) {
        ([], _) => "[Holdfast] A test: this channel works".to_owned(),
        ([only], [told]) => {
            let critical =
                if only.severity == Severity::Critical && !only.event.is_over() { ", critical" } else { "" };
            let mut names = only.hosts.iter().map(|(_, name)| name).chain(&only.channels);
            let hosts = if only.count == 1 {
                names.next().map(|name| format!(" ({name})")).unwrap_or_default()
            } else {
                let noun = if only.cause == Cause::Channel { "channel" } else { "host" };
                format!(" ({})", many(u64::from(only.count), noun))
            };
            format!("[Holdfast] {}{critical}: {}{hosts}", told.state, told.title)
        }
        (all, _) => {
            let number = |event| all.iter().filter(|notice| notice.event == event).count() as u64;
            let counts = Event::ALL
                .map(|event| (number(event), state(event).to_lowercase()))
                .into_iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, word)| format!("{} {word}", count(number)));
            let counts = counts.collect::<Vec<_>>().join(", ");
            format!("[Holdfast] {}: {counts}", many(all.len() as u64, "notice"))
        }
    }
}

/// One notice as plain text.
fn block(notice: &ToldNotice) -> String {
    let ToldNotice { state, title, whom, since_words, advice, url, acknowledge_url, .. } = notice;
    let advice = if advice.is_empty() { String::new() } else { format!("{advice}\n") };
    let acknowledge = acknowledge_url.as_ref().map(|url| format!("Acknowledge: {url}\n")).unwrap_or_default();
    format!("{state}: {title}\n{whom}\n{since_words}\n{advice}{url}\n{acknowledge}\n")
}

/// What is not told one by one, in words; `unsaid` are more of those that are in the list.
pub(super) fn rest(told: &Told, unsaid: usize) -> Vec<String> {
    let not_listed = u64::from(told.not_listed) + unsaid as u64;
    let mut lines = Vec::new();
    if not_listed > 0 {
        lines.push(format!("And {} more; the page of incidents has them all.", count(not_listed)));
    }
    if told.left_out > 0 {
        let number = many(u64::from(told.left_out), "older notice");
        lines.push(format!("{number} left out, for too many waited; the page of incidents has them all."));
    }
    lines
}

impl Told {
    /// The words of a message; `base` is where the pages are, without a slash at the end.
    pub(super) fn new(message: &Message, base: &str) -> Self {
        let notices: Vec<ToldNotice> =
            message.notices.iter().take(MOST_TOLD).map(|notice| told(notice, message, base)).collect();
        let only = match message.notices.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let worst = message.notices.iter().filter(|notice| !notice.event.is_over());
        let worst = worst.map(|notice| notice.severity).max();
        Self {
            id: message.id.to_string(),
            event: match (only, &message.report) {
                (Some(only), _) => only.event.as_str(),
                (None, Some(_)) => "report",
                (None, None) if message.notices.is_empty() => "test",
                (None, None) => "digest",
            },
            severity: worst.map_or("none", Severity::as_str),
            cause: only.map(|only| only.cause.code()),
            at: rfc3339(message.made_at),
            count: only.map_or(0, |only| only.count),
            hosts: only.and(notices.first()).map(|told| told.hosts.clone()).unwrap_or_default(),
            url: match (only.and(notices.first()), &message.report) {
                (Some(told), _) => told.url.clone(),
                (None, Some(_)) => format!("{base}/report"),
                (None, None) => format!("{base}/incidents"),
            },
            subject: subject(message, &notices),
            base_url: format!("{base}/incidents"),
            not_listed: u32::try_from(message.notices.len().saturating_sub(MOST_TOLD)).unwrap_or(u32::MAX),
            left_out: message.left_out,
            report: message.report.as_deref().map(PeriodOut::from),
            words: message.report.as_deref().map(period_words),
            notices,
        }
    }

    /// All of it as plain text, of at most so many characters: what has no room is counted.
    pub(super) fn text(&self, most: usize) -> String {
        if let Some(words) = &self.words {
            // The few numbers; all of them are behind the link.
            return cut(&format!("{}\n{}\n\n{}\n", words.span, words.sentences.join("\n"), self.url), most);
        }
        if self.notices.is_empty() {
            let words = "This is a test. Whoever reads it is told of incidents by this channel, as far as routes lead here.";
            return format!("{words}\n\n{}\n", self.base_url);
        }
        let room = most.saturating_sub(REST_ROOM);
        let (mut text, mut left, mut said) = (String::new(), room, 0);
        for block in self.notices.iter().map(block) {
            let length = block.chars().count();
            if length > left && said > 0 {
                break;
            }
            text += &cut(&block, room);
            (left, said) = (left.saturating_sub(length), said + 1);
        }
        for line in rest(self, self.notices.len() - said) {
            text += &format!("{line}\n{}\n", self.base_url);
        }
        text
    }
}

/// Why a message was not taken, in a sentence.
pub(crate) fn fault(fault: SendFault) -> String {
    match fault {
        SendFault::Unreachable => "There was no connection.".to_owned(),
        SendFault::Untrusted => "Its certificate is not trusted.".to_owned(),
        SendFault::TooSlow => "It did not answer in time.".to_owned(),
        SendFault::NotUnderstood => "What answered does not speak this protocol.".to_owned(),
        SendFault::Status(401 | 403) => "It refuses the sign-in or the token.".to_owned(),
        SendFault::Status(404) => "There is nothing at this address.".to_owned(),
        SendFault::Status(429) => "It was asked too often.".to_owned(),
        SendFault::Status(status) => format!("It answered with HTTP status {status}."),
        SendFault::Redirect(status) => {
            format!("It leads to another address (HTTP status {status}), where nothing is sent.")
        }
        SendFault::Smtp(0) => "The mail server refused it.".to_owned(),
        SendFault::Smtp(code) => format!("The mail server refused it with code {code}."),
        SendFault::Setting => "Something of its settings can't be used.".to_owned(),
        SendFault::Exit(status) => format!("The script ended with status {status}."),
        SendFault::TooLate => "It came too late to be told as what is now.".to_owned(),
    }
}
