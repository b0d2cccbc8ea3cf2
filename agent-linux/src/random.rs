//! The only place where the agent draws random bytes. All of it comes from the system; an error says that it has none.

use getrandom::Error;

/// Fills `buffer` with random bytes of the system; an error when there are none to be had.
#[expect(clippy::disallowed_methods, reason = "this is the driver's random source")]
pub fn fill(buffer: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(buffer)
}

/// A random number.
#[expect(clippy::disallowed_methods, reason = "this is the driver's random source")]
pub fn u64() -> Result<u64, Error> {
    getrandom::u64()
}
