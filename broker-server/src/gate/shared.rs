//! What all tasks of the gate share.

use super::{
    acl,
    conn::{CloseReason, Conn},
    deadlines::Deadlines,
    directory::{Audit, Directory, Principal, Refused, printable},
    fanout::Fanout,
    incoming::Incoming,
    limits::Limits,
    refusals::Refusals,
    registry::{MostSessions, Registry},
    retained::{Retained, ViewRefused},
    stats::{Counters, Stats},
    throttle::{Buckets, LoginThrottle, PeerOrigin},
    unadmitted::Unadmitted,
};
use bytes::Bytes;
use schema::{HostId, HostTopic, Topic};
use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::{mpsc, watch};
use web::NotLetIn;

/// Why a viewer is let go that had asked for what it may have now.
const NOW_GRANTED: &str = "what it asked for is granted from now on";

pub(super) struct Shared {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) registry: Arc<Registry>,
    pub(super) deadlines: Deadlines,
    pub(super) pending: Unadmitted,
    pub(super) retained: Retained,
    pub(super) fanout: Arc<Fanout>,
    pub(super) counters: Counters,
    pub(super) stopping: watch::Sender<bool>,
    /// The view tree was published once: viewers are let in.
    pub(super) view_is_whole: watch::Sender<bool>,
    /// Whether viewers may look at what Home Assistant finds devices by.
    discovery: AtomicBool,
    /// Each session has its own; gone when the gate has stopped.
    ingest: Mutex<Option<mpsc::Sender<Incoming>>>,
    throttle: Mutex<LoginThrottle>,
    refusals: Mutex<Refusals>,
    audit: Mutex<Buckets<PeerOrigin>>,
    hasher: RandomState,
    next_id: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        limits: Limits,
        fanout: Arc<Fanout>,
        ingest: mpsc::Sender<Incoming>,
    ) -> Self {
        Self {
            directory,
            clock: Clock::start(),
            registry: Arc::new(Registry::new(MostSessions {
                all: limits.max_connections,
                viewers: limits.max_viewers,
                of_account: limits.max_viewers_of_account,
            })),
            deadlines: Deadlines::default(),
            pending: Unadmitted::new(
                limits.max_pending,
                limits.max_handshakes,
                u64::try_from(limits.pending_grace.as_millis()).unwrap_or(u64::MAX),
            ),
            retained: Retained::new(limits.max_retained, limits.max_retained_bytes, limits.max_gone),
            fanout,
            counters: Counters::default(),
            ingest: Mutex::new(Some(ingest)),
            stopping: watch::Sender::new(false),
            view_is_whole: watch::Sender::new(false),
            discovery: AtomicBool::new(false),
            throttle: Mutex::new(LoginThrottle::new()),
            refusals: Mutex::default(),
            audit: Mutex::new(Buckets::new(20, 3_000, 4_096)),
            hasher: RandomState::new(),
            next_id: AtomicU64::new(1),
            limits,
        }
    }

    /// The way to the server, as long as it is open.
    pub(super) fn ingest(&self) -> Option<mpsc::Sender<Incoming>> {
        self.ingest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn close_ingest(&self) {
        self.ingest.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A name, short, that peers can't make collide.
    pub(super) fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    pub(super) fn throttle<R>(&self, with: impl FnOnce(&mut LoginThrottle) -> R) -> R {
        with(&mut self.throttle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn refusals<R>(&self, with: impl FnOnce(&mut Refusals) -> R) -> R {
        with(&mut self.refusals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts somebody who is not let in, and tells of the first time that it did not get as far as a login.
    pub(super) fn not_let_in(&self, peer: SocketAddr, name: Option<&str>, why: NotLetIn) {
        let name = name.map(|name| (self.hash(name), printable(name)));
        let name = name.as_ref().map(|(hash, name)| (*hash, name.as_str()));
        let is_first =
            self.refusals(|refusals| refusals.note(PeerOrigin::from(peer), name, why, self.clock.now_ms()));
        if is_first && name.is_none() {
            self.refused(peer, None, Refused::Connection(why));
        }
    }

    /// Tells the directory and the log, unless that origin has been told of too often.
    pub(super) fn refused(&self, peer: SocketAddr, principal: Option<&Principal>, refused: Refused) {
        match refused {
            Refused::Login { .. } => self.counters.logins_refused.one(),
            // Counted where it was found.
            Refused::Connection(_) => {}
            Refused::Publish(_) | Refused::Subscribe(_) => self.counters.refused.one(),
        }
        if let Some(suppressed) = self.may_tell(peer) {
            tracing::info!(%peer, ?principal, %refused, suppressed, "refused");
            self.directory.refused(&Audit { peer, principal: principal.cloned(), refused, suppressed });
        }
    }

    /// Whether this origin may be told of again, and how often it was not since the last time.
    fn may_tell(&self, peer: SocketAddr) -> Option<u32> {
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit.take(PeerOrigin::from(peer), self.clock.now_ms()).ok()
    }

    /// Keeps a host's retained message for debug viewers and shows it to them; the server has its own copy, so a full
    /// set loses nothing but their sight of it.
    pub(super) fn retain_for_debug(&self, host: HostId, topic: HostTopic, payload: &Bytes) {
        if !matches!(topic, HostTopic::Presence | HostTopic::RepoStats) {
            return;
        }
        let topic = Topic::Host(host, topic).text();
        let _ = self.show(topic.as_str(), payload);
    }

    /// Whether viewers may look at what Home Assistant finds devices by.
    pub(super) fn discovery(&self) -> bool {
        self.discovery.load(Ordering::SeqCst)
    }

    /// Lets viewers look at that from now on, or no more. Who has asked for it in vain is let go, to ask again.
    pub(super) fn let_discover(&self, on: bool) {
        let was_on = self.discovery.swap(on, Ordering::SeqCst);
        if on && !was_on {
            for viewer in
                self.registry.all_viewers().into_iter().filter(|viewer| viewer.waits_for_discovery())
            {
                viewer.end(CloseReason::Kicked(NOW_GRANTED));
            }
        }
    }

    /// A viewer has asked for it in vain.
    pub(super) fn refused_discovery(&self, conn: &Conn) {
        conn.wait_for_discovery();
        // It may have been switched on since it was looked at.
        if self.discovery() {
            conn.end(CloseReason::Kicked(NOW_GRANTED));
        }
    }

    /// Keeps a message of the view tree and shows it.
    pub(super) fn publish_view(&self, topic: &str, payload: Option<Bytes>) -> Result<(), ViewRefused> {
        if !acl::is_view_topic(topic) {
            return Err(ViewRefused::Topic);
        }
        let payload = payload.unwrap_or_default();
        if payload.len() + topic.len() + 8 > self.limits.max_packet_bytes {
            return Err(ViewRefused::TooLong);
        }
        self.show(topic, &payload)
    }

    /// The retained set is locked while the change is handed on: viewers count on the order.
    fn show(&self, topic: &str, payload: &Bytes) -> Result<(), ViewRefused> {
        let mut is_queued = true;
        let tell = |version| is_queued = self.fanout.publish(version, topic, payload);
        self.retained.put(topic, payload, tell)?;
        if !is_queued {
            for viewer in self.registry.all_viewers() {
                viewer.missed();
            }
        }
        Ok(())
    }

    /// Whether the view tree is whole, or becomes so soon.
    pub(super) async fn has_view(&self) -> bool {
        let mut is_whole = self.view_is_whole.subscribe();
        let whole = tokio::time::timeout(self.limits.view_wait, is_whole.wait_for(|is| *is)).await;
        matches!(whole, Ok(Ok(_)))
    }

    /// What an ended connection leaves to be logged and counted.
    pub(super) fn ended(&self, conn: &Conn, who: &dyn std::fmt::Display, reason: CloseReason) {
        let is_malformed = matches!(reason, CloseReason::Malformed(_));
        if is_malformed {
            self.counters.malformed.one();
        }
        if is_malformed && self.may_tell(conn.peer).is_some() {
            tracing::warn!(peer = %conn.peer, %who, %reason, "connection ended");
        } else {
            tracing::debug!(peer = %conn.peer, %who, %reason, "connection ended");
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let count = self.registry.count();
        let (retained, retained_bytes) = self.retained.size();
        let counters = &self.counters;
        Stats {
            hosts: count.hosts,
            enrollments: count.enrollments,
            viewers: count.viewers,
            pending: self.pending.count(),
            in_flight: counters.in_flight.get(),
            accepted: counters.accepted.get(),
            admitted: counters.admitted.get(),
            handshakes_failed: counters.handshakes_failed.get(),
            pending_dropped: counters.pending_dropped.get(),
            logins_refused: counters.logins_refused.get(),
            logins_throttled: counters.logins_throttled.get(),
            full: counters.full.get(),
            viewers_full: counters.viewers_full.get(),
            refused: counters.refused.get(),
            malformed: counters.malformed.get(),
            messages_in: counters.messages_in.get(),
            bytes_in: counters.bytes_in.get(),
            bytes_out: counters.bytes_out.get(),
            retained,
            retained_bytes,
            router_built: self.fanout.generation(),
            view_overflowed: self.fanout.overflowed(),
        }
    }
}

/// Milliseconds since the gate was started.
pub(super) struct Clock(Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the gate's one clock: its sessions take `now` as an argument"
    )]
    fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
