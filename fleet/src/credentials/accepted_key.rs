//! A host key that a job has shown, and a person accepts.

use super::host_key::{self, is_used};
use super::location::is_elsewhere;
use super::{facts_of, put};
use crate::audit;
use crate::fleet::Fleet;
use crate::hosts;
use crate::record::{AuditAction, CredentialsFacts, CredentialsInput, Job, JobFigures};
use crate::refused::Refused;
use crate::request::By;
use crate::store::{JOBS, Reads as _};
use schema::{JobId, Slot};

/// The key that a job was shown, and of which slot's storage; `None` = it was none.
pub(super) fn shown(job: &Job) -> Option<(Slot, &str)> {
    match &job.figures {
        JobFigures::HostKey { slot, key } => Some((*slot, key)),
        _ => None,
    }
}

impl Fleet {
    /// Says that the host key which a job was shown is the storage's: from now on it may show no other. `fingerprint` is
    /// what was compared. When the credentials have changed since, nothing is said of them.
    pub async fn accept_host_key(
        &self,
        job: JobId,
        fingerprint: &str,
        by: By,
    ) -> Result<CredentialsFacts, Refused> {
        let compared = fingerprint.trim().to_owned();
        self.write(by, move |op| {
            let job = op.tx.get(&JOBS, &job)?.ok_or(Refused::JobNotFound)?;
            let Some((slot, key)) = shown(&job) else {
                return Err(Refused::invalid("job", "this job was shown no host key"));
            };
            let seen = host_key::fingerprint(key).ok_or(Refused::StateChanged)?;
            if compared.split(' ').next() != seen.split(' ').next() {
                return Err(Refused::invalid("fingerprint", format!("the job was shown {seen}")));
            }
            let facts = facts_of(op.facts, op.tx, job.host, slot)?;
            let facts = facts.filter(|facts| is_used(&facts.url) && facts.updated_at <= job.created_at);
            let Some(facts) = facts else { return Err(Refused::StateChanged) };
            let keys = |facts: &CredentialsFacts| CredentialsInput {
                url: facts.url.clone(),
                host_keys: Some(key.to_owned()),
                ..CredentialsInput::default()
            };
            // The other slot leads to the same machine as a rule.
            let other = if slot == Slot::Repo { Slot::Admin } else { Slot::Repo };
            if let Some(other_facts) = facts_of(op.facts, op.tx, job.host, other)?
                && !other_facts.unreadable
                && !is_elsewhere(&other_facts.url, &facts.url)
                && other_facts.host_keys == facts.host_keys
            {
                put(op, job.host, other, &keys(&other_facts))?;
            }
            let facts = put(op, job.host, slot, &keys(&facts))?;
            let detail = format!("{} {seen}", slot.as_str());
            let target = hosts::target(op.tx, job.host)?;
            audit::note(op, AuditAction::CredentialsHostKeyAccepted, target, detail)?;
            Ok(facts)
        })
        .await
    }
}
