//! The HTTP listener: hands requests to the router, and lets nobody hold a place for nothing.
//!
//! | who | what becomes of it |
//! |---|---|
//! | sends its request's head slowly, or nothing at all | cut off after [`Limits::head_within`] |
//! | sends its body slowly | answered with 408 by the guard of the route |
//! | does not take its answer | cut off when nothing moved for [`Limits::write_within`] |
//! | comes from an address that holds its share of connections | closed at once |
//! | comes when all places are taken | answered with 503 and closed |
//!
//! A reverse proxy that is trusted has no share: it stands for many.
//!
//! With TLS, who speaks plain HTTP is told where to go instead; nothing else is served to it. Without TLS only this
//! machine itself and trusted proxies are served: passwords of others would pass in clear.

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use web::TrustedProxies;

/// How long to wait when the system gives no more sockets.
const NO_SOCKETS: Duration = Duration::from_millis(100);
/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How long a connection that is refused may take to hear so.
const REFUSE_WITHIN: Duration = Duration::from_secs(1);
/// What is said to who finds no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\n\r\nAll places for connections are taken. Try again in a moment.\n";

/// The first byte of a TLS connection.
const TLS_BEGINS: u8 = 0x16;

/// How the pages are spoken.
#[derive(Clone)]
pub struct Speech {
    /// The certificate, and how it is spoken; `None` = without TLS, to this machine itself and to trusted proxies.
    pub tls: Option<Arc<ServerConfig>>,
    /// Where browsers find the pages, for who comes in another way.
    pub public_url: String,
}

/// What peers may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. More than there are streams of events, so that those alone never fill it.
    pub connections: usize,
    /// Connections of one address; of one /64 network with IPv6.
    pub of_address: usize,
    /// How long the head of a request may take, and how long a connection may be idle before it.
    pub head_within: Duration,
    /// How long an answer may stand still because the peer does not read.
    pub write_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_048,
            of_address: 256,
            head_within: Duration::from_secs(30),
            write_within: Duration::from_secs(30),
        }
    }
}

/// Takes the address of the pages; one that is taken already is told in words that help.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            anyhow::anyhow!(
                "{address} (pages) is in use by another program; end that one, or choose another port with --http {}:PORT",
                address.ip()
            )
        } else {
            anyhow::Error::new(error).context(format!("cannot listen on {address} (pages)"))
        }
    })
}

/// Serves until told to stop; then lets requests that are under way end.
pub async fn serve(
    listener: TcpListener,
    speech: Speech,
    router: Router,
    limits: Limits,
    proxies: TrustedProxies,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Permits::new(limits, proxies));
    let connections = TaskTracker::new();
    let mut failing = 0;
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer is gone already: neither is a reason to stop.
                failing += 1;
                if u64::is_power_of_two(failing) {
                    tracing::warn!(%error, failing, "an HTTP connection can't be accepted");
                }
                tokio::time::sleep(NO_SOCKETS).await;
                continue;
            }
        };
        failing = 0;
        match places.take(peer.ip()) {
            Ok(place) => {
                let (speech, router) = (speech.clone(), router.clone());
                let mut stopped = stopped.clone();
                let is_near = peer.ip().to_canonical().is_loopback() || place.is_of_proxy();
                connections.spawn(async move {
                    match speech.tls {
                        None if is_near => {
                            connection(guarded(stream, limits), peer, router, limits, stopped).await;
                        }
                        None => tokio::select! {
                            _ = stopped.wait_for(|stop| *stop) => {}
                            () = lead_on(stream, &speech.public_url, NotServed::OnlyProxies, limits) => {}
                        },
                        Some(tls) => {
                            let begun = handshake(stream, tls, &speech.public_url, limits);
                            let begun = tokio::time::timeout(limits.head_within, begun);
                            let begun = tokio::select! {
                                // A browser opens connections in advance, and begins nothing on them.
                                _ = stopped.wait_for(|stop| *stop) => Ok(None),
                                begun = begun => begun,
                            };
                            match begun {
                                Ok(Some(stream)) => connection(stream, peer, router, limits, stopped).await,
                                Ok(None) => {}
                                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                            }
                        }
                    }
                    drop(place);
                });
            }
            Err(Refusal::Address) => tracing::debug!(%peer, "too many HTTP connections of one address"),
            Err(Refusal::Full) => {
                tracing::warn!(%peer, "all places for HTTP connections are taken");
                // To say it with TLS would cost more than the place.
                if speech.tls.is_none() {
                    tokio::spawn(refuse(stream, FULL.to_vec()));
                }
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// A stream on which nothing stands still for ever.
fn guarded(stream: TcpStream, limits: Limits) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_within));
    Box::pin(stream)
}

/// Begins TLS; `None` = it came to nothing, and the peer was told as far as that can be.
async fn handshake(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    public_url: &str,
    limits: Limits,
) -> Option<TlsStream<Pin<Box<TimeoutStream<TcpStream>>>>> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == TLS_BEGINS => {}
        Ok(1) => {
            refuse(stream, elsewhere(first[0], public_url, NotServed::OnlyTls)).await;
            return None;
        }
        _ => return None,
    }
    match TlsAcceptor::from(tls).accept(guarded(stream, limits)).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake for the pages failed");
            None
        }
    }
}

/// Says where the pages are to somebody who is served nothing here.
async fn lead_on(stream: TcpStream, public_url: &str, why: NotServed, limits: Limits) {
    let mut first = [0];
    let looked = tokio::time::timeout(limits.head_within, stream.peek(&mut first)).await;
    if matches!(looked, Ok(Ok(1))) && first[0] != TLS_BEGINS {
        refuse(stream, elsewhere(first[0], public_url, why)).await;
    }
}

/// Why nothing is served to somebody.
#[derive(Clone, Copy)]
enum NotServed {
    /// TLS is spoken here.
    OnlyTls,
    /// Without TLS only trusted proxies are served.
    OnlyProxies,
}

/// The answer to who is served nothing. A browser that looks is led on, where that is to TLS; whoever sends something (a
/// password, perhaps) is told.
fn elsewhere(first: u8, public_url: &str, why: NotServed) -> Vec<u8> {
    let is_look = matches!(first, b'G' | b'H');
    let (status, location) = match why {
        _ if is_look && public_url.starts_with("https://") => {
            ("307 Temporary Redirect", format!("location: {public_url}/\r\n"))
        }
        NotServed::OnlyTls => ("400 Bad Request", String::new()),
        NotServed::OnlyProxies => ("403 Forbidden", String::new()),
    };
    let text = match why {
        NotServed::OnlyTls => format!("TLS is spoken here: open {public_url}\n"),
        NotServed::OnlyProxies => format!(
            "Without TLS only the reverse proxies that --trusted-proxy names are served here: open {public_url}\n"
        ),
    };
    format!(
        "HTTP/1.1 {status}\r\n{location}connection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

/// Says why nothing is served. Bounded in time; who floods hears nothing more than a closed connection.
async fn refuse(mut stream: TcpStream, why: Vec<u8>) {
    let said = async {
        stream.write_all(&why).await?;
        stream.shutdown().await?;
        // What was sent is read, for closing over it would take the answer away.
        let mut rest = [0; 1_024];
        for _ in 0..64 {
            if stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(REFUSE_WITHIN, said).await;
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The address has its share.
    Address,
    /// Everybody together has all.
    Full,
}

/// The places for connections.
struct Permits {
    free: Arc<Semaphore>,
    of_address: usize,
    proxies: TrustedProxies,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl Permits {
    fn new(limits: Limits, proxies: TrustedProxies) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limits.connections)),
            of_address: limits.of_address,
            proxies,
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Refusal> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| Refusal::Full)?;
        let share = (!self.proxies.contains(address)).then(|| share_of(address));
        if let Some(share) = share {
            let mut held = self.held();
            let count = held.entry(share).or_default();
            if *count >= self.of_address {
                return Err(Refusal::Address);
            }
            *count += 1;
        }
        Ok(Permit { places: Arc::clone(self), share, _permit: permit })
    }
}

/// Whose share a connection counts for: a machine with IPv6 has a whole network of addresses.
fn share_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// A place that is taken; free again when it is dropped.
struct Permit {
    places: Arc<Permits>,
    /// Whose share it counts for; `None` = a trusted proxy has it.
    share: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Permit {
    const fn is_of_proxy(&self) -> bool {
        self.share.is_none()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(share) = self.share else { return };
        let mut held = self.places.held();
        if let Some(count) = held.get_mut(&share) {
            *count -= 1;
            if *count == 0 {
                held.remove(&share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::{convert::Infallible, future::pending, io};
    use tokio::{sync::Notify, task::JoinHandle};

    /// Longer than anything here takes; whoever hangs fails.
    const SOON: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(100);

    struct World {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        served: JoinHandle<()>,
        release: Arc<Notify>,
    }

    async fn world(limits: Limits, proxies: &[&str]) -> World {
        let release = Arc::new(Notify::new());
        let released = Arc::clone(&release);
        let flood = || async {
            let piece = || Ok::<_, Infallible>(axum::body::Bytes::from_static(&[b'x'; 65_536]));
            Body::from_stream(futures_util::stream::repeat_with(piece))
        };
        let router = Router::new()
            .route(
                "/",
                get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
            )
            .route("/flood", get(flood))
            .route("/never", get(pending::<()>))
            .route("/wait", get(move || async move { released.notified().await }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let proxies = TrustedProxies::new(proxies.iter().map(|network| network.parse().unwrap()).collect());
        let speech = Speech { tls: None, public_url: format!("http://{address}") };
        let served = tokio::spawn(serve(listener, speech, router, limits, proxies, stopped));
        World { address, stop, served, release }
    }

    impl World {
        async fn send(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // A server that closes at once may do so before this is written.
            let _ = stream.write_all(text.as_bytes()).await;
            stream
        }

        async fn ask(&self, path: &str) -> TcpStream {
            self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
        }

        /// Asks until there is an answer with this status.
        async fn until(&self, status: &str) {
            let asks = async {
                while !answer(self.ask("/").await).await.starts_with(&format!("HTTP/1.1 {status}")) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(SOON, asks).await.expect("no such answer came");
        }
    }

    /// All that comes until the connection ends; nothing when it ends with an error.
    async fn answer(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        let read: io::Result<usize> =
            tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the connection stays");
        if read.is_ok() { String::from_utf8_lossy(&bytes).into_owned() } else { String::new() }
    }

    #[tokio::test]
    async fn who_says_nothing_or_half_a_request_is_cut_off() {
        let world = world(Limits { head_within: SHORT, ..Limits::default() }, &[]).await;
        for text in ["", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
            let stream = world.send(text).await;
            assert!(!answer(stream).await.contains("200 OK"), "{text:?}");
        }
        assert!(answer(world.ask("/").await).await.ends_with("127.0.0.1"));
    }

    #[tokio::test]
    async fn who_does_not_read_gives_its_place_back() {
        let world = world(Limits { connections: 1, write_within: SHORT, ..Limits::default() }, &[]).await;
        let _silent = world.ask("/flood").await;
        world.until("503").await;
        world.until("200").await;
    }

    #[tokio::test]
    async fn one_address_can_not_take_all_places() {
        let world = world(Limits { connections: 3, of_address: 2, ..Limits::default() }, &[]).await;
        let (first, _second) = (world.ask("/never").await, world.ask("/never").await);
        let mut third = world.ask("/never").await;
        let mut byte = [0];
        let read = tokio::time::timeout(SOON, third.read(&mut byte)).await.expect("it is closed");
        assert!(!matches!(read, Ok(1)), "closed without a word");
        drop(first);
        world.until("200").await;
    }

    #[tokio::test]
    async fn a_trusted_proxy_has_no_share() {
        let limits = Limits { connections: 3, of_address: 1, ..Limits::default() };
        let world = world(limits, &["127.0.0.0/8"]).await;
        let _held = [world.ask("/never").await, world.ask("/never").await];
        world.until("200").await;
        let _third = world.ask("/never").await;
        world.until("503").await;
    }

    #[tokio::test]
    async fn a_request_that_is_under_way_ends_before_the_server_does() {
        let world = world(Limits::default(), &[]).await;
        let waiting = world.ask("/wait").await;
        world.until("200").await;
        world.stop.send(true).unwrap();
        world.release.notify_one();
        assert!(answer(waiting).await.starts_with("HTTP/1.1 200"));
        tokio::time::timeout(SOON, world.served).await.expect("it stops").unwrap();
        assert!(TcpStream::connect(world.address).await.is_err());
    }

    #[test]
    fn who_comes_in_another_way_is_led_on_or_told() {
        let text =
            |first: u8, url: &str, why| String::from_utf8(elsewhere(first, url, why)).expect("it is text");
        let secure = "https://fleet.lan:8443";
        for why in [NotServed::OnlyTls, NotServed::OnlyProxies] {
            let look = text(b'G', secure, why);
            assert!(look.starts_with("HTTP/1.1 307 "), "{look}");
            assert!(look.contains("location: https://fleet.lan:8443/\r\n"), "{look}");
            let sent = text(b'P', secure, why);
            assert!(!sent.contains("location") && sent.ends_with("open https://fleet.lan:8443\n"), "{sent}");
        }
        assert!(text(b'P', secure, NotServed::OnlyTls).starts_with("HTTP/1.1 400 "));
        // To lead on to where somebody is already would never end.
        let look = text(b'G', "http://vault:80", NotServed::OnlyProxies);
        assert!(look.starts_with("HTTP/1.1 403 ") && look.contains("--trusted-proxy"), "{look}");
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let share = |text: &str| share_of(text.parse().unwrap()).to_string();
        assert_eq!(share("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(share("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(share("192.0.2.1"), "192.0.2.1");
    }
}
