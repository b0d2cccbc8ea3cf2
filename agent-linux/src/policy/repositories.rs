//! Which repositories this machine's backups may go to.

use super::{
    Policy,
    pattern::{in_words, leads_elsewhere},
    real,
    roots::{has_steps_up, system_folder_above},
};
use schema::location::{Location, names_machine};
use std::path::Path;

impl Policy {
    /// Why this repository is not used. `env` are the names of the slot's extra variables. An address that is none is
    /// left to who reads it.
    #[must_use]
    pub fn refuses_repository<'n>(
        &self,
        url: &str,
        mut env: impl Iterator<Item = &'n str>,
    ) -> Option<String> {
        let folder = match Location::parse(url) {
            // restic takes them away by the names, the system by where links lead.
            Ok(Location::Local(folder)) if has_steps_up(Path::new(folder)) => {
                return Some(format!(
                    "The repository {url} has steps upwards, so that it can mean two folders: name it without, also in repositories of the policy file."
                ));
            }
            Ok(Location::Local(folder)) => Some(real(Path::new(folder))),
            Ok(_) => None,
            Err(_) => return None,
        };
        if let Some(folder) = &folder
            && (self.is_in_state(folder)
                || [&self.state_dir, &self.restore_base].into_iter().any(|own| real(own).starts_with(folder)))
        {
            return Some("A repository can't lie in the agent's own folders, nor they in it.".to_owned());
        }
        if self.repositories.is_empty() {
            let system = folder.as_deref().and_then(system_folder_above)?;
            return Some(format!(
                "The agent keeps no repository in {system}, which belongs to the system, unless the policy file of this machine names it in repositories."
            ));
        }
        // A folder is judged by where it leads, an address as it is written.
        let judged = folder.as_ref().map_or(url.to_owned(), |folder| folder.display().to_string());
        if leads_elsewhere(&judged) || !self.repositories.iter().any(|pattern| pattern.allows(&judged)) {
            return Some(format!(
                "This machine's own policy does not let it use the repository {url}; it allows {}. To change that: repositories in its policy file.",
                in_words(&self.repositories)
            ));
        }
        let name = env.find(|name| names_machine(name))?;
        Some(format!(
            "This machine's own policy names its repositories, and the variable {name} could lead elsewhere. Remove it from the credentials."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Pattern, *};
    use std::path::PathBuf;

    fn policy(patterns: &[&str]) -> Policy {
        Policy {
            repositories: patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect(),
            state_dir: "/nowhere/state".into(),
            restore_base: "/nowhere/restored".into(),
            ..Policy::default()
        }
    }

    fn refuses(policy: &Policy, url: &str) -> bool {
        policy.refuses_repository(url, [].into_iter()).is_some()
    }

    #[test]
    fn without_patterns_only_what_belongs_to_the_system_and_the_agent_is_refused() {
        let policy = policy(&[]);
        for (url, refused) in [
            ("rest:https://anywhere/x", false),
            ("s3:https://anywhere/bucket", false),
            ("sftp:me@nas:/repo", false),
            ("/nowhere/repo", false),
            ("/mnt/usb/repo", false),
            ("/etc/cron.d", true),
            ("local:/usr/lib/x", true),
            ("/mnt/../etc/x", true),
            ("/proc/self/root/etc/x", true),
            ("/nowhere/state", true),
            ("local:/nowhere/state/repo", true),
            ("/nowhere/restored", true),
            ("/nowhere", true),
            ("not an address", false),
        ] {
            assert_eq!(refuses(&policy, url), refused, "{url}");
        }
    }

    #[test]
    fn patterns_name_where_backups_may_go() {
        let policy =
            policy(&["rest:https://nas:8000/attic/*", "s3:s3.example.org/bucket", "/nowhere/usb/*", "b2:*"]);
        for (url, refused) in [
            ("rest:https://nas:8000/attic/", false),
            ("rest:https://nas:8000/attic", false),
            ("rest:https://nas:8000/attic/files", false),
            ("rest:https://nas:8000/attics", true),
            ("rest:https://nas:8000/attic/../cellar", true),
            ("rest:https://nas:8000/attic/%2e%2E/cellar", true),
            ("rest:https://nas:8000/attic/a%2F..", true),
            ("rest:http://nas:8000/attic/", true),
            ("rest:https://nas:800/attic/", true),
            ("rest:https://evil/nas:8000/attic/", true),
            ("s3:s3.example.org/bucket", false),
            ("s3:s3.example.org/bucket/", false),
            ("s3:s3.example.org/bucket/more", true),
            ("s3:s3.example.org/bucket2", true),
            ("b2:mine:path", false),
            ("/nowhere/usb/repo", false),
            ("local:/nowhere/usb", false),
            ("/nowhere/usb2", true),
            ("/nowhere/usb/../other", true),
            ("/etc", true),
        ] {
            assert_eq!(refuses(&policy, url), refused, "{url}");
        }
        for name in
            ["HTTPS_PROXY", "HTTP_PROXY", "OS_AUTH_URL", "OS_STORAGE_URL", "ST_AUTH", "AZURE_ENDPOINT_SUFFIX"]
        {
            let why = policy.refuses_repository("rest:https://nas:8000/attic/", [name].into_iter());
            assert!(why.is_some_and(|why| why.contains(name)));
        }
        assert_eq!(policy.refuses_repository("b2:mine:path", ["B2_ACCOUNT_ID"].into_iter()), None);
    }

    #[test]
    fn a_folder_is_judged_by_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        std::fs::create_dir_all(at("usb")).unwrap();
        std::os::unix::fs::symlink("/etc", at("usb/door")).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        assert!(refuses(&policy(&[]), &text(at("usb/door/repo"))));
        let policy = policy(&[&format!("{}/*", text(at("usb")))]);
        assert!(!refuses(&policy, &text(at("usb/repo"))));
        assert!(refuses(&policy, &text(at("usb/door/repo"))));
    }
}
