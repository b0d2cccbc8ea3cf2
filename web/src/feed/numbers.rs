//! The numbers of a feed: counted from the rows of the pages, by the same function.

use crate::format::rfc3339;
use crate::problem::Problem;
use crate::reading::Reading;
use fleet::record::{Feed, FeedOf};
use fleet::{FleetCounts, FleetState, HostFilter, HostRow, Status};
use serde_json::{Value, json};

/// So many hosts are named, and how many more there are.
const MOST_HOSTS: usize = 1_000;

/// What all of it comes to. It is well only where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All are protected.
    Protected,
    /// Some are.
    Partly,
    /// None is.
    Unprotected,
    /// There is nobody to judge, or what is known may be old.
    Unknown,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "ok",
            Self::Partly | Self::Unprotected => "unprotected",
            Self::Unknown => "unknown",
        }
    }

    /// By numbers of hosts: pure.
    const fn of(is_known: bool, protected: u32, total: u32) -> Self {
        match (protected, total) {
            _ if !is_known || total == 0 => Self::Unknown,
            (0, _) => Self::Unprotected,
            (protected, total) if protected == total => Self::Protected,
            _ => Self::Partly,
        }
    }
}

/// Hosts of a feed and what they add up to.
pub(crate) struct Numbers {
    /// Whether the server can say: one that only reads, or has given its place to another, hears of nothing any more.
    is_known: bool,
    counts: FleetCounts,
    /// By name.
    pub(crate) rows: Vec<HostRow>,
}

impl Numbers {
    pub(crate) fn read(ctx: &Reading, state: &FleetState, feed: &Feed) -> Result<Self, Problem> {
        let mut rows = match &feed.of {
            FeedOf::Fleet => state.fleet(&HostFilter::default()),
            FeedOf::Label(label) => {
                state.fleet(&HostFilter { label: Some(label.clone()), ..HostFilter::default() })
            }
            FeedOf::Host(host) => state.host_row(*host).into_iter().collect(),
        };
        rows.sort_by(|one, other| one.host.name.cmp(&other.host.name));
        let (mut counts, groups) = (FleetCounts::default(), state.cause_groups()?);
        rows.iter().for_each(|row| counts.count(row, groups.in_need(row)));
        Ok(Self { is_known: !ctx.app.fleet.only_reads(), counts, rows })
    }

    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::of(self.is_known, self.counts.protected, self.counts.total)
    }

    /// What a badge is of.
    pub(crate) fn title(&self, feed: &Feed) -> String {
        match (&feed.of, self.rows.first()) {
            (FeedOf::Label(label), _) if feed.names => format!("backups of {label}"),
            (FeedOf::Host(_), Some(row)) if feed.names => format!("backup of {}", row.host.name),
            (FeedOf::Host(_), _) => "backup".to_owned(),
            _ => "backups".to_owned(),
        }
    }

    /// What a badge says of it.
    pub(crate) fn words(&self, feed: &Feed) -> String {
        let FleetCounts { protected, total, .. } = self.counts;
        match (self.verdict(), &feed.of) {
            (Verdict::Unknown, FeedOf::Fleet | FeedOf::Label(_)) if self.is_known => "no hosts".to_owned(),
            (Verdict::Unknown, _) => "unknown".to_owned(),
            (Verdict::Protected, FeedOf::Host(_)) => "protected".to_owned(),
            (_, FeedOf::Host(_)) => "not protected".to_owned(),
            _ => format!("{protected} of {total} protected"),
        }
    }

    /// `status.json`. The words and numbers are those of the report in the API.
    pub(crate) fn json(&self, feed: &Feed) -> String {
        let counts = &self.counts;
        let by_status = Status::ALL.map(|status| (status.as_str().to_owned(), counts.of(status).into()));
        let mut body = json!({
            "status": self.verdict().as_str(),
            "hosts_total": counts.total,
            "protected": counts.protected,
            "proven": counts.proven,
            "online": counts.online,
            "protected_in_need": counts.protected_in_need,
            "unprotected_in_need": counts.unprotected_in_need,
            "by_status": Value::Object(by_status.into_iter().collect()),
        });
        if feed.names {
            let host = |row: &HostRow| {
                json!({
                    "name": row.host.name,
                    "status": row.status.as_str(),
                    "protected": row.protected,
                    "last_good_at": row.last_good_at.map(rfc3339),
                })
            };
            body["hosts"] = self.rows.iter().take(MOST_HOSTS).map(host).collect();
            body["hosts_left_out"] = self.rows.len().saturating_sub(MOST_HOSTS).into();
        }
        format!("{body}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_well_that_is_not_known() {
        for (is_known, protected, total, verdict) in [
            (true, 0, 0, Verdict::Unknown),
            (true, 0, 3, Verdict::Unprotected),
            (true, 2, 3, Verdict::Partly),
            (true, 3, 3, Verdict::Protected),
            (false, 3, 3, Verdict::Unknown),
            (false, 0, 0, Verdict::Unknown),
            (false, 1, 3, Verdict::Unknown),
        ] {
            assert_eq!(Verdict::of(is_known, protected, total), verdict);
        }
    }
}
