//! A server that is killed with SIGKILL while it drains, at any instant: between record and publish, and after
//! publish. The server is another process over the same data file; the agent is here, and survives it.
//!
//! In each round one backup falls due while nobody looks. Then servers are started and killed, each after a time that
//! is drawn, until one is left alone. In the end exactly one backup has run.

use crate::support::{Agent, Got, HOUR_MS, World, by, finished, hourly, saved, settings};
use data_encoding::HEXLOWER;
use fleet::record::{Group, Schedule};
use fleet::{Fleet, Handled};
use schema::{CommandSeq, HeldJob, HeldPhase, HostId, JobId, Outcome, ReportBody, ReportSeq, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Where the server's data is, and which host it serves: set for the server's process only.
const FOLDER: &str = "HOLDFAST_TEST_SERVER_FOLDER";
const HOST: &str = "HOLDFAST_TEST_SERVER_HOST";

/// The server: opens the data, then does what its input says, and writes each command out before it notes that it was
/// sent. Does nothing when it is run among the other tests.
#[tokio::test]
async fn a_server_that_may_be_killed() {
    let (Ok(folder), Ok(host)) = (std::env::var(FOLDER), std::env::var(HOST)) else { return };
    let host: HostId = host.parse().unwrap();
    let world = World::new();
    // Ids must differ from those that another server drew.
    let mut driver = world.driver();
    driver.random = std::sync::Arc::new(|buffer| {
        let mut source = std::fs::File::open("/dev/urandom").unwrap();
        std::io::Read::read_exact(&mut source, buffer).unwrap();
    });
    let mut input = std::io::stdin().lines();
    let mut fleet = None;
    let mut published = CommandSeq::ZERO;
    while let Some(Ok(line)) = input.next() {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if word == "now" {
            world.set(Timestamp(rest.parse().unwrap()));
            fleet = Some(Fleet::open(Path::new(&folder), settings(), driver.clone()).unwrap());
            say("open");
            continue;
        }
        let fleet: &Fleet = fleet.as_ref().unwrap();
        let bytes = HEXLOWER.decode(rest.as_bytes()).unwrap();
        let handled = match word {
            "hello" => fleet.handle_presence(host, &bytes, "").await.unwrap(),
            "report" => fleet.handle_report(host, &bytes, "").await.unwrap(),
            _ => {
                fleet.tick().await;
                Handled::default()
            }
        };
        if let Some(reply) = handled.reply {
            say(&format!("reply {}", HEXLOWER.encode(&reply)));
        }
        for (seq, frame) in fleet.commands_after(host, published, usize::MAX) {
            say(&format!("command {seq} {}", HEXLOWER.encode(&frame)));
            published = seq;
            fleet.command_sent(host, seq).await;
        }
        say("done");
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").and_then(|()| out.flush()).unwrap();
}

/// A server's process.
struct Server {
    child: Child,
    input: ChildStdin,
    output: std::io::Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(folder: &Path, host: HostId, now: Timestamp) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["killed::a_server_that_may_be_killed", "--exact", "--nocapture"]);
        command.env(FOLDER, folder).env(HOST, host.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut server = Self { child, input, output: BufReader::new(output).lines() };
        server.ask(&format!("now {}", now.0));
        while server.line().expect("a server that opens its data") != "open" {}
        server
    }

    /// Whether it took it is not known: it may be dead.
    fn ask(&mut self, line: &str) {
        let _ = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
    }

    fn line(&mut self) -> Option<String> {
        self.output.next().and_then(Result::ok)
    }

    fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The agent: what it took it runs at once, and remembers what it has to report.
struct Host {
    agent: Agent,
    journal: BTreeMap<ReportSeq, Vec<u8>>,
    jobs: BTreeMap<JobId, ReportSeq>,
    ran: BTreeSet<JobId>,
}

impl Host {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("reply"), Some(reply), None) => {
                let reply = HEXLOWER.decode(reply.as_bytes()).unwrap();
                self.agent.take_ack(&Handled { reply: Some(reply), ..Handled::default() });
                let acked = self.agent.acked;
                self.journal.retain(|seq, _| *seq > acked);
                self.jobs.retain(|_, last| *last > acked);
            }
            (Some("command"), Some(seq), Some(frame)) => {
                let seq = CommandSeq(seq.parse().unwrap());
                let frame = HEXLOWER.decode(frame.as_bytes()).unwrap();
                if seq > self.agent.taken
                    && let Got::Run { job, .. } = self.agent.take(seq, &frame)
                {
                    self.run(job);
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, job: JobId) {
        if !self.ran.insert(job) {
            return;
        }
        let at = self.agent.world.now();
        let end = finished(job, Outcome::Succeeded, at, saved());
        for body in
            [ReportBody::Accepted { job, behind: 0 }, ReportBody::Started { job }, ReportBody::Finished(end)]
        {
            self.agent.reports = self.agent.reports.next();
            let seq = self.agent.reports;
            self.journal.insert(seq, self.agent.report_bytes(seq, body));
            self.jobs.insert(job, seq);
        }
    }

    /// Connects, and says all that was not acknowledged.
    fn connect(&mut self, server: &mut Server) {
        self.agent.epoch = self.agent.epoch.next();
        let held: Vec<HeldJob> = self
            .jobs
            .keys()
            .map(|job| HeldJob { job: *job, phase: HeldPhase::Finished, group: None })
            .collect();
        server.ask(&format!("hello {}", HEXLOWER.encode(&self.agent.hello_bytes(&held))));
        for report in self.journal.values() {
            server.ask(&format!("report {}", HEXLOWER.encode(report)));
        }
    }
}

/// So many rounds with a seed; returns how many servers were killed before they had done what they were asked.
fn rounds(seed: u64, rounds: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let agent = runtime.block_on(async {
        let fleet = Fleet::open(folder.path(), settings(), world.driver()).unwrap();
        let mut agent = Agent::ready(&world, &fleet, "attic").await;
        let group = Group { retry_max: 1_000, ..crate::support::group("etc") };
        fleet.put_group(agent.host, Some("etc"), group, by()).await.unwrap();
        let schedule = Schedule { retry_max: 1_000, ..hourly("nightly") };
        fleet.put_schedule(agent.host, None, schedule, by()).await.unwrap();
        agent.fleet = Fleet::in_memory(settings(), world.driver()).unwrap();
        fleet.shutdown().await;
        agent
    });
    let mut host = Host { agent, journal: BTreeMap::new(), jobs: BTreeMap::new(), ran: BTreeSet::new() };
    let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let mut killed = 0;
    for round in 1..=rounds {
        world.pass(HOUR_MS);
        for _ in 0..=roll(2) {
            let mut server = Server::start(folder.path(), host.agent.host, world.now());
            let tick_first = roll(2) == 0;
            if tick_first {
                server.ask("tick");
            }
            host.connect(&mut server);
            if !tick_first {
                server.ask("tick");
            }
            std::thread::sleep(Duration::from_micros(roll(12_000)));
            server.kill_9();
            let mut done = 0;
            while let Some(line) = server.line() {
                done += usize::from(line == "done");
                host.hear(&line);
            }
            killed += usize::from(done < 2);
        }
        // One that is left alone, until nothing is left to say.
        let mut server = Server::start(folder.path(), host.agent.host, world.now());
        host.connect(&mut server);
        server.ask("tick");
        let mut asked = host.journal.len() + 2;
        while asked > 0 {
            let line = server.line().expect("a server that lives");
            let said = host.agent.reports;
            host.hear(&line);
            for seq in said.next().through(host.agent.reports) {
                server.ask(&format!("report {}", HEXLOWER.encode(&host.journal[&seq])));
                asked += 1;
            }
            asked -= usize::from(line == "done");
        }
        server.kill_9();
        assert_eq!(host.ran.len(), round, "seed {seed}, round {round}: one backup for each due time");
        assert!(host.journal.is_empty(), "seed {seed}, round {round}: all was acknowledged");
    }
    runtime.block_on(async {
        let fleet = Fleet::open(folder.path(), settings(), world.driver()).unwrap();
        assert_eq!(crate::support::waiting(&fleet), vec![]);
        let jobs = crate::support::jobs(&fleet, host.agent.host);
        let done: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
        assert_eq!(done, host.ran, "the server's records are what the agent has run");
        assert!(jobs.iter().all(|job| job.state == fleet::record::JobState::Succeeded));
    });
    killed
}

#[test]
fn a_server_killed_while_it_drains_doubles_and_forgets_nothing_first_hundred() {
    let killed: usize = (0..4).map(|seed| rounds(seed, 25)).sum();
    assert!(killed >= 20, "only {killed} were killed in the middle");
}

#[test]
fn a_server_killed_while_it_drains_doubles_and_forgets_nothing_second_hundred() {
    let killed: usize = (4..8).map(|seed| rounds(seed, 25)).sum();
    assert!(killed >= 20, "only {killed} were killed in the middle");
}
