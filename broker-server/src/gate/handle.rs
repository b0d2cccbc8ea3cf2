//! Starting the gate, and what the server holds of it.

use super::{
    admission::Arrival,
    conn::CloseReason,
    directory::Directory,
    fanout::Fanout,
    incoming::Incoming,
    limits::{GateConfig, Listen},
    listener,
    retained::ViewRefused,
    shared::Shared,
    start_error::StartError,
    stats::Stats,
    sweep,
    throttle::Held,
    transport::ByteStream,
};
use crate::tasks;
use bytes::Bytes;
use schema::{HostId, HostTopic};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use web::RefusedConnections;

/// How long connections may take to end when the gate stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// The gate itself; see [`start`](Self::start).
pub struct Gate;

impl Gate {
    /// Starts everything behind the listeners. What peers say comes out of the receiver; when that is dropped, hosts
    /// are turned away.
    pub async fn start(
        config: GateConfig,
        directory: Arc<dyn Directory>,
    ) -> Result<(GateHandle, mpsc::Receiver<Incoming>), StartError> {
        let GateConfig { listen, limits, tasks } = config;
        let fanout = Fanout::start(limits.max_viewers).map_err(StartError::Router)?;
        let (ingest, incoming) = mpsc::channel(limits.ingest_queue.max(1));
        let shared = Arc::new(Shared::new(directory, limits, fanout, ingest));
        let mut addresses = Vec::new();
        for listen in listen {
            let (address, tls) = match &listen {
                Listen::Tls(socket, _) => (socket.address, true),
                Listen::Plain(socket) => (socket.address, false),
            };
            addresses.push((address, tls));
            tracing::info!(%address, tls, "listening for MQTT");
            let (gate, listen) = (Arc::clone(&shared), Arc::new(listen));
            let name = if tls { "mqtt_listener" } else { "mqtt_plain_listener" };
            tasks.spawn(name, tasks::IDLE, move |beat| {
                listener::accept(Arc::clone(&gate), Arc::clone(&listen), beat)
            });
        }
        let gate = Arc::clone(&shared);
        tasks.spawn("mqtt_keep_alive", tasks::IDLE, move |beat| sweep::run(Arc::clone(&gate), beat));
        Ok((GateHandle { shared, addresses: addresses.into() }, incoming))
    }
}

/// A host's connection, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// How long the connection has stood, in milliseconds.
    pub for_ms: u64,
}

/// What the server does with the gate. Nothing here waits.
#[derive(Clone)]
pub struct GateHandle {
    shared: Arc<Shared>,
    addresses: Arc<[(SocketAddr, bool)]>,
}

impl GateHandle {
    /// Where it listens, and whether with TLS.
    #[must_use]
    pub fn addresses(&self) -> &[(SocketAddr, bool)] {
        &self.addresses
    }

    /// Takes a connection that came in elsewhere, such as over WebSocket: one of a viewer, which logs in as at the gate's own
    /// listeners.
    pub fn take(&self, stream: Box<dyn ByteStream>, peer: SocketAddr) {
        listener::enter(&self.shared, Arrival::Taken(stream), peer);
    }

    /// There are new commands in this host's outbox.
    pub fn wake(&self, host: HostId) {
        if let Some(conn) = self.shared.registry.host(host) {
            conn.wake_outbox();
        }
    }

    /// There is another plan for this host.
    pub fn plan_changed(&self, host: HostId) {
        self.shared.registry.plan_changed(host);
    }

    /// Sends this on the host's `cmd` with QoS 0, past the outbox: for acknowledgements, which are said again
    /// anyway. `false` when the host is away.
    pub fn send(&self, host: HostId, payload: Bytes) -> bool {
        match self.shared.registry.host(host) {
            Some(conn) if payload.len() <= schema::limits::MAX_PAYLOAD_BYTES => {
                conn.send(payload);
                true
            }
            _ => false,
        }
    }

    /// The view tree was published whole: viewers, who have waited for that, are let in.
    pub fn view_is_whole(&self) {
        self.shared.view_is_whole.send_replace(true);
    }

    /// Lets viewers subscribe to what Home Assistant finds devices by, or no more.
    pub fn let_discover(&self, on: bool) {
        self.shared.let_discover(on);
    }

    /// Sets a retained message of the view tree, or of what Home Assistant finds devices by, or clears it.
    pub fn publish_view(&self, topic: &str, payload: Option<Bytes>) -> Result<(), ViewRefused> {
        self.shared.publish_view(topic, payload)
    }

    /// The topics of the view tree, and of what Home Assistant finds devices by, that are retained.
    #[must_use]
    pub fn view_topics(&self) -> Vec<String> {
        ["hf/1/view/#", "homeassistant/#"].iter().flat_map(|all| self.shared.retained.topics(all)).collect()
    }

    /// The connection of this host, if it has one.
    #[must_use]
    pub fn connected(&self, host: HostId) -> Option<Connected> {
        let conn = self.shared.registry.host(host)?;
        Some(Connected { peer: conn.peer, for_ms: self.shared.clock.now_ms().saturating_sub(conn.since_ms) })
    }

    /// Ends this host's connection; its session is kept.
    pub fn kick(&self, host: HostId, why: &'static str) {
        if let Some(conn) = self.shared.registry.host(host) {
            conn.end(CloseReason::Kicked(why));
        }
    }

    /// Ends this host's connection and forgets everything about it: it was deleted.
    pub fn forget(&self, host: HostId) {
        if let Some(conn) = self.shared.registry.host(host) {
            conn.end(CloseReason::Deleted);
        }
        self.shared.registry.forget(host);
        for topic in HostTopic::ALL {
            self.shared.retain_for_debug(host, topic, &Bytes::new());
        }
    }

    /// Ends all connections of this viewer account: it was deleted or changed.
    pub fn kick_viewer(&self, name: &str) {
        for conn in self.shared.registry.viewers(name) {
            conn.end(CloseReason::Kicked("the account was changed"));
        }
    }

    /// The gate's counters as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Whose failing logins are held back now.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let now_ms = self.shared.clock.now_ms();
        self.shared.throttle(|throttle| throttle.held(now_ms))
    }

    /// Who was not let in during the last day.
    #[must_use]
    pub fn refused_connections(&self) -> RefusedConnections {
        let now_ms = self.shared.clock.now_ms();
        self.shared.refusals(|refusals| refusals.list(now_ms))
    }

    /// Stops: nobody is let in any more, connections are closed, wills are not published (see the module's words).
    /// Returns when all have ended, or after some seconds. Then the receiver of what comes in is closed, too.
    pub async fn shutdown(&self) {
        self.shared.stopping.send_replace(true);
        self.shared.registry.close();
        let ended = async {
            while self.shared.registry.count().all() > 0 || self.shared.pending.count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("some MQTT connections did not end in time");
        }
        self.shared.close_ingest();
        self.shared.fanout.stop();
    }

    /// Makes the router to viewers panic, as a fault in it would. For tests of that.
    #[doc(hidden)]
    pub fn crash_router(&self) {
        self.shared.fanout.crash();
    }
}
