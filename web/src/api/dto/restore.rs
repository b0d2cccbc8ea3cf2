//! Restores: what to restore and where to.

use super::words;
use crate::problem::Problem;
use axum::http::StatusCode;
use fleet::record::{Host, RestorePlan, RestoreTarget};
use schema::{HostId, Overwrite};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const fn yes() -> bool {
    true
}

/// A restore, or a dry run of one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RestoreRequest)]
pub(crate) struct RestoreBody {
    /// restic's id of the snapshot, 8 to 64 digits.
    pub(crate) snapshot: String,
    /// Absolute paths inside the snapshot, each a file, or a folder with all that is in it; absent: all. Not empty. A byte
    /// that is no UTF-8 is written as `\xfc`.
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = false)]
    pub(crate) paths: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) target: TargetBody,
    /// What becomes of a file that is there already; absent: never, it stays.
    #[serde(default)]
    #[schema(value_type = Option<words::Overwrite>)]
    pub(crate) overwrite: Option<String>,
    /// Delete what is there and the snapshot lacks: with a folder or the original places only.
    #[serde(default)]
    pub(crate) delete: bool,
    /// Read back what was written and compare.
    #[serde(default = "yes")]
    pub(crate) verify: bool,
    /// Only say what would be written, replaced and deleted.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Another host that does it, by its id or name: into a folder of its own, with the everyday credentials of this one
    /// for this job alone. Absent: the host itself.
    #[serde(default)]
    pub(crate) runner: Option<String>,
    /// The name of the host that does it, for the original places and for `delete`.
    #[serde(default)]
    pub(crate) confirm: Option<String>,
}

/// Where a restore goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RestoreTargetRequest)]
pub(crate) struct TargetBody {
    /// `new_folder`: one that the agent makes; `folder`: that of `path`; `original`: where it was. The machine's own
    /// policy may forbid it.
    #[schema(value_type = words::RestoreTargetKind)]
    pub(crate) kind: String,
    /// Of `folder`: the folder, absolute. Of `new_folder`: the folder that it is made in; absent: the agent's own base.
    #[serde(default)]
    pub(crate) path: Option<String>,
}

impl Default for TargetBody {
    fn default() -> Self {
        Self { kind: "new_folder".to_owned(), path: None }
    }
}

impl RestoreBody {
    /// The plan of what this host does with a snapshot of `source`, if it makes sense and was confirmed where it has to be.
    pub(crate) fn plan(self, host: &Host, source: HostId) -> Result<RestorePlan, Problem> {
        if self.paths.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::invalid(
                "paths",
                "An empty list names nothing: leave it out to restore all.",
            ));
        }
        let path = self.target.path.unwrap_or_default();
        let target = match self.target.kind.as_str() {
            "new_folder" => RestoreTarget::NewFolder { within: path },
            "folder" => RestoreTarget::Folder { path },
            "original" if path.is_empty() => RestoreTarget::Original,
            "original" => {
                return Err(Problem::invalid(
                    "target.path",
                    "The original places have no path of their own.",
                ));
            }
            other => {
                return Err(Problem::invalid(
                    "target.kind",
                    format!(
                        "There is no target {other:?}; there are: {}.",
                        words::RESTORE_TARGETS.join(", ")
                    ),
                ));
            }
        };
        let overwrite = match self.overwrite.as_deref() {
            None => Overwrite::Never,
            Some(word) => {
                Overwrite::ALL.into_iter().find(|overwrite| overwrite.as_str() == word).ok_or_else(|| {
                    let all = Overwrite::ALL.map(Overwrite::as_str).join(", ");
                    Problem::invalid("overwrite", format!("There is no {word:?}; there are: {all}."))
                })?
            }
        };
        let plan = RestorePlan {
            source,
            snapshot: self.snapshot,
            paths: self.paths.unwrap_or_default(),
            target,
            overwrite,
            delete: self.delete,
            verify: self.verify,
            dry_run: self.dry_run,
        };
        confirmed(&plan, host, self.confirm.as_deref())?;
        Ok(plan)
    }
}

/// Whether a person has said that files that are there may go, by the name of the host.
pub(crate) fn confirmed(plan: &RestorePlan, host: &Host, said: Option<&str>) -> Result<(), Problem> {
    if !plan.must_be_confirmed() || said.map(str::trim) == Some(host.name.as_str()) {
        return Ok(());
    }
    Err(Problem {
        field: Some("confirm".to_owned()),
        ..Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "confirm_required",
            format!(
                "This may replace or delete files that are there. Confirm it with {}, the name of the host that does it.",
                host.name
            ),
        )
    })
}

/// What a restore job is to do.
#[derive(Serialize, ToSchema)]
#[schema(as = Restore)]
pub(crate) struct RestoreOut {
    /// The host whose snapshot it is. The host that restores it is the job's.
    source: String,
    snapshot: String,
    /// Empty: all.
    paths: Vec<String>,
    target: TargetOut,
    #[schema(value_type = words::Overwrite)]
    overwrite: &'static str,
    delete: bool,
    verify: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RestoreTarget)]
struct TargetOut {
    #[schema(value_type = words::RestoreTargetKind)]
    kind: &'static str,
    /// Null: the agent's own base, or the original places.
    path: Option<String>,
}

impl RestoreOut {
    pub(crate) fn new(plan: &RestorePlan) -> Self {
        let path = match &plan.target {
            RestoreTarget::NewFolder { within: path } | RestoreTarget::Folder { path } => path.as_str(),
            RestoreTarget::Original => "",
        };
        Self {
            source: plan.source.to_string(),
            snapshot: plan.snapshot.clone(),
            paths: plan.paths.clone(),
            target: TargetOut {
                kind: plan.target.kind(),
                path: Some(path.to_owned()).filter(|path| !path.is_empty()),
            },
            overwrite: plan.overwrite.as_str(),
            delete: plan.delete,
            verify: plan.verify,
        }
    }
}
