//! Versions of programs, compared.

/// Whether a version comes before another one: by the numbers between its dots, up to a `-` or `+`; what is no number
/// counts as 0, as does what is missing.
#[must_use]
pub fn is_older(version: &str, than: &str) -> bool {
    let (mut version, mut than) = (numbers(version), numbers(than));
    loop {
        match (version.next(), than.next()) {
            (None, None) => return false,
            (a, b) if a.unwrap_or(0) == b.unwrap_or(0) => {}
            (a, b) => return a.unwrap_or(0) < b.unwrap_or(0),
        }
    }
}

fn numbers(version: &str) -> impl Iterator<Item = u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|part| part.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, than, older) in [
            ("0.9.0", "0.10.0", true),
            ("0.10.0", "0.9.0", false),
            ("0.1.0", "0.1.0", false),
            ("0.1.0-rc.1", "0.1.0", false),
            ("1", "1.0.1", true),
            ("1.0", "1", false),
            ("", "0.1.0", true),
        ] {
            assert_eq!(is_older(version, than), older, "{version} {than}");
        }
    }
}
