//! Free ports on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below the range from which the kernel takes ports for outgoing connections, so that none of them sits on a port
/// between this call and the start of whoever listens on it.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// An address on 127.0.0.1 where nobody listens now.
///
/// # Panics
/// When no port is free.
#[must_use]
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Tests run as processes of their own: spread them over the range.
    let start = process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap_or(0)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_are_different_and_can_be_bound() {
        let ports: BTreeSet<SocketAddr> = (0..20).map(|_| free()).collect();
        assert_eq!(ports.len(), 20);
        for port in ports {
            assert!(TcpListener::bind(port).is_ok(), "{port}");
        }
    }
}
