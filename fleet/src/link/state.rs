use schema::{
    CommandSeq, InstallationId, JobId, PlanRevision, ReportSeq, Slot, SlotRevision, Stream, Timestamp,
    TokenId,
};
use serde::{Deserialize, Serialize};

/// How an enrolled host logs in, and its sealed link key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The number of the link key, from 1.
    pub(crate) key_id: u8,
    /// Bound to `host:<id>:link`.
    pub(crate) sealed_key: Vec<u8>,
    /// SHA-256 of the MQTT password, which the server minted.
    pub(crate) password_sha256: [u8; 32],
    /// The token that made it.
    pub(crate) token: TokenId,
    /// The installation that got it.
    pub(crate) installation: InstallationId,
}

/// How many past journals of a host are remembered.
const PAST_STREAMS: usize = 8;

/// How far the two sequences of a host are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkState {
    /// The highest command number given out.
    pub(crate) last_command: CommandSeq,
    /// The highest command number that the agent has taken.
    pub(crate) taken: CommandSeq,
    /// The highest command number handed to a session.
    pub(crate) sent: CommandSeq,
    /// The highest command number that a connection has acknowledged.
    pub(crate) delivered: CommandSeq,
    /// The journal that the agent writes; `None` before the first hello.
    pub(crate) stream: Option<Stream>,
    /// The journals before that one, newest last, at most [`PAST_STREAMS`]: an old hello that comes again is known by
    /// its journal.
    pub(crate) past_streams: Vec<Stream>,
    /// Reports of that journal are committed up to and with this one.
    pub(crate) reports: ReportSeq,
    /// Jobs that the agent no longer holds, whose result may still be on its way…
    pub(crate) suspects: Vec<JobId>,
    /// …in a report up to this one.
    pub(crate) suspects_until: ReportSeq,
    /// What the agent said at that hello that it had taken.
    pub(crate) suspects_taken: CommandSeq,
    /// Reports up to this one were owed at the last hello: until they are here nothing is asked of the agent, for it may
    /// have done it by itself. 0 = none.
    pub(crate) owed_until: ReportSeq,
    /// Whether those jobs were begun before this server was restored.
    pub(crate) suspects_are_former: bool,
    /// Commands up to here were given out before this server was restored, and the host has not said hello since. 0 = there
    /// are none.
    pub(crate) former_commands: CommandSeq,
    /// Grows with each change of groups and schedules.
    pub(crate) plan_revision: PlanRevision,
}

impl LinkState {
    /// Whether reports of before the last hello are still on their way.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.reports < self.owed_until
    }

    /// Whether a journal was never heard of.
    pub(crate) fn is_unheard_of(&self, stream: Stream) -> bool {
        self.stream != Some(stream) && !self.past_streams.contains(&stream)
    }

    /// The agent writes this journal from now on.
    pub(crate) fn write_to(&mut self, stream: Stream) {
        if let Some(old) = self.stream.replace(stream).filter(|old| *old != stream) {
            self.past_streams.retain(|past| *past != stream);
            self.past_streams.push(old);
            let excess = self.past_streams.len().saturating_sub(PAST_STREAMS);
            self.past_streams.drain(..excess);
        }
    }
}

/// A command that has not been taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    /// The sealed envelope.
    pub(crate) frame: Vec<u8>,
    /// After this the agent refuses it.
    pub(crate) expires_at: Timestamp,
    /// What it asks for.
    pub(crate) what: Sent,
}

/// What a command says, for the server's own use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sent {
    Run(JobId),
    Cancel(JobId),
    Config { slot: Slot, revision: SlotRevision, for_job: Option<JobId> },
}
