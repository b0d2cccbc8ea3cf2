//! What is live: progress, its rate, log lines that are not durable yet. In memory, bounded, lost without harm.

use crate::bounds::MOST_BYTES;
use crate::record::{JobProgress, LogChunk};
use schema::{HostId, JobId, Progress, Timestamp};
use std::collections::{HashMap, VecDeque};

/// Over how much of the past the rate is taken.
const RATE_OVER_MS: u64 = 10_000;
/// How often listeners are told.
const TELL_EVERY_MS: u64 = 1_000;
/// Rates kept for the chart, and how far apart.
const RATES: usize = 120;
const RATES_EVERY_MS: u64 = 2_000;
/// The most jobs with anything live.
const MAX_JOBS: usize = 20_000;
/// The most live log text of one job, in bytes; older lines go first.
const MAX_LOG_BYTES: usize = 128 * 1024;
/// The longest text shown as the file of right now, in bytes.
const MAX_CURRENT_BYTES: usize = 4 * 1024;

/// Progress and last log lines of all jobs that run, in memory.
#[derive(Default)]
pub(crate) struct Board {
    jobs: HashMap<JobId, LiveJob>,
}

struct LiveJob {
    host: HostId,
    progress: Option<JobProgress>,
    /// (when, bytes done) of the last seconds.
    readings: VecDeque<(Timestamp, u64)>,
    rates: VecDeque<(Timestamp, u64)>,
    lines: VecDeque<LogChunk>,
    line_bytes: usize,
    durable: u32,
    heard_at: Timestamp,
    told_progress: Option<Timestamp>,
    told_log: Option<Timestamp>,
}

impl LiveJob {
    fn new(host: HostId, now: Timestamp) -> Self {
        Self {
            host,
            progress: None,
            readings: VecDeque::new(),
            rates: VecDeque::new(),
            lines: VecDeque::new(),
            line_bytes: 0,
            durable: 0,
            heard_at: now,
            told_progress: None,
            told_log: None,
        }
    }
}

impl Board {
    /// Whether the job is known here as this host's; `None` = it is not known.
    pub(crate) fn is_of(&self, job: JobId, host: HostId) -> Option<bool> {
        self.jobs.get(&job).map(|live| live.host == host)
    }

    fn job(&mut self, job: JobId, host: HostId, now: Timestamp) -> Option<&mut LiveJob> {
        if self.jobs.len() >= MAX_JOBS && !self.jobs.contains_key(&job) {
            return None;
        }
        let live = self.jobs.entry(job).or_insert_with(|| LiveJob::new(host, now));
        live.heard_at = now;
        Some(live)
    }

    /// Takes progress; `true` = listeners are to be told.
    pub(crate) fn take_progress(&mut self, host: HostId, progress: &Progress<'_>, now: Timestamp) -> bool {
        let Some(live) = self.job(progress.job, host, now) else { return false };
        let rate = rate(&mut live.readings, now, progress.bytes_done);
        if let Some(rate) = rate
            && live.rates.back().is_none_or(|(at, _)| now.ms_since(*at) >= RATES_EVERY_MS)
        {
            if live.rates.len() == RATES {
                live.rates.pop_front();
            }
            live.rates.push_back((now, rate));
        }
        let left = progress.bytes_total.saturating_sub(progress.bytes_done);
        let by_rate =
            rate.filter(|rate| *rate > 0 && progress.bytes_total > 0).map(|rate| left.div_ceil(rate));
        live.progress = Some(JobProgress {
            at: now,
            permille: progress.permille.min(1000),
            files_done: progress.files_done,
            files_total: progress.files_total,
            bytes_done: progress.bytes_done.min(MOST_BYTES),
            bytes_total: progress.bytes_total.min(MOST_BYTES),
            bytes_read: progress.bytes_read.min(MOST_BYTES),
            errors: progress.errors,
            rate_bytes: rate,
            left_secs: progress.left_secs.map(u64::from).or(by_rate),
            current: cut(progress.current, MAX_CURRENT_BYTES).to_owned(),
            rates: Vec::new(),
        });
        due(&mut live.told_progress, now)
    }

    /// Takes log lines; `true` = listeners are to be told.
    pub(crate) fn take_lines(&mut self, job: JobId, host: HostId, chunk: LogChunk, now: Timestamp) -> bool {
        let Some(live) = self.job(job, host, now) else { return false };
        if end_of(&chunk) <= live.durable
            || live.lines.iter().any(|known| known.first_line == chunk.first_line)
        {
            return false;
        }
        live.line_bytes += bytes_of(&chunk);
        let place = live.lines.partition_point(|known| known.first_line < chunk.first_line);
        live.lines.insert(place, chunk);
        while live.line_bytes > MAX_LOG_BYTES
            && let Some(oldest) = live.lines.pop_front()
        {
            live.line_bytes -= bytes_of(&oldest);
        }
        due(&mut live.told_log, now)
    }

    /// Lines before `line` are in the store now.
    pub(crate) fn lines_are_durable(&mut self, job: JobId, line: u32) {
        let Some(live) = self.jobs.get_mut(&job) else { return };
        live.durable = live.durable.max(line);
        let durable = live.durable;
        live.lines.retain(|chunk| end_of(chunk) > durable);
        live.line_bytes = live.lines.iter().map(bytes_of).sum();
    }

    pub(crate) fn forget(&mut self, job: JobId) {
        self.jobs.remove(&job);
    }

    /// Lets go of jobs that nothing was heard of since `before`.
    pub(crate) fn forget_silent(&mut self, before: Timestamp, now: Timestamp) {
        self.jobs.retain(|_, live| {
            // Heard by a clock that was ahead.
            live.heard_at = live.heard_at.min(now);
            live.heard_at >= before
        });
    }

    pub(crate) fn progress(&self, job: JobId) -> Option<JobProgress> {
        let live = self.jobs.get(&job)?;
        let mut progress = live.progress.clone()?;
        progress.rates = live.rates.iter().copied().collect();
        Some(progress)
    }

    /// The lines that are not durable yet, in order; a chunk that is durable in part is shortened.
    pub(crate) fn lines(&self, job: JobId) -> Vec<LogChunk> {
        let Some(live) = self.jobs.get(&job) else { return Vec::new() };
        let shorten = |chunk: &LogChunk| {
            let seen = live.durable.saturating_sub(chunk.first_line) as usize;
            let lines = chunk.lines.get(seen..)?.to_vec();
            (!lines.is_empty())
                .then_some(LogChunk { first_line: chunk.first_line.saturating_add(seen as u32), lines })
        };
        live.lines.iter().filter_map(shorten).collect()
    }
}

/// Bytes a second over the last seconds. `None` until there are two readings apart in time.
fn rate(readings: &mut VecDeque<(Timestamp, u64)>, now: Timestamp, bytes: u64) -> Option<u64> {
    // restic began anew, or the clock was set back: what was measured means nothing now.
    if readings.back().is_some_and(|(at, done)| bytes < *done || now < *at) {
        readings.clear();
    }
    // One reading at or before the beginning of the span is kept, so that the span is covered.
    while readings.len() > 1 && now.ms_since(readings[1].0) >= RATE_OVER_MS {
        readings.pop_front();
    }
    // Four readings a second are enough.
    if readings.back().is_none_or(|(at, _)| now.ms_since(*at) >= 250) {
        readings.push_back((now, bytes));
    }
    let (since, from) = *readings.front()?;
    let ms = now.ms_since(since);
    let rate =
        || u64::try_from(u128::from(bytes - from.min(bytes)) * 1000 / u128::from(ms)).unwrap_or(u64::MAX);
    (ms > 0).then(rate)
}

fn due(told: &mut Option<Timestamp>, now: Timestamp) -> bool {
    if told.is_some_and(|at| now >= at && now.ms_since(at) < TELL_EVERY_MS) {
        return false;
    }
    *told = Some(now);
    true
}

fn end_of(chunk: &LogChunk) -> u32 {
    chunk.first_line.saturating_add(chunk.lines.len() as u32)
}

fn bytes_of(chunk: &LogChunk) -> usize {
    chunk.lines.iter().map(|(_, _, text)| text.len() + 32).sum()
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostId = HostId([1; 16]);
    const JOB: JobId = JobId([2; 16]);

    fn progress(bytes_done: u64) -> Progress<'static> {
        Progress {
            job: JOB,
            at: Timestamp(0),
            permille: 2000,
            files_done: 0,
            files_total: 0,
            bytes_done,
            bytes_total: 10_000_000,
            bytes_read: 0,
            errors: 0,
            left_secs: None,
            current: "/etc/hosts",
        }
    }

    #[test]
    fn the_rate_follows_the_last_ten_seconds() {
        let mut board = Board::default();
        for second in 0..60 {
            let bytes = if second < 30 { second * 1000 } else { 30_000 + (second - 30) * 5000 };
            board.take_progress(HOST, &progress(bytes), Timestamp(second * 1000));
            let seen = board.progress(JOB).unwrap();
            match second {
                0 => assert_eq!(seen.rate_bytes, None),
                1..=29 => assert_eq!(seen.rate_bytes, Some(1000)),
                41.. => {
                    assert_eq!(seen.rate_bytes, Some(5000));
                    assert_eq!(seen.left_secs, Some((10_000_000 - bytes).div_ceil(5000)));
                }
                _ => {}
            }
        }
        let seen = board.progress(JOB).unwrap();
        assert_eq!(seen.permille, 1000);
        assert!(seen.rates.len() >= 28 && seen.rates.len() <= RATES);
    }

    #[test]
    fn listeners_are_told_at_most_once_a_second() {
        let mut board = Board::default();
        let told =
            (0..100).filter(|n| board.take_progress(HOST, &progress(*n), Timestamp(1000 + n * 100))).count();
        assert_eq!(told, 10);
    }

    #[test]
    fn a_clock_set_back_does_not_stop_the_news() {
        let mut board = Board::default();
        assert!(board.take_progress(HOST, &progress(1), Timestamp(90_000)));
        assert!(board.take_progress(HOST, &progress(2), Timestamp(10_000)));
    }

    #[test]
    fn live_lines_give_way_to_durable_ones_and_stay_bounded() {
        let mut board = Board::default();
        let chunk = |first_line: u32| LogChunk {
            first_line,
            lines: (0..10).map(|_| (0, 1, "x".repeat(100))).collect(),
        };
        board.take_lines(JOB, HOST, chunk(10), Timestamp(0));
        board.take_lines(JOB, HOST, chunk(0), Timestamp(0));
        board.take_lines(JOB, HOST, chunk(0), Timestamp(0));
        assert_eq!(board.lines(JOB).iter().map(|c| c.first_line).collect::<Vec<_>>(), [0, 10]);
        board.lines_are_durable(JOB, 15);
        let left = board.lines(JOB);
        assert_eq!((left.len(), left[0].first_line, left[0].lines.len()), (1, 15, 5));
        for n in 2..2000 {
            board.take_lines(JOB, HOST, chunk(n * 10), Timestamp(0));
        }
        assert!(board.jobs[&JOB].line_bytes <= MAX_LOG_BYTES);
        assert_eq!(board.lines(JOB).last().unwrap().first_line, 19_990, "the newest are kept");
    }
}
