//! Two machines with the identity of one host: a disk, or an agent's state folder, was copied.
//!
//! Such two take the connection from each other for ever, and what the server asks of the host is done by either. So
//! neither is let in, until a person has ended the copy and lifts the quarantine, or enrols the host anew: then the old
//! identity is worth nothing, and whoever still has it stays out. Results wait in both agents' journals.

use crate::audit;
use crate::bounds::clip;
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::hosts;
use crate::op::Op;
use crate::record::{AuditAction, Host, HostFacts, Machine, Presence, Quarantine, Twin};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{PRESENCES, Reads};
use schema::{Hello, HostId};

/// Who said hello last before the machine that says it now, and whether that tells of two machines: pure.
///
/// A boot has one id, and what was displaced by another boot or installation never comes back by itself. When it does,
/// two agents with one identity take the connection from each other.
pub(crate) fn displaced(
    now: Machine,
    last: Option<Machine>,
    former: Option<Machine>,
) -> (Option<Machine>, bool) {
    match last.filter(|last| *last != now) {
        None => (former, false),
        Some(last) => (Some(last), former == Some(now)),
    }
}

/// Keeps both machines out from now on.
pub(crate) fn begin(
    op: &mut Op<'_, '_>,
    host: HostId,
    before: Presence,
    (facts, hello): (&HostFacts, &Hello<'_>),
) -> Result<(), StoreError> {
    let other = Twin {
        hostname: facts.hostname.clone(),
        os: facts.os.clone(),
        machine: Machine { installation: facts.installation, boot_id: facts.boot_id },
        peer: before.peer.clone().unwrap_or_default(),
        seen_at: facts.at,
    };
    let this = Twin {
        hostname: clip(hello.hostname),
        os: clip(hello.os),
        machine: Machine { installation: hello.installation, boot_id: hello.boot_id },
        peer: op.by.peer.clone(),
        seen_at: op.now,
    };
    let (a, b) = (&other.hostname, &this.hostname);
    tracing::warn!(%host, peer = op.by.peer, %a, %b, "two machines have the identity of one host; neither is let in");
    let machines = if a == b { format!("two machines called {a}") } else { format!("{a} and {b}") };
    let words = format!(
        "{machines} have this host's identity: a disk or an agent's state folder was copied. Neither is let in until \
         the quarantine is lifted or the host is enrolled anew"
    );
    let presence = Presence {
        quarantine: Some(Quarantine { since: op.now, twins: [other, this] }),
        former: None,
        online: false,
        changed_at: Some(op.now),
        ..before
    };
    op.tx.put(&PRESENCES, &host, &presence)?;
    op.tx.effects.changed(Changed::Host(host));
    let target = hosts::target(op.tx, host)?;
    audit::note(op, AuditAction::HostQuarantined, target, words)
}

impl Fleet {
    /// Whether a host is kept out, as two machines have its identity.
    #[must_use]
    pub fn is_quarantined(&self, host: HostId) -> bool {
        let presence = self.view().and_then(|view| view.get(&PRESENCES, &host));
        presence.is_ok_and(|presence| presence.is_some_and(|presence| presence.quarantine.is_some()))
    }

    /// Lets a host in again, of which there is one machine now. Without a quarantine there is nothing to do.
    pub async fn lift_quarantine(&self, host: HostId, by: By) -> Result<Host, Refused> {
        self.write(by, move |op| {
            let record = hosts::find(op.tx, host)?;
            let before = op.tx.get(&PRESENCES, &host)?.unwrap_or_default();
            if before.quarantine.is_none() {
                return Ok(record);
            }
            op.tx.put(&PRESENCES, &host, &Presence { quarantine: None, former: None, ..before })?;
            op.tx.effects.changed(Changed::Host(host));
            audit::note(op, AuditAction::HostReleased, hosts::target(op.tx, host)?, "")?;
            Ok(record)
        })
        .await
    }
}
