//! Where the passphrase of a kit comes from.

use crate::{cli, out};
use anyhow::Context;
use fleet::record::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
};

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 4096;

/// A passphrase that may be taken: drawn, from a file, typed twice at the terminal, or the first line of standard input.
pub(super) fn read(options: &cli::Kit) -> anyhow::Result<Secret> {
    if options.generate {
        let passphrase = web::new_passphrase()?;
        // Shown first: a kit whose passphrase nobody has seen is of no use.
        out::line(format_args!("passphrase: {}", passphrase.expose()))?;
        return Ok(passphrase);
    }
    let passphrase = match &options.passphrase_file {
        Some(path) => {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            first_line(file).with_context(|| path.display().to_string())?
        }
        None if io::stdin().is_terminal() => typed_twice()?,
        None => first_line(io::stdin())?,
    };
    match web::passphrase_objection(passphrase.expose()) {
        Some(why) => anyhow::bail!("the passphrase can't be taken. {why}"),
        None => Ok(passphrase),
    }
}

fn first_line(from: impl Read) -> io::Result<Secret> {
    // Room from the start, so that no shorter piece of it is left behind in memory.
    let mut line = String::with_capacity(MAX_LINE_BYTES as usize);
    BufReader::with_capacity(1, from.take(MAX_LINE_BYTES)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(Secret::new(line))
}

fn typed_twice() -> anyhow::Result<Secret> {
    let passphrase = typed("Passphrase of the kit: ")?;
    if let Some(why) = web::passphrase_objection(passphrase.expose()) {
        anyhow::bail!("the passphrase can't be taken. {why}");
    }
    if typed("The passphrase again: ")? != passphrase {
        anyhow::bail!("the two passphrases are not the same");
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
