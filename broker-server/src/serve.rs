//! The server's life: open, listen, run, stop.

use crate::{
    clock,
    config::Config,
    control,
    directory::FleetDirectory,
    doorkeeper,
    gate::{self, Gate, GateHandle, Limits, Listen, Socket},
    http, ingest, out, publisher,
    tls::{OperatorFiles, Options, Tls},
};
use anyhow::Context;
use fleet::{Change, Changed, Driver, Fleet};
use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::SignalKind,
    sync::broadcast::{self, error::RecvError},
    sync::watch,
    task::JoinHandle,
};

use web::{BrokerFacts, Certificate, MqttListener, ServerFacts, TrustedProxies, WebSettings};

/// How often what ages is looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often maintenance is decided.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);
/// How often what waits is looked at, at least: clocks jump.
const TICK_EVERY: Duration = Duration::from_secs(30);
/// How long a tick rests, however much is due.
const TICK_PAUSE: Duration = Duration::from_millis(100);
/// How long open pages and downloads may take to end when the server stops.
const HTTP_GRACE: Duration = Duration::from_secs(3);

/// A server that runs in this process.
pub struct Server {
    /// The domain, for whoever is in the same process.
    pub fleet: Fleet,
    /// Where pages and API are.
    pub http: SocketAddr,
    stop: watch::Sender<bool>,
    gate: GateHandle,
    ingest: JoinHandle<()>,
    http_task: JoinHandle<()>,
    control: JoinHandle<()>,
    data_dir: std::path::PathBuf,
}

/// Runs until SIGTERM or SIGINT.
pub async fn until_signal(config: Config) -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let public_url = config.public_url.value.clone();
    let mut server = start(config).await?;
    if let Some(code) = server.fleet.setup_code().await? {
        out::line(format_args!("setup: {public_url}/setup/{}", code.expose()))?;
    }
    notify_systemd("READY=1");
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        ended = server.http_ended() => ended.context("the HTTP listener ended"),
    };
    tracing::info!("stopping");
    notify_systemd("STOPPING=1");
    server.stop().await;
    ended
}

/// Binds all listeners, opens the data folder, and runs. What can fail does so before anything is served, and a port
/// that is in use before anything is made.
pub async fn start(config: Config) -> anyhow::Result<Server> {
    let data_dir = &config.data_dir.value;
    let asked = config.http.value;
    let listener = TcpListener::bind(asked).await.map_err(|error| busy("pages", "--http", asked, error))?;
    let address = listener.local_addr()?;

    let mqtt = Socket::tls(config.mqtt.value)?;
    let plain = config.mqtt_plain.value.map(|address| Socket::plain(address, false)).transpose()?;

    let tls = Arc::new(open_tls(&config)?);
    let fleet = open_fleet(data_dir, config.mqtt_public.value.clone(), tls.ca_fingerprint())?;
    let mut listen = vec![Listen::Tls(mqtt, Arc::clone(&tls))];
    listen.extend(plain.map(Listen::Plain));
    let limits = Limits { max_connections: config.max_connections.value, ..Limits::default() };
    let directory = Arc::new(FleetDirectory::new(fleet.clone()));
    let (gate, incoming) = Gate::start(gate::Config { listen, limits }, directory).await?;

    let (stop, stopped) = watch::channel(false);
    tls.watch(clock::now);
    tokio::spawn(publisher::run(fleet.clone(), gate.clone()));
    tokio::spawn(doorkeeper::run(fleet.clone(), gate.clone()));
    tokio::spawn(wake_sessions(fleet.clone(), gate.clone()));
    tokio::spawn(send_plans(fleet.clone(), gate.clone()));
    tokio::spawn(sweep(fleet.clone()));
    tokio::spawn(maintain(fleet.clone()));
    tokio::spawn(tick(fleet.clone()));
    let ingest = tokio::spawn(ingest::run(incoming, fleet.clone(), gate.clone()));
    let control =
        tokio::spawn(control::serve(control::listen(data_dir).context("control socket")?, fleet.clone()));
    let router = web::router(fleet.clone(), web_settings(&config, &tls, &gate));
    let proxies = TrustedProxies::new(config.trusted_proxies.value.clone());
    let http_task = tokio::spawn(http::serve(listener, router, http::Limits::default(), proxies, stopped));
    let plain = config.mqtt_plain.value.map_or_else(|| "off".to_owned(), |address| address.to_string());
    tracing::info!(http = %address, mqtt = %config.mqtt.value, plain, "serving");
    Ok(Server { fleet, http: address, stop, gate, ingest, http_task, control, data_dir: data_dir.clone() })
}

impl Server {
    async fn http_ended(&mut self) -> anyhow::Result<()> {
        Ok((&mut self.http_task).await?)
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
        let _ = self.ingest.await;
        self.fleet.shutdown().await;
    }
}

/// Looks through everything without serving; returns how many rows the data file has. `None` = there is no data yet,
/// and none was made.
pub fn check(config: &Config) -> anyhow::Result<Option<u64>> {
    let data_dir = &config.data_dir.value;
    if !has_data(data_dir) {
        return Ok(None);
    }
    let rows = Fleet::check(data_dir)?;
    open_tls(config)?;
    Ok(Some(rows))
}

/// Whether a server has been there: looking must not make the data of a new one.
fn has_data(data_dir: &Path) -> bool {
    data_dir.join("holdfast.redb").exists()
}

/// Opens the data of a server that does not run.
pub fn open_for_admin(data_dir: &Path) -> anyhow::Result<Fleet> {
    if !has_data(data_dir) {
        anyhow::bail!("{} holds no data of a Holdfast server", data_dir.display());
    }
    open_fleet(data_dir, String::new(), [0; 32])
}

/// This machine's name; empty when it can't be told.
#[must_use]
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

fn open_fleet(data_dir: &Path, mqtt_address: String, ca_fingerprint: [u8; 32]) -> anyhow::Result<Fleet> {
    let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
    let settings = fleet::Settings { mqtt_address, ca_fingerprint, timezone: clock::zone() };
    Fleet::open(data_dir, settings, driver).with_context(|| format!("data folder {}", data_dir.display()))
}

/// The server's own certificate names what agents dial, this machine, and what the settings add.
fn open_tls(config: &Config) -> anyhow::Result<Tls> {
    let dialled = config.mqtt_public.value.rsplit_once(':').map_or("", |(host, _)| host);
    let mut names = vec![dialled.trim_matches(['[', ']']).to_owned(), hostname()];
    names.extend(config.tls_names.value.iter().cloned());
    let mqtt = config.mqtt.value.ip();
    if !mqtt.is_unspecified() {
        names.push(mqtt.to_string());
    }
    names.retain(|name| !name.is_empty());
    let operator = match (&config.tls_certificate.value, &config.tls_key.value) {
        (Some(certificate), Some(key)) => {
            Some(OperatorFiles { certificate: certificate.clone(), key: key.clone() })
        }
        _ => None,
    };
    let options = Options { folder: config.data_dir.value.join("tls"), names, operator };
    Tls::open(options, clock::now()).context("certificate")
}

fn web_settings(config: &Config, tls: &Arc<Tls>, gate: &GateHandle) -> WebSettings {
    let mut mqtt = vec![MqttListener { address: config.mqtt_public.value.clone(), tls: true }];
    let plain = config.mqtt_plain.value;
    mqtt.extend(plain.map(|address| MqttListener { address: address.to_string(), tls: false }));
    let public_url = config.public_url.value.clone();
    let gate = gate.clone();
    WebSettings {
        secure_cookies: public_url.starts_with("https://"),
        public_url,
        proxies: TrustedProxies::new(config.trusted_proxies.value.clone()),
        server: ServerFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mqtt,
            ca_pem: tls.ca_pem(),
            started_at: clock::now(),
        },
        certificates: certificates(config, tls),
        broker: Arc::new(move || {
            let stats = gate.stats();
            let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            BrokerFacts { serving: true, hosts: count(stats.hosts), viewers: count(stats.viewers) }
        }),
    }
}

/// What the settings show of the certificates.
fn certificates(config: &Config, tls: &Arc<Tls>) -> Arc<dyn Fn() -> Vec<Certificate> + Send + Sync> {
    let (tls, is_own) = (Arc::clone(tls), config.tls_certificate.value.is_none());
    Arc::new(move || {
        let renewed = if is_own { "renewed by itself" } else { "renewed by whoever brings the files" };
        let mut all = vec![Certificate { of: "Certificate", ends_at: tls.expires_at(), renewed }];
        if is_own {
            let renewed = "enrolled agents trust it: a new one means enrolling again";
            all.push(Certificate { of: "Authority", ends_at: tls.authority_expires_at(), renewed });
        }
        all
    })
}

/// Hands each session what its outbox got.
async fn wake_sessions(fleet: Fleet, gate: GateHandle) {
    let mut wakes = fleet.wakes();
    loop {
        match wakes.recv().await {
            Ok(host) => gate.wake(host),
            Err(RecvError::Lagged(_)) => match fleet.read().and_then(|read| read.host_ids()) {
                Ok(hosts) => hosts.into_iter().for_each(|host| gate.wake(host)),
                Err(error) => tracing::error!(%error, "sessions could not be woken"),
            },
            Err(RecvError::Closed) => return,
        }
    }
}

/// Sends each host that is here its plan when it has changed.
async fn send_plans(fleet: Fleet, gate: GateHandle) {
    let mut changes = fleet.changes();
    loop {
        match changes.recv().await {
            Ok(Change { what: Changed::Plan(host), .. }) => gate.plan_changed(host),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => match fleet.read().and_then(|read| read.host_ids()) {
                Ok(hosts) => hosts.into_iter().for_each(|host| gate.plan_changed(host)),
                Err(error) => tracing::error!(%error, "plans could not be sent"),
            },
            Err(RecvError::Closed) => return,
        }
    }
}

async fn sweep(fleet: Fleet) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        fleet.sweep().await;
    }
}

async fn maintain(fleet: Fleet) {
    let mut tick = tokio::time::interval(MAINTAIN_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        fleet.maintain().await;
    }
}

/// Runs schedules and what waits: at its time, and each half a minute.
async fn tick(fleet: Fleet) {
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
        tokio::select! {
            () = tokio::time::sleep(wait.min(TICK_EVERY)) => {}
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
    fn a_look_at_a_folder_without_data_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("mistyped");
        let flags = Layer { data_dir: Some(data_dir.clone()), ..Layer::default() };
        let config = Layers { flags, ..Layers::default() }.resolve().unwrap();
        assert_eq!(check(&config).unwrap(), None);
        assert!(open_for_admin(&data_dir).is_err());
        assert!(!data_dir.exists());
    }
}
