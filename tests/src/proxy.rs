//! A network between two programs that can be held, cut and slowed.

use crate::ports;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Small, so that a slow network does not move in leaps.
const PIECE_BYTES: usize = 8 * 1024;

/// A TCP proxy on loopback.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    network: Arc<Network>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything passes.
    Whole,
    /// Nothing passes, nobody is told: packets vanish, and are sent again when the network is back.
    Held,
    /// All connections are broken, and new ones are, too.
    Cut,
    /// The test is over.
    Gone,
}

#[derive(Debug)]
struct Network {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    connections: Mutex<Vec<TcpStream>>,
    /// 0: as fast as it goes.
    bytes_per_second: AtomicU64,
    passed_up: AtomicU64,
    refused: AtomicU64,
    /// 0: never.
    silent_ms: AtomicU64,
}

impl Proxy {
    /// A whole network to `upstream`.
    ///
    /// # Panics
    /// When it can't listen.
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Self {
        Self::start_at(ports::free(), upstream)
    }

    /// The same at an address of one before it, which is gone.
    ///
    /// # Panics
    /// When it can't listen.
    #[must_use]
    pub fn start_at(address: SocketAddr, upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let network = Arc::new(Network {
            upstream,
            state: Mutex::new(State::Whole),
            changed: Condvar::new(),
            connections: Mutex::new(Vec::new()),
            bytes_per_second: AtomicU64::new(0),
            passed_up: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            silent_ms: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&network);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.state() == State::Gone {
                    break;
                }
                let network = Arc::clone(&accepting);
                thread::spawn(move || network.connect(client));
            }
        });
        Self { address, network }
    }

    /// Nothing passes from now on, and no connection notices but by its own keep-alive.
    pub fn hold(&self) {
        self.network.become_(State::Held);
    }

    /// Breaks all connections, and each new one at once.
    pub fn cut(&self) {
        self.network.become_(State::Cut);
        self.network.sever();
    }

    /// The network is back; what was held goes on.
    pub fn heal(&self) {
        self.network.become_(State::Whole);
    }

    /// From now on so many bytes a second pass in each direction of each connection; `None` = all.
    pub fn slow(&self, bytes_per_second: Option<u64>) {
        self.network.bytes_per_second.store(bytes_per_second.unwrap_or(0), Ordering::Relaxed);
    }

    /// From now on a connection over which nothing comes for so long is broken, as routers do.
    pub fn cut_when_silent(&self, limit: Duration) {
        let ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.network.silent_ms.store(ms, Ordering::Relaxed);
    }

    /// How many bytes have passed to upstream.
    #[must_use]
    pub fn passed_up(&self) -> u64 {
        self.network.passed_up.load(Ordering::Relaxed)
    }

    /// How many connections were broken as soon as they were made.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.network.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.become_(State::Gone);
        self.network.sever();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl Network {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> State {
        *self.lock()
    }

    fn become_(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }

    fn sever(&self) {
        for connection in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Waits while the network is held; whether anything may pass then.
    fn may_pass(&self) -> bool {
        let held = self.changed.wait_while(self.lock(), |state| *state == State::Held);
        *held.unwrap_or_else(PoisonError::into_inner) == State::Whole
    }

    fn connect(self: Arc<Self>, client: TcpStream) {
        if !self.may_pass() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        let Ok(server) = TcpStream::connect(self.upstream) else { return };
        let (Ok(client_back), Ok(server_back)) = (client.try_clone(), server.try_clone()) else { return };
        {
            let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.extend(client.try_clone());
            connections.extend(server.try_clone());
        }
        let back = Arc::clone(&self);
        let downward = thread::spawn(move || back.carry(server_back, client_back, None));
        self.carry(client, server, Some(&self.passed_up));
        let _ = downward.join();
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, count: Option<&AtomicU64>) {
        let mut piece = [0; PIECE_BYTES];
        let silent = self.silent_ms.load(Ordering::Relaxed);
        let _ = from.set_read_timeout((silent > 0).then(|| Duration::from_millis(silent)));
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            if !self.may_pass() {
                break;
            }
            // Counted before it can be answered.
            if let Some(count) = count {
                count.fetch_add(read as u64, Ordering::Relaxed);
            }
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
            let rate = self.bytes_per_second.load(Ordering::Relaxed);
            if let Some(micros) = (read as u64 * 1_000_000).checked_div(rate) {
                thread::sleep(Duration::from_micros(micros));
            }
        }
        // An end, or a break, goes on to the other side.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{self, SOON};
    use std::io::ErrorKind;

    /// Sends back what it gets.
    fn echo() -> SocketAddr {
        let address = ports::free();
        let listener = TcpListener::bind(address).expect("a free port");
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || std::io::copy(&mut client.try_clone().expect("a socket"), &mut client));
            }
        });
        address
    }

    fn answers(connection: &mut TcpStream) -> Result<(), ErrorKind> {
        connection.write_all(b"hello").map_err(|error| error.kind())?;
        connection.read_exact(&mut [0; 5]).map_err(|error| error.kind())
    }

    #[test]
    fn a_held_network_goes_on_where_it_was() {
        let proxy = Proxy::start(echo());
        let mut connection = TcpStream::connect(proxy.address).expect("the proxy");
        connection.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        assert_eq!(answers(&mut connection), Ok(()));
        proxy.hold();
        assert_eq!(answers(&mut connection), Err(ErrorKind::WouldBlock));
        proxy.heal();
        connection.set_read_timeout(Some(SOON)).expect("a timeout");
        assert_eq!(connection.read_exact(&mut [0; 5]).map_err(|error| error.kind()), Ok(()));
        assert_eq!(proxy.passed_up(), 10);
    }

    #[test]
    fn a_cut_network_breaks_connections_until_it_is_healed() {
        let proxy = Proxy::start(echo());
        let mut connection = TcpStream::connect(proxy.address).expect("the proxy");
        assert_eq!(answers(&mut connection), Ok(()));
        proxy.cut();
        wait::until_true("the connection to break", SOON, || answers(&mut connection).is_err());
        let mut late = TcpStream::connect(proxy.address).expect("the proxy");
        wait::until_true("a new connection to break", SOON, || answers(&mut late).is_err());
        proxy.heal();
        let mut new = TcpStream::connect(proxy.address).expect("the proxy");
        assert_eq!(answers(&mut new), Ok(()));
    }

    #[test]
    fn a_slow_network_takes_its_time() {
        let proxy = Proxy::start(echo());
        proxy.slow(Some(40_000));
        let mut connection = TcpStream::connect(proxy.address).expect("the proxy");
        let start = wait::now();
        connection.write_all(&[1; 20_000]).expect("to write");
        connection.read_exact(&mut [0; 20_000]).expect("to read");
        // Half a second each way; nothing is said about how much longer it may take.
        assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    }
}
