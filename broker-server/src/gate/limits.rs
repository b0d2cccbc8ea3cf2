//! Where the gate listens, and how much it lets anyone take.

use super::socket::Socket;
use crate::tasks::Tasks;
use crate::tls::Tls;
use std::{sync::Arc, time::Duration};

/// How the gate is started.
#[derive(Default)]
pub struct GateConfig {
    /// The addresses to listen on, each with TLS or without.
    pub listen: Vec<Listen>,
    /// Bounds on connections, times, messages and queues.
    pub limits: Limits,
    /// Where its tasks run.
    pub tasks: Tasks,
}

/// An address to listen on.
pub enum Listen {
    /// With TLS, and this certificate.
    Tls(Socket, Arc<Tls>),
    /// Without TLS.
    Plain(Socket),
}

/// Bounds of everything a peer can make grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Admitted connections at once, of all sorts.
    pub max_connections: usize,
    /// Viewers among them.
    pub max_viewers: usize,
    /// Viewers with the same account.
    pub max_viewers_of_account: usize,
    /// How long a viewer waits for the first view tree after a start, and for a link to the router.
    pub view_wait: Duration,
    /// Connections that are not admitted yet.
    pub max_pending: usize,
    /// Those among them that shake hands or send their CONNECT.
    pub max_handshakes: usize,
    /// When others wait for that, one that has been at it for longer than this gives way.
    pub pending_grace: Duration,
    /// From accepted to admitted.
    pub connect_timeout: Duration,
    /// The longest packet before the login, in bytes.
    pub max_connect_bytes: usize,
    /// The longest packet afterwards, in bytes.
    pub max_packet_bytes: usize,
    /// The longest that a packet may take to arrive, or a peer may read nothing at all of what is sent to it.
    pub stall_timeout: Duration,
    /// Commands in flight to one host.
    pub window: usize,
    /// Messages of one host that wait for their commit.
    pub max_unacked: usize,
    /// Messages on their way to the server, of all hosts.
    pub ingest_queue: usize,
    /// Filters of one viewer.
    pub max_filters: usize,
    /// Changes that wait for one viewer, in bytes; beyond it reads them from the retained set.
    pub viewer_queue_bytes: usize,
    /// Topics in the retained set.
    pub max_retained: usize,
    /// Bytes in the retained set, topics included.
    pub max_retained_bytes: usize,
    /// Topics that are gone and remembered, for viewers that are behind and for bridges that come back.
    pub max_gone: usize,
    /// How long an enrolment may take.
    pub enroll_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 12_000,
            max_viewers: 256,
            max_viewers_of_account: 16,
            view_wait: Duration::from_secs(5),
            max_pending: 4096,
            max_handshakes: 1024,
            pending_grace: Duration::from_millis(1500),
            connect_timeout: Duration::from_secs(10),
            max_connect_bytes: 4096,
            max_packet_bytes: schema::limits::MAX_PACKET_BYTES,
            stall_timeout: Duration::from_secs(60),
            window: 32,
            max_unacked: 64,
            ingest_queue: 1024,
            // Home Assistant subscribes to each topic of each device by itself.
            max_filters: 4096,
            viewer_queue_bytes: 1024 * 1024,
            max_retained: 250_000,
            max_retained_bytes: 128 * 1024 * 1024,
            max_gone: 32_768,
            enroll_timeout: Duration::from_secs(120),
        }
    }
}
