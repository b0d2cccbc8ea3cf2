//! Text that may be nothing.

/// A text; `None` when it says nothing.
pub(super) fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
