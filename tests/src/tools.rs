//! Finds the programs that tests need. One that is missing fails the test and says what to install.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// A program from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The oldest restic that is supported: Debian 12's.
    Restic014,
    /// Debian 13's restic.
    Restic018,
    /// The newest restic in Debian.
    ResticNewest,
    /// restic's own HTTP storage.
    RestServer,
    /// Another MQTT broker.
    Mosquitto,
    /// Subscribes from a command line.
    MosquittoSub,
    /// Publishes from a command line.
    MosquittoPub,
    /// Drives the browser.
    Chromedriver,
    /// The browser.
    Chromium,
    /// Opens encrypted files.
    Age,
    /// Gives a program a terminal.
    Script,
    /// Scrapes and evaluates.
    Prometheus,
    /// Checks rules of Prometheus.
    Promtool,
    /// A Python that has paho-mqtt.
    Paho,
    /// MQTT in a browser.
    MqttJs,
    /// A Python that has aiosmtpd.
    Smtp,
    /// The agent of an earlier state of this repository.
    OldAgent,
}

impl Tool {
    /// The word for it in `HOLDFAST_UNAVAILABLE`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Restic014 => "restic-0.14",
            Self::Restic018 => "restic-0.18",
            Self::ResticNewest => "restic-newest",
            Self::RestServer => "rest-server",
            Self::Mosquitto => "mosquitto",
            Self::MosquittoSub => "mosquitto_sub",
            Self::MosquittoPub => "mosquitto_pub",
            Self::Chromedriver => "chromedriver",
            Self::Chromium => "chromium",
            Self::Age => "age",
            Self::Script => "script",
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Paho => "paho-mqtt",
            Self::MqttJs => "mqtt.js",
            Self::Smtp => "aiosmtpd",
            Self::OldAgent => "old-agent",
        }
    }

    fn place(self) -> Place {
        match self {
            Self::Restic014 => Place::Installed("restic", "restic"),
            Self::Restic018 => Place::Fetched("trixie/usr/bin/restic"),
            Self::ResticNewest => Place::Fetched("sid/usr/bin/restic"),
            Self::RestServer => Place::Fetched("trixie/usr/bin/restic-rest-server"),
            Self::Mosquitto => Place::Installed("mosquitto", "mosquitto"),
            Self::MosquittoSub => Place::Installed("mosquitto_sub", "mosquitto-clients"),
            Self::MosquittoPub => Place::Installed("mosquitto_pub", "mosquitto-clients"),
            Self::Chromedriver => Place::Installed("chromedriver", "chromium-driver"),
            Self::Chromium => Place::Installed("chromium", "chromium"),
            Self::Age => Place::Installed("age", "age"),
            Self::Script => Place::Installed("script", "bsdutils"),
            Self::Prometheus => Place::Installed("prometheus", "prometheus"),
            Self::Promtool => Place::Installed("promtool", "prometheus"),
            Self::MqttJs => Place::Fetched("mqtt.js/mqtt.min.js"),
            Self::Paho | Self::Smtp => Place::Fetched("venv/bin/python"),
            Self::OldAgent => Place::Fetched("old-agent/holdfast-agent"),
        }
    }

    /// Where it is.
    ///
    /// # Panics
    /// When it is not there; the message says how to get it.
    #[must_use]
    #[track_caller]
    pub fn path(self) -> PathBuf {
        match self.place() {
            Place::Installed(program, package) => on_path(program).unwrap_or_else(|| {
                panic!("{program} is not installed: run ./test, or apt install {package}")
            }),
            Place::Fetched(file) => {
                let path = folder().join(file);
                assert!(
                    path.is_file(),
                    "{} is missing: run ./test, or tools/fetch-restic and tools/old-agent",
                    path.display()
                );
                path
            }
        }
    }
}

enum Place {
    /// On the PATH; program and Debian package.
    Installed(&'static str, &'static str),
    /// In the tools folder.
    Fetched(&'static str),
}

/// Whether a test can have these tools. When `./test` found that no registry gives one of them right now, the skip
/// is noted for its count, and the test has to return. Anything else that is missing is an error, not a skip.
#[must_use]
pub fn needs(tools: &[Tool]) -> bool {
    let unavailable = env::var("HOLDFAST_UNAVAILABLE").unwrap_or_default();
    let Some(tool) = tools.iter().find(|tool| unavailable.split_whitespace().any(|word| word == tool.word()))
    else {
        return true;
    };
    skip(&format!("{} is not to be had right now", tool.word()));
    false
}

/// Notes that a test is skipped, for the count; it has to return.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("{test}: {why}\n");
    eprint!("skipped, {line}");
    if let Some(path) = env::var_os("HOLDFAST_SKIPS")
        && let Ok(mut file) = fs::OpenOptions::new().append(true).create(true).open(path)
    {
        // Lines of tests that run at the same time stay whole: one write, appended.
        let _ = file.write_all(line.as_bytes());
    }
}

/// One of Holdfast's own programs, from the folder where this test was built.
///
/// # Panics
/// When it was not built.
#[must_use]
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    // target/<profile>/deps/<test>
    let path = test.ancestors().nth(2).unwrap_or(Path::new("/")).join(name);
    assert!(path.is_file(), "{} is missing: run ./test, or cargo build --workspace", path.display());
    path
}

/// The static agent that `cross/build` has made for a machine. `None`: it was not made; the skip is noted.
#[must_use]
pub fn static_agent(machine: &str) -> Option<PathBuf> {
    let beside = || program("holdfast-agent").ancestors().nth(2).unwrap_or(Path::new("/")).join("cross");
    let folder = env::var_os("HOLDFAST_CROSS_OUT").map_or_else(beside, PathBuf::from);
    let found = Some(folder.join(format!("holdfast-agent-{machine}"))).filter(|path| path.is_file());
    if found.is_none() {
        skip(&format!("there is no static agent for {machine}: cross/build makes it"));
    }
    found
}

fn folder() -> PathBuf {
    let home = || env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    env::var_os("HOLDFAST_TOOLS").map_or_else(|| home().join(".cache/holdfast-tools"), PathBuf::from)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(also).map(|folder| folder.join(program)).find(|path| path.is_file())
}
