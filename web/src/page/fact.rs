//! Facts and figures: a name, its value, and a note.

use serde::Serialize;
use std::borrow::Cow;

/// A key and its value.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) note: Option<String>,
    pub(crate) code: bool,
}

#[cfg(test)]
impl Fact {
    pub(crate) fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![
            Self::new("Agent", s.text("0.1.0")),
            Self::new("Host id", s.text("01c6z")).note(s.text("a note")).code(),
        ]
    }
}

impl Fact {
    pub(crate) fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), note: None, code: false }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into()).filter(|note| !note.is_empty());
        self
    }

    pub(crate) fn code(mut self) -> Self {
        self.code = true;
        self
    }
}

/// A figure: the number, and what stands small behind it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: String,
    pub(crate) note: String,
}

impl Figure {
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), value: value.into(), note: note.into() }
    }

    /// A size, its unit small.
    pub(crate) fn bytes(name: &'static str, bytes: u64, more: &str) -> Self {
        let (value, unit) = crate::format::bytes_parts(bytes);
        Self::new(name, value, format!("{unit}{more}"))
    }
}
