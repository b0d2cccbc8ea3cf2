//! The parts of an address.

/// What follows `http://` or `https://`.
pub(super) fn behind_http(rest: &str) -> Option<&str> {
    rest.strip_prefix("http://").or_else(|| rest.strip_prefix("https://"))
}

/// Machine and port, with the login before them.
pub(super) fn authority_of(behind_scheme: &str) -> &str {
    behind_scheme.split(['/', '?', '#']).next().unwrap_or_default()
}
