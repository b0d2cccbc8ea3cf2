//! What time it is by the server's clock.
//!
//! The server tells its time in its answer to a hello. It was read after the hello was said, so counting on from there
//! gives a time that is never behind the server's: what has expired is never taken for fresh, whoever carried the
//! answer and however long. The machine's own clock has no say in it. When that clock is set, or the machine has slept,
//! the two clocks of the machine drift apart, and the server is asked again.

use crate::{Monotonic, Now, RESEND_AFTER_MS};
use schema::{Epoch, HelloAnswer, Timestamp};

/// A jump of the machine's clock that is noticed, in milliseconds.
const JUMP_MS: u64 = 30_000;
/// Before a command is refused as too old, the time must have been told in the last so many milliseconds: the server's
/// clock may have been set. Asking takes a reconnect, so this is several times the longest wait before one.
const FRESH_MS: u64 = 300_000;

/// What is known of the server's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerTime {
    /// The epoch and the time of the last hello.
    hello: Option<(Epoch, Now)>,
    /// What the server said, and when the hello was said that it answered.
    told: Option<(Timestamp, Now)>,
    /// The last hello has no answer yet.
    awaits_answer: bool,
    /// A command came that could not be judged before the answer, and was not taken.
    owes_commands: bool,
    /// One waits outside for the answer.
    is_waited_for: bool,
}

impl ServerTime {
    /// A hello is said.
    pub(super) fn said_hello(&mut self, epoch: Epoch, now: Now) {
        self.hello = Some((epoch, now));
        self.awaits_answer = true;
        // All that was not taken comes again with it.
        self.owes_commands = false;
        self.is_waited_for = false;
    }

    /// Whether the machine's clock has jumped since what is known was learnt.
    pub(super) fn was_set(&self, now: Now) -> bool {
        let since = self.told.map(|(_, since)| since).or(self.hello.map(|(_, since)| since));
        since.is_some_and(|since| {
            let expected = since.wall.plus_ms(now.mono.ms_since(since.mono));
            expected.0.abs_diff(now.wall.0) > JUMP_MS
        })
    }

    /// Whether an answer is one to the last hello.
    pub(super) fn is_awaited(&self, epoch: Epoch) -> bool {
        self.hello.is_some_and(|(said, _)| said == epoch)
    }

    /// When to say hello again, because commands wait for the answer to the last one, or reports.
    pub(super) fn asks_again_at(&self, reports_wait: bool) -> Option<Monotonic> {
        let (_, said) = self.hello?;
        let is_needed = self.awaits_answer && (self.owes_commands || self.is_waited_for || reports_wait);
        is_needed.then(|| said.mono.plus_ms(RESEND_AFTER_MS))
    }

    /// The server's clock now; `None` = it has not been told, or the machine's clock was set since.
    pub(super) fn now(&self, now: Now) -> Option<Timestamp> {
        self.at(now.mono).filter(|_| !self.was_set(now))
    }

    fn at(&self, mono: Monotonic) -> Option<Timestamp> {
        self.told.map(|(at, since)| at.plus_ms(mono.ms_since(since.mono)))
    }

    /// Whether it was told a short while ago.
    pub(super) fn is_fresh(&self, mono: Monotonic) -> bool {
        self.told.is_some_and(|(_, since)| mono.ms_since(since.mono) < FRESH_MS)
    }

    /// Whether the last hello has no answer yet.
    pub(super) const fn awaits_answer(&self) -> bool {
        self.awaits_answer
    }

    /// A command waits outside for the answer.
    pub(super) const fn note_waiting(&mut self) {
        self.is_waited_for = true;
    }

    /// A command was not taken for want of the answer.
    pub(super) const fn note_not_taken(&mut self) {
        self.owes_commands = true;
    }

    /// The server has told its time; whether commands that were not taken come again on the next connection.
    pub(super) fn take(&mut self, answer: HelloAnswer) -> bool {
        let Some((_, since)) = self.hello.filter(|_| self.is_awaited(answer.epoch)) else { return false };
        self.told = Some((answer.at, since));
        self.awaits_answer = false;
        core::mem::take(&mut self.owes_commands)
    }
}
