//! Makes the tables of a file fit one another again, of which only some rows are there.
//!
//! What stands in other rows is made anew from them. What is nowhere else is gone: then whatever needs it is left out, so
//! that nothing is done twice, and nothing is done for nobody.

use super::fill::Known;
use crate::audit;
use crate::incarnation;
use crate::incidents;
use crate::job::{self, kind_key};
use crate::link::LinkState;
use crate::notices;
use crate::op::Op;
use crate::pending;
use crate::record::meta::{META_INCARNATION, META_KEY_CHECK, Meta};
use crate::record::{Actor, Host, Job, Summary, Usage};
use crate::refused::{OpenError, StoreError};
use crate::seal::Binding;
use crate::store::{
    CONFIRMED, CREDENTIALS, ENTRIES, EXCLUSIVE_JOBS, FINDS, FOLDERS, FOUND, GIVEN_UP, GROUPS, HOST_JOBS,
    HOST_NAMES, HOST_TOKENS, HOSTS, JOBS, KIND_JOBS, LINK_STATES, LINKS, LISTED, LISTING_STATES, LISTINGS,
    LOG_STATES, LOGS, META, OPEN_JOBS, OUTBOX, Order, PENDING, PLACE_HOSTS, PLACES, REPO_HOSTS, REPOS, Reads,
    SCHEDULES, SCHEDULES_DUE, SOURCE_JOBS, SUMMARIES, Span, StoredRow, TOKENS, Table, TableKey, Tx, USAGES,
};
use schema::{CommandSeq, HostId, JobId, PlanRevision, Slot, name};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// So many of a host's newest jobs say how it stands, where its summary is lost.
const JOBS_OF_A_SUMMARY: usize = 500;

/// So many entries of the audit may have been lost with the row of its next number.
const LOST_ENTRIES: u64 = 1_000_000;

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    /// All hosts, by name.
    pub(super) hosts: BTreeMap<HostId, String>,
    /// Those of them whose row was made anew.
    pub(super) remade: Vec<String>,
    /// Rows that were left out.
    pub(super) left_out: u64,
}

/// Does all of it.
pub(super) fn rebuild(op: &mut Op<'_, '_>, known: &Known) -> Result<Rebuilt, OpenError> {
    key_fits(op)?;
    let mut rebuilt = Rebuilt { remade: hosts(op, known)?, ..Rebuilt::default() };
    for (id, host) in op.tx.rows(&HOSTS, &Span::ALL)? {
        op.tx.put(&HOST_NAMES, &host.name.to_lowercase(), &id)?;
        rebuilt.hosts.insert(id, host.name);
    }
    let hosts: BTreeSet<HostId> = rebuilt.hosts.keys().copied().collect();
    // Asked before anything is noted there again.
    let mut unsummed: BTreeSet<HostId> = BTreeSet::new();
    if known.is_torn(SUMMARIES.name()) {
        unsummed.extend(&hosts);
        for host in op.tx.keys(&SUMMARIES, &Span::ALL, usize::MAX)? {
            unsummed.remove(&host);
        }
    }
    for stranger in op.tx.hosts_with_rows()?.difference(&hosts) {
        op.tx.remove_of_host(*stranger)?;
        rebuilt.left_out += 1;
    }
    rebuilt.left_out += tokens(op.tx, &hosts)? + jobs(op.tx, &hosts)? + pending_runs(op.tx, &hosts)?;
    rebuilt.left_out += incidents::row::index_again(op.tx)? + notices::row::index_again(op.tx)?;
    listings(op.tx, known)?;
    shared(op.tx, &hosts)?;
    for (host, row) in op.tx.rows(&SCHEDULES, &Span::ALL)? {
        if let Some(at) = row.runs_at(host.0) {
            op.tx.put(&SCHEDULES_DUE, &(at.0, host.0, host.1), &())?;
        }
    }
    audit::index_again(op.tx, if known.meta_is_torn { LOST_ENTRIES } else { 0 })?;
    for host in &hosts {
        if op.tx.has(&LINKS, host)? && !op.tx.has(&LINK_STATES, host)? && known.is_torn(LINK_STATES.name()) {
            let state = link_state(op, *host)?;
            op.tx.put(&LINK_STATES, host, &state)?;
        }
        summary(op, *host, unsummed.contains(host))?;
    }
    if known.meta_is_torn && !op.tx.has(&META, &META_INCARNATION.to_owned())? {
        // Above any number that a clock has made which was right.
        let beyond = Meta::Incarnation(incarnation::at(op.now));
        op.tx.put(&META, &META_INCARNATION.to_owned(), &beyond)?;
    }
    Ok(rebuilt)
}

/// Refuses a key that does not open what is sealed, also where the row is lost by which a start sees that.
fn key_fits(op: &mut Op<'_, '_>) -> Result<(), OpenError> {
    let key = META_KEY_CHECK.to_owned();
    if let Some(Meta::KeyCheck(sealed)) = op.tx.get(&META, &key)? {
        return op.facts.master.open(Binding::Check, &sealed).map(drop).map_err(|_| OpenError::KeyWrong);
    }
    let mut first = None;
    op.tx.walk(&LINKS, &Span::ALL, Order::Ascending, |host, link| {
        first = Some((host, link));
        Ok(ControlFlow::Break(()))
    })?;
    if let Some((host, link)) = first {
        let opened = op.facts.master.open(Binding::Link(host), &link.sealed_key);
        opened.map_err(|_| OpenError::KeyWrong)?;
    }
    let check = op.facts.master.seal(Binding::Check, op.facts.random(), b"holdfast");
    Ok(op.tx.put(&META, &key, &Meta::KeyCheck(check))?)
}

/// Gives a row to each host that can log in, whose repository's password is there, or whose name is, and that lacks its
/// own. Returns how they are called.
fn hosts(op: &mut Op<'_, '_>, known: &Known) -> Result<Vec<String>, StoreError> {
    let mut ids: BTreeSet<HostId> = op.tx.keys(&LINKS, &Span::ALL, usize::MAX)?.into_iter().collect();
    ids.extend(op.tx.keys(&CREDENTIALS, &Span::ALL, usize::MAX)?.into_iter().map(|(host, _)| host));
    if known.is_torn(HOSTS.name()) {
        ids.extend(known.names.keys());
    }
    let mut taken = BTreeSet::new();
    op.tx.walk(&HOSTS, &Span::ALL, Order::Ascending, |id, host| {
        ids.remove(&id);
        taken.insert(host.name.to_lowercase());
        Ok(ControlFlow::Continue(()))
    })?;
    let mut remade = Vec::new();
    for id in ids {
        let known =
            known.names.get(&id).filter(|name| name::is_valid(name) && !taken.contains(*name)).cloned();
        let text = id.to_string().to_lowercase();
        let name = known.unwrap_or_else(|| format!("salvaged-{}", &text[text.len().saturating_sub(10)..]));
        taken.insert(name.clone());
        let host = Host {
            id,
            name: name.clone(),
            restic_host: name.clone(),
            labels: Vec::new(),
            created_at: op.now,
            created_by: Actor::System,
            enrolled_at: op.tx.has(&LINKS, &id)?.then_some(op.now),
            facts: None,
            backups_held: None,
        };
        op.tx.put(&HOSTS, &id, &host)?;
        remade.push(name);
    }
    Ok(remade)
}

fn tokens(tx: &mut Tx<'_>, hosts: &BTreeSet<HostId>) -> Result<u64, StoreError> {
    let mut left_out = 0;
    for (id, row) in tx.rows(&TOKENS, &Span::ALL)? {
        if hosts.contains(&row.token.host) {
            tx.put(&HOST_TOKENS, &(row.token.host, id), &())?;
        } else {
            tx.remove(&TOKENS, &id)?;
            left_out += 1;
        }
    }
    Ok(left_out)
}

/// Jobs, their places in the indices, and what hosts have of them. Logs and pieces of jobs that are gone go, too.
fn jobs(tx: &mut Tx<'_>, hosts: &BTreeSet<HostId>) -> Result<u64, StoreError> {
    let mut left_out = 0;
    let mut usages: BTreeMap<HostId, Usage> = BTreeMap::new();
    for id in tx.keys(&JOBS, &Span::ALL, usize::MAX)? {
        let Some(job) = tx.get(&JOBS, &id)? else { continue };
        if !hosts.contains(&job.host) {
            tx.remove(&JOBS, &id)?;
            left_out += 1;
            continue;
        }
        index(tx, &job, hosts)?;
        let bytes = job::bytes_of(tx, id)?;
        let usage = usages.entry(job.host).or_default();
        usage.jobs += 1;
        usage.bytes = usage.bytes.saturating_add(bytes);
    }
    for (host, usage) in usages {
        tx.put(&USAGES, &host, &usage)?;
    }
    left_out += without_job(tx, &LOGS, |key| key.0)?;
    left_out += without_job(tx, &LOG_STATES, |key| *key)?;
    left_out += without_job(tx, &LISTING_STATES, |key| *key)?;
    left_out += without_job(tx, &LISTED, |key| key.0)?;
    left_out += without_job(tx, &ENTRIES, |key| key.0)?;
    Ok(left_out + without_job(tx, &FOUND, |key| key.0)?)
}

fn index(tx: &mut Tx<'_>, job: &Job, hosts: &BTreeSet<HostId>) -> Result<(), StoreError> {
    let key = (job.host, job.id);
    tx.put(&HOST_JOBS, &key, &())?;
    if let Some(source) = job.for_other().filter(|source| hosts.contains(source)) {
        tx.put(&SOURCE_JOBS, &(source, job.id), &())?;
    }
    if !job.what.is_dry_run() {
        tx.put(&KIND_JOBS, &(job.host, kind_key(job.what.kind()), job.id), &())?;
    }
    if !job.state.is_ended() {
        tx.put(&OPEN_JOBS, &key, &())?;
        if job.what.is_exclusive() {
            tx.put(&EXCLUSIVE_JOBS, &key, &())?;
        }
    }
    Ok(())
}

/// Removes rows of jobs that are not there.
fn without_job<K: TableKey, V: StoredRow>(
    tx: &mut Tx<'_>,
    table: &Table<K, V>,
    job_of: impl Fn(&K) -> JobId,
) -> Result<u64, StoreError> {
    let mut left_out = 0;
    let (mut last, mut is_there) = (None, false);
    for key in tx.keys(table, &Span::ALL, usize::MAX)? {
        let job = job_of(&key);
        if last != Some(job) {
            is_there = tx.has(&JOBS, &job)?;
            last = Some(job);
        }
        if !is_there {
            tx.remove(table, &key)?;
            left_out += 1;
        }
    }
    Ok(left_out)
}

/// Listings and searches of which a piece may be missing are asked for again, rather than shown as whole.
fn listings(tx: &mut Tx<'_>, known: &Known) -> Result<(), StoreError> {
    for (host, listing) in tx.rows(&LISTINGS, &Span::ALL)? {
        if known.may_lack(LISTED.name(), listing.job.0) || !tx.has(&JOBS, &listing.job)? {
            tx.remove(&LISTINGS, &host)?;
            tx.remove_all(&LISTED, &Span::under(&listing.job))?;
        }
    }
    for (key, seen) in tx.rows(&FOLDERS, &Span::ALL)? {
        if known.may_lack(ENTRIES.name(), seen.job.0) || !tx.has(&JOBS, &seen.job)? {
            tx.remove(&FOLDERS, &key)?;
            tx.remove_all(&ENTRIES, &Span::under(&seen.job))?;
        }
    }
    for (host, job) in tx.keys(&FINDS, &Span::ALL, usize::MAX)? {
        if known.may_lack(FOUND.name(), job.0) || !tx.has(&JOBS, &job)? {
            tx.remove(&FINDS, &(host, job))?;
            tx.remove_all(&FOUND, &Span::under(&job))?;
        }
    }
    Ok(())
}

/// Due backups. One that was handed to its host as a job that is gone is not tried again: it may have been done.
fn pending_runs(tx: &mut Tx<'_>, hosts: &BTreeSet<HostId>) -> Result<u64, StoreError> {
    let mut left_out = 0;
    for (id, run) in tx.rows(&PENDING, &Span::ALL)? {
        let has_job = run.job.map_or(Ok(true), |job| tx.has(&JOBS, &job))?;
        if hosts.contains(&run.host) && has_job {
            pending::put(tx, None, &run)?;
        } else {
            tx.remove(&PENDING, &id)?;
            left_out += 1;
        }
    }
    for (key, given_up) in tx.rows(&GIVEN_UP, &Span::ALL)? {
        if !hosts.contains(&given_up.run.host) {
            tx.remove(&GIVEN_UP, &key)?;
            left_out += 1;
        }
    }
    Ok(left_out)
}

/// Who is on one repository.
fn shared(tx: &mut Tx<'_>, hosts: &BTreeSet<HostId>) -> Result<(), StoreError> {
    for (host, state) in tx.rows(&REPOS, &Span::ALL)? {
        if let Some(repo) = state.repo {
            tx.put(&REPO_HOSTS, &(repo, host), &())?;
        }
    }
    for (host, place) in tx.rows(&PLACES, &Span::ALL)? {
        tx.put(&PLACE_HOSTS, &(place.fingerprint, host), &())?;
    }
    // A person's word is kept in both directions.
    for ((one, other), confirmed) in tx.rows(&CONFIRMED, &Span::ALL)? {
        if hosts.contains(&other) {
            tx.put(&CONFIRMED, &(other, one), &confirmed)?;
        } else {
            tx.remove(&CONFIRMED, &(one, other))?;
        }
    }
    Ok(())
}

/// How far the sequences of a host are, when that is lost: behind all that is known to have been sent. Its agent says the
/// rest at its hello, and is believed.
fn link_state(op: &mut Op<'_, '_>, host: HostId) -> Result<LinkState, StoreError> {
    let waiting = op.tx.keys(&OUTBOX, &Span::under(&host), usize::MAX)?;
    let (first, last) = (waiting.first().map(|(_, seq)| *seq), waiting.last().map(|(_, seq)| *seq));
    let mut newest = last.unwrap_or(CommandSeq::ZERO);
    for (_, id) in op.tx.keys(&HOST_JOBS, &Span::under(&host), usize::MAX)? {
        newest = newest.max(op.tx.get(&JOBS, &id)?.map_or(CommandSeq::ZERO, |job| job.command_seq));
    }
    let taken = first.map_or(newest, CommandSeq::previous);
    Ok(LinkState {
        last_command: newest,
        taken,
        sent: taken,
        delivered: taken,
        // Above any that was counted, so that the agent takes the plan for a newer one.
        plan_revision: PlanRevision(op.now.0 / 1_000),
        ..LinkState::default()
    })
}

/// A host in one row: what it counts is counted again, and one that is lost is made of the host's newest jobs.
fn summary(op: &mut Op<'_, '_>, host: HostId, is_lost: bool) -> Result<(), StoreError> {
    let before = op.tx.get(&SUMMARIES, &host)?;
    let open = job::open_jobs(op.tx, host, usize::MAX)?;
    let known = before.clone().unwrap_or_default();
    let mut summary =
        if is_lost { Summary { waits_since: known.waits_since, ..of_jobs(op, host)? } } else { known };
    summary.open_jobs = u32::try_from(open.len()).unwrap_or(u32::MAX);
    if summary.running.as_ref().is_none_or(|shown| open.iter().all(|job| job.id != shown.id)) {
        summary.running = None;
        for job in open.into_iter().rev() {
            summary.take_job(&job, None, None, op.now);
        }
    }
    summary.has_repo_credentials = crate::credentials::is_set(op.tx, host, Slot::Repo)?;
    if before.as_ref() != Some(&summary) && (before.is_some() || summary != Summary::default()) {
        op.tx.put(&SUMMARIES, &host, &summary)?;
    }
    crate::schedule::plans_changed(op.tx, host)
}

fn of_jobs(op: &mut Op<'_, '_>, host: HostId) -> Result<Summary, StoreError> {
    let mut summary = Summary::default();
    for (_, group) in op.tx.rows(&GROUPS, &Span::under(&host))? {
        summary.take_group(None, &group);
    }
    let mut newest = Vec::new();
    op.tx.walk(&HOST_JOBS, &Span::under(&host), Order::Descending, |(_, id), ()| {
        newest.push(id);
        Ok(if newest.len() < JOBS_OF_A_SUMMARY { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for id in newest.into_iter().rev() {
        if let Some(job) = op.tx.get(&JOBS, &id)? {
            summary.take_job(&job, None, None, op.now);
        }
    }
    if let Some(repo) = op.tx.get(&REPOS, &host)? {
        summary.take_repo(&repo);
    }
    Ok(summary)
}
