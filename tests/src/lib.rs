//! Holdfast end to end, with the real parts.
//!
//! This library holds what the scenarios in `tests/it` stand on; it mocks nothing. A scenario starts the two
//! programs as processes, gives them real restic, a real rest-server, real mosquitto tools and a real browser, and
//! looks from outside: at the API, the pages, the MQTT view tree, the repository, the process table.
//!
//! | module | what for |
//! |---|---|
//! | [`tools`] | finds programs, or says what to install |
//! | [`process`], [`proc_table`] | starts, captures, kills and reaps processes |
//! | [`scratch`], [`ports`], [`wait`] | folders, ports, conditions with deadlines |
//! | [`server`], [`agent`], [`api`] | the two programs, and the HTTP interface |
//! | [`storage`], [`sshd`], [`repository`] | rest-server, sshd, and restic by hand |
//! | [`foreign_lock`] | a lock that somebody left long ago |
//! | [`proxy`] | a network that can be cut, held and slowed |
//! | [`mosquitto`], [`browser`] | what people look with |
//! | [`host_login`] | a host's own credentials, in wrong hands |
//! | [`sources`], [`secrets`] | files to back up, and secrets to look for |
//! | [`soak`] | how long storms are |
//! | [`scene`] | all of it put together |
//!
//! The programs are those beside the test: `cargo build --workspace` first, as `./test` does. Nothing listens outside
//! loopback, ports are free ones, folders temporary; those of a failed test stay and are named.

pub mod agent;
pub mod api;
pub mod browser;
pub mod connection;
pub mod disk;
pub mod foreign_lock;
pub mod host_login;
pub mod measured;
pub mod mosquitto;
pub mod ports;
pub mod proc_table;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod repository;
pub mod scene;
pub mod scratch;
pub mod secrets;
pub mod seeded;
pub mod server;
pub mod smtp;
pub mod soak;
pub mod sources;
pub mod sshd;
pub mod storage;
pub mod tools;
pub mod wait;
pub mod wrong_clock;
