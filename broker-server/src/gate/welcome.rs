//! From an accepted socket to an admitted session: handshake, CONNECT, login, takeover.

use super::{
    acl,
    conn::Conn,
    directory::{Login, LoginRefusal, Principal, Refused, printable},
    host::Kept,
    packet::{self, ConnAck, Connect, ConnectError, Malformed},
    registry::{Admission, Key, Registry, Seat},
    roles,
    shared::Shared,
    throttle::Origin,
    transport::Transport,
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

/// Why a connection is not admitted.
struct Turned {
    /// What it is answered.
    answer: Option<ConnAck>,
    /// Why; `None` = for nothing that is its own fault.
    why: Option<NotLetIn>,
    /// The name that it gave.
    name: Option<String>,
    /// What the log and the audit are told.
    told: Option<Refused>,
}

impl Turned {
    fn unavailable() -> Self {
        Self { answer: Some(ConnAck::Unavailable), why: None, name: None, told: None }
    }

    /// Before it gave a name.
    fn early(answer: Option<ConnAck>, why: NotLetIn) -> Self {
        Self { answer, why: Some(why), name: None, told: None }
    }

    fn login(connect: &Connect<'_>, answer: ConnAck, why: NotLetIn) -> Self {
        let name = connect.username.unwrap_or_default();
        let (username, client_id) = (printable(name), printable(connect.client_id));
        let told = Some(Refused::Login { username, client_id, why });
        Self { answer: Some(answer), why: Some(why), name: Some(name.to_owned()), told }
    }
}

/// A connection that may come in.
struct Admitted {
    principal: Principal,
    conn: Arc<Conn>,
    seat: Seat,
    session_present: bool,
    keeps: bool,
    kept: Option<Kept>,
    will: Option<Bytes>,
}

/// Takes a connection from the socket to its session's task. May be dropped at any await.
pub(super) async fn welcome(
    shared: Arc<Shared>,
    id: u64,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let _ = stream.set_nodelay(true);
    let mut transport = match tls {
        None => Transport::Plain(stream),
        Some(tls) => match tls.accept(stream).await {
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
    let mut out = Vec::new();
    match admit(&shared, id, peer, transport.is_tls(), &packet).await {
        Ok(admitted) => {
            packet::conn_ack(&mut out, ConnAck::Welcome { session_present: admitted.session_present });
            start(shared, admitted, transport, rest, out);
        }
        Err(turned) => {
            if let Some(why) = turned.why {
                shared.not_let_in(peer, turned.name.as_deref(), why);
            }
            if let Some(refused) = turned.told {
                shared.refused(peer, None, refused);
            }
            match (turned.answer, packet.version()) {
                (Some(ConnAck::Version), Some(5)) => packet::conn_ack_v5_unsupported(&mut out),
                (Some(answer), _) => packet::conn_ack(&mut out, answer),
                (None, _) => shared.counters.malformed.one(),
            }
            let _ = transport.write_all(&out).await;
            let _ = transport.shutdown().await;
        }
    }
}

/// The body of the first packet.
struct ConnectBody(Vec<u8>);

impl ConnectBody {
    fn version(&self) -> Option<u8> {
        match Connect::read(&self.0) {
            Err(ConnectError::Version(version)) => Some(version),
            _ => None,
        }
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
    tls: bool,
    body: &ConnectBody,
) -> Result<Admitted, Turned> {
    let connect = match Connect::read(&body.0) {
        Ok(connect) => connect,
        Err(ConnectError::Version(version)) => {
            tracing::debug!(%peer, version, "a client of another MQTT version");
            return Err(Turned::early(Some(ConnAck::Version), NotLetIn::Version));
        }
        Err(ConnectError::Malformed(malformed)) => {
            tracing::debug!(%peer, %malformed, "malformed CONNECT");
            return Err(Turned::early(None, NotLetIn::NotMqtt));
        }
    };
    let made_up;
    let client_id = match connect.client_id {
        // MQTT lets a client without an id in when it keeps nothing.
        "" if connect.clean_session => {
            made_up = format!("nameless-{id}");
            &made_up
        }
        client_id => client_id,
    };
    let principal = log_in(shared, peer, tls, &connect, client_id)?;
    let will =
        host_will(&principal, &connect).map_err(|why| Turned::login(&connect, ConnAck::NotAllowed, why))?;
    let key = match &principal {
        Principal::Host(host) => Key::Host(*host),
        Principal::Enroll(token) => Key::Enroll(*token),
        Principal::Viewer { name, .. } => Key::Viewer(Box::new((name.clone(), client_id.into()))),
    };
    let conn = Arc::new(Conn::new(id, peer, silence_ms(connect.keep_alive_secs), shared.clock.now_ms()));
    let kept = match shared.registry.admit(&key, &conn) {
        Admission::Now(kept) => Some(kept),
        Admission::Next(receive) => next_in_line(shared, &key, id, receive).await,
        Admission::Full => {
            shared.counters.full.one();
            None
        }
    };
    let Some(kept) = kept else { return Err(Turned::unavailable()) };
    let seat = Seat::new(Arc::clone(&shared.registry), key, id);
    let kept = kept.filter(|_| !connect.clean_session);
    Ok(Admitted {
        conn,
        seat,
        session_present: kept.is_some(),
        keeps: !connect.clean_session && matches!(principal, Principal::Host(_)),
        kept,
        will,
        principal,
    })
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
            return Turned { answer: Some(ConnAck::Unavailable), told: None, ..turned };
        }
        turned
    })?;
    if matches!(principal, Principal::Host(host) if host.to_string() != client_id) {
        return Err(Turned::login(connect, ConnAck::ClientId, NotLetIn::OthersClientId));
    }
    shared.throttle(|throttle| throttle.succeeded(peer, name));
    shared.refusals(|refusals| refusals.let_in(Origin::from(peer), name));
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
    key: &Key,
    id: u64,
    receive: oneshot::Receiver<Option<Kept>>,
) -> Option<Option<Kept>> {
    let mut line = Line { receive, registry: &shared.registry, key, id };
    match tokio::time::timeout(TAKEOVER, &mut line.receive).await {
        Ok(kept) => kept.ok(),
        Err(_) => None,
    }
}

/// A place in line; when it is dropped just as its turn has come, the turn is passed on.
struct Line<'a> {
    receive: oneshot::Receiver<Option<Kept>>,
    registry: &'a Registry,
    key: &'a Key,
    id: u64,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.receive.close();
        if let Ok(kept) = self.receive.try_recv() {
            self.registry.release(self.key, self.id, kept);
        }
    }
}

fn start(shared: Arc<Shared>, admitted: Admitted, transport: Transport, rest: Vec<u8>, out: Vec<u8>) {
    let Admitted { principal, conn, seat, keeps, kept, will, .. } = admitted;
    let Some(ingest) = shared.ingest() else { return };
    shared.counters.admitted.one();
    let stall_ms = u64::try_from(shared.limits.stall_timeout.as_millis()).unwrap_or(u64::MAX);
    shared.deadlines.watch(&conn, stall_ms);
    let begin = roles::Begin { shared, conn, ingest, seat, transport, rest, out };
    // A task of its own: this one carries the handshake's state.
    match principal {
        Principal::Host(host) => drop(tokio::spawn(roles::run_host(begin, host, kept, keeps, will))),
        Principal::Enroll(token) => drop(tokio::spawn(roles::run_enroll(begin, token))),
        Principal::Viewer { name, debug } => drop(tokio::spawn(roles::run_viewer(begin, name, debug))),
    }
}
