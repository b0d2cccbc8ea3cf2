//! From an accepted socket to an admitted session: handshake, CONNECT, login, takeover.

use super::{
    acl,
    conn::Conn,
    directory::{Login, LoginRefusal, Principal, Refused, printable},
    fanout::LinkName,
    host::SessionState,
    packet::{self, ConnAck, Connect, ConnectError, Malformed, Protocol, v5},
    registry::{Admission, Full, Owner, Registry, Seat},
    roles::{self, Begin, NewViewer},
    shared::Shared,
    throttle::PeerOrigin,
    transport::{ByteStream, Transport, Way},
};
use bytes::Bytes;
use schema::{HostTopic, Topic};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::{TlsAcceptor, rustls};
use web::NotLetIn;

/// How long the previous connection of the same client may take to end.
const TAKEOVER: Duration = Duration::from_secs(5);
/// What a keep-alive of 0 counts as.
const NO_KEEP_ALIVE: Duration = Duration::from_secs(3600);
/// The same, as it is told to a client of MQTT 5: one and a half times this.
const NO_KEEP_ALIVE_TOLD_SECS: u16 = 2400;

/// A client of MQTT 5 must take packets of this size: CONNACK alone may have as much.
const LEAST_PACKET_BYTES: usize = 128;

/// Why a connection is not admitted.
struct Turned {
    /// What it is answered.
    answer: Reply,
    /// Why; `None` = for nothing that is its own fault.
    why: Option<NotLetIn>,
    /// The name that it gave.
    name: Option<String>,
    /// What the log and the audit are told.
    told: Option<Refused>,
}

/// What somebody hears that is not admitted.
#[derive(Clone, Copy)]
enum Reply {
    /// Nothing: it may not understand it.
    Nothing,
    /// This, in the form of its version of MQTT.
    Code(ConnAck),
    /// This, which MQTT 5 alone has.
    V5(v5::Error),
}

impl Turned {
    fn unavailable() -> Self {
        Self { answer: Reply::Code(ConnAck::Unavailable), why: None, name: None, told: None }
    }

    /// Before it gave a name.
    fn early(answer: Reply, why: NotLetIn) -> Self {
        Self { answer, why: Some(why), name: None, told: None }
    }

    fn login(connect: &Connect<'_>, answer: ConnAck, why: NotLetIn) -> Self {
        let name = connect.username.unwrap_or_default();
        let (username, client_id) = (printable(name), printable(connect.client_id));
        let told = Some(Refused::Login { username, client_id, why });
        Self { answer: Reply::Code(answer), why: Some(why), name: Some(name.to_owned()), told }
    }
}

/// A connection that may come in.
struct Admitted {
    principal: Principal,
    protocol: Protocol,
    answer: Vec<u8>,
    /// The place of a viewer's link to the router; `None` for all others.
    place: Option<LinkName>,
    conn: Arc<Conn>,
    seat: Seat,
    keeps: bool,
    kept: Option<SessionState>,
    will: Option<Bytes>,
}

/// A connection as it comes in.
pub(super) enum Arrival {
    /// At the gate's own listener; `None` = without TLS.
    Socket(TcpStream, Option<TlsAcceptor>),
    /// Handed over, with a beginning behind it.
    Taken(Box<dyn ByteStream>),
}

/// Takes a connection from the socket to its session's task. May be dropped at any await.
pub(super) async fn receive(shared: Arc<Shared>, id: u64, arrival: Arrival, peer: SocketAddr) {
    if let Arrival::Socket(stream, _) = &arrival {
        let _ = stream.set_nodelay(true);
        // Whoever says nothing costs its socket, and nobody's turn.
        match stream.peek(&mut [0]).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    if shared.pending.line_up(id, shared.clock.now_ms()).await.is_err() {
        return;
    }
    let mut transport = match arrival {
        Arrival::Taken(stream) => Transport::Taken(stream),
        Arrival::Socket(stream, None) => Transport::Plain(stream),
        Arrival::Socket(stream, Some(tls)) => match tls.accept(stream).await {
            Ok(stream) => Transport::Tls(Box::new(stream)),
            Err(error) => {
                shared.counters.handshakes_failed.one();
                tracing::debug!(%peer, %error, "TLS handshake failed");
                if let Some(why) = why_no_handshake(&error) {
                    shared.not_let_in(peer, None, why);
                }
                return;
            }
        },
    };
    let (packet, rest) = match read_connect(&mut transport, shared.limits.max_connect_bytes).await {
        Ok(Some(packet)) => packet,
        Ok(None) => return,
        Err(malformed) => {
            shared.counters.malformed.one();
            tracing::debug!(%peer, %malformed, "no CONNECT");
            shared.not_let_in(peer, None, NotLetIn::NotMqtt);
            return;
        }
    };
    shared.pending.through(id, shared.clock.now_ms());
    match admit(&shared, id, peer, transport.way(), &packet).await {
        Ok(admitted) => start(shared, admitted, transport, rest),
        Err(turned) => {
            if let Some(why) = turned.why {
                shared.not_let_in(peer, turned.name.as_deref(), why);
            }
            if let Some(refused) = turned.told {
                shared.refused(peer, None, refused);
            }
            if !matches!(turned.answer, Reply::Code(_)) {
                shared.counters.malformed.one();
            }
            let out = packet.refusal(turned.answer);
            let _ = transport.write_all(&out).await;
            let _ = transport.shutdown().await;
        }
    }
}

/// The body of the first packet.
struct ConnectBody(Vec<u8>);

impl ConnectBody {
    /// CONNACK for who is not let in.
    fn refusal(&self, answer: Reply) -> Vec<u8> {
        let mut out = Vec::new();
        let max_packet_bytes = match Connect::read(&self.0) {
            Ok(Connect { protocol: Protocol::V5(options), .. }) => options.max_packet_bytes,
            _ => usize::MAX,
        };
        match answer {
            Reply::Nothing => {}
            Reply::Code(answer) if Connect::is_v5(&self.0) => {
                let (reason, words) = v5::refusal(answer);
                v5::conn_ack_refused(&mut out, reason, words, max_packet_bytes);
            }
            Reply::Code(answer) => packet::conn_ack(&mut out, answer),
            Reply::V5(error) => {
                v5::conn_ack_refused(&mut out, error.reason, error.what, max_packet_bytes);
            }
        }
        out
    }
}

/// The first packet, and what came behind it; `None` when the peer went away.
async fn read_connect(
    transport: &mut Transport,
    max_bytes: usize,
) -> Result<Option<(ConnectBody, Vec<u8>)>, Malformed> {
    let mut bytes = Vec::new();
    loop {
        if bytes.first().is_some_and(|first| !Connect::begins_with(*first)) {
            return Err(Malformed("something else than CONNECT came first"));
        }
        if let Some(frame) = packet::frame(&bytes, max_bytes)?
            && frame.total_bytes() <= bytes.len()
        {
            let rest = bytes.split_off(frame.total_bytes());
            bytes.drain(..frame.header_bytes);
            return Ok(Some((ConnectBody(bytes), rest)));
        }
        if bytes.len() > 2 * max_bytes {
            return Err(Malformed("the packet is too long"));
        }
        match transport.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

async fn admit(
    shared: &Arc<Shared>,
    id: u64,
    peer: SocketAddr,
    way: Way,
    body: &ConnectBody,
) -> Result<Admitted, Turned> {
    let connect = read(peer, body)?;
    let made_up;
    let client_id = match connect.client_id {
        // MQTT lets a client without an id in when it keeps nothing, and MQTT 5 any.
        "" if connect.clean_session || matches!(connect.protocol, Protocol::V5(_)) => {
            // Of this start of the server alone: a client of MQTT 5 keeps it, and comes back with it after a restart.
            made_up = format!("nameless-{:016x}-{id}", shared.hash("nameless"));
            &made_up
        }
        client_id => client_id,
    };
    let principal = log_in(shared, peer, way == Way::Tls, &connect, client_id)?;
    let is_viewer = matches!(principal, Principal::Viewer { .. });
    if !is_viewer && way == Way::Taken {
        return Err(Turned::login(&connect, ConnAck::NotAllowed, NotLetIn::WebSocket));
    }
    if !is_viewer && connect.protocol != Protocol::V311 {
        return Err(Turned::login(&connect, ConnAck::Version, NotLetIn::Version));
    }
    let will =
        host_will(&principal, &connect).map_err(|why| Turned::login(&connect, ConnAck::NotAllowed, why))?;
    if matches!(connect.protocol, Protocol::V5(options) if options.max_packet_bytes < LEAST_PACKET_BYTES) {
        return Err(Turned { answer: Reply::V5(v5::Error::TOO_SMALL), ..Turned::unavailable() });
    }
    if is_viewer && !shared.has_view().await {
        tracing::info!(%peer, "a viewer is not let in yet: the view tree does not stand");
        return Err(Turned::unavailable());
    }
    let key = match &principal {
        Principal::Host(host) => Owner::Host(*host),
        Principal::Enroll(token) => Owner::Enroll(*token),
        Principal::Viewer { name, .. } => Owner::Viewer(Box::new((name.clone(), client_id.into()))),
    };
    let conn = Arc::new(Conn::new(id, peer, silence_ms(connect.keep_alive_secs), shared.clock.now_ms()));
    let kept = match shared.registry.admit(&key, &conn) {
        Admission::Now(kept) => Some(kept),
        Admission::Next(receive) => next_in_line(shared, &key, id, receive).await,
        Admission::Full(full) => return Err(too_many(shared, &connect, is_viewer, full)),
    };
    let Some(kept) = kept else { return Err(Turned::unavailable()) };
    let seat = Seat::new(Arc::clone(&shared.registry), key, id);
    let place = if is_viewer { Some(place(shared, peer).await?) } else { None };
    shared.refusals(|refusals| {
        let name = shared.hash(connect.username.unwrap_or_default());
        refusals.let_in(PeerOrigin::from(peer), name, shared.clock.now_ms());
    });
    let kept = kept.filter(|_| !connect.clean_session);
    Ok(Admitted {
        conn,
        seat,
        place,
        protocol: connect.protocol,
        answer: answer(shared, &connect, client_id, kept.is_some()),
        keeps: !connect.clean_session && matches!(principal, Principal::Host(_)),
        kept,
        will,
        principal,
    })
}

fn read(peer: SocketAddr, body: &ConnectBody) -> Result<Connect<'_>, Turned> {
    Connect::read(&body.0).map_err(|error| match error {
        ConnectError::Version(version) => {
            tracing::debug!(%peer, version, "a client of another MQTT version");
            Turned::early(Reply::Code(ConnAck::Version), NotLetIn::Version)
        }
        ConnectError::Malformed(malformed) => {
            tracing::debug!(%peer, %malformed, "malformed CONNECT");
            Turned::early(Reply::Nothing, NotLetIn::NotMqtt)
        }
        ConnectError::WillTopic => {
            let answer =
                if Connect::is_v5(&body.0) { Reply::V5(v5::Error::WILL_TOPIC) } else { Reply::Nothing };
            Turned::early(answer, NotLetIn::WillTopic)
        }
        ConnectError::V5(error) => {
            tracing::debug!(%peer, %error, "a CONNECT of MQTT 5 that can't be");
            let why = match error.reason {
                v5::ReasonCode::QOS_NOT_SUPPORTED => NotLetIn::WillQos,
                v5::ReasonCode::BAD_AUTHENTICATION_METHOD => NotLetIn::NoLogin,
                _ => NotLetIn::NotMqtt,
            };
            Turned::early(Reply::V5(error), why)
        }
    })
}

/// Turns somebody away for whom there is no room.
fn too_many(shared: &Shared, connect: &Connect<'_>, is_viewer: bool, full: Full) -> Turned {
    shared.counters.full.one();
    if is_viewer {
        shared.counters.viewers_full.one();
    }
    match full {
        Full::Account => Turned::login(connect, ConnAck::Quota, NotLetIn::AccountFull),
        Full::Viewers => Turned::login(connect, ConnAck::Busy, NotLetIn::ViewersFull),
        Full::All => Turned::unavailable(),
    }
}

/// A place for a viewer's link, when there is one soon: who has just left still holds its own.
async fn place(shared: &Shared, peer: SocketAddr) -> Result<LinkName, Turned> {
    if let Ok(Some(place)) = tokio::time::timeout(shared.limits.view_wait, shared.fanout.place()).await {
        return Ok(place);
    }
    shared.counters.full.one();
    shared.counters.viewers_full.one();
    tracing::warn!(%peer, "a viewer is not let in: no link to the router is free");
    Err(Turned::unavailable())
}

/// CONNACK for who comes in.
fn answer(shared: &Shared, connect: &Connect<'_>, client_id: &str, session_present: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let Protocol::V5(options) = connect.protocol else {
        packet::conn_ack(&mut out, ConnAck::Welcome { session_present });
        return out;
    };
    let welcome = v5::Welcome {
        assigned_client_id: connect.client_id.is_empty().then_some(client_id),
        asked_to_keep_session: options.keeps_session,
        keep_alive_secs: (connect.keep_alive_secs == 0).then_some(NO_KEEP_ALIVE_TOLD_SECS),
        max_packet_bytes: u32::try_from(shared.limits.max_packet_bytes).unwrap_or(u32::MAX),
    };
    v5::conn_ack_welcome(&mut out, &welcome);
    out
}

/// What a failed handshake says; `None` = the peer went away, as port checks do.
fn why_no_handshake(error: &io::Error) -> Option<NotLetIn> {
    use rustls::{AlertDescription as Alert, Error};
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())?;
    let is_distrust = matches!(
        error,
        Error::AlertReceived(
            Alert::UnknownCA
                | Alert::BadCertificate
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::UnsupportedCertificate
                | Alert::DecryptError
        )
    );
    Some(if is_distrust { NotLetIn::Untrusted } else { NotLetIn::NoTls })
}

fn log_in(
    shared: &Shared,
    peer: SocketAddr,
    tls: bool,
    connect: &Connect<'_>,
    client_id: &str,
) -> Result<Principal, Turned> {
    if !acl::is_client_id(client_id) {
        return Err(Turned::login(connect, ConnAck::ClientId, NotLetIn::ClientId));
    }
    let (Some(username), Some(password)) = (connect.username, connect.password) else {
        return Err(Turned::login(connect, ConnAck::NotAllowed, NotLetIn::NoLogin));
    };
    let name = shared.hash(username);
    let login = Login { client_id, username, password, peer, tls };
    let principal = shared.directory.login(&login).map_err(|refusal| {
        let LoginRefusal::NotLetIn(why) = refusal else { return Turned::unavailable() };
        let answer = match why {
            NotLetIn::Quarantined => ConnAck::NotAllowed,
            _ => ConnAck::Credentials,
        };
        let turned = Turned::login(connect, answer, why);
        let now_ms = shared.clock.now_ms();
        if !shared.throttle(|throttle| throttle.failed(peer, name, &printable(username), now_ms)) {
            shared.counters.logins_throttled.one();
            return Turned { answer: Reply::Code(ConnAck::Unavailable), told: None, ..turned };
        }
        turned
    })?;
    if matches!(principal, Principal::Host(host) if host.to_string() != client_id) {
        return Err(Turned::login(connect, ConnAck::ClientId, NotLetIn::OthersClientId));
    }
    shared.throttle(|throttle| throttle.succeeded(peer, name));
    Ok(principal)
}

/// The will of a host, which must be on its presence. Nobody else's counts.
fn host_will(principal: &Principal, connect: &Connect<'_>) -> Result<Option<Bytes>, NotLetIn> {
    let (Principal::Host(host), Some(will)) = (principal, connect.will) else { return Ok(None) };
    let is_own = Topic::parse(will.topic) == Some(Topic::Host(*host, HostTopic::Presence));
    if !is_own || will.qos > 1 {
        return Err(NotLetIn::Will);
    }
    Ok(Some(Bytes::copy_from_slice(will.payload)))
}

/// One and a half keep-alives.
fn silence_ms(keep_alive_secs: u16) -> u64 {
    match keep_alive_secs {
        0 => u64::try_from(NO_KEEP_ALIVE.as_millis()).unwrap_or(u64::MAX),
        secs => u64::from(secs) * 1500,
    }
}

/// Waits for the previous connection to end; `None` when it does not, or when a newer one came.
async fn next_in_line(
    shared: &Arc<Shared>,
    key: &Owner,
    id: u64,
    receive: oneshot::Receiver<Option<SessionState>>,
) -> Option<Option<SessionState>> {
    let mut line = Turn { receive, registry: &shared.registry, key, id };
    match tokio::time::timeout(TAKEOVER, &mut line.receive).await {
        Ok(kept) => kept.ok(),
        Err(_) => None,
    }
}

/// A place in line; when it is dropped just as its turn has come, the turn is passed on.
struct Turn<'a> {
    receive: oneshot::Receiver<Option<SessionState>>,
    registry: &'a Registry,
    key: &'a Owner,
    id: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.receive.close();
        if let Ok(kept) = self.receive.try_recv() {
            self.registry.release(self.key, self.id, kept);
        }
    }
}

fn start(shared: Arc<Shared>, admitted: Admitted, transport: Transport, rest: Vec<u8>) {
    let Admitted { principal, protocol, answer, place, conn, seat, keeps, kept, will } = admitted;
    let Some(ingest) = shared.ingest() else { return };
    shared.counters.admitted.one();
    let stall_ms = u64::try_from(shared.limits.stall_timeout.as_millis()).unwrap_or(u64::MAX);
    shared.deadlines.watch(&conn, stall_ms);
    let begin = Begin { shared, conn, ingest, seat, transport, rest, out: answer };
    // A task of its own: this one carries the handshake's state.
    match (principal, place) {
        (Principal::Host(host), _) => drop(tokio::spawn(roles::run_host(begin, host, kept, keeps, will))),
        (Principal::Enroll(token), _) => drop(tokio::spawn(roles::run_enroll(begin, token))),
        (Principal::Viewer { name, debug }, Some(place)) => {
            let viewer = NewViewer { name, debug, protocol, place };
            drop(tokio::spawn(roles::run_viewer(begin, viewer)));
        }
        // It was not let in without one.
        (Principal::Viewer { .. }, None) => {}
    }
}
