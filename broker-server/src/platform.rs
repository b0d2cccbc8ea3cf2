//! This machine: its name, the room on its disks, its service manager.

use std::path::Path;

/// This machine's name; empty when it can't be told.
#[must_use]
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// What is left for those who are not root, as df tells.
pub(crate) fn space_left(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Tells systemd, when it asked to be told.
pub(crate) fn notify_systemd(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return };
    if let Err(error) = socket.send_to(state.as_bytes(), path) {
        tracing::debug!(%error, "systemd was not told");
    }
}
