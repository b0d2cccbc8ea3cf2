//! What maintenance costs a server of ten thousand hosts: the decisions alone, and a whole tick with the reads.
//! Prints milliseconds of CPU, median of several rounds.

#![allow(clippy::unwrap_used, reason = "a bench may end")]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/it/support.rs"]
mod support;

use fleet::JobRequest;
use fleet::maintenance::{HostState, LastRun, Latest, decide};
use fleet::record::{Every, Group, Maintenance, Retention};
use schema::{HostId, Outcome, Slot, Timestamp};
use std::hint::black_box;

const HOSTS: u64 = 10_000;
const ROUNDS: usize = 15;
const HOUR_MS: u64 = 3_600_000;
const NOW: Timestamp = Timestamp(1_795_415_472_000);
/// The most milliseconds that deciding may take.
const GOAL_MS: f64 = 50.0;

/// CPU time of this process, all threads.
fn cpu_ms() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos: f64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split(' ').next()?.parse::<f64>().ok())
        .sum();
    nanos / 1e6
}

fn host() -> HostState {
    HostState::ready(HostId([7; 16]), Timestamp(NOW.0 - 9_000 * HOUR_MS))
}

fn latest(number: u64) -> Latest {
    let last_run = |hours| {
        let at = Timestamp(NOW.0 - hours % 400 * HOUR_MS);
        Some(LastRun { at, open: false, failures: u8::from(number.is_multiple_of(17)), put_off: false })
    };
    [last_run(number), last_run(number * 7), last_run(number * 13)]
}

fn measure(what: &str, settings: &[Maintenance]) -> f64 {
    let host = host();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = cpu_ms();
            for number in 0..HOSTS {
                let settings = &settings[number as usize % settings.len()];
                black_box(decide(black_box(NOW), settings, &latest(number), &host));
            }
            cpu_ms() - before
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let median = rounds[ROUNDS / 2];
    println!(
        "{what}: {median:.1} ms CPU for {HOSTS} hosts, three kinds each ({:.1} to {:.1})",
        rounds[0],
        rounds[ROUNDS - 1]
    );
    median
}

/// A tick over a fleet in memory in which every host is online and nothing is to be done: what it costs each minute.
/// Hosts either have had all their maintenance, or lack what forget and prune need, so that these are due for ever.
async fn measure_tick(what: &str, equipped: bool) {
    let (world, fleet) = support::in_memory();
    // Past the first hour of the window: every host has begun.
    world.pass(5 * HOUR_MS);
    for number in 0..HOSTS {
        let mut agent = support::Agent::ready(&world, &fleet, &format!("host-{number}")).await;
        let mut requests = vec![JobRequest::Check { subset_pct: None }];
        if equipped {
            fleet
                .put_credentials(agent.host, Slot::Admin, support::credentials(), support::by())
                .await
                .unwrap();
            let keep = Retention { daily: 7, ..Retention::default() };
            let group = Group { keep, ..support::group("etc") };
            fleet.put_group(agent.host, Some("etc"), group, support::by()).await.unwrap();
            // What the repository holds of the group from before is known: nothing.
            agent.lists_nothing().await;
            requests.extend([JobRequest::Forget, JobRequest::Prune]);
        }
        agent.back_up("etc", Outcome::Succeeded).await;
        for request in requests {
            let job = fleet.dispatch(agent.host, request, support::by()).await.unwrap();
            agent.take_all();
            agent.finish(job.id, Outcome::Succeeded, schema::Summary::None).await;
        }
    }
    // In the night six days later: the weekly check is not due, and forget is, for ever.
    if !equipped {
        world.pass(6 * 24 * HOUR_MS);
    }
    for (when, later_ms) in [("in the window", 0), ("outside of it", 6 * HOUR_MS)] {
        world.pass(later_ms);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let before = cpu_ms();
            fleet.maintain().await;
            rounds.push(cpu_ms() - before);
        }
        rounds.sort_by(f64::total_cmp);
        println!("a tick, {what}, {when}: {:.1} ms CPU for {HOSTS} hosts", rounds[ROUNDS / 2]);
    }
}

fn main() {
    let zones = ["UTC", "Europe/Helsinki", "America/New_York", "Australia/Sydney"];
    let usual: Vec<Maintenance> = zones
        .iter()
        .map(|zone| Maintenance { timezone: (*zone).to_owned(), ..Maintenance::default() })
        .collect();
    let by_cron: Vec<Maintenance> = usual
        .iter()
        .map(|settings| {
            let mut settings = settings.clone();
            settings.forget.every = Every::Cron("0 3 * * *".to_owned());
            settings.prune.every = Every::Cron("30 3 * * SUN".to_owned());
            settings.check.every = Every::Cron("0 4 1 * *".to_owned());
            settings
        })
        .collect();
    let median = measure("decide, days and windows", &usual);
    let cron = measure("decide, cron expressions", &by_cron);
    for (what, median) in [("days and windows", median), ("cron expressions", cron)] {
        let verdict = if median <= GOAL_MS { "within" } else { "MISSES" };
        println!("{what}: {verdict} the goal of {GOAL_MS} ms");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure_tick("nothing due", true));
    runtime.block_on(measure_tick("forget and prune due and skipped", false));
}
