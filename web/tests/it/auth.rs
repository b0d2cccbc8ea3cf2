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
    assert!(page.text.contains("Create the first account"));
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
async fn after_five_wrong_passwords_each_try_waits_longer() {
    let world = World::new();
    world.admin().await;
    let mut client = world.stranger();
    for left in ["4 attempts left", "3 attempts left", "2 attempts left", "1 attempt left"] {
        let answer = client.sign_in("mira", "wrong").await.expect(401);
        let words = format!("Name and password do not match. {left} before you have to wait.");
        assert!(answer.text.contains(&words), "{}", answer.text);
    }
    let answer = client.sign_in("mira", "wrong").await.expect(401);
    assert!(answer.text.contains("Try again in 30 s."), "{}", answer.text);
    let answer = client.sign_in("mira", PASSWORD).await.expect(429);
    assert!(answer.text.contains("Too many attempts"), "not even the right one");
    let answer = client.post("/api/login", &json!({"name": "mira", "password": PASSWORD})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "rate_limited"));
    world.pass(30_000);
    let answer = client.sign_in("mira", "wrong").await.expect(401);
    assert!(answer.text.contains("Try again in 60 s."), "{}", answer.text);
    world.pass(59_000);
    client.sign_in("mira", PASSWORD).await.expect(429);
    world.pass(1_000);
    client.sign_in("mira", PASSWORD).await.expect(303);
    client.cookie = None;
    client.sign_in("mira", "wrong").await.expect(401);
}

impl World {
    /// Tries to sign in from an address; `device` is sent as the browser's cookie.
    async fn try_from(
        &self,
        peer: &str,
        name: &str,
        password: &str,
        device: Option<&str>,
    ) -> crate::world::Answer {
        let client = self.stranger();
        let peer: SocketAddr = peer.parse().unwrap();
        let mut request =
            client.request(Method::POST, "/api/login").header("content-type", "application/json");
        if let Some(device) = device {
            request = request.header("cookie", device);
        }
        let body = json!({"name": name, "password": password}).to_string();
        client.raw(request.extension(ConnectInfo(peer)).body(body.into()).unwrap()).await
    }
}

/// The cookie by which a browser is known again, as it sends it.
fn device(answer: &crate::world::Answer) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let cookie = cookies.into_iter().find(|cookie| cookie.starts_with("holdfast-device=")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

const ELSEWHERE: &str = "203.0.113.9:5000";

#[tokio::test]
async fn thirty_tries_of_one_lock_out_nobody_else_and_not_even_the_name_where_it_is_known() {
    let world = World::new();
    let admin = world.admin().await;
    world.account(&admin, "janne", Role::Viewer).await;
    let good = world.try_from(ELSEWHERE, "mira", PASSWORD, None).await.expect(200);
    let known = device(&good);
    for n in 0..30 {
        world.try_from(ELSEWHERE, "mira", "wrong", None).await;
        world.try_from(ELSEWHERE, &format!("nobody{n}"), "wrong", None).await;
    }
    world.try_from(ELSEWHERE, "mira", PASSWORD, None).await.expect(429);
    world.try_from(ELSEWHERE, "janne", PASSWORD, None).await.expect(200);
    let answer = world.try_from(ELSEWHERE, "mira", PASSWORD, Some(&known)).await.expect(200);
    assert_eq!(device(&answer), known, "it stays the same browser");
    // Somebody else's browser is not hers, and a made-up mark is none.
    let other = world.try_from(ELSEWHERE, "janne", PASSWORD, None).await.expect(200);
    for _ in 0..5 {
        world.try_from(ELSEWHERE, "mira", "wrong", None).await;
    }
    world.try_from(ELSEWHERE, "mira", PASSWORD, Some(&device(&other))).await.expect(429);
    world.try_from(ELSEWHERE, "mira", PASSWORD, Some("holdfast-device=AAAA.BBBB")).await.expect(429);
    // A browser that two people use is known for both.
    let both = world.try_from(ELSEWHERE, "janne", PASSWORD, Some(&known)).await.expect(200);
    world.try_from(ELSEWHERE, "mira", PASSWORD, Some(&device(&both))).await.expect(200);
    // It may not try for ever either.
    for _ in 0..5 {
        world.try_from(ELSEWHERE, "mira", "wrong", Some(&known)).await.expect(401);
    }
    world.try_from(ELSEWHERE, "mira", PASSWORD, Some(&known)).await.expect(429);
}

#[tokio::test]
async fn a_whole_ipv6_network_is_one_and_a_mapped_address_is_the_plain_one() {
    let world = World::new();
    world.admin().await;
    for n in 0..5 {
        world.try_from(&format!("[2001:db8::{n}:1]:5000"), "mira", "wrong", None).await.expect(401);
        let mapped = if n % 2 == 0 { "[::ffff:192.0.2.9]:5000" } else { "192.0.2.9:5000" };
        world.try_from(mapped, "mira", "wrong", None).await.expect(401);
    }
    world.try_from("[2001:db8::ffff]:5000", "mira", PASSWORD, None).await.expect(429);
    world.try_from("192.0.2.9:5000", "mira", PASSWORD, None).await.expect(429);
    world.try_from("[2001:db8:0:1::1]:5000", "mira", PASSWORD, None).await.expect(200);
}

#[tokio::test]
async fn wrong_tries_in_one_session_block_nobody_elses_change_of_password() {
    let world = World::new();
    let mut admin = world.admin().await;
    let mut viewer = world.account(&admin, "janne", Role::Viewer).await;
    let wrong = "old=wrong&password=another+few+words";
    for left in ["4 attempts left", "3 attempts left", "2 attempts left", "1 attempt left", "again in 30 s"] {
        let answer = viewer.post_form("/account/password", wrong).await.expect(422);
        assert!(answer.text.contains(left), "{}", answer.text);
    }
    for _ in 0..40 {
        let answer = viewer.post_form("/account/password", wrong).await.expect(422);
        assert!(answer.text.contains("Too many attempts"), "{}", answer.text);
    }
    let mut other = world.stranger();
    other.sign_in("janne", PASSWORD).await.expect(303);
    other.take_csrf().await;
    let form = "old=a+few+words+in+a+row&password=another+few+words";
    other.post_form("/account/password", form).await.expect(303);
    admin.post_form("/account/password", form).await.expect(303);
}

#[tokio::test]
async fn what_was_counted_and_which_browser_is_known_survive_a_restart() {
    let mut world = World::new();
    world.admin().await;
    let known = device(&world.try_from(ELSEWHERE, "mira", PASSWORD, None).await.expect(200));
    for _ in 0..5 {
        world.try_from(ELSEWHERE, "mira", "wrong", None).await.expect(401);
    }
    world.restart();
    world.try_from(ELSEWHERE, "mira", PASSWORD, None).await.expect(429);
    world.try_from(ELSEWHERE, "mira", PASSWORD, Some(&known)).await.expect(200);
    world.pass(30_000);
    world.try_from(ELSEWHERE, "mira", PASSWORD, None).await.expect(200);
}

#[tokio::test]
async fn who_has_to_wait_is_shown_to_admins() {
    let world = World::new();
    let admin = world.admin().await;
    for _ in 0..5 {
        world.try_from(ELSEWHERE, "mira", "wrong", None).await;
        world.try_from(ELSEWHERE, "my-password-by-mistake", "mira", None).await;
    }
    let all = admin.get("/api/held-up").await.expect(200).json();
    let at = |listener: &str, account: serde_json::Value| {
        let items = all["items"].as_array().unwrap().iter();
        items
            .filter(|item| item["listener"] == listener && item["account"] == account)
            .cloned()
            .collect::<Vec<_>>()
    };
    let mira = at("pages", json!("mira"));
    assert_eq!((mira.len(), &mira[0]["address"]), (1, &json!("203.0.113.9")), "{all}");
    assert_eq!(mira[0]["failures"], 5);
    assert_eq!(at("pages", json!(null)).len(), 1, "a name that is none is not written down: {all}");
    assert_eq!(at("mqtt", json!("barn"))[0]["address"], "192.0.2.77");
    let page = admin.get("/settings").await.expect(200).text;
    assert!(page.contains("203.0.113.9") && page.contains("192.0.2.77"), "{page}");
    assert!(!page.contains("my-password-by-mistake"));
    let metrics = admin.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("holdfast_sign_ins_held_up 2\n"), "{metrics}");
    assert!(metrics.contains("# TYPE holdfast_broker_logins_throttled_total counter\nholdfast_broker_logins_throttled_total 7\n"), "{metrics}");
}

#[tokio::test]
async fn the_settings_say_that_everybody_comes_from_one_address_that_is_no_trusted_proxy() {
    let world = World::new();
    let admin = world.admin().await;
    let says = async || admin.get("/settings").await.expect(200).text.contains("--trusted-proxy 10.0.0.5");
    world.try_from("10.0.0.5:5000", "mira", PASSWORD, None).await.expect(200);
    assert!(!says().await, "one person at one machine");
    world.try_from("10.0.0.5:5000", "nobody", "wrong", None).await.expect(401);
    assert!(!says().await, "who mistypes his name");
    let body = json!({"name": "janne", "role": "viewer", "password": PASSWORD});
    admin.post("/api/operators", &body).await.expect(201);
    world.try_from("10.0.0.5:5000", "janne", "wrong", None).await.expect(401);
    assert!(says().await, "two, and nobody from elsewhere");
    world.try_from("10.0.0.6:5000", "mira", PASSWORD, None).await.expect(200);
    assert!(!says().await);
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
    assert!(page.contains("What you typed is saved") && !page.contains("geheim"), "{page}");
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
        page.contains(">Send</button>") && page.contains("srv &amp; more") && page.contains("Type it again"),
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
