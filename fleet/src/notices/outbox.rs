//! What is sent when: pure.
//!
//! Notices wait at their channel. When it has rested, all that wait become one message, which stays as it is, with its id,
//! until it is taken or given up: so whoever gets it twice can drop one, and nothing is lost in between. What comes
//! meanwhile waits for the next message.
//!
//! Each try is written down before it is made. One that was cut off by the end of the process is made again, after the same
//! while as one that failed. Instants that lie ahead count as now, as everywhere, until [`crate::clock`] has mended them.

use crate::record::{ChannelState, LostMessage, MessageId, SendError, SendFault, Sending, WaitingNotice};
use crate::units::{DAY_MS, MINUTE_MS};
use schema::Timestamp;

/// So long a channel rests after a message.
pub(crate) const RESTS_MS: u64 = 2 * MINUTE_MS;
/// After the first try that failed it waits so long, then twice as long each time.
pub(crate) const FIRST_WAIT_MS: u64 = 10_000;
/// It never waits longer, whatever the other side asks for.
pub(crate) const LONGEST_WAIT_MS: u64 = 60 * MINUTE_MS;
/// A message that nobody has taken for so long is given up, when it was tried [`GIVEN_UP_TRIES`] times at least.
pub(crate) const GIVEN_UP_AFTER_MS: u64 = 2 * DAY_MS;
/// So often it is tried at least: while the server is off nothing is.
pub(crate) const GIVEN_UP_TRIES: u32 = 20;
/// So many notices wait at a channel; beyond, the oldest are left out, and the next message says how many.
pub(crate) const MOST_WAITING: usize = 1_000;
/// So many messages that were given up are kept.
const MOST_LOST: usize = 20;
/// Quiet hours last no longer, also where daylight saving leaves out their end: what would wait longer began to while the
/// clock was off.
pub(crate) const LONGEST_QUIET_MS: u64 = 2 * DAY_MS + 60 * MINUTE_MS;

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The other side has it.
    Taken,
    /// Some of those to whom it goes have it. The others refuse it for good.
    Partly {
        /// Why.
        fault: SendFault,
        /// What was said, and of whom; without secrets.
        said: String,
    },
    /// It does not.
    Refused {
        /// Why.
        fault: SendFault,
        /// What the other side said; without secrets.
        said: String,
        /// How long it asks to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// Whether a notice may be told, as far as quiet hours go.
pub(crate) fn is_told(now: Timestamp, waiting: &WaitingNotice) -> bool {
    waiting.quiet_until.is_none_or(|until| now >= until || until.ms_since(now) > LONGEST_QUIET_MS)
}

/// How long until the channel can have a message again: 0 = it can now.
pub(super) fn rests_ms(now: Timestamp, state: &ChannelState) -> u64 {
    state.done_at.map_or(0, |at| RESTS_MS.saturating_sub(now.ms_since(at)))
}

/// How long until there is something to do, in milliseconds: 0 = now; `None` = nothing waits. `waiting` are the notices that are
/// in no message yet.
pub(crate) fn due_in_ms<'n>(
    now: Timestamp,
    state: &ChannelState,
    waiting: impl IntoIterator<Item = &'n WaitingNotice>,
) -> Option<u64> {
    if let Some(sending) = &state.sending {
        return Some(sending.tried_at.map_or(0, |at| sending.wait_ms.saturating_sub(now.ms_since(at))));
    }
    let first = waiting.into_iter().map(|one| match one.quiet_until {
        Some(until) if !is_told(now, one) => until.ms_since(now),
        _ => 0,
    });
    Some(first.min()?.max(rests_ms(now, state)))
}

/// Makes a message of what waits, where the channel has none and has rested, and notes a try of the one that it has. Returns
/// whether it is to be sent now. Beyond `most` notices the others wait for the next message.
pub(crate) fn begin(
    now: Timestamp,
    state: &mut ChannelState,
    waiting: &[(u64, WaitingNotice)],
    most: usize,
    new_id: impl FnOnce() -> MessageId,
) -> bool {
    if due_in_ms(now, state, waiting.iter().map(|(_, notice)| notice)) != Some(0) {
        return false;
    }
    let left_out = &mut state.left_out;
    let sending = state.sending.get_or_insert_with(|| Sending {
        id: new_id(),
        made_at: now,
        notices: waiting
            .iter()
            .filter(|(_, one)| is_told(now, one))
            .map(|(number, _)| *number)
            .take(most)
            .collect(),
        left_out: std::mem::take(left_out),
        tries: 0,
        tried_at: None,
        wait_ms: 0,
    });
    count_try(now, sending);
    true
}

/// One more try is made.
pub(super) fn count_try(now: Timestamp, sending: &mut Sending) {
    sending.tries = sending.tries.saturating_add(1);
    sending.tried_at = Some(now);
    sending.wait_ms = wait_ms(sending.tries, None);
}

/// A message is given up; of the oldest ones only their number stays.
pub(super) fn lose(state: &mut ChannelState, lost: LostMessage) {
    state.lost.push(lost);
    while state.lost.len() > MOST_LOST {
        state.lost.remove(0);
        state.lost_before = state.lost_before.saturating_add(1);
    }
}

/// How long it waits after so many tries.
pub(super) fn wait_ms(tries: u32, asked_ms: Option<u64>) -> u64 {
    let doubled = FIRST_WAIT_MS.saturating_mul(1 << tries.saturating_sub(1).min(20));
    doubled.max(asked_ms.unwrap_or(0)).min(LONGEST_WAIT_MS)
}

/// What a try of a message has come to. Returns the notices that are done with; none while it is tried again.
pub(crate) fn answered(now: Timestamp, state: &mut ChannelState, id: MessageId, sent: Sent) -> Vec<u64> {
    // What was sent of another message says nothing about this one.
    let Some(sending) = state.sending.as_mut().filter(|sending| sending.id == id) else { return Vec::new() };
    let (fault, said, retry_after_ms) = match sent {
        Sent::Taken => {
            state.taken(now, None);
            return done(now, state);
        }
        Sent::Partly { fault, said } => {
            state.taken(now, Some(SendError { at: now, fault, said }));
            return done(now, state);
        }
        Sent::Refused { fault, said, retry_after_ms } => (fault, said, retry_after_ms),
    };
    sending.wait_ms = wait_ms(sending.tries, retry_after_ms);
    let error = SendError { at: now, fault, said };
    if now.ms_since(sending.made_at) < GIVEN_UP_AFTER_MS || sending.tries < GIVEN_UP_TRIES {
        state.not_taken(error);
        return Vec::new();
    }
    let told = u32::try_from(sending.notices.len()).unwrap_or(u32::MAX);
    let lost = LostMessage {
        id,
        made_at: sending.made_at,
        notices: told.saturating_add(sending.left_out),
        tries: sending.tries,
        error: error.clone(),
    };
    state.not_taken(error);
    lose(state, lost);
    done(now, state)
}

fn done(now: Timestamp, state: &mut ChannelState) -> Vec<u64> {
    state.done_at = Some(now);
    state.sending.take().map(|sending| sending.notices).unwrap_or_default()
}

/// Which of those that wait are left out, now that one more comes: the oldest that are in no message.
pub(crate) fn too_many(state: &ChannelState, waiting: &[u64]) -> Vec<u64> {
    let of_message = state.sending.as_ref().map_or(&[][..], |sending| &sending.notices);
    let beyond = waiting.len().saturating_sub(MOST_WAITING);
    waiting.iter().filter(|number| !of_message.contains(number)).take(beyond).copied().collect()
}

/// What a channel is tried with is another one: it is tried at once.
pub(crate) fn try_again(state: &mut ChannelState) {
    if let Some(sending) = &mut state.sending {
        sending.wait_ms = 0;
    }
}
