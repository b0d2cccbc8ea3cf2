//! A job's log in bounded size: the head and the tail are kept, the cut between them is counted.

use crate::budget;
use crate::record::{LogChunk, LogState, LogText};
use crate::refused::StoreError;
use crate::store::{LOG_STATES, LOGS, Order, Reads, Span, Tx};
use schema::{HostId, Items, JobId, LogLine, LogStream};
use std::ops::ControlFlow;

/// How much of the beginning is kept, in bytes.
pub(crate) const HEAD_BYTES: u64 = 256 * 1024;
/// How much of the end is kept, in bytes.
pub(crate) const TAIL_BYTES: u64 = 768 * 1024;
/// What a line costs beside its text.
const LINE_BYTES: u64 = 12;
/// What a chunk costs beside its lines, so that many small ones are bounded too.
const CHUNK_BYTES: u64 = 256;

/// What to do with a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Chunks of the tail that make room, by first line.
    pub(crate) dropped: Vec<u32>,
    /// What is left of the chunk when lines that came before are taken off.
    pub(crate) kept: Option<LogChunk>,
}

/// Places a chunk: pure. A chunk that came before is ignored, one that overlaps is shortened.
pub(crate) fn place(state: &mut LogState, mut chunk: LogChunk) -> Placed {
    let seen = state.next_line.saturating_sub(chunk.first_line) as usize;
    if seen >= chunk.lines.len() {
        return Placed { dropped: Vec::new(), kept: None };
    }
    chunk.lines.drain(..seen);
    chunk.first_line = chunk.first_line.saturating_add(seen as u32);
    let lines = chunk.lines.len() as u32;
    let bytes: u64 = chunk.lines.iter().map(|(_, _, text)| text.len() as u64 + LINE_BYTES).sum();
    let bytes = bytes + CHUNK_BYTES;
    state.next_line = chunk.first_line.saturating_add(lines);
    state.kept_lines = state.kept_lines.saturating_add(lines);
    let mut dropped = Vec::new();
    if state.tail.is_empty() && state.head_bytes.saturating_add(bytes) <= HEAD_BYTES {
        state.head_bytes += bytes;
    } else {
        state.tail.push_back((chunk.first_line, lines, bytes));
        state.tail_bytes += bytes;
        while state.tail_bytes > TAIL_BYTES && state.tail.len() > 1 {
            let Some((first, lines, bytes)) = state.tail.pop_front() else { break };
            state.tail_bytes -= bytes;
            state.kept_lines = state.kept_lines.saturating_sub(lines);
            state.cut_lines = state.cut_lines.saturating_add(lines);
            dropped.push(first);
        }
    }
    Placed { dropped, kept: Some(chunk) }
}

/// Stores a chunk; `None` = all of it had come before.
pub(crate) fn append(
    tx: &mut Tx<'_>,
    host: HostId,
    job: JobId,
    chunk: LogChunk,
) -> Result<Option<u32>, StoreError> {
    let mut state = tx.get(&LOG_STATES, &job)?.unwrap_or_default();
    let before = state.head_bytes + state.tail_bytes;
    let Placed { dropped, kept } = place(&mut state, chunk);
    let Some(chunk) = kept else { return Ok(None) };
    let after = state.head_bytes + state.tail_bytes;
    budget::change_usage(tx, host, |usage| {
        usage.bytes = usage.bytes.saturating_add(after).saturating_sub(before);
    })?;
    for first in dropped {
        tx.remove(&LOGS, &(job, first))?;
    }
    tx.put(&LOGS, &(job, chunk.first_line), &chunk)?;
    tx.put(&LOG_STATES, &job, &state)?;
    Ok(Some(state.next_line))
}

/// The log as kept. `reported` is how many lines the agent says there were.
pub(crate) fn read(reads: &impl Reads, job: JobId, reported: u32) -> Result<LogText, StoreError> {
    let state = reads.get(&LOG_STATES, &job)?.unwrap_or_default();
    let mut chunks = Vec::new();
    reads.walk(&LOGS, &Span::under(&job), Order::Ascending, |_, chunk| {
        chunks.push(chunk);
        Ok(ControlFlow::Continue(()))
    })?;
    let total_lines = state.next_line.max(reported);
    Ok(LogText { chunks, total_lines, left_out: total_lines - state.kept_lines.min(total_lines) })
}

/// A chunk of the wire as a record.
pub(crate) fn chunk_of<'a>(first_line: u32, lines: &Items<'a, LogLine<'a>>) -> LogChunk {
    let lines = lines.iter().map(|line| (line.after_ms, stream_number(line.stream), line.text.to_owned()));
    LogChunk { first_line, lines: lines.collect() }
}

const fn stream_number(stream: LogStream) -> u8 {
    match stream {
        LogStream::Agent => 0,
        LogStream::Out => 1,
        LogStream::Err => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(first_line: u32, lines: u32, text: &str) -> LogChunk {
        LogChunk { first_line, lines: (0..lines).map(|n| (n, 1, text.to_owned())).collect() }
    }

    #[test]
    fn a_chunk_that_came_before_is_ignored_and_an_overlap_is_shortened() {
        let mut state = LogState::default();
        assert!(place(&mut state, chunk(0, 10, "a")).kept.is_some());
        assert_eq!(place(&mut state, chunk(0, 10, "a")).kept, None);
        assert_eq!(place(&mut state, chunk(3, 4, "a")).kept, None);
        let rest = place(&mut state, chunk(8, 5, "b")).kept.unwrap();
        assert_eq!((rest.first_line, rest.lines.len()), (10, 3));
        assert_eq!((state.next_line, state.kept_lines), (13, 13));
    }

    #[test]
    fn head_and_tail_stay_within_their_sizes_and_the_cut_is_counted() {
        let mut state = LogState::default();
        let text = "x".repeat(1000);
        let mut kept = std::collections::BTreeMap::new();
        for n in 0..400 {
            let placed = place(&mut state, chunk(n * 10, 10, &text));
            for first in placed.dropped {
                assert!(kept.remove(&first).is_some());
            }
            kept.insert(n * 10, placed.kept.unwrap().lines.len() as u32);
        }
        assert!(state.head_bytes <= HEAD_BYTES && state.tail_bytes <= TAIL_BYTES);
        assert_eq!(kept.values().sum::<u32>(), state.kept_lines);
        assert_eq!(state.kept_lines + state.cut_lines, 4000);
        assert!(state.cut_lines > 0);
        assert!(kept.contains_key(&0) && kept.contains_key(&3990), "the first and the last lines are kept");
    }

    #[test]
    fn many_small_chunks_are_bounded_too() {
        let mut state = LogState::default();
        let mut kept = std::collections::BTreeSet::new();
        for n in 0..10_000 {
            let placed = place(&mut state, chunk(n, 1, ""));
            placed.dropped.iter().for_each(|first| assert!(kept.remove(first)));
            kept.insert(n);
        }
        assert!(kept.len() < 4_000 && state.tail.len() < 3_000, "{} {}", kept.len(), state.tail.len());
    }

    #[test]
    fn a_hostile_line_number_does_not_overflow() {
        let mut state = LogState::default();
        let placed = place(&mut state, chunk(u32::MAX - 1, 10, "a"));
        assert!(placed.kept.is_some());
        assert_eq!(place(&mut state, chunk(5, 3, "b")).kept, None);
    }
}
