//! The fleet through its facade [`fleet::Fleet`], with an agent's end of the wire in virtual time.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly, as tests do")]

mod accounts;
mod at_rest;
mod budgets;
mod clocks;
mod dispatch;
mod downloads;
mod drill;
mod enroll;
mod figures;
mod finds;
mod folders;
mod for_other;
mod healthchecks;
mod hello;
mod honest;
mod host_keys;
mod hosts;
mod interrupted;
mod kept_file;
mod killed;
mod kits;
mod logs;
mod maintenance;
mod model;
mod notices;
mod overview;
mod pending;
mod replaced;
mod replacement;
mod reports;
mod restored;
mod salvaged;
mod schedules;
mod sharing;
mod soundness;
mod support;
mod told_reports;
