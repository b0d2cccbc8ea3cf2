//! What is read: rows put together for whoever shows them, filters and pages.

mod cause;
mod day;
mod host_row;
mod incident;
mod page;
mod proof;
mod reason;
mod schedule;

pub use day::{DAYS, Day};
pub use host_row::{FleetCounts, HostFilter, HostRow, HostStanding, Status};
pub use incident::{CauseGroup, CauseGroups, IncidentState, IncidentView, MetChannel, MetHost};
pub use page::{AuditFilter, JobFilter, Page, Paged};
pub use proof::{HostProof, ProofOfGroup, ProofStatus, RestoreEstimate};
pub use reason::Reason;
pub use schedule::ScheduleView;
