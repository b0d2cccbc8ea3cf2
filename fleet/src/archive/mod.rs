//! Archives of the server: all that it is, as of one instant, in one encrypted file.
//!
//! # What is in one
//!
//! A tar file, encrypted by `age` for whoever is to open it. In this order:
//!
//! ```text
//! about.json             what it is of: see About
//! master.key             the key of the secrets in the data file
//! tls/ca.pem, tls/ca.key the authority that agents trust, when it is the server's own
//! brought/….pem          the certificate and key of an operator, when they serve instead
//! settings.toml          the settings that were in force
//! rows/TABLE/N           rows of the data file, see the module `block`
//! end.json               how many rows of each table there are
//! ```
//!
//! Rows are read from one read transaction, so that they are of one instant, however long it takes, and nobody who
//! writes has to wait. They are not pages of the data file: an archive does not carry damage of a page on, and is as
//! long as what it holds.
//!
//! # When it counts
//!
//! It is written beside its name, read back and opened, each row decoded, and only then gets its name. To be able to
//! open what is encrypted for somebody else, an identity is drawn for each archive and forgotten ([`DrawnIdentity`]).

mod about;
mod block;
mod error;
mod folder;
mod keeper;
mod key;
mod new_folder;
pub(crate) mod own_key;
mod read;
mod rehearse;
mod restore;
#[cfg(test)]
mod tests;
mod write;

pub use about::About;
pub use error::{ARCHIVE_PARTS, ArchiveError};
pub use folder::{ArchiveFolder, Kept, MadeAside, archive_name, remove_left_drafts};
pub use keeper::{ArchiveState, ArchiveStatus, Archives, NoArchive, Parts};
pub use key::{
    ArchiveKey, ArchiveOpener, DrawnIdentity, check_recipient, is_drawn, new_identity, recipient_of,
};
pub(crate) use new_folder::NewFolder;
pub use own_key::ArchiveKeyFacts;
pub use read::{Contents, look_through};
pub use rehearse::{Holds, Rehearsal, Scratch, rehearse};
pub use restore::{
    GoodArchive, Promotion, RestoreAs, Restored, check as check_archive, may_restore_into, promote, restore,
    restore_as,
};
pub use write::{ArchivePart, Archiving, Beside};
