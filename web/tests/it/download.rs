//! Downloads as far as no agent is needed: who may begin one and from where; and the repository's password.

use crate::agent::boat;
use crate::world::{PASSWORD, World};
use axum::body::Body;
use axum::http::Method;
use fleet::record::{Role, Scopes};
use serde_json::json;

const SNAPSHOT: &str = "4d02a9f1c0ffee00";

#[tokio::test]
async fn a_link_on_another_site_begins_no_download() {
    let world = World::new();
    let admin = world.admin().await;
    let agent = boat(&world, &admin).await;
    let path = format!("/api/hosts/{}/snapshots/{SNAPSHOT}/download?path=/srv/a", agent.host);
    for site in [None, Some("cross-site"), Some("same-site")] {
        let mut request = admin.request(Method::GET, &path);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        let answer = admin.raw(request.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "csrf".to_owned()), "{site:?}");
    }
    let jobs = admin.get("/api/jobs?kind=download").await.expect(200).json();
    assert_eq!(jobs["items"], json!([]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_the_host_hears_of_it() {
    let world = World::new();
    let admin = world.admin().await;
    let agent = boat(&world, &admin).await;
    let program = world.program(Role::Operator).await;
    let at = format!("/api/hosts/{}/snapshots", agent.host);
    for (rest, field) in [
        (format!("{SNAPSHOT}/download"), "path"),
        (format!("{SNAPSHOT}/download?path=srv"), "path"),
        (format!("{SNAPSHOT}/download?path=/srv/../etc"), "path"),
        (format!("{SNAPSHOT}/download?path=/srv&format=rar"), "format"),
        (format!("{SNAPSHOT}/download?path=%2F"), "format"),
        ("latest/download?path=/srv".to_owned(), "snapshot"),
    ] {
        let answer = program.get(&format!("{at}/{rest}")).await.expect(422).json();
        assert_eq!(answer["error"]["field"], field, "{rest}");
    }
}

#[tokio::test]
async fn the_repositorys_password_is_shown_to_admins_who_typed_their_own() {
    let world = World::new();
    let mut admin = world.admin().await;
    let agent = boat(&world, &admin).await;
    let path = format!("/hosts/{}/repo-password", agent.host);
    let form = |password: &str| format!("password={}", password.replace(' ', "+"));
    assert!(!admin.get(&path).await.expect(200).text.contains("restic-secret"));
    let wrong = admin.post_form(&path, &form("not my password")).await.expect(422);
    assert!(wrong.text.contains("This is not your password.") && !wrong.text.contains("restic-secret"));
    let shown = admin.post_form(&path, &form(PASSWORD)).await.expect(200);
    assert!(shown.text.contains("restic-secret"), "{}", shown.text);
    assert_eq!(shown.header("cache-control"), "no-store");

    let api = format!("/api{path}");
    admin.post(&api, &json!({})).await.expect(422);
    let answer = admin.post(&api, &json!({"password": PASSWORD})).await.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["repo_password"], "restic-secret");
    let program = world.token("root", Scopes::of_role(Role::Admin)).await;
    assert_eq!(program.post(&api, &json!({})).await.expect(200).json()["repo_password"], "restic-secret");
    let operator = world.account(&admin, "janne", Role::Operator).await;
    operator.post(&api, &json!({"password": PASSWORD})).await.expect(403);

    for (action, count) in [("repo.password_shown", 3), ("repo.password_refused", 1)] {
        let audit = admin.get(&format!("/api/audit?action={action}")).await.expect(200).json();
        assert_eq!(audit["items"].as_array().map(Vec::len), Some(count), "{audit}");
        assert_eq!(audit["items"][0]["target"], "boat-pi", "{audit}");
    }
}
