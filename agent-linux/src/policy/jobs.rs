//! Whether a job may be run: at all, and now.

use super::{
    Here, Policy, check::find_ionice, in_words, is_within, own_state::OWN_STATE, roots::has_steps_up, when,
};
use crate::{platform, restic::Places};
use schema::{JobKind, JobSpec, OsText, RestoreTarget, job::COMMAND_SOURCE};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

const NO_DOWNLOADS: &str =
    "This machine's own policy lets nothing be downloaded. To change that: download in its policy file.";

impl Policy {
    /// The places that restic is run with, and what it may take of the machine.
    #[must_use]
    pub fn within_limits(&self, places: Places) -> Places {
        let limits = &self.limits;
        Places {
            drill: self.drill_folder(),
            small: limits.spare_memory.unwrap_or_else(platform::is_small),
            nice: limits.nice,
            ionice: if limits.io_idle { find_ionice() } else { None },
            upload_kib: limits.upload_kib,
            download_kib: limits.download_kib,
            ..places
        }
    }

    /// Why this job is not allowed here, at no time; `for_host`: it works on the repository of the host of this name.
    #[must_use]
    pub fn refuses(&self, spec: &JobSpec<'_>, for_host: Option<&str>) -> Option<String> {
        if let Some(host) = for_host {
            return self.refuses_for(host, spec);
        }
        match spec {
            JobSpec::Backup(backup) => {
                let hooks = backup.hooks_before.iter().chain(backup.hooks_after.iter());
                self.refuses_sources(backup.includes.iter()).or_else(|| self.lacks_hook(hooks))
            }
            JobSpec::Restore(restore) => self.restore_to(restore).err(),
            JobSpec::Download { path, .. } => self.refuses_download(*path),
            JobSpec::Ls { path, .. } if self.is_in_state(Path::new(OsStr::from_bytes(path.as_bytes()))) => {
                Some(OWN_STATE.to_owned())
            }
            // Folders of the machine are judged where they are opened, see [`crate::browse`].
            JobSpec::Ls { .. } | JobSpec::Browse { .. } => None,
            // They name nothing on this machine; their repository is judged apart.
            JobSpec::Probe
            | JobSpec::Init
            | JobSpec::Forget { .. }
            | JobSpec::Prune { .. }
            | JobSpec::Check { .. }
            | JobSpec::Unlock { .. }
            | JobSpec::Stats
            | JobSpec::Snapshots
            | JobSpec::Drill(_)
            | JobSpec::Find(_)
            | JobSpec::Diff { .. } => None,
        }
    }

    /// Why this job is not done for another host. What that has saved is none of this machine's files: it comes into
    /// folders as of one's own restores, and never to where files of the same name may lie here.
    fn refuses_for(&self, host: &str, spec: &JobSpec<'_>) -> Option<String> {
        if !self.other_hosts {
            return Some(format!(
                "This machine's own policy lets nothing be done for other hosts, as here for {host}. To change that: other_hosts in its policy file."
            ));
        }
        match spec {
            JobSpec::Restore(restore) if restore.target == RestoreTarget::Original => Some(format!(
                "What {host} has saved is not restored to the original places of this machine, which holds files of its own there: restore it into a folder."
            )),
            JobSpec::Restore(restore) => self.restore_to(restore).err(),
            JobSpec::Download { .. } => (!self.downloads).then(|| NO_DOWNLOADS.to_owned()),
            _ => Some(format!(
                "For another host, as here for {host}, files are restored and downloaded, and nothing else is done."
            )),
        }
    }

    /// Why this file or folder of a snapshot is not sent to the server.
    fn refuses_download(&self, path: OsText<'_>) -> Option<String> {
        if !self.downloads {
            return Some(NO_DOWNLOADS.to_owned());
        }
        let asked = Path::new(OsStr::from_bytes(path.as_bytes()));
        if self.is_in_state(asked) {
            return Some(OWN_STATE.to_owned());
        }
        let is_plain = asked.is_absolute() && !has_steps_up(asked);
        if is_plain && (self.source_roots.is_empty() || is_within(asked, &self.source_roots)) {
            return None;
        }
        Some(format!(
            "This machine's own policy does not let {path} be downloaded; it allows {}. To change that: source_roots in its policy file.",
            in_words(&self.source_roots)
        ))
    }

    /// Why these paths may not be backed up.
    fn refuses_sources<'p>(&self, mut sources: impl Iterator<Item = &'p str>) -> Option<String> {
        sources.find_map(|source| match source.strip_prefix(COMMAND_SOURCE) {
            Some(name) if self.commands.contains_key(name) => None,
            Some(name) => Some(format!(
                "This machine's own policy has no command {name}; {}. To change that: commands in its policy file.",
                names("it has", self.commands.keys())
            )),
            None if self.is_in_state(Path::new(source)) => Some(OWN_STATE.to_owned()),
            None if is_within(Path::new(source), &self.source_roots) => has_steps_up(Path::new(source)).then(|| {
                // restic takes them away by the names, the system by where links lead.
                format!("{source} has steps upwards, so that it can mean two folders: name it without.")
            }),
            None => Some(format!(
                "This machine's own policy does not let {source} be backed up; it allows {}. To change that: source_roots in its policy file.",
                in_words(&self.source_roots)
            )),
        })
    }

    fn lacks_hook<'p>(&self, mut hooks: impl Iterator<Item = &'p str>) -> Option<String> {
        let hook = hooks.find(|hook| !self.hooks.contains_key(*hook))?;
        Some(format!(
            "This machine's own policy has no hook {hook}; {}. To change that: hooks in its policy file.",
            names("it has", self.hooks.keys())
        ))
    }

    /// Why a job of this kind is not run here and now, but may be later.
    #[must_use]
    pub fn not_now(&self, kind: JobKind, here: &Here) -> Option<String> {
        let works_long = matches!(
            kind,
            JobKind::Backup
                | JobKind::Forget
                | JobKind::Prune
                | JobKind::Check
                | JobKind::Stats
                | JobKind::Drill
        );
        if works_long && let Some(quiet) = self.quiet.iter().find(|quiet| quiet.holds(here.minute)) {
            return Some(format!("This machine keeps quiet from {quiet}, so the job was not run."));
        }
        let is_here = |pattern: &String| here.interfaces.iter().any(|name| when::is_like(pattern, name));
        if kind == JobKind::Browse || self.interfaces.is_empty() || self.interfaces.iter().any(is_here) {
            return None;
        }
        let now = if here.interfaces.is_empty() { "none".to_owned() } else { here.interfaces.join(", ") };
        Some(format!(
            "This machine's own policy lets jobs run over {} only, and its way out is {now}, so the job was not run.",
            self.interfaces.join(", ")
        ))
    }
}

fn names<'n>(has: &str, names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("{has} {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};
    use schema::{Items, Overwrite, job::BackupSpec, restore::RestoreSpec};

    fn policy(text: &str) -> Policy {
        file::parse(text, Path::new("/nowhere/state"), Path::new("/nowhere/policy.toml")).unwrap()
    }

    fn backup<'a>(includes: &[&'a str], hooks: &[&'a str], room: &'a mut [[u8; 256]; 2]) -> JobSpec<'a> {
        let [first, second] = room;
        JobSpec::Backup(BackupSpec {
            group: "files",
            includes: Items::write(includes.iter().copied(), first).unwrap(),
            excludes: Items::EMPTY,
            exclude_if_present: Items::EMPTY,
            one_file_system: false,
            required_mounts: Items::EMPTY,
            hooks_before: Items::EMPTY,
            hooks_after: Items::write(hooks.iter().copied(), second).unwrap(),
            dry_run: false,
            origins: Items::EMPTY,
        })
    }

    #[test]
    fn what_the_server_asks_for_is_held_to_the_policy() {
        let policy = policy(
            "source_roots = ['/nowhere/photos', '/nowhere/state']\n\
             [hooks.dump]\ncommand = ['/bin/true']\n[commands.db]\ncommand = ['/bin/dump']\nfile_name = 'db.sql'\n",
        );
        let mut room = [[0; 256]; 2];
        for (includes, hooks, said) in [
            (&["/nowhere/photos/a"][..], &[][..], None),
            (
                &["/nowhere/photos", "/etc"],
                &[],
                Some("does not let /etc be backed up; it allows /nowhere/photos, "),
            ),
            (&["/nowhere/photos/../../etc"], &[], Some("does not let")),
            (&["/nowhere/state/identity"], &[], Some("own state folder holds its keys")),
            (&["command:db"], &["dump"], None),
            (&["command:rm"], &[], Some("has no command rm; it has db")),
            (&["/nowhere/photos"], &["dump", "/bin/sh"], Some("has no hook /bin/sh; it has dump")),
        ] {
            let refused = policy.refuses(&backup(includes, hooks, &mut room), None);
            assert_eq!(refused.is_some(), said.is_some(), "{includes:?}: {refused:?}");
            assert!(refused.unwrap_or_default().contains(said.unwrap_or_default()));
        }
    }

    #[test]
    fn a_download_is_held_to_the_key_and_to_the_source_roots() {
        let asked = |policy: &Policy, path: &str| {
            policy.refuses(&JobSpec::Download { snapshot: "0", path: path.into(), archive: false }, None)
        };
        let open = policy("");
        assert_eq!(asked(&open, "/etc/fstab"), None);
        assert!(asked(&open, "/etc/../root/x").is_some_and(|said| said.contains("does not let")));
        assert!(asked(&open, "/nowhere/state/identity").is_some_and(|said| said.contains("holds its keys")));
        assert!(
            asked(&policy("download = false"), "/etc/fstab").is_some_and(|said| said.contains("download in"))
        );
        let rooted = policy("source_roots = ['/nowhere/photos']");
        assert_eq!(asked(&rooted, "/nowhere/photos/a"), None);
        for path in ["/", "/nowhere", "/etc/fstab", "/nowhere/photos/../x"] {
            assert!(asked(&rooted, path).is_some_and(|said| said.contains("source_roots")), "{path}");
        }
    }

    #[test]
    fn for_another_host_files_are_restored_into_folders_and_sent_where_the_owner_lets_it_and_nothing_else() {
        let restore = |target| {
            JobSpec::Restore(RestoreSpec {
                snapshot: "0",
                paths: Items::EMPTY,
                target,
                overwrite: Overwrite::Never,
                delete: false,
                verify: true,
                dry_run: false,
            })
        };
        let base = || restore(RestoreTarget::NewFolder { within: "".into() });
        let download = JobSpec::Download { snapshot: "0", path: "/etc/fstab".into(), archive: false };
        let closed = policy("restore_in_place = true");
        for spec in [base(), download, JobSpec::Probe] {
            assert!(closed.refuses(&spec, Some("attic")).is_some_and(|said| said.contains("other_hosts in")));
        }
        assert_eq!(closed.refuses(&base(), None), None);
        // Its own source roots say nothing of another machine's files.
        let open = policy("other_hosts = true\nrestore_in_place = true\nsource_roots = ['/nowhere/photos']");
        assert_eq!(open.refuses(&base(), Some("attic")), None);
        assert_eq!(open.refuses(&download, Some("attic")), None);
        let refused = |spec| open.refuses(&spec, Some("attic")).unwrap_or_default();
        assert!(refused(restore(RestoreTarget::Original)).contains("files of its own"));
        assert!(
            refused(restore(RestoreTarget::Folder { path: "/srv/x".into() })).contains("restore_targets")
        );
        for spec in [JobSpec::Probe, JobSpec::Prune { dry_run: false }, JobSpec::Snapshots, JobSpec::Stats] {
            assert!(refused(spec).contains("nothing else"), "{spec:?}");
        }
        let sends_nothing = policy("other_hosts = true\ndownload = false");
        assert!(
            sends_nothing.refuses(&download, Some("attic")).is_some_and(|said| said.contains("download in"))
        );
    }

    #[test]
    fn a_path_with_steps_upwards_is_refused_for_it_can_mean_two() {
        let mut room = [[0; 256]; 2];
        let refused = Policy::default().refuses(&backup(&["/usr", "/usr/../usr"], &[], &mut room), None);
        assert!(refused.is_some_and(|said| said.contains("/usr/../usr has steps upwards")));
    }

    #[test]
    fn quiet_hours_and_interfaces_hold_back_what_they_are_meant_for() {
        let policy = policy("quiet_hours = ['08:00-18:00']\ninterfaces = ['eth*', 'wlan0']");
        let at = |minute, interface: &str| Here { minute, interfaces: vec![interface.to_owned()] };
        for (kind, here, holds) in [
            (JobKind::Backup, at(7 * 60 + 59, "eth0"), false),
            (JobKind::Backup, at(8 * 60, "eth0"), true),
            (JobKind::Check, at(17 * 60 + 59, "eth0"), true),
            (JobKind::Backup, at(18 * 60, "wlan0"), false),
            (JobKind::Unlock, at(12 * 60, "eth1"), false),
            (JobKind::Unlock, at(12 * 60, "wwan0"), true),
            (JobKind::Backup, at(20 * 60, "wlan01"), true),
            (JobKind::Browse, at(12 * 60, "wwan0"), false),
            (JobKind::Probe, Here { minute: 0, interfaces: Vec::new() }, true),
        ] {
            assert_eq!(policy.not_now(kind, &here).is_some(), holds, "{kind:?} {here:?}");
            assert_eq!(Policy::default().not_now(kind, &here), None);
        }
        let said = policy.not_now(JobKind::Backup, &at(9 * 60, "eth0")).unwrap();
        assert!(said.contains("from 08:00 to 18:00"), "{said}");
    }
}
