//! A gate with a server behind it that writes down what it hears.

use super::{Book, Client, Hello, until};
use bytes::Bytes;
use holdfast_server::{
    gate::{CloseReason, Done, Gate, GateConfig, GateHandle, Incoming, Limits, Listen, Socket},
    tls::{Options, Tls},
};
use schema::{CommandSeq, HostId, HostTopic, Timestamp, TokenId};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{mpsc, watch};

/// What the server has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Connected(HostId),
    Host(HostId, HostTopic, Vec<u8>),
    Closed(HostId, CloseReason),
    Enroll(TokenId, Vec<u8>),
}

/// What the server does with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingest {
    /// Commits each.
    Commits,
    /// Keeps the promise open.
    Holds,
    /// Can't store anything.
    Refuses,
    /// Reads nothing at all.
    Stands,
}

pub(crate) struct World {
    pub(crate) gate: GateHandle,
    pub(crate) book: Arc<Book>,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) certificates: Arc<Tls>,
    pub(crate) ca_path: std::path::PathBuf,
    pub(crate) held: Arc<Mutex<Vec<Option<Done>>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    ingest: watch::Sender<Ingest>,
    ended: watch::Receiver<bool>,
    _folder: tempfile::TempDir,
}

/// Bounds that a test reaches soon.
pub(crate) fn small() -> Limits {
    Limits {
        max_connections: 64,
        max_viewers: 8,
        max_viewers_of_account: 8,
        view_wait: std::time::Duration::from_secs(2),
        max_pending: 64,
        max_handshakes: 48,
        pending_grace: std::time::Duration::from_millis(200),
        connect_timeout: std::time::Duration::from_secs(10),
        stall_timeout: std::time::Duration::from_secs(30),
        window: 8,
        max_unacked: 16,
        ingest_queue: 16,
        max_filters: 4,
        viewer_queue_bytes: 64 * 1024,
        max_retained: 5_000,
        ..Limits::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
pub(crate) fn now() -> Timestamp {
    Timestamp(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(small(), Arc::default()).await
    }

    pub(crate) async fn start_with(limits: Limits, book: Arc<Book>) -> Self {
        let world = Self::begin(limits, book).await;
        world.gate.view_is_whole();
        world
    }

    /// One whose view tree does not stand yet.
    pub(crate) async fn without_view(limits: Limits) -> Self {
        Self::begin(limits, Arc::default()).await
    }

    async fn begin(limits: Limits, book: Arc<Book>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { folder: folder.path().join("tls"), is_new: true, ..Options::default() };
        let certificates = Arc::new(Tls::open(options, now()).unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = vec![
            Listen::Plain(Socket::plain(address, false).unwrap()),
            Listen::Tls(Socket::tls(address).unwrap(), Arc::clone(&certificates)),
        ];
        let directory = Arc::<Book>::clone(&book);
        let (gate, incoming) =
            Gate::start(GateConfig { listen, limits, ..GateConfig::default() }, directory).await.unwrap();
        let addresses = gate.addresses();
        let (plain, tls) = (addresses[0].0, addresses[1].0);
        let (heard, held) = (Arc::default(), Arc::default());
        let (ingest, mode) = watch::channel(Ingest::Commits);
        let (end, ended) = watch::channel(false);
        tokio::spawn(hear(incoming, mode, Arc::clone(&heard), Arc::clone(&held), end));
        let ca_path = folder.path().join("tls/ca.pem");
        Self { gate, book, plain, tls, certificates, ca_path, held, heard, ingest, ended, _folder: folder }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Forgets what was heard, and gives it.
    pub(crate) fn take_heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// Waits until this was heard.
    pub(crate) async fn hears(&self, wanted: Heard) {
        until(&format!("{wanted:?} is heard"), || self.heard.lock().unwrap().contains(&wanted)).await;
    }

    pub(crate) fn ingest(&self, ingest: Ingest) {
        self.ingest.send_replace(ingest);
    }

    /// Keeps the promise on the n-th message that was held.
    pub(crate) fn commit(&self, index: usize) {
        let done = self.held.lock().unwrap()[index].take();
        done.unwrap().committed();
    }

    /// A host that is welcome.
    pub(crate) async fn host(&self, host: HostId) -> Client {
        let mut client = Client::open(self.plain).await;
        client.welcome(&Hello::host(host)).await;
        client
    }

    /// The same, listening to its commands.
    pub(crate) async fn listening_host(&self, host: HostId) -> Client {
        let mut client = self.host(host).await;
        client.subscribe(&[(&super::topic(host, "cmd"), 1)]).await;
        client
    }

    /// Queues a command and says so.
    pub(crate) fn command(&self, host: HostId, payload: &[u8]) -> CommandSeq {
        let seq = self.book.queue(host, Bytes::copy_from_slice(payload));
        self.gate.wake(host);
        seq
    }

    /// Whether the gate has closed the channel.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        tokio::time::timeout(super::PATIENCE, ended.wait_for(|ended| *ended)).await.unwrap().unwrap();
    }
}

async fn hear(
    mut incoming: mpsc::Receiver<Incoming>,
    mut ingest: watch::Receiver<Ingest>,
    heard: Arc<Mutex<Vec<Heard>>>,
    held: Arc<Mutex<Vec<Option<Done>>>>,
    end: watch::Sender<bool>,
) {
    loop {
        ingest.wait_for(|ingest| *ingest != Ingest::Stands).await.unwrap();
        let next = tokio::select! {
            next = incoming.recv() => next,
            // Never again, when the world of a test is gone and its runtime is not.
            Ok(()) = ingest.changed() => continue,
        };
        let Some(next) = next else { break };
        let note = match next {
            Incoming::Connected { host, .. } => Heard::Connected(host),
            Incoming::Closed { host, reason, .. } => Heard::Closed(host, reason),
            Incoming::Enroll { token, payload, reply, .. } => {
                let mut answer = payload.to_vec();
                answer.reverse();
                reply.send(answer.into());
                Heard::Enroll(token, payload.to_vec())
            }
            Incoming::Host { host, topic, payload, done, .. } => {
                match *ingest.borrow() {
                    Ingest::Holds => held.lock().unwrap().push(Some(done)),
                    Ingest::Refuses => drop(done),
                    Ingest::Commits | Ingest::Stands => done.committed(),
                }
                Heard::Host(host, topic, payload.to_vec())
            }
        };
        heard.lock().unwrap().push(note);
    }
    end.send_replace(true);
}
