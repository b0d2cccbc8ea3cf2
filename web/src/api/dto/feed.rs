//! Feeds: what others read of the fleet by an address that nobody guesses.

use super::words;
use crate::feed::AskedFeed;
use crate::format::rfc3339;
use fleet::record::{Feed, FeedOf};
use fleet::{FleetState, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFeed)]
pub(crate) struct FeedIn {
    name: String,
    #[schema(value_type = words::FeedKind)]
    kind: String,
    /// Only hosts with this label.
    label: Option<String>,
    /// Only this host, by id or name. Neither: all hosts.
    host: Option<String>,
    /// Whether it names hosts.
    #[serde(default)]
    names: bool,
}

impl FeedIn {
    pub(crate) fn asked(self) -> AskedFeed {
        let Self { name, kind, label, host, names } = self;
        AskedFeed { name, kind, label, host, names }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = FeedCreated)]
pub(crate) struct FeedCreated {
    pub(crate) name: String,
    /// Where it is read; in this answer only.
    pub(crate) url: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Feed)]
pub(crate) struct FeedOut {
    name: String,
    #[schema(value_type = words::FeedKind)]
    kind: &'static str,
    label: Option<String>,
    /// The id of the host that it is of.
    host: Option<String>,
    /// What that is called; null: it is of no single host, or that was deleted.
    host_name: Option<String>,
    names: bool,
    created_at: String,
    created_by: String,
}

impl FeedOut {
    pub(crate) fn new(feed: Feed, state: &FleetState) -> Result<Self, StoreError> {
        let (label, host) = match feed.of {
            FeedOf::Fleet => (None, None),
            FeedOf::Label(label) => (Some(label), None),
            FeedOf::Host(host) => (None, Some(host)),
        };
        let host_name = match host {
            Some(host) => state.host(host)?.map(|host| host.name),
            None => None,
        };
        Ok(Self {
            name: feed.name,
            kind: feed.kind.as_str(),
            label,
            host: host.map(|host| host.to_string()),
            host_name,
            names: feed.names,
            created_at: rfc3339(feed.created_at),
            created_by: feed.created_by.name().to_owned(),
        })
    }
}
