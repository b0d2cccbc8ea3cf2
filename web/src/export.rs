//! The audit as a file to keep: CSV, as spreadsheets read it.

use crate::api::audit::filter;
use crate::app::Ctx;
use crate::format::rfc3339;
use crate::problem::Problem;
use crate::query::Query;
use crate::visible::{Breaks, visible};
use crate::words::action;
use axum::body::{Body, Bytes};
use axum::http::{Response, header};
use axum::response::IntoResponse;
use fleet::Page;
use fleet::record::{AuditEntry, AuditTarget};
use futures_util::stream::unfold;

/// So many entries are read at a time.
const PART: usize = 500;
const HEAD: &str = "at,actor_kind,actor,action,in_words,target_kind,target,target_id,peer,detail\r\n";

/// `GET /audit.csv`, newest first, with the filter of the page. It is sent while it is read: its length is not bounded
/// by memory.
pub(crate) async fn audit(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    let filter = filter(&query);
    let name = format!("holdfast-audit-{}.csv", rfc3339(ctx.now()).replace(':', ""));
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    let parts = unfold(Some((ctx, filter, None::<String>, HEAD.to_owned())), |state| async move {
        let (ctx, filter, cursor, mut text) = state?;
        let part = (filter.clone(), Page { limit: PART, cursor });
        // It has begun, and is not turned away in the middle.
        let found = ctx.answer(move |_, fleet_state| Ok(fleet_state.audit(&part.0, &part.1)?));
        let found = match found.await {
            Ok(found) => found,
            // What was sent so far stays; the connection ends in the middle, so that it does not pass for whole.
            Err(problem) => return Some((Err(std::io::Error::other(problem.message)), None)),
        };
        for entry in &found.items {
            write(&mut text, entry);
        }
        let next = found.next.map(|next| (ctx, filter, Some(next), String::new()));
        Some((Ok(Bytes::from(text)), next))
    });
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn write(text: &mut String, entry: &AuditEntry) {
    let (kind, target, id) = match &entry.target {
        AuditTarget::Server => ("server", String::new(), String::new()),
        AuditTarget::Host(id, name) => ("host", name.clone(), id.to_string()),
        AuditTarget::Job(host, id) => ("job", host.to_string(), id.to_string()),
        AuditTarget::Account(name) => ("account", name.clone(), String::new()),
        AuditTarget::Incident(id) => ("incident", id.to_string(), id.to_string()),
    };
    let words = action(entry.action, &entry.target);
    let fields = [
        rfc3339(entry.at).as_str(),
        entry.actor.kind(),
        entry.actor.name(),
        entry.action.code(),
        &words,
        kind,
        &target,
        &id,
        &entry.peer,
        &entry.detail,
    ]
    .map(field);
    text.push_str(&fields.join(","));
    text.push_str("\r\n");
}

/// A field as RFC 4180 has it. What a spreadsheet would take for a formula gets an apostrophe before it.
pub(crate) fn field(text: &str) -> String {
    let text = visible(text, Breaks::Kept);
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_and_is_never_a_formula() {
        for (text, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("two\nlines", "\"two\nlines\""),
            ("\u{202e}gpj", "\\u202egpj"),
            ("bell\u{7}", "bell\\u0007"),
        ] {
            assert_eq!(field(text), written);
        }
    }
}
