//! What all mails as HTML have in common.

use crate::template::escaped;

/// The begin of a mail as HTML, up to what it says.
pub(super) fn begin(subject: &str) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>",
    );
    out += &escaped(subject);
    out += "</title></head><body style=\"margin:0;padding:16px;font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere\">\
            <div style=\"max-width:40em;margin:0 auto\">";
    out
}

/// What follows.
pub(super) const END: &str = "</div></body></html>\n";
