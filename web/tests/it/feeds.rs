//! Feeds: read without an account by an address that nobody guesses, and what they say.

use crate::agent::{boat, run};
use crate::world::{Answer, Client, World};
use axum::body::Body;
use axum::http::Method;
use fleet::record::Role;
use serde_json::{Value, json};

/// Makes a feed, and gives back its path.
async fn made(client: &Client, name: &str, kind: &str, more: Value) -> String {
    let mut body = json!({"name": name, "kind": kind});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let answer = client.post("/api/feeds", &body).await.expect(201).json();
    answer["url"].as_str().unwrap().strip_prefix("http://fleet.lan").unwrap().to_owned()
}

async fn with_tag(client: &Client, path: &str, tag: &str) -> Answer {
    let request = client.request(Method::GET, path).header("if-none-match", tag);
    client.raw(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_feed_is_read_by_its_address_alone_until_it_is_deleted() {
    let world = World::new();
    let client = world.admin().await;
    boat(&world, &client).await;
    let stranger = world.stranger();
    for (kind, content_type, begins) in [
        ("status", "application/json", "{"),
        ("badge", "image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\""),
        ("calendar", "text/calendar; charset=utf-8", "BEGIN:VCALENDAR\r\n"),
    ] {
        let path = made(&client, kind, kind, json!({})).await;
        let answer = stranger.get(&path).await.expect(200);
        assert_eq!(answer.header("content-type"), content_type);
        assert!(answer.text.starts_with(begins), "{}", answer.text);
        assert!(!answer.text.contains("boat"), "no host is named: {}", answer.text);
        assert!(answer.header("set-cookie").is_empty());
        assert!(answer.header("cache-control").starts_with("public, max-age="));
        // Pages elsewhere may read the status, and nothing else.
        let allowed = answer.headers.contains_key("access-control-allow-origin");
        assert_eq!(allowed, kind == "status", "{kind}");
        // Who has it already is sent nothing, by a tag that is the same until something changes.
        let tag = answer.header("etag").to_owned();
        let again = with_tag(&stranger, &path, &tag).await.expect(304);
        assert_eq!((again.text.as_str(), again.header("etag")), ("", tag.as_str()));
        assert_eq!(with_tag(&stranger, &path, "\"other\"").await.expect(200).text, answer.text);
        // A browser that is signed in, or a token of the API, is neither asked for nor hindering.
        let request = client.request(Method::GET, &path).header("authorization", "Bearer wrong");
        assert_eq!(client.raw(request.body(Body::empty()).unwrap()).await.status, 200);

        // Another sort, another key and no key are all the same nothing.
        let key = path.split('/').nth(2).unwrap().to_owned();
        let other = if kind == "badge" { "status.json" } else { "badge.svg" };
        for wrong in [
            format!("/feeds/{key}/{other}"),
            path.replace(&key, "hff_x"),
            path.replace(&key, &key[..key.len() - 1]),
        ] {
            let answer = stranger.get(&wrong).await.expect(404);
            assert_eq!(answer.text, "There is nothing at this address.\n", "{wrong}");
            assert!(answer.header("etag").is_empty());
        }
        client.send(Method::DELETE, &format!("/api/feeds/{kind}"), None).await.expect(204);
        stranger.get(&path).await.expect(404);
        client.send(Method::DELETE, &format!("/api/feeds/{kind}"), None).await.expect(404);
        // Its key is told once, and stands nowhere else.
        for page in ["/api/feeds", "/integrations", "/audit", "/api/audit"] {
            assert!(!client.get(page).await.expect(200).text.contains(&key), "{page}");
        }
    }
    let audit = client.get("/audit").await.expect(200).text;
    assert!(audit.contains("made a feed") && audit.contains("deleted a feed"), "{audit}");
}

#[tokio::test]
async fn what_feeds_say_is_what_the_report_says() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let stranger = world.stranger();
    let labelled = json!({"labels": ["office"]});
    client.send(Method::PATCH, &format!("/api/hosts/{}", agent.host), Some(&labelled)).await.expect(200);
    client.post("/api/hosts", &json!({"name": "studio"})).await.expect(201);
    let status = made(&client, "status", "status", json!({"names": true})).await;
    let all = made(&client, "all", "badge", json!({})).await;
    let office = made(&client, "office", "badge", json!({"label": "office", "names": true})).await;
    let boat_badge = made(&client, "boat", "badge", json!({"host": "boat-pi", "names": true})).await;
    let studio = made(&client, "studio", "badge", json!({"host": "studio", "names": true})).await;
    let nobody = made(&client, "nobody", "badge", json!({"label": "nobody"})).await;
    let title = async |path: &str| {
        let svg = stranger.get(path).await.expect(200).text;
        svg.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).unwrap().0.to_owned()
    };
    let grey = "#63666a";
    let looks = async |path: &str, colour: &str| stranger.get(path).await.expect(200).text.contains(colour);

    assert_eq!(title(&all).await, "backups: 1 of 2 protected");
    assert_eq!(title(&office).await, "backups of office: 1 of 1 protected");
    assert_eq!(title(&boat_badge).await, "backup of boat-pi: protected");
    assert_eq!(title(&studio).await, "backup of studio: not protected");
    assert_eq!(title(&nobody).await, "backups: no hosts");
    assert!(looks(&nobody, grey).await && !looks(&all, grey).await);

    let hourly = json!({"name": "hourly", "cron": "@hourly", "groups": ["logbook"]});
    client.post(&format!("/api/hosts/{}/schedules", agent.host), &hourly).await.expect(201);
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.back_up(&world, job).await;
    world.pass(10_000);
    assert_eq!(title(&all).await, "backups: 1 of 2 protected");
    // The same is sent for a while; then it is read anew.
    client.post("/api/hosts", &json!({"name": "third"})).await.expect(201);
    assert_eq!(title(&all).await, "backups: 1 of 2 protected");
    world.pass(10_000);
    assert_eq!(title(&all).await, "backups: 1 of 3 protected");
    let report = client.get("/api/report").await.expect(200).json();
    assert_eq!((&report["protected"], &report["hosts_total"]), (&1.into(), &3.into()), "{report}");
    assert_eq!(title(&office).await, "backups of office: 1 of 1 protected");
    assert_eq!(title(&boat_badge).await, "backup of boat-pi: protected");
    let told = stranger.get(&status).await.expect(200).json();
    for field in ["hosts_total", "protected", "protected_in_need", "unprotected_in_need"] {
        assert_eq!(told[field], report[field], "{field}");
    }
    assert_eq!(told["status"], "unprotected");
    for part in report["by_status"].as_array().unwrap() {
        assert_eq!(told["by_status"][part["status"].as_str().unwrap()], part["hosts"], "{part}");
    }
    let host = &told["hosts"][0];
    let seen = client.get(&format!("/api/hosts/{}", agent.host)).await.expect(200).json();
    for field in ["name", "status", "protected", "last_good_at"] {
        assert_eq!(host[field], seen[field], "{field}");
    }
    assert_eq!((told["hosts"].as_array().unwrap().len(), &told["hosts_left_out"]), (3, &0.into()));

    // A host that is gone is not known, and never green.
    client.send(Method::DELETE, &format!("/api/hosts/{}", agent.host), None).await.expect(204);
    world.pass(10_000);
    assert_eq!(title(&boat_badge).await, "backup: unknown");
    assert!(looks(&boat_badge, grey).await);
    let page = client.get("/integrations").await.expect(200).text;
    assert!(page.contains("a host that was deleted"), "{page}");
}

#[tokio::test]
async fn a_calendar_has_what_schedules_have_due_at_the_times_of_the_pages() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let stranger = world.stranger();
    let schedules = format!("/api/hosts/{}/schedules", agent.host);
    let nightly = json!({"name": "nightly", "cron": "0 3 * * *", "timezone": "UTC", "groups": ["logbook"], "jitter_secs": 7200});
    let due = client.post(&schedules, &nightly).await.expect(201).json();
    let off = json!({"name": "never", "cron": "0 4 * * *", "timezone": "UTC", "groups": ["logbook"], "enabled": false});
    client.post(&schedules, &off).await.expect(201);
    let all = made(&client, "all", "calendar", json!({"names": true})).await;
    let other = made(&client, "other", "calendar", json!({"label": "other", "names": true})).await;
    let file = stranger.get(&all).await.expect(200).text;
    let first = due["next_run_at"].as_str().unwrap().replace(['-', ':'], "");
    let starts: Vec<_> = file.lines().filter_map(|line| line.strip_prefix("DTSTART:")).collect();
    assert_eq!((starts.len(), starts[0]), (14, first.as_str()), "one a night: {file}");
    assert_eq!(file.matches("SUMMARY:Backup of boat-pi (nightly)\r\n").count(), 14);
    let file = stranger.get(&other).await.expect(200).text;
    assert!(file.contains("SUMMARY:No backup is due in the next 14 days\r\n"), "{file}");
    client.send(Method::DELETE, &format!("{schedules}/nightly"), None).await.expect(204);
    world.pass(60_000);
    assert!(!stranger.get(&all).await.expect(200).text.contains("boat"));
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_wait_and_to_guess_is_to_ask() {
    let world = World::new();
    let client = world.admin().await;
    let path = made(&client, "wall", "badge", json!({})).await;
    let stranger = world.stranger();
    for number in 0..119 {
        stranger.get(&format!("/feeds/hff_{number}/badge.svg")).await.expect(404);
    }
    stranger.get(&path).await.expect(200);
    let held = stranger.get(&path).await.expect(429);
    assert!(held.header("retry-after").parse::<u64>().is_ok_and(|secs| (1..=60).contains(&secs)));
    world.pass(60_000);
    stranger.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_feed_is_made_on_the_page_its_address_is_shown_once_and_what_was_typed_stays() {
    let world = World::new();
    let mut client = world.admin().await;
    boat(&world, &client).await;
    for (form, field, says) in [
        ("name=a+b&kind=badge", "name", "letters, digits"),
        ("name=wall&kind=wall", "kind", "a status, a badge or a calendar"),
        ("name=wall&kind=badge&host=nobody", "host", "no such host"),
        ("name=wall&kind=badge&host=boat-pi&label=office", "host", "not of both"),
    ] {
        let page = client.post_form("/integrations/feeds", form).await.expect(422).text;
        assert!(page.contains(&format!("id=\"{field}-error\"")) && page.contains(says), "{form}: {page}");
        assert!(page.contains("value=\"wall\"") || field == "name", "{page}");
    }
    let made = client
        .post_form("/integrations/feeds", "name=wall&kind=badge&host=boat-pi&names=on")
        .await
        .expect(303);
    assert_eq!(made.header("location"), "/integrations#minted");
    let page = client.get("/integrations").await.expect(200).text;
    let address =
        page.split("http://fleet.lan").nth(1).and_then(|rest| rest.split(['<', '&', '"']).next()).unwrap();
    assert!(address.ends_with("/badge.svg") && page.contains("boat-pi, named"), "{page}");
    world.stranger().get(address).await.expect(200);
    let again = client.get("/integrations").await.expect(200).text;
    assert!(!again.contains("hff_") && again.contains("Delete wall"), "{again}");
    client.post_form("/integrations/feeds/wall/delete", "").await.expect(303);
    world.stranger().get(address).await.expect(404);

    // Nobody but an admin makes or sees them.
    let operator = world.account(&client, "otto", Role::Operator).await;
    operator.get("/integrations").await.expect(403);
    operator.post("/api/feeds", &json!({"name": "x", "kind": "badge"})).await.expect(403);
}
