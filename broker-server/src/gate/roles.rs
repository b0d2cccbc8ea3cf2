//! The three sorts of sessions, as tasks.

use super::{
    conn::{CloseReason, Conn, Mail},
    directory::{Principal, Refused},
    enroll::{EnrollSession, EnrollStep},
    fanout::{Attachment, LinkName},
    host::{HostSession, PacketOutcome, SessionState},
    incoming::{Done, EnrollReply, Incoming},
    packet::Protocol,
    registry::Seat,
    session::{Session, SessionRole, read_v311},
    shared::Shared,
    transport::Transport,
    viewer::ViewerSession,
};
use bytes::Bytes;
use schema::{HostId, HostTopic, TokenId};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::mpsc::Sender;

/// What a session begins with.
pub(super) struct Begin {
    pub(super) shared: Arc<Shared>,
    pub(super) conn: Arc<Conn>,
    pub(super) ingest: Sender<Incoming>,
    pub(super) seat: Seat,
    pub(super) transport: Transport,
    pub(super) rest: Vec<u8>,
    pub(super) out: Vec<u8>,
}

/// Takes a connection out of the sweep, also when its task panics.
struct WatchGuard {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.shared.deadlines.remove(self.id);
    }
}

struct Host {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    host: HostId,
    session: HostSession,
    sends: VecDeque<Bytes>,
    counted: usize,
}

impl Host {
    fn count(&mut self) {
        let now = self.session.in_flight();
        let in_flight = &self.shared.counters.in_flight;
        if now > self.counted {
            in_flight.add(now - self.counted);
        } else {
            in_flight.sub(self.counted - now);
        }
        self.counted = now;
    }
}

impl SessionRole for Host {
    fn packet(&mut self, first: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Incoming>, CloseReason> {
        let packet = read_v311(first, body)?;
        let step =
            self.session.packet(packet, &*self.shared.directory, out).map_err(CloseReason::Malformed)?;
        self.count();
        match step {
            PacketOutcome::Nothing => Ok(None),
            PacketOutcome::Refused(refused) => {
                tell(&self.shared, &self.conn, &Principal::Host(self.host), refused);
                Ok(None)
            }
            // Past the queue that reports wait in: neither holds up the other, and its own is bounded by its credit.
            PacketOutcome::Deliver { topic: HostTopic::Bulk, payload, ticket } => {
                self.shared.directory.bulk(self.host, &payload);
                if let Some(ticket) = ticket {
                    self.session.done(ticket);
                }
                Ok(None)
            }
            PacketOutcome::Deliver { topic, payload, ticket } => {
                self.shared.retain_for_debug(self.host, topic, &payload);
                let done = ticket.map_or(Done::nobody(), |ticket| Done::new(Arc::clone(&self.conn), ticket));
                Ok(Some(Incoming::Host { host: self.host, topic, payload, peer: self.conn.peer, done }))
            }
        }
    }

    fn mail(&mut self, mail: &mut Mail) {
        for ticket in mail.done.drain(..) {
            self.session.done(ticket);
        }
        if mail.outbox {
            self.session.outbox_grew();
        }
        if mail.plan {
            self.session.plan_changed();
        }
        if self.sends.is_empty() {
            self.sends = std::mem::take(&mut mail.sends);
        } else {
            self.sends.append(&mut mail.sends);
        }
    }

    fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), CloseReason> {
        self.session.fill(&*self.shared.directory, &mut self.sends, out);
        self.count();
        Ok(())
    }

    fn takes_more(&self) -> bool {
        self.session.takes_more()
    }
}

/// Runs a host's session from its first to its last word.
///
/// There are thousands of these tasks, and nearly all of them are idle: what is needed at the beginning and at the
/// end only is boxed.
pub(super) fn run_host(
    begin: Begin,
    host: HostId,
    kept: Option<SessionState>,
    keeps: bool,
    will: Option<Bytes>,
) -> impl Future<Output = ()> + Send {
    let Begin { shared, conn, ingest, seat, transport, rest, out } = begin;
    tracing::debug!(peer = %conn.peer, %host, "host connected");
    let watched = WatchGuard { shared: Arc::clone(&shared), id: conn.id };
    let role = Host {
        shared: Arc::clone(&shared),
        conn: Arc::clone(&conn),
        host,
        session: HostSession::new(host, kept, shared.limits.window, shared.limits.max_unacked),
        sends: VecDeque::new(),
        counted: 0,
    };
    let session = Session::new(role, shared, conn, ingest, transport, rest, out);
    let mut life = HostLife { session, seat, watched, keeps, will };
    async move {
        let connected = Incoming::Connected { host, peer: life.session.role.conn.peer };
        let reason = match Box::pin(life.session.tell(connected)).await {
            Ok(()) => life.session.run().await,
            Err(reason) => reason,
        };
        Box::pin(life.end(reason)).await;
    }
}

struct HostLife {
    session: Session<Host>,
    seat: Seat,
    watched: WatchGuard,
    keeps: bool,
    will: Option<Bytes>,
}

impl HostLife {
    async fn end(self, reason: CloseReason) {
        let Self { mut session, mut seat, watched, keeps, will } = self;
        if reason != CloseReason::Shutdown {
            let _ =
                last_words(&mut session, will.filter(|_| reason != CloseReason::Disconnected), reason).await;
        }
        session.role.shared.ended(&session.role.conn, &session.role.host, reason);
        drop(watched);
        // Who takes over must not wait for the socket to close.
        let kept = session.role.session.take_kept();
        seat.kept = (keeps && reason != CloseReason::Deleted).then_some(kept);
        drop(seat);
        session.close().await;
    }
}

/// What the server still has to hear of a connection that has ended: its last message, its will, its end.
async fn last_words(
    session: &mut Session<Host>,
    will: Option<Bytes>,
    reason: CloseReason,
) -> Result<(), CloseReason> {
    if let Some(incoming) = session.take_waiting() {
        session.tell(incoming).await?;
    }
    let (host, peer) = (session.role.host, session.role.conn.peer);
    if let Some(payload) = will {
        session.role.shared.retain_for_debug(host, HostTopic::Presence, &payload);
        let done = Done::nobody();
        session.tell(Incoming::Host { host, topic: HostTopic::Presence, payload, peer, done }).await?;
    }
    session.tell(Incoming::Closed { host, peer, reason }).await
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.counters.in_flight.sub(self.counted);
    }
}

fn tell(shared: &Shared, conn: &Conn, principal: &Principal, refused: Vec<Refused>) {
    for refused in refused {
        shared.refused(conn.peer, Some(principal), refused);
    }
}

struct Enroll {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    token: TokenId,
    session: EnrollSession,
    answers: VecDeque<Bytes>,
    done: Vec<u32>,
}

impl SessionRole for Enroll {
    fn packet(&mut self, first: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Incoming>, CloseReason> {
        match self.session.packet(read_v311(first, body)?, out).map_err(CloseReason::Malformed)? {
            EnrollStep::Nothing => Ok(None),
            EnrollStep::Refused(refused) => {
                tell(&self.shared, &self.conn, &Principal::Enroll(self.token), refused);
                Ok(None)
            }
            EnrollStep::Ask { payload, ticket } => {
                let reply = EnrollReply::new(Arc::clone(&self.conn), ticket);
                Ok(Some(Incoming::Enroll { token: self.token, payload, peer: self.conn.peer, reply }))
            }
        }
    }

    fn mail(&mut self, mail: &mut Mail) {
        self.answers.append(&mut mail.sends);
        self.done.append(&mut mail.done);
    }

    fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), CloseReason> {
        self.session.fill(&self.done, &mut self.answers, out);
        self.done.clear();
        Ok(())
    }

    fn takes_more(&self) -> bool {
        true
    }
}

/// Runs an enrolment's session; it has its time.
pub(super) async fn run_enroll(begin: Begin, token: TokenId) {
    let Begin { shared, conn, ingest, seat, transport, rest, out } = begin;
    let _watched = WatchGuard { shared: Arc::clone(&shared), id: conn.id };
    let role = Enroll {
        shared: Arc::clone(&shared),
        conn: Arc::clone(&conn),
        token,
        session: EnrollSession::new(token),
        answers: VecDeque::new(),
        done: Vec::new(),
    };
    let mut session =
        Session::new(role, Arc::clone(&shared), Arc::clone(&conn), ingest, transport, rest, out);
    let reason = tokio::time::timeout(shared.limits.enroll_timeout, session.run())
        .await
        .unwrap_or(CloseReason::Stalled);
    drop(seat);
    shared.ended(&conn, &token, reason);
    session.close().await;
}

/// A viewer that may come in.
pub(super) struct NewViewer {
    pub(super) name: String,
    pub(super) debug: bool,
    pub(super) protocol: Protocol,
    pub(super) place: LinkName,
}

struct Viewer {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    principal: Principal,
    session: ViewerSession,
}

impl SessionRole for Viewer {
    fn packet(&mut self, first: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Option<Incoming>, CloseReason> {
        self.session.let_discover(self.shared.discovery());
        let refused = self.session.packet(first, body, out)?;
        if self.session.wants_discovery() {
            self.shared.refused_discovery(&self.conn);
        }
        tell(&self.shared, &self.conn, &self.principal, refused);
        Ok(None)
    }

    fn mail(&mut self, mail: &mut Mail) {
        if let Some(view) = mail.view.take() {
            self.session.mail(*view);
        }
    }

    fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), CloseReason> {
        self.session.fill(&self.shared.retained, out)
    }

    fn takes_more(&self) -> bool {
        true
    }

    fn takes_changes(&self) -> bool {
        !self.session.is_busy()
    }
}

/// Runs a viewer's session.
pub(super) async fn run_viewer(begin: Begin, viewer: NewViewer) {
    let NewViewer { name, debug, protocol, place } = viewer;
    let Begin { shared, conn, ingest, seat, transport, rest, out } = begin;
    let _watched = WatchGuard { shared: Arc::clone(&shared), id: conn.id };
    // Before the link stands something may change: from this version on it is read from the retained set.
    let version = shared.retained.version();
    let attachment: Attachment =
        shared.fanout.attach(place, Arc::clone(&conn), shared.limits.viewer_queue_bytes);
    let session = ViewerSession::new(protocol, debug, shared.limits.max_filters, version);
    let who = name.clone();
    let role = Viewer {
        shared: Arc::clone(&shared),
        conn: Arc::clone(&conn),
        principal: Principal::Viewer { name, debug },
        session,
    };
    let mut session =
        Session::new(role, Arc::clone(&shared), Arc::clone(&conn), ingest, transport, rest, out);
    let reason = session.run().await;
    drop((seat, attachment));
    shared.ended(&conn, &who, reason);
    session.say(|viewer, out| viewer.session.goodbye(reason, out));
    session.close().await;
}
