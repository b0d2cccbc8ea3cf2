//! Another machine takes a host's place: its backups are held until a person starts them.
//!
//! Groups, schedules, credentials and snapshots are the host's and stay. What must not happen is that the new machine,
//! whose disk may be empty, is backed up by the schedule before anybody has restored: that snapshot would be the newest
//! one, and retention would go by it. So no backup, no forget and no prune of the host is dispatched, whoever asks, and
//! its agent gets no schedules to keep alone. What comes due meanwhile waits as a pending run and counts as overdue.

use crate::audit;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::hosts;
use crate::link::plan;
use crate::op::Op;
use crate::pending;
use crate::record::{AuditAction, BackupsHeld, Host, TokenMachine};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{HOSTS, REPOS, Reads, SUMMARIES};
use schema::{HostId, InstallationId, Timestamp};

impl Fleet {
    /// Starts the backups of a host whose place another machine has taken; what came due meanwhile runs at once. Where
    /// they are not held, nothing changes. `mark` is the [`BackupsHeld::mark`] of the hold that is meant; `None` = whichever
    /// there is. [`Refused::HoldChanged`] when there is another one by now.
    pub async fn start_backups(&self, host: HostId, mark: Option<String>, by: By) -> Result<Host, Refused> {
        self.write(by, move |op| {
            let before = hosts::find(op.tx, host)?;
            let Some(held) = &before.backups_held else { return Ok(before) };
            if mark.as_ref().is_some_and(|mark| *mark != held.mark()) {
                return Err(Refused::HoldChanged { hostname: held.hostname.clone() });
            }
            let after = Host { backups_held: None, ..before.clone() };
            op.tx.put(&HOSTS, &host, &after)?;
            plan::changed(op.tx, host)?;
            let detail = format!("on {}, which took the place of {}", held.hostname, former(held));
            audit::note(op, AuditAction::HostBackupsStarted, hosts::target(op.tx, host)?, detail)?;
            op.tx.effects.changed(Changed::Host(host));
            pending::drain::host(op, host)?;
            Ok(after)
        })
        .await
    }
}

/// What is known when a machine enrols as a host that may have had another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enrolling {
    /// Its state folder is the one that the host's agent had last.
    pub(crate) is_same_installation: bool,
    /// The host has been backed up.
    pub(crate) has_backups: bool,
}

/// Whether the backups of a host are held when a machine enrols with a token.
///
/// A token says so or says not. Where it says nothing the state folder tells: without the one that the host's agent had,
/// the disk behind it may be a new one, too, and where there are backups to lose, a click too many costs less than they.
pub(crate) const fn is_held(token: TokenMachine, enrolling: Enrolling) -> bool {
    match token {
        TokenMachine::Same => false,
        TokenMachine::Replacement => true,
        TokenMachine::Any => !enrolling.is_same_installation && enrolling.has_backups,
    }
}

/// What of it becomes the host's, when a machine enrols as it. Only a person ends it: enrolling once more does not.
pub(crate) fn held_after(
    reads: &impl Reads,
    host: &Host,
    token: TokenMachine,
    (hostname, installation): (&str, InstallationId),
    now: Timestamp,
) -> Result<Option<BackupsHeld>, StoreError> {
    let before = host.facts.as_ref();
    let enrolling = Enrolling {
        is_same_installation: before.is_some_and(|facts| facts.installation == installation),
        has_backups: has_backups(reads, host.id)?,
    };
    if !is_held(token, enrolling) {
        return Ok(host.backups_held.clone());
    }
    let former_hostname = match &host.backups_held {
        // The one whose backups there are.
        Some(held) => held.former_hostname.clone(),
        None => before.map(|facts| facts.hostname.clone()).unwrap_or_default(),
    };
    Ok(Some(BackupsHeld { since: now, hostname: hostname.to_owned(), former_hostname }))
}

/// Says that another machine has the host's place now, and by which keys and state folders the two are told apart.
pub(crate) fn note(
    op: &mut Op<'_, '_>,
    before: &Host,
    held: &BackupsHeld,
    installation: InstallationId,
    (old_key, key): (Option<u8>, u8),
) -> Result<(), StoreError> {
    let of = |installation: InstallationId| data_encoding::HEXLOWER.encode(&installation.0[..4]);
    let old = match (before.facts.as_ref(), old_key) {
        (Some(facts), Some(key)) => {
            format!("{} (key {key}, installation {})", facts.hostname, of(facts.installation))
        }
        _ => "no machine".to_owned(),
    };
    let detail = format!(
        "{old} → {} (key {key}, installation {}); its backups are held",
        held.hostname,
        of(installation)
    );
    audit::note(op, AuditAction::HostReplaced, hosts::target(op.tx, before.id)?, detail)
}

fn former(held: &BackupsHeld) -> &str {
    if held.former_hostname.is_empty() { "no machine" } else { &held.former_hostname }
}

/// Whether there is anything that an empty disk could push out.
fn has_backups(reads: &impl Reads, host: HostId) -> Result<bool, StoreError> {
    let summary = reads.get(&SUMMARIES, &host)?.unwrap_or_default();
    let seen = reads.get(&REPOS, &host)?.and_then(|repo| repo.snapshots).is_some_and(|seen| seen.count > 0);
    Ok(seen || summary.last_good_at().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_says_whether_it_is_another_machine_and_else_the_state_folder_does() {
        for is_same_installation in [false, true] {
            for has_backups in [false, true] {
                let enrolling = Enrolling { is_same_installation, has_backups };
                assert!(is_held(TokenMachine::Replacement, enrolling));
                assert!(!is_held(TokenMachine::Same, enrolling));
                let may_lose = has_backups && !is_same_installation;
                assert_eq!(is_held(TokenMachine::Any, enrolling), may_lose, "{enrolling:?}");
            }
        }
    }
}
