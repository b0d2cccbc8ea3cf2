//! What the fleet is and what happens to it: hosts, jobs, repositories, accounts; the store they live in; the
//! decisions about them. Knows nothing of HTTP or MQTT.
//!
//! [`Fleet`] is the one door: the pages, the API and the broker's ingest all go through it.

mod fleet;
pub mod record;
mod refused;
mod request;
mod snapshot;
pub mod view;

pub use fleet::{Change, Changed, Driver, Fleet, Handled, NewEnrollToken, Settings};
pub use refused::{OpenError, Refused, StoreError};
pub use request::{By, JobRequest, OperatorChange};
pub use snapshot::Snapshot;
pub use view::{AuditFilter, DAYS, Day, FleetCounts, HostFilter, HostRow, JobFilter, Page, Paged, Status};
