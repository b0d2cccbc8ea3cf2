//! A backup that is unlike those before it: what page and API say of it, and who may say that it is as it should be.

use crate::agent::{TestAgent, boat, run};
use crate::words::words;
use crate::world::{Client, World};
use axum::http::Method;
use fleet::record::Role;
use schema::job::BackupSummary;
use schema::{Items, Outcome, Summary};
use serde_json::{Value, json};

/// A backup of 1,000 files of 1 MiB, of which so many have other contents than before.
async fn save(world: &World, client: &Client, agent: &mut TestAgent, n: u32, changed: u64) -> String {
    let job = run(client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(world, job).await;
    let snapshot = format!("{n:064x}");
    let summary = BackupSummary {
        snapshot: &snapshot,
        files_new: 0,
        files_changed: changed,
        files_unmodified: 1_000 - changed,
        total_files: 1_000,
        total_bytes: 1_000 << 20,
        added_bytes: changed << 20,
        added_packed_bytes: None,
        errors: 0,
        findings: Items::EMPTY,
        findings_left_out: 0,
    };
    agent.finish(world, job, Outcome::Succeeded, None, "snapshot saved", Summary::Backup(summary)).await;
    world.pass(3_600_000);
    job.to_string()
}

/// A boat whose last backup found almost all files changed: that backup.
async fn encrypted(world: &World, client: &Client) -> (TestAgent, String) {
    let mut agent = boat(world, client).await;
    for n in 1..=8 {
        save(world, client, &mut agent, n, 10).await;
        if n == 1 {
            // It is a thousandth of what the boat had before.
            let path = format!("/api/hosts/{}/groups/logbook", agent.host);
            let known = client.get(&format!("{path}/soundness")).await.json();
            let body = json!({"mark": known["mark"]});
            client.send(Method::PUT, &format!("{path}/acceptance"), Some(&body)).await.expect(200);
        }
    }
    let job = save(world, client, &mut agent, 9, 995).await;
    (agent, job)
}

#[tokio::test]
async fn the_page_says_what_changed_and_who_has_looked_presses() {
    let world = World::new();
    let admin = world.admin().await;
    let (agent, job) = encrypted(&world, &admin).await;
    let mut operator = world.account(&admin, "otto", Role::Operator).await;
    let viewer = world.account(&admin, "vera", Role::Viewer).await;
    let href = format!("/hosts/{}", agent.host);
    let page = operator.get(&href).await.expect(200).text;
    let said = words(&page);
    for sentence in [
        "Almost all files changed at once: look at it; until then nothing is forgotten",
        "Ransomware does this",
        "Of 1,000 files before, 5 are as they were",
        "995 MiB of new data, where 10.0 MiB are usual",
        "Until an operator has looked, nothing of the host is forgotten and nothing is pruned",
        "I have looked…",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    assert!(page.contains(&format!("href=\"/jobs/{job}\">See the backup")), "{page}");
    let press = format!("{href}/groups/logbook/accept?mark={job}");
    assert!(page.contains(&press), "{page}");
    // Who may only look is told the same, and is not asked.
    let seen = viewer.get(&href).await.expect(200).text;
    assert!(words(&seen).contains("Of 1,000 files before") && !seen.contains("/accept?"), "{seen}");
    viewer.get(&press).await.expect(403);

    let ask = words(&operator.get(&press).await.expect(200).text);
    assert!(ask.contains("Is the last backup of logbook of boat-pi as it should be?"), "{ask}");
    assert!(ask.contains("I have looked: it is as it should be"), "{ask}");
    let stale = format!("{href}/groups/logbook/accept?mark={}", schema::JobId([1; 16]));
    operator.post_form(&stale, "").await.expect(409);
    let pressed = operator.post_form(&press, "").await.expect(303);
    assert_eq!(pressed.header("location"), format!("{href}#groups"));
    let page = words(&operator.get(&href).await.expect(200).text);
    assert!(!page.contains("changed at once") && !page.contains("I have looked"), "{page}");
    let audit = admin.get("/api/audit?limit=5").await.json();
    let entry = audit["items"].as_array().unwrap().iter().find(|entry| entry["action"] == "group.accepted");
    let entry = entry.unwrap_or_else(|| panic!("{audit}"));
    assert_eq!(entry["actor"], "otto", "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("almost_all_changed"), "{entry}");
}

#[tokio::test]
async fn the_api_says_what_changed_and_takes_the_word_of_who_may_write() {
    let world = World::new();
    let admin = world.admin().await;
    let (agent, job) = encrypted(&world, &admin).await;
    let path = format!("/api/hosts/{}", agent.host);
    let group = format!("{path}/groups/logbook");
    let host = admin.get(&path).await.json();
    assert_eq!(
        (&host["status"], &host["reason_code"], &host["protected"]),
        (&json!("warning"), &json!("unusual"), &json!(false)),
        "{host}"
    );
    let known = admin.get(&format!("{group}/soundness")).await.expect(200).json();
    assert_eq!((&known["held"], &known["mark"]), (&json!("unusual"), &json!(job)), "{known}");
    let backup = json!({
        "job": job, "what": "almost_all_changed", "files_before": 1000, "files": 1000, "files_new": 0,
        "files_changed": 995, "files_gone": 0, "bytes": 1000 << 20, "added_bytes": 995 << 20,
        "usual_added_bytes": 10 << 20
    });
    assert_eq!((&known["unusual"]["first"], &known["unusual"]["last"]), (&backup, &backup), "{known}");
    assert_eq!(known["unusual"]["count"], 1, "{known}");
    for kind in ["forget", "prune"] {
        let answer = admin.send(Method::POST, &format!("{path}/repo/{kind}"), None).await.expect(409);
        let error = answer.json();
        // Without admin credentials a prune is refused for that.
        if kind == "forget" {
            assert_eq!(error["error"]["code"], "held", "{error}");
            let told = error["error"]["message"].as_str().unwrap();
            assert!(told.contains("almost all files changed at once: look at that backup"), "{told}");
        }
    }
    world.fleet.plan_incidents(Vec::new()).await;
    let incidents = admin.get("/api/incidents?state=open").await.json();
    assert_eq!(incidents["items"][0]["cause"], "unusual", "{incidents}");
    assert_eq!(incidents["items"][0]["severity"], "warning", "{incidents}");

    let accept = format!("{group}/acceptance");
    let body = json!({"mark": known["mark"]});
    for (role, status) in [(Role::Viewer, 403), (Role::Operator, 200)] {
        let answer = world.program(role).await.send(Method::PUT, &accept, Some(&body)).await.expect(status);
        if status == 200 {
            let known = answer.json();
            assert_eq!((&known["held"], &known["unusual"]), (&json!("unlisted"), &Value::Null), "{known}");
        }
    }
    // What is said twice is said of nothing.
    let again = admin.send(Method::PUT, &accept, Some(&body)).await.expect(409);
    assert_eq!(again.code(), "state_changed", "{}", again.text);
    assert_eq!(admin.get(&path).await.json()["reason_code"], "ok");
}
