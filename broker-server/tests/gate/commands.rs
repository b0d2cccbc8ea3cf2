//! 5,000 commands to a host that is slow, or away, or keeps losing its connection.

use crate::support::{Client, Got, Hello, Random, World, host, resident_bytes, topic, until};
use bytes::Bytes;
use schema::CommandSeq;
use std::{collections::BTreeSet, time::Duration};

const COMMANDS: u64 = 5_000;
/// One payload for all, so that the outbox itself takes no memory: what grows is the gate.
const PAYLOAD_BYTES: usize = 8 * 1024;

/// What a host has taken: new commands once each, and those that came again marked as such.
#[derive(Default)]
struct Taken {
    seqs: Vec<u64>,
    again: usize,
    unmarked: usize,
}

impl Taken {
    fn take(&mut self, payload: &[u8], dup: bool) {
        let seq = u64::from_be_bytes(*payload.first_chunk().unwrap());
        if !self.seqs.contains(&seq) {
            self.seqs.push(seq);
        } else if dup {
            self.again += 1;
        } else {
            self.unmarked += 1;
        }
    }

    fn is_whole(&self) -> bool {
        self.seqs.len() == usize::try_from(COMMANDS).unwrap()
    }
}

fn queue(world: &World, wake: bool) {
    for seq in 1..=COMMANDS {
        let mut payload = seq.to_be_bytes().to_vec();
        payload.resize(64, 0);
        assert_eq!(world.book.queue(host(1), Bytes::from(payload)), CommandSeq(seq));
        if wake {
            world.gate.wake(host(1));
        }
    }
}

async fn connect(world: &World) -> (Client, bool) {
    let mut client = Client::open(world.plain).await;
    let kept = client.welcome(&Hello::host(host(1)).kept()).await;
    (client, kept)
}

fn assert_whole(taken: &Taken) {
    assert_eq!(taken.seqs, (1..=COMMANDS).collect::<Vec<_>>(), "lost or out of order");
    assert_eq!(taken.unmarked, 0, "came twice without a mark");
}

#[tokio::test]
async fn a_host_that_was_away_gets_all_of_them_once_and_in_order() {
    let world = World::start().await;
    let (mut client, _) = connect(&world).await;
    client.subscribe(&[(&topic(host(1), "cmd"), 1)]).await;
    drop(client);
    until("it is away", || world.gate.connected(host(1)).is_none()).await;
    let before = resident_bytes();
    queue(&world, true);
    assert!(resident_bytes() < before + 16 * 1024 * 1024);
    let (mut client, kept) = connect(&world).await;
    assert!(kept);
    let mut taken = Taken::default();
    while !taken.is_whole() {
        let Got::Publish { payload, packet_id, dup, .. } = client.next().await else { panic!() };
        assert!(!dup);
        taken.take(&payload, dup);
        client.ack(packet_id).await;
        assert!(world.gate.stats().in_flight <= 8);
    }
    assert_whole(&taken);
    client.ping().await;
    assert_eq!(world.book.delivered(host(1)), (1..=COMMANDS).map(CommandSeq).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_host_that_keeps_losing_its_connection_loses_no_command() {
    let world = World::start().await;
    let mut random = Random(0x5eed_0001);
    let (mut client, _) = connect(&world).await;
    client.subscribe(&[(&topic(host(1), "cmd"), 1)]).await;
    queue(&world, true);
    let (mut taken, mut connections) = (Taken::default(), 1);
    while !taken.is_whole() {
        // Takes some, acknowledges some of those, then is cut off, or takes itself over.
        for _ in 0..random.below(300) {
            let Got::Publish { payload, packet_id, dup, .. } = client.next().await else { panic!() };
            taken.take(&payload, dup);
            if random.below(50) > 0 {
                client.ack(packet_id).await;
            } else {
                break;
            }
            if taken.is_whole() {
                break;
            }
        }
        let kept;
        (client, kept) = connect(&world).await;
        assert!(kept);
        connections += 1;
    }
    assert_whole(&taken);
    assert!(connections > 20 && taken.again > 0, "{connections} connections, {} again", taken.again);
    // What was never acknowledged comes until it is.
    while world.book.waiting(host(1)) > 0 {
        if let Ok(Got::Publish { payload, packet_id, dup, .. }) =
            tokio::time::timeout(Duration::from_millis(50), client.next()).await
        {
            taken.take(&payload, dup);
            client.ack(packet_id).await;
        }
    }
    assert_whole(&taken);
}

#[tokio::test]
async fn a_host_that_reads_nothing_costs_no_memory_and_holds_up_nobody() {
    let world = World::start().await;
    let (mut stuck, _) = connect(&world).await;
    stuck.subscribe(&[(&topic(host(1), "cmd"), 1)]).await;
    let mut lively = world.listening_host(host(2)).await;
    let before = resident_bytes();
    let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
    for _ in 0..COMMANDS {
        world.book.queue(host(1), payload.clone());
        world.gate.wake(host(1));
    }
    for i in 0..200_u8 {
        world.command(host(2), &[i]);
        let Got::Publish { payload, packet_id, .. } = lively.next().await else { panic!() };
        assert_eq!(payload, [i]);
        lively.ack(packet_id).await;
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes more");
    assert!(world.gate.stats().in_flight <= 8);
    // It wakes up, slowly, and has lost nothing.
    let mut seen = BTreeSet::new();
    for i in 0..COMMANDS {
        let Got::Publish { packet_id, .. } = stuck.next().await else { panic!() };
        assert!(seen.insert(i));
        stuck.ack(packet_id).await;
    }
    stuck.ping().await;
    assert_eq!(world.book.waiting(host(1)), 0);
}
