//! The contracts of the API, with what is wrong in each.

use crate::agent::{TestAgent, boat, run};
use crate::world::World;
use axum::body::Body;
use axum::http::Method;
use fleet::record::Role;
use schema::{Class, LogStream, Outcome, Summary};
use serde_json::{Value, json};
use std::time::Duration;
use web::TaskFacts;

#[tokio::test]
async fn the_document_lists_every_route_of_the_api() {
    let world = World::new();
    let document = world.stranger().get("/api/openapi.json").await.expect(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut count = 0;
    for (method, path, _) in web::routes().iter().filter(|(_, path, _)| path.starts_with("/api/")) {
        let operation = &document["paths"][path][method.to_lowercase()];
        assert!(operation["summary"].is_string(), "{method} {path} is not in the document");
        count += 1;
    }
    assert!(count > 40);
    // Every reference leads somewhere.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 40);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_json_under_api_and_as_a_page_elsewhere() {
    let world = World::new();
    let client = world.admin().await;
    assert_eq!(client.get("/api/nothing").await.expect(404).code(), "not_found");
    assert_eq!(client.get("/api/hosts/none").await.expect(404).code(), "host_not_found");
    let answer = client.send(Method::PATCH, "/api/jobs", None).await.expect(405);
    assert_eq!(answer.code(), "method_not_allowed");
    assert!(answer.header("allow").contains("GET"), "{:?}", answer.headers);
    assert!(client.get("/nothing").await.expect(404).text.contains("<html"));
    assert!(client.get("/hosts/none").await.expect(404).text.contains("no such host"));
    assert!(world.stranger().get("/nothing").await.expect(404).text.contains("<html"));
}

#[tokio::test]
async fn bad_input_is_named_by_its_field_and_changes_nothing() {
    let world = World::new();
    let client = world.admin().await;
    for (body, status, field) in [
        (json!({"name": "a/b"}), 422, "name"),
        (json!({"name": ""}), 422, "name"),
        (json!({"labels": ["x"]}), 422, "name"),
        (json!({"name": "a", "labels": ["b c"]}), 422, "labels"),
        (json!({"name": "a", "colour": "red"}), 422, "colour"),
        (json!({"name": ["a"]}), 422, "name"),
        (json!({"name": "a", "labels": [7]}), 422, "labels[0]"),
        (json!("name"), 422, ""),
    ] {
        let answer = client.post("/api/hosts", &body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, "invalid_input"), "{body}");
        assert_eq!(answer.json()["error"]["field"].as_str().unwrap_or_default(), field, "{}", answer.text);
    }
    for (kind, body, status) in [
        ("application/json", "{", 400),
        ("application/json", "{\"name\": \"a\"} extra", 400),
        ("text/plain", "{\"name\": \"a\"}", 415),
    ] {
        let request = client
            .request(Method::POST, "/api/hosts")
            .header("content-type", kind)
            .header("x-csrf-token", &client.csrf)
            .body(Body::from(body))
            .unwrap();
        assert_eq!(client.raw(request).await.expect(status).code(), "invalid_input");
    }
    let long = json!({"name": "x".repeat(300 * 1024)});
    assert_eq!(client.post("/api/hosts", &long).await.expect(413).code(), "invalid_input");
    assert_eq!(client.get("/api/hosts").await.json()["items"], json!([]));
    for query in ["limit=0", "limit=501", "limit=x", "state=happy", "cursor=nowhere"] {
        let answer = client.get(&format!("/api/hosts?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "invalid_input"), "{query}");
    }
    for list in ["/api/jobs", "/api/audit"] {
        let wrong = client.get(&format!("{list}?cursor=zzz")).await.expect(422).json();
        assert_eq!(wrong["error"]["field"], "cursor", "{list}");
    }
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_named_and_not_passed_over() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let host = format!("/api/hosts/{}", agent.host);
    for (path, field, words) in [
        ("/api/jobs?colour=red", "colour", "There is no parameter colour here; there are: host, kind,"),
        ("/api/operators?limit=7", "limit", "there are none"),
        ("/api/jobs?since=yesterday", "since", "an RFC 3339 time"),
        ("/api/jobs?kind=dance", "kind", "one of: probe, init, backup"),
        ("/api/jobs?state=happy", "state", "one of: queued, sent"),
        ("/api/jobs?cursor=zzz", "cursor", "no cursor"),
        ("/api/hosts?state=happy", "state", "one of: "),
        (&format!("{host}?q=x"), "q", "there are none"),
        ("/api/events?topics=fleet,weather", "topics", "There is no topic weather."),
    ] {
        let answer = client.get(path).await.expect(422);
        let error = &answer.json()["error"];
        assert_eq!((error["code"].as_str(), error["field"].as_str()), (Some("invalid_input"), Some(field)));
        assert!(error["message"].as_str().unwrap().contains(words), "{path}: {error}");
    }
    client.send(Method::POST, &format!("{host}/repo/check?percent=7"), None).await.expect(422);
    client.send(Method::POST, &format!("{host}/repo/dance"), None).await.expect(404);
    for path in ["/jobs?cursor=zzz", "/audit?cursor=zzz"] {
        assert!(client.get(path).await.expect(422).text.contains("This is no cursor"), "{path}");
    }
    world.stranger().get("/api/jobs?colour=red").await.expect(401);
}

#[tokio::test]
async fn hosts_are_added_listed_in_parts_changed_and_deleted() {
    let world = World::new();
    let client = world.program(Role::Operator).await;
    for n in 0..5 {
        client
            .post("/api/hosts", &json!({"name": format!("host-{n}"), "labels": ["attic"]}))
            .await
            .expect(201);
    }
    let taken = client.post("/api/hosts", &json!({"name": "host-1"})).await.expect(409);
    assert_eq!((taken.code().as_str(), &taken.json()["error"]["field"]), ("name_taken", &json!("name")));
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let part = client.get(&format!("/api/hosts?limit=2{cursor}")).await.expect(200).json();
        let items = part["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|host| host["name"].as_str().unwrap().to_owned()));
        match part["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, ["host-0", "host-1", "host-2", "host-3", "host-4"]);
    let host = client.get("/api/hosts/host-3").await.expect(200).json();
    assert_eq!(
        (&host["status"], &host["online"], &host["labels"]),
        (&json!("new"), &json!(false), &json!(["attic"]))
    );
    let path = format!("/api/hosts/{}", host["id"].as_str().unwrap());
    let changed =
        client.send(Method::PATCH, &path, Some(&json!({"name": "renamed"}))).await.expect(200).json();
    assert_eq!((&changed["name"], &changed["labels"]), (&json!("renamed"), &json!(["attic"])));
    let token = client.send(Method::POST, &format!("{path}/enroll-token"), None).await.expect(201).json();
    assert!(token["enroll_command"].as_str().unwrap().starts_with("holdfast-agent enroll hf1."));
    let narrow = json!({"rights": {"source_roots": ["/srv/my data"], "no_admin_slot": true}});
    let token =
        client.send(Method::POST, &format!("{path}/enroll-token"), Some(&narrow)).await.expect(201).json();
    let command = token["enroll_command"].as_str().unwrap();
    assert!(command.contains("--allow-source-root '/srv/my data'"), "{command}");
    assert!(command.contains("--no-admin-slot"), "{command}");
    let wrong = json!({"rights": {"source_roots": ["srv"]}});
    client.send(Method::POST, &format!("{path}/enroll-token"), Some(&wrong)).await.expect(422);
    client.send(Method::DELETE, &path, None).await.expect(204);
    assert_eq!(client.get(&path).await.expect(404).code(), "host_not_found");
}

#[tokio::test]
async fn credentials_are_set_kept_and_removed_and_never_told() {
    let world = World::new();
    let client = world.program(Role::Operator).await;
    TestAgent::enrol(&world, &client, "barn").await;
    let path = "/api/hosts/barn/repo-credentials";
    let empty = client.get(path).await.expect(200).json();
    assert_eq!(
        (&empty["set"], &empty["url"], &empty["updated_at"]),
        (&json!(false), &json!(""), &Value::Null)
    );
    let body = json!({"url": "rest:http://u:inline@vault.lan/barn/", "repo_password": "p1", "env": {"AWS_REGION": "v"}});
    let set = client.send(Method::PUT, path, Some(&body)).await.expect(200).json();
    assert_eq!(set["username"], "u", "a user in the address moves to its field");
    assert_eq!(
        (&set["set"], &set["has_password"], &set["has_repo_password"]),
        (&json!(true), &json!(true), &json!(true))
    );
    assert_eq!(set["env_names"], json!(["AWS_REGION"]));
    assert!(!set["url"].as_str().unwrap().contains("inline"));
    let kept = client
        .send(Method::PUT, path, Some(&json!({"url": "rest:http://vault.lan/other/"})))
        .await
        .expect(200)
        .json();
    assert_eq!((&kept["has_repo_password"], &kept["env_names"]), (&json!(true), &json!(["AWS_REGION"])));
    let moved = json!({"url": "rest:http://other/"});
    let moved = client.send(Method::PUT, path, Some(&moved)).await.expect(422).json();
    assert_eq!(moved["error"]["field"], "password", "a stored password is not sent to another machine");
    assert_eq!(client.get(path).await.json()["url"], "rest:http://vault.lan/other/");
    let wrong = client.send(Method::PUT, path, Some(&json!({"url": ""}))).await.expect(422).json();
    assert_eq!(wrong["error"]["field"], "url");
    client.send(Method::DELETE, path, None).await.expect(204);
    client.send(Method::DELETE, path, None).await.expect(204);
    assert_eq!(client.get(path).await.json()["set"], false);
    let admin = "/api/hosts/barn/admin-credentials";
    let body = json!({"url": "rest:http://vault.lan:8001/barn/", "repo_password": "p2"});
    client.send(Method::PUT, admin, Some(&body)).await.expect(200);
    assert_eq!(client.get(path).await.json()["set"], false, "the other slot stays as it is");
}

#[tokio::test]
async fn groups_are_made_changed_renamed_and_deleted() {
    let world = World::new();
    let client = world.program(Role::Operator).await;
    TestAgent::enrol(&world, &client, "barn").await;
    let groups = "/api/hosts/barn/groups";
    for (body, field) in [
        (json!({"name": "g", "includes": ["etc"]}), "includes"),
        (json!({"name": "g", "includes": []}), "includes"),
        (json!({"name": "--tag", "includes": ["/etc"]}), "name"),
        (json!({"name": "g", "includes": ["/etc"], "keep": {"within": "soon"}}), "keep.within"),
        (json!({"name": "g", "includes": ["/etc"], "keep": {"always": 1}}), "always"),
        (json!({"name": "g", "includes": ["/tmp/../etc"]}), "includes"),
        (json!({"name": "g", "includes": ["/etc"], "hooks": ["dump"]}), "hooks[0]"),
        (json!({"name": "g", "includes": ["/etc"], "hooks": {"before": "dump"}}), "hooks.before"),
        (json!({"name": "g", "includes": ["/etc"], "hooks": {"between": []}}), "between"),
    ] {
        let answer = client.post(groups, &body).await.expect(422);
        assert_eq!(answer.json()["error"]["field"], field, "{}", answer.text);
    }
    let body = json!({"name": "system", "includes": ["/etc"], "excludes": ["*.tmp"], "keep": {"daily": 7}});
    let made = client.post(groups, &body).await.expect(201).json();
    assert_eq!((&made["keep"]["daily"], &made["hooks"]["before"]), (&json!(7), &json!([])));
    let one = format!("{groups}/system");
    let body = json!({"name": "base", "includes": ["/etc", "/root"]});
    client.send(Method::PUT, &one, Some(&body)).await.expect(200);
    assert_eq!(client.get(&one).await.expect(404).code(), "group_not_found");
    let body = json!({"includes": ["/srv"]});
    client.send(Method::PUT, &format!("{groups}/fresh"), Some(&body)).await.expect(201);
    let names = client.get(groups).await.json();
    assert_eq!(names["items"].as_array().unwrap().len(), 2, "{names}");
    client.send(Method::DELETE, &format!("{groups}/base"), None).await.expect(204);
}

#[tokio::test]
async fn a_backup_is_asked_for_watched_and_read() {
    let world = World::new();
    let client = world.program(Role::Operator).await;
    let mut agent = boat(&world, &client).await;
    let host = format!("/api/hosts/{}", agent.host);
    let job = run(&client, &format!("{host}/groups/logbook/backup")).await;
    let path = format!("/api/jobs/{job}");
    let twice = client.send(Method::POST, &format!("{host}/groups/logbook/backup"), None).await.expect(409);
    assert_eq!(twice.code(), "job_in_progress");
    agent.start(&world, job).await;
    agent.progress(&world, job, 420_000_000, "/srv/logbook/2026.db");
    let running = client.get(&path).await.expect(200).json();
    assert_eq!((&running["state"], &running["progress"]["percent"]), (&json!("running"), &json!(42.0)));
    assert_eq!((&running["actor_kind"], &running["actor"]), (&json!("token"), &json!("script-operator")));
    agent
        .log(
            &world,
            job,
            0,
            &[(LogStream::Agent, "restic 0.18.0"), (LogStream::Err, "Fatal: wrong password")],
        )
        .await;
    agent.finish(&world, job, Outcome::Failed, Some(Class::Auth), "wrong password", Summary::None).await;
    let failed = client.get(&path).await.json();
    assert_eq!(
        (&failed["state"], &failed["class"], &failed["error"]),
        (&json!("failed"), &json!("auth"), &json!("wrong password"))
    );
    assert!(failed["progress"].is_null() && failed["finished_at"].is_string());
    let log = client.get(&format!("{path}/log")).await.expect(200).json();
    assert_eq!((&log["total_lines"], &log["left_out"]), (&json!(2), &json!(0)));
    assert_eq!((&log["items"][1]["number"], &log["items"][1]["stream"]), (&json!(1), &json!("err")));
    let request = client.request(Method::GET, &format!("{path}/log?after=1")).header("accept", "text/plain");
    let text = client.raw(request.body(Body::empty()).unwrap()).await.expect(200).text;
    assert!(text.contains("Fatal: wrong password") && !text.contains("restic 0.18.0"), "{text}");
    assert_eq!(
        client.send(Method::POST, &format!("{path}/cancel"), None).await.expect(409).code(),
        "job_ended"
    );
    let listed = client.get("/api/jobs?kind=backup&state=failed").await.json();
    assert_eq!(listed["items"][0]["id"], job.to_string());
    assert_eq!(client.get("/api/jobs?kind=dance").await.expect(422).json()["error"]["field"], "kind");
    assert_eq!(client.get("/api/jobs?since=yesterday").await.expect(422).json()["error"]["field"], "since");
    assert_eq!(client.get("/api/jobs?since=2100-01-01T00:00:00Z").await.json()["items"], json!([]));
    assert_eq!(client.get("/api/hosts/boat-pi").await.json()["status"], "failed");
}

#[tokio::test]
async fn run_now_is_refused_with_its_reason() {
    let world = World::new();
    let client = world.program(Role::Operator).await;
    client.post("/api/hosts", &json!({"name": "fresh"})).await.expect(201);
    let post = |path: &'static str| {
        let client = client.clone();
        async move { client.send(Method::POST, path, None).await }
    };
    assert_eq!(post("/api/hosts/fresh/repo/check").await.expect(409).code(), "host_not_enrolled");
    let agent = boat(&world, &client).await;
    assert_eq!(post("/api/hosts/boat-pi/repo/prune").await.expect(409).code(), "admin_creds_required");
    assert_eq!(post("/api/hosts/boat-pi/repo/dance").await.expect(404).code(), "not_found");
    assert_eq!(post("/api/hosts/boat-pi/groups/none/backup").await.expect(404).code(), "group_not_found");
    let job = post("/api/hosts/boat-pi/repo/check?subset=700").await.expect(202).json();
    assert_eq!((&job["kind"], &job["state"]), (&json!("check"), &json!("queued")));
    agent.gone(&world, 1).await;
    assert_eq!(client.get("/api/hosts/boat-pi").await.json()["online"], false);
}

#[tokio::test]
async fn the_repository_and_its_snapshots_are_told() {
    let world = World::new();
    let client = world.program(Role::Operator).await;
    let mut agent = boat(&world, &client).await;
    let repo = client.get("/api/hosts/boat-pi/repo").await.expect(200).json();
    assert_eq!((&repo["size_bytes"], &repo["snapshots"]), (&json!(2_023_101_441_925_u64), &json!(412)));
    assert_eq!(repo["repo_id"].as_str().unwrap().len(), 64);
    let path = "/api/hosts/boat-pi/snapshots";
    assert_eq!(client.get(path).await.expect(200).json()["listed_at"], Value::Null);
    let asked = client.get(&format!("{path}?refresh=true")).await.expect(200).json();
    let job = asked["refresh_job"].as_str().unwrap().parse().unwrap();
    let viewer = world.program(Role::Viewer).await;
    viewer.get(&format!("{path}?refresh=true")).await.expect(403);
    agent.list(&world, job, "logbook", "/srv/logbook").await;
    let listed = client.get(&format!("{path}?group=logbook")).await.json();
    assert_eq!(listed["items"][0]["tags"], json!(["logbook"]));
    assert!(listed["listed_at"].is_string());
    assert_eq!(client.get(&format!("{path}?group=other")).await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_agent_of_an_unknown_version_is_told_in_the_api() {
    let world = World::new();
    let client = world.program(Role::Operator).await;
    let agent = TestAgent::enrol(&world, &client, "old-box").await;
    agent.strange(&world).await;
    let host = client.get("/api/hosts/old-box").await.json();
    assert_eq!(host["wire_problem"]["version"], 99, "{host}");
}

#[tokio::test]
async fn accounts_tokens_and_viewers_are_managed_by_admins() {
    let world = World::new();
    let client = world.program(Role::Admin).await;
    let body = json!({"name": "janne", "role": "operator", "password": "short"});
    assert_eq!(client.post("/api/operators", &body).await.expect(422).json()["error"]["field"], "password");
    let body = json!({"name": "janne", "role": "king", "password": "a few words in a row"});
    assert_eq!(client.post("/api/operators", &body).await.expect(422).json()["error"]["field"], "role");
    let body = json!({"name": "janne", "role": "admin", "password": "a few words in a row"});
    let made = client.post("/api/operators", &body).await.expect(201).json();
    assert_eq!((&made["name"], &made["role"]), (&json!("janne"), &json!("admin")));
    assert!(!client.get("/api/operators").await.text.contains("argon2"));
    let body = json!({"role": "viewer"});
    let last = client.send(Method::PATCH, "/api/operators/janne", Some(&body)).await.expect(409);
    assert_eq!(last.code(), "last_admin");
    assert_eq!(
        client.send(Method::DELETE, "/api/operators/janne", None).await.expect(409).code(),
        "last_admin"
    );
    let token =
        client.post("/api/tokens", &json!({"name": "x", "scopes": ["read"]})).await.expect(201).json();
    assert!(token["token"].as_str().unwrap().starts_with("hft_"));
    client
        .send(Method::DELETE, &format!("/api/tokens/{}", token["id"].as_str().unwrap()), None)
        .await
        .expect(204);
    let viewer =
        client.post("/api/viewers", &json!({"name": "desk", "debug": true})).await.expect(201).json();
    assert!(world.fleet.login_viewer("desk", viewer["password"].as_str().unwrap()).is_ok());
    client.send(Method::DELETE, "/api/viewers/desk", None).await.expect(204);
    client.send(Method::DELETE, "/api/viewers/desk", None).await.expect(404);
    let audit = client.get("/api/audit?action=viewer").await.expect(200).json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 2, "{audit}");
    assert_eq!(audit["items"][0]["target"], "desk");
}

#[tokio::test]
async fn a_task_that_keeps_silent_is_told_by_readyz_metrics_and_settings() {
    let world = World::new();
    let admin = world.admin().await;
    let task = |name, since: u64, restarts| TaskFacts {
        name,
        period: Duration::from_secs(30),
        since_beat: Duration::from_secs(since),
        restarts,
    };
    *world.tasks.lock().unwrap() = vec![task("schedules", 90, 0), task("ingest", 3, 2)];
    world.stranger().get("/readyz").await.expect(200);
    let settings = admin.get("/settings").await.expect(200).text;
    assert!(settings.contains("all 2 healthy") && settings.contains("restarted 2 times"), "{settings}");
    world.tasks.lock().unwrap()[0] = task("schedules", 91, 0);
    let answer = world.stranger().get("/readyz").await.expect(503).json();
    assert_eq!(answer["error"]["code"], "not_ready");
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("schedules has not responded for 91 s"),
        "{answer}"
    );
    assert!(admin.get("/settings").await.expect(200).text.contains("Unhealthy: schedules"));
    let metrics = world.program(Role::Viewer).await.get("/metrics").await.expect(200).text;
    for line in [
        "holdfast_task_well{task=\"schedules\"} 0",
        "holdfast_task_well{task=\"ingest\"} 1",
        "holdfast_task_silent_seconds{task=\"schedules\"} 91",
        "holdfast_task_restarts_total{task=\"ingest\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn readyz_writes_to_the_data_file_and_not_more_often_than_it_says() {
    let world = World::new();
    let commits = || world.fleet.writer_counts().commits;
    let before = commits();
    for _ in 0..5 {
        world.stranger().get("/readyz").await.expect(200);
    }
    assert_eq!(commits(), before + 1);
    world.pass(10_000);
    world.stranger().get("/readyz").await.expect(200);
    assert_eq!(commits(), before + 2);
    world.fleet.shutdown().await;
    world.pass(10_000);
    let answer = world.stranger().get("/readyz").await.expect(503).json();
    assert!(answer["error"]["message"].as_str().unwrap().contains("can't be written"), "{answer}");
    world.stranger().get("/healthz").await.expect(200);
}

/// Every metric of a fleet with one host; figures of the machine and of the data file are masked.
#[tokio::test]
async fn metrics_are_as_they_were() {
    let world = World::new();
    let admin = world.admin().await;
    boat(&world, &admin).await;
    let task = TaskFacts {
        name: "schedules",
        period: Duration::from_secs(30),
        since_beat: Duration::from_secs(3),
        restarts: 1,
    };
    *world.tasks.lock().unwrap() = vec![task];
    let text = world.program(Role::Viewer).await.get("/metrics").await.expect(200).text;
    let masked = text.lines().map(|line| match line.split_once(' ') {
        Some((name @ ("holdfast_storage_bytes" | "holdfast_commits_total"), _)) => format!("{name} …\n"),
        _ => format!("{line}\n"),
    });
    insta::assert_snapshot!("metrics", masked.collect::<String>());
}

#[tokio::test]
async fn health_and_metrics_are_there() {
    let world = World::new();
    let client = world.program(Role::Viewer).await;
    assert_eq!(world.stranger().get("/healthz").await.expect(200).json()["status"], "ok");
    assert_eq!(world.stranger().get("/readyz").await.expect(200).json()["status"], "ok");
    let operator = world.program(Role::Operator).await;
    boat(&world, &operator).await;
    let text = client.get("/metrics").await.expect(200).text;
    for line in [
        "holdfast_host_online{host=\"boat-pi\"} 1",
        "holdfast_hosts{status=\"ok\"} 1",
        "holdfast_host_repo_size_bytes{host=\"boat-pi\"} 2023101441925",
        "holdfast_build_info{version=\"0.1.0\"} 1",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} is not in\n{text}");
    }
}
