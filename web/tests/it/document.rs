//! The OpenAPI document against real answers: each has what the document says, and nothing that it does not say.

use crate::agent::{boat, run};
use crate::world::World;
use axum::http::Method;
use schema::job::ProbeSummary;
use schema::{Class, JobId, LogStream, Outcome, Summary};
use serde_json::{Value, json};

#[tokio::test]
async fn the_document_is_as_it_was() {
    let world = World::new();
    let mut document = world.stranger().get("/api/openapi.json").await.expect(200).json();
    document["info"]["version"] = json!("VERSION");
    insta::assert_snapshot!("openapi", serde_json::to_string_pretty(&document).unwrap());
}

/// What in a value is not as its schema says.
fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches('#');
        let schema = document.pointer(name).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        return faults(document, schema, value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let tries = choices.iter().map(|choice| faults(document, choice, value, place));
        return match tries.filter(Vec::is_empty).count() {
            1 => Vec::new(),
            fit => vec![format!("{place}: {value} fits {fit} of {} shapes", choices.len())],
        };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = types.contains(&is) || (is == "integer" && types.contains(&"number"));
    if !fits {
        return vec![format!("{place}: {value} is no {types:?}")];
    }
    let mut found = Vec::new();
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        found.push(format!("{place}: {value} is none of {words:?}"));
    }
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                found.extend(faults(document, &schema["items"], item, &format!("{place}[{at}]")));
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let place = format!("{place}.{name}");
                match &schema["properties"][name] {
                    Value::Null => found.push(format!("{place} is not in the document")),
                    schema => found.extend(faults(document, schema, value, &place)),
                }
            }
            let needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.extend(
                needed.filter(|name| !fields.contains_key(*name)).map(|name| format!("{place}: no {name}")),
            );
        }
        _ => {}
    }
    found
}

#[tokio::test]
async fn each_answer_is_as_the_document_says() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let host = format!("/api/hosts/{}", agent.host);
    let credentials = json!({"url": "rest:http://vault.lan:8001/boat-pi/", "repo_password": "p"});
    client.send(Method::PUT, &format!("{host}/admin-credentials"), Some(&credentials)).await.expect(200);
    client.post("/api/viewers", &json!({"name": "desk"})).await.expect(201);
    client.post("/api/tokens", &json!({"name": "ci", "scopes": ["read"]})).await.expect(201);
    client.post("/api/hosts", &json!({"name": "studio"})).await.expect(201);
    let hourly = json!({"name": "hourly", "cron": "@hourly", "groups": ["logbook"]});
    client.post(&format!("{host}/schedules"), &hourly).await.expect(201);
    // A job of each sort of end, and one that runs.
    let probe = run(&client, &format!("{host}/repo-credentials/test")).await;
    agent.start(&world, probe).await;
    let found = ProbeSummary { repo: None, repo_version: None, append_only: None, answered_ms: 40 };
    agent
        .finish(&world, probe, Outcome::Failed, Some(Class::Auth), "wrong password", Summary::Probe(found))
        .await;
    let endings = [
        ("check", Summary::Check { errors: 0, subset_pct: 5 }),
        ("unlock", Summary::Unlock { removed: 1 }),
        ("stats", Summary::Stats { total_bytes: 9, blobs: 3 }),
        ("forget", Summary::None),
    ];
    let listing = run(&client, &format!("{host}/snapshots/refresh")).await;
    agent.list(&world, listing, "logbook", "/srv/logbook").await;
    for (kind, summary) in endings {
        let job = run(&client, &format!("{host}/repo/{kind}")).await;
        agent.start(&world, job).await;
        agent.finish(&world, job, Outcome::Succeeded, None, "", summary).await;
    }
    let snapshot = "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00";
    for folder in ["folders".to_owned(), format!("snapshots/{snapshot}/files")] {
        let asked = client.post(&format!("{host}/{folder}"), &json!({"path": "/"})).await.expect(202);
        let look = asked.json()["id"].as_str().unwrap().parse().unwrap();
        agent.look(&world, look, &["srv"]).await;
    }
    // What was looked into stands, and beside it why the next look came to nothing.
    let asked = client.post(&format!("{host}/folders"), &json!({"path": "/"})).await.expect(202);
    let look = asked.json()["id"].as_str().unwrap().to_owned();
    agent.start(&world, look.parse().unwrap()).await;
    let why = "it is not to be read";
    agent
        .finish(&world, look.parse().unwrap(), Outcome::Failed, Some(Class::Policy), why, Summary::None)
        .await;
    let folder = client.get(&format!("{host}/folders?path=/")).await.expect(200).json();
    let error = &folder["last_error"];
    assert_eq!(
        (&error["job"], &error["class"], &error["message"]),
        (&json!(look), &json!("policy"), &json!(why))
    );
    assert_eq!(folder["items"][0]["name"], "srv");
    let other = client.get(&format!("{host}/folders?path=/srv")).await.expect(200).json();
    assert_eq!((&other["last_error"], &other["listed_at"]), (&json!(null), &json!(null)));
    let page =
        client.get(&format!("{}/folders?path=/", host.trim_start_matches("/api"))).await.expect(200).text;
    assert!(page.contains(why) && page.contains(&format!("/jobs/{look}")), "{page}");
    let asked = client.post(&format!("{host}/find"), &json!({"pattern": "db"})).await.expect(202);
    let search: JobId = asked.json()["id"].as_str().unwrap().parse().unwrap();
    agent.found(&world, search, "/srv/logbook/2026.db").await;
    let asked = client
        .post(&format!("{host}/snapshots/{snapshot}/diff"), &json!({"against": "0badcafe"}))
        .await
        .expect(202);
    let comparison: JobId = asked.json()["id"].as_str().unwrap().parse().unwrap();
    agent.differs(&world, comparison, "/srv/logbook/2026.db").await;
    let job = run(&client, &format!("{host}/groups/logbook/backup")).await;
    agent.start(&world, job).await;
    agent.log(&world, job, 0, &[(LogStream::Out, "open"), (LogStream::Err, "denied")]).await;
    agent.progress(&world, job, 420_000_000, "/srv/logbook/2026.db");
    crate::pending::waiting(&world, &client).await;
    world.refused.lock().unwrap().rows = vec![web::RefusedConnection {
        origin: "192.0.2.7".to_owned(),
        name: Some("desk".to_owned()),
        reason: web::NotLetIn::ViewAccount,
        tries: 2,
        first_ms_ago: 9_000,
        last_ms_ago: 1_000,
        let_in_ms_ago: None,
    }];

    let (_, recipient) = fleet::new_identity();
    world.fleet.add_standby("attic".to_owned(), recipient, fleet::By::system()).await.unwrap();

    let channel = json!({"name": "mira", "webhook": {"form": "json", "url": "https://away.example/"}});
    client.post("/api/channels", &channel).await.expect(201);
    client.post("/api/routes", &json!({"name": "mira", "channels": ["mira"]})).await.expect(201);
    client.send(Method::PUT, "/api/graces/laptop", Some(&json!({"hours": 72}))).await.expect(200);
    client.post("/api/feeds", &json!({"name": "mira", "kind": "badge", "host": "boat-pi"})).await.expect(201);
    let incident = crate::incidents::of_the_server(&world, &client).await;
    for due in world.fleet.begin_messages().await.unwrap() {
        let fault = fleet::record::SendFault::Status(500);
        let sent = fleet::Sent::Refused { fault, said: "no".to_owned(), retry_after_ms: None };
        world.fleet.message_answered(due.channel, due.message.id, sent).await.unwrap();
    }
    let word = json!({"note": "a disk is ordered"});
    let acknowledgement = format!("/api/incidents/{incident}/acknowledgement");
    client.send(Method::PUT, &acknowledgement, Some(&word)).await.expect(200);

    let document = client.get("/api/openapi.json").await.expect(200).json();
    let mut compared = 0;
    for (method, path, _) in web::routes() {
        let answer = &document["paths"][path]["get"]["responses"]["200"];
        if method != "GET" || answer.is_null() || path == "/api/openapi.json" {
            continue;
        }
        // Their bytes come from an agent, or go to a standby with a token of its own: they are tried end to end.
        if path.ends_with("/download") || path == "/api/standby/archive" {
            continue;
        }
        let content = answer["content"].as_object().unwrap_or_else(|| panic!("{path} has no content"));
        let address = path
            .replace("{host}", &agent.host.to_string())
            .replace("{snapshot}", "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00")
            .replace("{group}", "logbook")
            .replace("{schedule}", "hourly")
            .replace("{name}", "mira")
            .replace("{incident}", &incident)
            .replace(
                "{job}",
                &match path.rsplit('/').next() {
                    Some("found") => search,
                    Some("differences") => comparison,
                    _ => job,
                }
                .to_string(),
            );
        for (kind, content) in content {
            let request = client.request(Method::GET, &address).header("accept", kind);
            let request = request.body(axum::body::Body::empty()).unwrap();
            // A stream has no end to wait for.
            let response = tower::ServiceExt::oneshot(world.router.clone(), request).await.unwrap();
            assert_eq!(response.status(), 200, "{path} {kind}");
            let said = response.headers()["content-type"].to_str().unwrap().to_owned();
            assert_eq!(said.split(';').next(), Some(kind.as_str()), "{path}");
            if kind != "application/json" {
                continue;
            }
            let body = axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap();
            let value: Value = serde_json::from_slice(&body).unwrap();
            if let Some(items) = value["items"].as_array() {
                assert!(!items.is_empty(), "{path}: nothing to compare");
            }
            let found = faults(&document, &content["schema"], &value, path);
            assert!(found.is_empty(), "{found:#?}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn an_answer_that_is_not_as_its_schema_says_is_found() {
    let schema = json!({"type": "object", "required": ["state"], "properties": {
        "state": {"type": "string", "enum": ["ok", "failed"]},
        "size": {"oneOf": [{"type": "null"}, {"type": "integer"}]},
    }});
    for (value, fault) in [
        (json!({"state": "ok", "size": null}), ""),
        (json!({"state": "happy"}), "none of"),
        (json!({"state": 7}), "is no"),
        (json!({"state": "ok", "size": "7"}), "fits 0 of 2"),
        (json!({"size": 7}), "no state"),
        (json!({"state": "ok", "colour": "red"}), "not in the document"),
    ] {
        let found = faults(&Value::Null, &schema, &value, "x");
        assert_eq!(found.is_empty(), fault.is_empty(), "{value}: {found:?}");
        assert!(found.iter().all(|text| text.contains(fault)), "{value}: {found:?}");
    }
}
