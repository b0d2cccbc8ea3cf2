//! What keeps a heartbeat from being taken, in words.

/// Why an address did not take it. Nothing of the address is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Its file can't be read.
    #[error("the file with its address can't be read, or is too large")]
    File,
    /// It is none.
    #[error("its address can't be used: it begins with https:// or http://, without a user in it")]
    Address,
    /// There are no authorities to know it by.
    #[error(
        "no authorities are found to know its certificate by: install ca-certificates, or name a file by --heartbeat-ca"
    )]
    Authorities,
    /// There was no connection.
    #[error("there was no connection to it, or it broke")]
    Unreachable,
    /// Its certificate is not believed.
    #[error("its certificate is not believed")]
    Untrusted,
    /// It took too long.
    #[error("it did not answer in time")]
    TooSlow,
    /// It does not speak HTTP.
    #[error("it answers something else than HTTP")]
    NotHttp,
    /// It answered with this status.
    #[error("its answer is {0}")]
    Status(u16),
    /// It leads elsewhere.
    #[error("it leads elsewhere ({0}), and no redirect is followed")]
    Redirect(u16),
}
