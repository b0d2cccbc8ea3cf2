//! `holdfast-agent update`: a signed program takes the place of the one that runs, once it has said hello; nothing else
//! ever does. Keys and signatures are openssl's, as the help says.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    process::{Process, run},
    scene::Scene,
    wait::{self, LONG, SOON},
};

/// Makes keys, and programs that are signed with them.
pub(crate) struct Maker {
    /// Where.
    pub(crate) folder: PathBuf,
}

impl Maker {
    /// Has the agent of a scene run from a copy of its program, which may be replaced; where that is.
    pub(crate) fn in_place(scene: &mut Scene) -> (Self, PathBuf) {
        let folder = scene.scratch.path().join("update");
        fs::create_dir(&folder).expect("a folder");
        let place = folder.join("holdfast-agent");
        fs::copy(&scene.agent.program, &place).expect("a copy");
        scene.agent.stop();
        scene.agent.program.clone_from(&place);
        scene.agent.start();
        scene.api().wait_online(scene.host(), true, LONG);
        (Self { folder }, place)
    }

    fn openssl(&self, args: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command.args(args).current_dir(&self.folder);
        run("openssl", command, SOON).expect_success("openssl")
    }

    /// The line that stands in the policy file.
    pub(crate) fn key(&self, name: &str) -> String {
        let file = format!("{name}.pem");
        let _ = self.openssl(&["genpkey", "-algorithm", "ed25519", "-out", &file]);
        let pem = self.openssl(&["pkey", "-in", &file, "-pubout"]);
        pem.lines().find(|line| line.starts_with("MCow")).expect("a public key").to_owned()
    }

    /// A program and its signature.
    pub(crate) fn program(&self, name: &str, bytes: &[u8], key: &str) -> PathBuf {
        fs::write(self.folder.join(name), bytes).expect("a program");
        let (key, signature) = (format!("{key}.pem"), format!("{name}.sig"));
        let _ =
            self.openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", name, "-out", &signature]);
        self.folder.join(name)
    }
}

pub(crate) fn update(scene: &Scene, policy: &Path, file: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(&scene.agent.program);
    command.arg("update").arg(file).arg("--state-dir").arg(&scene.agent.state_dir);
    command.arg("--policy").arg(policy).args(more);
    command
}

/// What the command said, and whether it has updated.
pub(crate) fn updated(command: Command) -> (String, bool) {
    let done = run("holdfast-agent update", command, LONG);
    (done.output, done.status.success())
}

#[test]
fn a_signed_program_takes_over_once_it_has_said_hello_and_no_other_one_does() {
    let Some(mut scene) = Scene::start() else { return };
    let old = fs::read(&scene.agent.program).expect("the program");
    let (maker, place) = Maker::in_place(&mut scene);
    let folder = maker.folder.clone();
    let pid = scene.agent.pid();

    let policy = folder.join("policy.toml");
    fs::write(&policy, format!("update_key = '{}'\n", maker.key("owner"))).expect("a policy");
    let _ = maker.key("stranger");
    // Another file, and the same program: what stands behind the end of it is never read.
    let good = maker.program("good", &[old.as_slice(), b"newer"].concat(), "owner");

    // Not even begun.
    let strange = maker.program("strange", &[old.as_slice(), b"other"].concat(), "stranger");
    let changed = maker.program("changed", &old, "owner");
    fs::write(&changed, [old.as_slice(), b"!"].concat()).expect("a changed program");
    let text = maker.program("text", b"Hello.\n", "owner");
    let older = maker.program("older", b"#!/bin/sh\necho holdfast-agent 0.0.1\n", "owner");
    let slow = maker.program("slow", b"#!/bin/sh\nexec sleep 600\n", "owner");
    let bare = folder.join("bare.toml");
    fs::write(&bare, "").expect("a policy");
    for (file, policy, said) in [
        (&strange, &policy, "is no signature of"),
        (&changed, &policy, "is no signature of"),
        (&text, &policy, "can't be started on this machine"),
        (&slow, &policy, "does not tell its version in 10 s"),
        (&older, &policy, "0.0.1 is older than"),
        (&good, &bare, "has no update_key"),
        (&folder.join("absent"), &policy, "absent: No such file"),
    ] {
        let (output, done) = updated(update(&scene, policy, file, &[]));
        assert!(!done && output.contains(said), "{}: {output}", file.display());
    }
    assert!(!scene.agent.log().contains("SIGUSR2"), "{}", scene.agent.log());

    // Tried, and taken back: it ends at once; it never says hello; `update` itself is killed.
    let script = |end: &str| {
        format!("#!/bin/sh\n[ \"$1\" = version ] && echo 'holdfast-agent 9.9.9' && exit\n{end}\n")
    };
    let ends = maker.program("ends", script("exit 3").as_bytes(), "owner");
    let hangs = maker.program("hangs", script("exec sleep 600").as_bytes(), "owner");
    for (file, wait) in [(&ends, "100"), (&hangs, "3")] {
        let (output, done) = updated(update(&scene, &policy, file, &["--wait", wait]));
        assert!(!done && output.contains("did not say hello in time, or ended"), "{output}");
        scene.api().wait_online(scene.host(), true, LONG);
        assert_eq!(fs::read(&place).expect("the program"), old);
    }
    let mut killed =
        Process::start("holdfast-agent update", update(&scene, &policy, &hangs, &["--wait", "3"]));
    wait::until("the trial", SOON, || {
        let tried = scene.agent.log().matches("trying ").count();
        if tried == 3 { Ok(()) } else { Err(format!("{tried} so far")) }
    });
    killed.kill_9();
    let (output, done) = updated(update(&scene, &policy, &good, &[]));
    assert!(!done && output.contains("another update is under way"), "{output}");
    wait::until("the old program", LONG, || {
        let status = scene.agent.status();
        if status.contains("connection    since") { Ok(()) } else { Err(status) }
    });
    assert_eq!(fs::read(&place).expect("the program"), old);
    assert!(!folder.join("holdfast-agent.new").exists());

    // Taken over.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o751)).expect("a mode");
    let (output, done) = updated(update(&scene, &policy, &good, &[]));
    assert!(done && output.contains("it has said hello"), "{output}");
    assert_eq!(fs::read(&place).expect("the program"), fs::read(&good).expect("the new one"));
    assert_eq!(fs::metadata(&place).expect("the program").permissions().mode() & 0o777, 0o751);
    assert!(!folder.join("holdfast-agent.new").exists() && !scene.agent.state_dir.join("update").exists());
    assert_eq!(scene.agent.pid(), pid);
    let program = fs::read_link(format!("/proc/{pid}/exe")).expect("the same process");
    assert_eq!(program, place, "the process is the new program");
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
    scene.agent.stop();
    let (output, done) = updated(update(&scene, &policy, &good, &[]));
    assert!(!done && output.contains("no agent runs on this state folder"), "{output}");
}
