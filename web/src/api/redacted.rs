//! The bodies of the API as everybody with an MQTT view account may see them: the same words and shapes, less what
//! may hold a secret of somebody's files or say which person did what.

use super::dto::{HostOut, IncidentOut, JobOut, RepoOut};
use fleet::maintenance::CheckStatus;
use fleet::record::{Job, JobFigures, JobProgress, RepoState, Sharer};
use fleet::{HostRow, IncidentView};
use serde::Serialize;
use serde_json::{Map, Value};

/// Of a host, what tells whether it is there and well. The rest follows from other topics, or changes with each job.
const OF_HOST: [&str; 15] = [
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
    "next_run_at",
    "agent_version",
    "restic_version",
    "wire_problem",
    "clock_ahead_ms",
];
/// Which repository it is, whoever names it: the id is what others could claim to use.
const NOT_OF_REPO: [&str; 2] = ["history", "repo_id"];
/// restic's words name files, and so does what is restored; an account's name is nobody else's business.
const NOT_OF_JOB: [&str; 3] = ["error", "actor", "restore"];
/// Of the summary of a restore: its numbers are enough.
const NOT_OF_RESTORE: [&str; 2] = ["failures", "target"];

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
    if let (JobFigures::Restore(_), Some(Value::Object(summary))) = (&job.figures, fields.get_mut("summary"))
    {
        summary.retain(|name, _| !NOT_OF_RESTORE.contains(&name.as_str()));
    }
    Value::Object(fields)
}

/// An incident. Of whoever acknowledged it, it is told that somebody did, and until when.
#[must_use]
pub fn incident(seen: IncidentView) -> Value {
    let until = seen.incident.ack.as_ref().map(|ack| crate::format::rfc3339(ack.until));
    let mut fields = fields(&IncidentOut::from(seen));
    fields.remove("acknowledgement");
    fields.insert("acknowledged_until".to_owned(), until.into());
    Value::Object(fields)
}

fn fields(body: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(body) {
        Ok(Value::Object(fields)) => fields,
        // A body is a struct with plain names.
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::{Actor, JobWhat, RestoreFailure, RestoreFigures, RestorePlan, RestoreTarget};

    #[test]
    fn of_a_restore_the_numbers_are_told_and_no_file_is_named() {
        let host = schema::HostId([2; 16]);
        let what = JobWhat::Restore(RestorePlan {
            source: host,
            snapshot: "0badcafe".to_owned(),
            paths: vec!["/srv/secret-plans".to_owned()],
            target: RestoreTarget::Folder { path: "/srv/secret-place".to_owned() },
            overwrite: schema::Overwrite::Never,
            delete: false,
            verify: true,
            dry_run: false,
        });
        let (id, at) = (schema::JobId([1; 16]), schema::Timestamp(1));
        let mut restored = Job::new(id, host, what, Actor::System, at, schema::CommandSeq(1));
        restored.message = "/srv/secret-place can't be written".to_owned();
        restored.figures = JobFigures::Restore(RestoreFigures {
            files: 41,
            failed: 1,
            target: "/srv/secret-place".to_owned(),
            failures: vec![RestoreFailure {
                path: "/srv/secret-plans/a".to_owned(),
                reason: "/srv/secret-place/a: no space".to_owned(),
            }],
            ..RestoreFigures::default()
        });
        let told = job(&restored, None);
        assert_eq!((&told["summary"]["files"], &told["summary"]["failed"]), (&41.into(), &1.into()));
        assert!(!told.to_string().contains("secret"), "{told}");
    }
}
