//! What the broker hands over from hosts, and what it asks for to hand to them.
//!
//! A message is opened here, beside the writer; what it says is decided and written in one operation. Of one host,
//! messages must be handed over in the order in which they came; the order in which the futures are first polled is
//! the order in which they are written. An error means that nothing was taken: the message has to come again.

use crate::budget::Spent;
use crate::change::Changed;
use crate::dispatch;
use crate::fleet::{Fleet, Handled};
use crate::hosts;
use crate::incarnation;
use crate::job::log;
use crate::link::{self, hello, outbox, report};
use crate::op::Op;
use crate::record::{AuditAction, WireProblem};
use crate::refused::{Refused, StoreError};
use crate::repo;
use crate::request::By;
use crate::store::{EARLIER_AGENTS, HOSTS, JOBS, LINK_STATES, LINKS, PRESENCES, Reads};
use schema::envelope::{Key, OpenError, Sealed, version_notice};
use schema::{
    CommandSeq, HelloAnswer, HostId, HostTopic, JobId, Live, Presence, RepoStats, Timestamp, ToAgent, Topic,
};
use zeroize::Zeroizing;

/// How long after a host was enrolled anew its former connection may still say something, in milliseconds.
const FAREWELL_MS: u64 = 60_000;

impl Fleet {
    /// A message on `evt`. Resolves when what it says is on disk; the reply is the ack.
    pub async fn handle_report(
        &self,
        host: HostId,
        payload: &[u8],
        peer: &str,
    ) -> Result<Handled, StoreError> {
        let (key, message) = match self.opened(host, HostTopic::Evt, payload, peer).await? {
            OpenedMessage::Message(key, message) => (key, message),
            OpenedMessage::Answer(handled) => return Ok(handled),
        };
        let taken = self.write(By::agent(peer), move |op| report::take(op, host, &message)).await;
        match taken {
            Ok(Some(acked)) => Ok(Handled { reply: self.ack(host, &key, acked, None), ..Handled::default() }),
            Ok(None) => Ok(Handled::default()),
            Err(error) => not_handled(host, "report", error),
        }
    }

    /// A message on `presence`, or the last will of a connection that ended.
    pub async fn handle_presence(
        &self,
        host: HostId,
        payload: &[u8],
        peer: &str,
    ) -> Result<Handled, StoreError> {
        let (key, message) = match self.opened(host, HostTopic::Presence, payload, peer).await? {
            OpenedMessage::Message(key, message) => (key, message),
            OpenedMessage::Answer(handled) => return Ok(handled),
        };
        if self.is_over(host, Spent::State) {
            return Ok(Handled::default());
        }
        let first = self.context().began().get(&host).copied();
        let taken = self.write(By::agent(peer), move |op| take_presence(op, host, &message, first)).await;
        match taken {
            Ok(Some(Greeted::In { acked, answer, is_earlier, wake, rewound })) => {
                self.context().began().remove(&host);
                Ok(Handled {
                    reply: self.answer(host, &key, acked, answer, is_earlier),
                    wake,
                    rewound,
                    kept_out: false,
                })
            }
            Ok(Some(Greeted::KeptOut)) => Ok(Handled { kept_out: true, ..Handled::default() }),
            Ok(None) => Ok(Handled::default()),
            Err(error) => not_handled(host, "presence", error),
        }
    }

    /// A host has come in with its own password: its next hello is of this connection, and is believed even when the
    /// machine was set back to an earlier state and counts its connects from there. A carrier that can't tell when
    /// a connection begins does not call this.
    pub fn connection_began(&self, host: HostId) {
        self.context().downloads.host_lost(host);
        let state = self.view().and_then(|view| view.get(&LINK_STATES, &host));
        let delivered = state.ok().flatten().map_or(CommandSeq::ZERO, |state| state.delivered);
        self.context().began().insert(host, delivered);
    }

    /// A host's connection has ended. Its agent says so itself, or its will does; but whoever else came with its
    /// login may have said nothing.
    pub async fn connection_ended(&self, host: HostId) {
        self.context().downloads.host_lost(host);
        let gone = move |op: &mut Op<'_, '_>| -> Result<(), Refused> { Ok(hello::is_gone(op, host)?) };
        let noted = match self.succession() {
            None => self.write(By::system(), gone).await,
            // Nothing else is written any more; but a start would find the same.
            Some(_) => self.write_in_passing(By::system(), gone).await,
        };
        if let Err(error) = noted {
            tracing::error!(%host, %error, "the end of a connection could not be noted");
        }
    }

    /// A message on `repo/stats`.
    pub async fn handle_stats(&self, host: HostId, payload: &[u8]) -> Result<Handled, StoreError> {
        let message = match self.opened(host, HostTopic::RepoStats, payload, "").await? {
            OpenedMessage::Message(_, message) => message,
            OpenedMessage::Answer(handled) => return Ok(handled),
        };
        if self.is_over(host, Spent::State) {
            return Ok(Handled::default());
        }
        let taken = self
            .write(By::agent(""), move |op| {
                match schema::decode::<RepoStats<'_>>(&message) {
                    Ok(stats) if op.tx.has(&HOSTS, &host)? => {
                        let stream = outbox::state_of(op.tx, host)?.stream;
                        repo::take_stats(op, host, &stats, stream)?;
                    }
                    Ok(_) => {}
                    Err(_) => {
                        report::odd(op, host, "repository figures that can't be read were dropped")?;
                    }
                }
                Ok(())
            })
            .await;
        match taken {
            Ok(()) => Ok(Handled::default()),
            Err(error) => not_handled(host, "stats", error),
        }
    }

    /// A message on `live`. Memory only; what can't be used is let go.
    pub fn handle_live(&self, host: HostId, payload: &[u8]) {
        let Ok(Some((_, key))) = self.link_key(host) else { return };
        let Ok(message) = link::open_envelope(&key, host, HostTopic::Live, payload) else { return };
        self.context().saw_from_host(host, HostTopic::Live, payload.len(), &message);
        if self.is_over(host, Spent::Live) {
            return;
        }
        let is_earlier = || self.view().and_then(|view| view.has(&EARLIER_AGENTS, &host));
        let message = match is_earlier() {
            Ok(true) => link::earlier::read(HostTopic::Live, &message).map_or(message, Zeroizing::new),
            _ => message,
        };
        let Ok(live) = schema::decode::<Live<'_>>(&message) else { return };
        let (Live::Progress(schema::Progress { job, .. }) | Live::Log { job, .. }) = live;
        if !self.is_live(host, job) {
            return;
        }
        let context = self.context();
        let now = context.now();
        let told = match live {
            Live::Progress(progress) => {
                let is_due = context.board().take_progress(host, &progress, now);
                is_due.then_some(Changed::JobLive { host, job })
            }
            Live::Log { first_line, lines, .. } => {
                let is_due = context.board().take_lines(job, host, log::chunk_of(first_line, &lines), now);
                is_due.then_some(Changed::JobLog { host, job })
            }
        };
        if let Some(what) = told {
            context.tell(what);
        }
    }

    /// Sealed commands that wait for a host, behind a number, oldest first. Those that its connection has
    /// acknowledged are left out.
    #[must_use]
    pub fn commands_after(
        &self,
        host: HostId,
        after_seq: CommandSeq,
        max: usize,
    ) -> Vec<(CommandSeq, Vec<u8>)> {
        let commands = self.view().and_then(|view| {
            let state = outbox::state_of(&view, host)?;
            if state.is_catching_up() {
                return Ok(Vec::new());
            }
            let delivered = state.delivered;
            outbox::after(&view, host, after_seq.max(delivered), max)
        });
        if let (Ok(commands), true) = (&commands, self.context().traffic_is_watched()) {
            let key = self.link_key(host).ok().flatten();
            for ((_, payload), (_, key)) in commands.iter().zip(key.iter().cycle()) {
                if let Ok(message) = link::open_envelope(key, host, HostTopic::Cmd, payload) {
                    self.context().saw_command(host, payload.len(), &message);
                }
            }
        }
        commands.unwrap_or_else(|error| {
            tracing::error!(%host, %error, "the outbox could not be read");
            Vec::new()
        })
    }

    /// Commands up to `through` were handed to the host's session.
    pub async fn command_sent(&self, host: HostId, through: CommandSeq) {
        let noted = self.write(By::system(), move |op| Ok(dispatch::sent(op, host, through)?)).await;
        if let Err(error) = noted {
            tracing::error!(%host, %error, "sent commands could not be noted");
        }
    }

    /// The host's connection has acknowledged commands up to `seq` (PUBACK). They are not handed out again until a
    /// hello says that they were not taken after all; only what the agent says it has taken clears the outbox.
    pub async fn command_delivered(&self, host: HostId, seq: CommandSeq) {
        let noted = self
            .write(By::system(), move |op| {
                dispatch::sent(op, host, seq)?;
                Ok(outbox::delivered(op.tx, host, seq)?)
            })
            .await;
        if let Err(error) = noted {
            tracing::error!(%host, %error, "a delivered command could not be noted");
        }
    }

    /// The sealed plan to retain for a host; `None` = it is not enrolled.
    #[must_use]
    pub fn plan(&self, host: HostId) -> Option<Vec<u8>> {
        let view = self.view().ok()?;
        let record = view.get(&HOSTS, &host).ok()??;
        let revision = outbox::state_of(&view, host).ok()?.plan_revision;
        let key = self.link_key(host).ok()??;
        let topic = Topic::Host(host, HostTopic::Plan);
        let is_earlier = view.has(&EARLIER_AGENTS, &host).ok()?;
        link::plan::with(&view, &record, revision, |plan| {
            let random = || self.context().random();
            let sealed = match is_earlier {
                true => link::seal_message(random, &key, topic, &link::earlier::plan(plan)),
                false => link::seal_message(random, &key, topic, plan),
            };
            let sealed = sealed.ok()?;
            self.context().saw_plan(host, sealed.len(), plan);
            Some(sealed)
        })
        .ok()?
    }

    pub(crate) fn link_key(&self, host: HostId) -> Result<Option<(u8, Key)>, StoreError> {
        let context = self.context();
        context.links.of(&context.master, host, || self.view()?.get(&LINKS, &host))
    }

    /// Whether a host says more than is listened to; then that is counted.
    fn is_over(&self, host: HostId, what: Spent) -> bool {
        let context = self.context();
        let now = context.now();
        let over = context.meters().spend(host, what, 1, now).err();
        if let Some(over) = over {
            context.meters().count_refused(host, over, now);
        }
        over.is_some()
    }

    /// Whether live news of this job may be shown: it is this host's, and open.
    fn is_live(&self, host: HostId, job: JobId) -> bool {
        if let Some(is_own) = self.context().board().is_of(job, host) {
            return is_own;
        }
        match self.view().and_then(|view| view.get(&JOBS, &job)) {
            Ok(Some(record)) => record.host == host && !record.state.is_ended(),
            _ => false,
        }
    }

    fn ack(
        &self,
        host: HostId,
        key: &(u8, Key),
        acked: report::Acked,
        answer: Option<HelloAnswer>,
    ) -> Option<Vec<u8>> {
        let ack =
            ToAgent::Ack { stream: acked.stream, through: acked.through, answer, refused: acked.refused };
        let sealed =
            link::seal_message(|| self.context().random(), key, Topic::Host(host, HostTopic::Cmd), &ack)
                .ok()?;
        self.context().saw_ack(host, sealed.len(), &ack);
        Some(sealed)
    }

    /// What is said to a hello.
    fn answer(
        &self,
        host: HostId,
        key: &(u8, Key),
        acked: report::Acked,
        answer: HelloAnswer,
        is_earlier: bool,
    ) -> Option<Vec<u8>> {
        if !is_earlier {
            return self.ack(host, key, acked, Some(answer));
        }
        let topic = Topic::Host(host, HostTopic::Cmd);
        let earlier = link::earlier::answer(acked.stream, acked.through, answer);
        let sealed = link::seal_message(|| self.context().random(), key, topic, &earlier).ok()?;
        let report::Acked { stream, through, refused } = acked;
        let ack = ToAgent::Ack { stream, through, answer: Some(answer), refused };
        self.context().saw_ack(host, sealed.len(), &ack);
        Some(sealed)
    }

    /// Opens a message of a host. What does not open is noted and dropped.
    async fn opened(
        &self,
        host: HostId,
        topic: HostTopic,
        payload: &[u8],
        peer: &str,
    ) -> Result<OpenedMessage, StoreError> {
        let nothing = OpenedMessage::Answer(Handled::default());
        let Some(key) = self.link_key(host)? else { return Ok(nothing) };
        let why = match link::open_envelope(&key.1, host, topic, payload) {
            Ok(message) => {
                self.context().saw_from_host(host, topic, payload.len(), &message);
                return Ok(OpenedMessage::Message(key, message));
            }
            Err(why) => why,
        };
        match why {
            OpenError::Version(version) => {
                self.note_version(host, version, peer).await?;
                let reply = Some(version_notice().to_vec());
                Ok(OpenedMessage::Answer(Handled { reply, ..Handled::default() }))
            }
            // It is about our own messages; an answer to it would go back and forth for ever.
            OpenError::Notice { current, .. } => {
                self.note_version(host, current, peer).await?;
                Ok(nothing)
            }
            OpenError::Malformed | OpenError::Key(_) | OpenError::Forged => {
                if self.is_farewell(host, key.0, payload)? {
                    tracing::debug!(%host, topic = topic.suffix(), "the last words of a former machine were dropped");
                } else {
                    self.note_forged(host, topic, peer).await?;
                }
                Ok(nothing)
            }
        }
    }

    async fn note_version(&self, host: HostId, version: u8, peer: &str) -> Result<(), StoreError> {
        let known = self.view()?.get(&PRESENCES, &host)?.and_then(|presence| presence.wire_problem);
        if known.is_some_and(|problem| problem.version == version) {
            return Ok(());
        }
        let noted = self
            .write(By::agent(peer), move |op| {
                let mut presence = op.tx.get(&PRESENCES, &host)?.unwrap_or_default();
                presence.wire_problem = Some(WireProblem { version, at: op.now });
                if presence.online {
                    presence.online = false;
                    presence.changed_at = Some(op.now);
                }
                presence.last_seen_at = Some(op.now);
                op.tx.put(&PRESENCES, &host, &presence)?;
                let text = format!("it speaks wire version {version}");
                report::odd(op, host, &text)?;
                op.tx.effects.changed(Changed::Host(host));
                Ok(())
            })
            .await;
        noted.or_else(only_store)
    }

    /// Whether it is the last that comes over the connection of a machine whose key has just ended, such as its will. Who
    /// forges with that key's number is not heard either, and only for so long not told of.
    fn is_farewell(&self, host: HostId, key_id: u8, payload: &[u8]) -> Result<bool, StoreError> {
        let is_former =
            Sealed::parse(payload).is_ok_and(|sealed| sealed.key_id.checked_add(1) == Some(key_id));
        if !is_former {
            return Ok(false);
        }
        let since = self.view()?.get(&HOSTS, &host)?.and_then(|host| host.enrolled_at);
        Ok(since.is_some_and(|since| self.context().now().ms_since(since) < FAREWELL_MS))
    }

    async fn note_forged(&self, host: HostId, topic: HostTopic, peer: &str) -> Result<(), StoreError> {
        let context = self.context();
        let now = context.now();
        if context.is_noted(host, now) {
            return Ok(());
        }
        let noted = self
            .write(By::agent(peer), move |op| {
                if !op.may_note(host) {
                    return Ok(());
                }
                tracing::warn!(%host, topic = topic.suffix(), peer = op.by.peer, "a message that does not open was dropped");
                let target = hosts::target(op.tx, host)?;
                let detail = format!("a message on {} does not open with the host's key", topic.suffix());
                Ok(crate::audit::note(op, AuditAction::AgentForged, target, detail)?)
            })
            .await;
        noted.or_else(only_store)
    }
}

/// A message that was opened, or what is answered to one that was not.
enum OpenedMessage {
    Message((u8, Key), Zeroizing<Vec<u8>>),
    Answer(Handled),
}

/// What follows a hello that changed something.
enum Greeted {
    In {
        acked: report::Acked,
        answer: HelloAnswer,
        /// It was said in the earlier form.
        is_earlier: bool,
        wake: bool,
        rewound: bool,
    },
    /// It is in quarantine.
    KeptOut,
}

fn take_presence(
    op: &mut Op<'_, '_>,
    host: HostId,
    message: &[u8],
    first: Option<CommandSeq>,
) -> Result<Option<Greeted>, Refused> {
    let now: Timestamp = op.now;
    if !op.tx.has(&HOSTS, &host)? {
        return Ok(None);
    }
    let earlier = match schema::decode::<Presence<'_>>(message) {
        Ok(_) => None,
        Err(_) => link::earlier::read(HostTopic::Presence, message),
    };
    match schema::decode::<Presence<'_>>(earlier.as_deref().unwrap_or(message)) {
        Ok(Presence::Hello(mut hello)) => {
            if earlier.is_some() {
                // It has heard of none, but its commands are those of whoever took its last hello.
                hello.incarnation =
                    op.tx.get(&PRESENCES, &host)?.map_or(hello.incarnation, |it| it.incarnation);
            }
            let (rewound, is_in) = match hello::take_hello(op, host, &hello, first)? {
                None => return Ok(None),
                Some(hello::Taken::KeptOut) => return Ok(Some(Greeted::KeptOut)),
                // The answer says that it is at the wrong place.
                Some(hello::Taken::Elsewhere) => (false, false),
                Some(hello::Taken::In { rewound }) => (rewound, true),
            };
            let is_earlier = earlier.is_some();
            link::earlier::came(op, host, is_earlier)?;
            let state = outbox::state_of(op.tx, host)?;
            let acked = report::Acked { stream: hello.stream, through: state.reports, refused: None };
            let incarnation = incarnation::read(op.tx)?;
            let answer = HelloAnswer { epoch: hello.epoch, at: now, incarnation };
            let wake = is_in && state.last_command > state.taken;
            Ok(Some(Greeted::In { acked, answer, is_earlier, wake, rewound }))
        }
        Ok(Presence::Gone { epoch, .. }) => {
            hello::take_gone(op, host, epoch)?;
            Ok(None)
        }
        Err(_) => {
            report::odd(op, host, "a presence that can't be read was dropped")?;
            Ok(None)
        }
    }
}

fn not_handled(host: HostId, what: &'static str, refused: Refused) -> Result<Handled, StoreError> {
    match refused {
        Refused::Store(error) => Err(error),
        // It is not acknowledged: the host keeps it for the other server.
        Refused::Superseded { .. } => Err(StoreError::StandsStill),
        // The host was deleted in between, or there is nothing to do for it.
        other => {
            tracing::warn!(%host, what, error = %other, "a message came to nothing");
            Ok(Handled::default())
        }
    }
}

fn only_store(refused: Refused) -> Result<(), StoreError> {
    if let Refused::Store(error) = refused { Err(error) } else { Ok(()) }
}
