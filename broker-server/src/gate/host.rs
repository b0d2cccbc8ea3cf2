//! A host's session: what it subscribes to, what is in flight to it, what it waits for. No IO, no clock.

use super::{
    acl,
    directory::{Directory, Refused, printable},
    packet::{self, Packet, Publish, Qos},
};
use bytes::Bytes;
use schema::{CommandSeq, HostId, HostTopic, Topic, limits::MAX_PAYLOAD_BYTES};
use std::collections::VecDeque;

/// Acknowledgements of nothing that are forgiven in one connection.
const MAX_STRANGE_ACKS: u16 = 100;
/// Commands are read from the outbox only while less than this waits to be written.
const LOW_WATER_BYTES: usize = 16 * 1024;

/// What MQTT wants remembered of a session between two connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionState {
    cmd: Option<Qos>,
    plan: Option<Qos>,
    /// Sequence and packet id of what was in flight, in order.
    in_flight: Vec<(CommandSeq, u16)>,
    /// A plan was in flight, or has changed since.
    plan_due: bool,
    next_packet_id: u16,
}

impl SessionState {
    pub(super) fn plan_changed(&mut self) {
        self.plan_due = true;
    }
}

struct Flying {
    packet_id: u16,
    sent: InFlight,
    acknowledged: bool,
}

impl Flying {
    const fn new(packet_id: u16, sent: InFlight) -> Self {
        Self { packet_id, sent, acknowledged: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFlight {
    Command(CommandSeq),
    Plan,
}

/// One host's session while it is connected.
pub(super) struct HostSession {
    host: HostId,
    cmd: Option<Qos>,
    plan: Option<Qos>,
    /// Sent on this connection; the first is not acknowledged.
    in_flight: VecDeque<Flying>,
    /// In flight when the previous connection ended, not sent again yet.
    again: VecDeque<(CommandSeq, u16)>,
    window: usize,
    /// The last sequence sent on this connection.
    sent_to: CommandSeq,
    /// There may be more in the outbox.
    outbox_due: bool,
    /// The plan must be sent; whether as a retained message.
    plan_due: Option<bool>,
    next_packet_id: u16,
    strange_acks: u16,
    /// Messages of QoS 1 in the order they came: packet id, and whether it is safe.
    unacked: VecDeque<(u16, bool)>,
    /// The ticket of the first of them.
    first_ticket: u32,
    max_unacked: usize,
}

/// What a packet asks for.
#[derive(Debug, PartialEq)]
pub(super) enum PacketOutcome {
    /// There is nothing more to do.
    Nothing,
    /// This must reach the server; a ticket when it must be acknowledged.
    Deliver { topic: HostTopic, payload: Bytes, ticket: Option<u32> },
    /// These refusals are to be logged and audited.
    Refused(Vec<Refused>),
}

impl HostSession {
    /// A new session, or the continuation of a kept one.
    pub(super) fn new(host: HostId, kept: Option<SessionState>, window: usize, max_unacked: usize) -> Self {
        let kept = kept.unwrap_or_default();
        Self {
            host,
            cmd: kept.cmd,
            plan: kept.plan,
            in_flight: VecDeque::new(),
            again: kept.in_flight.into(),
            window,
            sent_to: CommandSeq::ZERO,
            outbox_due: kept.cmd.is_some(),
            plan_due: (kept.plan_due && kept.plan.is_some()).then_some(false),
            next_packet_id: kept.next_packet_id.max(1),
            strange_acks: 0,
            unacked: VecDeque::new(),
            first_ticket: 0,
            max_unacked,
        }
    }

    /// What is to be remembered for the next connection; this one is over.
    pub(super) fn take_kept(&mut self) -> SessionState {
        let mut plan_due = self.plan_due.is_some();
        let mut in_flight = Vec::with_capacity(self.in_flight.len() + self.again.len());
        for flying in self.in_flight.drain(..) {
            match flying.sent {
                InFlight::Command(seq) => in_flight.push((seq, flying.packet_id)),
                InFlight::Plan => plan_due |= !flying.acknowledged,
            }
        }
        in_flight.extend(self.again.drain(..));
        in_flight.sort_unstable();
        SessionState {
            cmd: self.cmd,
            plan: self.plan,
            in_flight,
            plan_due,
            next_packet_id: self.next_packet_id,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether another message can be taken before one of the earlier ones is safe.
    pub(super) fn takes_more(&self) -> bool {
        self.unacked.len() < self.max_unacked
    }

    /// The outbox has grown.
    pub(super) fn outbox_grew(&mut self) {
        self.outbox_due = true;
    }

    /// There is another plan.
    pub(super) fn plan_changed(&mut self) {
        if self.plan.is_some() {
            self.plan_due.get_or_insert(false);
        }
    }

    /// Takes a packet of the client; what it asks for.
    pub(super) fn packet(
        &mut self,
        packet: Packet<'_>,
        directory: &dyn Directory,
        out: &mut Vec<u8>,
    ) -> Result<PacketOutcome, &'static str> {
        match packet {
            Packet::Publish(publish) => return self.published(publish),
            Packet::PubAck(packet_id) => self.acknowledged(packet_id, directory)?,
            Packet::Subscribe { packet_id, filters } => return Ok(self.subscribe(packet_id, filters, out)),
            Packet::Unsubscribe { packet_id, filters } => {
                for (filter, _) in filters {
                    match acl::host_subscribes(self.host, filter) {
                        Some(HostTopic::Cmd) => self.cmd = None,
                        Some(HostTopic::Plan) => self.plan = None,
                        _ => {}
                    }
                }
                packet::unsub_ack(out, packet_id);
            }
            Packet::PingReq => packet::ping_resp(out),
            // Ends the connection before it comes here.
            Packet::Disconnect => {}
        }
        Ok(PacketOutcome::Nothing)
    }

    fn published(&mut self, publish: Publish<'_>) -> Result<PacketOutcome, &'static str> {
        if publish.qos == 2 {
            return Err("a message of QoS 2, which is not spoken here");
        }
        let topic = acl::host_publishes(self.host, publish.topic);
        let too_long = publish.payload.len() > MAX_PAYLOAD_BYTES;
        let ticket = (publish.qos == 1).then(|| {
            let ticket =
                self.first_ticket.wrapping_add(u32::try_from(self.unacked.len()).unwrap_or(u32::MAX));
            // What is refused is acknowledged at once, in its turn.
            self.unacked.push_back((publish.packet_id, topic.is_none()));
            ticket
        });
        match topic {
            _ if too_long => Err("a message that is too long"),
            Some(topic) => {
                Ok(PacketOutcome::Deliver { topic, payload: Bytes::copy_from_slice(publish.payload), ticket })
            }
            None => Ok(PacketOutcome::Refused(vec![Refused::Publish(printable(publish.topic))])),
        }
    }

    /// The message of this ticket is committed: it is acknowledged, in the order in which messages came.
    pub(super) fn done(&mut self, ticket: u32) {
        let index = ticket.wrapping_sub(self.first_ticket) as usize;
        if let Some((_, safe)) = self.unacked.get_mut(index) {
            *safe = true;
        }
    }

    fn acknowledged(&mut self, packet_id: u16, directory: &dyn Directory) -> Result<(), &'static str> {
        let flying =
            self.in_flight.iter_mut().find(|flying| flying.packet_id == packet_id && !flying.acknowledged);
        match flying {
            Some(flying) => flying.acknowledged = true,
            // For what had arrived before the previous connection broke: it is sent again all the same, and
            // acknowledged again, in its turn.
            None if self.again.iter().any(|(_, id)| *id == packet_id) => {}
            None => {
                self.strange_acks += 1;
                if self.strange_acks > MAX_STRANGE_ACKS {
                    return Err("too many acknowledgements of nothing");
                }
            }
        }
        while let Some(flying) = self.in_flight.pop_front_if(|flying| flying.acknowledged) {
            if let InFlight::Command(seq) = flying.sent {
                directory.command_delivered(self.host, seq);
            }
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        packet_id: u16,
        filters: packet::Filters<'_>,
        out: &mut Vec<u8>,
    ) -> PacketOutcome {
        let mut refused = Vec::new();
        let mut granted = Vec::new();
        for (filter, qos) in filters {
            let qos = Qos::granted(qos);
            granted.push(match acl::host_subscribes(self.host, filter) {
                Some(HostTopic::Cmd) => {
                    self.cmd = Some(qos);
                    self.outbox_due = true;
                    Some(qos)
                }
                Some(HostTopic::Plan) => {
                    self.plan = Some(qos);
                    self.plan_due = Some(true);
                    Some(qos)
                }
                _ => {
                    if refused.len() < 8 {
                        refused.push(Refused::Subscribe(printable(filter)));
                    }
                    None
                }
            });
        }
        packet::sub_ack(out, packet_id, &granted);
        if refused.is_empty() { PacketOutcome::Nothing } else { PacketOutcome::Refused(refused) }
    }

    /// Writes what is due: acknowledgements, then `sends`, then the plan, then commands as the window allows.
    pub(super) fn fill(&mut self, directory: &dyn Directory, sends: &mut VecDeque<Bytes>, out: &mut Vec<u8>) {
        while let Some((packet_id, true)) = self.unacked.front() {
            packet::pub_ack(out, *packet_id);
            self.unacked.pop_front();
            self.first_ticket = self.first_ticket.wrapping_add(1);
        }
        if self.unacked.is_empty() {
            // An idle host keeps no buffers.
            self.unacked = VecDeque::new();
        }
        if self.cmd.is_none() {
            sends.clear();
        }
        while out.len() < LOW_WATER_BYTES
            && let Some(payload) = sends.pop_front()
        {
            self.write(HostTopic::Cmd, &payload, Qos::AtMostOnce, 0, false, false, out);
        }
        self.fill_plan(directory, out);
        self.fill_commands(directory, out);
        if self.in_flight.is_empty() && self.again.is_empty() {
            self.in_flight = VecDeque::new();
            self.again = VecDeque::new();
        }
    }

    fn fill_plan(&mut self, directory: &dyn Directory, out: &mut Vec<u8>) {
        let (Some(retained), Some(qos)) = (self.plan_due, self.plan) else { return };
        if out.len() >= LOW_WATER_BYTES || self.in_flight.iter().any(|flying| flying.sent == InFlight::Plan) {
            return;
        }
        self.plan_due = None;
        let Some(payload) = directory.plan(self.host).filter(|plan| fits(self.host, plan)) else { return };
        let packet_id = if qos == Qos::AtLeastOnce { self.free_packet_id() } else { 0 };
        if qos == Qos::AtLeastOnce {
            self.in_flight.push_back(Flying::new(packet_id, InFlight::Plan));
        }
        self.write(HostTopic::Plan, &payload, qos, packet_id, false, retained, out);
    }

    fn fill_commands(&mut self, directory: &dyn Directory, out: &mut Vec<u8>) {
        let Some(qos) = self.cmd else { return };
        while self.outbox_due && out.len() < LOW_WATER_BYTES {
            // A window that is half empty is worth a look into the outbox, a single free place is not.
            let free = self.window.saturating_sub(self.in_flight.len());
            if free == 0 || free < self.window / 2 {
                return;
            }
            let commands = directory.commands_after(self.host, self.sent_to, free);
            let mut whole = commands.len() < free;
            for command in &commands {
                if !fits(self.host, &command.payload) {
                    continue;
                }
                if out.len() >= LOW_WATER_BYTES {
                    whole = false;
                    break;
                }
                if command.seq > self.sent_to {
                    self.send_command(command.seq, &command.payload, qos, out);
                }
            }
            // Commands that are not sent because they are too long must not be asked for again and again.
            if out.len() < LOW_WATER_BYTES
                && let Some(last) = commands.last()
            {
                self.sent_to = self.sent_to.max(last.seq);
            }
            self.outbox_due = !whole;
        }
    }

    fn send_command(&mut self, seq: CommandSeq, payload: &[u8], qos: Qos, out: &mut Vec<u8>) {
        // What was in flight and is no longer in the outbox has been confirmed meanwhile.
        while self.again.front().is_some_and(|(again, _)| *again < seq) {
            self.again.pop_front();
        }
        let before = if self.again.front().is_some_and(|(again, _)| *again == seq) {
            self.again.pop_front().map(|(_, packet_id)| packet_id)
        } else {
            None
        };
        self.sent_to = seq;
        let packet_id = match (qos, before) {
            (Qos::AtMostOnce, _) => 0,
            (Qos::AtLeastOnce, Some(packet_id)) => packet_id,
            (Qos::AtLeastOnce, None) => self.free_packet_id(),
        };
        if qos == Qos::AtLeastOnce {
            self.in_flight.push_back(Flying::new(packet_id, InFlight::Command(seq)));
        }
        self.write(HostTopic::Cmd, payload, qos, packet_id, before.is_some(), false, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a PUBLISH")]
    fn write(
        &self,
        topic: HostTopic,
        payload: &[u8],
        qos: Qos,
        packet_id: u16,
        dup: bool,
        retain: bool,
        out: &mut Vec<u8>,
    ) {
        let topic = Topic::Host(self.host, topic).text();
        packet::publish(out, topic.as_str(), payload, qos, packet_id, dup, retain);
    }

    /// The next packet id that nothing in flight has, of this connection or the previous one.
    fn free_packet_id(&mut self) -> u16 {
        loop {
            let id = self.next_packet_id.max(1);
            self.next_packet_id = id.wrapping_add(1);
            let taken = self.in_flight.iter().any(|flying| flying.packet_id == id)
                || self.again.iter().any(|(_, taken)| *taken == id);
            if !taken {
                return id;
            }
        }
    }
}

/// Whether the agent could read it; if not, the server has made a mistake that must not stop what comes after it.
fn fits(host: HostId, payload: &Bytes) -> bool {
    let fits = payload.len() <= MAX_PAYLOAD_BYTES;
    if !fits {
        tracing::error!(%host, bytes = payload.len(), "a message to a host is too long and is not sent");
    }
    fits
}
