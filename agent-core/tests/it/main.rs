//! The core in virtual time against a model of the server.

mod downloads;
mod properties;
mod scenarios;
mod world;
