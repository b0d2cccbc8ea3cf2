//! A calendar of the backups that schedules have due, as RFC 5545 has it.

use super::numbers::Numbers;
use crate::format::rfc3339;
use crate::problem::Problem;
use data_encoding::HEXLOWER;
use fleet::record::{Feed, FeedOf};
use fleet::{FleetState, MOST_TIMES_A_DAY, Upcoming, UpcomingList};
use schema::{HostId, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: u64 = 86_400_000;
/// How far ahead it looks.
const DAYS: u64 = 14;
/// So many events; the last one says when there is more.
const MOST_EVENTS: usize = 500;
/// A line has at most so many bytes.
const MOST_BYTES: usize = 75;

/// Writes lines as the standard has them: folded between characters, each ended by CR LF.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: &str) {
        let mut bytes = 0;
        for character in line.chars() {
            if bytes + character.len_utf8() > MOST_BYTES {
                self.0.push_str("\r\n ");
                bytes = 1;
            }
            self.0.push(character);
            bytes += character.len_utf8();
        }
        self.0.push_str("\r\n");
    }

    /// A property whose value is any text.
    fn text(&mut self, name: &str, text: &str) {
        self.line(&format!("{name}:{}", escaped(text)));
    }

    fn event(&mut self, uid: &str, stamp: Timestamp, start: &str, summary: &str) {
        self.line("BEGIN:VEVENT");
        self.line(&format!("UID:{uid}@holdfast"));
        self.line(&format!("DTSTAMP:{}", instant(stamp)));
        self.line(start);
        self.text("SUMMARY", summary);
        // It takes nobody's time.
        self.line("TRANSP:TRANSPARENT");
        self.line("END:VEVENT");
    }
}

/// A text as a value: what has a meaning there is marked, and what can't be shown is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\\' | ';' | ',' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// `20261123T063112Z`.
fn instant(at: Timestamp) -> String {
    rfc3339(at).replace(['-', ':'], "")
}

fn starts(at: Timestamp) -> String {
    format!("DTSTART:{}", instant(at))
}

/// The same for the same event, and nothing that names anybody.
fn uid(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize()[..16])
}

fn summary(due: &Upcoming, name: Option<&str>) -> String {
    let of = name.map_or_else(|| "Backup".to_owned(), |name| format!("Backup of {name} ({})", due.schedule));
    match due.times {
        1 => of,
        times if times > MOST_TIMES_A_DAY => format!("{of}, more than {MOST_TIMES_A_DAY} times on this day"),
        times => format!("{of}, {times} times on this day"),
    }
}

/// What is known of what is due.
pub(super) fn write(state: &FleetState, feed: &Feed, numbers: &Numbers) -> Result<String, Problem> {
    let now = state.now();
    let hosts: BTreeSet<HostId> = numbers.rows.iter().map(|row| row.host.id).collect();
    let some = (feed.of != FeedOf::Fleet).then_some(&hosts);
    let list = state.upcoming(some, now.plus_ms(DAYS * DAY_MS), MOST_EVENTS)?;
    let names = numbers.rows.iter().map(|row| (row.host.id, row.host.name.as_str()));
    let names: BTreeMap<_, _> = if feed.names { names.collect() } else { BTreeMap::new() };
    Ok(written(&list, state.is_known(), &names, now))
}

/// The file: pure. Of hosts without a name it is not told which they are. `begins` = the server begins backups at all.
fn written(list: &UpcomingList, begins: bool, names: &BTreeMap<HostId, &str>, now: Timestamp) -> String {
    // Of the day, not of the moment: what has not changed is the same file.
    let stamp = Timestamp(now.0 - now.0 % DAY_MS);
    let mut lines = Lines::default();
    lines.line("BEGIN:VCALENDAR");
    lines.line("VERSION:2.0");
    lines.line(concat!("PRODID:-//Holdfast//holdfast-server ", env!("CARGO_PKG_VERSION"), "//EN"));
    lines.line("CALSCALE:GREGORIAN");
    lines.line("METHOD:PUBLISH");
    lines.text("X-WR-CALNAME", "Backups that are due");
    let cut = list.cut_at.map(|at| {
        format!("Only the first {} are shown: from {} on there are more.", list.all.len(), rfc3339(at))
    });
    let what = format!("What schedules have due in the next {DAYS} days.");
    let told = cut.as_ref().map_or_else(|| what.clone(), |cut| format!("{what} {cut}"));
    lines.text("X-WR-CALDESC", &told);
    lines.line("REFRESH-INTERVAL;VALUE=DURATION:PT1H");
    for due in &list.all {
        let id = uid(&[&due.host.0, due.schedule.as_bytes(), &due.at.0.to_be_bytes()]);
        lines.event(&id, stamp, &starts(due.at), &summary(due, names.get(&due.host).copied()));
    }
    if let (Some(cut), Some(at)) = (&cut, list.cut_at) {
        lines.event(&uid(&[b"cut"]), stamp, &starts(at), cut);
    }
    if list.all.is_empty() {
        // A calendar without an event is none.
        let day = instant(stamp);
        let day = day.split('T').next().unwrap_or_default();
        let none = match begins {
            true => format!("No backup is due in the next {DAYS} days"),
            false => "This server begins no backup any more: its pages say why".to_owned(),
        };
        lines.event(&uid(&[b"none"]), stamp, &format!("DTSTART;VALUE=DATE:{day}"), &none);
    }
    lines.line("END:VCALENDAR");
    lines.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_415_472_000);

    /// A component: its properties, name with parameters and value, in order, and what is in it.
    #[derive(Debug, Default)]
    struct Component {
        properties: Vec<(String, String)>,
        inner: Vec<(String, Component)>,
    }

    impl Component {
        fn all(&self, name: &str) -> Vec<&str> {
            let found = self.properties.iter().filter(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).collect()
        }

        fn one(&self, name: &str) -> &str {
            let all = self.all(name);
            assert_eq!(all.len(), 1, "{name} of {self:?}");
            all[0]
        }
    }

    /// Reads a stream as RFC 5545 has it, and takes nothing else: ends of lines, lengths, folds, names, nesting.
    fn parsed(text: &str) -> Component {
        assert!(text.ends_with("\r\n") && !text.contains("\r\r"));
        for line in text.split_terminator("\r\n") {
            assert!(!line.contains(['\r', '\n']) && (1..=75).contains(&line.len()), "{line:?}");
        }
        let unfolded = text.replace("\r\n ", "");
        let mut open: Vec<(String, Component)> = vec![(String::new(), Component::default())];
        for line in unfolded.split_terminator("\r\n") {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no property: {line:?}"));
            let plain = name.split(';').next().unwrap_or_default();
            let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(!plain.is_empty() && plain.bytes().all(is_name), "{line:?}");
            assert!(!value.chars().any(char::is_control), "{line:?}");
            match name {
                "BEGIN" => open.push((value.to_owned(), Component::default())),
                "END" => {
                    let (begun, component) = open.pop().unwrap();
                    assert_eq!(begun, value);
                    open.last_mut().unwrap_or_else(|| panic!("{line:?}")).1.inner.push((begun, component));
                }
                _ => open.last_mut().unwrap().1.properties.push((name.to_owned(), value.to_owned())),
            }
        }
        let (_, mut root) = open.pop().unwrap();
        assert!(open.is_empty() && root.properties.is_empty() && root.inner.len() == 1);
        let (name, calendar) = root.inner.pop().unwrap();
        assert_eq!(name, "VCALENDAR");
        calendar
    }

    /// A text as it was before it was escaped; an escape that there is not fails.
    fn text(value: &str) -> String {
        let (mut out, mut characters) = (String::new(), value.chars());
        while let Some(character) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some('n' | 'N') => out.push('\n'),
                    Some(escaped @ ('\\' | ';' | ',')) => out.push(escaped),
                    other => panic!("{other:?} is escaped in {value:?}"),
                },
                ';' | ',' => panic!("{character:?} is not escaped in {value:?}"),
                other => out.push(other),
            }
        }
        out
    }

    fn is_instant(value: &str) -> bool {
        let digits = |range: std::ops::Range<usize>| value[range].bytes().all(|byte| byte.is_ascii_digit());
        value.len() == 16 && digits(0..8) && &value[8..9] == "T" && digits(9..15) && value.ends_with('Z')
    }

    /// The events of a calendar that is as it must be: when each starts, and its summary.
    fn events(written: &str) -> Vec<(String, String)> {
        let calendar = parsed(written);
        assert_eq!((calendar.one("VERSION"), calendar.one("CALSCALE")), ("2.0", "GREGORIAN"));
        assert!(calendar.one("PRODID").starts_with("-//Holdfast//"));
        assert!(!calendar.inner.is_empty(), "it needs one component at least");
        let mut uids = BTreeSet::new();
        let event = |(name, event): &(String, Component)| {
            assert_eq!(name, "VEVENT");
            assert!(uids.insert(event.one("UID").to_owned()), "{event:?}");
            assert!(is_instant(event.one("DTSTAMP")));
            let timed = event.all("DTSTART");
            let start = timed.first().copied().unwrap_or_else(|| event.one("DTSTART;VALUE=DATE"));
            assert!(is_instant(start) || start.len() == 8, "{start}");
            (start.to_owned(), text(event.one("SUMMARY")))
        };
        calendar.inner.iter().map(event).collect()
    }

    fn due(host: u8, schedule: &str, minutes: u64, times: u32) -> Upcoming {
        let at = NOW.plus_ms(minutes * 60_000);
        Upcoming { host: HostId([host; 16]), schedule: schedule.to_owned(), at, times }
    }

    #[test]
    fn what_is_due_is_an_event_each_and_the_same_file_while_nothing_changes() {
        let list = UpcomingList {
            all: vec![
                due(1, "nightly", 30, 1),
                due(2, "often", 60, MOST_TIMES_A_DAY + 1),
                due(1, "hourly", 61, 9),
            ],
            cut_at: None,
        };
        let names = BTreeMap::from([(HostId([1; 16]), "nas"), (HostId([2; 16]), "boat")]);
        let file = written(&list, true, &names, NOW);
        assert_eq!(
            events(&file),
            [
                ("20261123T070112Z".to_owned(), "Backup of nas (nightly)".to_owned()),
                (
                    "20261123T073112Z".to_owned(),
                    "Backup of boat (often), more than 24 times on this day".to_owned()
                ),
                ("20261123T073212Z".to_owned(), "Backup of nas (hourly), 9 times on this day".to_owned()),
            ]
        );
        assert_eq!(written(&list, true, &names, NOW.plus_ms(3_600_000)), file);
        // Without names it tells what is due, and not where.
        let nameless = written(&list, true, &BTreeMap::new(), NOW);
        assert_eq!(events(&nameless)[0].1, "Backup");
        assert!(
            ["nas", "boat", "nightly", "often"].iter().all(|word| !nameless.contains(word)),
            "{nameless}"
        );
    }

    #[test]
    fn a_cut_is_told_in_the_head_and_as_the_last_event_and_nothing_due_is_said_as_well() {
        let list = UpcomingList { all: vec![due(1, "nightly", 30, 1)], cut_at: Some(NOW.plus_ms(3_600_000)) };
        let file = written(&list, true, &BTreeMap::new(), NOW);
        let told = "Only the first 1 are shown: from 2026-11-23T07:31:12Z on there are more.";
        let last = events(&file).pop().unwrap();
        assert_eq!(last, ("20261123T073112Z".to_owned(), told.to_owned()));
        assert!(text(parsed(&file).one("X-WR-CALDESC")).ends_with(told), "{file}");
        let none = written(&UpcomingList::default(), true, &BTreeMap::new(), NOW);
        assert_eq!(
            events(&none),
            [("20261123".to_owned(), "No backup is due in the next 14 days".to_owned())]
        );
    }

    #[test]
    fn lines_are_folded_between_characters_and_any_text_comes_back() {
        let hostile = "ä€𝄞;,\\n\\,\n\"BEGIN:VEVENT\r\nEND:VCALENDAR".repeat(20);
        for shift in 0..8 {
            let said = format!("{}{hostile}", "x".repeat(shift));
            let mut lines = Lines::default();
            lines.line("BEGIN:VCALENDAR");
            lines.text("SUMMARY", &said);
            lines.line("END:VCALENDAR");
            let calendar = parsed(&lines.0);
            assert_eq!(text(calendar.one("SUMMARY")), said.replace('\r', ""));
            assert!(calendar.inner.is_empty());
        }
    }
}
