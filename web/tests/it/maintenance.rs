//! Maintenance settings and decisions in both faces, and locks that go only when they were looked at.

use crate::agent::{boat, run};
use crate::world::World;
use axum::http::Method;
use schema::stats::Lock;
use serde_json::json;

fn body() -> serde_json::Value {
    let night = json!({"from": "02:00", "until": "06:00"});
    json!({
        "timezone": "Europe/Helsinki",
        "forget": {"enabled": true, "every": "1 day", "window": night},
        "prune": {"enabled": false, "every": "0 4 * * SUN"},
        "check": {"enabled": true, "every": "2 weeks", "window": null, "subset_pct": 10}
    })
}

#[tokio::test]
async fn the_api_tells_and_changes_the_settings_and_says_what_is_decided() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let path = format!("/api/hosts/{}/maintenance", agent.host);
    let first = client.get(&path).await.expect(200).json();
    assert_eq!((&first["timezone"], &first["prune"]["every"]), (&json!("UTC"), &json!("7 days")));
    assert_eq!(first["forget"]["window"], json!({"from": "02:00", "until": "06:00"}));
    assert_eq!(first["check"]["subset_pct"], 5);
    let prune = &first["decisions"][1];
    assert_eq!((&prune["kind"], &prune["action"]), (&json!("prune"), &json!("skip")));
    assert_eq!(prune["reason"], "skipped: no admin credentials");
    assert_eq!(prune["reason_code"], "no_admin_credentials");

    let saved = client.send(Method::PUT, &path, Some(&body())).await.expect(200).json();
    assert_eq!(
        (&saved["timezone"], &saved["check"]["every"]),
        (&json!("Europe/Helsinki"), &json!("14 days"))
    );
    assert_eq!(saved["prune"]["in_words"], "Every Sunday at 04:00");
    assert_eq!(saved["prune"]["window"], json!(null));
    assert_eq!(saved["decisions"][1]["reason"], "off: nothing is done here by itself");
    assert_eq!(saved["decisions"][1]["reason_code"], "off");
    assert_eq!(saved["decisions"][2]["action"], "wait");
    assert!(saved["decisions"][2]["due_at"].is_string());
    assert_eq!(client.get(&path).await.expect(200).json(), saved);
    let audit = client.get("/api/audit?action=maintenance").await.expect(200).json();
    assert_eq!(audit["items"][0]["action"], "maintenance.changed");

    let check = run(&client, &format!("/api/hosts/{}/repo/check?subset=lots", agent.host)).await;
    let job = world.fleet.read().unwrap().job(check).unwrap().unwrap();
    assert_eq!(job.what, fleet::record::JobWhat::Check { subset_pct: 10 }, "no number: the setting");
}

#[tokio::test]
async fn the_api_names_the_field_that_is_wrong() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let path = format!("/api/hosts/{}/maintenance", agent.host);
    for (pointer, value, field) in [
        ("/timezone", json!("Mars/Base"), "timezone"),
        ("/forget/every", json!("often"), "forget.every"),
        ("/forget/window", json!({"from": "2", "until": "06:00"}), "forget.window.from"),
        ("/check/subset_pct", json!(101), "check.subset_pct"),
    ] {
        let mut wrong = body();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let answer = client.send(Method::PUT, &path, Some(&wrong)).await.expect(422).json();
        assert_eq!(answer["error"]["field"], field);
    }
    client.send(Method::PUT, &path, Some(&json!({"forget": {}}))).await.expect(422);
    client.get("/api/hosts/none/maintenance").await.expect(404);
}

#[tokio::test]
async fn the_form_saves_and_keeps_what_was_typed_beside_what_is_wrong() {
    let world = World::new();
    let mut client = world.admin().await;
    client.take_csrf().await;
    let agent = boat(&world, &client).await;
    let path = format!("/hosts/{}/maintenance", agent.host);
    let form = |prune: &str| {
        format!(
            "timezone=Europe%2FHelsinki&forget.enabled=on&forget.every=2+days&forget.window.from=&forget.window.until=\
             &prune.enabled=on&prune.every={prune}&prune.window.from=23%3A00&prune.window.until=04%3A30\
             &check.every=7+days&check.window.from=&check.window.until=&check.subset_pct=12"
        )
    };
    let answer = client.post_form(&path, &form("now+and+then")).await.expect(422);
    assert!(answer.text.contains("value=\"now and then\"") && answer.text.contains("prune.every-error"));
    assert!(answer.text.contains("value=\"Europe/Helsinki\"") && answer.text.contains("value=\"23:00\""));
    let answer = client.post_form(&path, &form("1+week")).await.expect(303);
    assert_eq!(answer.header("location"), format!("/hosts/{}/repo#maintenance-form", agent.host));
    let stored = client.get(&format!("/api{path}")).await.expect(200).json();
    assert_eq!((&stored["check"]["enabled"], &stored["check"]["subset_pct"]), (&json!(false), &json!(12)));
    assert_eq!(stored["prune"]["window"], json!({"from": "23:00", "until": "04:30"}));
    let page = client.get(&format!("/hosts/{}/repo", agent.host)).await.expect(200).text;
    for key in ["forget", "prune", "check"] {
        let part = format!("/hosts/{}/repo?part=decision-{key}", agent.host);
        let part = client.get(&part).await.expect(200).text;
        assert!(page.contains(part.trim()), "{key}: {part}");
    }
    assert!(page.contains("<b>skipped</b>: no admin credentials"), "{page}");
    assert!(page.contains("Reads the structure and 12 % of the data"));
}

#[tokio::test]
async fn a_live_lock_goes_only_after_its_holder_was_shown() {
    let world = World::new();
    let mut client = world.admin().await;
    client.take_csrf().await;
    let mut agent = boat(&world, &client).await;
    let job = run(&client, &format!("/api/hosts/{}/repo/stats", agent.host)).await;
    let mut lock = Lock {
        since: world.now(),
        exclusive: true,
        hostname: "barn",
        username: "root",
        pid: 4127,
        stale: false,
    };
    agent.stats(&world, job, Some(lock)).await;
    let api = format!("/api/hosts/{}", agent.host);
    let repo = client.get(&format!("{api}/repo")).await.expect(200).json();
    assert_eq!(repo["last_check_status"], "never");
    let mark = repo["lock"]["mark"].as_str().unwrap().to_owned();
    let page = client.get(&format!("/hosts/{}/repo", agent.host)).await.expect(200).text;
    assert!(page.contains("/remove-locks\""), "a live lock leads to the question: {page}");
    let question = client.get(&format!("/hosts/{}/remove-locks", agent.host)).await.expect(200).text;
    assert!(question.contains("root@barn, pid 4127") && question.contains(&mark), "{question}");

    let unlock = format!("{api}/repo/unlock?all=true");
    let answer = client.send(Method::POST, &unlock, None).await.expect(422).json();
    assert_eq!(answer["error"]["field"], "lock");
    lock.pid = 4128;
    agent.stats(&world, job, Some(lock)).await;
    let answer = client.send(Method::POST, &format!("{unlock}&lock={mark}"), None).await.expect(409).json();
    assert_eq!(answer["error"]["code"], "lock_changed");
    let shown = format!("/hosts/{}/repo/unlock?all=true&lock={mark}", agent.host);
    let refused = client.post_form(&shown, "").await.expect(409).text;
    assert!(refused.contains("pid 4128"), "{refused}");
    let repo = client.get(&format!("{api}/repo")).await.expect(200).json();
    let mark = repo["lock"]["mark"].as_str().unwrap();
    client.send(Method::POST, &format!("{unlock}&lock={mark}"), None).await.expect(202);
}
