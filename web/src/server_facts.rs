//! What the server program tells the pages of itself, and how it is to be reached.

use crate::proxy::TrustedProxies;
use crate::refused_connection::RefusedConnections;
use fleet::{Archives, By, DueMessage, Refused, Sent};
use schema::Timestamp;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What the program tells the pages about itself.
#[derive(Clone)]
pub struct WebSettings {
    /// Where browsers reach it, without a slash at the end: `https://fleet.lan:8443`.
    pub public_url: String,
    /// Whether cookies are for TLS only.
    pub secure_cookies: bool,
    /// Reverse proxies whose word about the client's address is believed.
    pub proxies: TrustedProxies,
    /// Facts that pages show.
    pub server: ServerFacts,
    /// The server's certificates as they stand: asked anew each time, for they are renewed while it runs.
    pub certificates: Arc<dyn Fn() -> Vec<Certificate> + Send + Sync>,
    /// Facts of the broker, asked for at each page.
    pub broker: Arc<dyn Fn() -> BrokerFacts + Send + Sync>,
    /// What runs beside the pages, asked for at each page.
    pub tasks: Arc<dyn Fn() -> Vec<TaskFacts> + Send + Sync>,
    /// How much space is left where the data file is, in bytes; `None` = it can't be told.
    pub space_left: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    /// What is missing beside the data file, or is another one's, so that the next start would fail; in words.
    pub lost_piece: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// What viewers have to trust, PEM; empty = there is none.
    pub ca_pem: Arc<dyn Fn() -> String + Send + Sync>,
    /// Does the next step towards another authority for agents.
    pub rotate: Rotate,
    /// The archives that the server makes of itself.
    pub archives: Arc<Archives>,
    /// Whose failing logins the broker holds back now.
    pub held_logins: Arc<dyn Fn() -> Vec<HeldLogin> + Send + Sync>,
    /// Whom the broker did not let in during the last day.
    pub refused_connections: Arc<dyn Fn() -> RefusedConnections + Send + Sync>,
    /// Becomes true when the server stops: streams of events end at once, for they have no end of their own.
    pub stopped: watch::Receiver<bool>,
    /// The scripts that the server's configuration names, by which notices can be told.
    pub notice_scripts: Vec<String>,
    /// Sends a message of notices at once, to try a channel.
    pub send_notice: SendNotice,
    /// Whether browsers are told to use TLS for this machine from now on (HSTS).
    pub strict_transport: bool,
}

/// Does the next step towards another authority: whether hosts may be lost by it, and who asks.
pub type Rotate =
    Arc<dyn Fn(bool, By) -> Pin<Box<dyn Future<Output = Result<(), Refused>> + Send>> + Send + Sync>;

/// Sends a message, and says what came of it.
pub type SendNotice = Arc<dyn Fn(DueMessage) -> Pin<Box<dyn Future<Output = Delivery> + Send>> + Send + Sync>;

/// What came of a message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whether it was taken.
    pub sent: Sent,
    /// What the other side said, without secrets, cut; may be empty.
    pub said: String,
}

/// Somebody whose failing logins the broker holds back.
#[derive(Clone, Debug)]
pub struct HeldLogin {
    /// The address, or the /64 with IPv6.
    pub origin: String,
    /// The name that is tried; `None` = one after the other.
    pub account: Option<String>,
    /// Logins that were turned away since.
    pub failures: u32,
    /// For how long still, in milliseconds.
    pub for_ms: u64,
}

/// Facts of the server.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// Its version.
    pub version: String,
    /// Its MQTT listeners, the one that agents use first.
    pub mqtt: Vec<MqttListener>,
    /// When it was started.
    pub started_at: Timestamp,
}

/// A certificate of the server.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Whose it is: `authority`, `server`.
    pub of: &'static str,
    /// When it expires; `None` = that can't be told.
    pub ends_at: Option<Timestamp>,
    /// Who sees to a new one.
    pub renewed: &'static str,
}

/// A listener of the broker.
#[derive(Clone, Debug)]
pub struct MqttListener {
    /// `host:port` as clients dial it.
    pub address: String,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// A task of the server that never ends.
#[derive(Clone, Copy, Debug)]
pub struct TaskFacts {
    /// What it is called.
    pub name: &'static str,
    /// It says that it is well at least this often.
    pub period: Duration,
    /// When it last said so.
    pub since_beat: Duration,
    /// How often it began again after a fault of the program.
    pub restarts: u64,
}

impl TaskFacts {
    /// So many times it may keep silent.
    const BEATS: u32 = 3;

    pub(crate) fn is_well(&self) -> bool {
        self.since_beat <= self.period * Self::BEATS
    }
}

/// What the MQTT broker counts.
#[derive(Clone, Debug, Default)]
pub struct BrokerFacts {
    /// Hosts that are connected.
    pub hosts: u32,
    /// Viewers that are connected.
    pub viewers: u32,
    /// What it counts, for the metrics alone.
    pub figures: Vec<BrokerFigure>,
}

/// A figure of the broker.
#[derive(Clone, Copy, Debug)]
pub struct BrokerFigure {
    /// Its name in the metrics.
    pub name: &'static str,
    /// What it counts, in a sentence for `/metrics`.
    pub help: &'static str,
    /// Its value now.
    pub value: f64,
    /// It only grows, from the start of the server on.
    pub is_total: bool,
}
