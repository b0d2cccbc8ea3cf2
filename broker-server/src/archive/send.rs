//! An archive for whoever asks at the control socket.

use crate::{command_error::Refusal, framing::put};
use fleet::{ArchiveKey, Archives, Archiving, record::Secret};
use schema::Timestamp;
use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};
use tokio::{io::AsyncWrite, sync::mpsc};

/// Bytes that are sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// So many pieces wait to be sent.
const PIECES_WAITING: usize = 8;

/// An archive that is about to be sent.
pub(crate) struct Sending {
    archiving: Archiving,
    key: ArchiveKey,
}

impl Sending {
    /// Takes the instant whose state it is to hold.
    pub(crate) async fn begin(
        archives: &Arc<Archives>,
        recipients: Vec<String>,
        passphrase: Option<Secret>,
    ) -> Result<Self, Refusal> {
        let key = match passphrase {
            Some(passphrase) => match web::passphrase_objection(passphrase.expose()) {
                Some(why) => return Err(Refusal::new("passphrase", why)),
                None => ArchiveKey::Passphrase(passphrase),
            },
            None => ArchiveKey::Recipients(recipients),
        };
        let archives = Arc::clone(archives);
        let begun = tokio::task::spawn_blocking(move || archives.begin());
        let archiving = begun.await.map_err(Refusal::fault)??;
        Ok(Self { archiving, key })
    }

    pub(crate) fn made_at(&self) -> Timestamp {
        self.archiving.made_at()
    }

    /// Sends it. When it can't be made whole, the end is not sent.
    pub(crate) async fn send(self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let (pieces, mut waiting) = mpsc::channel(PIECES_WAITING);
        let Self { archiving, key } = self;
        let written = tokio::task::spawn_blocking(move || {
            archiving.write(&key, BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces)))
        });
        while let Some(piece) = waiting.recv().await {
            put(&piece, to).await?;
        }
        match written.await? {
            Ok(_) => put(&[], to).await,
            Err(why) => {
                tracing::error!(%why, "an archive of the server could not be written to its end");
                Err(io::Error::other(why))
            }
        }
    }
}

/// Gives what is written to whoever sends it.
struct Pieces(mpsc::Sender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
