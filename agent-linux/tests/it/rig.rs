//! A real broker (mosquitto) with TLS, and a server behind it that speaks the schema.

use agent_linux::identity::Identity;
use data_encoding::BASE32_NOPAD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};
use schema::{
    EnrollResponse, HostId, HostTopic, Sealed, Timestamp, ToAgent, Token, TokenId, Topic,
    enroll::MAX_TOKEN_CHARS,
    envelope::{self, Key},
};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Nothing here takes longer, even on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_holdfast-agent");

pub(crate) struct Authority {
    pub(crate) fingerprint: [u8; 32],
    ca_pem: String,
    chain_pem: String,
    key_pem: String,
}

impl Authority {
    pub(crate) fn new(names: &[&str]) -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_cert = ca.self_signed(&ca_key).expect("signed");
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).expect("parameters");
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("signed");
        let digest = ring::digest::digest(&ring::digest::SHA256, ca_cert.der());
        Self {
            fingerprint: digest.as_ref().try_into().expect("32 bytes"),
            ca_pem: ca_cert.pem(),
            chain_pem: leaf.pem() + &ca_cert.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

pub(crate) struct Broker {
    pub(crate) port: u16,
    pub(crate) plain_port: u16,
    pub(crate) authority: Authority,
    process: Child,
    folder: TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn mosquitto() -> PathBuf {
    ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .expect("mosquitto is not installed: apt-get install mosquitto")
}

impl Broker {
    pub(crate) fn start() -> Self {
        let authority = Authority::new(&["127.0.0.1", "localhost"]);
        let folder = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let (chain, key) = (write("chain.pem", &authority.chain_pem), write("key.pem", &authority.key_pem));
        let (port, plain_port) = (free_port(), free_port());
        let user = if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
        {
            "user root\n"
        } else {
            ""
        };
        let config = format!(
            "{user}allow_anonymous true\nlistener {plain_port} 127.0.0.1\nlistener {port} 127.0.0.1\n\
             certfile {}\nkeyfile {}\ntls_version tlsv1.3\n",
            chain.display(),
            key.display()
        );
        let config = write("mosquitto.conf", &config);
        let process = spawn(&config, plain_port);
        Self { port, plain_port, authority, process, folder }
    }

    /// Ends it and starts it again; it remembers nothing.
    pub(crate) fn restart(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = spawn(&self.folder.path().join("mosquitto.conf"), self.plain_port);
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn spawn(config: &Path, plain_port: u16) -> Child {
    let process = Command::new(mosquitto())
        .arg("-c")
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto starts");
    wait_for("the broker", || std::net::TcpStream::connect(("127.0.0.1", plain_port)).ok());
    process
}

/// Waits until there is something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LONG.as_millis() / 20 {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("waited too long for {what}");
}

/// A token for `address`, and what it seals with.
pub(crate) fn token(address: &str, fingerprint: [u8; 32], expires_at: Timestamp) -> String {
    let token = Token {
        addresses: address,
        ca_fingerprint: fingerprint,
        id: TokenId([9; 16]),
        secret: [5; 16],
        key: Key::new([6; 32]),
        expires_at,
    };
    let mut buffer = [0; MAX_TOKEN_CHARS];
    token.write(&mut buffer).expect("short enough").to_owned()
}

/// A server behind the broker.
pub(crate) struct Server {
    client: Client,
    messages: mpsc::Receiver<(String, Vec<u8>)>,
    kept: Vec<(String, Vec<u8>)>,
}

impl Server {
    pub(crate) fn connect(broker: &Broker) -> Self {
        let mut options = MqttOptions::new("server", "127.0.0.1", broker.plain_port);
        options.set_max_packet_size(128 * 1024, 128 * 1024);
        let (client, connection) = Client::new(options, 64);
        let (sender, messages) = mpsc::channel();
        let (ready_sender, ready) = mpsc::channel();
        client.subscribe("hf/1/#", QoS::AtLeastOnce).expect("subscribed");
        thread::spawn(move || pump(connection, &sender, &ready_sender));
        ready.recv_timeout(LONG).expect("subscribed");
        Self { client, messages, kept: Vec::new() }
    }

    /// Waits for the next message that `take` wants; the others are kept for later.
    pub(crate) fn wait<T>(&mut self, what: &str, mut take: impl FnMut(&str, &[u8]) -> Option<T>) -> T {
        for index in 0..self.kept.len() {
            let (topic, payload) = &self.kept[index];
            if let Some(found) = take(topic, payload) {
                self.kept.remove(index);
                return found;
            }
        }
        loop {
            let Ok((topic, payload)) = self.messages.recv_timeout(LONG) else {
                panic!("waited too long for {what}");
            };
            if let Some(found) = take(&topic, &payload) {
                return found;
            }
            self.kept.push((topic, payload));
        }
    }

    /// Waits for a message of the host, opened and decoded by `take`.
    pub(crate) fn wait_host<T>(
        &mut self,
        identity: &Identity,
        topic: HostTopic,
        mut take: impl FnMut(&[u8]) -> Option<T>,
    ) -> T {
        let topic = Topic::Host(identity.host, topic);
        self.wait(&topic.to_string(), |on, payload| {
            if Topic::parse(on) != Some(topic) {
                return None;
            }
            let mut buffer = vec![0; payload.len()];
            let plain = Sealed::parse(payload).ok()?.open(&identity.link_key, topic, &mut buffer).ok()?;
            take(plain)
        })
    }

    pub(crate) fn send(&self, topic: Topic, payload: Vec<u8>) {
        self.client.publish(topic.to_string(), QoS::AtLeastOnce, false, payload).expect("published");
    }

    pub(crate) fn command(&self, identity: &Identity, message: &ToAgent<'_>) {
        let topic = Topic::Host(identity.host, HostTopic::Cmd);
        let payload = agent_linux::link::seal(identity, topic, message).expect("sealed");
        self.send(topic, payload);
    }

    /// Answers the next enrolment.
    pub(crate) fn welcome(&mut self, answer: &EnrollResponse<'_>) {
        let id = TokenId([9; 16]);
        let request = Topic::EnrollRequest(id);
        self.wait("an enrolment", |on, payload| {
            let mut buffer = vec![0; payload.len()];
            (Topic::parse(on) == Some(request)).then_some(())?;
            let sealed = Sealed::parse(payload).expect("sealed");
            assert_eq!(sealed.key_id, 0);
            let plain = sealed.open(&Key::new([6; 32]), request, &mut buffer).expect("opens");
            let asked: schema::EnrollRequest<'_> = schema::decode(plain).expect("a request");
            assert!(!asked.hostname.is_empty() && asked.agent_version == env!("CARGO_PKG_VERSION"));
            Some(())
        });
        let topic = Topic::EnrollResponse(id);
        let mut buffer = vec![0; 4096];
        let payload =
            envelope::seal(&Key::new([6; 32]), 0, [3; 24], topic, answer, &mut buffer).expect("sealed");
        self.send(topic, payload.to_vec());
    }
}

fn pump(mut connection: Connection, messages: &mpsc::Sender<(String, Vec<u8>)>, ready: &mpsc::Sender<()>) {
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                let _ = ready.send(());
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if messages.send((message.topic, message.payload.to_vec())).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

pub(crate) fn welcome() -> EnrollResponse<'static> {
    EnrollResponse::Welcome {
        host: HostId([8; 16]),
        host_name: "attic",
        password: "mqtt-password-x",
        link_key: [7; 32],
        key_id: 1,
        backups_held: false,
    }
}

/// Enrols a state folder by the real program.
pub(crate) fn enrol(broker: &Broker, server: &mut Server, state: &Path) {
    let text = token(&broker.address(), broker.authority.fingerprint, Timestamp(u64::MAX));
    let child = Command::new(AGENT)
        .args(["enroll", "--state-dir"])
        .arg(state)
        .arg(&text)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    server.welcome(&welcome());
    let output = child.wait_with_output().expect("ends");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("attic") && said.contains("holdfast-agent run"), "{said}");
    assert!(!said.contains("password-x") && !said.contains(&BASE32_NOPAD.encode(&[5; 16])));
}

impl Authority {
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}
