//! Why the gate does not start.

use std::{io, net::SocketAddr};

/// Why the gate can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address} for MQTT{}: {}", if *tls { " with TLS" } else { "" }, in_words(why))]
    Bind {
        /// The address that can't be listened on.
        address: SocketAddr,
        /// Whether it was to be with TLS.
        tls: bool,
        /// What the system says.
        why: io::Error,
    },
    /// Passwords would pass in clear where others can read them.
    #[error(
        "MQTT without TLS on {0} can be reached from other machines, and passwords would pass in clear: \
         listen on 127.0.0.1 or [::1] instead, or allow it explicitly"
    )]
    PlainAnywhere(SocketAddr),
    /// No thread can be made.
    #[error("the router to viewers can't be started")]
    Router(#[source] io::Error),
}

fn in_words(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::AddrInUse => {
            "another program uses this port, maybe another holdfast-server or a mosquitto; \
                                     stop that one, or choose another port"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own, or 0.0.0.0 for all".into()
        }
        io::ErrorKind::PermissionDenied => "not permitted; ports below 1024 need a right to bind them".into(),
        _ => why.to_string(),
    }
}
