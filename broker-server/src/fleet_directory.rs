//! The fleet, as the gate sees it.

use crate::gate::{Audit, Directory, Login, LoginRefusal, Principal, QueuedCommand, Refused};
use crate::tasks::{self, Beat, Tasks};
use bytes::Bytes;
use fleet::{
    Fleet, NoLogin,
    record::{Actor, AuditAction, AuditEntry, AuditTarget},
};
use schema::{CommandSeq, HostId, TokenId};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;
use web::NotLetIn;

/// How many refusals may wait for the store; beyond that they are logged only.
const MAX_REFUSALS: usize = 256;

/// The fleet behind the gate's door.
pub struct FleetDirectory {
    fleet: Fleet,
    notes: Arc<Notes>,
}

/// What the gate notes in passing and a task of its own writes down, for the gate must not wait.
#[derive(Default)]
struct Notes {
    waiting: Mutex<Unwritten>,
    more: Notify,
}

/// Bounded by the number of hosts: a cursor covers all before it.
#[derive(Default)]
struct Unwritten {
    sent: BTreeMap<HostId, CommandSeq>,
    delivered: BTreeMap<HostId, CommandSeq>,
    refusals: Vec<AuditEntry>,
}

impl FleetDirectory {
    /// The directory of this fleet.
    #[must_use]
    pub fn new(fleet: Fleet, tasks: &Tasks) -> Self {
        let notes = Arc::new(Notes::default());
        let kept = (fleet.clone(), Arc::clone(&notes));
        tasks.spawn("deliveries", tasks::IDLE, move |beat| {
            write_notes(kept.0.clone(), Arc::clone(&kept.1), beat)
        });
        Self { fleet, notes }
    }

    /// What people call a host.
    fn name_of(&self, host: HostId) -> Option<String> {
        Some(self.fleet.read().ok()?.host(host).ok()??.name)
    }

    fn note(&self, take: impl FnOnce(&mut Unwritten)) {
        take(&mut self.notes.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.notes.more.notify_one();
    }
}

async fn write_notes(fleet: Fleet, notes: Arc<Notes>, beat: Beat) {
    loop {
        beat.waits(notes.more.notified()).await;
        let waiting = std::mem::take(&mut *notes.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for (host, through) in waiting.sent {
            fleet.command_sent(host, through).await;
        }
        for (host, through) in waiting.delivered {
            fleet.command_delivered(host, through).await;
        }
        for entry in waiting.refusals {
            fleet.audit(entry).await;
        }
    }
}

fn raise(cursors: &mut BTreeMap<HostId, CommandSeq>, host: HostId, through: CommandSeq) {
    let cursor = cursors.entry(host).or_insert(through);
    *cursor = through.max(*cursor);
}

impl Directory for FleetDirectory {
    fn login(&self, login: &Login<'_>) -> Result<Principal, LoginRefusal> {
        let refused = |of: fn(NoLogin) -> NotLetIn| {
            move |why| match why {
                NoLogin::Unreadable => LoginRefusal::Unavailable,
                why => LoginRefusal::NotLetIn(of(why)),
            }
        };
        let is_viewer = !login.client_id.starts_with("enroll-") && login.username.parse::<HostId>().is_err();
        // What could not be written down would be lost: agents keep it until it can.
        if !is_viewer && self.fleet.only_reads() {
            return Err(LoginRefusal::Unavailable);
        }
        // None of the passwords that this server gives is anything but text.
        let password = std::str::from_utf8(login.password).unwrap_or_default();
        // A host and an enrolment token have ids of the same form; the client id tells which is meant.
        if let Some(token) = login.client_id.strip_prefix("enroll-") {
            let token = token.parse::<TokenId>().ok().filter(|token| login.username == token.to_string());
            let token = token.ok_or(LoginRefusal::NotLetIn(NotLetIn::UnknownToken))?;
            self.fleet.login_enroll(token, password).map_err(refused(|why| match why {
                NoLogin::Expired => NotLetIn::TokenExpired,
                NoLogin::Password => NotLetIn::TokenPassword,
                _ => NotLetIn::UnknownToken,
            }))?;
            return Ok(Principal::Enroll(token));
        }
        if let Ok(host) = login.username.parse::<HostId>() {
            self.fleet.login_host(host, password).map_err(refused(|why| match why {
                NoLogin::Password => NotLetIn::HostPassword,
                NoLogin::Newer => NotLetIn::Newcomer,
                _ => NotLetIn::UnknownHost,
            }))?;
            if self.fleet.is_quarantined(host) {
                return Err(LoginRefusal::NotLetIn(NotLetIn::Quarantined));
            }
            return Ok(Principal::Host(host));
        }
        let viewer = self.fleet.login_viewer(login.username, password);
        let viewer = viewer.map_err(refused(|_| NotLetIn::ViewAccount))?;
        Ok(Principal::Viewer { name: viewer.name, debug: viewer.debug })
    }

    fn commands_after(&self, host: HostId, after: CommandSeq, max: usize) -> Vec<QueuedCommand> {
        let commands = self.fleet.commands_after(host, after, max);
        if let Some((through, _)) = commands.last() {
            self.note(|waiting| raise(&mut waiting.sent, host, *through));
        }
        commands
            .into_iter()
            .map(|(seq, payload)| QueuedCommand { seq, payload: Bytes::from(payload) })
            .collect()
    }

    fn command_delivered(&self, host: HostId, seq: CommandSeq) {
        self.note(|waiting| raise(&mut waiting.delivered, host, seq));
    }

    fn plan(&self, host: HostId) -> Option<Bytes> {
        self.fleet.plan(host).map(Bytes::from)
    }

    fn bulk(&self, host: HostId, payload: &[u8]) {
        self.fleet.handle_bulk(host, payload);
    }

    fn refused(&self, audit: &Audit) {
        let (actor, target) = match &audit.principal {
            Some(Principal::Host(host)) => {
                let name = self.name_of(*host).unwrap_or_else(|| host.to_string());
                (Actor::Agent, AuditTarget::Host(*host, name))
            }
            Some(Principal::Viewer { name, .. }) => {
                (Actor::Operator(name.clone()), AuditTarget::Account(name.clone()))
            }
            // Anybody may name a host: what strangers do is not counted as its own.
            Some(Principal::Enroll(_)) | None => (Actor::Agent, AuditTarget::Server),
        };
        let mut detail = audit.refused.to_string();
        if let Refused::Login { username, .. } = &audit.refused
            && let Some(name) = username.parse().ok().and_then(|host| self.name_of(host))
        {
            detail = format!("{detail}, {name}");
        }
        if audit.suppressed > 0 {
            detail = format!("{detail} ({} more like it not listed)", audit.suppressed);
        }
        let entry = AuditEntry {
            at: crate::clock::now(),
            actor,
            action: AuditAction::MqttRefused,
            target,
            peer: audit.peer.ip().to_string(),
            detail,
        };
        self.note(|waiting| {
            if waiting.refusals.len() < MAX_REFUSALS {
                waiting.refusals.push(entry);
            } else {
                tracing::warn!(detail = %entry.detail, peer = %entry.peer, "refusals come too fast to be audited");
            }
        });
    }
}
