//! The server's side in memory.

use bytes::Bytes;
use holdfast_server::gate::{Audit, Directory, Login, LoginRefusal, Principal, QueuedCommand};
use schema::{CommandSeq, HostId, TokenId};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};
use web::NotLetIn;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "open sesame";

/// Hosts by id, any token, viewers `eve` and `debug`; all with the same password.
#[derive(Default)]
pub(crate) struct Book {
    hosts: Mutex<HashMap<HostId, Entry>>,
    audits: Mutex<Vec<Audit>>,
}

#[derive(Default)]
struct Entry {
    outbox: BTreeMap<CommandSeq, Bytes>,
    last_seq: CommandSeq,
    delivered: Vec<CommandSeq>,
    plan: Option<Bytes>,
}

impl Book {
    fn hosts(&self) -> MutexGuard<'_, HashMap<HostId, Entry>> {
        self.hosts.lock().unwrap()
    }

    /// Puts a command into the outbox.
    pub(crate) fn queue(&self, host: HostId, payload: Bytes) -> CommandSeq {
        let mut hosts = self.hosts();
        let entry = hosts.entry(host).or_default();
        entry.last_seq = entry.last_seq.next();
        let seq = entry.last_seq;
        entry.outbox.insert(seq, payload);
        seq
    }

    /// What is in the outbox.
    pub(crate) fn waiting(&self, host: HostId) -> usize {
        self.hosts().get(&host).map_or(0, |entry| entry.outbox.len())
    }

    /// What was confirmed, in that order.
    pub(crate) fn delivered(&self, host: HostId) -> Vec<CommandSeq> {
        self.hosts().get(&host).map(|entry| entry.delivered.clone()).unwrap_or_default()
    }

    pub(crate) fn set_plan(&self, host: HostId, plan: &'static [u8]) {
        self.hosts().entry(host).or_default().plan = Some(Bytes::from_static(plan));
    }

    pub(crate) fn audits(&self) -> Vec<Audit> {
        self.audits.lock().unwrap().clone()
    }
}

impl Directory for Book {
    fn login(&self, login: &Login<'_>) -> Result<Principal, LoginRefusal> {
        if login.password != PASSWORD.as_bytes() {
            return Err(LoginRefusal::NotLetIn(NotLetIn::HostPassword));
        }
        if let Some(token) = login.username.strip_prefix("token-") {
            return token
                .parse::<TokenId>()
                .map(Principal::Enroll)
                .map_err(|_| LoginRefusal::NotLetIn(NotLetIn::UnknownToken));
        }
        if let Ok(host) = login.username.parse::<HostId>() {
            return Ok(Principal::Host(host));
        }
        match login.username {
            "eve" | "debug" => {
                Ok(Principal::Viewer { name: login.username.into(), debug: login.username == "debug" })
            }
            "nobody" => Err(LoginRefusal::NotLetIn(NotLetIn::Quarantined)),
            _ => Err(LoginRefusal::NotLetIn(NotLetIn::ViewAccount)),
        }
    }

    fn commands_after(&self, host: HostId, after: CommandSeq, max: usize) -> Vec<QueuedCommand> {
        let hosts = self.hosts();
        let Some(entry) = hosts.get(&host) else { return Vec::new() };
        let after = entry.outbox.range(after.next()..).take(max);
        after.map(|(seq, payload)| QueuedCommand { seq: *seq, payload: payload.clone() }).collect()
    }

    fn command_delivered(&self, host: HostId, seq: CommandSeq) {
        let mut hosts = self.hosts();
        let entry = hosts.entry(host).or_default();
        entry.outbox.remove(&seq);
        entry.delivered.push(seq);
    }

    fn plan(&self, host: HostId) -> Option<Bytes> {
        self.hosts().get(&host).and_then(|entry| entry.plan.clone())
    }

    fn bulk(&self, _: HostId, _: &[u8]) {}

    fn refused(&self, audit: &Audit) {
        self.audits.lock().unwrap().push(audit.clone());
    }
}
