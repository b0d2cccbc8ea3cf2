//! The file of a kit: age with a passphrase, written piece by piece, so that it is never whole in memory.

use age::secrecy::SecretString;
use age::stream::StreamWriter;
use fleet::record::Secret;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// scrypt's cost, as its logarithm: 128 MiB of memory and about half a second, to write it and for each guess. It is what
/// OWASP asks for at least; `age` itself takes twice as much where it can, which a small server has not got.
const LOG_N: u8 = 17;

/// Takes text, gives the bytes of the file.
pub(super) struct Sealed {
    writer: StreamWriter<Shared>,
    written: Shared,
}

/// What is written and was not taken yet.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sealed {
    /// Begins a file. Slow and large on purpose, see [`LOG_N`].
    pub(super) fn begin(passphrase: &Secret) -> io::Result<Self> {
        let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.expose().to_owned()));
        recipient.set_work_factor(LOG_N);
        let recipients = [&recipient as &dyn age::Recipient];
        let encryptor = age::Encryptor::with_recipients(recipients.into_iter()).map_err(io::Error::other)?;
        let written = Shared::default();
        Ok(Self { writer: encryptor.wrap_output(written.clone())?, written })
    }

    /// Adds text; what of the file is ready.
    pub(super) fn add(&mut self, text: &str) -> io::Result<Vec<u8>> {
        self.writer.write_all(text.as_bytes())?;
        Ok(self.written.take())
    }

    /// The end of the file: without it, no program takes it for whole.
    pub(super) fn end(self) -> io::Result<Vec<u8>> {
        self.writer.finish()?;
        Ok(self.written.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_file_opens_with_its_passphrase_alone_and_not_when_it_is_cut() {
        let mut sealed = Sealed::begin(&Secret::new("a few words in a row")).unwrap();
        let text = "a line\n".repeat(40_000);
        let mut file = sealed.add(&text).unwrap();
        assert!(file.len() > 200_000, "what is ready is given");
        let before_the_end = file.len();
        file.extend(sealed.end().unwrap());
        let open = |file: &[u8], passphrase: &str| -> io::Result<String> {
            let identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
            let decryptor = age::Decryptor::new(file).map_err(io::Error::other)?;
            let identities = [&identity as &dyn age::Identity];
            let mut plain = String::new();
            decryptor
                .decrypt(identities.into_iter())
                .map_err(io::Error::other)?
                .read_to_string(&mut plain)?;
            Ok(plain)
        };
        assert_eq!(open(&file, "a few words in a row").unwrap(), text);
        assert!(open(&file, "a few words in a Row").is_err());
        assert!(open(&file[..before_the_end], "a few words in a row").is_err());
        assert!(!file.windows(6).any(|part| part == b"a line"));
    }
}
