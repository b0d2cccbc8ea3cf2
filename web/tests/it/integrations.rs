//! What other people's tools may find: by the page and by the API.

use crate::world::World;
use axum::http::Method;
use serde_json::json;

#[tokio::test]
async fn home_assistant_is_switched_by_page_and_api_and_each_says_how_it_stands() {
    let world = World::new();
    let mut client = world.admin().await;
    let page = client.get("/integrations").await.expect(200).text;
    assert!(page.contains("Switch on") && !page.contains("Switch off"), "{page}");
    client.post_form("/integrations/home-assistant", "switch=on").await.expect(303);
    let page = client.get("/integrations").await.expect(200).text;
    assert!(page.contains("Switch off") && !page.contains("Switch on"), "{page}");
    assert_eq!(client.get("/api/home-assistant").await.expect(200).json(), json!({"enabled": true}));
    let off = json!({"enabled": false});
    let answer = client.send(Method::PUT, "/api/home-assistant", Some(&off)).await.expect(200).json();
    assert_eq!(answer, off);
    assert!(!world.fleet.read().unwrap().home_assistant().unwrap());
    // Neither is switched by what says nothing.
    client.post_form("/integrations/home-assistant", "switch=maybe").await.expect(422);
    for body in [json!({}), json!({"enabled": "yes"}), json!({"enabled": true, "more": 1})] {
        client.send(Method::PUT, "/api/home-assistant", Some(&body)).await.expect(422);
    }
    assert!(!world.fleet.read().unwrap().home_assistant().unwrap());
    let audit = client.get("/audit").await.expect(200).text;
    assert!(audit.contains("switched discovery by Home Assistant"), "{audit}");
}
