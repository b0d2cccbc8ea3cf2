//! The addresses that the gate listens on.

use super::start_error::StartError;
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// How many connections the kernel may hold for us.
const BACKLOG: u32 = 4096;

/// An address that is ours. Who connects waits until the gate starts.
pub struct Socket {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Socket {
    /// Listens at this address, for MQTT with TLS.
    pub fn tls(address: SocketAddr) -> Result<Self, StartError> {
        Self::open(address).map_err(|why| StartError::Bind { address, tls: true, why })
    }

    /// For MQTT without TLS: passwords pass in clear, so loopback only, unless somebody says they know (`anywhere`).
    pub fn plain(address: SocketAddr, anywhere: bool) -> Result<Self, StartError> {
        if !anywhere && !address.ip().is_loopback() {
            return Err(StartError::PlainAnywhere(address));
        }
        Self::open(address).map_err(|why| StartError::Bind { address, tls: false, why })
    }

    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}
