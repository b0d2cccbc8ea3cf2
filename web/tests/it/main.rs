//! The router driven whole, over a real fleet in memory, by requests as browsers and programs send them.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod agent;
mod agent_access;
mod api;
mod archive;
mod auth;
mod busy;
mod document;
mod download;
mod feeds;
mod hostile;
mod incidents;
mod integrations;
mod kit;
mod live;
mod maintenance;
mod notices;
mod pages;
mod pending;
mod replacement;
mod report;
mod restore;
mod roles;
mod secrets;
mod unusual;
mod words;
mod world;
