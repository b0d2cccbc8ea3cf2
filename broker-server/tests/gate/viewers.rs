//! People who look: the retained set, what changes, and nothing else.

use crate::support::{Client, Got, Hello, World, host, resident_bytes, topic, until};
use bytes::Bytes;
use holdfast_server::gate::{Refused, ViewRefused};
use std::collections::BTreeMap;

async fn viewer(world: &World, name: &str, client_id: &str) -> Client {
    let mut client = Client::open(world.plain).await;
    client.welcome(&Hello::named(name, client_id)).await;
    client
}

fn set(world: &World, topic: &str, payload: &str) {
    world.gate.publish_view(topic, Some(Bytes::copy_from_slice(payload.as_bytes()))).unwrap();
}

/// The next message: topic, payload, whether it was retained.
async fn seen(client: &mut Client) -> (String, String, bool) {
    match client.next().await {
        Got::Publish { topic, payload, qos: 0, dup: false, retain, .. } => {
            (topic, String::from_utf8(payload).unwrap(), retain)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_viewer_gets_the_whole_retained_set_and_then_what_changes() {
    let world = World::start().await;
    for i in 0..1500 {
        set(&world, &format!("hf/1/view/h{i}/repo"), &i.to_string());
    }
    let mut client = viewer(&world, "eve", "a").await;
    assert_eq!(client.subscribe(&[("hf/1/view/#", 0)]).await, [0]);
    let mut tree = BTreeMap::new();
    for _ in 0..1500 {
        let (topic, payload, retain) = seen(&mut client).await;
        assert!(retain);
        assert!(tree.insert(topic, payload).is_none());
    }
    assert!((0..1500).all(|i| tree[&format!("hf/1/view/h{i}/repo")] == i.to_string()));
    set(&world, "hf/1/view/h7/repo", "changed");
    assert_eq!(seen(&mut client).await, ("hf/1/view/h7/repo".into(), "changed".into(), false));
    world.gate.publish_view("hf/1/view/h7/repo", None).unwrap();
    assert_eq!(seen(&mut client).await, ("hf/1/view/h7/repo".into(), String::new(), false));
    assert_eq!(world.gate.stats().retained, 1499);
    // Subscribing again gives the retained messages again, and an unsubscribed filter nothing.
    assert_eq!(client.subscribe(&[("hf/1/view/h9/+", 1)]).await, [0]);
    assert_eq!(seen(&mut client).await, ("hf/1/view/h9/repo".into(), "9".into(), true));
    client
        .say(&crate::support::packet(0xa2, &[vec![0, 5], crate::support::text(b"hf/1/view/#")].concat()))
        .await;
    assert_eq!(client.next().await, Got::Packet(0xb0, vec![0, 5]));
    set(&world, "hf/1/view/h8/repo", "unseen");
    set(&world, "hf/1/view/h9/repo", "seen");
    assert_eq!(seen(&mut client).await.1, "seen");
}

#[tokio::test]
async fn a_viewer_sees_and_does_nothing_else() {
    let world = World::start().await;
    let mut machine = world.listening_host(host(1)).await;
    let mut client = viewer(&world, "eve", "a").await;
    let filters = [
        "#",
        "+/#",
        "hf/#",
        "hf/1/#",
        "hf/1/+/presence",
        "hf/1/+/cmd",
        "$SYS/#",
        "é/#",
        "hf/1/enroll/+/rsp",
        "$share/g/hf/1/view/#",
    ];
    let asked: Vec<_> = filters.iter().map(|filter| (*filter, 0)).collect();
    assert_eq!(client.subscribe(&asked).await, [0x80; 10]);
    for topic in [topic(host(1), "cmd"), topic(host(1), "evt"), "hf/1/view/x/repo".into()] {
        client.publish(&topic, b"x", 1, 3).await;
        assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 3]));
    }
    machine.publish(&topic(host(1), "presence"), b"hello", 1, 1).await;
    assert_eq!(machine.next().await, Got::Packet(0x40, vec![0, 1]));
    assert_eq!(client.ping().await, []);
    assert_eq!(machine.ping().await, []);
    assert!(world.book.audits().iter().any(|audit| audit.refused == Refused::Publish(topic(host(1), "cmd"))));
    // Bounded, too.
    assert_eq!(
        client
            .subscribe(&[
                ("hf/1/view/1", 0),
                ("hf/1/view/2", 0),
                ("hf/1/view/3", 0),
                ("hf/1/view/4", 0),
                ("hf/1/view/5", 0)
            ])
            .await,
        [0, 0, 0, 0, 0x80]
    );
}

#[tokio::test]
async fn a_debug_viewer_sees_sealed_presence_and_statistics_too() {
    let world = World::start().await;
    let mut machine = Client::open(world.plain).await;
    machine.welcome(&crate::support::will(host(1))).await;
    machine.publish(&topic(host(1), "presence"), b"hello", 1, 1).await;
    machine.publish(&topic(host(1), "evt"), b"report", 1, 2).await;
    machine.publish(&topic(host(1), "repo/stats"), b"stats", 1, 3).await;
    machine.ping().await;
    let mut client = viewer(&world, "debug", "a").await;
    assert_eq!(
        client.subscribe(&[("hf/1/+/presence", 0), ("hf/1/+/repo/stats", 0), ("hf/1/+/evt", 0)]).await,
        [0, 0, 0x80]
    );
    assert_eq!(seen(&mut client).await, (topic(host(1), "presence"), "hello".into(), true));
    assert_eq!(seen(&mut client).await, (topic(host(1), "repo/stats"), "stats".into(), true));
    drop(machine);
    assert_eq!(seen(&mut client).await, (topic(host(1), "presence"), "gone".into(), false));
    world.gate.forget(host(1));
    let cleared = [seen(&mut client).await, seen(&mut client).await];
    assert!(cleared.iter().all(|(_, payload, _)| payload.is_empty()));
    assert_eq!(world.gate.stats().retained, 0);
}

#[tokio::test]
async fn a_viewer_that_reads_too_slowly_ends_up_with_the_last_state() {
    let world = World::start().await;
    let mut client = viewer(&world, "eve", "slow").await;
    client.subscribe(&[("hf/1/view/#", 0)]).await;
    let mut quick = viewer(&world, "eve", "quick").await;
    quick.subscribe(&[("hf/1/view/done", 0)]).await;
    let filler = "x".repeat(2000);
    let before = resident_bytes();
    for round in 0..300 {
        for i in 0..20 {
            set(&world, &format!("hf/1/view/h{i}"), &format!("{round} {filler}"));
        }
        tokio::task::yield_now().await;
    }
    set(&world, "hf/1/view/done", "yes");
    loop {
        let (topic, payload, _) = seen(&mut quick).await;
        if (topic.as_str(), payload.as_str()) == ("hf/1/view/done", "yes") {
            break;
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 48 * 1024 * 1024, "{grown} bytes more");
    let mut tree = BTreeMap::new();
    let is_last = |tree: &BTreeMap<String, String>| {
        tree.contains_key("hf/1/view/done")
            && (0..20)
                .all(|i| tree.get(&format!("hf/1/view/h{i}")).is_some_and(|last| last.starts_with("299 ")))
    };
    while !is_last(&tree) {
        let (topic, payload, _) = seen(&mut client).await;
        tree.insert(topic, payload);
    }
}

#[tokio::test]
async fn when_the_router_dies_viewers_go_on_and_hosts_do_not_notice() {
    let world = World::start().await;
    let mut machine = world.listening_host(host(1)).await;
    let mut client = viewer(&world, "eve", "a").await;
    client.subscribe(&[("hf/1/view/#", 0)]).await;
    set(&world, "hf/1/view/a", "0");
    assert_eq!(seen(&mut client).await.1, "0");
    for round in 1..=3_u8 {
        let built = world.gate.stats().router_built;
        world.gate.crash_router();
        until("the router is built again", || world.gate.stats().router_built == built + 1).await;
        world.command(host(1), &[round]);
        let Got::Publish { packet_id, payload, .. } = machine.next().await else { panic!() };
        assert_eq!(payload, [round]);
        machine.ack(packet_id).await;
        set(&world, "hf/1/view/a", &round.to_string());
        while seen(&mut client).await.1 != round.to_string() {}
    }
    assert_eq!(machine.ping().await, []);
}

#[tokio::test]
async fn client_ids_of_viewers_are_their_own() {
    let world = World::start().await;
    let id = host(1).to_string();
    let mut machine = world.host(host(1)).await;
    let mut eve = viewer(&world, "eve", &id).await;
    let mut other = viewer(&world, "debug", &id).await;
    for client in [&mut machine, &mut eve, &mut other] {
        client.ping().await;
    }
    // Within one account the newest has it.
    let mut again = viewer(&world, "eve", &id).await;
    eve.closed().await;
    again.ping().await;
    world.gate.kick_viewer("eve");
    again.closed().await;
    other.ping().await;
}

#[tokio::test]
async fn viewers_are_bounded_and_leave_hosts_their_places() {
    let world = World::start().await;
    let mut inside = Vec::new();
    for i in 0..8 {
        inside.push(viewer(&world, "eve", &format!("v{i}")).await);
    }
    let mut client = Client::open(world.plain).await;
    assert_eq!(client.hello(&Hello::named("eve", "v8")).await, Got::Packet(0x20, vec![0, 3]));
    world.host(host(1)).await;
    // Coming and going many times uses nothing up.
    for round in 0..100 {
        inside.pop();
        until("there is room", || world.gate.stats().viewers < 8).await;
        let mut client = viewer(&world, "eve", &format!("w{round}")).await;
        client.subscribe(&[("hf/1/view/#", 0)]).await;
        set(&world, "hf/1/view/a", &round.to_string());
        while seen(&mut client).await.1 != round.to_string() {}
        inside.push(client);
    }
    assert_eq!(world.gate.stats().router_built, 1);
}

#[tokio::test]
async fn the_view_tree_takes_only_what_belongs_there() {
    let world = World::start().await;
    let put = |topic: &str| world.gate.publish_view(topic, Some(Bytes::from_static(b"x")));
    for topic in
        ["", "hf/1/view/", "hf/1/x/presence", "hf/1/view/+", "hf/1/view/a/#", "hf/1/view/é", "hf/1/view/a b"]
    {
        assert_eq!(put(topic), Err(ViewRefused::Topic), "{topic}");
    }
    let long = Bytes::from(vec![b'x'; 70_000]);
    assert_eq!(world.gate.publish_view("hf/1/view/a", Some(long)), Err(ViewRefused::TooLong));
    for i in 0..5000 {
        assert_eq!(put(&format!("hf/1/view/{i}")), Ok(()));
    }
    assert_eq!(put("hf/1/view/x"), Err(ViewRefused::Full));
}
