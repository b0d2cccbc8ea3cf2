//! A report as mail: all its tables, as text and as HTML that a phone shows without scrolling to the side.

use super::html::{END, begin};
use crate::template::escaped;
use crate::visible::{Breaks, visible};
use crate::words::{PeriodPart, PeriodWords};
use std::fmt::Write as _;

fn parts(words: &PeriodWords) -> impl Iterator<Item = &PeriodPart> {
    std::iter::once(&words.need).filter(|part| !part.lines.is_empty()).chain(&words.parts)
}

/// As plain text; `url` is where the whole report is.
pub(super) fn text(words: &PeriodWords, url: &str) -> String {
    let mut out = format!("{}\n{}\n\n", words.title, words.span);
    for sentence in &words.sentences {
        let _ = writeln!(out, "{sentence}");
    }
    for part in parts(words) {
        let _ = writeln!(out, "\n{}", part.title);
        for line in &part.lines {
            let _ = writeln!(out, "  {}: {}", line.what, line.value);
            if !line.more.is_empty() {
                let _ = writeln!(out, "    {}", line.more);
            }
        }
        if !part.left_out.is_empty() {
            let _ = writeln!(out, "  {}", part.left_out);
        }
    }
    let _ = writeln!(out, "\nThe report with all hosts: {url}");
    visible(&out, Breaks::Kept).into_owned()
}

/// The same as HTML. Colours are those of the mail program, but for lines that part the rows.
pub(super) fn html(words: &PeriodWords, subject: &str, url: &str) -> String {
    let mut out = begin(subject);
    let _ = write!(
        out,
        "<p style=\"margin:0;font-size:14px\">{}</p><h1 style=\"margin:4px 0 12px;font-size:20px;line-height:1.3\">{}</h1>",
        escaped(&words.span),
        escaped(&words.title)
    );
    for sentence in &words.sentences {
        let _ = write!(out, "<p style=\"margin:4px 0\">{}</p>", escaped(sentence));
    }
    for part in parts(words) {
        let _ = write!(
            out,
            "<h2 style=\"margin:20px 0 4px;font-size:16px\">{}</h2><table style=\"width:100%;border-collapse:collapse\">",
            escaped(part.title)
        );
        for line in &part.lines {
            let more = match line.more.is_empty() {
                true => String::new(),
                false => format!("<br><span style=\"font-size:14px\">{}</span>", escaped(&line.more)),
            };
            let _ = write!(
                out,
                "<tr><td style=\"padding:4px 8px 4px 0;border-top:1px solid #94a3b8;vertical-align:top\">{}{more}</td>\
                 <td style=\"padding:4px 0;border-top:1px solid #94a3b8;vertical-align:top;text-align:right;white-space:nowrap\">{}</td></tr>",
                escaped(&line.what),
                escaped(&line.value)
            );
        }
        out += "</table>";
        if !part.left_out.is_empty() {
            let _ = write!(out, "<p style=\"margin:4px 0;font-size:14px\">{}</p>", escaped(&part.left_out));
        }
    }
    let _ = write!(
        out,
        "<p style=\"margin:20px 0 0\"><a href=\"{}\">The report with all hosts</a></p>",
        escaped(url)
    );
    out += END;
    out
}
