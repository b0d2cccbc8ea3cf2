//! The JSON face. Types of the bodies are in [`dto`].

pub(crate) mod account;
pub(crate) mod agent_access;
pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod credentials;
pub(crate) mod dto;
pub(crate) mod feed;
pub(crate) mod folder;
pub(crate) mod group;
pub(crate) mod host;
pub(crate) mod incident;
pub(crate) mod integration;
pub(crate) mod job;
pub(crate) mod kit;
mod list;
pub(crate) mod maintenance;
pub(crate) mod notice;
pub(crate) mod operator;
pub(crate) mod pending;
pub mod redacted;
pub(crate) mod refused;
pub(crate) mod repo;
pub(crate) mod repo_password;
pub(crate) mod report;
pub(crate) mod schedule;
pub(crate) mod standby;
pub(crate) mod storage;
