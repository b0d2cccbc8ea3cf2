//! Two hosts on one repository: an exclusive job of one and whatever the other does take turns. No restic ever meets
//! a lock of the other's.

use serde_json::{Value, json};
use std::path::Path;
use tests::{
    agent::Agent,
    api::{Api, text},
    repository::Repository,
    scratch::Scratch,
    server::Server,
    soak,
    tools::{self, Tool},
    wait::{LONG, SOON},
};

/// Each exclusive job, before and after the other one, of either host: twelve. `./test --soak` has 50.
const ROUNDS: usize = 12;
const PASSWORD: &str = "one for both";

/// Asks for a job: its id, or the words of the refusal.
fn ask(api: &Api, path: &str) -> Result<String, Value> {
    let answer = api.post(path, None);
    match answer.status {
        202 => Ok(text(&answer.body["id"])),
        409 => Err(answer.body["error"].clone()),
        _ => panic!("{path}: {}", answer.text),
    }
}

#[test]
fn hosts_that_share_a_repository_take_turns_and_no_job_meets_a_lock() {
    if !tools::needs(&[Tool::Restic018]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let api = &server.api;
    let repository = scratch.path().join("repository").display().to_string();
    let names = ["barn", "attic"];
    let agents = names.map(|name| {
        let agent = Agent::enroll(api, &scratch.folder(&format!("agent of {name}")), name);
        let sources = scratch.folder(&format!("sources of {name}"));
        std::fs::write(sources.join("note"), name).expect("a file");
        let credentials = json!({ "url": repository, "repo_password": PASSWORD });
        for slot in ["repo-credentials", "admin-credentials"] {
            let _ = api.put(&format!("/api/hosts/{}/{slot}", agent.host), &credentials).expect(200);
        }
        let group =
            json!({ "name": name, "includes": [sources.display().to_string()], "keep": { "last": 2 } });
        let _ = api.post(&format!("/api/hosts/{}/groups", agent.host), Some(&group)).expect(201);
        (agent, name)
    });
    let path = |place: usize, kind: &str| {
        let (agent, name) = &agents[place];
        match kind {
            "backup" => format!("/api/hosts/{}/groups/{name}/backup", agent.host),
            "test" => format!("/api/hosts/{}/repo-credentials/test", agent.host),
            kind => format!("/api/hosts/{}/repo/{kind}", agent.host),
        }
    };
    // The server has to know that they share it.
    let _ = repository_files::make(Path::new(&repository), PASSWORD);
    for place in [0, 1] {
        let job = ask(api, &path(place, "test")).expect("a job");
        let _ = api.wait_job(&job, &["succeeded"], LONG);
    }
    let by_hand = Repository::at(&repository, PASSWORD);
    // Which snapshots were there before: none.
    for (agent, _) in &agents {
        let listing = format!("/api/hosts/{}/snapshots/refresh", agent.host);
        let _ = api.wait_job(&ask(api, &listing).expect("a job"), &["succeeded"], LONG);
    }

    let mut refused = 0;
    let rounds = soak::or(50, ROUNDS);
    for round in 0..rounds {
        let exclusive = ["prune", "forget", "check"][round % 3];
        let kinds = if round % 2 == 0 { [exclusive, "backup"] } else { ["backup", exclusive] };
        let host = usize::from(round % 4 > 1);
        let first = ask(api, &path(host, kinds[0])).expect("nothing else runs");
        let second = ask(api, &path(1 - host, kinds[1])).or_else(|why| {
            refused += 1;
            assert_eq!(why["code"], "repo_busy");
            let words = text(&why["message"]);
            for said in [kinds[0], names[host], &first] {
                assert!(words.contains(said), "{words} does not say {said}");
            }
            let _ = api.wait_job(&first, &["succeeded"], LONG);
            // At once: the lock of the first has to be gone when its end is known.
            ask(api, &path(1 - host, kinds[1]))
        });
        for job in [&first, &second.expect("the other one has ended")] {
            let _ = api.wait_job(job, &["succeeded"], LONG);
        }
    }
    assert!(refused > rounds / 2, "they did meet: {refused}");
    for (agent, _) in &agents {
        for job in api.jobs(&agent.host) {
            assert_ne!(job["class"], "repo_locked", "{job}");
        }
        api.wait_online(&agent.host, true, SOON);
    }
    assert!(by_hand.locks().is_empty(), "{:?}", by_hand.locks());
    assert_eq!(by_hand.is_sound(), Ok(()));
    let kept = by_hand.snapshots().len();
    assert!((2..=50).contains(&kept), "both have snapshots: {kept}");
}
