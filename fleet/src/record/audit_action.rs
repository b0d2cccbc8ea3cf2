//! What is audited: a closed list of actions, each with the code that is stored and that the API gives.

use schema::JobKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Makes the enum, its list and its codes from one table.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What was done.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $name,)*
            /// A job of this kind was asked for.
            Job(JobKind),
        }

        impl AuditAction {
            /// All but those of jobs.
            const FIXED: &[Self] = &[$(Self::$name,)*];

            /// Its code, `action` in the API: a dotted word such as `host.created`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Job(kind) => job_code(kind),
                }
            }
        }
    };
}

actions! {
    /// Agents are not given an address of the server any more.
    AddressRetired = "address.retired",
    /// A message of an agent did not open with its key.
    AgentForged = "agent.forged",
    /// An agent sent a message that can't be understood.
    AgentOdd = "agent.odd",
    /// An agent reported trouble of its own.
    AgentTrouble = "agent.trouble",
    /// An archive of the server was downloaded.
    ArchiveDownloaded = "archive.downloaded",
    /// Who can open archives of the server was changed.
    ArchiveKeyChanged = "archive.key_changed",
    /// A person had an archive of the server made.
    ArchiveMade = "archive.made",
    /// An archive was refused, for the own password was wrong.
    ArchiveRefused = "archive.refused",
    /// The server has another authority than before, and somebody wanted that.
    AuthorityAccepted = "authority.accepted",
    /// Agents are told of an authority that follows the present one.
    AuthorityNext = "authority.next",
    /// The next authority of the server took the place of the present one.
    AuthorityRetired = "authority.retired",
    /// A channel was changed.
    ChannelChanged = "channel.changed",
    /// A channel was added.
    ChannelCreated = "channel.created",
    /// A channel was deleted.
    ChannelDeleted = "channel.deleted",
    /// A channel was tested.
    ChannelTested = "channel.tested",
    /// Credentials were removed.
    CredentialsDeleted = "credentials.deleted",
    /// The host key of an sftp storage was accepted.
    CredentialsHostKeyAccepted = "credentials.host_key_accepted",
    /// Another host was given the everyday credentials of a host, for one job.
    CredentialsLent = "credentials.lent",
    /// An agent refused credentials.
    CredentialsRefused = "credentials.refused",
    /// Credentials were set.
    CredentialsSet = "credentials.set",
    /// A machine was refused enrolment.
    EnrollRefused = "enroll.refused",
    /// A person said that the backups of a source group are right as they are.
    GroupAccepted = "group.accepted",
    /// A feed was made: an address by which others read a little of the fleet.
    FeedCreated = "feed.created",
    /// A feed was deleted.
    FeedDeleted = "feed.deleted",
    /// How long hosts with a label may have some causes before that is an incident was changed.
    GraceChanged = "grace.changed",
    /// Hosts with a label have no longer grace than others any more.
    GraceDeleted = "grace.deleted",
    /// A source group was changed.
    GroupChanged = "group.changed",
    /// A source group was added.
    GroupCreated = "group.created",
    /// A source group was deleted.
    GroupDeleted = "group.deleted",
    /// A download ended: whole or not.
    DownloadEnded = "download.ended",
    /// Discovery by Home Assistant was switched on or off.
    HomeAssistantSwitched = "home_assistant.switched",
    /// How a host stands was acknowledged.
    HostAcknowledged = "host.acknowledged",
    /// A person started the backups of a host whose place another machine has taken.
    HostBackupsStarted = "host.backups_started",
    /// A host was added.
    HostCreated = "host.created",
    /// A host was deleted.
    HostDeleted = "host.deleted",
    /// A machine was enrolled as a host.
    HostEnrolled = "host.enrolled",
    /// The labels of a host were changed.
    HostLabelled = "host.labelled",
    /// A host was put in quarantine: two machines have its identity.
    HostQuarantined = "host.quarantined",
    /// The quarantine of a host was lifted.
    HostReleased = "host.released",
    /// A host was renamed.
    HostRenamed = "host.renamed",
    /// Another machine took the place of a host's; its backups are held.
    HostReplaced = "host.replaced",
    /// A host came back to a server that was restored from an archive.
    HostReturned = "host.returned",
    /// A host's agent obeys another server that was made of this one.
    HostSuperseded = "host.superseded",
    /// A machine was taken in that was enrolled after the archive from which the server was restored.
    HostTakenIn = "host.taken_in",
    /// An acknowledgement was taken back.
    HostUnacknowledged = "host.unacknowledged",
    /// A plan of a host can't be kept.
    HostUnplanned = "host.unplanned",
    /// An incident was acknowledged.
    IncidentAcknowledged = "incident.acknowledged",
    /// The acknowledgement of an incident was taken back.
    IncidentUnacknowledged = "incident.unacknowledged",
    /// A job was cancelled.
    JobCancelled = "job.cancelled",
    /// Old jobs were removed.
    JobsRemoved = "jobs.removed",
    /// A break-glass kit was made.
    KitMade = "kit.made",
    /// A break-glass kit was refused.
    KitRefused = "kit.refused",
    /// The maintenance settings of a host were changed.
    MaintenanceChanged = "maintenance.changed",
    /// A login at the broker was refused.
    MqttRefused = "mqtt.refused",
    /// An account was added.
    OperatorCreated = "operator.created",
    /// An account was deleted.
    OperatorDeleted = "operator.deleted",
    /// The password of an account was changed.
    OperatorPassword = "operator.password",
    /// The role of an account was changed.
    OperatorRole = "operator.role",
    /// A sign-in was refused.
    OperatorSignInRefused = "operator.sign_in_refused",
    /// A due backup was given up.
    PendingAbandoned = "pending.abandoned",
    /// A pending run was dropped.
    PendingDropped = "pending.dropped",
    /// All pending runs were tried at once.
    PendingHurried = "pending.hurried",
    /// A host named a repository that it was not given.
    RepoClaimed = "repo.claimed",
    /// The password of a repository was not shown, for the own password was wrong.
    RepoPasswordRefused = "repo.password_refused",
    /// The password of a repository was shown in clear.
    RepoPasswordShown = "repo.password_shown",
    /// Another repository was found at the address of a host's.
    RepoReplaced = "repo.replaced",
    /// A person said that two hosts use one repository.
    RepoShareConfirmed = "repo.share_confirmed",
    /// A person took that back.
    RepoShareUndone = "repo.share_undone",
    /// When a channel is sent a report was changed.
    ReportChanged = "report.changed",
    /// A person had a report sent.
    ReportSent = "report.sent",
    /// A route of notices was changed.
    RouteChanged = "route.changed",
    /// A route of notices was added.
    RouteCreated = "route.created",
    /// A route of notices was deleted.
    RouteDeleted = "route.deleted",
    /// A schedule was changed.
    ScheduleChanged = "schedule.changed",
    /// A schedule was added.
    ScheduleCreated = "schedule.created",
    /// A schedule was deleted.
    ScheduleDeleted = "schedule.deleted",
    /// The server was restored from an archive.
    ServerRestored = "server.restored",
    /// The server was made anew of what could be read of a damaged data file.
    ServerSalvaged = "server.salvaged",
    /// Another server has taken the place of this one, which stands still.
    ServerSuperseded = "server.superseded",
    /// Somebody signed out.
    SessionClosed = "session.closed",
    /// Somebody signed in.
    SessionOpened = "session.opened",
    /// The first account was made.
    SetupDone = "setup.done",
    /// A standby was added: it may be sent archives of the server.
    StandbyAdded = "standby.added",
    /// A standby was sent an archive of the server, to another address than before.
    StandbyFetched = "standby.fetched",
    /// A standby was removed.
    StandbyRemoved = "standby.removed",
    /// A token was made: of the API, or for an enrolment when its target is a host.
    TokenCreated = "token.created",
    /// An API token was deleted.
    TokenDeleted = "token.deleted",
    /// An MQTT viewer was added.
    ViewerCreated = "viewer.created",
    /// An MQTT viewer was deleted.
    ViewerDeleted = "viewer.deleted",
}

const fn job_code(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Probe => "job.probe",
        JobKind::Init => "job.init",
        JobKind::Backup => "job.backup",
        JobKind::Forget => "job.forget",
        JobKind::Prune => "job.prune",
        JobKind::Check => "job.check",
        JobKind::Unlock => "job.unlock",
        JobKind::Stats => "job.stats",
        JobKind::Snapshots => "job.snapshots",
        JobKind::Ls => "job.ls",
        JobKind::Restore => "job.restore",
        JobKind::Browse => "job.browse",
        JobKind::Drill => "job.drill",
        JobKind::Find => "job.find",
        JobKind::Diff => "job.diff",
        JobKind::Download => "job.download",
    }
}

impl AuditAction {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::FIXED.iter().copied().chain(JobKind::ALL.into_iter().map(Self::Job))
    }

    /// The action of a code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::all().find(|action| action.code() == code)
    }
}

impl fmt::Debug for AuditAction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.code(), out)
    }
}

/// It is stored as its code, so that the order of the list means nothing.
impl Serialize for AuditAction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for AuditAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = <&str>::deserialize(deserializer)?;
        Self::of_code(code).ok_or_else(|| de::Error::custom("there is no such audited action"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_is_stored_as_a_code_of_its_own() {
        let mut codes = std::collections::BTreeSet::new();
        for action in AuditAction::all() {
            assert!(codes.insert(action.code()), "{action:?}");
            let bytes = postcard::to_allocvec(&action).unwrap();
            assert_eq!(bytes, postcard::to_allocvec(action.code()).unwrap());
            assert_eq!(postcard::from_bytes::<AuditAction>(&bytes).unwrap(), action);
        }
        let unknown = postcard::to_allocvec("host.painted").unwrap();
        assert!(postcard::from_bytes::<AuditAction>(&unknown).is_err());
    }
}
