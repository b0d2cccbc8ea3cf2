//! The state machine. What it is made of is in `state`; what happens to it in `inputs`, what the server says in
//! `commands`, what is written down in `stored`, what goes out in `effects`.

mod clock;
mod commands;
mod effects;
mod gap;
mod inputs;
mod server_time;
mod state;
mod stored;

pub use state::{Busy, Core, Start};
pub use stored::Stored;
