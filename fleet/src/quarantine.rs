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
use crate::store::{HOSTS, PRESENCES, Reads};
use schema::{Hello, HostId};

/// Who said hello last before the machine that says it now, and whether that tells of two machines: pure.
///
/// Each run of an agent has an id of its own ([`Hello::boot_id`]), and what was displaced by another run or installation
/// never comes back by itself. When it does, two agents with one identity take the connection from each other.
///
/// An agent from before these ids has one for the whole boot. When it comes back after a run of the same boot that has one,
/// a newer program was tried in its place.
pub(crate) fn displaced(
    now: Machine,
    last: Option<Machine>,
    former: Option<Machine>,
) -> (Option<Machine>, bool) {
    match last.filter(|last| *last != now) {
        None => (former, false),
        Some(last) => {
            let was_tried = now.is_of_boot(last) && !now.names_its_run() && last.names_its_run();
            (Some(last), former == Some(now) && !was_tried)
        }
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
    let name = op.tx.get(&HOSTS, &host)?.map(|host| host.name);
    tracing::warn!(%host, name, peer = op.by.peer, %a, %b, "two machines have the identity of one host; neither is let in");
    let machines = match (other.machine.is_of_boot(this.machine), a == b) {
        (true, true) => format!("two agents on {a}"),
        (true, false) => format!("two agents on one machine, in {a} and {b},"),
        (false, true) => format!("two machines called {a}"),
        (false, false) => format!("{a} and {b}"),
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schema::InstallationId;

    const INSTALLATION: InstallationId = InstallationId([7; 16]);

    /// As an agent says it; `run` is `None` for one from before there were ids of runs.
    fn machine(boot: u8, run: Option<u8>) -> Machine {
        let mut boot_id = [boot; 16];
        boot_id[8] = 0x80;
        if let Some(run) = run {
            boot_id[8..].fill(run);
            boot_id[8] = 0xc0;
        }
        Machine { installation: INSTALLATION, boot_id }
    }

    /// Which of these hellos, in their order, tell of two machines.
    fn twins(hellos: impl IntoIterator<Item = Machine>) -> Vec<usize> {
        let (mut last, mut former, mut found) = (None, None, Vec::new());
        for (at, now) in hellos.into_iter().enumerate() {
            let (kept, has_twin) = displaced(now, last, former);
            if has_twin {
                found.push(at);
            }
            (last, former) = (Some(now), kept);
        }
        found
    }

    /// What happens to one agent that is alone.
    #[derive(Clone, Copy, Debug)]
    enum Happens {
        Reconnects,
        Restarts,
        Boots,
        /// The program from before the ids of runs takes its place, and the present one later again.
        ChangesProgram,
    }

    proptest! {
        #[test]
        fn one_agent_is_never_taken_for_two(
            story in prop::collection::vec(
                prop::sample::select(vec![
                    Happens::Reconnects, Happens::Restarts, Happens::Boots, Happens::ChangesProgram,
                ]),
                0..60,
            ),
        ) {
            let (mut boot, mut run, mut is_old) = (0, 0, false);
            let hellos = story.iter().map(|happens| {
                match happens {
                    Happens::Reconnects => {}
                    Happens::Restarts => run += 1,
                    Happens::Boots => (boot, run) = (boot + 1, run + 1),
                    Happens::ChangesProgram => (is_old, run) = (!is_old, run + 1),
                }
                machine(boot, (!is_old).then_some(run))
            });
            let hellos: Vec<Machine> = hellos.collect();
            prop_assert_eq!(twins(hellos), Vec::<usize>::new());
        }

        #[test]
        fn two_that_run_at_a_time_are_found_when_the_first_comes_back(
            is_one_boot: bool, before in 0u8..5, reconnects in 1usize..4,
        ) {
            let (a, b) = (machine(9, Some(100)), machine(if is_one_boot { 9 } else { 10 }, Some(101)));
            let earlier = (0..before).map(|run| machine(9, Some(run)));
            let of = |machine| std::iter::repeat_n(machine, reconnects);
            let hellos = earlier.chain(of(a)).chain(of(b)).chain([a]);
            prop_assert_eq!(twins(hellos), [usize::from(before) + 2 * reconnects]);
        }
    }

    #[test]
    fn an_older_program_that_a_newer_one_was_tried_for_is_no_copy() {
        let old = machine(1, None);
        assert_eq!(twins([old, machine(1, Some(1)), old, machine(1, Some(2)), old]), [0; 0]);
        // Of other boots it is: nobody starts a machine twice with one boot id.
        assert_eq!(twins([old, machine(2, None), old]), [2]);
        assert_eq!(twins([old, machine(2, Some(1)), old]), [2]);
    }
}
