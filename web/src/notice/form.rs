//! A message as HTTP requests, in the form that the other side takes.
//!
//! Most forms are one request. Services that keep alerts by themselves get one for each incident, the newest of the message,
//! under a key of the incident: then its end closes the alert, and what is sent again changes nothing. A test opens one and
//! closes it.

use super::body::{MOST_BYTES, percent_encoded};
use super::template::{self, TemplateError};
use super::told::{Told, ToldNotice, rest};
use crate::format::cut;
use fleet::Message;
use fleet::record::{ChannelSecrets, Secret, Webhook, WebhookForm};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Hosts of a notice are left out of the documented JSON beyond so many notices, to keep it in bounds.
const HOSTS_UP_TO: usize = 10;
/// The longest text in it, in characters.
const LONGEST_TEXT: usize = 12_000;

/// An HTTP request. It may hold secrets, also in its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `POST` or `PUT`.
    pub method: &'static str,
    /// The whole address.
    pub url: Secret,
    /// Headers besides those of the channel's settings.
    pub headers: Vec<(&'static str, Secret)>,
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: Secret,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A secret that the form needs is not there.
    #[error("this form needs the secret {0}")]
    Missing(&'static str),
    /// It would be too long.
    #[error("what is to be sent is longer than 64 KiB")]
    TooLong,
    /// The template of the channel makes none.
    #[error("the template makes no message: {0}")]
    Template(#[from] TemplateError),
}

/// What is sent of a message, in order; `base` is where the pages are, without a slash at the end.
pub fn requests(
    message: &Message,
    webhook: &Webhook,
    secrets: &ChannelSecrets,
    base: &str,
) -> Result<Vec<Request>, RequestError> {
    let told = Told::new(message, base);
    let form = webhook.form;
    let secret =
        |name: &'static str| secrets.values.get(name).map(Secret::expose).ok_or(RequestError::Missing(name));
    let root = secrets.url.expose().trim_end_matches('/');
    let post = |path: &str, headers, body: &Value| request("POST", format!("{root}{path}"), headers, body);
    let whole = || request("POST", secrets.url.expose().to_owned(), Vec::new(), &body(form, &told));
    if let Some(made_by) = &webhook.template {
        let body = template::body(&made_by.text, &made_by.content_type, &told, &secrets.values)?;
        return Ok(vec![Request {
            method: "POST",
            url: secrets.url.clone(),
            headers: Vec::new(),
            content_type: made_by.content_type.clone(),
            body: Secret::new(body),
        }]);
    }
    Ok(vec![match form {
        WebhookForm::Json
        | WebhookForm::Slack
        | WebhookForm::Mattermost
        | WebhookForm::Discord
        | WebhookForm::Teams
        | WebhookForm::Apprise
        | WebhookForm::Template => whole()?,
        WebhookForm::Ntfy => {
            let mut body = body(form, &told);
            body["topic"] = secret("topic")?.into();
            post("", Vec::new(), &body)?
        }
        WebhookForm::Gotify => {
            let token = vec![("X-Gotify-Key", Secret::new(secret("token")?))];
            post("/message", token, &body(form, &told))?
        }
        WebhookForm::Matrix => {
            let room = percent_encoded(secret("room")?);
            let path = format!("{root}/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", told.id);
            let token = vec![("Authorization", Secret::new(format!("Bearer {}", secret("token")?)))];
            request("PUT", path, token, &body(form, &told))?
        }
        WebhookForm::Telegram => {
            let mut body = body(form, &told);
            body["chat_id"] = secret("chat")?.into();
            post(&format!("/bot{}/sendMessage", secret("token")?), Vec::new(), &body)?
        }
        WebhookForm::Pushover => {
            let mut body = body(form, &told);
            body["token"] = secret("token")?.into();
            body["user"] = secret("user")?.into();
            post("/1/messages.json", Vec::new(), &body)?
        }
        WebhookForm::PagerDuty => {
            let key = secret("routing_key")?;
            return each(&told)
                .map(|alert| post("/v2/enqueue", Vec::new(), &pagerduty(key, &alert)))
                .collect();
        }
        WebhookForm::Opsgenie => {
            let key =
                || secret("key").map(|key| vec![("Authorization", Secret::new(format!("GenieKey {key}")))]);
            return each(&told)
                .map(|alert| {
                    let path = match alert.is_over {
                        true => format!("/v2/alerts/{}/close?identifierType=alias", alert.key),
                        false => "/v2/alerts".to_owned(),
                    };
                    post(&path, key()?, &opsgenie(&alert))
                })
                .collect();
        }
    }])
}

fn request(
    method: &'static str,
    url: String,
    headers: Vec<(&'static str, Secret)>,
    body: &Value,
) -> Result<Request, RequestError> {
    let body = body.to_string();
    if body.len() > MOST_BYTES {
        return Err(RequestError::TooLong);
    }
    let content_type = "application/json".to_owned();
    Ok(Request { method, url: Secret::new(url), headers, content_type, body: Secret::new(body) })
}

/// A message as the JSON that `docs/notices.md` describes.
#[must_use]
pub fn documented(message: &Message, base: &str) -> String {
    in_json(&Told::new(message, base)).to_string()
}

/// `&`, `<` and `>` are read as markup by Slack.
fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn body(form: WebhookForm, told: &Told) -> Value {
    let (subject, url) = (&told.subject, &told.url);
    let is_critical = told.severity == "critical";
    let text = |most: usize| told.text(most);
    let both = |most: usize| {
        let subject = cut(subject, 200);
        format!("{subject}\n\n{}", told.text(most.saturating_sub(210)))
    };
    match form {
        WebhookForm::Ntfy => json!({
            "title": subject, "message": text(3_000), "click": url,
            "priority": match told.severity { "critical" => 5, "warning" => 4, _ => 3 },
            "tags": [match told.severity { "critical" => "rotating_light", "warning" => "warning", _ => "white_check_mark" }],
        }),
        WebhookForm::Gotify => json!({
            "title": subject, "message": text(8_000), "priority": if is_critical { 8 } else { 5 },
            "extras": { "client::notification": { "click": { "url": url } } },
        }),
        WebhookForm::Slack => json!({ "text": without_markup(&both(8_000)) }),
        WebhookForm::Mattermost => json!({ "text": both(8_000) }),
        WebhookForm::Discord => json!({ "content": both(1_900), "allowed_mentions": { "parse": [] } }),
        WebhookForm::Teams => json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard", "version": "1.2",
                    "body": [
                        { "type": "TextBlock", "weight": "bolder", "wrap": true, "text": subject },
                        { "type": "TextBlock", "wrap": true, "text": text(8_000) },
                    ],
                    "actions": [{ "type": "Action.OpenUrl", "title": "Look at it", "url": url }],
                },
            }],
        }),
        WebhookForm::Matrix => json!({ "msgtype": "m.text", "body": both(8_000) }),
        WebhookForm::Telegram => json!({ "text": both(3_900), "disable_web_page_preview": true }),
        WebhookForm::Pushover => json!({
            "title": cut(subject, 240), "message": text(1_000), "url": url, "priority": i32::from(is_critical),
        }),
        WebhookForm::Apprise => json!({
            "title": subject, "body": text(8_000), "format": "text",
            "type": match told.severity { "critical" => "failure", "warning" => "warning", _ => "success" },
        }),
        WebhookForm::Json | WebhookForm::Template | WebhookForm::PagerDuty | WebhookForm::Opsgenie => {
            in_json(told)
        }
    }
}

/// What `docs/notices.md` describes.
fn in_json(told: &Told) -> Value {
    let notice = |notice: &ToldNotice| {
        let (hosts, left_out) = match told.notices.len() > HOSTS_UP_TO {
            true => (json!([]), notice.count),
            false => (json!(notice.hosts), notice.hosts_left_out),
        };
        json!({
            "event": notice.event, "incident": notice.incident, "cause": notice.cause, "severity": notice.severity,
            "at": notice.at, "since": notice.since, "storage": notice.storage, "count": notice.count,
            "hosts": hosts, "hosts_left_out": left_out, "channels": notice.channels, "text": notice.title, "advice": notice.advice, "url": notice.url,
            "acknowledge_url": notice.acknowledge_url,
        })
    };
    json!({
        "id": told.id, "event": told.event, "cause": told.cause, "severity": told.severity, "at": told.at,
        "count": told.count, "hosts": told.hosts, "subject": told.subject,
        "text": told.text(LONGEST_TEXT), "url": told.url,
        "notices": told.notices.iter().map(notice).collect::<Vec<_>>(),
        "not_listed": told.not_listed, "left_out": told.left_out, "report": told.report,
    })
}

/// An alert that the other side keeps.
struct Alert {
    key: String,
    summary: String,
    text: String,
    url: String,
    /// The link that acknowledges, where the channel may have such.
    acknowledge: Option<String>,
    is_critical: bool,
    is_over: bool,
}

/// The newest of each incident, and what is not told one by one.
fn each(told: &Told) -> impl Iterator<Item = Alert> {
    let mut newest: BTreeMap<&str, &ToldNotice> = BTreeMap::new();
    for notice in &told.notices {
        newest.insert(&notice.incident, notice);
    }
    let of_notice = |notice: &ToldNotice| Alert {
        key: notice.incident.clone(),
        summary: format!("{}: {}", notice.state, notice.title),
        text: format!("{}\n{}\n{}", notice.whom, notice.since_words, notice.advice),
        url: notice.url.clone(),
        acknowledge: notice.acknowledge_url.clone(),
        is_critical: notice.severity == "critical",
        is_over: notice.is_over,
    };
    let mut all: Vec<Alert> = newest.into_values().map(of_notice).collect();
    let rest = rest(told, 0);
    let of_message = |text: String, is_over: bool| Alert {
        key: told.id.clone(),
        summary: told.subject.clone(),
        text,
        url: told.url.clone(),
        acknowledge: None,
        is_critical: false,
        is_over,
    };
    if told.notices.is_empty() {
        all.extend([false, true].map(|is_over| of_message(told.text(1_000), is_over)));
    }
    if !rest.is_empty() {
        all.push(of_message(rest.join("\n"), false));
    }
    all.into_iter()
}

fn pagerduty(key: &str, alert: &Alert) -> Value {
    let action = if alert.is_over { "resolve" } else { "trigger" };
    let severity = if alert.is_critical { "critical" } else { "warning" };
    let acknowledge =
        alert.acknowledge.iter().map(|url| json!({ "href": url, "text": "Acknowledge in Holdfast" }));
    let look = std::iter::once(json!({ "href": alert.url, "text": "Look at it" }));
    json!({
        "routing_key": key, "event_action": action, "dedup_key": alert.key,
        "payload": {
            "summary": cut(&alert.summary, 1_000), "source": "Holdfast", "severity": severity,
            "custom_details": { "text": alert.text },
        },
        "links": look.chain(acknowledge).collect::<Vec<_>>(),
    })
}

fn opsgenie(alert: &Alert) -> Value {
    if alert.is_over {
        return json!({ "source": "Holdfast", "note": alert.summary });
    }
    // Opsgenie has no links of its own: what is named in the details is shown as one.
    let details = match &alert.acknowledge {
        Some(url) => json!({ "acknowledge": url }),
        None => json!({}),
    };
    json!({
        "message": cut(&alert.summary, 120), "details": details, "alias": alert.key, "source": "Holdfast",
        "description": cut(&format!("{}\n{}", alert.text, alert.url), 14_000),
        "priority": if alert.is_critical { "P1" } else { "P3" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::{BodyTemplate, Cause, Event, MessageId, Notice, Severity};
    use schema::{HostId, IncidentId, Timestamp};

    const AT: Timestamp = Timestamp(1_780_012_800_000);
    const BASE: &str = "https://holdfast.example";

    fn notice(event: Event, incident: u8, count: u32) -> Notice {
        let host = |number: u32| (HostId([number as u8; 16]), format!("web-{number}"));
        Notice {
            at: AT,
            event,
            incident: IncidentId([incident; 16]),
            cause: Cause::Failed { class: Some(schema::Class::Network), refusal: None },
            storage: Some("nas<&>:8000".to_owned()),
            severity: Severity::Critical,
            since: AT,
            count,
            hosts: (1..=count.min(20)).map(host).collect(),
            channels: Vec::new(),
        }
    }

    fn message(notices: Vec<Notice>) -> Message {
        Message {
            id: MessageId([7; 16]),
            made_at: AT,
            notices,
            left_out: 0,
            ack_keys: BTreeMap::new(),
            report: None,
        }
    }

    fn all_forms(message: &Message) -> Vec<(WebhookForm, Vec<Request>)> {
        let names = ["topic", "token", "room", "chat", "user", "routing_key", "key"];
        let secrets = ChannelSecrets {
            url: Secret::new("https://hooks.example/a/"),
            values: names.map(|name| (name.to_owned(), Secret::new(format!("!{name}:x")))).into(),
            ..ChannelSecrets::default()
        };
        let webhook = |form| Webhook {
            form,
            place: "https://hooks.example".to_owned(),
            header_names: Vec::new(),
            secret_names: Vec::new(),
            is_signed: false,
            template: template(form),
            ca: String::new(),
        };
        WebhookForm::ALL.map(|form| (form, requests(message, &webhook(form), &secrets, BASE).unwrap())).into()
    }

    fn template(form: WebhookForm) -> Option<BodyTemplate> {
        let text = "{ \"said\": {{ subject }}, \"text\": {{ text }}, \"to\": {{ secrets.user }} }";
        let content_type = "application/json".to_owned();
        (form == WebhookForm::Template).then(|| BodyTemplate { text: text.to_owned(), content_type })
    }

    fn shown(requests: &[Request]) -> String {
        let one = |request: &Request| {
            let body: Value = serde_json::from_str(request.body.expose()).unwrap();
            let headers: String =
                request.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.expose())).collect();
            format!("{} {}\n{headers}{body:#}\n", request.method, request.url.expose())
        };
        requests.iter().map(one).collect()
    }

    #[test]
    fn each_form_says_host_since_when_cause_what_to_do_and_where() {
        let mut text = String::new();
        for (form, requests) in all_forms(&message(vec![notice(Event::Opened, 1, 3)])) {
            let said = shown(&requests);
            for needed in ["can't be reached", "web-1", "Since Fri 29 May 00:00 UTC", "/incidents/"] {
                assert!(said.contains(needed), "{form:?} does not say {needed:?}: {said}");
            }
            text += &format!("-- {}\n{said}", form.as_str());
        }
        insta::assert_snapshot!("forms", text);
    }

    #[test]
    fn what_is_over_closes_the_alert_of_its_incident_and_a_test_says_so() {
        let digest = message(vec![
            notice(Event::Opened, 1, 3),
            notice(Event::Opened, 2, 3),
            notice(Event::Recovered, 1, 3),
            notice(Event::Ended, 3, 3),
        ]);
        for (form, requests) in all_forms(&digest) {
            if matches!(form, WebhookForm::PagerDuty | WebhookForm::Opsgenie) {
                insta::assert_snapshot!(form.as_str(), shown(&requests));
            } else {
                assert_eq!(requests.len(), 1);
            }
        }
        for (form, requests) in all_forms(&message(Vec::new())) {
            assert!(shown(&requests).contains("This is a test"), "{form:?}");
            // Nobody has to close what a test has opened.
            let ends = ["\"resolve\"", "/close?"].map(|end| shown(&requests[1..]).contains(end));
            assert_eq!(requests.len() > 1, ends.contains(&true), "{form:?}");
        }
    }

    #[test]
    fn an_alert_that_the_other_side_keeps_has_the_link_that_acknowledges_while_it_is_open() {
        let link = |message: &Message| {
            let of = [WebhookForm::PagerDuty, WebhookForm::Opsgenie];
            let all = all_forms(message).into_iter().filter(|(form, _)| of.contains(form));
            all.map(|(_, requests)| shown(&requests).contains("a-link-key")).collect::<Vec<_>>()
        };
        let mut open = message(vec![notice(Event::Opened, 1, 3)]);
        assert_eq!(link(&open), [false, false], "the channel may have none");
        open.ack_keys.insert(IncidentId([1; 16]), "a-link-key".to_owned());
        assert_eq!(link(&open), [true, true]);
        let mut over = message(vec![notice(Event::Recovered, 1, 3)]);
        over.ack_keys.insert(IncidentId([1; 16]), "a-link-key".to_owned());
        assert_eq!(link(&over), [false, false]);
    }

    #[test]
    fn a_message_of_a_thousand_notices_is_in_bounds_and_says_how_many_are_not_listed() {
        let mut large = message((0..1_000).map(|_| notice(Event::Opened, 1, 300)).collect());
        large.notices.iter_mut().enumerate().for_each(|(at, notice)| {
            notice.incident = IncidentId((at as u128).to_be_bytes());
            notice.hosts.iter_mut().for_each(|(_, name)| *name = "x".repeat(63));
        });
        large.left_out = 5;
        for (form, requests) in all_forms(&large) {
            let said = shown(&requests);
            assert!(said.contains("1,000 notices"), "{form:?}");
            assert!(said.contains("5 older notices"), "{form:?}: {said}");
            let is_short = |body: &Request| body.body.expose().len() < MOST_BYTES;
            assert!(
                requests.iter().all(is_short) && said.contains("more; the page of incidents"),
                "{form:?}"
            );
            if form == WebhookForm::Json {
                assert!(said.contains("\"not_listed\": 970") && said.contains("\"left_out\": 5"));
            }
        }
    }
}
