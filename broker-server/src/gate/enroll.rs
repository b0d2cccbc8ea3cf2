//! An enrolment's session: one question, one answer. No IO, no clock.

use super::{
    acl,
    directory::{Refused, printable},
    packet::{self, Packet, Qos},
};
use bytes::Bytes;
use schema::{TokenId, Topic, limits::MAX_PAYLOAD_BYTES};
use std::collections::VecDeque;

/// Requests in one session: asking again is allowed, flooding is not.
const MAX_REQUESTS: u32 = 8;

pub(super) struct EnrollSession {
    token: TokenId,
    subscribed: Option<Qos>,
    /// Packet ids of requests without an answer yet; `None` was sent with QoS 0.
    asked: VecDeque<(u32, Option<u16>)>,
    requests: u32,
    answers: VecDeque<Bytes>,
    next_packet_id: u16,
}

/// What a packet asks for.
#[derive(Debug, PartialEq)]
pub(super) enum EnrollStep {
    Nothing,
    /// This must be answered.
    Ask {
        payload: Bytes,
        ticket: u32,
    },
    Refused(Vec<Refused>),
}

impl EnrollSession {
    pub(super) fn new(token: TokenId) -> Self {
        Self {
            token,
            subscribed: None,
            asked: VecDeque::new(),
            requests: 0,
            answers: VecDeque::new(),
            next_packet_id: 1,
        }
    }

    pub(super) fn packet(
        &mut self,
        packet: Packet<'_>,
        out: &mut Vec<u8>,
    ) -> Result<EnrollStep, &'static str> {
        match packet {
            Packet::Publish(publish) if publish.qos == 2 => {
                return Err("a message of QoS 2, which is not spoken here");
            }
            Packet::Publish(publish) if !acl::enroll_publishes(self.token, publish.topic) => {
                if publish.qos == 1 {
                    packet::pub_ack(out, publish.packet_id);
                }
                return Ok(EnrollStep::Refused(vec![Refused::Publish(printable(publish.topic))]));
            }
            Packet::Publish(publish) => {
                if publish.payload.len() > MAX_PAYLOAD_BYTES {
                    return Err("a message that is too long");
                }
                if self.requests >= MAX_REQUESTS {
                    return Err("too many requests in one enrolment");
                }
                let ticket = self.requests;
                self.requests += 1;
                self.asked.push_back((ticket, (publish.qos == 1).then_some(publish.packet_id)));
                return Ok(EnrollStep::Ask { payload: Bytes::copy_from_slice(publish.payload), ticket });
            }
            Packet::PubAck(_) => {}
            Packet::Subscribe { packet_id, filters } => {
                let (mut granted, mut refused) = (Vec::new(), Vec::new());
                for (filter, qos) in filters {
                    if acl::enroll_subscribes(self.token, filter) {
                        self.subscribed = Some(Qos::granted(qos));
                        granted.push(self.subscribed);
                    } else {
                        if refused.len() < 8 {
                            refused.push(Refused::Subscribe(printable(filter)));
                        }
                        granted.push(None);
                    }
                }
                packet::sub_ack(out, packet_id, &granted);
                if !refused.is_empty() {
                    return Ok(EnrollStep::Refused(refused));
                }
            }
            Packet::Unsubscribe { packet_id, filters } => {
                for (filter, _) in filters {
                    if acl::enroll_subscribes(self.token, filter) {
                        self.subscribed = None;
                    }
                }
                packet::unsub_ack(out, packet_id);
            }
            Packet::PingReq => packet::ping_resp(out),
            Packet::Disconnect => {}
        }
        Ok(EnrollStep::Nothing)
    }

    /// Writes acknowledgements of what is answered, and the answers once it listens to them.
    pub(super) fn fill(&mut self, done: &[u32], answers: &mut VecDeque<Bytes>, out: &mut Vec<u8>) {
        for ticket in done {
            if let Some(index) = self.asked.iter().position(|(asked, _)| asked == ticket)
                && let Some((_, Some(packet_id))) = self.asked.remove(index)
            {
                packet::pub_ack(out, packet_id);
            }
        }
        self.answers.append(answers);
        let Some(qos) = self.subscribed else { return };
        while let Some(answer) = self.answers.pop_front() {
            let topic = Topic::EnrollResponse(self.token).text();
            packet::publish(out, topic.as_str(), &answer, qos, self.next_packet_id, false, false);
            self.next_packet_id = self.next_packet_id.wrapping_add(1).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::Publish;

    #[test]
    fn an_answer_waits_until_somebody_listens() {
        let token: TokenId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let mut session = EnrollSession::new(token);
        let mut out = Vec::new();
        let topic = Topic::EnrollRequest(token).to_string();
        let ask = Publish { topic: &topic, payload: b"?", qos: 1, packet_id: 7, retain: false, dup: false };
        let step = session.packet(Packet::Publish(ask), &mut out).unwrap();
        assert_eq!(step, EnrollStep::Ask { payload: Bytes::from_static(b"?"), ticket: 0 });
        assert!(out.is_empty(), "acknowledged before it was answered");
        session.fill(&[0], &mut [Bytes::from_static(b"!")].into(), &mut out);
        assert_eq!(out, [0x40, 2, 0, 7]);
        out.clear();
        session.subscribed = Some(Qos::AtLeastOnce);
        session.fill(&[], &mut VecDeque::new(), &mut out);
        let frame = packet::frame(&out, 1000).unwrap().unwrap();
        let Packet::Publish(answer) = packet::packet(frame.first, &out[frame.header_bytes..]).unwrap() else {
            panic!("no PUBLISH")
        };
        assert_eq!((answer.payload, answer.qos, answer.packet_id), (&b"!"[..], 1, 1));
    }
}
