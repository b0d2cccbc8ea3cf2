//! Machines that the lost server has enrolled, and that a person takes in: see [`crate::ticket`].

use crate::audit;
use crate::change::Changed;
use crate::context::sha256;
use crate::fleet::Fleet;
use crate::hosts;
use crate::incarnation;
use crate::job::{self, transition};
use crate::link::{Link, LinkState, plan};
use crate::op::Op;
use crate::record::{AgentGone, AuditAction, BackupsHeld, Host, HostFacts, Presence};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::seal::Binding;
use crate::store::{HOSTS, LINK_STATES, LINKS, OUTBOX, PRESENCES, Reads, Span};
use crate::ticket::Ticket;
use schema::{HostId, PlanRevision, Timestamp};

/// A machine that was enrolled after the archive was made from which this server was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// The host that it is, by its own account and that of the lost server.
    pub host: HostId,
    /// What people called that host.
    pub name: String,
    /// What the machine calls itself.
    pub hostname: String,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
}

impl Fleet {
    /// Whether a password that is not the host's of now is one of a machine that the lost server has enrolled; it is
    /// remembered then.
    pub(crate) fn knocks(&self, host: HostId, password: &str) -> bool {
        let context = self.context();
        let Some(ticket) = Ticket::open(&context.master, password).filter(|ticket| ticket.host == host)
        else {
            return false;
        };
        let Ok(true) = self.view().and_then(|view| is_newer(&view, &ticket)) else { return false };
        context.knocking().note(ticket, sha256(password))
    }

    /// Machines that ask to be let in and were enrolled in a time of which this server knows nothing.
    #[must_use]
    pub fn newcomers(&self) -> Vec<Newcomer> {
        let context = self.context();
        let newcomer = |ticket: &Ticket| Newcomer {
            host: ticket.host,
            name: ticket.name.clone(),
            hostname: ticket.hostname.clone(),
            enrolled_at: ticket.enrolled_at,
        };
        let knocking = context.knocking();
        knocking.all().map(newcomer).collect()
    }

    /// Takes a machine in that knocks: it is the host from now on, and whatever machine was that before is no more.
    pub async fn take_in(&self, host: HostId, enrolled_at: Timestamp, by: By) -> Result<Host, Refused> {
        let context = self.context();
        let found = context.knocking().get(host).cloned();
        let Some((ticket, password_sha256)) = found.filter(|(ticket, _)| ticket.enrolled_at == enrolled_at)
        else {
            return Err(Refused::NewcomerNotFound);
        };
        let taken = self.write(by, move |op| take_in(op, &ticket, password_sha256)).await?;
        context.knocking().forget(host);
        Ok(taken)
    }
}

/// Whether an enrolment came after all that this server knows of its host, in a time that it has lost: at the last restore,
/// or at one before it, which the archive does not make good. After the last one, the lost server may have gone on.
fn is_newer(reads: &impl Reads, ticket: &Ticket) -> Result<bool, StoreError> {
    let spans = incarnation::lost(reads)?;
    let at = ticket.enrolled_at;
    let is_lost = spans.iter().enumerate().any(|(number, span)| {
        at >= span.known_until && (number + 1 == spans.len() || at <= span.restored_at)
    });
    let known = reads.get(&HOSTS, &ticket.host)?.and_then(|host| host.enrolled_at);
    Ok(is_lost && known.is_none_or(|known| at > known))
}

fn take_in(op: &mut Op<'_, '_>, ticket: &Ticket, password_sha256: [u8; 32]) -> Result<Host, Refused> {
    let (id, now) = (ticket.host, op.now);
    if !is_newer(op.tx, ticket)? {
        return Err(Refused::NewcomerNotFound);
    }
    let before = match op.tx.get(&HOSTS, &id)? {
        Some(host) => host,
        None => hosts::add_known(op, id, &ticket.name, &ticket.restic_host)?,
    };
    let facts = before.facts.as_ref();
    let is_same = facts.is_some_and(|facts| facts.installation == ticket.installation);
    let former_hostname = facts.map(|facts| facts.hostname.clone()).unwrap_or_default();
    let backups_held = match &before.backups_held {
        Some(held) => Some(held.clone()),
        // Whether somebody had started them since, only the lost server knew.
        None if ticket.backups_held => {
            Some(BackupsHeld { since: now, hostname: ticket.hostname.clone(), former_hostname })
        }
        None => None,
    };
    let link = Link {
        key_id: ticket.key_id,
        sealed_key: op.facts.master.seal(Binding::Link(id), op.facts.random(), &ticket.link_key),
        password_sha256,
        token: ticket.token,
        installation: ticket.installation,
    };
    op.tx.put(&LINKS, &id, &link)?;
    let plan_revision =
        op.tx.get(&LINK_STATES, &id)?.map_or(PlanRevision(1), |state| state.plan_revision.next());
    op.tx.remove_all(&OUTBOX, &Span::under(&id))?;
    op.tx.put(&LINK_STATES, &id, &LinkState { plan_revision, ..LinkState::default() })?;
    let presence = Presence { changed_at: Some(now), last_seen_at: Some(now), ..Presence::default() };
    op.tx.put(&PRESENCES, &id, &presence)?;
    let facts = HostFacts {
        at: now,
        agent_version: String::new(),
        restic_version: String::new(),
        os: String::new(),
        arch: String::new(),
        hostname: ticket.hostname.clone(),
        installation: ticket.installation,
        boot_id: [0; 16],
        state_free_bytes: 0,
        abilities: None,
    };
    let after = Host { enrolled_at: Some(ticket.enrolled_at), backups_held, facts: Some(facts), ..before };
    op.tx.put(&HOSTS, &id, &after)?;
    let gone = if is_same { AgentGone::Reenrolled } else { AgentGone::Replaced };
    for open in job::open_jobs(op.tx, id, usize::MAX)? {
        job::change(op, id, open.id, |job| transition::left_behind(job, now, gone))?;
    }
    plan::changed(op.tx, id)?;
    let target = hosts::target(op.tx, id)?;
    let detail = format!("{}, which the server enrolled that is lost", ticket.hostname);
    audit::note(op, AuditAction::HostTakenIn, target, detail)?;
    op.tx.effects.relinked.push(id);
    op.tx.effects.changed(Changed::Host(id));
    Ok(after)
}
