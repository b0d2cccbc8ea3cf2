//! paho-mqtt, which half the world uses.

use crate::support::{Heard, World, host, python_with_paho, topic, until};
use bytes::Bytes;
use schema::HostTopic;
use std::process::{Command, Stdio};

/// Takes 200 commands with broken connections in between, reports as many, and is gone without a goodbye.
const HOST: &str = r##"
import os, sys, time, threading
import paho.mqtt.client as mqtt
port, host, topic = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=host, clean_session=False, protocol=mqtt.MQTTv311)
client.username_pw_set(host, "open sesame")
client.will_set(topic + "presence", "gone", qos=1, retain=True)
client.reconnect_delay_set(1, 1)
taken, acked, connects = [], set(), []
whole = threading.Event()

def on_connect(client, userdata, flags, reason, properties):
    assert not reason.is_failure, reason
    connects.append(flags.session_present)
    if not flags.session_present:
        client.subscribe(topic + "cmd", qos=1)

def on_message(client, userdata, message):
    number = int(message.payload)
    if number in taken:
        assert message.dup, f"{number} came twice without a mark"
    else:
        taken.append(number)
        if number in (60, 120):
            client.socket().shutdown(2)
    check()

def on_publish(client, userdata, mid, reason, properties):
    acked.add(mid)
    check()

def check():
    if len(taken) == 200 and len(acked) == 200:
        whole.set()

client.on_connect, client.on_message, client.on_publish = on_connect, on_message, on_publish
client.connect("127.0.0.1", port, keepalive=5)
client.loop_start()
for number in range(200):
    client.publish(topic + "evt", str(number), qos=1)
assert whole.wait(60), (len(taken), len(acked))
assert taken == list(range(200)), "lost or out of order"
assert connects[0] is False and connects[1:] and all(connects[1:]), connects
time.sleep(0.2)
print("whole", flush=True)
os._exit(0)
"##;

/// Looks at the view tree; is refused everything else.
const VIEWER: &str = r##"
import sys, threading
import paho.mqtt.client as mqtt
port = int(sys.argv[1])
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
client.username_pw_set("eve", "open sesame")
granted, seen, whole = [], {}, threading.Event()

def on_subscribe(client, userdata, mid, reasons, properties):
    granted.append([reason.is_failure for reason in reasons])

def on_message(client, userdata, message):
    seen[message.topic] = (message.payload, message.retain)
    if len(seen) == 300:
        whole.set()

client.on_subscribe, client.on_message = on_subscribe, on_message
client.connect("127.0.0.1", port)
client.loop_start()
client.subscribe([("hf/2/#", 0), ("hf/1/view/#", 0), ("hf/1/+/cmd", 1)])
assert whole.wait(60), len(seen)
assert granted == [[True, False, True]], granted
assert all(retain for _, retain in seen.values())
client.disconnect()

from paho.mqtt.subscribeoptions import SubscribeOptions
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

connected, changed, gone = threading.Event(), threading.Event(), threading.Event()
answers, fresh = {}, []
newer = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
newer.username_pw_set("eve", "open sesame")
newer.will_set("homeassistant/status", "offline", qos=1, retain=True)

def on_connect(client, userdata, flags, reason, properties):
    assert str(reason) == "Success", reason
    assert properties.AssignedClientIdentifier and properties.MaximumQoS == 1, properties
    assert properties.SharedSubscriptionAvailable == 0 and properties.SubscriptionIdentifierAvailable == 0
    connected.set()

def on_subscribe(client, userdata, mid, reasons, properties):
    answers["subscribe"] = [str(reason) for reason in reasons]

def on_unsubscribe(client, userdata, mid, reasons, properties):
    answers["unsubscribe"] = [str(reason) for reason in reasons]
    gone.set()

def on_publish(client, userdata, mid, reason, properties):
    answers["publish"] = str(reason)

def on_message(client, userdata, message):
    fresh.append((message.topic, message.payload, message.retain))
    if message.topic == "hf/1/view/h0/repo":
        changed.set()

newer.on_connect, newer.on_subscribe, newer.on_unsubscribe = on_connect, on_subscribe, on_unsubscribe
newer.on_publish, newer.on_message = on_publish, on_message
newer.connect("127.0.0.1", port)
newer.loop_start()
assert connected.wait(60)
options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=2)
newer.subscribe([("hf/1/view/#", options), ("hf/1/+/cmd", options), ("$share/x/hf/1/view/#", SubscribeOptions())])
newer.publish("hf/1/view/h0/repo", "forged", qos=1)
print("ready", flush=True)
assert changed.wait(60)
assert fresh[0][1] == b"changed" and fresh[0][2], fresh
newer.unsubscribe(["hf/1/view/#", "never/was"])
assert gone.wait(60)
assert answers["subscribe"] == ["Granted QoS 0", "Not authorized", "Shared subscription not supported"], answers
assert answers["unsubscribe"] == ["Success", "No subscription found"], answers
assert answers["publish"] == "Not authorized", answers
newer.disconnect()
print("whole")
"##;

async fn python(test: &str, script: &'static str, arguments: Vec<String>) -> bool {
    let Some(python) = python_with_paho(test) else { return false };
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python).arg("-c").arg(script).args(arguments).stdin(Stdio::null()).output().unwrap()
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("whole"), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

#[tokio::test]
async fn paho_resumes_and_loses_nothing_and_leaves_its_will() {
    let world = World::start().await;
    for i in 0..200 {
        world.command(host(1), i.to_string().as_bytes());
    }
    let arguments = vec![world.plain.port().to_string(), host(1).to_string(), topic(host(1), "")];
    if !python("paho_resumes_and_loses_nothing_and_leaves_its_will", HOST, arguments).await {
        return;
    }
    until("all is confirmed", || world.book.waiting(host(1)) == 0).await;
    let mut reports: Vec<u32> = Vec::new();
    for heard in world.heard() {
        if let Heard::Host(_, HostTopic::Evt, payload) = heard {
            reports.push(String::from_utf8(payload).unwrap().parse().unwrap());
        }
    }
    reports.sort_unstable();
    reports.dedup();
    assert_eq!(reports, (0..200).collect::<Vec<_>>());
    world.hears(Heard::Host(host(1), HostTopic::Presence, b"gone".to_vec())).await;
}

#[tokio::test]
async fn paho_sees_the_view_tree_with_either_version_and_is_refused_the_rest() {
    let world = World::start().await;
    for i in 0..300 {
        world.gate.publish_view(&format!("hf/1/view/h{i}/repo"), Some(Bytes::from_static(b"{}"))).unwrap();
    }
    let gate = world.gate.clone();
    let changing = tokio::spawn(async move {
        // Until it subscribes without the retained messages there is nothing to see.
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            if gate.stats().admitted == 2 {
                let _ = gate.publish_view("hf/1/view/h0/repo", Some(Bytes::from_static(b"changed")));
            }
        }
    });
    let name = "paho_sees_the_view_tree_with_either_version_and_is_refused_the_rest";
    python(name, VIEWER, vec![world.plain.port().to_string()]).await;
    changing.abort();
}
