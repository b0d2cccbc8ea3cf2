//! The server's life: open, listen, run, stop.

use crate::{
    clock,
    config::Config,
    control,
    directory::FleetDirectory,
    doorkeeper, figures,
    gate::{self, Gate, GateHandle, Limits, Listen, Socket},
    http, ingest, out,
    own_pieces::OwnPieces,
    publisher,
    tasks::{self, Beat, Tasks},
    tls::{OperatorFiles, Options, Tls},
};
use anyhow::Context;
use fleet::{Authority, Change, Changed, Driver, Fleet, Found, Keep, Pieces, Scrub, Stand};
use rustix::process::Signal;
use schema::{HostId, Timestamp};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::SignalKind,
    sync::{
        Mutex,
        broadcast::{self, error::RecvError},
        watch,
    },
    task::JoinHandle,
};

use web::{Certificate, HeldLogin, MqttListener, ServerFacts, TrustedProxies, WebSettings};

/// How often what ages is looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often maintenance is decided.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);
/// How often what waits is looked at, at least: clocks jump.
const TICK_EVERY: Duration = Duration::from_secs(30);
/// How often the data file is looked through.
const SCRUB_EVERY_MS: u64 = 24 * 3600 * 1000;
/// And when it could not be.
const SCRUB_AGAIN_MS: u64 = 3600 * 1000;
/// How often it is asked whether that is due.
const SCRUB_LOOK_EVERY: Duration = Duration::from_secs(60);
/// So many operations between two looks are a quiet time…
const QUIET_OPERATIONS: u64 = 300;
/// …which is waited for no longer than this.
const QUIET_WAIT_MS: u64 = 6 * 3600 * 1000;
/// How long a tick rests, however much is due.
const TICK_PAUSE: Duration = Duration::from_millis(100);
/// How long it may take to write down what hosts said last when the server stops.
const INGEST_GRACE: Duration = Duration::from_secs(10);
/// How long open pages and downloads may take to end then.
const HTTP_GRACE: Duration = Duration::from_secs(3);

/// A server that runs in this process.
pub struct Server {
    /// The domain, for whoever is in the same process.
    pub fleet: Fleet,
    /// Where pages and API are.
    pub http: SocketAddr,
    stop: watch::Sender<bool>,
    pub(crate) gate: GateHandle,
    ingest: JoinHandle<()>,
    http_task: JoinHandle<()>,
    control: JoinHandle<()>,
    certificates: Vec<Arc<Tls>>,
    data_dir: PathBuf,
}

/// Runs until SIGTERM or SIGINT; at SIGHUP certificates are read again.
pub async fn until_signal(config: Config) -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut hang_up = tokio::signal::unix::signal(SignalKind::hangup())?;
    // A limit on the size of files is an error of the write that meets it, not the end of the program.
    let _too_large = tokio::signal::unix::signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let public_url = config.public_url.value.clone();
    let mut server = start(config).await?;
    if let Some(code) = server.fleet.setup_code().await? {
        let told = out::line(format_args!("setup: {public_url}/setup/{}", code.expose()));
        if let Err(error) = told {
            tracing::error!(%error, "the link for the first account can't be printed; start again to see it");
        }
    }
    notify_systemd("READY=1");
    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = tokio::signal::ctrl_c() => break Ok(()),
            _ = hang_up.recv() => server.read_certificates(),
            ended = server.http_ended() => break ended.context("the HTTP listener ended"),
        }
    };
    tracing::info!("stopping");
    notify_systemd("STOPPING=1");
    server.stop().await;
    ended
}

/// Binds all listeners, opens the data folder, and runs. What can fail does so before anything is served, and a port
/// that is in use before anything is made.
pub async fn start(config: Config) -> anyhow::Result<Server> {
    start_with(config, Tasks::default()).await
}

pub(crate) async fn start_with(config: Config, tasks: Tasks) -> anyhow::Result<Server> {
    let data_dir = &config.data_dir.value;
    let asked = config.http.value;
    let listener = TcpListener::bind(asked).await.map_err(|error| busy("pages", "--http", asked, error))?;
    let address = listener.local_addr()?;

    let mqtt = Socket::tls(config.mqtt.value)?;
    let plain = config.mqtt_plain.value.map(|address| Socket::plain(address, false)).transpose()?;

    let pieces = pieces(&config);
    let stand = pieces.begin().context("data folder")?;
    let options = tls_options(&config, stand);
    if options.is_new {
        let mut before = |path: &Path, bytes: &[u8]| pieces.will_make(path, bytes).map_err(io::Error::other);
        options.make_authority(clock::now(), &mut before).context("certificate")?;
    }
    let tls = Arc::new(Tls::open(options.clone(), clock::now()).context("certificate")?);
    let pages_tls = open_pages_tls(&config, &tls)?;
    let speech = speech(&config, pages_tls.as_deref())?;
    let keep = Keep {
        jobs_days: config.keep_jobs_days.value,
        host_bytes: config.host_share_mib.value.saturating_mul(1 << 20),
    };
    let fleet = open_fleet(pieces.clone(), config.mqtt_public.value.clone(), tls.ca_fingerprint(), keep)?;
    let own_pieces = Arc::new(OwnPieces::new(fleet.clone(), pieces, options));
    let mut listen = vec![Listen::Tls(mqtt, Arc::clone(&tls))];
    listen.extend(plain.map(Listen::Plain));
    let limits = Limits {
        max_connections: config.max_connections.value,
        max_viewers: config.max_viewers.value,
        max_viewers_of_account: config.max_viewers_per_account.value,
        ..Limits::default()
    };
    let directory = Arc::new(FleetDirectory::new(fleet.clone(), &tasks));
    let (gate, incoming) =
        Gate::start(gate::Config { listen, limits, tasks: tasks.clone() }, directory).await?;

    let (stop, stopped) = watch::channel(false);
    let certificates = match &pages_tls {
        Some(pages) if !Arc::ptr_eq(pages, &tls) => vec![Arc::clone(&tls), Arc::clone(pages)],
        _ => vec![Arc::clone(&tls)],
    };
    for (name, tls) in ["certificate", "certificate_of_pages"].into_iter().zip(certificates.clone()) {
        tasks.spawn(name, tasks::IDLE, move |beat| Arc::clone(&tls).watch(clock::now, beat));
    }
    let of_both = |name, run: fn(Fleet, GateHandle, Beat) -> Running| {
        let (fleet, gate) = (fleet.clone(), gate.clone());
        tasks.spawn(name, tasks::IDLE, move |beat| run(fleet.clone(), gate.clone(), beat));
    };
    of_both("publisher", |fleet, gate, beat| Box::pin(publisher::run(fleet, gate, beat)));
    of_both("doorkeeper", |fleet, gate, beat| Box::pin(doorkeeper::run(fleet, gate, beat)));
    of_both("wakes", |fleet, gate, beat| Box::pin(wake_sessions(fleet, gate, beat)));
    of_both("plans", |fleet, gate, beat| Box::pin(send_plans(fleet, gate, beat)));
    let of_fleet = |name, every, run: fn(Fleet, Beat) -> Running| {
        let fleet = fleet.clone();
        tasks.spawn(name, every, move |beat| run(fleet.clone(), beat));
    };
    of_fleet("sweep", SWEEP_EVERY, |fleet, beat| Box::pin(sweep(fleet, beat)));
    of_fleet("maintenance", MAINTAIN_EVERY, |fleet, beat| Box::pin(maintain(fleet, beat)));
    let kept = (fleet.clone(), Arc::clone(&own_pieces));
    tasks.spawn("scrub", tasks::IDLE, move |beat| scrub(kept.0.clone(), Arc::clone(&kept.1), beat));
    of_fleet("schedules", TICK_EVERY, |fleet, beat| Box::pin(tick(fleet, beat)));
    let (incoming, kept) = (Arc::new(Mutex::new(incoming)), (fleet.clone(), gate.clone()));
    let ingest = tasks.spawn("ingest", tasks::IDLE, move |beat| {
        ingest::run(Arc::clone(&incoming), kept.0.clone(), kept.1.clone(), beat)
    });
    let (socket, kept) = (Arc::new(control::listen(data_dir).context("control socket")?), fleet.clone());
    let answered = Arc::clone(&own_pieces);
    let control = tasks.spawn("control", tasks::IDLE, move |beat| {
        control::serve(Arc::clone(&socket), kept.clone(), Arc::clone(&answered), beat)
    });
    let settings = web_settings(&config, &tls, pages_tls.as_ref(), &gate, &tasks, &own_pieces);
    let router = web::router(fleet.clone(), settings);
    let proxies = TrustedProxies::new(config.trusted_proxies.value.clone());
    let http_task =
        tokio::spawn(http::serve(listener, speech, router, http::Limits::default(), proxies, stopped));
    let plain = config.mqtt_plain.value.map_or_else(|| "off".to_owned(), |address| address.to_string());
    tracing::info!(http = %address, tls = config.http_tls.value, mqtt = %config.mqtt.value, plain, "serving");
    let data_dir = data_dir.clone();
    Ok(Server { fleet, http: address, stop, gate, ingest, http_task, control, certificates, data_dir })
}

impl Server {
    async fn http_ended(&mut self) -> anyhow::Result<()> {
        Ok((&mut self.http_task).await?)
    }

    /// Uses the certificates as they are on disk now; one that can't be used leaves the old one.
    fn read_certificates(&self) {
        for tls in &self.certificates {
            match tls.read_again(clock::now()) {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(error) => tracing::error!(%error, "the certificate in use stays the old one"),
            }
        }
    }

    /// Ends everything in the order in which it depends on each other; what was committed stays, what was not acked
    /// is sent again by its agent.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        self.control.abort();
        let _ = std::fs::remove_file(control::socket_path(&self.data_dir));
        if tokio::time::timeout(HTTP_GRACE, self.http_ended()).await.is_err() {
            self.http_task.abort();
        }
        self.gate.shutdown().await;
        if tokio::time::timeout(INGEST_GRACE, self.ingest).await.is_err() {
            tracing::warn!("what had come in last was not taken in time; it is sent again");
        }
        self.fleet.shutdown().await;
    }
}

/// What a look through everything has found.
#[derive(Clone, Copy, Debug)]
pub enum Checked {
    /// There is no data yet; the first start makes it.
    New,
    /// A first start has begun and did not end; the next one goes on with it.
    Begun,
    /// All is well.
    Well(fleet::Checked),
}

/// Looks through everything without serving, and changes nothing.
pub fn check(config: &Config) -> anyhow::Result<Checked> {
    let pieces = pieces(config);
    let stand = pieces.look().context("data folder")?;
    let fingerprint = Tls::check(&tls_options(config, stand)).context("certificate")?;
    if let Some(pages) = pages_tls_options(config) {
        Tls::check(&pages).context("certificate of the pages")?;
    }
    if let Some(handed_over) = &pieces.key_file {
        fleet::check_key_file(handed_over)?;
    }
    if stand == Stand::New {
        return Ok(if pieces.has_begun()? { Checked::Begun } else { Checked::New });
    }
    Ok(Checked::Well(Fleet::check(&pieces, fingerprint.as_ref())?))
}

/// Opens the data of a server that does not run.
pub fn open_for_admin(data_dir: &Path, key_file: Option<PathBuf>) -> anyhow::Result<Fleet> {
    let pieces = Pieces { key_file, ..Pieces::from(data_dir) };
    has_data(&pieces)?;
    open_fleet(pieces, String::new(), [0; 32], Keep::default())
}

/// Takes a person's word that the next start may come with another authority.
pub fn accept_authority(data_dir: &Path) -> anyhow::Result<()> {
    Ok(Pieces::from(data_dir).accept_authority()?)
}

fn has_data(pieces: &Pieces) -> anyhow::Result<()> {
    if pieces.data_file().exists() {
        return Ok(());
    }
    anyhow::bail!("{} holds no data of a Holdfast server", pieces.data_dir.display())
}

/// The pieces that belong to a server with these settings.
fn pieces(config: &Config) -> Pieces {
    Pieces {
        data_dir: config.data_dir.value.clone(),
        key_file: config.master_key_file.value.clone(),
        authority: if config.tls_certificate.value.is_some() { Authority::Brought } else { Authority::Own },
    }
}

/// This machine's name; empty when it can't be told.
#[must_use]
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

fn open_fleet(
    pieces: Pieces,
    mqtt_address: String,
    ca_fingerprint: [u8; 32],
    keep: Keep,
) -> anyhow::Result<Fleet> {
    let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
    let settings = fleet::Settings { mqtt_address, ca_fingerprint, timezone: clock::zone(), keep };
    let data_dir = pieces.data_dir.clone();
    Fleet::open(pieces, settings, driver).with_context(|| format!("data folder {}", data_dir.display()))
}

/// The server's own certificate names what agents dial, this machine, and what the settings add.
fn tls_options(config: &Config, stand: Stand) -> Options {
    let dialled = config.mqtt_public.value.rsplit_once(':').map_or("", |(host, _)| host);
    let mut names = vec![dialled.trim_matches(['[', ']']).to_owned(), hostname()];
    names.extend(config.tls_names.value.iter().cloned());
    let mut bound = vec![config.mqtt.value.ip()];
    if config.http_tls.value {
        names.push(host_of(&config.public_url.value).to_owned());
        bound.push(config.http.value.ip());
    }
    names.extend(
        bound.into_iter().filter(|address| !address.is_unspecified()).map(|address| address.to_string()),
    );
    names.retain(|name| !name.is_empty());
    let operator = match (&config.tls_certificate.value, &config.tls_key.value) {
        (Some(certificate), Some(key)) => {
            Some(OperatorFiles { certificate: certificate.clone(), key: key.clone() })
        }
        _ => None,
    };
    Options {
        folder: config.data_dir.value.join(fleet::AUTHORITY_FOLDER),
        is_new: stand != Stand::Whole,
        is_accepted: stand == Stand::OtherAuthority,
        names,
        operator,
        any_authority: false,
    }
}

/// The certificate of the pages: one of their own, or that of the agents; `None` = they go without TLS.
fn open_pages_tls(config: &Config, agents: &Arc<Tls>) -> anyhow::Result<Option<Arc<Tls>>> {
    match pages_tls_options(config) {
        Some(options) => {
            Ok(Some(Arc::new(Tls::open(options, clock::now()).context("certificate of the pages")?)))
        }
        None => Ok(config.http_tls.value.then(|| Arc::clone(agents))),
    }
}

fn pages_tls_options(config: &Config) -> Option<Options> {
    let certificate = config.http_tls_certificate.value.clone()?;
    let operator = OperatorFiles { certificate, key: config.http_tls_key.value.clone()? };
    Some(Options { operator: Some(operator), any_authority: true, ..Options::default() })
}

fn speech(config: &Config, tls: Option<&Tls>) -> anyhow::Result<http::Speech> {
    let tls =
        tls.map(|tls| tls.config_for(&[b"http/1.1"])).transpose().context("certificate of the pages")?;
    Ok(http::Speech { tls, public_url: config.public_url.value.clone() })
}

/// The name or address in a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

fn web_settings(
    config: &Config,
    tls: &Arc<Tls>,
    pages_tls: Option<&Arc<Tls>>,
    gate: &GateHandle,
    tasks: &Tasks,
    own_pieces: &Arc<OwnPieces>,
) -> WebSettings {
    let own_pieces = Arc::clone(own_pieces);
    let mut mqtt = vec![MqttListener { address: config.mqtt_public.value.clone(), tls: true }];
    let plain = config.mqtt_plain.value;
    mqtt.extend(plain.map(|address| MqttListener { address: address.to_string(), tls: false }));
    let public_url = config.public_url.value.clone();
    let (gate, held, refused, tasks) = (gate.clone(), gate.clone(), gate.clone(), tasks.clone());
    let data_dir = config.data_dir.value.clone();
    WebSettings {
        secure_cookies: public_url.starts_with("https://"),
        public_url: public_url.clone(),
        proxies: TrustedProxies::new(config.trusted_proxies.value.clone()),
        server: ServerFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mqtt,
            ca_pem: tls.ca_pem(),
            started_at: clock::now(),
        },
        certificates: certificates(config, tls, pages_tls),
        broker: Arc::new(move || figures::of_broker(&gate.stats())),
        tasks: Arc::new(move || tasks.health()),
        space_left: Arc::new(move || space_left(&data_dir)),
        held_logins: Arc::new(move || held.held().into_iter().map(held_login).collect()),
        refused_connections: Arc::new(move || refused.refused_connections()),
        lost_piece: Arc::new(move || own_pieces.found()),
        // Not with a certificate of our own authority: a browser that does not know it could not be told otherwise.
        strict_transport: public_url.starts_with("https://")
            && (!config.http_tls.value || config.http_tls_certificate.value.is_some()),
    }
}

/// What is left for those who are not root, as df tells.
fn space_left(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

fn held_login(held: gate::Held) -> HeldLogin {
    HeldLogin { origin: held.origin, account: held.username, failures: held.refused, for_ms: held.for_ms }
}

/// What the settings show of the certificates.
fn certificates(
    config: &Config,
    tls: &Arc<Tls>,
    pages_tls: Option<&Arc<Tls>>,
) -> Arc<dyn Fn() -> Vec<Certificate> + Send + Sync> {
    const BROUGHT: &str = "renewed by whoever brings the files";
    let (tls, is_own) = (Arc::clone(tls), config.tls_certificate.value.is_none());
    let pages = pages_tls.filter(|pages| !Arc::ptr_eq(pages, &tls)).cloned();
    Arc::new(move || {
        let renewed = if is_own { "renewed by itself" } else { BROUGHT };
        let mut all = vec![Certificate { of: "Certificate", ends_at: tls.expires_at(), renewed }];
        if is_own {
            let renewed = "enrolled agents trust it: a new one means enrolling again";
            all.push(Certificate { of: "Authority", ends_at: tls.authority_expires_at(), renewed });
        }
        let pages = pages.as_ref().map(|pages| pages.expires_at());
        all.extend(pages.map(|ends_at| Certificate {
            of: "Certificate of the pages",
            ends_at,
            renewed: BROUGHT,
        }));
        all
    })
}

/// Looks through the data file at quiet times.
async fn scrub(fleet: Fleet, pieces: Arc<OwnPieces>, beat: Beat) {
    let mut operations = fleet.writer_counts().operations;
    loop {
        beat.waits(tokio::time::sleep(SCRUB_LOOK_EVERY)).await;
        let looked_at = Arc::clone(&pieces);
        let _ = tokio::task::spawn_blocking(move || looked_at.look()).await;
        let before = std::mem::replace(&mut operations, fleet.writer_counts().operations);
        let quiet = operations.saturating_sub(before) <= QUIET_OPERATIONS;
        if !is_scrub_due(fleet.last_scrub().as_ref(), quiet, fleet.now()) {
            continue;
        }
        if let Err(refused) = beat.waits(fleet.scrub()).await {
            tracing::warn!(%refused, "the data file could not be looked through");
        }
    }
}

fn is_scrub_due(last: Option<&Scrub>, is_quiet: bool, now: Timestamp) -> bool {
    let Some(last) = last else { return true };
    let every = if matches!(last.found, Found::Failed(_)) { SCRUB_AGAIN_MS } else { SCRUB_EVERY_MS };
    // A clock that was ahead says nothing of when it was.
    let age = if last.at <= now { now.ms_since(last.at) } else { every };
    age >= every && (is_quiet || age >= every + QUIET_WAIT_MS)
}

/// A task that runs.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// For each host: when this begins, begins again, or has missed what was said.
fn for_all(fleet: &Fleet, what: impl Fn(HostId)) {
    match fleet.read().and_then(|read| read.host_ids()) {
        Ok(hosts) => hosts.into_iter().for_each(what),
        Err(error) => tracing::error!(%error, "the hosts could not be read"),
    }
}

/// Hands each session what its outbox got.
async fn wake_sessions(fleet: Fleet, gate: GateHandle, beat: Beat) {
    let mut wakes = fleet.wakes();
    for_all(&fleet, |host| gate.wake(host));
    loop {
        match beat.waits(wakes.recv()).await {
            Ok(host) => gate.wake(host),
            Err(RecvError::Lagged(_)) => for_all(&fleet, |host| gate.wake(host)),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Sends each host that is here its plan when it has changed.
async fn send_plans(fleet: Fleet, gate: GateHandle, beat: Beat) {
    let mut changes = fleet.changes();
    for_all(&fleet, |host| gate.plan_changed(host));
    loop {
        match beat.waits(changes.recv()).await {
            Ok(Change { what: Changed::Plan(host), .. }) => gate.plan_changed(host),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => for_all(&fleet, |host| gate.plan_changed(host)),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn sweep(fleet: Fleet, beat: Beat) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.waits(tick.tick()).await;
        // Where nothing else is written, nobody would find out that it can be again.
        if fleet.writer_counts().failing > 0 {
            let _ = beat.waits(fleet.prove_writable()).await;
        }
        fleet.sweep().await;
    }
}

async fn maintain(fleet: Fleet, beat: Beat) {
    let mut tick = tokio::time::interval(MAINTAIN_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.waits(tick.tick()).await;
        fleet.maintain().await;
    }
}

/// Runs schedules and what waits: at its time, and each half a minute.
async fn tick(fleet: Fleet, beat: Beat) {
    let mut changes = fleet.changes();
    loop {
        let is_well = fleet.tick().await;
        let next = fleet.next_tick_at().unwrap_or_else(|error| {
            tracing::error!(%error, "it can't be told when the next backup is due");
            None
        });
        let next = next.filter(|_| is_well);
        let wait = next.map_or(TICK_EVERY, |at| Duration::from_millis(at.ms_since(fleet.now())));
        tokio::time::sleep(TICK_PAUSE).await;
        let due = tokio::time::sleep(wait.min(TICK_EVERY));
        tokio::select! {
            () = beat.waits(due) => {}
            ended = times_changed(&mut changes) => if ended { return },
        }
    }
}

/// Until something may be due at another time than before. `true` = the fleet is closed.
async fn times_changed(changes: &mut broadcast::Receiver<Change>) -> bool {
    loop {
        match changes.recv().await {
            Ok(Change { what: Changed::Schedules(_) | Changed::Pending(_), .. }) => return false,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return false,
            Err(RecvError::Closed) => return true,
        }
    }
}

/// A port that is taken, in words that help.
pub(crate) fn busy(what: &str, flag: &str, address: SocketAddr, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        anyhow::anyhow!(
            "{address} ({what}) is in use by another program; end that one, or choose another port with {flag} {}:PORT",
            address.ip()
        )
    } else {
        anyhow::Error::new(error).context(format!("cannot listen on {address} ({what})"))
    }
}

/// Tells systemd, when it asked to be told.
fn notify_systemd(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return };
    if let Err(error) = socket.send_to(state.as_bytes(), path) {
        tracing::debug!(%error, "systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layer, Layers};

    #[tokio::test]
    async fn a_port_in_use_is_found_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (busy, any) = (busy.local_addr().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)));
        for (http, mqtt, plain) in [(busy, any, any), (any, busy, any), (any, any, busy)] {
            let flags = Layer {
                data_dir: Some(data_dir.clone()),
                http: Some(http),
                mqtt: Some(mqtt),
                mqtt_plain: Some(plain.to_string()),
                ..Layer::default()
            };
            let config = Layers { flags, ..Layers::default() }.resolve().unwrap();
            let refused = start(config).await.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.contains(&busy.to_string()), "{refused}");
            assert!(!data_dir.exists());
        }
    }

    #[test]
    fn the_data_file_is_looked_through_once_a_day_when_it_is_quiet() {
        const HOUR: u64 = 3_600_000;
        let now = Timestamp(1_000 * HOUR);
        let due = |ago_hours: i64, found: Found, is_quiet| {
            let at = Timestamp(now.0.saturating_add_signed(-ago_hours * HOUR as i64));
            is_scrub_due(Some(&Scrub { at, took_ms: 1, found }), is_quiet, now)
        };
        let well = || Found::Well(1);
        let failed = || Found::Failed(String::new());
        assert!(is_scrub_due(None, false, now), "a file too large for the start");
        assert!(!due(23, well(), true) && due(24, well(), true));
        assert!(!due(29, well(), false) && due(30, well(), false));
        assert!(!due(0, failed(), true) && due(1, failed(), true) && !due(1, failed(), false));
        assert!(due(-5, well(), true), "the clock was set back");
    }

    #[test]
    fn the_machine_in_a_url_is_found() {
        for (url, host) in [
            ("https://fleet.lan", "fleet.lan"),
            ("https://fleet.lan:8443/path", "fleet.lan"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
            ("https://192.0.2.1?x=:1", "192.0.2.1"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn a_look_at_a_folder_without_data_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("mistyped");
        let flags = Layer { data_dir: Some(data_dir.clone()), ..Layer::default() };
        let config = Layers { flags, ..Layers::default() }.resolve().unwrap();
        assert!(matches!(check(&config).unwrap(), Checked::New));
        assert!(open_for_admin(&data_dir, None).is_err());
        assert!(!data_dir.exists());
    }
}
