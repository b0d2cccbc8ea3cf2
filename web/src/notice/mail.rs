//! A message as mail: text, and the same as HTML.

use super::html::{END, begin};
use super::report;
use super::told::{Told, rest};
use crate::template::escaped;
use fleet::Message;
use std::fmt::Write as _;

/// The longest text, in characters: with all that is told one by one it is shorter.
const LONGEST_TEXT: usize = 100_000;

/// A mail, without who sends it to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What it is called.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// What mails of one incident have in common; `None` = it is of several.
    pub thread: Option<String>,
}

/// The mail of a message; `base` is where the pages are, without a slash at the end.
#[must_use]
pub fn mail(message: &Message, base: &str) -> Mail {
    let told = Told::new(message, base);
    let thread = match message.notices.as_slice() {
        [only] => Some(only.incident.to_string()),
        _ => None,
    };
    let (text, html) = match &told.words {
        Some(words) => (report::text(words, &told.url), report::html(words, &told.subject, &told.url)),
        None => (told.text(LONGEST_TEXT), html(&told)),
    };
    Mail { html, text, subject: told.subject, thread }
}

/// Colours are of the text alone, so that mail programs may turn light into dark; no picture, no script, nothing from
/// elsewhere.
fn html(told: &Told) -> String {
    let mut out = begin(&told.subject);
    if told.notices.is_empty() {
        let _ = write!(
            out,
            "<p style=\"white-space:pre-line\">{}</p>",
            escaped(told.text(LONGEST_TEXT).trim_end())
        );
    }
    for notice in &told.notices {
        let colour = match (notice.event, notice.severity) {
            ("recovered", _) => "#15803d",
            ("ended", _) => "#64748b",
            (_, "critical") => "#dc2626",
            _ => "#b45309",
        };
        let _ = write!(
            out,
            "<div style=\"border-left:4px solid {colour};padding:0 0 0 12px;margin:0 0 24px\">\
             <p style=\"margin:0\"><strong>{}:</strong> <strong>{}</strong></p><p style=\"margin:4px 0\">{}<br>{}</p>",
            escaped(notice.state),
            escaped(&notice.title),
            escaped(&notice.whom),
            escaped(&notice.since_words),
        );
        if !notice.advice.is_empty() {
            let _ = write!(out, "<p style=\"margin:4px 0\">{}</p>", escaped(notice.advice));
        }
        let _ = write!(out, "<p style=\"margin:4px 0\"><a href=\"{}\">Look at it</a>", escaped(&notice.url));
        if let Some(url) = &notice.acknowledge_url {
            let _ = write!(out, " &nbsp; <a href=\"{}\">Acknowledge</a>", escaped(url));
        }
        out += "</p></div>";
    }
    for line in rest(told, 0) {
        let _ = write!(out, "<p>{}</p>", escaped(&line));
    }
    if told.notices.len() > 1 {
        let _ = write!(out, "<p><a href=\"{}\">All incidents</a></p>", escaped(&told.base_url));
    }
    out += END;
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::{Cause, Event, MessageId, Notice, Severity};
    use schema::{HostId, IncidentId, Timestamp};
    use std::collections::BTreeMap;

    const AT: Timestamp = Timestamp(1_780_012_800_000);

    fn notice(event: Event, cause: Cause, names: &[&str]) -> Notice {
        Notice {
            at: AT,
            event,
            incident: IncidentId([1; 16]),
            cause,
            storage: None,
            severity: Severity::Critical,
            since: AT,
            count: names.len() as u32,
            hosts: names.iter().map(|name| (HostId([2; 16]), (*name).to_owned())).collect(),
            channels: Vec::new(),
        }
    }

    fn ack_keys() -> BTreeMap<IncidentId, String> {
        [(IncidentId([1; 16]), "1-19e7108a400-0123456789abcdef".to_owned())].into()
    }

    fn mailed(notices: Vec<Notice>, left_out: u32) -> Mail {
        let message = Message {
            id: MessageId([7; 16]),
            made_at: AT,
            notices,
            left_out,
            ack_keys: ack_keys(),
            report: None,
        };
        mail(&message, "https://holdfast.example")
    }

    #[test]
    fn a_mail_is_text_and_the_same_as_html() {
        let one = mailed(vec![notice(Event::Opened, Cause::Offline, &["web-1"])], 0);
        let several = mailed(
            vec![
                notice(Event::Recovered, Cause::Offline, &["web-1"]),
                notice(Event::Opened, Cause::ServerDisk, &[]),
                notice(Event::Ended, Cause::Offline, &["web-1", "web-2"]),
            ],
            3,
        );
        let channels = vec!["pager".to_owned(), "hook".to_owned()];
        let failing = Notice { channels, count: 2, ..notice(Event::Worsened, Cause::Channel, &[]) };
        let failing = mailed(vec![failing], 0);
        assert_eq!((one.thread.is_some(), &several.thread), (true, &None));
        let shown: Vec<String> = [one, several, failing, mailed(Vec::new(), 0)]
            .iter()
            .map(|mail| format!("Subject: {}\n\n{}\n{}", mail.subject, mail.text, mail.html))
            .collect();
        insta::assert_snapshot!("mails", shown.join("\n----\n"));
    }

    fn reported(period: fleet::record::Period) -> Mail {
        let (id, report) = (MessageId([7; 16]), Some(Box::new(period)));
        let (notices, ack_keys) = (Vec::new(), BTreeMap::new());
        let message = Message { id, made_at: AT, notices, left_out: 0, ack_keys, report };
        mail(&message, "https://holdfast.example")
    }

    #[test]
    fn a_report_is_a_mail_with_all_its_tables_and_a_link() {
        let mail = reported(crate::words::period_sample());
        assert_eq!(mail.thread, None);
        let shown = format!("Subject: {}\n\n{}\n{}", mail.subject, mail.text, mail.html);
        insta::assert_snapshot!("report_mail", shown);
    }

    #[test]
    fn nothing_of_a_report_is_markup() {
        let mut period = crate::words::period_sample();
        period.added.items = vec!["<b>web</b>".to_owned()];
        period.slowest.items[0].group = "a\u{202e}<script>".to_owned();
        period.storages.items[0].storage = Some("<img src=x>".to_owned());
        period.agents.items[0].version = "<i>\u{7}".to_owned();
        let mail = reported(period);
        for sign in ["<b>", "<script", "<img", "<i>", "\u{202e}", "\u{7}"] {
            assert!(!mail.html.contains(sign), "{sign}: {}", mail.html);
        }
        assert!(!mail.text.contains(['\u{202e}', '\u{7}']), "{}", mail.text);
    }

    #[test]
    fn nothing_of_a_host_is_markup() {
        let mut notice = notice(Event::Opened, Cause::Damaged, &["<b>web</b>"]);
        notice.storage = Some("nas\u{202e}<script>".to_owned());
        let mail = mailed(vec![notice], 0);
        assert!(!mail.html.contains("<script>") && !mail.html.contains("<b>"), "{}", mail.html);
        assert!(!mail.text.contains('\u{202e}') && mail.text.contains("\\u202e"), "{}", mail.text);
        assert!(!mail.subject.contains('\u{202e}'));
    }
}
