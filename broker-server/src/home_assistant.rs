//! What Home Assistant finds the hosts by: its MQTT device discovery, one device a host.
//!
//! A retained message on `homeassistant/device/holdfast-<host id>/config` names the topics of the view tree in which the
//! device's entities find their states, and how. So nothing is said twice, and an entity says what the page of the host
//! says. The id is in the topic, not the name: a host that is renamed stays the same device.
//!
//! Templates and ids are ours alone. Of a host's own words there are its name, which is one MQTT level, and the version that
//! its agent states; both stand where Home Assistant takes a text as it is.

use fleet::{Status, leads_others, record::Host};
use schema::HostId;
use serde_json::{Map, Value, json};

/// What all devices have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Where the pages are, when others find them there.
    pages: Option<String>,
}

impl Discovery {
    /// Of the server whose pages are at this address.
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        Self { pages: leads_others(public_url).then(|| public_url.to_owned()) }
    }

    /// What is said of one host.
    #[must_use]
    pub fn device(&self, host: &Host) -> Value {
        let (id, view) = (object_id(host.id), format!("hf/1/view/{}", host.name));
        let presence = format!("{view}/presence");
        let mut device = json!({
            "ids": [id],
            "name": host.name,
            "mf": "Holdfast",
            "mdl": "Host",
        });
        if let Some(facts) = &host.facts {
            device["sw"] = facts.agent_version.as_str().into();
        }
        if let Some(pages) = &self.pages {
            device["cu"] = format!("{pages}/hosts/{}", host.id).into();
        }
        json!({
            "dev": device,
            "o": { "name": "Holdfast", "sw": env!("CARGO_PKG_VERSION") },
            "stat_t": presence,
            // What the server judges holds also while the host is away; it is no more when the host is taken away.
            "avty": [{ "t": presence, "val_tpl": "{{ 'online' if value_json is defined else 'offline' }}" }],
            "cmps": components(&id, &format!("{view}/repo")),
        })
    }
}

/// Its name among devices.
fn object_id(host: HostId) -> String {
    format!("holdfast-{host}")
}

/// Where a host is found.
#[must_use]
pub fn topic(host: HostId) -> String {
    format!("homeassistant/device/{}/config", object_id(host))
}

fn components(id: &str, repo: &str) -> Value {
    let of = |what: &str, name: &str, platform: &str, template: &str, rest: Value| {
        let mut component = json!({
            "p": platform,
            "uniq_id": format!("{id}-{what}"),
            "name": name,
            "val_tpl": template,
        });
        if let (Value::Object(component), Value::Object(rest)) = (&mut component, rest) {
            component.extend(rest);
        }
        (what.to_owned(), component)
    };
    let words = Status::ALL.map(Status::as_str);
    let well: Vec<_> =
        Status::ALL.into_iter().filter(|status| status.is_well()).map(Status::as_str).collect();
    let problem = format!("{{{{ 'OFF' if value_json.status in ['{}'] else 'ON' }}}}", well.join("', '"));
    let sensor = |what, name, template, rest| of(what, name, "sensor", template, rest);
    // A state of Home Assistant has at most 255 characters.
    let reason = "{{ value_json.reason[:255] }}";
    let all = [
        sensor("status", "Status", "{{ value_json.status }}", json!({ "dev_cla": "enum", "ops": words })),
        sensor("reason", "Reason", reason, json!({})),
        sensor(
            "last_good",
            "Last good backup",
            "{{ value_json.last_good_at }}",
            json!({ "dev_cla": "timestamp" }),
        ),
        sensor("next", "Next backup", "{{ value_json.next_run_at }}", json!({ "dev_cla": "timestamp" })),
        sensor(
            "size",
            "Repository size",
            "{{ value_json.size_bytes }}",
            json!({ "dev_cla": "data_size", "unit_of_meas": "B", "stat_cla": "measurement", "stat_t": repo }),
        ),
        of("problem", "Problem", "binary_sensor", &problem, json!({ "dev_cla": "problem" })),
        of(
            "online",
            "Online",
            "binary_sensor",
            "{{ 'ON' if value_json.online else 'OFF' }}",
            json!({ "dev_cla": "connectivity", "ent_cat": "diagnostic" }),
        ),
    ];
    Value::Object(Map::from_iter(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{By, Driver, Fleet, HostFilter, Settings, record::Actor, seed::Seed};
    use minijinja::{Environment, UndefinedBehavior, context, value::Serde};
    use schema::Timestamp;
    use std::{collections::BTreeSet, sync::Arc};
    use web::redacted;

    /// The abbreviations of the documentation that are used here, for what a message may have at its root, in a device, an
    /// origin, an availability and a component.
    const ROOT: [(&str, &str); 5] = [
        ("dev", "device"),
        ("o", "origin"),
        ("cmps", "components"),
        ("stat_t", "state_topic"),
        ("avty", "availability"),
    ];
    const DEVICE: [(&str, &str); 6] = [
        ("ids", "identifiers"),
        ("name", "name"),
        ("mf", "manufacturer"),
        ("mdl", "model"),
        ("sw", "sw_version"),
        ("cu", "configuration_url"),
    ];
    const ORIGIN: [(&str, &str); 2] = [("name", "name"), ("sw", "sw_version")];
    const AVAILABILITY: [(&str, &str); 2] = [("t", "topic"), ("val_tpl", "value_template")];
    const COMPONENT: [(&str, &str); 10] = [
        ("p", "platform"),
        ("uniq_id", "unique_id"),
        ("name", "name"),
        ("val_tpl", "value_template"),
        ("stat_t", "state_topic"),
        ("dev_cla", "device_class"),
        ("ops", "options"),
        ("unit_of_meas", "unit_of_measurement"),
        ("stat_cla", "state_class"),
        ("ent_cat", "entity_category"),
    ];

    /// The object in full words; a key that the documentation does not have fails.
    fn in_full(object: &Value, keys: &[(&str, &str)]) -> Map<String, Value> {
        let object = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
        let full = |key: &String| keys.iter().find(|(short, _)| short == key).map(|(_, long)| *long);
        let long = |(key, value): (&String, &Value)| (full(key).expect(key).to_owned(), value.clone());
        object.iter().map(long).collect()
    }

    fn text<'v>(object: &'v Map<String, Value>, key: &str) -> &'v str {
        object.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {object:?}"))
    }

    /// A component by what the documentation asks of its platform and device class; gives back its template and topic.
    fn component(found: &Value, shared_topic: &str) -> (String, String) {
        let found = in_full(found, &COMPONENT);
        let (platform, class) = (text(&found, "platform"), found.get("device_class").and_then(Value::as_str));
        assert!(!text(&found, "name").is_empty() && !text(&found, "unique_id").is_empty());
        let has = |key| found.contains_key(key);
        match (platform, class) {
            ("sensor", Some("enum")) => {
                let options: BTreeSet<_> =
                    found["options"].as_array().unwrap().iter().map(Value::to_string).collect();
                assert_eq!(options.len(), found["options"].as_array().unwrap().len());
                assert!(!has("state_class") && !has("unit_of_measurement"));
            }
            ("sensor", Some("timestamp") | None) => {
                assert!(!has("options") && !has("state_class") && !has("unit_of_measurement"));
            }
            ("sensor", Some("data_size")) => {
                assert!(!has("options") && text(&found, "state_class") == "measurement");
                let units =
                    ["bit", "kbit", "Mbit", "Gbit", "B", "kB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB"];
                assert!(units.contains(&text(&found, "unit_of_measurement")));
            }
            ("binary_sensor", Some("problem" | "connectivity")) => {
                assert!(!has("options") && !has("state_class") && !has("unit_of_measurement"));
            }
            other => panic!("{other:?}"),
        }
        if has("entity_category") {
            assert_eq!(text(&found, "entity_category"), "diagnostic", "the only one for what can't be set");
        }
        let topic = found.get("state_topic").and_then(Value::as_str).unwrap_or(shared_topic);
        (text(&found, "value_template").to_owned(), topic.to_owned())
    }

    /// The text of a template for a message, as Home Assistant would have it; `None` = it is not JSON.
    fn rendered(template: &str, message: Option<&Value>) -> String {
        let mut engine = Environment::new();
        // What a topic does not have would fail there, too.
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        let context = match message {
            Some(message) => context! { value_json => Serde(message) },
            None => context! {},
        };
        engine.render_str(template, context).unwrap_or_else(|error| panic!("{template}: {error:#}"))
    }

    fn fleet() -> Fleet {
        let now = Arc::new(|| Timestamp(1_795_415_472_000));
        let settings = Settings {
            mqtt_addresses: vec!["127.0.0.1:8883".to_owned()],
            authorities: vec![vec![7; 40]],
            timezone: "UTC".to_owned(),
            keep: Default::default(),
        };
        Fleet::in_memory(settings, Driver { now, random: Arc::new(crate::clock::random) }).unwrap()
    }

    #[tokio::test]
    async fn each_device_is_as_the_documentation_has_it_and_its_templates_find_what_the_topics_say() {
        let fleet = fleet();
        fleet.seed(Seed { hosts: 40, jobs: 100 }, |_| {}).await.unwrap();
        let by = By { actor: Actor::System, peer: String::new() };
        let _ = fleet
            .create_host("a.host-with_a.name-of-63.letters-that-are-allowed-0123456789-AB", vec![], by)
            .await
            .unwrap();
        let (state, discovery) = (fleet.read().unwrap(), Discovery::new("https://fleet.example"));
        let (mut ids, mut statuses, mut rows) = (BTreeSet::new(), BTreeSet::new(), 0);
        for row in state.fleet(&HostFilter::default()) {
            let topic = topic(row.host.id);
            let object =
                topic.strip_prefix("homeassistant/device/").and_then(|rest| rest.strip_suffix("/config"));
            let object = object.unwrap_or_else(|| panic!("{topic}"));
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            assert!(!object.is_empty() && object.bytes().all(is_allowed), "{object}");

            let said = discovery.device(&row.host);
            let root = in_full(&said, &ROOT);
            let (device, origin) = (in_full(&root["device"], &DEVICE), in_full(&root["origin"], &ORIGIN));
            assert!(!device["identifiers"].as_array().unwrap().is_empty());
            assert_eq!((text(&device, "name"), text(&origin, "name")), (row.host.name.as_str(), "Holdfast"));
            let page = text(&device, "configuration_url");
            assert_eq!(page, format!("https://fleet.example/hosts/{}", row.host.id));

            let presence = redacted::host(row.clone());
            let repo = redacted::repo(
                &state.repo(row.host.id).unwrap(),
                &[],
                fleet::maintenance::CheckStatus::Never,
            );
            let view = format!("hf/1/view/{}", row.host.name);
            let message = |topic: &str| match topic.strip_prefix(&view) {
                Some("/presence") => &presence,
                Some("/repo") => &repo,
                _ => panic!("{topic}"),
            };
            let available = in_full(&root["availability"][0], &AVAILABILITY);
            let availability = |message| rendered(text(&available, "value_template"), message);
            assert_eq!(availability(Some(message(text(&available, "topic")))), "online");
            assert_eq!(availability(None), "offline", "an empty message takes the host away");

            let all = root["components"].as_object().unwrap();
            let state_of = |what: &str| {
                let (template, topic) = component(&all[what], text(&root, "state_topic"));
                rendered(&template, Some(message(&topic)))
            };
            // What is not known is a word for that, `None` there.
            let shown = |value: &Value| {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned).replace("null", "None")
            };
            assert_eq!(all.len(), 7);
            let status = state_of("status");
            assert!(all["status"]["ops"].as_array().unwrap().contains(&status.as_str().into()), "{status}");
            assert_eq!(status, row.status.as_str());
            assert_eq!(state_of("reason"), shown(&presence["reason"]));
            for (what, field) in [("last_good", "last_good_at"), ("next", "next_run_at")] {
                let at = state_of(what);
                assert_eq!(at, shown(&presence[field]));
                assert!(at == "None" || at.len() == 20 && at.ends_with('Z'), "{at}");
            }
            assert_eq!(state_of("size"), shown(&repo["size_bytes"]));
            assert_eq!(state_of("problem"), if row.status.is_well() { "OFF" } else { "ON" });
            assert_eq!(state_of("online"), if row.presence.online { "ON" } else { "OFF" });
            for found in all.values() {
                assert!(ids.insert(found["uniq_id"].to_string()), "{found}");
            }
            statuses.insert(status);
            rows += 1;
        }
        assert!(rows == 41 && statuses.len() > 3, "{rows}: {statuses:?}");
    }

    #[tokio::test]
    async fn a_hostile_version_stays_a_text_and_a_page_that_nobody_finds_is_not_named() {
        let fleet = fleet();
        fleet.seed(Seed { hosts: 1, jobs: 1 }, |_| {}).await.unwrap();
        let host = fleet.read().unwrap().fleet(&HostFilter::default()).remove(0).host.clone();
        let plain = Discovery::new("http://127.0.0.1:8080").device(&host);
        assert!(plain["dev"]["cu"].is_null(), "{plain}");
        let version = "1\"}}, {{ 7 * 7 }} {% raw %}\n\u{202e}";
        let mut hostile = (*host).clone();
        hostile.facts.as_mut().unwrap().agent_version = version.to_owned();
        let said = Discovery::new("").device(&hostile);
        let text = said.to_string();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["dev"]["sw"], version);
        // Nothing that a host says is part of a template, a topic or an id.
        for part in ["o", "cmps", "stat_t", "avty"] {
            assert_eq!(said[part], plain[part]);
        }
    }
}
