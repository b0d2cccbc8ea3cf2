//! A download runs beside another job.

use crate::world::{World, job_id};
use agent_core::{Body, Cause, StopCause};
use schema::{Class, JobKind, Outcome, Refusal};

fn connected() -> World {
    let mut world = World::new();
    world.wake();
    world
}

fn deliver_all(world: &mut World) {
    while !world.to_agent.is_empty() || !world.to_server.is_empty() {
        world.deliver(0, false);
        world.receive(0, false);
    }
}

fn ran(outcome: Outcome, class: Option<Class>, stop: Option<StopCause>) -> Cause {
    Cause::Ran { outcome, class, stop }
}

#[test]
fn a_download_begins_at_once_beside_the_job_that_runs_and_before_those_that_wait() {
    for download_ends_first in [true, false] {
        let mut world = connected();
        let (running, waiting) = (world.order_run(0, false), world.order_run(0, false));
        let download = world.order(0, JobKind::Download);
        deliver_all(&mut world);
        assert_eq!((world.executing, world.downloading), (Some(running), Some(download)));
        assert!(world.server.bodies().any(|body| body == Body::Accepted { job: download, behind: 0 }));
        if download_ends_first {
            world.end_download(Outcome::Succeeded, None);
            assert_eq!((world.executing, world.downloading), (Some(running), None));
            world.end_job(Outcome::Succeeded, None);
        } else {
            world.end_job(Outcome::Succeeded, None);
            assert_eq!((world.executing, world.downloading), (Some(waiting), Some(download)));
        }
        assert_eq!(world.executing, Some(waiting));
        world.settle();
        world.check();
    }
}

#[test]
fn a_job_begins_beside_a_download_and_is_not_behind_it() {
    let mut world = connected();
    let download = world.order(0, JobKind::Download);
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!((world.executing, world.downloading), (Some(job), Some(download)));
    assert!(world.server.bodies().any(|body| body == Body::Accepted { job, behind: 0 }));
    world.settle();
    world.check();
}

#[test]
fn a_second_download_is_refused_and_one_beside_a_prune() {
    let mut world = connected();
    let jobs: Vec<_> = (0..2).map(|_| world.order(0, JobKind::Download)).collect();
    deliver_all(&mut world);
    assert_eq!(world.endings(jobs[1]), [Body::Refused { job: jobs[1], reason: Refusal::Busy }]);
    world.end_download(Outcome::Succeeded, None);

    let prune = world.order(0, JobKind::Prune);
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(prune));
    let beside = world.order(0, JobKind::Download);
    deliver_all(&mut world);
    assert_eq!(world.endings(beside), [Body::Refused { job: beside, reason: Refusal::Busy }]);
    world.settle();
    world.check();
}

#[test]
fn a_prune_waits_for_a_download_and_lets_others_go_first() {
    let mut world = connected();
    let download = world.order(0, JobKind::Download);
    let prune = world.order(0, JobKind::Prune);
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!((world.executing, world.downloading), (Some(job), Some(download)));
    world.end_job(Outcome::Succeeded, None);
    assert_eq!(world.executing, None, "it waits for the download");
    world.end_download(Outcome::Succeeded, None);
    assert_eq!(world.executing, Some(prune));
    world.settle();
    world.check();
}

#[test]
fn each_of_the_two_is_cancelled_alone() {
    for cancels_download in [true, false] {
        let mut world = connected();
        let (job, download) = (world.order_run(0, false), world.order(0, JobKind::Download));
        deliver_all(&mut world);
        world.order_cancel(if cancels_download { download } else { job });
        deliver_all(&mut world);
        assert_eq!((world.download_is_interrupted, world.interrupted), (cancels_download, !cancels_download));
        assert!(world.core.is_stopping(if cancels_download { download } else { job }));
        assert!(!world.core.is_stopping(if cancels_download { job } else { download }));
        let (cancelled, class) = (Outcome::Cancelled, Some(Class::Cancelled));
        let ended = if cancels_download {
            world.end_download(cancelled, class);
            download
        } else {
            world.end_job(cancelled, class);
            job
        };
        deliver_all(&mut world);
        let cause = ran(cancelled, class, Some(StopCause::Cancel));
        assert_eq!(world.endings(ended), [Body::Finished { job: ended, cause }]);
        world.settle();
        world.check();
    }
}

#[test]
fn both_are_told_as_broken_off_when_the_agent_dies_and_a_stop_ends_both() {
    let mut world = connected();
    let jobs = [world.order_run(0, false), world.order(0, JobKind::Download)];
    deliver_all(&mut world);
    world.restart();
    world.settle();
    world.check();
    for job in jobs {
        assert_eq!(world.endings(job), [Body::Finished { job, cause: Cause::Restarted }]);
    }

    let jobs = [world.order_run(0, false), world.order(0, JobKind::Download)];
    deliver_all(&mut world);
    world.core.handle_shutdown(world.now);
    world.drain();
    assert!(world.interrupted && world.download_is_interrupted && !world.exited);
    world.end_download(Outcome::Cancelled, Some(Class::Cancelled));
    assert!(!world.exited, "the other one has not ended");
    world.end_job(Outcome::Cancelled, Some(Class::Cancelled));
    assert!(world.exited);
    world.restart();
    world.settle();
    world.check();
    for job in jobs {
        let cause = ran(Outcome::Cancelled, Some(Class::AgentRestarted), Some(StopCause::Shutdown));
        assert_eq!(world.endings(job), [Body::Finished { job, cause }]);
    }
}

#[test]
fn the_deadlines_of_both_are_kept() {
    let mut world = connected();
    let jobs = [world.order(60, JobKind::Stats), world.order(30, JobKind::Download)];
    deliver_all(&mut world);
    world.pass(30_000);
    assert!(world.download_is_interrupted && !world.interrupted);
    world.end_download(Outcome::Cancelled, Some(Class::Cancelled));
    world.pass(30_000);
    assert!(world.interrupted);
    world.end_job(Outcome::Cancelled, Some(Class::Cancelled));
    world.settle();
    world.check();
    for job in jobs {
        let cause = ran(Outcome::Failed, Some(Class::Timeout), Some(StopCause::Deadline));
        assert_eq!(world.endings(job), [Body::Finished { job, cause }]);
    }
    assert!(!world.core.runs(job_id(0)) && !world.core.runs(job_id(1)));
}
