//! What the three versions really said, in many situations, through parsing and judging.

use agent_linux::restic::{
    args::list_locks,
    findings::Findings,
    mask::Mask,
    outcome::{Ended, Stop, judge},
    parse::{Reader, Said},
    step::{
        Step,
        StepKind::{self, *},
    },
    version::Version,
};
use schema::{
    Class::{
        self, AppendOnly, Auth, Damaged, DiskFull, NeedsTls, Network, NoTls, Other, RepoExists, RepoLocked,
        RepoMissing, ResticMissing, SourceMissing, SourceUnreadable, Timeout, UnknownAuthority, WrongName,
    },
    Outcome::{self, Failed, Succeeded, Warning},
    limits::MAX_LOG_LINE_BYTES,
    report::EntryKind,
};
use std::{collections::VecDeque, path::Path};

type Expected = (Outcome, Option<Class>);
const OK: Expected = (Succeeded, None);
const fn failed(class: Class) -> Expected {
    (Failed, Some(class))
}
const fn warning(class: Class) -> Expected {
    (Warning, Some(class))
}
const CANCEL: Expected = (Outcome::Cancelled, Some(Class::Cancelled));

/// Case, kind of step, and what it is in 0.14, 0.18 and 0.19.
#[rustfmt::skip]
const CASES: &[(&str, StepKind, [Expected; 3])] = &[
    ("cat_config", Config, [OK; 3]),
    ("init_json", Init, [OK; 3]),
    ("init_again_json", Init, [failed(RepoExists); 3]),
    ("repo_missing_snapshots", Snapshots, [failed(RepoMissing); 3]),
    ("wrong_password", Snapshots, [failed(Auth); 3]),
    ("empty_password", Snapshots, [failed(Auth); 3]),
    ("snapshots_empty", Snapshots, [OK; 3]),
    ("snapshots_json", Snapshots, [OK; 3]),
    ("backup_first_fps1", Backup, [OK; 3]),
    ("backup_unchanged", Backup, [OK; 3]),
    ("backup_dryrun_vv", Backup, [OK; 3]),
    ("backup_unreadable", Backup, [warning(SourceUnreadable); 3]),
    ("backup_src_missing", Backup, [failed(SourceMissing); 3]),
    ("backup_src_partmissing", Backup, [warning(SourceMissing); 3]),
    ("backup_files_from_raw_empty", Backup, [failed(SourceMissing); 3]),
    ("backup_badflag", Backup, [failed(Other); 3]),
    ("ls_json_dir", Ls, [OK; 3]),
    ("ls_missing_snap", Ls, [failed(Other); 3]),
    ("restore_json", Restore, [OK; 3]),
    ("restore_json_again", Restore, [OK; 3]),
    ("restore_missing_snap", Restore, [failed(Other); 3]),
    ("restore_diskfull", Restore, [failed(DiskFull); 3]),
    ("stats_empty", Stats, [OK; 3]),
    ("stats_raw-data", Stats, [OK; 3]),
    ("check_ok_json", Check, [OK; 3]),
    ("check_subset_json", Check, [OK; 3]),
    ("check_subset_bad", Check, [failed(Other); 3]),
    ("forget_groupby_none_json", Forget, [OK; 3]),
    ("forget_json", Forget, [OK; 3]),
    ("forget_tag_nomatch", Forget, [OK; 3]),
    ("prune_empty", Prune, [OK; 3]),
    ("prune_dryrun", Prune, [OK; 3]),
    ("prune_plain", Prune, [OK; 3]),
    ("prune_json", Prune, [OK; 3]),
    ("unlock_none", Unlock, [OK; 3]),
    ("lk_other_unlock", Unlock, [OK; 3]),
    ("lk_bak_unlock_all", Unlock, [OK; 3]),
    ("lk_bak_list_locks", ListLocks, [OK; 3]),
    ("lk_bak_cat_lock", CatLock, [OK; 3]),
    ("lk_excl_cat_lock", CatLock, [OK; 3]),
    ("dmg_flip_checkdata_json", Check, [failed(Damaged); 3]),
    ("dmg_flip_restore_json", Restore, [failed(Damaged); 3]),
    ("dmg_missing_check_json", Check, [failed(Damaged); 3]),
    ("dmg_missing_prune", Prune, [failed(Damaged); 3]),
    ("dmg_missing_restore", Restore, [failed(Damaged); 3]),
    ("dmg_trunc_check_json", Check, [failed(Damaged); 3]),
    ("dmg_index_check_json", Check, [failed(Damaged); 3]),
    ("dmg_index_backup", Backup, [failed(Damaged); 3]),
    ("dmg_index_prune", Prune, [failed(Damaged); 3]),
    ("dmg_noindex_check_json", Check, [failed(Damaged); 3]),
    ("dmg_noindex_prune", Prune, [failed(Damaged); 3]),
    ("dmg_snap_check_json", Check, [failed(Damaged); 3]),
    ("dmg_snap_snapshots_json", Snapshots, [warning(Damaged); 3]),
    ("dmg_snap_prune", Prune, [failed(Damaged); 3]),
    ("dmg_snap_backup", Backup, [failed(Damaged); 3]),
    ("dmg_orphan_check_json", Check, [OK; 3]),
    // In this capture the newest was stopped by a lock that was left.
    ("dmg_tree_check_json", Check, [failed(Damaged), failed(Damaged), failed(RepoLocked)]),
    ("dmg_tree_backup", Backup, [warning(Damaged); 3]),
    ("dmg_tree_ls", Ls, [failed(Damaged); 3]),
    ("dmg_config_snapshots", Snapshots, [failed(Damaged); 3]),
    ("dmg_nokeys_snapshots", Snapshots, [failed(Auth); 3]),
    // In this capture the oldest was stopped by a lock that was left.
    ("rest_repo_missing", Snapshots, [failed(RepoLocked), failed(RepoMissing), failed(RepoMissing)]),
    ("rest_401", Snapshots, [failed(Auth); 3]),
    ("rest_401_init", Init, [failed(Auth); 3]),
    ("rest_401_nouser", Snapshots, [failed(Auth); 3]),
    ("rest_refused_full", Config, [failed(Network); 3]),
    // The newer ones were ended by timeout(1): exit 124 is not theirs, but the words are.
    ("rest_dnsfail", Snapshots, [failed(Network); 3]),
    ("rest_https_to_http", Snapshots, [failed(NoTls); 3]),
    ("ao_forget_json", Forget, [failed(AppendOnly); 3]),
    ("rcl_ao_forget", Forget, [failed(AppendOnly); 3]),
    ("ao_prune_garbage", Prune, [failed(AppendOnly); 3]),
    ("ao_unlock", Unlock, [OK; 3]),
    ("full_backup", Backup, [failed(DiskFull); 3]),
    ("full_snapshots", Snapshots, [failed(DiskFull); 3]),
    ("full_forget", Forget, [failed(DiskFull); 3]),
    ("full_prune", Prune, [failed(DiskFull); 3]),
    ("cache_full_backup", Backup, [OK, failed(DiskFull), failed(DiskFull)]),
    ("tmpdir_missing", Backup, [OK, failed(Other), failed(Other)]),
    ("cache_nohome", Snapshots, [OK, OK, failed(Other)]),
    ("lk_bak_forget", Forget, [failed(RepoLocked); 3]),
    ("lk_bak_prune", Prune, [failed(RepoLocked); 3]),
    ("lk_bak_check", Check, [failed(RepoLocked); 3]),
    ("lk_excl_backup", Backup, [failed(RepoLocked); 3]),
    ("lk_excl_snapshots", Snapshots, [failed(RepoLocked); 3]),
    ("lk_other_prune", Prune, [failed(RepoLocked); 3]),
    ("sig_after_kill_prune", Prune, [failed(RepoLocked); 3]),
    ("res_check", Check, [failed(RepoLocked); 3]),
    ("lk_bg_check", Check, [CANCEL; 3]),
    // 0.18 exits 1 after a signal: only who sent it knows.
    ("sig_INT", Backup, [CANCEL, failed(Other), CANCEL]),
    ("sig_TERM", Backup, [CANCEL, failed(Other), CANCEL]),
    ("sig_KILL", Backup, [failed(Other); 3]),
];

const VERSIONS: [&str; 3] = ["0.14.0", "0.18.0", "0.19.1"];

struct Capture {
    ended: Ended,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

fn capture(version: &str, case: &str) -> Capture {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/restic/captures");
    let path = folder.join(version).join(format!("{case}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rest = text.strip_prefix("exit ").unwrap();
    let (code, rest) = rest.split_once("\n--- stdout\n").unwrap();
    let (stdout, stderr) = rest.split_once("--- stderr\n").unwrap();
    let ended = match code.parse().unwrap() {
        137 => Ended::Signal(9),
        code => Ended::Code(code),
    };
    Capture { ended, stdout: stdout.into(), stderr: stderr.into() }
}

/// Reads a capture in pieces of `size` bytes.
fn read(kind: StepKind, capture: &Capture, size: usize) -> (Findings, Vec<Said>) {
    let mask = Mask::new([]);
    let (mut reader, mut said) = (Reader::new(kind, &mask), VecDeque::new());
    capture.stdout.chunks(size).for_each(|piece| reader.stdout(piece, &mut said));
    capture.stderr.chunks(size).for_each(|piece| reader.stderr(piece, &mut said));
    (reader.finish(&mut said), said.into())
}

fn findings(version: &str, case: &str, kind: StepKind) -> Findings {
    read(kind, &capture(version, case), 1000).0
}

#[test]
fn every_capture_has_its_outcome_and_class() {
    let mut wrong = Vec::new();
    for &(case, kind, expected) in CASES {
        for (version, expected) in VERSIONS.into_iter().zip(expected) {
            let capture = capture(version, case);
            let (found, said) = read(kind, &capture, 4096);
            let verdict = judge(kind, capture.ended, None, &found);
            if (verdict.outcome, verdict.class) != expected {
                wrong.push(format!(
                    "{version} {case}: {:?} {:?} for {expected:?}\n{}",
                    verdict.outcome, verdict.class, verdict.message
                ));
            }
            assert_eq!(verdict.message.is_empty(), verdict.outcome == Succeeded, "{version} {case}");
            for said in said {
                match said {
                    Said::Log(_, text) => {
                        assert!(
                            text.len() <= MAX_LOG_LINE_BYTES && !text.chars().any(char::is_control),
                            "{text:?}"
                        );
                    }
                    Said::Progress(progress) => assert!(progress.permille <= 1000, "{progress:?}"),
                    Said::Snapshot(_) | Said::Entry(_) | Said::Hit(_) => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Words of restic and of storages, in the name of a file.
const HOSTILE: &str = "hash does not match, wrong password (401) already locked by PID 7 on x by y (403) Load(<data no such \
    file or directory) no space left on device unable to remove connection refused is damaged repository does not exist \
    config file already exists command failed";

#[test]
fn what_files_and_repositories_are_called_changes_no_class() {
    let mut wrong = Vec::new();
    for &(case, kind, _) in CASES {
        for version in VERSIONS {
            let plain = capture(version, case);
            let renamed = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                let text = text.replace("/srv/lab/src/", &format!("/srv/{HOSTILE}: {HOSTILE}/"));
                let text = text.replace("/srv/lab/r/", &format!("/srv/{HOSTILE}/"));
                text.replace("/nonexistent/", &format!("/{HOSTILE}/")).into_bytes()
            };
            let hostile = Capture {
                ended: plain.ended,
                stdout: renamed(&plain.stdout),
                stderr: renamed(&plain.stderr),
            };
            let judged = |capture: &Capture| {
                let found = read(kind, capture, 4096).0;
                let verdict = judge(kind, capture.ended, None, &found);
                (verdict.outcome, verdict.class, found.holder)
            };
            let (expected, found) = (judged(&plain), judged(&hostile));
            if expected != found {
                wrong.push(format!("{version} {case}: {found:?}, with other names {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_folder_of_a_snapshot_is_listed_without_itself() {
    for version in VERSIONS {
        let capture = capture(version, "ls_json_dir");
        let mask = Mask::new([]);
        let (mut reader, mut said) = (Reader::new(Ls, &mask), VecDeque::new());
        reader.in_folder(format!("/srv/lab/src/s-{version}/d000/s0/").as_bytes());
        capture.stdout.chunks(100).for_each(|piece| reader.stdout(piece, &mut said));
        let found = reader.finish(&mut said);
        let entries: Vec<_> = said
            .into_iter()
            .filter_map(|said| if let Said::Entry(entry) = said { Some(entry) } else { None })
            .collect();
        assert_eq!((entries.len(), found.left_out), (found.entries as usize, 0));
        assert!(!entries.is_empty() && entries.iter().all(|entry| entry.name != b"s0"), "{entries:#?}");
        let first = entries.iter().find(|entry| entry.name == b"f00000.dat").expect("the file");
        assert_eq!((first.kind, first.bytes > 0, first.modified_at.is_some()), (EntryKind::File, true, true));
    }
}

#[test]
fn every_capture_file_is_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/restic/captures");
    for version in VERSIONS {
        for file in std::fs::read_dir(folder.join(version)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let case = name.strip_suffix(".txt").unwrap();
            assert!(
                case == "version_json" || CASES.iter().any(|(known, ..)| *known == case),
                "{version} {case}"
            );
        }
    }
}

#[test]
fn a_stop_of_ours_is_a_cancel_whatever_the_exit_code() {
    for (version, case) in
        VERSIONS.into_iter().flat_map(|version| [(version, "sig_INT"), (version, "sig_KILL")])
    {
        let capture = capture(version, case);
        let (found, _) = read(Backup, &capture, 4096);
        let verdict = |stop| judge(Backup, capture.ended, Some(stop), &found);
        assert_eq!((verdict(Stop::Cancelled).outcome, verdict(Stop::Cancelled).class), CANCEL);
        assert_eq!((verdict(Stop::Timeout).outcome, verdict(Stop::Timeout).class), failed(Timeout));
    }
    // It was done before the signal came.
    let found = findings("0.18.0", "backup_unchanged", Backup);
    assert_eq!(judge(Backup, Ended::Code(0), Some(Stop::Cancelled), &found).outcome, Succeeded);
}

#[test]
fn the_ways_in_which_restic_does_not_even_start_are_told() {
    let nothing = Findings::default();
    let verdict = judge(Backup, Ended::Code(127), None, &nothing);
    assert_eq!((verdict.outcome, verdict.class), failed(ResticMissing));
    let verdict = judge(Backup, Ended::Code(125), None, &nothing);
    assert_eq!((verdict.outcome, verdict.class), failed(Other));
    assert!(verdict.message.starts_with("The agent could not start restic"), "{}", verdict.message);
}

fn restoring_into(name: &str) -> Step {
    let options = vec![format!("--target=/proc/self/cwd/{name}").into()];
    Step { kind: Restore, options, ..list_locks() }
}

/// Of restic 0.14 and 0.18, without permission to write.
#[test]
fn what_is_said_of_a_restore_names_files_as_they_are_called_from_outside() {
    for (line, path, reason) in [
        (
            "ignoring error for /src/a/2: open /proc/self/cwd/.holdfast-restoring/src/a/2: permission denied",
            "/src/a/2",
            "open /src/a/2: permission denied",
        ),
        (
            r#"{"message_type":"error","error":{"message":"chmod /proc/self/cwd/.holdfast-restoring/src/a/1: no such file or directory"},"during":"restore","item":"/src/a/1"}"#,
            "/src/a/1",
            "chmod /src/a/1: no such file or directory",
        ),
        (
            r#"{"message_type":"error","error":{"message":"mkdir /proc/self/cwd/named/src: permission denied"},"during":"restore","item":"/src"}"#,
            "/src",
            "mkdir /src: permission denied",
        ),
    ] {
        let mask = Mask::new([]);
        let (mut reader, mut said) = (Reader::new(Restore, &mask), VecDeque::new());
        let step = restoring_into(if line.contains("/named/") { "named" } else { ".holdfast-restoring" });
        reader.restoring(&step);
        reader.stderr(format!("{line}\n").as_bytes(), &mut said);
        let found = reader.finish(&mut said);
        assert_eq!(found.failures.named, [(path.to_owned(), reason.to_owned())]);
        let shown = format!("{said:?} {:?}", found.last_words);
        assert!(shown.contains(reason) && !shown.contains("/proc/self"), "{shown}");
    }
}

#[test]
fn a_storage_that_is_none_or_speaks_otherwise_is_told_by_its_first_words() {
    let said = |kind, words: &str| {
        let mask = Mask::new([]);
        let (mut reader, mut said) = (Reader::new(kind, &mask), VecDeque::new());
        reader.stderr(format!("Fatal: unable to open config file: {words}\n").as_bytes(), &mut said);
        let is_hopeless = reader.is_hopeless();
        (judge(kind, Ended::Code(1), None, &reader.finish(&mut said)), is_hopeless)
    };
    let head = r#"client.Head: Head "http://127.0.0.1:18100/config":"#;
    let broken = "net/http: HTTP/1.x transport connection broken: malformed HTTP response";
    for (words, class, hint) in [
        (format!(r#"{head} malformed HTTP response "SSH-2.0-OpenSSH_9.6""#), Network, "speaks no HTTP"),
        (format!(r#"{head} malformed HTTP status code "pop""#), Network, "speaks no HTTP"),
        (format!(r#"{head} {broken} "\x00\x01""#), Network, "speaks no HTTP"),
        (format!(r#"{head} {broken} "\x15\x03\x01\x00\x02\x02F""#), NeedsTls, "https://"),
        (
            "client.GetObject: Client sent an HTTP request to an HTTPS server.".to_owned(),
            NeedsTls,
            "https://",
        ),
        (
            format!("{head} x509: certificate specifies an incompatible key usage"),
            WrongName,
            "not one for a server",
        ),
        (format!("{head} x509: certificate signed by unknown authority"), UnknownAuthority, "https://"),
    ] {
        let (verdict, is_hopeless) = said(Config, &words);
        assert_eq!((verdict.outcome, verdict.class), failed(class), "{words}");
        assert!(verdict.message.split("\nrestic:").next().unwrap().contains(hint), "{}", verdict.message);
        assert!(is_hopeless, "{words}");
    }
    // In the middle of its work something between may have answered.
    let (verdict, is_hopeless) = said(Backup, &format!(r#"{head} malformed HTTP status code "pop""#));
    assert_eq!((verdict.class, is_hopeless), (Some(Network), false));
}

#[test]
fn a_look_that_never_got_an_answer_is_network() {
    let (found, _) = read(Config, &capture("0.18.0", "rest_dnsfail"), 4096);
    let verdict = judge(Config, Ended::Code(1), Some(Stop::Timeout), &found);
    assert_eq!((verdict.outcome, verdict.class), failed(Network));
    let verdict = judge(Config, Ended::Code(1), Some(Stop::Timeout), &Findings::default());
    assert_eq!((verdict.outcome, verdict.class), failed(Timeout));
}

#[test]
fn what_is_read_does_not_depend_on_the_size_of_the_pieces() {
    for &(case, kind, _) in CASES {
        for version in VERSIONS {
            let capture = capture(version, case);
            let whole = read(kind, &capture, usize::MAX >> 1);
            for size in [1, 7, 512] {
                assert_eq!(read(kind, &capture, size), whole, "{version} {case} in pieces of {size}");
            }
        }
    }
}

#[test]
fn versions_are_read_from_what_each_version_prints() {
    let versions = VERSIONS.map(|version| {
        let capture = capture(version, "version_json");
        Version::parse(core::str::from_utf8(&capture.stdout).unwrap()).unwrap().to_string()
    });
    assert_eq!(versions, VERSIONS);
}

#[test]
fn figures_of_a_backup_are_read() {
    let old = findings("0.14.0", "backup_unreadable", Backup).backup.unwrap();
    assert_eq!((old.snapshot.as_str(), old.total_files, old.total_bytes), ("51dacfac", 303, 12_927_967));
    assert_eq!((old.added_bytes, old.added_packed_bytes), (3780, None));
    let new = findings("0.18.0", "backup_unreadable", Backup);
    assert_eq!(new.file_errors, 2, "the scan's errors are the same ones");
    let new = new.backup.unwrap();
    assert_eq!(new.snapshot, "ac02311a0804c4657cfb2335e09fc7d4b12c7a202bb8d443ddb4eb8cb6cf8cf2");
    assert_eq!((new.files_unmodified, new.added_bytes, new.added_packed_bytes), (303, 3853, Some(2356)));
    let dry = findings("0.18.0", "backup_dryrun_vv", Backup).backup.unwrap();
    assert_eq!((dry.snapshot.as_str(), dry.files_new), ("", 50), "a dry run's snapshot does not exist");
}

#[test]
fn progress_of_a_backup_is_read_and_clamped() {
    let (_, said) = read(Backup, &capture("0.18.0", "backup_src_partmissing"), 100);
    let progress: Vec<_> = said
        .into_iter()
        .filter_map(|said| if let Said::Progress(it) = said { Some(it) } else { None })
        .collect();
    assert_eq!(
        (progress[0].permille, progress[0].files_done, progress[0].bytes_done),
        (1000, 251, 11_931_355)
    );
    assert_eq!((progress[3].files_total, progress[3].bytes_total), (303, 12_927_967));
    // 0.14 says "for ever" in its own way.
    let (_, said) = read(Backup, &capture("0.14.0", "dmg_tree_backup"), 100);
    assert!(
        said.iter()
            .all(|said| !matches!(said, Said::Progress(progress) if progress.left_secs > Some(100_000)))
    );
}

#[test]
fn snapshots_are_read_one_by_one() {
    for (version, count, has_size) in [("0.14.0", 16, false), ("0.18.0", 18, true), ("0.19.1", 18, true)] {
        let (found, said) = read(Snapshots, &capture(version, "snapshots_json"), 333);
        assert_eq!((found.snapshots, said.len()), (count, count as usize), "{version}");
        let Said::Snapshot(first) = &said[0] else { panic!("{:?}", said[0]) };
        assert_eq!(
            (first.hostname.as_str(), &first.tags[..], first.id.len()),
            ("h1", &["g1".to_owned()][..], 64)
        );
        assert_eq!(first.size.is_some(), has_size);
        let times: Vec<_> =
            said.iter().map(|said| if let Said::Snapshot(it) = said { it.time } else { panic!() }).collect();
        assert!(times.is_sorted());
        assert_eq!(found.newest_at, times.last().copied());
    }
}

#[test]
fn a_quarter_of_a_million_snapshots_are_read_and_the_large_ones_among_them_keep_their_place() {
    let mask = Mask::new([]);
    let (mut reader, mut said) = (Reader::new(Snapshots, &mask), VecDeque::new());
    let excludes = format!("\"/srv/cache/{}\",", "x".repeat(60)).repeat(10_000);
    let (mut count, mut cut) = (0_u32, 0_u32);
    reader.stdout(b"[", &mut said);
    for number in 0..250_000_u32 {
        let comma = if number == 0 { "" } else { "," };
        let time = format!("\"time\":\"2026-11-{:02}T08:57:09.318945141Z\"", number % 28 + 1);
        // Now and then one of more than half a megabyte, as a list of excludes or of paths makes it.
        let (paths, excludes) = match number % 10_000 {
            0 => ("\"/srv\"", excludes.as_str()),
            1 => (excludes.as_str(), ""),
            _ => ("\"/srv\"", ""),
        };
        let json = format!(
            "{comma}{{{time},\"tree\":\"{number:064x}\",\"paths\":[{}],\"hostname\":\"nas\",\"tags\":[\"g1\"],\
             \"excludes\":[{}],\"id\":\"{number:064x}\",\"short_id\":\"{number:08x}\"}}",
            paths.trim_end_matches(','),
            excludes.trim_end_matches(','),
        );
        reader.stdout(json.as_bytes(), &mut said);
        for seen in said.drain(..) {
            let Said::Snapshot(seen) = seen else { panic!("{seen:?}") };
            assert_eq!((seen.id, seen.tags.len()), (format!("{count:064x}"), 1));
            assert_eq!(seen.hostname, "nas");
            assert!(!seen.paths.is_empty());
            let all = if seen.paths_left_out > 0 { 10_000 } else { 1 };
            assert_eq!(u32::try_from(seen.paths.len()).unwrap() + seen.paths_left_out, all);
            cut += u32::from(seen.paths_left_out > 0);
            count += 1;
        }
    }
    reader.stdout(b"]\n", &mut said);
    let found = reader.finish(&mut said);
    assert!(found.listing_is_whole);
    assert_eq!((found.snapshots, found.left_out, count, cut), (250_000, 0, 250_000, 25));
}

#[test]
fn counts_of_a_forget_are_read() {
    for (version, removed) in [("0.14.0", 6), ("0.18.0", 7), ("0.19.1", 7)] {
        let found = findings(version, "forget_json", Forget);
        assert_eq!((found.kept, found.removed), (1, removed), "{version}");
        let none = findings(version, "forget_tag_nomatch", Forget);
        assert_eq!((none.kept, none.removed), (0, 0));
    }
}

#[test]
fn figures_of_prune_stats_check_and_unlock_are_read() {
    let prune = findings("0.14.0", "prune_dryrun", Prune).prune.unwrap();
    assert_eq!(
        (prune.freed_bytes, prune.repacked_bytes, prune.remaining_bytes),
        (10_719, 46_038, 15_349_055)
    );
    // Where nothing is repacked there is no such line; 15 stand in the one of 0.14.
    assert_eq!(prune.repacked_packs, 0);
    let packs = VERSIONS.map(|version| findings(version, "prune_json", Prune).prune.unwrap().repacked_packs);
    assert!(packs[0] == 15 && packs[1] > 0 && packs[2] > 0, "{packs:?}");
    assert_eq!(findings("0.19.1", "stats_raw-data", Stats).stats.unwrap().total_bytes, 17_359_424);
    assert_eq!(findings("0.14.0", "stats_raw-data", Stats).stats.unwrap().blobs, 388);
    for version in VERSIONS {
        assert_eq!(findings(version, "check_ok_json", Check).check_errors, Some(0), "{version}");
        assert!(findings(version, "dmg_missing_check_json", Check).check_errors >= Some(1), "{version}");
        let lock = findings(version, "lk_excl_cat_lock", CatLock).lock.unwrap();
        assert!(lock.exclusive && lock.hostname == "nas-01" && lock.username == "root" && lock.pid > 30_000);
        assert_eq!(findings(version, "lk_bak_list_locks", ListLocks).locks.len(), 1);
        assert_eq!(findings(version, "lk_bak_forget", Forget).holder.unwrap().hostname, "nas-01");
    }
    let unlocked = VERSIONS.map(|version| findings(version, "unlock_none", Unlock).unlocked);
    assert_eq!(unlocked, [None, Some(2), Some(2)]);
    let ids = VERSIONS.map(|version| findings(version, "cat_config", Config).repo.unwrap().to_string());
    assert!(
        ids[0].starts_with("890365b7") && ids[1].starts_with("e3d889a5") && ids[2].starts_with("9c05d6aa")
    );
    assert_eq!(findings("0.14.0", "init_json", Init).repo, None, "too short to be an id");
    assert_eq!(findings("0.18.0", "init_json", Init).repo.unwrap().to_string(), ids[1]);
}

#[test]
fn messages_say_what_to_do_and_then_what_restic_said() {
    let message = |version, case, kind| {
        let capture = capture(version, case);
        judge(kind, capture.ended, None, &read(kind, &capture, 99).0).message
    };
    let text = message("0.18.0", "wrong_password", Snapshots);
    assert!(text.starts_with("The repository does not open with this password."), "{text}");
    assert!(text.ends_with("Fatal: wrong password or no key found"), "{text}");
    let text = message("0.18.0", "rest_401", Snapshots);
    assert!(text.starts_with("The storage does not accept this user name"), "{text}");
    let text = message("0.19.1", "lk_bak_forget", Forget);
    assert!(text.contains("25507 on nas-01"), "{text}");
    let text = message("0.14.0", "backup_src_partmissing", Backup);
    assert!(text.contains("/nonexistent/a"), "{text}");
    let text = message("0.14.0", "dmg_snap_backup", Backup);
    assert!(!text.contains("runtime.goexit"), "{text}");
}
