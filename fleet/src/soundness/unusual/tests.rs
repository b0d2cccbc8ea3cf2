use super::*;
use crate::record::{Extent, Hold};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_MS: u64 = 86_400_000;
const NOW: Timestamp = Timestamp(1_000 * DAY_MS);

/// A backup of 10,000 files of 1 MiB each, a day after the one before it.
fn churn(files_new: u64, files_changed: u64, added_bytes: u64) -> Churn {
    Churn {
        files_before: 10_000,
        files: 10_000,
        files_new,
        files_changed,
        bytes: 10_000 * MIB,
        added_bytes,
        after_ms: DAY_MS,
    }
}

fn quiet() -> Churn {
    churn(10, 20, 30 * MIB)
}

fn nights(number: usize, churn: Churn) -> Vec<Churn> {
    vec![churn; number]
}

#[test]
fn what_is_unusual() {
    let usual = nights(30, quiet());
    let with = |change: fn(&mut Churn)| {
        let mut churn = quiet();
        change(&mut churn);
        churn
    };
    for (name, churn, expected) in [
        ("as ever", quiet(), None),
        ("nothing changed", churn(0, 0, 0), None),
        ("all encrypted in place", churn(0, 10_000, 9_900 * MIB), Some(Unusual::AlmostAllChanged)),
        ("all encrypted under new names", churn(10_000, 0, 9_900 * MIB), Some(Unusual::AlmostAllChanged)),
        ("a tenth is as it was", churn(0, 9_000, 9_000 * MIB), Some(Unusual::AlmostAllChanged)),
        ("a quarter of each file encrypted", churn(0, 10_000, 2_500 * MIB), Some(Unusual::AlmostAllChanged)),
        ("a folder was moved: restic finds all of it new", churn(10_000, 0, 3 * MIB), None),
        ("mounted with other inodes: all changed, nothing added", churn(0, 10_000, 4 * MIB), None),
        ("half encrypted under new names", churn(5_000, 0, 5_000 * MIB), Some(Unusual::FilesGone)),
        ("less than half", churn(4_999, 0, 400 * MIB), None),
        ("five times and a little", churn(50, 0, 600 * MIB), Some(Unusual::GrewBy)),
        ("a twentieth of what it holds", churn(50, 0, 500 * MIB), None),
        (
            "it doubled",
            with(|churn| {
                (churn.files, churn.files_new) = (20_000, 10_000);
                (churn.bytes, churn.added_bytes) = (20_000 * MIB, 10_000 * MIB);
            }),
            Some(Unusual::GrewBy),
        ),
        (
            "away for a month",
            with(|churn| (churn.after_ms, churn.added_bytes) = (30 * DAY_MS, 4_000 * MIB)),
            None,
        ),
        (
            "away for a year: no more than for a month",
            with(|churn| (churn.after_ms, churn.added_bytes) = (365 * DAY_MS, 4_600 * MIB)),
            Some(Unusual::GrewBy),
        ),
    ] {
        assert_eq!(judge(&usual, &churn), expected, "{name}");
    }
}

#[test]
fn small_things_do_not_count() {
    let few = |files: u64, bytes: u64| Churn {
        files_before: files,
        files,
        files_changed: files,
        bytes,
        added_bytes: bytes,
        after_ms: DAY_MS,
        ..Churn::default()
    };
    let usual = |churn: Churn| nights(30, Churn { files_changed: 0, added_bytes: 1, ..churn });
    for (files, bytes, expected) in [
        (99, 200 * MIB, None),
        (100, 200 * MIB, Some(Unusual::AlmostAllChanged)),
        (100, MIB - 1, None),
        (100, MIB, Some(Unusual::AlmostAllChanged)),
        // What restic writes of names and times is no content.
        (100_000, 90 * MIB, None),
        (2, 256 * MIB, None),
        (2, 257 * MIB, Some(Unusual::GrewBy)),
    ] {
        let churn = few(files, bytes);
        assert_eq!(judge(&usual(churn), &churn), expected, "{files} files, {bytes} bytes");
    }
}

#[test]
fn below_five_backups_nothing_is_unusual() {
    let encrypted = churn(0, 10_000, 9_900 * MIB);
    for number in 0..=6 {
        let expected = (number >= ENOUGH).then_some(Unusual::AlmostAllChanged);
        assert_eq!(judge(&nights(number, quiet()), &encrypted), expected, "{number}");
    }
}

#[test]
fn what_was_so_twice_is_usual() {
    let rewritten = churn(0, 10_000, 9_900 * MIB);
    let grown = churn(50, 0, 2_000 * MIB);
    for (odd, expected) in [(rewritten, Unusual::AlmostAllChanged), (grown, Unusual::GrewBy)] {
        let once = [nights(20, quiet()), nights(1, odd)].concat();
        assert_eq!(judge(&once, &odd), Some(expected));
        let twice = [nights(20, quiet()), nights(2, odd)].concat();
        assert_eq!(judge(&twice, &odd), None);
    }
    // A group of dumps, each of which is another file each night.
    let dumps = churn(10_000, 0, 9_900 * MIB);
    assert_eq!(judge(&nights(10, dumps), &dumps), None);
}

fn group() -> Soundness {
    Soundness::default()
}

/// A backup comes in: its number, files, and what changed.
fn save(known: &mut Soundness, n: u8, churn: &Churn) {
    save_at(known, n, churn, NOW);
}

fn save_at(known: &mut Soundness, n: u8, churn: &Churn, asked_at: Timestamp) {
    let figures = BackupFigures {
        snapshot: format!("{n:064x}"),
        files_new: churn.files_new,
        files_changed: churn.files_changed,
        files_unmodified: churn.files_kept(),
        total_files: churn.files,
        total_bytes: churn.bytes,
        added_bytes: churn.added_bytes,
        added_packed_bytes: None,
        errors: 0,
        findings: Vec::new(),
        findings_left_out: 0,
    };
    let job = JobId([n; 16]);
    let before = known.newest.clone();
    let ended_at = Timestamp(NOW.0 + u64::from(n) * DAY_MS);
    let seen = EndedBackup {
        job,
        figures: &figures,
        asked_at,
        ended_at,
        before: before.as_ref(),
        is_lost: false,
        brought_nothing: false,
    };
    take(known, &seen, NOW);
    let extent = Extent { files: churn.files, bytes: churn.bytes };
    if before.is_none_or(|before| before.job <= job) {
        known.newest =
            Some(Newest { job, is_whole: true, snapshot: figures.snapshot.clone(), extent, at: ended_at });
    }
}

/// A group with this many usual backups after its first one; the next one has the number after theirs.
fn settled(number: u8) -> Soundness {
    let mut known = group();
    save(&mut known, 1, &churn(10_000, 0, 10_000 * MIB));
    for n in 2..=number + 1 {
        save(&mut known, n, &quiet());
    }
    assert_eq!(known.baseline.churns.len(), usize::from(number));
    known
}

#[test]
fn the_first_backup_is_no_part_of_what_is_usual() {
    let mut known = group();
    save(&mut known, 1, &churn(10_000, 0, 10_000 * MIB));
    assert_eq!(known, Soundness { newest: known.newest.clone(), ..group() });
}

#[test]
fn an_unusual_backup_waits_until_a_person_has_looked_and_makes_the_next_one_no_less_unusual() {
    let encrypted = churn(0, 10_000, 9_900 * MIB);
    let mut known = settled(10);
    save(&mut known, 12, &encrypted);
    assert_eq!(known.hold(), Some(Hold::Unusual(Unusual::AlmostAllChanged)));
    // What is encrypted stays as it is: that is as ever.
    save(&mut known, 13, &quiet());
    assert_eq!(
        (known.hold(), known.mark()),
        (Some(Hold::Unusual(Unusual::AlmostAllChanged)), Some(JobId([12; 16])))
    );
    save(&mut known, 14, &encrypted);
    let unusual = known.unusual.unwrap();
    assert_eq!((unusual.count, unusual.first.job, unusual.last.job), (2, JobId([12; 16]), JobId([14; 16])));
    assert_eq!(known.mark(), Some(JobId([14; 16])), "the newest is looked at");
    // A report that comes twice, and one that comes late.
    let before = known.clone();
    save(&mut known, 14, &encrypted);
    save(&mut known, 3, &encrypted);
    assert_eq!(known, before);

    accept(&mut known);
    assert_eq!((known.hold(), known.mark()), (Some(Hold::Unlisted), None));
    save(&mut known, 15, &encrypted);
    assert_eq!(known.unusual, None, "it was so twice, and a person has said that it is right");
}

#[test]
fn a_word_for_one_is_none_for_the_next() {
    let encrypted = churn(0, 10_000, 9_900 * MIB);
    let mut known = settled(10);
    save(&mut known, 12, &encrypted);
    accept(&mut known);
    save(&mut known, 13, &encrypted);
    assert!(known.unusual.is_some(), "a move to other software is no leave for ransomware");
    accept(&mut known);
    save(&mut known, 14, &encrypted);
    assert_eq!(known.unusual, None);
}

#[test]
fn other_paths_or_another_repository_begin_a_new_history_and_end_no_hold() {
    let all_new = churn(10_000, 0, 9_900 * MIB);
    let mut known = settled(10);
    save(&mut known, 12, &churn(50, 0, 2_000 * MIB));
    let held = known.hold();
    assert_eq!(held, Some(Hold::Unusual(Unusual::GrewBy)));
    let changed_at = Timestamp(NOW.0 + 1);
    known.baseline.reset(changed_at);
    // One that was asked for before says nothing, and neither does the first one of the new rules.
    save(&mut known, 13, &all_new);
    assert_eq!(known.baseline.reset_at, Some(changed_at));
    save_at(&mut known, 14, &all_new, changed_at);
    assert_eq!((known.baseline.clone(), known.hold()), (Baseline::default(), held));
    for n in 15..20 {
        save_at(&mut known, n, &quiet(), changed_at);
    }
    assert_eq!(known.unusual.map(|unusual| unusual.count), Some(1));
    save_at(&mut known, 20, &all_new, changed_at);
    assert_eq!(known.unusual.map(|unusual| unusual.count), Some(2), "five are enough again");
}

#[test]
fn where_restic_found_no_snapshot_to_compare_with_nothing_is_learned() {
    let mut known = settled(10);
    let before = known.baseline.clone();
    save(&mut known, 12, &churn(10_000, 0, 3 * MIB));
    assert_eq!((known.baseline, known.unusual), (before, None));
}

#[test]
fn only_the_last_thirty_say_what_is_usual() {
    let known = {
        let mut known = group();
        save(&mut known, 1, &quiet());
        for n in 2..=100 {
            save(&mut known, n, &churn(1, 0, u64::from(n) * MIB));
        }
        known
    };
    let added: Vec<u64> = known.baseline.churns.iter().map(|churn| churn.added_bytes / MIB).collect();
    assert_eq!(added, (71..=100).collect::<Vec<u64>>());
}

fn any_churn() -> impl Strategy<Value = Churn> {
    (0..20_000u64, 0..20_000u64, 0..20_000u64, 0..20_000u64, 0..40 * GIB, 0..40 * GIB, 1..400 * DAY_MS)
        .prop_map(|(files_before, files, files_new, files_changed, bytes, added_bytes, after_ms)| {
            let files_new = files_new.min(files);
            let files_changed = files_changed.min(files - files_new).min(files_before);
            Churn { files_before, files, files_new, files_changed, bytes, added_bytes, after_ms }
        })
}

proptest! {
    #[test]
    fn the_order_of_the_history_says_nothing(
        (history, mixed) in prop::collection::vec(any_churn(), 0..=MOST)
            .prop_flat_map(|history| (Just(history.clone()), Just(history).prop_shuffle())),
        churn in any_churn(),
    ) {
        prop_assert_eq!(judge(&history, &churn), judge(&mixed, &churn));
    }

    /// However large a host is: with each number so many times larger it is the same, above what is small.
    #[test]
    fn the_scale_says_nothing(
        history in prop::collection::vec((1..100u64, 1..100u64), ENOUGH..=MOST),
        (changed, added) in (0..=1_000u64, 0..1_000u64),
        times in 1..1_000u64,
    ) {
        let of = |(changed, added): (u64, u64), times: u64| Churn {
            files_before: 1_000 * times,
            files: 1_000 * times,
            files_new: 0,
            files_changed: changed * times,
            bytes: 20 * GIB * times,
            added_bytes: added * 20 * MIB * times,
            after_ms: DAY_MS,
        };
        let judged = |times| {
            let history: Vec<Churn> = history.iter().map(|night| of(*night, times)).collect();
            judge(&history, &of((changed, added), times))
        };
        prop_assert_eq!(judged(1), judged(times));
    }

    /// Nights that differ from one another fivefold, and go on so, are all usual.
    #[test]
    fn a_steady_and_noisy_history_raises_no_alarm(
        base in 1..4 * GIB,
        history in prop::collection::vec((100..=500u64, 0..800u64), ENOUGH..100),
    ) {
        let mut known = group();
        save(&mut known, 1, &churn(10_000, 0, 10_000 * MIB));
        for (n, (noise, changed)) in (2..).zip(history) {
            save(&mut known, n, &churn(0, changed, base / 100 * noise));
            prop_assert_eq!(known.unusual, None);
        }
    }

    /// What adds more is no less unusual.
    #[test]
    fn more_is_not_less_unusual(
        history in prop::collection::vec(any_churn(), ENOUGH..=MOST), churn in any_churn(), more in 0..40 * GIB
    ) {
        let grown = Churn { added_bytes: churn.added_bytes + more, ..churn };
        prop_assert!(judge(&history, &churn).is_none() || judge(&history, &grown).is_some());
    }

    /// Whatever backups bring, only a person ends a hold; and one that was unusual is so again until then.
    #[test]
    fn only_a_person_ends_it(
        backups in prop::collection::vec((any_churn(), any::<bool>(), any::<bool>()), 1..60)
    ) {
        let mut known = group();
        for (n, (churn, changes_paths, looks)) in (1..).zip(backups) {
            let before = known.clone();
            save(&mut known, n, &churn);
            prop_assert!(before.unusual.is_none() || known.unusual.is_some());
            prop_assert!(known.baseline.churns.len() <= MOST);
            if known.unusual != before.unusual {
                prop_assert_eq!(&known.baseline, &before.baseline, "it is no part of what is usual");
            }
            if changes_paths {
                known.baseline.reset(NOW);
                prop_assert!(known.unusual.is_some() || before.unusual.is_none());
            }
            if looks {
                accept(&mut known);
                prop_assert_eq!(known.unusual, None);
            }
        }
    }
}
