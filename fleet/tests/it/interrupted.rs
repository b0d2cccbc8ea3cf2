//! A job that did not come to its end: what follows goes by who ended it, never by what its end is called.

use crate::support::{
    Agent, HOUR_MS, World, backup, by, credentials, finished, hourly, in_memory, jobs, saved, waiting,
};
use fleet::maintenance::{Action, Why};
use fleet::record::{EndedBy, Job, JobState, MaintenanceInput, RuleInput};
use fleet::{By, Day, Fleet, JobRequest, Status};
use schema::report::Finished;
use schema::{Class, JobId, JobKind, Outcome, ReportBody, Slot, Summary, Timestamp};

/// How a job comes to an early end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// A person cancels it, and the agent does that.
    Cancelled,
    /// A person cancels it, and the agent is stopped before it hears of that.
    CancelledThenStopped,
    /// The same, and the agent is killed.
    CancelledThenKilled,
    /// The same, and the agent comes back without it.
    CancelledThenLost,
    /// The agent is stopped: a restart, an update, a reboot.
    Stopped,
    /// The agent is killed.
    Killed,
    /// The agent comes back without it.
    Lost,
    /// Something else on the machine sends restic a signal.
    Signalled,
    /// It took too long.
    TimedOut,
    /// The host's policy does not want it now.
    PutOff,
}

impl End {
    const ALL: [Self; 10] = [
        Self::Cancelled,
        Self::CancelledThenStopped,
        Self::CancelledThenKilled,
        Self::CancelledThenLost,
        Self::Stopped,
        Self::Killed,
        Self::Lost,
        Self::Signalled,
        Self::TimedOut,
        Self::PutOff,
    ];

    fn by(self) -> Option<EndedBy> {
        match self {
            Self::Cancelled
            | Self::CancelledThenStopped
            | Self::CancelledThenKilled
            | Self::CancelledThenLost => Some(EndedBy::Person),
            Self::Stopped | Self::Killed | Self::Lost => Some(EndedBy::Agent),
            Self::Signalled => Some(EndedBy::Machine),
            Self::PutOff => Some(EndedBy::Policy),
            Self::TimedOut => None,
        }
    }

    fn is_decided(self) -> bool {
        self.by() == Some(EndedBy::Person)
    }

    /// What the agent says; `None` = nothing.
    fn said(self) -> Option<(Outcome, Class)> {
        Some(match self {
            Self::Cancelled | Self::Signalled => (Outcome::Cancelled, Class::Cancelled),
            Self::CancelledThenStopped | Self::Stopped => (Outcome::Cancelled, Class::AgentRestarted),
            Self::CancelledThenKilled | Self::Killed => (Outcome::Failed, Class::AgentRestarted),
            Self::TimedOut => (Outcome::Failed, Class::Timeout),
            Self::PutOff => (Outcome::Cancelled, Class::NotNow),
            Self::CancelledThenLost | Self::Lost => return None,
        })
    }

    /// Brings it about for a job that the agent has.
    async fn happen(self, agent: &mut Agent, job: JobId) -> Job {
        if self.is_decided() {
            agent.fleet.cancel(job, by()).await.unwrap();
        }
        match self.said() {
            Some((outcome, class)) => {
                let said = finished(job, outcome, agent.world.now(), Summary::None);
                agent.report(ReportBody::Finished(Finished { class: Some(class), ..said })).await;
            }
            None => {
                agent.take_all();
                agent.hello(&[]).await;
            }
        }
        agent.job(job)
    }
}

async fn begun(agent: &mut Agent) -> JobId {
    let job = jobs(&agent.fleet, agent.host)[0].id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    agent.report(ReportBody::Started { job }).await;
    job
}

/// A host whose hourly backup is in the middle, after a good one.
async fn in_the_middle() -> (World, Fleet, Agent, JobId) {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    let job = begun(&mut agent).await;
    (world, fleet, agent, job)
}

#[tokio::test]
async fn a_due_backup_that_nobody_wanted_ended_is_tried_again_and_a_persons_cancel_is_a_decision() {
    for end in End::ALL {
        let (world, fleet, mut agent, job) = in_the_middle().await;
        let ended = end.happen(&mut agent, job).await;
        assert_eq!(ended.ended_by(), end.by(), "{end:?}: {ended:?}");
        let runs = waiting(&fleet);
        if end.is_decided() {
            assert_eq!(runs, vec![], "{end:?}");
        } else {
            let error = runs[0].last_error.as_ref().unwrap();
            assert_eq!((runs.len(), error.job), (1, Some(job)), "{end:?}");
            // What was put off was no try.
            assert_eq!(runs[0].attempt, u16::from(end.by() != Some(EndedBy::Policy)), "{end:?}");
        }
        assert_eq!(fleet.read().unwrap().given_up(10).unwrap(), vec![], "{end:?}");
        world.pass(HOUR_MS / 2);
        fleet.tick().await;
        let count = jobs(&fleet, agent.host).len();
        assert_eq!(count, if end.is_decided() { 2 } else { 3 }, "{end:?}");
        if !end.is_decided() {
            assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1, "{end:?}");
            assert_eq!((waiting(&fleet), agent.job(job).state), (vec![], ended.state), "{end:?}");
            assert_eq!(fleet.read().unwrap().host_row(agent.host).unwrap().status, Status::Ok, "{end:?}");
        }
    }
}

#[tokio::test]
async fn a_host_whose_backup_was_broken_off_is_not_well_until_there_is_a_good_one() {
    for end in End::ALL {
        // Asked for by a person, and with no schedule that would try again.
        let (world, fleet) = in_memory();
        let mut agent = Agent::ready(&world, &fleet, "attic").await;
        agent.back_up("etc", Outcome::Succeeded).await;
        fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
        let job = begun(&mut agent).await;
        end.happen(&mut agent, job).await;
        let row = fleet.read().unwrap().host_row(agent.host).unwrap();
        let was_tried = !matches!(end.by(), Some(EndedBy::Person | EndedBy::Policy));
        assert_eq!(row.needs_attention(), was_tried, "{end:?}: {:?}", row.reason);
        assert_eq!(row.status == Status::Failed, was_tried, "{end:?}: {:?}", row.reason);
        let day = *row.days().last().unwrap();
        assert_eq!(day, if was_tried { Day::Failed } else { Day::Ok }, "{end:?}");
        assert_eq!(row.last_backup().unwrap().id, job, "{end:?}");
    }
}

#[tokio::test]
async fn maintenance_that_was_broken_off_is_tried_again_after_an_hour() {
    for end in End::ALL {
        let (world, fleet) = in_memory();
        let mut agent = Agent::ready(&world, &fleet, "attic").await;
        agent.back_up("etc", Outcome::Succeeded).await;
        fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
        let weekly = RuleInput { enabled: true, every: "7 days".into(), ..RuleInput::default() };
        let off = RuleInput { enabled: false, ..weekly.clone() };
        let input = MaintenanceInput {
            forget: off.clone(),
            prune: off,
            check: weekly,
            ..MaintenanceInput::default()
        };
        fleet.put_maintenance(agent.host, input, by()).await.unwrap();
        world.pass(8 * 24 * HOUR_MS);
        fleet.dispatch(agent.host, JobRequest::Check { subset_pct: None }, By::system()).await.unwrap();
        let made_at = world.now();
        let host = agent.host;
        let job = begun(&mut agent).await;
        end.happen(&mut agent, job).await;
        let (_, decisions) = fleet.read().unwrap().decisions(host).unwrap().unwrap();
        let decided = decisions.into_iter().find(|decision| decision.kind == JobKind::Check).unwrap();
        let (due, why) = match end.by() {
            Some(EndedBy::Person) => {
                (made_at.plus_ms(7 * 24 * HOUR_MS), Why::NotDue { done_at: Some(made_at) })
            }
            Some(EndedBy::Policy) => (made_at.plus_ms(HOUR_MS), Why::PutOff),
            _ => (made_at.plus_ms(HOUR_MS), Why::Retry(1)),
        };
        assert_eq!((decided.action, decided.due_at, decided.why), (Action::Wait, Some(due), why), "{end:?}");
    }
}

#[tokio::test]
async fn a_credentials_test_that_was_broken_off_says_nothing_of_them() {
    for end in End::ALL {
        let (world, fleet) = in_memory();
        let mut agent = Agent::ready(&world, &fleet, "attic").await;
        agent.back_up("etc", Outcome::Succeeded).await;
        world.pass(1_000);
        fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
        let job = begun(&mut agent).await;
        end.happen(&mut agent, job).await;
        let tested = fleet.read().unwrap().repo(agent.host).unwrap().tested;
        assert_eq!(tested.is_some(), end.by().is_none(), "{end:?}: {tested:?}");
    }
}

#[tokio::test]
async fn what_the_agent_began_alone_and_was_broken_off_waits_for_the_next_try() {
    for end in [End::Stopped, End::Killed, End::Signalled, End::TimedOut] {
        let (world, fleet) = in_memory();
        let mut agent = Agent::ready(&world, &fleet, "attic").await;
        fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
        agent.gone(agent.epoch).await;
        world.pass(HOUR_MS);
        let due_at = Timestamp(world.now().0 / HOUR_MS * HOUR_MS);
        world.pass(120_000);
        let job = JobId::new(world.now(), [5; 10]);
        agent.reports = agent.reports.plus(2);
        agent.hello(&[]).await;
        agent.reports = agent.reports.previous().previous();
        agent.report(ReportBody::Own { job, schedule: "nightly", group: "etc", due_at }).await;
        let ended = end.happen(&mut agent, job).await;
        assert!(ended.state.is_ended(), "{end:?}");
        let runs = waiting(&fleet);
        assert_eq!((runs.len(), runs[0].attempt), (1, 1), "{end:?}");
        world.pass(60_000);
        fleet.tick().await;
        assert_eq!(agent.run_what_waits(Outcome::Succeeded).await, 1, "{end:?}");
        assert_eq!(waiting(&fleet), vec![], "{end:?}");
    }
}

#[tokio::test]
async fn what_the_server_took_back_says_nothing_of_how_the_host_stands() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
    world.pass(HOUR_MS);
    fleet.tick().await;
    let dispatched = jobs(&fleet, agent.host)[0].id;
    let due_at = Timestamp(world.now().0 / HOUR_MS * HOUR_MS);
    // It never got there: the agent did it alone meanwhile.
    agent.gone(agent.epoch).await;
    world.pass(300_000);
    let job = JobId::new(world.now(), [5; 10]);
    agent.reports = agent.reports.plus(2);
    agent.hello(&[]).await;
    agent.reports = agent.reports.previous().previous();
    agent.report(ReportBody::Own { job, schedule: "nightly", group: "etc", due_at }).await;
    let taken_back = agent.job(dispatched);
    assert_eq!((taken_back.state, taken_back.ended_by()), (JobState::Cancelled, Some(EndedBy::Server)));
    agent.finish(job, Outcome::Succeeded, saved()).await;
    // The agent has read that cancel, too.
    agent.take_all();
    let said = finished(dispatched, Outcome::Cancelled, world.now(), Summary::None);
    agent.report(ReportBody::Finished(Finished { class: Some(Class::Cancelled), ..said })).await;
    assert_eq!(agent.job(dispatched).ended_by(), Some(EndedBy::Server));
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert_eq!((row.status, row.last_backup().map(|last| last.id)), (Status::Ok, Some(dispatched)));
    assert_eq!(waiting(&fleet), vec![]);
}
