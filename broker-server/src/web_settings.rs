//! What the pages are told of the server around them.

use crate::{
    certificates, clock,
    config::Config,
    gate::{self, GateHandle},
    gate_metrics, notices,
    own_pieces::OwnPieces,
    platform,
    rollover::{Rollover, RolloverError},
    tasks::Tasks,
    tls::Tls,
};
use fleet::{Archives, Refused, StoreError};
use std::sync::Arc;
use tokio::sync::watch;
use web::{HeldLogin, MqttListener, ServerFacts, TrustedProxies, WebSettings};

/// The settings of the pages, by those of the server.
pub(crate) fn web_settings(
    config: &Config,
    (tls, pages_tls): (&Arc<Tls>, Option<&Arc<Tls>>),
    gate: &GateHandle,
    (tasks, stopped): (&Tasks, watch::Receiver<bool>),
    own_pieces: &Arc<OwnPieces>,
    archives: Arc<Archives>,
    rollover: Arc<Rollover>,
) -> WebSettings {
    let own_pieces = Arc::clone(own_pieces);
    let dialled = config.mqtt_public.value.iter();
    let mut mqtt: Vec<_> =
        dialled.map(|address| MqttListener { address: address.clone(), tls: true }).collect();
    let plain = config.mqtt_plain.value;
    mqtt.extend(plain.map(|address| MqttListener { address: address.to_string(), tls: false }));
    let public_url = config.public_url.value.clone();
    let (gate, held, refused, tasks) = (gate.clone(), gate.clone(), gate.clone(), tasks.clone());
    let data_dir = config.data_dir.value.clone();
    WebSettings {
        secure_cookies: public_url.starts_with("https://"),
        public_url: public_url.clone(),
        proxies: TrustedProxies::new(config.trusted_proxies.value.clone()),
        server: ServerFacts { version: env!("CARGO_PKG_VERSION").to_owned(), mqtt, started_at: clock::now() },
        certificates: certificates::shown(config, tls, pages_tls),
        ca_pem: ca_pem(tls),
        rotate: rotate(rollover),
        broker: Arc::new(move || gate_metrics::of_broker(&gate.stats())),
        tasks: Arc::new(move || tasks.health()),
        space_left: Arc::new(move || platform::space_left(&data_dir)),
        held_logins: Arc::new(move || held.held().into_iter().map(held_login).collect()),
        refused_connections: Arc::new(move || refused.refused_connections()),
        archives,
        notice_scripts: config.scripts().into_keys().collect(),
        send_notice: notices::at_once(notices::Outside {
            base: public_url.clone(),
            scripts: config.scripts(),
        }),
        stopped,
        lost_piece: Arc::new(move || own_pieces.found()),
        // Not with a certificate of our own authority: a browser that does not know it could not be told otherwise.
        strict_transport: public_url.starts_with("https://")
            && (!config.http_tls.value || config.http_tls_certificate.value.is_some()),
    }
}

fn ca_pem(tls: &Arc<Tls>) -> Arc<dyn Fn() -> String + Send + Sync> {
    let tls = Arc::clone(tls);
    Arc::new(move || tls.ca_pem())
}

fn rotate(rollover: Arc<Rollover>) -> web::Rotate {
    Arc::new(move |is_forced, by| {
        let rollover = Arc::clone(&rollover);
        Box::pin(async move {
            match rollover.rotate(is_forced, by).await {
                Ok(_) => Ok(()),
                Err(RolloverError::Refused(refused)) => Err(refused),
                Err(RolloverError::Tls(error)) => {
                    Err(Refused::Store(StoreError::Damaged { why: error.to_string() }))
                }
            }
        })
    })
}

fn held_login(held: gate::Held) -> HeldLogin {
    HeldLogin { origin: held.origin, account: held.username, failures: held.refused, for_ms: held.for_ms }
}
