//! A feed as a form or a body asks for it.

/// A feed that is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskedFeed {
    pub(crate) name: String,
    /// A word of [`FeedKind`](fleet::record::FeedKind).
    pub(crate) kind: String,
    pub(crate) label: Option<String>,
    /// Id or name.
    pub(crate) host: Option<String>,
    pub(crate) names: bool,
}
