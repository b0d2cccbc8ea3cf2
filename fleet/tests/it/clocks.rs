//! Wrong clocks, of the server and of agents: what they have dated ahead of the time counts as of the time at which it
//! was taken, or at which the clock came back, and grows old from then on.

use crate::support::{
    Agent, DAY_MS, HOUR_MS, World, by, credentials, hourly, jobs, saved, settings, waiting,
};
use fleet::maintenance::{CheckStatus, check_status};
use fleet::record::Role;
use fleet::{Day, Fleet, JobRequest, Page, Status};
use proptest::prelude::*;
use schema::job::ProbeSummary;
use schema::stats::{CheckResult, LockSeen, Size, SizeSource, SnapshotCount};
use schema::{JobKind, Outcome, RepoId, RepoStats, ReportBody, Slot, StatsRevision, Summary, Timestamp};

const MINUTE: u64 = 60_000;

fn figures(agent: &Agent, revision: u64, at: Timestamp) -> RepoStats<'static> {
    RepoStats {
        stream: agent.stream,
        revision: StatsRevision(revision),
        at,
        job: None,
        repo: Some(RepoId([5; 32])),
        size: Some(Size { at, bytes: revision, source: SizeSource::Measured }),
        snapshots: Some(SnapshotCount { at, count: 1, newest_at: Some(at) }),
        check: Some(CheckResult { at, errors: 0, subset_pct: 5 }),
        prune: None,
        lock: Some(LockSeen { at, lock: None }),
    }
}

/// What may happen while the clock is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    BackUp,
    FailToBackUp,
    Test,
    SetCredentials,
    Figures,
    Leave,
    Come,
    Tick,
}

const DEEDS: [Deed; 8] = [
    Deed::BackUp,
    Deed::FailToBackUp,
    Deed::Test,
    Deed::SetCredentials,
    Deed::Figures,
    Deed::Leave,
    Deed::Come,
    Deed::Tick,
];

struct Life {
    folder: tempfile::TempDir,
    world: World,
    agent: Agent,
    revision: u64,
}

impl Life {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new();
        let fleet = Fleet::open(folder.path(), settings(), world.driver()).unwrap();
        let agent = Agent::ready(&world, &fleet, "attic").await;
        fleet
            .create_operator(
                "mira",
                Role::Admin,
                "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA".to_owned(),
                by(),
            )
            .await
            .unwrap();
        fleet.put_schedule(agent.host, None, hourly("nightly"), by()).await.unwrap();
        Self { folder, world, agent, revision: 0 }
    }

    fn is_here(&self) -> bool {
        self.agent.fleet.read().unwrap().presence(self.agent.host).unwrap().online
    }

    async fn run(&mut self, outcome: Outcome) {
        let fleet = self.agent.fleet.clone();
        let _ = fleet.dispatch(self.agent.host, crate::support::backup("etc"), by()).await;
        self.agent.run_what_waits(outcome).await;
    }

    async fn act(&mut self, deed: Deed) {
        let fleet = self.agent.fleet.clone();
        match deed {
            Deed::BackUp if self.is_here() => self.run(Outcome::Succeeded).await,
            Deed::FailToBackUp if self.is_here() => self.run(Outcome::Failed).await,
            Deed::Test if self.is_here() => {
                let Ok(job) = fleet.dispatch(self.agent.host, JobRequest::Probe, by()).await else { return };
                self.agent.take_all();
                self.agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
                let found = ProbeSummary {
                    repo: Some(RepoId([5; 32])),
                    repo_version: Some(2),
                    append_only: Some(false),
                    answered_ms: 1,
                };
                self.agent.finish(job.id, Outcome::Succeeded, Summary::Probe(found)).await;
            }
            Deed::SetCredentials => {
                fleet.put_credentials(self.agent.host, Slot::Repo, credentials(), by()).await.unwrap();
            }
            Deed::Figures => {
                self.revision += 1;
                let stats = figures(&self.agent, self.revision, self.world.now());
                self.agent.stats(stats).await;
            }
            Deed::Leave => self.agent.gone(self.agent.epoch).await,
            Deed::Come => {
                self.agent.hello(&[]).await;
            }
            Deed::Tick => {
                fleet.tick().await;
            }
            Deed::BackUp | Deed::FailToBackUp | Deed::Test => {}
        }
    }

    /// The server ends and begins anew.
    async fn restart(&mut self) {
        self.agent.fleet = Fleet::in_memory(settings(), self.world.driver()).unwrap();
        self.agent.fleet = Fleet::open(self.folder.path(), settings(), self.world.driver()).unwrap();
    }

    /// The clock is right again, and a while passes.
    async fn come_back(&mut self, at: Timestamp, restarts: bool) {
        self.world.set(at);
        if restarts {
            self.restart().await;
        }
        for _ in 0..25 {
            self.agent.fleet.tick().await;
            self.agent.fleet.sweep().await;
            self.world.pass(MINUTE);
        }
    }

    /// Nothing that was is said to be yet to come.
    fn check(&self) -> Result<(), TestCaseError> {
        let (now, host) = (self.world.now(), self.agent.host);
        let read = self.agent.fleet.read().unwrap();
        let row = read.host_row(host).unwrap();
        let repo = read.repo(host).unwrap();
        let presence = read.presence(host).unwrap();
        let mut seen = vec![row.last_good_at, presence.changed_at, presence.last_seen_at];
        seen.extend([row.size_at, row.waits_since, repo.repo_at, repo.tested.map(|tested| tested.at)]);
        seen.extend([repo.size.map(|s| s.at), repo.check.map(|c| c.at), repo.lock.map(|l| l.at)]);
        seen.extend(read.repo_history(host).unwrap().iter().map(|point| Some(point.at)));
        seen.push(read.credentials(host, Slot::Repo).unwrap().map(|facts| facts.updated_at));
        for job in jobs(&self.agent.fleet, host) {
            seen.extend([
                Some(job.created_at),
                job.sent_at,
                job.accepted_at,
                job.started_at,
                job.finished_at,
            ]);
        }
        for run in waiting(&self.agent.fleet) {
            seen.extend([Some(run.due_at), Some(run.last_due_at)]);
        }
        seen.extend(read.given_up(100).unwrap().iter().map(|row| Some(row.at)));
        for at in seen.into_iter().flatten() {
            prop_assert!(at <= now, "{} is ahead of {}", at.0, now.0);
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_a_clock_wrote_that_was_ahead_grows_old_like_all_else() {
    for ahead in [HOUR_MS, 20 * HOUR_MS, 40 * DAY_MS, 10 * 365 * DAY_MS] {
        for restarts in [false, true] {
            let said = format!("{ahead} ms, {restarts}");
            let mut life = Life::begin().await;
            let right = life.world.now();
            life.world.pass(ahead);
            for deed in
                [Deed::Tick, Deed::BackUp, Deed::SetCredentials, Deed::Test, Deed::Figures, Deed::Leave]
            {
                life.act(deed).await;
            }
            let fleet = life.agent.fleet.clone();
            let host = life.agent.host;
            let (cookie, _) = fleet.open_session("mira", "").await.unwrap();
            fleet.new_enroll_token(host, fleet::record::TokenMachine::Any, by()).await.unwrap();
            drop(fleet);
            life.come_back(right, restarts).await;
            life.check().unwrap();
            let row = life.agent.fleet.read().unwrap().host_row(host).unwrap();
            assert!(row.protected, "{said}: {:?}", row.reason);
            let token = life.agent.fleet.read().unwrap().enroll_token(host).unwrap();
            assert!(token.is_none_or(|token| token.expires_at <= life.world.now().plus_ms(DAY_MS)), "{said}");

            // Nothing happens for long.
            life.world.pass(40 * DAY_MS);
            life.agent.fleet.tick().await;
            life.agent.fleet.sweep().await;
            let read = life.agent.fleet.read().unwrap();
            let row = read.host_row(host).unwrap();
            assert!(!row.protected && row.needs_attention(), "{said}: {:?} {:?}", row.status, row.reason);
            assert_eq!(row.status, Status::Offline, "{said}: {:?}", row.reason);
            assert_eq!(*row.days().last().unwrap(), Day::Missed, "{said}");
            assert!(read.session(cookie.expose()).unwrap().is_none(), "{said}: the session never ends");
            let settings = read.maintenance(host).unwrap();
            let status = check_status(read.repo(host).unwrap().check.as_ref(), &settings, read.now());
            assert_eq!(status, CheckStatus::Overdue, "{said}");
            assert_eq!(waiting(&life.agent.fleet).len(), 1, "{said}: the schedule stands still");
            drop(read);

            // And all that is new counts.
            life.act(Deed::Come).await;
            assert_eq!(life.agent.run_what_waits(Outcome::Succeeded).await, 1, "{said}");
            life.act(Deed::Test).await;
            life.act(Deed::Figures).await;
            let read = life.agent.fleet.read().unwrap();
            let row = read.host_row(host).unwrap();
            let backup = read.latest_job(host, JobKind::Backup).unwrap().unwrap();
            assert_eq!(row.last_good_at, backup.finished_at, "{said}");
            assert_eq!(row.last_backup().unwrap().id, backup.id, "{said}");
            assert_eq!(read.last_good_backup(host, Some("etc")).unwrap().unwrap().id, backup.id, "{said}");
            let tested = read.repo(host).unwrap().tested.unwrap();
            assert_eq!(tested.job, read.latest_job(host, JobKind::Probe).unwrap().unwrap().id, "{said}");
            assert_eq!(read.repo(host).unwrap().size.unwrap().bytes, life.revision, "{said}");
            assert!(row.protected, "{said}: {:?}", row.reason);
        }
    }
}

#[tokio::test]
async fn a_machine_that_begins_in_the_past_loses_no_instant_by_that() {
    let mut life = Life::begin().await;
    life.act(Deed::BackUp).await;
    life.act(Deed::Figures).await;
    let host = life.agent.host;
    let (right, before) = (life.world.now(), life.agent.fleet.read().unwrap().host_row(host).unwrap());
    // No clock of its own: it begins years ago, until somebody tells it the time.
    life.world.set(Timestamp(right.0 - 20 * 365 * DAY_MS));
    life.restart().await;
    for _ in 0..4 {
        life.agent.fleet.tick().await;
        life.world.pass(MINUTE);
    }
    life.world.set(right);
    for _ in 0..25 {
        life.agent.fleet.tick().await;
        life.world.pass(MINUTE);
    }
    let row = life.agent.fleet.read().unwrap().host_row(host).unwrap();
    assert_eq!((row.last_good_at, row.size_at), (before.last_good_at, before.size_at));
    assert!(row.protected);
}

#[tokio::test]
async fn a_job_whose_time_lies_ahead_is_given_up_in_time() {
    let mut life = Life::begin().await;
    let right = life.world.now();
    life.world.pass(10 * 365 * DAY_MS);
    let fleet = life.agent.fleet.clone();
    let job = fleet.dispatch(life.agent.host, crate::support::backup("etc"), by()).await.unwrap();
    drop(fleet);
    life.act(Deed::Leave).await;
    life.come_back(right, true).await;
    life.world.pass(13 * HOUR_MS);
    life.agent.fleet.sweep().await;
    assert!(life.agent.job(job.id).state.is_ended(), "its command is far too old");
}

#[tokio::test]
async fn a_figure_that_is_only_said_again_says_nothing_of_today() {
    let mut life = Life::begin().await;
    life.act(Deed::BackUp).await;
    let (host, begun) = (life.agent.host, life.world.now());
    // The agent's clock was ten years ahead when it checked.
    let ahead = begun.plus_ms(3_650 * DAY_MS);
    life.agent.stats(figures(&life.agent, 1, ahead)).await;
    for day in 1..=60 {
        life.world.set(begun.plus_ms(day * DAY_MS));
        let snapshots = SnapshotCount { at: life.world.now(), count: 1, newest_at: None };
        let again = RepoStats { snapshots: Some(snapshots), ..figures(&life.agent, 1 + day, ahead) };
        life.agent.stats(again).await;
    }
    let read = life.agent.fleet.read().unwrap();
    let repo = read.repo(host).unwrap();
    assert_eq!(repo.check.as_ref().unwrap().at, begun, "when it was taken");
    assert_eq!(repo.snapshots.unwrap().at, life.world.now());
    let status = check_status(repo.check.as_ref(), &read.maintenance(host).unwrap(), read.now());
    assert_eq!(status, CheckStatus::Overdue);
    let page = Page { limit: 10, cursor: None };
    assert_eq!(read.pending(&page).unwrap().items, vec![]);
    let _ = saved();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever is done while the clock is wrong, and however often it is: when it is right again nothing lies ahead, and a
    /// month in which nothing happens is seen.
    #[test]
    fn nothing_stays_ahead_of_a_clock_that_came_back(
        parts in proptest::collection::vec(
            (
                prop_oneof![Just(0_u64), MINUTE..HOUR_MS, HOUR_MS..3 * DAY_MS, DAY_MS..4_000 * DAY_MS],
                proptest::collection::vec(proptest::sample::select(DEEDS.to_vec()), 1..8),
                any::<bool>(),
            ),
            1..5,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let mut life = Life::begin().await;
            for (ahead, deeds, restarts) in parts {
                let right = life.world.now().plus_ms(MINUTE);
                life.world.pass(ahead);
                for deed in deeds {
                    life.act(deed).await;
                    life.world.pass(1_000);
                }
                life.come_back(right, restarts).await;
                life.check()?;
            }
            life.act(Deed::Leave).await;
            life.world.pass(35 * DAY_MS);
            life.agent.fleet.tick().await;
            let row = life.agent.fleet.read().unwrap().host_row(life.agent.host).unwrap();
            prop_assert!(!row.protected && row.needs_attention(), "{:?} {:?}", row.status, row.reason);
            Ok(())
        });
        outcome?;
    }
}
