//! Jobs as arguments.

use agent_linux::restic::{
    RestoreTo,
    args::{ArgsError, Setting, into_found, into_new, into_original, plan_steps},
    version::Version,
};
use proptest::prelude::*;
use schema::{
    Items, JobSpec, Keep, OsText, Overwrite, RestoreTarget,
    job::{BackupSpec, ForgetGroup},
    restore::RestoreSpec,
};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

fn setting(minor: u16) -> Setting<'static> {
    Setting {
        version: Version::new(0, minor),
        restic_host: "nas",
        small: false,
        cache: "/var/cache/hf",
        upload_kib: 0,
        download_kib: 0,
        command: None,
        restore_to: None,
    }
}

fn backup<'a>(includes: Items<'a, &'a str>, excludes: Items<'a, &'a str>) -> BackupSpec<'a> {
    BackupSpec {
        group: "home",
        includes,
        excludes,
        exclude_if_present: Items::EMPTY,
        one_file_system: true,
        required_mounts: Items::EMPTY,
        hooks_before: Items::EMPTY,
        hooks_after: Items::EMPTY,
        dry_run: false,
        origins: Items::EMPTY,
    }
}

fn lines(spec: &JobSpec<'_>, setting: &Setting<'_>) -> Vec<String> {
    plan_steps(spec, setting).unwrap().iter().map(agent_linux::restic::step::Step::shown).collect()
}

const ID: &str = "ac02311a0804c4657cfb2335e09fc7d4b12c7a202bb8d443ddb4eb8cb6cf8cf2";

const RESTORE: RestoreSpec<'static> = RestoreSpec {
    snapshot: ID,
    paths: Items::EMPTY,
    target: RestoreTarget::Original,
    overwrite: Overwrite::Never,
    delete: false,
    verify: false,
    dry_run: false,
};

#[test]
fn a_backup_is_one_run_with_flags_by_version() {
    let (mut includes, mut excludes) = ([0; 99], [0; 99]);
    let includes = Items::write(["/home", "/-x"], &mut includes).unwrap();
    let excludes = Items::write(["*.tmp", "--option=x"], &mut excludes).unwrap();
    let spec = JobSpec::Backup(backup(includes, excludes));
    assert_eq!(
        lines(&spec, &setting(18)),
        ["backup --json --retry-lock=20s --host=nas --tag=home --group-by=host,tags --one-file-system \
          --exclude=/var/cache/hf --exclude=*.tmp --exclude=--option=x -- /home /-x"]
    );
    assert_eq!(
        lines(&spec, &setting(14)),
        ["backup --json --host=nas --tag=home --one-file-system \
          --exclude=/var/cache/hf --exclude=*.tmp --exclude=--option=x -- /home /-x"]
    );
    let small = Setting { small: true, ..setting(18) };
    let line = &lines(&spec, &small)[0];
    assert!(line.contains(" --no-scan --read-concurrency=1 --option=local.connections=1 "), "{line}");
    let old_small = Setting { small: true, ..setting(14) };
    assert!(!lines(&spec, &old_small)[0].contains("--no-scan"));
}

#[test]
fn a_forget_is_one_run_for_each_group_that_has_a_rule() {
    let keep = Keep { last: 3, weekly: 2, within: "1y5m7d2h", ..Keep::default() };
    let groups = [
        ForgetGroup::new("home", keep),
        ForgetGroup::new("never", Keep::default()),
        ForgetGroup::new("etc", Keep { daily: 7, ..Keep::default() }),
    ];
    let mut buffer = [0; 200];
    let groups = Items::write(groups, &mut buffer).unwrap();
    assert_eq!(
        lines(&JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }, &setting(17)),
        [
            "forget --json --dry-run --no-lock --host=nas --tag=home --group-by= --keep-last=3 --keep-weekly=2 \
             --keep-within=1y5m7d2h",
            "forget --json --dry-run --no-lock --host=nas --tag=etc --group-by= --keep-daily=7",
        ]
    );
    let dry = &lines(&JobSpec::Forget { groups, others: Items::EMPTY, dry_run: true }, &setting(17))[1];
    assert_eq!(dry, "forget --json --dry-run --no-lock --host=nas --tag=etc --group-by= --keep-daily=7");
}

#[test]
fn the_other_kinds_have_their_arguments() {
    let new = setting(19);
    assert_eq!(lines(&JobSpec::Probe, &new), ["cat config --json --no-lock"]);
    assert_eq!(lines(&JobSpec::Init, &new), ["cat config --json --no-lock"], "first of all, look");
    assert_eq!(lines(&JobSpec::Prune { dry_run: false }, &new), ["prune --retry-lock=20s"]);
    assert_eq!(lines(&JobSpec::Check { subset_pct: 0 }, &new), ["check --retry-lock=20s"]);
    assert_eq!(
        lines(&JobSpec::Check { subset_pct: 5 }, &setting(16)),
        ["check --retry-lock=20s --read-data-subset=5%"]
    );
    assert_eq!(lines(&JobSpec::Check { subset_pct: 200 }, &setting(14)), ["check --read-data"]);
    assert_eq!(lines(&JobSpec::Unlock { all: false }, &new), ["unlock"]);
    assert_eq!(lines(&JobSpec::Unlock { all: true }, &new), ["unlock --remove-all"]);
    assert_eq!(lines(&JobSpec::Stats, &new), ["stats --json --no-lock --mode=raw-data"]);
    assert_eq!(lines(&JobSpec::Snapshots, &new), ["snapshots --json --no-lock"]);
    let ls = JobSpec::Ls { snapshot: ID, path: "/home".into() };
    assert_eq!(lines(&ls, &new), [format!("ls --json --no-lock -- {ID} /home")]);
    let mut buffer = [0; 99];
    let paths = [OsText::from("/a/[b]*"), OsText::new(b"/c\xff")];
    let paths = Items::write(paths, &mut buffer).unwrap();
    let restore = RestoreSpec { paths, dry_run: true, ..RESTORE };
    let to = RestoreTo::New { within: "/tmp".into(), forbidden: Vec::new() };
    let step = |spec: RestoreSpec<'_>, setting: &Setting<'_>| {
        plan_steps(&JobSpec::Restore(spec), setting).unwrap().remove(0)
    };
    let template = step(restore, &Setting { restore_to: Some(&to), ..new });
    assert_eq!(
        into_new(&template).all_args().join(OsStr::new(" ")).as_bytes(),
        [b"restore --json --no-lock --dry-run --sparse --include=/a/\\[b\\]\\* --include=/c\xff --target=/proc/self/cwd/.holdfast-restoring -- ".as_slice(), ID.as_bytes()].concat()
    );
    let over = RestoreSpec { overwrite: Overwrite::IfNewer, delete: true, verify: true, ..RESTORE };
    let template = step(over, &Setting { restore_to: Some(&to), ..new });
    assert_eq!(
        into_found(&template, &over, OsStr::new("-x"), Version::new(0, 18)).all_args().join(OsStr::new(" ")),
        *format!(
            "restore --json --no-lock --verify --sparse --target=/proc/self/cwd/-x --overwrite=if-newer --verbose=2 --delete -- {ID}"
        )
    );
    let delete = JobSpec::Restore(RestoreSpec { delete: true, ..RESTORE });
    let old = plan_steps(&delete, &Setting { restore_to: Some(&to), ..setting(16) });
    assert!(matches!(old, Err(ArgsError::TooOld { .. })), "{old:?}");
    let to = RestoreTo::Original { without: vec!["/var/[own]".into()] };
    let in_place =
        |minor| plan_steps(&JobSpec::Restore(RESTORE), &Setting { restore_to: Some(&to), ..setting(minor) });
    let RestoreTo::Original { without } = &to else { return };
    let line = into_original(&in_place(18).unwrap()[0], &RESTORE, without, Version::new(0, 18));
    assert_eq!(
        line.all_args().join(OsStr::new(" ")),
        *format!(
            "restore --json --no-lock --sparse --target=/ --exclude=/var/\\[own\\] --overwrite=never --verbose=2 -- {ID}"
        )
    );
    for minor in [14, 16, 17] {
        assert!(matches!(in_place(minor), Err(ArgsError::FollowsLinks { .. })), "{minor}");
    }
}

#[test]
fn what_could_be_taken_for_something_else_is_refused() {
    let refused = |spec: &JobSpec<'_>| plan_steps(spec, &setting(16)).unwrap_err();
    let mut buffer = [0; 99];
    let home = Items::write(["/home"], &mut buffer).unwrap();
    let named = |group| JobSpec::Backup(BackupSpec { group, ..backup(home, Items::EMPTY) });
    for name in ["", "-x", "a,b", "a b", "--keep-last=0", "ä"] {
        assert_eq!(refused(&named(name)), ArgsError::Name(name.into()));
    }
    assert_eq!(refused(&JobSpec::Backup(backup(Items::EMPTY, Items::EMPTY))), ArgsError::NoPaths);
    let mut buffer = [0; 99];
    let relative = Items::write(["home"], &mut buffer).unwrap();
    assert_eq!(refused(&JobSpec::Backup(backup(relative, Items::EMPTY))), ArgsError::Path("home".into()));
    for snapshot in ["", "latest", "--help", "ABCDEF01", &"a".repeat(65)] {
        let spec = JobSpec::Ls { snapshot, path: "/".into() };
        assert_eq!(refused(&spec), ArgsError::Snapshot(snapshot.into()));
    }
    for within in ["1", "d", "1d ", "1d--x", "1w", "99999999d", "-1d"] {
        let mut buffer = [0; 99];
        let keep = Keep { within, ..Keep::default() };
        let groups = Items::write([ForgetGroup::new("home", keep)], &mut buffer).unwrap();
        assert_eq!(
            refused(&JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }),
            ArgsError::Duration(within.into())
        );
    }
    assert_eq!(refused(&JobSpec::Restore(RESTORE)), ArgsError::NoTarget);
    for host in ["", "-h", "a\nb"] {
        let odd = Setting { restic_host: host, ..setting(18) };
        assert_eq!(plan_steps(&JobSpec::Stats, &odd), Err(ArgsError::Name(host.into())));
    }
}

proptest! {
    /// Whatever the values are: before `--` every argument is one of our own flags or words, and behind it only
    /// absolute paths stand.
    #[test]
    fn no_value_from_outside_becomes_an_option(
        group in ".{0,12}", host in ".{0,12}", include in ".{0,12}", exclude in ".{0,12}", marker in ".{0,12}",
    ) {
        let (mut a, mut b, mut c) = ([0; 99], [0; 99], [0; 99]);
        let spec = BackupSpec {
            group: &group,
            exclude_if_present: Items::write([marker.as_str()], &mut c).unwrap(),
            ..backup(Items::write([include.as_str()], &mut a).unwrap(), Items::write([exclude.as_str()], &mut b).unwrap())
        };
        let setting = Setting { restic_host: &host, ..setting(18) };
        if let Ok(steps) = plan_steps(&JobSpec::Backup(spec), &setting) {
            let args = &steps[0].args;
            let end = args.iter().position(|arg| arg == "--").unwrap();
            let flags = ["--json", "--retry-lock=", "--host=", "--tag=", "--group-by=", "--one-file-system", "--exclude=", "--exclude-if-present="];
            prop_assert_eq!(args[0].as_str(), "backup");
            for arg in &args[1..end] {
                prop_assert!(flags.iter().any(|flag| arg.starts_with(flag)), "{}", arg);
            }
            prop_assert_eq!(args[end + 1..].len(), 1);
            prop_assert!(args[end + 1].starts_with('/'));
        }
    }
}
