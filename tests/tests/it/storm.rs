//! Round after round of what can go wrong: `kill -9` of agent and server, a network that is cut or silent, a state folder
//! without space. Afterwards nothing is lost, done twice, orphaned or stuck.
//!
//! `HOLDFAST_STORM_ROUNDS` and `HOLDFAST_STORM_SEED` choose how many and which; a failure names both.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    thread::sleep,
    time::Duration,
};
use tests::{
    api::{has_ended, text},
    disk::Disk,
    proc_table,
    scene::{GROUP, Scene},
    soak,
    sources::{Numbers, write_tree},
    tools,
    wait::{self, LONG, SOON},
};

/// The short form; `./test --soak` has 500. Each sort of blow comes some times in it.
const ROUNDS: u64 = 60;
/// Groups that nobody asks for by hand: they have a schedule for each minute.
const DUE: [&str; 2] = ["due", "due-too"];
/// The state folder's disk: room for a journal and restic's cache.
const DISK_BYTES: u64 = 48 << 20;

/// What happens in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    BackUp,
    KillAgent,
    KillServer,
    KillBoth,
    Cut,
    Hold,
    FillDisk,
    Nothing,
}

fn blow(numbers: &mut Numbers) -> Blow {
    match numbers.next() % 20 {
        0..=4 => Blow::BackUp,
        5..=7 => Blow::KillAgent,
        8..=9 => Blow::KillServer,
        10 => Blow::KillBoth,
        11..=12 => Blow::Cut,
        13 => Blow::Hold,
        14..=15 => Blow::FillDisk,
        _ => Blow::Nothing,
    }
}

struct Storm {
    // It goes first, so that the folder below can be removed.
    disk: Option<Disk>,
    scene: Scene,
    numbers: Numbers,
    /// Asked for by hand, and taken by the server.
    asked: Vec<String>,
    blows: BTreeMap<String, u32>,
}

impl Storm {
    fn strike(&mut self, round: u64) {
        let blow = blow(&mut self.numbers);
        *self.blows.entry(format!("{blow:?}")).or_default() += 1;
        match blow {
            Blow::BackUp => self.back_up(round),
            Blow::KillAgent => self.kill_agent(),
            Blow::KillServer => {
                self.scene.server.kill_9();
                self.pause(1_500);
                self.scene.server.start_again();
            }
            Blow::KillBoth => {
                self.scene.server.kill_9();
                self.kill_agent();
                self.scene.server.start_again();
            }
            Blow::Cut => {
                self.scene.link.cut();
                self.pause(1_000);
                self.scene.link.heal();
            }
            Blow::Hold => {
                self.scene.link.hold();
                self.pause(1_500);
                self.scene.link.heal();
            }
            Blow::FillDisk => {
                if let Some(disk) = &self.disk {
                    disk.fill();
                    self.back_up(round);
                    self.pause(1_000);
                    if self.numbers.next().is_multiple_of(2) {
                        self.kill_agent();
                        self.pause(500);
                    }
                    if let Some(disk) = &self.disk {
                        disk.empty();
                    }
                }
            }
            Blow::Nothing => self.pause(1_000),
        }
        self.pause(250);
    }

    fn pause(&mut self, most_ms: u64) {
        sleep(Duration::from_millis(self.numbers.next() % most_ms));
    }

    /// By hand, when the host is there soon; else the server says that it is not.
    fn back_up(&mut self, round: u64) {
        for _ in 0..20 {
            if self.scene.api().host(self.scene.host())["online"] == true {
                break;
            }
            sleep(Duration::from_millis(100));
        }
        if round.is_multiple_of(4) {
            let name = format!("round-{round}");
            write_tree(&self.scene.sources.join(name), round, 3, 300_000);
        }
        let path = format!("/api/hosts/{}/groups/{GROUP}/backup", self.scene.host());
        let answer = self.scene.api().post(&path, None);
        if answer.status == 202 {
            self.asked.push(text(&answer.body["id"]));
        }
    }

    fn kill_agent(&mut self) {
        let family = proc_table::descendants(self.scene.agent.pid());
        self.scene.agent.kill_9();
        for child in family {
            wait::until_true("what the agent had started to end with it", SOON, || {
                !proc_table::runs(child.pid)
            });
        }
        self.scene.agent.start();
    }

    /// Until all is quiet: online, nothing open, nothing pending.
    fn calm(&self) -> Vec<Value> {
        self.scene.link.heal();
        if let Some(disk) = &self.disk {
            disk.empty();
        }
        let host = self.scene.host();
        self.scene.api().wait_online(host, true, 2 * LONG);
        // It looks by itself whether there is space again.
        wait::until("the agent to write its state folder", LONG, || {
            let status = self.scene.agent.status();
            if status.contains("can't be written") { Err(status) } else { Ok(()) }
        });
        for group in DUE {
            let path = format!("/api/hosts/{host}/schedules/{}", schedule(group));
            let _ = self.scene.api().delete(&path).expect(204);
        }
        wait::until("nothing to be open", 3 * LONG, || {
            let jobs = self.scene.api().jobs(host);
            let open: Vec<_> = jobs.iter().filter(|job| !has_ended(&text(&job["state"]))).collect();
            if open.is_empty() { Ok(jobs.clone()) } else { Err(format!("{open:?}")) }
        })
    }
}

fn schedule(group: &str) -> String {
    format!("each-minute-{group}")
}

/// `(job, outcome)` of each end that the agent has written down, by its log.
fn ends(log: &str) -> Vec<(String, String)> {
    let end = |line: &str| {
        let (job, outcome) = line.split_once("job ")?.1.split_once(" ended: ")?;
        Some((job.to_owned(), outcome.split_whitespace().next()?.to_lowercase()))
    };
    log.lines().filter_map(end).collect()
}

#[test]
fn whatever_is_killed_cut_or_full_nothing_is_lost_doubled_orphaned_or_stuck() {
    let rounds = soak::number("HOLDFAST_STORM_ROUNDS", 500, ROUNDS);
    let any = u64::from(std::process::id());
    let seed = soak::number("HOLDFAST_STORM_SEED", any, any);
    eprintln!("{rounds} rounds, seed {seed}");
    if !tools::needs(&[tools::Tool::Restic018]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.options = vec!["--alone-after".into(), "2".into()];
    scene.agent.stop();
    let disk = Disk::under(DISK_BYTES, &scene.agent.state_dir);
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let host = scene.host().to_owned();
    for group in DUE {
        let files = scene.scratch.folder(group);
        write_tree(&files, 1, 5, 50_000);
        scene.api().add_group(&host, group, &[&files.display().to_string()]);
        let schedule = json!({"name": schedule(group), "cron": "* * * * *", "groups": [group]});
        let _ = scene.api().post(&format!("/api/hosts/{host}/schedules"), Some(&schedule)).expect(201);
    }

    let numbers = Numbers::new(seed);
    let mut storm = Storm { disk, scene, numbers, asked: Vec::new(), blows: BTreeMap::new() };
    for round in 0..rounds {
        storm.strike(round);
    }
    let jobs = storm.calm();
    let scene = &storm.scene;
    let job = |id: &str| jobs.iter().find(|job| job["id"] == id);

    // No lost result: what the agent has written down is what the server says, and what was asked for has an end.
    let ends = ends(&scene.agent.log());
    for (id, outcome) in &ends {
        let told = job(id).unwrap_or_else(|| panic!("seed {seed}: {id} ended {outcome} and is not known"));
        assert_eq!(text(&told["state"]), *outcome, "seed {seed}: {told}");
    }
    let has_good = ends.iter().any(|(_, outcome)| outcome == "succeeded");
    assert!(rounds < 200 || has_good, "seed {seed}: nothing ever came to a good end");
    for id in &storm.asked {
        assert!(job(id).is_some(), "seed {seed}: {id} was taken and is not known");
    }
    // Each snapshot that a job tells of is there, once; the others are of jobs that were killed before they could tell.
    let made: BTreeSet<String> =
        scene.repository().snapshots().iter().map(|snapshot| text(&snapshot["short_id"])).collect();
    let told: Vec<String> = jobs
        .iter()
        .filter_map(|job| job["summary"]["snapshot"].as_str())
        .map(|id| id.chars().take(8).collect())
        .collect();
    let once: BTreeSet<String> = told.iter().cloned().collect();
    assert_eq!(told.len(), once.len(), "seed {seed}: two jobs tell of one snapshot");
    assert!(once.is_subset(&made), "seed {seed}: {:?} are told of and not there", once.difference(&made));
    let broken = jobs.iter().filter(|job| job["kind"] == "backup" && job["summary"]["snapshot"].is_null());
    let (untold, broken) = (made.difference(&once).count(), broken.count());
    assert!(untold <= broken, "seed {seed}: {untold} snapshots of {broken} jobs that did not succeed");

    // No doubled occurrence: between two good automatic backups of a group a minute begins.
    let mut automatic = 0;
    for group in DUE {
        let good = |job: &&Value| job["groups"][0] == group && !job["summary"]["snapshot"].is_null();
        let mut minutes: Vec<String> = jobs
            .iter()
            .filter(good)
            .map(|job| text(&job["created_at"]).chars().take("2026-01-01T00:00".len()).collect())
            .collect();
        minutes.sort_unstable();
        let all = minutes.len();
        minutes.dedup();
        assert_eq!(minutes.len(), all, "seed {seed}: an occurrence of {group} ran twice: {jobs:?}");
        automatic += all;
    }
    assert!(rounds < 200 || automatic > 0, "seed {seed}: nothing that was due was ever saved");

    // No orphan.
    let scratch = scene.scratch.path().display().to_string();
    let is_ours = |pid: u32| {
        let surroundings = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&surroundings).contains(&scratch)
    };
    let left: Vec<_> = proc_table::all()
        .into_iter()
        .filter(|seen| seen.program() == "restic" && is_ours(seen.pid))
        .map(|seen| seen.command())
        .collect();
    assert_eq!(left, Vec::<String>::new(), "seed {seed}");

    // And all goes on.
    let _ = scene.back_up();
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    for job in &jobs {
        let how = format!(
            "{} {} {}{}",
            text(&job["actor_kind"]),
            text(&job["kind"]),
            text(&job["state"]),
            job["class"].as_str().map_or_else(String::new, |class| format!(" ({class})"))
        );
        *states.entry(how).or_default() += 1;
    }
    eprintln!("{:?}\n{states:?}\n{} ends, {untold} snapshots untold", storm.blows, ends.len());
}
