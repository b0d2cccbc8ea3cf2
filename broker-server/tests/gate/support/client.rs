//! A client made of raw bytes: says exactly what it is told, and shows exactly what comes back.

use super::{PATIENCE, directory::PASSWORD};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use schema::HostId;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// A CONNECT.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) client_id: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<(String, Vec<u8>, u8)>,
    pub(crate) level: u8,
}

impl Hello {
    pub(crate) fn host(host: HostId) -> Self {
        Self::named(&host.to_string(), &host.to_string())
    }

    pub(crate) fn named(username: &str, client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            username: username.into(),
            password: PASSWORD.into(),
            clean: true,
            keep_alive: 60,
            will: None,
            level: 4,
        }
    }

    pub(crate) fn kept(self) -> Self {
        Self { clean: false, ..self }
    }

    pub(crate) fn with_will(self, topic: &str, payload: &[u8]) -> Self {
        Self { will: Some((topic.into(), payload.to_vec(), 1)), ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = text(b"MQTT");
        let will_flags = self.will.as_ref().map_or(0, |(_, _, qos)| 0x24 | qos << 3);
        body.extend([self.level, 0xc0 | will_flags | u8::from(self.clean) << 1]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.level == 5 {
            body.push(0);
        }
        body.extend(text(self.client_id.as_bytes()));
        if let Some((topic, payload, _)) = &self.will {
            if self.level == 5 {
                body.push(0);
            }
            body.extend(text(topic.as_bytes()));
            body.extend(text(payload));
        }
        body.extend(text(self.username.as_bytes()));
        body.extend(text(self.password.as_bytes()));
        packet(0x10, &body)
    }
}

/// Presence of a host, as a will.
pub(crate) fn will(host: HostId) -> Hello {
    Hello::host(host).with_will(&super::topic(host, "presence"), b"gone")
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Publish { topic: String, payload: Vec<u8>, qos: u8, packet_id: u16, dup: bool, retain: bool },
    Packet(u8, Vec<u8>),
    Closed,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// With TLS, trusting this authority only.
    pub(crate) async fn open_tls(address: SocketAddr, ca_pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Self::over(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
    }

    /// Says this; whether the peer still listens shows later.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Says hello and gives the answer.
    pub(crate) async fn hello(&mut self, hello: &Hello) -> Got {
        self.say(&hello.bytes()).await;
        self.next().await
    }

    /// Says hello and must be welcome; gives whether a session was kept.
    pub(crate) async fn welcome(&mut self, hello: &Hello) -> bool {
        match self.hello(hello).await {
            Got::Packet(0x20, answer) if answer[1] == 0 => answer[0] == 1,
            other => panic!("{hello:?} was answered {other:?}"),
        }
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, packet_id: u16) {
        self.say(&publish(topic, payload, qos, packet_id)).await;
    }

    /// Subscribes and gives what was granted.
    pub(crate) async fn subscribe(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        let mut body = vec![0, 77];
        for (filter, qos) in filters {
            body.extend(text(filter.as_bytes()));
            body.push(*qos);
        }
        self.say(&packet(0x82, &body)).await;
        match self.next().await {
            Got::Packet(0x90, answer) if answer[..2] == [0, 77] => answer[2..].to_vec(),
            other => panic!("SUBSCRIBE was answered {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        self.say(&[0x40, 2, high, low]).await;
    }

    /// Whether everything said before has been understood: asks for a sign of life and gives what came before it.
    pub(crate) async fn ping(&mut self) -> Vec<Got> {
        self.say(&[0xc0, 0]).await;
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Got::Packet(0xd0, _) => return before,
                Got::Closed => panic!("closed instead of PINGRESP, after {before:?}"),
                other => before.push(other),
            }
        }
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Got {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("nothing came")
    }

    /// Waits for the end, whatever comes before it.
    pub(crate) async fn closed(&mut self) {
        while self.next().await != Got::Closed {}
    }

    async fn read(&mut self) -> Got {
        loop {
            if let Some(got) = self.take() {
                return got;
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Got::Closed,
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self) -> Option<Got> {
        let (mut length, mut at) = (0_usize, 1);
        loop {
            let byte = *self.buffer.get(at)?;
            length |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if self.buffer.len() < at + length {
            return None;
        }
        let first = self.buffer[0];
        let body: Vec<u8> = self.buffer.drain(..at + length).skip(at).collect();
        if first >> 4 != 3 {
            return Some(Got::Packet(first, body));
        }
        let qos = first >> 1 & 3;
        let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (packet_id, payload) = match qos {
            0 => (0, topic_end),
            _ => (u16::from_be_bytes([body[topic_end], body[topic_end + 1]]), topic_end + 2),
        };
        Some(Got::Publish {
            topic: String::from_utf8(body[2..topic_end].to_vec()).unwrap(),
            payload: body[payload..].to_vec(),
            qos,
            packet_id,
            dup: first & 8 != 0,
            retain: first & 1 != 0,
        })
    }
}

/// A packet of this body.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        packet.push(if length == 0 { byte } else { byte | 0x80 });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// Bytes behind their length.
pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    let mut text = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    text.extend(bytes);
    text
}

/// A PUBLISH.
pub(crate) fn publish(topic: &str, payload: &[u8], qos: u8, packet_id: u16) -> Vec<u8> {
    let mut body = text(topic.as_bytes());
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}
