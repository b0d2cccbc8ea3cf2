//! The break-glass kit: who may make one, what is asked before, and what is told of it.

use crate::agent::boat;
use crate::world::{Answer, Client, PASSWORD, World};
use fleet::record::{Role, Scope};
use serde_json::{Value, json};

const FORM: &str = "which=all&passphrase=five+words+in+a+row&again=five+words+in+a+row";

/// A form with the own password.
fn form(password: &str) -> String {
    format!("{FORM}&password={}", password.replace(' ', "+"))
}

fn is_kit(answer: &Answer) {
    assert!(answer.text.starts_with("age-encryption.org/v1\n-> scrypt "), "{:.80}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let disposition = answer.header("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\"holdfast-kit-20"), "{disposition}");
    assert!(disposition.ends_with(".age\""), "{disposition}");
}

async fn audited(client: &Client, action: &str) -> Vec<Value> {
    let audit = client.get(&format!("/api/audit?action={action}")).await.expect(200).json();
    audit["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_admin_gets_a_kit_after_the_own_password_and_the_page_says_so() {
    let world = World::new();
    let mut admin = world.admin().await;
    boat(&world, &admin).await;
    let page = admin.get("/kit").await.expect(200);
    assert!(page.text.contains("No kit was made yet."), "{}", page.text);
    let kit = admin.post_form("/kit", &form(PASSWORD)).await.expect(200);
    is_kit(&kit);
    for secret in ["rest-secret", "restic-secret", "env-secret", "boat-pi"] {
        assert!(!kit.text.contains(secret), "{secret}");
    }
    for address in ["/kit", "/settings"] {
        let page = admin.get(address).await.expect(200);
        assert!(page.text.contains("holds every host as it is."), "{}", page.text);
    }
    let made = audited(&admin, "kit.made").await;
    assert_eq!(
        (made.len(), &made[0]["detail"], &made[0]["actor"]),
        (1, &json!("1 host: boat-pi"), &json!("mira"))
    );
}

#[tokio::test]
async fn a_kit_that_is_older_than_the_credentials_is_told() {
    let world = World::new();
    let admin = world.admin().await;
    let agent = boat(&world, &admin).await;
    let ask = json!({"hosts": ["boat-pi"], "passphrase": "five words in a row", "password": PASSWORD});
    is_kit(&admin.post("/api/kit", &ask).await.expect(200));
    let body = json!({"url": "rest:http://vault.lan:8000/boat-pi/", "repo_password": "another one"});
    let path = format!("/api/hosts/{}/repo-credentials", agent.host);
    admin.send(axum::http::Method::PUT, &path, Some(&body)).await.expect(200);
    let kits = admin.get("/api/kit").await.expect(200).json();
    let gap = &kits["gaps"][0];
    assert_eq!(
        (&kits["changed_since"], &gap["name"], &gap["why"]),
        (&json!(1), &json!("boat-pi"), &json!("changed_since"))
    );
    assert_eq!(gap["kit_made_at"], kits["newest_made_at"]);
    assert!(admin.get("/kit").await.text.contains("lacks 1 host whose credentials changed since."));
    let metrics = admin.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("holdfast_kit_hosts{state=\"changed_since\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_wrong_password_makes_no_kit_and_is_audited_and_held_up() {
    let world = World::new();
    let mut admin = world.admin().await;
    boat(&world, &admin).await;
    for _ in 0..5 {
        let answer = admin.post_form("/kit", &form("not my password")).await.expect(422);
        assert!(answer.text.contains("This is not your password."), "{}", answer.text);
    }
    // From now on the right one has to wait as well, by the API too.
    let answer = admin.post_form("/kit", &form(PASSWORD)).await.expect(422);
    assert!(answer.text.contains("Too many attempts"), "{}", answer.text);
    let ask = json!({"passphrase": "five words in a row", "password": PASSWORD});
    admin.post("/api/kit", &ask).await.expect(429);
    assert_eq!(audited(&admin, "kit.refused").await.len(), 5);
    assert!(audited(&admin, "kit.made").await.is_empty());
    assert!(admin.get("/api/kit").await.json()["newest_made_at"].is_null());
    world.pass(60_000);
    is_kit(&admin.post_form("/kit", &form(PASSWORD)).await.expect(200));
}

#[tokio::test]
async fn what_is_wrong_stands_at_its_field_and_no_secret_is_shown_again() {
    let world = World::new();
    let mut admin = world.admin().await;
    boat(&world, &admin).await;
    for (fields, words) in [
        ("which=all&passphrase=tooshort&again=tooshort", "Too short: 8 characters"),
        ("which=all&passphrase=five+words+in+a+row&again=five+words+in+a+Row", "The two are not the same."),
        ("which=some&passphrase=five+words+in+a+row&again=five+words+in+a+row", "Choose a host or a label"),
        (
            "which=some&hosts=nobody&passphrase=five+words+in+a+row&again=five+words+in+a+row",
            "There is no host &quot;nobody&quot;",
        ),
        (
            "which=all&passphrase=five+words+in+a+row&again=five+words+in+a+row&password=",
            "Your own password is needed.",
        ),
    ] {
        let own = if fields.ends_with("password=") { "" } else { "&password=a+few+words+in+a+row" };
        let answer = admin.post_form("/kit", &format!("{fields}{own}")).await.expect(422);
        assert!(answer.text.contains(words), "{words}: {}", answer.text);
        assert!(!answer.text.contains("five words in a"), "{}", answer.text);
        assert!(!answer.text.contains(PASSWORD), "{}", answer.text);
    }
    let answer = admin.post("/api/kit", &json!({"passphrase": "five words in a row"})).await.expect(422);
    assert_eq!(answer.json()["error"]["field"], "password");
    let answer =
        admin.post("/api/kit", &json!({"passphrase": "short", "password": PASSWORD})).await.expect(422);
    assert_eq!(answer.json()["error"]["field"], "passphrase");
    assert!(audited(&admin, "kit.made").await.is_empty());
}

#[tokio::test]
async fn a_passphrase_is_offered_once_and_is_another_each_time() {
    let world = World::new();
    let admin = world.admin().await;
    let offered = async || {
        let page = admin.get("/kit").await.expect(200);
        assert_eq!(page.header("cache-control"), "no-store");
        let group = |word: &&str| word.len() == 29 && word.split('-').all(|group| group.len() == 4);
        let words = page.text.split(['<', '>']);
        words.filter(group).map(str::to_owned).next().expect("a passphrase of six groups")
    };
    assert_ne!(offered().await, offered().await);
}

#[tokio::test]
async fn only_admins_make_a_kit_and_a_token_needs_its_scope_and_no_password() {
    let world = World::new();
    let admin = world.admin().await;
    boat(&world, &admin).await;
    let ask = json!({"passphrase": "five words in a row", "password": PASSWORD});
    for role in [Role::Viewer, Role::Operator] {
        let mut other = world.account(&admin, role.as_str(), role).await;
        other.get("/kit").await.expect(403);
        other.get("/api/kit").await.expect(403);
        other.post("/api/kit", &ask).await.expect(403);
        other.post_form("/kit", &form(PASSWORD)).await.expect(403);
    }
    let all_but_admin = [Scope::Read, Scope::Run, Scope::Write, Scope::Metrics].into_iter().collect();
    world.token("ci", all_but_admin).await.post("/api/kit", &ask).await.expect(403);
    let token = world.token("nightly", [Scope::Admin].into_iter().collect()).await;
    is_kit(&token.post("/api/kit", &json!({"passphrase": "five words in a row"})).await.expect(200));
    let made = audited(&admin, "kit.made").await;
    assert_eq!((&made[0]["actor_kind"], &made[0]["actor"]), (&json!("token"), &json!("nightly")));
}
