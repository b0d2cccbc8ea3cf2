//! MQTT over WebSocket, at `/mqtt` of the pages' port: for tools that run in a browser.
//!
//! It is the way of viewers alone: a host or an enrolment is turned away. Who may come at all is decided by the listener of the pages: without TLS
//! only this machine itself and trusted proxies. The name and password are those of MQTT, and never a cookie: so a page of
//! somebody else that opens this has no right that its visitor has.

use crate::gate::GateHandle;
use axum::{
    Router,
    body::Bytes,
    extract::{
        ConnectInfo, State, WebSocketUpgrade,
        ws::{Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::{SinkExt as _, StreamExt as _, future};
use std::{io, net::SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};
use web::TrustedProxies;

/// Where it is spoken.
const PATH: &str = "/mqtt";
/// The subprotocol that clients of MQTT 3.1.1 and 5 ask for.
const PROTOCOL: &str = "mqtt";
/// The longest message of a client, in bytes: a viewer sends its login and its subscriptions.
const MOST_MESSAGE_BYTES: usize = 64 << 10;
/// Above what is written once, for a client that does not read; the gate lets go of who stays behind.
const MOST_UNWRITTEN_BYTES: usize = 1 << 20;

#[derive(Clone)]
struct Door {
    gate: GateHandle,
    proxies: TrustedProxies,
}

/// The address at which MQTT is spoken over WebSocket.
pub(crate) fn router(gate: GateHandle, proxies: TrustedProxies) -> Router {
    Router::new().route(PATH, any(open)).with_state(Door { gate, proxies })
}

async fn open(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade.map(|upgrade| upgrade.protocols([PROTOCOL])) {
        Ok(upgrade) if upgrade.selected_protocol().is_some() => upgrade,
        Ok(_) => {
            let why = "The WebSocket subprotocol mqtt is spoken here: MQTT 3.1.1 or 5.\n";
            return (StatusCode::BAD_REQUEST, why).into_response();
        }
        Err(_) => {
            let why = "MQTT is spoken here over WebSocket, with the login of a viewer.\n";
            return (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")], why).into_response();
        }
    };
    let client = SocketAddr::new(door.proxies.client(peer.ip(), &headers), peer.port());
    upgrade
        .max_message_size(MOST_MESSAGE_BYTES)
        .max_frame_size(MOST_MESSAGE_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_UNWRITTEN_BYTES)
        .on_upgrade(move |socket| async move { door.gate.take(Box::new(bytes_of(socket)), client) })
}

/// The messages of a WebSocket as a stream of bytes, for packets of MQTT need not begin where messages do.
fn bytes_of(socket: WebSocket) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
    let (sink, stream) = socket.split();
    let come = stream.filter_map(|message| {
        future::ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(Message::Text(_)) => Some(Err(io::Error::other("MQTT is binary, and this is text"))),
            // Answered below, and told by the end of the stream.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    let go = sink
        .sink_map_err(io::Error::other)
        .with(|bytes: Bytes| future::ok::<_, io::Error>(Message::Binary(bytes)));
    tokio::io::join(StreamReader::new(come), SinkWriter::new(CopyToBytes::new(go)))
}
