//! The route table, walked through: who may not, does not.

use crate::agent::boat;
use crate::world::World;
use axum::http::Method;
use fleet::record::{Role, Scope};
use web::Access;

/// An address of a route, its names filled with what is not there.
fn address(path: &str) -> String {
    path.replace("{host}", "none").replace("{kind}", "check").replace(['{', '}'], "")
}

#[tokio::test]
async fn without_a_session_pages_lead_to_the_sign_in_and_the_api_says_so() {
    let world = World::new();
    world.admin().await;
    let stranger = world.stranger();
    let mut open = Vec::new();
    for (method, path, access) in web::routes() {
        if access == Access::Open {
            open.push(path);
            continue;
        }
        let answer = stranger.send(method.parse().unwrap(), &address(path), None).await;
        if path.starts_with("/api/") || path == "/metrics" {
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (401, "unauthorised"),
                "{method} {path}"
            );
        } else {
            assert_eq!(answer.status.as_u16(), 303, "{method} {path}");
            assert!(answer.header("location").starts_with("/login"), "{method} {path}");
        }
    }
    open.dedup();
    assert_eq!(
        open,
        [
            "/static/{version}/{name}",
            "/healthz",
            "/readyz",
            "/setup/{code}",
            "/login",
            "/acknowledge/{incident}/{key}",
            "/feeds/{key}/status.json",
            "/feeds/{key}/badge.svg",
            "/feeds/{key}/calendar.ics",
            "/api/openapi.json",
            "/api/setup",
            "/api/login",
            "/api/standby/archive",
            "/api/standby/succession"
        ],
        "nothing else is open to strangers"
    );
    // These two ask for something else than a session: a standby's token, and what only the master key seals.
    let answer = stranger.send("GET".parse().unwrap(), "/api/standby/archive", None).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "no_standby"));
    let forged = serde_json::json!({ "statement": "AQIDBA==" });
    let answer = stranger.send("POST".parse().unwrap(), "/api/standby/succession", Some(&forged)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "forbidden"));
}

#[tokio::test]
async fn a_role_below_the_one_of_the_route_is_refused_everywhere() {
    let world = World::new();
    let admin = world.admin().await;
    let clients = [
        (Role::Viewer, world.account(&admin, "viola", Role::Viewer).await),
        (Role::Viewer, world.program(Role::Viewer).await),
        (Role::Operator, world.account(&admin, "otto", Role::Operator).await),
        (Role::Operator, world.program(Role::Operator).await),
    ];
    let mut refused = 0;
    for (method, path, access) in web::routes() {
        let Access::Scope(needed) = access else { continue };
        for (role, client) in clients.iter().filter(|(role, _)| *role < needed.role()) {
            let answer = client.send(method.parse().unwrap(), &address(path), None).await;
            assert_eq!(answer.status.as_u16(), 403, "{method} {path} as {role:?}: {}", answer.text);
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say_and_nothing_else() {
    let world = World::new();
    world.admin().await;
    let mut refused = 0;
    for has in Scope::ALL {
        let token = world.token(has.as_str(), [has].into_iter().collect()).await;
        for (method, path, access) in web::routes() {
            // A stream stays open, and what deletes or makes is tried with names that are not there.
            let needed = match access {
                Access::Scope(needed) if path != "/api/events" => Some(needed),
                Access::SignedIn => None,
                _ => continue,
            };
            let answer = token.send(method.parse().unwrap(), &address(path), None).await;
            let is_refused = answer.status == 403;
            assert_eq!(is_refused, needed != Some(has), "{method} {path} with {has:?}: {}", answer.text);
            refused += u32::from(is_refused);
        }
    }
    assert!(refused > 400, "{refused}");
}

#[tokio::test]
async fn a_token_without_a_scope_or_with_an_unknown_one_is_not_made() {
    let world = World::new();
    let mut admin = world.admin().await;
    for scopes in [serde_json::json!([]), serde_json::json!(["read", "everything"])] {
        let body = serde_json::json!({"name": "ci", "scopes": scopes});
        let answer = admin.post("/api/tokens", &body).await.expect(422).json();
        assert_eq!(answer["error"]["field"], "scopes", "{answer}");
    }
    let page = admin.post_form("/tokens", "name=ci").await.expect(422).text;
    assert!(page.contains("A token needs one scope at least") && page.contains("value=\"ci\""), "{page}");
    let body = serde_json::json!({"name": "ci", "scopes": ["run", "read", "run"]});
    let made = admin.post("/api/tokens", &body).await.expect(201).json();
    assert_eq!(made["scopes"], serde_json::json!(["read", "run"]));
    assert!(admin.get("/settings").await.expect(200).text.contains("read, run"));
    assert!(admin.get("/audit").await.expect(200).text.contains("read, run"));
}

#[tokio::test]
async fn a_viewer_changes_nothing_but_the_own_account() {
    let own = ["/logout", "/account/password", "/account/theme", "/api/logout"];
    for (method, path, access) in web::routes() {
        match access {
            _ if method == "GET" => {}
            Access::Open => assert!(
                // The last one believes only what the master key has sealed.
                [
                    "/login",
                    "/setup/{code}",
                    "/acknowledge/{incident}/{key}",
                    "/api/login",
                    "/api/setup",
                    "/api/standby/succession"
                ]
                .contains(&path),
                "{method} {path} is open"
            ),
            Access::SignedIn => assert!(own.contains(&path), "{method} {path}"),
            Access::Scope(scope) => assert!(scope.role() > Role::Viewer, "{method} {path}"),
        }
    }
}

#[tokio::test]
async fn a_viewer_sees_every_page_of_the_fleet_without_a_way_to_act() {
    let world = World::new();
    let admin = world.admin().await;
    let agent = boat(&world, &admin).await;
    let viewer = world.account(&admin, "viola", Role::Viewer).await;
    let host = format!("/hosts/{}", agent.host);
    admin.post("/api/hosts", &serde_json::json!({"name": "studio"})).await.expect(201);
    let attention = viewer.get("/?part=fleet-attention").await.expect(200).text;
    assert!(attention.contains("No agent enrolled yet") && !attention.contains("Enrol it"), "{attention}");
    assert!(admin.get("/?part=fleet-attention").await.expect(200).text.contains("Enrol it"));
    let hourly = serde_json::json!({"name": "hourly", "cron": "@hourly", "groups": ["logbook"]});
    admin.post(&format!("/api{host}/schedules"), &hourly).await.expect(201);
    for path in [
        "/".to_owned(),
        host.clone(),
        format!("{host}/repo"),
        format!("{host}/jobs"),
        format!("{host}/snapshots"),
        format!("{host}/settings"),
        format!("{host}/groups/logbook"),
        format!("{host}/schedules/hourly"),
        "/pending".to_owned(),
        "/jobs".to_owned(),
        "/audit".to_owned(),
        "/account".to_owned(),
    ] {
        let page = viewer.get(&path).await.expect(200).text;
        let acts: Vec<&str> = page
            .split("action=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|action| !["/", "/audit", "/logout"].contains(action) && !action.starts_with("/account/"))
            .collect();
        let dead_forms = [
            "/repo-credentials",
            "/admin-credentials",
            "/maintenance",
            "/groups/logbook",
            "/schedules/hourly",
        ];
        let alive: Vec<&&str> = acts
            .iter()
            .filter(|action| !dead_forms.iter().any(|form| action.ends_with(form)) && **action != host)
            .collect();
        assert!(alive.is_empty(), "{path}: {alive:?}");
        assert!(!page.contains("/settings\"") || path == host || page.contains(&format!("{host}/settings")));
    }
    viewer.get("/settings").await.expect(403);
    let _ = Method::GET;
}
