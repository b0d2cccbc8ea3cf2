//! rumqttc, the agent's own client.

use crate::support::{Heard, World, host, topic, until};
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS, TlsConfiguration, Transport,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use schema::{HostId, HostTopic};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

fn options(world: &World, host: HostId, clean: bool) -> MqttOptions {
    let mut options = MqttOptions::new(host.to_string(), "localhost", world.tls.port());
    options.set_credentials(host.to_string(), "open sesame");
    options.set_clean_session(clean);
    options.set_keep_alive(Duration::from_secs(5));
    options.set_max_packet_size(schema::limits::MAX_PACKET_BYTES, schema::limits::MAX_PACKET_BYTES);
    options.set_last_will(LastWill::new(topic(host, "presence"), "gone", QoS::AtLeastOnce, true));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.certificates.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    options
}

/// The next packet that comes in; connections that break are made again.
async fn incoming(eventloop: &mut EventLoop) -> Packet {
    loop {
        match eventloop.poll().await {
            Ok(Event::Incoming(packet)) => return packet,
            Ok(Event::Outgoing(_)) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test]
async fn rumqttc_reports_and_is_commanded_and_comes_back() {
    let world = World::start().await;
    let (client, mut eventloop) = AsyncClient::new(options(&world, host(1), false), 400);
    assert!(matches!(incoming(&mut eventloop).await, Packet::ConnAck(ack) if !ack.session_present));
    client.subscribe(topic(host(1), "cmd"), QoS::AtLeastOnce).await.unwrap();
    assert!(matches!(incoming(&mut eventloop).await, Packet::SubAck(_)));
    for i in 0..300_u16 {
        client.publish(topic(host(1), "evt"), QoS::AtLeastOnce, false, i.to_be_bytes()).await.unwrap();
        world.command(host(1), &i.to_be_bytes());
    }
    let (mut acks, mut commands, mut kicks) = (0, Vec::new(), 0);
    while acks < 300 || commands.len() < 300 {
        match incoming(&mut eventloop).await {
            Packet::PubAck(_) => acks += 1,
            Packet::Publish(publish) => {
                let i = u16::from_be_bytes(publish.payload[..].try_into().unwrap());
                assert!(!commands.contains(&i) || publish.dup, "{i} came twice without a mark");
                if !commands.contains(&i) {
                    commands.push(i);
                }
            }
            Packet::ConnAck(ack) => assert!(ack.session_present),
            _ => {}
        }
        // The connection breaks a few times in the middle.
        if kicks < 3 && commands.len() > 50 * (kicks + 1) {
            kicks += 1;
            world.gate.kick(host(1), "test");
        }
    }
    assert_eq!(commands, (0..300).collect::<Vec<_>>());
    let reports: BTreeSet<_> = world
        .heard()
        .into_iter()
        .filter_map(|heard| match heard {
            Heard::Host(_, HostTopic::Evt, payload) => {
                Some(u16::from_be_bytes(payload[..].try_into().unwrap()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(reports.len(), 300);
    client.disconnect().await.unwrap();
    while eventloop.poll().await.is_ok() {}
}

#[tokio::test]
async fn rumqttc_keeps_itself_alive_and_leaves_its_will_when_it_is_gone() {
    let world = World::start().await;
    let (client, mut eventloop) = AsyncClient::new(options(&world, host(1), true), 10);
    assert!(matches!(incoming(&mut eventloop).await, Packet::ConnAck(_)));
    while !matches!(incoming(&mut eventloop).await, Packet::PingResp) {}
    assert!(world.gate.connected(host(1)).is_some());
    drop((client, eventloop));
    world.hears(Heard::Host(host(1), HostTopic::Presence, b"gone".to_vec())).await;
}

#[tokio::test]
async fn a_forbidden_publish_does_not_make_rumqttc_loop() {
    let world = World::start().await;
    let (client, mut eventloop) = AsyncClient::new(options(&world, host(1), false), 10);
    client.publish(topic(host(2), "evt"), QoS::AtLeastOnce, false, "x").await.unwrap();
    client.publish(topic(host(1), "evt"), QoS::AtLeastOnce, false, "y").await.unwrap();
    let mut acks = 0;
    while acks < 2 {
        acks += usize::from(matches!(incoming(&mut eventloop).await, Packet::PubAck(_)));
    }
    until("it is audited", || !world.book.audits().is_empty()).await;
    assert_eq!(
        world.heard(),
        [Heard::Connected(host(1)), Heard::Host(host(1), HostTopic::Evt, b"y".to_vec())]
    );
}
