//! Making a kit for whoever asks at the control socket.

use crate::{command_error::Refusal, framing::put};
use fleet::{By, Fleet, KitChoice, record::Secret};
use std::io;
use tokio::io::AsyncWrite;
use web::KitFile;

/// A kit that was begun, and how many hosts are in it; or why not.
pub(crate) async fn begin(
    fleet: &Fleet,
    choice: KitChoice,
    passphrase: Secret,
    by: By,
) -> Result<(usize, KitFile), Refusal> {
    if let Some(why) = web::passphrase_objection(passphrase.expose()) {
        return Err(Refusal::new("passphrase", why));
    }
    let kit = fleet.make_kit(choice, by).await?;
    let (hosts, fleet) = (kit.hosts.len(), fleet.clone());
    let begun = tokio::task::spawn_blocking(move || KitFile::begin(fleet, kit, &passphrase));
    let file = begun.await.map_err(Refusal::fault)?.map_err(Refusal::fault)?;
    Ok((hosts, file))
}

/// Sends the file of a kit.
pub(crate) async fn send(mut file: KitFile, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    loop {
        let next = tokio::task::spawn_blocking(move || file.next_piece().map(|piece| (file, piece)));
        let (rest, piece) = next.await?.map_err(io::Error::other)?;
        file = rest;
        let Some(piece) = piece else { break };
        if !piece.is_empty() {
            put(&piece, to).await?;
        }
    }
    file.keep().await.map_err(io::Error::other)?;
    put(&[], to).await
}
