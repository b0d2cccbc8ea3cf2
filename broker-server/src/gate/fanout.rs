//! The way from the server to viewers: rumqttd's router, kept alive.
//!
//! The router never forgets a filter it has seen, nor a topic that matched one. So it sees three of each: one
//! *channel* for the view tree and two for what debug viewers see. What goes through a channel carries its own topic
//! along, and sessions pick by their filters.
//!
//! ```text
//! publish ─► feed thread ─► rumqttd router ─► one link a viewer ─► pump task ─► mailbox of the session
//! ```
//!
//! Links block when they are built and when something is sent: that happens on the feed thread and on threads for
//! blocking work. A link is ended by a DISCONNECT and then drained to its error; it is never woken after that, for
//! that would kill the router. When the router dies all the same, its watch link notices, the feed thread builds
//! another, and each pump attaches its viewer again and has the retained set sent again.

use super::conn::{Change, Conn};
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
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::watch;

/// Changes between the server and the router.
const FEED_QUEUE: usize = 4096;
/// The router's memory of one channel is at most this many segments of this many bytes.
const SEGMENTS: (usize, usize) = (8, 1024 * 1024);
/// How long to wait before a router is tried again that could not be built.
const RETRY: Duration = Duration::from_millis(500);

/// What a message is about, and so who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// The view tree: every viewer.
    View,
    /// Presence of hosts, sealed: debug viewers.
    Presence,
    /// Statistics of hosts, sealed: debug viewers.
    RepoStats,
}

impl Channel {
    const ALL: [Self; 3] = [Self::View, Self::Presence, Self::RepoStats];

    const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Presence => "presence",
            Self::RepoStats => "repo/stats",
        }
    }
}

/// Builds links of one router. Its own type can't be named, so it lives in a closure.
type Connect = Arc<dyn Fn(&str) -> Result<(LinkTx, LinkRx), Box<LinkError>> + Send + Sync>;

/// One router; the number tells it from its predecessors.
#[derive(Clone)]
struct Alive {
    generation: u64,
    connect: Connect,
}

enum Feed {
    Message(Channel, Bytes),
    Died(u64),
    Stop,
}

pub(super) struct Fanout {
    feed: SyncSender<Feed>,
    router: watch::Receiver<Option<Alive>>,
    viewers: AtomicUsize,
    /// Changes that found the queue full.
    overflowed: AtomicU64,
    /// Names of links; the router keeps a little of each name for ever, so they are used again.
    names: Mutex<BTreeSet<usize>>,
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
            // A viewer that is being taken over may still hold a name.
            names: Mutex::new((0..2 * max_viewers + 2).collect()),
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

    /// Sends a change to whoever looks; `false` when it could not be queued, and viewers must be given the retained
    /// set instead.
    pub(super) fn publish(&self, channel: Channel, topic: &str, payload: &[u8]) -> bool {
        if !self.is_watched() {
            return true;
        }
        let mut message = BytesMut::with_capacity(2 + topic.len() + payload.len());
        // Our topics have some dozen bytes.
        message.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
        message.put_slice(topic.as_bytes());
        message.put_slice(payload);
        let queued = self.feed.try_send(Feed::Message(channel, message.freeze())).is_ok();
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

    /// Brings a viewer what comes through its channels, until what is returned is dropped.
    pub(super) fn attach(self: &Arc<Self>, conn: Arc<Conn>, debug: bool, max_bytes: usize) -> Attachment {
        let (stop, stopped) = watch::channel(());
        self.viewers.fetch_add(1, Ordering::Relaxed);
        let fanout = Arc::clone(self);
        tokio::spawn(async move {
            let name = fanout.take_name();
            if let Some(name) = name {
                Pump { fanout: &fanout, conn, debug, max_bytes, name: format!("viewer-{name}"), stopped }
                    .run()
                    .await;
                fanout.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
            }
        });
        Attachment { _stop: stop, fanout: Arc::clone(self) }
    }

    fn take_name(&self) -> Option<usize> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
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
                Feed::Message(channel, message) => {
                    let publish = Publish::new(Bytes::from_static(channel.name().as_bytes()), message, false);
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
struct Pump<'a> {
    fanout: &'a Arc<Fanout>,
    conn: Arc<Conn>,
    debug: bool,
    max_bytes: usize,
    name: String,
    /// Fails when the session is over.
    stopped: watch::Receiver<()>,
}

impl Pump<'_> {
    async fn run(mut self) {
        let mut router = self.fanout.router.clone();
        let mut first = true;
        loop {
            let alive = router.borrow_and_update().clone();
            if let Some(alive) = alive
                && let Some((tx, rx)) = self.link(alive).await
            {
                self.conn.attached();
                if !std::mem::take(&mut first) {
                    self.conn.missed();
                }
                if self.pass_on(tx, rx).await {
                    return;
                }
            }
            // Dead, or not built yet: wait for the next.
            tokio::select! {
                _ = self.stopped.changed() => return,
                _ = router.changed() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn link(&self, alive: Alive) -> Option<(LinkTx, LinkRx)> {
        let (name, debug) = (self.name.clone(), self.debug);
        let linked = tokio::task::spawn_blocking(move || {
            let (mut tx, mut rx) = (alive.connect)(&name)?;
            let channels = Channel::ALL.into_iter().filter(|channel| debug || *channel == Channel::View);
            subscribe(&mut tx, &mut rx, channels)?;
            Ok::<_, Box<LinkError>>((tx, rx))
        });
        match linked.await {
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
        let mut next_offset = [None; Channel::ALL.len()];
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
            let offset = match &notification {
                rumqttd::Notification::Forward(forward) => forward.cursor.map(|(_, offset)| offset),
                _ => None,
            };
            match Option::<Packet>::from(notification) {
                Some(Packet::Publish(publish, _)) => self.forward(&publish, offset, &mut next_offset),
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

    fn forward(&self, publish: &Publish, offset: Option<u64>, next_offset: &mut [Option<u64>; 3]) {
        let channel = Channel::ALL.iter().position(|channel| channel.name().as_bytes() == publish.topic);
        if let (Some(channel), Some(offset)) = (channel, offset) {
            // The router's memory has an end, too: who reads too slowly finds a gap.
            if next_offset[channel].is_some_and(|expected| expected != offset) {
                self.conn.missed();
            }
            next_offset[channel] = Some(offset + 1);
        }
        let message = &publish.payload;
        let Some((length, _)) = message.split_first_chunk::<2>() else { return };
        let end = 2 + usize::from(u16::from_be_bytes(*length));
        if end > message.len() {
            return;
        }
        let change = Change { topic: message.slice(2..end), payload: message.slice(end..) };
        self.conn.change(change, self.max_bytes);
    }
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
fn subscribe(
    tx: &mut LinkTx,
    rx: &mut LinkRx,
    channels: impl Iterator<Item = Channel>,
) -> Result<(), Box<LinkError>> {
    let filter = |channel: Channel| Filter {
        path: channel.name().to_owned(),
        qos: QoS::AtMostOnce,
        nolocal: false,
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::Never,
    };
    let subscribe = Subscribe { pkid: 0, filters: channels.map(filter).collect() };
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

    async fn attached(conn: &Conn) {
        while !mail(conn).await.attached {}
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
        let names = || fanout.names.lock().unwrap().len();
        let all = names();
        for id in 0..400 {
            let conn = viewer(id);
            let attachment = fanout.attach(conn.clone(), true, 1 << 20);
            if id % 2 == 0 {
                attached(&conn).await;
            }
            drop(attachment);
        }
        // A name comes back when its link has ended.
        while names() < all {
            tokio::task::yield_now().await;
        }
        let said = String::from_utf8_lossy(&errors.lock().unwrap()).into_owned();
        assert!(!said.contains("already gone"), "{said}");
    }

    #[tokio::test]
    async fn everybody_sees_the_view_tree_and_only_debug_viewers_see_the_rest() {
        let fanout = Fanout::start(4).unwrap();
        let (plain, debug) = (viewer(1), viewer(2));
        let _attachments =
            [fanout.attach(plain.clone(), false, 1 << 20), fanout.attach(debug.clone(), true, 1 << 20)];
        attached(&plain).await;
        attached(&debug).await;
        for (channel, topic) in [
            (Channel::Presence, "p"),
            (Channel::View, "v1"),
            (Channel::RepoStats, "s"),
            (Channel::View, "v2"),
        ] {
            assert!(fanout.publish(channel, topic, b"x"));
        }
        assert_eq!(topics(&plain, 2).await, ["v1", "v2"]);
        let mut seen = topics(&debug, 4).await;
        seen.sort();
        assert_eq!(seen, ["p", "s", "v1", "v2"]);
    }

    #[tokio::test]
    async fn a_router_that_dies_is_built_again_and_viewers_are_told_that_they_missed_something() {
        let fanout = Fanout::start(4).unwrap();
        let conn = viewer(1);
        let attachment = fanout.attach(conn.clone(), false, 1 << 20);
        attached(&conn).await;
        for round in 1..4 {
            assert_eq!(fanout.generation(), round);
            fanout.crash();
            while !mail(&conn).await.missed {}
            assert_eq!(fanout.generation(), round + 1);
            assert!(fanout.publish(Channel::View, "after", b"x"));
            assert_eq!(topics(&conn, 1).await, ["after"]);
        }
        drop(attachment);
        assert!(!fanout.is_watched());
    }

    #[tokio::test]
    async fn viewers_come_and_go_without_harm_to_the_router() {
        let fanout = Fanout::start(4).unwrap();
        for round in 0..100 {
            let conn = viewer(round);
            let attachment = fanout.attach(conn.clone(), true, 1 << 20);
            if round % 3 == 0 {
                attached(&conn).await;
                assert!(fanout.publish(Channel::View, "x", b"x"));
                assert_eq!(topics(&conn, 1).await, ["x"]);
            }
            drop(attachment);
            // Names come back when links have ended.
            while fanout.names.lock().unwrap().len() < 5 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(fanout.generation(), 1);
    }

    #[tokio::test]
    async fn a_burst_larger_than_every_buffer_arrives_whole_or_is_said_to_be_missed() {
        let fanout = Fanout::start(4).unwrap();
        let conn = viewer(1);
        let _attachment = fanout.attach(conn.clone(), false, 1 << 30);
        attached(&conn).await;
        let mut queued = 0;
        for _ in 0..3000 {
            queued += usize::from(fanout.publish(Channel::View, "t", &[0; 100]));
        }
        assert_eq!(topics(&conn, queued).await.len(), queued);
        assert_eq!(fanout.generation(), 1);
    }
}
