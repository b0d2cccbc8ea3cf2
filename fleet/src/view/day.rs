//! A day of a host in one cell.

/// Days in the strip of a host.
pub const DAYS: usize = 30;

/// What became of a day's backups: for each group the last one counts, then the worst of the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Day {
    /// Nothing happened.
    #[default]
    None,
    /// It was before the host was there.
    Before,
    /// The last backups all ended well.
    Ok,
    /// One runs now.
    Running,
    /// Files were left out.
    Warning,
    /// A due backup did not happen.
    Missed,
    /// One failed or was lost.
    Failed,
}

impl Day {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Before, Self::Ok, Self::Running, Self::Warning, Self::Missed, Self::Failed];

    /// The stable word for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Before => "before",
            Self::Ok => "ok",
            Self::Running => "running",
            Self::Warning => "warning",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}
