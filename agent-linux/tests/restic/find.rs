//! Searches by name with the real restic.

use crate::{
    rig::{Ran, Rig, with_each_version},
    tools::Version,
};
use agent_linux::restic::{HitSeen, JobSummary, args};
use schema::{
    Class, Items, JobSpec, OsText, Outcome, Timestamp,
    job::{FindSpec, Origin},
    report::{ChangeKind, EntryKind},
};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

const PLAIN: FindSpec<'_> =
    FindSpec { pattern: OsText::new(b""), ignore_case: false, members: Items::EMPTY, newest: 0, since: None };

/// Name, bytes, files, and the number of the snapshot that has it, from the oldest.
type Expected<'n> = (&'n [u8], u64, u64, usize);

/// Path, bytes, files, and the number of the snapshot that has it, from the oldest; sorted.
fn found(ran: &Ran, ids: &[String]) -> Vec<(Vec<u8>, u64, u64, usize)> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    for hit in &ran.hits {
        match hit {
            HitSeen::Entry(entry) => open.push(entry),
            HitSeen::Change(change) => panic!("{change:?}"),
            HitSeen::Snapshot { id, time } => {
                assert!(time.0 > 0);
                let place = ids.iter().position(|known| known == id).expect("a snapshot of the repository");
                found.extend(
                    open.drain(..).map(|entry| (entry.path.clone(), entry.bytes, entry.files, place)),
                );
            }
        }
    }
    assert!(open.is_empty(), "each entry is in a snapshot: {open:#?}");
    found.sort();
    found
}

#[tokio::test]
async fn names_of_all_kinds_are_found_by_patterns_of_all_kinds_in_each_snapshot_that_has_them() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        let at = |name: &[u8]| Path::new(&source).join(OsStr::from_bytes(name));
        let path = |name: &[u8]| at(name).into_os_string().into_vec();
        let folders = [&b"Invoices"[..], b"Invoices/deep", b"d\xfcr", b"nl\nfolder"];
        folders.into_iter().for_each(|folder| fs::create_dir(at(folder)).unwrap());
        let long = [b"long-".as_slice(), &[b'x'; 250]].concat();
        for (name, size) in [
            (&b"Invoices/a"[..], 1),
            (b"Invoices/deep/invoice-8841.eml", 2),
            (b"-rf", 3),
            (b"inv[1]*", 4),
            (b"d\xfcr/f\xfe", 5),
            (b"d\xfcr/plain", 6),
            (b"nl\nfolder/nl\nname\xff", 7),
            (b"true \xef\xbf\xbd", 8),
            (b"quote\"'\\", 9),
            (&long, 10),
        ] {
            fs::write(at(name), vec![b'x'; size]).unwrap();
        }
        rig.backup(&[&source]).await.succeeded();
        fs::write(at(b"-rf"), "much longer than before").unwrap();
        fs::remove_file(at(b"inv[1]*")).unwrap();
        rig.backup(&[&source]).await.succeeded();
        let ids: Vec<String> =
            rig.run(JobSpec::Snapshots).await.succeeded().snapshots.into_iter().map(|it| it.id).collect();

        let cases: &[(&[u8], bool, &[Expected<'_>])] = &[
            // A folder stands for what is in it, but for what has such a name itself.
            (
                b"invoice*",
                true,
                &[
                    (b"Invoices", 3, 2, 0),
                    (b"Invoices", 3, 2, 1),
                    (b"Invoices/deep/invoice-8841.eml", 2, 0, 0),
                    (b"Invoices/deep/invoice-8841.eml", 2, 0, 1),
                ],
            ),
            (
                b"invoice*",
                false,
                &[(b"Invoices/deep/invoice-8841.eml", 2, 0, 0), (b"Invoices/deep/invoice-8841.eml", 2, 0, 1)],
            ),
            (b"-rf", false, &[(b"-rf", 3, 0, 0), (b"-rf", 23, 0, 1)]),
            (b"inv\\[1\\]\\*", false, &[(b"inv[1]*", 4, 0, 0)]),
            (b"f\xfe", false, &[(b"d\xfcr/f\xfe", 5, 0, 0), (b"d\xfcr/f\xfe", 5, 0, 1)]),
            (b"d?r", false, &[(b"d\xfcr", 11, 2, 0), (b"d\xfcr", 11, 2, 1)]),
            (
                b"nl*",
                false,
                &[
                    (b"nl\nfolder", 7, 1, 0),
                    (b"nl\nfolder", 7, 1, 1),
                    (b"nl\nfolder/nl\nname\xff", 7, 0, 0),
                    (b"nl\nfolder/nl\nname\xff", 7, 0, 1),
                ],
            ),
            (b"true*", false, &[(b"true \xef\xbf\xbd", 8, 0, 0), (b"true \xef\xbf\xbd", 8, 0, 1)]),
            (b"quote*", false, &[(b"quote\"'\\", 9, 0, 0), (b"quote\"'\\", 9, 0, 1)]),
            (b"*x", false, &[(&long, 10, 0, 0), (&long, 10, 0, 1)]),
            (b"--help", false, &[]),
        ];
        for (pattern, ignore_case, expected) in cases {
            let spec = FindSpec { pattern: OsText::new(pattern), ignore_case: *ignore_case, ..PLAIN };
            let ran = rig.run(JobSpec::Find(spec)).await.succeeded();
            let mut expected: Vec<_> = expected
                .iter()
                .map(|(name, bytes, files, place)| (path(name), *bytes, *files, *place))
                .collect();
            expected.sort();
            let pattern = OsText::new(pattern);
            assert_eq!(found(&ran, &ids), expected, "{pattern}");
            let hits = u32::try_from(expected.len()).unwrap();
            let summary = JobSummary::Found { snapshots: 2, snapshots_left_out: 0, hits, left_out: 0 };
            assert_eq!(ran.end.summary, summary, "{pattern}");
            for name in ["invoice", "rf", "xfe", "inv"] {
                assert!(
                    !ran.log.iter().any(|line| line.contains(name)),
                    "a log names no file: {:#?}",
                    ran.log
                );
            }
        }
        let ran = rig.run(JobSpec::Find(FindSpec { pattern: "d?r".into(), ..PLAIN })).await.succeeded();
        let HitSeen::Entry(folder) = &ran.hits[0] else { panic!("{ran:#?}") };
        assert_eq!((folder.kind, folder.modified_at.is_some()), (EntryKind::Folder, true));
    })
    .await;
}

#[tokio::test]
async fn only_the_snapshots_that_are_asked_for_are_looked_through() {
    with_each_version(async |version, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        for name in ["one", "two", "three"] {
            fs::write(rig.path("source").join(name), "").unwrap();
            rig.backup(&[&source]).await.succeeded();
            // 0.14 to 0.19 say times of snapshots, and this must be told apart.
            tokio::time::sleep(core::time::Duration::from_millis(20)).await;
        }
        let listed = rig.run(JobSpec::Snapshots).await.succeeded().snapshots;
        let ids: Vec<String> = listed.iter().map(|it| it.id.clone()).collect();
        let mut room = vec![0; 256];
        let members = |hostname, tag, room| Items::write([Origin { hostname, tag }], room).unwrap();
        let spec = FindSpec { pattern: "one".into(), ..PLAIN };
        for (asked, places) in [
            (spec, vec![0, 1, 2]),
            (FindSpec { newest: 2, ..spec }, vec![1, 2]),
            (FindSpec { since: Some(listed[1].time), ..spec }, vec![1, 2]),
            (FindSpec { since: Some(listed[1].time), newest: 1, ..spec }, vec![2]),
            (FindSpec { since: Some(Timestamp(u64::MAX)), ..spec }, vec![]),
            (
                FindSpec {
                    members: members("rig", "g1", &mut room[..64].to_vec().leak()[..]),
                    newest: 1,
                    ..spec
                },
                vec![2],
            ),
            (FindSpec { members: members("rig", "other", &mut room[..]), ..spec }, vec![]),
        ] {
            let ran = rig.run(JobSpec::Find(asked)).await.succeeded();
            let seen: Vec<_> = found(&ran, &ids).into_iter().map(|(.., place)| place).collect();
            assert_eq!(seen, places, "{version:?} {asked:?}");
            let JobSummary::Found { snapshots, .. } = ran.end.summary else { panic!("{ran:#?}") };
            assert_eq!(snapshots as usize, places.len());
        }
    })
    .await;
}

#[tokio::test]
async fn a_pattern_that_restic_cannot_read_is_refused_before_it_is_started() {
    with_each_version(async |version, program| {
        if version != Version::V014 {
            return;
        }
        let mut rig = Rig::initialised(program).await;
        for pattern in [&b""[..], b"[a", b"a\\", b"a\0b"] {
            let spec = FindSpec { pattern: OsText::new(pattern), ..PLAIN };
            let ran = rig.run(JobSpec::Find(spec)).await.failed(Class::InvalidPattern);
            assert!(ran.log.is_empty(), "{ran:#?}");
        }
    })
    .await;
}

#[test]
fn a_search_names_its_snapshots_and_its_pattern_stands_behind_all_options() {
    let spec = FindSpec { pattern: OsText::new(b"--repo=/x\xff"), ignore_case: true, ..PLAIN };
    let step = args::find(&spec, vec![(Timestamp(1), "a".repeat(64))]);
    let all: Vec<_> = step.all_args().into_iter().map(OsStr::to_os_string).collect();
    let snapshot = format!("--snapshot={}", "a".repeat(64));
    let mut expected: Vec<std::ffi::OsString> =
        ["find", "--json", "--no-lock", "--ignore-case", &snapshot, "--"].map(Into::into).to_vec();
    expected.push(OsStr::from_bytes(b"--repo=/x\xff").to_os_string());
    assert_eq!(all, expected);
    assert!(!step.shown().contains("repo"));
}

#[tokio::test]
async fn what_changed_between_two_snapshots_is_told_with_names_of_all_kinds_and_sizes() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        let at = |name: &[u8]| Path::new(&source).join(OsStr::from_bytes(name));
        for folder in [&b"gone"[..], b"gone/deep"] {
            fs::create_dir(at(folder)).unwrap();
        }
        for (name, size) in [
            (&b"gone/deep/x"[..], 1),
            (b"mod", 2),
            (b"type", 3),
            (b"o\xff", 4),
            (b"o\xfe", 5),
            (b"nl\nname\xfd", 6),
            (b"same", 7),
        ] {
            fs::write(at(name), vec![b'x'; size]).unwrap();
        }
        rig.backup(&[&source]).await.succeeded();
        fs::remove_dir_all(at(b"gone")).unwrap();
        for name in [&b"type"[..], b"o\xff", b"nl\nname\xfd"] {
            fs::remove_file(at(name)).unwrap();
        }
        fs::create_dir(at(b"type")).unwrap();
        fs::write(at(b"mod"), "now longer").unwrap();
        fs::write(at(b"-new"), "new").unwrap();
        rig.backup(&[&source]).await.succeeded();
        let listed = rig.run(JobSpec::Snapshots).await.succeeded().snapshots;
        let (older, newer) = (listed[0].id.clone(), listed[1].id.clone());
        let ran = rig.run(JobSpec::Diff { against: &older, snapshot: &newer }).await.succeeded();
        let mut told: Vec<_> = ran
            .hits
            .iter()
            .map(|hit| match hit {
                HitSeen::Change(it) => (it.path.clone(), it.kind, it.is_folder, it.bytes),
                other => panic!("{other:?}"),
            })
            .collect();
        told.sort();
        let mut expected: Vec<_> = [
            (&b"-new"[..], ChangeKind::Added, false, 3),
            (b"gone", ChangeKind::Removed, true, 0),
            (b"gone/deep", ChangeKind::Removed, true, 0),
            (b"gone/deep/x", ChangeKind::Removed, false, 1),
            (b"mod", ChangeKind::Changed, false, 10),
            (b"nl\nname\xfd", ChangeKind::Removed, false, 6),
            (b"o\xff", ChangeKind::Removed, false, 5),
            (b"type", ChangeKind::Type, true, 0),
        ]
        .into_iter()
        .map(|(name, kind, is_folder, bytes)| (at(name).into_os_string().into_vec(), kind, is_folder, bytes))
        .collect();
        expected.sort();
        // Of two names that look the same in JSON the size is that of the first.
        assert_eq!(told, expected);
        let JobSummary::Differences(totals) = ran.end.summary else { panic!("{ran:#?}") };
        assert_eq!((totals.added, totals.removed, totals.changed, totals.types), (1, 5, 1, 1));
        assert_eq!((totals.added_bytes, totals.removed_bytes, totals.left_out), (3, 12, 0));
        let none = rig.run(JobSpec::Diff { against: &newer, snapshot: &newer }).await.succeeded();
        assert_eq!((none.hits.len(), none.end.summary), (0, JobSummary::Differences(<_>::default())));
        let gone = JobSpec::Diff { against: "deadbeefdeadbeef", snapshot: &newer };
        let _ = rig.run(gone).await.failed(Class::Other);
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_to_its_end_is_named_and_what_is_found_elsewhere_is_told() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        // In the newest one alone: what is in it has changed.
        fs::write(rig.path("source/inner/more"), "more").unwrap();
        fs::write(rig.path("source/file-top"), "top").unwrap();
        rig.backup(&[&source]).await.succeeded();
        let listed = rig.run(JobSpec::Snapshots).await.succeeded().snapshots;
        let ids: Vec<String> = listed.iter().map(|it| it.id.clone()).collect();
        rig.damage_folder(&format!("{source}/inner"));
        let spec = FindSpec { pattern: "file-*".into(), ..PLAIN };
        let ran = rig.run(JobSpec::Find(spec)).await.must_be(Outcome::Warning, Some(Class::Damaged));
        let places: Vec<_> = found(&ran, &ids).into_iter().map(|(.., place)| place).collect();
        assert_eq!(places, [1, 0, 0, 0, 0, 0], "{ran:#?}");
        let message = &ran.end.message;
        assert!(message.starts_with("Not all snapshots could be looked through"), "{message}");
        assert!(message.contains(&ids[1]) && !message.contains(&ids[0]), "{message}");
        assert!(
            ran.log.iter().any(|line| line.contains(&format!("belongs to snapshot {}", ids[1]))),
            "{ran:#?}"
        );
        // What is found nowhere is not said to be nowhere.
        let spec = FindSpec { pattern: "none".into(), ..PLAIN };
        let _ = rig.run(JobSpec::Find(spec)).await.must_be(Outcome::Warning, Some(Class::Damaged));
    })
    .await;
}
