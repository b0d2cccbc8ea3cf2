//! What the fleet is and what happens to it: hosts, jobs, repositories, accounts; the store they live in; the
//! decisions about them. Knows nothing of HTTP or MQTT.
//!
//! Everything is read and changed through [`Fleet`]: by the pages, the API and the broker's ingest alike.
//!
//! # Words
//!
//! A *record* is a stored row ([`record`]), a *view* what is put together for whoever reads ([`view`]), a *command*
//! goes to an agent, a *report* comes from one. A *host* is one machine with an agent, an *outbox* holds what it has
//! not taken yet, a *summary* is a host in one row. A *pending run* is a due backup that has not succeeded yet.
//!
//! # How it lives
//!
//! ```text
//! request, message ─▶ Fleet ─▶ operation ─▶ writer thread ─▶ one commit for all that waits ─▶ answers
//!                                              │                     └─▶ changes, wakes
//! page, API, metrics ◀─ FleetState ◀───── redb (holdfast.redb)
//! ```
//!
//! Every change is an operation on one write transaction: what belongs together (a job, its command, its audit
//! entry, the host's summary) is there together or not at all. Whoever asked is answered when it is on disk.
//! Progress and live log lines are in memory only.
//!
//! # What it does not do
//!
//! It opens no socket, reads no clock and draws no random number by itself ([`Driver`]), hashes no password, and
//! wakes up by nothing but its driver's ticks. Queues are bounded: who writes faster than the disk waits; a host's outbox refuses
//! ([`Refused::QueueFull`]); who listens to changes and lags is told so.

mod access;
mod access_row;
mod accounts;
mod addresses;
mod aging;
mod archive;
mod audit;
mod authority;
mod bounds;
mod budget;
mod change;
mod clock;
mod context;
mod credentials;
mod damage;
mod data_folder;
mod dispatch;
mod download;
mod draft;
mod drill;
mod enroll;
mod facts;
mod feed;
mod find;
mod fleet;
mod fleet_state;
mod folder;
#[cfg(test)]
mod format_files;
mod former;
#[cfg(test)]
mod golden;
mod groups;
mod home_assistant;
pub mod host_clock;
mod hosts;
mod incarnation;
mod incidents;
mod ingest;
mod job;
mod judged;
mod kit;
mod link;
mod listing;
mod login;
pub mod maintenance;
mod nearest;
mod newcomer;
mod notices;
mod op;
mod opening;
mod page_url;
mod pending;
mod pieces;
mod proof;
mod quarantine;
pub mod record;
mod refused;
mod replacement;
mod repo;
mod report;
mod request;
mod restore;
mod reunion;
mod roster;
mod salvage;
mod samples;
mod schedule;
mod scrub;
mod seal;
#[cfg(feature = "seed")]
pub mod seed;
mod settings;
mod sign_in;
mod soundness;
mod standby;
mod standby_row;
mod status;
mod store;
mod succession;
mod summary;
mod sweep;
mod ticket;
pub mod traffic;
mod units;
mod unplanned;
pub mod view;

pub use addresses::{AddressUse, Dependent, MOST_LISTED};
pub use archive::{
    ARCHIVE_PARTS, About, ArchiveError, ArchiveFolder, ArchiveKey, ArchiveKeyFacts, ArchiveOpener,
    ArchivePart, ArchiveState, ArchiveStatus, Archives, Archiving, Beside, Contents, DrawnIdentity,
    GoodArchive, Holds, Kept, MadeAside, NoArchive, Parts, Promotion, Rehearsal, RestoreAs, Restored,
    Scratch, archive_name, check_archive, check_recipient, is_drawn, look_through, may_restore_into,
    new_identity, promote, recipient_of, rehearse, remove_left_drafts, restore, restore_as,
};
pub use authority::AuthorityUse;
pub use budget::OverBudget;
pub use change::{Change, ChangeSeq, Changed};
pub use credentials::host_key::fingerprint as host_key_fingerprint;
pub use damage::{Damage, Found, KeyGap, Scrub, TableDamage};
pub use download::{Broken, Download, DownloadEnd, Piece};
pub use draft::Draft;
pub use feed::{MOST_FEEDS, NewFeed};
pub use fleet::{Fleet, Handled, NewEnrollToken};
pub use fleet_state::FleetState;
pub use folder::{NoInclude, check_snapshot, clean_path, include_of};
pub use former::{FormerFound, FormerServer};
pub use groups::{Owner, Owners};
pub use incarnation::MOST_INCARNATION;
pub use incidents::{Acknowledgement, GraceInput, MOST_GRACE_HOURS, MOST_GRACES, ServerNeed, grace_causes};
pub use kit::{KitChoice, KitCredentials, KitGap, KitHost, KitSlot, Kits, NewKit, WhyGap};
pub use listing::SnapshotCursor;
pub use login::NoLogin;
pub use newcomer::Newcomer;
pub use notices::{
    ChannelInput, ChannelView, DueMessage, MOST_CHANNELS, MOST_ROUTES, MOST_TOLD, Message, NamedSecrets,
    OnItsWay, Ping, ReportInput, ReportView, RouteInput, RouteView, Sent, WEEKDAYS,
};
pub use opening::{Checked, check_key_file};
pub use page_url::leads_others;
pub use pending::{GiveUp, Setback};
pub use pieces::{AUTHORITY_FOLDER, Authority, DATA_FILE, KEY_FILE, Pieces, STANDBY_FOLDER, Stand};
pub use record::{Ended, Usage};
pub use refused::{LinkFault, OpenError, Refused, RunnerSetback, StoreError, WriteFault};
pub use request::{By, JobRequest, OperatorChange};
pub use reunion::{Reunion, SupersededHost};
pub use salvage::{SalvageError, Salvaged, salvage};
pub use schedule::{MOST_TIMES_A_DAY, Upcoming, UpcomingList};
pub use settings::{AgingLimits, Driver, Random, Settings};
pub use sign_in::DEVICE_LIVES_MS;
pub use standby::{MOST_STANDBYS, STANDBY_LATE_AFTER_MS, Standby};
pub use store::WriterCounts;
pub use succession::Heard;
pub use view::{
    AuditFilter, CauseGroup, CauseGroups, DAYS, Day, FleetCounts, HostFilter, HostProof, HostRow,
    HostStanding, IncidentState, IncidentView, JobFilter, MetChannel, MetHost, Page, Paged, ProofOfGroup,
    ProofStatus, Reason, RestoreEstimate, ScheduleView, Status,
};
