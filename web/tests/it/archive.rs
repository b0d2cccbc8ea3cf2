//! Archives of the server: who may make, take and close them, and how their age is told.

use crate::agent::boat;
use crate::world::{Client, PASSWORD, World};
use axum::http::Method;
use fleet::record::Role;
use fleet::{ArchiveOpener, record::Secret};
use serde_json::{Value, json};
use std::fs;

const DAY_MS: u64 = 86_400_000;
const WORDS: &str = "five words in a row";

async fn audited(client: &Client, action: &str) -> Vec<Value> {
    let audit = client.get(&format!("/api/audit?action={action}")).await.expect(200).json();
    audit["items"].as_array().unwrap().clone()
}

fn key_form(password: &str) -> String {
    let words = WORDS.replace(' ', "+");
    format!("which=passphrase&passphrase={words}&again={words}&password={}", password.replace(' ', "+"))
}

#[tokio::test]
async fn an_archive_is_made_once_somebody_said_what_opens_it_and_opens_with_that() {
    let world = World::new();
    let mut admin = world.admin().await;
    let page = admin.get("/archives").await.expect(200);
    assert!(page.text.contains("nobody has said what opens them"), "{}", page.text);
    assert!(admin.get("/settings").await.expect(200).text.contains("Not set up"));
    let refused = admin.post("/api/archives", &json!({})).await.expect(409);
    assert_eq!(refused.code(), "archive_no_key");
    let refused = admin.post_form("/archives/key", &key_form("not my password")).await.expect(422);
    assert!(refused.text.contains("This is not your password."), "{}", refused.text);
    assert_eq!(audited(&admin, "archive.refused").await.len(), 1);
    admin.post_form("/archives/key", &key_form(PASSWORD)).await.expect(303);
    let shown = admin.get("/api/archives").await.expect(200).json();
    assert_eq!((&shown["state"], &shown["opened_by"]), (&json!("begun"), &json!("passphrase")));
    admin.post_form("/archives", "").await.expect(303);
    let shown = admin.get("/api/archives").await.expect(200).json();
    assert_eq!((&shown["state"], shown["archives"].as_array().unwrap().len()), (&json!("ok"), 1));
    let name = shown["archives"][0]["name"].as_str().unwrap().to_owned();
    let kept = fs::read(world.archive_dir.path().join("backups").join(&name)).unwrap();
    let opener = ArchiveOpener::Passphrase(Secret::new(WORDS));
    let found = fleet::look_through(&kept[..], &opener).unwrap();
    assert_eq!(found.about.mqtt_address, "fleet.lan:8883");
    for secret in [WORDS, "mira", "master.key"] {
        assert!(!kept.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }

    // Taken elsewhere, by a person after the own password, and by a program.
    let at = format!("/archives/{name}/download");
    let refused = admin.post_form(&at, "password=other+words").await.expect(422);
    assert!(refused.text.contains("This is not your password."), "{}", refused.text);
    let taken = admin.post_form(&at, &format!("password={}", PASSWORD.replace(' ', "+"))).await.expect(200);
    assert_eq!(taken.header("content-length"), kept.len().to_string());
    assert!(taken.header("content-disposition").contains(&name));
    let api = format!("/api/archives/{name}/download");
    admin.post(&api, &json!({})).await.expect(422);
    let program = world.program(Role::Admin).await;
    program.post(&api, &json!({})).await.expect(200);
    let downloads = audited(&admin, "archive.downloaded").await;
    assert_eq!((downloads.len(), &downloads[0]["detail"]), (2, &json!(name)));
    program.post("/api/archives/master.key/download", &json!({})).await.expect(404);
    program.post("/api/archives/..%2Fmaster.key/download", &json!({})).await.expect(404);
    let made = audited(&admin, "archive.made").await;
    assert_eq!((made.len(), &made[0]["actor"]), (1, &json!("mira")));
}

#[tokio::test]
async fn recipients_are_taken_and_what_is_none_is_refused() {
    let world = World::new();
    let program = world.program(Role::Admin).await;
    let put = async |body: Value| program.send(Method::PUT, "/api/archives/key", Some(&body)).await;
    for body in [
        json!({}),
        json!({"recipients": []}),
        json!({"recipients": ["age1x"]}),
        json!({"passphrase": "short"}),
        json!({"passphrase": WORDS, "recipients": ["age1x"]}),
    ] {
        put(body).await.expect(422);
    }
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let shown = put(json!({"recipients": [recipient]})).await.expect(200).json();
    assert_eq!((&shown["opened_by"], &shown["recipients"]), (&json!("recipients"), &json!([recipient])));
    let made = program.post("/api/archives", &json!({})).await.expect(201).json();
    assert!(made["bytes"].as_u64().unwrap() > 1_000);
    assert!(world.admin().await.get("/archives").await.expect(200).text.contains(recipient));
}

#[tokio::test]
async fn an_archive_that_is_too_old_is_told_everywhere_and_one_that_failed_says_why() {
    let world = World::new();
    let admin = world.admin().await;
    let program = world.program(Role::Admin).await;
    let ready = admin.get("/readyz").await.expect(200).json();
    assert_eq!(ready["archive"], json!({"state": "no_key", "newest_at": null, "age_seconds": null}));
    let body = json!({"passphrase": WORDS});
    program.send(Method::PUT, "/api/archives/key", Some(&body)).await.expect(200);
    program.post("/api/archives", &json!({})).await.expect(201);
    world.pass(3 * DAY_MS);
    let ready = admin.get("/readyz").await.expect(200).json();
    assert_eq!(
        (&ready["archive"]["state"], &ready["archive"]["age_seconds"]),
        (&json!("late"), &json!(259_200))
    );
    let metrics = program.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("holdfast_archive_state{state=\"late\"} 1"), "{metrics}");
    assert!(metrics.contains("holdfast_archive_newest_timestamp_seconds 1795415472"), "{metrics}");
    // A file where the folder was: no archive can be made.
    let folder = world.archive_dir.path().join("backups");
    fs::rename(&folder, world.archive_dir.path().join("elsewhere")).unwrap();
    fs::write(&folder, "").unwrap();
    let refused = program.post("/api/archives", &json!({})).await.expect(500);
    assert_eq!(refused.code(), "archive_failed");
    let page = admin.get("/").await.expect(200).text;
    assert!(page.contains("The newest archive of the server is too old"), "{page}");
    assert!(admin.get("/archives").await.expect(200).text.contains("The last try failed"));
    fs::remove_file(&folder).unwrap();
    program.post("/api/archives", &json!({})).await.expect(201);
    assert!(!admin.get("/").await.expect(200).text.contains("too old"));
}

/// Hosts that a server would lose with its machine are a reason to say it on each page.
#[tokio::test]
async fn that_no_archive_is_made_stands_at_the_top_once_there_is_a_host_to_lose() {
    let world = World::new();
    let admin = world.admin().await;
    let words = "No archive of the server is made";
    let says = async |path: &str| admin.get(path).await.expect(200).text.contains(words);
    assert!(!says("/").await, "nobody is enrolled");
    let _boat = boat(&world, &admin).await;
    for path in ["/", "/jobs", "/settings"] {
        assert!(says(path).await, "{path}");
    }
    // It can serve all the same.
    let ready = admin.get("/readyz").await.expect(200).json();
    assert_eq!(ready["archive"]["state"], "no_key");
    let body = json!({"passphrase": WORDS, "password": PASSWORD});
    admin.send(Method::PUT, "/api/archives/key", Some(&body)).await.expect(200);
    assert!(!says("/").await);
}

#[tokio::test]
async fn archives_are_for_admins_alone() {
    let world = World::new();
    let admin = world.admin().await;
    for role in [Role::Viewer, Role::Operator] {
        let client = world.account(&admin, &format!("{role:?}").to_lowercase(), role).await;
        client.get("/archives").await.expect(403);
        client.get("/api/archives").await.expect(403);
        client.post("/api/archives", &json!({})).await.expect(403);
        client.send(Method::PUT, "/api/archives/key", Some(&json!({"passphrase": WORDS}))).await.expect(403);
        client.post("/api/archives/x.age/download", &json!({})).await.expect(403);
    }
}
