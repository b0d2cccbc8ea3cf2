//! What checks of a service such as Healthchecks are told, and where: pure.
//!
//! A check is judged by when it heard something. So what tells of long ago must not come as what is now: a start and a success
//! that are older than [`LATE_MS`] are dropped, and the check goes down by itself where nothing newer came. A failure stays true
//! longer, and is told until it is as old as any message that is given up.

use super::outbox;
use crate::record::{Ended, Job, JobState, LogText, Secret, Signal, Summary, WaitingPing};
use crate::units::MINUTE_MS;
use schema::{HostId, JobId, Timestamp};
use std::fmt::Write as _;

/// A start or a success that is older is no news of now.
pub(crate) const LATE_MS: u64 = 60 * MINUTE_MS;
/// So many signals are told in one go.
pub(super) const MOST_AT_ONCE: usize = 60;
/// The most that is sent with one, in bytes: Healthchecks keeps no more.
pub(super) const MOST_BODY_BYTES: usize = 10_000;
/// Stands in an address for the name of the host.
const HOST: &str = "{host}";
/// Stands in an address for the name of the source group.
const GROUP: &str = "{group}";

/// A signal, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Its number at its channel; `None` = it waits in no outbox.
    pub number: Option<u64>,
    /// Of which check: what is told of one is told in order.
    pub check: String,
    /// The whole address.
    pub url: Secret,
    /// What is sent.
    pub body: String,
}

/// What is told of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Signal(Signal),
    /// It is only written down there: nothing changes.
    Log,
}

/// What a backup that has moved tells: its signal, and for a host as a whole the group whose last backup did not end well
/// though this one did. `summary` knows of the job.
pub(super) fn signal(job: &Job, group: &str, summary: &Summary) -> Option<(Signal, Option<String>)> {
    match job.state {
        JobState::Queued | JobState::Sent | JobState::Accepted => None,
        JobState::Running => Some((Signal::Start, None)),
        // What a person or the server took back, or the machine's policy put off, was no try.
        _ if job.ended_by().is_some_and(|by| !by.is_interruption()) => None,
        _ if job.is_untold() => None,
        JobState::Succeeded => {
            let of = |name: &str| summary.groups.iter().find(|known| known.name == name);
            let is_good = of(group).is_none_or(|group| group.last_good.is_some_and(|(id, _)| id == job.id));
            if !is_good {
                return Some((Signal::Fail, None));
            }
            let bad = summary.groups.iter().find(|known| {
                let is_bad = |last: Ended| {
                    let good = known.last_good.map(|(id, _)| id);
                    last.state != JobState::Succeeded || good != Some(last.job)
                };
                known.name != group && known.last.is_some_and(is_bad)
            });
            Some((Signal::Success, bad.map(|group| group.name.clone())))
        }
        JobState::Warning | JobState::Failed | JobState::Cancelled | JobState::Lost => {
            Some((Signal::Fail, None))
        }
    }
}

/// Whether it is too old to be told.
pub(super) fn is_late(now: Timestamp, ping: &WaitingPing) -> bool {
    let most_ms = match ping.signal {
        Signal::Start | Signal::Success => LATE_MS,
        Signal::Fail => outbox::GIVEN_UP_AFTER_MS,
    };
    now.ms_since(ping.at) > most_ms
}

/// The names of an address that stand for something: unknown ones, and where a brace is left alone, the whole is none.
pub(super) fn placeholders(url: &str) -> Option<(bool, bool)> {
    let rest = url.replace(HOST, "").replace(GROUP, "");
    (!rest.contains(['{', '}'])).then(|| (url.contains(HOST), url.contains(GROUP)))
}

/// A name as services write the last part of an address: small letters, digits, `-` and `_`.
pub(super) fn slug(name: &str) -> String {
    let letter = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '_' | '-' => letter,
        'A'..='Z' => letter.to_ascii_lowercase(),
        _ => '-',
    };
    name.chars().map(letter).collect()
}

/// The address with the names that it is of.
pub(super) fn filled(url: &str, host: &str, group: &str) -> String {
    url.replace(HOST, &slug(host)).replace(GROUP, &slug(group))
}

/// The address of what is told: the word of the signal stands at the end of its path, the run in its query.
pub(super) fn address(url: &str, told: Told, run: Option<JobId>) -> Secret {
    let (path, query) = url.split_once('?').map_or((url, ""), |(path, query)| (path, query));
    let word = match told {
        Told::Signal(Signal::Start) => "/start",
        Told::Signal(Signal::Success) => "",
        Told::Signal(Signal::Fail) => "/fail",
        Told::Log => "/log",
    };
    let run = run.map(|job| format!("rid={}", uuid(job))).unwrap_or_default();
    let query: Vec<&str> = [query, &run].into_iter().filter(|part| !part.is_empty()).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    Secret::new(format!("{}{word}{mark}{}", path.trim_end_matches('/'), query.join("&")))
}

/// The id of a job, as a UUID is written.
fn uuid(job: JobId) -> String {
    let hex: String = job.0.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// What is said of a backup, and the end of its log as far as it fits.
pub(super) fn body(ping: &WaitingPing, host: &str, job: Option<&Job>, log: Option<&LogText>) -> String {
    let what = match ping.signal {
        Signal::Start => "has begun",
        Signal::Success => "ended well",
        Signal::Fail if ping.other.is_some() => "ended well, but the host is not",
        Signal::Fail => "did not end well",
    };
    let mut text = format!("Backup of {host}, source group {}: {what}.\n", ping.group);
    if let Some(other) = &ping.other {
        let _ = writeln!(text, "The last backup of its source group {other} did not end well.");
    }
    let Some(job) = job.filter(|_| ping.signal != Signal::Start) else { return text };
    let _ = writeln!(text, "State: {}.", job.state.as_str());
    if let Some(class) = job.class {
        let _ = writeln!(text, "Why: {}.", class.as_str());
    }
    let Some(log) = log else { return cut(text) };
    let lines: Vec<&str> =
        log.chunks.iter().flat_map(|chunk| &chunk.lines).map(|(_, _, line)| line.as_str()).collect();
    let (mut room, mut first) = (MOST_BODY_BYTES.saturating_sub(text.len() + 100), lines.len());
    while let Some(left) = first.checked_sub(1).and_then(|at| room.checked_sub(lines[at].len() + 1)) {
        (room, first) = (left, first - 1);
    }
    let before = u64::from(log.total_lines).saturating_sub((lines.len() - first) as u64);
    if before > 0 {
        let _ = writeln!(text, "The end of its log, {before} lines before it left out:");
    } else if !lines.is_empty() {
        text.push_str("Its log:\n");
    }
    for line in &lines[first..] {
        text.push_str(line);
        text.push('\n');
    }
    cut(text)
}

/// What is said of the fleet: how many of the hosts are well, and which ones are not.
pub(super) fn fleet_body(hosts: u32, unwell: &[String]) -> String {
    let mut text = match (hosts, unwell.len()) {
        (0, _) => "There is no host of which this check is.\n".to_owned(),
        (hosts, 0) => format!("All {hosts} hosts are well.\n"),
        (hosts, bad) => format!("{bad} of {hosts} hosts need somebody:\n"),
    };
    for (place, line) in unwell.iter().enumerate() {
        if text.len() + line.len() + 60 > MOST_BODY_BYTES {
            let _ = writeln!(text, "and {} more", unwell.len() - place);
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    cut(text)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MOST_BODY_BYTES));
    text
}

/// The check of which a signal is, of those of a channel.
pub(super) fn check_of(host: HostId, group: Option<&str>) -> String {
    format!("{host}/{}", group.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Actor, AgentGone, GroupSummary, JobWhat, LogChunk};
    use schema::{Class, CommandSeq};

    const NOW: Timestamp = Timestamp(1_780_012_800_000);

    fn job(state: JobState) -> Job {
        let what = JobWhat::Backup { group: "docs".to_owned() };
        let id = JobId([1; 16]);
        Job { state, ..Job::new(id, HostId([2; 16]), what, Actor::System, NOW, CommandSeq(1)) }
    }

    fn group(name: &str, job: &Job, is_good: bool) -> GroupSummary {
        let (refusal, agent_gone) = (job.refusal, job.agent_gone);
        let (id, state, class) = (job.id, job.state, job.class);
        let last = Ended { job: id, state, class, at: NOW, refusal, agent_gone };
        GroupSummary {
            name: name.to_owned(),
            last: Some(last),
            last_good: is_good.then_some((job.id, NOW)),
            ..GroupSummary::default()
        }
    }

    fn ping(signal: Signal) -> WaitingPing {
        let (host, group, job) = (HostId([2; 16]), "docs".to_owned(), JobId([1; 16]));
        WaitingPing { signal, at: NOW, host, group, job, other: None }
    }

    #[test]
    fn a_backup_tells_that_it_began_and_how_it_ended_and_what_was_no_try_tells_nothing() {
        let told = |job: &Job, is_good: bool| {
            let summary = Summary { groups: vec![group("docs", job, is_good)], ..Summary::default() };
            signal(job, "docs", &summary).map(|(signal, _)| signal)
        };
        for state in [JobState::Queued, JobState::Sent, JobState::Accepted] {
            assert_eq!(told(&job(state), false), None, "{state:?}");
        }
        assert_eq!(told(&job(JobState::Running), false), Some(Signal::Start));
        assert_eq!(told(&job(JobState::Succeeded), true), Some(Signal::Success));
        assert_eq!(told(&job(JobState::Succeeded), false), Some(Signal::Fail), "half of its files are gone");
        for state in [JobState::Warning, JobState::Failed, JobState::Lost] {
            assert_eq!(told(&job(state), false), Some(Signal::Fail), "{state:?}");
        }
        let by_person = Some(Actor::Operator("ada".to_owned()));
        let cancelled = Job { cancel_asked_by: by_person, ..job(JobState::Cancelled) };
        assert_eq!(told(&cancelled, false), None);
        let put_off = Job { class: Some(Class::NotNow), ..job(JobState::Cancelled) };
        assert_eq!(told(&put_off, false), None);
        let untold = Job { agent_gone: Some(AgentGone::ServerRestored), ..job(JobState::Lost) };
        assert_eq!(told(&untold, false), None);
        let stopped = Job { class: Some(Class::AgentRestarted), ..job(JobState::Cancelled) };
        assert_eq!(told(&stopped, false), Some(Signal::Fail));
    }

    #[test]
    fn a_good_backup_names_the_other_group_whose_last_one_was_not() {
        let (good, bad) = (job(JobState::Succeeded), job(JobState::Failed));
        let groups = vec![group("docs", &good, true), group("photos", &bad, false)];
        let summary = Summary { groups, ..Summary::default() };
        assert_eq!(signal(&good, "docs", &summary), Some((Signal::Success, Some("photos".to_owned()))));
    }

    #[test]
    fn a_start_or_success_of_long_ago_is_late_and_a_failure_stays_true() {
        let late = |signal, hours: u64| is_late(NOW.plus_ms(hours * 60 * MINUTE_MS), &ping(signal));
        assert_eq!([0, 1, 2].map(|hours| late(Signal::Success, hours)), [false, false, true]);
        assert_eq!([1, 2].map(|hours| late(Signal::Start, hours)), [false, true]);
        assert_eq!([2, 48, 49].map(|hours| late(Signal::Fail, hours)), [false, false, true]);
    }

    #[test]
    fn an_address_has_the_word_in_its_path_and_the_run_in_its_query() {
        let at = |url: &str, told| address(url, told, Some(JobId([0xab; 16]))).expose().to_owned();
        let run = "rid=abababab-abab-abab-abab-abababababab";
        let told = Told::Signal;
        assert_eq!(at("https://hc.example/k", told(Signal::Success)), format!("https://hc.example/k?{run}"));
        assert_eq!(
            at("https://hc.example/k/", told(Signal::Start)),
            format!("https://hc.example/k/start?{run}")
        );
        let created = at("https://hc.example/k/web?create=1", told(Signal::Fail));
        assert_eq!(created, format!("https://hc.example/k/web/fail?create=1&{run}"));
        assert_eq!(address("https://hc.example/k", Told::Log, None).expose(), "https://hc.example/k/log");
        assert_eq!(
            filled("https://h.example/k/{host}-{group}", "Web.1", "My_docs"),
            "https://h.example/k/web-1-my_docs"
        );
        assert_eq!(placeholders("https://h.example/{host}"), Some((true, false)));
        assert_eq!(placeholders("https://h.example/{hostname}"), None);
    }

    #[test]
    fn what_is_sent_ends_with_the_end_of_the_log_and_says_what_is_left_out() {
        let ended = job(JobState::Failed);
        let lines = |count: u32| LogText {
            chunks: vec![LogChunk {
                first_line: 0,
                lines: (0..count).map(|n| (n, 1, format!("line {n} {}", "ü".repeat(50)))).collect(),
            }],
            total_lines: count,
            left_out: 0,
        };
        let long = body(&ping(Signal::Fail), "web-1", Some(&ended), Some(&lines(1_000)));
        assert!(long.len() <= MOST_BODY_BYTES && long.len() > MOST_BODY_BYTES - 300, "{}", long.len());
        assert!(long.starts_with("Backup of web-1, source group docs: did not end well.\nState: failed.\n"));
        assert!(long.contains("line 999 ") && !long.contains("line 0 "));
        let kept = long.matches("line ").count();
        assert!(long.contains(&format!("{} lines before it left out", 1_000 - kept)), "{long}");
        let short = body(&ping(Signal::Fail), "web-1", Some(&ended), Some(&lines(3)));
        assert!(short.contains("Its log:\nline 0 ") && !short.contains("left out"));
        let start = body(&ping(Signal::Start), "web-1", Some(&ended), Some(&lines(3)));
        assert_eq!(start, "Backup of web-1, source group docs: has begun.\n");
    }

    #[test]
    fn of_a_fleet_it_is_said_which_hosts_are_not_well_as_far_as_they_fit() {
        assert_eq!(fleet_body(3, &[]), "All 3 hosts are well.\n");
        assert!(fleet_body(0, &[]).starts_with("There is no host"));
        let many: Vec<String> = (0..2_000).map(|n| format!("host-{n}: failed")).collect();
        let text = fleet_body(2_000, &many);
        let named = text.matches("host-").count();
        assert!(text.len() <= MOST_BODY_BYTES && text.ends_with(&format!("and {} more\n", 2_000 - named)));
    }
}
