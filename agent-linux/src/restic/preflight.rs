//! What is looked at before restic starts, because restic says it late, unclearly or not at all.

use core::time::Duration;
use schema::Items;
use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use tokio::{net::TcpStream, time::timeout};

/// How long a storage server gets to take a connection. restic itself would try for 15 minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a look at one path may take: a dead network mount never answers.
pub(crate) const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// The paths on which nothing is mounted.
pub(crate) async fn not_mounted(paths: Items<'_, &str>) -> Vec<String> {
    if paths.is_empty() {
        return Vec::new();
    }
    let mounts = tokio::fs::read("/proc/self/mountinfo").await.unwrap_or_default();
    let mut absent = Vec::new();
    for path in paths.iter() {
        let real = timeout(LOOK_LIMIT, tokio::fs::canonicalize(path.to_owned())).await;
        // A mount that does not answer is a mount.
        let real = match real {
            Ok(Ok(real)) => real,
            Ok(Err(_)) | Err(_) => PathBuf::from(path),
        };
        if !is_mount_point(&mounts, &real) {
            absent.push(path.to_owned());
        }
    }
    absent
}

/// Whether this text of `/proc/self/mountinfo` names the path as a mount point.
pub(crate) fn is_mount_point(mountinfo: &[u8], path: &Path) -> bool {
    mountinfo.split(|&b| b == b'\n').any(|line| {
        let field = line.split(|&b| b == b' ').nth(4).unwrap_or_default();
        unescaped(field) == path.as_os_str().as_bytes()
    })
}

/// The kernel writes space, tab, line end and backslash as `\ooo`.
pub(crate) fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        let octal = behind.get(..3).and_then(|digits| core::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) if byte == b'\\' => {
                plain.push(value);
                rest = &behind[3..];
            }
            _ => {
                plain.push(byte);
                rest = behind;
            }
        }
    }
    plain
}

/// Tries to reach the storage's server; the reason in words when it can't be reached.
pub(crate) async fn reach(host: &str, port: u16) -> Result<(), String> {
    match timeout(CONNECT_LIMIT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} seconds", CONNECT_LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_by_their_real_names() {
        let text = b"36 35 98:0 /mnt1 /mnt/my\\040disk\\134x rw,noatime master:1 - ext3 /dev/root rw\n22 1 0:21 / / rw - x x x\n";
        assert!(is_mount_point(text, Path::new("/mnt/my disk\\x")));
        assert!(is_mount_point(text, Path::new("/")));
        assert!(!is_mount_point(text, Path::new("/mnt")));
        assert!(!is_mount_point(text, Path::new("/mnt1")));
        assert!(!is_mount_point(b"", Path::new("/")));
    }
}
