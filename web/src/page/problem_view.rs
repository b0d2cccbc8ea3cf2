//! What is wrong with what was typed.

use crate::problem::Problem;
use serde::Serialize;

/// A problem beside the field that it is about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProblemView {
    pub(crate) field: Option<String>,
    pub(crate) message: String,
}

#[cfg(test)]
impl ProblemView {
    pub(crate) fn sample(s: &crate::sample::Sample, field: &str) -> Self {
        Self { field: Some(field.to_owned()), message: s.text("This is not understood.") }
    }
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> Self {
        Self { field: problem.field.clone(), message: problem.message.clone() }
    }
}
