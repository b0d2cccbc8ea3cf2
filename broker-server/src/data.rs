//! The server's data as the settings name it: its pieces, opening it, and looking through it without serving.

use crate::{
    certificates::{options_for_agents, options_for_pages},
    clock,
    command_error::CommandError,
    config::Config,
    control::{self, Answer, Ask},
    tls::{Options, Tls},
};
use anyhow::Context;
use fleet::{AgingLimits, Authority, Driver, Fleet, Pieces, Stand};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a look through everything has found.
#[derive(Clone, Debug)]
pub enum Checked {
    /// There is no data yet; the first start makes it.
    New,
    /// A first start has begun and did not end; the next one goes on with it.
    Begun,
    /// Nothing is wrong; what was looked through.
    Well(fleet::Checked),
}

/// Looks through everything without serving, and changes nothing.
pub fn check(config: &Config) -> anyhow::Result<Checked> {
    let pieces = pieces(config);
    let stand = pieces.look().context("data folder")?;
    let authorities = Tls::check(&options_for_agents(config, stand)).context("certificate")?;
    if let Some(pages) = options_for_pages(config) {
        Tls::check(&pages).context("certificate of the pages")?;
    }
    if let Some(handed_over) = &pieces.key_file {
        fleet::check_key_file(handed_over)?;
    }
    if stand == Stand::New {
        return Ok(if pieces.has_begun()? { Checked::Begun } else { Checked::New });
    }
    Ok(Checked::Well(Fleet::check(&pieces, authorities.as_deref())?))
}

/// Opens the data of a server that does not run.
pub fn open_for_admin(data_dir: &Path, key_file: Option<PathBuf>) -> anyhow::Result<Fleet> {
    let pieces = Pieces { key_file, ..Pieces::from(data_dir) };
    expect(&pieces)?;
    open_fleet(pieces, Vec::new(), Vec::new(), AgingLimits::default())
}

/// What became of a person's word that another authority is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The next start takes the authority that it finds, or makes one.
    Taken,
    /// It was given before, and counts for the next start.
    Given,
    /// The authority that is there is the one that agents trust: nothing was done.
    NotNeeded,
}

impl Word {
    /// It as a word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Taken => "accepted",
            Self::Given => "accepted_before",
            Self::NotNeeded => "not_needed",
        }
    }
}

/// Takes a person's word that the next start may come with another authority, where it is needed.
pub async fn accept_authority(data_dir: &Path) -> anyhow::Result<Word> {
    let pieces = Pieces::from(data_dir);
    if is_trusted(&pieces).await? {
        // One of before would let the next start take any other.
        pieces.take_back_authority()?;
        return Ok(Word::NotNeeded);
    }
    if pieces.accepts_authority()? {
        return Ok(Word::Given);
    }
    pieces.accept_authority()?;
    Ok(Word::Taken)
}

/// Whether agents trust the authority that is there. Where that can't be told, they do not.
async fn is_trusted(pieces: &Pieces) -> anyhow::Result<bool> {
    if let Some(answer) = control::ask(&pieces.data_dir, &Ask::CheckPieces).await? {
        return Ok(matches!(answer, Answer::Pieces { locked_out: 0 }));
    }
    let options = Options {
        folder: pieces.data_dir.join(fleet::AUTHORITY_FOLDER),
        is_new: false,
        is_accepted: false,
        names: Vec::new(),
        operator: None,
        is_for_pages: false,
    };
    let found = Tls::check(&options).ok().flatten();
    Ok(found.is_some_and(|found| Fleet::trusts(pieces, &found).unwrap_or(false)))
}

/// Whether a server is there to be asked or opened, or why not: before anything is asked of a person for it.
pub fn expect_server(pieces: &Pieces) -> anyhow::Result<()> {
    // One that runs may have lost any of them, and has them still.
    if control::is_answered(&pieces.data_dir) { Ok(()) } else { expect(pieces) }
}

fn expect(pieces: &Pieces) -> anyhow::Result<()> {
    let named = || pieces.data_dir.display();
    pieces.look().with_context(|| format!("data folder {}", named()))?;
    if pieces.data_file().exists() {
        Ok(())
    } else {
        Err(CommandError::NoData(pieces.data_dir.clone()).into())
    }
}

/// The pieces that belong to a server with these settings.
pub(crate) fn pieces(config: &Config) -> Pieces {
    Pieces {
        data_dir: config.data_dir.value.clone(),
        key_file: config.master_key_file.value.clone(),
        authority: Authority::Own,
    }
}

pub(crate) fn open_fleet(
    pieces: Pieces,
    mqtt_addresses: Vec<String>,
    authorities: Vec<Vec<u8>>,
    keep: AgingLimits,
) -> anyhow::Result<Fleet> {
    let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
    let settings = fleet::Settings { mqtt_addresses, authorities, timezone: clock::zone(), keep };
    let data_dir = pieces.data_dir.clone();
    Fleet::open(pieces, settings, driver).with_context(|| format!("data folder {}", data_dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layer, Layers};

    #[test]
    fn a_look_at_a_folder_without_data_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("mistyped");
        let flags = Layer { data_dir: Some(data_dir.clone()), ..Layer::default() };
        let config = Layers { flags, ..Layers::default() }.resolve().unwrap();
        assert!(matches!(check(&config).unwrap(), Checked::New));
        assert!(open_for_admin(&data_dir, None).is_err());
        assert!(!data_dir.exists());
    }
}
