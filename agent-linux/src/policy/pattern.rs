//! An address, or the beginning of addresses, as the policy file names it.

use schema::location::Location;

/// An address, or the beginning of addresses: `rest:https://nas:8000/attic/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Of one with a star: what stands before it, and the `/` or `:` before that.
    start: Option<String>,
}

impl Pattern {
    /// A star stands at the end only, behind a `/` or a `:`; so that `nas/*` is not also `nas.example.org/…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let start = text.strip_suffix('*');
        let address = start.unwrap_or(text);
        let is_cut_well = start.is_none_or(|start| start.ends_with(['/', ':']));
        // What stands before the star may be no address by itself, as `s3:` and `/` are none.
        let whole = match start {
            Some(start) if start.ends_with(':') => format!("{start}x:/x"),
            Some(start) => format!("{start}x"),
            None => address.to_owned(),
        };
        if !is_cut_well || address.contains('*') || leads_elsewhere(address) || !is_address(&whole) {
            return Err(format!(
                "{text:?} is neither the address of a repository nor its beginning with /* behind it"
            ));
        }
        Ok(Self { text: text.to_owned(), start: start.map(str::to_owned) })
    }

    /// Whether an address is the one, or begins like it.
    pub(super) fn allows(&self, url: &str) -> bool {
        let url = url.strip_prefix("local:").unwrap_or(url);
        let text = self.text.strip_prefix("local:").unwrap_or(&self.text);
        match &self.start {
            None => url.trim_end_matches('/') == text.trim_end_matches('/'),
            Some(start) => {
                let start = start.strip_prefix("local:").unwrap_or(start);
                url.starts_with(start) || start.strip_suffix('/') == Some(url)
            }
        }
    }
}

/// Whether it can be an address at all: of a store that takes its path apart from `scheme:` too.
fn is_address(text: &str) -> bool {
    Location::parse(text).is_ok()
        || text.split_once(':').is_some_and(|(scheme, rest)| {
            matches!(scheme, "s3" | "b2" | "azure" | "gs" | "swift" | "rclone" | "sftp") && !rest.is_empty()
        })
}

/// Whether the path in an address has steps upwards, or could have some once it is decoded.
pub(super) fn leads_elsewhere(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    ["%2e", "%2f", "%5c", "\\"].iter().any(|sign| lower.contains(sign))
        || url.split(['/', ':']).any(|part| matches!(part, ".." | "."))
}

/// Patterns as a list for a sentence.
pub(super) fn in_words(patterns: &[Pattern]) -> String {
    patterns.iter().map(|pattern| pattern.text.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_ends_where_an_address_can_be_cut() {
        for text in [
            "/mnt/usb",
            "/mnt/*",
            "/*",
            "rest:https://nas/*",
            "sftp:me@nas:*",
            "sftp:me@nas:/repo",
            "s3:*",
            "rclone:box:*",
        ] {
            assert!(Pattern::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "usb",
            "rest:https://nas*",
            "rest:https://*/x",
            "/mnt/u*b",
            "/mnt/../x",
            "what:x",
            "/mnt/usb*",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
