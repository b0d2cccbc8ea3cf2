//! The bodies of the API as everybody with an MQTT view account may see them: the same words and shapes, less what
//! may hold a secret of somebody's files or say which person did what.

use super::dto::{HostOut, JobOut, RepoOut};
use fleet::HostRow;
use fleet::maintenance::CheckStatus;
use fleet::record::{Job, JobProgress, RepoState, Sharer};
use serde::Serialize;
use serde_json::{Map, Value};

/// Of a host, what tells whether it is there and well. The rest follows from other topics, or changes with each job.
const OF_HOST: [&str; 14] = [
    "id",
    "name",
    "online",
    "online_changed_at",
    "last_seen_at",
    "status",
    "reason",
    "reason_code",
    "protected",
    "last_good_at",
    "agent_version",
    "restic_version",
    "wire_problem",
    "clock_ahead_ms",
];
/// Which repository it is, whoever names it: the id is what others could claim to use.
const NOT_OF_REPO: [&str; 2] = ["history", "repo_id"];
/// restic's words name files; an account's name is nobody else's business.
const NOT_OF_JOB: [&str; 2] = ["error", "actor"];

/// A host, in short.
#[must_use]
pub fn host(row: HostRow) -> Value {
    let mut fields = fields(&HostOut::from(row));
    fields.retain(|name, _| OF_HOST.contains(&name.as_str()));
    Value::Object(fields)
}

/// What is known of a repository, without its history and its id.
#[must_use]
pub fn repo(state: &RepoState, sharers: &[Sharer], check: CheckStatus) -> Value {
    let mut fields = fields(&RepoOut::new(state, &[], check, (sharers, false)));
    fields.retain(|name, _| !NOT_OF_REPO.contains(&name.as_str()));
    Value::Object(fields)
}

/// A job.
#[must_use]
pub fn job(job: &Job, progress: Option<JobProgress>) -> Value {
    let mut fields = fields(&JobOut::new(job, progress));
    fields.retain(|name, _| !NOT_OF_JOB.contains(&name.as_str()));
    Value::Object(fields)
}

fn fields(body: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(body) {
        Ok(Value::Object(fields)) => fields,
        // A body is a struct with plain names.
        _ => Map::new(),
    }
}
