//! Set-up, sign-in, sessions, CSRF, limits.

use crate::world::{PASSWORD, World};
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, StatusCode};
use fleet::record::Role;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;

#[tokio::test]
async fn the_set_up_link_works_once() {
    let world = World::new();
    let code = world.fleet.setup_code().await.unwrap().unwrap().expose().to_owned();
    let stranger = world.stranger();
    assert!(stranger.get("/login").await.expect(200).text.contains("set-up link"));
    stranger.get("/setup/wrong").await.expect(403);
    let page = stranger.get(&format!("/setup/{code}")).await.expect(200);
    assert!(page.text.contains("Make the first account"));
    let mut client = world.stranger();
    let short = client.post_form(&format!("/setup/{code}"), "name=mira&password=ninechars").await.expect(422);
    assert!(short.text.contains("Too short: 9 characters, at least 12 are needed."), "{}", short.text);
    assert!(short.text.contains("value=\"mira\"") && !short.text.contains("ninechars"), "typed text is kept");
    let admin = world.admin().await;
    assert_eq!(admin.get("/").await.status, StatusCode::OK);
    stranger.get(&format!("/setup/{code}")).await.expect(410);
    let again = client.post_form(&format!("/setup/{code}"), "name=eve&password=a+few+words+in+a+row").await;
    assert_eq!(again.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_deep_link_leads_through_the_sign_in_and_back() {
    let world = World::new();
    world.admin().await;
    let mut client = world.stranger();
    let answer = client.get("/jobs?state=failed").await.expect(303);
    let login = answer.header("location").to_owned();
    assert_eq!(login, "/login?next=%2Fjobs%3Fstate%3Dfailed");
    assert!(client.get(&login).await.expect(200).text.contains("value=\"/jobs?state=failed\""));
    let form = "name=mira&password=a+few+words+in+a+row&next=%2Fjobs%3Fstate%3Dfailed";
    let answer = client.post_form("/login", form).await.expect(303);
    assert_eq!(answer.header("location"), "/jobs?state=failed");
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"),
        "{cookie}"
    );
    let form = "name=mira&password=a+few+words+in+a+row&next=%2F%2Fevil.example";
    assert_eq!(client.post_form("/login", form).await.expect(303).header("location"), "/");
}

#[tokio::test]
async fn the_sixth_wrong_password_in_a_quarter_of_an_hour_is_not_looked_at() {
    let world = World::new();
    world.admin().await;
    let mut client = world.stranger();
    for left in ["4 tries", "3 tries", "2 tries", "1 try", "No try"] {
        let answer = client.sign_in("mira", "wrong").await.expect(401);
        let words = format!("Name and password do not match. {left} left in this quarter of an hour.");
        assert!(answer.text.contains(&words), "{}", answer.text);
    }
    let answer = client.sign_in("mira", PASSWORD).await.expect(429);
    assert!(answer.text.contains("Too many tries"), "not even the right one");
    let answer = client.post("/api/login", &json!({"name": "mira", "password": PASSWORD})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "rate_limited"));
    world.pass(15 * 60_000);
    client.sign_in("mira", PASSWORD).await.expect(303);
}

#[tokio::test]
async fn tries_through_a_trusted_proxy_count_for_the_client_and_through_any_other_for_the_peer() {
    let world = World::new();
    let admin = world.admin().await;
    let client = world.stranger();
    let try_from = |peer: &str, forwarded: &'static str| {
        let peer: SocketAddr = peer.parse().unwrap();
        let request = client
            .request(Method::POST, "/api/login")
            .header("x-forwarded-for", forwarded)
            .header("content-type", "application/json")
            .extension(ConnectInfo(peer));
        client.raw(request.body(json!({"name": "mira", "password": "wrong"}).to_string().into()).unwrap())
    };
    for _ in 0..5 {
        try_from("198.51.100.7:5000", "203.0.113.1").await.expect(401);
        try_from("198.51.100.8:5000", "203.0.113.2").await.expect(401);
    }
    try_from("198.51.100.7:5000", "203.0.113.1").await.expect(429);
    try_from("198.51.100.7:5000", "203.0.113.2").await.expect(401);
    // Not a proxy that is known: what it writes changes nothing.
    try_from("198.51.100.8:5000", "203.0.113.3").await.expect(429);
    let audit = admin.get("/api/audit?action=sign_in_refused").await.expect(200).text;
    assert!(audit.contains("203.0.113.1") && audit.contains("198.51.100.8"), "{audit}");
    assert!(!audit.contains("198.51.100.7") && !audit.contains("203.0.113.3"), "{audit}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_in_is_not_waited_for() {
    let world = World::new();
    let client = world.admin().await;
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    let request = client.request(Method::POST, "/api/hosts").header("x-csrf-token", &client.csrf);
    let answer = client.raw(request.body(body).unwrap()).await.expect(408);
    assert_eq!(answer.code(), "timeout");
}

#[tokio::test]
async fn an_unknown_name_is_answered_like_a_wrong_password() {
    let world = World::new();
    world.admin().await;
    let answers =
        [world.stranger().sign_in("mira", "wrong").await, world.stranger().sign_in("nobody", "wrong").await];
    assert_eq!(answers[0].text.replace("mira", "X"), answers[1].text.replace("nobody", "X"));
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let world = World::new();
    let mut client = world.admin().await;
    let stolen = client.clone();
    let answer = client.post_form("/logout", "").await.expect(303);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(stolen.get("/").await.status, StatusCode::SEE_OTHER);
    assert_eq!(stolen.get("/api/me").await.code(), "unauthorised");
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_and_needs_the_old_one() {
    let world = World::new();
    let mut client = world.admin().await;
    let answer =
        client.post_form("/account/password", "old=wrong&password=another+few+words").await.expect(422);
    assert!(answer.text.contains("This is not your password."));
    let form = "old=a+few+words+in+a+row&password=another+few+words";
    client.post_form("/account/password", form).await.expect(303);
    assert_eq!(client.get("/").await.status, StatusCode::SEE_OTHER, "this session too");
    client.sign_in("mira", PASSWORD).await.expect(401);
    client.sign_in("mira", "another few words").await.expect(303);
}

#[tokio::test]
async fn a_write_with_a_cookie_needs_the_token_of_its_session() {
    let world = World::new();
    let mut client = world.admin().await;
    let right = client.csrf.clone();
    let other = world.account(&client, "janne", Role::Admin).await.csrf;
    for wrong in ["", "x", &other] {
        client.csrf = wrong.to_owned();
        let page = client.post_form("/hosts", "name=evil").await.expect(403);
        assert!(page.text.contains("did not come from this site"));
        assert_eq!(client.post("/api/hosts", &json!({"name": "evil"})).await.expect(403).code(), "csrf");
    }
    client.csrf = right;
    client.post_form("/hosts", "name=good").await.expect(303);
}

#[tokio::test]
async fn a_write_from_another_site_is_refused_even_with_the_token() {
    let world = World::new();
    let client = world.admin().await;
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let request = client
            .request(Method::POST, "/hosts")
            .header("content-type", "application/x-www-form-urlencoded")
            .header(name, value)
            .body(Body::from(format!("csrf={}&name=evil", client.csrf)))
            .unwrap();
        client.raw(request).await.expect(403);
        // Signing somebody in from elsewhere is no better.
        let request = world
            .stranger()
            .request(Method::POST, "/login")
            .header("content-type", "application/x-www-form-urlencoded")
            .header(name, value)
            .body(Body::from("name=mira&password=a+few+words+in+a+row"))
            .unwrap();
        client.raw(request).await.expect(403);
    }
}

#[tokio::test]
async fn a_program_shows_its_token_and_needs_no_csrf() {
    let world = World::new();
    let admin = world.admin().await;
    let program = world.program(Role::Operator).await;
    program.post("/api/hosts", &json!({"name": "by-script"})).await.expect(201);
    let me = program.get("/api/me").await.expect(200).json();
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("script-operator"), None));
    assert!(me["csrf"].is_null());
    program.send(Method::POST, "/api/logout", None).await.expect(403);
    let request = admin.request(Method::GET, "/api/me").header("authorization", "Bearer hft_wrong");
    let answer = admin.raw(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "a wrong token is not made good by a cookie");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
    let world = World::new();
    let client = world.admin().await;
    for path in ["/", "/login", "/nothing", "/api/hosts", "/api/nothing", "/healthz"] {
        let answer = client.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_session_that_ends_loses_nothing_that_was_typed_but_secrets() {
    let world = World::new();
    let admin = world.admin().await;
    let host = admin.post("/api/hosts", &json!({"name": "barn"})).await.expect(201).json();
    let address = format!("/hosts/{}/groups", host["id"].as_str().unwrap());
    let mut client = world.stranger();
    let typed = "name=home&includes=%2Fhome%0A%2Fsrv+%26+more&retry_max=3&password=geheim";
    let password = PASSWORD.replace(' ', "+");
    let page = client.post_form(&address, typed).await.expect(401).text;
    assert!(page.contains("What you typed is kept") && !page.contains("geheim"), "{page}");
    let again = format!(
        "name=mira&password={password}&kept_to={address}&kept_left_out=password&kept.name=home&\
         kept.includes=%2Fhome%0A%2Fsrv+%26+more&kept.retry_max=3"
    );
    let page = client.post_form("/login", &again).await.expect(200).text;
    assert!(
        page.contains("action=\"") && page.contains(&address.replace('/', "&#x2f;"))
            || page.contains(&address)
    );
    assert!(
        page.contains("Send it") && page.contains("srv &amp; more") && page.contains("Type it again"),
        "{page}"
    );
    client.take_csrf().await;
    client.post_form(&address, "name=home&includes=%2Fhome&retry_max=3").await.expect(303);

    // Another site can't put words into a page of this one, nor lead elsewhere.
    let cross = world.stranger();
    let request = cross.request(Method::POST, &address).header("sec-fetch-site", "cross-site");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(cross.raw(request.body(Body::from(typed)).unwrap()).await.status, 303);
    let elsewhere = format!("name=mira&password={password}&kept_to=//evil.example&kept.a=b");
    let answer = world.stranger().post_form("/login", &elsewhere).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
}
