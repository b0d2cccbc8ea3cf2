//! Why a command of the command line has failed: a sentence for people, and one JSON object for programs.
//!
//! Each command fails through here, so that the object has one shape: `{"error": {"code": …, "message": …}}`, as in the API.

use crate::{config::ConfigError, out, standby_fault::StandbyFault, tls::TlsError};
use fleet::{ArchiveError, NoArchive, OpenError, Refused, SalvageError, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
};

/// What no error of another part says.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The answer is not understood.
    #[error("the server that runs is of another version")]
    OtherVersion,
    /// Only a server that runs can do it; what to do.
    #[error("no server runs on {}: {what_to_do}", data_dir.display())]
    NoServer {
        /// The data folder.
        data_dir: PathBuf,
        /// What to do.
        what_to_do: &'static str,
    },
    /// There is no data file.
    #[error("{} holds no data of a Holdfast server", .0.display())]
    NoData(PathBuf),
    /// A passphrase is not fit, or was typed in two ways; why.
    #[error("{0}")]
    Passphrase(String),
    /// What is written is a file.
    #[error("a file is written, and not to the standard output: give a name")]
    StandardOutput,
    /// It would be written over a file of the server.
    #[error("{} is a file of the server itself, which is worth nothing without it: give another name", .0.display())]
    OwnFile(PathBuf),
    /// A file is there.
    #[error("{} is there already: give another name, or --force to replace it", .0.display())]
    FileIsThere(PathBuf),
    /// Where a server is to be restored, something is.
    #[error(
        "{0}. To look through an archive (--check) or to rehearse its restore (--rehearse), no folder is needed"
    )]
    NoRoom(ArchiveError),
    /// A rehearsal has found secrets that do not open.
    #[error("{0} secrets of hosts do not open with its master key")]
    SealedSecrets(u64),
    /// Somebody has ended it.
    #[error("it was ended by a signal; the folder of the rehearsal was removed")]
    Ended,
}

impl CommandError {
    fn code(&self) -> &'static str {
        match self {
            Self::OtherVersion => "other_version",
            Self::NoServer { .. } => "no_server",
            Self::NoData(_) => "no_data",
            Self::Passphrase(_) => "passphrase",
            Self::StandardOutput => "standard_output",
            Self::OwnFile(_) => "own_file",
            Self::FileIsThere(_) => "file_exists",
            Self::NoRoom(error) => error.code(),
            Self::SealedSecrets(_) => "sealed_secrets",
            Self::Ended => "ended",
        }
    }
}

/// Why a server that was asked did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// The reason as a word for programs.
    pub code: String,
    /// The reason in words.
    pub why: String,
}

impl Refusal {
    /// A word and a sentence.
    pub fn new(code: &str, why: impl Into<String>) -> Self {
        Self { code: code.to_owned(), why: why.into() }
    }

    /// What is no refusal, but a fault.
    #[expect(clippy::needless_pass_by_value, reason = "it is what an error is mapped with")]
    pub(crate) fn fault(why: impl ToString) -> Self {
        Self::new("failed", why.to_string())
    }

    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let told = object(error);
        Self::new(told["code"].as_str().unwrap_or_default(), format!("{error:#}"))
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::new(refused.code(), refused.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refused::from(error).into()
    }
}

impl From<NoArchive> for Refusal {
    fn from(why: NoArchive) -> Self {
        Self::new(why.code(), why.to_string())
    }
}

/// The word for one error of a chain; `None` = what lies below it says more.
fn word(error: &(dyn Error + 'static)) -> Option<String> {
    fn of<E: Error + 'static>(
        error: &(dyn Error + 'static),
        code: impl FnOnce(&E) -> String,
    ) -> Option<String> {
        error.downcast_ref::<E>().map(code)
    }
    of(error, |it: &CommandError| it.code().to_owned())
        .or_else(|| of(error, |it: &Refusal| it.code.clone()))
        .or_else(|| of(error, |it: &StandbyFault| it.code().to_owned()))
        .or_else(|| of(error, |it: &ArchiveError| it.code().to_owned()))
        .or_else(|| of(error, |it: &SalvageError| it.code().to_owned()))
        .or_else(|| of(error, |it: &OpenError| it.code().to_owned()))
        .or_else(|| of(error, |it: &NoArchive| it.code().to_owned()))
        .or_else(|| of(error, |it: &Refused| it.code().to_owned()))
        .or_else(|| of(error, |_: &ConfigError| "configuration".to_owned()))
        .or_else(|| of(error, |_: &TlsError| "certificate".to_owned()))
        .or_else(|| of(error, |_: &StoreError| "store".to_owned()))
        .or_else(|| of(error, |_: &io::Error| "io".to_owned()))
}

/// What failed, as an object: a word that stays, and the sentence.
#[must_use]
pub fn object(error: &anyhow::Error) -> Value {
    let code = error.chain().find_map(word).unwrap_or_else(|| "failed".to_owned());
    json!({ "code": code, "message": format!("{error:#}") })
}

/// Says what went wrong; when nobody can hear it, the exit status tells.
pub fn complain(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "holdfast-server: {error:#}");
}

/// The same, and where JSON was asked for also on the standard output, as its only object.
pub fn tell(error: &anyhow::Error, is_json: bool) {
    if is_json {
        let _ = out::line(json!({ "error": object(error) }));
    }
    complain(error);
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn what_failed_has_a_word_wherever_it_lies_in_the_chain() {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let of = |error: anyhow::Error| object(&error);
        for (error, code, words) in [
            (ArchiveError::WrongKey.into(), "wrong_key", "does not open"),
            (Err::<(), _>(ArchiveError::WrongKey).context("x.age").unwrap_err(), "wrong_key", "x.age: this"),
            (CommandError::NoRoom(ArchiveError::NotEmpty("/data".into())).into(), "not_empty", "--rehearse"),
            (Refusal::new("superseded", "it stands still").into(), "superseded", "it stands still"),
            (ArchiveError::Piece(OpenError::KeyWrong).into(), "master_key_wrong", "master key"),
            (SalvageError::Nothing("/data".into()).into(), "nothing_readable", "/data"),
            (ConfigError::NoDataDir.into(), "configuration", "--data-dir"),
            (Err::<(), _>(missing()).context("x.age").unwrap_err(), "io", "x.age"),
            (anyhow::anyhow!("something else"), "failed", "something else"),
        ] {
            let told = of(error);
            assert_eq!(told["code"], code, "{told}");
            assert!(told["message"].as_str().unwrap().contains(words), "{told}");
        }
    }
}
