use serde::{Deserialize, Serialize};

/// What the server does by itself to a host's repository, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// IANA name of the zone in which days, windows and cron expressions are meant.
    pub timezone: String,
    /// Apply retention.
    pub forget: Rule,
    /// Free space.
    pub prune: Rule,
    /// Verify.
    pub check: Rule,
    /// Percent of the data that a check reads.
    pub check_subset_pct: u8,
}

/// When one kind is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Off = never by itself.
    pub enabled: bool,
    /// How often.
    pub every: Every,
    /// Only then; `None` = at any time.
    pub window: Option<Window>,
}

/// How often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Every {
    /// So many hours after the last one.
    Hours(u16),
    /// So many calendar days after the last one.
    Days(u16),
    /// By a cron expression.
    Cron(String),
}

/// A part of the day, in minutes after midnight by the wall clock. It ends before `until`, and passes midnight when
/// that is less than `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From this minute on.
    pub from: u16,
    /// Before this one.
    pub until: u16,
}

/// What an operator would set: in the night, one after the other; snapshots are dropped every night, space is freed
/// once a week, and once a week the structure is verified with a twentieth of the data. It does no harm where nobody
/// asked for it: without a keep rule nothing is forgotten, and without admin credentials nothing is pruned.
impl Default for Maintenance {
    fn default() -> Self {
        let rule = |days, from: u16, until: u16| Rule {
            enabled: true,
            every: Every::Days(days),
            window: Some(Window { from: from * 60, until: until * 60 }),
        };
        Self {
            timezone: "UTC".to_owned(),
            forget: rule(1, 2, 6),
            prune: rule(7, 2, 6),
            check: rule(7, 2, 6),
            check_subset_pct: 5,
        }
    }
}

/// Maintenance as it is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceInput {
    /// IANA name; `None` keeps.
    pub timezone: Option<String>,
    /// Apply retention.
    pub forget: RuleInput,
    /// Free space.
    pub prune: RuleInput,
    /// Verify.
    pub check: RuleInput,
    /// Percent of the data that a check reads; `None` keeps.
    pub check_subset_pct: Option<u16>,
}

/// A rule as it is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleInput {
    /// Off = never by itself.
    pub enabled: bool,
    /// `12 hours`, `1 day`, `2 weeks`, or a cron expression.
    pub every: String,
    /// `02:00`; empty with `until` = at any time.
    pub from: String,
    /// `06:00`.
    pub until: String,
}

impl std::fmt::Display for Every {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, word) = match self {
            Self::Hours(hours) => (hours, "hour"),
            Self::Days(days) => (days, "day"),
            Self::Cron(text) => return out.write_str(text),
        };
        write!(out, "{number} {word}{}", if *number == 1 { "" } else { "s" })
    }
}

impl Window {
    /// The two ends as `02:00`.
    #[must_use]
    pub fn ends(&self) -> [String; 2] {
        [self.from, self.until].map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60))
    }
}
