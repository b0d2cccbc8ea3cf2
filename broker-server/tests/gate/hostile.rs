//! Peers that mean harm, with a well-behaved one beside them that must notice nothing.

use crate::support::{
    Client, Got, Heard, Hello, Random, World, host, packet, publish, resident_bytes, small, text, topic,
    until, will,
};
use bytes::Bytes;
use holdfast_server::gate::{CloseReason, Limits};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// The well-behaved host: reports and is commanded, one after the other, on one connection, until it is stopped.
struct Neighbour {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    task: JoinHandle<Client>,
}

impl Neighbour {
    async fn start(world: &Arc<World>) -> Self {
        let mut client = Client::open_tls(world.tls, &world.certificates.ca_pem()).await;
        client.welcome(&Hello { keep_alive: 5, ..will(host(200)) }).await;
        client.subscribe(&[(&topic(host(200), "cmd"), 1)]).await;
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn({
            let (world, stop, rounds) = (Arc::clone(world), Arc::clone(&stop), Arc::clone(&rounds));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    client.publish(&topic(host(200), "evt"), b"report", 1, 5).await;
                    assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 5]));
                    world.command(host(200), b"command");
                    let Got::Publish { packet_id, payload, dup: false, .. } = client.next().await else {
                        panic!("no command")
                    };
                    assert_eq!(payload, b"command");
                    client.ack(packet_id).await;
                    rounds.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                client
            }
        });
        Self { stop, rounds, task }
    }

    /// It goes on: two more rounds.
    async fn lives(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        until("the neighbour goes on", || {
            assert!(!self.task.is_finished(), "the neighbour has ended");
            self.rounds.load(Ordering::Relaxed) > before + 2
        })
        .await;
    }

    async fn stop(self) {
        self.lives().await;
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap().ping().await;
    }
}

async fn world() -> Arc<World> {
    let limits = Limits { connect_timeout: Duration::from_secs(2), ..small() };
    Arc::new(World::start_with(limits, Arc::default()).await)
}

/// Everything at once, some times over; then the server serves as before and is no larger.
#[tokio::test]
async fn every_attack_leaves_the_neighbour_alone_and_the_server_serving_and_no_larger() {
    let world = world().await;
    let neighbour = Neighbour::start(&world).await;
    let mut sizes = Vec::new();
    for round in 0..12 {
        let mut random = Random(0x5eed + round);
        garbage(&world, &mut random).await;
        truncated(&world, &mut random).await;
        oversized(&world).await;
        odd_topics(&world).await;
        odd_clients(&world).await;
        forbidden(&world).await;
        strange_acks(&world).await;
        wrong_order(&world).await;
        reconnects(&world).await;
        retained_by_hosts(&world).await;
        neighbour.lives().await;
        world.take_heard();
        sizes.push(resident_bytes());
    }
    // Caches and allocator have had their fill after some rounds.
    let (warm, last) = (sizes[4], sizes[11]);
    assert!(last < warm + 8 * 1024 * 1024, "grew: {sizes:?}");
    neighbour.stop().await;
    serves(&world).await;
    let stats = world.gate.stats();
    assert!(stats.malformed > 1000 && stats.refused > 100, "{stats:?}");
    assert_eq!(stats.router_built, 1);
}

/// A stranger can come in and do what strangers may.
async fn serves(world: &World) {
    let mut client = world.listening_host(host(201)).await;
    client.publish(&topic(host(201), "evt"), b"x", 1, 1).await;
    assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 1]));
    world.gate.publish_view("hf/1/view/serves", Some(Bytes::from_static(b"yes"))).unwrap();
    let mut viewer = Client::open(world.plain).await;
    viewer.welcome(&Hello::named("eve", "serves")).await;
    viewer.subscribe(&[("hf/1/view/serves", 0)]).await;
    assert!(matches!(viewer.next().await, Got::Publish { retain: true, .. }));
}

/// Noise instead of CONNECT, instead of TLS, and after a proper CONNECT.
async fn garbage(world: &World, random: &mut Random) {
    for _ in 0..40 {
        let length = 1 + random.below(300);
        let noise = random.bytes(length);
        for address in [world.plain, world.tls] {
            let mut client = Client::open(address).await;
            client.say(&noise).await;
            drop(client);
        }
        let mut client = world.host(host(1)).await;
        client.say(&noise).await;
        // Whatever the noise has begun is whole after that.
        client.say(&[0xff; 70_000]).await;
        client.closed().await;
    }
    for text in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "SSH-2.0-x\r\n"] {
        let mut client = Client::open(world.plain).await;
        client.say(text.as_bytes()).await;
        client.closed().await;
    }
}

/// Packets that end in the middle; CONNECT cut at every byte.
async fn truncated(world: &World, random: &mut Random) {
    let connect = will(host(1)).bytes();
    for end in 0..connect.len() {
        let mut client = Client::open(world.plain).await;
        client.say(&connect[..end]).await;
    }
    let subscribe = packet(0x82, &[vec![0, 1], text(topic(host(1), "cmd").as_bytes()), vec![1]].concat());
    for whole in [publish(&topic(host(1), "evt"), &[0; 1000], 1, 1), subscribe] {
        for _ in 0..10 {
            let mut client = world.host(host(1)).await;
            client.say(&whole[..random.below(whole.len())]).await;
        }
        // A length that says less than what is inside.
        let mut short = whole.clone();
        short[1] = 3;
        let mut client = world.host(host(1)).await;
        client.say(&short).await;
        client.closed().await;
    }
}

/// Lengths beyond what is allowed, before and after the login.
async fn oversized(world: &World) {
    for header in [&[0x10, 0xff, 0xff, 0xff, 0x7f][..], &[0x10, 0x80, 0x40], &[0x10, 0x80, 0x80, 0x80, 0x80]]
    {
        let mut client = Client::open(world.plain).await;
        client.say(header).await;
        assert_eq!(client.next().await, Got::Closed);
    }
    for header in
        [&[0x30, 0xff, 0xff, 0xff, 0x7f][..], &[0x30, 0x80, 0x80, 0x08], &[0x32, 0xff, 0xff, 0xff, 0xff, 1]]
    {
        let mut client = world.host(host(1)).await;
        client.say(header).await;
        client.closed().await;
    }
    // One byte more than a payload may have, in a packet that is just short enough.
    let mut client = world.host(host(1)).await;
    client.publish(&topic(host(1), "evt"), &vec![0; schema::limits::MAX_PAYLOAD_BYTES + 1], 1, 1).await;
    client.closed().await;
    // The longest that is allowed is.
    let mut client = world.host(host(1)).await;
    client.publish(&topic(host(1), "evt"), &vec![0; schema::limits::MAX_PAYLOAD_BYTES], 1, 1).await;
    assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 1]));
}

/// Topics and filters that have stopped other brokers.
async fn odd_topics(world: &World) {
    for odd in
        ["é", "é/x", "日本", "\u{10ffff}", "$SYS/x", "/", "//", " ", "hf/1/\u{e9}/evt", &"x/".repeat(30_000)]
    {
        let mut client = world.host(host(1)).await;
        client.publish(odd, b"x", 1, 1).await;
        assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 1]));
        assert_eq!(client.subscribe(&[(odd, 1)]).await, [0x80]);
        let mut viewer = Client::open(world.plain).await;
        viewer.welcome(&Hello::named("debug", "odd")).await;
        assert_eq!(viewer.subscribe(&[(odd, 0), ("hf/1/view/é", 0)]).await, [0x80, 0x80]);
        viewer.publish(odd, b"x", 0, 0).await;
        viewer.ping().await;
    }
    for wild in ["#", "hf/1/+/evt", "hf/#", ""] {
        let mut client = world.host(host(1)).await;
        client.publish(wild, b"x", 1, 1).await;
        client.closed().await;
    }
    for filter in ["a#", "#/a", "a/+b", ""] {
        let mut client = world.host(host(1)).await;
        client.say(&packet(0x82, &[vec![0, 1], text(filter.as_bytes()), vec![0]].concat())).await;
        client.closed().await;
    }
    // Very many filters in one packet.
    let many: Vec<u8> = [vec![0, 1], [text(b"#"), vec![0]].concat().repeat(16_000)].concat();
    let mut client = world.host(host(1)).await;
    client.say(&packet(0x82, &many)).await;
    let Got::Packet(0x90, answer) = client.next().await else { panic!() };
    assert_eq!(answer.len(), 16_002);
}

/// Client ids and names that have stopped other brokers, and foreign ones.
async fn odd_clients(world: &World) {
    let id = host(1).to_string();
    for client_id in
        ["+", "a+b", "#", "$x", "é", "a/b", " ", "x\u{7f}", &"x".repeat(3000), &host(200).to_string()]
    {
        let mut client = Client::open(world.plain).await;
        assert_eq!(
            client.hello(&Hello::named(&id, client_id)).await,
            Got::Packet(0x20, vec![0, 2]),
            "{client_id}"
        );
    }
    for username in ["", "+", "é", "\u{feff}", &"x".repeat(3000)] {
        let mut client = Client::open(world.plain).await;
        assert!(
            matches!(client.hello(&Hello::named(username, "x")).await, Got::Packet(0x20, code) if code[1] >= 3)
        );
    }
}

/// Everything that is another's.
async fn forbidden(world: &World) {
    let mut client = world.host(host(1)).await;
    for suffix in ["cmd", "plan", "evt", "live", "presence", "repo/stats"] {
        for retain in [0, 1] {
            let mut message = publish(&topic(host(200), suffix), b"forged", 1, 9);
            message[0] |= retain;
            client.say(&message).await;
            assert_eq!(client.next().await, Got::Packet(0x40, vec![0, 9]));
        }
        assert_eq!(client.subscribe(&[(&topic(host(200), suffix), 1), ("#", 1)]).await, [0x80, 0x80]);
    }
    assert_eq!(client.ping().await, []);
    assert!(
        !world
            .heard()
            .iter()
            .any(|heard| matches!(heard, Heard::Host(_, _, payload) if payload == b"forged"))
    );
}

/// Acknowledgements of nothing, and the packets of QoS 2.
async fn strange_acks(world: &World) {
    let mut client = world.listening_host(host(1)).await;
    for id in [1, 2, 77, 65_535] {
        client.ack(id).await;
    }
    assert_eq!(client.ping().await, [], "a few are forgiven");
    for id in 1..=200 {
        client.ack(id).await;
    }
    client.closed().await;
    for first in [0x50, 0x62, 0x70] {
        let mut client = world.host(host(1)).await;
        client.say(&packet(first, &[0, 1])).await;
        client.closed().await;
    }
}

/// Proper packets at the wrong time.
async fn wrong_order(world: &World) {
    for first in [&[0xc0, 0][..], &[0xe0, 0], &[0x40, 2, 0, 1], &publish("x", b"x", 0, 0)] {
        let mut client = Client::open(world.plain).await;
        client.say(first).await;
        assert_eq!(client.next().await, Got::Closed, "{first:02x?}");
    }
    let mut client = world.host(host(1)).await;
    client.say(&Hello::host(host(1)).bytes()).await;
    client.closed().await;
    // Everything before the answer, which is allowed.
    let mut client = Client::open(world.plain).await;
    let early =
        [Hello::host(host(1)).bytes(), publish(&topic(host(1), "evt"), b"early", 1, 3), vec![0xc0, 0]]
            .concat();
    client.say(&early).await;
    assert_eq!(client.next().await, Got::Packet(0x20, vec![0, 0]));
    let after = [client.next().await, client.next().await];
    assert!(
        after.contains(&Got::Packet(0x40, vec![0, 3])) && after.contains(&Got::Packet(0xd0, vec![])),
        "{after:?}"
    );
}

/// The same client, again and again, without waiting for anything.
async fn reconnects(world: &World) {
    let mut clients = Vec::new();
    for i in 0..100 {
        let mut client = Client::open(world.plain).await;
        client.say(&will(host(2)).kept().bytes()).await;
        if i % 3 == 0 {
            drop(client);
        } else {
            clients.push(client);
        }
    }
    let mut last = Client::open(world.plain).await;
    last.welcome(&will(host(2)).kept()).await;
    last.ping().await;
    drop(clients);
    last.ping().await;
}

/// A host that fills its retained topics as often as it can.
async fn retained_by_hosts(world: &World) {
    let mut client = world.host(host(3)).await;
    for i in 0..50_u8 {
        client.publish(&topic(host(3), "repo/stats"), &vec![i; 30_000], 1, u16::from(i) + 1).await;
        assert_eq!(client.next().await, Got::Packet(0x40, vec![0, i + 1]));
    }
    assert!(world.gate.stats().retained <= 12);
}

#[tokio::test]
async fn silent_and_slow_peers_hold_up_nobody() {
    let world = world().await;
    let neighbour = Neighbour::start(&world).await;
    // More silent ones than there are places, with TLS begun, half begun, or a CONNECT that never ends.
    let mut silent = Vec::new();
    for i in 0..200 {
        let mut client = Client::open(if i % 2 == 0 { world.tls } else { world.plain }).await;
        match i % 5 {
            0 => client.say(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await,
            1 => client.say(&[0x10]).await,
            2 => client.say(&will(host(1)).bytes()[..20]).await,
            _ => {}
        }
        silent.push(client);
        if i % 50 == 49 {
            neighbour.lives().await;
            serves(&world).await;
        }
    }
    for client in &mut silent {
        client.closed().await;
    }
    until("all places are free", || world.gate.stats().pending == 0).await;
    // Some of what they began is seen to be no TLS or no CONNECT at once.
    let stats = world.gate.stats();
    assert_eq!(stats.pending_dropped + stats.handshakes_failed + stats.malformed, 200, "{stats:?}");
    assert!(stats.pending_dropped >= 120, "{stats:?}");
    neighbour.stop().await;
}

#[tokio::test]
async fn a_connect_byte_by_byte_runs_out_of_time() {
    let world = world().await;
    let mut slow = Client::open(world.plain).await;
    let hello = Hello { username: "x".repeat(2000), ..will(host(1)) }.bytes();
    let saying = async {
        for byte in &hello {
            slow.say(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = saying => panic!("it was listened to until the end"),
        () = until("it has run out of time", || world.gate.stats().pending_dropped == 1) => {}
    }
    slow.closed().await;
}

#[tokio::test]
async fn a_packet_that_never_ends_ends_the_session_in_spite_of_all_its_bytes() {
    let limits = Limits { stall_timeout: Duration::from_millis(700), ..small() };
    let world = World::start_with(limits, Arc::default()).await;
    let mut client = world.host(host(1)).await;
    client.say(&[0x30, 0xff, 0xff, 0x03]).await;
    let dribbling = async {
        loop {
            client.say(&[0]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = dribbling => {}
        () = world.hears(Heard::Closed(host(1), CloseReason::Stalled)) => {}
    }
    client.closed().await;
}

#[tokio::test]
async fn a_peer_that_asks_and_never_reads_is_cut_off_and_costs_little() {
    let limits = Limits { stall_timeout: Duration::from_millis(1500), ..small() };
    let world = World::start_with(limits, Arc::default()).await;
    let client = world.host(host(1)).await;
    let before = resident_bytes();
    let (_reader, mut writer) = tokio::io::split(client.stream);
    let flooding = async {
        let pings = [0xc0, 0].repeat(10_000);
        while tokio::io::AsyncWriteExt::write_all(&mut writer, &pings).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = flooding => {}
        () = world.hears(Heard::Closed(host(1), CloseReason::Stalled)) => {}
    }
    assert!(resident_bytes().saturating_sub(before) < 8 * 1024 * 1024);
}

#[tokio::test]
async fn a_flood_of_connections_ends_and_leaves_no_memory_behind() {
    let world = world().await;
    let neighbour = Neighbour::start(&world).await;
    serves(&world).await;
    until("the stranger has left", || world.gate.stats().hosts == 1).await;
    let mut sizes = Vec::new();
    for round in 0..8 {
        let mut flood = Vec::new();
        for i in 0..300 {
            let address = if i % 3 == 0 { world.tls } else { world.plain };
            flood.push(tokio::spawn(async move {
                let mut client = Client::open(address).await;
                let wrong = Hello { password: "wrong".into(), ..Hello::named(&format!("u{i}"), "x") };
                match i % 4 {
                    0 => client.say(&wrong.bytes()).await,
                    1 => client.say(&Hello::host(host(1 + u8::try_from(i % 90).unwrap())).bytes()).await,
                    _ => {}
                }
            }));
        }
        for one in flood {
            one.await.unwrap();
        }
        neighbour.lives().await;
        until("the flood has passed", || {
            let stats = world.gate.stats();
            stats.pending == 0 && stats.hosts == 1
        })
        .await;
        if round >= 3 {
            sizes.push(resident_bytes());
        }
    }
    assert!(sizes[4] < sizes[0] + 8 * 1024 * 1024, "{sizes:?}");
    neighbour.stop().await;
    serves(&world).await;
}

/// How long a login takes while 1,000 connections a second come that say nothing: prints it. Run it with
/// `cargo nextest run -p broker-server --run-ignored only --no-capture -E 'test(measures)'`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and needs 16,000 file descriptors"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn measures_logins_beside_a_flood_of_connections_that_say_nothing() {
    let limits = Limits { max_connections: 1_000, ..Limits::default() };
    let world = Arc::new(World::start_with(limits, Arc::default()).await);
    let stop = Arc::new(AtomicBool::new(false));
    let flood = tokio::spawn({
        let (address, stop) = (world.plain, Arc::clone(&stop));
        async move {
            let mut open = Vec::new();
            let mut every = tokio::time::interval(Duration::from_millis(10));
            while !stop.load(Ordering::Relaxed) {
                every.tick().await;
                for _ in 0..10 {
                    open.extend(tokio::net::TcpStream::connect(address).await);
                }
            }
            open.len()
        }
    });
    let mut took = Vec::new();
    for i in 0..80 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = std::time::Instant::now();
        let mut client = Client::open(world.plain).await;
        client.welcome(&Hello::host(host(1 + i % 50))).await;
        took.push(begun.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let flooded = flood.await.unwrap();
    took.sort();
    println!(
        "beside {flooded} silent connections: p50 {:?}, p95 {:?}, max {:?}; {:?}",
        took[took.len() / 2],
        took[took.len() * 95 / 100],
        took[took.len() - 1],
        world.gate.stats()
    );
}
