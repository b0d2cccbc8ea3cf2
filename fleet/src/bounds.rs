//! How much is taken of what a peer says.

/// No repository is larger than this (1 EiB): who says so is not believed.
pub(crate) const MOST_BYTES: u64 = 1 << 60;

/// So many downloads at once: each holds up to 2 MiB of memory and a thread.
pub(crate) const MOST_DOWNLOADS: usize = 4;

/// What a machine says of itself, in bounded length and without control characters.
pub(crate) fn clip(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(120).collect()
}
