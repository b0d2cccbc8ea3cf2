//! Signals to services such as Healthchecks, on their way out.
//!
//! What backups tell waits in the outbox of its channel until it was taken, or is too late ([`super::ping`]). Of what is due the
//! driver says for each signal what came of it. One that is refused for good (a status of 400 to 499, but not 408 and 429: there is
//! no such check) is given up at once, so that it holds up no other; after anything else the channel waits as it does with messages.
//!
//! What a check of the fleet is told waits in no outbox: it says how the hosts stand now.

use super::{DueMessage, Sent, cut, no_message, not_opened, open, outbox, ping, ping_made, ping_row, row};
use crate::fleet::Fleet;
use crate::record::{Channel, ChannelId, LostMessage, MessageId, SendError, Sending};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{CHANNELS, Reads as _, WAITING_PINGS};
use schema::Timestamp;

impl Fleet {
    /// The signals that are due, those of a channel together. Each counts as tried: whoever asked says what came of it.
    pub async fn begin_pings(&self) -> Result<Vec<DueMessage>, Refused> {
        if self.next_ping_in_ms()? != Some(0) {
            return Ok(Vec::new());
        }
        self.write(By::system(), |op| {
            let (mut due, before) = (Vec::new(), op.tx.writes());
            for (channel, known) in row::channels(op.tx)? {
                let Channel::Healthchecks(checks) = &known.channel else { continue };
                if !known.flags.is_on {
                    continue;
                }
                ping_row::drop_late(op, channel)?;
                let (mut state, waiting) = (row::state(op.tx, channel)?, ping_row::waiting(op.tx, channel)?);
                if due_in_ms(op.now, state.sending.as_ref(), !waiting.is_empty()) != Some(0) {
                    continue;
                }
                let sending = state.sending.get_or_insert_with(|| Sending {
                    id: MessageId(op.facts.random()),
                    made_at: op.now,
                    notices: Vec::new(),
                    left_out: 0,
                    tries: 0,
                    tried_at: None,
                    wait_ms: 0,
                });
                let told = &waiting[..waiting.len().min(ping::MOST_AT_ONCE)];
                sending.notices = told.iter().map(|(number, _)| *number).collect();
                outbox::count_try(op.now, sending);
                let (id, made_at) = (sending.id, sending.made_at);
                state.left_out = 0;
                match open(op.facts, channel, &known) {
                    Ok(secrets) => {
                        let pings = told
                            .iter()
                            .map(|(number, waiting)| {
                                ping_made::of_backup(op.tx, checks, &secrets, *number, waiting)
                            })
                            .collect::<Result<Vec<_>, StoreError>>()?;
                        let message = no_message(id, made_at);
                        let (name, how) = (known.name, known.channel);
                        due.push(DueMessage { channel, name, how, secrets, message, pings });
                    }
                    Err(_) => {
                        if let Sent::Refused { fault, said, .. } = not_opened() {
                            state.not_taken(SendError { at: op.now, fault, said });
                        }
                    }
                }
                row::put_state(op.tx, channel, &state)?;
            }
            // Nobody waits for an archive of that.
            op.tx.is_passing_since(before);
            Ok(due)
        })
        .await
    }

    /// What has become of the signals of a channel, by their numbers; those that are not named were not tried.
    pub async fn pings_answered(
        &self,
        channel: ChannelId,
        id: MessageId,
        answers: Vec<(u64, Sent)>,
    ) -> Result<(), Refused> {
        answers.iter().for_each(|(_, sent)| self.count_sent(channel, sent));
        self.write(By::system(), move |op| {
            if !op.tx.has(&CHANNELS, &channel)? {
                return Ok(());
            }
            let (mut state, before) = (row::state(op.tx, channel)?, op.tx.writes());
            // What was sent in another go says nothing about this one.
            let Some(mut sending) = state.sending.take().filter(|sending| sending.id == id) else {
                return Ok(());
            };
            let (mut is_taken, mut refused, mut failed) = (false, None, None);
            for (number, sent) in answers.clone() {
                match cut(sent) {
                    Sent::Taken | Sent::Partly { .. } => is_taken = true,
                    Sent::Refused { fault, said, .. } if fault.is_for_good() => {
                        let error = SendError { at: op.now, fault, said };
                        let made_at =
                            op.tx.get(&WAITING_PINGS, &(channel, number))?.map_or(op.now, |ping| ping.at);
                        let (id, tries) = (MessageId(op.facts.random()), sending.tries);
                        let lost = LostMessage { id, made_at, notices: 1, tries, error: error.clone() };
                        outbox::lose(&mut state, lost);
                        refused = Some(error);
                    }
                    Sent::Refused { fault, said, retry_after_ms } => {
                        failed = Some((SendError { at: op.now, fault, said }, retry_after_ms));
                        continue;
                    }
                }
                op.tx.remove(&WAITING_PINGS, &(channel, number))?;
            }
            match (failed, refused) {
                (Some((error, retry_after_ms)), _) => {
                    state.not_taken(error);
                    sending.wait_ms = outbox::wait_ms(sending.tries, retry_after_ms);
                    state.sending = Some(sending);
                }
                // Nothing was tried in the time that there is.
                (None, None) if !is_taken => state.sending = Some(sending),
                (None, Some(error)) if !is_taken => state.not_taken(error),
                (None, refused) => state.taken(op.now, refused),
            }
            if state.sending.is_none() {
                state.done_at = Some(op.now);
            }
            row::put_state(op.tx, channel, &state)?;
            op.tx.is_passing_since(before);
            Ok(())
        })
        .await
    }

    /// How long until a signal is due, in milliseconds: 0 = now; `None` = none waits, or this server only reads.
    pub fn next_ping_in_ms(&self) -> Result<Option<u64>, StoreError> {
        if self.only_reads() {
            return Ok(None);
        }
        let (now, view) = (self.now(), self.view()?);
        let mut next: Option<u64> = None;
        for (channel, known) in row::channels(&view)? {
            if known.flags.is_on && matches!(known.channel, Channel::Healthchecks(_)) {
                let (state, waiting) = (row::state(&view, channel)?, ping_row::waiting(&view, channel)?);
                let due = due_in_ms(now, state.sending.as_ref(), !waiting.is_empty());
                next = next.into_iter().chain(due).min();
            }
        }
        Ok(next)
    }
}

/// How long until what waits is told; `None` = nothing waits.
fn due_in_ms(now: Timestamp, sending: Option<&Sending>, waits: bool) -> Option<u64> {
    let left =
        |sending: &Sending| sending.tried_at.map_or(0, |at| sending.wait_ms.saturating_sub(now.ms_since(at)));
    waits.then(|| sending.map_or(0, left))
}
