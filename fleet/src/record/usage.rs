use serde::{Deserialize, Serialize};

/// How much of the data file the jobs and logs of a host take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Number of jobs kept.
    pub jobs: u64,
    /// Size of the jobs and their logs in bytes, approximately.
    pub bytes: u64,
    /// Number of audit lines that the host has caused by itself.
    pub audit_lines: u64,
}
