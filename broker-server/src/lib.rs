//! The Holdfast server: the MQTT gate, the ingest of what hosts say, pages and API, in one process with one data
//! folder.
//!
//! [`serve`] puts it together and shows who talks to whom. Decisions about the fleet are in the crate `fleet`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod demo;
pub mod directory;
pub mod doorkeeper;
pub mod figures;
pub mod gate;
pub mod http;
pub mod ingest;
pub mod log;
pub mod out;
pub mod own_pieces;
pub mod publisher;
pub mod serve;
pub mod tasks;
pub mod tls;
pub mod view_tree;
