//! The main job, end to end, and what disturbs it. Each module is one promise; see the library for what they stand
//! on.

mod acknowledged;
mod agent_killed;
mod append_only;
mod away;
mod broken_restic;
mod commands;
mod damaged;
mod demo;
mod failures;
mod forgotten_host;
mod full_life;
mod moved_secrets;
mod network_cut;
mod preview;
mod replaced;
mod same_story;
mod schedules;
mod secrets_kept;
mod server_killed;
mod shared_repository;
mod stats_order;
mod steps_shown;
mod stolen_login;
mod two_at_once;
mod wire_version;
