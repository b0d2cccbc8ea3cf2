//! What a report says of a period: the same on the page, in a mail and in messages.

use super::cause_title;
use crate::format::{When, bytes, count, cut, day, duration, many};
use crate::visible::{Breaks, visible};
use fleet::record::{CauseCount, EndCounts, First, FleetDay, Period, StorageSeen, VersionCount};
use serde::Serialize;

/// For so many days ahead it is said how large a storage will be.
pub(crate) const AHEAD_DAYS: u32 = 90;
/// The longest name of a storage, in characters.
const LONGEST_STORAGE: usize = 100;

/// A line of a table: what, and how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PeriodLine {
    pub(crate) what: String,
    /// More of it; may be empty.
    pub(crate) more: String,
    pub(crate) value: String,
}

/// A table of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PeriodPart {
    /// A word for it, as an id on a page.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What the lines are of, and what is said of each.
    pub(crate) head: [&'static str; 2],
    pub(crate) lines: Vec<PeriodLine>,
    /// How many more there are, in words; may be empty.
    pub(crate) left_out: String,
}

/// A report in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PeriodWords {
    /// How the fleet stands, in a line.
    pub(crate) title: String,
    /// Which period it is of.
    pub(crate) span: String,
    /// What happened, in sentences.
    pub(crate) sentences: Vec<String>,
    /// What hosts have that need somebody.
    pub(crate) need: PeriodPart,
    /// The rest; what there is nothing of is not there.
    pub(crate) parts: Vec<PeriodPart>,
}

/// What a report says.
pub(crate) fn period_words(period: &Period) -> PeriodWords {
    let (from, until) = (When::short(period.from), When::short(period.until));
    let causes = |id, title, of, all: &First<CauseCount>, word| PeriodPart {
        id,
        title,
        head: ["Cause", of],
        lines: all.items.iter().map(|cause| cause_line(cause, word)).collect(),
        left_out: left_out(all.left_out, "cause"),
    };
    let need = causes("need", "Needs somebody now", "Hosts", &period.in_need, "host");
    let failures = causes("failures", "Failed backups by cause", "Backups", &period.failures, "backup");
    let parts = [failures, storages(period), slowest(period), largest(period), versions(period)];
    PeriodWords {
        title: stands(&period.now),
        span: format!("{} to {} UTC", from.text, until.text),
        sentences: sentences(period),
        need,
        parts: parts.into_iter().filter(|part| !part.lines.is_empty()).collect(),
    }
}

fn stands(day: &FleetDay) -> String {
    let FleetDay { hosts, protected, proven, .. } = *day;
    let hosts = many(hosts.into(), "host");
    format!("{} of {hosts} protected, {} proven", count(protected.into()), count(proven.into()))
}

fn left_out(number: u32, word: &str) -> String {
    match number {
        0 => String::new(),
        number => format!("And {}.", many(number.into(), &format!("more {word}"))),
    }
}

fn cause_line(cause: &CauseCount, word: &str) -> PeriodLine {
    let storage = cause.storage.as_deref().map(storage_name);
    PeriodLine {
        what: cause_title(cause.cause, storage.as_deref()),
        more: String::new(),
        value: many(cause.count.into(), word),
    }
}

/// The name of a storage, which an address says.
fn storage_name(storage: &str) -> String {
    cut(&visible(storage, Breaks::Shown), LONGEST_STORAGE)
}

/// `7 fewer protected`.
fn change(before: u32, now: u32, word: &str) -> Option<String> {
    let by = count(before.abs_diff(now).into());
    match before.cmp(&now) {
        std::cmp::Ordering::Less => Some(format!("{by} more {word}")),
        std::cmp::Ordering::Greater => Some(format!("{by} fewer {word}")),
        std::cmp::Ordering::Equal => None,
    }
}

/// `99.3`, never rounded up to all.
fn percent(counts: &EndCounts) -> String {
    let tenths = u64::from(counts.good) * 1_000 / u64::from(counts.all().max(1));
    // It stays with its number.
    format!("{}.{}\u{a0}%", tenths / 10, tenths % 10)
}

fn backups(counts: &EndCounts) -> String {
    if counts.all() == 0 {
        return "No backup ended in this period.".to_owned();
    }
    let warned = match counts.with_warnings {
        0 => String::new(),
        some => format!(", {} of them with warnings", count(some.into())),
    };
    let (all, good) = (many(counts.all().into(), "backup"), count(counts.good.into()));
    format!("Of {all} {good} ended well ({}){warned}.", percent(counts))
}

fn before(period: &Period) -> String {
    let Some(before) = &period.before else {
        return "How the fleet stood when this period began is not known.".to_owned();
    };
    let now = &period.now;
    let changes = [
        change(before.hosts, now.hosts, "hosts"),
        change(before.protected, now.protected, "protected"),
        change(before.proven, now.proven, "proven"),
    ];
    let changes: Vec<String> = changes.into_iter().flatten().collect();
    let changes = match changes.is_empty() {
        true => "the same now".to_owned(),
        false => format!("{} now", changes.join(", ")),
    };
    format!("On {}: {}; {changes}.", day(before.at), stands(before))
}

fn sentences(period: &Period) -> Vec<String> {
    let mut all = vec![backups(&period.backups), before(period)];
    let proofs = &period.proofs;
    if proofs.all() > 0 {
        let failed = match proofs.failed {
            0 => "none failed".to_owned(),
            some => format!("{} failed", count(some.into())),
        };
        all.push(format!(
            "Files were restored and compared in {}: {failed}.",
            many(proofs.all().into(), "proof")
        ));
    }
    if period.opened > 0 || period.ended > 0 {
        let opened = many(period.opened.into(), "incident");
        all.push(format!("{opened} opened, {} ended.", count(period.ended.into())));
    }
    let added = &period.added;
    if !added.items.is_empty() {
        let more = match added.left_out {
            0 => String::new(),
            more => format!(" and {} more", count(more.into())),
        };
        all.push(format!("Added: {}{more}.", added.items.join(", ")));
    }
    if let Some(since) = period.jobs_since {
        let since = When::short(since).text;
        all.push(format!("There were too many jobs to count all: these are counted since {since} UTC."));
    }
    all
}

fn slowest(period: &Period) -> PeriodPart {
    let line = |run: &fleet::record::SlowRun| PeriodLine {
        what: format!("{}, {}", run.name, run.group),
        more: format!("ended {}", When::short(run.ended_at).text),
        value: duration(run.secs),
    };
    PeriodPart {
        id: "slowest",
        title: "Longest backups",
        head: ["Host and source group", "Took"],
        lines: period.slowest.items.iter().map(line).collect(),
        left_out: left_out(period.slowest.left_out, "source group"),
    }
}

fn largest(period: &Period) -> PeriodPart {
    let line = |repo: &fleet::record::LargeRepo| PeriodLine {
        what: repo.name.clone(),
        more: String::new(),
        value: bytes(repo.bytes),
    };
    PeriodPart {
        id: "largest",
        title: "Largest repositories",
        head: ["Host", "Size"],
        lines: period.largest.items.iter().map(line).collect(),
        left_out: match period.largest.left_out {
            0 => String::new(),
            1 => "And 1 more repository.".to_owned(),
            more => format!("And {} more repositories.", count(more.into())),
        },
    }
}

/// How it has changed, and how large it will be.
fn growth(storage: &StorageSeen) -> String {
    let change = storage.change_bytes.map(|change| {
        let sign = if change < 0 { "−" } else { "+" };
        format!("{sign}{} in this period", bytes(change.unsigned_abs()))
    });
    let rate = match (storage.rate, storage.bytes_in(AHEAD_DAYS)) {
        (None, _) => "too little is known for a forecast".to_owned(),
        (Some(rate), ahead) => {
            let repositories = match (rate.repositories, storage.repositories) {
                (some, all) if some == all => String::new(),
                (some, all) => format!(", of {} of {} repositories", count(some.into()), count(all.into())),
            };
            let from = format!("from the last {} days{repositories}", rate.days);
            match ahead {
                Some(ahead) => {
                    let week = bytes(rate.per_day_bytes.unsigned_abs().saturating_mul(7));
                    format!(
                        "grows by about {week} a week, to about {} in {AHEAD_DAYS} days ({from})",
                        bytes(ahead)
                    )
                }
                None => format!("does not grow ({from})"),
            }
        }
    };
    change.into_iter().chain([rate]).collect::<Vec<_>>().join("; ")
}

fn storages(period: &Period) -> PeriodPart {
    let line = |storage: &StorageSeen| PeriodLine {
        what: storage
            .storage
            .as_deref()
            .map_or_else(|| "of each host’s own, or not known".to_owned(), storage_name),
        more: growth(storage),
        value: bytes(storage.bytes),
    };
    PeriodPart {
        id: "storages",
        title: "Storages",
        head: ["Storage", "Size"],
        lines: period.storages.items.iter().map(line).collect(),
        left_out: left_out(period.storages.left_out, "storage"),
    }
}

fn versions(period: &Period) -> PeriodPart {
    let lines = |program: &'static str, all: &First<VersionCount>| {
        let line = move |it: &VersionCount| PeriodLine {
            what: format!("{program} {}", visible(&it.version, Breaks::Shown)),
            more: String::new(),
            value: many(it.hosts.into(), "host"),
        };
        all.items.iter().map(line).collect::<Vec<_>>()
    };
    let mut all = lines("Agent", &period.agents);
    all.extend(lines("restic", &period.restics));
    PeriodPart {
        id: "versions",
        title: "Versions, the oldest first",
        head: ["Program", "Hosts"],
        lines: all,
        left_out: left_out(period.agents.left_out.saturating_add(period.restics.left_out), "version"),
    }
}

/// A period as tests show it.
#[cfg(test)]
pub(crate) fn sample() -> Period {
    use fleet::record::{Cause, LargeRepo, SlowRun, StorageRate};
    use schema::{Class, HostId, Timestamp};
    const DAY_MS: u64 = 86_400_000;
    const GIB: u64 = 1 << 30;
    // Fri 29 May 2026 00:00 UTC.
    let at = Timestamp(1_780_012_800_000);
    let before = |days: u64| Timestamp(at.0 - days * DAY_MS);
    let host = |number: u8| HostId([number; 16]);
    let network = Cause::Failed { class: Some(Class::Network), refusal: None };
    let cause = |cause, storage: Option<&str>, count| CauseCount {
        cause,
        storage: storage.map(str::to_owned),
        count,
    };
    let version = |version: &str, hosts| VersionCount { version: version.to_owned(), hosts };
    let storage = |name: Option<&str>, gib: u64, change: Option<i64>, rate| StorageSeen {
        storage: name.map(str::to_owned),
        repositories: 12,
        bytes: gib * GIB,
        change_bytes: change.map(|gib| gib * GIB as i64),
        rate,
    };
    let rate =
        |gib: i64, repositories| StorageRate { per_day_bytes: gib * GIB as i64, days: 84, repositories };
    Period {
        made_at: at,
        from: before(7),
        until: at,
        now: FleetDay { at, hosts: 312, protected: 294, proven: 274 },
        before: Some(FleetDay { at: before(7), hosts: 310, protected: 301, proven: 266 }),
        in_need: First {
            items: vec![cause(network, Some("nas-cellar:8000"), 7), cause(Cause::Offline, None, 1)],
            left_out: 2,
        },
        backups: EndCounts { good: 2_168, with_warnings: 12, failed: 16 },
        failures: First::of(
            vec![
                cause(network, None, 15),
                cause(Cause::Lacking { class: Some(Class::SourceMissing) }, None, 1),
            ],
            9,
        ),
        proofs: EndCounts { good: 60, with_warnings: 0, failed: 1 },
        opened: 3,
        ended: 2,
        added: First { items: vec!["edge-rack-11".to_owned(), "edge-rack-12".to_owned()], left_out: 1 },
        slowest: First {
            items: vec![SlowRun {
                host: host(1),
                name: "archive-tn".to_owned(),
                group: "films".to_owned(),
                secs: 55_200,
                ended_at: before(1),
            }],
            left_out: 320,
        },
        largest: First {
            items: vec![LargeRepo { host: host(2), name: "film-vault-2".to_owned(), bytes: 3_400 * GIB }],
            left_out: 1,
        },
        storages: First::of(
            vec![
                storage(Some("nas-cellar:8000"), 12_900, Some(139), Some(rate(20, 12))),
                storage(Some("s3.example"), 900, Some(-4), Some(rate(-1, 10))),
                storage(None, 40, None, None),
            ],
            9,
        ),
        agents: First::of(vec![version("0.9.4", 12), version("0.10.0", 300)], 9),
        restics: First::of(vec![version("0.16.4", 3), version("0.18.1", 309)], 9),
        jobs_since: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Timestamp;

    #[test]
    fn what_is_not_known_is_said_and_what_there_is_nothing_of_is_left_out() {
        let mut period = sample();
        period.before = None;
        period.backups = EndCounts::default();
        period.failures = First::default();
        period.slowest = First::default();
        period.jobs_since = Some(Timestamp(1_780_000_000_000));
        let words = period_words(&period);
        assert!(words.sentences[0].contains("No backup ended"));
        assert!(words.sentences[1].contains("is not known"));
        assert!(words.sentences.last().unwrap().contains("too many jobs"));
        let ids: Vec<&str> = words.parts.iter().map(|part| part.id).collect();
        assert_eq!(ids, ["storages", "largest", "versions"]);
    }

    #[test]
    fn not_all_is_never_rounded_up_to_all() {
        let counts = EndCounts { good: 99_999, with_warnings: 0, failed: 1 };
        assert_eq!(percent(&counts), "99.9\u{a0}%");
        assert_eq!(percent(&EndCounts { failed: 0, ..counts }), "100.0\u{a0}%");
        assert_eq!(percent(&EndCounts { good: 0, ..counts }), "0.0\u{a0}%");
    }
}
