use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is kept of a job's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogState {
    /// The number of the line that comes next; what is before it has come or was given up.
    pub(crate) next_line: u32,
    /// Bytes in the head; it is full once the tail has begun.
    pub(crate) head_bytes: u64,
    /// The tail's chunks: (first line, lines, bytes), oldest first.
    pub(crate) tail: VecDeque<(u32, u32, u64)>,
    /// Bytes in the tail.
    pub(crate) tail_bytes: u64,
    /// Lines that came and were cut out.
    pub(crate) cut_lines: u32,
    /// Lines that are kept.
    pub(crate) kept_lines: u32,
}
