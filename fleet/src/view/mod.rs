//! What is read: rows put together for whoever shows them, filters and pages.

mod host_row;
mod page;
mod schedule;

pub use host_row::{DAYS, Day, FleetCounts, HostFilter, HostRow, Status};
pub use page::{AuditFilter, JobFilter, Page, Paged};
pub use schedule::ScheduleView;
