//! What the agent knows of the machine it runs on.

use schema::limits::MAX_VALUE_BYTES;
use std::fs;

/// Facts for an enrolment request and for hellos.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its own host name.
    pub hostname: String,
    /// The system, as `/etc/os-release` calls it.
    pub os: String,
    /// The processor, as Rust calls it.
    pub arch: &'static str,
    /// Changes with each boot.
    pub boot_id: [u8; 16],
}

/// Machines with less memory are small; what the kernel keeps for itself does not count.
const SMALL_KIB: u64 = 1_000_000;

/// This agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Machine {
    /// Reads them from the system; what can't be read is empty.
    #[must_use]
    pub fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let hostname = read("/proc/sys/kernel/hostname").trim().to_owned();
        let hostname = if hostname.is_empty() { "unnamed".to_owned() } else { hostname };
        let os = os_name(&read("/etc/os-release")).unwrap_or_else(|| "Linux".to_owned());
        Self { hostname, os, arch: std::env::consts::ARCH, boot_id: boot() }
    }
}

/// Which boot this is; changes with each.
#[must_use]
pub fn boot() -> [u8; 16] {
    boot_id(&fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()).unwrap_or_default()
}

/// Whether there is so little memory that restic has to spare it.
#[must_use]
pub fn is_small() -> bool {
    memory_kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default()).is_some_and(|kib| kib < SMALL_KIB)
}

fn memory_kib(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn os_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = value.trim().trim_matches(['"', '\'']);
    (!name.is_empty() && name.len() <= MAX_VALUE_BYTES).then(|| name.to_owned())
}

fn boot_id(text: &str) -> Option<[u8; 16]> {
    let hex: String = text.trim().chars().filter(|c| *c != '-').collect();
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_and_the_boot_are_read_from_their_files() {
        assert_eq!(os_name("ID=debian\nPRETTY_NAME=\"Debian 13\"\n"), Some("Debian 13".to_owned()));
        assert_eq!(os_name("ID=debian\n"), None);
        let id = boot_id("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n").unwrap();
        assert_eq!((id[0], id[15]), (0x0f, 0xf0));
        assert_eq!(boot_id("nonsense"), None);
        assert_eq!(memory_kib("MemTotal:         508904 kB\nMemFree: 1 kB\n"), Some(508_904));
        assert_eq!(memory_kib(""), None);
    }
}
