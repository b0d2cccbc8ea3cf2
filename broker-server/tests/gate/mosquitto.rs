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
    command.args(["-t", &topic(host(1), "cmd"), "-W", "30"]);
    let output = finish(command).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("denied"), "{output:?}");
    assert!(output.stdout.is_empty());
    let mut command = mosquitto(&world, "mosquitto_sub", "eve");
    command.args(["-P", "wrong", "-t", "hf/1/view/#", "-W", "30"]);
    let output = finish(command).await;
    assert!(!output.status.success());
    let mut command = mosquitto(&world, "mosquitto_sub", "eve");
    command.args(["-V", "mqttv5", "-P", "wrong", "-t", "hf/1/view/#", "-W", "30"]);
    let output = finish(command).await;
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).to_lowercase().contains("bad user name or password"),
        "{output:?}"
    );
}

#[tokio::test]
async fn mosquitto_sub_sees_the_tree_with_either_version_and_with_the_widest_filter() {
    let world = World::start().await;
    set(&world, "hf/1/view/nas/presence", "online");
    set(&world, "hf/1/view/nas/repo", "full");
    for version in ["mqttv311", "mqttv5"] {
        for filter in ["#", "+/#", "hf/1/view/+/+"] {
            let mut command = mosquitto(&world, "mosquitto_sub", "eve");
            command.args(["-V", version, "-t", filter, "-C", "2", "-W", "30", "-F", "%r %t %p"]);
            let output = finish(command).await;
            let expected = ["1 hf/1/view/nas/presence online", "1 hf/1/view/nas/repo full"];
            assert_eq!(lines(&output), expected, "{version} {filter}: {output:?}");
        }
    }
    // An option of MQTT 5: changes with their flag.
    let mut command = mosquitto(&world, "mosquitto_sub", "eve");
    command.args(["-V", "mqttv5", "-t", "hf/1/view/nas/presence", "-C", "2", "-W", "30", "-F", "%r %p"]);
    command.arg("--retain-as-published");
    set(&world, "hf/1/view/nas/presence", "offline");
    let sub = tokio::spawn(finish(command));
    until("it has seen a change", || {
        set(&world, "hf/1/view/nas/presence", "offline");
        sub.is_finished()
    })
    .await;
    assert_eq!(lines(&sub.await.unwrap()), ["1 offline", "1 offline"]);
}

/// A mosquitto with a bridge to the gate; ended when dropped.
struct Bridge {
    child: std::process::Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Bridge {
    fn start(world: &World, version: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let gate = world.plain.port();
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\n\nconnection fleet\naddress 127.0.0.1:{gate}\n\
             bridge_protocol_version {version}\nremote_username eve\nremote_password open sesame\n\
             topic view/# in 0 hf/1/ hf/1/\nrestart_timeout 1\n"
        );
        let config = folder.path().join("mosquitto.conf");
        std::fs::write(&config, settings).unwrap();
        let mosquitto = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"]
            .map(|folder| std::path::Path::new(folder).join("mosquitto"))
            .into_iter()
            .find(|path| path.is_file())
            .expect("mosquitto is not installed: apt-get install mosquitto, or run ./test");
        let mut command = Command::new(mosquitto);
        command.arg("-c").arg(config).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Self { child: command.spawn().unwrap(), port, _folder: folder }
    }

    /// What it keeps below the view tree.
    async fn retained(&self) -> Vec<String> {
        let mut command = Command::new(tool("mosquitto_sub"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", "hf/1/view/#"]);
        command.args(["--retained-only", "-W", "1", "-F", "%t %p"]);
        let mut lines = lines(&finish(command).await);
        lines.retain(|line| line.starts_with("hf/"));
        lines.sort();
        lines
    }

    async fn keeps(&self, expected: &[&str]) {
        for _ in 0..40 {
            if self.retained().await == expected {
                return;
            }
        }
        panic!("the bridge keeps {:?}, not {expected:?}", self.retained().await);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn behind_a_bridge_of_mosquitto_what_is_kept_is_what_stands() {
    for version in ["mqttv311", "mqttv50"] {
        let world = World::start().await;
        set(&world, "hf/1/view/nas/presence", "online");
        set(&world, "hf/1/view/nas/job/1", "sent");
        let bridge = Bridge::start(&world, version);
        until("the bridge stands", || world.gate.stats().viewers == 1).await;
        bridge.keeps(&["hf/1/view/nas/job/1 sent", "hf/1/view/nas/presence online"]).await;
        set(&world, "hf/1/view/nas/presence", "offline");
        set(&world, "hf/1/view/nas/repo", "full");
        world.gate.publish_view("hf/1/view/nas/job/1", None).unwrap();
        bridge.keeps(&["hf/1/view/nas/presence offline", "hf/1/view/nas/repo full"]).await;
        // A bridge that is let go comes back.
        let admitted = world.gate.stats().admitted;
        world.gate.kick_viewer("eve");
        until("the bridge is back", || world.gate.stats().admitted > admitted).await;
        set(&world, "hf/1/view/nas/presence", "online");
        bridge.keeps(&["hf/1/view/nas/presence online", "hf/1/view/nas/repo full"]).await;
        // What goes while it is away does not stay behind it.
        let admitted = world.gate.stats().admitted;
        world.gate.kick_viewer("eve");
        until("the bridge is away", || world.gate.stats().viewers == 0).await;
        world.gate.publish_view("hf/1/view/nas/repo", None).unwrap();
        until("the bridge is back", || world.gate.stats().admitted > admitted).await;
        bridge.keeps(&["hf/1/view/nas/presence online"]).await;
        assert_eq!(world.gate.stats().malformed, 0, "{version}");
    }
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
