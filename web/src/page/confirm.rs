//! The question before something is destroyed.

use crate::template::View;
use serde::Serialize;

/// A question before something is destroyed: a dialog, or a page of its own.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConfirmView {
    /// What will be done, and to what.
    pub(crate) title: String,
    pub(crate) body: Vec<String>,
    /// Where the form goes.
    pub(crate) action: String,
    /// The words of the act.
    pub(crate) button: String,
    /// The words of the button that leaves everything as it is.
    pub(crate) dismiss: String,
    /// Where the way out leads.
    pub(crate) back: String,
}

#[cfg(test)]
impl ConfirmView {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            title: s.text("Delete boat-pi?"),
            body: vec![s.text("Its jobs are deleted here."), s.text("The repository stays as it is.")],
            action: "/x".to_owned(),
            button: s.text("Delete boat-pi"),
            dismiss: s.text("Cancel"),
            back: "/".to_owned(),
        }
    }
}

impl View for ConfirmView {
    const TEMPLATE: &'static str = "page/confirm.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for ConfirmView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self::sample(s)]
    }
}
