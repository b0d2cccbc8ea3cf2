use serde::{Deserialize, Serialize};

/// What the server does by itself to a host's repository, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// IANA name of the zone in which days, windows and cron expressions are meant.
    pub timezone: String,
    /// When snapshots are removed by the keep rules.
    pub forget: Rule,
    /// When data is removed that no snapshot needs.
    pub prune: Rule,
    /// When the repository is verified.
    pub check: Rule,
    /// How much of the data a check reads, in percent.
    pub check_subset_pct: u8,
    /// When files drawn by lot are restored and compared, of each source group.
    pub drill: Rule,
}

/// When one kind of maintenance is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whether the server starts it at all without being asked.
    pub enabled: bool,
    /// How often it is due.
    pub every: Every,
    /// The part of the day in which it may start; `None` = any time.
    pub window: Option<Window>,
}

/// How often something is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Every {
    /// This many hours after the last one.
    Hours(u16),
    /// This many calendar days after the last one.
    Days(u16),
    /// At the times of this cron expression.
    Cron(String),
}

/// A part of the day, in minutes after midnight by the wall clock. It ends before `until`, and passes midnight when
/// that is less than `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First minute of the window, counted from midnight.
    pub from: u16,
    /// The first minute after the window, counted from midnight.
    pub until: u16,
}

/// What an operator would set: in the night, one after the other; snapshots are dropped every night, space is freed
/// once a week, once a week the structure is verified with a twentieth of the data, and once a month some files of each
/// group are restored to prove that it works. It does no harm where nobody
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
            drill: rule(30, 2, 6),
        }
    }
}

/// Maintenance settings as a person types them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceInput {
    /// IANA name of the time zone; `None` keeps the stored one.
    pub timezone: Option<String>,
    /// When snapshots are removed by the keep rules.
    pub forget: RuleInput,
    /// When data is removed that no snapshot needs.
    pub prune: RuleInput,
    /// When the repository is verified.
    pub check: RuleInput,
    /// How much of the data a check reads, in percent; `None` keeps the stored value.
    pub check_subset_pct: Option<u16>,
    /// When files drawn by lot are restored and compared; `None` keeps the stored rule.
    pub drill: Option<RuleInput>,
}

/// A rule as a person types it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleInput {
    /// Whether the server starts it at all without being asked.
    pub enabled: bool,
    /// How often: `12 hours`, `1 day`, `2 weeks`, or a cron expression.
    pub every: String,
    /// Start of the window, such as `02:00`; empty with `until` = any time.
    pub from: String,
    /// End of the window, such as `06:00`; empty with `from` = any time.
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
    /// Start and end of the window as text, such as `02:00`.
    #[must_use]
    pub fn ends(&self) -> [String; 2] {
        [self.from, self.until].map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60))
    }
}
