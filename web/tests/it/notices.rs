//! Channels and routes by the API: their secrets go in and never come out.

use crate::incidents::of_the_server;
use crate::world::{Client, World};
use axum::http::Method;
use fleet::record::Role;
use serde_json::{Value, json};

const SECRETS: [&str; 4] = ["mail-password", "secret-path", "signing-key", "header-token"];

fn mail() -> Value {
    json!({"name": "mail", "email": {"server": "mail.example", "port": 587, "username": "holdfast",
        "password": "mail-password", "from": "holdfast@example.com", "to": ["ada@example.com"]}})
}

fn hook() -> Value {
    json!({"name": "hook", "webhook": {"form": "json", "url": "https://taken.example/secret-path",
        "signing_key": "signing-key", "headers": {"X-Token": "header-token"}}})
}

/// No secret is anywhere that people or programs can read.
async fn nothing_is_told(client: &Client) {
    for path in ["/api/channels", "/api/routes", "/api/audit", "/audit", "/api/channels/hook", "/metrics"] {
        let answer = client.get(path).await.expect(200).text;
        assert!(SECRETS.iter().all(|secret| !answer.contains(secret)), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_channel_is_added_tried_changed_and_deleted_and_its_secrets_never_come_back() {
    let world = World::new();
    let client = world.admin().await;
    let added = client.post("/api/channels", &mail()).await.expect(201).json();
    assert_eq!(added["email"]["has_password"], true, "{added}");
    let added = client.post("/api/channels", &hook()).await.expect(201).json();
    assert_eq!(added["webhook"]["place"], "https://taken.example");
    assert_eq!(
        (&added["webhook"]["signed"], &added["webhook"]["header_names"]),
        (&true.into(), &json!(["X-Token"]))
    );
    nothing_is_told(&client).await;
    // The first one was offered a route, which waits for a test.
    let routes = client.get("/api/routes").await.expect(200).json();
    assert_eq!(
        (&routes["items"][0]["state"], &routes["items"][0]["channels"]),
        (&"when_tested".into(), &json!(["mail"]))
    );
    let tested = client.send(Method::POST, "/api/channels/mail/test", None).await.expect(200).json();
    assert_eq!(
        (&tested["taken"], &tested["code"], &tested["said"]),
        (&false.into(), &"status".into(), &"no such hook".into())
    );
    let tested = client.send(Method::POST, "/api/channels/hook/test", None).await.expect(200).json();
    assert_eq!(
        (&tested["taken"], &tested["code"], &tested["said"]),
        (&true.into(), &Value::Null, &"thank you".into())
    );
    // What is left out stays, while it goes to the same machine.
    let kept = json!({"webhook": {"form": "json"}, "on": false});
    let changed = client.send(Method::PUT, "/api/channels/hook", Some(&kept)).await.expect(200).json();
    assert_eq!((&changed["on"], &changed["webhook"]["signed"]), (&false.into(), &true.into()));
    let elsewhere = json!({"webhook": {"form": "json", "url": "https://evil.example/"}});
    let refused = client.send(Method::PUT, "/api/channels/hook", Some(&elsewhere)).await.expect(422).json();
    assert_eq!(refused["error"]["field"], "signing_key", "{refused}");
    client.send(Method::DELETE, "/api/channels/hook", None).await.expect(204);
    client.get("/api/channels/hook").await.expect(404);
    let audit = client.get("/api/audit?action=channel").await.expect(200).text;
    for action in ["channel.created", "channel.tested", "channel.changed", "channel.deleted"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_channel_or_a_route_names_its_field() {
    let world = World::new();
    let client = world.admin().await;
    let field = async |path: &str, body: Value| {
        let refused = client.post(path, &body).await.expect(422).json();
        refused["error"]["field"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(field("/api/channels", json!({"name": "x"})).await, "email");
    let mut both = mail();
    both["webhook"] = hook()["webhook"].clone();
    assert_eq!(field("/api/channels", both).await, "email");
    assert_eq!(
        field("/api/channels", json!({"name": "x", "webhook": {"form": "carrier_pigeon"}})).await,
        "form"
    );
    assert_eq!(
        field("/api/channels", json!({"name": "x", "webhook": {"form": "ntfy", "url": "https://ntfy.sh"}}))
            .await,
        "secrets"
    );
    assert_eq!(field("/api/channels", json!({"name": "x", "colour": "red"})).await, "colour");
    client.post("/api/channels", &mail()).await.expect(201);
    assert_eq!(client.post("/api/channels", &mail()).await.code(), "name_taken");
    assert_eq!(field("/api/routes", json!({"name": "x", "channels": ["nobody"]})).await, "channels");
    assert_eq!(field("/api/routes", json!({"name": "x", "channels": [], "least": "grave"})).await, "least");
    assert_eq!(
        field("/api/routes", json!({"name": "x", "channels": [], "causes": ["rain"]})).await,
        "causes"
    );
    let route = json!({"name": "night", "channels": ["mail"], "least": "critical", "labels": ["nas"], "causes": ["offline"],
        "quiet_from": "22:00", "quiet_until": "07:00", "timezone": "Europe/Helsinki"});
    let added = client.post("/api/routes", &route).await.expect(201).json();
    for (key, value) in route.as_object().unwrap() {
        assert_eq!(&added[key], value, "{key}");
    }
    let changed = client
        .send(Method::PUT, "/api/routes/night", Some(&json!({"channels": ["mail"], "state": "off"})))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&changed["state"], &changed["quiet_from"], &changed["labels"]),
        (&"off".into(), &"".into(), &json!([]))
    );
    client.send(Method::DELETE, "/api/routes/night", None).await.expect(204);
    assert_eq!(client.send(Method::DELETE, "/api/routes/night", None).await.code(), "route_not_found");
    // Nobody but admins.
    let operator = world.account(&client, "cy", Role::Operator).await;
    for path in ["/api/channels", "/api/routes"] {
        operator.get(path).await.expect(403);
    }
}

#[tokio::test]
async fn the_pages_take_a_channel_and_a_route_without_scripts_and_give_back_what_was_typed() {
    let world = World::new();
    let mut client = world.admin().await;
    client.take_csrf().await;
    let settings = client.get("/settings").await.expect(200).text;
    assert!(settings.contains("nobody is told"), "{settings}");
    let wrong =
        "kind=webhook&name=hook&on=on&form=json&url=ftp%3A%2F%2Fsecret-path&headers=X-Token%3A+header-token";
    let page = client.post_form("/notices/channels", wrong).await.expect(422).text;
    assert!(
        page.contains("url-error") && page.contains("X-Token:") && page.contains("value=\"hook\""),
        "{page}"
    );
    assert!(SECRETS.iter().all(|secret| !page.contains(secret)), "{page}");
    let right = wrong.replace("ftp%3A%2F%2F", "https%3A%2F%2Ftaken.example%2F");
    client.post_form("/notices/channels", &right).await.expect(303);
    let page = client.get("/notices").await.expect(200).text;
    assert!(page.contains("https://taken.example") && page.contains("waits for a test"), "{page}");
    let page = client.post_form("/notices/channels/hook/test", "").await.expect(200).text;
    assert!(page.contains("It was taken.") && page.contains("thank you"), "{page}");
    // What is not given again stays.
    client
        .post_form("/notices/channels/hook", "kind=webhook&on=on&form=json&headers=X-Token%3A")
        .await
        .expect(303);
    let kept = client.get("/api/channels/hook").await.expect(200).json();
    assert_eq!(kept["webhook"]["header_names"], json!(["X-Token"]));
    let settings = client.get("/settings").await.expect(200).text;
    assert!(settings.contains("Incidents are told by 1 channel"), "{settings}");
    let wrong =
        "name=night&least=critical&state=on&channels=hook&quiet_from=22%3A00&quiet_until=x&timezone=UTC";
    let page = client.post_form("/notices/routes", wrong).await.expect(422).text;
    assert!(page.contains("quiet_until-error") && page.contains("value=\"night\""), "{page}");
    client.post_form("/notices/routes", &wrong.replace("=x&", "=07%3A00&")).await.expect(303);
    let page = client.get("/notices/routes/night").await.expect(200).text;
    assert!(page.contains("value=\"07:00\""), "{page}");
    for path in ["/notices/routes/night/delete", "/notices/channels/hook/delete"] {
        client.post_form(path, "").await.expect(303);
    }
    let page = client.get("/notices").await.expect(200).text;
    assert!(page.contains("None yet.") && page.contains("no channel"), "{page}");
    let audit = client.get("/audit").await.expect(200).text;
    assert!(SECRETS.iter().all(|secret| !audit.contains(secret)), "{audit}");
}

#[tokio::test]
async fn whoever_has_the_link_of_a_message_acknowledges_without_an_account_and_opening_it_changes_nothing() {
    let world = World::new();
    let client = world.admin().await;
    let linked = json!({"name": "hook", "acknowledge_links": true,
        "webhook": {"form": "json", "url": "https://taken.example/secret-path"}});
    let added = client.post("/api/channels", &linked).await.expect(201).json();
    assert_eq!(added["acknowledge_links"], true);
    client.send(Method::POST, "/api/channels/hook/test", None).await.expect(200);
    let incident = of_the_server(&world, &client).await;
    let due = world.fleet.begin_messages().await.unwrap();
    let (id, key) = due[0].message.ack_keys.first_key_value().unwrap();
    assert_eq!(id.to_string(), incident);
    let path = format!("/acknowledge/{incident}/{key}");
    let mut stranger = world.stranger();
    for _ in 0..2 {
        let page = stranger.get(&path).await.expect(200).text;
        assert!(page.contains("You need no account") && page.contains("The server itself"), "{page}");
    }
    let acknowledged = async || {
        let seen = client.get(&format!("/api/incidents/{incident}")).await.expect(200).json();
        seen["acknowledgement"].clone()
    };
    assert_eq!(acknowledged().await, Value::Null);
    let wrong = stranger.post_form(&path, "until=never&note=%3Cb%3E").await.expect(422).text;
    assert!(wrong.contains("Choose until when it rests") && wrong.contains("&lt;b&gt;"), "{wrong}");
    stranger.post_form(&format!("{path}0"), "until=1d").await.expect(404);
    let page = stranger.post_form(&path, "until=1d&note=on+my+way").await.expect(200).text;
    assert!(page.contains("It rests until"), "{page}");
    let word = acknowledged().await;
    assert_eq!(
        (&word["note"], &word["by_kind"], &word["by"]),
        (&"on my way".into(), &"link".into(), &"hook".into()),
        "{word}"
    );
    for answer in [stranger.get(&path).await, stranger.post_form(&path, "until=7d").await] {
        assert!(answer.expect(410).text.contains("This link was used"));
    }
    let audit = client.get("/audit").await.expect(200).text;
    assert!(audit.contains("the link of a message by hook"), "{audit}");
    // Nothing else can be done with it.
    stranger.get(&format!("/incidents/{incident}")).await.expect(303);
}

#[tokio::test]
async fn a_template_is_tried_before_it_is_kept_and_a_script_is_one_of_the_servers_configuration() {
    let world = World::new();
    let mut client = world.admin().await;
    let by_template = |text: &str, content_type: &str| {
        json!({"name": "own", "webhook": {"form": "template", "url": "https://taken.example/x", "secrets": {"key": "template-key"},
            "template": {"text": text, "content_type": content_type}}})
    };
    let good = "{\"title\": {{ subject }}, \"key\": {{ secrets.key }}}";
    for (text, content_type, field, why) in [
        ("{% include '/etc/passwd' %}", "text/plain", "template", "not found"),
        ("{\"title\": \"{{ subject }}\"}", "application/json", "template", "makes no JSON"),
        ("{{ nothing }}", "text/plain", "template", "Line 1"),
        ("", "text/plain", "template", "needs a template"),
        (good, "no type", "content_type", "such as application/json"),
    ] {
        let answer = client.post("/api/channels", &by_template(text, content_type)).await.expect(422).json();
        assert_eq!(answer["error"]["field"], field, "{text}: {answer}");
        assert!(
            answer["error"]["message"].as_str().is_some_and(|said| said.contains(why)),
            "{text}: {answer}"
        );
    }
    let none = json!({"name": "own", "webhook": {"form": "template", "url": "https://taken.example/x"}});
    assert_eq!(client.post("/api/channels", &none).await.expect(422).json()["error"]["field"], "template");
    let added = client.post("/api/channels", &by_template(good, "application/json")).await.expect(201).json();
    assert_eq!(added["webhook"]["template"], json!({"text": good, "content_type": "application/json"}));
    assert!(!added.to_string().contains("template-key"), "{added}");
    let page = client.get("/notices/channels/own").await.expect(200).text;
    assert!(page.contains("{{ secrets.key }}") && !page.contains("template-key"), "{page}");
    // By the page, with what was typed.
    let form = "kind=webhook&form=template&url=https%3A%2F%2Ftaken.example%2Fx&template=%7B%25+raw+%25%7D&content_type=text%2Fplain";
    let page = client.post_form("/notices/channels/own", form).await.expect(422).text;
    assert!(page.contains("id=\"template-error\"") && page.contains("{% raw %}"), "{page}");

    let script = |name: &str| json!({"name": "by-script", "script": {"name": name}});
    let unknown = client.post("/api/channels", &script("rm")).await.expect(422).json();
    assert_eq!(unknown["error"]["field"], "script");
    assert!(
        unknown["error"]["message"].as_str().is_some_and(|said| said.contains("names pager, siren")),
        "{unknown}"
    );
    let path = client.post("/api/channels", &script("/bin/sh")).await.expect(422).json();
    assert_eq!(path["error"]["field"], "script");
    let added = client.post("/api/channels", &script("pager")).await.expect(201).json();
    assert_eq!((&added["script"]["name"], &added["webhook"]), (&"pager".into(), &Value::Null));
    let page = client.get("/notices/channels/by-script").await.expect(200).text;
    assert!(page.contains("selected>pager</option>") && page.contains(">siren</option>"), "{page}");
    client.post_form("/notices/channels/by-script", "kind=script&script=siren&on=on").await.expect(303);
    let changed = client.get("/api/channels/by-script").await.expect(200).json();
    assert_eq!(changed["script"]["name"], "siren");
    client.post_form("/notices/channels/by-script", "kind=script&script=other").await.expect(422);
}

#[tokio::test]
async fn a_channel_to_healthchecks_is_made_by_the_page_and_by_the_api_and_its_address_is_not_shown() {
    let world = World::new();
    let mut client = world.admin().await;
    let page = client.get("/notices/new-channel?kind=healthchecks").await.expect(200).text;
    assert!(page.contains("Add Healthchecks") && page.contains("{host}"), "{page}");
    let address = "https%3A%2F%2Fhc.example%2Fa-secret-key%2F";
    let form = |url: &str, more: &str| {
        format!("kind=healthchecks&name=checks&on=on&of=host&every_minutes=5&url={url}{more}")
    };
    let shared = client.post_form("/notices/channels", &form(address, "&labels=nas")).await.expect(422).text;
    assert!(shared.contains("id=\"url-error\"") && shared.contains("value=\"nas\""), "{shared}");
    assert!(!shared.contains("a-secret-key"), "{shared}");
    let of_each = format!("{address}%7Bhost%7D");
    client.post_form("/notices/channels", &form(&of_each, "&labels=nas&log=on")).await.expect(303);
    let seen = client.get("/api/channels/checks").await.expect(200).json();
    assert_eq!(
        seen["healthchecks"],
        json!({"place": "https://hc.example", "of": "host", "labels": ["nas"], "host": null, "host_name": null,
            "group": "", "every_minutes": 5, "log": true, "ca": ""}),
    );
    for page in ["/notices", "/notices/channels/checks"] {
        let page = client.get(page).await.expect(200).text;
        assert!(page.contains("https://hc.example") && !page.contains("a-secret-key"), "{page}");
    }
    // By the API, the address as stored.
    let change = json!({"healthchecks": {"of": "group", "labels": ["nas"], "log": false}});
    let refused = client.send(Method::PUT, "/api/channels/checks", Some(&change)).await.expect(422).json();
    assert_eq!(refused["error"]["field"], "url", "{refused}");
    let change = json!({"healthchecks": {"of": "host", "labels": [], "log": false}});
    let changed = client.send(Method::PUT, "/api/channels/checks", Some(&change)).await.expect(200).json();
    assert_eq!(
        (&changed["healthchecks"]["log"], &changed["healthchecks"]["labels"]),
        (&false.into(), &json!([]))
    );
    let unknown = json!({"name": "other", "healthchecks": {"of": "planet", "url": "https://hc.example/x"}});
    assert_eq!(client.post("/api/channels", &unknown).await.expect(422).json()["error"]["field"], "of");
    // No route leads there.
    let route = json!({"name": "all", "channels": ["checks"]});
    assert_eq!(client.post("/api/routes", &route).await.expect(422).json()["error"]["field"], "channels");
}

#[tokio::test]
async fn a_channel_is_sent_a_report_when_it_is_said_and_at_once_when_it_is_wanted() {
    let world = World::new();
    let mut client = world.admin().await;
    let added = client.post("/api/channels", &hook()).await.expect(201).json();
    assert_eq!(
        (&added["report"]["state"], &added["report"]["next_at"]),
        (&"when_tested".into(), &Value::Null)
    );
    let put = async |body: Value| client.send(Method::PUT, "/api/channels/hook/report", Some(&body)).await;
    for (body, field) in [
        (json!({"every": "daily", "day": "monday", "at": "08:00"}), "every"),
        (json!({"every": "weekly", "day": "1", "at": "08:00"}), "day"),
        (json!({"every": "monthly", "day": "29", "at": "08:00"}), "day"),
        (json!({"every": "weekly", "day": "monday", "at": "8"}), "at"),
        (json!({"every": "weekly", "day": "monday", "at": "08:00", "timezone": "Mars/Olympus"}), "timezone"),
        (json!({"every": "weekly", "day": "monday", "at": "08:00", "state": "maybe"}), "state"),
    ] {
        assert_eq!(put(body).await.expect(422).json()["error"]["field"], field);
    }
    let monthly = json!({"every": "monthly", "day": "1", "at": "06:30", "timezone": "Europe/Helsinki"});
    let report = put(monthly).await.expect(200).json()["report"].clone();
    assert_eq!(
        (&report["every"], &report["day"], &report["at"]),
        (&"monthly".into(), &"1".into(), &"06:30".into())
    );
    assert!(report["next_at"].is_string(), "{report}");
    let sent = client.send(Method::POST, "/api/channels/hook/report/send", None).await.expect(200).json();
    assert_eq!((&sent["taken"], &sent["said"]), (&true.into(), &"thank you".into()));
    client.send(Method::POST, "/api/channels/nobody/report/send", None).await.expect(404);
    let beat = json!({"name": "beat", "heartbeat": {"url": "https://hc.example/x"}});
    client.post("/api/channels", &beat).await.expect(201);
    client.send(Method::POST, "/api/channels/beat/report/send", None).await.expect(422);

    // The same by the page, without scripts.
    client.take_csrf().await;
    let page = client.get("/notices/channels/hook").await.expect(200).text;
    assert!(page.contains("The next one is due") && page.contains("value=\"06:30\""), "{page}");
    assert!(!client.get("/notices/channels/beat").await.expect(200).text.contains("report-form"));
    let wrong = "state=on&every=weekly&day=someday&at=08%3A00&timezone=UTC";
    let page = client.post_form("/notices/channels/hook/report", wrong).await.expect(422).text;
    assert!(page.contains("day-error") && page.contains("value=\"someday\""), "{page}");
    client.post_form("/notices/channels/hook/report", &wrong.replace("someday", "Friday")).await.expect(303);
    let report = client.get("/api/channels/hook").await.expect(200).json()["report"].clone();
    assert_eq!((&report["every"], &report["day"]), (&"weekly".into(), &"friday".into()));
    let page = client.post_form("/notices/channels/hook/report/send", "").await.expect(200).text;
    assert!(page.contains("The report: It was taken.") && page.contains("thank you"), "{page}");
    let audit = client.get("/api/audit?action=report").await.expect(200).text;
    assert!(audit.contains("report.changed") && audit.contains("report.sent"), "{audit}");
}

#[tokio::test]
async fn a_label_is_given_days_by_the_api_and_by_the_page() {
    let world = World::new();
    let mut client = world.admin().await;
    let put = async |label: &str, body: Value| {
        client.send(Method::PUT, &format!("/api/graces/{label}"), Some(&body)).await
    };
    let usual = put("laptop", json!({"hours": 72})).await.expect(200).json();
    assert_eq!((&usual["label"], &usual["causes"]), (&"laptop".into(), &json!(["missed", "offline", "old"])));
    for (label, body, field) in [
        ("laptop", json!({"hours": 0}), "hours"),
        ("laptop", json!({"hours": 2161}), "hours"),
        ("laptop", json!({"hours": 1, "causes": ["damaged"]}), "causes"),
        ("lap%20top", json!({"hours": 1}), "label"),
    ] {
        assert_eq!(put(label, body).await.expect(422).json()["error"]["field"], field);
    }
    client.take_csrf().await;
    let page = client.get("/notices").await.expect(200).text;
    assert!(
        page.contains("laptop") && page.contains("3 d") && page.contains("missed, offline, old"),
        "{page}"
    );
    let wrong = "label=desk&hours=soon&causes=offline";
    let page = client.post_form("/notices/graces", wrong).await.expect(422).text;
    assert!(page.contains("hours-error") && page.contains("value=\"soon\""), "{page}");
    client.post_form("/notices/graces", "label=desk&hours=1.5&causes=offline").await.expect(303);
    let all = client.get("/api/graces").await.expect(200).json();
    assert_eq!((&all["items"][0]["label"], &all["items"][0]["hours"]), (&"desk".into(), &36.into()));
    client.post_form("/notices/graces/desk/delete", "").await.expect(303);
    client.send(Method::DELETE, "/api/graces/laptop", None).await.expect(204);
    let gone = client.send(Method::DELETE, "/api/graces/laptop", None).await.expect(404);
    assert_eq!(gone.code(), "grace_not_found");
}
