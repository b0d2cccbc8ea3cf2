//! What the machine does with the server's time, see `server_time`.

use super::state::{Core, Link};
use crate::{Effect, Now};
use schema::{HelloAnswer, Timestamp};

impl Core {
    /// The server's clock now; `None` = it has not been told since the start, or since the machine's clock was set.
    #[must_use]
    pub fn server_time(&self, now: Now) -> Option<Timestamp> {
        self.clock.now(now)
    }

    /// Whether it can be judged now if a command came in time: the server has told its time on this connection. What is
    /// handed over before is not taken and has to come again, so it is better kept until then, see
    /// [`Core::keeps_command`].
    #[must_use]
    pub fn can_judge_commands(&self, now: Now) -> bool {
        !self.clock.awaits_answer() && self.server_time(now).is_some()
    }

    /// A command is kept outside until it can be judged.
    pub const fn keeps_command(&mut self) {
        self.clock.note_waiting();
    }

    /// The server's clock, or the machine's own where that is not known.
    pub(super) fn best_time(&self) -> Timestamp {
        self.server_time(self.now).unwrap_or(self.now.wall)
    }

    /// A command can't be judged by what is known of the time: it has to come again, once the server has told it. The
    /// broker sends again what was on its way before the server answers the hello, so that answer is waited for.
    pub(super) fn wait_for_time(&mut self) {
        match self.clock.awaits_answer() {
            true => self.clock.note_not_taken(),
            false => self.ask_again = true,
        }
    }

    /// Whether the server has answered the hello of this connection, and is no old copy of the one that was heard before:
    /// only then it gets reports and is obeyed.
    #[must_use]
    pub const fn is_served(&self) -> bool {
        self.is_served && self.is_connected()
    }

    /// The server has answered a hello.
    pub(super) fn take_answer(&mut self, answer: HelloAnswer) {
        if !self.clock.is_awaited(answer.epoch) || !self.is_connected() {
            return;
        }
        if answer.incarnation < self.saved.incarnation {
            self.link = Link::Down { retry_at: self.now.mono.plus_ms(self.backoff.next_ms()) };
            self.is_served = false;
            let _ = self.out.push_back(Effect::Superseded { incarnation: answer.incarnation });
            return;
        }
        self.saved.incarnation = answer.incarnation;
        self.is_served = true;
        self.ask_again |= self.clock.take(answer);
    }
}
