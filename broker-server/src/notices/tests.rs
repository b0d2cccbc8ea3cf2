//! The outbox, the sender and a receiver over real connections; only the clock of the fleet is set.

use super::{Heard, Outside, Wellness, at_once, beats, round};
use fleet::record::{
    Actor, Cause, ChannelFlags, Email, MailSecurity, RouteState, Secret, SendFault, Severity, Watched,
    WebhookForm,
};
use fleet::{By, ChannelInput, ChannelView, Driver, Fleet, RouteInput, Sent, ServerNeed, Settings};
use schema::Timestamp;
use serde_json::Value;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const BASE: &str = "https://holdfast.example";

fn outside() -> Outside {
    Outside { base: BASE.to_owned(), ..Outside::default() }
}
const MINUTE_MS: u64 = 60_000;
const PATH: &str = "/hooks/a-secret-path";

/// What was received: its head in lower case, and its body.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// Answers as it is told, one request after the other; then `200 ok`.
struct Receiver {
    address: SocketAddr,
    received: Received,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
}

impl Receiver {
    async fn start(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (received, answers) =
            (Received::default(), Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>())));
        let kept = (Arc::clone(&received), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&kept.0), Arc::clone(&kept.1)));
            }
        });
        Self { address, received, answers }
    }

    fn all(&self) -> Vec<(String, String)> {
        self.received.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, received: Received, answers: Arc<Mutex<VecDeque<&'static str>>>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
    let whole = loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
            });
            if body.len() >= length.unwrap_or(0) {
                break (head.to_owned(), body.to_owned());
            }
        }
    };
    received.lock().unwrap().push(whole);
    let answer = answers.lock().unwrap().pop_front();
    let answer = answer.unwrap_or("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    if answer == "silence" {
        // As long as the other side waits.
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        return;
    }
    let (answer, stays_open) = match answer.strip_prefix("open: ") {
        Some(answer) => (answer, true),
        None => (answer, false),
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    while stays_open && stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

struct Scene {
    fleet: Fleet,
    clock: Arc<AtomicU64>,
}

fn by() -> By {
    By { actor: Actor::System, peer: String::new() }
}

fn disk() -> Vec<ServerNeed> {
    vec![ServerNeed { cause: Cause::ServerDisk, severity: Severity::Critical }]
}

fn hook(address: SocketAddr) -> ChannelInput {
    ChannelInput::Webhook {
        form: WebhookForm::Json,
        url: Some(Secret::new(format!("http://{address}{PATH}"))),
        signing_key: Some(Secret::new("signing-key")),
        headers: Some([("X-Token".to_owned(), Some(Secret::new("header-token")))].into()),
        secrets: None,
        template: None,
        ca: String::new(),
    }
}

impl Scene {
    async fn new(channels: &[(&str, SocketAddr)]) -> Self {
        let clock = Arc::new(AtomicU64::new(1_795_415_472_000));
        let seen = Arc::clone(&clock);
        let now = Arc::new(move || Timestamp(seen.load(Ordering::Relaxed)));
        let driver = Driver { now, random: Arc::new(crate::clock::random) };
        let settings = Settings {
            mqtt_addresses: vec!["127.0.0.1:8883".to_owned()],
            authorities: vec![vec![7; 40]],
            timezone: "UTC".to_owned(),
            keep: Default::default(),
        };
        let fleet = Fleet::in_memory(settings, driver).unwrap();
        for (name, address) in channels {
            let flags = ChannelFlags { is_on: true, acknowledges: false };
            fleet.add_channel((*name).to_owned(), flags, hook(*address), by()).await.unwrap();
        }
        let route = RouteInput {
            name: "all".to_owned(),
            state: RouteState::On,
            labels: Vec::new(),
            least: Severity::Warning,
            causes: Vec::new(),
            quiet_from: String::new(),
            quiet_until: String::new(),
            timezone: String::new(),
            channels: channels.iter().map(|(name, _)| (*name).to_owned()).collect(),
        };
        fleet.add_route(route, by()).await.unwrap();
        let scene = Self { fleet, clock };
        scene.fleet.plan_incidents(disk()).await;
        scene.pass(6 * MINUTE_MS);
        scene.fleet.plan_incidents(disk()).await;
        scene
    }

    fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    async fn round(&self) {
        round(&self.fleet, &outside()).await;
    }

    fn channel(&self, name: &str) -> ChannelView {
        let all = self.fleet.read().unwrap().channels().unwrap();
        all.into_iter().find(|channel| channel.name == name).unwrap()
    }

    fn fault(&self, name: &str) -> Option<SendFault> {
        self.channel(name).failing.map(|(_, error)| error.fault)
    }
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
    line.and_then(|line| line.split_once(": ")).unwrap_or_else(|| panic!("no {name}: {head}")).1
}

#[tokio::test]
async fn a_message_comes_once_and_is_signed_and_what_comes_again_has_one_id() {
    let answers = [
        "HTTP/1.1 500 Oh\r\ncontent-length: 37\r\n\r\nno such hook: /hooks/a-secret-path !!",
        "HTTP/1.1 429 Slow\r\nretry-after: 1000\r\ncontent-length: 0\r\n\r\n",
        "nonsense",
    ];
    let receiver = Receiver::start(&answers).await;
    let scene = Scene::new(&[("hook", receiver.address)]).await;
    scene.round().await;
    let failing = scene.channel("hook");
    let (_, error) = failing.failing.unwrap();
    assert_eq!((error.fault, error.said.as_str()), (SendFault::Status(500), "no such hook: … !!"));
    scene.round().await;
    assert_eq!(receiver.all().len(), 1, "not before it has waited");
    scene.pass(MINUTE_MS);
    scene.round().await;
    assert_eq!(scene.fault("hook"), Some(SendFault::Status(429)));
    scene.pass(999_000);
    scene.round().await;
    assert_eq!(receiver.all().len(), 2, "as long as the other side asked for");
    scene.pass(1_000);
    scene.round().await;
    assert_eq!(scene.fault("hook"), Some(SendFault::NotUnderstood));
    scene.pass(60 * MINUTE_MS);
    scene.round().await;
    let taken = scene.channel("hook");
    assert!(taken.failing.is_none() && taken.taken_at.is_some() && taken.on_its_way.is_none());
    scene.pass(60 * MINUTE_MS);
    scene.round().await;
    let all = receiver.all();
    assert_eq!(all.len(), 4, "taken, and not sent again");
    let bodies: Vec<Value> = all.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the same words each time");
    for ((head, body), json) in all.iter().zip(&bodies) {
        assert!(head.starts_with(&format!("POST {PATH} HTTP/1.1")), "{head}");
        assert_eq!(
            (header(head, "x-token"), header(head, "content-type")),
            ("header-token", "application/json")
        );
        assert_eq!(json["id"], header(head, "x-holdfast-id"));
        let signed = format!("{}.{body}", header(head, "x-holdfast-timestamp"));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"signing-key");
        let tag = header(head, "x-holdfast-signature").strip_prefix("sha256=").unwrap();
        let tag = data_encoding::HEXLOWER.decode(tag.as_bytes()).unwrap();
        ring::hmac::verify(&key, signed.as_bytes(), &tag).expect("the signature");
    }
    assert_eq!((&bodies[0]["event"], &bodies[0]["cause"]), (&"opened".into(), &"server_disk".into()));
}

#[tokio::test]
async fn a_channel_that_is_away_or_leads_elsewhere_does_not_hold_up_another_one() {
    let elsewhere = Receiver::start(&[]).await;
    let leads =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", elsewhere.address);
    let redirecting = Receiver::start(&[leads.leak()]).await;
    let (away, well) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Receiver::start(&[]).await);
    let gone = away.local_addr().unwrap();
    drop(away);
    let scene =
        Scene::new(&[("away", gone), ("redirects", redirecting.address), ("well", well.address)]).await;
    scene.round().await;
    assert_eq!(scene.fault("away"), Some(SendFault::Unreachable));
    assert_eq!(scene.fault("redirects"), Some(SendFault::Redirect(302)));
    assert_eq!((scene.fault("well"), well.all().len()), (None, 1));
    assert!(elsewhere.all().is_empty(), "no redirect is followed");
    // The failing ones are an incident, and that is told by the one that works.
    scene.fleet.plan_incidents(disk()).await;
    scene.pass(6 * MINUTE_MS);
    scene.fleet.plan_incidents(disk()).await;
    scene.round().await;
    let told: Value = serde_json::from_str(&well.all()[1].1).unwrap();
    assert_eq!(told["cause"], "channel", "{told}");
    assert_eq!(redirecting.all().len(), 2, "tried again meanwhile");
    assert!(redirecting.answers.lock().unwrap().is_empty());
    assert_eq!(scene.fault("redirects"), None);
}

#[tokio::test]
async fn whoever_says_nothing_is_given_up_after_a_while() {
    let receiver = Receiver::start(&["silence"]).await;
    let scene = Scene::new(&[("hook", receiver.address)]).await;
    scene.round().await;
    assert_eq!(scene.fault("hook"), Some(SendFault::TooSlow));
}

#[tokio::test]
async fn a_test_says_what_the_other_side_said_and_tells_no_secret() {
    let echo =
        "HTTP/1.1 200 OK\r\ncontent-length: 49\r\n\r\ntook it with header-token at /hooks/a-secret-path";
    let receiver = Receiver::start(&[echo]).await;
    let scene = Scene::new(&[("hook", receiver.address)]).await;
    let send = at_once(outside());
    let delivery = send(scene.fleet.test_message("hook").unwrap()).await;
    assert_eq!(delivery.sent, Sent::Taken);
    assert!(delivery.said.starts_with("took it with … at"), "{}", delivery.said);
    let told: Value = serde_json::from_str(&receiver.all()[0].1).unwrap();
    assert_eq!((&told["event"], &told["notices"]), (&"test".into(), &Value::Array(Vec::new())));
}

#[tokio::test]
async fn a_heartbeat_is_sent_while_the_server_is_well_and_not_else() {
    let receiver =
        Receiver::start(&["HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"]).await;
    let scene = Scene::new(&[]).await;
    let beat = ChannelInput::Heartbeat {
        url: Some(Secret::new(format!("http://{}{PATH}?a=b", receiver.address))),
        every_min: 5,
        ca: String::new(),
    };
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    scene.fleet.add_channel("beat".to_owned(), flags, beat, by()).await.unwrap();
    let is_well = Arc::new(Mutex::new(Err("the disk is full".to_owned())));
    let seen = Arc::clone(&is_well);
    let wellness: Wellness = Arc::new(move || {
        let answer: Result<(), String> = seen.lock().unwrap().clone();
        Box::pin(async move { answer })
    });
    let mut heard = Heard::default();
    beats(&scene.fleet, &outside(), &wellness, &mut heard).await;
    assert_eq!((receiver.all().len(), heard.withheld.as_deref()), (0, Some("the disk is full")));
    *is_well.lock().unwrap() = Ok(());
    let channel = || scene.fleet.read().unwrap().channels().unwrap().remove(0);
    // Where it is led elsewhere it was not taken, and nobody follows.
    beats(&scene.fleet, &outside(), &wellness, &mut heard).await;
    let failing = channel().failing.map(|(_, error)| error.fault);
    assert_eq!(
        (receiver.all().len(), heard.withheld.take(), failing),
        (1, None, Some(SendFault::Redirect(302)))
    );
    beats(&scene.fleet, &outside(), &wellness, &mut heard).await;
    assert_eq!((receiver.all().len(), heard.failing.len()), (1, 1), "it is not due");
    scene.clock.fetch_add(MINUTE_MS, Ordering::Relaxed);
    beats(&scene.fleet, &outside(), &wellness, &mut heard).await;
    assert!(heard.failing.is_empty());
    assert!(channel().failing.is_none() && channel().taken_at.is_some());
    let all = receiver.all();
    assert!(all.len() == 2 && all[1].0.starts_with(&format!("GET {PATH}?a=b HTTP/1.1")), "{all:?}");
    assert_eq!(all[1].1, "");
}

#[tokio::test]
async fn an_answer_whose_status_is_there_counts_though_it_never_ends() {
    let answers =
        ["open: HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nthanks", "open: HTTP/1.1 200 OK\r\n\r\n"];
    let receiver = Receiver::start(&answers).await;
    let scene = Scene::new(&[("hook", receiver.address)]).await;
    for said in ["thanks", ""] {
        let delivery = at_once(outside())(scene.fleet.test_message("hook").unwrap()).await;
        assert_eq!((delivery.sent, delivery.said.as_str()), (Sent::Taken, said));
    }
}

/// As one that is no mail server, or somebody on the way to one, could.
#[tokio::test]
async fn a_mail_server_that_never_ends_its_line_fills_no_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&said);
    let talking = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"220 ").await;
        let line = vec![b'x'; 64 << 10];
        // It ends when nobody listens any more.
        while let Ok(more) = stream.write(&line).await {
            counted.fetch_add(more as u64, Ordering::Relaxed);
        }
    });
    let scene = Scene::new(&[]).await;
    let email = Email {
        server: "127.0.0.1".to_owned(),
        port,
        security: MailSecurity::Plain,
        username: String::new(),
        from: "holdfast@example.com".to_owned(),
        to: vec!["ada@example.com".to_owned()],
        ca: String::new(),
    };
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    let input = ChannelInput::Email { email, password: None };
    scene.fleet.add_channel("mail".to_owned(), flags, input, by()).await.unwrap();
    let delivery = at_once(outside())(scene.fleet.test_message("mail").unwrap()).await;
    assert!(matches!(delivery.sent, Sent::Refused { .. }), "{delivery:?}");
    assert!(delivery.said.contains("it says too much"), "{delivery:?}");
    talking.await.unwrap();
    // What the system holds between both is more than what is read.
    assert!(said.load(Ordering::Relaxed) < 32 << 20);
}

#[tokio::test]
async fn an_alert_that_a_test_opens_is_closed_by_it_in_this_order() {
    let receiver = Receiver::start(&[]).await;
    let scene = Scene::new(&[]).await;
    let input = ChannelInput::Webhook {
        form: WebhookForm::PagerDuty,
        url: Some(Secret::new(format!("http://{}", receiver.address))),
        signing_key: None,
        headers: None,
        secrets: Some([("routing_key".to_owned(), Some(Secret::new("a-routing-key")))].into()),
        template: None,
        ca: String::new(),
    };
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    scene.fleet.add_channel("pager".to_owned(), flags, input, by()).await.unwrap();
    let delivery = at_once(outside())(scene.fleet.test_message("pager").unwrap()).await;
    assert_eq!(delivery.sent, Sent::Taken);
    let bodies: Vec<Value> =
        receiver.all().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    let actions: Vec<_> = bodies.iter().map(|body| body["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    assert_eq!(bodies[0]["dedup_key"], bodies[1]["dedup_key"]);
}

/// What a script makes of a message, tried once.
async fn by_script(lines: &str) -> web::Delivery {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    std::fs::write(&file, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let scene = Scene::new(&[]).await;
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    let input = ChannelInput::Script { name: "pager".to_owned() };
    scene.fleet.add_channel("pager".to_owned(), flags, input, by()).await.unwrap();
    let scripts = [("pager".to_owned(), file)].into();
    let outside = Outside { scripts, ..outside() };
    at_once(outside)(scene.fleet.test_message("pager").unwrap()).await
}

#[tokio::test]
async fn a_script_gets_the_documented_json_and_nothing_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (got, seen) = (folder.path().join("got"), folder.path().join("seen"));
    let lines = format!("cat > {}; (env; pwd; echo $#) > {}; echo paged", got.display(), seen.display());
    let delivery = by_script(&lines).await;
    assert_eq!((delivery.sent, delivery.said.as_str()), (Sent::Taken, "paged"));
    let told: Value = serde_json::from_slice(&std::fs::read(got).unwrap()).unwrap();
    assert_eq!((&told["event"], told["id"].as_str().map(str::len)), (&"test".into(), Some(32)));
    let seen = std::fs::read_to_string(seen).unwrap();
    let mut variables = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    // The shell's own, and the two that it gets.
    assert!(variables.all(|name| ["LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name)), "{seen}");
    assert!(seen.ends_with("/\n0\n"), "{seen}");
}

#[tokio::test]
async fn a_script_that_fails_prints_without_end_or_starts_others_is_told_as_it_is() {
    let refused = |delivery: &web::Delivery| match delivery.sent {
        Sent::Refused { fault, .. } => Some(fault),
        _ => None,
    };
    let failed = by_script("echo no such pager >&2; exit 7").await;
    assert_eq!((refused(&failed), failed.said.trim()), (Some(SendFault::Exit(7)), "no such pager"));
    assert_eq!(refused(&by_script("kill -9 $$").await), Some(SendFault::Exit(137)));
    // It reads nothing, and prints more than is heard, of which the beginning is shown.
    let loud = by_script("head -c 3000000 /dev/zero | tr '\\0' x").await;
    assert_eq!((loud.sent, loud.said.len()), (Sent::Taken, 300));
    // What it leaves behind holds its outputs open.
    let leaves = by_script("sleep 60 & echo done").await;
    assert_eq!((leaves.sent, leaves.said.as_str()), (Sent::Taken, "done"));
    let scene = Scene::new(&[]).await;
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    let input = ChannelInput::Script { name: "gone".to_owned() };
    scene.fleet.add_channel("gone".to_owned(), flags, input, by()).await.unwrap();
    let unknown = at_once(outside())(scene.fleet.test_message("gone").unwrap()).await;
    assert_eq!(refused(&unknown), Some(SendFault::Setting));
    assert!(unknown.said.contains("names no script gone"), "{}", unknown.said);
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let beats = folder.path().join("beats");
    let lines = format!("(while :; do date >> {0}; sleep 0.1; done) & wait", beats.display());
    let hangs = by_script(&lines).await;
    assert!(matches!(hangs.sent, Sent::Refused { fault: SendFault::TooSlow, .. }), "{hangs:?}");
    let length = || std::fs::metadata(&beats).unwrap().len();
    let before = length();
    assert!(before > 0);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(length(), before, "nothing of it goes on");
}

fn checks(address: SocketAddr, of: Watched) -> ChannelInput {
    ChannelInput::Healthchecks {
        url: Some(Secret::new(format!("http://{address}{PATH}"))),
        of,
        labels: Vec::new(),
        host: String::new(),
        group: String::new(),
        every_min: 5,
        with_log: true,
        ca: String::new(),
    }
}

#[tokio::test]
async fn a_check_of_the_fleet_hears_while_the_server_is_well_and_a_test_changes_no_check() {
    let answers = ["HTTP/1.1 404 No\r\ncontent-length: 40\r\n\r\nno check at /hooks/a-secret-path here !!"];
    let receiver = Receiver::start(&answers).await;
    let scene = Scene::new(&[]).await;
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    let input = checks(receiver.address, Watched::Fleet);
    scene.fleet.add_channel("fleet".to_owned(), flags, input, by()).await.unwrap();
    let send = at_once(outside());
    let tried = send(scene.fleet.test_message("fleet").unwrap()).await;
    assert_eq!(tried.said, "no check at … here !!");
    assert!(matches!(tried.sent, Sent::Refused { fault: SendFault::Status(404), .. }), "{tried:?}");
    let tried = send(scene.fleet.test_message("fleet").unwrap()).await;
    assert_eq!((tried.sent, tried.said.as_str()), (Sent::Taken, "ok"));
    let is_well: Wellness = Arc::new(|| Box::pin(async { Ok(()) }));
    let is_unwell: Wellness = Arc::new(|| Box::pin(async { Err("the disk is full".to_owned()) }));
    let mut heard = Heard::default();
    beats(&scene.fleet, &outside(), &is_unwell, &mut heard).await;
    assert_eq!(receiver.all().len(), 2, "a server that is not well knows nothing of its hosts");
    beats(&scene.fleet, &outside(), &is_well, &mut heard).await;
    let all = receiver.all();
    let lines: Vec<&str> = all.iter().filter_map(|(head, _)| head.lines().next()).collect();
    let (log, fail) = (format!("POST {PATH}/log HTTP/1.1"), format!("POST {PATH}/fail HTTP/1.1"));
    assert_eq!(lines, [log.as_str(), log.as_str(), fail.as_str()]);
    assert_eq!(all[2].1, "There is no host of which this check is.\n");
    assert!(scene.channel("fleet").failing.is_none());
}
