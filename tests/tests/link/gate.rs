//! The broker's session for a host: window, packet ids, what is kept between two connections.

use crate::wire::Down;
use fleet::Fleet;
use schema::{CommandSeq, HostId};
use std::collections::VecDeque;

/// What the gate notes in passing and writes down later.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) sent: CommandSeq,
    pub(crate) delivered: CommandSeq,
}

/// What is remembered of a session between two connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    is_subscribed: bool,
    in_flight: Vec<(CommandSeq, u16)>,
    next_packet_id: u16,
}

#[derive(Debug)]
struct Flying {
    packet_id: u16,
    seq: CommandSeq,
    is_acknowledged: bool,
}

/// A host's session while it is connected.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: u64,
    /// Its hello was taken by the server.
    pub(crate) is_greeted: bool,
    is_subscribed: bool,
    in_flight: VecDeque<Flying>,
    again: VecDeque<(CommandSeq, u16)>,
    window: usize,
    sent_to: CommandSeq,
    outbox_due: bool,
    next_packet_id: u16,
    sends: VecDeque<Vec<u8>>,
}

impl Session {
    pub(crate) fn new(conn: u64, kept: Option<Kept>, window: usize) -> Self {
        let kept = kept.unwrap_or_default();
        Self {
            conn,
            is_greeted: false,
            is_subscribed: kept.is_subscribed,
            in_flight: VecDeque::new(),
            again: kept.in_flight.into(),
            window,
            sent_to: CommandSeq(0),
            outbox_due: kept.is_subscribed,
            next_packet_id: kept.next_packet_id.max(1),
            sends: VecDeque::new(),
        }
    }

    pub(crate) fn into_kept(self) -> Kept {
        let mut in_flight: Vec<_> =
            self.in_flight.iter().map(|flying| (flying.seq, flying.packet_id)).collect();
        in_flight.extend(self.again);
        in_flight.sort_unstable();
        Kept { is_subscribed: self.is_subscribed, in_flight, next_packet_id: self.next_packet_id }
    }

    pub(crate) fn subscribed(&mut self) {
        self.is_subscribed = true;
        self.outbox_due = true;
    }

    pub(crate) fn outbox_grew(&mut self) {
        self.outbox_due = true;
    }

    /// A message past the outbox, of QoS 0.
    pub(crate) fn send(&mut self, payload: Vec<u8>) {
        self.sends.push_back(payload);
    }

    pub(crate) fn acknowledged(&mut self, packet_id: u16, notes: &mut Notes) {
        let flying =
            self.in_flight.iter_mut().find(|flying| flying.packet_id == packet_id && !flying.is_acknowledged);
        if let Some(flying) = flying {
            flying.is_acknowledged = true;
        }
        while let Some(flying) = self.in_flight.pop_front_if(|flying| flying.is_acknowledged) {
            notes.delivered = notes.delivered.max(flying.seq);
        }
    }

    /// What is due: messages past the outbox, then commands as the window allows.
    pub(crate) fn fill(&mut self, fleet: &Fleet, host: HostId, notes: &mut Notes) -> Vec<Down> {
        let mut out = Vec::new();
        if !self.is_subscribed {
            self.sends.clear();
            return out;
        }
        out.extend(self.sends.drain(..).map(|payload| Down { payload, packet_id: 0 }));
        while self.outbox_due {
            let free = self.window.saturating_sub(self.in_flight.len());
            if free == 0 || free < self.window / 2 {
                break;
            }
            let commands = fleet.commands_after(host, self.sent_to, free);
            if let Some((through, _)) = commands.last() {
                notes.sent = notes.sent.max(*through);
            }
            self.outbox_due = commands.len() == free;
            for (seq, payload) in commands {
                if seq > self.sent_to {
                    let packet_id = self.sends_command(seq);
                    out.push(Down { payload, packet_id });
                }
            }
        }
        out
    }

    fn sends_command(&mut self, seq: CommandSeq) -> u16 {
        while self.again.pop_front_if(|(again, _)| *again < seq).is_some() {}
        let before = self.again.pop_front_if(|(again, _)| *again == seq).map(|(_, packet_id)| packet_id);
        self.sent_to = seq;
        let packet_id = before.unwrap_or_else(|| self.free_packet_id());
        self.in_flight.push_back(Flying { packet_id, seq, is_acknowledged: false });
        packet_id
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            let id = self.next_packet_id.max(1);
            self.next_packet_id = id.wrapping_add(1);
            let is_taken = self.in_flight.iter().any(|flying| flying.packet_id == id)
                || self.again.iter().any(|(_, taken)| *taken == id);
            if !is_taken {
                return id;
            }
        }
    }
}
