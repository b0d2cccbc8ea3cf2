//! Several addresses of one server, and IPv6: agents try them in order, find a server that has moved, and an address that
//! nobody needs is forgotten.

use serde_json::{Value, json};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use tests::{
    agent::Agent,
    api::{Api, Credentials},
    ports,
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// What the API says of an address.
fn told(api: &Api, address: &str) -> Value {
    let told = api.get("/api/agent-access").expect(200);
    let found = told["addresses"].as_array().expect("addresses").iter().find(|it| it["address"] == address);
    found.cloned().unwrap_or_default()
}

fn counts(told: &Value) -> (u64, u64) {
    (told["hosts"].as_u64().expect("a number"), told["dependent"].as_u64().expect("a number"))
}

#[test]
fn an_agent_enrols_and_backs_up_by_ipv6() {
    if !tools::needs(&[Tool::Restic018]) {
        return;
    }
    let scratch = Scratch::new();
    let mqtt = SocketAddr::from((Ipv6Addr::LOCALHOST, ports::free().port()));
    if TcpListener::bind(mqtt).is_err() {
        return tools::skip("IPv6: this machine has no ::1");
    }
    let public = mqtt.to_string();
    let server = Server::start_announced(&scratch.folder("server"), mqtt, vec![public.clone()]);
    let agent = Agent::enroll(&server.api, &scratch.folder("agent"), "six");
    assert!(agent.status().contains(&format!("server        {public}\n")), "{}", agent.status());
    assert_eq!(counts(&told(&server.api, &public)), (1, 1));
    let repository = scratch.folder("repository");
    let _ = repository_files::make(&repository, "six words");
    let repository = repository.display().to_string();
    let credentials =
        Credentials { url: repository, login: None, repo_password: "six words".to_owned(), env: Vec::new() };
    server.api.put_credentials(&agent.host, &credentials);
    let sources = scratch.folder("sources");
    std::fs::write(sources.join("file"), "by IPv6").expect("a file");
    server.api.add_group(&agent.host, "files", &[&sources.display().to_string()]);
    let job = server.api.back_up(&agent.host, "files");
    let _ = server.api.wait_job(&job, &["succeeded"], LONG);
    assert!(server.log().contains("mqtt=[::1]:"), "{}", server.log());
}

#[test]
fn a_server_that_has_moved_is_found_by_the_second_address_and_the_first_is_forgotten() {
    let scratch = Scratch::new();
    let (old, new) = (ports::free(), ports::free());
    let (old_text, new_text) = (old.to_string(), new.to_string());
    let mut server =
        Server::start_announced(&scratch.folder("server"), old, vec![old_text.clone(), new_text.clone()]);
    let mut attic = Agent::enroll(&server.api, &scratch.folder("attic"), "attic");
    let mut away = Agent::enroll(&server.api, &scratch.folder("away"), "away");
    assert_eq!(counts(&told(&server.api, &old_text)), (2, 2));
    assert_eq!(counts(&told(&server.api, &new_text)), (0, 0), "who has come by the first needs no second");
    away.stop();
    // An address of the settings is not to be retired.
    let retire = |api: &Api, force: bool| {
        api.post("/api/agent-access/retire", Some(&json!({ "address": old_text, "force": force })))
    };
    let _ = retire(&server.api, true).expect(422);

    // It moves: another port, and the settings name the old address no more.
    server.stop();
    server.mqtt = new;
    server.public = vec![new_text.clone()];
    server.start_again();
    server.api.wait_online(&attic.host, true, LONG);
    assert!(attic.status().contains(&new_text), "{}", attic.status());
    assert_eq!(counts(&told(&server.api, &new_text)), (1, 2), "no other one stays");
    let left = told(&server.api, &old_text);
    assert_eq!((counts(&left), &left["dependents"][0]["name"]), ((1, 1), &json!("away")), "{left}");
    assert!(left["retiring_since"].is_string(), "{left}");
    // One that is still away would be lost, as far as anybody knows.
    assert_eq!(retire(&server.api, false).code(), "would_lose");

    // It comes by the address that it was given before, and nobody needs the old one any more.
    away.start();
    server.api.wait_online(&away.host, true, LONG);
    wait::until("the old address to be forgotten", LONG, || {
        let left = told(&server.api, &old_text);
        if left.is_null() { Ok(()) } else { Err(left.to_string()) }
    });
    let audit = server.api.get("/api/audit?action=address.retired").expect(200);
    assert_eq!(audit["items"][0]["detail"], old_text.as_str(), "{audit}");
    // What agents hold now leads to the server alone.
    attic.stop();
    attic.start();
    server.api.wait_online(&attic.host, true, SOON);
    wait::until("the plan without it", SOON, || {
        let held = std::fs::read(attic.state_dir.join("plan")).unwrap_or_default();
        let names = |text: &str| held.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        if names(&new_text) && !names(&old_text) { Ok(()) } else { Err("the old plan".to_owned()) }
    });
}

#[test]
fn the_status_of_an_agent_says_what_each_address_has_said() {
    let scratch = Scratch::new();
    let (right, nobody) = (ports::free(), ports::free());
    let public = vec![right.to_string(), nobody.to_string()];
    let server = Server::start_announced(&scratch.folder("server"), right, public);
    let agent = Agent::enroll(&server.api, &scratch.folder("attic"), "attic");
    let _ = server.api.delete(&format!("/api/hosts/{}", agent.host)).expect(204);
    // That nobody is at the second one is no reason: the first one has it.
    wait::until("both of them", LONG, || {
        let status = agent.status();
        let refuses = format!("{right} refuses the login");
        let is_away = format!("{nobody} can't be reached");
        if status.contains(&refuses) && status.contains(&is_away) { Ok(()) } else { Err(status) }
    });
}

#[test]
fn an_address_is_retired_by_force_with_those_that_need_it() {
    let scratch = Scratch::new();
    let (old, new) = (ports::free(), ports::free());
    let mut server = Server::start_announced(&scratch.folder("server"), old, vec![old.to_string()]);
    let mut attic = Agent::enroll(&server.api, &scratch.folder("attic"), "attic");
    attic.stop();
    server.stop();
    // An agent that never heard of the new address, and is away.
    server.public = vec![new.to_string()];
    server.start_again();
    let body = json!({ "address": old.to_string(), "force": true });
    let told = server.api.post("/api/agent-access/retire", Some(&body)).expect(200);
    assert_eq!(told["addresses"].as_array().map(Vec::len), Some(1), "{told}");
    let audit = server.api.get("/api/audit?action=address.retired").expect(200);
    let detail = audit["items"][0]["detail"].as_str().expect("a text");
    assert!(detail.starts_with(&old.to_string()) && detail.ends_with(": 1"), "{detail}");
}
