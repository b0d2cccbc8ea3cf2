use crate::repo_password::Shown;
use fleet::record::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who asks for the password of a repository.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RepoPasswordRequest)]
pub(crate) struct RepoPasswordIn {
    /// The own password again; a token has none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

/// What opens a repository without Holdfast. Prints nothing of itself.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = RepoPassword)]
pub(crate) struct RepoPasswordOut {
    pub(crate) url: String,
    pub(crate) username: String,
    pub(crate) repo_password: String,
}

impl RepoPasswordOut {
    pub(crate) fn new(shown: &Shown) -> Self {
        Self {
            url: shown.url.clone(),
            username: shown.username.clone(),
            repo_password: shown.repo_password.expose().to_owned(),
        }
    }
}
