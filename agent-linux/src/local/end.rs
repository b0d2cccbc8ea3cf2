//! How it ends: what the exit code is, and what is said.

use crate::restic::JobEnd;
use schema::{Class, Outcome};
use std::io;

/// Done, and nothing is missing.
pub(super) const ALL: u8 = 0;
/// Nothing came of it.
pub(super) const NOTHING: u8 = 1;
/// Some of it is missing, and it was said what.
const INCOMPLETE: u8 = 3;
/// Ended by a signal, as shells count it.
pub(super) const INTERRUPTED: u8 = 130;

/// How something that was asked for has ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The exit code.
    pub(super) code: u8,
    /// Why, in a word.
    pub(super) class: Option<Class>,
    /// Why, and what to do; empty = there is nothing to say.
    pub(super) message: String,
}

impl End {
    pub(super) fn failed(message: &str) -> Self {
        Self { code: NOTHING, class: None, message: message.to_owned() }
    }

    /// Well but for a number of things that are not there.
    pub(super) fn cut(left_out: u32, what: &str) -> Self {
        if left_out == 0 {
            return Self::default();
        }
        Self { code: INCOMPLETE, class: None, message: format!("This is not all: {left_out} {what}.") }
    }

    /// What came of it could not be said.
    pub(super) fn unwritten(error: &io::Error) -> Self {
        Self { code: INCOMPLETE, class: None, message: format!("Not all could be printed: {error}.") }
    }

    pub(super) fn of(end: JobEnd) -> Self {
        let code = match end.outcome {
            Outcome::Succeeded => ALL,
            Outcome::Warning => INCOMPLETE,
            Outcome::Failed => NOTHING,
            Outcome::Cancelled => INTERRUPTED,
        };
        Self { code, class: end.class, message: end.message }
    }

    /// Whether there is nothing that could be shown.
    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self.code, NOTHING | INTERRUPTED)
    }

    /// In a word, as the server has it.
    pub(super) const fn outcome(&self) -> &'static str {
        match self.code {
            ALL => "succeeded",
            INCOMPLETE => "warning",
            INTERRUPTED => "cancelled",
            _ => "failed",
        }
    }
}
