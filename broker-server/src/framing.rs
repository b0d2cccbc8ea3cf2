//! A file at the control socket: pieces, each with its length before it, and one without bytes as the end, so that one
//! that was cut off does not pass for whole.

use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long a piece may take to pass.
const PIECE_WITHIN: Duration = Duration::from_secs(60);
/// The longest piece, in bytes: more than a few hosts of a kit can make.
const MAX_PIECE_BYTES: u32 = 64 << 20;

/// Sends a piece; one without bytes is the end.
pub(crate) async fn put(piece: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let length = u32::try_from(piece.len()).map_err(io::Error::other)?;
    let write = async {
        to.write_all(&length.to_be_bytes()).await?;
        to.write_all(piece).await?;
        to.flush().await
    };
    tokio::time::timeout(PIECE_WITHIN, write).await?
}

/// Takes the pieces until their end.
pub(crate) async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        let length = from.read_u32().await?;
        if length == 0 {
            return Ok(());
        }
        if length > MAX_PIECE_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut piece = vec![0; length as usize];
        from.read_exact(&mut piece).await?;
        take(&piece)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_pass_whole_and_a_cut_is_seen() {
        let mut sent = Vec::new();
        put(b"one", &mut sent).await.unwrap();
        put(b"two", &mut sent).await.unwrap();
        let cut = sent.clone();
        put(&[], &mut sent).await.unwrap();
        let mut got = Vec::new();
        let mut take = |piece: &[u8]| {
            got.extend_from_slice(piece);
            Ok(())
        };
        receive(&mut sent.as_slice(), &mut take).await.unwrap();
        assert_eq!(got, b"onetwo");
        for length in 0..=cut.len() {
            assert!(receive(&mut &cut[..length], |_| Ok(())).await.is_err(), "cut at {length}");
        }
        assert!(receive(&mut &u32::MAX.to_be_bytes()[..], |_| Ok(())).await.is_err());
    }
}
