//! The evidence report: reads like a letter, and prints on A4.

use crate::app::Ctx;
use crate::format::{ago, bytes, count, day, duration, exact, many};
use crate::problem::Problem;
use crate::query::Query;
use crate::report::{DAYS, Report, ReportHost, days};
use crate::template::View;
use crate::words::{Badge, PeriodWords, host_badge, period_words, protected, reason};
use axum::body::Body;
use axum::http::Response;
use fleet::maintenance::CheckStatus;
use fleet::{ProofStatus, Status};
use schema::Timestamp;
use serde::Serialize;

/// A part of all hosts, in units of one host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PartView {
    pub(crate) class: &'static str,
    pub(crate) from: u32,
    pub(crate) hosts: u32,
    pub(crate) count: String,
    pub(crate) text: &'static str,
}

/// A line of a table that adds up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CountLine {
    pub(crate) text: String,
    pub(crate) count: String,
}

/// A host's line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportLine {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) badge: Badge,
    pub(crate) why: String,
    pub(crate) good: String,
    pub(crate) target: String,
    pub(crate) check: String,
    pub(crate) proof: String,
    pub(crate) every: String,
    pub(crate) restore: String,
    pub(crate) size: String,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportView {
    pub(crate) made: String,
    pub(crate) title: String,
    pub(crate) is_calm: bool,
    pub(crate) hosts: u32,
    pub(crate) parts: Vec<PartView>,
    pub(crate) parts_label: String,
    pub(crate) causes: Vec<CountLine>,
    pub(crate) causes_sum: String,
    pub(crate) proofs: Vec<CountLine>,
    pub(crate) proof_text: String,
    pub(crate) all: String,
    pub(crate) lines: Vec<ReportLine>,
    pub(crate) estimate_sum: String,
    pub(crate) size_sum: String,
    /// Of how many days it tells what happened, to choose from.
    pub(crate) spans: Vec<SpanLink>,
    /// What happened in them.
    pub(crate) period: PeriodWords,
}

/// A while to choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SpanLink {
    pub(crate) href: String,
    pub(crate) label: String,
    pub(crate) current: bool,
}

impl View for ReportView {
    const TEMPLATE: &'static str = "page/report.html";
    const NAV: &'static str = "report";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for ReportView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let line = || CountLine { text: s.text("Repository can't be reached"), count: s.text("7") };
        vec![Self {
            made: s.text("Fri 27 Nov 2026 08:12:00 UTC"),
            title: s.text("294 of 312 hosts protected, 274 proven"),
            is_calm: false,
            hosts: 312,
            parts: vec![PartView { class: "part-ok", from: 0, hosts: 271, count: s.text("271"), text: "ok" }],
            parts_label: s.text("271 ok"),
            causes: vec![line()],
            causes_sum: s.text("7"),
            proofs: vec![line()],
            proof_text: s.text("Oldest proof: film-vault-2, 58 d ago."),
            all: s.text("312"),
            lines: vec![ReportLine {
                name: s.text("boat-pi"),
                href: "/hosts/01".to_owned(),
                badge: Badge::new("ok", s.text("Ok")),
                why: s.text("Wrong password"),
                good: s.text("27 Nov"),
                target: s.text("2 d"),
                check: s.text("23 Nov, ok"),
                proof: s.text("12 Nov, proven"),
                every: s.text("30 days"),
                restore: s.text("3 h 10 min"),
                size: s.text("1.84 TiB"),
            }],
            estimate_sum: s.text("4 d 2 h"),
            size_sum: s.text("48.6 TiB"),
            spans: spans(DAYS[0]),
            period: period_sample(s),
        }]
    }
}

#[cfg(test)]
fn period_sample(s: &crate::sample::Sample) -> PeriodWords {
    use crate::words::{PeriodLine, PeriodPart};
    let part = |id, title, more| PeriodPart {
        id,
        title,
        head: ["Cause", "Hosts"],
        lines: vec![PeriodLine { what: s.text("nas-cellar:8000"), more, value: s.text("7 hosts") }],
        left_out: s.text("And 2 more causes."),
    };
    PeriodWords {
        title: s.text("294 of 312 hosts protected"),
        span: "Fri 20 Nov 08:12 to Fri 27 Nov 08:12 UTC".to_owned(),
        sentences: vec![s.text("Of 2,184 backups 2,168 ended well (99.2 %).")],
        need: part("need", "Needs somebody now", String::new()),
        parts: vec![
            part("failures", "Failed backups by cause", String::new()),
            part("storages", "Storages", s.text("+139 GiB in this period")),
        ],
    }
}

/// `GET /report`.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    let days = days(&query)?;
    ctx.read(move |ctx, state| ctx.page(&view(&Report::read(state, days)?, days))).await
}

fn spans(chosen: u32) -> Vec<SpanLink> {
    let link = |days: u32| SpanLink {
        href: format!("/report?days={days}"),
        label: format!("{days} days"),
        current: days == chosen,
    };
    DAYS.map(link).into()
}

/// The parts of a fleet, best first; each status is in one of them.
fn parts(report: &Report) -> Vec<PartView> {
    type Part = (&'static str, &'static str, &'static [Status]);
    const PARTS: [Part; 5] = [
        ("part-ok", "ok", &[Status::Ok, Status::Running]),
        ("part-unproven", "unproven", &[Status::Unproven]),
        ("part-warn", "with warnings", &[Status::Warning, Status::CheckOverdue, Status::Stale]),
        ("part-fail", "failed, missed or offline", &[Status::Failed, Status::Missed, Status::Offline]),
        ("part-rest", "new", &[Status::New]),
    ];
    let mut from = 0;
    PARTS
        .into_iter()
        .map(|(class, text, statuses)| {
            let hosts: u32 = statuses.iter().map(|status| report.counts.of(*status)).sum();
            let part = PartView { class, from, hosts, count: count(hosts.into()), text };
            from += hosts;
            part
        })
        .collect()
}

const fn proof_words(status: ProofStatus) -> &'static str {
    match status {
        ProofStatus::Failed => "Files could not be restored, or were different",
        ProofStatus::Unproven => "Unproven: never, or longer ago than twice the interval",
        ProofStatus::Off => "Not being proven: switched off",
        ProofStatus::Waiting => "Waiting for the first proof",
        ProofStatus::Nothing => "Nothing to prove: no good backup yet",
        ProofStatus::Proven => "Proven",
    }
}

const fn proof_short(status: ProofStatus) -> &'static str {
    match status {
        ProofStatus::Failed => "failed",
        ProofStatus::Unproven => "unproven",
        ProofStatus::Off => "not being proven",
        ProofStatus::Waiting => "waits for its first",
        ProofStatus::Nothing => "nothing to prove",
        ProofStatus::Proven => "proven",
    }
}

fn view(report: &Report, days: u32) -> ReportView {
    let (now, counts) = (report.made_at, &report.counts);
    let parts: Vec<PartView> = parts(report);
    let said = |part: &PartView| format!("{} {}", part.count, part.text);
    let (secs, known) = report.estimate();
    let mut proof_text = match report.oldest_proof() {
        Some((at, name)) => format!("Oldest proof: {name}, {}.", ago(now, at)),
        None => "No host was proven so far.".to_owned(),
    };
    if known > 0 {
        let whose = match (known, counts.total) {
            (1, 1) => "The host".to_owned(),
            (known, total) if known == total => format!("All {}", many(total.into(), "host")),
            (known, _) => format!("The {} of which a rate was measured", many(known.into(), "host")),
        };
        proof_text = format!(
            "{proof_text} {whose} would take about {} to restore{}.",
            duration(secs),
            if known > 1 { ", one after the other" } else { "" }
        );
    }
    ReportView {
        made: exact(now),
        title: match report.is_known {
            true => format!("{}, {} proven", protected(counts, true), count(counts.proven.into())),
            false => format!("{}: how they stand now, it can’t know", protected(counts, false)),
        },
        is_calm: report.is_known && report.causes.is_empty(),
        hosts: counts.total,
        parts_label: parts.iter().map(said).collect::<Vec<_>>().join(", "),
        parts: parts.into_iter().filter(|part| part.hosts > 0).collect(),
        causes: report
            .causes
            .iter()
            .map(|(cause, hosts)| CountLine { text: cause.clone(), count: count((*hosts).into()) })
            .collect(),
        causes_sum: count(report.failures().into()),
        proofs: ProofStatus::ALL
            .into_iter()
            .zip(report.proofs)
            .rev()
            .map(|(status, hosts)| CountLine {
                text: proof_words(status).to_owned(),
                count: count(hosts.into()),
            })
            .collect(),
        proof_text,
        all: count(counts.total.into()),
        lines: report.hosts.iter().map(|host| line(host, now)).collect(),
        estimate_sum: if known > 0 { duration(secs) } else { "not known".to_owned() },
        size_sum: bytes(report.size_bytes()),
        spans: spans(days),
        period: period_words(&report.period),
    }
}

fn line(host: &ReportHost, now: Timestamp) -> ReportLine {
    let row = &host.row;
    let never = || "never".to_owned();
    let check = match (&host.check, host.check_status) {
        (None, _) => never(),
        (Some(check), CheckStatus::Ok) => format!("{}, ok", day(check.at)),
        (Some(check), CheckStatus::Errors) => format!("{}, found errors", day(check.at)),
        (Some(check), CheckStatus::Overdue | CheckStatus::Never) => format!("{}, overdue", day(check.at)),
    };
    let status = proof_short(row.proof.status);
    let (badge, why) = (host_badge(row), reason(&row.reason, now));
    ReportLine {
        name: row.host.name.clone(),
        href: format!("/hosts/{}", row.host.id),
        // Some reasons are the words of the badge.
        why: if badge.text.ends_with(&why) { String::new() } else { why },
        badge,
        good: row.last_good_at.map_or_else(never, |at| format!("{}, {}", day(at), ago(now, at))),
        target: row.backup_target_ms.map_or_else(|| "–".to_owned(), |ms| duration(ms / 1_000)),
        check,
        proof: match row.proof.proven_at {
            Some(at) if row.proof.status == ProofStatus::Proven => format!("{}, {status}", day(at)),
            Some(at) => format!("{status}; last proven {}", day(at)),
            None => status.to_owned(),
        },
        every: host.proof_every.clone().unwrap_or_else(|| "off".to_owned()),
        restore: row.proof.estimate.map_or_else(|| "–".to_owned(), |estimate| duration(estimate.secs)),
        size: row.size_bytes.map_or_else(|| "–".to_owned(), bytes),
    }
}
