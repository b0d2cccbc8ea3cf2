//! The Holdfast server: the MQTT gate, the ingest of what hosts say, pages and API, in one process with one data
//! folder.
//!
//! [`serve`] puts it together and shows who talks to whom. Decisions about the fleet are in the crate `fleet`.

pub mod gate;
pub mod tls;
