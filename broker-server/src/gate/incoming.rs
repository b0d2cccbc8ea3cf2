//! What peers say, on its way to the server.

use super::conn::{CloseReason, Conn};
use bytes::Bytes;
use schema::{HostId, HostTopic, TokenId};
use std::{fmt, net::SocketAddr, sync::Arc};

/// Something that came in, in the order of each connection.
#[derive(Debug)]
pub enum Incoming {
    /// A host is there: its MQTT session has begun. Its hello comes as a message.
    Connected {
        /// The host that connected.
        host: HostId,
        /// Address that it connected from.
        peer: SocketAddr,
    },
    /// A host said something on one of its own topics; also its will.
    Host {
        /// The host that sent the message.
        host: HostId,
        /// Topic of the message, within the host's own.
        topic: HostTopic,
        /// The sealed message, at most [`schema::limits::MAX_PAYLOAD_BYTES`].
        payload: Bytes,
        /// Address that it connected from.
        peer: SocketAddr,
        /// To be said when it is on disk.
        done: Done,
    },
    /// A host's connection has ended; comes after its will.
    Closed {
        /// The host whose connection ended.
        host: HostId,
        /// Address that it was connected from.
        peer: SocketAddr,
        /// Why the connection ended.
        reason: CloseReason,
    },
    /// A machine asks to be enrolled.
    Enroll {
        /// The enrolment token that it logged in with.
        token: TokenId,
        /// The sealed request.
        payload: Bytes,
        /// Address that the request came from.
        peer: SocketAddr,
        /// Takes the answer.
        reply: EnrollReply,
    },
}

/// The promise that a message is acknowledged once it is safe. Dropped without [`committed`](Self::committed), it
/// ends the session, so that the client sends the message again.
#[must_use]
pub struct Done {
    waiting: Option<(Arc<Conn>, u32)>,
}

impl Done {
    pub(super) fn new(conn: Arc<Conn>, ticket: u32) -> Self {
        Self { waiting: Some((conn, ticket)) }
    }

    /// Nobody waits: the message had QoS 0, or was a will.
    pub const fn nobody() -> Self {
        Self { waiting: None }
    }

    /// The message is safe; the acknowledgement may go.
    pub fn committed(mut self) {
        if let Some((conn, ticket)) = self.waiting.take() {
            conn.done(ticket);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some((conn, _)) = self.waiting.take() {
            conn.end(CloseReason::NotTaken);
        }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.waiting.is_some() { "Done(…)" } else { "Done(nobody)" })
    }
}

/// Takes the answer to an enrolment. Dropped without one, it ends the session.
#[must_use]
pub struct EnrollReply {
    waiting: Option<(Arc<Conn>, u32)>,
}

impl EnrollReply {
    pub(super) fn new(conn: Arc<Conn>, ticket: u32) -> Self {
        Self { waiting: Some((conn, ticket)) }
    }

    /// Sends the sealed answer.
    pub fn send(mut self, payload: Bytes) {
        if let Some((conn, ticket)) = self.waiting.take() {
            conn.answer(ticket, payload);
        }
    }
}

impl Drop for EnrollReply {
    fn drop(&mut self) {
        if let Some((conn, _)) = self.waiting.take() {
            conn.end(CloseReason::NotTaken);
        }
    }
}

impl fmt::Debug for EnrollReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrollReply(…)")
    }
}
