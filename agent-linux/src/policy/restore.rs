//! Where something is restored to.

use super::{Policy, in_words, is_within, own_state::OWN_STATE, real, roots::has_steps_up};
use crate::{restic::RestoreTo, state::DEFAULT_FOLDER};
use schema::job::RestoreSpec;
use std::path::{Path, PathBuf};

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
    /// The folders that new ones may be made in.
    #[must_use]
    pub fn restore_roots(&self) -> Vec<PathBuf> {
        core::iter::once(&self.restore_base).chain(&self.restore_targets).cloned().collect()
    }

    /// Where this restore goes; else why it is not done, with the key that would have to be another.
    pub fn restore_to(&self, restore: &RestoreSpec<'_>) -> Result<RestoreTo, String> {
        if restore.target == "/" {
            return self.in_place(restore).map(|without| RestoreTo::Original { without });
        }
        let forbidden = vec![self.state_dir.clone()];
        if restore.target.is_empty() {
            let (root, below) = (self.restore_base.clone(), PathBuf::new());
            return Ok(RestoreTo::New { root, below, forbidden });
        }
        let target = Path::new(restore.target);
        let is_plain = target.is_absolute() && !has_steps_up(target);
        let root = self.restore_roots().into_iter().find(|root| is_plain && target.starts_with(root));
        match root {
            Some(_) if self.is_in_state(target) => Err(OWN_STATE.to_owned()),
            Some(root) => {
                let below = target.strip_prefix(&root).unwrap_or(Path::new("")).to_owned();
                match hidden_name(&below) {
                    Some(name) => Err(format!(
                        "Nothing is restored into {name}: programs read folders of such names by themselves (.ssh, .config). Name a folder whose name begins with another sign than a dot."
                    )),
                    None => Ok(RestoreTo::New { root, below, forbidden }),
                }
            }
            None => Err(format!(
                "This machine's own policy does not let anything be restored into {}; it allows new folders below {}. To change that: restore_targets in its policy file.",
                restore.target,
                in_words(&self.restore_roots())
            )),
        }
    }

    /// What a restore to where it was must leave alone; else why it is not done.
    fn in_place(&self, restore: &RestoreSpec<'_>) -> Result<Vec<PathBuf>, String> {
        if !self.restore_in_place {
            return Err(format!(
                "This machine's own policy does not let anything be restored to where it was, over what is there; it allows new folders below {}. To change that: restore_in_place in its policy file.",
                in_words(&self.restore_roots())
            ));
        }
        let own: Vec<PathBuf> =
            [&self.state_dir, &self.file].into_iter().flat_map(|path| [path.clone(), real(path)]).collect();
        if restore.includes.is_empty() {
            if !self.source_roots.is_empty() {
                return Err(format!(
                    "This machine's own policy lets only what is in {} be restored to where it was (source_roots): name the paths.",
                    in_words(&self.source_roots)
                ));
            }
            return Ok(own);
        }
        for include in restore.includes.iter() {
            let path = Path::new(include);
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
    use schema::Items;

    fn policy() -> Policy {
        Policy {
            restore_base: "/nowhere/base".into(),
            restore_targets: vec!["/nowhere/back".into()],
            state_dir: "/nowhere/state".into(),
            file: "/nowhere/policy.toml".into(),
            ..Policy::default()
        }
    }

    fn to(policy: &Policy, target: &str, includes: &[&str]) -> Result<RestoreTo, String> {
        let mut room = [0; 512];
        let includes = Items::write(includes.iter().copied(), &mut room).unwrap();
        policy.restore_to(&RestoreSpec { snapshot: "0", includes, target, dry_run: false })
    }

    #[test]
    fn only_new_folders_below_the_base_and_the_named_targets() {
        let policy = policy();
        for (target, found) in [
            ("", Some(("/nowhere/base", ""))),
            ("/nowhere/base", Some(("/nowhere/base", ""))),
            ("/nowhere/base/today", Some(("/nowhere/base", "today"))),
            ("/nowhere/back/a/b", Some(("/nowhere/back", "a/b"))),
            ("/nowhere/baseless", None),
            ("/nowhere", None),
            ("/nowhere/base/../../etc", None),
            ("relative", None),
            ("/etc", None),
            ("//", None),
            ("/.", None),
        ] {
            match (to(&policy, target, &[]), found) {
                (Ok(RestoreTo::New { root, below, .. }), Some((wanted, rest))) => {
                    assert_eq!((root.as_path(), below.as_path()), (Path::new(wanted), Path::new(rest)));
                }
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
        for include in [
            "/",
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
    fn the_base_lies_beside_the_state_folder() {
        assert_eq!(default_base(Path::new("/nowhere/agent")), Path::new("/nowhere/agent-restored"));
        assert!(default_base(Path::new(DEFAULT_FOLDER)).ends_with("holdfast/restored"));
    }
}
