//! What a machine is to allow the server, as options of the command that enrols it. The agent writes them into its policy
//! file and holds the server to them; the server keeps nothing of it.

use crate::form::Form;
use crate::problem::Problem;
use crate::sh::quoted;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The rights of an enrolment, by the keys of the agent's policy file. Nothing said is the least that backups can be
/// set up with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rights {
    /// Folders: only what is in these is backed up and shown; empty = all but the agent's own state.
    pub(crate) source_roots: Vec<String>,
    /// Addresses, or their beginnings with `/*`: backups go only there; empty = anywhere.
    pub(crate) repositories: Vec<String>,
    /// The folder that new folders with what is restored are made in; empty = the agent's own.
    pub(crate) restore_base: String,
    /// More folders of that sort.
    pub(crate) restore_targets: Vec<String>,
    /// Restore also to where it was, over what is there.
    pub(crate) restore_in_place: bool,
    /// Restore and send what other hosts have saved.
    pub(crate) other_hosts: bool,
    /// Refuse credentials that may delete.
    pub(crate) no_admin_slot: bool,
}

#[cfg(test)]
impl Rights {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            source_roots: vec![s.text("/srv")],
            repositories: vec![s.text("rest:https://vault.lan:8000/*"), s.text("sftp://nas.lan/srv")],
            restore_base: s.text("/srv/restored"),
            restore_targets: vec![s.text("/srv/more")],
            restore_in_place: true,
            other_hosts: true,
            no_admin_slot: false,
        }
    }
}

impl Rights {
    /// As a browser sends them.
    pub(crate) fn of_form(form: &Form) -> Self {
        Self {
            source_roots: form.lines("source_roots"),
            repositories: form.lines("repositories"),
            restore_base: form.text("restore_base"),
            restore_targets: form.lines("restore_targets"),
            restore_in_place: form.has("restore_in_place"),
            other_hosts: form.has("other_hosts"),
            no_admin_slot: form.has("no_admin_slot"),
        }
    }

    /// Whether nothing was said.
    pub(crate) fn are_default(&self) -> bool {
        *self == Self::default()
    }

    /// Finds what the agent would refuse.
    pub(crate) fn checked(self) -> Result<Self, Problem> {
        let base = (!self.restore_base.is_empty()).then_some(&self.restore_base);
        for (field, path) in self
            .source_roots
            .iter()
            .map(|path| ("source_roots", path))
            .chain(base.map(|path| ("restore_base", path)))
            .chain(self.restore_targets.iter().map(|path| ("restore_targets", path)))
        {
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") || has_odd(path) {
                return Err(Problem::invalid(field, format!("{path} is not a plain absolute path.")));
            }
        }
        for pattern in &self.repositories {
            let start = pattern.strip_suffix('*');
            let address = start.unwrap_or(pattern);
            let is_cut_well = start.is_none_or(|start| start.ends_with(['/', ':']));
            let is_address = address.starts_with('/') || address.contains(':');
            if !is_cut_well || !is_address || address.contains('*') || has_odd(pattern) {
                return Err(Problem::invalid(
                    "repositories",
                    format!("{pattern} is neither an address nor the beginning of one with /* behind it."),
                ));
            }
        }
        Ok(self)
    }

    /// The options of `holdfast-agent enroll`, each with a space before it, for a POSIX shell.
    pub(crate) fn options(&self) -> String {
        let mut options = String::new();
        let mut add = |option: &str, value: &str| {
            options.push_str(" --");
            options.push_str(option);
            options.push(' ');
            options.push_str(&quoted(value));
        };
        self.source_roots.iter().for_each(|root| add("allow-source-root", root));
        self.repositories.iter().for_each(|pattern| add("allow-repository", pattern));
        if !self.restore_base.is_empty() {
            add("restore-base", &self.restore_base);
        }
        self.restore_targets.iter().for_each(|target| add("allow-restore-to", target));
        if self.restore_in_place {
            options.push_str(" --allow-restore-in-place");
        }
        if self.other_hosts {
            options.push_str(" --allow-other-hosts");
        }
        if self.no_admin_slot {
            options.push_str(" --no-admin-slot");
        }
        options
    }
}

fn has_odd(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_options_reach_the_agent_as_they_were_typed() {
        let form = Form::parse(
            b"source_roots=%2Fsrv%0D%0A%2Fhome%2Fa+%22b%22%27s+%24HOME&repositories=rest%3Ahttps%3A%2F%2Fnas%2F*&restore_base=%2Fr&restore_targets=%2Ft&restore_in_place=on&other_hosts=on&no_admin_slot=on",
        );
        let rights = Rights::of_form(&form).checked().ok().unwrap();
        let script = format!("printf '%s\\n'{}", rights.options());
        let said = Command::new("sh").args(["-c", &script]).output().unwrap();
        let words = "--allow-source-root\n/srv\n--allow-source-root\n/home/a \"b\"'s $HOME\n--allow-repository\nrest:https://nas/*\n\
            --restore-base\n/r\n--allow-restore-to\n/t\n--allow-restore-in-place\n--allow-other-hosts\n--no-admin-slot\n";
        assert_eq!(String::from_utf8(said.stdout).unwrap(), words);
        assert_eq!(Rights::default().options(), "");
    }

    #[test]
    fn what_the_agent_would_refuse_is_found_before() {
        for (field, text) in [
            ("source_roots", "photos"),
            ("source_roots", "/a/../b"),
            ("restore_base", "back"),
            ("restore_targets", "back"),
            ("repositories", "*"),
            ("repositories", "rest:https://nas*"),
            ("repositories", "/mnt/*/x"),
        ] {
            let form = Form::parse(format!("{field}={}", text.replace('/', "%2F")).as_bytes());
            assert!(Rights::of_form(&form).checked().is_err(), "{field} {text}");
        }
    }
}
