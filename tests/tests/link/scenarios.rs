//! Single histories, told step by step.

use crate::agent::Script;
use crate::world::{Nature, World};
use fleet::record::JobState;

#[test]
fn a_backup_goes_from_the_click_to_its_end_with_its_whole_log() {
    let mut world = World::new(Nature::default());
    world.heal();
    let job = world.dispatch(0, Script { runs_ms: 60_000, ..Script::default() }).expect("it is online");
    world.settle_and_check();
    let read = world.server.read();
    assert_eq!(read.job(job).expect("jobs").expect("a job").state, JobState::Succeeded);
    assert_eq!(read.job_log(job).expect("a log").total_lines, 14);
}
