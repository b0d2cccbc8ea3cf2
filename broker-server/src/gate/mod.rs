//! The MQTT side of the server, in front of the embedded broker: all that peers send passes here first.
//!
//! The listeners, the sessions and the packet reader are ours; the fan-out to viewers is rumqttd's router. Why: its
//! listeners can be stopped by ordinary clients, it knows no topic rights, and a link of its own costs 49 KB a host.
//!
//! # Words
//!
//! - A **peer** is whoever opened a connection; after its login it is a [`Principal`]: a *host*, an *enrolment*, or a
//!   *viewer*.
//! - A **connection** is the socket, a **session** what MQTT calls so: it may outlive a connection when a host asks
//!   for that (`clean_session = false`).
//! - The **directory** is the rest of the server, as far as the gate asks it things ([`Directory`]): who may log
//!   in, which commands wait in the outbox, what the plan is. What peers say goes the other way, as [`Incoming`].
//!
//! # Life of a connection
//!
//! Accepted → its first byte → its turn → TLS handshake → CONNECT → login (throttled per peer) → admitted, after the
//! previous connection of the same client has ended and its will is delivered → packets → ended, with a
//! [`CloseReason`]. Until it is admitted it is *pending*: bounded in number, time and packet size. Who connects is
//! accepted at once; who says nothing has no turn and gives way first; turns go round by origin (see `unadmitted`).
//!
//! A viewer is admitted when the first view tree stands, when neither its account nor all viewers have as many
//! connections as they may, and when there is a place for its link to the router.
//!
//! # Versions of MQTT
//!
//! Hosts and enrolments speak MQTT 3.1.1. Viewers may also speak MQTT 5 ([`packet::v5`]), and 3.1.1 as a bridge does:
//! protocol level 0x84, which mosquitto tries first, has changes carry the retain flag with which they were published,
//! and tells first what is remembered to be gone, so that what a bridge keeps is what stands. Retain As Published does
//! the same in MQTT 5. Who is refused is answered in the form of its own version.
//!
//! # Delivery
//!
//! *From a host*: a message of QoS 1 is acknowledged only after whoever took it from the channel says
//! [`Done::committed`]; acknowledgements keep the order. The channel is bounded: when it is full, sockets are not
//! read. Nothing is dropped. A [`Done`] that is dropped unsaid ends the session, so that the client sends again.
//!
//! *To a host*: commands wait in the directory's outbox, and the outbox is the truth. A session holds no command; it
//! keeps which sequence numbers are in flight under which packet id, in a window of [`Limits::window`]. At each new
//! connection the outbox is walked from its beginning: what was in flight is sent again under its packet id and
//! marked DUP, everything else that is still in the outbox is sent anew, in the order of the sequence. So the outbox
//! must forget what the host has confirmed.
//!
//! *To viewers*: the retained set lives here, bounded, and numbers its changes; they go through rumqttd's router. A
//! viewer gets the retained set in small pieces as it reads them, then what changes. One that reads too slowly loses
//! intermediate states, never the last one: it reads from the retained set what is different from what it was told,
//! and gets an empty message for each topic that is gone. As topics that are gone are remembered within bounds, one
//! that is too far behind is let go. A router that dies is rebuilt and the viewers attached again; hosts don't notice.
//!
//! # Decisions
//!
//! - A publish on a topic that is not the peer's own is acknowledged, dropped and audited: closing would make a
//!   client send it again for ever. A malformed packet and QoS 2 end the connection.
//! - When the server stops, wills are *not* published: the server's absence says nothing about a host. Nobody would
//!   be there to take them, and the host says hello again with a newer epoch.
//! - A viewer's session is never kept (it gets QoS 0 only), and its will is ignored: home automation sets one by
//!   default. A host's will must be on its own presence, or it is not admitted. A will without a topic, or with a
//!   wildcard in it, is no proper CONNECT, whose ever it is.
//! - A viewer's filter is granted when anything that it may see can match it. A wide one, such as `#`, shows that and
//!   nothing else.
//! - One connection more of an account than it may have is refused, and those that stand go on: a tool that connects in
//!   a loop would otherwise end one that works, each time.
//! - A keep-alive of 0 counts as one hour.
//!
//! # What it does not do
//!
//! It opens no sealed message, decides nothing about jobs, stores nothing on disk.

mod acl;
mod admission;
mod conn;
mod deadlines;
mod directory;
mod enroll;
mod fanout;
mod handle;
mod host;
mod incoming;
mod limits;
mod listener;
pub mod packet;
mod refusals;
mod registry;
mod retained;
mod roles;
mod session;
mod shared;
mod socket;
mod start_error;
mod stats;
mod sweep;
mod throttle;
mod transport;
mod unadmitted;
mod viewer;

pub use conn::CloseReason;
pub use directory::{Audit, Directory, Login, LoginRefusal, Principal, QueuedCommand, Refused};
pub use handle::{Connected, Gate, GateHandle};
pub use incoming::{Done, EnrollReply, Incoming};
pub use limits::{GateConfig, Limits, Listen};
pub use retained::ViewRefused;
pub use socket::Socket;
pub use start_error::StartError;
pub use stats::Stats;
pub use throttle::Held;
