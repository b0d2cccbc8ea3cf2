//! Credential slots: facts in clear, secrets sealed to host and slot, changes pushed to the agent.

mod accepted_key;
pub(crate) mod authority;
pub(crate) mod host_key;
mod location;
pub(crate) mod place;
mod row;

use row::slot_key;
pub(crate) use row::{is_outdated, is_set, readable_row_of, row_of, storage_of_row};

use crate::audit;
use crate::change::Changed;
use crate::dispatch::{for_other, spec};
use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::hosts;
use crate::incarnation;
use crate::link::{LinkState, outbox};
use crate::op::Op;
use crate::record::{
    AuditAction, CredentialsFacts, CredentialsInput, CredentialsRow, Place, Secret, SlotState,
};
use crate::refused::{Refused, StoreError};
use crate::repo;
use crate::request::By;
use crate::seal::Binding;
use crate::soundness;
use crate::store::{CREDENTIALS, LINK_STATES, LINKS, REPOS, Reads, Tx};
use location::{SplitLocation, is_elsewhere};
use schema::location::{is_env_allowed, is_unseen, names_machine};
use schema::{
    CommandBody, CommandSeq, ConfigUpdate, Credentials, HostId, Items, JobId, Refusal, Slot, SlotRevision,
    Timestamp, limits::MAX_VALUE_BYTES,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The most entries of extra environment.
const MAX_ENV: usize = 32;
/// How long a change waits for its agent in the outbox; a hello pushes it anew.
const PUSH_EXPIRES_MS: u64 = 30 * 86_400_000;
/// No honest agent counts this far. What would go beyond is not followed, so that there is always a next one.
const MAX_REVISION: SlotRevision = SlotRevision(1 << 48);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Secrets {
    password: Secret,
    repo_password: Secret,
    env: BTreeMap<String, Secret>,
}

/// The secrets of a slot, for a break-glass kit.
pub(crate) struct OpenedSlot {
    pub(crate) password: Secret,
    pub(crate) repo_password: Secret,
    pub(crate) env: BTreeMap<String, Secret>,
}

impl CredentialsRow {
    /// Why the agent does not take what the slot holds now.
    fn why_refused(&self) -> Option<Refusal> {
        self.refused.filter(|(revision, _)| *revision == self.revision).map(|(_, reason)| reason)
    }
}

impl Fleet {
    /// Sets a slot; an absent secret keeps the stored one, as long as it would go to the same machine. The everyday
    /// slot is sent to the agent; of the admin slot it is asked whether it would take it, and gets it only with a job
    /// that needs it.
    pub async fn put_credentials(
        &self,
        host: HostId,
        slot: Slot,
        input: CredentialsInput,
        by: By,
    ) -> Result<CredentialsFacts, Refused> {
        self.write(by, move |op| put(op, host, slot, &input)).await
    }

    /// Empties a slot. Doing it again changes nothing.
    pub async fn delete_credentials(&self, host: HostId, slot: Slot, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            hosts::find(op.tx, host)?;
            let key = (host, slot_key(slot));
            let Some(row) = op.tx.get(&CREDENTIALS, &key)?.filter(|row| row.facts.is_some()) else {
                return Ok(());
            };
            let emptied =
                CredentialsRow { facts: None, sealed: Vec::new(), revision: row.revision.next(), ..row };
            op.tx.put(&CREDENTIALS, &key, &emptied)?;
            if slot == Slot::Repo {
                forget_tests(op, host, false)?;
                repo::sharing::sent_to(op.tx, host, None)?;
                for_other::take_back(op, host)?;
            }
            after_change(op, host, slot)?;
            let target = hosts::target(op.tx, host)?;
            audit::note(op, AuditAction::CredentialsDeleted, target, slot.as_str())?;
            Ok(())
        })
        .await
    }
}

/// What may be shown of a slot; `None` = empty.
pub(crate) fn facts_of(
    facts: &Facts,
    reads: &impl Reads,
    host: HostId,
    slot: Slot,
) -> Result<Option<CredentialsFacts>, StoreError> {
    let Some(row) = row_of(reads, host, slot)? else { return Ok(None) };
    let unreadable = row.facts.is_some() && !opens(facts, host, slot, &row)?;
    let (revision, held_revision, refused) = (row.revision, row.held_revision, row.why_refused());
    Ok(row.facts.map(|facts| CredentialsFacts { revision, held_revision, refused, unreadable, ..facts }))
}

/// What may be shown of a slot, and its secrets when they open; `None` = empty.
pub(crate) fn opened(
    facts: &Facts,
    reads: &impl Reads,
    host: HostId,
    slot: Slot,
) -> Result<Option<(CredentialsFacts, Option<OpenedSlot>)>, StoreError> {
    let Some(row) = row_of(reads, host, slot)? else { return Ok(None) };
    let secrets = match row.facts {
        None => return Ok(None),
        Some(_) => match open(facts, host, slot, &row) {
            Ok(Secrets { password, repo_password, env }) => Some(OpenedSlot { password, repo_password, env }),
            Err(StoreError::Seal { .. }) => None,
            Err(error) => return Err(error),
        },
    };
    let shown = row.facts.map(|facts| CredentialsFacts { revision: row.revision, ..facts });
    Ok(shown.map(|facts| (facts, secrets)))
}

/// What a slot is good for.
pub(crate) fn state_of(
    facts: &Facts,
    reads: &impl Reads,
    host: HostId,
    slot: Slot,
) -> Result<SlotState, StoreError> {
    Ok(facts_of(facts, reads, host, slot)?.map_or(SlotState::Empty, |facts| facts.state()))
}

fn put(
    op: &mut Op<'_, '_>,
    host: HostId,
    slot: Slot,
    input: &CredentialsInput,
) -> Result<CredentialsFacts, Refused> {
    let now = op.now;
    hosts::find(op.tx, host)?;
    let key = (host, slot_key(slot));
    let before = op.tx.get(&CREDENTIALS, &key)?.unwrap_or_default();
    let location = SplitLocation::parse(&input.url)?;
    let old_facts = before.facts.as_ref();
    let mut secrets = match old_facts {
        None => Secrets::default(),
        Some(old) if !opens(op.facts, host, slot, &before)? => {
            all_given(input, &location, old)?;
            Secrets::default()
        }
        Some(_) => open(op.facts, host, slot, &before)?,
    };
    let ca = match &input.ca {
        Some(ca) => authority::read(ca, &location.url)?,
        None => {
            let kept = old_facts.map(|facts| facts.ca.clone()).filter(|_| authority::is_used(&location.url));
            kept.unwrap_or_default()
        }
    };
    let host_keys = match &input.host_keys {
        Some(keys) => host_key::read(keys, &location.url)?,
        // Of another storage they say nothing.
        None => {
            let same = |old: &&CredentialsFacts| !is_elsewhere(&old.url, &location.url);
            old_facts.filter(same).map(|facts| facts.host_keys.clone()).unwrap_or_default()
        }
    };
    if let Some(old) = old_facts
        && (is_elsewhere(&old.url, &location.url)
            || is_turned_aside(input, &secrets)
            || (!ca.is_empty() && ca != old.ca))
    {
        given_again(input, &location, &secrets)?;
        // A login that the new address has no place for is not kept.
        secrets.password = Secret::default();
    }
    let takes_login = location.takes_login();
    let username = match (&input.username, location.username) {
        (Some(username), _) if !username.is_empty() => username.trim().to_owned(),
        (_, Some(username)) => username,
        (Some(_), None) => String::new(),
        (None, None) if !takes_login => String::new(),
        (None, None) => old_facts.map(|facts| facts.username.clone()).unwrap_or_default(),
    };
    match (&input.password, location.password) {
        (Some(password), _) if !password.is_empty() => secrets.password = password.clone(),
        (_, Some(password)) => secrets.password = password,
        (Some(_), None) => secrets.password = Secret::default(),
        (None, None) => {}
    }
    if let Some(repo_password) = &input.repo_password {
        secrets.repo_password = repo_password.clone();
    }
    if let Some(env) = &input.env {
        secrets.env = merge_env(env, &secrets.env)?;
    }
    check(&username, &secrets)?;
    let facts = CredentialsFacts {
        url: location.url,
        username,
        has_password: !secrets.password.is_empty(),
        has_repo_password: true,
        ca,
        host_keys,
        env_names: secrets.env.keys().cloned().collect(),
        revision: before.revision.next(),
        updated_at: now,
        updated_by: op.by.actor.clone(),
        held_revision: before.held_revision,
        refused: None,
        unreadable: false,
    };
    // What differs in spelling only is the same place.
    let moved = old_facts.is_some_and(|old| old.url != facts.url && leads_elsewhere(&old.url, &facts.url));
    let plain = Zeroizing::new(postcard::to_allocvec(&secrets).unwrap_or_default());
    let row = CredentialsRow {
        facts: Some(facts.clone()),
        revision: facts.revision,
        held_revision: before.held_revision,
        refused: None,
        sealed: op.facts.master.seal(Binding::Slot(host, slot), op.facts.random(), &plain),
    };
    with_wire(&facts, &secrets, |credentials| {
        let update =
            ConfigUpdate { slot, revision: facts.revision, for_job: None, credentials: Some(credentials) };
        spec::fits_command(CommandBody::ConfigUpdate(update))
    })??;
    op.tx.put(&CREDENTIALS, &key, &row)?;
    if slot == Slot::Repo {
        forget_tests(op, host, moved)?;
        repo::sharing::sent_to(op.tx, host, Some(&facts.url))?;
    }
    after_change(op, host, slot)?;
    let target = hosts::target(op.tx, host)?;
    let mut detail = format!("{} {}", slot.as_str(), facts.url);
    for fingerprint in authority::fingerprints(&facts.ca) {
        detail.push_str(&format!(", authority {fingerprint}"));
    }
    for fingerprint in host_key::fingerprints(&facts.host_keys) {
        detail.push_str(&format!(", host key {fingerprint}"));
    }
    audit::note(op, AuditAction::CredentialsSet, target, detail)?;
    Ok(facts)
}

/// Whether a variable that names a machine gets a new value.
fn is_turned_aside(input: &CredentialsInput, stored: &Secrets) -> bool {
    input.env.iter().flatten().any(|(name, value)| {
        names_machine(name) && value.as_ref().is_some_and(|value| stored.env.get(name) != Some(value))
    })
}

/// Stored secrets don't follow to another machine: who may write them must not be able to read them there.
fn given_again(input: &CredentialsInput, location: &SplitLocation, stored: &Secrets) -> Result<(), Refused> {
    let again = |field, what: &str| {
        let why = "a stored one is never sent to another place than it was given for. Or remove these credentials \
                   first";
        Err(Refused::invalid(
            field,
            format!("give {what} again: the address or the authority is another one now, and {why}"),
        ))
    };
    let has_password = input.password.is_some() || location.password.is_some();
    if location.takes_login() && !stored.password.is_empty() && !has_password {
        return again("password", "the password");
    }
    if input.repo_password.is_none() {
        return again("repo_password", "the repository's password");
    }
    match &input.env {
        None if !stored.env.is_empty() => again("env", "the variables"),
        Some(env) => match env.iter().find(|(name, value)| value.is_none() && stored.env.contains_key(*name))
        {
            Some((name, _)) => again("env", &format!("the value of {name}")),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

/// Stored secrets that don't open can't be kept, and must not be dropped without a word.
fn all_given(
    input: &CredentialsInput,
    location: &SplitLocation,
    old: &CredentialsFacts,
) -> Result<(), Refused> {
    let again = |field, what: &str| {
        let why = "what is stored can't be opened. Or remove these credentials first";
        Err(Refused::invalid(field, format!("give {what} again: {why}")))
    };
    let has_password = input.password.is_some() || location.password.is_some();
    if location.takes_login() && old.has_password && !has_password {
        return again("password", "the password");
    }
    if input.repo_password.is_none() {
        return again("repo_password", "the repository's password");
    }
    if input.env.is_none() && !old.env_names.is_empty() {
        return again("env", "the variables");
    }
    Ok(())
}

/// Whether two addresses lead to different places.
fn leads_elsewhere(before: &str, now: &str) -> bool {
    Place::of(before).is_none_or(|before| Place::of(now) != Some(before))
}

/// A test of the old credentials says nothing of the new ones, and what was seen at the old address nothing of the new
/// one.
fn forget_tests(op: &mut Op<'_, '_>, host: HostId, moved: bool) -> Result<(), StoreError> {
    if moved {
        soundness::past::repository_changed(op, host)?;
    }
    let Some(mut repo) = op.tx.get(&REPOS, &host)? else { return Ok(()) };
    repo.tested = None;
    if moved {
        (repo.append_only, repo.lock, repo.is_own) = (None, None, false);
    }
    op.tx.put(&REPOS, &host, &repo)?;
    hosts::change_summary(op.tx, host, |summary| summary.take_repo(&repo.as_shown()))?;
    op.tx.effects.changed(Changed::Repo(host));
    Ok(())
}

fn after_change(op: &mut Op<'_, '_>, host: HostId, slot: Slot) -> Result<(), Refused> {
    op.tx.effects.changed(Changed::Credentials(host));
    let is_set = row_of(op.tx, host, slot)?.is_some_and(|row| row.facts.is_some());
    if slot == Slot::Repo {
        hosts::change_summary(op.tx, host, |summary| summary.has_repo_credentials = is_set)?;
    }
    // The agent keeps nothing of the admin slot that could be emptied.
    if op.tx.has(&LINKS, &host)? && (slot == Slot::Repo || is_set) {
        let mut state = outbox::state_of(op.tx, host)?;
        // With a full outbox the next hello pushes it.
        if outbox::has_room(&state, 1) {
            push(op, host, &mut state, slot, None, op.now.plus_ms(PUSH_EXPIRES_MS))?;
            op.tx.put(&LINK_STATES, &host, &state)?;
        }
    }
    Ok(())
}

/// Sends a slot as it stands to the agent; the caller stores `state`. The admin slot goes with a job only: without
/// one the agent is asked whether it would take it, and no secret travels.
pub(crate) fn push(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    slot: Slot,
    for_job: Option<JobId>,
    expires_at: Timestamp,
) -> Result<CommandSeq, Refused> {
    let row = row_of(op.tx, host, slot)?.unwrap_or_default();
    let empty = ConfigUpdate { slot, revision: row.revision, for_job, credentials: None };
    match &row.facts {
        Some(_) if slot == Slot::Admin && for_job.is_none() => {
            outbox::enqueue(op, host, state, expires_at, CommandBody::ConfigUpdate(empty))
        }
        None => outbox::enqueue(op, host, state, expires_at, CommandBody::ConfigUpdate(empty)),
        Some(facts) => {
            let secrets = open(op.facts, host, slot, &row)?;
            with_wire(facts, &secrets, |credentials| {
                let body =
                    CommandBody::ConfigUpdate(ConfigUpdate { credentials: Some(credentials), ..empty });
                outbox::enqueue(op, host, state, expires_at, body)
            })?
        }
    }
}

/// Sends the everyday credentials of a host to another one, for one job; the caller stores `state`, which is that one's.
pub(crate) fn lend(
    op: &mut Op<'_, '_>,
    (source, runner): (HostId, HostId),
    state: &mut LinkState,
    for_job: JobId,
    expires_at: Timestamp,
) -> Result<(), Refused> {
    let row = row_of(op.tx, source, Slot::Repo)?.unwrap_or_default();
    let facts = row.facts.as_ref().ok_or(Refused::RepoCredsRequired)?;
    let secrets = open(op.facts, source, Slot::Repo, &row)?;
    with_wire(facts, &secrets, |credentials| {
        let update = ConfigUpdate {
            slot: Slot::Repo,
            revision: row.revision,
            for_job: Some(for_job),
            credentials: Some(credentials),
        };
        outbox::enqueue(op, runner, state, expires_at, CommandBody::ConfigUpdate(update))
    })??;
    Ok(())
}

/// At a hello: sends the everyday slot when the agent holds another revision and no such command waits.
pub(crate) fn push_changed(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    held_revision: SlotRevision,
    waits: impl Fn(SlotRevision) -> bool,
) -> Result<(), Refused> {
    let key = (host, slot_key(Slot::Repo));
    let Some(mut row) = op.tx.get(&CREDENTIALS, &key)? else { return Ok(()) };
    let before = row.clone();
    row.held_revision = held_revision;
    // The agent is ahead: this server was restored from a backup, and its older word must still win.
    if held_revision > row.revision && held_revision < MAX_REVISION {
        row.revision = held_revision.next();
    }
    if row != before {
        op.tx.put(&CREDENTIALS, &key, &row)?;
        op.tx.effects.changed(Changed::Credentials(host));
    }
    let nothing_to_empty = row.facts.is_none() && held_revision == SlotRevision::ZERO;
    let unreadable = row.facts.is_some() && !opens(op.facts, host, Slot::Repo, &row)?;
    if held_revision != row.revision
        && !nothing_to_empty
        && !unreadable
        && !waits(row.revision)
        && outbox::has_room(state, 1)
    {
        push(op, host, state, Slot::Repo, None, op.now.plus_ms(PUSH_EXPIRES_MS))?;
    }
    Ok(())
}

/// The first hello of a host since this server was restored: what was set here meanwhile has another number than what the
/// agent may have got from the server of before.
pub(crate) fn count_anew(
    op: &mut Op<'_, '_>,
    host: HostId,
    held_revision: SlotRevision,
) -> Result<(), StoreError> {
    let key = (host, slot_key(Slot::Repo));
    let Some(row) = op.tx.get(&CREDENTIALS, &key)? else { return Ok(()) };
    let restored_at = incarnation::restoration(op.tx)?.map(|restoration| restoration.restored_at);
    let is_of_since = row.facts.as_ref().is_none_or(|facts| Some(facts.updated_at) >= restored_at);
    if held_revision == row.revision && held_revision > SlotRevision::ZERO && is_of_since {
        op.tx.put(&CREDENTIALS, &key, &CredentialsRow { revision: row.revision.next(), ..row })?;
    }
    Ok(())
}

/// At a hello: asks about the admin slot, when the agent has not said yet whether it would take it, or has refused
/// it: its policy can change with a restart.
pub(crate) fn ask_about_admin(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &mut LinkState,
    waits: impl Fn(SlotRevision) -> bool,
) -> Result<(), Refused> {
    let now = op.now;
    let Some(row) = row_of(op.tx, host, Slot::Admin)?.filter(|row| row.facts.is_some()) else {
        return Ok(());
    };
    let is_open = row.held_revision != row.revision || row.why_refused().is_some();
    if is_open && !waits(row.revision) && outbox::has_room(state, 1) {
        push(op, host, state, Slot::Admin, None, now.plus_ms(PUSH_EXPIRES_MS))?;
    }
    Ok(())
}

/// The agent says that it does not take a revision. `false` = it has said so before.
pub(crate) fn refused(
    tx: &mut Tx<'_>,
    host: HostId,
    slot: Slot,
    revision: SlotRevision,
    reason: Refusal,
) -> Result<bool, StoreError> {
    let key = (host, slot_key(slot));
    let Some(mut row) = tx.get(&CREDENTIALS, &key)? else { return Ok(true) };
    if row.refused == Some((revision, reason)) {
        return Ok(false);
    }
    row.refused = Some((revision, reason));
    tx.put(&CREDENTIALS, &key, &row)?;
    tx.effects.changed(Changed::Credentials(host));
    Ok(true)
}

/// The agent says which revision it holds.
pub(crate) fn held(
    tx: &mut Tx<'_>,
    host: HostId,
    slot: Slot,
    revision: SlotRevision,
) -> Result<(), StoreError> {
    let key = (host, slot_key(slot));
    if let Some(mut row) = tx.get(&CREDENTIALS, &key)?
        && (row.held_revision != revision || row.refused.is_some())
    {
        row.held_revision = revision;
        row.refused = row.refused.filter(|(refused, _)| *refused > revision);
        tx.put(&CREDENTIALS, &key, &row)?;
        tx.effects.changed(Changed::Credentials(host));
    }
    Ok(())
}

/// Whether what is sealed in the row opens: it does not when it was moved there from another host or slot.
fn opens(facts: &Facts, host: HostId, slot: Slot, row: &CredentialsRow) -> Result<bool, StoreError> {
    match open(facts, host, slot, row) {
        Ok(_) => Ok(true),
        Err(StoreError::Seal { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open(facts: &Facts, host: HostId, slot: Slot, row: &CredentialsRow) -> Result<Secrets, StoreError> {
    let plain = facts.master.open(Binding::Slot(host, slot), &row.sealed)?;
    postcard::from_bytes(&plain).map_err(|_| StoreError::Seal { what: "a credential slot" })
}

fn with_wire<R>(
    facts: &CredentialsFacts,
    secrets: &Secrets,
    then: impl FnOnce(Credentials<'_>) -> R,
) -> Result<R, Refused> {
    let bytes = secrets.env.iter().map(|(name, value)| name.len() + value.expose().len() + 16).sum();
    let mut buffer = Zeroizing::new(vec![0; bytes]);
    let env = secrets.env.iter().map(|(name, value)| (name.as_str(), value.expose()));
    let env =
        Items::write(env, &mut buffer).map_err(|_| Refused::invalid("env", "the environment is too long"))?;
    Ok(then(Credentials {
        url: &facts.url,
        username: &facts.username,
        password: secrets.password.expose(),
        repo_password: secrets.repo_password.expose(),
        ca: &facts.ca,
        host_keys: &facts.host_keys,
        env,
    }))
}

fn check(username: &str, secrets: &Secrets) -> Result<(), Refused> {
    if secrets.repo_password.is_empty() {
        return Err(Refused::invalid("repo_password", "give the password of the repository itself"));
    }
    if secrets.repo_password.expose().starts_with(is_unseen_at_end)
        || secrets.repo_password.expose().ends_with(is_unseen_at_end)
    {
        let why = "the password begins or ends with white space or an invisible mark, which nobody sees, and most of which \
                   restic drops from a password that it reads from a file, as the agent's: remove it. A repository whose password really has one there \
                   needs another one first (restic key passwd)";
        return Err(Refused::invalid("repo_password", why));
    }
    let values = [
        ("username", username),
        ("password", secrets.password.expose()),
        ("repo_password", secrets.repo_password.expose()),
    ];
    for (field, value) in values {
        if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
            return Err(Refused::invalid(field, "use at most 4096 bytes, without control characters"));
        }
    }
    Ok(())
}

/// White space and a byte order mark are what restic drops from the ends of a password in a file; the others come along
/// when something is pasted.
fn is_unseen_at_end(c: char) -> bool {
    c.is_whitespace() || is_unseen(c) || matches!(c, '\u{200c}' | '\u{200d}')
}

fn merge_env(
    wanted: &BTreeMap<String, Option<Secret>>,
    stored: &BTreeMap<String, Secret>,
) -> Result<BTreeMap<String, Secret>, Refused> {
    let invalid = |message: String| Refused::invalid("env", message);
    if wanted.len() > MAX_ENV {
        return Err(invalid(format!("use at most {MAX_ENV} variables")));
    }
    let mut merged = BTreeMap::new();
    for (name, value) in wanted {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.is_empty()
            && name.len() <= 128
            && !name.as_bytes()[0].is_ascii_digit();
        if !is_name {
            return Err(invalid(format!("{name:?} is not the name of a variable")));
        }
        if name.starts_with("RESTIC_PASSWORD") || name.starts_with("RESTIC_REPOSITORY") {
            return Err(invalid(format!("the variable {name} is set from the fields above")));
        }
        if !is_env_allowed(name) {
            return Err(invalid(format!(
                "agents do not pass {name} to restic: only the variables of its storages, such as AWS_ACCESS_KEY_ID"
            )));
        }
        let value = match value {
            Some(value) => value.clone(),
            None => stored
                .get(name)
                .cloned()
                .ok_or_else(|| invalid(format!("the variable {name} has no stored value to keep")))?,
        };
        if value.expose().len() > MAX_VALUE_BYTES || value.expose().contains(['\0', '\n', '\r']) {
            return Err(invalid(format!("the value of {name} must be one line of at most 4096 bytes")));
        }
        merged.insert(name.clone(), value);
    }
    Ok(merged)
}
