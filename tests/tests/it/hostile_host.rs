//! A hostile host: the real keys of one enrolled host, and every message that the wire has. Whatever it says, other
//! hosts stand as before, and it fills neither the data file nor the audit nor the lists of others.
//!
//! The lists of messages below are made from the types of the wire: a new variant does not compile until somebody has
//! thought of what a liar makes of it.

use schema::{
    Class, CommandSeq, Epoch, HostTopic, Items, JobId, Live, LogLine, LogStream, OsText, Outcome, Presence,
    Progress, Refusal, RepoId, RepoStats, ReportBody, ReportSeq, Slot, SlotRevision, StatsRevision, Stream,
    Summary, Timestamp,
    drill::{DrillCuts, DrillSummary},
    job::DiffTotals,
    report::{Entry, EntryKind, Finished, Hit, Snapshot, Trouble},
    restore::RestoreSummary,
    stats::{CheckResult, Lock, LockSeen, PruneResult, Size, SizeSource, SnapshotCount},
};
use serde_json::{Value, json};
use tests::{
    host_login::{Claim, HostLogin},
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// Its journal.
const STREAM: Stream = Stream(0x0e2e);

/// What is lied about.
#[derive(Clone, Copy)]
struct Aim {
    /// The victim's repository.
    repo: RepoId,
    /// A job of the victim.
    job: JobId,
    now: Timestamp,
}

fn figures(aim: &Aim, errors: u32) -> RepoStats<'static> {
    let at = aim.now;
    RepoStats {
        stream: STREAM,
        revision: StatsRevision(1),
        at,
        job: Some(aim.job),
        repo: Some(aim.repo),
        size: Some(Size { at, bytes: u64::MAX, source: SizeSource::Measured }),
        snapshots: Some(SnapshotCount { at, count: 0, newest_at: Some(Timestamp(u64::MAX)) }),
        check: Some(CheckResult { at, errors, subset_pct: 100 }),
        prune: Some(PruneResult { at, freed_bytes: u64::MAX }),
        lock: Some(LockSeen {
            at,
            lock: (errors > 0).then_some(Lock {
                since: at,
                exclusive: true,
                hostname: "liar",
                username: "liar",
                pid: 1,
                stale: false,
            }),
        }),
    }
}

/// Every summary there is.
fn summaries(aim: &Aim) -> Vec<Summary<'static>> {
    let mut all = vec![Summary::None];
    // The next after each, so that none can be left out.
    while let Some(next) = match all[all.len() - 1] {
        Summary::None => Some(Summary::Probe(schema::job::ProbeSummary {
            repo: Some(aim.repo),
            repo_version: Some(255),
            append_only: Some(true),
            answered_ms: u32::MAX,
        })),
        Summary::Probe(_) => Some(Summary::Init { repo: aim.repo }),
        Summary::Init { .. } => Some(Summary::Backup(schema::job::BackupSummary {
            snapshot: "deadbeef",
            files_new: u64::MAX,
            files_changed: u64::MAX,
            files_unmodified: u64::MAX,
            total_files: u64::MAX,
            total_bytes: u64::MAX,
            added_bytes: u64::MAX,
            added_packed_bytes: Some(u64::MAX),
            errors: u32::MAX,
            findings: Items::EMPTY,
            findings_left_out: u32::MAX,
        })),
        Summary::Backup(_) => Some(Summary::Forget { groups: Items::EMPTY }),
        Summary::Forget { .. } => Some(Summary::Prune {
            freed_bytes: u64::MAX,
            repacked_packs: u32::MAX,
            repacked_bytes: u64::MAX,
            remaining_bytes: u64::MAX,
        }),
        Summary::Prune { .. } => Some(Summary::Check { errors: 0, subset_pct: 255 }),
        Summary::Check { .. } => Some(Summary::Unlock { removed: u32::MAX }),
        Summary::Unlock { .. } => Some(Summary::Stats { total_bytes: u64::MAX, blobs: u64::MAX }),
        Summary::Stats { .. } => Some(Summary::Snapshots { count: 0, left_out: u32::MAX }),
        Summary::Snapshots { .. } => Some(Summary::Restore(RestoreSummary {
            files: u64::MAX,
            replaced: u64::MAX,
            skipped: u64::MAX,
            deleted: u64::MAX,
            failed: u64::MAX,
            bytes: u64::MAX,
            target: OsText::new(b"\xff/../.."),
            free_bytes: Some(u64::MAX),
            is_estimate: true,
            verified: true,
            failures: Items::EMPTY,
            failures_left_out: u64::MAX,
        })),
        Summary::Restore { .. } => Some(Summary::Folder { entries: u32::MAX, left_out: u32::MAX }),
        Summary::Folder { .. } => Some(Summary::HostKey {
            slot: Slot::Admin,
            key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFtrxhWjDF951LzoCci9l1s2HWVOkTsqsV930PsUvmt",
        }),
        Summary::HostKey { .. } => Some(Summary::Drill(DrillSummary {
            snapshot: "deadbeef",
            of_files: u64::MAX,
            of_bytes: u64::MAX,
            drawn: u32::MAX,
            equal: u32::MAX,
            changed_since: u32::MAX,
            unreadable: u32::MAX,
            different: u32::MAX,
            not_tried: u32::MAX,
            bytes: u64::MAX,
            restore_ms: u64::MAX,
            cuts: DrillCuts {
                too_large: u64::MAX,
                odd_names: u64::MAX,
                over_bytes: u32::MAX,
                short_of_room: true,
                out_of_time: false,
            },
            findings: Items::EMPTY,
            findings_left_out: u32::MAX,
        })),
        Summary::Drill { .. } => Some(Summary::Found {
            snapshots: u32::MAX,
            snapshots_left_out: u32::MAX,
            hits: u32::MAX,
            left_out: u32::MAX,
        }),
        Summary::Found { .. } => Some(Summary::Differences(DiffTotals {
            added: u64::MAX,
            removed: u64::MAX,
            changed: u64::MAX,
            types: u64::MAX,
            added_bytes: u64::MAX,
            removed_bytes: u64::MAX,
            changed_bytes: u64::MAX,
            left_out: u64::MAX,
        })),
        Summary::Differences(_) => Some(Summary::Download { bytes: u64::MAX }),
        Summary::Download { .. } => None,
    } {
        all.push(next);
    }
    all
}

fn finished(
    aim: &Aim,
    outcome: Outcome,
    class: Option<Class>,
    summary: Summary<'static>,
) -> Finished<'static> {
    Finished {
        job: aim.job,
        outcome,
        class,
        exit_code: Some(0),
        started_at: Some(Timestamp(0)),
        finished_at: Timestamp(u64::MAX),
        message: "all is lost",
        log_lines: u32::MAX,
        summary,
        kind: Some(schema::JobKind::Backup),
        group: Some(schema::GroupKey::of("etc")),
    }
}

fn snapshot(paths: Items<'static, &'static str>) -> Snapshot<'static> {
    Snapshot {
        id: "forged",
        time: Timestamp(u64::MAX),
        hostname: "liar",
        tags: Items::EMPTY,
        paths,
        size: None,
        tags_left_out: 0,
        paths_left_out: 0,
    }
}

fn listed(what: &[Snapshot<'static>]) -> Items<'static, Snapshot<'static>> {
    let room = Box::leak(vec![0; 4096].into_boxed_slice());
    Items::write(what, room).expect("few")
}

fn entries() -> Items<'static, Entry<'static>> {
    let room = Box::leak(vec![0; 4096].into_boxed_slice());
    let entry = Entry {
        name: "forged".into(),
        kind: EntryKind::File,
        bytes: u64::MAX,
        modified_at: Some(Timestamp(u64::MAX)),
    };
    Items::write([entry], room).expect("few")
}

fn hits() -> Items<'static, Hit<'static>> {
    let room = Box::leak(vec![0; 4096].into_boxed_slice());
    let (bytes, files, modified_at) = (u64::MAX, u64::MAX, Some(Timestamp(u64::MAX)));
    let entry =
        Hit::Entry { path: OsText::new(b"\xff/../.."), kind: EntryKind::Folder, bytes, files, modified_at };
    Items::write([entry, Hit::Snapshot { id: "../forged", time: Timestamp(u64::MAX) }], room).expect("few")
}

fn lines() -> Items<'static, LogLine<'static>> {
    let room = Box::leak(vec![0; 4096].into_boxed_slice());
    let line = LogLine { after_ms: u32::MAX, stream: LogStream::Err, text: "forged line" };
    Items::write([line], room).expect("few")
}

/// What a liar makes of every durable report, about somebody else's job.
fn reports(aim: &Aim) -> Vec<ReportBody<'static>> {
    let job = aim.job;
    let mut all = vec![ReportBody::Accepted { job, behind: 255 }];
    while let Some(next) = match all[all.len() - 1] {
        ReportBody::Accepted { .. } => {
            Some(ReportBody::Refused { job, reason: Refusal::Policy, detail: "forged" })
        }
        ReportBody::Refused { .. } => Some(ReportBody::Started { job }),
        ReportBody::Started { .. } => Some(ReportBody::Log { job, first_line: 0, lines: lines() }),
        ReportBody::Log { .. } => {
            Some(ReportBody::Finished(finished(aim, Outcome::Failed, Some(Class::Damaged), Summary::None)))
        }
        ReportBody::Finished(_) => Some(ReportBody::ConfigApplied {
            slot: Slot::Repo,
            revision: SlotRevision(u64::MAX),
            refused: Some(Refusal::Policy),
        }),
        ReportBody::ConfigApplied { .. } => {
            Some(ReportBody::Snapshots { job, first: 0, snapshots: listed(&[snapshot(Items::EMPTY)]) })
        }
        ReportBody::Snapshots { .. } => Some(ReportBody::NotUnderstood { seq: CommandSeq(1) }),
        ReportBody::NotUnderstood { .. } => Some(ReportBody::Dropped),
        ReportBody::Dropped => Some(ReportBody::CancelMissed { job }),
        ReportBody::CancelMissed { .. } => {
            Some(ReportBody::Trouble { kind: Trouble::JournalSetAside, detail: "forged" })
        }
        ReportBody::Trouble { .. } => Some(ReportBody::Entries { job, first: 0, entries: entries() }),
        ReportBody::Entries { .. } => {
            Some(ReportBody::Own { job, schedule: "nightly", group: GROUP, due_at: aim.now })
        }
        ReportBody::Own { .. } => Some(ReportBody::Found { job, first: 0, hits: hits() }),
        ReportBody::Found { .. } => Some(ReportBody::CredentialsHeld { job }),
        ReportBody::CredentialsHeld { .. } => None,
    } {
        all.push(next);
    }
    all.extend(summaries(aim).into_iter().flat_map(|summary| {
        let outcomes = [Outcome::Succeeded, Outcome::Warning, Outcome::Failed, Outcome::Cancelled];
        outcomes.map(|outcome| ReportBody::Finished(finished(aim, outcome, None, summary)))
    }));
    all
}

/// The same of live news.
fn news(aim: &Aim) -> Vec<Live<'static>> {
    let job = aim.job;
    let mut all = vec![Live::Progress(Progress {
        job,
        at: Timestamp(u64::MAX),
        permille: u16::MAX,
        files_done: u64::MAX,
        files_total: u64::MAX,
        bytes_done: u64::MAX,
        bytes_total: u64::MAX,
        bytes_read: u64::MAX,
        errors: u32::MAX,
        left_secs: Some(u32::MAX),
        current: "forged",
    })];
    while let Some(next) = match all[all.len() - 1] {
        Live::Progress(_) => Some(Live::Log { job, first_line: 0, lines: lines() }),
        Live::Log { .. } => None,
    } {
        all.push(next);
    }
    all
}

/// And of presences: whether one of this kind was said is asked below.
fn kind(presence: &Presence<'_>) -> &'static str {
    match presence {
        Presence::Hello(_) => "hello",
        Presence::Gone { .. } => "gone",
    }
}

/// What must not change of a host.
fn standing(scene: &Scene, host: &str) -> Value {
    let api = scene.api();
    let row = api.host(host);
    let repo = api.get(&format!("/api/hosts/{host}/repo")).expect(200);
    let jobs: Vec<Value> = api
        .jobs(host)
        .into_iter()
        .map(|job| {
            json!([job["id"], job["state"], job["class"], job["error"], job["summary"], job["log_lines"]])
        })
        .collect();
    let decisions = api.get(&format!("/api/hosts/{host}/maintenance")).expect(200);
    let decided = decisions["decisions"].as_array().cloned().unwrap_or_default();
    assert_eq!(decided.len(), 4, "{decisions}");
    let decided: Vec<Value> = decided.iter().map(|one| json!([one["kind"], one["action"]])).collect();
    let of_row =
        ["status", "reason", "protected", "online", "last_good_at", "repo_size_bytes", "repo_snapshots"];
    let of_repo = [
        "repo_id",
        "size_bytes",
        "snapshots",
        "last_check_status",
        "last_check_at",
        "last_check_errors",
        "last_prune_at",
        "lock",
        "replaced_by",
        "append_only",
    ];
    json!({
        "row": of_row.map(|name| row[name].clone()),
        "repo": of_repo.map(|name| repo[name].clone()),
        "jobs": jobs,
        "decided": decided,
        "snapshots": api.get(&format!("/api/hosts/{host}/snapshots")).expect(200)["items"],
    })
}

#[test]
fn whatever_a_host_says_others_stand_as_before_and_nothing_is_filled() {
    if !tools::needs(&[Tool::MosquittoPub]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let victim = scene.host().to_owned();
    let _ = scene.back_up();
    let check = scene.api().ask(&victim, "check");
    let _ = scene.api().wait_job(&check, &["succeeded"], LONG);
    let listing = scene.api().post(&format!("/api/hosts/{victim}/snapshots/refresh"), None).expect(202);
    let _ = scene.api().wait_job(listing["id"].as_str().expect("an id"), &["succeeded"], LONG);

    // A host that was never given any credentials; it stops, and somebody has its state folder.
    let mut liar = tests::agent::Agent::enroll(scene.api(), &scene.scratch.folder("liar"), "liar");
    scene.api().wait_online(&liar.host, true, SOON);
    let login = HostLogin::stolen_from(&liar);
    liar.kill_9();
    scene.api().wait_online(&liar.host, false, SOON);
    let own = liar.host.clone();
    let claim = Claim::honest(&own);

    let before = standing(&scene, &victim);
    let id = before["repo"][0].as_str().expect("its id").parse().expect("an id");
    let job: JobId = check.parse().expect("an id");
    let now = job.made_at().plus_ms(60_000);
    let aim = Aim { repo: id, job, now };
    let say = |topic, payload: &[u8]| {
        let said = login.publish(&claim, &login.topic(topic), payload);
        assert!(said.status.success(), "{}", said.output);
    };
    // Its journal begins.
    let epoch = Epoch(1 << 40);
    say(HostTopic::Presence, &login.sealed_hello_of(epoch, STREAM));
    for (revision, errors) in [(1, 0), (2, 7), (3, 0)] {
        let lie = RepoStats { revision: StatsRevision(revision), ..figures(&aim, errors) };
        say(HostTopic::RepoStats, &login.sealed_stats(&lie));
    }
    let all = reports(&aim);
    for (seq, body) in (1..).map(ReportSeq).zip(&all) {
        say(HostTopic::Evt, &login.sealed_report(STREAM, seq, aim.now, *body));
    }
    for news in news(&aim) {
        say(HostTopic::Live, &login.sealed_live(&news));
    }
    for (presence, expected) in [
        (Presence::Gone { epoch, clean: true }, "gone"),
        (Presence::Gone { epoch: Epoch(u64::MAX), clean: false }, "gone"),
    ] {
        assert_eq!(kind(&presence), expected);
        say(HostTopic::Presence, &login.sealed_presence(&presence));
    }
    // What it says was heard: its own row shows the claim, and the audit tells of it.
    wait::until("the claim to be audited", SOON, || {
        let audit = scene.api().get("/api/audit?action=repo.claimed&limit=200").expect(200);
        match audit["items"].as_array().map(Vec::len) {
            Some(1) => Ok(()),
            _ => Err(audit.to_string()),
        }
    });
    assert_eq!(standing(&scene, &victim), before);
    let repo = scene.api().get(&format!("/api/hosts/{victim}/repo")).expect(200);
    assert_eq!(repo["shared_with"][0]["why"], "claimed", "{repo}");
    assert!(scene.api().jobs(&own).iter().all(|job| job["host"] == own.as_str()));

    // A flood: own backups, dated years ahead, and troubles.
    let begun = u64::try_from(all.len()).expect("few");
    let far = JobId::new(Timestamp(now.0 + 10 * 365 * 86_400_000), [1; 10]);
    let flood = (0..120_u8).map(|n| match n % 3 {
        0 => ReportBody::Own { job: far, schedule: "nightly", group: GROUP, due_at: now },
        1 => {
            ReportBody::Own { job: JobId::new(now, [n; 10]), schedule: "nightly", group: GROUP, due_at: now }
        }
        _ => ReportBody::Trouble { kind: Trouble::StateFolder, detail: "flood" },
    });
    for (seq, body) in (begun + 1..).map(ReportSeq).zip(flood) {
        say(HostTopic::Evt, &login.sealed_report(STREAM, seq, now, body));
    }
    wait::until("the flood to be refused", SOON, || {
        let usage = scene.api().get(&format!("/api/hosts/{own}/usage")).expect(200);
        let refused = usage["refused"].as_array().cloned().unwrap_or_default();
        let count = |what: &str| {
            refused
                .iter()
                .find(|line| line["what"] == what)
                .map_or(0, |line| line["count"].as_u64().unwrap_or_default())
        };
        if count("own_date") == 40 && count("own_jobs") > 0 && count("audit") > 0 {
            Ok(())
        } else {
            Err(usage.to_string())
        }
    });
    let newest = scene.api().get("/api/jobs?limit=1").expect(200);
    assert_ne!(newest["items"][0]["id"], far.to_string());
    assert_eq!(standing(&scene, &victim), before);
    // And the victim works on.
    let _ = scene.back_up();
}
