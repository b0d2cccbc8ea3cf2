//! Who is connected: one connection for each client, the next in line, and what is kept of sessions.

use super::{
    conn::{CloseReason, Conn},
    host::SessionState,
};
use schema::{HostId, TokenId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// Who a session belongs to. Client ids of viewers are names within their account: nobody can take over another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Host(HostId),
    Enroll(TokenId),
    Viewer(Box<(String, String)>),
}

/// How a connection comes in.
pub(super) enum Admission {
    /// At once, with what was kept.
    Now(Option<SessionState>),
    /// When the one before it has ended.
    Next(oneshot::Receiver<Option<SessionState>>),
    /// Not at all: there are too many.
    Full(Full),
}

/// Which limit of connections is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Connections of all sorts; or the gate is closing.
    All,
    /// Connections of viewers.
    Viewers,
    /// Viewers with this account.
    Account,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct MostSessions {
    pub(super) all: usize,
    pub(super) viewers: usize,
    pub(super) of_account: usize,
}

#[derive(Default)]
struct RegistrySlot {
    live: Option<Arc<Conn>>,
    next: Option<(Arc<Conn>, oneshot::Sender<Option<SessionState>>)>,
    kept: Option<SessionState>,
}

pub(super) struct Registry {
    table: Mutex<SlotTable>,
    places: MostSessions,
}

#[derive(Default)]
struct SlotTable {
    slots: HashMap<Owner, RegistrySlot>,
    count: LiveCount,
    /// Live connections of each viewer account.
    of_account: HashMap<String, usize>,
    closed: bool,
}

impl SlotTable {
    /// Which limit one more would be beyond.
    fn full(&self, key: &Owner, places: &MostSessions) -> Option<Full> {
        if self.count.all() >= places.all {
            return Some(Full::All);
        }
        let Owner::Viewer(viewer) = key else { return None };
        // The account first: that is what its owner can do something about.
        if self.of_account.get(&viewer.0).copied().unwrap_or(0) >= places.of_account {
            return Some(Full::Account);
        }
        (self.count.viewers >= places.viewers).then_some(Full::Viewers)
    }

    fn came(&mut self, key: &Owner) {
        *self.count.of(key) += 1;
        if let Owner::Viewer(viewer) = key {
            *self.of_account.entry(viewer.0.clone()).or_default() += 1;
        }
    }

    fn went(&mut self, key: &Owner) {
        *self.count.of(key) -= 1;
        if let Owner::Viewer(viewer) = key
            && let Some(count) = self.of_account.get_mut(&viewer.0)
        {
            *count -= 1;
            if *count == 0 {
                self.of_account.remove(&viewer.0);
            }
        }
    }
}

/// Number of live connections of each sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LiveCount {
    pub(super) hosts: usize,
    pub(super) enrollments: usize,
    pub(super) viewers: usize,
}

impl LiveCount {
    fn of(&mut self, key: &Owner) -> &mut usize {
        match key {
            Owner::Host(_) => &mut self.hosts,
            Owner::Enroll(_) => &mut self.enrollments,
            Owner::Viewer(_) => &mut self.viewers,
        }
    }

    pub(super) const fn all(self) -> usize {
        self.hosts + self.enrollments + self.viewers
    }
}

impl Registry {
    pub(super) fn new(places: MostSessions) -> Self {
        Self { table: Mutex::default(), places }
    }

    fn table(&self) -> MutexGuard<'_, SlotTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, or makes it the next after the one that is told to end here. Only the newest waits: who
    /// waited before it finds its sender gone.
    pub(super) fn admit(&self, key: &Owner, conn: &Arc<Conn>) -> Admission {
        let mut table = self.table();
        if table.closed {
            return Admission::Full(Full::All);
        }
        if let Some(slot) = table.slots.get_mut(key)
            && let Some(live) = &slot.live
        {
            live.end(CloseReason::TakenOver);
            let (send, receive) = oneshot::channel();
            slot.next = Some((Arc::clone(conn), send));
            return Admission::Next(receive);
        }
        if let Some(full) = table.full(key, &self.places) {
            return Admission::Full(full);
        }
        table.came(key);
        let slot = table.slots.entry(key.clone()).or_default();
        slot.live = Some(Arc::clone(conn));
        Admission::Now(slot.kept.take())
    }

    /// A connection has ended, its will is delivered; the next one comes in.
    pub(super) fn release(&self, key: &Owner, conn_id: u64, kept: Option<SessionState>) {
        let mut table = self.table();
        let Some(slot) = table.slots.get_mut(key) else { return };
        if slot.live.as_ref().is_none_or(|live| live.id != conn_id) {
            return;
        }
        slot.kept = kept;
        if let Some((conn, send)) = slot.next.take() {
            slot.live = Some(conn);
            match send.send(slot.kept.take()) {
                Ok(()) => return,
                // It gave up meanwhile.
                Err(kept) => slot.kept = kept,
            }
        }
        slot.live = None;
        let forgotten = slot.kept.is_none();
        if forgotten {
            table.slots.remove(key);
        }
        table.went(key);
    }

    /// The connection of a host.
    pub(super) fn host(&self, host: HostId) -> Option<Arc<Conn>> {
        self.table().slots.get(&Owner::Host(host)).and_then(|slot| slot.live.clone())
    }

    /// Tells a connected host's session about a new plan, and an absent one's for when it comes back.
    pub(super) fn plan_changed(&self, host: HostId) {
        let mut table = self.table();
        let Some(slot) = table.slots.get_mut(&Owner::Host(host)) else { return };
        match &slot.live {
            Some(live) => live.wake_plan(),
            None => {
                if let Some(kept) = &mut slot.kept {
                    kept.plan_changed();
                }
            }
        }
    }

    /// Forgets what is kept of a host's session.
    pub(super) fn forget(&self, host: HostId) {
        let mut table = self.table();
        let key = Owner::Host(host);
        if let Some(slot) = table.slots.get_mut(&key) {
            slot.kept = None;
            if slot.live.is_none() {
                table.slots.remove(&key);
            }
        }
    }

    /// Live connections of a viewer account.
    pub(super) fn viewers(&self, name: &str) -> Vec<Arc<Conn>> {
        self.all(|key| matches!(key, Owner::Viewer(viewer) if viewer.0 == name))
    }

    /// Live connections of all viewers.
    pub(super) fn all_viewers(&self) -> Vec<Arc<Conn>> {
        self.all(|key| matches!(key, Owner::Viewer(_)))
    }

    fn all(&self, is: impl Fn(&Owner) -> bool) -> Vec<Arc<Conn>> {
        let table = self.table();
        table.slots.iter().filter(|(key, _)| is(key)).filter_map(|(_, slot)| slot.live.clone()).collect()
    }

    pub(super) fn count(&self) -> LiveCount {
        self.table().count
    }

    /// Lets nobody in any more, and ends everybody.
    pub(super) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        for slot in table.slots.values_mut() {
            slot.next = None;
            if let Some(live) = &slot.live {
                live.end(CloseReason::Shutdown);
            }
        }
    }
}

/// A place in the registry; given back when dropped, also by a panic.
pub(super) struct Seat {
    registry: Arc<Registry>,
    key: Owner,
    conn_id: u64,
    pub(super) kept: Option<SessionState>,
}

impl Seat {
    pub(super) fn new(registry: Arc<Registry>, key: Owner, conn_id: u64) -> Self {
        Self { registry, key, conn_id, kept: None }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.release(&self.key, self.conn_id, self.kept.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn conn(id: u64) -> Arc<Conn> {
        Arc::new(Conn::new(id, SocketAddr::from(([127, 0, 0, 1], 1)), 1000, 0))
    }

    fn registry(all: usize, viewers: usize, of_account: usize) -> Registry {
        Registry::new(MostSessions { all, viewers, of_account })
    }

    fn key(name: u8) -> Owner {
        Owner::Host(HostId([name; 16]))
    }

    #[test]
    fn only_the_newest_of_many_takes_over_and_gets_what_was_kept() {
        let registry = registry(10, 10, 10);
        assert!(matches!(registry.admit(&key(1), &conn(1)), Admission::Now(None)));
        let Admission::Next(mut second) = registry.admit(&key(1), &conn(2)) else { panic!() };
        let Admission::Next(mut third) = registry.admit(&key(1), &conn(3)) else { panic!() };
        assert_eq!(second.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(third.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        registry.release(&key(1), 1, Some(SessionState::default()));
        assert_eq!(third.try_recv(), Ok(Some(SessionState::default())));
        assert_eq!(registry.host(HostId([1; 16])).map(|live| live.id), Some(3));
        // A release of somebody else's place does nothing.
        registry.release(&key(1), 1, None);
        assert_eq!(registry.count().all(), 1);
        registry.release(&key(1), 3, Some(SessionState::default()));
        assert_eq!(registry.count().all(), 0);
        assert!(matches!(registry.admit(&key(1), &conn(4)), Admission::Now(Some(_))));
    }

    #[test]
    fn who_gives_up_waiting_loses_nothing_for_the_next() {
        let registry = registry(10, 10, 10);
        registry.admit(&key(1), &conn(1));
        drop(registry.admit(&key(1), &conn(2)));
        registry.release(&key(1), 1, Some(SessionState::default()));
        assert_eq!(registry.count().all(), 0);
        assert!(matches!(registry.admit(&key(1), &conn(3)), Admission::Now(Some(_))));
    }

    fn viewer(account: &str, name: &str) -> Owner {
        Owner::Viewer(Box::new((account.into(), name.into())))
    }

    #[test]
    fn a_takeover_needs_no_further_place_but_a_stranger_does() {
        let registry = registry(2, 1, 1);
        assert!(matches!(registry.admit(&viewer("tv", "a"), &conn(1)), Admission::Now(_)));
        assert!(matches!(registry.admit(&viewer("desk", "b"), &conn(2)), Admission::Full(Full::Viewers)));
        assert!(matches!(registry.admit(&key(1), &conn(3)), Admission::Now(_)));
        assert!(matches!(registry.admit(&key(2), &conn(4)), Admission::Full(Full::All)));
        assert!(matches!(registry.admit(&key(1), &conn(5)), Admission::Next(_)));
        registry.close();
        assert!(matches!(registry.admit(&key(3), &conn(6)), Admission::Full(Full::All)));
    }

    #[test]
    fn no_account_takes_the_places_of_others_and_its_own_come_back() {
        let registry = registry(100, 5, 2);
        for round in 0..3 {
            let id = 10 * round;
            assert!(matches!(registry.admit(&viewer("tv", "a"), &conn(id)), Admission::Now(_)));
            assert!(matches!(registry.admit(&viewer("tv", "b"), &conn(id + 1)), Admission::Now(_)));
            let third = registry.admit(&viewer("tv", "c"), &conn(id + 2));
            assert!(matches!(third, Admission::Full(Full::Account)));
            assert!(matches!(registry.admit(&viewer("tv", "a"), &conn(id + 3)), Admission::Next(_)));
            assert!(matches!(registry.admit(&viewer("desk", "c"), &conn(id + 4)), Admission::Now(_)));
            registry.release(&viewer("desk", "c"), id + 4, None);
            registry.release(&viewer("tv", "a"), id, None);
            registry.release(&viewer("tv", "b"), id + 1, None);
            assert_eq!(registry.count().all(), 0);
            assert!(registry.table().of_account.is_empty());
        }
    }
}
