//! Source groups: one body for both ways.

use fleet::record::{Group, Retention};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Hooks)]
pub(crate) struct HooksBody {
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Serialize, Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Keep)]
pub(crate) struct KeepBody {
    last: u16,
    hourly: u16,
    daily: u16,
    weekly: u16,
    monthly: u16,
    yearly: u16,
    within: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Group)]
pub(crate) struct GroupBody {
    /// In a PUT it may be left out: the address names it. Another name renames.
    #[serde(default)]
    pub(crate) name: String,
    includes: Vec<String>,
    #[serde(default)]
    excludes: Vec<String>,
    #[serde(default)]
    exclude_if_present: Vec<String>,
    #[serde(default)]
    one_file_system: bool,
    #[serde(default)]
    required_mounts: Vec<String>,
    #[serde(default)]
    hooks: HooksBody,
    #[serde(default)]
    keep: KeepBody,
    /// How often a scheduled backup is tried again; its schedule may allow less.
    #[serde(default = "retry_max")]
    retry_max: u16,
}

/// Tries of a group or a schedule that says nothing of them.
pub(crate) const fn retry_max() -> u16 {
    12
}

/// A dry run of a forget: absent rules are those of the group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ForgetDryRun)]
pub(crate) struct ForgetDryRunBody {
    #[serde(default)]
    #[schema(nullable = false)]
    pub(crate) keep: Option<KeepBody>,
}

impl From<KeepBody> for Retention {
    fn from(keep: KeepBody) -> Self {
        Self {
            last: keep.last,
            hourly: keep.hourly,
            daily: keep.daily,
            weekly: keep.weekly,
            monthly: keep.monthly,
            yearly: keep.yearly,
            within: keep.within,
        }
    }
}

impl From<GroupBody> for Group {
    fn from(body: GroupBody) -> Self {
        Self {
            name: body.name,
            includes: body.includes,
            excludes: body.excludes,
            exclude_if_present: body.exclude_if_present,
            one_file_system: body.one_file_system,
            required_mounts: body.required_mounts,
            hooks_before: body.hooks.before,
            hooks_after: body.hooks.after,
            keep: body.keep.into(),
            retry_max: body.retry_max,
        }
    }
}

impl From<Group> for GroupBody {
    fn from(group: Group) -> Self {
        let keep = group.keep;
        Self {
            name: group.name,
            includes: group.includes,
            excludes: group.excludes,
            exclude_if_present: group.exclude_if_present,
            one_file_system: group.one_file_system,
            required_mounts: group.required_mounts,
            hooks: HooksBody { before: group.hooks_before, after: group.hooks_after },
            keep: KeepBody {
                last: keep.last,
                hourly: keep.hourly,
                daily: keep.daily,
                weekly: keep.weekly,
                monthly: keep.monthly,
                yearly: keep.yearly,
                within: keep.within,
            },
            retry_max: group.retry_max,
        }
    }
}
