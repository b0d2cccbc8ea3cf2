//! The server's life: open, listen, run, stop.

use crate::{
    archive, certificates, clock,
    config::Config,
    control,
    data::{open_fleet, pieces},
    eviction,
    fleet_directory::FleetDirectory,
    gate::{self, Gate, GateHandle, Limits, Listen, Socket},
    home_assistant::Discovery,
    http, ingest, moves, notices, out,
    own_pieces::OwnPieces,
    platform, publisher,
    rollover::{self, Rollover},
    scrub,
    server_needs::ServerNeeds,
    standby,
    tasks::{self, Beat, Tasks},
    ticks::{self, INCIDENTS_EVERY, MAINTAIN_EVERY, SWEEP_EVERY, TICK_EVERY},
    tls::Tls,
    wakes,
    web_settings::web_settings,
    websocket,
};
use anyhow::Context;
use fleet::{AgingLimits, Fleet};
use rustix::process::Signal;
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::SignalKind,
    sync::{Mutex, watch},
    task::JoinHandle,
};
use web::TrustedProxies;

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
    platform::notify_systemd("READY=1");
    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = tokio::signal::ctrl_c() => break Ok(()),
            _ = hang_up.recv() => server.read_certificates(),
            ended = server.http_ended() => break ended.context("the HTTP listener ended"),
        }
    };
    tracing::info!("stopping");
    platform::notify_systemd("STOPPING=1");
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
    let listener = http::bind(config.http.value).await?;
    let address = listener.local_addr()?;

    let mqtt = Socket::tls(config.mqtt.value)?;
    let plain = config.mqtt_plain.value.map(|address| Socket::plain(address, false)).transpose()?;

    let pieces = pieces(&config);
    let stand = pieces.begin().context("data folder")?;
    let options = certificates::options_for_agents(&config, stand);
    if options.is_new {
        let mut before = |path: &Path, bytes: &[u8]| pieces.will_make(path, bytes).map_err(io::Error::other);
        options.make_authority(clock::now(), &mut before).context("certificate")?;
    }
    let tls = Arc::new(Tls::open(options.clone(), clock::now()).context("certificate")?);
    let pages_tls = certificates::open_for_pages(&config, &tls)?;
    let speech = speech(&config, pages_tls.as_deref())?;
    let keep = AgingLimits {
        jobs_days: config.keep_jobs_days.value,
        host_bytes: config.host_share_mib.value.saturating_mul(1 << 20),
    };
    let fleet = open_fleet(pieces.clone(), config.mqtt_public.value.clone(), tls.authorities(), keep)?;
    rollover::settle(&fleet, &tls).context("certificate")?;
    // Agents still dial addresses that retire.
    let given = fleet.read()?.addresses()?;
    let named = certificates::names_of(given.iter().map(|it| it.given.address.as_str()));
    tls.name_also(named, clock::now()).context("certificate")?;
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
        Gate::start(gate::GateConfig { listen, limits, tasks: tasks.clone() }, directory).await?;

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
    let rollover = Arc::new(Rollover::new(fleet.clone(), Arc::clone(&tls)));
    let kept = Arc::clone(&rollover);
    tasks.spawn("authority", tasks::IDLE, move |beat| Arc::clone(&kept).run(beat));
    let kept = (fleet.clone(), gate.clone(), Discovery::new(&config.public_url.value));
    tasks.spawn("publisher", tasks::IDLE, move |beat| {
        publisher::run(kept.0.clone(), kept.1.clone(), kept.2.clone(), beat)
    });
    of_both("eviction", |fleet, gate, beat| Box::pin(eviction::run(fleet, gate, beat)));
    of_both("addresses", |fleet, gate, beat| Box::pin(moves::run(fleet, gate, beat)));
    of_both("wakes", |fleet, gate, beat| Box::pin(wakes::wake_sessions(fleet, gate, beat)));
    of_both("credits", |fleet, gate, beat| Box::pin(wakes::send_credits(fleet, gate, beat)));
    of_both("plans", |fleet, gate, beat| Box::pin(wakes::send_plans(fleet, gate, beat)));
    let of_fleet = |name, every, run: fn(Fleet, Beat) -> Running| {
        let fleet = fleet.clone();
        tasks.spawn(name, every, move |beat| run(fleet.clone(), beat));
    };
    of_fleet("sweep", SWEEP_EVERY, |fleet, beat| Box::pin(ticks::sweep(fleet, beat)));
    of_fleet("maintenance", MAINTAIN_EVERY, |fleet, beat| Box::pin(ticks::maintain(fleet, beat)));
    let kept = (fleet.clone(), Arc::clone(&own_pieces));
    tasks.spawn("scrub", tasks::IDLE, move |beat| scrub::run(kept.0.clone(), Arc::clone(&kept.1), beat));
    of_fleet("schedules", TICK_EVERY, |fleet, beat| Box::pin(ticks::tick(fleet, beat)));
    let (incoming, kept) = (Arc::new(Mutex::new(incoming)), (fleet.clone(), gate.clone()));
    let ingest = tasks.spawn("ingest", tasks::IDLE, move |beat| {
        ingest::run(Arc::clone(&incoming), kept.0.clone(), kept.1.clone(), beat)
    });
    let kept = (fleet.clone(), config.public_url.value.clone());
    tasks.spawn("succession", tasks::IDLE, move |beat| {
        standby::tell_predecessor(kept.0.clone(), kept.1.clone(), beat)
    });
    let archives = Arc::new(archive::of_server(&config, &fleet, &tls));
    let kept = (fleet.clone(), Arc::clone(&archives));
    tasks.spawn("archives", tasks::IDLE, move |beat| {
        archive::each_night(kept.0.clone(), Arc::clone(&kept.1), beat)
    });
    let needs = ServerNeeds {
        certificates: certificates::shown(&config, &tls, pages_tls.as_ref()),
        archives: Arc::clone(&archives),
        data_dir: data_dir.clone(),
        fleet: fleet.clone(),
    };
    let kept = fleet.clone();
    tasks
        .spawn("incidents", INCIDENTS_EVERY, move |beat| ticks::incidents(kept.clone(), needs.clone(), beat));
    let socket = Arc::new(control::listen(data_dir).context("control socket")?);
    let (pieces, kept) = (Arc::clone(&own_pieces), Arc::clone(&archives));
    let public_url = config.public_url.value.clone();
    let asked = control::ControlServices {
        fleet: fleet.clone(),
        pieces,
        archives: kept,
        rollover: Arc::clone(&rollover),
        public_url,
    };
    let control = tasks
        .spawn("control", tasks::IDLE, move |beat| control::serve(Arc::clone(&socket), asked.clone(), beat));
    let (both, running) = ((&tls, pages_tls.as_ref()), (&tasks, stopped.clone()));
    let settings = web_settings(&config, both, &gate, running, &own_pieces, archives, rollover);
    let proxies = TrustedProxies::new(config.trusted_proxies.value.clone());
    let router = web::router(fleet.clone(), settings).merge(websocket::router(gate.clone(), proxies.clone()));
    let outside = notices::Outside { base: config.public_url.value.clone(), scripts: config.scripts() };
    let kept = (fleet.clone(), outside, notices::of_router(&router));
    tasks.spawn("notices", notices::LOOK_EVERY, move |beat| {
        notices::run(kept.0.clone(), kept.1.clone(), Arc::clone(&kept.2), beat)
    });
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

/// A task that runs.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

fn speech(config: &Config, tls: Option<&Tls>) -> anyhow::Result<http::Speech> {
    let tls =
        tls.map(|tls| tls.config_for(&[b"http/1.1"])).transpose().context("certificate of the pages")?;
    Ok(http::Speech { tls, public_url: config.public_url.value.clone() })
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
}
