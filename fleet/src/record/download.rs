use serde::{Deserialize, Serialize};

/// As what something is downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownloadForm {
    /// A file as it is.
    Raw,
    /// A folder as a tar archive, compressed.
    TarGz,
    /// A folder as a zip archive.
    Zip,
}

impl DownloadForm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Raw, Self::TarGz, Self::Zip];

    /// The stable word for it in the API and in addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        }
    }

    /// The form of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == word)
    }

    /// What is downloaded, in a line: the path, of which snapshot, and as what.
    #[must_use]
    pub fn of(self, snapshot: &str, path: &str) -> String {
        format!("{path} of {} as {}", snapshot.get(..8).unwrap_or(snapshot), self.as_str())
    }

    /// Whether it is for folders.
    #[must_use]
    pub const fn is_archive(self) -> bool {
        !matches!(self, Self::Raw)
    }
}
