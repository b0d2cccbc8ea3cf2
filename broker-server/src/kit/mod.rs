//! The command `kit`: a break-glass kit by the command line, from a server that runs or from its data file.
//!
//! Whoever may read the data folder may make a kit: it holds the master key, so that nothing is given away that was not
//! theirs. A server that runs is asked at its control socket, and sends the file in pieces, encrypted already.

mod send;

pub(crate) use send::{begin, send};

use crate::{
    cli,
    command_error::CommandError,
    control::{self, Answer, Ask},
    data, framing, new_file, out,
    passphrase::{self, PassphraseRequest},
};
use anyhow::Context;
use fleet::{By, Draft, KitChoice, Pieces, record::Secret};
use std::{fs, io::Write};
use tokio::{io::BufReader, net::UnixStream};
use web::KitFile;

/// Makes a kit and writes it.
pub async fn run(options: cli::Kit) -> anyhow::Result<()> {
    let path = options.out.clone();
    // What can't be written is known before anything is said to be in a kit.
    let key_file = options.master_key_file.clone();
    let pieces = Pieces { key_file, ..Pieces::from(options.data_dir.as_path()) };
    let draft = new_file::begin(&path, options.force, &pieces)?;
    data::expect_server(&pieces)?;
    let passphrase = passphrase::new(&PassphraseRequest {
        of: "the kit",
        file: options.passphrase_file.as_deref(),
        generate: options.generate,
    })?;
    let choice = KitChoice { hosts: options.host.clone(), labels: options.label.clone() };
    let hosts = match control::open(&options.data_dir).await? {
        Some(stream) => ask(stream, choice, (passphrase, options.generate), &draft).await?,
        None => alone(&options, choice, passphrase, &draft).await?,
    };
    draft.publish().with_context(|| path.display().to_string())?;
    if options.json {
        let (path, bytes) = (path.display().to_string(), fs::metadata(&path).map(|facts| facts.len()).ok());
        return Ok(out::line(serde_json::json!({ "path": path, "bytes": bytes, "hosts": hosts }))?);
    }
    let what = if hosts == 1 { "host" } else { "hosts" };
    out::line(format_args!("{}: a kit of {hosts} {what}", path.display()))?;
    Ok(())
}

/// Asks the server that runs; returns how many hosts are in the kit.
async fn ask(
    stream: UnixStream,
    choice: KitChoice,
    (passphrase, is_drawn): (Secret, bool),
    draft: &Draft,
) -> anyhow::Result<usize> {
    let mut stream = BufReader::new(stream);
    let KitChoice { hosts, labels } = choice;
    let drawn = is_drawn.then(|| passphrase.clone());
    match control::put(&mut stream, &Ask::Kit { hosts, labels, passphrase }).await? {
        Answer::Kit { hosts } => {
            drawn.iter().try_for_each(passphrase::tell)?;
            framing::receive(&mut stream, |piece| { draft }.write_all(piece))
                .await
                .context("the kit is not whole")?;
            Ok(hosts)
        }
        Answer::Refused(why) => Err(why.into()),
        _ => Err(CommandError::OtherVersion.into()),
    }
}

/// Opens the data file of a server that does not run.
async fn alone(
    options: &cli::Kit,
    choice: KitChoice,
    passphrase: Secret,
    draft: &Draft,
) -> anyhow::Result<usize> {
    let fleet = data::open_for_admin(&options.data_dir, options.master_key_file.clone())?;
    let made = async {
        let kit = fleet.make_kit(choice, By::system()).await?;
        let hosts = kit.hosts.len();
        let mut file = KitFile::begin(fleet.clone(), kit, &passphrase)?;
        if options.generate {
            passphrase::tell(&passphrase)?;
        }
        while let Some(piece) = file.next_piece()? {
            { draft }.write_all(&piece)?;
        }
        file.keep().await?;
        Ok(hosts)
    };
    let made = made.await;
    fleet.shutdown().await;
    made
}
