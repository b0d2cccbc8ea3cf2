//! Another machine takes a host's place: by a page or the API, and what is said until its backups are started.

use crate::agent::{TestAgent, boat};
use crate::words::words;
use crate::world::{Client, World};
use axum::http::Method;
use fleet::record::Role;
use serde_json::{Value, json};

/// The boat, with a schedule, after another machine took its place.
async fn replaced(world: &World, client: &Client) -> TestAgent {
    let old = boat(world, client).await;
    let path = format!("/api/hosts/{}", old.host);
    let hourly = json!({"name": "hourly", "cron": "0 * * * *", "groups": ["logbook"]});
    client.post(&format!("{path}/schedules"), &hourly).await.expect(201);
    let body = json!({"replacement": true});
    let token = client.post(&format!("{path}/enroll-token"), &body).await.expect(201).json();
    let new = TestAgent::with_token(world, token["enroll_token"].as_str().unwrap()).await;
    assert_eq!(new.host, old.host);
    new.hello(world, 1).await;
    new
}

#[tokio::test]
async fn the_api_says_that_backups_are_held_and_starts_them() {
    let world = World::new();
    let client = world.admin().await;
    let agent = replaced(&world, &client).await;
    let path = format!("/api/hosts/{}", agent.host);
    let host = client.get(&path).await.json();
    assert_eq!(
        (&host["status"], &host["reason_code"]),
        (&json!("warning"), &json!("backups_held")),
        "{host}"
    );
    assert_eq!(host["backups_held"]["hostname"], "harbour", "{host}");
    let answer = client.send(Method::POST, &format!("{path}/groups/logbook/backup"), None).await.expect(409);
    let error = answer.json();
    assert_eq!(error["error"]["code"], "backups_held", "{error}");
    assert!(error["error"]["message"].as_str().unwrap().contains("start them"), "{error}");
    for kind in ["forget", "prune"] {
        client.send(Method::POST, &format!("{path}/repo/{kind}"), None).await.expect(409);
    }
    let maintenance = client.get(&format!("{path}/maintenance")).await.json().to_string();
    assert!(maintenance.contains("backups_held"), "{maintenance}");

    world.pass(3 * 3_600_000);
    world.fleet.tick().await;
    let pending = client.get("/api/pending").await.json();
    assert_eq!(pending["items"][0]["last_error"]["code"], "backups_held", "{pending}");
    let host = client.get(&path).await.json();
    assert_eq!((&host["status"], &host["reason_code"]), (&json!("missed"), &json!("backups_held")), "{host}");

    let start = format!("{path}/start-backups");
    let stale = client.post(&start, &json!({"mark": "1"})).await.expect(409);
    assert_eq!(stale.code(), "hold_changed", "{}", stale.text);
    let mark = &host["backups_held"]["mark"];
    let host = client.post(&start, &json!({"mark": mark})).await.expect(200).json();
    assert_eq!(host["backups_held"], Value::Null, "{host}");
    let open = client.get("/api/jobs?kind=backup&limit=1").await.json();
    assert_eq!(
        (&open["items"][0]["actor"], &open["items"][0]["state"]),
        (&json!("hourly"), &json!("queued"))
    );
    client.send(Method::POST, &format!("{path}/start-backups"), None).await.expect(200);
}

#[tokio::test]
async fn the_hosts_page_offers_the_restore_first_and_starts_backups_by_a_plain_form() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = replaced(&world, &client).await;
    let href = format!("/hosts/{}", agent.host);
    let page = client.get(&href).await.expect(200).text;
    let said = words(&page);
    assert!(
        said.contains("Another machine took the place of")
            && said.contains("Backups wait until you start them"),
        "{said}"
    );
    let restore = format!("{href}/restore?group=logbook&amp;path=%2F&amp;to=original");
    assert!(page.contains(&restore), "{page}");
    assert!(said.contains("backups are held until somebody starts them"), "{said}");
    let fleet = words(&client.get("/").await.expect(200).text);
    assert!(fleet.contains("Another machine took its place"), "{fleet}");
    world.pass(2 * 3_600_000);
    world.fleet.tick().await;
    let pending = words(&client.get("/pending").await.expect(200).text);
    assert!(pending.contains("when its backups are started"), "{pending}");

    let asked = client.get(&format!("{href}/start-backups")).await.expect(200).text;
    let action = action_of(&asked, &format!("{href}/start-backups?"));
    assert!(page.contains(&format!("action=\"{action}\"")), "the dialog is the same: {page}");
    // A page that is still open from before the machine was replaced once more starts nothing.
    for stale in [format!("{href}/start-backups"), format!("{href}/start-backups?held=1")] {
        let refused = client.post_form(&stale, "").await.expect(409).text;
        let said = words(&refused);
        assert!(
            said.contains("Yet another machine has taken the host&#39;s place since, called harbour"),
            "{said}"
        );
        assert_eq!(action_of(&refused, &format!("{href}/start-backups?")), action, "what holds now is asked");
    }
    let answer = client.post_form(&action, "").await.expect(303);
    assert_eq!(answer.header("location"), href);
    let said = words(&client.get(&href).await.expect(200).text);
    assert!(!said.contains("took the place"), "{said}");
    client.get(&format!("{href}/start-backups")).await.expect(303);
    let audit = words(&client.get("/audit").await.expect(200).text);
    for what in ["took the place of", "started the backups of"] {
        assert!(audit.contains(what), "{what}: {audit}");
    }
}

#[tokio::test]
async fn a_token_for_another_machine_is_made_on_the_settings_page_and_stays_one_when_it_is_made_anew() {
    let world = World::new();
    let mut client = world.admin().await;
    let old = boat(&world, &client).await;
    let href = format!("/hosts/{}", old.host);
    let page = client.get(&format!("{href}/settings")).await.expect(200).text;
    assert!(page.contains("Replace this machine") && page.contains("name=\"replacement\""), "{page}");
    let form = "replacement=1&restore_in_place=on";
    let answer = client.post_form(&format!("{href}/enroll-token"), form).await.expect(303);
    let page = client.get(answer.header("location")).await.expect(200).text;
    assert!(page.contains("enroll --allow-restore-in-place hf1."), "{page}");
    assert!(words(&page).contains("Run this on the machine that takes its place"), "{page}");
    assert!(page.contains("name=\"replacement\""), "{page}");
    client.post_form(&format!("{href}/enroll-token"), "replacement=1").await.expect(303);
    let token = world.fleet.read().unwrap().enroll_token(old.host).unwrap().unwrap();
    assert_eq!(token.machine, fleet::record::TokenMachine::Replacement);
}

#[tokio::test]
async fn only_who_may_change_hosts_starts_backups() {
    let world = World::new();
    let admin = world.admin().await;
    let agent = replaced(&world, &admin).await;
    let mut viewer = world.account(&admin, "vera", Role::Viewer).await;
    let href = format!("/hosts/{}", agent.host);
    let page = viewer.get(&href).await.expect(200).text;
    assert!(words(&page).contains("Only an operator can start them"), "{page}");
    assert!(!page.contains(&format!("{href}/start-backups")), "{page}");
    viewer.post_form(&format!("{href}/start-backups"), "").await.expect(403);
    assert!(world.fleet.read().unwrap().host(agent.host).unwrap().unwrap().backups_held.is_some());
}

#[tokio::test]
async fn a_former_machine_that_still_connects_is_told_of_on_the_pages_of_a_host_that_is_online() {
    let world = World::new();
    let client = world.admin().await;
    let agent = replaced(&world, &client).await;
    let tried = |reason, ms_ago| web::RefusedConnection {
        origin: "192.0.2.7".to_owned(),
        name: Some(agent.host.to_string()),
        reason,
        tries: 2,
        first_ms_ago: ms_ago,
        last_ms_ago: ms_ago,
        let_in_ms_ago: None,
    };
    let said = "Another machine still connects as this host, and is refused";
    for (row, is_told) in [
        (tried(web::NotLetIn::HostPassword, 60_000), true),
        (tried(web::NotLetIn::HostPassword, 2 * 3_600_000), false),
        (tried(web::NotLetIn::Untrusted, 60_000), false),
    ] {
        world.refused.lock().unwrap().rows = vec![row];
        let page = client.get(&format!("/hosts/{}", agent.host)).await.expect(200).text;
        assert_eq!(page.contains(said), is_told, "{page}");
    }
    // It is stopped, not enrolled again: that would take the place of the machine that is the host now.
    let list = |reason| {
        world.refused.lock().unwrap().rows = vec![tried(reason, 60_000)];
        client.get("/refused-connections")
    };
    let page = list(web::NotLetIn::HostPassword).await.expect(200).text;
    assert!(page.contains("Stop its agent") && !page.contains("Enrol it again"), "{page}");
    let page = list(web::NotLetIn::Untrusted).await.expect(200).text;
    assert!(!page.contains("Stop its agent") && page.contains("Enrol it again"), "{page}");
}

/// Where the form of a page goes whose address begins so.
fn action_of(page: &str, begins: &str) -> String {
    let (_, rest) = page.split_once(&format!("action=\"{begins}")).unwrap_or_else(|| panic!("{page}"));
    format!("{begins}{}", rest.split_once('"').unwrap().0)
}
