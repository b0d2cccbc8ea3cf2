//! MQTT 5, as viewers speak it: byte for byte, and whatever the bytes are.

use crate::support::{Client, Got, Hello, World, host, packet, text, topic, until};
use bytes::Bytes;
use holdfast_server::gate::packet::{Connect, ConnectError, Protocol, v5};
use proptest::prelude::*;

/// CONNECT of MQTT 5 with these properties, and a client id.
fn connect(user: &str, client_id: &str, properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    let body = [
        text(b"MQTT"),
        vec![5, 0xc2, 0, 60, length],
        properties.to_vec(),
        text(client_id.as_bytes()),
        text(user.as_bytes()),
        text(b"open sesame"),
    ];
    packet(0x10, &body.concat())
}

/// SUBSCRIBE with these options and no properties.
fn subscribe(filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = vec![0, 7, 0];
    for (filter, options) in filters {
        body.extend(text(filter.as_bytes()));
        body.push(*options);
    }
    packet(0x82, &body)
}

async fn viewer(world: &World, client_id: &str) -> Client {
    let mut client = Client::open(world.plain).await;
    client.say(&connect("eve", client_id, &[])).await;
    let answer = client.next().await;
    assert!(matches!(&answer, Got::Packet(0x20, body) if body[..2] == [0, 0]), "{answer:?}");
    client
}

/// The next message: topic, payload behind its empty properties, retain flag.
async fn seen(client: &mut Client) -> (String, String, bool) {
    match client.next().await {
        Got::Publish { topic, payload, qos: 0, retain, .. } => {
            assert_eq!(payload[0], 0, "properties");
            (topic, String::from_utf8(payload[1..].to_vec()).unwrap(), retain)
        }
        other => panic!("{other:?}"),
    }
}

fn set(world: &World, topic: &str, payload: &str) {
    world.gate.publish_view(topic, Some(Bytes::copy_from_slice(payload.as_bytes()))).unwrap();
}

/// The reason of the DISCONNECT that comes before the end.
async fn disconnected(client: &mut Client) -> u8 {
    loop {
        match client.next().await {
            Got::Packet(0xe0, body) => {
                assert_eq!(client.next().await, Got::Closed);
                return body[0];
            }
            Got::Closed => panic!("closed without a word"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn connack_says_what_is_not_to_be_had_and_who_the_client_is() {
    let world = World::start().await;
    let mut client = Client::open(world.plain).await;
    // A session that should be kept for ever, and no keep-alive.
    let mut hello = connect("eve", "", &[0x11, 0xff, 0xff, 0xff, 0xff]);
    hello[11] = 0;
    client.say(&hello).await;
    let Got::Packet(0x20, answer) = client.next().await else { panic!() };
    assert_eq!(answer[..3], [0, 0, u8::try_from(answer.len() - 3).unwrap()]);
    let mut rest = &answer[3..];
    let mut said = Vec::new();
    while let Some((id, value)) = rest.split_first() {
        let length = match id {
            0x11 | 0x27 => 4,
            0x13 => 2,
            0x12 => 2 + usize::from(value[1]),
            _ => 1,
        };
        said.push((*id, value[..length].to_vec()));
        rest = &value[length..];
    }
    for (id, value) in [
        (0x11, vec![0; 4]),
        (0x24, vec![1]),
        (0x25, vec![1]),
        (0x28, vec![1]),
        (0x29, vec![0]),
        (0x2a, vec![0]),
        (0x13, 2400_u16.to_be_bytes().to_vec()),
    ] {
        assert!(said.contains(&(id, value)), "{id:#x}: {said:?}");
    }
    let name = said.iter().find(|(id, _)| *id == 0x12).map(|(_, name)| name[2..].to_vec()).unwrap();
    assert!(name.starts_with(b"nameless-"));
}

#[tokio::test]
async fn a_viewer_subscribes_with_options_and_gets_a_reason_for_each_filter() {
    let world = World::start().await;
    set(&world, "hf/1/view/nas/presence", "online");
    let mut client = viewer(&world, "a").await;
    client
        .say(&subscribe(&[
            ("hf/1/view/#", 0x2d),
            ("hf/1/+/cmd", 0),
            ("$share/x/hf/1/view/#", 0),
            ("hf/1/view/b", 0x20),
            ("hf/1/view/c", 0x20),
            ("hf/1/view/d", 0x20),
            ("hf/1/view/e", 0x20),
        ]))
        .await;
    assert_eq!(client.next().await, Got::Packet(0x90, vec![0, 7, 0, 0, 0x87, 0x9e, 0, 0, 0, 0x97]));
    // Nothing retained was asked for; changes keep their flag.
    set(&world, "hf/1/view/nas/presence", "offline");
    assert_eq!(seen(&mut client).await, ("hf/1/view/nas/presence".into(), "offline".into(), true));
    client.say(&subscribe(&[("hf/1/view/#", 0x10)])).await;
    assert_eq!(client.next().await, Got::Packet(0x90, vec![0, 7, 0, 0]));
    set(&world, "hf/1/view/nas/presence", "online");
    assert_eq!(seen(&mut client).await, ("hf/1/view/nas/presence".into(), "online".into(), false));
    client.say(&subscribe(&[("hf/1/view/#", 0)])).await;
    assert_eq!(client.next().await, Got::Packet(0x90, vec![0, 7, 0, 0]));
    assert_eq!(seen(&mut client).await, ("hf/1/view/nas/presence".into(), "online".into(), true));
    let unsubscribe = [vec![0, 8, 0], text(b"hf/1/view/#"), text(b"nothing")].concat();
    client.say(&packet(0xa2, &unsubscribe)).await;
    assert_eq!(client.next().await, Got::Packet(0xb0, vec![0, 8, 0, 0, 0x11]));
    // What it publishes goes nowhere, and it is told so.
    client.say(&packet(0x32, &[text(b"hf/1/view/x"), vec![0, 9, 0], b"x".to_vec()].concat())).await;
    assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 9, 0x87]));
    client.say(&[0xc0, 0]).await;
    assert_eq!(client.next().await, Got::Packet(0xd0, vec![]));
    client.say(&[0xe0, 2, 0, 0]).await;
    assert_eq!(client.next().await, Got::Closed);
    assert_eq!(world.gate.stats().malformed, 0);
}

#[tokio::test]
async fn whoever_breaks_the_rules_is_told_which() {
    let world = World::start().await;
    for (bytes, reason) in [
        (packet(0x34, &[text(b"a"), vec![0, 1, 0]].concat()), 0x9b),
        (packet(0x30, &[text(b"a"), vec![3, 0x23, 0, 1]].concat()), 0x94),
        (packet(0x30, &[text(b""), vec![0]].concat()), 0x82),
        (packet(0x30, &[text(b"a/+"), vec![0]].concat()), 0x90),
        (packet(0x82, &[vec![0, 1, 2, 0x0b, 1], text(b"a"), vec![0]].concat()), 0xa1),
        (subscribe(&[("a#", 0)]), 0x8f),
        (subscribe(&[("a", 3)]), 0x82),
        (subscribe(&[("a", 0x30)]), 0x82),
        (subscribe(&[("a", 0x40)]), 0x81),
        (subscribe(&[("$share/x/a", 4)]), 0x82),
        (vec![0xf0, 0], 0x82),
        (packet(0x40, &[0, 1]), 0x82),
        (vec![0xc1, 0], 0x81),
        (vec![0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
        (vec![0x30, 0xff, 0xff, 0xff, 0xff, 1], 0x81),
        (connect("eve", "again", &[]), 0x82),
    ] {
        let mut client = viewer(&world, "rude").await;
        client.say(&bytes).await;
        assert_eq!(disconnected(&mut client).await, reason, "{bytes:02x?}");
    }
}

#[tokio::test]
async fn whoever_is_let_go_is_told_why() {
    let world = World::start().await;
    let mut first = viewer(&world, "same").await;
    let mut second = viewer(&world, "same").await;
    assert_eq!(disconnected(&mut first).await, 0x8e);
    world.gate.kick_viewer("eve");
    assert_eq!(disconnected(&mut second).await, 0x98);
    let mut third = viewer(&world, "same").await;
    // When the server stops, tools should come back by themselves: they do after a lost connection.
    let gate = world.gate.clone();
    let stopping = tokio::spawn(async move { gate.shutdown().await });
    assert_eq!(third.next().await, Got::Closed);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_connect_that_is_refused_gets_a_reason() {
    let world = World::start().await;
    let wrong = Hello { password: "wrong".into(), level: 5, ..Hello::named("eve", "x") }.bytes();
    let will_2 = Hello { will: Some(("a".into(), vec![], 2)), level: 5, ..Hello::named("eve", "x") }.bytes();
    for (bytes, reason) in [
        (wrong, 0x86),
        (will_2, 0x9b),
        (connect("nobody", "x", &[]), 0x87),
        (connect("eve", "a/b", &[]), 0x85),
        (connect(&host(1).to_string(), &host(1).to_string(), &[]), 0x84),
        (connect("eve", "x", &[&[0x15][..], &text(b"SCRAM")].concat()), 0x8c),
        (connect("eve", "x", &[&[0x16][..], &text(b"data")].concat()), 0x82),
        (connect("eve", "x", &[0x21, 0, 0]), 0x82),
        (connect("eve", "x", &[0x17, 2]), 0x82),
        (connect("eve", "x", &[0x17, 1, 0x17, 1]), 0x82),
        (connect("eve", "x", &[0x23, 0, 1]), 0x82),
        (connect("eve", "x", &[0x7f, 0]), 0x81),
        (connect("eve", "x", &[0x11, 0]), 0x81),
    ] {
        let mut client = Client::open(world.plain).await;
        client.say(&bytes).await;
        let answer = client.next().await;
        let Got::Packet(0x20, body) = &answer else { panic!("{answer:?}") };
        assert_eq!(body[..2], [0, reason], "{bytes:02x?}");
        assert_eq!(body[3], 0x1f, "a reason string");
        assert_eq!(client.next().await, Got::Closed);
    }
    // Not when the client would not take it.
    let mut client = Client::open(world.plain).await;
    client.say(&connect("nobody", "x", &[0x27, 0, 0, 0, 10])).await;
    assert_eq!(client.next().await, Got::Packet(0x20, vec![0, 0x87, 0]));
    let mut client = Client::open(world.plain).await;
    client.say(&connect("eve", "x", &[0x27, 0, 0, 0, 10])).await;
    assert_eq!(client.next().await, Got::Packet(0x20, vec![0, 0x95, 0]));
}

#[tokio::test]
async fn a_debug_account_sees_the_sealed_topics_with_mqtt_5_too() {
    let world = World::start().await;
    let mut machine = world.host(host(1)).await;
    machine.publish(&topic(host(1), "presence"), b"sealed", 1, 1).await;
    machine.ping().await;
    until("it is kept", || world.gate.stats().retained == 1).await;
    let mut client = Client::open(world.plain).await;
    client.say(&connect("debug", "a", &[])).await;
    let _ = client.next().await;
    client.say(&subscribe(&[("#", 0)])).await;
    assert_eq!(client.next().await, Got::Packet(0x90, vec![0, 7, 0, 0]));
    assert_eq!(seen(&mut client).await, (topic(host(1), "presence"), "sealed".into(), true));
}

/// Proper packets to begin with.
fn proper() -> Vec<Vec<u8>> {
    let user = [&[0x26][..], &text(b"k"), &text(b"v")].concat();
    let with_user = |first: u8, before: &[u8], after: &[u8]| {
        let length = u8::try_from(user.len()).unwrap();
        packet(first, &[before, &[length], &user, after].concat())
    };
    vec![
        connect("eve", "x", &user),
        Hello { level: 5, ..Hello::named("eve", "x").with_will("t", b"p") }.bytes(),
        subscribe(&[("a/+/b", 0x2d), ("c/#", 0)]),
        with_user(0x82, &[0, 1], &[&text(b"a")[..], &[1]].concat()),
        with_user(0xa2, &[0, 1], &text(b"a/#")),
        with_user(0x30, &text(b"a"), b"payload"),
        with_user(0x32, &[&text(b"a")[..], &[0, 4]].concat(), b""),
        with_user(0xe0, &[4], b""),
        packet(0x40, &[0, 1, 0, 0]),
        vec![0xe0, 0],
        vec![0xc0, 0],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_are_a_packet_or_an_error_and_never_a_panic(
        first in any::<u8>(),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = v5::packet(first, &body);
        let _ = Connect::read(&[&[0, 4][..], b"MQTT", &[5], &body].concat());
    }

    #[test]
    fn damaged_packets_are_read_within_their_bounds_or_refused(
        which in 0_usize..11,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = proper()[which].clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(2 + cut.index(bytes.len() - 1));
        }
        let (Some(first), Some(body)) = (bytes.first(), bytes.get(2..)) else { return Ok(()) };
        match v5::packet(*first, body) {
            Ok(v5::Packet::Publish { topic, qos, packet_id }) => {
                prop_assert!(!topic.is_empty() && !topic.contains(['+', '#']) && topic.len() < body.len());
                prop_assert!(qos < 2 && (qos == 0) == (packet_id == 0));
            }
            Ok(v5::Packet::Subscribe { packet_id, filters } | v5::Packet::Unsubscribe { packet_id, filters }) => {
                let lengths: Vec<_> = filters.map(|asked| asked.filter.len()).collect();
                prop_assert!(packet_id > 0 && !lengths.is_empty());
                prop_assert!(lengths.iter().all(|length| *length > 0));
                prop_assert!(lengths.iter().sum::<usize>() < body.len());
            }
            Ok(v5::Packet::PingReq) => prop_assert!(body.is_empty()),
            Ok(v5::Packet::Disconnect) => {}
            Err(error) => prop_assert!(error.reason.0 >= 0x80),
        }
        match Connect::read(body) {
            Ok(connect) => {
                prop_assert!(connect.client_id.len() < body.len());
                if let Protocol::V5(options) = connect.protocol {
                    prop_assert!(options.max_packet_bytes > 0);
                }
            }
            Err(ConnectError::V5(error)) => prop_assert!(error.reason.0 >= 0x80),
            Err(_) => {}
        }
    }
}

#[test]
fn proper_packets_are_read() {
    for (index, bytes) in proper().iter().enumerate() {
        match index {
            0 | 1 => {
                let connect = Connect::read(&bytes[2..]).unwrap();
                assert!(matches!(connect.protocol, Protocol::V5(_)));
                assert!(!format!("{connect:?}").contains("sesame"));
            }
            8 => assert!(v5::packet(bytes[0], &bytes[2..]).is_err(), "an acknowledgement of nothing"),
            _ => assert!(v5::packet(bytes[0], &bytes[2..]).is_ok(), "{bytes:02x?}"),
        }
    }
}
