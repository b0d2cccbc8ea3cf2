//! The writer: what a server sends, appended to a buffer.

use super::qos::Qos;

/// How a CONNECT is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnAck {
    /// Come in; whether a session was kept.
    Welcome {
        /// Whether the broker had kept a session of this client.
        session_present: bool,
    },
    /// Another version of MQTT.
    Version,
    /// The client id is not accepted.
    ClientId,
    /// The broker can't take the connection now.
    Unavailable,
    /// User name or password is wrong.
    Credentials,
    /// The client may not connect.
    NotAllowed,
    /// There are too many connections.
    Busy,
    /// The account has too many connections.
    Quota,
}

/// Appends a CONNACK: the answer to a CONNECT.
pub fn conn_ack(out: &mut Vec<u8>, answer: ConnAck) {
    let (present, code) = match answer {
        ConnAck::Welcome { session_present } => (u8::from(session_present), 0),
        ConnAck::Version => (0, 1),
        ConnAck::ClientId => (0, 2),
        ConnAck::Unavailable | ConnAck::Busy | ConnAck::Quota => (0, 3),
        ConnAck::Credentials => (0, 4),
        ConnAck::NotAllowed => (0, 5),
    };
    out.extend_from_slice(&[0x20, 2, present, code]);
}

/// PUBLISH. With QoS 0, `packet_id` and `dup` mean nothing.
pub fn publish(
    out: &mut Vec<u8>,
    topic: &str,
    payload: &[u8],
    qos: Qos,
    packet_id: u16,
    dup: bool,
    retain: bool,
) {
    let acked = qos == Qos::AtLeastOnce;
    let flags = u8::from(acked && dup) << 3 | u8::from(acked) << 1 | u8::from(retain);
    out.push(0x30 | flags);
    length(out, 2 + topic.len() + if acked { 2 } else { 0 } + payload.len());
    text(out, topic);
    if acked {
        out.extend_from_slice(&packet_id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// Appends a PUBACK: a message of QoS 1 was taken.
pub fn pub_ack(out: &mut Vec<u8>, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

/// SUBACK; `None` is a refusal.
pub fn sub_ack(out: &mut Vec<u8>, packet_id: u16, granted: &[Option<Qos>]) {
    out.push(0x90);
    length(out, 2 + granted.len());
    out.extend_from_slice(&packet_id.to_be_bytes());
    out.extend(granted.iter().map(|granted| match granted {
        Some(Qos::AtMostOnce) => 0,
        Some(Qos::AtLeastOnce) => 1,
        None => 0x80,
    }));
}

/// Appends an UNSUBACK: an UNSUBSCRIBE was carried out.
pub fn unsub_ack(out: &mut Vec<u8>, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[0xb0, 2, high, low]);
}

/// Appends a PINGRESP: the answer to a PINGREQ.
pub fn ping_resp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
}

/// Text behind its length; ours has some dozen bytes.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        // Seven bits.
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}
