//! A connection: what is on its way, in both directions.

use schema::HostTopic;
use std::collections::VecDeque;

/// From the agent.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Subscribe,
    Publish(HostTopic, Vec<u8>),
    PubAck(u16),
    /// A clean end: no will.
    Disconnect,
}

/// From the broker, on `cmd`.
#[derive(Clone, Debug)]
pub(crate) struct Down {
    pub(crate) payload: Vec<u8>,
    /// 0: QoS 0, which may be lost.
    pub(crate) packet_id: u16,
}

/// How many messages a resend can repeat.
const REPEATABLE: usize = 8;

/// One direction and topic: in order.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    queue: VecDeque<T>,
    arrived: VecDeque<T>,
}

impl<T: Clone> Lane<T> {
    const fn new() -> Self {
        Self { queue: VecDeque::new(), arrived: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, message: T) {
        self.queue.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let message = self.queue.pop_front()?;
        if self.arrived.len() == REPEATABLE {
            self.arrived.pop_front();
        }
        self.arrived.push_back(message.clone());
        Some(message)
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.queue.front()
    }

    /// The last `count` messages that arrived come once more, before the others.
    pub(crate) fn repeat(&mut self, count: usize, may_come_again: impl Fn(&T) -> bool) {
        for message in self.arrived.iter().rev().filter(|message| may_come_again(message)).take(count) {
            self.queue.push_front(message.clone());
        }
    }

    pub(crate) fn cut(&mut self, keep: usize) {
        self.queue.truncate(keep);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// One connection. Either end may believe in it longer than the other.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) agent_open: bool,
    pub(crate) server_open: bool,
    /// Published when the connection ends without a word.
    pub(crate) will: Vec<u8>,
    pub(crate) up: [Lane<Up>; LANES],
    pub(crate) down: Lane<Down>,
}

pub(crate) const LANES: usize = 5;

impl Conn {
    pub(crate) fn new(will: Vec<u8>) -> Self {
        Self {
            agent_open: true,
            server_open: true,
            will,
            up: std::array::from_fn(|_| Lane::new()),
            down: Lane::new(),
        }
    }

    /// The lane of a message: one for everything over TCP; one for each topic where another broker stands between.
    pub(crate) fn send(&mut self, message: Up, by_topic: bool) {
        let lane = match &message {
            _ if !by_topic => 0,
            Up::Publish(HostTopic::Evt, _) => 1,
            Up::Publish(HostTopic::RepoStats, _) => 2,
            Up::Publish(HostTopic::Live, _) => 3,
            Up::PubAck(_) => 4,
            // Nothing is read behind a disconnect, so it must not overtake.
            Up::Disconnect | Up::Subscribe | Up::Publish(..) => 0,
        };
        self.up[lane].push(message);
    }

    pub(crate) fn nothing_comes_up(&self) -> bool {
        self.up.iter().all(Lane::is_empty)
    }
}
