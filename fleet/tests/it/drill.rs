//! Drills: what they prove, when they are due, and what a host says that is not proven.

use crate::support::*;
use fleet::record::{Job, JobState, JobWhat, MaintenanceInput, RuleInput};
use fleet::{Fleet, HostRow, JobRequest, ProofStatus, Reason, Status};
use schema::drill::{DrillCuts, DrillFault, DrillFinding, DrillSummary};
use schema::report::Finished;
use schema::{Class, HostId, Items, JobKind, Outcome, ReportBody, Summary};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn row(fleet: &Fleet, host: HostId) -> HostRow {
    fleet.read().unwrap().host_row(host).unwrap()
}

fn found(equal: u32, unreadable: u32) -> DrillSummary<'static> {
    DrillSummary {
        snapshot: "0badcafe",
        of_files: 9,
        of_bytes: 40 << 20,
        drawn: equal + unreadable,
        equal,
        changed_since: 0,
        unreadable,
        different: 0,
        not_tried: 0,
        bytes: 20 << 20,
        restore_ms: 2_000,
        cuts: DrillCuts::default(),
        findings: Items::EMPTY,
        findings_left_out: 0,
    }
}

async fn ask(agent: &Agent, group: Option<&str>) -> Job {
    let request = JobRequest::Drill { group: group.map(str::to_owned), files: None, bytes: None };
    agent.fleet.dispatch(agent.host, request, by()).await.unwrap()
}

async fn end(agent: &mut Agent, job: &Job, class: Option<Class>, summary: DrillSummary<'_>) {
    agent.take_all();
    let outcome = if class.is_some() { Outcome::Failed } else { Outcome::Succeeded };
    let at = agent.clock();
    let finished = Finished { class, ..finished(job.id, outcome, at, Summary::Drill(summary)) };
    agent.report(ReportBody::Finished(finished)).await;
}

#[tokio::test]
async fn a_drill_proves_a_group_and_one_that_finds_damage_fails_the_host() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    assert_eq!(row(&fleet, agent.host).proof.status, ProofStatus::Nothing);
    let nothing = JobRequest::Drill { group: None, files: None, bytes: None };
    let refused = fleet.dispatch(agent.host, nothing, by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("group"));
    agent.back_up("etc", Outcome::Succeeded).await;
    assert_eq!(row(&fleet, agent.host).proof.status, ProofStatus::Waiting);

    let job = ask(&agent, None).await;
    let JobWhat::Drill(plan) = &job.what else { panic!("{job:?}") };
    assert_eq!((plan.group.as_str(), plan.files, plan.bytes, plan.secs), ("etc", 20, 512 << 20, 900));
    assert_ne!(plan.seed, 0);
    end(&mut agent, &job, None, found(5, 0)).await;
    let proven = row(&fleet, agent.host);
    assert_eq!((proven.proof.status, proven.status), (ProofStatus::Proven, Status::Ok));
    assert_eq!(proven.proof.proven_at, Some(world.now()));
    let estimate = proven.proof.estimate.unwrap();
    assert_eq!((estimate.rate.job, estimate.rate.bytes_a_second()), (job.id, 10 << 20));

    let again = ask(&agent, Some("etc")).await;
    let JobWhat::Drill(other) = &again.what else { panic!("{again:?}") };
    assert_ne!(other.seed, plan.seed, "another lot");
    let finding = DrillFinding { path: "/etc/x".into(), fault: DrillFault::Unreadable, reason: "damaged" };
    let mut room = [0; 64];
    let findings = Items::write([finding], &mut room).unwrap();
    end(&mut agent, &again, Some(Class::ProofFailed), DrillSummary { findings, ..found(4, 1) }).await;
    assert_eq!(agent.job(again.id).state, JobState::Failed);
    let failed = row(&fleet, agent.host);
    assert_eq!((failed.status, failed.proof.status), (Status::Failed, ProofStatus::Failed));
    assert_eq!(failed.reason, Reason::ProofFailed { group: None, since: world.now() });
    assert!(!failed.protected && failed.proof_of_groups()[0].proven.is_some());

    // One that could not be run says nothing of what is stored; one that goes well does.
    let network = ask(&agent, None).await;
    end(&mut agent, &network, Some(Class::Network), found(0, 0)).await;
    assert_eq!(row(&fleet, agent.host).proof.status, ProofStatus::Failed);
    // A small one may only have missed it.
    for (files, bytes) in [(Some(1), None), (None, Some(100))] {
        let request = JobRequest::Drill { group: None, files, bytes };
        let small = fleet.dispatch(agent.host, request, by()).await.unwrap();
        end(&mut agent, &small, None, found(1, 0)).await;
        assert_eq!(row(&fleet, agent.host).proof.status, ProofStatus::Failed, "{files:?} {bytes:?}");
    }
    let good = ask(&agent, None).await;
    end(&mut agent, &good, None, found(5, 0)).await;
    assert_eq!(row(&fleet, agent.host).status, Status::Ok);
}

#[tokio::test]
async fn after_a_proof_that_failed_the_same_files_are_drawn_until_they_are_good() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("home"), by()).await.unwrap();
    agent.back_up("etc", Outcome::Succeeded).await;
    agent.back_up("home", Outcome::Succeeded).await;
    let lot = |job: &Job| match &job.what {
        JobWhat::Drill(plan) => (plan.seed, plan.files, plan.bytes),
        other => panic!("{other:?}"),
    };
    let request = |files, bytes| JobRequest::Drill { group: Some("etc".to_owned()), files, bytes };
    let large = fleet.dispatch(agent.host, request(Some(60), Some(1 << 30)), by()).await.unwrap();
    let (seed, ..) = lot(&large);
    end(&mut agent, &large, Some(Class::ProofFailed), found(59, 1)).await;

    // Also by the second one that fails, and by one that could not be run.
    for class in [Class::ProofFailed, Class::Network, Class::ProofFailed] {
        let again = ask(&agent, Some("etc")).await;
        assert_eq!(lot(&again), (seed, 60, 1 << 30), "no fewer than failed, and no other ones");
        end(&mut agent, &again, Some(class), found(59, 1)).await;
    }
    let larger = fleet.dispatch(agent.host, request(Some(90), Some(2 << 30)), by()).await.unwrap();
    assert_eq!(lot(&larger), (seed, 90, 2 << 30));
    end(&mut agent, &larger, Some(Class::Network), found(0, 0)).await;
    let small = fleet.dispatch(agent.host, request(Some(2), None), by()).await.unwrap();
    assert_eq!(lot(&small), (seed, 2, 512 << 20), "as small as it was asked for");
    end(&mut agent, &small, None, found(2, 0)).await;
    let other = ask(&agent, Some("home")).await;
    assert_ne!(lot(&other).0, seed, "another group has its own lot");
    end(&mut agent, &other, None, found(5, 0)).await;

    let good = ask(&agent, Some("etc")).await;
    assert_eq!(lot(&good).0, seed);
    end(&mut agent, &good, None, found(60, 0)).await;
    let next = ask(&agent, Some("etc")).await;
    assert!(lot(&next).0 != seed && (lot(&next).1, lot(&next).2) == (20, 512 << 20), "{next:?}");
}

#[tokio::test]
async fn what_was_drawn_for_want_of_room_alone_proves_nothing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    let cuts = |too_large| DrillCuts { too_large, short_of_room: true, ..DrillCuts::default() };
    let little = DrillSummary { of_files: 393, bytes: 0, cuts: cuts(392), ..found(1, 0) };
    let few = DrillSummary { of_files: 393, bytes: 9, cuts: cuts(390), ..found(3, 0) };
    for summary in [little, few] {
        let job = ask(&agent, None).await;
        end(&mut agent, &job, None, summary).await;
        assert_eq!(row(&fleet, agent.host).proof.status, ProofStatus::Waiting, "{summary:?}");
    }
    // One large file among many others, and a group of empty files.
    let most = DrillSummary { of_files: 393, cuts: cuts(1), ..found(20, 0) };
    let empty = DrillSummary { of_bytes: 0, bytes: 0, ..found(3, 0) };
    for summary in [most, empty] {
        let job = ask(&agent, None).await;
        end(&mut agent, &job, None, summary).await;
        let proof = row(&fleet, agent.host).proof;
        assert_eq!((proof.status, proof.proven_at), (ProofStatus::Proven, Some(world.now())));
        world.pass(HOUR_MS);
    }
}

#[tokio::test]
async fn what_is_not_proven_for_too_long_is_a_state_of_its_own() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    let stands = |fleet: &Fleet, host| {
        let row = row(fleet, host);
        (row.status, row.proof.status)
    };
    for _ in 0..29 {
        world.pass(DAY_MS);
        agent.back_up("etc", Outcome::Succeeded).await;
    }
    assert_eq!(stands(&fleet, agent.host), (Status::Ok, ProofStatus::Waiting));
    for _ in 0..4 {
        world.pass(DAY_MS);
        agent.back_up("etc", Outcome::Succeeded).await;
    }
    assert_eq!(stands(&fleet, agent.host), (Status::Unproven, ProofStatus::Unproven));
    let unproven = row(&fleet, agent.host);
    assert_eq!((unproven.reason.code(), unproven.protected), ("unproven", true));
    let counts = fleet.read().unwrap().fleet_counts().unwrap();
    assert_eq!((counts.of(Status::Unproven), counts.proven, counts.protected, counts.total), (1, 0, 1, 1));

    // Its operator switches proofs off: nothing claims that it is proven, and nothing nags.
    let off = RuleInput { enabled: false, every: "30 days".into(), ..RuleInput::default() };
    let rule = RuleInput { enabled: true, ..off.clone() };
    let settings = MaintenanceInput {
        forget: rule.clone(),
        prune: rule.clone(),
        check: rule,
        drill: Some(off),
        ..MaintenanceInput::default()
    };
    fleet.put_maintenance(agent.host, settings, by()).await.unwrap();
    assert_eq!(stands(&fleet, agent.host), (Status::Ok, ProofStatus::Off));
    assert_eq!(fleet.read().unwrap().fleet_counts().unwrap().proven, 0);
}

#[tokio::test]
async fn each_group_is_drilled_once_a_month_by_the_server_itself() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("srv"), by()).await.unwrap();
    let mut drills: Vec<(u64, String)> = Vec::new();
    for day in 0..95 {
        agent.back_up("etc", Outcome::Succeeded).await;
        agent.back_up("srv", Outcome::Succeeded).await;
        // 22:13 to the middle of the night, and on to the next evening.
        world.pass(5 * HOUR_MS);
        for _ in 0..4 {
            fleet.maintain().await;
            for job in fleet.read().unwrap().open_jobs(agent.host).unwrap() {
                if let JobWhat::Drill(plan) = &job.what {
                    drills.push((day, plan.group.clone()));
                    end(&mut agent, &job, None, found(5, 0)).await;
                } else {
                    agent.run_what_waits(Outcome::Succeeded).await;
                }
            }
        }
        world.pass(19 * HOUR_MS);
        assert_ne!(row(&fleet, agent.host).status, Status::Unproven, "day {day}: {drills:?}");
    }
    for name in ["etc", "srv"] {
        let days: Vec<u64> = drills.iter().filter(|(_, group)| group == name).map(|(day, _)| *day).collect();
        assert!((3..=4).contains(&days.len()) && days[0] <= 30, "{drills:?}");
        assert!(days.windows(2).all(|pair| (29..=31).contains(&(pair[1] - pair[0]))), "{drills:?}");
    }
    assert_eq!(
        fleet.read().unwrap().latest_job(agent.host, JobKind::Drill).unwrap().unwrap().state,
        JobState::Succeeded
    );
}
