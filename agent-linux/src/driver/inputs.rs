//! What comes in from the server and from time.

use super::{AtHand, Driver};
use crate::{
    clock, encoding,
    link::{LinkError, LinkEvent},
    logger,
    restic::Credentials,
};
use agent_core::{Now, STEADY_AFTER_MS};
use rumqttc::Publish;
use schema::{
    Command, CommandBody, CommandSeq, HostTopic, OpenError, Sealed, Timestamp, ToAgent, Topic, envelope,
};
use zeroize::Zeroizing;

/// How a command begins, whatever its body is: the variant of [`ToAgent`], the number, the expiry.
type CommandHead = (u32, CommandSeq, Timestamp);

/// The most commands that wait for an answer to be acked; a server of ours has no more than 32 on their way at once.
/// One more is left to the core, which asks for it again.
const MAX_PUT_OFF: usize = 64;

/// Whether this is no command, and never waits: an ack is what commands wait for.
fn is_ack(plain: &[u8]) -> bool {
    matches!(schema::decode(plain), Ok(ToAgent::Ack { .. } | ToAgent::Credit { .. }))
}

impl Driver {
    pub(super) fn handle_time(&mut self) {
        let now = clock::now();
        self.core.handle_tick(now);
        self.look_at_room(now);
        self.flush_logs();
        self.look_at_plan();
        self.look_at_slots(now);
        self.look_at_heartbeat(now);
    }

    /// Credentials that came for a job, and then the connection went: without the job they are not kept for long.
    fn look_at_slots(&mut self, now: Now) {
        const KEPT_MS: u64 = 600_000;
        let is_away = self.away_since.is_some_and(|since| now.mono.ms_since(since) >= KEPT_MS);
        if is_away && self.slots.holds_any() {
            self.forget_waiting_slots();
        }
    }

    fn forget_waiting_slots(&mut self) {
        self.core.forget_waiting_slots();
        let held = &self.core.saved().held;
        self.slots.forget_unless(|job| held.iter().any(|entry| entry.ticket.job == job));
    }

    /// A job fills disks, and may write nothing here until its end: that would be told too late.
    fn look_at_room(&mut self, now: Now) {
        const EVERY_MS: u64 = 5_000;
        if self.job.is_none() && self.download.is_none() || self.room_at > now.mono {
            return;
        }
        self.room_at = now.mono.plus_ms(EVERY_MS);
        if !self.core.store_fails() && !self.state.has_room() {
            logger::error(format_args!("the state folder has no space left, or is read-only"));
            self.core.handle_store_fails(now);
        }
    }

    pub(super) fn handle_link(&mut self, event: LinkEvent) {
        let now = clock::now();
        match event {
            LinkEvent::Connected => {
                logger::info(format_args!("connected to {}", self.dialled));
                self.connected_since = Some(now.wall);
                self.connected_at = Some(now.mono);
                self.answered_version = false;
                self.core.handle_connected(now);
            }
            LinkEvent::Message(message) => self.handle_message(&message),
            LinkEvent::Closed { error: error @ (LinkError::Login(_) | LinkError::KeptOut(_)), .. } => {
                self.fail_at(error.to_string());
                // Somebody has to mend it, once all addresses have been tried.
                match self.drop_link() {
                    true => self.core.handle_refused(now),
                    false => self.core.handle_disconnected(now),
                }
            }
            LinkEvent::Closed { error, idle } => {
                self.fail_at(error.to_string());
                if idle.is_some_and(|idle| self.keep_alive.cut(idle)) {
                    let secs = self.keep_alive.period().as_secs();
                    logger::info(format_args!(
                        "the network cuts a silent connection: it is kept alive every {secs} s from now on"
                    ));
                }
                self.lose_link();
            }
        }
    }

    /// The connection is of no more use.
    pub(super) fn lose_link(&mut self) {
        self.drop_link();
        self.core.handle_disconnected(clock::now());
    }

    /// Forgets the connection and what came over it; the server sends it again. Whether all of its addresses have been
    /// tried since a connection lasted.
    pub(super) fn drop_link(&mut self) -> bool {
        self.link = None;
        let lasted = self.connected_at.take().is_some_and(|at| clock::mono().ms_since(at) >= STEADY_AFTER_MS);
        let is_round = self.turns.ended(lasted, self.plan.addresses(&self.identity));
        self.leave_transfer();
        if self.away_since.is_none() {
            self.away_since = Some(clock::mono());
            self.look_at = clock::mono();
        }
        self.connected_since = None;
        self.put_off.clear();
        is_round
    }

    fn handle_message(&mut self, message: &Publish) {
        if Topic::parse(&message.topic) == Some(Topic::Host(self.identity.host, HostTopic::Plan)) {
            self.take_plan(message);
            return self.acknowledge(message);
        }
        // Whether the machine's clock was set is seen before what came is judged by it.
        self.core.handle_tick(clock::now());
        let opened = self.open(message);
        let is_command = opened.as_ref().is_ok_and(|plain| !is_ack(plain));
        // A command is not refused for a disk that has room again.
        if is_command && self.core.store_fails() {
            self.retry_store();
        }
        let has_to_wait = !self.put_off.is_empty() || !self.can_take_commands();
        if has_to_wait && self.put_off.len() < MAX_PUT_OFF && is_command {
            self.core.keeps_command();
            return self.put_off.push_back(message.clone());
        }
        self.take_message(message, opened);
    }

    /// Whether a command can be answered, and be judged by the server's clock.
    fn can_take_commands(&self) -> bool {
        self.core.saved().can_answer() && self.core.can_judge_commands(clock::now())
    }

    /// Takes the commands that waited until the server had acked answers to earlier ones or told its time, in their
    /// order. As they are not acknowledged meanwhile, the server sends no more than its window.
    pub(super) fn take_put_off(&mut self) {
        while self.can_take_commands()
            && let Some(message) = self.put_off.pop_front()
        {
            let opened = self.open(&message);
            self.take_message(&message, opened);
        }
    }

    fn take_message(&mut self, message: &Publish, opened: Result<Zeroizing<Vec<u8>>, String>) {
        let taken_at = match opened {
            Ok(plain) => self.handle_plain(&plain),
            Err(reason) => {
                self.fail(reason);
                // It won't get better by coming again.
                None
            }
        };
        self.carry_out();
        self.at_hand = AtHand::default();
        // Acknowledged only when what it asks for is on disk; else it comes again.
        if taken_at.is_none_or(|seq| self.core.saved().taken >= seq) {
            self.acknowledge(message);
        }
    }

    /// Gives an opened message to the core; its number when it is a command.
    fn handle_plain(&mut self, plain: &[u8]) -> Option<CommandSeq> {
        let now = clock::now();
        let (seq, result) = match schema::decode::<ToAgent<'_>>(plain) {
            Ok(message) => {
                let seq = match &message {
                    ToAgent::Command(command) => {
                        self.at_hand = at_hand(&command.body);
                        Some(command.seq)
                    }
                    ToAgent::Ack { refused, .. } => {
                        if let Some(over) = refused {
                            logger::warn(format_args!("the server has refused {}", over.words()));
                        }
                        None
                    }
                    ToAgent::Credit { job, before } => {
                        self.take_credit(*job, *before);
                        None
                    }
                };
                let result = self.core.handle_message(&message, now);
                if self.core.is_served() {
                    self.refusals.clear();
                    self.away_since = None;
                }
                if let ToAgent::Command(Command { body: CommandBody::Cancel { job }, .. }) = message
                    && !self.core.saved().held.iter().any(|entry| entry.ticket.job == job)
                {
                    // It will not come any more.
                    self.slots.forget(job);
                }
                (seq, result)
            }
            Err(error) => match postcard::take_from_bytes::<CommandHead>(plain) {
                Ok(((0, seq, _), _)) => {
                    self.fail(format!("command {seq}: {error}"));
                    // It may have been the job that some came for.
                    self.forget_waiting_slots();
                    (Some(seq), self.core.handle_not_understood(seq, now))
                }
                _ => {
                    self.fail(format!("a message of the server: {error}"));
                    (None, Ok(()))
                }
            },
        };
        if let Err(busy) = result {
            // The loop drains the core before each input, so this is a fault; the command comes again.
            logger::error(format_args!("a command was put off: {busy}"));
        }
        seq
    }

    pub(super) fn open(&mut self, message: &Publish) -> Result<Zeroizing<Vec<u8>>, String> {
        let topics = [HostTopic::Cmd, HostTopic::Plan].map(|topic| Topic::Host(self.identity.host, topic));
        let Some(topic) = Topic::parse(&message.topic).filter(|topic| topics.contains(topic)) else {
            return Err(format!("a message came on {:?}, which was not asked for", message.topic));
        };
        let sealed = Sealed::parse(&message.payload).map_err(|error| self.note_version(error))?;
        if sealed.key_id != self.identity.key_id {
            return Err(OpenError::Key(sealed.key_id).to_string());
        }
        let mut buffer = Zeroizing::new(vec![0; message.payload.len()]);
        let length = sealed
            .open(&self.identity.link_key, topic, &mut buffer)
            .map_err(|error| format!("a message on {}: {error}", message.topic))?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn note_version(&mut self, error: OpenError) -> String {
        let text = error.to_string();
        match error {
            OpenError::Notice { .. } => self.version_notice = Some(text.clone()),
            OpenError::Version(_) => {
                self.version_notice = Some(text.clone());
                if !self.answered_version {
                    self.answered_version = true;
                    self.publish_bytes(HostTopic::Evt, envelope::version_notice().to_vec());
                }
            }
            _ => {}
        }
        text
    }
}

fn at_hand(body: &CommandBody<'_>) -> AtHand {
    let mut at_hand = AtHand::default();
    match body {
        CommandBody::Run(run) => {
            at_hand.run = encoding::encode(run).unwrap_or_default();
        }
        CommandBody::ConfigUpdate(update) => {
            at_hand.credentials = update.credentials.as_ref().map(Credentials::from);
        }
        CommandBody::Cancel { .. } => {}
    }
    at_hand
}
