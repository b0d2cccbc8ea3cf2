use schema::{Class, Outcome};

/// Why the core had a running job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum StopCause {
    /// Somebody asked for it.
    Cancel,
    /// Its deadline passed.
    Deadline,
    /// The agent itself was told to stop.
    Shutdown,
}

/// How a job ended, seen together with why it was told to: what had already succeeded stays a success.
#[must_use]
pub const fn verdict(
    stop: Option<StopCause>,
    outcome: Outcome,
    class: Option<Class>,
) -> (Outcome, Option<Class>) {
    match (stop, outcome) {
        (_, Outcome::Succeeded | Outcome::Warning) | (None, _) => (outcome, class),
        (Some(StopCause::Cancel), _) => (Outcome::Cancelled, Some(Class::Cancelled)),
        (Some(StopCause::Deadline), _) => (Outcome::Failed, Some(Class::Timeout)),
        (Some(StopCause::Shutdown), _) => (Outcome::Cancelled, Some(Class::AgentRestarted)),
    }
}
