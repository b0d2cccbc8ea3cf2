//! The task of an admitted connection: moves bytes and messages between the socket, the session and the server.
//!
//! One poll goes round as long as something moves: mailbox, session, socket out, server, socket in. While the server
//! has no room for a message, or the peer reads nothing of what is sent to it, nothing is read from the socket.
//! Between polls an idle connection holds no buffer: reading goes through one scratch buffer per thread, and only
//! the beginning of an incomplete packet is kept.

use super::{
    conn::{CloseReason, Conn, Mail},
    incoming::Incoming,
    packet::{self, Packet},
    shared::Shared,
    transport::Transport,
};
use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc::{OwnedPermit, Sender, error::TrySendError},
};

/// Bytes read at once.
const SCRATCH_BYTES: usize = 16 * 1024;
/// Nothing is read while more than this waits to be written.
const HIGH_WATER_BYTES: usize = 64 * 1024;
/// How long a peer may take to read the last bytes.
const FAREWELL: Duration = Duration::from_secs(1);
/// Rounds in one poll, so that others get their turn.
const MAX_ROUNDS: usize = 32;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// What the three sorts of sessions have in common.
pub(super) trait SessionRole {
    /// A packet came; something for the server may come of it.
    fn packet(&mut self, first: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Incoming>, CloseReason>;
    /// Something came by mail.
    fn mail(&mut self, mail: &mut Mail);
    /// Appends to `out` what is due, as far as that is short.
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), CloseReason>;
    /// Whether it can take another message from its peer.
    fn takes_more(&self) -> bool;
    /// Whether it can take further changes from the mailbox.
    fn takes_changes(&self) -> bool {
        true
    }
}

pub(super) struct Session<R> {
    pub(super) role: R,
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    ingest: Sender<Incoming>,
    transport: Transport,
    /// The beginning of a packet, or packets that can't be taken yet.
    partial: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// What the server has no room for yet.
    waiting: Option<Box<HeldMessage>>,
    unflushed: bool,
}

struct HeldMessage {
    incoming: Incoming,
    room: Pin<Box<dyn Future<Output = Option<OwnedPermit<Incoming>>> + Send>>,
}

impl<R: SessionRole + Unpin> Session<R> {
    /// `partial` is what came behind the CONNECT, `out` its answer.
    pub(super) fn new(
        role: R,
        shared: Arc<Shared>,
        conn: Arc<Conn>,
        ingest: Sender<Incoming>,
        transport: Transport,
        partial: Vec<u8>,
        out: Vec<u8>,
    ) -> Self {
        Self {
            role,
            shared,
            conn,
            ingest,
            transport,
            partial,
            out,
            written: 0,
            waiting: None,
            unflushed: false,
        }
    }

    /// Runs until the connection has to end.
    pub(super) async fn run(&mut self) -> CloseReason {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Tells the server something, when it has room.
    pub(super) async fn tell(&mut self, incoming: Incoming) -> Result<(), CloseReason> {
        self.ingest.send(incoming).await.map_err(|_| CloseReason::Shutdown)
    }

    /// Has the role add its last word.
    pub(super) fn say(&mut self, last: impl FnOnce(&R, &mut Vec<u8>)) {
        last(&self.role, &mut self.out);
    }

    /// Closes the socket; the peer gets what is still to be written if it reads it soon.
    pub(super) async fn close(&mut self) {
        let closing = std::future::poll_fn(|cx| {
            while self.written < self.out.len() {
                if ready!(self.write(cx)).is_err() {
                    return Poll::Ready(());
                }
            }
            Pin::new(&mut self.transport).poll_shutdown(cx).map(|_| ())
        });
        let _ = tokio::time::timeout(FAREWELL, closing).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        for _ in 0..MAX_ROUNDS {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether anything moved.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut moved = false;
        let took_changes = self.role.takes_changes();
        if let Some(mut mail) = self.conn.collect(cx, took_changes) {
            if let Some(reason) = mail.end {
                return Err(reason);
            }
            self.role.mail(&mut mail);
        }
        if self.out.len() - self.written < HIGH_WATER_BYTES {
            self.role.fill(&mut self.out)?;
        }
        if !took_changes && self.role.takes_changes() {
            moved = true;
        }
        moved |= self.write_some(cx)?;
        moved |= self.hand_over(cx)?;
        if self.waiting.is_none() && self.may_read() {
            moved |= if self.partial_holds_packet() { self.take_partial()? } else { self.read(cx)? };
        }
        let now_ms = self.shared.clock.now_ms();
        let may_read = self.waiting.is_none() && self.may_read();
        self.conn.partial(may_read && !self.partial.is_empty(), now_ms);
        Ok(moved)
    }

    fn may_read(&self) -> bool {
        self.role.takes_more() && self.out.len() - self.written < HIGH_WATER_BYTES
    }

    fn write_some(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut moved = false;
        while self.written < self.out.len() {
            match self.write(cx) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(_)) => return Err(CloseReason::Lost),
                Poll::Pending => {
                    self.conn.unread(true, self.shared.clock.now_ms());
                    return Ok(moved);
                }
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.transport).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(_)) => return Err(CloseReason::Lost),
                Poll::Pending => {
                    self.conn.unread(true, self.shared.clock.now_ms());
                    return Ok(moved);
                }
            }
        }
        self.conn.unread(false, 0);
        Ok(moved)
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let count = ready!(Pin::new(&mut self.transport).poll_write(cx, &self.out[self.written..]))?;
        if count == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
        }
        self.conn.unread(false, 0);
        self.unflushed = true;
        self.written += count;
        self.shared.counters.bytes_out.add(count);
        if self.written == self.out.len() {
            self.out = Vec::new();
            self.written = 0;
        } else if self.written >= HIGH_WATER_BYTES {
            self.out.drain(..self.written);
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the server what waits for it, when there is room.
    fn hand_over(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let Some(waiting) = &mut self.waiting else { return Ok(false) };
        match waiting.room.as_mut().poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(None) => Err(CloseReason::Shutdown),
            Poll::Ready(Some(permit)) => {
                if let Some(waiting) = self.waiting.take() {
                    permit.send(waiting.incoming);
                }
                Ok(true)
            }
        }
    }

    fn partial_holds_packet(&self) -> bool {
        match packet::frame(&self.partial, self.shared.limits.max_packet_bytes) {
            Ok(Some(frame)) => frame.total_bytes() <= self.partial.len(),
            Ok(None) => false,
            // Let the one who reads it complain.
            Err(_) => true,
        }
    }

    fn take_partial(&mut self) -> Result<bool, CloseReason> {
        let mut bytes = std::mem::take(&mut self.partial);
        let taken = self.take_packets(&bytes)?;
        if taken < bytes.len() {
            bytes.drain(..taken);
            self.partial = bytes;
        }
        Ok(taken > 0)
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.transport).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(CloseReason::Lost),
                Poll::Ready(Ok(())) => {}
            }
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Err(CloseReason::Lost);
            }
            self.shared.counters.bytes_in.add(bytes.len());
            if self.partial.is_empty() {
                let taken = self.take_packets(bytes)?;
                self.partial.extend_from_slice(&bytes[taken..]);
            } else {
                self.partial.extend_from_slice(bytes);
                // A header that says too much is refused now, not when all of it has come.
                if self.partial_holds_packet() {
                    self.take_partial()?;
                }
            }
            Ok(true)
        })
    }

    /// Takes whole packets from the front, as long as they can be taken; says how many bytes that were.
    fn take_packets(&mut self, bytes: &[u8]) -> Result<usize, CloseReason> {
        let mut taken = 0;
        while self.waiting.is_none() && self.may_read() {
            let rest = &bytes[taken..];
            let frame = packet::frame(rest, self.shared.limits.max_packet_bytes)
                .map_err(|malformed| CloseReason::Malformed(malformed.0))?;
            let Some(frame) = frame.filter(|frame| frame.total_bytes() <= rest.len()) else { break };
            taken += frame.total_bytes();
            self.take_packet(frame.first, &rest[frame.header_bytes..frame.total_bytes()])?;
        }
        Ok(taken)
    }

    fn take_packet(&mut self, first: u8, body: &[u8]) -> Result<(), CloseReason> {
        self.conn.heard(self.shared.clock.now_ms());
        self.conn.partial(false, 0);
        if let Some(incoming) = self.role.packet(first, body, &mut self.out)? {
            self.shared.counters.messages_in.one();
            match self.ingest.try_send(incoming) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return Err(CloseReason::Shutdown),
                Err(TrySendError::Full(incoming)) => {
                    let room = Box::pin(room(self.ingest.clone()));
                    self.waiting = Some(Box::new(HeldMessage { incoming, room }));
                }
            }
        }
        Ok(())
    }

    /// What came last before the end and the server has not got yet.
    pub(super) fn take_waiting(&mut self) -> Option<Incoming> {
        self.waiting.take().map(|waiting| waiting.incoming)
    }
}

/// Reads a packet of MQTT 3.1.1; a goodbye ends the session.
pub(super) fn read_v311(first: u8, body: &[u8]) -> Result<Packet<'_>, CloseReason> {
    match packet::packet(first, body).map_err(|malformed| CloseReason::Malformed(malformed.0))? {
        Packet::Disconnect => Err(CloseReason::Disconnected),
        packet => Ok(packet),
    }
}

async fn room(ingest: Sender<Incoming>) -> Option<OwnedPermit<Incoming>> {
    ingest.reserve_owned().await.ok()
}
