//! Literal bytes of every stored enum: postcard writes a variant by its place, so that one moved, or put before others,
//! would be read as another one. When this fails: fix the code, or bring the data file's format forward, with a
//! migration; then write `golden.txt` anew with `HOLDFAST_WRITE_GOLDENS=1`. The format's number is held to these bytes, see
//! `format_files`.

use crate::link::Sent;
use crate::record::meta::{LostSpan, Meta};
use crate::record::{
    Accepted, Actor, AgentGone, ArchiveKeyRow, AuditTarget, BackupFigures, Baseline, BodyTemplate, Cause,
    Channel, Churn, ClosedBy, DiffFigures, DownloadForm, DrillCuts, DrillFigures, DrillFinding, DrillPlan,
    Email, Ending, Event, Every, Extent, Feed, FeedKind, FeedOf, FeedRow, FindPlan, Flawed, ForgetFigures,
    GivenAddress, Grace, Group, Healthchecks, Heartbeat, Hold, JobFigures, JobState, JobWhat, Lack, Left,
    Loss, MailSecurity, Newest, Origin, Past, ProbeFigures, ReportEvery, RestoreFailure, RestoreFigures,
    RestorePlan, RestoreTarget, Retention, Role, RouteState, Script, SendFault, Severity, Signal, Soundness,
    SourceFinding, TokenMachine, TrustedAuthority, Unplanned, Unusual, UnusualBackup, UnusualBackups,
    Watched, Webhook, WebhookForm, Whole,
};
use schema::{
    Class, DrillFault, HostId, IncidentId, JobId, Overwrite, Refusal, RepoId, Slot, SlotRevision,
    SourceReason, Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::{Debug, Write as _};

const GOLDEN: &str = include_str!("golden.txt");
const AT: Timestamp = Timestamp(1_750_000_000_123);
const HOST: HostId = HostId([0x0b; 16]);
const JOB: JobId = JobId([0x0a; 16]);
const REPO: RepoId = RepoId([0x0c; 32]);

/// What is written, one name to a line.
struct Written(Vec<(String, String)>);

impl Written {
    fn add<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, value: &T) {
        let bytes = postcard::to_allocvec(value).unwrap();
        assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value, "{name} is read as it was written");
        let mut hex = String::new();
        for byte in bytes {
            let _ = write!(hex, "{byte:02x}");
        }
        self.0.push((name.to_owned(), hex));
    }
}

/// Adds a value of each variant; one that is left out does not compile.
macro_rules! each {
    ($written:ident, $type:ident { $($variant:pat => $value:expr,)+ }) => {{
        let is_one = |value: &$type| match value { $($variant => {})+ };
        $({
            let value: $type = $value;
            is_one(&value);
            assert!(matches!(value, $variant), "{value:?}");
            let name = stringify!($variant).split([' ', '(', '{']).next().unwrap_or_default();
            $written.add(name, &value);
        })+
    }};
}

fn keep() -> Retention {
    Retention { last: 1, hourly: 2, daily: 3, weekly: 4, monthly: 5, yearly: 6, within: "7d".to_owned() }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn enums(written: &mut Written) {
    each!(written, Actor {
        Actor::Operator(_) => Actor::Operator(text("ada")),
        Actor::Token(_) => Actor::Token(text("backup")),
        Actor::Schedule(_) => Actor::Schedule(text("hourly")),
        Actor::System => Actor::System,
        Actor::Agent => Actor::Agent,
        Actor::Link(_) => Actor::Link(text("mail")),
    });
    each!(written, AuditTarget {
        AuditTarget::Server => AuditTarget::Server,
        AuditTarget::Host(..) => AuditTarget::Host(HOST, text("attic")),
        AuditTarget::Job(..) => AuditTarget::Job(HOST, JOB),
        AuditTarget::Account(_) => AuditTarget::Account(text("ada")),
        AuditTarget::Incident(_) => AuditTarget::Incident(IncidentId([0x0d; 16])),
    });
    each!(written, Role {
        Role::Viewer => Role::Viewer,
        Role::Operator => Role::Operator,
        Role::Admin => Role::Admin,
    });
    each!(written, TokenMachine {
        TokenMachine::Any => TokenMachine::Any,
        TokenMachine::Same => TokenMachine::Same,
        TokenMachine::Replacement => TokenMachine::Replacement,
    });
    each!(written, Every {
        Every::Hours(_) => Every::Hours(6),
        Every::Days(_) => Every::Days(7),
        Every::Cron(_) => Every::Cron(text("@daily")),
    });
    each!(written, Cause {
        Cause::Failed { .. } => Cause::Failed { class: Some(Class::Auth), refusal: Some(Refusal::Policy) },
        Cause::Lost { .. } => Cause::Lost { gone: Some(AgentGone::Replaced) },
        Cause::Interrupted => Cause::Interrupted,
        Cause::Lacking { .. } => Cause::Lacking { class: None },
        Cause::Loss => Cause::Loss,
        Cause::Old => Cause::Old,
        Cause::NoSnapshot => Cause::NoSnapshot,
        Cause::Never => Cause::Never,
        Cause::NotEnrolled => Cause::NotEnrolled,
        Cause::NoRepository => Cause::NoRepository,
        Cause::NoGroup => Cause::NoGroup,
        Cause::Missed => Cause::Missed,
        Cause::BackupsHeld => Cause::BackupsHeld,
        Cause::Offline => Cause::Offline,
        Cause::StateFolder => Cause::StateFolder,
        Cause::Wire => Cause::Wire,
        Cause::Quarantine => Cause::Quarantine,
        Cause::CheckOverdue => Cause::CheckOverdue,
        Cause::Unplanned => Cause::Unplanned,
        Cause::Held { .. } => Cause::Held { hold: Hold::Unsized },
        Cause::Clock { .. } => Cause::Clock { is_behind: true },
        Cause::NoCredentials => Cause::NoCredentials,
        Cause::Replaced => Cause::Replaced,
        Cause::Damaged => Cause::Damaged,
        Cause::ProofFailed => Cause::ProofFailed,
        Cause::Unproven => Cause::Unproven,
        Cause::Certificate => Cause::Certificate,
        Cause::ServerDisk => Cause::ServerDisk,
        Cause::ArchiveLate => Cause::ArchiveLate,
        Cause::NoSchedule => Cause::NoSchedule,
        Cause::CredentialsRefused { .. } => Cause::CredentialsRefused { class: Class::Auth },
        Cause::Channel => Cause::Channel,
        Cause::Unusual { .. } => Cause::Unusual { what: Unusual::FilesGone },
        Cause::StandbyLate => Cause::StandbyLate,
    });
    each!(written, Event {
        Event::Opened => Event::Opened,
        Event::Worsened => Event::Worsened,
        Event::StillOpen => Event::StillOpen,
        Event::Recovered => Event::Recovered,
        Event::Ended => Event::Ended,
    });
    each!(written, Channel {
        Channel::Email(_) => Channel::Email(Email {
            server: text("mail.example"),
            port: 587,
            security: MailSecurity::StartTls,
            username: text("holdfast"),
            from: text("holdfast@example.com"),
            to: vec![text("ada@example.com")],
            ca: String::new(),
        }),
        Channel::Webhook(_) => Channel::Webhook(Webhook {
            form: WebhookForm::Ntfy,
            place: text("https://hooks.example"),
            header_names: vec![text("X-Token")],
            secret_names: vec![text("topic")],
            is_signed: true,
            template: Some(BodyTemplate { text: text("{{ text }}"), content_type: text("text/plain") }),
            ca: String::new(),
        }),
        Channel::Heartbeat(_) => Channel::Heartbeat(Heartbeat {
            place: text("https://hooks.example"),
            every_min: 5,
            ca: String::new(),
        }),
        Channel::Script(_) => Channel::Script(Script { name: text("pager") }),
        Channel::Healthchecks(_) => Channel::Healthchecks(Healthchecks {
            place: text("https://hc-ping.com"),
            of: Watched::Group,
            labels: vec![text("nas")],
            host: Some(HostId([1; 16])),
            group: text("docs"),
            every_min: 5,
            with_log: true,
            ca: String::new(),
        }),
    });
    each!(written, Watched {
        Watched::Fleet => Watched::Fleet,
        Watched::Host => Watched::Host,
        Watched::Group => Watched::Group,
    });
    each!(written, Signal {
        Signal::Start => Signal::Start,
        Signal::Success => Signal::Success,
        Signal::Fail => Signal::Fail,
    });
    for security in MailSecurity::ALL {
        written.add(&format!("MailSecurity {}", security.as_str()), &security);
    }
    for form in WebhookForm::ALL {
        written.add(&format!("WebhookForm {}", form.as_str()), &form);
    }
    for fault in SendFault::SAMPLES {
        written.add(&format!("SendFault {}", fault.code()), &fault);
    }
    for state in RouteState::ALL {
        written.add(&format!("RouteState {}", state.as_str()), &state);
    }
    each!(written, Severity {
        Severity::Warning => Severity::Warning,
        Severity::Critical => Severity::Critical,
    });
    each!(written, Left {
        Left::Recovered => Left::Recovered,
        Left::OtherCause => Left::OtherCause,
    });
    each!(written, Ending {
        Ending::Recovered => Ending::Recovered,
        Ending::OtherCause => Ending::OtherCause,
        Ending::HostsDeleted => Ending::HostsDeleted,
    });
    each!(written, Hold {
        Hold::Loss => Hold::Loss,
        Hold::TooManyLacking => Hold::TooManyLacking,
        Hold::Unlisted => Hold::Unlisted,
        Hold::Unsized => Hold::Unsized,
        Hold::Unusual(_) => Hold::Unusual(Unusual::AlmostAllChanged),
    });
    each!(written, Unusual {
        Unusual::GrewBy => Unusual::GrewBy,
        Unusual::FilesGone => Unusual::FilesGone,
        Unusual::AlmostAllChanged => Unusual::AlmostAllChanged,
    });
    each!(written, Past {
        Past::Unlisted => Past::Unlisted,
        Past::Known => Past::Known,
        Past::Unsized(_) => Past::Unsized(3),
    });
    each!(written, JobState {
        JobState::Queued => JobState::Queued,
        JobState::Sent => JobState::Sent,
        JobState::Accepted => JobState::Accepted,
        JobState::Running => JobState::Running,
        JobState::Succeeded => JobState::Succeeded,
        JobState::Warning => JobState::Warning,
        JobState::Failed => JobState::Failed,
        JobState::Cancelled => JobState::Cancelled,
        JobState::Lost => JobState::Lost,
    });
    each!(written, JobWhat {
        JobWhat::Probe => JobWhat::Probe,
        JobWhat::Init => JobWhat::Init,
        JobWhat::Backup { .. } => JobWhat::Backup { group: text("etc") },
        JobWhat::Forget { .. } => JobWhat::Forget {
            groups: vec![(text("etc"), keep())],
            held: vec![(text("home"), Hold::Loss)],
        },
        JobWhat::ForgetDryRun { .. } =>
            JobWhat::ForgetDryRun { group: text("etc"), keep: keep(), held: Some(Hold::Unsized) },
        JobWhat::Prune => JobWhat::Prune,
        JobWhat::Check { .. } => JobWhat::Check { subset_pct: 5 },
        JobWhat::Unlock { .. } => JobWhat::Unlock { all: true },
        JobWhat::Stats => JobWhat::Stats,
        JobWhat::Snapshots => JobWhat::Snapshots,
        JobWhat::Ls { .. } => JobWhat::Ls { snapshot: text("0badcafe"), path: text("/etc") },
        JobWhat::Browse { .. } => JobWhat::Browse { path: text("/srv") },
        JobWhat::Diff { .. } => JobWhat::Diff { against: text("0badcafe"), snapshot: text("1badcafe") },
        JobWhat::Find(_) => JobWhat::Find(FindPlan {
            pattern: text("*.ods"),
            ignore_case: true,
            group: Some(text("etc")),
            newest: 3,
            since: Some(Timestamp(4)),
        }),
        JobWhat::Restore(_) => JobWhat::Restore(RestorePlan {
            source: HOST,
            snapshot: text("0badcafe"),
            paths: vec![text("/etc")],
            target: RestoreTarget::Folder { path: text("/back") },
            overwrite: Overwrite::IfChanged,
            delete: true,
            verify: false,
            dry_run: true,
        }),
        JobWhat::Drill(_) => JobWhat::Drill(DrillPlan { group: text("etc"), seed: 1, files: 2, bytes: 3, secs: 4 }),
        JobWhat::Download { .. } => JobWhat::Download {
            snapshot: text("0badcafe"),
            path: text("/etc"),
            form: DownloadForm::Zip,
            source: HOST,
        },
    });
    each!(written, JobFigures {
        JobFigures::None => JobFigures::None,
        JobFigures::Probe(_) => JobFigures::Probe(ProbeFigures {
            repo: Some(REPO),
            repo_version: Some(2),
            append_only: Some(true),
            answered_ms: 12,
        }),
        JobFigures::Init { .. } => JobFigures::Init { repo: REPO },
        JobFigures::Backup(_) => JobFigures::Backup(BackupFigures {
            snapshot: text("0badcafe"),
            files_new: 1,
            files_changed: 2,
            files_unmodified: 3,
            total_files: 6,
            total_bytes: 7,
            added_bytes: 8,
            added_packed_bytes: Some(9),
            errors: 10,
            findings: vec![SourceFinding {
                path: text("/srv"),
                reason: SourceReason::Link,
                leads_to: text("/mnt"),
            }],
            findings_left_out: 11,
        }),
        JobFigures::Forget(_) => JobFigures::Forget(vec![ForgetFigures {
            group: text("etc"),
            kept: 1,
            removed: 2,
            class: Some(Class::AppendOnly),
            spared: 3,
        }]),
        JobFigures::Prune { .. } => JobFigures::Prune {
            freed_bytes: 1,
            repacked_packs: 2,
            repacked_bytes: 3,
            remaining_bytes: 4,
        },
        JobFigures::Check { .. } => JobFigures::Check { errors: 1, subset_pct: 2 },
        JobFigures::Unlock { .. } => JobFigures::Unlock { removed: 1 },
        JobFigures::Stats { .. } => JobFigures::Stats { total_bytes: 1, blobs: 2 },
        JobFigures::Snapshots { .. } => JobFigures::Snapshots { count: 1, left_out: 2 },
        JobFigures::Restore(_) => JobFigures::Restore(RestoreFigures {
            files: 1,
            replaced: 2,
            skipped: 3,
            deleted: 4,
            failed: 5,
            bytes: 6,
            target: text("/back"),
            free_bytes: Some(7),
            is_estimate: true,
            verified: true,
            failures: vec![RestoreFailure { path: text("/etc"), reason: text("no space") }],
            failures_left_out: 8,
        }),
        JobFigures::Folder { .. } => JobFigures::Folder { entries: 1, left_out: 2 },
        JobFigures::Drill(_) => JobFigures::Drill(DrillFigures {
            snapshot: text("0badcafe"),
            of_files: 1,
            of_bytes: 2,
            drawn: 3,
            equal: 4,
            changed_since: 5,
            unreadable: 6,
            different: 7,
            not_tried: 8,
            bytes: 9,
            restore_ms: 10,
            cuts: DrillCuts {
                too_large: 11,
                odd_names: 12,
                over_bytes: 13,
                short_of_room: true,
                out_of_time: false,
            },
            findings: vec![DrillFinding {
                path: text("/etc"),
                fault: DrillFault::Different,
                reason: text("x"),
            }],
            findings_left_out: 14,
        }),
        JobFigures::Differences(_) => JobFigures::Differences(DiffFigures {
            added: 1,
            removed: 2,
            changed: 3,
            types: 4,
            added_bytes: 5,
            removed_bytes: 6,
            changed_bytes: 7,
            left_out: 8,
        }),
        JobFigures::Found { .. } =>
            JobFigures::Found { snapshots: 1, snapshots_left_out: 2, hits: 3, left_out: 4 },
        JobFigures::HostKey { .. } => JobFigures::HostKey { slot: Slot::Admin, key: text("ssh-ed25519 AAAA") },
        JobFigures::Download { .. } => JobFigures::Download { bytes: 1 },
    });
    each!(written, Sent {
        Sent::Run(_) => Sent::Run(JOB),
        Sent::Cancel(_) => Sent::Cancel(JOB),
        Sent::Config { .. } => Sent::Config { slot: Slot::Admin, revision: SlotRevision(3), for_job: Some(JOB) },
    });
    each!(written, Meta {
        Meta::Format(_) => Meta::Format(3),
        Meta::KeyCheck(_) => Meta::KeyCheck(vec![1, 2]),
        Meta::NextAudit(_) => Meta::NextAudit(4),
        Meta::AuditCounts(_) => Meta::AuditCounts([1, 2, 3]),
        Meta::Authority(_) => Meta::Authority([7; 32]),
        Meta::Incarnation(_) => Meta::Incarnation(schema::Incarnation(2)),
        Meta::ArchiveKey(_) => Meta::ArchiveKey(ArchiveKeyRow {
            changed_at: AT,
            closed_by: ClosedBy::Recipients(vec!["age1x".into()]),
        }),
        Meta::Restoration(_) => Meta::Restoration(crate::record::Restoration {
            incarnation: schema::Incarnation(2),
            archive_made_at: Timestamp(3),
            restored_at: Timestamp(4),
            dismissed: true,
        }),
        Meta::Addresses(_) => Meta::Addresses(vec![GivenAddress {
            address: text("[2001:db8::1]:8883"),
            retiring_since: Some(AT),
        }]),
        Meta::Trusted(_) => Meta::Trusted(vec![TrustedAuthority { certificate: vec![0x30, 1, 0], since: AT }]),
        Meta::Standbys(_) => Meta::Standbys(vec![crate::record::StandbyRow {
            name: text("attic"),
            recipient: text("age1x"),
            token_sha256: [7; 32],
            added_at: Timestamp(3),
            fetched_at: Some(AT),
            bytes: 9,
            peer: text("192.0.2.7"),
        }]),
        Meta::Predecessor(_) => Meta::Predecessor(crate::record::Predecessor {
            url: text("https://former"),
            authority: Some(text("PEM")),
            plain: true,
        }),
        Meta::Succeeded(_) => Meta::Succeeded(crate::record::Succession {
            incarnation: schema::Incarnation(2),
            since: AT,
            url: text("https://standby"),
        }),
        Meta::Lost(_) => Meta::Lost(vec![LostSpan {
            known_until: AT,
            restored_at: AT.plus_ms(1),
            is_salvage: true,
        }]),
        Meta::HomeAssistant(_) => Meta::HomeAssistant(true),
        Meta::Feeds(_) => Meta::Feeds(vec![FeedRow {
            feed: Feed {
                name: text("wall"),
                kind: FeedKind::Badge,
                of: FeedOf::Label(text("office")),
                names: true,
                created_at: AT,
                created_by: Actor::System,
            },
            key_sha256: [7; 32],
        }]),
        Meta::Graces(_) => Meta::Graces(vec![Grace {
            label: text("laptop"),
            causes: vec![text("offline")],
            hours: 72,
            changed_at: AT,
            changed_by: Actor::System,
        }]),
    });
    each!(written, ReportEvery {
        ReportEvery::Weekly(_) => ReportEvery::Weekly(6),
        ReportEvery::Monthly(_) => ReportEvery::Monthly(28),
    });
    each!(written, FeedKind {
        FeedKind::Status => FeedKind::Status,
        FeedKind::Badge => FeedKind::Badge,
        FeedKind::Calendar => FeedKind::Calendar,
    });
    each!(written, FeedOf {
        FeedOf::Fleet => FeedOf::Fleet,
        FeedOf::Label(_) => FeedOf::Label(text("office")),
        FeedOf::Host(_) => FeedOf::Host(HOST),
    });
    each!(written, ClosedBy {
        ClosedBy::Passphrase(_) => ClosedBy::Passphrase(vec![1, 2]),
        ClosedBy::Recipients(_) => ClosedBy::Recipients(vec!["age1x".into()]),
    });
    each!(written, Unplanned {
        Unplanned::TimeZone { .. } =>
            Unplanned::TimeZone { schedule: text("hourly"), timezone: text("US/Eastern") },
        Unplanned::Cron { .. } => Unplanned::Cron { schedule: text("hourly") },
        Unplanned::Group { .. } => Unplanned::Group { schedule: text("hourly"), group: text("etc") },
        Unplanned::Unreadable { .. } => Unplanned::Unreadable { what: text("schedules") },
        Unplanned::MaintenanceTimeZone { .. } => Unplanned::MaintenanceTimeZone { timezone: text("US/Eastern") },
        Unplanned::MaintenanceCron { .. } => Unplanned::MaintenanceCron { text: text("x") },
    });
}

/// The rows that a wrong order of fields would harm most: what retention goes by.
fn rows(written: &mut Written) {
    let extent = Extent { files: 1, bytes: 2 };
    let newest = Newest { job: JOB, is_whole: true, snapshot: text("0badcafe"), extent, at: AT };
    let lack = Lack { class: Class::SourceMissing, paths: vec![text("/b")], paths_left_out: 1, errors: 2 };
    let churn = Churn {
        files_before: 7,
        files: 8,
        files_new: 3,
        files_changed: 4,
        bytes: 70,
        added_bytes: 60,
        after_ms: 5_000,
    };
    let unusual = UnusualBackup { job: JOB, what: Unusual::GrewBy, churn, usual_added_bytes: 6 };
    written.add(
        "Soundness",
        &Soundness {
            usual: vec![extent],
            lacking: vec![Flawed {
                snapshot: text("0badcafe"),
                tag: text("etc"),
                job: Some(JOB),
                heard_at: AT,
                lack: Some(lack),
            }],
            is_cut: true,
            loss: Some(Loss { job: JOB, since: AT, usual: extent, now: extent, is_back: true }),
            accepted: Some(Accepted { by: Actor::System, at: AT, lack: None }),
            newest: Some(newest.clone()),
            whole: vec![Whole { snapshot: text("c0ffee00"), heard_at: AT }],
            right: Some(newest),
            began_at: Some(AT),
            spared: 3,
            past: Past::Unsized(4),
            little: Some((extent, 6)),
            baseline: Baseline { churns: vec![churn], reset_at: Some(AT) },
            unusual: Some(UnusualBackups { first: unusual, last: unusual, count: 2, since: AT }),
        },
    );
    let origins = vec![Origin { hostname: text("old"), tag: text("etc") }];
    written.add(
        "Group",
        &Group { name: text("etc"), keep: keep(), origins, by_hand_days: 7, ..Group::default() },
    );
}

#[test]
fn what_is_stored_is_written_as_its_golden_bytes() {
    let mut written = Written(Vec::new());
    enums(&mut written);
    rows(&mut written);
    let lines: String = written.0.iter().map(|(name, hex)| format!("{name} = {hex}\n")).collect();
    if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() {
        let path = [env!("CARGO_MANIFEST_DIR"), "src", "golden.txt"].iter().collect::<std::path::PathBuf>();
        std::fs::write(path, &lines).unwrap();
        return;
    }
    for (now, golden) in lines.lines().zip(GOLDEN.lines()) {
        assert_eq!(now, golden, "it is stored differently now");
    }
    assert_eq!(lines.lines().count(), GOLDEN.lines().count(), "a variant is new, or gone");
}
