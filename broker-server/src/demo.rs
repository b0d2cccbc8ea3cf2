//! The demo: a server, an agent of its own and a first backup, on one machine, with the real parts.
//!
//! It does what an operator does, in the same order: add a host, enrol it, give it a repository, say what to back
//! up, and back it up. A second run finds all that and only backs up again.

mod folder;
mod progress;
mod steps;

use crate::{
    cli::Demo,
    config::{Config, Layer, Layers},
    control, out,
    serve::{self, Server},
};
use anyhow::{Context, bail};
use folder::DemoFolder;
use progress::say;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
};
use tokio::{process::Child, signal::unix::SignalKind};

/// Runs the demo.
pub async fn run(options: Demo) -> anyhow::Result<ExitCode> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let folder = DemoFolder::open(&options.data_dir)?;
    if control::is_answered(&folder.server()) {
        bail!(
            "a demo runs over {} already: use its page, end it with Ctrl-C, or give this one another folder with --data-dir",
            folder.root.display()
        );
    }
    let config = config(&options, &folder)?;
    let public_url = config.public_url.value.clone();
    let plain = config.mqtt_plain.value;
    say("Starting the server: MQTT broker, pages and API");
    let server = serve::start(config).await?;
    let mut agent = None;
    let done = tokio::select! {
        done = show(&options, &folder, &server, &public_url, plain, &mut agent) => done,
        _ = tokio::signal::ctrl_c() => Ok(true),
        _ = terminate.recv() => Ok(true),
    };
    say("Stopping");
    if let Some(agent) = agent {
        stop_agent(agent).await;
    }
    server.stop().await;
    done.map(|well| if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All steps; then, unless only once, waits for the agent to end (which it does not by itself).
async fn show(
    options: &Demo,
    folder: &DemoFolder,
    server: &Server,
    public_url: &str,
    plain: Option<SocketAddr>,
    agent: &mut Option<Child>,
) -> anyhow::Result<bool> {
    let programs = steps::Programs::find(options)?;
    let fleet = &server.fleet;
    steps::no_other_agent(folder).await?;
    let host = steps::host(fleet, folder, &programs).await?;
    let running = agent.insert(steps::start_agent(folder, &programs)?);
    steps::online(fleet, host, running, folder).await?;
    steps::credentials(fleet, host, folder).await?;
    let group = steps::group(fleet, host, &sources(options, folder)?).await?;
    steps::repository(fleet, host).await?;
    steps::backup(fleet, host, &group).await?;
    let (listed, newest) = steps::snapshots(fleet, host).await?;
    steps::restore(fleet, host, &group, newest).await?;
    steps::prove(fleet, host, &group).await?;
    if options.once {
        say(&format!(
            "Done: {listed} snapshot{} in the repository, listed by restic.",
            if listed == 1 { "" } else { "s" }
        ));
        return Ok(listed > 0);
    }
    out::line(format_args!("\n  Pages      {public_url}"))?;
    match fleet.setup_code().await? {
        Some(code) => out::line(format_args!(
            "  Sign in    {public_url}/setup/{}   (makes the first account)",
            code.expose()
        ))?,
        None => out::line(format_args!("  Sign in    {public_url}/login"))?,
    }
    if let Some(plain) = plain {
        out::line(format_args!("  MQTT       {plain}: make a viewer account under Settings, then"))?;
        let port = plain.port();
        out::line(format_args!(
            "             mosquitto_sub -p {port} -u NAME -P PASSWORD -t 'hf/1/view/#' -v"
        ))?;
    }
    out::line(format_args!("  Data       {}\n", folder.root.display()))?;
    say("Up. Ctrl-C stops it.");
    let status = running.wait().await?;
    bail!("the agent ended by itself ({status}); its log is {}", folder.agent_log().display());
}

fn sources(options: &Demo, folder: &DemoFolder) -> anyhow::Result<steps::Sources> {
    let here = std::env::current_dir()?;
    let given = if options.source.is_empty() { vec![here.clone()] } else { options.source.clone() };
    let mut includes = Vec::new();
    for path in given {
        let path =
            path.canonicalize().with_context(|| format!("nothing to back up at {}", path.display()))?;
        includes.push(path.to_str().context("the path is not UTF-8")?.to_owned());
    }
    let own = [folder.root.clone(), here.join("target")];
    let excludes = own.iter().filter_map(|path| path.to_str()).map(str::to_owned).collect();
    Ok(steps::Sources { includes, excludes })
}

fn config(options: &Demo, folder: &DemoFolder) -> anyhow::Result<Config> {
    let http = port("pages", "--http-port", options.http_port, 8080)?;
    let mqtt = port("agent", "--mqtt-port", options.mqtt_port, 8883)?;
    let plain = port("MQTT tools", "--mqtt-plain-port", options.mqtt_plain_port, 1883)?;
    let flags = Layer {
        data_dir: Some(folder.server()),
        http: Some(http),
        mqtt: Some(mqtt),
        mqtt_plain: Some(plain.to_string()),
        mqtt_public: Some(vec![mqtt.to_string()]),
        ..Layer::default()
    };
    Ok(Layers { flags, ..Layers::default() }.resolve()?)
}

/// The port that was asked for, or the usual one; where the usual one is taken, the next that is free, and says so.
fn port(what: &str, flag: &str, asked: Option<u16>, usual: u16) -> anyhow::Result<SocketAddr> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Some(asked) = asked {
        return match TcpListener::bind(address(asked)) {
            Ok(_) => Ok(address(asked)),
            Err(error) => Err(anyhow::Error::new(error)
                .context(format!("port {asked} for {what} can't be used; choose another with {flag}"))),
        };
    }
    let found = (usual..usual.saturating_add(100)).find(|port| TcpListener::bind(address(*port)).is_ok());
    let Some(found) = found else { bail!("no free port for {what} from {usual} on; choose one with {flag}") };
    if found != usual {
        say(&format!(
            "port {usual} is in use by another program; {what} get {found} ({flag} chooses another)"
        ));
    }
    Ok(address(found))
}

async fn stop_agent(mut agent: Child) {
    use std::time::Duration;
    if let Some(pid) =
        agent.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(Duration::from_secs(10), agent.wait()).await.is_err() {
        let _ = agent.kill().await;
    }
}
