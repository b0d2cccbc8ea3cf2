//! What is planted comes out nowhere.

use crate::agent::{TestAgent, boat};
use crate::world::{PASSWORD, World};
use axum::http::Method;
use fleet::record::Role;
use serde_json::json;

const PLANTED: [&str; 4] = ["rest-secret", "restic-secret", "env-secret", PASSWORD];

#[tokio::test]
async fn no_page_and_no_answer_holds_a_secret() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let host = agent.host;
    let job = client.get("/api/jobs").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let mut seen = 0;
    for (method, path, _) in web::routes() {
        if method != "GET" || path == "/api/events" || path.starts_with("/static") {
            continue;
        }
        let address = path
            .replace("{host}", &host.to_string())
            .replace("{group}", "logbook")
            .replace("{job}", &job)
            .replace("{name}", "mira")
            .replace("{code}", "x");
        let answer = client.get(&address).await;
        for secret in PLANTED {
            assert!(!answer.text.contains(secret), "{address} shows {secret}");
        }
        seen += usize::from(answer.status.is_success());
    }
    assert!(seen > 40, "only {seen} answers were looked at");
}

#[tokio::test]
async fn a_form_that_is_wrong_keeps_what_was_typed_but_no_secret() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = TestAgent::enrol(&world, &client, "barn").await;
    let form = "url=&username=typed-user&password=planted-1&repo_password=planted-2&env=KEY%3Dplanted-3";
    let answer = client.post_form(&format!("/hosts/{}/repo-credentials", agent.host), form).await.expect(422);
    assert!(answer.text.contains("typed-user") && answer.text.contains("aria-invalid"), "{}", answer.text);
    assert!(!answer.text.contains("planted"), "a secret came back");
    let json = json!({"url": "rest:http://x/", "repo_password": "planted-1", "surprise": "planted-2"});
    let path = format!("/api/hosts/{}/repo-credentials", agent.host);
    let answer = client.send(Method::PUT, &path, Some(&json)).await.expect(422);
    assert!(!answer.text.contains("planted"), "{}", answer.text);
    let json = json!({"url": "rest:http://x/", "repo_password": ["planted-1"]});
    let answer = client.send(Method::PUT, &path, Some(&json)).await.expect(422);
    assert!(!answer.text.contains("planted"), "{}", answer.text);
}

#[tokio::test]
async fn what_is_minted_is_shown_once_and_kept_nowhere() {
    let world = World::new();
    let mut client = world.admin().await;
    // A form is answered with a redirect, and the page behind it shows the secret once: loading it again is harmless.
    let answer = client.post_form("/tokens", "name=prometheus&scopes=metrics").await.expect(303);
    assert_eq!(answer.header("location"), "/settings#minted");
    let other = world.account(&client, "otto", Role::Admin).await;
    assert!(!other.get("/settings").await.expect(200).text.contains("hft_"), "it is for who made it");
    let answer = client.get("/settings").await.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = answer.text.split("hft_").nth(1).unwrap().split('<').next().unwrap().to_owned();
    client.post_form("/viewers", "name=desk").await.expect(303);
    let answer = client.get("/settings").await.expect(200);
    assert!(answer.text.contains("mosquitto_sub -h 127.0.0.1 -p 1883 -u desk -P "), "{}", answer.text);
    assert!(answer.text.contains("needs this server&#39;s certificate, /ca.pem"), "{}", answer.text);
    assert!(answer.text.contains("mosquitto_sub -h fleet.lan -p 8883 --cafile holdfast-ca.pem -u desk -P "));
    let password = answer.text.split("-P ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(world.fleet.login_viewer("desk", &password).is_ok());
    let answer = client.post_form("/hosts", "name=barn").await.expect(303);
    let page = answer.header("location").to_owned();
    assert!(!client.get(&format!("{page}?part=enrol-wait")).await.expect(200).text.contains("hf1."));
    let answer = client.get(&page).await.expect(200);
    assert!(answer.text.contains(">Tue 24 Nov 06:31 UTC</time>"), "{}", answer.text);
    assert!(answer.text.contains("holdfast-agent run"), "{}", answer.text);
    let line =
        answer.text.split("holdfast-agent enroll hf1.").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let id = client.get("/api/hosts").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    for path in ["/settings", "/audit", "/api/tokens", "/api/viewers", &format!("/hosts/{id}/enrol")] {
        let text = client.get(path).await.expect(200).text;
        for secret in [&token, &password, &line] {
            assert!(!text.contains(secret.as_str()), "{path} shows it again");
        }
    }
}
