//! Which repositories this machine's backups may go to.

use super::{Policy, has_steps_up, real, roots::system_folder_above};
use schema::location::{Location, names_machine};
use std::path::Path;

/// An address, or the beginning of addresses: `rest:https://nas:8000/attic/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Of one with a star: what stands before it, and the `/` or `:` before that.
    start: Option<String>,
}

impl Pattern {
    /// A star stands at the end only, behind a `/` or a `:`; so that `nas/*` is not also `nas.example.org/…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let start = text.strip_suffix('*');
        let address = start.unwrap_or(text);
        let is_cut_well = start.is_none_or(|start| start.ends_with(['/', ':']));
        // A scheme alone, such as `s3:*`, is no address by itself.
        let whole = if start.is_some() && address.ends_with(':') {
            format!("{address}x:/x")
        } else {
            address.to_owned()
        };
        if !is_cut_well || address.contains('*') || leads_elsewhere(address) || !is_address(&whole) {
            return Err(format!(
                "{text:?} is neither the address of a repository nor its beginning with /* behind it"
            ));
        }
        Ok(Self { text: text.to_owned(), start: start.map(str::to_owned) })
    }

    fn allows(&self, url: &str) -> bool {
        let url = url.strip_prefix("local:").unwrap_or(url);
        let text = self.text.strip_prefix("local:").unwrap_or(&self.text);
        match &self.start {
            None => url.trim_end_matches('/') == text.trim_end_matches('/'),
            Some(start) => {
                let start = start.strip_prefix("local:").unwrap_or(start);
                url.starts_with(start) || start.strip_suffix('/') == Some(url)
            }
        }
    }
}

/// Whether it can be an address at all: of a store that takes its path apart from `scheme:` too.
fn is_address(text: &str) -> bool {
    Location::parse(text).is_ok()
        || text.split_once(':').is_some_and(|(scheme, rest)| {
            matches!(scheme, "s3" | "b2" | "azure" | "gs" | "swift" | "rclone" | "sftp") && !rest.is_empty()
        })
}

/// Whether the path in an address has steps upwards, or could have some once it is decoded.
fn leads_elsewhere(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    ["%2e", "%2f", "%5c", "\\"].iter().any(|sign| lower.contains(sign))
        || url.split(['/', ':']).any(|part| matches!(part, ".." | "."))
}

/// Patterns as a list for a sentence.
pub(super) fn in_words(patterns: &[Pattern]) -> String {
    patterns.iter().map(|pattern| pattern.text.as_str()).collect::<Vec<_>>().join(", ")
}

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
    use super::*;
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

    #[test]
    fn a_pattern_ends_where_an_address_can_be_cut() {
        for text in [
            "/mnt/usb",
            "/mnt/*",
            "rest:https://nas/*",
            "sftp:me@nas:*",
            "sftp:me@nas:/repo",
            "s3:*",
            "rclone:box:*",
        ] {
            assert!(Pattern::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "usb",
            "rest:https://nas*",
            "rest:https://*/x",
            "/mnt/u*b",
            "/mnt/../x",
            "what:x",
            "/mnt/usb*",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
