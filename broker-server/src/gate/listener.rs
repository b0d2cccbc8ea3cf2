//! Accepts connections of agents and viewers, a bounded number of each.

use super::{
    admission::{self, Arrival},
    limits::Listen,
    shared::Shared,
    throttle::PeerOrigin,
};
use crate::tasks::Beat;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How long to wait when the system gives no more sockets.
const NO_SOCKETS: Duration = Duration::from_millis(100);
/// How long a connection that gives way may take to give its socket back.
const ONE_SOCKET: Duration = Duration::from_millis(1);

/// Accepts until the gate stops. Nothing that a peer does or does not do holds it up: it waits for nobody, handshakes
/// run apart, and who is slow or silent there gives way to others.
pub(super) async fn accept(shared: Arc<Shared>, listen: Arc<Listen>, beat: Beat) {
    let (listener, tls) = match &*listen {
        Listen::Tls(socket, tls) => (&socket.listener, Some(tls)),
        Listen::Plain(socket) => (&socket.listener, None),
    };
    let mut stopping = shared.stopping.subscribe();
    let mut failing = 0;
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            accepted = beat.waits(listener.accept()) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer is gone already: neither is a reason to stop.
                failing += 1;
                // Ever more seldom: it may go on for long.
                if u64::is_power_of_two(failing) {
                    tracing::warn!(%error, failing, "a connection can't be accepted");
                }
                if shared.pending.drop_silent() {
                    shared.counters.pending_dropped.one();
                    tokio::time::sleep(ONE_SOCKET).await;
                } else {
                    tokio::time::sleep(NO_SOCKETS).await;
                }
                continue;
            }
        };
        failing = 0;
        enter(&shared, Arrival::Socket(stream, tls.map(|tls| tls.acceptor())), peer);
    }
}

/// Gives a connection its place among those that are not admitted yet, where there is one.
pub(super) fn enter(shared: &Arc<Shared>, arrival: Arrival, peer: SocketAddr) {
    shared.counters.accepted.one();
    let id = shared.next_id();
    let entered = shared.pending.enter(id, PeerOrigin::from(peer));
    if entered.as_ref().is_none_or(|entered| entered.made_room) {
        shared.counters.pending_dropped.one();
    }
    let Some(entered) = entered else { return };
    let shared = Arc::clone(shared);
    let mut stopping = shared.stopping.subscribe();
    tokio::spawn(async move {
        let _place = Permit { shared: Arc::clone(&shared), id };
        let welcomed = tokio::time::timeout(
            shared.limits.connect_timeout,
            admission::receive(Arc::clone(&shared), id, arrival, peer),
        );
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => {}
            _ = entered.gave_way => {}
            welcomed = welcomed => if welcomed.is_err() {
                shared.counters.pending_dropped.one();
            },
        }
    });
}

/// Gives the place back.
struct Permit {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.pending.leave(self.id, self.shared.clock.now_ms());
    }
}
