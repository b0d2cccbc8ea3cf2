//! MQTT 3.1.1 as the standard says, byte for byte.

use crate::support::{
    Book, Client, Got, Heard, Hello, Ingest, World, host, packet, small, text, topic, until, will,
};
use bytes::Bytes;
use holdfast_server::gate::{
    CloseReason, Gate, GateConfig, Limits, Listen, Principal, Refused, Socket, StartError,
};
use schema::{CommandSeq, HostTopic, TokenId};
use std::{net::SocketAddr, sync::Arc, time::Duration};

const PUBACK: u8 = 0x40;

fn puback(packet_id: u16) -> Got {
    Got::Packet(PUBACK, packet_id.to_be_bytes().to_vec())
}

fn command(got: Got) -> (u16, Vec<u8>, bool) {
    match got {
        Got::Publish { payload, qos: 1, packet_id, dup, retain: false, .. } => (packet_id, payload, dup),
        other => panic!("no command but {other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_after_its_commit_and_in_order() {
    let world = World::start().await;
    world.ingest(Ingest::Holds);
    let mut client = world.host(host(1)).await;
    for id in 1..=3 {
        client.publish(&topic(host(1), "evt"), &[id], 1, u16::from(id)).await;
    }
    until("all are held", || world.held.lock().unwrap().len() == 3).await;
    world.commit(2);
    world.commit(1);
    assert_eq!(client.ping().await, [], "acknowledged out of order, or before its commit");
    world.commit(0);
    assert_eq!(
        [client.next().await, client.next().await, client.next().await],
        [puback(1), puback(2), puback(3)]
    );
}

#[tokio::test]
async fn a_message_that_can_not_be_stored_ends_the_session_so_that_it_is_sent_again() {
    let world = World::start().await;
    world.ingest(Ingest::Refuses);
    let mut client = world.host(host(1)).await;
    client.publish(&topic(host(1), "evt"), b"x", 1, 1).await;
    assert_eq!(client.next().await, Got::Closed);
    world.hears(Heard::Closed(host(1), CloseReason::NotTaken)).await;
}

#[tokio::test]
async fn a_slow_server_holds_its_hosts_up_and_loses_nothing() {
    let world = World::start().await;
    world.ingest(Ingest::Stands);
    let mut client = Client::open(world.plain).await;
    client.welcome(&Hello::host(host(1))).await;
    let all: Vec<_> = (0..2000_u16).map(|i| [i.to_be_bytes().to_vec(), vec![0; 500]].concat()).collect();
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let sent = all.clone();
    let writing = tokio::spawn(async move {
        for (i, payload) in (1..).zip(&sent) {
            let message = crate::support::publish(&topic(host(1), "evt"), payload, 1, i);
            tokio::io::AsyncWriteExt::write_all(&mut writer, &message).await.unwrap();
        }
        writer
    });
    // The queue of 16 and the window of 16 are full, everything else waits in sockets.
    until("the server has stopped reading", || world.gate.stats().messages_in >= 16).await;
    assert!(world.gate.stats().messages_in <= 18);
    world.ingest(Ingest::Commits);
    let mut acks = vec![0; 4 * all.len()];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut acks).await.unwrap();
    drop(writing.await.unwrap());
    let heard: Vec<_> = world
        .heard()
        .into_iter()
        .filter_map(|heard| match heard {
            Heard::Host(_, HostTopic::Evt, payload) => Some(payload),
            _ => None,
        })
        .collect();
    assert!(heard == all, "lost, doubled or out of order");
}

#[tokio::test]
async fn a_session_is_resumed_with_dup_and_the_same_packet_ids_in_order() {
    let world = World::start().await;
    let mut client = Client::open(world.plain).await;
    assert!(!client.welcome(&Hello::host(host(1)).kept()).await);
    assert_eq!(client.subscribe(&[(&topic(host(1), "cmd"), 2)]).await, [1]);
    for i in 1..=5 {
        world.command(host(1), &[i]);
    }
    let first: Vec<_> = [
        client.next().await,
        client.next().await,
        client.next().await,
        client.next().await,
        client.next().await,
    ]
    .map(command)
    .into();
    assert!(first.iter().all(|(_, _, dup)| !dup));
    client.ack(first[0].0).await;
    client.ack(first[1].0).await;
    client.ping().await;
    assert_eq!(world.book.delivered(host(1)), [1, 2].map(CommandSeq));
    drop(client);
    world.hears(Heard::Closed(host(1), CloseReason::Lost)).await;
    world.command(host(1), &[6]);

    let mut client = Client::open(world.plain).await;
    assert!(client.welcome(&Hello::host(host(1)).kept()).await, "no session was kept");
    for (packet_id, payload, _) in &first[2..] {
        assert_eq!(command(client.next().await), (*packet_id, payload.clone(), true));
    }
    let (new_id, payload, dup) = command(client.next().await);
    assert_eq!((&payload[..], dup), (&[6][..], false));
    assert!(first[2..].iter().all(|(packet_id, ..)| *packet_id != new_id), "a packet id in use");
    for packet_id in [first[2].0, first[3].0, first[4].0, new_id] {
        client.ack(packet_id).await;
    }
    client.ping().await;
    assert_eq!(world.book.delivered(host(1)), [1, 2, 3, 4, 5, 6].map(CommandSeq));
    drop(client);

    // Whoever wants nothing kept gets nothing.
    let mut client = world.host(host(1)).await;
    world.command(host(1), &[7]);
    assert_eq!(client.ping().await, [], "subscribed without asking");
    drop(client);
    let mut client = Client::open(world.plain).await;
    assert!(!client.welcome(&Hello::host(host(1)).kept()).await, "a clean session was kept");
}

#[tokio::test]
async fn after_a_restart_of_the_server_the_outbox_is_the_truth() {
    let world = World::start().await;
    let mut client = Client::open(world.plain).await;
    client.welcome(&Hello::host(host(1)).kept()).await;
    client.subscribe(&[(&topic(host(1), "cmd"), 1)]).await;
    for i in 1..=3 {
        world.command(host(1), &[i]);
    }
    let (first, ..) = command(client.next().await);
    client.ack(first).await;
    until("one is confirmed", || world.book.waiting(host(1)) == 2).await;
    let book = Arc::clone(&world.book);
    world.gate.shutdown().await;
    client.closed().await;
    world.ended().await;

    let world = World::start_with(small(), book).await;
    let mut client = Client::open(world.plain).await;
    assert!(!client.welcome(&Hello::host(host(1)).kept()).await);
    client.subscribe(&[(&topic(host(1), "cmd"), 1)]).await;
    assert_eq!(command(client.next().await).1, [2]);
    assert_eq!(command(client.next().await).1, [3]);
}

#[tokio::test]
async fn acknowledgements_out_of_order_confirm_nothing_too_early() {
    let world = World::start().await;
    let mut client = world.listening_host(host(1)).await;
    for i in 1..=3 {
        world.command(host(1), &[i]);
    }
    let ids = [client.next().await, client.next().await, client.next().await].map(|got| command(got).0);
    client.ack(ids[2]).await;
    client.ack(ids[1]).await;
    client.ping().await;
    assert!(world.book.delivered(host(1)).is_empty());
    client.ack(ids[0]).await;
    client.ping().await;
    assert_eq!(world.book.delivered(host(1)), [1, 2, 3].map(CommandSeq));
}

#[tokio::test]
async fn the_window_bounds_what_is_in_flight() {
    let world = World::start().await;
    let mut client = world.listening_host(host(1)).await;
    for i in 0..50 {
        world.command(host(1), &[i]);
    }
    let got = client.ping().await;
    assert_eq!(got.len(), 8);
    assert_eq!(world.gate.stats().in_flight, 8);
    drop(client);
    until("nothing is in flight", || world.gate.stats().in_flight == 0).await;
}

#[tokio::test]
async fn the_silent_are_ended_after_one_and_a_half_keep_alives_and_who_pings_stays() {
    let world = World::start().await;
    let mut silent = Client::open(world.plain).await;
    silent.welcome(&Hello { keep_alive: 1, ..will(host(1)) }).await;
    let mut alive = Client::open(world.plain).await;
    alive.welcome(&Hello { keep_alive: 1, ..will(host(2)) }).await;
    let pinging = async {
        loop {
            assert_eq!(alive.ping().await, []);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = pinging => {}
        () = world.hears(Heard::Closed(host(1), CloseReason::KeepAlive)) => {}
    }
    silent.closed().await;
    assert!(world.heard().contains(&Heard::Host(host(1), HostTopic::Presence, b"gone".to_vec())));
    assert!(!world.heard().iter().any(|heard| matches!(heard, Heard::Closed(id, _) if *id == host(2))));
}

#[tokio::test]
async fn a_will_is_published_when_a_host_is_lost_and_not_when_it_says_goodbye() {
    let world = World::start().await;
    let gone = Heard::Host(host(1), HostTopic::Presence, b"gone".to_vec());
    let mut client = Client::open(world.plain).await;
    client.welcome(&will(host(1))).await;
    client.say(&[0xe0, 0]).await;
    client.closed().await;
    world.hears(Heard::Closed(host(1), CloseReason::Disconnected)).await;
    assert!(!world.take_heard().contains(&gone));

    for (reason, last) in [
        (CloseReason::Lost, &[][..]),
        (CloseReason::Malformed("a packet that clients don't send"), &[0x20, 0]),
        (CloseReason::Malformed("bytes behind the end"), &[0xe0, 1, 0]),
    ] {
        let mut client = Client::open(world.plain).await;
        client.welcome(&will(host(1))).await;
        client.say(last).await;
        if last.is_empty() {
            drop(client);
        } else {
            client.closed().await;
        }
        world.hears(Heard::Closed(host(1), reason)).await;
        assert_eq!(
            world.take_heard(),
            [Heard::Connected(host(1)), gone.clone(), Heard::Closed(host(1), reason)]
        );
    }
}

#[tokio::test]
async fn a_takeover_ends_the_old_session_and_its_will_comes_before_the_new_one() {
    let world = World::start().await;
    let mut old = Client::open(world.plain).await;
    old.welcome(&will(host(1)).kept()).await;
    old.subscribe(&[(&topic(host(1), "cmd"), 1)]).await;
    world.command(host(1), b"1");
    let (packet_id, ..) = command(old.next().await);
    let mut new = Client::open(world.plain).await;
    assert!(new.welcome(&will(host(1)).kept()).await);
    assert_eq!(command(new.next().await), (packet_id, b"1".to_vec(), true));
    old.closed().await;
    new.publish(&topic(host(1), "presence"), b"hello", 1, 9).await;
    assert_eq!(new.next().await, puback(9));
    assert_eq!(
        world.heard(),
        [
            Heard::Connected(host(1)),
            Heard::Host(host(1), HostTopic::Presence, b"gone".to_vec()),
            Heard::Closed(host(1), CloseReason::TakenOver),
            Heard::Connected(host(1)),
            Heard::Host(host(1), HostTopic::Presence, b"hello".to_vec()),
        ]
    );
}

#[tokio::test]
async fn the_plan_comes_with_the_subscription_and_again_when_it_changes() {
    let world = World::start().await;
    world.book.set_plan(host(1), b"one");
    let mut client = Client::open(world.plain).await;
    client.welcome(&Hello::host(host(1)).kept()).await;
    assert_eq!(client.subscribe(&[(&topic(host(1), "plan"), 1)]).await, [1]);
    let plan = |payload: &[u8], packet_id, dup, retain| Got::Publish {
        topic: topic(host(1), "plan"),
        payload: payload.to_vec(),
        qos: 1,
        packet_id,
        dup,
        retain,
    };
    assert_eq!(client.next().await, plan(b"one", 1, false, true));
    client.ack(1).await;
    world.book.set_plan(host(1), b"two");
    world.gate.plan_changed(host(1));
    assert_eq!(client.next().await, plan(b"two", 2, false, false));
    client.ack(2).await;
    client.ping().await;
    // A change while it is away waits for it.
    drop(client);
    world.hears(Heard::Closed(host(1), CloseReason::Lost)).await;
    world.book.set_plan(host(1), b"three");
    world.gate.plan_changed(host(1));
    let mut client = Client::open(world.plain).await;
    assert!(client.welcome(&Hello::host(host(1)).kept()).await);
    assert_eq!(client.next().await, plan(b"three", 3, false, false));
}

#[tokio::test]
async fn acks_past_the_outbox_go_to_who_listens_with_qos_0() {
    let world = World::start().await;
    assert!(!world.gate.send(host(1), Bytes::from_static(b"away")));
    let mut client = world.listening_host(host(1)).await;
    assert!(world.gate.send(host(1), Bytes::from_static(b"ack")));
    let Got::Publish { payload, qos: 0, .. } = client.next().await else { panic!() };
    assert_eq!(payload, b"ack");
}

#[tokio::test]
async fn a_host_reaches_nothing_but_its_own() {
    let world = World::start().await;
    let mut other = world.listening_host(host(2)).await;
    let mut client = world.host(host(1)).await;
    let foreign = [
        topic(host(2), "cmd"),
        topic(host(2), "plan"),
        "#".into(),
        "hf/1/+/cmd".into(),
        topic(host(1), "evt"),
        "é".into(),
        "hf/1/view/#".into(),
    ];
    let asked: Vec<_> = foreign.iter().map(|filter| (filter.as_str(), 1)).collect();
    assert_eq!(client.subscribe(&asked).await, [0x80; 7]);
    let forbidden = [
        topic(host(2), "evt"),
        topic(host(1), "cmd"),
        topic(host(2), "cmd"),
        "é".into(),
        "hf/1/view/x/repo".into(),
        "$SYS/x".into(),
    ];
    for (packet_id, topic) in (1..).zip(&forbidden) {
        client.publish(topic, b"x", 1, packet_id).await;
        assert_eq!(client.next().await, puback(packet_id), "{topic}");
        client.publish(topic, b"x", 0, 0).await;
    }
    assert_eq!(client.ping().await, []);
    assert_eq!(other.ping().await, []);
    assert_eq!(world.heard(), [Heard::Connected(host(2)), Heard::Connected(host(1))]);
    let audits = world.book.audits();
    for filter in &foreign {
        let refused = Refused::Subscribe(filter.clone());
        assert!(
            audits
                .iter()
                .any(|audit| audit.refused == refused && audit.principal == Some(Principal::Host(host(1))))
        );
    }
    for topic in &forbidden {
        let refused = Refused::Publish(topic.clone());
        assert!(audits.iter().any(|audit| audit.refused == refused), "{topic}");
    }
    assert_eq!(world.gate.stats().refused, 7 + 2 * 6);
}

#[tokio::test]
async fn the_audit_can_not_be_flooded() {
    let world = World::start().await;
    let mut client = world.host(host(1)).await;
    for _ in 0..1000 {
        client.publish(&topic(host(2), "evt"), b"x", 0, 0).await;
    }
    client.ping().await;
    assert_eq!(world.gate.stats().refused, 1000);
    let told = world.book.audits().len();
    assert!((20..100).contains(&told), "{told}");
}

#[tokio::test]
async fn qos_2_is_refused_and_asked_qos_lowered() {
    let world = World::start().await;
    let mut client = world.host(host(1)).await;
    assert_eq!(client.subscribe(&[(&topic(host(1), "cmd"), 2), (&topic(host(1), "plan"), 0)]).await, [1, 0]);
    client.publish(&topic(host(1), "evt"), b"x", 2, 1).await;
    assert_eq!(client.next().await, Got::Closed);
    let mut viewer = Client::open(world.plain).await;
    viewer.welcome(&Hello::named("eve", "x")).await;
    assert_eq!(viewer.subscribe(&[("hf/1/view/#", 2)]).await, [0]);
}

#[tokio::test]
async fn other_versions_of_mqtt_get_an_answer_they_understand() {
    let world = World::start().await;
    let answer = |hello: Hello| async move { Client::open(world.plain).await.hello(&hello).await };
    // Agents speak 3.1.1 only; a client of MQTT 5 is told so in its own form, with words.
    let Got::Packet(0x20, refused) = answer(Hello { level: 5, ..Hello::host(host(1)) }).await else {
        panic!()
    };
    assert_eq!(refused[..2], [0, 0x84]);
    assert!(String::from_utf8_lossy(&refused).contains("agents speak MQTT 3.1.1"));
    for (level, code) in [(0x84, vec![0, 1]), (0x83, vec![0, 1]), (6, vec![0, 1])] {
        assert_eq!(answer(Hello { level, ..Hello::host(host(1)) }).await, Got::Packet(0x20, code), "{level}");
    }
    let mut old = Client::open(world.plain).await;
    old.say(&packet(0x10, &[text(b"MQIsdp"), vec![3, 2, 0, 60], text(b"x")].concat())).await;
    assert_eq!(old.next().await, Got::Packet(0x20, vec![0, 1]));
    assert_eq!(old.next().await, Got::Closed);
}

#[tokio::test]
async fn who_is_not_welcome_is_told_why() {
    let world = World::start().await;
    let id = host(1).to_string();
    for (hello, code) in [
        (Hello { password: "wrong".into(), ..Hello::host(host(1)) }, 4),
        (Hello::named("nobody", "x"), 5),
        // Another host's client id, or one that is no host's.
        (Hello::named(&id, &host(2).to_string()), 2),
        (Hello::named(&id, &id.to_lowercase()), 2),
        (Hello::named(&id, "a+b"), 2),
        (Hello::named("eve", "a#b"), 2),
        (Hello::named("eve", "é"), 2),
        (Hello::named("eve", "a/b"), 2),
        (Hello::named("eve", "").kept(), 2),
        (Hello::named("eve", &"x".repeat(129)), 2),
        (Hello::host(host(1)).with_will(&topic(host(2), "presence"), b"x"), 5),
        (Hello::host(host(1)).with_will(&topic(host(1), "evt"), b"x"), 5),
        (Hello::host(host(1)).with_will("é", b"x"), 5),
        (Hello { will: Some((topic(host(1), "presence"), vec![], 2)), ..Hello::host(host(1)) }, 5),
    ] {
        let mut client = Client::open(world.plain).await;
        assert_eq!(client.hello(&hello).await, Got::Packet(0x20, vec![0, code]), "{hello:?}");
        assert_eq!(client.next().await, Got::Closed);
    }
    let mut client = Client::open(world.plain).await;
    client.say(&packet(0x10, &[text(b"MQTT"), vec![4, 2, 0, 60], text(b"x")].concat())).await;
    assert_eq!(client.next().await, Got::Packet(0x20, vec![0, 5]));
    // A will that can't be published is no CONNECT, whose ever it is.
    for topic in ["", "+/status", "a/#"] {
        for hello in [Hello::named("eve", "x"), Hello::host(host(1))] {
            let mut client = Client::open(world.plain).await;
            assert_eq!(client.hello(&hello.clone().with_will(topic, b"x")).await, Got::Closed, "{topic}");
            let hello = Hello { level: 5, ..hello.with_will(topic, b"x") };
            let mut client = Client::open(world.plain).await;
            let answer = client.hello(&hello).await;
            assert!(matches!(&answer, Got::Packet(0x20, code) if code[..2] == [0, 0x90]), "{answer:?}");
        }
    }
    let refused = world.gate.refused_connections().rows;
    assert!(
        refused.iter().any(|row| row.reason == web::NotLetIn::WillTopic && row.tries == 12),
        "{refused:?}"
    );
    assert_eq!(world.heard(), []);
    assert!(world.book.audits().iter().all(|audit| audit.principal.is_none()));
    // Viewers may come without a client id, and with a will that nobody reads.
    let mut viewer = Client::open(world.plain).await;
    viewer.welcome(&Hello::named("eve", "").with_will("homeassistant/status", b"offline")).await;
}

#[tokio::test]
async fn guessing_passwords_is_held_back_and_locks_nobody_out() {
    let world = World::start().await;
    let wrong = Hello { password: "wrong".into(), ..Hello::host(host(1)) };
    let mut codes = Vec::new();
    for _ in 0..30 {
        let Got::Packet(0x20, answer) = Client::open(world.plain).await.hello(&wrong).await else { panic!() };
        codes.push(answer[1]);
    }
    assert!(
        codes[..10].iter().all(|code| *code == 4) && codes[15..].iter().all(|code| *code == 3),
        "{codes:?}"
    );
    world.host(host(2)).await;
    let stats = world.gate.stats();
    assert!(stats.logins_throttled > 10);
    let held = world.gate.held();
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((held[0].origin.as_str(), &held[0].username), ("127.0.0.1", &Some(host(1).to_string())));
    // The name that is being guessed is let in with the right password, and so is a viewer.
    world.host(host(1)).await;
    for _ in 0..200 {
        Client::open(world.plain).await.hello(&Hello::named("nobody", "x")).await;
    }
    assert!(world.gate.held().iter().any(|held| held.username.is_none()), "{:?}", world.gate.held());
    Client::open(world.plain).await.welcome(&Hello::named("eve", "x")).await;
    world.host(host(1)).await;
}

#[tokio::test]
async fn too_many_are_told_so_and_let_in_when_there_is_room() {
    let world = World::start_with(Limits { max_connections: 3, ..small() }, Arc::default()).await;
    let mut inside = Vec::new();
    for number in 1..=3 {
        inside.push(world.host(host(number)).await);
    }
    for _ in 0..5 {
        let mut client = Client::open(world.plain).await;
        assert_eq!(client.hello(&Hello::host(host(4))).await, Got::Packet(0x20, vec![0, 3]));
        assert_eq!(client.next().await, Got::Closed);
    }
    // Who is inside may take over itself.
    inside.push(world.host(host(3)).await);
    inside.remove(0);
    until("there is room", || world.gate.stats().hosts == 2).await;
    world.host(host(4)).await;
}

#[tokio::test]
async fn an_enrolment_asks_once_and_is_answered_and_sees_nothing_else() {
    let world = World::start().await;
    let token = TokenId([7; 16]);
    let mut client = Client::open(world.plain).await;
    client.welcome(&Hello::named(&format!("token-{token}"), "new-machine")).await;
    let own = format!("hf/1/enroll/{token}/rsp");
    let other = format!("hf/1/enroll/{}/rsp", TokenId([8; 16]));
    assert_eq!(client.subscribe(&[(&own, 1), (&other, 1), ("#", 0)]).await, [1, 0x80, 0x80]);
    client.publish(&topic(host(1), "evt"), b"x", 1, 1).await;
    assert_eq!(client.next().await, puback(1));
    client.publish(&format!("hf/1/enroll/{token}/req"), b"abc", 1, 2).await;
    assert_eq!(client.next().await, puback(2));
    let Got::Publish { topic, payload, qos: 1, .. } = client.next().await else { panic!() };
    assert_eq!((topic, &payload[..]), (own, &b"cba"[..]));
    assert_eq!(world.heard(), [Heard::Enroll(token, b"abc".to_vec())]);
}

#[tokio::test]
async fn the_server_can_end_and_forget_a_host() {
    let world = World::start().await;
    let mut client = Client::open(world.plain).await;
    client.welcome(&Hello::host(host(1)).kept()).await;
    assert!(world.gate.connected(host(1)).is_some());
    world.gate.kick(host(1), "new credentials");
    client.closed().await;
    until("it is gone", || world.gate.connected(host(1)).is_none()).await;
    let mut client = Client::open(world.plain).await;
    assert!(client.welcome(&Hello::host(host(1)).kept()).await);
    world.gate.forget(host(1));
    client.closed().await;
    world.hears(Heard::Closed(host(1), CloseReason::Deleted)).await;
    let mut client = Client::open(world.plain).await;
    assert!(!client.welcome(&Hello::host(host(1)).kept()).await);
}

#[tokio::test]
async fn when_the_server_stops_no_will_is_published_and_everybody_is_let_go() {
    let world = World::start().await;
    let mut clients = Vec::new();
    for number in 1..=5 {
        let mut client = Client::open(world.plain).await;
        client.welcome(&will(host(number))).await;
        clients.push(client);
    }
    let mut idle = Client::open(world.tls).await;
    until("it is there", || world.gate.stats().pending > 0).await;
    world.gate.shutdown().await;
    for client in &mut clients {
        client.closed().await;
    }
    idle.closed().await;
    world.ended().await;
    assert_eq!(world.heard(), (1..=5).map(|number| Heard::Connected(host(number))).collect::<Vec<_>>());
    assert!(tokio::net::TcpStream::connect(world.plain).await.is_err());
}

#[tokio::test]
async fn a_busy_port_and_an_open_plain_one_are_refused_in_words() {
    let world = World::start().await;
    let start = |address: SocketAddr, anywhere| async move {
        let listen = vec![Listen::Plain(Socket::plain(address, anywhere)?)];
        Gate::start(
            GateConfig { listen, limits: small(), ..GateConfig::default() },
            Arc::new(Book::default()),
        )
        .await
    };
    let error = start(world.plain, false).await.err().unwrap();
    assert!(matches!(error, StartError::Bind { .. }));
    let words = error.to_string();
    assert!(words.contains(&world.plain.to_string()) && words.contains("another program"), "{words}");
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    assert!(matches!(start(everywhere, false).await, Err(StartError::PlainAnywhere(_))));
    assert!(start(everywhere, true).await.is_ok());
}
