//! Schedules and what waits because of them, by both faces.

use crate::agent::{TestAgent, boat};
use crate::words::words;
use crate::world::{Client, World};
use axum::http::Method;
use fleet::record::Role;
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

fn hourly() -> Value {
    json!({"name": "hourly", "cron": "0 * * * *", "timezone": "Europe/Berlin", "groups": ["logbook"]})
}

/// A host that is not connected, whose backup is due and waits.
pub(crate) async fn waiting(world: &World, client: &Client) -> (TestAgent, String) {
    let agent = TestAgent::enrol(world, client, "weather-mast").await;
    let host = format!("/api/hosts/{}", agent.host);
    let group = json!({"name": "logbook", "includes": ["/srv/logbook"]});
    client.post(&format!("{host}/groups"), &group).await.expect(201);
    client.post(&format!("{host}/schedules"), &hourly()).await.expect(201);
    world.pass(HOUR_MS);
    world.fleet.tick().await;
    let runs = client.get("/api/pending").await.expect(200).json();
    let run = runs["items"].as_array().unwrap().iter().find(|run| run["host"] == agent.host.to_string());
    let id = run.unwrap()["id"].as_str().unwrap().to_owned();
    (agent, id)
}

#[tokio::test]
async fn a_schedule_is_made_changed_and_deleted_through_the_api() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let list = format!("/api/hosts/{}/schedules", agent.host);
    let one = format!("{list}/hourly");
    let made = client.post(&list, &hourly()).await.expect(201).json();
    assert_eq!(made["next_due_at"], "2026-11-23T07:00:00Z");
    assert_eq!(made["in_words"], "Every hour, on the hour");
    assert_eq!(
        (&made["enabled"], &made["retry_max"], &made["jitter_secs"]),
        (&json!(true), &json!(12), &json!(0))
    );
    assert_eq!(client.get(&one).await.expect(200).json(), made);
    assert_eq!(client.get(&list).await.expect(200).json()["items"], json!([made]));
    let host = client.get(&format!("/api/hosts/{}", agent.host)).await.expect(200).json();
    assert_eq!(host["next_run_at"], "2026-11-23T07:00:00Z");

    let daily =
        json!({"cron": "30 2 * * *", "timezone": "Europe/Berlin", "groups": ["logbook"], "enabled": true});
    let changed = client.send(Method::PUT, &one, Some(&daily)).await.expect(200).json();
    assert_eq!(changed["next_due_at"], "2026-11-24T01:30:00Z");
    assert_eq!(changed["in_words"], "Every day at 02:30");
    for (field, spoil) in [
        ("cron", json!({"cron": "61 * * * *"})),
        ("timezone", json!({"timezone": "Berlin"})),
        ("groups", json!({"groups": ["attic"]})),
        ("name", json!({"name": "not a name"})),
        ("next_due_at", json!({"next_due_at": "2026-11-24T01:30:00Z"})),
    ] {
        let mut body = hourly();
        body.as_object_mut().unwrap().extend(spoil.as_object().unwrap().clone());
        let answer = client.send(Method::PUT, &one, Some(&body)).await.expect(422).json();
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["field"]),
            (&json!("invalid_input"), &json!(field))
        );
    }
    assert_eq!(client.post(&list, &hourly()).await.expect(409).code(), "name_taken");
    client.send(Method::DELETE, &one, None).await.expect(204);
    assert_eq!(client.send(Method::DELETE, &one, None).await.expect(404).code(), "schedule_not_found");
    assert_eq!(client.get(&one).await.expect(404).code(), "schedule_not_found");
}

#[tokio::test]
async fn what_waits_is_listed_tried_and_dropped_through_the_api() {
    let world = World::new();
    let client = world.admin().await;
    let (agent, id) = waiting(&world, &client).await;
    world.pass(HOUR_MS);
    world.fleet.tick().await;
    let run = &client.get("/api/pending").await.expect(200).json()["items"][0];
    assert_eq!((&run["schedule"], &run["group"]), (&json!("hourly"), &json!("logbook")));
    assert_eq!((&run["due_at"], &run["missed"]), (&json!("2026-11-23T07:00:00Z"), &json!(2)));
    assert_eq!((&run["attempt"], &run["next_attempt_at"]), (&json!(0), &Value::Null));
    assert_eq!(run["last_error"]["code"], "host_offline");
    assert_eq!(run["last_error"]["message"], "host is offline");
    let status = client.get(&format!("/api/hosts/{}", agent.host)).await.expect(200).json()["status"].clone();
    assert_eq!(status, "missed");
    let metrics = client.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("\nholdfast_pending_runs 1\n"), "{metrics}");

    let try_now = format!("/api/pending/{id}/run");
    let refused = client.send(Method::POST, &try_now, None).await.expect(409);
    assert_eq!(refused.code(), "host_offline");
    // It comes back, but has no repository: the run is tried, and waits with another reason.
    agent.hello(&world, 1).await;
    let run = &client.get("/api/pending").await.expect(200).json()["items"][0];
    assert_eq!((&run["attempt"], &run["last_error"]["code"]), (&json!(1), &json!("repo_creds_required")));
    let body = json!({"url": "/srv/repo", "repo_password": "restic-secret"});
    let credentials = format!("/api/hosts/{}/repo-credentials", agent.host);
    client.send(Method::PUT, &credentials, Some(&body)).await.expect(200);
    let job = client.send(Method::POST, &try_now, None).await.expect(202).json();
    assert_eq!((&job["kind"], &job["actor_kind"]), (&json!("backup"), &json!("operator")));
    assert_eq!(client.get("/api/pending").await.expect(200).json()["items"], json!([]));
    assert_eq!(client.send(Method::POST, &try_now, None).await.expect(404).code(), "pending_not_found");

    let (_, other) = waiting_again(&world, &client).await;
    client.send(Method::DELETE, &format!("/api/pending/{other}"), None).await.expect(204);
    let gone = client.send(Method::DELETE, &format!("/api/pending/{other}"), None).await.expect(404);
    assert_eq!(gone.code(), "pending_not_found");
    client.get("/api/pending?cursor=nonsense").await.expect(422);
}

/// Another host that waits.
async fn waiting_again(world: &World, client: &Client) -> (TestAgent, String) {
    let agent = TestAgent::enrol(world, client, "barn").await;
    let host = format!("/api/hosts/{}", agent.host);
    client.post(&format!("{host}/groups"), &json!({"name": "logbook", "includes": ["/x"]})).await.expect(201);
    client.post(&format!("{host}/schedules"), &hourly()).await.expect(201);
    world.pass(HOUR_MS);
    world.fleet.tick().await;
    let id =
        client.get("/api/pending").await.expect(200).json()["items"][0]["id"].as_str().unwrap().to_owned();
    (agent, id)
}

#[tokio::test]
async fn a_schedule_is_made_with_plain_forms_and_errors_keep_what_was_typed() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = boat(&world, &client).await;
    let host = format!("/hosts/{}", agent.host);
    let page = client.get(&host).await.expect(200).text;
    assert!(page.contains("No schedule yet"), "{page}");
    let form = client.get(&format!("{host}/new-schedule")).await.expect(200).text;
    // When it runs on this host follows from its id, which is drawn, to the minute, and so to the hour where it is rounded.
    let minutes = |text: String, minute| text.replace(&format!(", 02:{minute} in "), ", 02:… in ");
    let drawn =
        (30..=40).fold(words(&form), minutes).replace("in 19 h", "in 20 h").replace("in 43 h", "in 44 h");
    insta::assert_snapshot!("schedule_form", drawn);
    assert!(form.contains("value=\"logbook\" checked"), "{form}");
    let typed =
        "name=nightly&cron=0+25+*+*+*&timezone=Europe%2FBerlin&groups=logbook&retry_max=7&jitter_secs=90";
    let answer = client.post_form(&format!("{host}/schedules"), typed).await.expect(422).text;
    assert!(answer.contains("id=\"cron-error\"") && answer.contains("The hour"), "{answer}");
    for kept in ["value=\"0 25 * * *\"", "value=\"7\"", "value=\"90\"", "value=\"Europe/Berlin\""] {
        assert!(answer.contains(kept), "{kept}");
    }
    let preview = format!("{}&preview=1", typed.replace("25", "*/6"));
    let shown = client.post_form(&format!("{host}/schedules"), &preview).await.expect(200).text;
    // With a jitter of 90 seconds it is 12:00 on one host and 12:01 on another.
    assert!(shown.contains("Every 6 hours, on the hour"), "{shown}");
    assert!(["12:00", "12:01"].iter().any(|at| shown.contains(&format!("Mon 23 Nov 2026, {at}"))), "{shown}");
    assert!(client.get(&host).await.text.contains("No schedule yet"), "a look saves nothing");

    let good = typed.replace("25", "3");
    client.post_form(&format!("{host}/schedules"), &good).await.expect(303);
    let page = client.get(&host).await.expect(200).text;
    assert!(
        page.contains("Every day at 03:00") && page.contains("badge is-idle"),
        "it was not ticked on: {page}"
    );
    client.post_form(&format!("{host}/schedules/nightly"), &format!("{good}&enabled=on")).await.expect(303);
    let part = client.get(&format!("{host}?part=host-schedules")).await.expect(200).text;
    // In 19 hours, 28 minutes and 48 seconds, and up to 90 seconds more.
    let tells_when = |text: &str| text.contains("in 19 h") || text.contains("in 20 h");
    assert!(part.contains("badge is-ok") && tells_when(&part), "{part}");
    assert!(tells_when(&client.get("/").await.expect(200).text), "the fleet tells what is next");
    assert!(
        client
            .get(&format!("{host}/schedules/nightly/delete"))
            .await
            .expect(200)
            .text
            .contains("Delete nightly")
    );
    client.post_form(&format!("{host}/schedules/nightly/delete"), "").await.expect(303);
    client.get(&format!("{host}/schedules/nightly")).await.expect(404);
}

#[tokio::test]
async fn the_pending_page_says_what_waits_and_why() {
    let world = World::new();
    let mut client = world.admin().await;
    assert!(client.get("/pending").await.expect(200).text.contains("No pending backups"));
    let (agent, id) = waiting(&world, &client).await;
    for _ in 0..2 {
        world.pass(HOUR_MS);
        world.fleet.tick().await;
    }
    let page = client.get("/pending").await.expect(200).text;
    insta::assert_snapshot!("pending_of_an_offline_host", words(&page));
    assert!(page.contains(&format!("/pending/{id}/delete")), "{page}");
    // The count beside the link follows live, on every page.
    let count = client.get("/pending?part=nav-pending").await.expect(200).text;
    assert!(count.contains("data-topics=\"pending\"") && count.contains(">1</span>"), "{count}");
    assert!(client.get("/audit").await.expect(200).text.contains(count.trim()));
    let part = client.get("/pending?part=pending-rows").await.expect(200).text;
    assert!(page.contains(part.trim()), "{part}");
    let viewer = world.account(&client, "viola", Role::Viewer).await;
    let seen = viewer.get("/pending").await.expect(200).text;
    assert!(seen.contains("weather-mast") && !seen.contains("Retry now") && !seen.contains("Drop"), "{seen}");
    assert!(
        client
            .get(&format!("/pending/{id}/delete"))
            .await
            .expect(200)
            .text
            .contains("Drop the pending backup of logbook on weather-mast?")
    );

    agent.hello(&world, 1).await;
    let page = client.get("/pending").await.expect(200).text;
    let shown = words(&page);
    let next = shown.lines().find(|line| line.starts_with("in ")).unwrap();
    insta::assert_snapshot!(
        "pending_without_credentials",
        shown.replace(next, "in half a minute and a share of it")
    );
    client.post_form("/pending/run", "").await.expect(303);
    assert!(client.get("/pending").await.expect(200).text.contains("2 of 13"));
    let host = format!("/api/hosts/{}", agent.host);
    client.send(Method::DELETE, &format!("{host}/schedules/hourly"), None).await.expect(204);
    let page = client.get("/pending").await.expect(200).text;
    insta::assert_snapshot!("pending_given_up", words(&page));
    let audit = client.get("/audit?action=pending").await.expect(200).text;
    assert!(
        audit.contains("gave up a due backup") && audit.contains("retried all pending backups"),
        "{audit}"
    );
    client.post_form(&format!("/pending/{id}/delete"), "").await.expect(404);
}
