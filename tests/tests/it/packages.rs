//! The Debian packages: installed, used, updated and removed by dpkg, in a root of its own that lies over this machine's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{process::run, scratch::Scratch, tools, wait::LONG};

/// This machine's files with others over them: what is written there changes nothing here.
struct Root {
    at: PathBuf,
    _layers: Scratch,
}

impl Root {
    fn new() -> Option<Self> {
        let layers = Scratch::new();
        let (base, at) = (layers.folder("layers"), layers.folder("root"));
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "tmpfs"]).arg(&base);
        if !mount.output().is_ok_and(|done| done.status.success()) {
            tools::skip("packages need a root of their own, and nothing can be mounted here");
            return None;
        }
        for name in ["upper", "work"] {
            fs::create_dir(base.join(name)).expect("a layer");
        }
        let layer = |name: &str| base.join(name).display().to_string();
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o"]);
        mount.arg(format!("lowerdir=/,upperdir={},workdir={}", layer("upper"), layer("work"))).arg(&at);
        let root = Self { at, _layers: layers };
        if !mount.output().is_ok_and(|done| done.status.success()) {
            tools::skip("packages need a root of their own, and no overlay can be mounted here");
            return None;
        }
        Some(root)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("chroot");
        command.arg(&self.at).arg(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run(program, command, LONG).expect_success(program)
    }

    fn has(&self, path: &str) -> bool {
        self.at.join(path.trim_start_matches('/')).exists()
    }

    fn place(&self, file: &Path) -> String {
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        fs::copy(file, self.at.join("tmp").join(&name)).expect("a copy");
        format!("/tmp/{name}")
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for mounted in [self.at.clone(), self.at.with_file_name("layers")] {
            let _ = Command::new("umount").arg("--lazy").arg(mounted).status();
        }
    }
}

/// The packages of this build's programs, for the machine that they are for.
fn packages(folder: &Path) -> Vec<PathBuf> {
    let (from, out) = (folder.join("programs"), folder.join("deb"));
    fs::create_dir_all(&from).expect("a folder");
    for name in ["holdfast-agent", "holdfast-server"] {
        // As programs are shipped: what debuggers want is ten times the rest, and takes minutes to pack.
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(from.join(format!("{name}-x86_64"))).arg(tools::program(name));
        let _ = run("strip", strip, LONG).expect_success("a program without its debug data");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("packaging").join("deb");
    let mut command = Command::new(script);
    command.arg("--from").arg(&from).arg("--out").arg(&out).arg("amd64");
    // How small they get is not looked at here.
    command.env("DPKG_DEB_COMPRESSOR_LEVEL", "0");
    let said = run("packaging/deb", command, LONG).expect_success("the packages");
    said.lines().map(PathBuf::from).collect()
}

#[test]
fn the_add_on_has_the_version_of_the_programs() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("packaging").join("home-assistant/config.yaml");
    let text = fs::read_to_string(file).expect("the add-on");
    assert!(text.lines().any(|line| line == concat!("version: ", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
fn only_programs_for_the_machine_are_packed() {
    let scratch = Scratch::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("packaging").join("deb");
    let from = scratch.folder("programs");
    fs::create_dir_all(&from).expect("a folder");
    fs::write(from.join("holdfast-agent-x86_64"), "no program").expect("a file");
    let folder = from.display().to_string();
    for (arguments, code, said) in [
        (&["--from", &folder, "amd64"][..], 1, "is no program for amd64"),
        (&["--from", &folder, "arm64"], 1, "no program of"),
        (&["--from", "/no/such/folder"], 2, "there is no folder /no/such/folder"),
        (&["--from"], 2, "--from needs a folder"),
        (&["sparc"], 2, "no such architecture"),
    ] {
        let mut command = Command::new(&script);
        command.args(arguments).arg("--out").arg(scratch.path().join("deb"));
        if arguments.len() == 1 && arguments[0] == "--from" {
            command = Command::new(&script);
            command.args(arguments);
        }
        let done = run("packaging/deb", command, LONG);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {}", done.output);
        assert!(done.output.contains(said), "{arguments:?}: {}", done.output);
    }
}

#[test]
fn a_package_is_installed_used_and_leaves_only_its_state() {
    if !cfg!(target_arch = "x86_64") {
        return tools::skip("the packages of this test are for amd64");
    }
    let scratch = Scratch::new();
    let Some(root) = Root::new() else { return };
    let made = packages(scratch.path());
    assert_eq!(made.len(), 2, "{made:?}");
    let [agent, server] = [0, 1].map(|at| root.place(&made[at]));

    let said = root.run("dpkg", &["--install", &agent]);
    assert!(said.contains("holdfast-agent enroll TOKEN"), "{said}");
    let files = root.run("dpkg", &["--listfiles", "holdfast-agent"]);
    for file in [
        "/usr/bin/holdfast-agent",
        "/usr/lib/systemd/system/holdfast-agent.service",
        "/usr/share/doc/holdfast-agent/policy.toml",
    ] {
        assert!(files.lines().any(|line| line == file) && root.has(file), "{file}: {files}");
    }
    assert!(root.run("holdfast-agent", &["version"]).starts_with("holdfast-agent "));
    assert_eq!(
        root.run("dpkg", &["--verify", "holdfast-agent"]),
        "",
        "what was installed is what was packed"
    );
    let told = root
        .run("holdfast-agent", &["policy", "check", "--policy", "/usr/share/doc/holdfast-agent/policy.toml"]);
    assert!(told.contains("Nothing is wrong with it"), "{told}");
    // No package brings the policy file: the enrolment writes it, with the rights of its command line.
    assert!(!root.has("/etc/holdfast/policy.toml") && !files.contains("/etc/holdfast"));
    let policy = root.at.join("etc/holdfast/policy.toml");
    fs::create_dir_all(policy.parent().expect("a folder")).expect("a folder");
    fs::write(&policy, "admin_slot = false\n").expect("a policy");
    // Over itself, as an update does; what it keeps stays.
    let state = root.at.join("var/lib/holdfast-agent");
    fs::create_dir_all(&state).expect("a state folder");
    fs::write(state.join("identity"), "kept").expect("an identity");
    let _ = root.run("dpkg", &["--install", &agent]);
    let _ = root.run("dpkg", &["--remove", "holdfast-agent"]);
    assert!(root.has("/var/lib/holdfast-agent/identity"));
    assert_eq!(fs::read_to_string(&policy).expect("the policy"), "admin_slot = false\n");
    fs::create_dir_all(root.at.join("var/lib/holdfast/restored/today")).expect("something that was restored");
    for file in files.lines().filter(|file| file.contains("holdfast")) {
        assert!(!root.has(file), "{file} stays");
    }
    let _ = root.run("dpkg", &["--purge", "holdfast-agent"]);
    assert!(!root.has("/var/lib/holdfast-agent") && !root.has("/run/holdfast-agent.new"));
    assert!(!root.has("/etc/holdfast"), "the policy goes with the agent");
    assert!(root.has("/var/lib/holdfast/restored/today"), "what was restored is its owner's");

    let _ = root.run("dpkg", &["--install", &server]);
    assert!(root.run("getent", &["passwd", "holdfast"]).contains("/var/lib/holdfast-server"));
    assert!(root.run("holdfast-server", &["version"]).starts_with("holdfast-server "));
    let unit =
        fs::read_to_string(root.at.join("usr/lib/systemd/system/holdfast-server.service")).expect("its unit");
    assert!(unit.contains("ExecStart=/usr/bin/holdfast-server serve"), "{unit}");
    fs::create_dir_all(root.at.join("var/lib/holdfast-server")).expect("its data");
    let said = root.run("dpkg", &["--purge", "holdfast-server"]);
    assert!(root.has("/var/lib/holdfast-server") && said.contains("stay"), "{said}");
    assert!(!root.has("/usr/bin/holdfast-server"));
}
