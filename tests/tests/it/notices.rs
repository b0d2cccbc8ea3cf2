//! Being told: mail by a real mail server, and webhooks, over a server that is killed at any instant.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tests::{
    api::text,
    browser::Browser,
    scratch::Scratch,
    server::Server,
    smtp::MailServer,
    soak,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
    wrong_clock::WrongClock,
};

const PASSWORD: &str = "a-password-of-the-mail-server";
/// Longer than a host may be without an agent before that is an incident.
const DAY_SECS: i64 = 25 * 3_600;
/// As often as an incident that nobody has acknowledged is told again, and a little.
const REMINDER_SECS: i64 = 3 * 86_400 + 60;

/// The short form; `./test --soak` has 200.
const ROUNDS: u64 = 8;

/// A server whose clock can be set.
struct Scene {
    scratch: Scratch,
    server: Server,
    clock: WrongClock,
    ahead: i64,
}

impl Scene {
    fn start() -> Self {
        let scratch = Scratch::new();
        let mut server = Server::start(&scratch.folder("server"));
        let clock = WrongClock::new(&scratch.folder("clock"));
        server.environment.extend(clock.environment());
        server.stop();
        server.start_again();
        Self { scratch, server, clock, ahead: 0 }
    }

    /// It is killed, and starts when so much time is over.
    fn killed_for(&mut self, secs: i64) {
        self.server.kill_9();
        self.ahead += secs;
        self.clock.set_ahead(self.ahead);
        self.server.start_again();
    }

    /// Says that a channel is sent a report each week, first when so many hours are over.
    fn report(&self, name: &str, state: &str, hours: i64) {
        let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        let now = i64::try_from(wait::unix_secs()).expect("a time") + self.ahead;
        // The first hour of all was of a Thursday.
        let due = now / 3_600 + hours;
        let day = days[usize::try_from((due / 24 + 3) % 7).expect("a day")];
        let plan = json!({"state": state, "every": "weekly", "day": day, "at": format!("{:02}:00", due % 24), "timezone": "UTC"});
        let _ = self.server.api.put(&format!("/api/channels/{name}/report"), &plan).expect(200);
    }

    fn channel(&self, name: &str) -> Value {
        self.server.api.get(&format!("/api/channels/{name}")).expect(200)
    }

    /// Nothing waits.
    fn is_told(&self, name: &str) -> bool {
        let channel = self.channel(name);
        let waits = [&channel["on_its_way"], &channel["report"]["on_its_way"]];
        waits.iter().all(|way| way.is_null()) && channel["waiting"] == 0
    }

    /// All that was decided was told.
    fn wait_told(&self, name: &str) {
        wait::until("nothing to wait at the channel", LONG, || {
            if self.is_told(name) { Ok(()) } else { Err(self.channel(name).to_string()) }
        });
    }
}

fn mail(server: &MailServer, password: &str, ca: &str) -> Value {
    json!({"server": "127.0.0.1", "port": server.address.port(), "username": "holdfast", "password": password,
        "from": "holdfast@example.com", "to": ["ada@example.com", "bob@example.com"], "ca": ca})
}

#[test]
fn mail_goes_by_starttls_with_a_password_and_each_incident_is_told_once_over_kills() {
    if !tools::needs(&[Tool::Smtp]) {
        return;
    }
    let mut scene = Scene::start();
    let mails = MailServer::start(&scene.scratch, "starttls", "holdfast", PASSWORD);
    let channel = json!({"name": "mail", "email": mail(&mails, "wrong-password-here", &mails.certificate)});
    let _ = scene.server.api.post("/api/channels", Some(&channel)).expect(201);
    let test = || scene.server.api.post("/api/channels/mail/test", None).expect(200);
    let refused = test();
    assert_eq!((&refused["taken"], &refused["code"]), (&false.into(), &"smtp".into()), "{refused}");
    assert!(
        refused["said"].as_str().is_some_and(|said| said.contains("535") && !said.contains("wrong-password"))
    );
    let put = |email| {
        let linked = json!({ "acknowledge_links": true, "email": email });
        let _ = scene.server.api.put("/api/channels/mail", &linked).expect(200);
    };
    put(mail(&mails, PASSWORD, ""));
    assert_eq!(test()["code"], "untrusted", "nobody here knows its certificate");
    put(mail(&mails, PASSWORD, &mails.certificate));
    assert!(mails.mails().is_empty());
    let taken = test();
    assert_eq!((&taken["taken"], &taken["code"]), (&true.into(), &Value::Null), "{taken}");
    // What the first channel was offered is on now.
    assert_eq!(scene.server.api.get("/api/routes/everything").expect(200)["state"], "on");
    scene.report("mail", "off", 0);
    let first = mails.mails();
    assert_eq!((first.len(), &first[0]["tls"]), (1, &true.into()));
    assert_eq!(first[0]["to"], json!(["ada@example.com", "bob@example.com"]));
    assert!(text(&first[0]["subject"]).contains("A test"));

    // One who is gone keeps it from nobody else.
    let mut with_gone = mail(&mails, PASSWORD, &mails.certificate);
    with_gone["to"] = json!(["gone@example.com", "ada@example.com"]);
    put(with_gone.clone());
    let partly = test();
    assert_eq!((&partly["taken"], &partly["code"]), (&true.into(), &"smtp".into()), "{partly}");
    assert!(
        text(&partly["said"]).contains("gone@example.com") && text(&partly["said"]).contains("550"),
        "{partly}"
    );
    assert_eq!(mails.mails().last().expect("a mail")["to"], json!(["ada@example.com"]));
    let refused = || scene.server.api.get("/api/channels/mail").expect(200)["refused"].clone();
    assert!(text(&refused()["said"]).contains("gone@example.com"), "{}", refused());
    with_gone["to"] = json!(["gone@example.com"]);
    put(with_gone);
    assert_eq!(test()["taken"], false, "nobody is left");
    put(mail(&mails, PASSWORD, &mails.certificate));
    let _ = test();
    assert_eq!(refused(), Value::Null);
    let before = mails.mails().len();

    let host = scene.server.api.add_host("attic").id;
    let noticed = || scene.server.api.get("/api/incidents?state=noticed").expect(200)["items"].clone();
    wait::until_true("the incident to be noticed", LONG, || {
        noticed().as_array().is_some_and(|all| !all.is_empty())
    });
    scene.killed_for(DAY_SECS);
    let count = |wanted: usize| {
        wait::until(&format!("{wanted} mails"), LONG, || {
            let mut mails = mails.mails();
            if mails.len() == before + wanted {
                Ok(mails.split_off(before))
            } else {
                Err(format!("{mails:?}"))
            }
        })
    };
    let opened = count(1)[0].clone();
    assert_eq!(opened["automatic"], "auto-generated");
    for (part, wanted) in
        [("subject", "attic"), ("text", "Since "), ("html", "attic"), ("text", "/incidents/")]
    {
        assert!(text(&opened[part]).contains(wanted), "{part} without {wanted:?}: {opened}");
    }
    scene.wait_told("mail");
    acknowledge_by_link(&scene, &text(&opened["text"]));
    // It was told, and a server that is killed after that does not tell it again.
    scene.killed_for(3_600);
    let _ = scene.server.api.delete(&format!("/api/hosts/{host}"));
    wait::until_true("the incident to end", LONG, || {
        let ended = scene.server.api.get("/api/incidents?state=ended").expect(200);
        ended["items"].as_array().is_some_and(|all| !all.is_empty())
    });
    scene.killed_for(16 * 60);
    let all = count(2);
    // Its host is gone, and has not recovered.
    assert!(text(&all[1]["subject"]).contains("Over"), "{}", all[1]);
    assert_eq!((&all[1]["thread"], all[1]["thread"].is_string()), (&opened["thread"], true), "one thread");
    assert_ne!(all[1]["id"], opened["id"]);
    for secret in [PASSWORD, "wrong-password-here"] {
        assert!(!scene.server.log().contains(secret), "the log tells {secret}");
        let heard = scene.server.api.heard();
        assert!(!heard.iter().any(|body| body.contains(secret)), "an answer tells {secret}");
    }
}

/// Whoever reads a mail lets its incident rest in a browser that nobody is signed in with.
fn acknowledge_by_link(scene: &Scene, mail: &str) {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let link = mail.lines().find_map(|line| line.strip_prefix("Acknowledge: ")).expect("a link").trim();
    let browser = Browser::start();
    browser.open(link);
    browser.wait_text("You need no account", SOON);
    assert!(!browser.overflows());
    browser.click(&browser.find("button[type=submit]"));
    browser.wait_text("It rests until", SOON);
    let open = scene.server.api.get("/api/incidents?state=open").expect(200);
    let by: Vec<_> =
        open["items"].as_array().expect("items").iter().map(|it| &it["acknowledgement"]).collect();
    assert!(by.iter().any(|word| word["by_kind"] == "link" && word["by"] == "mail"), "{open}");
    browser.open(link);
    browser.wait_text("This link was used", SOON);
}

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Takes,
    /// Takes it, and hangs up without a word.
    TakesUnsaid,
    Says(&'static str),
}

const ANSWERS: [Answer; 6] = [
    Answer::Takes,
    Answer::TakesUnsaid,
    Answer::Says("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
    Answer::Says("HTTP/1.1 429 Slow\r\nretry-after: 900\r\ncontent-length: 0\r\n\r\n"),
    Answer::Says("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
    Answer::Says(""),
];

/// A receiver of webhooks: what it took, by the id by which it drops what comes twice.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    taken: Arc<Mutex<BTreeMap<String, String>>>,
    /// An id with other words than before.
    torn: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (taken, torn, answers) = (Arc::default(), Arc::default(), Arc::default());
        let receiver = Self { address, taken, torn, answers };
        let kept = receiver.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| kept.answer(&stream)));
        receiver
    }

    fn answer(&self, mut stream: &TcpStream) {
        let (mut reader, mut length) = (BufReader::new(stream), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
                length = text.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let id = text(&serde_json::from_str::<Value>(&body).unwrap_or_default()["id"]);
        let answer = self.answers.lock().expect("answers").pop_front().unwrap_or(Answer::Takes);
        if let Answer::Takes | Answer::TakesUnsaid = answer {
            let mut taken = self.taken.lock().expect("taken");
            if taken.get(&id).is_some_and(|before| *before != body) {
                self.torn.lock().expect("torn").push(id.clone());
            }
            taken.insert(id, body);
        }
        let said = match answer {
            Answer::Takes => "HTTP/1.1 204 Taken\r\n\r\n",
            Answer::TakesUnsaid => "",
            Answer::Says(said) => said,
        };
        let _ = stream.write_all(said.as_bytes());
    }

    fn taken(&self) -> usize {
        self.taken.lock().expect("taken").len()
    }
}

/// Numbers that are the same for one seed.
fn next(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 33).unwrap_or(0)
}

#[test]
fn whenever_the_server_is_killed_each_notice_is_told_and_doubles_have_one_id() {
    let rounds = soak::number("HOLDFAST_NOTICE_ROUNDS", 200, ROUNDS);
    let mut scene = Scene::start();
    let receiver = Receiver::start();
    let hook =
        json!({"name": "hook", "webhook": {"form": "json", "url": format!("http://{}/", receiver.address)}});
    let _ = scene.server.api.post("/api/channels", Some(&hook)).expect(201);
    assert_eq!(scene.server.api.post("/api/channels/hook/test", None).expect(200)["taken"], true);
    scene.report("hook", "off", 0);
    // Its clock goes on by months: other things need somebody then.
    let route = json!({"channels": ["hook"], "causes": ["not_enrolled"]});
    let _ = scene.server.api.put("/api/routes/everything", &route).expect(200);
    let _ = scene.server.api.add_host("attic");
    let noticed = || scene.server.api.get("/api/incidents?state=noticed").expect(200)["items"].clone();
    wait::until_true("the incident to be noticed", LONG, || {
        noticed().as_array().is_some_and(|all| !all.is_empty())
    });
    scene.killed_for(DAY_SECS);
    wait::until_true("the incident to be told", LONG, || receiver.taken() == 2);
    scene.wait_told("hook");
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for round in 0..rounds {
        let answers: Vec<Answer> =
            (0..next(&mut seed) % 4).map(|_| ANSWERS[next(&mut seed) % ANSWERS.len()]).collect();
        eprintln!("round {round}: {answers:?}");
        receiver.answers.lock().expect("answers").extend(answers);
        // It is told again, and the server dies at some instant of that.
        scene.killed_for(REMINDER_SECS);
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(next(&mut seed) as u64 % 2_500));
            // Longer than any wait after a try, and much shorter than what is given up after.
            scene.killed_for(3_700);
        }
        let wanted = 3 + usize::try_from(round).expect("few");
        while !comes_soon(&|| receiver.taken() >= wanted && scene.is_told("hook")) {
            scene.killed_for(3_700);
        }
        receiver.answers.lock().expect("answers").clear();
        assert_eq!(receiver.taken(), wanted, "round {round}: one message, however often it came");
    }
    assert!(receiver.torn.lock().expect("torn").is_empty(), "one id, one message");
    let channel = scene.channel("hook");
    assert_eq!((&channel["given_up"], &channel["left_out"]), (&json!([]), &0.into()), "{channel}");
}

/// How far apart reports are.
const WEEK_SECS: i64 = 7 * 86_400;

#[test]
fn a_report_goes_by_mail_each_week_and_once_after_weeks_in_which_the_server_was_off() {
    if !tools::needs(&[Tool::Smtp]) {
        return;
    }
    let mut scene = Scene::start();
    let mails = MailServer::start(&scene.scratch, "starttls", "holdfast", PASSWORD);
    let channel = json!({"name": "mail", "email": mail(&mails, PASSWORD, &mails.certificate)});
    let _ = scene.server.api.post("/api/channels", Some(&channel)).expect(201);
    // Incidents are another test's.
    let _ = scene.server.api.delete("/api/routes/everything");
    let _ = scene.server.api.add_host("attic");
    let sent = scene.server.api.post("/api/channels/mail/report/send", None).expect(200);
    assert_eq!((&sent["taken"], &sent["code"]), (&true.into(), &Value::Null), "{sent}");
    let now = mails.mails()[0].clone();
    assert!(text(&now["subject"]).contains("Report: 0 of 1 host protected, 0 proven"), "{now}");
    for (part, wanted) in
        [("text", "/report\r\n"), ("text", "Needs somebody now"), ("text", "attic"), ("html", "/report\">")]
    {
        assert!(text(&now[part]).contains(wanted), "{part} without {wanted:?}: {now}");
    }
    assert_eq!((&now["thread"], &now["automatic"]), (&Value::Null, &"auto-generated".into()));
    scene.report("mail", "on", 84);
    let comes = |wanted: usize| {
        wait::until(&format!("{wanted} mails"), LONG, || {
            let mails = mails.mails();
            if mails.len() == wanted { Ok(mails) } else { Err(format!("{mails:?}")) }
        })
    };
    scene.killed_for(WEEK_SECS);
    let first = comes(2)[1].clone();
    scene.wait_told("mail");
    // It was taken: no start tells it again.
    scene.killed_for(3_600);
    scene.killed_for(3_600);
    // Two weeks later it is one, of the newest week. The certificate of the mail server is good for no more than a month.
    scene.killed_for(2 * WEEK_SECS);
    let last = comes(3)[2].clone();
    scene.wait_told("mail");
    assert_ne!(first["id"], last["id"]);
    scene.killed_for(3_600);
    assert_eq!(comes(3).len(), 3);
    let page = scene.channel("mail");
    assert!(page["report"]["next_at"].is_string() && page["failing_since"].is_null(), "{page}");
}

#[test]
fn whenever_the_server_is_killed_each_weeks_report_is_told_and_doubles_have_one_id() {
    let rounds = soak::number("HOLDFAST_NOTICE_ROUNDS", 40, 4);
    let mut scene = Scene::start();
    let receiver = Receiver::start();
    let hook =
        json!({"name": "hook", "webhook": {"form": "json", "url": format!("http://{}/", receiver.address)}});
    let _ = scene.server.api.post("/api/channels", Some(&hook)).expect(201);
    let _ = scene.server.api.delete("/api/routes/everything");
    let mut seed = 0x2545_f491_4f6c_dd1d;
    for round in 0..rounds {
        let answers: Vec<Answer> =
            (0..next(&mut seed) % 4).map(|_| ANSWERS[next(&mut seed) % ANSWERS.len()]).collect();
        eprintln!("round {round}: {answers:?}");
        receiver.answers.lock().expect("answers").extend(answers);
        scene.report("hook", "on", 84);
        scene.killed_for(WEEK_SECS);
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(next(&mut seed) as u64 % 2_500));
            scene.killed_for(3_700);
        }
        let wanted = 1 + usize::try_from(round).expect("few");
        while !comes_soon(&|| receiver.taken() >= wanted && scene.is_told("hook")) {
            scene.killed_for(3_700);
        }
        receiver.answers.lock().expect("answers").clear();
        assert_eq!(receiver.taken(), wanted, "round {round}: one report, however often it came");
    }
    assert!(receiver.torn.lock().expect("torn").is_empty(), "one id, one report");
    for body in receiver.taken.lock().expect("taken").values() {
        let told: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            (&told["event"], &told["report"]["now"]["hosts"]),
            (&"report".into(), &0.into()),
            "{told}"
        );
        assert!(text(&told["url"]).ends_with("/report"), "{told}");
    }
}

/// Whether it comes within a while.
fn comes_soon(has_come: &impl Fn() -> bool) -> bool {
    let begun = wait::now();
    while !has_come() {
        if begun.elapsed() > SOON / 6 {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
    true
}

#[test]
fn a_channel_is_added_tried_and_seen_on_the_pages_without_scripts() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let receiver = Receiver::start();
    let browser = Browser::start();
    server.sign_in(&browser);
    browser.scripts(false);
    let page = |path: &str| format!("{}{path}", server.base());
    browser.open(&page("/settings"));
    browser.wait_text("nobody is told", SOON);
    browser.open(&page("/notices/new-channel?kind=webhook"));
    let url = format!("http://{}/a-secret-path", receiver.address);
    browser.send_form("#channel", &[("name", "hook"), ("url", &url), ("headers", "X-Token: a-header-token")]);
    browser.wait_text("nothing sent yet", SOON);
    browser.click(&browser.find("#test button"));
    browser.wait_text("It was taken", SOON);
    assert_eq!(receiver.taken(), 1);
    receiver.answers.lock().expect("answers").push_back(ANSWERS[2]);
    browser.click(&browser.find("#test button"));
    browser.wait_text("It answered with HTTP status 500", SOON);
    browser.open(&page("/notices"));
    browser.wait_text("Holdfast’s own JSON at http://127.0.0.1", SOON);
    let told = browser.source();
    assert!(!told.contains("a-secret-path") && !told.contains("a-header-token"), "{told}");
    browser.open(&page("/settings"));
    browser.wait_text("Incidents are told by 1 channel", SOON);
    // What was typed is given back, and what is wrong stands beside it.
    browser.open(&page("/notices/new-route"));
    browser.send_form("#route", &[("name", "night"), ("quiet_from", "22:00"), ("quiet_until", "late")]);
    browser.wait_text("give a time of day such as 02:00", SOON);
    browser.send_form("#route", &[("quiet_until", "07:00")]);
    browser.wait_text("quiet from 22:00 to 07:00", SOON);
}

#[test]
fn mail_goes_over_tls_from_its_first_byte() {
    if !tools::needs(&[Tool::Smtp]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let mails = MailServer::start(&scratch, "tls", "holdfast", PASSWORD);
    let mut email = mail(&mails, PASSWORD, "");
    email["security"] = "tls".into();
    let channel = json!({ "name": "mail", "email": email });
    let _ = server.api.post("/api/channels", Some(&channel)).expect(201);
    let test = || server.api.post("/api/channels/mail/test", None).expect(200);
    assert_eq!(test()["code"], "untrusted", "nobody here knows its certificate");
    email["ca"] = mails.certificate.clone().into();
    let _ = server.api.put("/api/channels/mail", &json!({ "email": email })).expect(200);
    assert_eq!(test()["taken"], true);
    assert_eq!((mails.mails().len(), &mails.mails()[0]["tls"]), (1, &true.into()));
}
