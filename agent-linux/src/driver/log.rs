//! A job's log on its way: live lines at once, durable chunks now and then, both bounded.

use crate::reports::Line;
use agent_core::Monotonic;
use schema::{
    LogStream,
    limits::{MAX_LOG_CHUNK_BYTES, MAX_LOG_LINE_BYTES},
};
use std::collections::VecDeque;

/// Lines are held back so long for the next durable chunk, in milliseconds.
const CHUNK_AFTER_MS: u64 = 10_000;
/// And so long when the agent itself says something, such as where a restore writes to: that is to be known also when it
/// is killed.
const OWN_WORDS_AFTER_MS: u64 = 1_000;
/// And so long for the next live message.
const LIVE_AFTER_MS: u64 = 500;
/// The most text of one job; of what comes behind, only the last lines are kept.
const MAX_JOB_BYTES: usize = 2 * 1024 * 1024;
const TAIL_LINES: usize = 100;

/// Lines and the number of the first of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first_line: u32,
    pub(super) lines: Vec<Line>,
}

/// The log of one job.
#[derive(Debug, Default)]
pub(super) struct Log {
    count: u32,
    bytes: usize,
    waiting: Batch,
    live: Batch,
    tail: VecDeque<Line>,
}

#[derive(Debug, Default)]
struct Batch {
    first_line: u32,
    lines: Vec<Line>,
    bytes: usize,
    since: Option<Monotonic>,
    /// The agent's own words are among them.
    has_own: bool,
}

impl Log {
    /// Adds a line.
    pub(super) fn add(&mut self, line: Line, now: Monotonic) {
        let bytes = line.text.len().min(MAX_LOG_LINE_BYTES) + 16;
        self.bytes += bytes;
        if self.bytes > MAX_JOB_BYTES {
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(line);
        } else {
            if self.live.bytes + bytes <= MAX_LOG_CHUNK_BYTES {
                self.live.add(line.clone(), self.count, bytes, now);
            }
            self.waiting.add(line, self.count, bytes, now);
        }
        self.count = self.count.saturating_add(1);
    }

    /// How many lines there were.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// When something is to be sent.
    pub(super) fn due_at(&self) -> Option<Monotonic> {
        let chunk = self.waiting.chunk_at();
        let live = self.live.since.map(|since| since.plus_ms(LIVE_AFTER_MS));
        chunk.into_iter().chain(live).min()
    }

    /// The next durable chunk, when it is due; with `all`, whatever there is.
    pub(super) fn take_chunk(&mut self, all: bool, now: Monotonic) -> Option<Piece> {
        let is_full = self.waiting.bytes + MAX_LOG_LINE_BYTES + 16 > MAX_LOG_CHUNK_BYTES;
        let is_due = self.waiting.chunk_at().is_some_and(|at| at <= now);
        if is_full || is_due || (all && !self.waiting.lines.is_empty()) {
            return Some(self.waiting.take());
        }
        if !all || self.tail.is_empty() {
            return None;
        }
        let first_line = self.count - u32::try_from(self.tail.len()).unwrap_or(self.count);
        let mut piece = Piece { first_line, lines: Vec::new() };
        let mut bytes = 0;
        while let Some(line) = self.tail.pop_front() {
            bytes += line.text.len().min(MAX_LOG_LINE_BYTES) + 16;
            if bytes > MAX_LOG_CHUNK_BYTES {
                self.tail.push_front(line);
                break;
            }
            piece.lines.push(line);
        }
        Some(piece)
    }

    /// The next live lines, when they are due.
    pub(super) fn take_live(&mut self, all: bool, now: Monotonic) -> Option<Piece> {
        let since = self.live.since?;
        (all || since.plus_ms(LIVE_AFTER_MS) <= now).then(|| self.live.take())
    }
}

impl Batch {
    /// When it is to be a durable chunk.
    fn chunk_at(&self) -> Option<Monotonic> {
        let after_ms = if self.has_own { OWN_WORDS_AFTER_MS } else { CHUNK_AFTER_MS };
        self.since.map(|since| since.plus_ms(after_ms))
    }

    fn add(&mut self, line: Line, number: u32, bytes: usize, now: Monotonic) {
        if self.lines.is_empty() {
            self.first_line = number;
            self.since = Some(now);
        }
        self.has_own |= line.stream == LogStream::Agent;
        self.lines.push(line);
        self.bytes += bytes;
    }

    fn take(&mut self) -> Piece {
        let Self { first_line, lines, .. } = std::mem::take(self);
        Piece { first_line, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { after_ms: 1, stream: LogStream::Out, text: text.to_owned() }
    }

    #[test]
    fn a_chunk_is_due_when_it_is_full_or_old_and_at_the_end() {
        let mut log = Log::default();
        assert_eq!((log.due_at(), log.take_chunk(true, Monotonic(0))), (None, None));
        log.add(line("a"), Monotonic(0));
        log.add(line("b"), Monotonic(100));
        assert_eq!(log.due_at(), Some(Monotonic(500)));
        assert_eq!(log.take_live(false, Monotonic(499)), None);
        assert_eq!(log.take_live(false, Monotonic(500)).map(|piece| piece.lines.len()), Some(2));
        assert_eq!(log.take_chunk(false, Monotonic(9_999)), None);
        assert_eq!(log.take_chunk(false, Monotonic(10_000)).map(|piece| piece.lines.len()), Some(2));
        log.add(line("c"), Monotonic(10_001));
        let last = Piece { first_line: 2, lines: vec![line("c")] };
        assert_eq!(log.take_chunk(true, Monotonic(10_002)), Some(last));
    }

    #[test]
    fn what_the_agent_says_itself_is_durable_soon_with_all_that_came_before() {
        let mut log = Log::default();
        log.add(line("a"), Monotonic(0));
        log.add(Line { stream: LogStream::Agent, ..line("Restoring into /srv/x.") }, Monotonic(1_000));
        log.add(line("b"), Monotonic(1_000));
        assert_eq!(log.take_chunk(false, Monotonic(999)), None);
        assert_eq!(log.take_chunk(false, Monotonic(1_000)).map(|piece| piece.lines.len()), Some(3));
        log.add(line("c"), Monotonic(2_000));
        assert_eq!(log.take_chunk(false, Monotonic(11_999)), None, "others wait on");
        assert!(log.take_chunk(false, Monotonic(12_000)).is_some());
    }

    #[test]
    fn of_an_endless_log_the_beginning_and_the_last_lines_stay() {
        let mut log = Log::default();
        let (mut sent, mut pieces) = (0, Vec::new());
        for number in 0..20_000 {
            log.add(line(&format!("{number:0>1000}")), Monotonic(0));
            while let Some(piece) = log.take_chunk(false, Monotonic(1)) {
                sent += piece.lines.len();
                pieces.push(piece.first_line);
            }
        }
        let mut last = Vec::new();
        while let Some(piece) = log.take_chunk(true, Monotonic(1)) {
            let bytes: usize = piece.lines.iter().map(|line| line.text.len()).sum();
            assert!(bytes <= MAX_LOG_CHUNK_BYTES);
            last.push((piece.first_line, piece.lines));
        }
        assert!(sent > 1_900 && sent < 2_200, "{sent}");
        assert_eq!(log.count(), 20_000);
        let tail: Vec<_> = last.iter().filter(|(first, _)| *first >= 19_900).collect();
        assert_eq!(tail.iter().map(|(_, lines)| lines.len()).sum::<usize>(), TAIL_LINES);
        assert_eq!(tail[0].0, 19_900);
    }
}
