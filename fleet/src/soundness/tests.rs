use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_000 * 86_400_000);

fn job(n: u8) -> JobId {
    JobId([n; 16])
}

fn backup(n: u8, files: u64, bytes: u64, lack: Option<Class>) -> Made<'static> {
    let unread =
        if lack == Some(Class::SourceUnreadable) { vec!["/etc/secret".to_owned()] } else { Vec::new() };
    let errors = unread.len() as u64;
    let lack = lack.map(|class| Lack { class, paths: unread, paths_left_out: 0, errors });
    let snapshot = format!("{n:08x}").leak();
    Made {
        job: job(n),
        tag: "etc",
        snapshot,
        extent: Extent { files, bytes },
        lack,
        asked_at: NOW,
        ended_at: NOW,
    }
}

fn whole(n: u8) -> Made<'static> {
    backup(n, 100, 1_000, None)
}

fn after(backups: impl IntoIterator<Item = Made<'static>>) -> Soundness {
    let mut known = Soundness { past: Past::Known, ..Soundness::default() };
    backups.into_iter().for_each(|made| take(&mut known, made, NOW));
    known
}

fn lacking(known: &Soundness) -> Vec<&str> {
    known.lacking.iter().map(|flawed| flawed.snapshot.as_str()).collect()
}

#[test]
fn an_emptied_source_is_lacking_and_a_loss_until_a_person_says_that_it_is_right() {
    let empty = |n| backup(n, 0, 0, Some(Class::SourceEmpty));
    let mut known = after([whole(1), whole(2), empty(3), empty(4)]);
    assert_eq!(known.hold(), Some(Hold::Loss));
    assert_eq!(lacking(&known), ["00000003", "00000004"]);
    assert_eq!(known.mark(), Some(job(4)), "the newest is looked at");

    accept(&mut known, &Actor::Operator("ada".into()), NOW);
    assert_eq!((known.hold(), known.mark(), lacking(&known)), (None, None, vec![]));
    take(&mut known, empty(5), NOW);
    assert_eq!((known.hold(), known.mark()), (None, None), "it is meant to be empty");
    // And what was said ends with it.
    take(&mut known, whole(6), NOW);
    take(&mut known, empty(7), NOW);
    assert_eq!(lacking(&known), ["00000007"]);
}

#[test]
fn a_missing_path_is_lacking_however_little_it_held() {
    let known = after([whole(1), backup(2, 99, 990, Some(Class::SourceMissing))]);
    assert_eq!((known.hold(), lacking(&known)), (None, vec!["00000002"]));
}

#[test]
fn more_than_half_must_be_gone_for_a_loss() {
    for (files, bytes, is_loss) in [
        (50, 500, false),
        (49, 1_000, true),
        (100, 499, true),
        (100_000, 499, true),
        (u64::MAX, u64::MAX, false),
        (0, 0, true),
    ] {
        let known = after([whole(1), backup(2, files, bytes, None)]);
        assert_eq!(known.loss.is_some(), is_loss, "{files} files, {bytes} bytes");
    }
    assert_eq!(after([backup(1, 0, 0, None)]).loss, None, "the first backup has no usual to fall short of");
}

#[test]
fn what_is_usual_does_not_follow_a_loss() {
    let small = |n| backup(n, 10, 100, None);
    let mut known = after([whole(1), small(2), small(3), small(4)]);
    assert_eq!(lacking(&known), ["00000002", "00000003", "00000004"]);
    let loss = known.loss.clone().unwrap();
    assert_eq!((loss.job, loss.usual.files, loss.now.files, loss.is_back), (job(2), 100, 10, false));
    // It stays until somebody has looked, though the source is back.
    take(&mut known, whole(5), NOW);
    assert_eq!(known.loss.as_ref().map(|loss| loss.is_back), Some(true));
    accept(&mut known, &Actor::System, NOW);
    assert_eq!(known.hold(), None);
    assert_eq!(lacking(&known), ["00000002", "00000003", "00000004"], "the last one is right, not those");
    assert_eq!(known.mark(), None, "nothing more is to be said");
    take(&mut known, small(6), NOW);
    assert_eq!(known.hold(), Some(Hold::Loss), "usual is what it was");
}

#[test]
fn a_smaller_group_is_usual_once_a_person_has_said_so() {
    let mut known = after([whole(1), backup(2, 10, 100, None)]);
    accept(&mut known, &Actor::System, NOW);
    take(&mut known, backup(3, 10, 100, None), NOW);
    assert_eq!((known.hold(), known.mark()), (None, None));
}

#[test]
fn a_source_that_swings_is_asked_about_once() {
    let ada = Actor::Operator("ada".into());
    let mut known = after([backup(1, 401, 4_010, None), backup(2, 121, 1_210, None)]);
    assert_eq!(known.hold(), Some(Hold::Loss));
    accept(&mut known, &ada, NOW);
    for n in (3..200).step_by(2) {
        take(&mut known, backup(n, 401, 4_010, None), NOW);
        take(&mut known, backup(n + 1, 115 + u64::from(n) % 9, 1_200, None), NOW);
        assert_eq!((known.hold(), lacking(&known)), (None, vec![]), "{n}");
    }
    // Less than that is another loss.
    let mut fallen = known.clone();
    take(&mut fallen, backup(201, 401, 4_010, None), NOW);
    take(&mut fallen, backup(202, 60, 600, None), NOW);
    assert_eq!(fallen.hold(), Some(Hold::Loss));
    // And so is the same, when it has held much for long.
    for n in 201..210 {
        take(&mut known, backup(n, 401, 4_010, None), NOW);
    }
    take(&mut known, backup(211, 121, 1_210, None), NOW);
    assert_eq!(known.hold(), Some(Hold::Loss));
    // A mount that is gone again is told again.
    let mut known = after([whole(1), backup(2, 0, 0, None)]);
    accept(&mut known, &ada, NOW);
    for n in 3..6 {
        take(&mut known, whole(n), NOW);
    }
    take(&mut known, backup(7, 0, 0, None), NOW);
    assert_eq!(known.hold(), Some(Hold::Loss));
}

#[test]
fn a_word_for_one_lack_is_none_for_another() {
    let unreadable = |n| backup(n, 100, 1_000, Some(Class::SourceUnreadable));
    let missing = |n| backup(n, 100, 1_000, Some(Class::SourceMissing));
    let mut known = after([whole(1), missing(2), unreadable(3)]);
    accept(&mut known, &Actor::System, NOW);
    assert_eq!(lacking(&known), ["00000002"], "the last backup was looked at, not that one");
    take(&mut known, unreadable(4), NOW);
    take(&mut known, missing(5), NOW);
    assert_eq!(lacking(&known), ["00000002", "00000005"]);
}

#[test]
fn a_word_after_a_whole_backup_makes_nothing_right_that_lacks_something() {
    let missing = |n| backup(n, 90, 900, Some(Class::SourceMissing));
    let mut known = after([whole(1), whole(2), missing(3), whole(4)]);
    assert_eq!(known.mark(), None, "there is nothing to say");
    accept(&mut known, &Actor::System, NOW);
    take(&mut known, missing(5), NOW);
    assert_eq!(lacking(&known), ["00000003", "00000005"]);
    assert_eq!(known.mark(), Some(job(5)));
}

#[test]
fn a_word_for_a_few_is_none_for_more() {
    let lack = |paths: &[&str], paths_left_out, errors| Lack {
        class: Class::SourceUnreadable,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        paths_left_out,
        errors,
    };
    for (accepted, later, is_covered) in [
        (lack(&["/a"], 0, 1), lack(&["/a"], 0, 1), true),
        (lack(&["/a", "/b"], 0, 2), lack(&["/b"], 0, 1), true),
        (lack(&["/a"], 0, 1), lack(&["/b"], 0, 1), false),
        (lack(&["/a"], 0, 1), lack(&["/a", "/b"], 0, 2), false),
        // Some of them are not named.
        (lack(&[], 0, 1), lack(&[], 0, 1), false),
        (lack(&["/a"], 0, 9), lack(&["/a"], 0, 2), false),
        (lack(&["/a"], 0, 0), lack(&["/a"], 0, 0), true),
        (lack(&["/a"], 0, 0), lack(&["/a", "/b"], 0, 0), false),
        (lack(&["/a"], 6, 0), lack(&["/a"], 31, 0), false),
        (lack(&["/a"], 6, 0), lack(&["/a"], 6, 0), false),
        (lack(&[], 0, 0), lack(&[], 0, 0), false),
    ] {
        assert_eq!(covers(&accepted, &later), is_covered, "{accepted:?} {later:?}");
        let made = |n, lack: &Lack| Made { lack: Some(lack.clone()), ..whole(n) };
        let mut known = after([whole(1), made(2, &accepted)]);
        accept(&mut known, &Actor::System, NOW);
        assert_eq!(lacking(&known), Vec::<&str>::new(), "the one that was looked at");
        take(&mut known, made(3, &later), NOW);
        assert_eq!(known.lacking.is_empty(), is_covered, "{accepted:?} {later:?}");
    }
}

#[test]
fn a_group_that_has_just_grown_is_known_to_be_large() {
    let sized = |n, files| backup(n, files, files * 10, None);
    let mut known = after((1..=7).map(|n| sized(n, 10)).chain((8..=10).map(|n| sized(n, 410))));
    take(&mut known, sized(11, 10), NOW);
    assert_eq!(known.hold(), Some(Hold::Loss));
    // One that was large once: nine tenths of it must be gone.
    for (files, hold) in [(90, None), (100, None), (110, Some(Hold::Loss))] {
        let once = after((1..=7).map(|n| sized(n, 10)).chain([sized(8, files), sized(9, 10)]));
        assert_eq!(once.hold(), hold, "{files}");
    }
}

#[test]
fn what_is_known_of_snapshots_goes_where_their_tag_goes() {
    let known =
        after([whole(1), whole(2), backup(3, 90, 900, Some(Class::SourceMissing)), backup(4, 0, 0, None)]);
    let held = BTreeMap::from([("etc".to_owned(), known.clone())]);
    let owner = |owner: &'static str| move |tag: &str| (tag == "etc").then(|| owner.to_owned());
    assert_eq!(sorted(held.clone(), owner("etc")), held, "nothing has changed");
    assert_eq!(sorted(held.clone(), |_| None), held, "it waits for whoever goes on");
    let gone_on = sorted(held.clone(), owner("system"));
    assert_eq!(gone_on, BTreeMap::from([("system".to_owned(), known.clone())]));

    // A group gives the tag up, and another one takes it.
    let renamed = BTreeMap::from([("system".to_owned(), known.clone())]);
    let both = |tag: &str| Some(tag.to_owned());
    let parted = sorted(renamed, both);
    assert_eq!(lacking(&parted["etc"]), lacking(&known));
    assert_eq!((parted["system"].lacking.len(), parted["system"].hold()), (0, known.hold()));
}

#[test]
fn files_that_can_not_be_read_still_say_what_is_usual() {
    let known = after([
        backup(1, 100, 1_000, Some(Class::SourceUnreadable)),
        backup(2, 10, 100, Some(Class::SourceUnreadable)),
    ]);
    assert_eq!(known.hold(), Some(Hold::Loss));
}

#[test]
fn more_lacking_ones_than_are_kept_hold_everything() {
    let mut known = after([whole(1)]);
    for n in 0..=MOST_LACKING as u64 {
        let snapshot: &'static str = format!("{n:08x}").leak();
        let lack =
            Some(Lack { class: Class::SourceMissing, paths: Vec::new(), paths_left_out: 0, errors: 0 });
        let id = JobId::new(Timestamp(n), [0; 10]);
        let extent = Extent { files: 100, bytes: 1_000 };
        take(
            &mut known,
            Made { job: id, tag: "etc", snapshot, extent, lack, asked_at: NOW, ended_at: NOW },
            NOW,
        );
    }
    assert_eq!((known.lacking.len(), known.hold()), (MOST_LACKING, Some(Hold::TooManyLacking)));
}

proptest! {
    /// Whatever backups bring: none that lacks something unaccepted, or lost more than half, counts as whole; a report
    /// that comes twice changes nothing; and only a person ends a hold.
    #[test]
    fn what_is_not_whole_is_known(backups in prop::collection::vec((0..200u64, 0..3u8, any::<bool>()), 1..40)) {
        let mut known = after([]);
        for (n, (files, lack, looks)) in (1..).zip(backups) {
            let class = [None, Some(Class::SourceMissing), Some(Class::SourceEmpty)][usize::from(lack)];
            let before = known.clone();
            take(&mut known, backup(n, files, files * 10, class), NOW);
            let usual = usual_of(&before.usual);
            let extent = Extent { files, bytes: files * 10 };
            let swings = class.is_none() && before.clone().takes_little(extent);
            let is_lost = !swings && usual.is_some_and(|usual| is_less_than_half(extent, usual));
            let accepted = before.accepted.as_ref().and_then(|accepted| accepted.lack.as_ref());
            let is_right = class.is_none() || accepted.map(|lack| lack.class) == class;
            prop_assert_eq!(known.lacking.iter().any(|flawed| flawed.job == Some(job(n))), is_lost || !is_right);
            prop_assert!(before.hold().is_none() || known.hold().is_some());
            let once = known.clone();
            take(&mut known, backup(n, files, files * 10, class), NOW);
            prop_assert_eq!(&known.lacking, &once.lacking);
            prop_assert_eq!(known.hold(), once.hold());
            known = once;
            if looks && known.mark().is_some() {
                accept(&mut known, &Actor::System, NOW);
                prop_assert_eq!(known.hold(), None);
            }
        }
    }
}
