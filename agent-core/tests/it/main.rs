//! The core in virtual time against a model of the server.

mod properties;
mod scenarios;
mod world;
