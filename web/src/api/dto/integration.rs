//! What other people's tools may find.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewHomeAssistant)]
pub(crate) struct HomeAssistantIn {
    pub(crate) enabled: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HomeAssistant)]
pub(crate) struct HomeAssistantOut {
    /// Whether each host is announced below `homeassistant/`, which viewers may subscribe to then.
    pub(crate) enabled: bool,
}
