//! The bodies of the API, apart from the records they are made of.

mod account;
mod archive;
mod drill;
mod find;
mod folder;
mod group;
mod host;
mod job;
mod kit;
mod maintenance;
mod pending;
mod repo;
mod repo_password;
mod report;
mod restore;
mod said;
mod schedule;
mod summary;
mod time;
pub(crate) mod words;

pub(crate) use account::*;
pub(crate) use archive::*;
pub(crate) use drill::*;
pub(crate) use find::*;
pub(crate) use folder::*;
pub(crate) use group::*;
pub(crate) use host::*;
pub(crate) use job::*;
pub(crate) use kit::*;
pub(crate) use maintenance::*;
pub(crate) use pending::*;
pub(crate) use repo::*;
pub(crate) use repo_password::*;
pub(crate) use report::*;
pub(crate) use restore::*;
pub(crate) use schedule::*;
