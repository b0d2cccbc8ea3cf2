//! Long storms run a short form by default, and as a whole with `./test --soak`: the same code, with fewer rounds, seeds or
//! bytes.

use std::env;

/// `whole` with `./test --soak`, else `short`.
#[must_use]
pub fn or<T>(whole: T, short: T) -> T {
    if env::var_os("HOLDFAST_SOAK").is_some() { whole } else { short }
}

/// The same, unless an environment variable says how many.
///
/// # Panics
/// When it says something else.
#[must_use]
pub fn number(name: &str, whole: u64, short: u64) -> u64 {
    env::var(name).map_or_else(|_| or(whole, short), |text| text.parse().expect("a number"))
}
