//! What a viewer's packets ask for, in MQTT 3.1.1 and in 5, and its last word.

use super::{
    super::{
        conn::CloseReason,
        directory::{Refused, printable},
        packet::{self, Packet, Protocol, Qos, v5},
    },
    NotGranted, ViewerSession, Wish,
};

/// Refusals of one packet that are told.
const MAX_TOLD: usize = 8;

impl NotGranted {
    const fn reason(self) -> v5::ReasonCode {
        match self {
            Self::NothingThere => v5::ReasonCode::NOT_AUTHORIZED,
            Self::Shared => v5::ReasonCode::SHARED_NOT_SUPPORTED,
            Self::TooMany => v5::ReasonCode::QUOTA_EXCEEDED,
        }
    }
}

impl ViewerSession {
    /// A packet came; what was refused must be told.
    pub(in super::super) fn packet(
        &mut self,
        first: u8,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Vec<Refused>, CloseReason> {
        let Protocol::V5(_) = self.protocol else {
            let packet =
                packet::packet(first, body).map_err(|malformed| CloseReason::Malformed(malformed.0))?;
            return self.v311(packet, out);
        };
        v5::packet(first, body).map_err(Into::into).and_then(|packet| self.v5(packet, out)).map_err(|end| {
            match end {
                End::Disconnected => CloseReason::Disconnected,
                End::Fault(error) => {
                    self.fault = Some(error);
                    CloseReason::Malformed(error.what)
                }
            }
        })
    }

    fn v311(&mut self, packet: Packet<'_>, out: &mut Vec<u8>) -> Result<Vec<Refused>, CloseReason> {
        let mut refused = Vec::new();
        match packet {
            Packet::Publish(publish) => {
                match publish.qos {
                    0 => {}
                    1 => packet::pub_ack(out, publish.packet_id),
                    _ => {
                        return Err(CloseReason::Malformed("a message of QoS 2, which is not spoken here"));
                    }
                }
                refused.push(Refused::Publish(printable(publish.topic)));
            }
            // Nothing is sent to it with QoS 1, so there is nothing to acknowledge.
            Packet::PubAck(_) => return Err(CloseReason::Malformed("an acknowledgement of nothing")),
            Packet::Subscribe { packet_id, filters } => {
                let wish = Wish {
                    retain_as_published: self.protocol == Protocol::Bridge,
                    retained: v5::RetainHandling::Always,
                };
                let mut granted = Vec::new();
                for (filter, _) in filters {
                    let answer = self.subscribe_told(filter, wish, &mut refused);
                    granted.push(answer.is_ok().then_some(Qos::AtMostOnce));
                }
                packet::sub_ack(out, packet_id, &granted);
            }
            Packet::Unsubscribe { packet_id, filters } => {
                for (filter, _) in filters {
                    self.unsubscribe(filter);
                }
                packet::unsub_ack(out, packet_id);
            }
            Packet::PingReq => packet::ping_resp(out),
            Packet::Disconnect => return Err(CloseReason::Disconnected),
        }
        Ok(refused)
    }

    fn v5(&mut self, packet: v5::Packet<'_>, out: &mut Vec<u8>) -> Result<Vec<Refused>, End> {
        let mut refused = Vec::new();
        match packet {
            v5::Packet::Publish { topic, qos, packet_id } => {
                if qos > 0 {
                    v5::pub_ack(out, packet_id, v5::ReasonCode::NOT_AUTHORIZED);
                }
                refused.push(Refused::Publish(printable(topic)));
            }
            v5::Packet::Subscribe { packet_id, filters } => {
                let mut reasons = Vec::new();
                for asked in filters {
                    let wish = Wish {
                        retain_as_published: asked.retain_as_published,
                        retained: asked.retain_handling,
                    };
                    let answer = self.subscribe_told(asked.filter, wish, &mut refused);
                    reasons.push(answer.map_or_else(NotGranted::reason, |()| v5::ReasonCode::SUCCESS));
                }
                v5::sub_ack(out, packet_id, &reasons);
            }
            v5::Packet::Unsubscribe { packet_id, filters } => {
                let reason = |was_there| {
                    if was_there { v5::ReasonCode::SUCCESS } else { v5::ReasonCode::NO_SUBSCRIPTION_EXISTED }
                };
                let reasons: Vec<_> = filters.map(|asked| reason(self.unsubscribe(asked.filter))).collect();
                v5::unsub_ack(out, packet_id, &reasons);
            }
            v5::Packet::PingReq => packet::ping_resp(out),
            v5::Packet::Disconnect => return Err(End::Disconnected),
        }
        Ok(refused)
    }

    fn subscribe_told(
        &mut self,
        filter: &str,
        wish: Wish,
        refused: &mut Vec<Refused>,
    ) -> Result<(), NotGranted> {
        let answer = self.subscribe(filter, wish);
        if answer.is_err() && refused.len() < MAX_TOLD {
            refused.push(Refused::Subscribe(printable(filter)));
        }
        answer
    }

    /// The last word to a client of MQTT 5, when the server ends the connection. None when the server stops: the tools of
    /// mosquitto end at any DISCONNECT, and those that only lose their connection are back when the server is.
    pub(in super::super) fn goodbye(&self, reason: CloseReason, out: &mut Vec<u8>) {
        let Protocol::V5(options) = self.protocol else { return };
        let code = match reason {
            CloseReason::Disconnected | CloseReason::Lost | CloseReason::Shutdown => return,
            CloseReason::Malformed(what) => {
                self.fault.unwrap_or_else(|| packet::Malformed(what).into()).reason
            }
            CloseReason::KeepAlive => v5::ReasonCode::KEEP_ALIVE_TIMEOUT,
            CloseReason::TakenOver => v5::ReasonCode::SESSION_TAKEN_OVER,
            CloseReason::Kicked(_) | CloseReason::Deleted => v5::ReasonCode::ADMINISTRATIVE_ACTION,
            CloseReason::Behind => v5::ReasonCode::QUOTA_EXCEEDED,
            CloseReason::NoLink => v5::ReasonCode::SERVER_BUSY,
            CloseReason::Stalled | CloseReason::NotTaken => v5::ReasonCode::UNSPECIFIED,
        };
        v5::disconnect(out, code, &reason.to_string(), options.max_packet_bytes);
    }
}

/// Why no further packet is taken.
enum End {
    Disconnected,
    Fault(v5::Error),
}

impl From<v5::Error> for End {
    fn from(error: v5::Error) -> Self {
        Self::Fault(error)
    }
}
