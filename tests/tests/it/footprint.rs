//! How little the static agent takes of a machine: memory when it idles over TLS and when restic floods it, and how
//! seldom it wakes. The figures are the budget of the README; `cargo bench -p tests --bench footprint` prints them.

use crate::broken_restic::{FLOOD, passing_for_restic};
use std::{thread::sleep, time::Duration};
use tests::{
    proc_table::{self, Sleeps},
    scene::Scene,
    tools,
    wait::LONG,
};

/// Of it some 0.35 MB are its own; the rest is the program, as far as it was ever looked at.
const IDLE_BYTES: u64 = 2_500_000;
const PEAK_BYTES: u64 = 4_400_000;
/// A keep-alive is sent each 60 s: this long holds one of them, or two.
const WATCHED: Duration = Duration::from_secs(65);
/// To send a keep-alive, to see that it went, and to read the answer; twice.
const SLEEPS: u64 = 6;

#[test]
fn the_static_agent_keeps_to_its_budget() {
    let Some(program) = tools::static_agent("x86_64") else { return };
    let Some(mut scene) = Scene::start() else { return };
    scene.agent.program = program;
    let restic = scene.agent.restic.clone();
    scene.run_with(&restic);
    let _ = scene.back_up();
    // What follows a job, such as the figures of its repository, is over.
    sleep(Duration::from_secs(15));

    let before = Sleeps::of(scene.agent.pid());
    sleep(WATCHED);
    let woken = Sleeps::of(scene.agent.pid()).since(&before);
    assert!(woken <= SLEEPS, "woken {woken} times in {WATCHED:?}:\n{}", scene.agent.log());
    let memory = proc_table::memory(scene.agent.pid());
    assert!(memory.resident <= IDLE_BYTES && memory.peak <= PEAK_BYTES, "idle: {memory:?}");

    scene.run_with(&passing_for_restic(&scene, "flood", FLOOD));
    let ended = scene.api().wait_end(&scene.api().ask(scene.host(), "check"), 3 * LONG);
    assert_eq!(ended["state"], "failed", "{ended}");
    let memory = proc_table::memory(scene.agent.pid());
    assert!(memory.peak <= PEAK_BYTES, "in a flood: {memory:?}");
}
