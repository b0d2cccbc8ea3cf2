//! The server program.

use crate::{
    api::{Api, text},
    browser::Browser,
    ports,
    process::{Process, run},
    tools,
    wait::{self, SOON},
};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// A server over one data folder; it may be killed and started again.
#[derive(Debug)]
pub struct Server {
    /// Its data.
    pub data_dir: PathBuf,
    /// Pages and API.
    pub http: SocketAddr,
    /// Agents, over TLS.
    pub mqtt: SocketAddr,
    /// What agents are told to dial, from its next start on.
    pub public: Vec<String>,
    /// MQTT tools, without TLS.
    pub mqtt_plain: SocketAddr,
    /// An admin's token.
    pub api: Api,
    /// Makes the first account.
    pub setup_link: String,
    /// What stands in its environment besides, from its next start on.
    pub environment: Vec<(String, OsString)>,
    process: Option<Process>,
    /// What the runs before this one said.
    past_logs: Vec<String>,
}

impl Server {
    /// A new server with an empty data folder.
    #[must_use]
    pub fn start(data_dir: &Path) -> Self {
        let mqtt = ports::free();
        Self::start_announced(data_dir, mqtt, vec![mqtt.to_string()])
    }

    /// The same, telling agents to dial another address: that of a proxy.
    #[must_use]
    pub fn start_behind(data_dir: &Path, mqtt: SocketAddr, public: SocketAddr) -> Self {
        Self::start_announced(data_dir, mqtt, vec![public.to_string()])
    }

    /// The same, telling agents to dial these, in this order.
    #[must_use]
    pub fn start_announced(data_dir: &Path, mqtt: SocketAddr, public: Vec<String>) -> Self {
        let (http, mqtt_plain) = (ports::free(), ports::free());
        let mut server = Self {
            data_dir: data_dir.to_owned(),
            http,
            mqtt,
            public,
            mqtt_plain,
            api: Api::new("", ""),
            setup_link: String::new(),
            environment: Vec::new(),
            process: None,
            past_logs: Vec::new(),
        };
        let mut process = server.spawn();
        server.setup_link = process.line("its set-up link", SOON, |line| {
            line.split_once("setup: ").map(|(_, link)| link.trim().to_owned())
        });
        server.process = Some(process);
        server.wait_ready();
        server.api =
            Api::new(&server.base(), &server.token("end-to-end", "read,run,restore,write,admin,metrics"));
        server
    }

    fn spawn(&self) -> Process {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.arg("serve").arg("--data-dir").arg(&self.data_dir).args([
            format!("--http={}", self.http),
            format!("--mqtt={}", self.mqtt),
            format!("--mqtt-plain={}", self.mqtt_plain),
            format!("--mqtt-public={}", self.public.join(",")),
        ]);
        // Everything that could be said, so that the search for secrets sees it.
        command.env("HOLDFAST_LOG_FILTER", "debug");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start("holdfast-server", command)
    }

    /// The address of pages and API.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Makes an API token from the command line, as an operator would.
    #[must_use]
    pub fn token(&self, name: &str, scopes: &str) -> String {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.args(["admin", "token", "--name", name, "--scopes", scopes]);
        command.arg("--data-dir").arg(&self.data_dir);
        let output = run("holdfast-server admin token", command, SOON).expect_success("an API token");
        // The token stands alone, on the last line or behind a word.
        let last = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        last.split_whitespace().next_back().unwrap_or_default().to_owned()
    }

    /// Makes an account for MQTT viewers: name and password.
    #[must_use]
    pub fn add_viewer(&self, name: &str) -> (String, String) {
        let viewer = self.api.post("/api/viewers", Some(&json!({ "name": name }))).expect(201);
        (text(&viewer["name"]), text(&viewer["password"]))
    }

    /// Makes the first account through the set-up link, in a browser, which is signed in then.
    pub fn sign_in(&self, browser: &Browser) {
        browser.open(&self.setup_link);
        let password = "correct horse battery staple";
        browser.send_form("form:has([name=password])", &[("name", "mira"), ("password", password)]);
        wait::until("the fleet page after the set-up", SOON, || {
            let address = browser.address();
            let inside = !["/setup", "/login"].iter().any(|door| address.contains(door));
            if inside { Ok(()) } else { Err(format!("{address}: {}", browser.text())) }
        });
    }

    /// Its number.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").pid()
    }

    /// `kill -9`.
    pub fn kill_9(&mut self) {
        self.end(Process::kill_9);
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Panics
    /// When it ends with an error.
    pub fn stop(&mut self) {
        self.end(|process| {
            let status = process.terminate();
            assert!(status.success(), "the server ends {status}:\n{}", process.log().text());
        });
    }

    fn end(&mut self, how: impl FnOnce(&mut Process)) {
        if let Some(mut process) = self.process.take() {
            how(&mut process);
            self.past_logs.push(process.log().text());
        }
    }

    /// Starts it again over the same data, at the same addresses.
    pub fn start_again(&mut self) {
        self.process = Some(self.spawn());
        self.wait_ready();
    }

    /// The same for one that is not ready, but lives.
    #[track_caller]
    pub fn start_again_unwell(&mut self) {
        self.process = Some(self.spawn());
        let api = Api::new(&self.base(), "");
        let process = self.process.as_mut().expect("a running server");
        wait::until("the server to live", SOON, || {
            let ended = process.ended();
            assert!(ended.is_none(), "the server ended:\n{}", process.log().text());
            api.send("GET", "/healthz", None).map(drop)
        });
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let url = format!("{}/readyz", self.base());
        let http = crate::api::http();
        let process = self.process.as_mut().expect("a running server");
        wait::until("the server to be ready", SOON, || {
            let ended = process.ended();
            assert!(ended.is_none(), "the server ended:\n{}", process.log().text());
            match http.get(&url).call() {
                Ok(answer) if answer.status() == 200 => Ok(()),
                Ok(answer) => Err(answer.status().to_string()),
                Err(error) => Err(error.to_string()),
            }
        });
    }

    /// Everything it has said, in all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        let now = self.process.as_ref().map(|process| process.log().text());
        self.past_logs.iter().cloned().chain(now).collect::<Vec<_>>().join("\n")
    }

    /// A figure of its metrics that has no labels.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.api.get("/metrics").text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// A host's repository figures.
    #[must_use]
    pub fn repo(&self, host: &str) -> Value {
        self.api.get(&format!("/api/hosts/{host}/repo")).expect(200)
    }
}
