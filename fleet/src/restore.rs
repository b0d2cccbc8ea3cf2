//! Restores: whether what is asked for makes sense. What the host lets be done is its own policy's to say.

use crate::folder::{check_snapshot, clean_path};
use crate::record::{RestorePlan, RestoreTarget};
use crate::refused::Refused;

/// The most paths of one restore.
pub(crate) const MAX_PATHS: usize = 1_000;

/// The plan with its paths as they are kept, each once.
pub(crate) fn check(plan: &RestorePlan) -> Result<RestorePlan, Refused> {
    check_snapshot(&plan.snapshot)?;
    if plan.paths.len() > MAX_PATHS {
        return Err(Refused::invalid(
            "paths",
            "one restore takes at most 1,000 paths: name the folders that they are in",
        ));
    }
    let named = |field: &'static str| {
        move |refused| match refused {
            Refused::InvalidInput { message, .. } => Refused::InvalidInput { field, message },
            other => other,
        }
    };
    let mut paths = Vec::with_capacity(plan.paths.len());
    for path in &plan.paths {
        paths.push(clean_path(path).map_err(named("paths"))?);
    }
    paths.sort();
    paths.dedup();
    if paths.first().is_some_and(|path| path == "/") {
        paths.clear();
    }
    let target = match &plan.target {
        RestoreTarget::NewFolder { within } if within.is_empty() => plan.target.clone(),
        RestoreTarget::NewFolder { within } => {
            RestoreTarget::NewFolder { within: clean_path(within).map_err(named("target.path"))? }
        }
        RestoreTarget::Folder { path } => {
            let path = clean_path(path).map_err(named("target.path"))?;
            if path == "/" {
                return Err(Refused::invalid(
                    "target.path",
                    "a folder below / is needed; to restore to where it was, choose the original places",
                ));
            }
            RestoreTarget::Folder { path }
        }
        RestoreTarget::Original => RestoreTarget::Original,
    };
    match target {
        RestoreTarget::NewFolder { .. } if plan.delete => {
            return Err(Refused::invalid("delete", "a new folder holds nothing that could be deleted"));
        }
        RestoreTarget::Original if plan.delete && paths.is_empty() => {
            return Err(Refused::invalid(
                "delete",
                "nothing is deleted from a whole machine: name the paths in which what the snapshot lacks is to go",
            ));
        }
        _ => {}
    }
    Ok(RestorePlan { paths, target, ..plan.clone() })
}

/// Whether it makes sense on another host than the source. That has files of its own at the original places: who is to
/// have a machine's files where they were takes its place.
pub(crate) fn check_for_other(plan: &RestorePlan) -> Result<(), Refused> {
    if plan.target == RestoreTarget::Original {
        let why = "another host has files of its own at the original places: restore into a folder of it, or enrol a new \
                   machine as this host";
        return Err(Refused::invalid("target.kind", why));
    }
    Ok(())
}

/// What a restore is, for the audit: which files of what, and where to.
pub(crate) fn detail(plan: &RestorePlan) -> String {
    let snapshot = &plan.snapshot[..8];
    let what = match plan.paths.as_slice() {
        [] => format!("all of {snapshot}"),
        [one] => format!("{one} of {snapshot}"),
        [first, rest @ ..] => format!("{first} and {} more of {snapshot}", rest.len()),
    };
    let to = match &plan.target {
        RestoreTarget::NewFolder { within } if within.is_empty() => "a new folder".to_owned(),
        RestoreTarget::NewFolder { within } => format!("a new folder in {within}"),
        RestoreTarget::Folder { path } => path.clone(),
        RestoreTarget::Original => "the original places".to_owned(),
    };
    let over = match &plan.target {
        RestoreTarget::NewFolder { .. } => String::new(),
        _ => format!(", overwrite {}", plan.overwrite.as_str()),
    };
    format!("{what} to {to}{over}{}", if plan.delete { ", delete what the snapshot lacks" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{HostId, Overwrite};

    fn plan(paths: &[&str], target: RestoreTarget) -> RestorePlan {
        RestorePlan {
            source: HostId([1; 16]),
            snapshot: "0badcafe".to_owned(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            target,
            overwrite: Overwrite::Never,
            delete: false,
            verify: true,
            dry_run: false,
        }
    }

    fn folder(path: &str) -> RestoreTarget {
        RestoreTarget::Folder { path: path.to_owned() }
    }

    #[test]
    fn paths_are_kept_clean_and_once_and_the_root_is_all() {
        let base = RestoreTarget::NewFolder { within: String::new() };
        let kept = |paths: &[&str]| check(&plan(paths, base.clone())).unwrap().paths;
        assert_eq!(kept(&["/b/", "/a//c/.", "/b"]), ["/a/c", "/b"]);
        assert_eq!(kept(&["/b", "/"]), Vec::<String>::new());
        assert_eq!(kept(&["/odd\\xff"]), ["/odd\\xff"]);
        let target = check(&plan(&[], folder("/srv//back/"))).unwrap().target;
        assert_eq!(target, folder("/srv/back"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        let base = || RestoreTarget::NewFolder { within: String::new() };
        let field = |plan: RestorePlan| match check(&plan) {
            Err(Refused::InvalidInput { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        for (asked, wanted) in [
            (RestorePlan { snapshot: "latest".to_owned(), ..plan(&[], base()) }, "snapshot"),
            (plan(&["etc"], base()), "paths"),
            (plan(&["/a/../b"], base()), "paths"),
            (plan(&["/x"; MAX_PATHS + 1], base()), "paths"),
            (plan(&[], folder("")), "target.path"),
            (plan(&[], folder("/")), "target.path"),
            (plan(&[], RestoreTarget::NewFolder { within: "back".to_owned() }), "target.path"),
            (RestorePlan { delete: true, ..plan(&["/a"], base()) }, "delete"),
            (RestorePlan { delete: true, ..plan(&["/a", "/"], RestoreTarget::Original) }, "delete"),
        ] {
            assert_eq!(field(asked), wanted);
        }
        for asked in [folder("/srv/back"), RestoreTarget::Original] {
            check(&RestorePlan { delete: true, ..plan(&["/a"], asked) }).unwrap();
        }
    }
}
