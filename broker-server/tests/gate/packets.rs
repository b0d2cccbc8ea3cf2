//! The packet reader against anything, and against rumqttd's.

use crate::support::{Hello, Random, host, packet, publish, text};
use bytes::BytesMut;
use holdfast_server::gate::packet::{self as ours, Connect, Packet, is_filter, is_topic, matches};
use proptest::prelude::*;
use rumqttd::protocol::{Packet as Theirs, Protocol, v4::V4};

/// Reads one packet the way a connection does.
fn read(bytes: &[u8]) -> Option<Result<Packet<'_>, ours::Malformed>> {
    let frame = match ours::frame(bytes, 70_000) {
        Err(malformed) => return Some(Err(malformed)),
        Ok(frame) => frame.filter(|frame| frame.total_bytes() <= bytes.len())?,
    };
    Some(ours::packet(frame.first, &bytes[frame.header_bytes..frame.total_bytes()]))
}

/// What we accept, rumqttd reads the same way.
fn agrees(bytes: &[u8], packet: &Packet<'_>) {
    let theirs = V4.read_mut(&mut BytesMut::from(bytes), 70_000);
    let theirs = theirs.unwrap_or_else(|error| panic!("{packet:?} is {error} to rumqttd"));
    match (packet, theirs) {
        (Packet::Publish(publish), Theirs::Publish(theirs, None)) => {
            assert_eq!((publish.topic.as_bytes(), publish.payload), (&theirs.topic[..], &theirs.payload[..]));
            // Quality and packet id are to be had from its own serialisation only.
            let serialised = theirs.serialize();
            assert_eq!(serialised[0] >> 1 & 3, publish.qos);
            assert_eq!(u16::from_be_bytes([serialised[1], serialised[2]]), publish.packet_id);
            assert_eq!(serialised[0] & 1 == 1, publish.retain);
        }
        (Packet::PubAck(id), Theirs::PubAck(theirs, None)) => assert_eq!(*id, theirs.pkid),
        (Packet::Subscribe { packet_id, filters }, Theirs::Subscribe(theirs, None)) => {
            assert_eq!(*packet_id, theirs.pkid);
            let theirs: Vec<_> =
                theirs.filters.iter().map(|filter| (filter.path.as_str(), filter.qos as u8)).collect();
            assert_eq!(filters.collect::<Vec<_>>(), theirs);
        }
        (Packet::Unsubscribe { packet_id, filters }, Theirs::Unsubscribe(theirs, None)) => {
            assert_eq!(*packet_id, theirs.pkid);
            assert!(filters.map(|(filter, _)| filter).eq(theirs.filters.iter().map(String::as_str)));
        }
        (Packet::PingReq, Theirs::PingReq(_)) | (Packet::Disconnect, Theirs::Disconnect(..)) => {}
        (packet, theirs) => panic!("{packet:?} is {theirs:?} to rumqttd"),
    }
}

/// Proper packets to begin with.
fn proper() -> Vec<Vec<u8>> {
    let subscribe = [vec![0, 1], text(b"a/+/b"), vec![1], text(b"c/#"), vec![0]].concat();
    vec![
        publish("hf/1/x/evt", b"payload", 1, 7),
        publish("hf/1/x/live", b"", 0, 0),
        publish("t", &[0; 300], 2, 65_535),
        packet(0x40, &[0, 9]),
        packet(0x82, &subscribe),
        packet(0xa2, &[vec![1, 2], text(b"a/b")].concat()),
        vec![0xc0, 0],
        vec![0xe0, 0],
        Hello::host(host(1)).with_will("w", b"x").bytes(),
        packet(0x62, &[0, 1]),
        packet(0x50, &[0, 1]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_are_a_packet_or_malformed_or_incomplete_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Some(Ok(packet)) = read(&bytes) {
            agrees(&bytes, &packet);
        }
        if let Some(body) = bytes.get(2..) {
            let _ = Connect::read(body);
        }
    }

    #[test]
    fn proper_packets_with_damage_are_read_as_rumqttd_reads_them_or_refused(
        which in 0_usize..11,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        added in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = proper()[which].clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(added);
        if let Some(Ok(packet)) = read(&bytes) {
            agrees(&bytes, &packet);
            if let Packet::Publish(publish) = packet {
                prop_assert!(is_topic(publish.topic) && publish.qos < 3);
            }
            if let Packet::Subscribe { filters, .. } = packet {
                prop_assert!(filters.count() > 0);
                for (filter, qos) in filters {
                    prop_assert!(is_filter(filter) && qos < 3);
                }
            }
        }
        if let Ok(Some(frame)) = ours::frame(&bytes, 70_000)
            && bytes.len() >= frame.total_bytes()
            && let Ok(connect) = Connect::read(&bytes[frame.header_bytes..frame.total_bytes()])
            && Connect::begins_with(bytes[0])
            // The other reads 3.1.1 alone: a byte can make a bridge of a client, or one that speaks MQTT 5.
            && connect.protocol == ours::Protocol::V311
        {
            let Ok(Theirs::Connect(theirs, None, will, None, login)) = V4.read_mut(&mut BytesMut::from(&bytes[..]), 70_000) else {
                // It wants passwords that are text.
                prop_assert!(connect.password.is_some_and(|password| std::str::from_utf8(password).is_err()));
                return Ok(());
            };
            prop_assert_eq!((connect.client_id, connect.clean_session, connect.keep_alive_secs), (theirs.client_id.as_str(), theirs.clean_session, theirs.keep_alive));
            prop_assert_eq!(connect.will.map(|will| (will.topic.as_bytes().to_vec(), will.payload.to_vec())), will.map(|will| (will.topic.to_vec(), will.message.to_vec())));
            prop_assert_eq!(connect.username.unwrap_or_default(), login.map(|login| login.username).unwrap_or_default());
        }
    }

    #[test]
    fn a_frame_is_the_same_however_it_arrives(which in 0_usize..11, split in any::<prop::sample::Index>()) {
        let bytes = &proper()[which];
        let whole = ours::frame(bytes, 70_000).unwrap().unwrap();
        prop_assert_eq!(whole.total_bytes(), bytes.len());
        match ours::frame(&bytes[..split.index(bytes.len())], 70_000).unwrap() {
            Some(part) => prop_assert_eq!(part, whole),
            None => prop_assert!(split.index(bytes.len()) < whole.header_bytes),
        }
        prop_assert!(ours::frame(bytes, bytes.len() - 1).is_err());
    }

    #[test]
    fn filters_match_as_rumqttd_says(
        topic in "[a-b/]{1,8}",
        filter in "([ab]{0,2}|\\+)(/([ab]{0,2}|\\+)){0,3}(/#)?",
    ) {
        prop_assume!(is_filter(&filter));
        // It does not let `a/#` take `a` itself, which the standard does.
        let parent = filter.strip_suffix("/#").is_some_and(|parent| matches(&topic, parent));
        prop_assert_eq!(matches(&topic, &filter), parent || rumqttd::protocol::matches(&topic, &filter), "{} {}", topic, filter);
    }
}

#[test]
fn what_the_standard_forbids_is_refused() {
    let mut random = Random(1);
    for (bytes, why) in [
        (vec![0x00, 0], "a packet that clients don't send"),
        (vec![0xf0, 0], "a packet that clients don't send"),
        (vec![0x20, 2, 0, 0], "a packet that clients don't send"),
        (vec![0xc1, 0], "wrong flags"),
        (vec![0xc0, 1, 0], "bytes behind the end"),
        (vec![0xe0, 1, 0], "bytes behind the end"),
        (vec![0x40, 1, 0], "the packet ends too early"),
        (vec![0x40, 2, 0, 0], "packet id 0"),
        (packet(0x80, &[vec![0, 1], text(b"a"), vec![0]].concat()), "wrong flags"),
        (packet(0x82, &[0, 1]), "the packet ends too early"),
        (packet(0x82, &[vec![0, 1], text(b"a"), vec![3]].concat()), "a QoS that does not exist"),
        (packet(0x82, &[vec![0, 1], text(b"a"), vec![0x80]].concat()), "a QoS that does not exist"),
        (packet(0x82, &[vec![0, 1], text(b"a#"), vec![0]].concat()), "a malformed filter"),
        (packet(0x82, &[vec![0, 1], text(b"#/a"), vec![0]].concat()), "a malformed filter"),
        (packet(0x82, &[vec![0, 1], text(b"a+/b"), vec![0]].concat()), "a malformed filter"),
        (packet(0x82, &[vec![0, 1], text(b""), vec![0]].concat()), "a malformed filter"),
        (publish("", b"", 0, 0), "a topic that is empty or holds a wildcard"),
        (publish("a/+", b"", 0, 0), "a topic that is empty or holds a wildcard"),
        (publish("#", b"", 1, 1), "a topic that is empty or holds a wildcard"),
        (publish("a\0b", b"", 0, 0), "text with a NUL"),
        (publish("a", b"", 1, 0), "packet id 0"),
        (packet(0x30, &text(&[0xff, 0xfe])), "text that is not UTF-8"),
        (packet(0x36, &[text(b"a"), vec![0, 1]].concat()), "a QoS that does not exist"),
        (packet(0x38, &text(b"a")), "DUP with QoS 0"),
        (vec![0x30, 0x80, 0x80, 0x80, 0x80, 1], "the length has more than four bytes"),
        (vec![0x30, 0xff, 0xff, 0xff, 0x7f], "the packet is too long"),
        (Hello::host(host(1)).bytes(), "a second CONNECT"),
        (packet(0x50, &[0, 1]), "a packet of QoS 2, which is not spoken here"),
    ] {
        assert_eq!(read(&bytes), Some(Err(ours::Malformed(why))), "{bytes:02x?}");
        // Also with something behind it.
        let more = [bytes, random.bytes(20)].concat();
        assert_eq!(read(&more), Some(Err(ours::Malformed(why))), "{more:02x?}");
    }
}

#[test]
fn a_connect_that_can_not_be_is_refused() {
    let connect = |flags: u8, rest: &[u8]| {
        let body = [text(b"MQTT"), vec![4, flags, 0, 60], text(b"id"), rest.to_vec()].concat();
        Connect::read(&body).is_ok()
    };
    assert!(connect(0x02, &[]));
    assert!(!connect(0x03, &[]), "the reserved flag");
    assert!(!connect(0x42, &text(b"p")), "a password without a name");
    assert!(!connect(0x0a, &[]), "quality of no will");
    assert!(!connect(0x22, &[]), "retain of no will");
    assert!(!connect(0x1e, &[text(b"t"), text(b"p")].concat()), "a will of QoS 3");
    assert!(!connect(0x02, &[0]), "bytes behind the end");
    assert!(!connect(0x82, &text(&[0xff])), "a name that is not UTF-8");
    let whole = Hello::host(host(1)).with_will("topic", b"payload").bytes();
    for end in 2..whole.len() {
        assert!(Connect::read(&whole[2..end]).is_err(), "cut at {end}");
    }
    assert!(!format!("{:?}", Connect::read(&whole[2..]).unwrap()).contains("sesame"));
}
