//! One message, or more, for every variant there is: what the golden files hold and the corpus begins with.

use crate::draw::{Variants, list_of};
use schema::{
    Abilities, Bulk, BulkBody, Class, Command, CommandBody, CommandSeq, ConfigUpdate, Credentials,
    DecodeError, EnrollRefusal, EnrollRequest, EnrollResponse, Epoch, GroupKey, HeldJob, HeldPhase, Hello,
    HelloAnswer, HostId, Incarnation, InstallationId, Items, JobId, JobKind, JobSpec, Keep, Live, LogLine,
    LogStream, OsText, Outcome, Over, Plan, PlanRevision, Presence, Progress, Refusal, RepoId, RepoStats,
    Report, ReportBody, ReportSeq, Run, SavedGroup, Slot, SlotRevision, SourceReason, StatsRevision, Stream,
    Summary, Timestamp, ToAgent, decode,
    drill::{DrillCuts, DrillFault, DrillFinding, DrillSummary},
    encode,
    job::{
        BackupSpec, BackupSummary, DiffTotals, DrillSpec, FindSpec, ForgetGroup, ForgetResult, Origin,
        ProbeSummary, Right, SourceFinding,
    },
    plan::PlannedSchedule,
    report::{ChangeKind, Entry, EntryKind, Finished, Hit, Snapshot, SnapshotSize, Trouble},
    restore::{Overwrite, RestoreFailure, RestoreSpec, RestoreSummary, RestoreTarget},
    stats::{CheckResult, Lock, LockSeen, PruneResult, Size, SizeSource, SnapshotCount},
};
use std::sync::LazyLock;

/// A message, encoded.
#[derive(Clone)]
pub(crate) struct Sample {
    /// `Enum.Variant`, or the name of a struct; then, behind a blank, which of several.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Decodes bytes as what this is a sample of.
    pub(crate) decodes: fn(&[u8]) -> Result<(), DecodeError>,
}

/// All of them.
pub(crate) fn all() -> Vec<Sample> {
    static ALL: LazyLock<Vec<Sample>> = LazyLock::new(make);
    ALL.clone()
}

/// Samples that are whole payloads, with the fuzz target that reads them.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds: Vec<(&str, Vec<u8>)> = all()
        .into_iter()
        .filter_map(|sample| {
            let target = match sample.name.split(['.', ' ']).next()? {
                "ToAgent" => "cmd",
                "Plan" => "plan",
                "Report" => "evt",
                "Live" => "live",
                "Bulk" => "bulk",
                "Presence" => "presence",
                "RepoStats" => "repo_stats",
                "EnrollRequest" => "enroll_request",
                "EnrollResponse" => "enroll_response",
                _ => return None,
            };
            Some((target, sample.bytes))
        })
        .collect();
    seeds.push(("envelope", crate::envelope::sealed()));
    seeds.push(("envelope", schema::envelope::version_notice().to_vec()));
    seeds
        .push(("token", crate::token::written(&crate::token::token("backup.example.org:8883")).into_bytes()));
    for text in [
        "hf/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/repo/stats",
        "hf/1/enroll/01ARZ3NDEKTSV4RRFFQ69G5FAV/rsp",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "web-1.example_org",
        "snapshots",
    ] {
        seeds.push(("text", text.as_bytes().to_vec()));
    }
    seeds
}

const JOB: JobId = JobId([0x0a; 16]);
const AT: Timestamp = Timestamp(1_750_000_000_123);
const REPO: RepoId = RepoId([0x4e; 32]);
const SNAPSHOT: &str = "5b1e2f00c0ffee00deadbeef00112233445566778899aabbccddeeff01234567";

macro_rules! add {
    // The name of a struct's sample is given, that of a variant is its own, with a word behind it.
    ($samples:ident, struct $name:ident $which:literal, $value:expr) => {{
        let value: $name = $value;
        add!($samples, $name, [stringify!($name), $which].join(" ").trim_end().to_owned(), value);
    }};
    ($samples:ident, enum $name:ident $which:literal, $value:expr) => {{
        let value: $name = $value;
        add!($samples, $name, [value.name(), $which].join(" ").trim_end().to_owned(), value);
    }};
    ($samples:ident, $type:ident, $name:expr, $value:ident) => {{
        let mut buffer = [0; 4096];
        let bytes = encode(&$value, &mut buffer).expect("a short sample").to_vec();
        assert_eq!(decode::<$type>(&bytes), Ok($value), "a sample comes back");
        let decodes = |bytes: &[u8]| decode::<$type>(bytes).map(|_| ());
        $samples.push(Sample { name: $name, bytes, decodes });
    }};
}

fn make() -> Vec<Sample> {
    let mut samples = Vec::new();
    words(&mut samples);
    to_agent(&mut samples);
    jobs(&mut samples);
    reports(&mut samples);
    from_agent(&mut samples);
    enrolment(&mut samples);
    samples
}

fn words(samples: &mut Vec<Sample>) {
    for kind in JobKind::ALL {
        add!(samples, enum JobKind "", kind);
    }
    for reason in SourceReason::ALL {
        add!(samples, enum SourceReason "", reason);
    }
    for class in Class::ALL {
        add!(samples, enum Class "", class);
    }
    for slot in Slot::ALL {
        add!(samples, enum Slot "", slot);
    }
    for outcome in [Outcome::Succeeded, Outcome::Warning, Outcome::Failed, Outcome::Cancelled] {
        add!(samples, enum Outcome "", outcome);
    }
    for refusal in [
        Refusal::QueueFull,
        Refusal::Expired,
        Refusal::AlreadyStarted,
        Refusal::Policy,
        Refusal::Unsupported,
        Refusal::NoCredentials,
        Refusal::StateFolder,
        Refusal::Busy,
    ] {
        add!(samples, enum Refusal "", refusal);
    }
    for trouble in [
        Trouble::JournalSetAside,
        Trouble::StateFolder,
        Trouble::CredentialsSetAside,
        Trouble::StateFolderMended,
    ] {
        add!(samples, enum Trouble "", trouble);
    }
    for stream in [LogStream::Agent, LogStream::Out, LogStream::Err] {
        add!(samples, enum LogStream "", stream);
    }
    for phase in [HeldPhase::Queued, HeldPhase::Running, HeldPhase::Finished] {
        add!(samples, enum HeldPhase "", phase);
    }
    for over in Over::ALL {
        add!(samples, enum Over "", over);
    }
    for kind in EntryKind::ALL {
        add!(samples, enum EntryKind "", kind);
    }
    for source in [SizeSource::Measured, SizeSource::Summed] {
        add!(samples, enum SizeSource "", source);
    }
    for refusal in [EnrollRefusal::Used, EnrollRefusal::Expired, EnrollRefusal::HostGone] {
        add!(samples, enum EnrollRefusal "", refusal);
    }
}

fn credentials() -> Credentials<'static> {
    Credentials {
        url: "rest:https://store.example.org:8000/web-1/",
        username: "web-1",
        password: "not-a-real-password",
        repo_password: "pâsswörd of the repository",
        ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        host_keys: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFtrxhWjDF951LzoCci9l1s2HWVOkTsqsV930PsUvmt\n",
        env: list_of([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")]),
    }
}

fn to_agent(samples: &mut Vec<Sample>) {
    let run = Run {
        job: JOB,
        restic_host: "web-1",
        deadline_secs: 86_400,
        spec: JobSpec::Backup(backup_spec()),
        for_host: None,
    };
    let for_other = Run { spec: JobSpec::Stats, for_host: Some("attic"), ..run };
    let update = ConfigUpdate {
        slot: Slot::Repo,
        revision: SlotRevision(3),
        for_job: None,
        credentials: Some(credentials()),
    };
    let emptied = ConfigUpdate {
        slot: Slot::Admin,
        revision: SlotRevision(u64::MAX),
        for_job: Some(JOB),
        credentials: None,
    };
    let bodies = [CommandBody::Run(run), CommandBody::Cancel { job: JOB }, CommandBody::ConfigUpdate(update)];
    for body in bodies {
        add!(samples, enum CommandBody "", body);
    }
    add!(samples, enum CommandBody "for another host", CommandBody::Run(for_other));
    add!(samples, enum CommandBody "of an emptied slot", CommandBody::ConfigUpdate(emptied));

    for (body, which) in bodies.into_iter().zip(["run", "cancel", "config update"]) {
        let message = ToAgent::Command(Command { seq: CommandSeq(129), expires_at: AT, body });
        let name = format!("{} {which}", message.name());
        add!(samples, ToAgent, name, message);
    }
    add!(samples, enum ToAgent "", ToAgent::Ack { stream: Stream(0x1122_3344_5566_7788), through: ReportSeq(300), answer: None, refused: Some(Over::Share) });
    add!(samples, enum ToAgent "of nothing", ToAgent::Ack { stream: Stream(u64::MAX), through: ReportSeq::ZERO, answer: None, refused: None });
    let answer = Some(HelloAnswer { epoch: Epoch(7), at: AT, incarnation: Incarnation(1_795_392_000) });
    add!(samples, enum ToAgent "of a hello", ToAgent::Ack { stream: Stream(1), through: ReportSeq::ZERO, answer, refused: None });

    add!(samples, enum ToAgent "", ToAgent::Credit { job: JOB, before: 300 });

    let schedule = PlannedSchedule {
        name: "nightly",
        cron: "15 2 * * *",
        timezone: "Europe/Zurich",
        groups: list_of(["system", "home"]),
        jitter_secs: 900,
        zone_rules: "CET-1CEST,M3.5.0,M10.5.0/3",
    };
    add!(samples, struct Plan "", Plan {
        revision: PlanRevision(7),
        incarnation: Incarnation(1_795_392_000),
        backups_held: false,
        restic_host: "web-1",
        groups: list_of([backup_spec()]),
        schedules: list_of([schedule]),
        addresses: "backup.example:8883,[2001:db8::1]:8883",
        authorities: list_of([&[0x30_u8, 0x82][..], &[0x30, 0x83][..]]),
    });
    add!(samples, struct Plan "empty", Plan {
        revision: PlanRevision::ZERO,
        incarnation: Incarnation::ZERO,
        backups_held: true,
        restic_host: "",
        groups: Items::EMPTY,
        schedules: Items::EMPTY,
        addresses: "",
        authorities: Items::EMPTY,
    });
}

fn backup_spec() -> BackupSpec<'static> {
    BackupSpec {
        group: "system",
        includes: list_of(["/etc", "/home/zoë"]),
        excludes: list_of(["*.tmp"]),
        exclude_if_present: list_of([".nobackup"]),
        one_file_system: true,
        required_mounts: list_of(["/srv/data"]),
        hooks_before: list_of(["dump-database"]),
        hooks_after: list_of(["tell-monitoring"]),
        dry_run: false,
        origins: origins(),
    }
}

fn origins() -> Items<'static, Origin<'static>> {
    list_of([Origin { hostname: "attic", tag: "etc" }, Origin { hostname: "old.example", tag: "" }])
}

fn jobs(samples: &mut Vec<Sample>) {
    let keep =
        Keep { last: 1, hourly: 24, daily: 7, weekly: 5, monthly: 12, yearly: u16::MAX, within: "1y5m7d2h" };
    let groups = list_of([
        ForgetGroup {
            origins: origins(),
            lacking: list_of(["5b1e2f00c0ffee00", "0badcafe"]),
            whole: list_of(["c0ffee00", "c0ffee01"]),
            right: Some(Right { snapshot: "c0ffee00", at: AT, files: 12, bytes: 3_456 }),
            began_at: Some(AT),
            ..ForgetGroup::new("system", keep)
        },
        ForgetGroup::new("home", Keep::default()),
    ]);
    let restore = RestoreSpec {
        snapshot: SNAPSHOT,
        paths: list_of([OsText::from("/etc/fstab"), OsText::new(b"/srv/\xff*")]),
        target: RestoreTarget::Folder { path: "/var/restore".into() },
        overwrite: Overwrite::IfNewer,
        delete: true,
        verify: true,
        dry_run: true,
    };
    for target in [
        RestoreTarget::NewFolder { within: "".into() },
        RestoreTarget::Folder { path: "/var/restore".into() },
        RestoreTarget::Original,
    ] {
        add!(samples, enum RestoreTarget "", target);
    }
    for fault in DrillFault::ALL {
        add!(samples, enum DrillFault "", fault);
    }
    for overwrite in Overwrite::ALL {
        add!(samples, enum Overwrite "", overwrite);
    }
    for spec in [
        JobSpec::Probe,
        JobSpec::Init,
        JobSpec::Backup(backup_spec()),
        JobSpec::Forget { groups, others: origins(), dry_run: true },
        JobSpec::Prune { dry_run: false },
        JobSpec::Check { subset_pct: 100 },
        JobSpec::Unlock { all: true },
        JobSpec::Stats,
        JobSpec::Snapshots,
        JobSpec::Ls { snapshot: SNAPSHOT, path: "/etc".into() },
        JobSpec::Restore(restore),
        JobSpec::Browse { path: "/srv".into() },
        JobSpec::Drill(DrillSpec {
            group: "system",
            origins: origins(),
            seed: 0x0123_4567_89ab_cdef,
            max_files: 20,
            max_bytes: 512 << 20,
            max_secs: 900,
        }),
        JobSpec::Find(FindSpec {
            pattern: OsText::new(b"*inv\xff*"),
            ignore_case: true,
            members: list_of([Origin { hostname: "alpha", tag: "etc" }]),
            newest: 30,
            since: Some(AT),
        }),
        JobSpec::Diff { against: SNAPSHOT, snapshot: "0badcafe" },
        JobSpec::Download { snapshot: SNAPSHOT, path: OsText::new(b"/srv/\xff*"), archive: true },
    ] {
        add!(samples, enum JobSpec "", spec);
    }

    let probe =
        ProbeSummary { repo: Some(REPO), repo_version: Some(2), append_only: Some(true), answered_ms: 130 };
    let nothing = ProbeSummary { repo: None, repo_version: None, append_only: None, answered_ms: 0 };
    let results = list_of([
        ForgetResult {
            group: "system",
            kept: 12,
            removed: 3,
            class: None,
            spared: 2,
            lacking: Some(list_of(["0badcafe"])),
        },
        ForgetResult {
            group: "home",
            kept: 0,
            removed: 0,
            class: Some(Class::AppendOnly),
            spared: 0,
            lacking: None,
        },
    ]);
    for summary in [
        Summary::None,
        Summary::Probe(probe),
        Summary::Init { repo: REPO },
        Summary::Backup(backup_summary()),
        Summary::Forget { groups: results },
        Summary::Prune {
            freed_bytes: 1 << 40,
            repacked_packs: 15,
            repacked_bytes: 1 << 20,
            remaining_bytes: u64::MAX,
        },
        Summary::Check { errors: 1, subset_pct: 5 },
        Summary::Unlock { removed: 2 },
        Summary::Stats { total_bytes: 123_456_789, blobs: 4_242 },
        Summary::Snapshots { count: 365, left_out: 3 },
        Summary::Restore(restore_summary()),
        Summary::Folder { entries: 3, left_out: 1 },
        Summary::Found { snapshots: 30, snapshots_left_out: 2, hits: 3, left_out: 1 },
        Summary::Differences(DiffTotals {
            added: 1,
            removed: 2,
            changed: 3,
            types: 4,
            added_bytes: 5,
            removed_bytes: 6,
            changed_bytes: 7,
            left_out: 8,
        }),
        Summary::HostKey {
            slot: Slot::Repo,
            key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFtrxhWjDF951LzoCci9l1s2HWVOkTsqsV930PsUvmt",
        },
        Summary::Drill(drill_summary()),
        Summary::Download { bytes: 1 << 33 },
    ] {
        add!(samples, enum Summary "", summary);
    }
    add!(samples, enum Summary "that found nothing", Summary::Probe(nothing));
    let old = BackupSummary {
        added_packed_bytes: None,
        findings: Items::EMPTY,
        findings_left_out: 0,
        ..backup_summary()
    };
    add!(samples, enum Summary "of an old restic", Summary::Backup(old));
}

fn backup_summary() -> BackupSummary<'static> {
    BackupSummary {
        snapshot: SNAPSHOT,
        files_new: 1,
        files_changed: 2,
        files_unmodified: 300,
        total_files: 303,
        total_bytes: 5_000_000_000,
        added_bytes: 70_000,
        added_packed_bytes: Some(30_000),
        errors: 1,
        findings: list_of([
            SourceFinding { path: "/share/photos", reason: SourceReason::Link, leads_to: "/volume1/photos" },
            SourceFinding { path: "/mnt/usb", reason: SourceReason::NotMounted, leads_to: "" },
        ]),
        findings_left_out: 3,
    }
}

fn drill_summary() -> DrillSummary<'static> {
    DrillSummary {
        snapshot: SNAPSHOT,
        of_files: 41_000,
        of_bytes: 9_000_000_000,
        drawn: 20,
        equal: 14,
        changed_since: 2,
        unreadable: 1,
        different: 2,
        not_tried: 1,
        bytes: 310_000_000,
        restore_ms: 41_250,
        cuts: DrillCuts {
            too_large: 3,
            odd_names: 1,
            over_bytes: 2,
            short_of_room: false,
            out_of_time: true,
        },
        findings: list_of([
            DrillFinding { path: OsText::new(b"/srv/\xff"), fault: DrillFault::Different, reason: "" },
            DrillFinding {
                path: "/etc/fstab".into(),
                fault: DrillFault::Unreadable,
                reason: "ciphertext verification failed",
            },
        ]),
        findings_left_out: 1,
    }
}

fn restore_summary() -> RestoreSummary<'static> {
    RestoreSummary {
        files: 1_203,
        replaced: 4,
        skipped: 5,
        deleted: 6,
        failed: 3,
        bytes: 5_000_000_000,
        target: "/var/lib/holdfast/restored/holdfast-restore-5b1e2f00".into(),
        free_bytes: Some(9_000_000_000),
        is_estimate: true,
        verified: true,
        failures: list_of([RestoreFailure { path: OsText::new(b"/srv/\xff"), reason: "input/output error" }]),
        failures_left_out: 2,
    }
}

fn lines() -> Items<'static, LogLine<'static>> {
    list_of([
        LogLine { after_ms: 0, stream: LogStream::Agent, text: "starting restic" },
        LogLine { after_ms: 70_000, stream: LogStream::Err, text: "" },
    ])
}

fn reports(samples: &mut Vec<Sample>) {
    let finished = Finished {
        job: JOB,
        outcome: Outcome::Warning,
        class: Some(Class::SourceUnreadable),
        exit_code: Some(3),
        started_at: Some(AT),
        finished_at: AT.plus_ms(90_000),
        message: "1 file could not be read",
        log_lines: 17,
        summary: Summary::Backup(backup_summary()),
        kind: Some(JobKind::Backup),
        group: Some(GroupKey::of("etc")),
    };
    let never_ran = Finished {
        outcome: Outcome::Failed,
        class: Some(Class::ResticMissing),
        exit_code: None,
        started_at: None,
        message: "",
        log_lines: 0,
        summary: Summary::None,
        kind: Some(JobKind::Check),
        group: None,
        ..finished
    };
    let snapshot = Snapshot {
        id: SNAPSHOT,
        time: AT,
        hostname: "web-1",
        tags: list_of(["system"]),
        paths: list_of(["/etc", "/home"]),
        size: Some(SnapshotSize { files: 303, bytes: 5_000_000_000, added_packed_bytes: 30_000 }),
        tags_left_out: 0,
        paths_left_out: 4_000,
    };
    let snapshots = list_of([snapshot, Snapshot { tags: Items::EMPTY, size: None, ..snapshot }]);
    let file = Entry { name: "fstab".into(), kind: EntryKind::File, bytes: 1_024, modified_at: Some(AT) };
    let folder = Entry { name: "zoë".into(), kind: EntryKind::Folder, bytes: 0, modified_at: None };
    let bodies = [
        ReportBody::Accepted { job: JOB, behind: 2 },
        ReportBody::Refused { job: JOB, reason: Refusal::QueueFull, detail: "16 jobs wait" },
        ReportBody::Started { job: JOB },
        ReportBody::Log { job: JOB, first_line: 1_000, lines: lines() },
        ReportBody::Finished(finished),
        ReportBody::ConfigApplied { slot: Slot::Repo, revision: SlotRevision(3), refused: None },
        ReportBody::Snapshots { job: JOB, first: 128, snapshots },
        ReportBody::NotUnderstood { seq: CommandSeq(130) },
        ReportBody::Dropped,
        ReportBody::CancelMissed { job: JOB },
        ReportBody::Trouble { kind: Trouble::StateFolder, detail: "No space left on device" },
        ReportBody::Entries { job: JOB, first: 200, entries: list_of([file, folder]) },
        ReportBody::Own { job: JOB, schedule: "nightly", group: "etc", due_at: Timestamp(1_795_399_200_000) },
        ReportBody::Found {
            job: JOB,
            first: 2,
            hits: list_of([
                Hit::Entry {
                    path: OsText::new(b"/srv/inv\xff"),
                    kind: EntryKind::Folder,
                    bytes: 1_024,
                    files: 3,
                    modified_at: Some(AT),
                },
                Hit::Snapshot { id: SNAPSHOT, time: AT },
                Hit::Change {
                    path: OsText::new(b"/srv/gone\xff"),
                    change: ChangeKind::Removed,
                    is_folder: false,
                    bytes: 5,
                },
            ]),
        },
        ReportBody::CredentialsHeld { job: JOB },
    ];
    for body in bodies {
        add!(samples, enum ReportBody "", body);
    }
    add!(samples, enum ReportBody "without a run", ReportBody::Finished(never_ran));
    let killed = Finished { exit_code: Some(-1), class: None, outcome: Outcome::Cancelled, ..finished };
    add!(samples, enum ReportBody "with a negative exit code", ReportBody::Finished(killed));
    let refused = ReportBody::ConfigApplied {
        slot: Slot::Admin,
        revision: SlotRevision::ZERO,
        refused: Some(Refusal::Policy),
    };
    add!(samples, enum ReportBody "refused", refused);

    for body in bodies {
        let report =
            Report { stream: Stream(u64::MAX), seq: ReportSeq(70_000), taken: CommandSeq(129), at: AT, body };
        let name = format!("Report {}", body.name());
        add!(samples, Report, name, report);
    }
}

fn from_agent(samples: &mut Vec<Sample>) {
    let progress = Progress {
        job: JOB,
        at: AT,
        permille: 1_000,
        files_done: 300,
        files_total: 303,
        bytes_done: 4_900_000_000,
        bytes_total: 5_000_000_000,
        bytes_read: 4_200_000_000,
        errors: 0,
        left_secs: Some(61),
        current: "/home/zoë/photo.raw",
    };
    add!(samples, enum Live "", Live::Progress(progress));
    let unknown = Progress { permille: 0, left_secs: None, current: "", ..progress };
    add!(samples, enum Live "without an estimate", Live::Progress(unknown));
    add!(samples, enum Live "", Live::Log { job: JOB, first_line: 0, lines: lines() });
    let bodies = [
        BulkBody::Begin { bytes: Some(3) },
        BulkBody::Chunk(OsText::new(b"a\0\xff")),
        BulkBody::End { bytes: 3, sha256: [0x5a; 32] },
        BulkBody::Broken,
    ];
    for (number, body) in (0..).zip(bodies) {
        add!(samples, enum BulkBody "", body);
        let which = format!("Bulk of number {number}");
        let message = Bulk { job: JOB, epoch: Epoch(7), number, body };
        add!(samples, Bulk, which, message);
    }

    let jobs = [HeldPhase::Finished, HeldPhase::Running, HeldPhase::Queued].map(|phase| HeldJob {
        job: JOB,
        phase,
        group: (phase == HeldPhase::Running).then(|| GroupKey::of("etc")),
    });
    let hello = Hello {
        epoch: Epoch(12),
        stream: Stream(0x1122_3344_5566_7788),
        boot_id: [0xb0; 16],
        installation: InstallationId([0x15; 16]),
        agent_version: "0.1.0",
        restic_version: "0.18.0",
        os: "Debian GNU/Linux 12 (bookworm)",
        arch: "x86_64",
        hostname: "web-1",
        jobs: list_of(jobs),
        taken: CommandSeq(129),
        first_unacked: ReportSeq(301),
        last_report: ReportSeq(305),
        plan_revision: PlanRevision(7),
        repo_revision: SlotRevision(3),
        state_free_bytes: 1 << 33,
        at: AT,
        abilities: Abilities::FOR_OTHERS.and(Abilities::IN_PLACE_ALLOWED),
        incarnation: Incarnation(1_795_392_000),
        saved: list_of([SavedGroup { group: GroupKey::of("etc"), at: AT }]),
        address: "[2001:db8::1]:8883",
        trusts: list_of([[0xca; 32], [0xcb; 32]]),
    };
    add!(samples, enum Presence "", Presence::Hello(hello));
    let fresh = Hello {
        epoch: Epoch(1),
        restic_version: "",
        jobs: Items::EMPTY,
        taken: CommandSeq::ZERO,
        first_unacked: ReportSeq(1),
        last_report: ReportSeq::ZERO,
        plan_revision: PlanRevision::ZERO,
        repo_revision: SlotRevision::ZERO,
        abilities: Abilities(u32::MAX),
        incarnation: Incarnation::ZERO,
        saved: Items::EMPTY,
        address: "",
        trusts: Items::EMPTY,
        ..hello
    };
    add!(samples, enum Presence "of a new agent", Presence::Hello(fresh));
    add!(samples, enum Presence "", Presence::Gone { epoch: Epoch(12), clean: true });
    add!(samples, enum Presence "by will", Presence::Gone { epoch: Epoch(u64::MAX), clean: false });

    let lock =
        Lock { since: AT, exclusive: true, hostname: "web-1", username: "root", pid: 4_242, stale: true };
    let stats = RepoStats {
        stream: Stream(0x1122_3344_5566_7788),
        revision: StatsRevision(9),
        at: AT,
        job: Some(JOB),
        repo: Some(REPO),
        size: Some(Size { at: AT, bytes: 1 << 40, source: SizeSource::Summed }),
        snapshots: Some(SnapshotCount { at: AT, count: 365, newest_at: Some(AT) }),
        check: Some(CheckResult { at: AT, errors: 0, subset_pct: 5 }),
        prune: Some(PruneResult { at: AT, freed_bytes: 1 << 30 }),
        lock: Some(LockSeen { at: AT, lock: Some(lock) }),
    };
    add!(samples, struct RepoStats "", stats);
    add!(samples, struct RepoStats "of an empty repository", RepoStats {
        job: None,
        snapshots: Some(SnapshotCount { at: AT, count: 0, newest_at: None }),
        size: Some(Size { at: AT, bytes: 0, source: SizeSource::Measured }),
        check: None,
        prune: None,
        lock: Some(LockSeen { at: AT, lock: None }),
        ..stats
    });
    add!(samples, struct RepoStats "that knows nothing", RepoStats {
        job: None,
        repo: None,
        size: None,
        snapshots: None,
        check: None,
        prune: None,
        lock: None,
        ..stats
    });
}

fn enrolment(samples: &mut Vec<Sample>) {
    add!(samples, struct EnrollRequest "", EnrollRequest {
        installation: InstallationId([0x15; 16]),
        hostname: "web-1",
        os: "Debian GNU/Linux 12 (bookworm)",
        arch: "aarch64",
        agent_version: "0.1.0",
    });
    add!(samples, enum EnrollResponse "", EnrollResponse::Welcome {
        host: HostId([0x05; 16]),
        host_name: "web-1",
        password: "not-a-real-password",
        link_key: [0x6b; 32],
        key_id: 1,
        backups_held: true,
    });
    for refusal in [EnrollRefusal::Used, EnrollRefusal::Expired, EnrollRefusal::HostGone] {
        let response = EnrollResponse::Refused(refusal);
        let name = format!("{} {}", response.name(), refusal.name());
        add!(samples, EnrollResponse, name, response);
    }
}
