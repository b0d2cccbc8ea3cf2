//! The gate, from outside: real clients, raw sockets, hostile peers.

#![expect(clippy::unwrap_used, reason = "a test that can't go on must fail")]

mod commands;
mod conformance;
mod hostile;
mod mosquitto;
mod packets;
mod paho;
mod rumqttc_client;
mod support;
mod tls;
mod v5;
mod viewers;
