//! The evidence report: how each host stands, when it was backed up, checked and proven, and what each should be. One
//! reading of it for the page, the CSV and the API, so that they say the same.

use crate::app::Ctx;
use crate::export::field;
use crate::format::rfc3339;
use crate::problem::Problem;
use crate::query::Query;
use crate::words::{reason, reason_of_several};
use axum::body::Body;
use axum::http::{Response, header};
use axum::response::IntoResponse;
use fleet::maintenance::CheckStatus;
use fleet::record::{CheckSeen, Period};
use fleet::{FleetCounts, FleetState, HostFilter, HostRow, ProofStatus, Status};
use schema::Timestamp;

const DAY_MS: u64 = 86_400_000;

/// A host in the report.
pub(crate) struct ReportHost {
    pub(crate) row: HostRow,
    pub(crate) check: Option<CheckSeen>,
    pub(crate) check_status: CheckStatus,
    /// How often it is to be proven; `None` = its proofs are switched off.
    pub(crate) proof_every: Option<String>,
}

/// All hosts at one moment, by name, and what they add up to.
pub(crate) struct Report {
    pub(crate) made_at: Timestamp,
    /// Whether the server can know how hosts stand now.
    pub(crate) is_known: bool,
    pub(crate) hosts: Vec<ReportHost>,
    pub(crate) counts: FleetCounts,
    /// Hosts by how they are proven, in the order of [`ProofStatus::ALL`].
    pub(crate) proofs: [u32; ProofStatus::ALL.len()],
    /// Causes of hosts that need a person, and of how many; most hosts first.
    pub(crate) causes: Vec<(String, u32)>,
    /// What happened in the last days.
    pub(crate) period: Period,
}

/// Of so many days a report may be.
pub(crate) const DAYS: [u32; 2] = [7, 30];

/// Of how many days it is asked for; of the first of [`DAYS`] where nothing is said.
pub(crate) fn days(query: &Query) -> Result<u32, Problem> {
    let of_word = |word: &str| DAYS.into_iter().find(|days| days.to_string() == word);
    Ok(query.word("days", "7 or 30", of_word)?.unwrap_or(DAYS[0]))
}

impl Report {
    /// The report now, of the last days.
    pub(crate) fn read(state: &FleetState, days: u32) -> Result<Self, Problem> {
        if state.hosts_are_lost() {
            return Err(Problem::unreadable());
        }
        let now = state.now();
        let mut rows = state.fleet(&HostFilter::default());
        rows.sort_by_cached_key(|row| row.host.name.to_lowercase());
        let (mut counts, mut proofs) = (FleetCounts::default(), [0; ProofStatus::ALL.len()]);
        let mut causes: Vec<(String, u32)> = Vec::new();
        let mut hosts = Vec::with_capacity(rows.len());
        let groups = state.cause_groups()?;
        for row in rows {
            counts.count(&row, groups.in_need(&row));
            for (count, status) in proofs.iter_mut().zip(ProofStatus::ALL) {
                *count += u32::from(status == row.proof.status);
            }
            if is_failure(row.status) {
                let cause = reason_of_several(&row.reason.timeless());
                match causes.iter_mut().find(|(known, _)| *known == cause) {
                    Some((_, count)) => *count += 1,
                    None => causes.push((cause, 1)),
                }
            }
            let settings = state.maintenance(row.host.id)?;
            let check = state.repo(row.host.id)?.check;
            hosts.push(ReportHost {
                check_status: fleet::maintenance::check_status(check.as_ref(), &settings, now),
                check,
                proof_every: settings.drill.enabled.then(|| settings.drill.every.to_string()),
                row,
            });
        }
        causes.sort_by(|(one, n), (other, m)| m.cmp(n).then_with(|| one.cmp(other)));
        let from = Timestamp(now.0.saturating_sub(u64::from(days) * DAY_MS));
        let period = state.period(from, now)?;
        Ok(Self { made_at: now, is_known: state.is_known(), hosts, counts, proofs, causes, period })
    }

    /// Hosts that need a person for one of the causes.
    pub(crate) fn failures(&self) -> u32 {
        self.causes.iter().map(|(_, count)| count).sum()
    }

    /// When the host that was proven longest ago was proven, and its name.
    pub(crate) fn oldest_proof(&self) -> Option<(Timestamp, &str)> {
        let proven =
            self.hosts.iter().filter_map(|host| Some((host.row.proof.proven_at?, &*host.row.host.name)));
        proven.min()
    }

    /// How long it would take to restore all hosts one after the other, in seconds, and of how many that is known.
    pub(crate) fn estimate(&self) -> (u64, u32) {
        let known = self.hosts.iter().filter_map(|host| host.row.proof.estimate);
        known.fold((0, 0), |(secs, hosts), estimate| (estimate.secs.saturating_add(secs), hosts + 1))
    }

    /// Size of all repositories that is known, in bytes; one that several hosts share counts for each.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.hosts.iter().filter_map(|host| host.row.size_bytes).fold(0, u64::saturating_add)
    }
}

/// Whether a host of this status is told among the failures: all but those that are well, new, or only unproven.
const fn is_failure(status: Status) -> bool {
    !matches!(status, Status::Ok | Status::Running | Status::New | Status::Unproven)
}

const HEAD: &str = "host,id,status,reason_code,reason,protected,last_good_backup,backup_target_hours,last_check,\
                    check_status,proof_status,last_proof,proof_every,restore_estimate_secs,repo_size_bytes,storage,agent_version,\
                    restic_version\r\n";

/// `GET /report.csv`: a line for each host.
pub(crate) async fn csv(ctx: Ctx) -> Result<Response<Body>, Problem> {
    let name = format!("holdfast-report-{}.csv", rfc3339(ctx.now()).replace(':', ""));
    let text = ctx.answer(|_, state| Ok(text(&Report::read(state, DAYS[0])?))).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, Body::from(text)).into_response())
}

fn text(report: &Report) -> String {
    let time = |at: Option<Timestamp>| at.map(rfc3339).unwrap_or_default();
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let mut text = HEAD.to_owned();
    for host in &report.hosts {
        let row = &host.row;
        let facts = row.host.facts.as_ref();
        let fields = [
            row.host.name.clone(),
            row.host.id.to_string(),
            row.status.as_str().to_owned(),
            row.reason.code().to_owned(),
            reason(&row.reason, report.made_at),
            row.protected.to_string(),
            time(row.last_good_at),
            number(row.backup_target_ms.map(|ms| ms / 3_600_000)),
            time(host.check.as_ref().map(|check| check.at)),
            host.check_status.as_str().to_owned(),
            row.proof.status.as_str().to_owned(),
            time(row.proof.proven_at),
            host.proof_every.clone().unwrap_or_default(),
            number(row.proof.estimate.map(|estimate| estimate.secs)),
            number(row.size_bytes),
            row.storage.as_deref().unwrap_or_default().to_owned(),
            facts.map(|facts| facts.agent_version.clone()).unwrap_or_default(),
            facts.map(|facts| facts.restic_version.clone()).unwrap_or_default(),
        ];
        text.push_str(&fields.map(|text| field(&text)).join(","));
        text.push_str("\r\n");
    }
    text
}
