//! Where something is restored to.

use super::{Policy, in_words, is_within, own_state::OWN_STATE, real, roots::has_steps_up};
use crate::{restic::RestoreTo, state_folder::DEFAULT_FOLDER};
use schema::{OsText, RestoreTarget, restore::RestoreSpec};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

const NOTHING_TO_DELETE: &str = "A new folder holds nothing that could be deleted.";

/// The agent's own base when the policy names none: beside the state folder.
pub(super) fn default_base(state_dir: &Path) -> PathBuf {
    if state_dir == Path::new(DEFAULT_FOLDER) {
        return real(Path::new("/var/lib")).join("holdfast/restored");
    }
    let mut base = real(state_dir).into_os_string();
    base.push("-restored");
    PathBuf::from(base)
}

impl Policy {
    /// The folder that drills restore into: in the state folder, or in `restore_base` where the owner has named one, for
    /// many a machine has little room where its state is.
    #[must_use]
    pub fn drill_folder(&self) -> PathBuf {
        if self.restore_base == default_base(&self.state_dir) {
            real(&self.state_dir).join("drill")
        } else {
            self.restore_base.join("holdfast-drill")
        }
    }

    /// The folders that new ones may be made in.
    #[must_use]
    pub fn restore_roots(&self) -> Vec<PathBuf> {
        core::iter::once(&self.restore_base).chain(&self.restore_targets).cloned().collect()
    }

    /// Where this restore goes; else why it is not done, with the key that would have to be another.
    pub fn restore_to(&self, restore: &RestoreSpec<'_>) -> Result<RestoreTo, String> {
        let forbidden = vec![self.state_dir.clone()];
        let (path, is_new) = match restore.target {
            RestoreTarget::Original => {
                return self.in_place(restore).map(|without| RestoreTo::Original { without });
            }
            RestoreTarget::NewFolder { within } if within.as_bytes().is_empty() => {
                if restore.delete {
                    return Err(NOTHING_TO_DELETE.to_owned());
                }
                return Ok(RestoreTo::New { within: self.restore_base.clone(), forbidden });
            }
            RestoreTarget::NewFolder { within } => (within, true),
            RestoreTarget::Folder { path } => (path, false),
        };
        if is_new && restore.delete {
            return Err(NOTHING_TO_DELETE.to_owned());
        }
        let target = Path::new(OsStr::from_bytes(path.as_bytes()));
        let is_plain = target.is_absolute() && !has_steps_up(target) && !path.as_bytes().contains(&0);
        let Some(root) = self.restore_roots().into_iter().find(|root| is_plain && target.starts_with(root))
        else {
            return Err(format!(
                "This machine's own policy does not let anything be restored into {path}; it allows new folders below {}. To change that: restore_targets in its policy file.",
                in_words(&self.restore_roots())
            ));
        };
        if self.is_in_state(target) {
            return Err(OWN_STATE.to_owned());
        }
        let below = target.strip_prefix(&root).unwrap_or(Path::new(""));
        if let Some(name) = hidden_name(below) {
            return Err(format!(
                "Nothing is restored into {name}: programs read folders of such names by themselves (.ssh, .config). Name a folder whose name begins with another sign than a dot."
            ));
        }
        // By its names alone, without `.` and doubled slashes.
        let path: PathBuf = target.components().collect();
        if is_new {
            return Ok(RestoreTo::New { within: path, forbidden });
        }
        // What is restored lies below it under its whole path, and could be the agent's own.
        if self.own_paths().iter().any(|own| own.starts_with(&path) || own.starts_with(real(&path))) {
            return Err(format!(
                "The agent's own state folder or policy file lies in {}: name a narrower folder, or restore into a new one.",
                path.display()
            ));
        }
        Ok(RestoreTo::Folder { path, may_hold: self.restore_in_place, forbidden })
    }

    /// What is the agent's own, by the names that were given and by where they lead.
    fn own_paths(&self) -> Vec<PathBuf> {
        [&self.state_dir, &self.file].into_iter().flat_map(|path| [path.clone(), real(path)]).collect()
    }

    /// What a restore to where it was must leave alone; else why it is not done.
    fn in_place(&self, restore: &RestoreSpec<'_>) -> Result<Vec<PathBuf>, String> {
        if !self.restore_in_place {
            return Err(format!(
                "This machine's own policy does not let anything be restored to where it was, over what is there; it allows new folders below {}. To change that: restore_in_place in its policy file.",
                in_words(&self.restore_roots())
            ));
        }
        let own = self.own_paths();
        let paths = || restore.paths.iter().map(OsText::as_bytes);
        // The root is all there is.
        let is_all = paths().next().is_none() || paths().any(|path| path.iter().all(|&byte| byte == b'/'));
        if is_all && restore.delete {
            return Err("Nothing is deleted from a whole machine: name the paths.".to_owned());
        }
        if is_all {
            if !self.source_roots.is_empty() {
                return Err(format!(
                    "This machine's own policy lets only what is in {} be restored to where it was (source_roots): name the paths.",
                    in_words(&self.source_roots)
                ));
            }
            return Ok(own);
        }
        for include in restore.paths.iter() {
            let path = Path::new(OsStr::from_bytes(include.as_bytes()));
            let found = real(path);
            let is_plain = path.is_absolute() && !has_steps_up(path);
            let is_allowed = self.source_roots.is_empty()
                || (is_within(path, &self.source_roots)
                    && self
                        .source_roots
                        .iter()
                        .any(|root| path.starts_with(root) || path.starts_with(real(root))));
            if !is_plain || !is_allowed {
                return Err(format!(
                    "This machine's own policy does not let {include} be restored to where it was; it allows {}. To change that: source_roots in its policy file.",
                    in_words(&self.source_roots)
                ));
            }
            if own
                .iter()
                .any(|own| [path, &found].iter().any(|path| own.starts_with(path) || path.starts_with(own)))
            {
                return Err(format!(
                    "The agent's own state folder and policy file are in {include} and are never restored over: name narrower paths, or restore into a new folder."
                ));
            }
        }
        Ok(Vec::new())
    }
}

/// The first name that begins with a dot.
fn hidden_name(below: &Path) -> Option<String> {
    let mut names = below.components().map(|name| name.as_os_str().to_string_lossy());
    names.find(|name| name.starts_with('.')).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Items, Overwrite};

    fn policy() -> Policy {
        Policy {
            restore_base: "/nowhere/base".into(),
            restore_targets: vec!["/nowhere/back".into()],
            state_dir: "/nowhere/state".into(),
            file: "/nowhere/policy.toml".into(),
            ..Policy::default()
        }
    }

    fn with<'a>(target: RestoreTarget<'a>, paths: Items<'a, OsText<'a>>) -> RestoreSpec<'a> {
        let (snapshot, overwrite) = ("0", Overwrite::Never);
        RestoreSpec { snapshot, paths, target, overwrite, delete: false, verify: true, dry_run: false }
    }

    /// Into a new folder in `target`; `/` = to where it was.
    fn to(policy: &Policy, target: &str, paths: &[&str]) -> Result<RestoreTo, String> {
        let mut room = [0; 512];
        let paths = Items::write(paths.iter().map(|path| OsText::from(*path)), &mut room).unwrap();
        let target = match target {
            "/" => RestoreTarget::Original,
            within => RestoreTarget::NewFolder { within: within.into() },
        };
        policy.restore_to(&with(target, paths))
    }

    /// Into the folder itself.
    fn into(policy: &Policy, path: &str) -> Result<RestoreTo, String> {
        policy.restore_to(&with(RestoreTarget::Folder { path: path.into() }, Items::EMPTY))
    }

    #[test]
    fn a_named_folder_is_allowed_where_new_ones_are_but_not_above_what_is_the_agents() {
        let policy = Policy { restore_targets: vec!["/nowhere".into()], ..policy() };
        for (path, found) in [
            ("/nowhere/back", Ok("/nowhere/back")),
            ("/nowhere//back/./a", Ok("/nowhere/back/a")),
            ("/nowhere/base/x", Ok("/nowhere/base/x")),
            ("/nowhere", Err("a narrower folder")),
            ("/nowhere/state", Err("holds its keys")),
            ("/nowhere/state/x", Err("holds its keys")),
            ("/nowhere/back/.ssh", Err("another sign")),
            ("/nowhere/../etc", Err("restore_targets")),
            ("/etc", Err("restore_targets")),
            ("", Err("restore_targets")),
            ("/", Err("restore_targets")),
        ] {
            match (into(&policy, path), found) {
                (Ok(RestoreTo::Folder { path: got, may_hold, .. }), Ok(wanted)) => {
                    assert_eq!((got.as_path(), may_hold), (Path::new(wanted), false));
                }
                (Err(why), Err(says)) => assert!(why.contains(says), "{path}: {why}"),
                (got, _) => panic!("{path}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_named_folder_that_holds_something_needs_the_right_to_replace_what_is_there() {
        for restore_in_place in [false, true] {
            let policy = Policy { restore_in_place, ..policy() };
            let Ok(RestoreTo::Folder { may_hold, .. }) = into(&policy, "/nowhere/base/x") else { panic!() };
            assert_eq!(may_hold, restore_in_place);
        }
    }

    #[test]
    fn what_the_snapshot_lacks_is_deleted_only_in_what_was_named() {
        let policy = Policy { restore_in_place: true, ..policy() };
        let mut room = [0; 64];
        let deletes = |target, paths: &[&'static str]| {
            let mut room = [0; 64];
            let paths = Items::write(paths.iter().map(|path| OsText::from(*path)), &mut room).unwrap();
            policy.restore_to(&RestoreSpec { delete: true, ..with(target, paths) }).err().unwrap_or_default()
        };
        assert_eq!(deletes(RestoreTarget::Original, &["/srv/a"]), "");
        assert_eq!(deletes(RestoreTarget::Folder { path: "/nowhere/base/x".into() }, &[]), "");
        for paths in [&[][..], &["/"], &["/srv/a", "//"]] {
            assert!(deletes(RestoreTarget::Original, paths).contains("whole machine"), "{paths:?}");
        }
        for within in ["", "/nowhere/base"] {
            let why = deletes(RestoreTarget::NewFolder { within: within.into() }, &["/srv/a"]);
            assert!(why.contains("A new folder holds nothing"), "{why}");
        }
        let all = Items::write([OsText::from("/srv"), OsText::from("/")], &mut room).unwrap();
        let RestoreTo::Original { without } = policy.restore_to(&with(RestoreTarget::Original, all)).unwrap()
        else {
            panic!()
        };
        assert!(
            without.contains(&"/nowhere/state".into()),
            "all of it is all, beside whatever else is named"
        );
    }

    #[test]
    fn only_new_folders_below_the_base_and_the_named_targets() {
        let policy = policy();
        for (target, found) in [
            ("", Some("/nowhere/base")),
            ("/nowhere/base", Some("/nowhere/base")),
            ("/nowhere/base/today", Some("/nowhere/base/today")),
            ("/nowhere/back/a/b", Some("/nowhere/back/a/b")),
            ("/nowhere/baseless", None),
            ("/nowhere", None),
            ("/nowhere/base/../../etc", None),
            ("relative", None),
            ("/etc", None),
            ("//", None),
            ("/.", None),
        ] {
            match (to(&policy, target, &[]), found) {
                (Ok(RestoreTo::New { within, .. }), Some(wanted)) => assert_eq!(within, Path::new(wanted)),
                (Err(why), None) => assert!(why.contains("restore_targets"), "{target}: {why}"),
                (got, _) => panic!("{target}: {got:?}"),
            }
        }
        for target in ["/nowhere/back/.ssh", "/nowhere/back/a/.config/autostart", "/nowhere/base/.x/y"] {
            assert!(to(&policy, target, &[]).unwrap_err().contains("begins with another sign"), "{target}");
        }
        let hidden = Policy { restore_targets: vec!["/nowhere/.back".into()], ..policy.clone() };
        assert!(to(&hidden, "/nowhere/.back/a", &[]).is_ok(), "the owner named it");
        let wide = Policy { restore_targets: vec!["/".into()], ..policy };
        assert!(to(&wide, "/etc/new", &[]).is_ok());
        assert!(to(&wide, "/nowhere/state/x", &[]).unwrap_err().contains("holds its keys"));
        assert!(
            to(&wide, "/", &[]).unwrap_err().contains("restore_in_place"),
            "the root itself is the old place"
        );
    }

    #[test]
    fn to_where_it_was_only_by_the_key_and_never_over_what_is_the_agents() {
        let policy = policy();
        assert!(to(&policy, "/", &["/srv/a"]).unwrap_err().contains("restore_in_place"));
        let open = Policy { restore_in_place: true, ..policy };
        let Ok(RestoreTo::Original { without }) = to(&open, "/", &[]) else { panic!() };
        assert!(
            without.contains(&"/nowhere/state".into()) && without.contains(&"/nowhere/policy.toml".into())
        );
        assert_eq!(to(&open, "/", &["/srv/a"]), Ok(RestoreTo::Original { without: Vec::new() }));
        assert!(
            matches!(to(&open, "/", &["/srv/a", "/"]), Ok(RestoreTo::Original { without }) if !without.is_empty())
        );
        for include in [
            "/nowhere",
            "/nowhere/state",
            "/nowhere/state/identity",
            "/nowhere/policy.toml",
            "/nowhere/x/../state",
        ] {
            assert!(to(&open, "/", &["/srv/a", include]).is_err(), "{include}");
        }
        let rooted = Policy { source_roots: vec!["/nowhere/photos".into()], ..open };
        assert!(to(&rooted, "/", &["/nowhere/photos/2026"]).is_ok());
        for includes in
            [&[][..], &["/etc/cron.d"], &["/nowhere/photos/../../etc"], &["/nowhere/photos", "/nowhere"]]
        {
            assert!(to(&rooted, "/", includes).unwrap_err().contains("source_roots"), "{includes:?}");
        }
    }

    #[test]
    fn drills_go_where_the_owner_has_named_room() {
        assert_eq!(policy().drill_folder(), Path::new("/nowhere/base/holdfast-drill"));
        let unnamed = Policy { restore_base: default_base(Path::new("/nowhere/state")), ..policy() };
        assert_eq!(unnamed.drill_folder(), Path::new("/nowhere/state/drill"));
    }

    #[test]
    fn the_base_lies_beside_the_state_folder() {
        assert_eq!(default_base(Path::new("/nowhere/agent")), Path::new("/nowhere/agent-restored"));
        assert!(default_base(Path::new(DEFAULT_FOLDER)).ends_with("holdfast/restored"));
    }
}
