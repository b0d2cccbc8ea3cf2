//! Bodies of requests by a template that an admin has written.
//!
//! Such a template is a stranger's program. It sees a message and the secrets of its channel, and nothing else: no files, no
//! other templates, no settings. The engine counts its steps, and the bytes that it makes as steps, too ([`FUEL`]); what it
//! writes is bounded besides ([`MOST_BYTES`]).

use super::body::{MOST_BYTES, percent_encoded};
use super::told::Told;
use fleet::record::{Cause, EndCounts, Event, First, FleetDay, MessageId, Notice, Period, Secret, Severity};
use fleet::{MOST_TOLD, Message};
use minijinja::value::{Object, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, context};
use schema::{HostId, IncidentId, Timestamp};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

/// So many steps it takes at most; 64 bytes that it makes or reads are one.
const FUEL: u64 = 20_000;
/// How deep it goes: macros in macros.
const MOST_DEEP: usize = 20;
/// The longest text of all notices, in characters.
const LONGEST_TEXT: usize = 8_000;
/// What kind of text is JSON: values are written as JSON then.
const JSON: &str = "application/json";

/// Why a template gives no body, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl From<Error> for TemplateError {
    fn from(error: Error) -> Self {
        let line = error.line().map(|line| format!("Line {line}: ")).unwrap_or_default();
        let what = match error.kind() {
            ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
            ErrorKind::WriteFailure => format!("it writes more than {} KiB", MOST_BYTES >> 10),
            kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
        };
        Self(format!("{line}{what}."))
    }
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

/// Whether a template gives a body for each sort of message, tried with one of each.
pub(crate) fn check(template: &str, content_type: &str) -> Result<(), TemplateError> {
    for (what, message) in samples() {
        let told = Told::new(&message, "https://holdfast.example");
        let body = write(template, content_type, &told, &Value::from_object(AnySecret))?;
        if is_json(content_type)
            && let Err(error) = serde_json::from_str::<IgnoredAny>(&body)
        {
            return Err(TemplateError(format!("Of {what} it makes no JSON: {error}.")));
        }
    }
    Ok(())
}

/// The body of a message.
pub(super) fn body(
    template: &str,
    content_type: &str,
    told: &Told,
    secrets: &BTreeMap<String, Secret>,
) -> Result<String, TemplateError> {
    let secrets = secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
    write(template, content_type, told, &Value::from_pairs(secrets))
}

fn write(template: &str, content_type: &str, told: &Told, secrets: &Value) -> Result<String, TemplateError> {
    let environment = environment(is_json(content_type));
    let seen = context! { secrets, text => told.text(LONGEST_TEXT), ..Value::from(Serde(told)) };
    let mut out = Bounded::default();
    environment.template_from_str(template)?.render_captured_to(seen, &mut out)?;
    String::from_utf8(out.0).map_err(|_| TemplateError("It writes no text.".to_owned()))
}

fn environment(is_json: bool) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MOST_DEEP);
    environment.set_formatter(move |out, _: &mut State<'_, '_>, value| match is_json {
        true => Ok(out.write_str(&json(value)?)?),
        false => plain(out, value),
    });
    environment.add_filter("json", |value: Value| json(&value));
    environment.add_filter("urlencode", |text: &str| short(percent_encoded(text)));
    environment.add_filter("upper", |text: &str| short(text.to_uppercase()));
    environment.add_filter("lower", |text: &str| short(text.to_lowercase()));
    environment.add_filter("names", |hosts: Value| names(&hosts));
    environment.add_filter("length", |value: Value| value.len());
    environment
}

fn plain(out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
    match value.is_undefined() {
        true => Err(Error::from(ErrorKind::UndefinedError)),
        false => Ok(write!(out, "{value}")?),
    }
}

/// The names of hosts, apart by commas.
fn names(hosts: &Value) -> Result<String, Error> {
    let mut all = String::new();
    for host in hosts.try_iter()? {
        let separator = if all.is_empty() { "" } else { ", " };
        all.push_str(separator);
        all.push_str(&short(host.get_attr("name")?.to_string())?);
        all = short(all)?;
    }
    Ok(all)
}

fn json(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let mut out = Bounded::default();
    serde_json::to_writer(&mut out, value).map_err(|_| too_long())?;
    String::from_utf8(out.0).map_err(|_| Error::from(ErrorKind::BadSerialization))
}

fn too_long() -> Error {
    Error::new(ErrorKind::WriteFailure, "too long")
}

fn short(text: String) -> Result<String, Error> {
    if text.len() > MOST_BYTES { Err(too_long()) } else { Ok(text) }
}

/// What is written, as far as there is room.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// While it is checked each secret has a value: which are stored is not known here.
#[derive(Debug)]
struct AnySecret;

impl Object for AnySecret {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from("secret"))
    }
}

/// A message of each sort, each with what it is called.
fn samples() -> [(&'static str, Message); 5] {
    let at = Timestamp(1_780_012_800_000);
    let host = |number: u8| (HostId([number; 16]), format!("host-{number}"));
    let notice = |number: u8, event, cause| Notice {
        at,
        event,
        incident: IncidentId([number; 16]),
        cause,
        storage: Some("nas \"one\":8000".to_owned()),
        severity: Severity::Critical,
        since: at,
        count: 20,
        hosts: (1..=20).map(host).collect(),
        channels: Vec::new(),
    };
    let message = |notices| Message {
        id: MessageId([7; 16]),
        made_at: at,
        notices,
        left_out: 0,
        ack_keys: BTreeMap::new(),
        report: None,
    };
    let digest = (0..MOST_TOLD + 5)
        .map(|number| notice(u8::try_from(number).unwrap_or(u8::MAX), Event::Worsened, Cause::Offline));
    [
        ("a test", message(Vec::new())),
        ("one notice", message(vec![notice(1, Event::Opened, Cause::Offline)])),
        ("one that it is over", message(vec![notice(1, Event::Recovered, Cause::Damaged)])),
        ("several notices", message(digest.collect())),
        ("a report", Message { report: Some(Box::new(report(at))), ..message(Vec::new()) }),
    ]
}

/// A report of an empty fleet.
fn report(at: Timestamp) -> Period {
    Period {
        made_at: at,
        from: at,
        until: at,
        now: FleetDay { at, hosts: 0, protected: 0, proven: 0 },
        before: None,
        in_need: First::default(),
        backups: EndCounts::default(),
        failures: First::default(),
        proofs: EndCounts::default(),
        opened: 0,
        ended: 0,
        added: First::default(),
        slowest: First::default(),
        largest: First::default(),
        storages: First::default(),
        agents: First::default(),
        restics: First::default(),
        jobs_since: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JSON_TEXT: &str = "{\"title\": {{ subject }}, \"text\": {{ text }}, \"key\": {{ secrets.token }}}";

    fn why(template: &str) -> String {
        check(template, "text/plain").unwrap_err().to_string()
    }

    fn told() -> Told {
        Told::new(&samples()[1].1, "https://holdfast.example")
    }

    #[test]
    fn values_are_json_where_the_body_is_and_plain_where_it_is_not() {
        let secrets = [("token".to_owned(), Secret::new("a\"b"))].into();
        let json = body(JSON_TEXT, "application/json; charset=utf-8", &told(), &secrets).unwrap();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["key"], "a\"b");
        assert!(read["text"].as_str().unwrap().contains("\n"), "{read}");
        let template = "{% for notice in notices %}{{ notice.title|upper }} {{ notice.hosts|names|urlencode }}{% endfor %}";
        let plain = body(template, "text/plain", &told(), &secrets).unwrap();
        assert!(
            plain.starts_with("OFFLINE FOR MORE THAN A DAY") && plain.contains("host-1%2C%20host-2"),
            "{plain}"
        );
        assert_eq!(check(JSON_TEXT, JSON), Ok(()));
        let not = check("{\"title\": \"{{ subject }}\"}", JSON).unwrap_err().to_string();
        assert!(not.starts_with("Of a test it makes no JSON"), "{not}");
        // A secret that is not there is said, and no part of one is.
        let missing = body(JSON_TEXT, JSON, &told(), &BTreeMap::new()).unwrap_err().to_string();
        assert!(missing.contains("undefined"), "{missing}");
    }

    #[test]
    fn a_template_reads_no_file_does_not_run_for_ever_and_fills_no_memory() {
        for nothing_there in
            ["{% include '/etc/passwd' %}", "{% extends 'base.html' %}", "{% import 'page/host.html' as x %}"]
        {
            assert!(why(nothing_there).contains("not found"), "{nothing_there}: {}", why(nothing_there));
        }
        let doubles = format!("{{% set a = text %}}{}{{{{ a|length }}}}", "{% set a = a ~ a %}".repeat(40));
        let macros = "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}";
        for grows in ["{{ 'x' * 9999999999 }}", "{% if [1] * 999999999 %}{% endif %}", &doubles, macros] {
            let why = why(grows);
            let words = ["too many steps", "too large", "recursion"];
            assert!(words.iter().any(|word| why.contains(word)), "{grows}: {why}");
        }
        let nested = |depth: usize| {
            let begin: String = (0..depth).map(|at| format!("{{% for x{at} in subject %}}")).collect();
            format!("{begin}{}", "{% endfor %}".repeat(depth))
        };
        assert!(why(&nested(6)).contains("too many steps"), "{}", why(&nested(6)));
        let grows = format!("{{{{ text{} }}}}", "|json".repeat(40));
        assert!(why(&grows).contains("more than 64 KiB"), "{}", why(&grows));
        let works = "{% for a in notices %}{% for b in text %}{% if text|upper|lower|json == '' %}{% endif %}{% endfor %}{% endfor %}";
        assert!(why(works).contains("too many steps"), "{}", why(works));
        let writes = "{% for a in notices %}{% for b in subject %}{{ text }}{% endfor %}{% endfor %}";
        assert!(why(writes).contains("more than 64 KiB"), "{}", why(writes));
        assert!(why("{{ range(10) }}").contains("unknown"), "{}", why("{{ range(10) }}"));
        assert!(why("{{ nothing }}").contains("undefined"), "{}", why("{{ nothing }}"));
        assert!(why("\n\n{{ subject").starts_with("Line 3: "), "{}", why("\n\n{{ subject"));
        assert!(why("{{ subject|shout }}").contains("unknown filter"), "{}", why("{{ subject|shout }}"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_written_is_in_bounds(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("{{ ".to_owned()), Just(" }}".to_owned()), Just("{% for n in notices %}".to_owned()),
                    Just("{% endfor %}".to_owned()), Just("text".to_owned()), Just("|json".to_owned()),
                    Just("{% if ".to_owned()), Just(" %}".to_owned()), Just("'".to_owned()), Just("\\".to_owned()),
                    Just("{#".to_owned()), Just("#}".to_owned()), ".{0,4}",
                ],
                0..24,
            ),
        ) {
            if let Ok(body) = body(&parts.concat(), "text/plain", &told(), &BTreeMap::new()) {
                prop_assert!(body.len() <= MOST_BYTES);
            }
        }
    }
}
