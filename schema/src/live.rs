//! Agent → server, for whoever watches right now. May be lost.

use crate::{Items, JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// Everything that travels on `live`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Live<'a> {
    /// How far a job is.
    #[serde(borrow)]
    Progress(Progress<'a>),
    /// Log lines as they come; the same lines come again in a durable report.
    Log {
        /// The job whose log it is.
        job: JobId,
        /// The number of the first line, from 0.
        first_line: u32,
        /// The log lines.
        #[serde(borrow)]
        lines: Items<'a, LogLine<'a>>,
    },
}

/// How far a job is. Totals may grow while restic still scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress<'a> {
    /// The job that runs.
    pub job: JobId,
    /// When, by the agent's clock.
    pub at: Timestamp,
    /// How much is done, in thousandths, at most 1000.
    pub permille: u16,
    /// Number of files done so far.
    pub files_done: u64,
    /// Number of files that restic has found so far.
    pub files_total: u64,
    /// Number of bytes done so far.
    pub bytes_done: u64,
    /// Number of bytes that restic has found so far.
    pub bytes_total: u64,
    /// Of a restore: the bytes that restic has read by now, from the repository mostly; 0 = not known.
    pub bytes_read: u64,
    /// Files that could not be read so far.
    pub errors: u32,
    /// How long restic thinks it will still take, in seconds.
    pub left_secs: Option<u32>,
    /// The file or step of right now; may be empty.
    pub current: &'a str,
}

/// One line of a job's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine<'a> {
    /// Milliseconds after the job's start.
    pub after_ms: u32,
    /// Who wrote the line.
    pub stream: LogStream,
    /// The text, without its line end, control characters replaced.
    pub text: &'a str,
}

/// Who wrote a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// The agent itself.
    Agent,
    /// restic, or a hook, on its standard output.
    Out,
    /// The same on its standard error.
    Err,
}
