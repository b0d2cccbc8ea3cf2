//! mosquitto_sub and mosquitto_pub.

use crate::support::{Heard, World, host, run, tool, topic, until};
use bytes::Bytes;
use schema::HostTopic;
use std::process::{Command, Output};

/// A mosquitto program against the plain listener.
fn mosquitto(world: &World, program: &str, user: &str) -> Command {
    let mut command = Command::new(tool(program));
    command.args(["-h", "127.0.0.1", "-p", &world.plain.port().to_string(), "-u", user, "-P", "open sesame"]);
    command
}

async fn finish(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || run(&mut command).unwrap()).await.unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn set(world: &World, topic: &str, payload: &str) {
    world.gate.publish_view(topic, Some(Bytes::copy_from_slice(payload.as_bytes()))).unwrap();
}

#[tokio::test]
async fn mosquitto_sub_sees_the_whole_view_tree_and_then_what_changes() {
    let world = World::start().await;
    for i in 0..400 {
        set(&world, &format!("hf/1/view/h{i}/presence"), "online");
    }
    let mut command = mosquitto(&world, "mosquitto_sub", "eve");
    command.args(["-t", "hf/1/view/#", "-v", "-C", "401"]);
    let sub = tokio::spawn(finish(command));
    until("it looks", || world.gate.stats().viewers == 1 && world.gate.stats().bytes_out > 400 * 20).await;
    set(&world, "hf/1/view/h7/presence", "offline");
    let output = sub.await.unwrap();
    let lines = lines(&output);
    assert_eq!(lines.len(), 401, "{output:?}");
    assert!((0..400).all(|i| lines.contains(&format!("hf/1/view/h{i}/presence online"))));
    assert!(lines.contains(&"hf/1/view/h7/presence offline".into()));
}

#[tokio::test]
async fn mosquitto_sub_gets_nothing_else_and_is_told_so() {
    let world = World::start().await;
    let mut command = mosquitto(&world, "mosquitto_sub", "eve");
    command.args(["-t", "#", "-t", &topic(host(1), "cmd"), "-W", "30"]);
    let output = finish(command).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("denied"), "{output:?}");
    assert!(output.stdout.is_empty());
    let mut command = mosquitto(&world, "mosquitto_sub", "eve");
    command.args(["-P", "wrong", "-t", "hf/1/view/#", "-W", "30"]);
    let output = finish(command).await;
    assert!(!output.status.success());
    let mut command = mosquitto(&world, "mosquitto_sub", "eve");
    command.args(["-V", "mqttv5", "-t", "hf/1/view/#", "-W", "30"]);
    let output = finish(command).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).to_lowercase().contains("version"), "{output:?}");
}

#[tokio::test]
async fn mosquitto_pub_reports_as_a_host_over_tls() {
    let world = World::start().await;
    let id = host(1).to_string();
    let mut command = Command::new(tool("mosquitto_pub"));
    command.args([
        "-h",
        "localhost",
        "-p",
        &world.tls.port().to_string(),
        "-u",
        &id,
        "-P",
        "open sesame",
        "-i",
        &id,
    ]);
    command.arg("--cafile").arg(&world.ca_path);
    command.args(["-t", &topic(host(1), "evt"), "-q", "1", "-m", "report", "--repeat", "20"]);
    let output = finish(command).await;
    assert!(output.status.success(), "{output:?}");
    let report = Heard::Host(host(1), HostTopic::Evt, b"report".to_vec());
    assert_eq!(world.heard().iter().filter(|heard| **heard == report).count(), 20);
}

#[tokio::test]
async fn mosquitto_sub_resumes_a_kept_session_and_gets_every_command_once() {
    let world = World::start().await;
    let id = host(1).to_string();
    let sub = |count: &str| {
        let mut command = mosquitto(&world, "mosquitto_sub", &id);
        command.args(["-i", &id, "-c", "-q", "1", "-t", &topic(host(1), "cmd"), "-C", count]);
        command
    };
    for i in 0..60 {
        world.command(host(1), format!("{i}").as_bytes());
    }
    let mut got = lines(&finish(sub("25")).await);
    for i in 60..100 {
        world.command(host(1), format!("{i}").as_bytes());
    }
    until("it is away", || world.gate.connected(host(1)).is_none()).await;
    let confirmed = world.book.delivered(host(1)).len();
    got.truncate(confirmed);
    got.extend(lines(&finish(sub(&(100 - confirmed).to_string())).await));
    assert_eq!(got, (0..100).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn mosquitto_leaves_its_will_when_it_is_killed() {
    let world = World::start().await;
    let id = host(1).to_string();
    let mut command = mosquitto(&world, "mosquitto_sub", &id);
    command.args(["-i", &id, "-t", &topic(host(1), "cmd"), "-q", "1"]);
    command.args([
        "--will-topic",
        &topic(host(1), "presence"),
        "--will-payload",
        "gone",
        "--will-qos",
        "1",
        "--will-retain",
    ]);
    let mut child = command.spawn().unwrap();
    world.hears(Heard::Connected(host(1))).await;
    child.kill().unwrap();
    child.wait().unwrap();
    world.hears(Heard::Host(host(1), HostTopic::Presence, b"gone".to_vec())).await;
    // And is shown to a debug viewer who comes later, retained.
    let mut command = mosquitto(&world, "mosquitto_sub", "debug");
    command.args(["-t", "hf/1/+/presence", "-C", "1", "-F", "%r %p"]);
    assert_eq!(lines(&finish(command).await), ["1 gone"]);
}
