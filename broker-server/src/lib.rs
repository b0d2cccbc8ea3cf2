//! The Holdfast server: the MQTT gate, the ingest of what hosts say, pages and API, in one process with one data
//! folder.
//!
//! [`serve`] puts it together and shows who talks to whom. Decisions about the fleet are in the crate `fleet`.

pub mod archive;
mod certificates;
pub mod check;
pub mod cli;
pub mod clock;
pub mod command_error;
pub mod config;
pub mod control;
pub mod data;
pub mod demo;
pub mod eviction;
pub mod fleet_directory;
mod framing;
pub mod gate;
pub mod gate_metrics;
pub mod home_assistant;
pub mod http;
pub mod ingest;
pub mod kit;
pub mod log;
mod moves;
mod new_file;
mod notices;
pub mod out;
mod outwards;
pub mod own_pieces;
mod passphrase;
pub mod platform;
pub mod publisher;
pub mod rollover;
pub mod rotate;
pub mod salvage;
mod scrub;
pub mod serve;
mod server_needs;
pub mod standby;
mod standby_fault;
pub mod tasks;
mod ticks;
pub mod tls;
pub mod view_tree;
mod wakes;
mod web_settings;
mod websocket;
