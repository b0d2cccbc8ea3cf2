//! Where a passphrase comes from that a command needs.

use crate::{command_error::CommandError, out};
use anyhow::Context;
use fleet::record::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    path::Path,
};

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 4096;

/// What a passphrase is for, and where it is to come from.
pub(crate) struct PassphraseRequest<'a> {
    /// What it opens, as in "Passphrase of the kit".
    pub(crate) of: &'a str,
    /// The file whose first line it is.
    pub(crate) file: Option<&'a Path>,
    /// Whether to draw one; the caller tells it, see [`tell`].
    pub(crate) generate: bool,
}

/// A passphrase that may be taken for something new: drawn, from a file, typed twice at the terminal, or the first line
/// of standard input.
pub(crate) fn new(wanted: &PassphraseRequest<'_>) -> anyhow::Result<Secret> {
    if wanted.generate {
        return Ok(web::new_passphrase()?);
    }
    let passphrase = match wanted.file {
        None if io::stdin().is_terminal() => typed_twice(wanted.of)?,
        file => read(file)?,
    };
    match web::passphrase_objection(passphrase.expose()) {
        Some(why) => Err(unfit(&why)),
        None => Ok(passphrase),
    }
}

/// Tells a passphrase that was drawn: once it is known that what it opens will be made, and before that is there, for what
/// nobody can open is of no use.
pub(crate) fn tell(drawn: &Secret) -> io::Result<()> {
    out::line(format_args!("passphrase: {}", drawn.expose()))
}

/// The passphrase of something that is there: from a file, typed at the terminal, or the first line of standard input.
pub(crate) fn known(of: &str, file: Option<&Path>) -> anyhow::Result<Secret> {
    match file {
        None if io::stdin().is_terminal() => Ok(typed(&format!("Passphrase of {of}: "))?),
        file => read(file),
    }
}

fn read(file: Option<&Path>) -> anyhow::Result<Secret> {
    let Some(path) = file else { return Ok(first_line(io::stdin())?) };
    let opened = File::open(path).with_context(|| path.display().to_string())?;
    first_line(opened).with_context(|| path.display().to_string())
}

fn first_line(from: impl Read) -> io::Result<Secret> {
    // Room from the start, so that no shorter piece of it is left behind in memory.
    let mut line = String::with_capacity(MAX_LINE_BYTES as usize);
    BufReader::with_capacity(1, from.take(MAX_LINE_BYTES)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(Secret::new(line))
}

fn unfit(why: &str) -> anyhow::Error {
    CommandError::Passphrase(format!("the passphrase can't be taken. {why}")).into()
}

fn typed_twice(of: &str) -> anyhow::Result<Secret> {
    let passphrase = typed(&format!("Passphrase of {of}: "))?;
    if let Some(why) = web::passphrase_objection(passphrase.expose()) {
        return Err(unfit(&why));
    }
    if typed("The passphrase again: ")? != passphrase {
        return Err(CommandError::Passphrase("the two passphrases are not the same".to_owned()).into());
    }
    Ok(passphrase)
}

/// Reads a line from the terminal that does not show it.
fn typed(prompt: &str) -> anyhow::Result<Secret> {
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let shown = tcgetattr(io::stdin())?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
    let line = first_line(io::stdin());
    tcsetattr(io::stdin(), OptionalActions::Flush, &shown)?;
    writeln!(stderr)?;
    Ok(line?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_without_its_end_and_no_more_than_it() {
        for (text, line) in
            [("one\ntwo\n", "one"), ("one", "one"), ("one\r\n", "one"), (" a b \n", " a b "), ("", "")]
        {
            assert_eq!(first_line(text.as_bytes()).unwrap().expose(), line);
        }
        let mut rest: &[u8] = b"one\ntwo\n";
        first_line(&mut rest).unwrap();
        assert_eq!(rest, b"two\n");
    }
}
