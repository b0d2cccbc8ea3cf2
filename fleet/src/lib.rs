//! What the fleet is and what happens to it: hosts, jobs, repositories, accounts; the store they live in; the
//! decisions about them. Knows nothing of HTTP or MQTT.
//!
//! [`Fleet`] is the one door: the pages, the API and the broker's ingest all go through it.

pub mod record;
