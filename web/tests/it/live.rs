//! Server-sent events.

use crate::agent::boat;
use crate::world::World;
use axum::body::{Body, BodyDataStream};
use axum::http::Method;
use futures_util::StreamExt;
use serde_json::json;
use std::time::Duration;
use tower::ServiceExt;

struct Stream(BodyDataStream, String);

impl Stream {
    async fn open(world: &World, client: &crate::world::Client, path: &str, last: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("content-encoding"));
        Self(response.into_body().into_data_stream(), String::new())
    }

    /// The next event, whole; `None` = the stream has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.1 = rest;
                if !event.starts_with(':') {
                    return Some(event);
                }
                continue;
            }
            let piece =
                tokio::time::timeout(Duration::from_secs(30), self.0.next()).await.expect("an event")?;
            self.1.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    async fn until(&mut self, topic: &str) -> String {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.contains(&format!("{{\"topic\":\"{topic}\"}}")) {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn a_change_is_told_by_its_topic_and_nothing_more() {
    let world = World::new();
    let client = world.admin().await;
    let mut stream = Stream::open(&world, &client, "/api/events?topics=fleet", None).await;
    client.post("/api/hosts", &json!({"name": "harbour-pi"})).await.expect(201);
    let event = stream.until("fleet").await;
    let mut lines: Vec<&str> = event.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 2, "{event}");
    assert_eq!(lines[0], "data: {\"topic\":\"fleet\"}");
    assert!(lines[1].starts_with("id: "), "{event}");
}

#[tokio::test]
async fn who_comes_back_with_an_id_is_told_to_look_at_everything() {
    let world = World::new();
    let client = world.admin().await;
    let mut stream = Stream::open(&world, &client, "/api/events?topics=audit", Some("7")).await;
    stream.until("all").await;
}

#[tokio::test]
async fn what_changed_between_the_page_and_its_stream_is_not_lost() {
    let world = World::new();
    let client = world.admin().await;
    let page = client.get("/").await.expect(200).text;
    let (_, rest) = page.split_once("data-seq=\"").expect("the page says what it knows");
    let known = rest.split('"').next().unwrap();
    client.post("/api/hosts", &json!({"name": "harbour-pi"})).await.expect(201);
    let address = format!("/api/events?since={known}&topics=fleet");
    let mut stream = Stream::open(&world, &client, &address, None).await;
    stream.until("all").await;
    let known = world.fleet.change_seq();
    let address = format!("/api/events?since={known}&topics=audit");
    let mut stream = Stream::open(&world, &client, &address, None).await;
    client.post("/api/hosts", &json!({"name": "barn-nas"})).await.expect(201);
    let first = stream.next().await.expect("an event");
    assert!(first.contains("audit"), "nothing was missed, nothing is told: {first}");
}

#[tokio::test]
async fn progress_of_a_job_reaches_its_watchers() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let job = crate::agent::run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(&world, job).await;
    let topic = format!("job/{job}/live");
    let mut stream = Stream::open(&world, &client, &format!("/api/events?topics={topic}"), None).await;
    agent.progress(&world, job, 420_000_000, "/srv/logbook/2026.db");
    stream.until(&topic).await;
}

#[tokio::test]
async fn the_stream_ends_when_the_session_does() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut stream = Stream::open(&world, &client, "/api/events", None).await;
    client.post_form("/logout", "").await.expect(303);
    loop {
        match stream.next().await {
            Some(event) if event.starts_with("event: bye") || event.contains("\nevent: bye") => break,
            Some(_) => {}
            None => panic!("it ended without a word"),
        }
    }
    assert_eq!(stream.next().await, None);
}
