//! How long hosts with a label may have some causes before that is an incident.

use super::words;
use crate::format::rfc3339;
use fleet::GraceInput;
use fleet::record::Grace;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The grace of a label.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GraceInput)]
pub(crate) struct GraceIn {
    /// How long, in hours; the grace of all is a part of it.
    #[schema(minimum = 1, maximum = 2160)]
    hours: u16,
    /// Absent or none: `missed`, `offline` and `old`. A cause that a person has to look at at once is refused.
    #[serde(default)]
    #[schema(value_type = Vec<words::IncidentCause>)]
    causes: Vec<String>,
}

impl GraceIn {
    /// What it describes.
    pub(crate) fn input(self, label: String) -> GraceInput {
        GraceInput { label, causes: self.causes, hours: self.hours }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Grace)]
pub(crate) struct GraceOut {
    label: String,
    hours: u16,
    #[schema(value_type = Vec<words::IncidentCause>)]
    causes: Vec<String>,
    changed_at: String,
    #[schema(value_type = words::ActorKind)]
    changed_by_kind: &'static str,
    changed_by: String,
}

impl From<Grace> for GraceOut {
    fn from(grace: Grace) -> Self {
        let Grace { label, causes, hours, changed_at, changed_by } = grace;
        Self {
            label,
            hours,
            causes,
            changed_at: rfc3339(changed_at),
            changed_by_kind: changed_by.kind(),
            changed_by: changed_by.name().to_owned(),
        }
    }
}
