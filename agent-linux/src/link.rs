//! The connection to the server: MQTT 3.1.1 over TLS. One connection at a time; when it ends it is gone, and the core
//! decides when the next one begins.

use crate::{clock, encoding, identity::Identity, random};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions,
    Packet, Publish, QoS, StateError, TlsConfiguration, Transport,
};
use rustls::{CertificateError, ClientConfig};
use schema::{
    Epoch, HostTopic, Presence, Topic, address,
    envelope::{self, NONCE_BYTES},
    limits,
};
use std::{error::Error as _, io, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

const CONNECT_SECS: u64 = 20;
/// More than the core's window and a session's first messages together: acks are never held up by reports.
const IN_FLIGHT: u16 = 64;
const REQUESTS: usize = 256;
const EVENTS: usize = 32;

/// What the connection has to say.
#[derive(Debug)]
pub enum LinkEvent {
    /// The connection is established and the login was accepted.
    Connected,
    /// A message came; to be acknowledged with [`Link::acknowledge`].
    Message(Publish),
    /// It ended, or did not come about. The last event.
    Closed {
        /// Why the connection ended or did not come about.
        error: LinkError,
        /// How long after anything came over it; `None` = it did not come about.
        idle: Option<Duration>,
    },
}

/// Why a connection ended, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address can't be reached.
    #[error(
        "{address} can't be reached: {reason}. Is the server up, and does a firewall let this port through?"
    )]
    Unreachable {
        /// Address of the server.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The server's certificate is of another authority.
    #[error("{0} shows a certificate of another authority than the one this agent trusts")]
    WrongAuthority(String),
    /// The certificate does not name the address.
    #[error(
        "{0} shows a certificate that does not name this address: give the server its address (see its --tls-name option)"
    )]
    WrongName(String),
    /// By this machine's clock the certificate is not valid.
    #[error(
        "by the clock of this machine ({clock_ms} ms since 1970) the certificate of {address} is not valid: is the clock right?"
    )]
    Clock {
        /// Address of the server.
        address: String,
        /// This machine's clock.
        clock_ms: u64,
    },
    /// The login was refused.
    #[error(
        "{0} refuses the login: the server does not know this host any more, or it was enrolled again elsewhere. Was the server restored from an archive of before this machine was enrolled, take it in on its page Refused connections. Else enrol this machine again: stop the agent, make a new token in the server's pages, and run holdfast-agent enroll --force TOKEN"
    )]
    Login(String),
    /// Two machines have the same identity.
    #[error(
        "{0} does not let this host in: two machines have its identity, as a disk or an agent's state folder was copied. The host's page on the server says what to do"
    )]
    KeptOut(String),
    /// The connection ended for any other reason.
    #[error("the connection to {address} ended: {reason}")]
    Other {
        /// Address of the server.
        address: String,
        /// The reason in words.
        reason: String,
    },
}

/// How to log in. Prints no secret.
pub struct Login {
    /// Address of the server, as `host:port`.
    pub address: String,
    /// MQTT client id.
    pub client_id: String,
    /// User name for MQTT.
    pub username: String,
    /// Password for MQTT.
    pub password: String,
    /// Published by the broker when the connection breaks.
    pub will: Option<(Topic, Vec<u8>)>,
    /// Whether the broker forgets the session at its end.
    pub clean_session: bool,
    /// How often a silent connection says that it is there.
    pub keep_alive: Duration,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({} at {})", self.client_id, self.address)
    }
}

/// A connection that stands or is being made.
#[derive(Debug)]
pub struct Link {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
}

/// The connection takes nothing more: it is to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not take more messages")]
pub struct Stuck;

impl Link {
    /// Begins to connect to an address as the host of `identity`, with a will of this epoch.
    pub fn connect_host(
        identity: &Identity,
        tls: &Arc<ClientConfig>,
        (address, epoch): (&str, Epoch),
        keep_alive: Duration,
    ) -> Option<Self> {
        let topic = Topic::Host(identity.host, HostTopic::Presence);
        let will = seal(identity, topic, &Presence::Gone { epoch, clean: false })?;
        let login = Login {
            address: address.to_owned(),
            client_id: identity.host.to_string(),
            username: identity.host.to_string(),
            password: identity.password.clone(),
            will: Some((topic, will)),
            clean_session: false,
            keep_alive,
        };
        Self::connect(login, tls)
    }

    /// Begins to connect; `None` when the address is none.
    pub fn connect(login: Login, tls: &Arc<ClientConfig>) -> Option<Self> {
        let Login { address, client_id, username, password, will, clean_session, keep_alive } = login;
        let (host, port) = address::split(&address)?;
        let mut options = MqttOptions::new(client_id, host, port);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))))
            .set_credentials(username, password)
            .set_keep_alive(keep_alive)
            .set_clean_session(clean_session)
            .set_manual_acks(true)
            .set_inflight(IN_FLIGHT)
            .set_max_packet_size(limits::MAX_PACKET_BYTES, limits::MAX_PACKET_BYTES);
        if let Some((topic, payload)) = will {
            options.set_last_will(LastWill::new(topic.text().as_str(), payload, QoS::AtLeastOnce, true));
        }
        let (client, mut event_loop) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_SECS);
        network.set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let (sender, events) = mpsc::channel(EVENTS);
        let task = tokio::spawn(turn(event_loop, sender, address));
        Some(Self { client, events, task })
    }

    /// Waits for the next event of the connection.
    pub async fn event(&mut self) -> LinkEvent {
        let ended = || {
            let error = LinkError::Other { address: String::new(), reason: "its task ended".to_owned() };
            LinkEvent::Closed { error, idle: None }
        };
        self.events.recv().await.unwrap_or_else(ended)
    }

    /// Asks for the messages of a topic.
    pub fn subscribe(&self, topic: Topic) -> Result<(), Stuck> {
        self.client.try_subscribe(topic.text().as_str(), QoS::AtLeastOnce).map_err(|_| Stuck)
    }

    /// Publishes, at least once and retained as the topic wants it.
    pub fn publish(&self, topic: Topic, payload: Vec<u8>) -> Result<(), Stuck> {
        let (qos, retained) = match topic {
            Topic::Host(_, HostTopic::Live | HostTopic::Bulk) => (QoS::AtMostOnce, false),
            Topic::Host(_, topic) => (QoS::AtLeastOnce, topic.is_retained()),
            Topic::EnrollRequest(_) | Topic::EnrollResponse(_) => (QoS::AtLeastOnce, false),
        };
        self.client.try_publish(topic.text().as_str(), qos, retained, payload).map_err(|_| Stuck)
    }

    /// Tells the broker that a message is dealt with.
    pub fn acknowledge(&self, message: &Publish) -> Result<(), Stuck> {
        self.client.try_ack(message).map_err(|_| Stuck)
    }

    /// Ends the connection in order: waits until the broker closes it, so that all that was sent has arrived, but not
    /// long.
    pub async fn disconnect(mut self) {
        if self.client.try_disconnect().is_ok() {
            let drained = async { while !matches!(self.event().await, LinkEvent::Closed { .. }) {} };
            let _ = tokio::time::timeout(Duration::from_secs(3), drained).await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Seals a message for the server.
pub fn seal<T: serde::Serialize>(identity: &Identity, topic: Topic, message: &T) -> Option<Vec<u8>> {
    seal_encoded(identity, topic, &encoding::encode(message)?)
}

/// Seals an encoded message for the server.
pub fn seal_encoded(identity: &Identity, topic: Topic, message: &[u8]) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_BYTES];
    random::fill(&mut nonce).ok()?;
    let mut buffer = vec![0; message.len() + envelope::OVERHEAD_BYTES];
    buffer[envelope::HEADER_BYTES..envelope::HEADER_BYTES + message.len()].copy_from_slice(message);
    envelope::seal_in_place(&identity.link_key, identity.key_id, nonce, topic, &mut buffer, message.len())
        .ok()?;
    Some(buffer)
}

/// Seals a message that is no longer than this when it is encoded, with one buffer: for those that are many and large.
pub fn seal_large<T: serde::Serialize>(
    identity: &Identity,
    topic: Topic,
    message: &T,
    longest: usize,
) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_BYTES];
    random::fill(&mut nonce).ok()?;
    let mut buffer = vec![0; longest + envelope::OVERHEAD_BYTES];
    let sealed =
        envelope::seal(&identity.link_key, identity.key_id, nonce, topic, message, &mut buffer).ok()?.len();
    buffer.truncate(sealed);
    Some(buffer)
}

async fn turn(mut event_loop: EventLoop, events: mpsc::Sender<LinkEvent>, address: String) {
    let mut heard_at: Option<Instant> = None;
    loop {
        let polled = event_loop.poll().await;
        if let Ok(Event::Incoming(_)) = polled {
            heard_at = Some(clock::instant());
        }
        let event = match polled {
            Ok(Event::Incoming(Packet::ConnAck(_))) => LinkEvent::Connected,
            Ok(Event::Incoming(Packet::Publish(message))) => LinkEvent::Message(message),
            Ok(_) => continue,
            Err(error) => {
                let idle = heard_at.map(|at| at.elapsed());
                LinkEvent::Closed { error: explain(&address, &error), idle }
            }
        };
        let is_last = matches!(event, LinkEvent::Closed { .. });
        if events.send(event).await.is_err() || is_last {
            return;
        }
    }
}

fn explain(address: &str, error: &ConnectionError) -> LinkError {
    let address = address.to_owned();
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::BadClientId,
        ) => LinkError::Login(address),
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => LinkError::KeptOut(address),
        ConnectionError::NetworkTimeout => {
            LinkError::Unreachable { address, reason: format!("no answer in {CONNECT_SECS} s") }
        }
        ConnectionError::Io(error) => LinkError::Unreachable { address, reason: error.to_string() },
        ConnectionError::Tls(rumqttc::TlsError::Io(error)) => explain_tls(address, error),
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            LinkError::Other { address, reason: "the server closed it".to_owned() }
        }
        other => LinkError::Other { address, reason: other.to_string() },
    }
}

fn explain_tls(address: String, error: &io::Error) -> LinkError {
    use rustls::Error::InvalidCertificate;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => LinkError::Clock { address, clock_ms: clock::wall().0 },
        Some(InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => LinkError::WrongName(address),
        Some(InvalidCertificate(_)) => LinkError::WrongAuthority(address),
        _ => {
            let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            LinkError::Other { address, reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_and_a_closed_connection_say_what_they_are() {
        let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword);
        let said = explain("nas:8883", &refused).to_string();
        assert!(said.contains("does not know this host any more"), "{said}");
        assert!(said.contains("holdfast-agent enroll --force TOKEN"), "{said}");
        let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
        assert!(explain("nas:8883", &refused).to_string().contains("two machines have its identity"));
        let closed = ConnectionError::MqttState(StateError::ConnectionAborted);
        let said = explain("nas:8883", &closed).to_string();
        assert_eq!(said, "the connection to nas:8883 ended: the server closed it");
    }
}
