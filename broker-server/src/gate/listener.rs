//! The listeners, and the connections that are not admitted yet.

use super::{
    StartError,
    limits::Listen,
    shared::{Clock, Shared},
    welcome,
};
use crate::tasks::Beat;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Notify, oneshot},
};

/// How many connections the kernel may hold for us.
const BACKLOG: u32 = 4096;
/// How long to wait when the system gives no more sockets.
const NO_SOCKETS: Duration = Duration::from_millis(100);

/// An address that is ours. Who connects waits until the gate starts.
pub struct Socket {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Socket {
    /// For MQTT with TLS.
    pub fn tls(address: SocketAddr) -> Result<Self, StartError> {
        Self::open(address).map_err(|source| StartError::Bind { address, tls: true, source })
    }

    /// For MQTT without TLS: passwords pass in clear, so loopback only, unless somebody says they know (`anywhere`).
    pub fn plain(address: SocketAddr, anywhere: bool) -> Result<Self, StartError> {
        if !anywhere && !address.ip().is_loopback() {
            return Err(StartError::PlainAnywhere(address));
        }
        Self::open(address).map_err(|source| StartError::Bind { address, tls: false, source })
    }

    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

/// Accepts until the gate stops. Nothing that a peer does or does not do holds it up: handshakes run apart, and who
/// is slow there gives way to others.
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
                tokio::time::sleep(NO_SOCKETS).await;
                continue;
            }
        };
        failing = 0;
        shared.counters.accepted.one();
        let id = shared.next_id();
        let gone = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            gone = shared.pending.enter(id, &shared.clock) => gone,
        };
        if gone.made_room {
            shared.counters.pending_dropped.one();
        }
        let shared = Arc::clone(&shared);
        let tls = tls.map(|tls| tls.acceptor());
        let mut stopping = shared.stopping.subscribe();
        tokio::spawn(async move {
            let _place = Place { shared: Arc::clone(&shared), id };
            let welcomed = tokio::time::timeout(
                shared.limits.connect_timeout,
                welcome::welcome(Arc::clone(&shared), id, stream, peer, tls),
            );
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                _ = gone.gave_way => {}
                welcomed = welcomed => if welcomed.is_err() {
                    shared.counters.pending_dropped.one();
                },
            }
        });
    }
}

/// Connections between accepted and admitted.
pub(super) struct Pending {
    table: Mutex<BTreeMap<u64, Waiting>>,
    left: Notify,
    max: usize,
    grace: Duration,
}

struct Waiting {
    since_ms: u64,
    _give_way: oneshot::Sender<()>,
}

/// A place among the pending.
pub(super) struct Entered {
    /// Resolves when somebody else needs the place.
    gave_way: oneshot::Receiver<()>,
    /// Somebody else had to give way for it.
    made_room: bool,
}

impl Pending {
    pub(super) fn new(max: usize, grace: Duration) -> Self {
        Self { table: Mutex::default(), left: Notify::new(), max: max.max(1), grace }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.table().len()
    }

    /// Takes a place; when there is none, waits until one is free or the oldest has had its time. Ids grow.
    async fn enter(&self, id: u64, clock: &Clock) -> Entered {
        loop {
            let left = self.left.notified();
            let wait = match self.try_enter(id, clock.now_ms()) {
                Ok(entered) => return entered,
                Err(wait) => wait,
            };
            tokio::select! {
                () = left => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn try_enter(&self, id: u64, now_ms: u64) -> Result<Entered, Duration> {
        let mut table = self.table();
        let mut made_room = false;
        if table.len() >= self.max
            && let Some(oldest) = table.first_entry()
        {
            let age = Duration::from_millis(now_ms.saturating_sub(oldest.get().since_ms));
            if age < self.grace {
                return Err(self.grace - age);
            }
            oldest.remove();
            made_room = true;
        }
        let (give_way, gave_way) = oneshot::channel();
        table.insert(id, Waiting { since_ms: now_ms, _give_way: give_way });
        Ok(Entered { gave_way, made_room })
    }
}

/// Gives the place back.
struct Place {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.pending.table().remove(&self.id);
        self.shared.pending.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_but_not_before_it_has_had_its_time() {
        let pending = Pending::new(2, Duration::from_millis(1000));
        let mut first = pending.try_enter(1, 0).unwrap();
        let mut second = pending.try_enter(2, 500).unwrap();
        assert_eq!(pending.try_enter(3, 600).err(), Some(Duration::from_millis(400)));
        let third = pending.try_enter(3, 1000).unwrap();
        assert!(third.made_room);
        assert!(first.gave_way.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert!(second.gave_way.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        assert_eq!(pending.count(), 2);
    }
}
