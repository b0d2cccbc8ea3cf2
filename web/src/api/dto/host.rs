//! Hosts, their credentials and their enrolment.

use super::said::said;
use super::time::time;
use super::words;
use crate::format::rfc3339;
use crate::rights::Rights;
use crate::words::reason;
use data_encoding::HEXLOWER;
use fleet::record::{
    BackupsHeld, CredentialsFacts, CredentialsInput, Host, Quarantine, Secret, TokenMachine, Twin,
};
use fleet::{HostRow, NewEnrollToken, OverBudget, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = WireProblem)]
pub(crate) struct WireProblemOut {
    /// The version that the agent speaks.
    version: u8,
    at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Host)]
pub(crate) struct HostOut {
    id: String,
    name: String,
    labels: Vec<String>,
    /// `ok`, `unproven`, `running`, `warning`, `failed`, `missed`, `offline` or `new`.
    #[schema(value_type = words::HostStatus)]
    status: &'static str,
    /// Why, in short words; empty when all is well.
    reason: String,
    /// The same as a word that stays: `ok`, `offline`, `missed`, the class of a backup that did not end well, …
    #[schema(value_type = words::HostReason)]
    reason_code: &'static str,
    /// Whether every source group is in a schedule that is on (or backed up by hand, as somebody said) and has a good, whole
    /// and recent backup, the credentials are not known to be refused, and the clock is not off by hours.
    protected: bool,
    /// Whether the server can know how the host stands now: false of one that only reads, for its data file is damaged or another
    /// server has its place. Then `protected` is false, `next_run_at` null, and the rest is what it knew last.
    is_current: bool,
    /// How far it is proven that it can be restored: `proven`; `waiting` for the first proof; `unproven`; `failed`: files
    /// could not be restored, or were different; `off`: nothing is proven by itself; `nothing` that could be proven.
    #[schema(value_type = words::ProofStatus)]
    proof_status: &'static str,
    /// When its source groups were proven: the oldest of their last proofs; null = one of them never was.
    proven_at: Option<String>,
    /// How long it would take to restore all of its source groups, by what was measured; null = nothing was.
    restore_estimate_secs: Option<u64>,
    /// What that is reckoned from, in bytes a second.
    restore_rate_bytes: Option<u64>,
    /// Tells this state from others, and from the same one at another time: what an acknowledgement names.
    mark: String,
    /// Who has acknowledged this state, and when; null = nobody.
    acknowledged_by: Option<String>,
    acknowledged_at: Option<String>,
    online: bool,
    /// Since when it is online, or is not.
    online_changed_at: Option<String>,
    last_seen_at: Option<String>,
    /// Present when the agent speaks a wire version that is not understood here.
    wire_problem: Option<WireProblemOut>,
    /// Present while two machines have its identity and neither is let in.
    quarantine: Option<QuarantineOut>,
    /// Present from when another machine took its place until somebody starts its backups.
    backups_held: Option<BackupsHeldOut>,
    /// How far its clock was ahead of the server's when it last connected, in milliseconds, negative: behind; null = right to
    /// within a minute, or never seen.
    clock_ahead_ms: Option<i64>,
    agent_version: Option<String>,
    /// Whether the agent is older than this server.
    agent_is_old: bool,
    restic_version: Option<String>,
    os: Option<String>,
    arch: Option<String>,
    created_at: String,
    enrolled_at: Option<String>,
    last_backup_at: Option<String>,
    last_good_at: Option<String>,
    next_run_at: Option<String>,
    repo_size_bytes: Option<u64>,
    repo_snapshots: Option<u32>,
    groups: u32,
    open_jobs: u32,
    has_repo_credentials: bool,
    /// When what the last backup failed of was seen to be mended; it waits for a good backup to show it.
    mended_at: Option<String>,
    /// A word for each of the last 30 days, oldest first. `before`: it was not enrolled yet.
    #[schema(value_type = Vec<words::DayWord>)]
    days: Vec<&'static str>,
}

/// Another machine has the host's place: no backup, forget or prune of it until somebody starts its backups.
#[derive(Serialize, ToSchema)]
#[schema(as = BackupsHeld)]
struct BackupsHeldOut {
    /// When that machine was enrolled.
    since: String,
    /// Which hold it is; goes back when backups are started.
    mark: String,
    /// Name that it gives itself.
    hostname: String,
    /// Name that the one before it gave itself; null = it was never known.
    former_hostname: Option<String>,
}

impl From<&BackupsHeld> for BackupsHeldOut {
    fn from(held: &BackupsHeld) -> Self {
        Self {
            since: rfc3339(held.since),
            mark: held.mark(),
            hostname: held.hostname.clone(),
            former_hostname: said(&held.former_hostname),
        }
    }
}

/// Two machines with one identity.
#[derive(Serialize, ToSchema)]
#[schema(as = Quarantine)]
struct QuarantineOut {
    since: String,
    machines: Vec<TwinOut>,
}

/// One of them, as it last connected.
#[derive(Serialize, ToSchema)]
#[schema(as = Twin)]
struct TwinOut {
    hostname: String,
    os: String,
    /// Where it connected from; empty = not known.
    peer: String,
    seen_at: String,
    /// In hex; made with the agent's state folder.
    installation: String,
    /// In hex. The first half is of the machine's boot id, and the same for two agents on one machine; the second changes
    /// with each start of the agent.
    boot_id: String,
}

impl From<&Quarantine> for QuarantineOut {
    fn from(found: &Quarantine) -> Self {
        let machine = |twin: &Twin| TwinOut {
            hostname: twin.hostname.clone(),
            os: twin.os.clone(),
            peer: twin.peer.clone(),
            seen_at: rfc3339(twin.seen_at),
            installation: HEXLOWER.encode(&twin.machine.installation.0),
            boot_id: HEXLOWER.encode(&twin.machine.boot_id),
        };
        Self { since: rfc3339(found.since), machines: found.twins.iter().map(machine).collect() }
    }
}

impl From<HostRow> for HostOut {
    fn from(row: HostRow) -> Self {
        let facts = row.host.facts.as_ref();
        Self {
            id: row.host.id.to_string(),
            status: row.status.as_str(),
            reason: reason(&row.reason, row.now),
            reason_code: row.reason.code(),
            protected: row.protected,
            is_current: row.is_known,
            proof_status: row.proof.status.as_str(),
            proven_at: time(row.proof.proven_at),
            restore_estimate_secs: row.proof.estimate.map(|estimate| estimate.secs),
            restore_rate_bytes: row.proof.estimate.map(|estimate| estimate.rate.bytes_a_second()),
            mark: row.mark(),
            acknowledged_by: row.acked.as_ref().map(|acked| acked.by.name().to_owned()),
            acknowledged_at: time(row.acked.as_ref().map(|acked| acked.at)),
            online: row.presence.online,
            online_changed_at: time(row.presence.changed_at),
            last_seen_at: time(row.presence.last_seen_at),
            wire_problem: row
                .presence
                .wire_problem
                .as_ref()
                .map(|problem| WireProblemOut { version: problem.version, at: rfc3339(problem.at) }),
            quarantine: row.presence.quarantine.as_ref().map(QuarantineOut::from),
            backups_held: row.host.backups_held.as_ref().map(BackupsHeldOut::from),
            clock_ahead_ms: row.clock_ahead_ms(),
            agent_is_old: row.has_old_agent(),
            agent_version: facts.map(|facts| facts.agent_version.clone()),
            restic_version: facts.map(|facts| facts.restic_version.clone()).filter(|v| !v.is_empty()),
            os: facts.map(|facts| facts.os.clone()),
            arch: facts.map(|facts| facts.arch.clone()),
            created_at: rfc3339(row.host.created_at),
            enrolled_at: time(row.host.enrolled_at),
            last_backup_at: time(row.last_backup().and_then(|job| job.finished_at)),
            last_good_at: time(row.last_good_at),
            next_run_at: time(row.next_run_at),
            repo_size_bytes: row.size_bytes,
            repo_snapshots: row.snapshots,
            groups: row.groups,
            open_jobs: row.open_jobs,
            has_repo_credentials: row.has_repo_credentials,
            mended_at: time(row.reason.mended_at()),
            days: row.days().iter().map(|day| day.as_str()).collect(),
            name: row.host.name.clone(),
            labels: row.host.labels.clone(),
        }
    }
}

/// What the jobs and logs of a host take, and what was not taken of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
pub(crate) struct UsageOut {
    /// Jobs kept.
    jobs: u64,
    /// What they and their logs take of the data file, about.
    bytes: u64,
    /// Lines of the audit that it has caused by itself.
    audit_lines: u64,
    /// What the host sent over its budgets since the server started.
    refused: Vec<RefusedOut>,
}

/// What a host sent over one of its budgets.
#[derive(Serialize, ToSchema)]
#[schema(as = OverBudget)]
struct RefusedOut {
    #[schema(value_type = words::OverBudgetWord)]
    what: &'static str,
    /// The same in words.
    words: &'static str,
    count: u64,
    last_at: String,
}

impl UsageOut {
    pub(crate) fn new(usage: Usage, over: &OverBudget) -> Self {
        let refused = over.refused.iter().map(|(over, count, at)| RefusedOut {
            what: over.as_str(),
            words: over.words(),
            count: *count,
            last_at: rfc3339(*at),
        });
        Self {
            jobs: usage.jobs,
            bytes: usage.bytes,
            audit_lines: usage.audit_lines,
            refused: refused.collect(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewHost)]
pub(crate) struct HostIn {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// What the host is to allow the server: options of `enroll_command`, kept by nobody but the host.
    #[serde(default)]
    pub(crate) rights: Rights,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = NewEnrollToken)]
pub(crate) struct EnrollTokenIn {
    /// What the host is to allow the server, as for a new host.
    pub(crate) rights: Rights,
    /// `true`: another machine takes the host's place, and its backups wait until somebody starts them. `false`: it is the
    /// same machine, whose backups go on. Absent: they go on when its agent still has the state folder that this host had
    /// last, or when nothing has been backed up.
    pub(crate) replacement: Option<bool>,
}

impl EnrollTokenIn {
    /// Which machine the token is for.
    pub(crate) const fn machine(&self) -> TokenMachine {
        match self.replacement {
            None => TokenMachine::Any,
            Some(false) => TokenMachine::Same,
            Some(true) => TokenMachine::Replacement,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostPatch {
    pub(crate) name: Option<String>,
    pub(crate) labels: Option<Vec<String>>,
}

/// The token is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct HostCreated {
    id: String,
    name: String,
    enroll_token: String,
    enroll_command: String,
    expires_at: String,
}

impl HostCreated {
    pub(crate) fn new(host: &Host, new: &NewEnrollToken, rights: &Rights) -> Self {
        Self {
            id: host.id.to_string(),
            name: host.name.clone(),
            enroll_token: new.text.expose().to_owned(),
            enroll_command: enroll_command(new, rights),
            expires_at: rfc3339(new.token.expires_at),
        }
    }
}

/// The line to run on the host.
pub(crate) fn enroll_command(new: &NewEnrollToken, rights: &Rights) -> String {
    format!("holdfast-agent enroll{} {}", rights.options(), new.text.expose())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Credentials)]
pub(crate) struct CredentialsOut {
    set: bool,
    url: String,
    username: String,
    has_password: bool,
    has_repo_password: bool,
    /// Certificates (PEM) of the authorities that the storage's own may be of; empty: of those that the host knows.
    ca: String,
    /// The host keys that a storage reached by ssh may show, one per line; empty: those that the host knows.
    host_keys: String,
    env_names: Vec<String>,
    updated_at: Option<String>,
    updated_by: Option<String>,
    /// `operator`, `token` or `system`.
    #[schema(value_type = Option<words::ActorKind>)]
    updated_by_kind: Option<&'static str>,
    /// Whether the agent says that it holds these; of the admin credentials, that it would take them for a job.
    held: bool,
    /// Why the agent does not take these: `policy` when its owner does not allow it.
    #[schema(value_type = Option<words::Refusal>)]
    refused: Option<&'static str>,
    /// What is stored can't be opened: it must be set again.
    unreadable: bool,
}

impl From<Option<CredentialsFacts>> for CredentialsOut {
    fn from(facts: Option<CredentialsFacts>) -> Self {
        let set = facts.is_some();
        let facts = facts.unwrap_or_default();
        Self {
            set,
            held: set && facts.held_revision == facts.revision && facts.refused.is_none(),
            refused: facts.refused.map(schema::Refusal::as_str),
            unreadable: facts.unreadable,
            url: facts.url,
            username: facts.username,
            has_password: facts.has_password,
            has_repo_password: facts.has_repo_password,
            ca: facts.ca,
            host_keys: facts.host_keys,
            env_names: facts.env_names,
            updated_at: set.then(|| rfc3339(facts.updated_at)),
            updated_by: set.then(|| facts.updated_by.name().to_owned()),
            updated_by_kind: set.then(|| facts.updated_by.kind()),
        }
    }
}

/// An absent secret keeps the stored one while scheme, machine and port of the address stay.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetCredentials)]
pub(crate) struct CredentialsIn {
    url: String,
    username: Option<String>,
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    #[schema(value_type = Option<String>)]
    repo_password: Option<Secret>,
    /// Certificates (PEM) of the authorities of an https storage. Absent: stays as it is; empty: those that the host knows.
    ca: Option<String>,
    /// Host keys of an sftp storage, one per line, as ssh-keyscan or its `ssh_host_…_key.pub` show them. Absent: stays as it
    /// is while the storage is the same; empty: those that the host knows.
    host_keys: Option<String>,
    /// Replaces all; a null keeps the stored value of that name.
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    env: Option<BTreeMap<String, Option<Secret>>>,
}

/// A host key that was compared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HostKeyAcceptance)]
pub(crate) struct HostKeyIn {
    /// Its fingerprint as the job shows it: `SHA256:…`, with or without the kind behind it.
    pub(crate) fingerprint: String,
}

impl From<CredentialsIn> for CredentialsInput {
    fn from(body: CredentialsIn) -> Self {
        Self {
            url: body.url,
            username: body.username,
            password: body.password,
            repo_password: body.repo_password,
            ca: body.ca,
            host_keys: body.host_keys,
            env: body.env,
        }
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = StartBackups)]
pub(crate) struct StartBackupsIn {
    /// The `mark` of `backups_held` as it was shown: another machine's backups are not started then. Absent: whichever are
    /// held.
    pub(crate) mark: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Acknowledgement)]
pub(crate) struct AckIn {
    /// The `mark` of the host as it was shown.
    pub(crate) mark: String,
}
