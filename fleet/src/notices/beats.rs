//! Heartbeats: that the server is well, said again and again to somebody who watches for it.
//!
//! None waits in an outbox: one that was not sent says all there is to say. Whether the server is well is for the driver to
//! find out, before each.

use super::{DueMessage, Sent, cut, no_message, not_opened, open, ping_made, row};
use crate::fleet::Fleet;
use crate::record::{Channel, ChannelId, ChannelState, MessageId, SendError, Watched};
use crate::refused::Refused;
use crate::request::By;
use crate::store::{CHANNELS, Reads as _};
use crate::units::MINUTE_MS;
use crate::view::HostFilter;
use schema::Timestamp;

/// One that was not taken is tried again after so long, or sooner where it is due.
const AGAIN_MS: u64 = MINUTE_MS;

/// Whether one is due.
pub(super) fn is_due(now: Timestamp, state: &ChannelState, every_min: u16) -> bool {
    let every_ms = u64::from(every_min) * MINUTE_MS;
    let wait_ms = if state.failing.is_some() { every_ms.min(AGAIN_MS) } else { every_ms };
    state.done_at.is_none_or(|at| now.ms_since(at) >= wait_ms)
}

impl Fleet {
    /// The heartbeats that are due: whoever asks says what came of each.
    pub async fn begin_beats(&self) -> Result<Vec<DueMessage>, Refused> {
        let (mut due, mut unreadable) = (Vec::new(), Vec::new());
        if self.only_reads() {
            return Ok(due);
        }
        let (context, view) = (self.context(), self.view()?);
        let now = context.now();
        for (channel, row) in row::channels(&view)? {
            let every_min = match &row.channel {
                Channel::Heartbeat(beat) => beat.every_min,
                Channel::Healthchecks(checks) if checks.of == Watched::Fleet => checks.every_min,
                _ => continue,
            };
            let state = row::state(&view, channel)?;
            if !row.flags.is_on || !is_due(now, &state, every_min) {
                continue;
            }
            let Ok(secrets) = open(&context.facts, channel, &row) else {
                unreadable.push(channel);
                continue;
            };
            let id = MessageId(context.facts.random());
            let pings = match &row.channel {
                Channel::Healthchecks(checks) => {
                    let rows = self.read()?.fleet(&HostFilter::default());
                    vec![ping_made::of_fleet(checks, &secrets, &rows)]
                }
                _ => Vec::new(),
            };
            let message = no_message(id, now);
            due.push(DueMessage { channel, name: row.name, how: row.channel, secrets, message, pings });
        }
        for channel in unreadable {
            self.beat_answered(channel, not_opened()).await?;
        }
        Ok(due)
    }

    /// What has become of a heartbeat.
    pub async fn beat_answered(&self, channel: ChannelId, sent: Sent) -> Result<(), Refused> {
        self.count_sent(channel, &sent);
        self.write(By::system(), move |op| {
            if !op.tx.has(&CHANNELS, &channel)? {
                return Ok(());
            }
            let (mut state, before) = (row::state(op.tx, channel)?, op.tx.writes());
            state.done_at = Some(op.now);
            match cut(sent.clone()) {
                Sent::Taken | Sent::Partly { .. } => state.taken(op.now, None),
                Sent::Refused { fault, said, .. } => {
                    state.not_taken(SendError { at: op.now, fault, said });
                }
            }
            row::put_state(op.tx, channel, &state)?;
            // Nobody waits for an archive of that.
            op.tx.is_passing_since(before);
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SendFault;
    use crate::units::DAY_MS;

    #[test]
    fn a_heartbeat_is_due_at_once_then_each_while_and_sooner_when_it_was_not_taken() {
        let begin = Timestamp(1_000 * DAY_MS);
        let after = |minutes: u64| begin.plus_ms(minutes * MINUTE_MS);
        assert!(is_due(begin, &ChannelState::default(), 5));
        let taken = ChannelState { done_at: Some(begin), ..ChannelState::default() };
        assert_eq!(
            [0, 4, 5, 60].map(|minutes| is_due(after(minutes), &taken, 5)),
            [false, false, true, true]
        );
        let error = SendError { at: begin, fault: SendFault::TooSlow, said: String::new() };
        let failing = ChannelState { failing: Some((begin, error)), ..taken };
        assert_eq!([0, 1, 4].map(|minutes| is_due(after(minutes), &failing, 5)), [false, true, true]);
    }
}
