//! The seam to the server behind the gate.

use bytes::Bytes;
use schema::{CommandSeq, HostId, TokenId};
use std::{fmt, net::SocketAddr};
use web::NotLetIn;

/// What the gate asks the server. All of it is called from the tasks of connections: it must be fast and must not
/// wait for the network or for a commit.
pub trait Directory: Send + Sync + 'static {
    /// Who this is, or why it may not come in.
    fn login(&self, login: &Login<'_>) -> Result<Principal, LoginRefusal>;

    /// The first `max` commands in the host's outbox with a sequence after `after`, in order, sealed. What the host
    /// has confirmed is no longer there.
    fn commands_after(&self, host: HostId, after: CommandSeq, max: usize) -> Vec<QueuedCommand>;

    /// The host's MQTT client has acknowledged this command, and all before it.
    fn command_delivered(&self, host: HostId, seq: CommandSeq);

    /// The host's plan, sealed.
    fn plan(&self, host: HostId) -> Option<Bytes>;

    /// A host sent a piece of a download, on its `bulk`. It is not acknowledged, and may be dropped.
    fn bulk(&self, host: HostId, payload: &[u8]);

    /// A peer was refused something. Limited in rate by the gate, see [`Audit::suppressed`].
    fn refused(&self, audit: &Audit);
}

/// A command that waits for its host.
#[derive(Clone, Debug)]
pub struct QueuedCommand {
    /// Its place in the host's sequence; grows.
    pub seq: CommandSeq,
    /// The sealed message.
    pub payload: Bytes,
}

/// What a peer says about itself. The password does not print.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// MQTT client id: printable ASCII without wildcards.
    pub client_id: &'a str,
    /// User name of the MQTT login.
    pub username: &'a str,
    /// Password of the MQTT login.
    pub password: &'a [u8],
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?} as {:?} from {})", self.username, self.client_id, self.peer)
    }
}

/// Who a peer is, after its login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A machine with an agent. Its client id must be its id.
    Host(HostId),
    /// A machine that wants to become one.
    Enroll(TokenId),
    /// A person's account for looking.
    Viewer {
        /// Name of the viewer account.
        name: String,
        /// Whether it also sees the sealed messages on presence and statistics.
        debug: bool,
    },
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefusal {
    /// For this reason. A peer is told no more than that its name or password is wrong, or that it may not connect.
    NotLetIn(NotLetIn),
    /// The server can't say now.
    Unavailable,
}

/// Something a peer tried and was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Address that the connection came from.
    pub peer: SocketAddr,
    /// Who, when it had logged in.
    pub principal: Option<Principal>,
    /// What was refused.
    pub refused: Refused,
    /// How many more from there were not told, since the last one that was.
    pub suppressed: u32,
}

/// What was refused. Texts of peers are cut and made printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A login.
    Login {
        /// The name it gave.
        username: String,
        /// The client id it gave.
        client_id: String,
        /// Why it was not let in.
        why: NotLetIn,
    },
    /// A connection, before it came to a login.
    Connection(NotLetIn),
    /// A message on a topic that the peer has no right to.
    Publish(String),
    /// To subscribe to that.
    Subscribe(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login { username, client_id, why } => {
                write!(f, "login as {username:?} (client id {client_id:?}): {}", why.words())
            }
            Self::Connection(why) => write!(f, "connection: {}", why.words()),
            Self::Publish(topic) => write!(f, "publish on {topic:?}"),
            Self::Subscribe(filter) => write!(f, "subscribe to {filter:?}"),
        }
    }
}

/// A peer's text, fit for a log: at most 128 characters, printable.
pub(super) fn printable(text: &str) -> String {
    let text: String = text.chars().take(128).collect();
    web::visible(&text, web::Breaks::Shown).into_owned()
}
