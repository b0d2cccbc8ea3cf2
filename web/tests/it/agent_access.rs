//! How agents reach the server: the forms that retire an address or the authority, and what they refuse.

use crate::agent::TestAgent;
use crate::world::{Client, PASSWORD, World};
use fleet::record::Role;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const NEW: &str = "fleet.lan:8883";
const OLD: &str = "old.lan:8883";

async fn audited(client: &Client, action: &str) -> Vec<Value> {
    let audit = client.get(&format!("/api/audit?action={action}")).await.expect(200).json();
    audit["items"].as_array().unwrap().clone()
}

async fn signed_in(world: &World) -> Client {
    let mut client = world.stranger();
    client.sign_in("mira", PASSWORD).await.expect(303);
    client.take_csrf().await;
    client
}

async fn given(client: &Client) -> Vec<(String, bool)> {
    let shown = client.get("/api/agent-access").await.expect(200).json();
    let one = |it: &Value| (it["address"].as_str().unwrap().to_owned(), it["retiring_since"].is_string());
    shown["addresses"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_settings_name_no_more_is_retired_by_the_form() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::on_disk(folder.path(), OLD);
    let admin = world.admin().await;
    let mut attic = TestAgent::enrol(&world, &admin, "attic").await;
    attic.address = OLD;
    attic.hello(&world, 1).await;
    drop(admin);
    world.move_to(folder.path(), NEW).await;
    let mut admin = signed_in(&world).await;
    assert_eq!(given(&admin).await, [(NEW.to_owned(), false), (OLD.to_owned(), true)]);
    let page = admin.get("/agent-access").await.expect(200).text;
    assert!(page.contains("Retires") && page.contains("Lose 1 host") && page.contains("attic"), "{page}");

    // Neither one that stays, nor one that is none, nor nothing.
    for address in ["fleet.lan%3A8883", "other.lan%3A8883", "", "%3Cb%3E"] {
        let refused = admin.post_form("/agent-access/retire", &format!("address={address}&force=on")).await;
        let refused = refused.expect(422);
        assert!(refused.text.contains("Only an address that agents are given"), "{}", refused.text);
        assert!(!refused.text.contains("<b>"));
    }
    // One that a host needs, without a word that it may be lost.
    let refused = admin.post_form("/agent-access/retire", "address=old.lan%3A8883").await.expect(409);
    assert!(refused.text.contains("Hosts would be lost (1)"), "{}", refused.text);
    let refused = admin.post("/api/agent-access/retire", &json!({"address": OLD})).await.expect(409);
    assert_eq!(refused.code(), "would_lose");
    assert_eq!(audited(&admin, "address.retired").await.len(), 0);
    assert_eq!(given(&admin).await.len(), 2);

    // Without the mark of the form nothing is done.
    let csrf = std::mem::replace(&mut admin.csrf, "another".to_owned());
    admin.post_form("/agent-access/retire", "address=old.lan%3A8883&force=on").await.expect(403);
    admin.csrf = csrf;
    assert_eq!(given(&admin).await.len(), 2);

    // Whoever sits at an unlocked screen can't lose hosts.
    for password in ["", "&password=another"] {
        let form = format!("address=old.lan%3A8883&force=on{password}");
        let refused = admin.post_form("/agent-access/retire", &form).await.expect(422);
        assert!(
            refused.text.contains("our own password is needed") || refused.text.contains("not your password")
        );
    }
    let forced = json!({"address": OLD, "force": true});
    admin.post("/api/agent-access/retire", &forced).await.expect(422);
    assert_eq!(given(&admin).await.len(), 2);

    let form = format!("address=old.lan%3A8883&force=on&password={}", PASSWORD.replace(' ', "+"));
    admin.post_form("/agent-access/retire", &form).await.expect(303);
    assert_eq!(given(&admin).await, [(NEW.to_owned(), false)]);
    let retired = audited(&admin, "address.retired").await;
    assert_eq!(retired.len(), 1);
    let detail = retired[0]["detail"].as_str().unwrap();
    assert!(detail.contains(OLD) && detail.contains("came by no other that stays: 1"), "{detail}");
    let again = admin.post_form("/agent-access/retire", "address=old.lan%3A8883&force=on").await.expect(422);
    assert!(again.text.contains("Only an address"), "{}", again.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_needs_is_retired_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::on_disk(folder.path(), OLD);
    let admin = world.admin().await;
    let mut attic = TestAgent::enrol(&world, &admin, "attic").await;
    attic.hello(&world, 1).await;
    drop(admin);
    world.move_to(folder.path(), NEW).await;
    attic.address = NEW;
    attic.hello(&world, 2).await;
    let mut admin = signed_in(&world).await;
    let page = admin.get("/agent-access").await.expect(200).text;
    assert!(page.contains("Nobody needs it"), "{page}");
    admin.post_form("/agent-access/retire", "address=old.lan%3A8883").await.expect(303);
    assert_eq!(given(&admin).await, [(NEW.to_owned(), false)]);
}

#[tokio::test]
async fn the_authority_is_replaced_by_the_form_in_two_steps() {
    let world = World::new();
    let mut admin = world.admin().await;
    let mut attic = TestAgent::enrol(&world, &admin, "attic").await;
    let print = |byte: u8| -> [u8; 32] { Sha256::digest([byte; 40]).into() };
    attic.trusts = vec![print(7)];
    attic.hello(&world, 1).await;
    let authorities = async |admin: &Client| {
        let shown = admin.get("/api/agent-access").await.expect(200).json();
        shown["authorities"].as_array().unwrap().len()
    };
    assert_eq!(authorities(&admin).await, 1);

    // The first step harms nobody.
    admin.post_form("/agent-access/rotate", "").await.expect(303);
    assert_eq!(authorities(&admin).await, 2);
    let page = admin.get("/agent-access").await.expect(200).text;
    assert!(page.contains("Use the next one alone") && page.contains("Lose 1 host"), "{page}");
    // The second one does, and says whom.
    let refused = admin.post_form("/agent-access/rotate", "").await.expect(409);
    assert!(refused.text.contains("Hosts would be lost (1)"), "{}", refused.text);
    let refused = admin.post("/api/agent-access/rotate", &json!({})).await.expect(409);
    assert_eq!(refused.code(), "would_lose");
    // Nor by force, without the own password.
    admin.post_form("/agent-access/rotate", "force=on").await.expect(422);
    admin.post("/api/agent-access/rotate", &json!({"force": true})).await.expect(422);
    assert_eq!((authorities(&admin).await, audited(&admin, "authority.retired").await.len()), (2, 0));

    // Once the host has it, nobody is lost.
    attic.trusts = vec![print(7), print(8)];
    attic.hello(&world, 2).await;
    let page = admin.get("/agent-access").await.expect(200).text;
    assert!(page.contains("Every host has it"), "{page}");
    admin.post_form("/agent-access/rotate", "").await.expect(303);
    assert_eq!((authorities(&admin).await, audited(&admin, "authority.retired").await.len()), (1, 1));

    // By force at once.
    admin.post_form("/agent-access/rotate", "").await.expect(303);
    admin.post_form("/agent-access/rotate", "force=on").await.expect(303);
    assert_eq!((authorities(&admin).await, audited(&admin, "authority.retired").await.len()), (1, 2));
}

#[tokio::test]
async fn how_agents_reach_the_server_is_for_admins_alone() {
    let world = World::new();
    let admin = world.admin().await;
    for role in [Role::Viewer, Role::Operator] {
        let mut client = world.account(&admin, &format!("{role:?}").to_lowercase(), role).await;
        client.get("/agent-access").await.expect(403);
        client.get("/api/agent-access").await.expect(403);
        client.post_form("/agent-access/retire", "address=fleet.lan%3A8883&force=on").await.expect(403);
        client.post_form("/agent-access/rotate", "force=on").await.expect(403);
        client.post("/api/agent-access/retire", &json!({"address": NEW, "force": true})).await.expect(403);
        client.post("/api/agent-access/rotate", &json!({"force": true})).await.expect(403);
    }
    // What is no request of this kind is refused as one.
    for body in [json!({}), json!({"address": 7}), json!({"address": NEW, "force": "yes"})] {
        admin.post("/api/agent-access/retire", &body).await.expect(422);
    }
    assert_eq!(given(&admin).await, [(NEW.to_owned(), false)]);
}
