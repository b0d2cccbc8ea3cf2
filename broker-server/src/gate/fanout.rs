//! The way from the server to viewers: rumqttd's router, kept alive.
//!
//! The router never forgets a filter it has seen, nor a topic that matched one. So it sees one of each: all changes
//! go through one topic, carry their own along with the version that they have in the retained set, and sessions pick
//! by their filters and by what they may see. A session finds a gap in the versions by itself; so whatever is lost on
//! the way is only late.
//!
//! ```text
//! publish ─► feed thread ─► rumqttd router ─► one link a viewer ─► pump task ─► mailbox of the session
//! ```
//!
//! Each viewer has a *place*, with the name of its link: it is taken before the viewer is let in, and free again when
//! the link has ended in the router, however that came. So nobody is let in for whom there is no link, and a viewer
//! whose link can't be made for a while is let go rather than left without changes.
//!
//! Links block when they are built and when something is sent: that happens on the feed thread and on threads for
//! blocking work. A link is ended by a DISCONNECT and then drained to its error; it is never woken after that, for
//! that would kill the router. When the router dies all the same, its watch link notices, the feed thread builds
//! another, and each pump attaches its viewer again, which then reads what it has missed.

use super::conn::{CloseReason, Conn, TopicChange};
use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::{
    Router, RouterConfig,
    local::{LinkBuilder, LinkError, LinkRx, LinkTx},
    protocol::{
        Disconnect, DisconnectReasonCode, Filter, Packet, Publish, QoS, RetainForwardRule, Subscribe,
    },
};
use std::{
    collections::BTreeSet,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Changes between the server and the router.
const FEED_QUEUE: usize = 4096;
/// The router's memory of changes is at most this many segments of this many bytes.
const SEGMENTS: (usize, usize) = (8, 1024 * 1024);
/// How long to wait before a router is tried again that could not be built.
const RETRY: Duration = Duration::from_millis(500);

/// How often a link is tried in vain before its viewer is let go.
const MAX_TRIES: u32 = 20;
/// How long the router may take to make a link.
const LINK_WAIT: Duration = Duration::from_secs(10);
/// The topic through which all goes.
const CHANGES: &str = "changes";

/// Builds links of one router. Its own type can't be named, so it lives in a closure.
type Connect = Arc<dyn Fn(&str) -> Result<(LinkTx, LinkRx), Box<LinkError>> + Send + Sync>;

/// One router; the number tells it from its predecessors.
#[derive(Clone)]
struct Alive {
    generation: u64,
    connect: Connect,
}

enum Feed {
    Message(Bytes),
    Died(u64),
    Stop,
}

pub(super) struct Fanout {
    feed: SyncSender<Feed>,
    router: watch::Receiver<Option<Alive>>,
    viewers: AtomicUsize,
    /// Changes that found the queue full.
    overflowed: AtomicU64,
    places: Arc<LinkNames>,
}

impl Fanout {
    /// Builds the router and its feed.
    pub(super) fn start(max_viewers: usize) -> std::io::Result<Arc<Self>> {
        let (feed, queue) = sync_channel(FEED_QUEUE);
        let (tell, router) = watch::channel(None);
        let runtime = tokio::runtime::Handle::current();
        let fanout = Arc::new(Self {
            feed: feed.clone(),
            router,
            viewers: AtomicUsize::new(0),
            overflowed: AtomicU64::new(0),
            // A viewer that has just left may still hold its place.
            places: Arc::new(LinkNames::new(2 * max_viewers + 2)),
        });
        std::thread::Builder::new().name("gate-feed".into()).spawn(move || {
            Feeder { queue, feed, tell, runtime, max_links: 2 * max_viewers + 8, generation: 0 }.run();
        })?;
        Ok(fanout)
    }

    /// Whether anybody looks.
    pub(super) fn is_watched(&self) -> bool {
        self.viewers.load(Ordering::Relaxed) > 0
    }

    /// Sends a change to whoever looks; `false` when it could not be queued, and viewers must be told that they miss
    /// something. Waits for nothing.
    pub(super) fn publish(&self, version: u64, topic: &str, payload: &[u8]) -> bool {
        if !self.is_watched() {
            return true;
        }
        let mut message = BytesMut::with_capacity(10 + topic.len() + payload.len());
        message.put_u64(version);
        // Our topics have some dozen bytes.
        message.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
        message.put_slice(topic.as_bytes());
        message.put_slice(payload);
        let queued = self.feed.try_send(Feed::Message(message.freeze())).is_ok();
        if !queued {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
        }
        queued
    }

    /// Changes that could not be queued so far.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// How often the router was built; 0 before the first time.
    pub(super) fn generation(&self) -> u64 {
        self.router.borrow().as_ref().map_or(0, |alive| alive.generation)
    }

    /// A place for one more viewer, as soon as there is one.
    pub(super) async fn place(&self) -> Option<LinkName> {
        let permit = Arc::clone(&self.places.free).acquire_owned().await.ok()?;
        let name = self.places.names().pop_first()?;
        Some(LinkName { places: Arc::clone(&self.places), name, _permit: permit })
    }

    /// Brings a viewer what changes, until what is returned is dropped.
    pub(super) fn attach(self: &Arc<Self>, place: LinkName, conn: Arc<Conn>, max_bytes: usize) -> Attachment {
        let (stop, stopped) = watch::channel(());
        self.viewers.fetch_add(1, Ordering::Relaxed);
        let router = self.router.clone();
        tokio::spawn(Pump { place, router, conn, max_bytes, stopped }.run());
        Attachment { _stop: stop, fanout: Arc::clone(self) }
    }

    pub(super) fn stop(&self) {
        // The thread ends; the router has no end but the program's.
        let _ = self.feed.try_send(Feed::Stop);
    }

    /// Makes the router panic, as a fault would.
    pub(super) fn crash(&self) {
        let Some(alive) = self.router.borrow().clone() else { return };
        std::thread::spawn(move || {
            let Ok((mut tx, mut rx)) = (alive.connect)("crash") else { return };
            end_link(&mut tx, &mut rx);
            // Deadly: the router no longer knows this link.
            let _ = rx.ready();
        });
    }
}

/// Names of links; the router keeps a little of each name for ever, so they are used again.
struct LinkNames {
    names: Mutex<BTreeSet<usize>>,
    free: Arc<Semaphore>,
}

impl LinkNames {
    fn new(count: usize) -> Self {
        Self { names: Mutex::new((0..count).collect()), free: Arc::new(Semaphore::new(count)) }
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a viewer needs for its link; free again when it is dropped.
pub(super) struct LinkName {
    places: Arc<LinkNames>,
    name: usize,
    _permit: OwnedSemaphorePermit,
}

impl Drop for LinkName {
    fn drop(&mut self) {
        // Before the permit, which is dropped after this: whoever gets that finds a name.
        self.places.names().insert(self.name);
    }
}

/// Keeps a viewer attached.
pub(super) struct Attachment {
    _stop: watch::Sender<()>,
    fanout: Arc<Fanout>,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.fanout.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The feed thread: owns the link that publishes, and rebuilds the router.
struct Feeder {
    queue: Receiver<Feed>,
    feed: SyncSender<Feed>,
    tell: watch::Sender<Option<Alive>>,
    runtime: tokio::runtime::Handle,
    max_links: usize,
    generation: u64,
}

impl Feeder {
    fn run(mut self) {
        let mut link = self.build();
        while let Ok(feed) = self.queue.recv() {
            let dead = match feed {
                Feed::Stop => break,
                Feed::Died(generation) => generation == self.generation,
                Feed::Message(message) => {
                    let publish = Publish::new(Bytes::from_static(CHANGES.as_bytes()), message, false);
                    send(&mut link.0, Packet::Publish(publish, None)).is_err()
                }
            };
            if dead {
                tracing::error!("the router to viewers has died; it is built again");
                link = self.build();
            }
        }
        // Nothing more is said on the link, and the router has nothing to say on it: it subscribes to nothing.
    }

    fn build(&mut self) -> (LinkTx, LinkRx) {
        loop {
            self.generation += 1;
            match catch_unwind(AssertUnwindSafe(|| self.try_build())) {
                Ok(Ok(link)) => return link,
                Ok(Err(error)) => tracing::error!(%error, "the router to viewers can't be built"),
                Err(_) => tracing::error!("the router to viewers can't be built: it panicked"),
            }
            std::thread::sleep(RETRY);
        }
    }

    fn try_build(&self) -> Result<(LinkTx, LinkRx), Box<LinkError>> {
        let config = RouterConfig {
            max_connections: self.max_links,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENTS.1,
            max_segment_count: SEGMENTS.0,
            ..RouterConfig::default()
        };
        let router = Router::new(0, config).spawn();
        let connect: Connect = Arc::new(move |name| {
            let (tx, rx, _) = LinkBuilder::new(name, router.clone()).build().map_err(Box::new)?;
            Ok((tx, rx))
        });
        let (_, mut watch) = connect("watch")?;
        let link = connect("feed")?;
        let alive = Alive { generation: self.generation, connect };
        let (feed, generation) = (self.feed.clone(), self.generation);
        self.runtime.spawn(async move {
            while watch.next().await.is_ok() {}
            // When the queue is full the feed is busy sending, and notices by itself.
            while let Err(TrySendError::Full(_)) = feed.try_send(Feed::Died(generation)) {
                tokio::time::sleep(RETRY).await;
            }
        });
        self.tell.send_replace(Some(alive));
        Ok(link)
    }
}

/// One viewer's way out of the router.
struct Pump {
    place: LinkName,
    router: watch::Receiver<Option<Alive>>,
    conn: Arc<Conn>,
    max_bytes: usize,
    /// Fails when the session is over.
    stopped: watch::Receiver<()>,
}

impl Pump {
    async fn run(mut self) {
        let mut tries = 0;
        loop {
            let alive = self.router.borrow_and_update().clone();
            if let Some(alive) = alive
                && let Some((tx, rx)) = self.link(alive).await
            {
                tries = 0;
                // From now on nothing is missed; what came before is read from the retained set.
                self.conn.missed();
                if self.pass_on(tx, rx).await {
                    return;
                }
            }
            tries += 1;
            if tries == MAX_TRIES {
                self.let_go();
            }
            // Dead, or not built yet: wait for the next.
            tokio::select! {
                _ = self.stopped.changed() => return,
                _ = self.router.changed() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Rather than to leave it connected and without changes.
    fn let_go(&self) {
        tracing::warn!(peer = %self.conn.peer, "a viewer is let go: no link to the router can be made");
        self.conn.end(CloseReason::NoLink);
    }

    async fn link(&self, alive: Alive) -> Option<(LinkTx, LinkRx)> {
        let name = format!("viewer-{}", self.place.name);
        let linked = tokio::task::spawn_blocking(move || {
            let (mut tx, mut rx) = (alive.connect)(&name)?;
            if let Err(error) = subscribe(&mut tx, &mut rx) {
                // The router may know the link all the same.
                end_link(&mut tx, &mut rx);
                return Err(error);
            }
            Ok::<_, Box<LinkError>>((tx, rx))
        });
        let mut linked = pin!(linked);
        let linked = match tokio::time::timeout(LINK_WAIT, &mut linked).await {
            Ok(linked) => linked,
            Err(_) => {
                self.let_go();
                // The place must not be free before it is known what became of the link.
                linked.await
            }
        };
        match linked {
            Ok(Ok(link)) => Some(link),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no link to the router");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether the session is over; otherwise the router has died.
    async fn pass_on(&mut self, mut tx: LinkTx, mut rx: LinkRx) -> bool {
        loop {
            let notification = tokio::select! {
                _ = self.stopped.changed() => {
                    let _ = tokio::task::spawn_blocking(move || end_link(&mut tx, &mut rx)).await;
                    return true;
                }
                notification = rx.next() => notification,
            };
            let notification = match notification {
                Err(_) => return false,
                Ok(None) => continue,
                Ok(Some(notification)) => notification,
            };
            match Option::<Packet>::from(notification) {
                Some(Packet::Publish(publish, _)) => {
                    if let Some(change) = change(&publish.payload) {
                        self.conn.change(change, self.max_bytes);
                    }
                }
                Some(_) => {}
                // The router has filled its buffer and waits to be told that it was emptied.
                None => {
                    if rx.wake().await.is_err() {
                        return false;
                    }
                }
            }
        }
    }
}

/// Reads what [`Fanout::publish`] has written.
fn change(message: &Bytes) -> Option<TopicChange> {
    let (version, rest) = message.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let end = 10 + usize::from(u16::from_be_bytes(*length));
    (end <= rest.len() + 10).then(|| TopicChange {
        version: u64::from_be_bytes(*version),
        topic: message.slice(10..end),
        payload: message.slice(end..),
    })
}

/// Sends without waiting for an executor: the future of the link has no await in it, it blocks.
fn send(link: &mut LinkTx, packet: Packet) -> Result<(), Box<LinkError>> {
    match pin!(link.send(packet)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(sent) => sent.map(|_| ()).map_err(Box::new),
        Poll::Pending => Ok(()),
    }
}

/// Subscribes a new link, and waits for the answer. The router takes everything that a link has sent at the first word
/// of it, and calls it an error when a DISCONNECT was among that: so the next may be sent only when this was taken.
fn subscribe(tx: &mut LinkTx, rx: &mut LinkRx) -> Result<(), Box<LinkError>> {
    let filter = Filter {
        path: CHANGES.to_owned(),
        qos: QoS::AtMostOnce,
        nolocal: false,
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::Never,
    };
    let subscribe = Subscribe { pkid: 0, filters: vec![filter] };
    send(tx, Packet::Subscribe(subscribe, None))?;
    // Nothing comes before the answer: until then the link has no subscription.
    loop {
        let answer = rx.recv().map_err(Box::new)?;
        if matches!(answer.map(Option::<Packet>::from), Some(Some(Packet::SubAck(..)))) {
            return Ok(());
        }
    }
}

/// Ends a link the one way that leaves the router alive.
fn end_link(tx: &mut LinkTx, rx: &mut LinkRx) {
    let goodbye = Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection };
    if send(tx, Packet::Disconnect(goodbye, None)).is_ok() {
        while rx.recv().is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn viewer(id: u64) -> Arc<Conn> {
        Arc::new(Conn::new(id, SocketAddr::from(([127, 0, 0, 1], 1)), 1000, 0))
    }

    /// Waits until something is in the mailbox, and gives the changes.
    async fn mail(conn: &Conn) -> super::super::conn::ViewMail {
        std::future::poll_fn(|cx| match conn.collect(cx, true).and_then(|mail| mail.view) {
            Some(view) => Poll::Ready(*view),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits until the link stands.
    async fn attached(conn: &Conn) {
        while !mail(conn).await.missed {}
    }

    async fn attach(fanout: &Arc<Fanout>, conn: &Arc<Conn>, max_bytes: usize) -> Attachment {
        let place = fanout.place().await.unwrap();
        fanout.attach(place, Arc::clone(conn), max_bytes)
    }

    fn free(fanout: &Fanout) -> usize {
        fanout.places.free.available_permits()
    }

    async fn topics(conn: &Conn, count: usize) -> Vec<String> {
        let mut topics = Vec::new();
        while topics.len() < count {
            let changes = mail(conn).await.changes;
            topics.extend(changes.iter().map(|change| String::from_utf8_lossy(&change.topic).into_owned()));
        }
        topics
    }

    /// What is logged as an error, by whoever.
    fn errors() -> &'static Mutex<Vec<u8>> {
        static SAID: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        struct Said;
        impl std::io::Write for Said {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                SAID.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let errors = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR);
        let _ = errors.with_ansi(false).with_writer(|| Said).try_init();
        &SAID
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn viewers_that_leave_as_soon_as_they_came_are_no_error_of_the_router() {
        let errors = errors();
        let fanout = Fanout::start(64).unwrap();
        let all = free(&fanout);
        for id in 0..400 {
            let conn = viewer(id);
            let attachment = attach(&fanout, &conn, 1 << 20).await;
            if id % 2 == 0 {
                attached(&conn).await;
            }
            drop(attachment);
        }
        // A place is free again when its link has ended.
        while free(&fanout) < all {
            tokio::task::yield_now().await;
        }
        assert_eq!(fanout.places.names().len(), all);
        let said = String::from_utf8_lossy(&errors.lock().unwrap()).into_owned();
        assert!(!said.contains("already gone") && !said.contains("no space"), "{said}");
    }

    #[tokio::test]
    async fn a_place_is_waited_for_and_whoever_gives_up_waiting_takes_none() {
        let fanout = Fanout::start(1).unwrap();
        let mut taken = Vec::new();
        while free(&fanout) > 0 {
            taken.push(fanout.place().await.unwrap());
        }
        for _ in 0..100 {
            let waiting = tokio::time::timeout(Duration::from_millis(1), fanout.place());
            assert!(waiting.await.is_err());
        }
        let all = taken.len();
        taken.clear();
        assert_eq!((free(&fanout), fanout.places.names().len()), (all, all));
        let conn = viewer(1);
        let _attachment = attach(&fanout, &conn, 1 << 20).await;
        attached(&conn).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_whose_link_can_not_be_made_is_let_go_and_its_place_is_free_again() {
        let (feed, _queue) = sync_channel(1);
        let (_tell, router) = watch::channel(None);
        let (viewers, overflowed) = (AtomicUsize::new(0), AtomicU64::new(0));
        let places = Arc::new(LinkNames::new(1));
        let fanout = Arc::new(Fanout { feed, router, viewers, overflowed, places });
        let conn = viewer(1);
        let attachment = attach(&fanout, &conn, 1 << 20).await;
        let end = std::future::poll_fn(|cx| match conn.collect(cx, true).and_then(|mail| mail.end) {
            Some(end) => Poll::Ready(end),
            None => Poll::Pending,
        });
        assert_eq!(end.await, CloseReason::NoLink);
        drop(attachment);
        assert_eq!(fanout.place().await.map(|place| place.name), Some(0));
    }

    #[tokio::test]
    async fn a_change_arrives_as_it_was() {
        let fanout = Fanout::start(4).unwrap();
        let conn = viewer(1);
        let _attachment = attach(&fanout, &conn, 1 << 20).await;
        attached(&conn).await;
        assert!(fanout.publish(7, "hf/1/view/a/repo", b"x"));
        assert!(fanout.publish(8, "hf/1/view/a/repo", b""));
        let mut changes = Vec::new();
        while changes.len() < 2 {
            changes.extend(mail(&conn).await.changes);
        }
        let changes: Vec<_> =
            changes.iter().map(|change| (change.version, &change.topic[..], &change.payload[..])).collect();
        assert_eq!(changes, [(7, &b"hf/1/view/a/repo"[..], &b"x"[..]), (8, b"hf/1/view/a/repo", b"")]);
    }

    #[tokio::test]
    async fn a_router_that_dies_is_built_again_and_viewers_are_told_that_they_missed_something() {
        let fanout = Fanout::start(4).unwrap();
        let conn = viewer(1);
        let attachment = attach(&fanout, &conn, 1 << 20).await;
        attached(&conn).await;
        for round in 1..4 {
            assert_eq!(fanout.generation(), round);
            fanout.crash();
            while !mail(&conn).await.missed {}
            assert_eq!(fanout.generation(), round + 1);
            assert!(fanout.publish(1, "after", b"x"));
            assert_eq!(topics(&conn, 1).await, ["after"]);
        }
        drop(attachment);
        assert!(!fanout.is_watched());
    }

    #[tokio::test]
    async fn viewers_come_and_go_without_harm_to_the_router() {
        let fanout = Fanout::start(4).unwrap();
        let all = free(&fanout);
        for round in 0..100 {
            let conn = viewer(round);
            let attachment = attach(&fanout, &conn, 1 << 20).await;
            if round % 3 == 0 {
                attached(&conn).await;
                assert!(fanout.publish(1, "x", b"x"));
                assert_eq!(topics(&conn, 1).await, ["x"]);
            }
            drop(attachment);
        }
        while free(&fanout) < all {
            tokio::task::yield_now().await;
        }
        assert_eq!(fanout.generation(), 1);
    }

    #[tokio::test]
    async fn a_burst_larger_than_every_buffer_arrives_in_order_and_to_its_end() {
        let fanout = Fanout::start(4).unwrap();
        let conn = viewer(1);
        let _attachment = attach(&fanout, &conn, 1 << 30).await;
        attached(&conn).await;
        let mut queued = Vec::new();
        for version in 0..3000 {
            if fanout.publish(version, "t", &[0; 100]) {
                queued.push(version);
            }
        }
        let mut versions = Vec::new();
        while versions.last() != queued.last() {
            versions.extend(mail(&conn).await.changes.iter().map(|change| change.version));
        }
        assert!(versions.is_sorted() && versions.iter().all(|version| queued.contains(version)));
        assert_eq!(fanout.generation(), 1);
    }
}
