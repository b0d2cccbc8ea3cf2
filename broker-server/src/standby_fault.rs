//! Why a standby is not made the server, where no other error says it.

use std::path::PathBuf;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StandbyFault {
    /// It is something else.
    #[error("{} is no folder of a standby that has followed a server: serve --follow makes one", .0.display())]
    NoStandby(PathBuf),
    /// It has fetched nothing.
    #[error("this standby has no archive yet: there is nothing to make a server of")]
    NoArchive,
    /// Its archives went while they were read.
    #[error("the archives of this standby are gone")]
    ArchivesGone,
    /// None of its archives can be used; why each can't.
    #[error("no archive here can be used: {0}")]
    NoneUsable(String),
    /// Which server it has followed is not known.
    #[error(
        "{} does not say which server this standby has followed: it is damaged. Restore one of its archives instead \
         (holdfast-server restore), which says what that is of", .0.display()
    )]
    NoServer(PathBuf),
    /// Another one works in the folder.
    #[error("the standby over {}, or another promote, does not end: stop it, and run this again", .0.display())]
    DoesNotEnd(PathBuf),
}

impl StandbyFault {
    /// Its word for programs.
    #[must_use]
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoStandby(_) => "no_standby_folder",
            Self::NoArchive | Self::ArchivesGone => "no_archive",
            Self::NoneUsable(_) => "no_usable_archive",
            Self::NoServer(_) => "server_unknown",
            Self::DoesNotEnd(_) => "standby_does_not_end",
        }
    }
}
