//! The agent's own parts: journal, state folder, slots, identity, status; and a session over a real broker.

mod enroll;
mod heartbeat;
mod hostile;
mod journal;
mod kept_journal;
mod kept_state;
mod program;
mod rig;
mod slots;
mod state;
mod status;
