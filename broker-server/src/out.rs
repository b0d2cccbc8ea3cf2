//! What the program says on standard output.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

/// Prints a text as it is. Who reads may go when they have seen enough, such as `head`: that is no error.
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Prints a line; see [`print()`].
pub fn line(text: impl fmt::Display) -> io::Result<()> {
    print(format_args!("{text}\n"))
}
