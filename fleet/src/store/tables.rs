//! All tables. A name and the meaning of its key never change; a new meaning gets a new table and a migration. What is
//! marked `of a host` has keys that begin with a host's id, and goes with the host.

use super::{Order, Reads, Span, StoredRow, Table, TableId, TableKey, first_form};
use crate::link::{Link, LinkState, Outgoing};
use crate::record::meta::Meta;
use crate::record::{
    ApiToken, Arrivals, AuditEntry, ChannelId, ChannelRow, ChannelState, Confirmed, CredentialsRow,
    EntryPage, FleetDay, FolderSeen, FoundPage, FoundSeen, GivenUp, Group, Host, InKit, Incident, Job,
    LastRuns, Listing, ListingState, LogChunk, LogState, Maintenance, Met, Operator, PendingRun, Place,
    Presence, RepoPoint, RepoState, ReportRow, Route, ScheduleRow, Session, SnapshotPage, Soundness, Subject,
    Summary, TokenRow, TryCount, Usage, Viewer, WaitingNotice, WaitingPing, WaitingReport,
};
use crate::refused::StoreError;
use redb::TableDefinition;
use schema::{CommandSeq, HostId, IncidentId, JobId, PendingId, RepoId, Timestamp, TokenId};
use std::ops::ControlFlow;

macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident: $key:ty => $row:ty, $name:literal $(, of a $host:ident)?;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "only counts the tables")]
        enum Ids { $($table,)* End }
        /// How many tables there are.
        pub(crate) const TABLES: usize = Ids::End as usize;
        $(
            $(#[$doc])*
            pub(crate) const $table: Table<$key, $row> =
                Table::new(Ids::$table as usize, $name);
        )*
        pub(super) const DEFINITIONS: [TableDefinition<'static, &'static [u8], &'static [u8]>; TABLES] =
            [$(TableDefinition::new($name),)*];

        /// The tables whose keys begin with a host's id: what is in them goes with the host.
        pub(super) const OF_A_HOST: &[TableId] =
            // The word itself says nothing; naming it is what makes the list.
            &[$($({ let _ = stringify!($host); Ids::$table as usize },)?)*];

        /// Decodes every row of every table; returns how many there are.
        pub(super) fn read_every_row(reads: &impl Reads) -> Result<u64, StoreError> {
            let mut rows = 0;
            $(reads.walk(&$table, &Span::ALL, Order::Ascending, |_, _| {
                rows += 1;
                Ok(ControlFlow::Continue(()))
            })?;)*
            Ok(rows)
        }

        /// Every row of every table, in words: the table, the key, what stands there.
        #[cfg(test)]
        pub(crate) fn rows_in_words(reads: &impl Reads) -> Result<Vec<(&'static str, String)>, StoreError> {
            let mut rows = Vec::new();
            $(reads.walk(&$table, &Span::ALL, Order::Ascending, |key, row| {
                rows.push(($name, format!("{key:?} {row:?}")));
                Ok(ControlFlow::Continue(()))
            })?;)*
            Ok(rows)
        }

        /// What each table stores: its name, and what of it, see [`super::shape`].
        #[cfg(test)]
        pub(crate) fn shapes() -> Vec<(&'static str, Vec<String>)> {
            vec![$(($name, super::shape::of_table::<$key, $row>()),)*]
        }

        /// Whether a row can be decoded. `None` = there is no table of this name.
        pub(crate) fn check_row(table: &str, mut key: &[u8], row: &[u8]) -> Option<Result<(), StoreError>> {
            Some(match table {
                $($name => checked(&$table, &mut key, row),)*
                _ => return None,
            })
        }

        /// A key in words; one that means nothing is shown byte by byte.
        pub(crate) fn key_in_words(table: &str, key: &[u8]) -> String {
            match table {
                $($name => spelled::<$key>(key),)*
                _ => spelled::<[u8; 32]>(key),
            }
        }

        /// The names of the tables whose keys begin with a host's id.
        pub(crate) fn names_of_a_host() -> Vec<&'static str> {
            OF_A_HOST.iter().map(|table| NAMES[*table]).collect()
        }

        /// The names of all tables.
        pub(crate) const NAMES: [&str; TABLES] = [$($name,)*];
    };
}

fn spelled<K: TableKey + std::fmt::Debug>(mut key: &[u8]) -> String {
    let bytes = key;
    match K::read(&mut key).filter(|_| key.is_empty()) {
        Some(key) => format!("{key:?}"),
        None => format!("0x{}", data_encoding::HEXLOWER.encode(bytes)),
    }
}

fn checked<K: TableKey, V: StoredRow>(
    table: &Table<K, V>,
    key: &mut &[u8],
    row: &[u8],
) -> Result<(), StoreError> {
    let damaged = |why| StoreError::Row { table: table.name(), why };
    K::read(key).filter(|_| key.is_empty()).ok_or_else(|| damaged("its key is damaged"))?;
    V::from_bytes(row).map(|_| ()).map_err(damaged)
}

tables! {
    /// Single values, each under its own key.
    META: String => Meta, "meta";
    HOSTS: HostId => Host, "hosts", of a host;
    /// By name in lower case.
    HOST_NAMES: String => HostId, "host_names";
    /// How a host logs in, and its sealed link key.
    LINKS: HostId => Link, "links", of a host;
    /// How far the two sequences of a host are.
    LINK_STATES: HostId => LinkState, "link_states", of a host;
    /// Commands not taken yet, by number.
    OUTBOX: (HostId, CommandSeq) => Outgoing, "outbox", of a host;
    PRESENCES: HostId => Presence, "presences", of a host;
    /// By which addresses a host has come since it was enrolled.
    ARRIVALS: HostId => Arrivals, "arrivals", of a host;
    /// Hosts whose agent said its last hello in the earlier form, see [`crate::link::earlier`].
    EARLIER_AGENTS: HostId => (), "earlier_agents", of a host;
    TOKENS: TokenId => TokenRow, "enroll_tokens";
    HOST_TOKENS: (HostId, TokenId) => (), "host_tokens", of a host;
    /// By slot: 0 repo, 1 admin.
    CREDENTIALS: (HostId, u8) => CredentialsRow, "credentials", of a host;
    /// The newest break-glass kit that holds a host.
    IN_KITS: HostId => InKit, "in_kits", of a host;
    /// Only of hosts whose settings were changed.
    MAINTENANCE: HostId => Maintenance, "maintenance", of a host;
    /// When each kind of maintenance fired last.
    LAST_RUNS: HostId => LastRuns, "maintenance_fired", of a host;
    GROUPS: (HostId, String) => Group, "groups", of a host;
    /// How whole the snapshots of a source group are.
    SOUNDNESS: (HostId, String) => Soundness, "soundness", of a host;
    SCHEDULES: (HostId, String) => ScheduleRow, "schedules", of a host;
    /// Those that are on, by the instant at which they are to run next.
    SCHEDULES_DUE: (u64, HostId, String) => (), "schedules_due";
    /// Due backups that have not succeeded yet: those that wait, and those that were handed to their host.
    PENDING: PendingId => PendingRun, "pending";
    HOST_PENDING: (HostId, PendingId) => (), "host_pending", of a host;
    /// Those that wait, by the due time that they stand for.
    PENDING_WAITING: (u64, PendingId) => (), "pending_waiting";
    /// Those whose next try has an instant, by it.
    PENDING_DUE: (u64, PendingId) => (), "pending_due";
    /// By the instant.
    GIVEN_UP: (u64, PendingId) => GivenUp, "given_up";
    JOBS: JobId => Job, "jobs";
    HOST_JOBS: (HostId, JobId) => (), "host_jobs", of a host;
    /// By the place of the kind in [`schema::JobKind::ALL`].
    KIND_JOBS: (HostId, u8, JobId) => (), "kind_jobs", of a host;
    /// Those that another host does, by the one whose repository they work on.
    SOURCE_JOBS: (HostId, JobId) => (), "source_jobs", of a host;
    /// Those that have not ended.
    OPEN_JOBS: (HostId, JobId) => (), "open_jobs", of a host;
    /// Those of them that need their repository alone.
    EXCLUSIVE_JOBS: (HostId, JobId) => (), "exclusive_jobs", of a host;
    /// By the number of the first line.
    LOGS: (JobId, u32) => LogChunk, "logs";
    LOG_STATES: JobId => LogState, "log_states";
    /// What the jobs and logs of a host take of this file.
    USAGES: HostId => Usage, "usages", of a host;
    /// How far the pieces of a listing are, of snapshots or of a folder.
    LISTING_STATES: JobId => ListingState, "listing_states";
    REPOS: HostId => RepoState, "repos", of a host;
    /// Which hosts name a repository as theirs: no more than what each says.
    REPO_HOSTS: (RepoId, HostId) => (), "repo_hosts";
    /// Where the server has sent a host: the place of its everyday credentials.
    PLACES: HostId => Place, "places", of a host;
    /// The same by the fingerprint of the place.
    PLACE_HOSTS: ([u8; 32], HostId) => (), "place_hosts";
    /// Hosts that a person said are on one repository, in both directions.
    CONFIRMED: (HostId, HostId) => Confirmed, "confirmed_shares", of a host;
    /// Sizes of a host's repository over time, keyed by the instant.
    HISTORY: (HostId, u64) => RepoPoint, "repo_history", of a host;
    /// The newest whole listing of a host.
    LISTINGS: HostId => Listing, "listings", of a host;
    /// Its pieces, by the number of the first snapshot.
    LISTED: (JobId, u32) => SnapshotPage, "listed";
    /// The newest whole listing of each folder that was looked into: by snapshot (none of the host itself) and path.
    FOLDERS: (HostId, String) => FolderSeen, "folders", of a host;
    /// Their pieces, by the number of the first entry.
    ENTRIES: (JobId, u32) => EntryPage, "entries";
    /// Searches by name whose results are kept.
    FINDS: (HostId, JobId) => FoundSeen, "finds", of a host;
    /// Their pieces, by the number of the first row.
    FOUND: (JobId, u32) => FoundPage, "found";
    SUMMARIES: HostId => Summary, "summaries", of a host;
    INCIDENTS: IncidentId => Incident, "incidents";
    /// Those that have not ended for good.
    STANDING_INCIDENTS: IncidentId => (), "standing_incidents";
    /// When somebody has acknowledged an incident that stands, or taken that back, last.
    INCIDENT_ACTS: IncidentId => Timestamp, "incident_acts";
    /// Whom each meets.
    INCIDENT_SUBJECTS: (IncidentId, Subject) => Met, "incident_subjects";
    /// The same by host.
    HOST_INCIDENTS: (HostId, IncidentId) => (), "host_incidents", of a host;
    /// By what incidents are told.
    CHANNELS: ChannelId => ChannelRow, "channels";
    /// Of those that were told anything.
    CHANNEL_STATES: ChannelId => ChannelState, "channel_states";
    /// Which incidents are told by which channels, by name.
    ROUTES: String => Route, "routes";
    /// What is still to be told, oldest first.
    WAITING_NOTICES: (ChannelId, u64) => WaitingNotice, "waiting_notices";
    /// What checks are still to be told, oldest first.
    WAITING_PINGS: (ChannelId, u64) => WaitingPing, "waiting_pings";
    /// When channels are sent a report.
    REPORTS: ChannelId => ReportRow, "reports";
    /// The report of a channel that is still to be sent.
    WAITING_REPORTS: ChannelId => WaitingReport, "waiting_reports";
    /// How the fleet stood on each day, by the instant.
    FLEET_DAYS: u64 => FleetDay, "fleet_days";
    /// Which channels were told of an incident that stands.
    TOLD_CHANNELS: (IncidentId, ChannelId) => (), "told_channels";
    /// By number, oldest first.
    AUDIT: u64 => AuditEntry, "audit";
    /// The same by whose share an entry is of, see [`crate::audit`].
    AUDIT_SHARES: (u8, u64) => (), "audit_shares";
    /// Entries that a host has caused by itself.
    AUDIT_HOSTS: (HostId, u64) => (), "audit_hosts", of a host;
    OPERATORS: String => Operator, "operators";
    /// By the hash of the cookie.
    SESSIONS: [u8; 32] => Session, "sessions";
    /// By the hash of the token.
    API_TOKENS: [u8; 32] => ApiToken, "api_tokens";
    VIEWERS: String => Viewer, "viewers";
    /// By what was counted; see `web`.
    SIGN_IN_TRIES: String => TryCount, "sign_in_tries";
}

first_form!(
    ApiToken,
    AuditEntry,
    ChannelRow,
    ChannelState,
    Confirmed,
    CredentialsRow,
    EntryPage,
    FleetDay,
    FolderSeen,
    FoundPage,
    FoundSeen,
    GivenUp,
    Host,
    HostId,
    InKit,
    Incident,
    Job,
    LastRuns,
    Link,
    LinkState,
    Listing,
    ListingState,
    LogChunk,
    LogState,
    Maintenance,
    Met,
    Meta,
    Operator,
    Outgoing,
    PendingRun,
    Place,
    Presence,
    Arrivals,
    RepoPoint,
    RepoState,
    ReportRow,
    Route,
    ScheduleRow,
    Session,
    SnapshotPage,
    Summary,
    TokenRow,
    TryCount,
    Usage,
    Viewer,
    WaitingNotice,
    WaitingPing,
    WaitingReport,
    Timestamp,
);
