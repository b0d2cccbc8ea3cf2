//! Hosts: added, renamed, deleted.

mod row;

pub(crate) use row::{change_summary, check_name, find, seen, shown_in_incidents, state_folder, target};

use crate::audit;
use crate::budget;
use crate::change::Changed;
use crate::dispatch::for_other;
use crate::enroll;
use crate::fleet::{Fleet, NewEnrollToken};
use crate::groups::origins;
use crate::incidents;
use crate::op::Op;
use crate::pending;
use crate::record::{Acked, AuditAction, AuditTarget, Host, TokenMachine};
use crate::refused::{Refused, StoreError};
use crate::repo;
use crate::request::By;
use crate::roster::RosterEntry;
use crate::schedule;
use crate::status;
use crate::store::{
    ENTRIES, FOUND, HOST_JOBS, HOST_NAMES, HOST_TOKENS, HOSTS, JOBS, LISTED, LOG_STATES, LOGS, REPO_HOSTS,
    REPOS, Reads, SOURCE_JOBS, Span, TOKENS, Tx,
};
use schema::{HostId, name};

const MAX_LABELS: usize = 32;

impl Fleet {
    /// Adds a host and makes the token that enrols its agent.
    pub async fn create_host(
        &self,
        name: &str,
        labels: Vec<String>,
        by: By,
    ) -> Result<(Host, NewEnrollToken), Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            check_host_name(&name)?;
            let labels = check_labels(&labels)?;
            let id = HostId::new(op.now, op.facts.random());
            take_name(op.tx, &name, id)?;
            let host = Host {
                id,
                restic_host: origins::free_restic_host(op.tx, &name)?,
                name: name.clone(),
                labels,
                created_at: op.now,
                created_by: op.by.actor.clone(),
                enrolled_at: None,
                facts: None,
                backups_held: None,
            };
            op.tx.put(&HOSTS, &id, &host)?;
            audit::note(op, AuditAction::HostCreated, AuditTarget::Host(id, name.clone()), "")?;
            let token = enroll::new_token(op, &host, TokenMachine::Any)?;
            op.tx.effects.changed(Changed::Host(id));
            Ok((host, token))
        })
        .await
    }

    /// Acknowledges how a host stands, or takes that back: until it changes, it needs no attention. `mark` is the state
    /// that was shown; another one is refused. `shown` are the words that it was shown in, for the audit.
    pub async fn acknowledge(
        &self,
        host: HostId,
        mark: Option<String>,
        shown: String,
        by: By,
    ) -> Result<(), Refused> {
        self.write(by, move |op| {
            let entry =
                RosterEntry::read(&op.facts.settings.timezone, op.tx, host)?.ok_or(Refused::HostNotFound)?;
            let row = status::row(&entry, op.now);
            let (acked, action) = match &mark {
                None if row.acked.is_none() => return Ok(()),
                None => (None, AuditAction::HostUnacknowledged),
                Some(mark) if *mark != row.mark() => return Err(Refused::StateChanged),
                Some(_) if !row.needs_attention() => return Ok(()),
                Some(mark) => {
                    let acked = Acked { mark: mark.clone(), by: op.by.actor.clone(), at: op.now };
                    (Some(acked), AuditAction::HostAcknowledged)
                }
            };
            change_summary(op.tx, host, |summary| summary.acked = acked)?;
            op.tx.effects.changed(Changed::Host(host));
            Ok(audit::note(op, action, target(op.tx, host)?, shown.as_str())?)
        })
        .await
    }

    /// Changes a host's name or labels; `None` keeps. What restic calls the host does not change.
    pub async fn update_host(
        &self,
        host: HostId,
        name: Option<String>,
        labels: Option<Vec<String>>,
        by: By,
    ) -> Result<Host, Refused> {
        self.write(by, move |op| {
            let before = find(op.tx, host)?;
            let mut after = before.clone();
            if let Some(name) = &name {
                check_host_name(name)?;
                after.name.clone_from(name);
            }
            if let Some(labels) = &labels {
                after.labels = check_labels(labels)?;
            }
            if after == before {
                return Ok(after);
            }
            if after.name != before.name {
                // The same name in other letters is the host's own.
                if after.name.to_lowercase() != before.name.to_lowercase() {
                    take_name(op.tx, &after.name, host)?;
                    op.tx.remove(&HOST_NAMES, &before.name.to_lowercase())?;
                }
                let detail = format!("{} → {}", before.name, after.name);
                let target = AuditTarget::Host(host, after.name.clone());
                audit::note(op, AuditAction::HostRenamed, target, detail)?;
            }
            if after.labels != before.labels {
                let target = AuditTarget::Host(host, after.name.clone());
                audit::note(op, AuditAction::HostLabelled, target, after.labels.join(", "))?;
            }
            op.tx.put(&HOSTS, &host, &after)?;
            op.tx.effects.changed(Changed::Host(host));
            Ok(after)
        })
        .await
    }

    /// Deletes a host with everything that is known of it. Its repository is not touched.
    pub async fn delete_host(&self, host: HostId, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let record = find(op.tx, host)?;
            for_other::check_is_free(op.tx, host)?;
            for_other::take_back(op, host)?;
            delete(op.tx, &record)?;
            audit::note(op, AuditAction::HostDeleted, AuditTarget::Host(host, record.name), "")?;
            op.tx.effects.relinked.push(host);
            op.tx.effects.changed(Changed::Host(host));
            Ok(())
        })
        .await
    }
}

/// Adds a host of this id, which another server had: by the name that it had there, or one like it.
pub(crate) fn add_known(
    op: &mut Op<'_, '_>,
    id: HostId,
    name: &str,
    restic_host: &str,
) -> Result<Host, Refused> {
    let numbered = (2_u32..1_000).map(|number| format!("{name}-{number}"));
    let mut name = name.to_owned();
    for like in numbered {
        if !op.tx.has(&HOST_NAMES, &name.to_lowercase())? {
            break;
        }
        name = like;
    }
    take_name(op.tx, &name, id)?;
    let host = Host {
        id,
        restic_host: origins::free_restic_host(op.tx, restic_host)?,
        name: name.clone(),
        labels: Vec::new(),
        created_at: op.now,
        created_by: op.by.actor.clone(),
        enrolled_at: None,
        facts: None,
        backups_held: None,
    };
    op.tx.put(&HOSTS, &id, &host)?;
    audit::note(op, AuditAction::HostCreated, AuditTarget::Host(id, name), "")?;
    Ok(host)
}

fn take_name(tx: &mut Tx<'_>, name: &str, host: HostId) -> Result<(), Refused> {
    let key = name.to_lowercase();
    if tx.has(&HOST_NAMES, &key)? {
        return Err(Refused::NameTaken { name: name.to_owned() });
    }
    Ok(tx.put(&HOST_NAMES, &key, &host)?)
}

/// A host's name also stands in addresses, beside its id and what is no host.
fn check_host_name(text: &str) -> Result<(), Refused> {
    check_name(text)?;
    if text.eq_ignore_ascii_case("new") {
        return Err(Refused::invalid("name", "the page to add a host is at this name; choose another"));
    }
    if text.eq_ignore_ascii_case("incidents") {
        return Err(Refused::invalid("name", "the topics of incidents are at this name; choose another"));
    }
    if text.to_ascii_uppercase().parse::<HostId>().is_ok() {
        return Err(Refused::invalid("name", "this could be the id of a host; choose another name"));
    }
    Ok(())
}

fn check_labels(labels: &[String]) -> Result<Vec<String>, Refused> {
    let mut labels: Vec<String> = labels.iter().map(|label| label.trim().to_owned()).collect();
    labels.sort();
    labels.dedup();
    if labels.len() > MAX_LABELS {
        return Err(Refused::invalid("labels", format!("a host has at most {MAX_LABELS} labels")));
    }
    match labels.iter().find(|label| !name::is_valid(label)) {
        None => Ok(labels),
        Some(label) => Err(Refused::invalid(
            "labels",
            format!("{label:?} can't be a label: use letters, digits, dots, underscores and hyphens"),
        )),
    }
}

pub(crate) fn delete(tx: &mut Tx<'_>, host: &Host) -> Result<(), StoreError> {
    let id = host.id;
    let own = Span::under(&id);
    // First what is found by way of the host's own rows.
    for (_, job) in tx.keys(&HOST_JOBS, &own, usize::MAX)? {
        if let Some(source) = tx.get(&JOBS, &job)?.and_then(|job| job.for_other()) {
            tx.remove(&SOURCE_JOBS, &(source, job))?;
        }
        tx.remove(&JOBS, &job)?;
        tx.remove_all(&LOGS, &Span::under(&job))?;
        tx.remove(&LOG_STATES, &job)?;
        budget::remove_pieces(tx, &LISTED, job)?;
        budget::remove_pieces(tx, &ENTRIES, job)?;
        budget::remove_pieces(tx, &FOUND, job)?;
        tx.effects.ended.push(job);
    }
    for (_, token) in tx.keys(&HOST_TOKENS, &own, usize::MAX)? {
        tx.remove(&TOKENS, &token)?;
    }
    if let Some(repo) = tx.get(&REPOS, &id)?.and_then(|state| state.repo) {
        tx.remove(&REPO_HOSTS, &(repo, id))?;
    }
    repo::partners::leave(tx, id)?;
    schedule::host_deleted(tx, id)?;
    pending::host_deleted(tx, id)?;
    incidents::row::host_deleted(tx, id)?;
    tx.remove(&HOST_NAMES, &host.name.to_lowercase())?;
    tx.remove_of_host(id)
}
