//! What backups tell the checks of a service that watches them, and what such a check hears of the fleet.

use crate::support::{Agent, HOUR_MS, backup, by, group, in_memory};
use fleet::record::{ChannelFlags, Secret, SendFault, Watched};
use fleet::{ChannelInput, ChannelView, DueMessage, Fleet, Sent};
use schema::{LogLine, LogStream, Outcome, ReportBody};

const ON: ChannelFlags = ChannelFlags { is_on: true, acknowledges: false };
const OF_HOSTS: &str = "https://hc.example/the-secret-key/{host}?create=1";
const MINUTE_MS: u64 = 60_000;

/// A check, as a person describes it.
struct Checks {
    url: &'static str,
    of: Watched,
    labels: &'static [&'static str],
    host: &'static str,
    group: &'static str,
    every_min: u16,
}

const HOSTS: Checks =
    Checks { url: OF_HOSTS, of: Watched::Host, labels: &[], host: "", group: "", every_min: 5 };

impl Checks {
    fn input(&self) -> ChannelInput {
        ChannelInput::Healthchecks {
            url: Some(Secret::new(self.url)),
            of: self.of,
            labels: self.labels.iter().map(|label| (*label).to_owned()).collect(),
            host: self.host.to_owned(),
            group: self.group.to_owned(),
            every_min: self.every_min,
            with_log: true,
            ca: String::new(),
        }
    }
}

async fn add(fleet: &Fleet, name: &str, checks: &Checks) {
    fleet.add_channel(name.to_owned(), ON, checks.input(), by()).await.unwrap();
}

fn channel(fleet: &Fleet, name: &str) -> ChannelView {
    let all = fleet.read().unwrap().channels().unwrap();
    all.into_iter().find(|channel| channel.name == name).unwrap()
}

/// What is due: the path and what is in the query before the run, of each signal.
fn told(due: &DueMessage) -> Vec<String> {
    let url = |url: &Secret| url.expose().replace("https://hc.example/the-secret-key", "");
    due.pings.iter().map(|ping| url(&ping.url).split("rid=").next().unwrap_or_default().to_owned()).collect()
}

async fn due(fleet: &Fleet) -> Option<DueMessage> {
    fleet.begin_pings().await.unwrap().pop()
}

async fn answer(fleet: &Fleet, due: &DueMessage, sent: &[Sent]) {
    let numbers = due.pings.iter().filter_map(|ping| ping.number);
    fleet.pings_answered(due.channel, due.message.id, numbers.zip(sent.to_vec()).collect()).await.unwrap();
}

fn refused(status: u16) -> Sent {
    Sent::Refused { fault: SendFault::Status(status), said: "no".to_owned(), retry_after_ms: None }
}

#[tokio::test]
async fn a_backup_tells_when_it_began_and_how_it_ended_with_one_run_and_the_end_of_its_log() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    add(&fleet, "checks", &HOSTS).await;
    assert_eq!(fleet.next_ping_in_ms().unwrap(), None);
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
    assert!(due(&fleet).await.is_none(), "it has not begun");
    agent.report(ReportBody::Started { job: job.id }).await;
    let start = due(&fleet).await.unwrap();
    assert_eq!(told(&start), ["/attic/start?create=1&"]);
    answer(&fleet, &start, &[Sent::Taken]).await;
    assert_eq!(channel(&fleet, "checks").taken_at, Some(world.now()));
    let mut room = [0; 256];
    let line = LogLine { after_ms: 5, stream: LogStream::Out, text: "files are saved" };
    let lines = schema::Items::write([line], &mut room).unwrap();
    agent.report(ReportBody::Log { job: job.id, first_line: 0, lines }).await;
    agent.finish(job.id, Outcome::Succeeded, crate::support::saved()).await;
    let end = due(&fleet).await.unwrap();
    assert_eq!(told(&end), ["/attic?create=1&"]);
    let run = |due: &DueMessage| due.pings[0].url.expose().split("rid=").nth(1).unwrap().to_owned();
    assert_eq!((run(&end), run(&end).len()), (run(&start), 36));
    assert!(end.pings[0].body.contains("ended well") && end.pings[0].body.ends_with("files are saved\n"));
    // Nothing of it waits any more once it was taken, also where the server is opened anew.
    assert_eq!(channel(&fleet, "checks").on_its_way.map(|way| way.tries), Some(1));
    answer(&fleet, &end, &[Sent::Taken]).await;
    assert_eq!((fleet.next_ping_in_ms().unwrap(), channel(&fleet, "checks").waiting), (None, 0));
    let failed = agent.back_up("etc", Outcome::Failed).await;
    let due = due(&fleet).await.unwrap();
    assert_eq!(told(&due), ["/attic/start?create=1&", "/attic/fail?create=1&"]);
    assert!(due.pings[1].body.contains("State: failed."), "{}", due.pings[1].body);
    assert!(due.pings.iter().all(|ping| ping.check == due.pings[0].check), "they are told in order");
    assert_eq!(failed.host, agent.host);
}

#[tokio::test]
async fn a_check_of_a_host_is_good_when_all_its_groups_are_and_one_of_a_group_for_itself() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("docs"), by()).await.unwrap();
    add(&fleet, "hosts", &HOSTS).await;
    let groups =
        Checks { url: "https://hc.example/the-secret-key/{host}-{group}", of: Watched::Group, ..HOSTS };
    add(&fleet, "groups", &groups).await;
    let only = Checks {
        url: "https://hc.example/the-secret-key",
        host: "Attic",
        group: "docs",
        of: Watched::Group,
        ..HOSTS
    };
    add(&fleet, "only", &only).await;
    let others = Checks { labels: &["nas"], ..HOSTS };
    add(&fleet, "others", &others).await;
    agent.back_up("docs", Outcome::Failed).await;
    agent.back_up("etc", Outcome::Succeeded).await;
    let all = fleet.begin_pings().await.unwrap();
    let of = |name: &str| all.iter().find(|due| due.name == name).map(told).unwrap_or_default();
    let start_end = |start: &str, end: &str| [start.to_owned(), end.to_owned()];
    assert_eq!(of("groups")[..2], start_end("/attic-docs/start?", "/attic-docs/fail?"));
    assert_eq!(of("groups")[2..], start_end("/attic-etc/start?", "/attic-etc?"));
    assert_eq!(of("only"), start_end("/start?", "/fail?"));
    assert_eq!(of("others"), [""; 0], "it has no such label");
    let of_host = all.iter().find(|due| due.name == "hosts").unwrap();
    assert_eq!(told(of_host)[3], "/attic/fail?create=1&");
    assert!(
        of_host.pings[3].body.contains("source group docs did not end well"),
        "{}",
        of_host.pings[3].body
    );
    assert_eq!(channel(&fleet, "only").of_host.as_deref(), Some("attic"));
    // What a person cancels was no failure.
    for due in &all {
        answer(&fleet, due, &vec![Sent::Taken; due.pings.len()]).await;
    }
    let job = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    fleet.cancel(job.id, by_person()).await.unwrap();
    assert_eq!(fleet.next_ping_in_ms().unwrap(), None);
}

fn by_person() -> fleet::By {
    fleet::By { actor: fleet::record::Actor::Operator("ada".to_owned()), peer: String::new() }
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_a_check_that_is_not_there_holds_up_no_other_and_old_news_is_dropped()
 {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let mut other = Agent::ready(&world, &fleet, "barn").await;
    add(&fleet, "checks", &HOSTS).await;
    agent.back_up("etc", Outcome::Succeeded).await;
    other.back_up("etc", Outcome::Failed).await;
    let first = due(&fleet).await.unwrap();
    assert_eq!(first.pings.len(), 4);
    // There is no check of the one; the other one's start was taken, and then the service is away.
    answer(&fleet, &first, &[refused(404), refused(404), Sent::Taken, refused(503)]).await;
    let seen = channel(&fleet, "checks");
    assert_eq!(
        seen.lost.iter().map(|lost| lost.error.fault).collect::<Vec<_>>(),
        [SendFault::Status(404); 2]
    );
    assert_eq!(seen.failing.map(|(_, error)| error.fault), Some(SendFault::Status(503)));
    assert!(due(&fleet).await.is_none(), "it waits a while");
    world.pass(10_000);
    let again = due(&fleet).await.unwrap();
    assert_eq!((told(&again), again.message.id), (vec!["/barn/fail?create=1&".to_owned()], first.message.id));
    let counts = fleet.send_counts().unwrap()["checks"];
    assert_eq!((counts.taken, counts.refused), (1, 3));
    // An answer to the try of before is none to this one's successor.
    answer(&fleet, &again, &[refused(500)]).await;
    other.back_up("etc", Outcome::Succeeded).await;
    world.pass(2 * HOUR_MS);
    let late = due(&fleet).await.unwrap();
    assert_eq!(
        told(&late),
        ["/barn/fail?create=1&"],
        "the failure stays true, the success is no news of now"
    );
    let seen = channel(&fleet, "checks");
    let dropped = seen.lost.last().unwrap();
    assert_eq!((dropped.error.fault, dropped.notices), (SendFault::TooLate, 2));
    answer(&fleet, &late, &[Sent::Taken]).await;
    assert!(channel(&fleet, "checks").failing.is_none());
    // One that is gone is told of no more.
    other.back_up("etc", Outcome::Failed).await;
    fleet.delete_host(other.host, by()).await.unwrap();
    assert!(due(&fleet).await.is_none());
    // What was decided is there after a restart, as it is in one transaction with the job.
    assert_eq!(channel(&fleet, "checks").waiting, 0);
}

#[tokio::test]
async fn the_fleet_is_well_for_a_check_only_when_each_of_its_hosts_is() {
    let (world, fleet) = in_memory();
    let checks =
        Checks { url: "https://hc.example/the-secret-key", of: Watched::Fleet, every_min: 10, ..HOSTS };
    add(&fleet, "fleet", &checks).await;
    let heard = async || {
        let [due] = fleet.begin_beats().await.unwrap().try_into().expect("one is due");
        fleet.beat_answered(due.channel, Sent::Taken).await.unwrap();
        assert!(fleet.begin_beats().await.unwrap().is_empty(), "it waits until the next one");
        world.pass(10 * MINUTE_MS);
        let url = due.pings[0].url.expose().to_owned();
        (url.rsplit('/').next().unwrap() == "fail", due.pings[0].body.clone())
    };
    assert_eq!(heard().await, (true, "There is no host of which this check is.\n".to_owned()));
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let (fails, said) = heard().await;
    assert!(fails && said == "1 of 1 hosts need somebody:\nattic: new\n", "{said}");
    agent.back_up("etc", Outcome::Succeeded).await;
    // The very judgement of pages and incidents.
    let well = |name: &str| {
        let rows = fleet.read().unwrap().fleet(&fleet::HostFilter::default());
        rows.iter().find(|row| row.host.name == name).unwrap().status.is_well()
    };
    assert_eq!(heard().await, (!well("attic"), said_of(well("attic"))));
    let row = fleet.read().unwrap().host_row(agent.host).unwrap();
    assert!(matches!(row.status.as_str(), "ok" | "warning"), "{row:?}");
    agent.back_up("etc", Outcome::Failed).await;
    assert!(!well("attic") && heard().await.0);
    assert_eq!(fleet.begin_pings().await.unwrap().len(), 0, "no backup is told to a check of the fleet");
}

fn said_of(is_well: bool) -> String {
    match is_well {
        true => "All 1 hosts are well.\n".to_owned(),
        false => "1 of 1 hosts need somebody:\nattic: warning\n".to_owned(),
    }
}

#[tokio::test]
async fn a_check_that_several_would_share_is_refused_and_its_address_is_never_told() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    let plain = "https://hc.example/the-secret-key";
    for (checks, field) in [
        (Checks { url: plain, ..HOSTS }, "url"),
        (Checks { url: "https://hc.example/{hostname}", ..HOSTS }, "url"),
        (Checks { url: "https://{host}.example/key", ..HOSTS }, "url"),
        (Checks { url: "ftp://hc.example/{host}", ..HOSTS }, "url"),
        (Checks { url: OF_HOSTS, of: Watched::Group, ..HOSTS }, "url"),
        (Checks { of: Watched::Fleet, ..HOSTS }, "of"),
        (Checks { url: plain, host: "attic", of: Watched::Fleet, ..HOSTS }, "of"),
        (Checks { group: "etc", ..HOSTS }, "of"),
        (Checks { url: plain, host: "nobody", ..HOSTS }, "host"),
        (Checks { labels: &["no label"], ..HOSTS }, "labels"),
        (Checks { every_min: 0, ..HOSTS }, "every_minutes"),
        (Checks { url: plain, host: "attic", labels: &["nas"], ..HOSTS }, "labels"),
    ] {
        let refused = fleet.add_channel("checks".to_owned(), ON, checks.input(), by()).await.unwrap_err();
        assert_eq!(refused.field(), Some(field), "{refused}");
        assert!(!refused.to_string().contains("secret-key"), "{refused}");
    }
    add(&fleet, "checks", &Checks { url: plain, host: "attic", ..HOSTS }).await;
    let seen = channel(&fleet, "checks");
    assert!(!format!("{seen:?}").contains("secret-key"), "{seen:?}");
    assert!(fleet.read().unwrap().routes().unwrap().is_empty(), "no route leads there");
    let test = fleet.test_message("checks").unwrap();
    assert_eq!(test.pings[0].url.expose(), "https://hc.example/the-secret-key/log");
    assert!(!format!("{test:?}").contains("secret-key"), "{test:?}");
    // Where nothing else is said it stays.
    let ChannelInput::Healthchecks { of, host, labels, group, .. } =
        (Checks { host: "attic", ..HOSTS }).input()
    else {
        unreachable!()
    };
    let kept = ChannelInput::Healthchecks {
        url: None,
        of,
        labels,
        host: if host.is_empty() { host } else { agent.host.to_string() },
        group,
        every_min: 5,
        with_log: false,
        ca: String::new(),
    };
    fleet.change_channel("checks".to_owned(), ON, kept, by()).await.unwrap();
    let test = fleet.test_message("checks").unwrap();
    assert_eq!(test.secrets.url.expose(), plain);
}
