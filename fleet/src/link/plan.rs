//! The plan: what an agent does alone while the server is away, and where it looks for it.

use super::outbox;
use crate::access_row;
use crate::change::Changed;
use crate::dispatch::spec;
use crate::incarnation;
use crate::record::Host;
use crate::refused::{Refused, StoreError};
use crate::schedule;
use crate::store::{GROUPS, LINK_STATES, LINKS, Reads, Span, Tx};
use schema::job::BackupSpec;
use schema::limits::MAX_MESSAGE_BYTES;
use schema::plan::PlannedSchedule;
use schema::{HostId, Items, JobSpec, Plan, PlanRevision};
use serde::{Deserialize, Serialize};

/// What is left for the certificates of authorities, in bytes: those that the server makes have some 450.
const MAX_AUTHORITIES_BYTES: usize = 4096;
/// What is left for the head of the plan, in bytes.
const HEAD_BYTES: usize = 1024;

/// What is in a host's plan is different now: its agent is sent a new one.
pub(crate) fn changed(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    if tx.has(&LINKS, &host)? {
        let mut state = outbox::state_of(tx, host)?;
        state.plan_revision = state.plan_revision.next();
        tx.put(&LINK_STATES, &host, &state)?;
        tx.effects.changed(Changed::Plan(host));
    }
    Ok(())
}

/// Builds the plan of a host: the schedules that are on, and the groups that they name. What does not fit into one
/// message is left out, one by one; the server does it when it is back. While its backups are held, the host has none to
/// do alone.
pub(crate) fn with<R>(
    reads: &impl Reads,
    host: &Host,
    revision: PlanRevision,
    then: impl FnOnce(&Plan<'_>) -> R,
) -> Result<R, Refused> {
    let mut schedules = schedule::of_host(reads, host.id)?;
    let backups_held = host.backups_held.is_some();
    schedules.retain(|row| row.schedule.enabled && !backups_held);
    let addresses = access_row::text(&access_row::given(reads)?);
    let trusted = access_row::trusted(reads)?;
    let certificates = trusted.iter().map(|it| it.certificate.as_slice());
    let mut room = vec![0; MAX_AUTHORITIES_BYTES];
    let authorities = Items::write(certificates, &mut room).unwrap_or_default();
    let mut left = MAX_MESSAGE_BYTES - HEAD_BYTES - MAX_AUTHORITIES_BYTES - addresses.len();
    let mut planned = Vec::new();
    for row in &schedules {
        let schedule = &row.schedule;
        let mut room = vec![0; MAX_MESSAGE_BYTES];
        let groups = Items::write(schedule.groups.iter().map(String::as_str), &mut room).unwrap_or_default();
        let schedule = PlannedSchedule {
            name: &schedule.name,
            cron: &schedule.cron,
            timezone: &schedule.timezone,
            groups,
            jitter_secs: schedule.jitter_secs,
            zone_rules: cron::rules_of(&schedule.timezone).unwrap_or_default(),
        };
        add(&mut planned, &schedule, &mut left);
    }
    let mut groups = Vec::new();
    for (_, group) in reads.rows(&GROUPS, &Span::under(&host.id))? {
        if !schedules.iter().any(|row| row.schedule.groups.contains(&group.name)) {
            continue;
        }
        let fits = spec::with_backup(&group, |spec| match spec {
            JobSpec::Backup(backup) => add(&mut groups, &backup, &mut left),
            _ => false,
        })?;
        if !fits {
            tracing::warn!(host = %host.id, group = group.name, "the plan has no room for this source group");
        }
    }
    let (groups, schedules) = (list(&groups), list(&planned));
    Ok(then(&Plan {
        revision,
        incarnation: incarnation::read(reads)?,
        backups_held,
        restic_host: &host.restic_host,
        groups: read::<BackupSpec<'_>>(&groups),
        schedules: read::<PlannedSchedule<'_>>(&schedules),
        addresses: &addresses,
        authorities,
    }))
}

/// Writes an element behind others, when there is room for it.
fn add(elements: &mut Vec<u8>, element: &impl Serialize, left: &mut usize) -> bool {
    let mut buffer = vec![0; *left];
    let Ok(encoded) = schema::encode(element, &mut buffer) else { return false };
    *left -= encoded.len();
    elements.extend_from_slice(encoded);
    true
}

/// Elements as a list of the wire: their length stands before them.
fn list(elements: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; elements.len() + 10];
    let used = schema::encode(&elements, &mut buffer).map_or(0, |used| used.len());
    buffer.truncate(used);
    buffer
}

fn read<'b, T: Deserialize<'b>>(list: &'b [u8]) -> Items<'b, T> {
    schema::decode(list).unwrap_or_default()
}
