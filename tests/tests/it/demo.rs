//! `holdfast-server demo`, the first thing that a newcomer sees: it works twice, says what is in its way, and stops.

use rustix::process::Signal;
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
};
use tests::{
    api, ports, proc_table,
    process::{Finished, Process, run},
    repository::Repository,
    scratch::Scratch,
    sources::write_tree,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

struct Demo {
    scratch: Scratch,
    http: SocketAddr,
    mqtt: SocketAddr,
    plain: SocketAddr,
}

impl Demo {
    /// `None`: there is no restic right now; the skip is noted.
    fn new() -> Option<Self> {
        if !tools::needs(&[Tool::Restic018]) {
            return None;
        }
        let scratch = Scratch::new();
        write_tree(&scratch.folder("sources"), 3, 20, 1_000_000);
        Some(Self { scratch, http: ports::free(), mqtt: ports::free(), plain: ports::free() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.arg("demo").arg("--data-dir").arg(self.scratch.path().join("data"));
        command.arg("--source").arg(self.scratch.path().join("sources"));
        command.arg("--restic").arg(Tool::Restic018.path());
        command.args([
            format!("--http-port={}", self.http.port()),
            format!("--mqtt-port={}", self.mqtt.port()),
            format!("--mqtt-plain-port={}", self.plain.port()),
        ]);
        command
    }

    fn once(&self) -> Finished {
        let mut command = self.command();
        command.arg("--once");
        run("demo --once", command, LONG)
    }

    fn data(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path().join("data").join(name)
    }
}

/// The command line of a process that is at work on the demo's data.
fn someone_is_at_work_on(folder: &Path) -> Option<String> {
    let folder = folder.display().to_string();
    let lines = proc_table::all().into_iter().filter(|seen| seen.state != 'Z');
    let mut lines = lines.map(|seen| String::from_utf8_lossy(&seen.arguments).replace('\0', " "));
    lines.find(|line| line.contains(&folder))
}

#[test]
fn the_script_gives_its_help_without_a_build_in_the_programs_words() {
    let words = |mut command: Command| {
        // Without a PATH to cargo nothing can be built. An output that is no terminal is wrapped at 100 columns.
        let output = command.env("PATH", "/usr/bin:/bin").output().expect("a command that starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut program = Command::new(tools::program("holdfast-server"));
    program.args(["demo", "--help"]).env_remove("COLUMNS");
    let wanted = words(program).replace("Usage: holdfast-server demo", "Usage: ./demo");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    for flag in ["--help", "-h"] {
        let mut command = Command::new(&script);
        command.arg(flag).env_remove("COLUMNS");
        assert_eq!(words(command), wanted, "{flag}");
    }
}

#[test]
fn once_and_once_more_each_makes_a_snapshot_and_leaves_nothing_running() {
    let Some(demo) = Demo::new() else { return };
    for round in 1..=2 {
        let said = demo.once().expect_success("demo --once");
        let plural = if round == 1 { "snapshot" } else { "snapshots" };
        assert!(
            said.contains(&format!("Done: {round} {plural} in the repository, listed by restic.")),
            "{said}"
        );
        assert_eq!(said.contains("enrolled from an earlier run"), round == 2, "{said}");
        assert!(said.contains("It is there again, compared with what was saved: "), "{said}");
        assert!(said.contains("Proven: 20 of 20 files, "), "{said}");
        assert_eq!(someone_is_at_work_on(demo.scratch.path()), None);
    }
    // The repository is a real one, and nobody but the demo knows its password.
    assert!(demo.data("repository").join("config").is_file());
    let guessed = Repository::at(&demo.data("repository").display().to_string(), "");
    assert!(guessed.is_sound().is_err());
}

#[test]
fn it_stays_up_until_ctrl_c_and_stops_cleanly() {
    let Some(demo) = Demo::new() else { return };
    let mut running = Process::start("demo", demo.command());
    let link = running.line("its sign-in link", LONG, |line| {
        let (_, rest) = line.split_once("Sign in")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    running.line("that it is up", SOON, |line| line.contains("Up. Ctrl-C stops it.").then_some(()));
    let page = api::http().get(&link).call().expect("the set-up page");
    assert_eq!(page.status(), 200);

    // A second one says first of all that this one runs, and harms nothing.
    let second = demo.once();
    assert!(!second.status.success(), "{}", second.output);
    let why = second.output.lines().find(|line| line.contains("already")).unwrap_or_default();
    assert!(why.contains("--data-dir"), "{}", second.output);
    assert!(!second.output.contains("--http-port"), "{}", second.output);

    running.signal(Signal::INT);
    let status = running.end(SOON);
    assert!(status.success(), "{status}: {}", running.log().text());
    wait::until("everything to end with it", SOON, || match someone_is_at_work_on(demo.scratch.path()) {
        None => Ok(()),
        Some(seen) => Err(seen),
    });
    // And it goes on where it was.
    let said = demo.once().expect_success("demo --once");
    assert!(said.contains("Done: 2 snapshots"), "{said}");
}

#[test]
fn ctrl_c_in_the_middle_stops_it_too() {
    let Some(demo) = Demo::new() else { return };
    let mut running = Process::start("demo", demo.command());
    running.line("the agent's hello", LONG, |line| line.contains("is here: agent").then_some(()));
    running.signal(Signal::INT);
    let status = running.end(SOON);
    assert!(status.success(), "{status}: {}", running.log().text());
    wait::until("everything to end with it", SOON, || match someone_is_at_work_on(demo.scratch.path()) {
        None => Ok(()),
        Some(seen) => Err(seen),
    });
    let _ = demo.once().expect_success("the next one");
}

#[test]
fn its_agent_dies_with_it_and_the_next_one_goes_on() {
    let Some(demo) = Demo::new() else { return };
    let mut running = Process::start("demo", demo.command());
    running.line("that it is up", LONG, |line| line.contains("Up. Ctrl-C stops it.").then_some(()));
    running.kill_9();
    let said = demo.once().expect_success("the next one, at once");
    assert!(said.contains("Done: 2 snapshots"), "{said}");
    assert_eq!(someone_is_at_work_on(demo.scratch.path()), None);
}

#[test]
fn a_second_demo_over_the_same_data_is_refused_in_plain_words() {
    let Some(mut demo) = Demo::new() else { return };
    let mut running = Process::start("demo", demo.command());
    running.line("that it is up", LONG, |line| line.contains("Up. Ctrl-C stops it.").then_some(()));
    (demo.http, demo.mqtt, demo.plain) = (ports::free(), ports::free(), ports::free());
    let second = demo.once();
    assert!(!second.status.success(), "{}", second.output);
    assert!(second.output.contains("already"), "{}", second.output);
    assert!(running.ended().is_none(), "the first goes on");
}

#[test]
fn a_busy_port_is_named_with_the_way_out() {
    let Some(demo) = Demo::new() else { return };
    for (address, flag) in
        [(demo.http, "--http-port"), (demo.mqtt, "--mqtt-port"), (demo.plain, "--mqtt-plain-port")]
    {
        let _busy = TcpListener::bind(address).expect("a free port");
        let said = demo.once();
        assert!(!said.status.success(), "{}", said.output);
        assert!(said.output.contains(&address.port().to_string()), "{}", said.output);
        assert!(said.output.contains(flag), "{}", said.output);
        assert!(!demo.data("server").join("holdfast.redb").exists(), "nothing was begun");
    }
}
