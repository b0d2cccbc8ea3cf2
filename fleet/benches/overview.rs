//! What the fleet page reads, for ten thousand hosts. Run with
//! `cargo bench -p fleet --bench overview`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails loudly and prints what it measured"
)]
#![allow(dead_code, unused_imports, reason = "the tests' support has more than a bench needs")]

#[path = "../tests/it/support.rs"]
mod support;

use fleet::HostFilter;
use schema::Outcome;
use std::hint::black_box;

const HOSTS: u64 = 10_000;
const DAYS: u64 = 3;
const ROUNDS: usize = 21;
const DAY_MS: u64 = 86_400_000;

/// CPU time of this process so far.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

fn measure<T>(what: &str, mut act: impl FnMut() -> T) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = cpu_ms();
            black_box(act());
            cpu_ms() - before
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what}: {:.1} ms CPU ({:.1} to {:.1})", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (world, fleet) = support::in_memory();
        let mut agents = Vec::new();
        for number in 0..HOSTS {
            agents.push(support::Agent::ready(&world, &fleet, &format!("host-{number}")).await);
        }
        for _ in 0..DAYS {
            world.pass(DAY_MS);
            for agent in &mut agents {
                agent.back_up("etc", Outcome::Succeeded).await;
            }
        }
        let read = || fleet.read().unwrap();
        measure("all rows", || read().fleet(&HostFilter::default()));
        measure("counts", || read().fleet_counts());
        let filter = HostFilter { q: Some("host-77".to_owned()), ..HostFilter::default() };
        measure("a search", || read().fleet(&filter));
    });
}
