//! `mosquitto_sub` and `mosquitto_pub`, as people and home automation use them.

use crate::{
    process::{Finished, Process, run},
    scratch::Scratch,
    tools::Tool,
    wait::{self, SOON},
};
use serde_json::Value;
use std::{fs, net::SocketAddr, process::Command, sync::Arc, time::Duration};

/// How a message is printed: no topic and no JSON of ours holds a tabulator.
const FORMAT: &str = "%t\t%p";

/// A login at the plain listener.
#[derive(Debug)]
pub struct Viewer {
    address: SocketAddr,
    user: String,
    password: String,
    config: Arc<Scratch>,
}

impl Viewer {
    /// With this account.
    ///
    /// # Panics
    /// When its options can't be written.
    #[must_use]
    pub fn new(address: SocketAddr, user: &str, password: &str) -> Self {
        let config = Scratch::new();
        // The tools read options from a file, so that the password is in no process table.
        for tool in ["mosquitto_sub", "mosquitto_pub"] {
            let options = format!("-h {}\n-p {}\n-u {user}\n-P {password}\n", address.ip(), address.port());
            fs::write(config.path().join(tool), options).expect("a file in the scratch folder");
        }
        Self { address, user: user.to_owned(), password: password.to_owned(), config: Arc::new(config) }
    }

    fn command(&self, tool: Tool) -> Command {
        // Line by line, also into a pipe.
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(tool.path()).env("XDG_CONFIG_HOME", self.config.path());
        command
    }

    /// Subscribes and listens on.
    #[must_use]
    pub fn watch(&self, filter: &str) -> Watch {
        let mut command = self.command(Tool::MosquittoSub);
        command.args(["-F", FORMAT, "-t", filter]);
        Watch { process: Process::start("mosquitto_sub", command), _config: Arc::clone(&self.config) }
    }

    /// The same with MQTT 5; each message is `{"retain": 0 or 1, "is": what came}`.
    #[must_use]
    pub fn watch_with_flags(&self, filter: &str) -> Watch {
        let mut command = self.command(Tool::MosquittoSub);
        command.args(["-V", "mqttv5", "-F", "%t\t{\"retain\":%r,\"is\":%p}", "-t", filter]);
        Watch { process: Process::start("mosquitto_sub", command), _config: Arc::clone(&self.config) }
    }

    /// Subscribes to everything it may, and gives back what the broker keeps: topic and content.
    #[must_use]
    pub fn retained(&self, filter: &str) -> Vec<(String, String)> {
        let mut command = self.command(Tool::MosquittoSub);
        command.args(["-F", FORMAT, "--retained-only", "-W", "2", "-t", filter]);
        // Its end by its own time limit is an error to it.
        let finished = run("mosquitto_sub", command, SOON);
        finished.output.lines().filter_map(message).collect()
    }

    /// Publishes.
    #[must_use]
    pub fn publish(&self, topic: &str, content: &str) -> Finished {
        let mut command = self.command(Tool::MosquittoPub);
        command.args(["-q", "1", "-t", topic, "-m", content]);
        run("mosquitto_pub", command, SOON)
    }

    /// What paho-mqtt, another client, finds retained below a filter.
    #[must_use]
    pub fn retained_by_paho(&self, filter: &str) -> Vec<(String, String)> {
        self.paho(filter, "tcp").expect_success("paho-mqtt").lines().filter_map(message).collect()
    }

    /// The same over WebSocket, at the address of the pages.
    #[must_use]
    pub fn retained_over_web_socket(&self, filter: &str) -> Vec<(String, String)> {
        self.paho(filter, "websockets").expect_success("paho-mqtt").lines().filter_map(message).collect()
    }

    /// Subscribes for two seconds by paho-mqtt.
    #[must_use]
    pub fn paho(&self, filter: &str, transport: &str) -> Finished {
        const SCRIPT: &str = r#"
import os, threading, time
import paho.mqtt.client as mqtt
answered = threading.Event()
def connected(client, _, flags, reason, properties):
    answered.set()
    if reason.is_failure:
        print("refused:", reason, flush=True)
        return
    client.subscribe(os.environ["FILTER"], qos=1)
def message(client, _, message):
    if message.retain:
        print(message.topic, message.payload.decode(), sep="\t", flush=True)
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=os.environ["USER"], transport=os.environ["TRANSPORT"])
client.ws_set_options(path="/mqtt")
client.username_pw_set(os.environ["USER"], os.environ["PASSWORD"])
client.on_connect, client.on_message = connected, message
client.connect(os.environ["HOST"], int(os.environ["PORT"]))
client.loop_start()
answered.wait(20)
time.sleep(2)
client.disconnect()
"#;
        let mut command = Command::new(Tool::Paho.path());
        command.args(["-c", SCRIPT]).env("FILTER", filter).env("USER", &self.user);
        command.env("PASSWORD", &self.password).env("HOST", self.address.ip().to_string());
        command.env("PORT", self.address.port().to_string()).env("TRANSPORT", transport);
        run("paho-mqtt", command, SOON)
    }
}

/// A running subscription.
#[derive(Debug)]
pub struct Watch {
    process: Process,
    /// Stays until the tool has read it.
    _config: Arc<Scratch>,
}

impl Watch {
    /// Everything that came, in order: topic and content.
    #[must_use]
    pub fn messages(&self) -> Vec<(String, String)> {
        self.process.log().lines().iter().filter_map(|line| message(line)).collect()
    }

    /// What came on one topic, in order.
    #[must_use]
    pub fn on(&self, topic: &str) -> Vec<Value> {
        let messages = self.messages();
        let here = messages.iter().filter(|(other, _)| other == topic);
        here.map(|(_, content)| serde_json::from_str(content).unwrap_or(Value::Null)).collect()
    }

    /// Waits until the last message on a topic is as wanted, and returns it.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, topic: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("the message on {topic}"), limit, || match self.on(topic).pop() {
            Some(last) if wanted(&last) => Ok(last),
            Some(last) => Err(last.to_string()),
            None => Err(format!("nothing on it; all: {:?}", self.messages())),
        })
    }
}

/// The message of a line; what the tools say themselves is none.
fn message(line: &str) -> Option<(String, String)> {
    let (topic, content) = line.split_once('\t')?;
    Some((topic.to_owned(), content.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ports, tools};
    use std::net::TcpStream;

    #[test]
    fn what_is_published_is_watched_and_retained() {
        if !tools::needs(&[Tool::Mosquitto, Tool::MosquittoSub, Tool::MosquittoPub, Tool::Paho]) {
            return;
        }
        let scratch = Scratch::new();
        let (address, config) = (ports::free(), scratch.path().join("mosquitto.conf"));
        let settings = format!("listener {} {}\nallow_anonymous true\n", address.port(), address.ip());
        fs::write(&config, settings).expect("its settings");
        let mut command = Command::new(Tool::Mosquitto.path());
        command.arg("-c").arg(&config);
        let _broker = Process::start("mosquitto", command);
        wait::until("mosquitto to listen", SOON, || {
            TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
        });

        let viewer = Viewer::new(address, "anybody", "pass word");
        let watch = viewer.watch("a/#");
        let mut heard = 0;
        wait::until_true("the subscription", SOON, || {
            heard += 1;
            let _ = viewer.publish("a/here", &heard.to_string());
            !watch.on("a/here").is_empty()
        });
        let mut retain = viewer.command(Tool::MosquittoPub);
        retain.args(["-q", "1", "-r", "-t", "a/kept", "-m", r#"{"online": true}"#]);
        let _ = run("mosquitto_pub", retain, SOON).expect_success("a retained message");
        let _ = watch.wait_for("a/kept", SOON, |seen| seen["online"] == true);
        let kept = [("a/kept".to_owned(), r#"{"online": true}"#.to_owned())];
        assert_eq!(viewer.retained("#"), kept);
        assert_eq!(viewer.retained_by_paho("#"), kept);
    }
}
