//! The policy in words, and what about it can't work: `holdfast-agent policy check`.

use super::{Policy, PolicyAt, file::who_else_writes, in_words};
use crate::{
    folder::{Folder, FolderError},
    restic::find_program,
};
use rustix::process::geteuid;
use serde::Serialize;
use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// What a policy allows, and what is wrong.
#[derive(Debug, Serialize)]
pub struct PolicyCheck {
    /// Path of the policy file.
    pub file: String,
    /// One sentence each.
    pub allows: Vec<String>,
    /// What can't work as it stands; empty = nothing.
    pub problems: Vec<String>,
}

impl PolicyCheck {
    /// The result as lines for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("Policy: {}\n", self.file);
        for line in &self.allows {
            let _ = writeln!(text, "  {line}");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "PROBLEM: {problem}");
        }
        if self.problems.is_empty() {
            text.push_str("Nothing is wrong with it.\n");
        }
        text
    }
}

/// Tells a policy.
#[must_use]
pub fn check(at: &PolicyAt) -> PolicyCheck {
    let file = if at.file.is_none() && !at.path().exists() {
        format!("none ({} is not there)", at.path().display())
    } else {
        at.path().display().to_string()
    };
    match at.load() {
        Ok(policy) => PolicyCheck { file, allows: allows(&policy), problems: problems(&policy) },
        Err(error) => PolicyCheck {
            file,
            allows: Vec::new(),
            problems: vec![format!("{error}. As long as that is so, the agent runs no job.")],
        },
    }
}

fn allows(policy: &Policy) -> Vec<String> {
    let rate = |kib: u32| if kib == 0 { "no limit".to_owned() } else { format!("{kib} KiB/s") };
    let limits = &policy.limits;
    let mut lines = vec![
        format!(
            "Backs up and shows: {}",
            if policy.source_roots.is_empty() {
                "everything but the agent's state folder".to_owned()
            } else {
                in_words(&policy.source_roots)
            }
        ),
        match policy.repositories.as_slice() {
            [] => "Backs up to: any repository, but not into folders of the system".to_owned(),
            patterns => format!("Backs up to: {}", super::pattern::in_words(patterns)),
        },
        format!("Restores into: new folders below {}", in_words(&policy.restore_roots())),
        format!(
            "Restores to where it was: {}",
            if policy.restore_in_place { "yes, over what is there" } else { "no" }
        ),
        format!(
            "Downloads: {}",
            if policy.downloads { "files of snapshots are sent to the server" } else { "refused" }
        ),
        format!(
            "For other hosts: {}",
            if policy.other_hosts {
                "restores what they have saved into folders of this machine, with their credentials"
            } else {
                "nothing"
            }
        ),
        format!(
            "Credentials that may delete: {}",
            if policy.allows_admin_slot { "taken, for one job at a time" } else { "refused" }
        ),
        format!("To the storage: {}; from it: {}", rate(limits.upload_kib), rate(limits.download_kib)),
        format!("Niceness: {}{}", limits.nice, if limits.io_idle { ", disks only when idle" } else { "" }),
    ];
    lines.extend(policy.quiet.iter().map(|quiet| format!("Quiet from {quiet}")));
    if !policy.interfaces.is_empty() {
        lines.push(format!("Only over: {}", policy.interfaces.join(", ")));
    }
    lines.push(match policy.update_key {
        Some(key) => format!("Updates: programs signed by {key}"),
        None => "Updates: none (no update_key)".to_owned(),
    });
    for (name, hook) in &policy.hooks {
        lines.push(format!("Hook {name}: {} (at most {} s)", hook.command.join(" "), hook.timeout_secs));
    }
    for (name, source) in &policy.commands {
        lines.push(format!("Path command:{name}: {} as {}", source.command.join(" "), source.file_name));
    }
    lines
}

fn problems(policy: &Policy) -> Vec<String> {
    let folders = policy.source_roots.iter().chain(&policy.restore_targets);
    let mut links: Vec<String> =
        policy.restore_roots().iter().filter_map(|root| is_behind_link(root)).collect();
    let missing = folders.filter(|folder| !folder.is_dir());
    let mut problems: Vec<String> =
        missing.map(|folder| format!("{} is not there, or no folder", folder.display())).collect();
    problems.append(&mut links);
    for folder in policy.restore_roots().iter().chain(policy.file.parent().map(Path::to_owned).as_ref()) {
        problems.extend(who_may_replace(folder));
    }
    problems.dedup();
    let commands = policy.hooks.iter().map(|(name, hook)| (format!("hook {name}"), &hook.command));
    let sources = policy.commands.iter().map(|(name, source)| (format!("command {name}"), &source.command));
    for (name, command) in commands.chain(sources) {
        let Some(program) = command.first() else { continue };
        if let Err(why) = is_program(Path::new(program)) {
            problems.push(format!("{name}: {program}: {why}"));
        }
    }
    if policy.limits.io_idle && find_ionice().is_none() {
        problems.push("io_idle: there is no program ionice here".to_owned());
    }
    problems
}

/// What nothing can be restored into, for the agent follows no link there.
fn is_behind_link(root: &Path) -> Option<String> {
    match Folder::open(root) {
        Err(FolderError::Link(link)) if link == root => {
            Some(format!("{} is a symbolic link: name the folder that it leads to", root.display()))
        }
        Err(FolderError::Link(link)) => Some(format!(
            "{} leads over the symbolic link {}: name where it really is",
            root.display(),
            link.display()
        )),
        _ => None,
    }
}

/// Who else may put another folder in the place of this one, or of one that it lies in.
fn who_may_replace(folder: &Path) -> Option<String> {
    let own = geteuid().as_raw();
    folder.ancestors().find_map(|above| {
        let found = fs::metadata(above).ok()?;
        // In a sticky folder nobody moves what is another's.
        let mode = if found.mode() & 0o1000 != 0 { 0 } else { found.mode() };
        let why = who_else_writes(found.uid(), mode, own)?;
        let named = folder.display();
        Some(if above == folder {
            format!("{named}: {why}: somebody else may move what is in it")
        } else {
            format!(
                "{named} lies in {}: {why}: somebody else may put another folder in its place",
                above.display()
            )
        })
    })
}

/// The program that makes others use disks only when nobody else does.
pub(super) fn find_ionice() -> Option<PathBuf> {
    find_program(Path::new("ionice"), &std::env::var_os("PATH").unwrap_or_default())
}

/// Whether it can be run, and by nobody else be made another one.
fn is_program(program: &Path) -> Result<(), String> {
    let metadata = fs::metadata(program).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        _ => error.to_string(),
    })?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err("it can't be run".to_owned());
    }
    who_else_writes(metadata.uid(), metadata.mode(), geteuid().as_raw()).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cant_work_is_told_beside_what_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "source_roots = ['/', '/no/such/folder']\nadmin_slot = false\nlimit_upload = 500\nquiet_hours = ['22:00-06:00']\n\
             [hooks.good]\ncommand = ['{0}']\n[hooks.gone]\ncommand = ['/no/such/program']\n\
             [commands.db]\ncommand = ['/etc/passwd']\nfile_name = 'db'\n",
            script.display()
        );
        fs::write(&file, text).unwrap();
        let at = PolicyAt::new(Some(file.clone()), folder.path().join("state"));
        let told = check(&at);
        let text = told.to_text();
        for line in ["/, /no/such/folder", "refused", "500 KiB/s", "Quiet from 22:00 to 06:00", "Hook good"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(
            told.problems,
            [
                "/no/such/folder is not there, or no folder",
                "hook gone: /no/such/program: it is not there",
                "command db: /etc/passwd: it can't be run",
            ]
        );
        fs::write(&file, "nice = 99").unwrap();
        let told = check(&at);
        assert!(told.problems[0].contains("nice is 0 to 19") && told.problems[0].contains("runs no job"));
    }
}
