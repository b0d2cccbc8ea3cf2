use serde::{Deserialize, Serialize};

/// What the jobs and logs of a host take of the data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Jobs kept.
    pub jobs: u64,
    /// Bytes of them and of their logs, about.
    pub bytes: u64,
    /// Lines of the audit that the host has caused by itself.
    pub audit_lines: u64,
}
