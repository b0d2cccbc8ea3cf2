use crate::world::{Said, Sent, World};
use agent_core::{Body, Cause, StopCause, WakeFor};
use schema::{
    Class, CommandSeq, Epoch, HeldPhase, HelloAnswer, Incarnation, JobKind, Outcome, Refusal, ReportSeq,
    Slot, SlotRevision, Stream, Timestamp, ToAgent, limits::MAX_HELD_JOBS, report::Trouble,
};

fn connected() -> World {
    let mut world = World::new();
    world.wake();
    assert!(world.connected);
    world
}

fn deliver_all(world: &mut World) {
    while !world.to_agent.is_empty() || !world.to_server.is_empty() {
        world.deliver(0, false);
        world.receive(0, false);
    }
}

#[test]
fn a_command_is_accepted_started_finished_and_acked() {
    let mut world = connected();
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(job));
    world.end_job(Outcome::Succeeded, None);
    deliver_all(&mut world);
    let bodies: Vec<Body> = world.server.bodies().collect();
    assert_eq!(
        bodies,
        [
            Body::Accepted { job, behind: 0 },
            Body::Started { job },
            Body::Finished {
                job,
                cause: Cause::Ran { outcome: Outcome::Succeeded, class: None, stop: None }
            },
        ]
    );
    assert_eq!(world.core.saved().acked, world.core.saved().last_report);
}

#[test]
fn a_second_job_waits_and_the_seventeenth_is_refused() {
    let mut world = connected();
    let jobs: Vec<_> = (0..=MAX_HELD_JOBS).map(|_| world.order_run(0, false)).collect();
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(jobs[0]));
    let refused = Body::Refused { job: jobs[MAX_HELD_JOBS], reason: Refusal::QueueFull };
    assert_eq!(world.endings(jobs[MAX_HELD_JOBS]), [refused]);
    world.end_job(Outcome::Succeeded, None);
    assert_eq!(world.executing, Some(jobs[1]));
    world.settle();
    world.check();
}

#[test]
fn an_unlock_goes_before_what_waits() {
    let mut world = connected();
    let first = world.order_run(0, false);
    let second = world.order_run(0, false);
    let unlock = world.order_run(0, true);
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(first));
    assert!(world.server.bodies().any(|body| body == Body::Accepted { job: unlock, behind: 1 }));
    world.end_job(Outcome::Succeeded, None);
    assert_eq!(world.executing, Some(unlock));
    world.end_job(Outcome::Succeeded, None);
    assert_eq!(world.executing, Some(second));
}

#[test]
fn a_cancelled_job_is_interrupted_and_killed_when_it_does_not_end() {
    let mut world = connected();
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    world.order_cancel(job);
    deliver_all(&mut world);
    assert!(world.interrupted && !world.killed);
    let wake = world.core.next_wake().expect("a wake-up");
    assert_eq!((wake.what_for, wake.at.ms_since(world.now.mono)), (WakeFor::Kill, 30_000));
    world.pass(29_999);
    assert!(!world.killed);
    world.pass(1);
    assert!(world.killed);
    world.end_job(Outcome::Failed, Some(Class::Other));
    world.settle();
    let cause = Cause::Ran {
        outcome: Outcome::Cancelled,
        class: Some(Class::Cancelled),
        stop: Some(StopCause::Cancel),
    };
    assert_eq!(world.endings(job), [Body::Finished { job, cause }]);
}

#[test]
fn a_job_that_succeeds_while_it_is_cancelled_has_succeeded() {
    let mut world = connected();
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    world.order_cancel(job);
    deliver_all(&mut world);
    world.end_job(Outcome::Succeeded, None);
    world.settle();
    let Body::Finished { cause: Cause::Ran { outcome, .. }, .. } = world.endings(job)[0] else { panic!() };
    assert_eq!(outcome, Outcome::Succeeded);
}

#[test]
fn a_waiting_job_is_cancelled_at_once_and_never_runs() {
    let mut world = connected();
    world.order_run(0, false);
    let second = world.order_run(0, false);
    world.order_cancel(second);
    deliver_all(&mut world);
    assert_eq!(world.endings(second), [Body::Finished { job: second, cause: Cause::CancelledInQueue }]);
    world.settle();
    assert_eq!(world.executed.get(&second), None);
}

#[test]
fn a_cancel_for_nobody_is_answered() {
    let mut world = connected();
    let job = crate::world::job_id(9);
    world.order_cancel(job);
    deliver_all(&mut world);
    assert!(world.server.bodies().any(|body| body == Body::CancelMissed { job }));
}

#[test]
fn a_deadline_ends_a_job_as_a_timeout() {
    let mut world = connected();
    let job = world.order_run(60, false);
    deliver_all(&mut world);
    world.pass(59_999);
    assert!(!world.interrupted);
    world.pass(1);
    assert!(world.interrupted);
    world.end_job(Outcome::Cancelled, Some(Class::Cancelled));
    world.settle();
    let cause =
        Cause::Ran { outcome: Outcome::Failed, class: Some(Class::Timeout), stop: Some(StopCause::Deadline) };
    assert_eq!(world.endings(job), [Body::Finished { job, cause }]);
}

#[test]
fn an_expired_command_is_refused() {
    let mut world = connected();
    let job = world.order_run(0, false);
    world.pass(25 * 3_600_000);
    deliver_all(&mut world);
    assert!(!world.connected, "what time it is, is asked once more before it is refused");
    world.wake();
    deliver_all(&mut world);
    assert_eq!(world.endings(job), [Body::Refused { job, reason: Refusal::Expired }]);
}

#[test]
fn without_credentials_a_job_is_refused() {
    let mut world = connected();
    world.command(|seq| Sent::Config {
        seq,
        slot: Slot::Repo,
        revision: SlotRevision(5),
        for_job: None,
        filled: false,
    });
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!(world.endings(job), [Body::Refused { job, reason: Refusal::NoCredentials }]);
}

#[test]
fn credentials_for_one_job_let_it_run_and_are_forgotten_with_it() {
    let mut world = connected();
    world.command(|seq| Sent::Config {
        seq,
        slot: Slot::Repo,
        revision: SlotRevision(5),
        for_job: None,
        filled: false,
    });
    let job = world.order_for_other();
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(job));
    let applied = |world: &World| {
        world.server.bodies().filter(|body| matches!(body, Body::ConfigApplied { .. })).count()
    };
    assert_eq!(applied(&world), 1, "of its own slot another host's credentials say nothing");
    assert!(world.server.bodies().any(|body| body == Body::CredentialsHeld { job }));
    world.end_job(Outcome::Succeeded, None);
    let next = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!(world.endings(next), [Body::Refused { job: next, reason: Refusal::NoCredentials }]);
    assert_eq!(world.core.saved().slot(Slot::Repo).revision, SlotRevision(5));
}

#[test]
fn a_job_for_another_host_never_runs_with_the_agents_own_credentials() {
    let mut world = connected();
    let job = world.order_for(0, JobKind::Stats, Some("attic"));
    deliver_all(&mut world);
    assert_eq!(world.endings(job), [Body::Refused { job, reason: Refusal::NoCredentials }]);
}

#[test]
fn a_job_of_its_own_never_runs_with_credentials_that_came_for_a_job() {
    let mut world = connected();
    let (slot, for_job) = (Slot::Repo, Some(crate::world::job_id(0)));
    for (for_job, revision, filled) in [(None, SlotRevision(5), false), (for_job, SlotRevision(6), true)] {
        world.command(|seq| Sent::Config { seq, slot, revision, for_job, filled });
    }
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!(world.endings(job), [Body::Refused { job, reason: Refusal::NoCredentials }]);
}

#[test]
fn a_job_for_another_host_is_refused_with_its_credentials_where_the_policy_says_no() {
    let mut world = connected();
    world.refuses_other_hosts = true;
    let job = world.order_for_other();
    deliver_all(&mut world);
    assert_eq!(world.endings(job), [Body::Refused { job, reason: Refusal::Policy }]);
    assert!(world.core.saved().held.is_empty() && world.executing.is_none());
}

#[test]
fn a_job_for_another_host_that_waited_when_the_agent_died_has_ended_and_is_not_run() {
    let mut world = connected();
    let first = world.order_run(0, false);
    let for_other = world.order_for_other();
    let own = world.order_run(0, false);
    deliver_all(&mut world);
    world.restart();
    assert_eq!(world.executing, Some(own));
    world.settle();
    for job in [first, for_other] {
        assert_eq!(world.endings(job), [Body::Finished { job, cause: Cause::Restarted }]);
    }
    assert!(!world.executed.contains_key(&for_other));
}

#[test]
fn credentials_for_a_job_that_is_cancelled_before_it_comes_are_let_go() {
    let mut world = connected();
    let (slot, job) = (Slot::Repo, crate::world::job_id(0));
    world.command(|seq| Sent::Config {
        seq,
        slot,
        revision: SlotRevision(6),
        for_job: Some(job),
        filled: true,
    });
    world.order_cancel(job);
    assert_eq!(world.order_for(0, JobKind::Stats, Some("attic")), job);
    deliver_all(&mut world);
    assert!(world.server.bodies().any(|body| body == Body::CancelMissed { job }));
    assert_eq!(world.endings(job), [Body::Refused { job, reason: Refusal::NoCredentials }]);
}

#[test]
fn credentials_for_a_job_that_does_not_come_are_let_go_when_the_driver_has_waited_long_enough() {
    let mut world = connected();
    let waits = world.order_run(0, false);
    let taken = world.order_for_other();
    deliver_all(&mut world);
    let (slot, job) = (Slot::Repo, crate::world::job_id(world.server.runs.len()));
    world.command(|seq| Sent::Config {
        seq,
        slot,
        revision: SlotRevision(6),
        for_job: Some(job),
        filled: true,
    });
    deliver_all(&mut world);
    world.core.forget_waiting_slots();
    assert_eq!(world.order_for(0, JobKind::Stats, Some("attic")), job);
    deliver_all(&mut world);
    assert_eq!(world.endings(job), [Body::Refused { job, reason: Refusal::NoCredentials }]);
    assert_eq!(world.executing, Some(waits));
    world.end_job(Outcome::Succeeded, None);
    assert_eq!(world.executing, Some(taken), "what was taken keeps its own");
}

#[test]
fn an_admin_slot_without_a_job_is_answered_and_not_kept_also_when_the_disk_takes_nothing() {
    let mut world = connected();
    world.command(|seq| Sent::Config {
        seq,
        slot: Slot::Admin,
        revision: SlotRevision(3),
        for_job: None,
        filled: false,
    });
    deliver_all(&mut world);
    let taken = Body::ConfigApplied { slot: Slot::Admin, revision: SlotRevision(3), refused: None };
    world.settle();
    assert_eq!(world.server.bodies().filter(|body| *body == taken).count(), 1);
    world.restart();
    assert_eq!(world.core.saved().slot(Slot::Admin).revision, SlotRevision::ZERO);
    // Asked again, it is answered again: what is asked may have changed.
    world.command(|seq| Sent::Config {
        seq,
        slot: Slot::Admin,
        revision: SlotRevision(3),
        for_job: None,
        filled: false,
    });
    world.settle();
    assert_eq!(world.server.bodies().filter(|body| *body == taken).count(), 2);
}

#[test]
fn what_ran_when_the_agent_died_is_reported_and_what_waited_goes_on() {
    let mut world = connected();
    let first = world.order_run(0, false);
    let second = world.order_run(0, false);
    deliver_all(&mut world);
    world.restart();
    assert_eq!(world.executing, Some(second));
    world.settle();
    assert_eq!(world.endings(first), [Body::Finished { job: first, cause: Cause::Restarted }]);
    assert_eq!(world.executed[&first], 1);
    world.check();
}

#[test]
fn what_waited_too_long_while_the_agent_was_away_is_refused() {
    let mut world = connected();
    world.order_run(0, false);
    let second = world.order_run(0, false);
    deliver_all(&mut world);
    world.now.wall = world.now.wall.plus_ms(25 * 3_600_000);
    world.restart();
    world.settle();
    assert_eq!(world.endings(second), [Body::Refused { job: second, reason: Refusal::Expired }]);
}

#[test]
fn a_hello_names_jobs_that_run_wait_and_have_ended_without_an_ack() {
    let mut world = connected();
    let jobs: Vec<_> = (0..3).map(|_| world.order_run(0, false)).collect();
    while !world.to_agent.is_empty() {
        world.deliver(0, false);
    }
    world.end_job(Outcome::Succeeded, None);
    let phases: Vec<_> = world.core.saved().hello_jobs().map(|held| (held.job, held.phase)).collect();
    let expected =
        [(jobs[1], HeldPhase::Running), (jobs[2], HeldPhase::Queued), (jobs[0], HeldPhase::Finished)];
    assert_eq!(phases, expected);
    deliver_all(&mut world);
    assert_eq!(world.core.saved().hello_jobs().count(), 2);
}

#[test]
fn a_command_that_comes_twice_runs_once_and_is_answered_once() {
    let mut world = connected();
    let job = world.order_run(0, false);
    world.deliver(0, true);
    let reports = world.core.saved().last_report;
    world.deliver(0, true);
    world.end_job(Outcome::Succeeded, None);
    world.deliver(0, true);
    assert_eq!(world.core.saved().last_report, reports.next());
    assert_eq!(world.executed[&job], 1);
}

#[test]
fn a_lost_command_is_asked_for_again_before_a_later_one_is_taken() {
    let mut world = connected();
    let first = world.order_run(0, false);
    world.order_run(0, false);
    world.receive(0, false);
    world.to_agent.retain(|sent| sent.seq() != Some(CommandSeq(1)));
    let index = world.to_agent.iter().position(|sent| sent.seq() == Some(CommandSeq(2))).expect("the second");
    world.deliver(index, false);
    assert!(!world.connected && world.core.saved().taken == CommandSeq::ZERO);
    world.settle();
    world.check();
    assert_eq!(world.executed[&first], 1);
}

#[test]
fn numbers_that_the_server_has_skipped_are_given_up_after_a_few_hellos() {
    let mut world = connected();
    world.server.next_seq = CommandSeq(9);
    let job = world.order_run(0, false);
    world.settle();
    world.check();
    assert_eq!((world.executed[&job], world.core.saved().taken), (1, CommandSeq(9)));
}

#[test]
fn reports_without_an_ack_are_sent_again() {
    let mut world = connected();
    world.order_run(0, false);
    world.receive(0, false);
    while !world.to_agent.is_empty() {
        world.deliver(0, false);
    }
    assert_eq!(world.to_server.len(), 2);
    world.to_server.clear();
    let wake = world.core.next_wake().expect("a wake-up");
    assert_eq!(wake.what_for, WakeFor::Resend);
    world.wake();
    assert_eq!(world.to_server.len(), 2);
}

#[test]
fn progress_is_sent_at_most_once_a_second_and_the_last_one_is_not_held_back() {
    let mut world = connected();
    world.order_run(0, false);
    deliver_all(&mut world);
    for _ in 0..100 {
        world.progress();
        world.pass(10);
    }
    assert!((1..=2).contains(&world.progress_sent), "{}", world.progress_sent);
    let before = world.progress_sent;
    world.progress();
    assert_eq!(world.core.next_wake().map(|wake| wake.what_for), Some(WakeFor::Progress));
    world.wake();
    assert_eq!(world.progress_sent, before + 1);
}

#[test]
fn a_disk_that_takes_nothing_refuses_new_jobs_and_keeps_results() {
    let mut world = connected();
    let running = world.order_run(0, false);
    deliver_all(&mut world);
    world.disk_fails = true;
    let refused = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!(world.endings(refused), [Body::Refused { job: refused, reason: Refusal::StateFolder }]);
    world.end_job(Outcome::Succeeded, None);
    deliver_all(&mut world);
    assert_eq!(world.endings(running).len(), 1);
    assert!(world.core.store_fails());
    world.settle();
    world.check();
    let later = world.order_run(0, false);
    world.settle();
    assert_eq!(world.executed[&later], 1);
    assert_eq!(world.troubles(), [Trouble::StateFolder, Trouble::StateFolderMended]);
}

#[test]
fn a_disk_without_room_is_told_before_a_record_is_lost_to_it() {
    let mut world = connected();
    let running = world.order_run(0, false);
    deliver_all(&mut world);
    world.core.handle_store_fails(world.now);
    world.drain();
    deliver_all(&mut world);
    assert_eq!(world.troubles(), [Trouble::StateFolder], "told while the job runs");
    world.end_job(Outcome::Succeeded, None);
    world.settle();
    assert_eq!(world.endings(running).len(), 1);
    assert_eq!(world.troubles(), [Trouble::StateFolder, Trouble::StateFolderMended]);
}

#[test]
fn a_stop_interrupts_the_job_writes_its_end_and_exits() {
    let mut world = connected();
    let job = world.order_run(0, false);
    let waiting = world.order_run(0, false);
    deliver_all(&mut world);
    world.core.handle_shutdown(world.now);
    world.drain();
    assert!(world.interrupted && !world.exited);
    world.end_job(Outcome::Cancelled, Some(Class::Cancelled));
    assert!(world.exited);
    assert_eq!(world.executing, None);
    let held: Vec<_> = world.core.saved().held.iter().map(|entry| entry.ticket.job).collect();
    assert_eq!(held, [waiting]);
    world.restart();
    world.settle();
    world.check();
    let cause = Cause::Ran {
        outcome: Outcome::Cancelled,
        class: Some(Class::AgentRestarted),
        stop: Some(StopCause::Shutdown),
    };
    assert_eq!(world.endings(job), [Body::Finished { job, cause }]);
}

#[test]
fn a_stop_while_disconnected_exits_at_once() {
    let mut world = connected();
    world.cut();
    world.core.handle_shutdown(world.now);
    world.drain();
    assert!(world.exited);
    assert_eq!(world.core.next_wake(), None);
}

#[test]
fn after_a_refused_login_the_next_try_comes_later() {
    let mut world = connected();
    let mut shortest = u64::MAX;
    for _ in 0..8 {
        world.connected = false;
        world.core.handle_refused(world.now);
        let wake = world.core.next_wake().expect("it tries again");
        assert_eq!(wake.what_for, WakeFor::Reconnect);
        shortest = shortest.min(wake.at.ms_since(world.now.mono));
        world.wake();
        assert!(world.connected);
    }
    assert!(shortest >= 15_000, "{shortest}");
}

#[test]
fn after_a_reconnect_everything_without_an_ack_is_sent_again_at_once() {
    let mut world = connected();
    world.order_run(0, false);
    world.deliver(0, false);
    assert_eq!(world.to_server.len(), 3);
    world.cut();
    world.drain();
    world.wake();
    let sent: Vec<_> = world.to_server.iter().map(|said| matches!(said, Said::Report { .. })).collect();
    assert_eq!(sent, [false, true, true], "first the hello, then both reports");
    assert_eq!(world.core.taken_safely(), CommandSeq(1), "what is on disk need not come again");
}

#[test]
fn reconnects_wait_longer_and_longer_until_a_connection_has_held() {
    let mut world = connected();
    let mut delays = Vec::new();
    for _ in 0..9 {
        world.cut();
        world.drain();
        let wake = world.core.next_wake().expect("a wake-up");
        assert_eq!(wake.what_for, WakeFor::Reconnect);
        delays.push(wake.at.ms_since(world.now.mono));
        world.wake();
        assert!(world.connected);
    }
    assert!(delays[0] <= 1_500 && delays[8] >= 30_000, "{delays:?}");
    world.pass(30_000);
    world.cut();
    let wake = world.core.next_wake().expect("a wake-up");
    assert!(wake.at.ms_since(world.now.mono) <= 1_500);
}

#[test]
fn an_ack_of_another_stream_or_beyond_what_was_written_does_no_harm() {
    let mut world = connected();
    world.order_run(0, false);
    world.deliver(0, false);
    let now = world.now;
    for (stream, through) in [(1, 2), (77, 9_999)] {
        world
            .core
            .handle_message(
                &ToAgent::Ack {
                    stream: Stream(stream),
                    through: ReportSeq(through),
                    answer: None,
                    refused: None,
                },
                now,
            )
            .expect("drained");
        world.drain();
        let saved = world.core.saved();
        assert_eq!(
            (saved.acked, saved.last_report),
            (ReportSeq(if stream == 77 { 2 } else { 0 }), ReportSeq(2))
        );
    }
}

const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;

/// A connected world whose machine's clock is off: ahead, or behind. The server's is right.
fn with_clock_off(ms: i64) -> World {
    let mut world = World::new();
    world.clock_off_ms = ms;
    world.now.wall = Timestamp((1_795_392_000_000 + ms).unsigned_abs());
    world.restart();
    world.wake();
    assert!(world.connected);
    world
}

#[test]
fn a_machine_whose_clock_is_years_off_runs_what_it_is_told() {
    for off in [0, 13 * HOUR_MS, 10 * YEAR_MS, -13 * HOUR_MS, -10 * YEAR_MS] {
        let mut world = with_clock_off(off);
        let job = world.order_run(0, false);
        deliver_all(&mut world);
        assert_eq!(world.executing, Some(job), "a clock that is {off} ms ahead");
    }
}

#[test]
fn a_command_that_was_held_back_is_refused_whatever_the_machines_clock_says() {
    for off in [0, 13 * HOUR_MS, -13 * HOUR_MS, -10 * YEAR_MS] {
        let mut world = with_clock_off(off);
        let job = world.order_run(0, false);
        world.pass(25 * 3_600_000);
        // Before it is refused the time is asked for once more, on another connection.
        world.deliver(0, false);
        assert!(!world.connected && world.executing.is_none());
        world.wake();
        deliver_all(&mut world);
        let bodies: Vec<Body> = world.server.bodies().collect();
        assert_eq!(
            bodies,
            [Body::Refused { job, reason: Refusal::Expired }],
            "a clock that is {off} ms ahead"
        );
    }
}

#[test]
fn nothing_is_taken_before_the_server_has_told_its_time_and_all_of_it_then() {
    let mut world = World::new();
    world.tells_time = false;
    world.restart();
    assert!(world.connected);
    let jobs = [world.order_run(0, false), world.order_run(0, false)];
    world.deliver(0, true);
    world.deliver(1, true);
    assert_eq!((world.core.saved().taken, world.executing, world.connected), (CommandSeq::ZERO, None, true));
    world.tells_time = true;
    world.tell_time();
    assert!(!world.connected, "they are to come again");
    world.wake();
    deliver_all(&mut world);
    assert_eq!((world.core.saved().taken, world.executing), (CommandSeq(2), Some(jobs[0])));
}

#[test]
fn a_hello_that_is_not_answered_is_said_again_and_what_waited_for_the_answer_is_taken() {
    let mut world = World::new();
    world.tells_time = false;
    world.restart();
    assert!(world.connected);
    let job = world.order_run(0, false);
    world.deliver(0, true);
    assert!(world.connected);
    world.tells_time = true;
    world.wake();
    assert!(!world.connected, "the hello is said again");
    world.wake();
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(job));
}

#[test]
fn an_expired_command_that_comes_before_the_answer_to_the_hello_is_refused_in_the_end() {
    for reconnects in [0, 1, 6, 12] {
        let mut world = with_clock_off(0);
        // The wait before a connect grows to a minute.
        for _ in 0..reconnects {
            world.cut();
            world.wake();
        }
        let job = world.order_run(0, false);
        world.cut();
        world.pass(25 * 3_600_000);
        for _ in 0..6 {
            // As a broker that keeps the session does: first what was on its way, then the answer to the hello.
            world.tells_time = false;
            world.wake();
            world.deliver(0, true);
            world.tells_time = true;
            if world.connected {
                world.tell_time();
            }
            deliver_all(&mut world);
        }
        let refused = Body::Refused { job, reason: Refusal::Expired };
        assert!(world.server.bodies().any(|body| body == refused), "after {reconnects} reconnects");
    }
}

#[test]
fn a_clock_that_is_set_is_told_to_the_server_and_stops_nothing() {
    for step in [13 * HOUR_MS, -13 * HOUR_MS, 10 * YEAR_MS, -10 * YEAR_MS, 60_000, -60_000] {
        let mut world = with_clock_off(0);
        world.clock_off_ms = step;
        world.now.wall = Timestamp(world.now.wall.0.saturating_add_signed(step));
        world.core.handle_tick(world.now);
        world.drain();
        assert!(!world.connected, "another hello is due: {step}");
        world.wake();
        let job = world.order_run(0, false);
        deliver_all(&mut world);
        assert_eq!(world.executing, Some(job), "a clock that was set by {step} ms");
    }
    // A clock that is kept by NTP moves a little all the time.
    let mut world = with_clock_off(0);
    world.now.wall = Timestamp(world.now.wall.0 + 900);
    world.core.handle_tick(world.now);
    world.drain();
    assert!(world.connected);
}

#[test]
fn an_answer_to_another_hello_tells_no_time() {
    let mut world = World::new();
    world.tells_time = false;
    world.restart();
    assert!(world.connected);
    let epoch = world.core.saved().epoch;
    for other in [Epoch(epoch.0 - 1), epoch.next()] {
        let answer = Some(HelloAnswer { epoch: other, at: Timestamp(5), incarnation: Incarnation(9) });
        let ack = ToAgent::Ack { stream: Stream(77), through: ReportSeq::ZERO, answer, refused: None };
        world.core.handle_message(&ack, world.now).expect("an ack never waits");
        assert_eq!(world.core.server_time(world.now), None);
    }
}

#[test]
fn what_waited_when_the_agent_was_ended_is_judged_by_the_servers_clock_where_it_is_known() {
    let mut world = with_clock_off(0);
    let (running, waiting) = (world.order_run(0, false), world.order_run(0, false));
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(running));
    // A day later, and by the machine's clock too: a job that is no backup does not begin so late.
    world.pass(25 * 3_600_000);
    world.restart();
    world.wake();
    deliver_all(&mut world);
    let refused = Body::Refused { job: waiting, reason: Refusal::Expired };
    assert!(world.server.bodies().any(|body| body == refused));
}

#[test]
fn an_old_copy_of_the_server_is_left_not_obeyed_and_gets_no_reports() {
    let mut world = World::new();
    world.incarnation = Incarnation(1_000);
    world.cut();
    world.wake();
    assert!(world.core.is_served());
    // What was heard is on disk before anything else happens.
    world.restart();
    world.wake();
    assert_eq!(world.core.saved().incarnation, Incarnation(1_000));
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    world.end_job(Outcome::Succeeded, None);
    world.cut();
    world.incarnation = Incarnation(999);
    let (taken, acked) = (world.core.saved().taken, world.core.saved().acked);
    for _ in 0..20 {
        world.wake();
        assert!(!world.connected && !world.core.is_served(), "it stays at an old copy");
        assert!(!world.to_server.iter().any(|said| matches!(said, Said::Report { .. })));
    }
    assert_eq!((world.core.saved().taken, world.core.saved().acked), (taken, acked));
    world.incarnation = Incarnation(1_000);
    world.settle();
    world.check();
    assert!(matches!(world.endings(job)[..], [Body::Finished { .. }]));
}

#[test]
fn reports_and_commands_wait_for_the_answer_to_a_hello() {
    let mut world = connected();
    let job = world.order_run(0, false);
    deliver_all(&mut world);
    assert_eq!(world.executing, Some(job));
    world.cut();
    world.end_job(Outcome::Succeeded, None);
    world.tells_time = false;
    let other = world.order_run(0, false);
    world.wake();
    assert!(world.connected && !world.core.is_served());
    world.deliver(0, true);
    assert_eq!(world.executing, None, "{other} is taken of a server that has not said which it is");
    assert!(!world.to_server.iter().any(|said| matches!(said, Said::Report { .. })));
    // An answer that was lost is asked for again.
    world.pass(61_000);
    assert!(!world.connected);
    world.tells_time = true;
    world.settle();
    world.check();
}

#[test]
fn a_hello_says_of_each_source_group_when_its_last_good_backup_was_taken() {
    let mut world = connected();
    let saved = |world: &World| world.core.saved().hello_saved().map(|saved| saved.at).collect::<Vec<_>>();
    let back_up = |world: &mut World, outcome, class| {
        world.pass(60_000);
        let job = world.order(0, JobKind::Backup);
        deliver_all(world);
        let held = world.core.saved().hello_jobs().next().expect("it is held");
        assert!(held.job == job && held.group.is_some());
        let at = world.core.saved().held[0].ticket.taken_at;
        world.pass(5_000);
        world.end_job(outcome, class);
        deliver_all(world);
        at
    };
    assert_eq!(saved(&world), []);
    back_up(&mut world, Outcome::Failed, Some(Class::Network));
    assert_eq!(saved(&world), [], "nothing was saved by it");
    let good = back_up(&mut world, Outcome::Succeeded, None);
    assert_eq!(saved(&world), [good]);
    back_up(&mut world, Outcome::Failed, Some(Class::Network));
    assert_eq!(saved(&world), [good], "a later failure takes nothing back");
    let lacking = back_up(&mut world, Outcome::Warning, Some(Class::SourceUnreadable));
    world.restart();
    assert_eq!(saved(&world), [lacking]);
}
