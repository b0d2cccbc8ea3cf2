//! The writer: what a server sends, appended to a buffer.

use super::{
    super::{
        ConnAck,
        write::{length, text},
    },
    ReasonCode,
};

/// How a client is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The client id that was made for a client without one.
    pub assigned_client_id: Option<&'a str>,
    /// The client asked for a session that outlives its connection, which it does not get.
    pub asked_to_keep_session: bool,
    /// The keep-alive that counts instead of the client's, in seconds.
    pub keep_alive_secs: Option<u16>,
    /// The largest packet that is taken.
    pub max_packet_bytes: u32,
}

/// CONNACK for who comes in, with what is not to be had here.
pub fn conn_ack_welcome(out: &mut Vec<u8>, welcome: &Welcome<'_>) {
    let mut properties = Vec::new();
    if welcome.asked_to_keep_session {
        properties.extend_from_slice(&[0x11, 0, 0, 0, 0]);
    }
    // Messages of QoS 1 are acknowledged, as a refusal. With 0 here, clients with a will of QoS 1, as the
    // bridge of mosquitto, would have to be turned away.
    properties.extend_from_slice(&[0x24, 1]);
    // Retained messages, yes; wildcards, yes; subscription identifiers, no; shared subscriptions, no.
    properties.extend_from_slice(&[0x25, 1, 0x28, 1, 0x29, 0, 0x2a, 0]);
    properties.push(0x27);
    properties.extend_from_slice(&welcome.max_packet_bytes.to_be_bytes());
    if let Some(client_id) = welcome.assigned_client_id {
        properties.push(0x12);
        text(&mut properties, client_id);
    }
    if let Some(secs) = welcome.keep_alive_secs {
        properties.push(0x13);
        properties.extend_from_slice(&secs.to_be_bytes());
    }
    conn_ack(out, ReasonCode::SUCCESS, &properties);
}

/// CONNACK for who does not. The words are left out when the packet would be too large with them.
pub fn conn_ack_refused(out: &mut Vec<u8>, reason: ReasonCode, words: &str, max_packet_bytes: usize) {
    let properties = reason_string(words);
    conn_ack(out, reason, if 7 + properties.len() <= max_packet_bytes { &properties } else { &[] });
}

fn conn_ack(out: &mut Vec<u8>, reason: ReasonCode, properties: &[u8]) {
    let mut body = vec![0, reason.0];
    length(&mut body, properties.len());
    body.extend_from_slice(properties);
    packet(out, 0x20, &body);
}

/// What a refusal is in MQTT 5, with words for the client's log.
#[must_use]
pub const fn refusal(answer: ConnAck) -> (ReasonCode, &'static str) {
    match answer {
        ConnAck::Welcome { .. } => (ReasonCode::SUCCESS, ""),
        ConnAck::Version => (
            ReasonCode::UNSUPPORTED_VERSION,
            "MQTT 5 is spoken with view accounts only; agents speak MQTT 3.1.1",
        ),
        ConnAck::ClientId => {
            (ReasonCode::CLIENT_ID_NOT_VALID, "the client id may have up to 128 letters, digits and - _ . :")
        }
        ConnAck::Unavailable => (ReasonCode::SERVER_UNAVAILABLE, "not now; try again in a while"),
        ConnAck::Credentials => (ReasonCode::BAD_USER_NAME_OR_PASSWORD, "wrong name or password"),
        ConnAck::NotAllowed => (ReasonCode::NOT_AUTHORIZED, "not allowed"),
        ConnAck::Busy => (ReasonCode::SERVER_BUSY, "there are too many connections of view accounts"),
        ConnAck::Quota => (ReasonCode::QUOTA_EXCEEDED, "this view account has too many connections"),
    }
}

/// PUBLISH with QoS 0 and no properties.
pub fn publish(out: &mut Vec<u8>, topic: &str, payload: &[u8], retain: bool) {
    out.push(0x30 | u8::from(retain));
    length(out, 3 + topic.len() + payload.len());
    text(out, topic);
    out.push(0);
    out.extend_from_slice(payload);
}

/// The most bytes that such a PUBLISH has.
#[must_use]
pub const fn publish_bytes(topic: &str, payload: &[u8]) -> usize {
    8 + topic.len() + payload.len()
}

/// Appends a PUBACK: a message of QoS 1 was taken, or refused with this reason.
pub fn pub_ack(out: &mut Vec<u8>, packet_id: u16, reason: ReasonCode) {
    let [high, low] = packet_id.to_be_bytes();
    packet(out, 0x40, &[high, low, reason.0]);
}

/// Appends a SUBACK with one reason code for each filter of the SUBSCRIBE.
pub fn sub_ack(out: &mut Vec<u8>, packet_id: u16, reasons: &[ReasonCode]) {
    acks(out, 0x90, packet_id, reasons);
}

/// Appends an UNSUBACK with one reason code for each filter of the UNSUBSCRIBE.
pub fn unsub_ack(out: &mut Vec<u8>, packet_id: u16, reasons: &[ReasonCode]) {
    acks(out, 0xb0, packet_id, reasons);
}

fn acks(out: &mut Vec<u8>, first: u8, packet_id: u16, reasons: &[ReasonCode]) {
    let [high, low] = packet_id.to_be_bytes();
    let mut body = vec![high, low, 0];
    body.extend(reasons.iter().map(|reason| reason.0));
    packet(out, first, &body);
}

/// DISCONNECT. The words are left out when the packet would be too large with them.
pub fn disconnect(out: &mut Vec<u8>, reason: ReasonCode, words: &str, max_packet_bytes: usize) {
    let properties = reason_string(words);
    let mut body = vec![reason.0];
    if 6 + properties.len() <= max_packet_bytes {
        length(&mut body, properties.len());
        body.extend_from_slice(&properties);
    }
    packet(out, 0xe0, &body);
}

fn reason_string(words: &str) -> Vec<u8> {
    let mut property = vec![0x1f];
    text(&mut property, words);
    property
}

fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    length(out, body.len());
    out.extend_from_slice(body);
}
