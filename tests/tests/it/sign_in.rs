//! Who may try passwords, and what that costs: nobody is locked out by others, nothing grows, a restart forgets nothing.

use serde_json::{Value, json};
use std::process::Command;
use tests::{
    proc_table,
    process::run,
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::{self, SOON},
};

const PASSWORD: &str = "correct horse battery staple";
/// A quarter of what sixty sign-ins would take if each left its 19 MiB, and twice what they may.
const MAY_GROW: u64 = 80 << 20;

/// A server with one account, mira.
fn server(scratch: &Scratch) -> Server {
    let server = Server::start(&scratch.folder("server"));
    let code = server.setup_link.rsplit('/').next().expect("a code").to_owned();
    let body = json!({"code": code, "name": "mira", "password": PASSWORD});
    let answer = post(&server, "/api/setup", &body, None);
    assert_eq!(answer.status, 201, "{}", answer.text);
    server
}

struct Answer {
    status: u16,
    text: String,
    cookies: Vec<String>,
}

impl Answer {
    /// The cookie by which the browser is known again.
    fn device(&self) -> &str {
        let found = self.cookies.iter().find(|cookie| cookie.starts_with("holdfast-device="));
        found.expect("the cookie of a known browser").split(';').next().expect("name and value")
    }
}

fn post(server: &Server, path: &str, body: &Value, cookie: Option<&str>) -> Answer {
    let mut request = tests::api::http().post(format!("{}{path}", server.base()));
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let mut answer = request.send_json(body).expect("an answer");
    let cookies = answer.headers().get_all("set-cookie").iter();
    let cookies = cookies.map(|cookie| cookie.to_str().expect("text").to_owned()).collect();
    let text = answer.body_mut().read_to_string().expect("text");
    Answer { status: answer.status().as_u16(), text, cookies }
}

fn try_as(server: &Server, name: &str, password: &str, cookie: Option<&str>) -> Answer {
    post(server, "/api/login", &json!({"name": name, "password": password}), cookie)
}

#[test]
fn sixty_sign_ins_leave_the_server_as_large_as_two_do() {
    let scratch = Scratch::new();
    let server = server(&scratch);
    for _ in 0..4 {
        assert_eq!(try_as(&server, "mira", PASSWORD, None).status, 200);
    }
    let before = proc_table::memory(server.pid()).resident;
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(try_as(&server, "mira", PASSWORD, None).status, 200);
                }
            });
        }
    });
    let after = proc_table::memory(server.pid()).resident;
    assert!(after < before + MAY_GROW, "{} MiB became {} MiB", before >> 20, after >> 20);
    assert!(after < 200 << 20, "{} MiB", after >> 20);
}

#[test]
fn wrong_passwords_lock_out_neither_others_nor_a_known_browser_and_a_restart_forgets_nothing() {
    let scratch = Scratch::new();
    let mut server = server(&scratch);
    for name in ["janne", "nils"] {
        let body = json!({"name": name, "role": "viewer", "password": PASSWORD});
        let _ = server.api.post("/api/operators", Some(&body)).expect(201);
    }
    let known = try_as(&server, "mira", PASSWORD, None).device().to_owned();
    let tries: Vec<u16> = (0..30).map(|_| try_as(&server, "mira", "wrong", None).status).collect();
    assert_eq!(tries[..5], [401; 5]);
    assert!(tries[5..].iter().all(|status| *status == 429), "{tries:?}");
    assert_eq!(try_as(&server, "janne", PASSWORD, None).status, 200, "another behind the same address");
    assert_eq!(try_as(&server, "mira", PASSWORD, Some(&known)).status, 200, "her own browser");

    // The log says that everybody comes from one address.
    wait::until("the word about the address", SOON, || match server.log() {
        log if log.contains("Everybody signs in from 127.0.0.1") => Ok(()),
        log => Err(log.lines().last().unwrap_or_default().to_owned()),
    });

    assert!((0..6).any(|_| try_as(&server, "nils", "wrong", None).status == 429));
    server.stop();
    server.start_again();
    assert_eq!(try_as(&server, "nils", PASSWORD, None).status, 429, "still");
    assert_eq!(try_as(&server, "mira", PASSWORD, Some(&known)).status, 200);
    let held = server.api.get("/api/held-up").expect(200);
    let nils = held["items"].as_array().expect("a list").iter().find(|held| held["account"] == "nils");
    assert_eq!(nils.expect("nils waits")["address"], "127.0.0.1", "{held}");
}

/// Subscribes once; what mosquitto says.
fn looks(server: &Server, user: &str, password: &str) -> String {
    let scratch = Scratch::new();
    let (host, port) = (server.mqtt_plain.ip(), server.mqtt_plain.port());
    let options = format!("-h {host}\n-p {port}\n-u {user}\n-P {password}\n");
    std::fs::write(scratch.path().join("mosquitto_sub"), options).expect("options");
    let mut command = Command::new(Tool::MosquittoSub.path());
    command.env("XDG_CONFIG_HOME", scratch.path()).args(["-d", "-E", "-W", "5", "-t", "hf/1/view/#"]);
    run("mosquitto_sub", command, SOON).output
}

#[test]
fn one_who_always_has_the_wrong_mqtt_password_keeps_nobody_out_and_is_shown() {
    if !tools::needs(&[Tool::MosquittoSub]) {
        return;
    }
    let scratch = Scratch::new();
    let server = server(&scratch);
    let (name, password) = server.add_viewer("panel");
    // More than come in minutes: the same name, from the same address.
    for _ in 0..25 {
        assert!(!looks(&server, &name, "wrong").contains("CONNACK (0)"));
    }
    let said = looks(&server, &name, &password);
    assert!(said.contains("CONNACK (0)"), "{said}");
    for _ in 0..12 {
        assert!(!looks(&server, &name, "wrong").contains("CONNACK (0)"));
    }
    let held = server.api.get("/api/held-up").expect(200);
    let shown = held["items"].as_array().expect("a list").iter().find(|held| held["listener"] == "mqtt");
    let shown = shown.unwrap_or_else(|| panic!("{held}"));
    assert_eq!((&shown["address"], &shown["account"]), (&json!("127.0.0.1"), &json!("panel")), "{held}");
    assert!(looks(&server, &name, &password).contains("CONNACK (0)"), "and again");
    let metrics = server.api.get("/metrics").text;
    // All that runs beside the pages is told, and well.
    let well = |task: &str| metrics.contains(&format!("holdfast_task_well{{task=\"{task}\"}} 1\n"));
    for task in [
        "certificate",
        "control",
        "deliveries",
        "eviction",
        "ingest",
        "maintenance",
        "mqtt_keep_alive",
        "mqtt_listener",
        "mqtt_plain_listener",
        "plans",
        "publisher",
        "schedules",
        "sweep",
        "wakes",
    ] {
        assert!(well(task), "{task}: {metrics}");
    }
    let _ = server.api.get("/readyz").expect(200);
    let count = metrics.lines().find_map(|line| line.strip_prefix("holdfast_broker_logins_throttled_total "));
    assert!(count.and_then(|count| count.parse::<f64>().ok()).is_some_and(|count| count > 10.0), "{metrics}");
}

#[test]
fn one_token_can_not_hold_all_streams_of_events() {
    let scratch = Scratch::new();
    let server = server(&scratch);
    let stream = |token: &str| {
        let request = tests::api::http().get(format!("{}/api/events", server.base()));
        request.header("authorization", format!("Bearer {token}")).call().expect("an answer")
    };
    let greedy = server.token("greedy", "read");
    let mut held = Vec::new();
    let mut refused = loop {
        let answer = stream(&greedy);
        match answer.status().as_u16() {
            200 => held.push(answer),
            _ => break answer,
        }
        assert!(held.len() < 200, "it is not bounded");
    };
    let words = refused.body_mut().read_to_string().expect("words");
    assert_eq!(refused.status(), 429);
    assert!(words.contains("This token holds"), "{words}");
    assert_eq!(stream(&server.token("other", "read")).status(), 200);
}
