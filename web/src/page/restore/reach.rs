//! Where a restore writes: whether two of them meet.

use fleet::record::{JobFigures, RestorePlan, RestoreTarget};
use std::collections::BTreeSet;

/// The files and folders that a restore may write, as people write paths; `/` is written as nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reach(BTreeSet<String>);

impl Reach {
    /// Of a plan, and what is known of the restore by it. Of a new folder it is not known before.
    pub(super) fn of(plan: &RestorePlan, figures: &JobFigures) -> Option<Self> {
        let folder = match (&plan.target, figures) {
            (RestoreTarget::Original, _) => "",
            (RestoreTarget::Folder { path }, _) => path,
            (RestoreTarget::NewFolder { .. }, JobFigures::Restore(done)) if !done.target.is_empty() => {
                &done.target
            }
            (RestoreTarget::NewFolder { .. }, _) => return None,
        };
        let folder = folder.trim_end_matches('/');
        if plan.paths.is_empty() {
            return Some(Self(BTreeSet::from([folder.to_owned()])));
        }
        Some(Self(plan.paths.iter().map(|path| format!("{folder}{}", path.trim_end_matches('/'))).collect()))
    }

    /// Whether something of the one is, or lies in, something of the other.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let lies_in = |path: &String, set: &BTreeSet<String>| {
            set.contains(path) || path.match_indices('/').any(|(end, _)| set.contains(&path[..end]))
        };
        self.0.iter().any(|path| lies_in(path, &other.0)) || other.0.iter().any(|path| lies_in(path, &self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::RestoreFigures;
    use schema::{HostId, Overwrite};

    fn reach(target: RestoreTarget, paths: &[&str], made: &str) -> Option<Reach> {
        let plan = RestorePlan {
            source: HostId([1; 16]),
            snapshot: "0badcafe".to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            target,
            overwrite: Overwrite::Never,
            delete: false,
            verify: true,
            dry_run: false,
        };
        let figures = match made {
            "" => JobFigures::None,
            made => {
                JobFigures::Restore(RestoreFigures { target: made.to_owned(), ..RestoreFigures::default() })
            }
        };
        Reach::of(&plan, &figures)
    }

    fn folder(path: &str) -> RestoreTarget {
        RestoreTarget::Folder { path: path.to_owned() }
    }

    #[test]
    fn restores_meet_where_one_writes_into_what_the_other_writes() {
        let new = || RestoreTarget::NewFolder { within: String::new() };
        let all = || reach(RestoreTarget::Original, &[], "").unwrap();
        let one = || reach(folder("/srv"), &["/a/b"], "").unwrap();
        for (other, meets) in [
            (reach(folder("/srv"), &["/a/b"], ""), true),
            (reach(folder("/srv"), &["/a"], ""), true),
            (reach(folder("/srv"), &["/a/b/c"], ""), true),
            (reach(folder("/srv"), &["/a/bc", "/b"], ""), false),
            (reach(folder("/srv/a"), &["/b"], ""), true),
            (reach(folder("/srv/a"), &["/c"], ""), false),
            (reach(folder("/srv/a/b/c"), &[], ""), true),
            (reach(folder("/sr"), &[], ""), false),
            (reach(RestoreTarget::Original, &["/srv/a"], ""), true),
            (reach(RestoreTarget::Original, &["/a/b"], ""), false),
            (reach(new(), &[], "/srv/a/back"), false),
            (reach(new(), &["/b"], "/srv/a"), true),
        ] {
            let other = other.unwrap();
            assert_eq!((one().meets(&other), other.meets(&one())), (meets, meets), "{other:?}");
            assert!(all().meets(&other) && other.meets(&all()), "{other:?}");
        }
        assert_eq!(reach(new(), &[], ""), None);
    }
}
