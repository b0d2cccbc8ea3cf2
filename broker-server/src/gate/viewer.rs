//! A viewer's session: filters, the retained set in pieces, then what changes. No IO, no clock.

use super::{
    acl,
    conn::{Change, ViewMail},
    directory::{Refused, printable},
    packet::{self, Packet, Qos},
    retained::Retained,
};
use std::collections::VecDeque;

/// What is due is written only while less than this waits to be written.
const LOW_WATER_BYTES: usize = 16 * 1024;
/// Topics of the retained set in one piece.
const PIECE: usize = 32;

pub(super) struct ViewerSession {
    debug: bool,
    max_filters: usize,
    /// The link to the router stands; before, the retained set would have a gap behind it.
    attached: bool,
    filters: Vec<Box<str>>,
    /// Filters whose retained messages are due, the first from after this topic.
    due: VecDeque<Box<str>>,
    after: Option<Box<str>>,
    changes: VecDeque<Change>,
}

impl ViewerSession {
    pub(super) fn new(debug: bool, max_filters: usize) -> Self {
        Self {
            debug,
            max_filters,
            attached: false,
            filters: Vec::new(),
            due: VecDeque::new(),
            after: None,
            changes: VecDeque::new(),
        }
    }

    /// Whether it has no room for further changes now: they wait in the mailbox, which is bounded.
    pub(super) fn is_busy(&self) -> bool {
        !self.changes.is_empty()
    }

    /// A packet came; what was refused must be told.
    pub(super) fn packet(
        &mut self,
        packet: Packet<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Refused>, &'static str> {
        let mut refused = Vec::new();
        match packet {
            Packet::Publish(publish) => {
                match publish.qos {
                    0 => {}
                    1 => packet::pub_ack(out, publish.packet_id),
                    _ => return Err("a message of quality 2, which is not spoken here"),
                }
                refused.push(Refused::Publish(printable(publish.topic)));
            }
            // Nothing is sent to it with quality 1, so there is nothing to acknowledge.
            Packet::PubAck(_) => return Err("an acknowledgement of nothing"),
            Packet::Subscribe { packet_id, filters } => {
                let mut granted = Vec::new();
                for (filter, _) in filters {
                    granted.push(if self.subscribe(filter) {
                        Some(Qos::AtMostOnce)
                    } else {
                        if refused.len() < 8 {
                            refused.push(Refused::Subscribe(printable(filter)));
                        }
                        None
                    });
                }
                packet::sub_ack(out, packet_id, &granted);
            }
            Packet::Unsubscribe { packet_id, filters } => {
                for (filter, _) in filters {
                    self.filters.retain(|known| **known != *filter);
                    if self.due.front().is_some_and(|due| **due == *filter) {
                        self.after = None;
                    }
                    self.due.retain(|due| **due != *filter);
                }
                packet::unsub_ack(out, packet_id);
            }
            Packet::PingReq => packet::ping_resp(out),
            Packet::Disconnect => {}
        }
        Ok(refused)
    }

    fn subscribe(&mut self, filter: &str) -> bool {
        if filter.len() > 256 || !acl::viewer_subscribes(self.debug, filter) {
            return false;
        }
        if !self.filters.iter().any(|known| **known == *filter) {
            if self.filters.len() >= self.max_filters {
                return false;
            }
            self.filters.push(filter.into());
        }
        // Whoever subscribes again gets the retained messages again.
        if self.due.front().is_some_and(|due| **due == *filter) {
            self.after = None;
        } else if !self.due.iter().any(|due| **due == *filter) {
            self.due.push_back(filter.into());
        }
        true
    }

    /// Takes what came from the router.
    pub(super) fn mail(&mut self, mail: ViewMail) {
        self.attached |= mail.attached;
        if mail.missed {
            self.changes.clear();
            self.after = None;
            self.due = self.filters.iter().cloned().collect();
        } else {
            self.changes.extend(mail.changes);
        }
    }

    /// Writes what is due: first what changed, for that is newer than what was already sent of the retained set.
    pub(super) fn fill(&mut self, retained: &Retained, out: &mut Vec<u8>) {
        while out.len() < LOW_WATER_BYTES {
            if let Some(change) = self.changes.pop_front() {
                let topic = std::str::from_utf8(&change.topic).unwrap_or_default();
                if self.filters.iter().any(|filter| packet::matches(topic, filter)) {
                    packet::publish(out, topic, &change.payload, Qos::AtMostOnce, 0, false, false);
                }
                continue;
            }
            let Some(filter) = self.due.front().filter(|_| self.attached) else { break };
            let page = retained.page(filter, self.after.as_deref(), PIECE);
            for (topic, payload) in page.found {
                packet::publish(out, &topic, &payload, Qos::AtMostOnce, 0, false, true);
            }
            self.after = page.more_after;
            if self.after.is_none() {
                self.due.pop_front();
            }
        }
        if self.changes.is_empty() {
            self.changes = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// Topics, payloads and retain flags of the PUBLISH packets in `out`.
    fn published(mut out: &[u8]) -> Vec<(String, Vec<u8>, bool)> {
        let mut found = Vec::new();
        while let Some(frame) = packet::frame(out, usize::MAX).unwrap() {
            let (this, rest) = out.split_at(frame.total_bytes());
            if let Ok(Packet::Publish(publish)) = packet::packet(frame.first, &this[frame.header_bytes..]) {
                found.push((publish.topic.into(), publish.payload.to_vec(), publish.retain));
            }
            out = rest;
        }
        found
    }

    fn subscribed(filter: &str) -> ViewerSession {
        let mut session = ViewerSession::new(false, 4);
        assert!(session.subscribe(filter));
        session
    }

    #[test]
    fn the_retained_set_comes_in_pieces_and_whole_and_not_before_the_link_stands() {
        let retained = Retained::new(2000, usize::MAX);
        for i in 0..1000 {
            retained.put(&format!("hf/1/view/h{i}/repo"), &Bytes::from(vec![b'x'; 100])).unwrap();
        }
        let mut session = subscribed("hf/1/view/#");
        let mut out = Vec::new();
        session.fill(&retained, &mut out);
        assert!(out.is_empty());
        session.mail(ViewMail { attached: true, ..ViewMail::default() });
        let (mut found, mut pieces) = (Vec::new(), 0);
        loop {
            session.fill(&retained, &mut out);
            if out.is_empty() {
                break;
            }
            assert!(out.len() < 2 * LOW_WATER_BYTES);
            pieces += 1;
            found.extend(published(&out));
            out.clear();
        }
        assert!(pieces > 5);
        assert_eq!(found.len(), 1000);
        assert!(found.iter().all(|(_, _, retain)| *retain));
    }

    #[test]
    fn whoever_missed_something_gets_the_last_state_of_everything() {
        let retained = Retained::new(10, usize::MAX);
        retained.put("hf/1/view/a/repo", &Bytes::from_static(b"old")).unwrap();
        let mut session = subscribed("hf/1/view/+/repo");
        session.mail(ViewMail { attached: true, ..ViewMail::default() });
        let mut out = Vec::new();
        session.fill(&retained, &mut out);
        out.clear();
        retained.put("hf/1/view/a/repo", &Bytes::from_static(b"new")).unwrap();
        session.mail(ViewMail { missed: true, ..ViewMail::default() });
        session.fill(&retained, &mut out);
        assert_eq!(published(&out), [("hf/1/view/a/repo".into(), b"new".to_vec(), true)]);
    }

    #[test]
    fn filters_are_bounded_and_changes_outside_of_them_are_not_sent() {
        let mut session = subscribed("hf/1/view/a/#");
        for i in 1..4 {
            assert!(session.subscribe(&format!("hf/1/view/b{i}")));
        }
        assert!(!session.subscribe("hf/1/view/c"));
        assert!(session.subscribe("hf/1/view/b1"));
        let change = |topic: &'static str| Change {
            topic: Bytes::from_static(topic.as_bytes()),
            payload: Bytes::new(),
        };
        session.mail(ViewMail {
            attached: true,
            changes: [change("hf/1/view/a/x"), change("hf/1/view/aa/x"), change("hf/1/view/b2")].into(),
            ..ViewMail::default()
        });
        let mut out = Vec::new();
        session.fill(&Retained::new(1, 1), &mut out);
        let topics: Vec<_> = published(&out).into_iter().map(|(topic, ..)| topic).collect();
        assert_eq!(topics, ["hf/1/view/a/x", "hf/1/view/b2"]);
    }
}
