//! Bodies of requests by a template that an admin has written.
//!
//! Such a template is a stranger's program. It sees a message and the secrets of its channel, and nothing else: no files, no
//! other templates, no settings. It can choose and repeat (`if`, `for`) and write values through a few filters; it can't
//! define or join, for what doubles itself line by line would soon fill the memory. How many steps it takes is bounded
//! ([`FUEL`]), and so is what it writes ([`MOST_BYTES`]).

use super::body::{MOST_BYTES, percent_encoded};
use super::told::Told;
use fleet::record::{Cause, Event, MessageId, Notice, Secret, Severity};
use fleet::{MOST_TOLD, Message};
use minijinja::value::{Object, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, context};
use schema::{HostId, IncidentId, Timestamp};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

/// So many steps it takes at most.
const FUEL: u64 = 20_000;
/// How deep it goes: loops in loops.
const MOST_DEEP: usize = 20;
/// The longest text of all notices, in characters.
const LONGEST_TEXT: usize = 8_000;
/// The statements that there are.
const STATEMENTS: [&str; 6] = ["for", "endfor", "if", "elif", "else", "endif"];
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
    only_what_there_is(template)?;
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
    environment.add_filter("length", |value: Value| value.len());
    environment.add_filter("names", |hosts: Value| names(&hosts));
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
        all = short(format!("{all}{separator}{}", host.get_attr("name")?))?;
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

/// Refuses what a template could grow by: statements besides [`STATEMENTS`], and the operators that join and repeat.
fn only_what_there_is(template: &str) -> Result<(), TemplateError> {
    let mut rest = template;
    let at_line = |rest: &str| 1 + template[..template.len() - rest.len()].matches('\n').count();
    while let Some(at) = rest.find('{') {
        rest = &rest[at..];
        let (tag, is_statement) = match rest.as_bytes().get(1) {
            Some(b'#') => {
                rest = rest.find("#}").map_or("", |end| &rest[end + 2..]);
                continue;
            }
            Some(b'{') => ("}}", false),
            Some(b'%') => ("%}", true),
            _ => {
                rest = &rest[1..];
                continue;
            }
        };
        let line = at_line(rest);
        let refused = |why: String| Err(TemplateError(format!("Line {line}: {why}.")));
        rest = &rest[2..];
        let inside = inside(rest, tag);
        if is_statement {
            let word = inside.trim_start_matches(['-', '+']).trim_start();
            let word =
                word.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
            if !STATEMENTS.contains(&word) {
                return refused(format!("there is no {{% {word} %}} here, only for and if"));
            }
        }
        let ends = |c| matches!(c, '-' | '+');
        let code = unquoted(inside.trim_start_matches(ends).trim_end_matches(ends));
        if let Some(operator) = code.chars().find(|c| matches!(c, '*' | '+' | '~')) {
            return refused(format!("there is no {operator} here"));
        }
        rest = rest.get(inside.len() + 2..).unwrap_or_default();
    }
    Ok(())
}

/// What stands before the end of a tag; an end within quotes is none.
fn inside<'t>(text: &'t str, end: &str) -> &'t str {
    let (mut quote, mut is_escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if text[at..].starts_with(end) => return &text[..at],
            None => {}
        }
    }
    text
}

/// Without what is in quotes.
fn unquoted(code: &str) -> String {
    let (mut out, mut quote, mut is_escaped) = (String::new(), None, false);
    for c in code.chars() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => out.push(c),
        }
    }
    out
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
fn samples() -> [(&'static str, Message); 4] {
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
    };
    let digest = (0..MOST_TOLD + 5)
        .map(|number| notice(u8::try_from(number).unwrap_or(u8::MAX), Event::Worsened, Cause::Offline));
    [
        ("a test", message(Vec::new())),
        ("one notice", message(vec![notice(1, Event::Opened, Cause::Offline)])),
        ("one that it is over", message(vec![notice(1, Event::Recovered, Cause::Damaged)])),
        ("several notices", message(digest.collect())),
    ]
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
        for there_is_none in [
            "{% include '/etc/passwd' %}",
            "{% extends 'base.html' %}",
            "{%- import 'page/host.html' as x %}",
            "{% set a = text %}",
            "{% macro m() %}{% endmacro %}",
            "{% filter upper %}{% endfilter %}",
            "{% raw %}{% endraw %}",
            "{%+ with a = text %}{% endwith %}",
            "{{ '}}' }}{% set a = 1 %}",
            "{# {% #}{% block a %}{% endblock %}",
        ] {
            assert!(
                why(there_is_none).contains("only for and if"),
                "{there_is_none}: {}",
                why(there_is_none)
            );
        }
        for joins in [
            "{{ 'x' * 9999999999 }}",
            "{{ text ~ text }}",
            "{% if text + text %}{% endif %}",
            "{{\n[1] * 9 }}",
        ] {
            assert!(why(joins).contains("there is no"), "{joins}: {}", why(joins));
        }
        let nested = |depth: usize| {
            let begin: String = (0..depth).map(|at| format!("{{% for x{at} in subject %}}")).collect();
            format!("{begin}{}", "{% endfor %}".repeat(depth))
        };
        assert!(why(&nested(6)).contains("too many steps"), "{}", why(&nested(6)));
        let grows = format!("{{{{ text{} }}}}", "|json".repeat(40));
        assert!(why(&grows).contains("more than 64 KiB"), "{}", why(&grows));
        let writes = "{% for a in notices %}{% for b in subject %}{{ text }}{% endfor %}{% endfor %}";
        assert!(why(writes).contains("more than 64 KiB"), "{}", why(writes));
        assert!(why("{{ range(10) }}").contains("unknown"), "{}", why("{{ range(10) }}"));
        assert!(why("{{ nothing }}").contains("undefined"), "{}", why("{{ nothing }}"));
        assert!(why("\n\n{{ subject").starts_with("Line 3: "), "{}", why("\n\n{{ subject"));
        assert!(why("{{ subject|shout }}").contains("unknown filter"), "{}", why("{{ subject|shout }}"));
        // What stands in quotes is text.
        assert_eq!(
            check(
                "{{ '*+~' }}{{ \"{% set %}\" }}{% if 'a' == \"b\" %}{%- else -%}{% endif %} * + ~",
                "text/plain"
            ),
            Ok(())
        );
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
