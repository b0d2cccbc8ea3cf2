//! The topics: built and parsed in this one place.
//!
//! ```
//! use schema::{HostId, HostTopic, Topic};
//! let host: HostId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
//! let topic = Topic::Host(host, HostTopic::RepoStats);
//! assert_eq!(topic.to_string(), "hf/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/repo/stats");
//! assert_eq!(Topic::parse("hf/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/repo/stats"), Some(topic));
//! assert_eq!(Topic::parse("hf/1/+/repo/stats"), None);
//! ```

use crate::{HostId, TokenId};
use core::fmt::{self, Write};

/// The filter under which viewers find everything.
pub const VIEW_FILTER: &str = "hf/1/view/#";
/// The longest topic built here, in bytes.
pub const MAX_TOPIC_BYTES: usize = 160;

/// A topic of ours that carries a sealed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One of a host's own.
    Host(HostId, HostTopic),
    /// An agent asks to be enrolled.
    EnrollRequest(TokenId),
    /// The answer to that.
    EnrollResponse(TokenId),
}

/// A host's own topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostTopic {
    /// Commands, server → agent.
    Cmd,
    /// The plan, server → agent, retained.
    Plan,
    /// Durable reports, agent → server.
    Evt,
    /// Progress and live log, agent → server.
    Live,
    /// Presence, agent → server, retained, last will.
    Presence,
    /// Repository statistics, agent → server, retained.
    RepoStats,
    /// The bytes of downloads, agent → server.
    Bulk,
}

impl HostTopic {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Cmd, Self::Plan, Self::Evt, Self::Live, Self::Presence, Self::RepoStats, Self::Bulk];

    /// The part behind the host id.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Cmd => "cmd",
            Self::Plan => "plan",
            Self::Evt => "evt",
            Self::Live => "live",
            Self::Presence => "presence",
            Self::RepoStats => "repo/stats",
            Self::Bulk => "bulk",
        }
    }

    /// Whether the agent publishes on it; otherwise it subscribes to it.
    #[must_use]
    pub const fn is_from_agent(self) -> bool {
        !matches!(self, Self::Cmd | Self::Plan)
    }

    /// Whether the broker keeps the last message.
    #[must_use]
    pub const fn is_retained(self) -> bool {
        matches!(self, Self::Plan | Self::Presence | Self::RepoStats)
    }
}

impl Topic {
    /// The topic of this text; `None` for anything that is not exactly one of ours (a wildcard, an unknown suffix,
    /// an id in another spelling).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("hf/1/")?;
        if let Some(rest) = rest.strip_prefix("enroll/") {
            let (token, direction) = rest.split_once('/')?;
            let token = token.parse().ok()?;
            return match direction {
                "req" => Some(Self::EnrollRequest(token)),
                "rsp" => Some(Self::EnrollResponse(token)),
                _ => None,
            };
        }
        let (host, suffix) = rest.split_once('/')?;
        let topic = HostTopic::ALL.into_iter().find(|topic| topic.suffix() == suffix)?;
        Some(Self::Host(host.parse().ok()?, topic))
    }

    /// The text, without allocation.
    #[must_use]
    pub fn text(self) -> TopicText {
        let mut text = TopicText { bytes: [0; MAX_TOPIC_BYTES], len: 0 };
        // Our topics are far shorter than the buffer.
        let _ = write!(text, "{self}");
        text
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host, topic) => write!(f, "hf/1/{host}/{}", topic.suffix()),
            Self::EnrollRequest(token) => write!(f, "hf/1/enroll/{token}/req"),
            Self::EnrollResponse(token) => write!(f, "hf/1/enroll/{token}/rsp"),
        }
    }
}

/// A topic's text on the stack.
#[derive(Clone, Copy)]
pub struct TopicText {
    bytes: [u8; MAX_TOPIC_BYTES],
    len: usize,
}

impl TopicText {
    /// The topic as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for TopicText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.len + part.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}
