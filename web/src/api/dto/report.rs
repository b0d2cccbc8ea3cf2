//! The evidence report.

use super::time::time;
use super::{PeriodOut, words};
use crate::format::rfc3339;
use crate::report::{Report, ReportHost};
use crate::words::reason;
use fleet::{ProofStatus, Status};
use schema::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Report)]
pub(crate) struct ReportOut {
    made_at: String,
    /// Whether the server can know how hosts stand now: false of one that only reads, for its data file is damaged or another
    /// server has its place. Then no host is `protected`, and the rest is what it knew last.
    is_current: bool,
    /// Number of all hosts.
    hosts_total: u32,
    /// Hosts that are protected, as each host says; the others add up to `hosts_total`.
    protected: u32,
    /// Of the protected: hosts that need attention all the same, such as for a proof that is too old.
    protected_in_need: u32,
    /// Of the others: hosts that need attention. The rest run their first backup, or somebody has acknowledged them.
    unprotected_in_need: u32,
    /// Hosts that were proven not too long ago.
    proven: u32,
    /// Hosts by status; they add up to `hosts_total`.
    by_status: Vec<HostsOfStatusOut>,
    /// Hosts by how they are proven; they add up to `hosts_total`.
    by_proof: Vec<HostsOfProofOut>,
    /// Why hosts have failed, are away, late or warn, and how many.
    causes: Vec<CauseOut>,
    /// When the host that was proven longest ago was proven; null: none was.
    oldest_proof_at: Option<String>,
    /// How long it would take to restore all hosts one after the other, as far as it is known.
    restore_estimate_secs: u64,
    /// Of how many hosts that is known.
    restore_estimate_hosts: u32,
    hosts: Vec<ReportHostOut>,
    /// What happened in the last days.
    period: PeriodOut,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HostsOfStatus)]
struct HostsOfStatusOut {
    #[schema(value_type = words::HostStatus)]
    status: &'static str,
    hosts: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HostsOfProof)]
struct HostsOfProofOut {
    #[schema(value_type = words::ProofStatus)]
    proof_status: &'static str,
    hosts: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReportCause)]
struct CauseOut {
    cause: String,
    hosts: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReportHost)]
struct ReportHostOut {
    id: String,
    name: String,
    #[schema(value_type = words::HostStatus)]
    status: &'static str,
    #[schema(value_type = words::HostReason)]
    reason_code: &'static str,
    reason: String,
    protected: bool,
    last_good_at: Option<String>,
    /// A good backup older than this is too old, in seconds; null: there is no source group.
    backup_target_secs: Option<u64>,
    last_check_at: Option<String>,
    #[schema(value_type = words::CheckWord)]
    check_status: &'static str,
    #[schema(value_type = words::ProofStatus)]
    proof_status: &'static str,
    proven_at: Option<String>,
    /// How often it is to be proven; null: its proofs are switched off.
    proof_every: Option<String>,
    restore_estimate_secs: Option<u64>,
    repo_size_bytes: Option<u64>,
    /// As the address of its repository names it; null: of its own, or not known.
    storage: Option<String>,
    agent_version: Option<String>,
    restic_version: Option<String>,
}

impl ReportHostOut {
    fn new(host: &ReportHost, now: Timestamp) -> Self {
        let row = &host.row;
        let facts = row.host.facts.as_ref();
        Self {
            id: row.host.id.to_string(),
            name: row.host.name.clone(),
            status: row.status.as_str(),
            reason_code: row.reason.code(),
            reason: reason(&row.reason, now),
            protected: row.protected,
            last_good_at: time(row.last_good_at),
            backup_target_secs: row.backup_target_ms.map(|ms| ms / 1_000),
            last_check_at: time(host.check.as_ref().map(|check| check.at)),
            check_status: host.check_status.as_str(),
            proof_status: row.proof.status.as_str(),
            proven_at: time(row.proof.proven_at),
            proof_every: host.proof_every.clone(),
            restore_estimate_secs: row.proof.estimate.map(|estimate| estimate.secs),
            repo_size_bytes: row.size_bytes,
            storage: row.storage.as_deref().map(str::to_owned),
            agent_version: facts.map(|facts| facts.agent_version.clone()),
            restic_version: facts.map(|facts| facts.restic_version.clone()),
        }
    }
}

impl From<&Report> for ReportOut {
    fn from(report: &Report) -> Self {
        let (restore_estimate_secs, restore_estimate_hosts) = report.estimate();
        Self {
            made_at: rfc3339(report.made_at),
            is_current: report.is_known,
            hosts_total: report.counts.total,
            protected: report.counts.protected,
            protected_in_need: report.counts.protected_in_need,
            unprotected_in_need: report.counts.unprotected_in_need,
            proven: report.counts.proven,
            by_status: Status::ALL
                .map(|status| HostsOfStatusOut { status: status.as_str(), hosts: report.counts.of(status) })
                .into(),
            by_proof: ProofStatus::ALL
                .into_iter()
                .zip(report.proofs)
                .map(|(status, hosts)| HostsOfProofOut { proof_status: status.as_str(), hosts })
                .collect(),
            causes: report
                .causes
                .iter()
                .map(|(cause, hosts)| CauseOut { cause: cause.clone(), hosts: *hosts })
                .collect(),
            oldest_proof_at: time(report.oldest_proof().map(|(at, _)| at)),
            restore_estimate_secs,
            restore_estimate_hosts,
            hosts: report.hosts.iter().map(|host| ReportHostOut::new(host, report.made_at)).collect(),
            period: PeriodOut::from(&report.period),
        }
    }
}
