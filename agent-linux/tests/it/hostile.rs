//! A server that was taken over: it holds the link key and sends valid commands. It can't run a program that the policy
//! doesn't name, read outside the roots, restore outside the targets, or give restic an option.

use crate::program::Scene;
use schema::{
    Class, CommandBody, Items, JobId, JobSpec, Keep, Outcome, Run,
    job::{BackupSpec, ForgetGroup, RestoreSpec},
};
use std::{fs, os::unix::fs::symlink, path::Path};

const PLAIN: BackupSpec<'_> = BackupSpec {
    group: "docs",
    includes: Items::EMPTY,
    excludes: Items::EMPTY,
    exclude_if_present: Items::EMPTY,
    one_file_system: false,
    required_mounts: Items::EMPTY,
    hooks_before: Items::EMPTY,
    hooks_after: Items::EMPTY,
    dry_run: false,
    origins: Items::EMPTY,
};

struct Attack {
    scene: Scene,
    number: u8,
}

impl Attack {
    /// Sends a job and waits for its end.
    fn run(&mut self, spec: JobSpec<'_>) -> (Outcome, Option<Class>, String) {
        self.number += 1;
        let job = self.scene.run(self.number, spec);
        self.scene.finished(job)
    }

    #[track_caller]
    fn fails(&mut self, spec: JobSpec<'_>) -> Option<Class> {
        let (outcome, class, message) = self.run(spec);
        assert_eq!(outcome, Outcome::Failed, "{spec:?}: {message}");
        class
    }

    /// A backup of these paths, with these excludes and hooks.
    fn backup(
        &mut self,
        includes: &[&str],
        excludes: &[&str],
        hooks: &[&str],
    ) -> (Outcome, Option<Class>, String) {
        let (mut first, mut second, mut third) = ([0; 2048], [0; 2048], [0; 2048]);
        let list = |texts: &[&str], room| Items::write(texts.iter().map(|text| (*text).to_owned()), room);
        let spec = BackupSpec {
            includes: list(includes, &mut first).expect("fits"),
            excludes: list(excludes, &mut second).expect("fits"),
            hooks_before: list(hooks, &mut third).expect("fits"),
            hooks_after: Items::EMPTY,
            ..PLAIN
        };
        self.run(JobSpec::Backup(spec))
    }
}

fn restore(target: &str) -> RestoreSpec<'_> {
    RestoreSpec { snapshot: "0123abcd", includes: Items::EMPTY, target, dry_run: false }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn valid_commands_do_no_more_than_the_policy_lets_them() {
    let mut scene = Scene::new();
    let at = |scene: &Scene, name: &str| scene.folder.path().join(name);
    let photos = scene.files("photos", 3, 100);
    let private = scene.files("private", 3, 100);
    symlink(&private, photos.join("door")).expect("a link");
    let (back, owned, policy) = (at(&scene, "back"), at(&scene, "owned"), at(&scene, "policy.toml"));
    fs::create_dir(&back).expect("made");
    symlink(&private, back.join("door")).expect("a link");
    fs::write(
        &policy,
        format!("source_roots = ['{}']\nrestore_targets = ['{}']\n", text(&photos), text(&back)),
    )
    .expect("written");
    let _agent = scene.start_with(&["--policy", &text(&policy)]);
    let _ = scene.hello();
    let repo = text(&at(&scene, "repo"));
    scene.send_credentials_of(1, &repo, Items::EMPTY);
    let mut attack = Attack { scene, number: 0 };
    let (outcome, _, message) = attack.run(JobSpec::Init);
    assert_eq!(outcome, Outcome::Succeeded, "{message}");

    // Paths.
    let (inside, door) = (text(&photos), text(&photos.join("door")));
    let upwards = format!("{inside}/../private");
    for path in [
        "/etc/hostname",
        "/",
        &door,
        &upwards,
        &text(&private),
        "--files-from=/etc/hostname",
        "command:sh",
        "relative",
    ] {
        let (outcome, class, message) = attack.backup(&[&inside, path], &[], &[]);
        assert_eq!((outcome, class), (Outcome::Failed, Some(Class::Policy)), "{path}: {message}");
    }
    // Programs.
    for hook in ["/bin/sh", "sh", "../../bin/sh", ""] {
        let (outcome, class, message) = attack.backup(&[&inside], &[], &[hook]);
        assert_eq!((outcome, class), (Outcome::Failed, Some(Class::Policy)), "{hook}: {message}");
    }
    // Options: what comes from outside is never one.
    let option = format!("--password-command=touch {}", text(&owned));
    let (outcome, _, message) = attack.backup(&[&inside], &[&option, "--help"], &[]);
    assert_eq!(outcome, Outcome::Succeeded, "an exclude that looks like an option is an exclude: {message}");
    let mut room = [0; 512];
    let includes = Items::write([inside.as_str()], &mut room).expect("fits");
    let _ = attack.fails(JobSpec::Backup(BackupSpec { group: &option, includes, ..PLAIN }));
    let mut room = [0; 512];
    let keep = Keep { last: 1, ..Keep::default() };
    let groups = Items::write([ForgetGroup::new(&option, keep)], &mut room).expect("fits");
    let _ = attack.fails(JobSpec::Forget { groups, dry_run: false });
    let mut room = [0; 512];
    let keep = Keep { within: "1d --prune", ..Keep::default() };
    let groups = Items::write([ForgetGroup::new("docs", keep)], &mut room).expect("fits");
    let _ = attack.fails(JobSpec::Forget { groups, dry_run: false });
    for (snapshot, path) in
        [(option.as_str(), "/"), ("latest", "/"), ("0123abcd", option.as_str()), ("0123abcd; sh", "/")]
    {
        let _ = attack.fails(JobSpec::Ls { snapshot, path });
    }
    attack.number += 1;
    let job = JobId([attack.number; 16]);
    let spec = JobSpec::Stats;
    attack.scene.send(CommandBody::Run(Run { job, restic_host: &option, deadline_secs: 120, spec }));
    assert_eq!(attack.scene.finished(job).0, Outcome::Failed);

    // Looks and restores.
    for path in [text(&private), door, "/etc".to_owned(), upwards] {
        assert_eq!(attack.fails(JobSpec::Browse { path: &path }), Some(Class::Policy), "{path}");
    }
    for target in
        [text(&private), text(&back.join("door")), format!("{}/../private", text(&back)), "/".to_owned()]
    {
        assert_eq!(attack.fails(JobSpec::Restore(restore(&target))), Some(Class::Policy), "{target}");
    }

    // Credentials that start programs, or load some into restic.
    for (revision, url, env) in [
        (2, format!("rclone:{}", text(&owned)), None),
        (3, repo.clone(), Some(("LD_PRELOAD", "/tmp/x.so"))),
        (4, repo.clone(), Some(("RESTIC_PASSWORD_COMMAND", option.as_str()))),
        (5, repo, Some(("PATH", "/tmp"))),
    ] {
        let mut room = [0; 1024];
        let env = Items::write(env, &mut room).expect("fits");
        attack.scene.send_credentials_of(revision, &url, env);
        let class = attack.fails(JobSpec::Stats);
        assert_eq!(class, Some(Class::Policy), "{url}");
    }
    assert!(!owned.exists(), "a program was run");
    assert_eq!(fs::read_dir(&back).expect("there").count(), 1, "nothing was restored");
}
