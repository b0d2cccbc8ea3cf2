//! The command `backup`.
//!
//! Whoever may read the data folder may make an archive: it holds nothing else. A server that runs is asked at its control
//! socket, and sends the file in pieces, encrypted already.

use super::parts;
use crate::{
    cli, clock,
    command_error::CommandError,
    config::{Config, Source},
    control::{self, Answer, Ask},
    data, framing, new_file, out,
    passphrase::{self, PassphraseRequest},
};
use anyhow::Context;
use fleet::{
    ArchiveKey, ArchiveOpener, Beside, Contents, Draft, DrawnIdentity, archive_name, check_recipient,
    look_through,
};
use schema::Timestamp;
use std::{
    fs,
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Makes an archive, looks through it, and says where it is.
pub async fn run(config: &Config, options: &cli::Backup) -> anyhow::Result<()> {
    let Some(to) = &options.to else { return keep(config, options.json).await };
    // What can't be written is known before a passphrase is drawn.
    if !to.is_dir() {
        drop(new_file::begin(to, options.force, &data::pieces(config))?);
    }
    data::expect_server(&data::pieces(config))?;
    for name in fleet::remove_left_drafts(to, clock::now())? {
        // When nobody can hear it, it is gone all the same.
        let _ = writeln!(io::stderr(), "removed {name}: the draft of an archive that was broken off");
    }
    let (key, opener) = key_of(options)?;
    let reads_back = match &opener {
        ArchiveOpener::Drawn(drawn) => Some(drawn.recipient()),
        _ => None,
    };
    let tell = || match &opener {
        ArchiveOpener::Passphrase(drawn) if options.generate && !options.json => passphrase::tell(drawn),
        _ => Ok(()),
    };
    let (path, draft) = match control::open(&config.data_dir.value).await? {
        Some(stream) => {
            let mut stream = tokio::io::BufReader::new(stream);
            let (recipients, passphrase) = match key {
                ArchiveKey::Passphrase(passphrase) => (Vec::new(), Some(passphrase)),
                ArchiveKey::Recipients(_) => (options.recipient.clone(), None),
            };
            let ask = Ask::Archive { recipients, reads_back, passphrase };
            let at = match control::put(&mut stream, &ask).await? {
                Answer::Archive { made_at_ms } => Timestamp(made_at_ms),
                Answer::Refused(why) => return Err(why.into()),
                _ => return Err(CommandError::OtherVersion.into()),
            };
            let path = path_of(to, at);
            let draft = new_file::begin(&path, options.force, &data::pieces(config))?;
            tell()?;
            framing::receive(&mut stream, |piece| (&draft).write_all(piece))
                .await
                .context("the archive is not whole: see the server's log")?;
            (path, draft)
        }
        None => {
            let pieces = data::pieces(config);
            let fleet = data::open_for_admin(&pieces.data_dir, pieces.key_file.clone())?;
            let written = alone(config, options, to, &key, &fleet);
            fleet.shutdown().await;
            let written = written?;
            tell()?;
            written
        }
    };
    let found = check(&draft, &opener)?;
    draft.publish().with_context(|| path.display().to_string())?;
    if options.json {
        let mut told = super::restore::of_contents(&found);
        told["path"] = path.display().to_string().into();
        told["bytes"] = fs::metadata(&path).map(|facts| facts.len()).ok().into();
        if let (true, ArchiveOpener::Passphrase(drawn)) = (options.generate, &opener) {
            told["passphrase"] = drawn.expose().into();
        }
        return Ok(out::line(told)?);
    }
    Ok(out::line(super::restore::in_words(&path, &found))?)
}

/// Opens the data file of a server that does not run.
fn alone(
    config: &Config,
    options: &cli::Backup,
    to: &Path,
    key: &ArchiveKey,
    fleet: &fleet::Fleet,
) -> anyhow::Result<(PathBuf, Draft)> {
    let authority = parts::authority_on_disk(config).map_err(anyhow::Error::msg)?;
    let Beside { parts, lacks } = parts::beside(&with_addresses(config, fleet)?, authority);
    let archiving = fleet.begin_archive(parts, env!("CARGO_PKG_VERSION"))?.lacking(lacks);
    let path = path_of(to, archiving.made_at());
    let draft = new_file::begin(&path, options.force, &data::pieces(config))?;
    archiving.write(key, BufWriter::with_capacity(1 << 20, &draft))?;
    Ok((path, draft))
}

/// The settings, with what agents have been given as addresses where the settings do not say it: this machine's own name,
/// which a server that starts would take, was perhaps never theirs.
fn with_addresses(config: &Config, fleet: &fleet::Fleet) -> anyhow::Result<Config> {
    let mut config = config.clone();
    if config.mqtt_public.source == Source::Default {
        let given = fleet.read()?.addresses()?;
        let staying = given.into_iter().filter(|it| it.given.retiring_since.is_none());
        config.mqtt_public.value = staying.map(|it| it.given.address).collect();
    }
    Ok(config)
}

/// The server that runs makes one as each night.
async fn keep(config: &Config, json: bool) -> anyhow::Result<()> {
    match control::ask(&config.data_dir.value, &Ask::KeepArchive).await? {
        Some(Answer::KeptArchive { path, bytes }) if json => {
            Ok(out::line(serde_json::json!({ "path": path, "bytes": bytes }))?)
        }
        Some(Answer::KeptArchive { path, bytes }) => Ok(out::line(format_args!("{path}: {bytes} bytes"))?),
        Some(Answer::Refused(why)) => Err(why.into()),
        Some(_) => Err(CommandError::OtherVersion.into()),
        None => {
            let data_dir = config.data_dir.value.clone();
            Err(CommandError::NoServer { data_dir, what_to_do: "say with --to where to write it" }.into())
        }
    }
}

/// For whom it is to be encrypted, and what opens it here: of recipients' identities none is known, so that one more is
/// drawn for this.
fn key_of(options: &cli::Backup) -> anyhow::Result<(ArchiveKey, ArchiveOpener)> {
    if options.recipient.is_empty() {
        let passphrase = passphrase::new(&PassphraseRequest {
            of: "the archive",
            file: options.passphrase_file.as_deref(),
            generate: options.generate,
        })?;
        return Ok((ArchiveKey::Passphrase(passphrase.clone()), ArchiveOpener::Passphrase(passphrase)));
    }
    options.recipient.iter().try_for_each(|recipient| check_recipient(recipient))?;
    let drawn = DrawnIdentity::draw();
    let recipients = options.recipient.iter().cloned().chain([drawn.recipient()]).collect();
    Ok((ArchiveKey::Recipients(recipients), ArchiveOpener::Drawn(drawn)))
}

/// In a folder it gets a name of its own.
fn path_of(to: &Path, at: Timestamp) -> PathBuf {
    if to.is_dir() { to.join(archive_name(at)) } else { to.to_owned() }
}

fn check(draft: &Draft, opener: &ArchiveOpener) -> anyhow::Result<Contents> {
    let written = BufReader::with_capacity(1 << 20, draft.read_again()?);
    look_through(written, opener).context("the archive could not be read back, and was removed")
}
