//! A viewer's session: what it has subscribed to ([`filters`]), the retained set in pieces, then what changes. No IO, no clock.
//!
//! The session knows up to which version of the retained set ([`Retained`]) it has said everything. The change that
//! comes next from the router is said at once; when one is missing before it, or the mailbox was full, the session
//! is *behind*: it reads from the retained set itself what has changed since, and what is gone, until it is in step
//! again. So a change that is lost on the way, wherever that was, is made good.
//!
//! Who keeps what is said, as a bridge does, may keep topics that went while it was away: a subscription that asks for
//! the retain flag as it was published gets, after the retained messages, an empty one for each topic that is
//! remembered to be gone.

mod filters;
mod packets;

use super::{
    acl,
    conn::{CloseReason, TopicChange, ViewMail},
    packet::{self, Protocol, Qos, v5},
    retained::{Forgotten, Retained},
};
use filters::Filters;
use std::{collections::VecDeque, sync::Arc};

/// What is due is written only while less than this waits to be written.
const LOW_WATER_BYTES: usize = 16 * 1024;
/// Topics of the retained set in one piece.
const PIECE: usize = 32;

pub(super) struct ViewerSession {
    protocol: Protocol,
    sight: acl::Sight,
    /// It was refused what Home Assistant finds devices by.
    wants_discovery: bool,
    filters: Filters,
    /// Filters whose retained messages are due, the first from this place on.
    due: VecDeque<Box<str>>,
    place: RetainedPosition,
    changes: VecDeque<TopicChange>,
    /// Everything up to this version was said.
    told: u64,
    /// Changes after that may have been missed.
    behind: bool,
    /// How the connection ends, when that was the client's fault; for a client of MQTT 5.
    fault: Option<v5::Error>,
}

/// How far the retained messages of a filter were sent.
enum RetainedPosition {
    /// Of what stands, those up to this topic.
    Standing(Option<Arc<str>>),
    /// All that stands, and what was gone at this version.
    Gone(u64),
}

const START: RetainedPosition = RetainedPosition::Standing(None);

/// What a client asks for with a filter.
#[derive(Clone, Copy)]
struct Wish {
    retain_as_published: bool,
    retained: v5::RetainHandling,
}

/// Why a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotGranted {
    /// Nothing that this viewer may see matches it.
    NothingThere,
    /// Shared subscriptions are not spoken.
    Shared,
    /// There are too many filters already, or it is too long.
    TooMany,
}

impl ViewerSession {
    /// A session that knows nothing of what changed up to `version`, and asks for it when it subscribes.
    pub(super) fn new(protocol: Protocol, debug: bool, max_filters: usize, version: u64) -> Self {
        Self {
            protocol,
            sight: acl::Sight { debug, discovery: false },
            wants_discovery: false,
            filters: Filters::new(max_filters),
            due: VecDeque::new(),
            place: START,
            changes: VecDeque::new(),
            told: version,
            behind: false,
            fault: None,
        }
    }

    /// Whether it has no room for further changes now: they wait in the mailbox, which is bounded.
    pub(super) fn is_busy(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether it may subscribe to what Home Assistant finds devices by, as of now.
    pub(super) fn let_discover(&mut self, on: bool) {
        self.sight.discovery = on;
    }

    /// Whether it has asked for that in vain.
    pub(super) fn wants_discovery(&self) -> bool {
        self.wants_discovery
    }

    fn subscribe(&mut self, filter: &str, wish: Wish) -> Result<(), NotGranted> {
        if filter.starts_with("$share/") {
            return Err(NotGranted::Shared);
        }
        if !acl::viewer_subscribes(self.sight, filter) {
            let then = acl::Sight { discovery: true, ..self.sight };
            self.wants_discovery |= acl::viewer_subscribes(then, filter);
            return Err(NotGranted::NothingThere);
        }
        let is_new = self.filters.put(filter, wish.retain_as_published).ok_or(NotGranted::TooMany)?;
        let wants_retained = match wish.retained {
            v5::RetainHandling::Always => true,
            v5::RetainHandling::IfNew => is_new,
            v5::RetainHandling::Never => false,
        };
        if wants_retained {
            // Whoever subscribes again gets the retained messages again.
            if self.due.front().is_some_and(|due| **due == *filter) {
                self.place = START;
            } else if !self.due.iter().any(|due| **due == *filter) {
                self.due.push_back(filter.into());
            }
        }
        Ok(())
    }

    /// Whether there was such a subscription.
    fn unsubscribe(&mut self, filter: &str) -> bool {
        let was_there = self.filters.remove(filter);
        if self.due.front().is_some_and(|due| **due == *filter) {
            self.place = START;
        }
        self.due.retain(|due| **due != *filter);
        was_there
    }

    /// Takes what came from the router.
    pub(super) fn mail(&mut self, mail: ViewMail) {
        if mail.missed {
            self.behind = true;
            self.changes = VecDeque::new();
        } else if !self.behind {
            self.changes.extend(mail.changes);
        }
    }

    /// Writes what is due; an error when it fell so far behind that it can't be told any more what is gone.
    pub(super) fn fill(&mut self, retained: &Retained, out: &mut Vec<u8>) -> Result<(), CloseReason> {
        while out.len() < LOW_WATER_BYTES {
            let moved = if self.behind {
                self.catch_up(retained, out).map_err(|Forgotten| CloseReason::Behind)?;
                // Beside it, or whoever is always behind would never get the retained set.
                self.say_retained(retained, out);
                true
            } else if let Some(change) = self.changes.pop_front() {
                self.say_next(&change, out);
                true
            } else {
                self.say_retained(retained, out)
            };
            if !moved {
                break;
            }
        }
        if self.changes.is_empty() {
            self.changes = VecDeque::new();
        }
        Ok(())
    }

    fn say_next(&mut self, change: &TopicChange, out: &mut Vec<u8>) {
        if change.version <= self.told {
            return;
        }
        if change.version > self.told + 1 {
            self.behind = true;
            self.changes = VecDeque::new();
            return;
        }
        self.told = change.version;
        self.say_change(std::str::from_utf8(&change.topic).unwrap_or_default(), &change.payload, out);
    }

    fn catch_up(&mut self, retained: &Retained, out: &mut Vec<u8>) -> Result<(), Forgotten> {
        let changes = retained.since(self.told, PIECE)?;
        for (topic, payload) in &changes.found {
            self.say_change(topic, payload, out);
        }
        self.told = changes.up_to;
        self.behind = !changes.is_all;
        Ok(())
    }

    /// Whether anything was due.
    fn say_retained(&mut self, retained: &Retained, out: &mut Vec<u8>) -> bool {
        let Some(filter) = self.due.front() else { return false };
        let next = match &self.place {
            RetainedPosition::Standing(after) => {
                let page = retained.page(filter, after.as_deref(), PIECE);
                for (topic, payload) in &page.found {
                    self.write_seen(topic, payload, out);
                }
                let is_kept = self.filters.get(filter) == Some(true);
                page.more_after
                    .map(|topic| RetainedPosition::Standing(Some(topic)))
                    .or_else(|| is_kept.then_some(RetainedPosition::Gone(0)))
            }
            &RetainedPosition::Gone(after) => {
                let gone = retained.gone(filter, after, PIECE);
                for topic in &gone.topics {
                    self.write_seen(topic, &[], out);
                }
                gone.more_after.map(RetainedPosition::Gone)
            }
        };
        if next.is_none() {
            self.due.pop_front();
        }
        self.place = next.unwrap_or(START);
        true
    }

    /// Writes a retained message of a topic that this viewer may see.
    fn write_seen(&self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        if acl::viewer_sees(self.sight.debug, topic) {
            self.write(topic, payload, true, out);
        }
    }

    /// Says a change when a filter takes it.
    fn say_change(&self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        if !acl::viewer_sees(self.sight.debug, topic) {
            return;
        }
        if let Some(retain) = self.filters.takes(topic) {
            self.write(topic, payload, retain, out);
        }
    }

    fn write(&self, topic: &str, payload: &[u8], retain: bool, out: &mut Vec<u8>) {
        match self.protocol {
            // The standard has it: what is too large for a client is not sent to it.
            Protocol::V5(options) if v5::publish_bytes(topic, payload) > options.max_packet_bytes => {}
            Protocol::V5(_) => v5::publish(out, topic, payload, retain),
            Protocol::V311 | Protocol::Bridge => {
                packet::publish(out, topic, payload, Qos::AtMostOnce, 0, false, retain);
            }
        }
    }
}

#[cfg(test)]
mod tests;
