use crate::support::{Agent, backup, by, credentials, finished, in_memory, saved};
use fleet::record::{JobFigures, JobState};
use fleet::{AuditFilter, JobRequest, Page};
use schema::report::Finished;
use schema::{
    Class, CommandSeq, HostTopic, Outcome, Refusal, ReportBody, ReportSeq, Slot, Stream, Summary, Timestamp,
};

#[tokio::test]
async fn a_report_of_another_host_or_topic_does_not_open_and_is_audited_once_a_minute() {
    let (world, fleet) = in_memory();
    let mut one = Agent::ready(&world, &fleet, "one").await;
    let two = Agent::ready(&world, &fleet, "two").await;
    let job = fleet.dispatch(one.host, backup("etc"), by()).await.unwrap();
    one.take_all();
    let body = ReportBody::Started { job: job.id };
    let forged = one.report_bytes(ReportSeq(2), body);
    for _ in 0..20 {
        assert_eq!(fleet.handle_report(two.host, &forged, "").await.unwrap(), fleet::Handled::default());
    }
    let moved = one.seal(
        HostTopic::Live,
        &schema::Report {
            stream: Stream(77),
            seq: ReportSeq(2),
            taken: CommandSeq(2),
            at: world.now(),
            body,
        },
    );
    assert_eq!(fleet.handle_report(one.host, &moved, "").await.unwrap().reply, None);
    for garbage in [&b""[..], &[schema::CURRENT], &[schema::CURRENT; 30], &[schema::CURRENT; 500]] {
        assert_eq!(fleet.handle_report(one.host, garbage, "").await.unwrap().reply, None);
        assert_eq!(fleet.handle_presence(one.host, garbage, "").await.unwrap().reply, None);
        assert_eq!(fleet.handle_stats(one.host, garbage).await.unwrap().reply, None);
        fleet.handle_live(one.host, garbage);
    }
    assert_eq!(one.job(job.id).state, JobState::Queued);
    let filter = AuditFilter { action: Some("agent.forged".into()), ..AuditFilter::default() };
    let entries = fleet.read().unwrap().audit(&filter, &Page::default()).unwrap().items;
    assert_eq!(entries.len(), 2, "one for each host");
    world.pass(61_000);
    fleet.handle_report(one.host, &[schema::CURRENT], "").await.unwrap();
    assert_eq!(fleet.read().unwrap().audit(&filter, &Page::default()).unwrap().items.len(), 3);
}

#[tokio::test]
async fn an_authentic_report_of_an_unknown_kind_is_passed_over_and_the_next_one_is_taken() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    // A newer agent's variant: the head is the same, the body's number is not known here.
    agent.reports = agent.reports.next();
    let strange = (agent.stream, agent.reports, agent.taken, world.now(), 200u8, [0u8; 9]);
    let payload = agent.seal(HostTopic::Evt, &strange);
    let handled = fleet.handle_report(agent.host, &payload, "").await.unwrap();
    agent.take_ack(&handled);
    assert_eq!(agent.acked, agent.reports);
    agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    agent.report(ReportBody::Started { job: job.id }).await;
    assert_eq!(agent.job(job.id).state, JobState::Running);
    let filter = AuditFilter { action: Some("agent.odd".into()), ..AuditFilter::default() };
    assert_eq!(fleet.read().unwrap().audit(&filter, &Page::default()).unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_host_can_not_report_about_anothers_job() {
    let (world, fleet) = in_memory();
    let one = Agent::ready(&world, &fleet, "one").await;
    let mut two = Agent::ready(&world, &fleet, "two").await;
    let job = fleet.dispatch(one.host, backup("etc"), by()).await.unwrap();
    two.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    two.finish(job.id, Outcome::Succeeded, Summary::None).await;
    let lines = [schema::LogLine { after_ms: 0, stream: schema::LogStream::Out, text: "mine" }];
    let mut room = [0; 100];
    let lines = schema::Items::write(lines, &mut room).unwrap();
    two.report(ReportBody::Log { job: job.id, first_line: 0, lines }).await;
    two.live(schema::Live::Log { job: job.id, first_line: 0, lines });
    assert_eq!(one.job(job.id).state, JobState::Queued);
    assert!(fleet.read().unwrap().job_log(job.id).unwrap().chunks.is_empty());
    assert!(fleet.live_log(job.id).is_empty());
}

#[tokio::test]
async fn each_refusal_ends_the_job_with_words_that_say_what_to_do() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let table = [
        (Refusal::QueueFull, JobState::Failed, None),
        (Refusal::Expired, JobState::Failed, None),
        (Refusal::AlreadyStarted, JobState::Lost, None),
        (Refusal::Policy, JobState::Failed, Some(Class::Policy)),
        (Refusal::Unsupported, JobState::Failed, None),
        (Refusal::NoCredentials, JobState::Failed, Some(Class::NoCredentials)),
        (Refusal::StateFolder, JobState::Failed, None),
    ];
    for (reason, state, class) in table {
        let job = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
        agent.take_all();
        agent.report(ReportBody::Refused { job: job.id, reason, detail: "the reason" }).await;
        let ended = agent.job(job.id);
        assert_eq!((ended.state, ended.class), (state, class), "{reason:?}");
        assert!(ended.message.len() > 10, "{reason:?}");
    }
}

#[tokio::test]
async fn a_command_that_is_not_understood_ends_its_job() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::NotUnderstood { seq: job.command_seq }).await;
    let ended = agent.job(job.id);
    assert_eq!((ended.state, ended.refusal), (JobState::Failed, Some(Refusal::Unsupported)));
}

#[tokio::test]
async fn a_run_that_was_overtaken_without_an_answer_goes_out_again() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let skipped = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    let taken = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    fleet.command_sent(agent.host, taken.command_seq).await;
    agent.take_all();
    agent.report(ReportBody::Accepted { job: taken.id, behind: 0 }).await;
    let again = agent.take_all();
    assert!(matches!(again[..], [crate::support::Got::Run { job, .. }] if job == skipped.id), "{again:?}");
    agent.report(ReportBody::Accepted { job: skipped.id, behind: 0 }).await;
    assert_eq!((agent.job(skipped.id).state, agent.waiting()), (JobState::Accepted, 0));
}

#[tokio::test]
async fn what_a_clock_that_is_wrong_by_years_says_of_a_job_is_placed_between_its_making_and_its_report() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let last_good_at =
        |fleet: &fleet::Fleet, host| fleet.read().unwrap().host_row(host).unwrap().last_good_at.unwrap();
    for clock in [Timestamp(5), Timestamp(u64::MAX - 10_000_000)] {
        let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
        agent.take_all();
        agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
        world.pass(120_000);
        let ended = Finished {
            started_at: Some(clock),
            ..finished(job.id, Outcome::Succeeded, clock.plus_ms(90_000), saved())
        };
        agent.report(ReportBody::Finished(ended)).await;
        let ended = agent.job(job.id);
        assert_eq!(ended.finished_at, Some(world.now()), "{clock:?}");
        assert_eq!(ended.started_at, Some(Timestamp(world.now().0 - 90_000)), "how long it took stays");
        assert_eq!(last_good_at(&fleet, agent.host), world.now());
    }
}

#[tokio::test]
async fn absurd_sizes_are_bounded() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(agent.host, JobRequest::Stats, by()).await.unwrap();
    agent.take_all();
    agent.finish(job.id, Outcome::Succeeded, Summary::Stats { total_bytes: u64::MAX, blobs: 1 }).await;
    let JobFigures::Stats { total_bytes, .. } = agent.job(job.id).figures else { panic!("no figures") };
    assert_eq!(total_bytes, 1 << 60);
}

#[tokio::test]
async fn a_storage_that_refused_to_delete_is_known_as_append_only() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let append_only = |fleet: &fleet::Fleet, host| fleet.read().unwrap().repo(host).unwrap().append_only;
    for (slots, known) in [("everyday", true), ("both", false)] {
        if slots == "both" {
            // Another storage: what was known is forgotten, and it is the admin slot that may not delete.
            let mut input = credentials();
            input.url = "rest:http://elsewhere.lan:8000/attic/".to_owned();
            fleet.put_credentials(agent.host, Slot::Repo, input, by()).await.unwrap();
            fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
        }
        let job = fleet.dispatch(agent.host, JobRequest::Check { subset_pct: None }, by()).await.unwrap();
        agent.take_all();
        let refused = finished(job.id, Outcome::Failed, world.now(), Summary::None);
        let refused = Finished { class: Some(Class::AppendOnly), ..refused };
        agent.report(ReportBody::Finished(refused)).await;
        assert_eq!(append_only(&fleet, agent.host).is_some_and(|(seen, _)| seen), known, "{slots}");
    }
}
