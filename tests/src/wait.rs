//! Waiting on conditions, with a deadline and a good last word.

use std::{
    thread,
    time::{Duration, Instant},
};

/// For what a machine does at once, when it has nothing else to do.
pub const SOON: Duration = Duration::from_secs(30);
/// For a job of restic, or a reconnect with backoff.
pub const LONG: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(40);
/// The most between two looks of one that waits long.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the deadlines of tests are measured in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, in seconds since 1970: days and hours of plans are told by it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "plans of tests are made for the time that the server has")]
pub fn unix_secs() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Looks again and again until `look` has an answer. Its error says what it saw instead; the last one is in the
/// message of the panic at the deadline.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = now();
    loop {
        match look() {
            Ok(answer) => return answer,
            Err(seen) if start.elapsed() > limit => {
                panic!("waited {} s for {what}; at last: {seen}", limit.as_secs())
            }
            // Each look costs processor time, mostly a server's: who has waited for long looks less often.
            Err(_) => thread::sleep((start.elapsed() / 25).clamp(PAUSE, LONGEST_PAUSE)),
        }
    }
}

/// The same for a plain condition.
#[track_caller]
pub fn until_true(what: &str, limit: Duration, mut look: impl FnMut() -> bool) {
    until(what, limit, || if look() { Ok(()) } else { Err("not so".to_owned()) });
}

/// Looks as long as `span` and panics when `look` has an answer in that time.
#[track_caller]
pub fn never(what: &str, span: Duration, mut look: impl FnMut() -> Option<String>) {
    let start = now();
    while start.elapsed() < span {
        if let Some(seen) = look() {
            panic!("{what} must not happen, but: {seen}");
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_wait() {
        let mut looks = 0;
        let answer = until("the third look", SOON, || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("look {looks}")) }
        });
        assert_eq!(answer, 3);
    }

    #[test]
    #[should_panic(expected = "for rain; at last: sunshine")]
    fn the_last_thing_seen_is_told() {
        until("rain", Duration::ZERO, || Err::<(), _>("sunshine".to_owned()));
    }
}
