//! People who look: the retained set, what changes, and nothing else.

use crate::support::{Client, Got, Hello, World, host, packet, resident_bytes, small, text, topic, until};
use bytes::Bytes;
use holdfast_server::gate::{Limits, Refused, ViewRefused};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

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
    client.say(&packet(0xa2, &[vec![0, 5], text(b"hf/1/view/#")].concat())).await;
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
        "hf/2/#",
        "+/+/+/cmd",
        "hf/1/+/presence",
        "hf/1/+/cmd",
        "$SYS/#",
        "é/#",
        "hf/1/enroll/+/rsp",
        "$share/g/hf/1/view/#",
    ];
    let asked: Vec<_> = filters.iter().map(|filter| (*filter, 0)).collect();
    assert_eq!(client.subscribe(&asked).await, [0x80; 8]);
    // Wide filters show what may be seen: there is nothing.
    assert_eq!(client.subscribe(&[("#", 0), ("+/#", 0), ("hf/1/#", 0)]).await, [0, 0, 0]);
    for topic in [topic(host(1), "cmd"), topic(host(1), "evt"), "hf/1/view/x/repo".into()] {
        client.publish(&topic, b"x", 1, 3).await;
        assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 3]));
    }
    machine.publish(&topic(host(1), "presence"), b"hello", 1, 1).await;
    assert_eq!(machine.next().await, Got::Packet(0x40, vec![0, 1]));
    assert_eq!(client.ping().await, []);
    assert_eq!(machine.ping().await, []);
    assert!(world.book.audits().iter().any(|audit| audit.refused == Refused::Publish(topic(host(1), "cmd"))));
    drop(client);
    let mut client = viewer(&world, "eve", "b").await;
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
async fn what_home_assistant_finds_devices_by_is_subscribed_to_while_that_is_on_alone() {
    const DEVICE: &str = "homeassistant/device/holdfast-1/config";
    let world = World::start().await;
    let mut waiting = viewer(&world, "eve", "waiting").await;
    let mut other = viewer(&world, "eve", "other").await;
    assert_eq!(waiting.subscribe(&[("homeassistant/#", 0), ("hf/1/view/#", 0)]).await, [0x80, 0]);
    assert_eq!(other.subscribe(&[("#", 0)]).await, [0]);
    // Who has asked in vain comes again, to ask again; nobody else is let go.
    world.gate.let_discover(true);
    waiting.closed().await;
    let mut waiting = viewer(&world, "eve", "waiting").await;
    assert_eq!(
        waiting.subscribe(&[("homeassistant/#", 0), ("homeassistant/sensor/+/config", 0)]).await,
        [0, 0]
    );
    set(&world, DEVICE, "{}");
    for client in [&mut waiting, &mut other] {
        assert_eq!(seen(client).await, (DEVICE.into(), "{}".into(), false));
    }
    // Who looks is told that it goes, also when it is switched off right then.
    world.gate.publish_view(DEVICE, None).unwrap();
    world.gate.let_discover(false);
    for client in [&mut waiting, &mut other] {
        assert_eq!(seen(client).await, (DEVICE.into(), String::new(), false));
    }
    let mut late = viewer(&world, "eve", "late").await;
    assert_eq!(
        late.subscribe(&[("homeassistant/#", 0), ("homeassistant/device/+/config", 0)]).await,
        [0x80, 0x80]
    );
    let refused = world.book.audits();
    assert!(
        refused.iter().any(|it| it.refused == Refused::Subscribe("homeassistant/#".into())),
        "{refused:?}"
    );
    assert_eq!(world.gate.view_topics(), Vec::<String>::new());
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
    assert_eq!(world.gate.stats().viewers_full, 1);
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
    for topic in [
        "",
        "hf/1/view/",
        "hf/1/x/presence",
        "hf/1/view/+",
        "hf/1/view/a/#",
        "hf/1/view/é",
        "hf/1/view/a b",
        "homeassistant/",
        "homeassistant/device/+/config",
    ] {
        assert_eq!(put(topic), Err(ViewRefused::Topic), "{topic}");
    }
    let long = Bytes::from(vec![b'x'; 70_000]);
    assert_eq!(world.gate.publish_view("hf/1/view/a", Some(long)), Err(ViewRefused::TooLong));
    for i in 0..5000 {
        assert_eq!(put(&format!("hf/1/view/{i}")), Ok(()));
    }
    assert_eq!(put("hf/1/view/x"), Err(ViewRefused::Full));
}

#[tokio::test]
async fn an_account_has_a_limit_of_its_own_and_is_told_so_and_leaves_the_others_their_places() {
    let limits = Limits { max_viewers: 6, max_viewers_of_account: 2, ..small() };
    let world = World::start_with(limits, Arc::default()).await;
    let _inside = [viewer(&world, "eve", "a").await, viewer(&world, "eve", "b").await];
    let mut third = Client::open(world.plain).await;
    assert_eq!(third.hello(&Hello::named("eve", "c")).await, Got::Packet(0x20, vec![0, 3]));
    let mut newer = Client::open(world.plain).await;
    let Got::Packet(0x20, refused) = newer.hello(&Hello { level: 5, ..Hello::named("eve", "c") }).await
    else {
        panic!()
    };
    assert_eq!(refused[..2], [0, 0x97]);
    assert!(String::from_utf8_lossy(&refused).contains("too many connections"));
    let rows = world.gate.refused_connections().rows;
    assert_eq!((rows.len(), rows[0].reason, rows[0].tries), (1, web::NotLetIn::AccountFull, 2), "{rows:?}");
    let is_told = |audit: &holdfast_server::gate::Audit| {
        matches!(&audit.refused, Refused::Login { why: web::NotLetIn::AccountFull, .. })
    };
    assert!(world.book.audits().iter().any(is_told));
    assert_eq!(world.gate.stats().viewers_full, 2);
    let mut other = viewer(&world, "debug", "a").await;
    // Whoever takes over its own needs no further place, and is let in. That there were too many is told all the same.
    let mut again = viewer(&world, "eve", "a").await;
    again.ping().await;
    other.ping().await;
    let rows = world.gate.refused_connections().rows;
    assert_eq!((rows.len(), rows[0].reason, rows[0].tries), (1, web::NotLetIn::AccountFull, 2), "{rows:?}");
}

#[tokio::test]
async fn a_burst_of_connects_that_are_cut_anywhere_leaves_nobody_deaf() {
    let limits = Limits { max_viewers: 8, max_viewers_of_account: 6, ..small() };
    let world = Arc::new(World::start_with(limits, Arc::default()).await);
    let mut before = viewer(&world, "debug", "before").await;
    before.subscribe(&[("hf/1/view/tick", 0)]).await;
    let mut burst = Vec::new();
    for i in 0..600_usize {
        let world = Arc::clone(&world);
        burst.push(tokio::spawn(async move {
            let hello = Hello::named("eve", &format!("v{}", i % 50)).bytes();
            let subscribe = packet(0x82, &[vec![0, 1], text(b"hf/1/view/#"), vec![0]].concat());
            let whole = [hello, subscribe].concat();
            let mut client = Client::open(world.plain).await;
            client.say(&whole[..whole.len() - (i % 60).min(whole.len())]).await;
            if i % 3 > 0 {
                // Not before it was answered, or not at all.
                let _ = client.next().await;
            }
        }));
    }
    for one in burst {
        one.await.unwrap();
    }
    until("the burst has passed", || world.gate.stats().pending == 0 && world.gate.stats().viewers <= 1)
        .await;
    // All who are let in now see what changes.
    for round in 0..5 {
        let mut inside = Vec::new();
        for i in 0..6 {
            let mut client = viewer(&world, "eve", &format!("after{i}")).await;
            client.subscribe(&[("hf/1/view/tick", 0)]).await;
            inside.push(client);
        }
        set(&world, "hf/1/view/tick", &format!("{round}"));
        for client in inside.iter_mut().chain([&mut before]) {
            while seen(client).await.1 != round.to_string() {}
        }
        drop(inside);
        until("they have gone", || world.gate.stats().viewers == 1).await;
    }
    assert_eq!(world.gate.stats().router_built, 1);
}

#[tokio::test]
async fn a_viewer_that_falls_behind_is_told_what_is_gone_too() {
    let world = World::start().await;
    let filler = "x".repeat(2000);
    for i in 0..200 {
        set(&world, &format!("hf/1/view/nas/job/{i}"), "sent");
    }
    let mut client = viewer(&world, "eve", "slow").await;
    client.subscribe(&[("#", 0)]).await;
    let mut tree = BTreeMap::new();
    while tree.len() < 200 {
        let (topic, payload, _) = seen(&mut client).await;
        tree.insert(topic, payload);
    }
    // Much more than all buffers hold, and it reads nothing of it.
    for round in 0..400 {
        for i in 0..20 {
            set(&world, &format!("hf/1/view/h{i}/repo"), &format!("{round} {filler}"));
        }
        if round == 200 {
            for i in 0..200 {
                world.gate.publish_view(&format!("hf/1/view/nas/job/{i}"), None).unwrap();
            }
        }
        tokio::task::yield_now().await;
    }
    set(&world, "hf/1/view/z/last", "yes");
    let mut messages = 0;
    while !(tree.contains_key("hf/1/view/z/last") && tree.len() == 21) {
        let (topic, payload, _) = seen(&mut client).await;
        messages += 1;
        if payload.is_empty() {
            tree.remove(&topic);
        } else {
            tree.insert(topic, payload);
        }
    }
    assert!(messages < 8000, "it never fell behind");
    for i in 0..20 {
        assert!(tree[&format!("hf/1/view/h{i}/repo")].starts_with("399 "));
    }
}

#[tokio::test]
async fn viewers_wait_for_the_first_view_tree_and_get_it_as_retained() {
    let limits = Limits { view_wait: Duration::from_millis(300), ..small() };
    let world = World::without_view(limits).await;
    // Not for ever; and hosts don't wait.
    let mut early = Client::open(world.plain).await;
    assert_eq!(early.hello(&Hello::named("eve", "a")).await, Got::Packet(0x20, vec![0, 3]));
    let mut newer = Client::open(world.plain).await;
    let answer = newer.hello(&Hello { level: 5, ..Hello::named("eve", "a") }).await;
    assert!(matches!(&answer, Got::Packet(0x20, code) if code[..2] == [0, 0x88]), "{answer:?}");
    world.host(host(1)).await;
    assert!(world.gate.refused_connections().rows.is_empty(), "it is nobody's fault");
    let world = World::without_view(Limits { view_wait: Duration::from_secs(60), ..small() }).await;
    let mut waiting = Client::open(world.plain).await;
    waiting.say(&Hello::named("eve", "a").bytes()).await;
    waiting.say(&packet(0x82, &[vec![0, 1], text(b"#"), vec![0]].concat())).await;
    until("it waits", || world.gate.stats().pending == 1).await;
    set(&world, "hf/1/view/nas/presence", "online");
    world.gate.view_is_whole();
    assert_eq!(waiting.next().await, Got::Packet(0x20, vec![0, 0]));
    assert_eq!(waiting.next().await, Got::Packet(0x90, vec![0, 1, 0]));
    assert_eq!(seen(&mut waiting).await, ("hf/1/view/nas/presence".into(), "online".into(), true));
}

#[tokio::test]
async fn a_bridge_gets_changes_with_the_retain_flag() {
    let world = World::start().await;
    let mut bridge = Client::open(world.plain).await;
    bridge.welcome(&Hello { level: 0x84, ..Hello::named("eve", "bridge") }).await;
    bridge.subscribe(&[("hf/1/view/#", 0)]).await;
    let mut plain = viewer(&world, "eve", "plain").await;
    plain.subscribe(&[("hf/1/view/#", 0)]).await;
    bridge.ping().await;
    plain.ping().await;
    set(&world, "hf/1/view/a/repo", "1");
    assert_eq!(seen(&mut bridge).await, ("hf/1/view/a/repo".into(), "1".into(), true));
    assert_eq!(seen(&mut plain).await, ("hf/1/view/a/repo".into(), "1".into(), false));
    world.gate.publish_view("hf/1/view/a/repo", None).unwrap();
    assert_eq!(seen(&mut bridge).await, ("hf/1/view/a/repo".into(), String::new(), true));
}
