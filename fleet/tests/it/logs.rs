use crate::support::{Agent, backup, by, in_memory};
use fleet::Changed;
use fleet::record::LogText;
use schema::{Items, JobId, Live, LogLine, LogStream, Outcome, Progress, ReportBody};

async fn log(agent: &mut Agent, job: JobId, first_line: u32, texts: &[&str]) {
    let mut room = vec![0; 32 * 1024];
    let lines = texts.iter().map(|text| LogLine { after_ms: 5, stream: LogStream::Out, text });
    let lines = Items::write(lines, &mut room).unwrap();
    agent.report(ReportBody::Log { job, first_line, lines }).await;
}

fn live(agent: &Agent, job: JobId, first_line: u32, texts: &[&str]) {
    let mut room = vec![0; 32 * 1024];
    let lines = texts.iter().map(|text| LogLine { after_ms: 5, stream: LogStream::Err, text });
    agent.live(Live::Log { job, first_line, lines: Items::write(lines, &mut room).unwrap() });
}

async fn running(agent: &mut Agent) -> JobId {
    let job = agent.fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap().id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    agent.report(ReportBody::Started { job }).await;
    job
}

fn texts(log: &LogText) -> Vec<&str> {
    log.chunks.iter().flat_map(|chunk| &chunk.lines).map(|(_, _, text)| text.as_str()).collect()
}

#[tokio::test]
async fn lines_are_kept_once_in_order_and_the_log_is_whole_at_the_end() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = running(&mut agent).await;
    log(&mut agent, job, 0, &["one", "two"]).await;
    log(&mut agent, job, 0, &["one", "two"]).await;
    log(&mut agent, job, 1, &["two", "three"]).await;
    agent.finish(job, Outcome::Succeeded, schema::Summary::None).await;
    let log = fleet.read().unwrap().job_log(job).unwrap();
    assert_eq!(texts(&log), ["one", "two", "three"]);
    assert_eq!((log.total_lines, log.left_out), (3, 0));
}

#[tokio::test]
async fn a_long_log_keeps_its_head_and_its_tail_and_says_what_is_missing() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = running(&mut agent).await;
    let text = "x".repeat(1_500);
    for n in 0..200 {
        log(&mut agent, job, n * 10, &[&*text; 10]).await;
    }
    let log = fleet.read().unwrap().job_log(job).unwrap();
    let kept = texts(&log).len() as u32;
    assert_eq!((log.total_lines, kept + log.left_out), (2_000, 2_000));
    assert!(kept * 1_500 <= 1024 * 1024 && kept * 1_500 > 900 * 1024, "{kept} lines");
    assert_eq!((log.chunks[0].first_line, log.chunks.last().unwrap().first_line), (0, 1_990));
}

#[tokio::test]
async fn live_lines_are_there_at_once_and_give_way_to_durable_ones() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = running(&mut agent).await;
    let mut changes = fleet.changes();
    live(&agent, job, 0, &["one"]);
    live(&agent, job, 1, &["two"]);
    assert_eq!(changes.try_recv().unwrap().what, Changed::JobLog { host: agent.host, job });
    assert!(changes.try_recv().is_err(), "listeners are told once a second");
    assert_eq!(fleet.live_log(job).len(), 2);
    log(&mut agent, job, 0, &["one"]).await;
    let left = fleet.live_log(job);
    assert_eq!((left.len(), left[0].first_line), (1, 1));
    agent.finish(job, Outcome::Succeeded, schema::Summary::None).await;
    assert!(fleet.live_log(job).is_empty());
    live(&agent, job, 2, &["late"]);
    assert!(fleet.live_log(job).is_empty(), "the job has ended");
}

#[tokio::test]
async fn progress_has_a_rate_and_ends_with_the_job() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = running(&mut agent).await;
    assert_eq!(fleet.progress(job), None);
    let mut changes = fleet.changes();
    for second in 0..=20u64 {
        agent.live(Live::Progress(Progress {
            job,
            at: world.now(),
            permille: (second * 10) as u16,
            files_done: second,
            files_total: 100,
            bytes_done: second * 2_000_000,
            bytes_total: 100_000_000,
            bytes_read: 0,
            errors: 0,
            left_secs: None,
            current: "/etc/hosts",
        }));
        world.pass(500);
    }
    let progress = fleet.progress(job).unwrap();
    assert_eq!((progress.rate_bytes, progress.left_secs), (Some(4_000_000), Some(15)));
    assert!(progress.rates.len() >= 4);
    let told = std::iter::from_fn(|| changes.try_recv().ok())
        .filter(|change| matches!(change.what, Changed::JobLive { .. }))
        .count();
    assert_eq!(told, 11);
    agent.finish(job, Outcome::Succeeded, schema::Summary::None).await;
    assert_eq!(fleet.progress(job), None);
}
