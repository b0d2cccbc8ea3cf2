//! Incidents by both faces: noticed, open, acknowledged, ended.

use crate::agent::{TestAgent, boat, run};
use crate::world::{Client, World};
use axum::http::Method;
use fleet::ServerNeed;
use fleet::record::{Cause, Role, Severity};
use schema::{Class, Outcome, Summary};
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;

async fn of_state(client: &Client, state: &str) -> Vec<Value> {
    let found = client.get(&format!("/api/incidents?state={state}")).await.expect(200).json();
    found["items"].as_array().unwrap().clone()
}

async fn fail(world: &World, client: &Client, agent: &mut TestAgent) {
    let job = run(client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(world, job).await;
    agent.finish(world, job, Outcome::Failed, Some(Class::Network), "no route", Summary::None).await;
}

/// An open incident of the server itself: its id.
pub(crate) async fn of_the_server(world: &World, client: &Client) -> String {
    let disk = || vec![ServerNeed { cause: Cause::ServerDisk, severity: Severity::Warning }];
    world.fleet.plan_incidents(disk()).await;
    world.pass(5 * MINUTE_MS);
    world.fleet.plan_incidents(disk()).await;
    let open = of_state(client, "open").await;
    let own = open.iter().find(|incident| incident["of_server"] == true);
    own.unwrap()["id"].as_str().unwrap().to_owned()
}

/// A host whose backups fail for longer than the grace, and its incident.
async fn open(world: &World, client: &Client) -> (TestAgent, String) {
    let mut agent = boat(world, client).await;
    fail(world, client, &mut agent).await;
    world.fleet.plan_incidents(Vec::new()).await;
    world.pass(5 * MINUTE_MS);
    world.fleet.plan_incidents(Vec::new()).await;
    let open = of_state(client, "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    (agent, open[0]["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_incident_is_noticed_opens_and_ends_and_both_faces_say_so() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    fail(&world, &client, &mut agent).await;
    // Before anybody has planned anything the pages know it.
    let fleet = client.get("/?part=fleet-attention").await.expect(200).text;
    assert!(fleet.contains("boat-pi") && !fleet.contains("/incidents/"), "{fleet}");
    let host = client.get(&format!("/hosts/{}", agent.host)).await.expect(200).text;
    assert!(host.contains("Noticed since") && host.contains("can&#39;t be reached"), "{host}");
    world.fleet.plan_incidents(Vec::new()).await;
    let noticed = of_state(&client, "noticed").await;
    let id = noticed[0]["id"].as_str().unwrap().to_owned();
    assert!(client.get("/api/incidents").await.expect(200).json()["items"].as_array().unwrap().is_empty());
    let page = client.get("/incidents").await.expect(200).text;
    assert!(page.contains("No incident is open") && page.contains("Just noticed"), "{page}");

    world.pass(5 * MINUTE_MS);
    world.fleet.plan_incidents(Vec::new()).await;
    let told = client.get(&format!("/api/incidents/{id}")).await.expect(200).json();
    let expected = json!({"state": "open", "cause": "network", "severity": "critical", "storage": "vault.lan:8000",
        "text": "The storage vault.lan:8000 can't be reached", "count": 1, "most": 1, "ended_at": null,
        "acknowledgement": null, "of_server": false, "hosts_left_out": 0});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&told[field], value, "{field} of {told}");
    }
    assert_eq!(told["hosts"][0]["id"], agent.host.to_string());
    let page = client.get("/incidents").await.expect(200).text;
    assert!(page.contains("1 incident needs you") && page.contains(&id), "{page}");
    let host = client.get(&format!("/hosts/{}?part=host-incident", agent.host)).await.expect(200).text;
    assert!(host.contains("Open since") && host.contains(&format!("/incidents/{id}#acknowledge")), "{host}");
    let metrics = client.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("holdfast_incidents{severity=\"critical\"} 1"), "{metrics}");

    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.back_up(&world, job).await;
    let host = client.get(&format!("/hosts/{}?part=host-incident", agent.host)).await.expect(200).text;
    assert!(!host.contains("verdict"), "{host}");
    world.fleet.plan_incidents(Vec::new()).await;
    let ended = of_state(&client, "ended").await;
    assert_eq!((&ended[0]["ended_by"], &ended[0]["count"]), (&json!("recovered"), &json!(0)));
    assert_eq!(ended[0]["hosts"][0]["recovered"], true);
    let page = client.get("/incidents").await.expect(200).text;
    assert!(page.contains("No incident is open") && page.contains("all recovered"), "{page}");
    client.get("/api/incidents/01ARZ3NDEKTSV4RRFFQ69G5FAV").await.expect(404);
    let wrong = client.get("/api/incidents?state=bad").await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (422, "invalid_input"));
}

#[tokio::test]
async fn an_incident_is_acknowledged_with_a_note_until_a_time_and_that_is_taken_back() {
    let world = World::new();
    let mut client = world.admin().await;
    let (mut agent, id) = open(&world, &client).await;
    let path = format!("/api/incidents/{id}/acknowledgement");
    let put = async |client: &Client, body: Value| client.send(Method::PUT, &path, Some(&body)).await;
    for (field, body) in [
        ("until", json!({"until": "yesterday"})),
        ("until", json!({"until": "2026-11-20T00:00:00Z"})),
        ("until", json!({"until": "2027-11-20T00:00:00Z"})),
        ("note", json!({"note": "x".repeat(501)})),
        ("note", json!({"note": "a\u{7}b"})),
        ("for", json!({"for": "3h"})),
    ] {
        let refused = put(&client, body).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert!(refused.text.contains(field), "{}", refused.text);
    }
    let until = "2026-11-24T08:00:00Z";
    let told = put(&client, json!({"until": until, "note": "Disk ordered."})).await.expect(200).json();
    let ack = &told["acknowledgement"];
    assert_eq!(
        (&ack["by"], &ack["until"], &ack["note"]),
        (&json!("mira"), &json!(until), &json!("Disk ordered."))
    );
    let sentence = client.get("/?part=fleet-sentence").await.expect(200).text;
    assert!(sentence.contains("1 host acknowledged") && !sentence.contains("need"), "{sentence}");
    let fleet = client.get("/?part=fleet-attention").await.expect(200).text;
    assert!(fleet.contains("acknowledged until Tue 24 Nov 08:00 UTC"), "{fleet}");
    let page = client.get("/incidents?show=acknowledged").await.expect(200).text;
    assert!(
        page.contains("1 incident is open, and acknowledged") && page.contains("Disk ordered."),
        "{page}"
    );
    assert!(!client.get("/incidents?show=need-you").await.expect(200).text.contains("Disk ordered."));

    let answer = client.post_form(&format!("/incidents/{id}/unacknowledge"), "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, format!("/incidents/{id}").as_str())
    );
    let form = "until=4h&note=Looked+at.%0D%0AAgain+tomorrow.";
    let answer = client.post_form(&format!("/incidents/{id}/acknowledge"), form).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let told = client.get(&format!("/api/incidents/{id}")).await.expect(200).json();
    assert_eq!(told["acknowledgement"]["note"], "Looked at.\nAgain tomorrow.");
    let long = format!("until=4h&note={}", "x".repeat(501));
    let refused = client.post_form(&format!("/incidents/{id}/acknowledge"), &long).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("A note has at most 500 characters."), "{}", refused.text);
    let audit = client.get("/api/audit?target=").await.expect(200).json();
    let said: Vec<_> = audit["items"].as_array().unwrap().iter().map(|line| line["action"].clone()).collect();
    assert_eq!(said[..3], ["incident.acknowledged", "incident.unacknowledged", "incident.acknowledged"]);
    assert_eq!(audit["items"][0]["target_id"], id.as_str());

    // Then nobody is bothered, until the time is over.
    world.pass(4 * 60 * MINUTE_MS);
    world.fleet.plan_incidents(Vec::new()).await;
    assert_eq!(client.get(&format!("/api/incidents/{id}")).await.json()["acknowledgement"], json!(null));
    assert_eq!(client.send(Method::DELETE, &path, None).await.status, 204, "there is none any more");
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.back_up(&world, job).await;
    world.fleet.plan_incidents(Vec::new()).await;
    let late = put(&client, json!({})).await;
    assert_eq!((late.status.as_u16(), late.code().as_str()), (409, "incident_ended"));
}

#[tokio::test]
async fn a_viewer_sees_incidents_and_acknowledges_none() {
    let world = World::new();
    let client = world.admin().await;
    let (_, id) = open(&world, &client).await;
    let viewer = world.account(&client, "vera", Role::Viewer).await;
    let page = viewer.get(&format!("/incidents/{id}")).await.expect(200).text;
    assert!(!page.contains("id=\"acknowledge\""), "{page}");
    let path = format!("/api/incidents/{id}/acknowledgement");
    assert_eq!(viewer.send(Method::PUT, &path, Some(&json!({}))).await.status, 403);
}

#[tokio::test]
async fn what_the_server_needs_is_an_incident_and_a_deleted_host_leaves_its_own() {
    let world = World::new();
    let client = world.admin().await;
    let (agent, id) = open(&world, &client).await;
    let server = || vec![ServerNeed { cause: Cause::ServerDisk, severity: Severity::Warning }];
    world.fleet.plan_incidents(server()).await;
    world.pass(5 * MINUTE_MS);
    world.fleet.plan_incidents(server()).await;
    let open = of_state(&client, "open").await;
    assert_eq!((&open[0]["cause"], &open[0]["of_server"]), (&json!("server_disk"), &json!(true)), "{open:?}");
    assert_eq!(open.len(), 2);
    assert_eq!(client.send(Method::DELETE, &format!("/api/hosts/{}", agent.host), None).await.status, 204);
    let told = client.get(&format!("/api/incidents/{id}")).await.expect(200).json();
    assert_eq!((&told["hosts"], &told["count"]), (&json!([]), &json!(0)));
    world.fleet.plan_incidents(server()).await;
    let ended = of_state(&client, "ended").await;
    assert_eq!((&ended[0]["id"], &ended[0]["ended_by"]), (&json!(id), &json!("hosts_deleted")));
    let page = client.get("/incidents").await.expect(200).text;
    assert!(page.contains("The server") && page.contains("It met 1 host"), "{page}");
    // In parts, the newest first.
    let first = client.get("/api/incidents?limit=1").await.expect(200).json();
    let next = first["next"].as_str().unwrap();
    let second = client.get(&format!("/api/incidents?limit=1&cursor={next}")).await.expect(200).json();
    assert_eq!(
        (&first["items"][0]["state"], &second["items"][0]["state"]),
        (&json!("open"), &json!("ended"))
    );
    assert_eq!(second["next"], json!(null));
}
