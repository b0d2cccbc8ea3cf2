use fleet::record::SendFault;

/// Why a message was not taken; what was said may hold secrets still.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: SendFault,
    pub(super) said: String,
    pub(super) retry_after_ms: Option<u64>,
}

/// What came of a message that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// What the other side said last.
    pub(super) said: String,
    /// Of some of those to whom it went: why they refuse it for good.
    pub(super) refused: Option<Failure>,
}

impl From<String> for Taken {
    fn from(said: String) -> Self {
        Self { said, refused: None }
    }
}

impl Failure {
    pub(super) fn of(fault: SendFault) -> Self {
        Self { fault, said: String::new(), retry_after_ms: None }
    }

    pub(super) fn said(fault: SendFault, said: impl Into<String>) -> Self {
        Self { said: said.into(), ..Self::of(fault) }
    }
}
