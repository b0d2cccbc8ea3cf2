//! Source groups: what of a host is saved, and how long it is kept.

pub(crate) mod origins;
mod retention;

pub(crate) use retention::check_retention;

pub use origins::{Owner, Owners};

use crate::audit;
use crate::change::Changed;
use crate::dispatch::spec;
use crate::fleet::Fleet;
use crate::folder::{NoInclude, include_of};
use crate::hosts;
use crate::link::plan;
use crate::maintenance::last_run;
use crate::record::{AuditAction, Group};
use crate::refused::Refused;
use crate::request::By;
use crate::schedule;
use crate::soundness;
use crate::store::{GROUPS, Reads, Span};
use schema::{HostId, job::COMMAND_SOURCE, limits::MAX_VALUE_BYTES, name, os_text::holds_escape, pattern};
use std::path::Path;

/// Where the agent's state folder is, unless its service says otherwise.
const AGENT_FOLDER: &str = "/var/lib/holdfast-agent";
/// The most source groups of one host.
const MAX_GROUPS: usize = 64;
/// The oldest that a good backup by hand may be.
const MOST_BY_HAND_DAYS: u16 = 366;

impl Fleet {
    /// Creates a source group (`old_name` is `None`), or changes the one that is called `old_name`.
    pub async fn put_group(
        &self,
        host: HostId,
        old_name: Option<&str>,
        mut group: Group,
        by: By,
    ) -> Result<Group, Refused> {
        for path in group.includes.iter_mut().chain(&mut group.required_mounts) {
            path.truncate(path.trim_end_matches('/').len().max(1).min(path.len()));
        }
        let old_name = old_name.map(str::to_owned);
        self.write(by, move |op| {
            let mut group = group.clone();
            let record = hosts::find(op.tx, host)?;
            let before = match &old_name {
                None => None,
                Some(old) => Some(op.tx.get(&GROUPS, &(host, old.clone()))?.ok_or(Refused::GroupNotFound)?),
            };
            if let Some(before) = &before {
                origins::keep_history(&mut group, before, &record.restic_host);
            }
            check(&group)?;
            let key = (host, group.name.clone());
            if before.as_ref().is_none_or(|before| before.name != group.name) && op.tx.has(&GROUPS, &key)? {
                return Err(Refused::NameTaken { name: group.name.clone() });
            }
            if before.is_none() && op.tx.keys(&GROUPS, &Span::under(&host), MAX_GROUPS)?.len() == MAX_GROUPS {
                return Err(Refused::invalid(
                    "name",
                    format!("a host has at most {MAX_GROUPS} source groups"),
                ));
            }
            if before.as_ref() == Some(&group) {
                return Ok(group.clone());
            }
            let is_same_set = |before: &Group| before.name == group.name && before.origins == group.origins;
            if !before.as_ref().is_some_and(is_same_set) {
                origins::check_free(op.tx, &record, old_name.as_deref(), &group)?;
            }
            if let Some(old) = old_name.as_ref().filter(|old| **old != group.name) {
                op.tx.remove(&GROUPS, &(host, old.clone()))?;
            }
            op.tx.put(&GROUPS, &key, &group)?;
            hosts::change_summary(op.tx, host, |summary| summary.take_group(old_name.as_deref(), &group))?;
            last_run::groups_changed(op.tx, host)?;
            if let Some(old) = old_name.as_ref().filter(|old| **old != group.name) {
                schedule::group_renamed(op, host, old, &group.name)?;
                soundness::group_renamed(op.tx, host, old, &group.name)?;
            }
            soundness::groups_changed(op.tx, &record)?;
            soundness::past::group_changed(op.tx, &record, before.as_ref(), &group)?;
            soundness::rules_changed(op, host, before.as_ref(), &group)?;
            schedule::plans_changed(op.tx, host)?;
            let known = soundness::of(op.tx, host, &group.name)?;
            hosts::change_summary(op.tx, host, |summary| summary.take_sound(&group.name, &known, op.now))?;
            plan::changed(op.tx, host)?;
            let action = if before.is_some() { AuditAction::GroupChanged } else { AuditAction::GroupCreated };
            let target = hosts::target(op.tx, record.id)?;
            audit::note(op, action, target, group.name.clone())?;
            op.tx.effects.changed(Changed::Groups(host));
            Ok(group.clone())
        })
        .await
    }

    /// Deletes a source group. Its snapshots stay in the repository.
    pub async fn delete_group(&self, host: HostId, name: &str, by: By) -> Result<(), Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            let record = hosts::find(op.tx, host)?;
            if !op.tx.has(&GROUPS, &(host, name.clone()))? {
                return Err(Refused::GroupNotFound);
            }
            op.tx.remove(&GROUPS, &(host, name.clone()))?;
            soundness::group_deleted(op.tx, host, &name)?;
            soundness::groups_changed(op.tx, &record)?;
            hosts::change_summary(op.tx, host, |summary| summary.drop_group(&name))?;
            last_run::groups_changed(op.tx, host)?;
            plan::changed(op.tx, host)?;
            let target = hosts::target(op.tx, host)?;
            audit::note(op, AuditAction::GroupDeleted, target, name.clone())?;
            op.tx.effects.changed(Changed::Groups(host));
            schedule::group_deleted(op, host, &name)
        })
        .await
    }
}

fn check(group: &Group) -> Result<(), Refused> {
    hosts::check_name(&group.name)?;
    if group.includes.is_empty() {
        return Err(Refused::invalid("includes", "name at least one path to save"));
    }
    check_sources(&group.includes)?;
    check_paths("required_mounts", &group.required_mounts)?;
    check_texts("excludes", &group.excludes)?;
    check_something_is_left(group)?;
    if let Some(text) = group.excludes.iter().find(|text| !pattern::is_readable(text)) {
        let why = format!(
            "restic can't read the pattern {text:?}: close each [ with a ], after at least one character, and put another \
             character behind a \\"
        );
        return Err(Refused::invalid("excludes", why));
    }
    if let Some(text) = group.excludes.iter().find(|text| pattern::spells_bytes(text)) {
        let why = format!(
            "to restic a \\ in a pattern quotes the character behind it, so that “{text}” names no byte by its number: \
             write ? for each byte that is no UTF-8"
        );
        return Err(Refused::invalid("excludes", why));
    }
    if let Some(text) = group.excludes.iter().find(|text| !pattern::can_match(text)) {
        let why = format!(
            "the pattern {text:?} can't match anything: write a range in [ ] from the lower end on, as [a-z]"
        );
        return Err(Refused::invalid("excludes", why));
    }
    check_texts("exclude_if_present", &group.exclude_if_present)?;
    check_spelling("exclude_if_present", &group.exclude_if_present)?;
    if let Some(text) = group.exclude_if_present.iter().find(|text| text.contains('/')) {
        return Err(Refused::invalid(
            "exclude_if_present",
            format!("{text:?} must be a file name, not a path"),
        ));
    }
    // restic fails at it: what stands behind a colon is how the file has to begin.
    if let Some(text) = group.exclude_if_present.iter().find(|text| text.starts_with(':')) {
        let why = format!(
            "{text:?} names no file: to restic the name ends at the colon, and how the file begins follows"
        );
        return Err(Refused::invalid("exclude_if_present", why));
    }
    for (field, hooks) in [("hooks_before", &group.hooks_before), ("hooks_after", &group.hooks_after)] {
        if let Some(hook) = hooks.iter().find(|hook| !name::is_valid(hook)) {
            return Err(Refused::invalid(
                field,
                format!("{hook:?} can't be a hook: give its name from the policy file on the host"),
            ));
        }
    }
    check_retention(&group.keep)?;
    if group.by_hand_days > MOST_BY_HAND_DAYS {
        return Err(Refused::invalid(
            "by_hand_days",
            format!("a backup by hand may be at most {MOST_BY_HAND_DAYS} days old"),
        ));
    }
    origins::check(&group.origins)?;
    spec::with_backup(group, spec::fits)?
}

/// Paths, or the name of one command in the policy file of the host.
fn check_sources(includes: &[String]) -> Result<(), Refused> {
    let Some(command) = includes.iter().find_map(|include| include.strip_prefix(COMMAND_SOURCE)) else {
        check_paths("includes", includes)?;
        return check_agent_folder(includes);
    };
    let refuse = |why: String| Err(Refused::invalid("includes", why));
    if !name::is_valid(command) {
        return refuse(format!(
            "{command:?} can't be a command: give its name from the policy file on the host"
        ));
    }
    if includes.len() > 1 {
        return refuse(format!(
            "the output of {command} is saved alone: give other paths a group of their own"
        ));
    }
    Ok(())
}

fn check_paths(field: &'static str, paths: &[String]) -> Result<(), Refused> {
    check_texts(field, paths)?;
    if let Some(path) = paths.iter().find(|path| !path.starts_with('/')) {
        return Err(Refused::invalid(field, format!("{path:?} is not an absolute path: begin it with /")));
    }
    check_spelling(field, paths)?;
    match paths.iter().find(|path| path.split('/').any(|part| part == "..")) {
        None => Ok(()),
        Some(path) => {
            Err(Refused::invalid(field, format!("{path:?} holds a .. part: write where it leads to")))
        }
    }
}

/// The agent refuses each backup of its own state folder, wherever that is; where it is unless somebody said otherwise,
/// nobody has to wait for the first backup to hear it.
fn check_agent_folder(includes: &[String]) -> Result<(), Refused> {
    match includes.iter().find(|path| Path::new(path).starts_with(AGENT_FOLDER)) {
        None => Ok(()),
        Some(path) => Err(Refused::invalid(
            "includes",
            format!(
                "{path} is the agent's state folder, which holds its keys: the agent never backs it up, and leaves it out of \
                 folders above it"
            ),
        )),
    }
}

/// Listings show a byte that is no UTF-8 as `\xfc`; no file has a name of these four characters by chance.
fn check_spelling(field: &'static str, names: &[String]) -> Result<(), Refused> {
    let Some(text) = names.iter().find(|text| holds_escape(text)) else { return Ok(()) };
    let why = match include_of(text) {
        Ok(plain) => format!("write “{plain}” for “{text}”"),
        Err(_) => format!("“{text}” can't be named: {}", NoInclude::NotText),
    };
    Err(Refused::invalid(field, why))
}

/// restic saves nothing of a path that an exclude covers, and says that all went well.
fn check_something_is_left(group: &Group) -> Result<(), Refused> {
    // What begins with ! takes something back in.
    if group.excludes.iter().any(|exclude| exclude.starts_with('!')) {
        return Ok(());
    }
    let covers = |exclude: &str, include: &str| {
        let exclude = exclude.trim_end_matches('/');
        let behind = include.strip_prefix(exclude);
        exclude.starts_with('/') && behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
    };
    for include in &group.includes {
        if let Some(exclude) = group.excludes.iter().find(|exclude| covers(exclude, include)) {
            let message = format!("{exclude} leaves out {include}, which is to be saved");
            return Err(Refused::invalid("excludes", message));
        }
    }
    Ok(())
}

fn check_texts(field: &'static str, texts: &[String]) -> Result<(), Refused> {
    for text in texts {
        if text.trim().is_empty() {
            return Err(Refused::invalid(field, "an entry is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(Refused::invalid(field, format!("{text:?} holds a control character")));
        }
        if text.len() > MAX_VALUE_BYTES {
            return Err(Refused::invalid(field, format!("an entry is longer than {MAX_VALUE_BYTES} bytes")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::retention::is_duration;
    use super::*;

    #[test]
    fn durations_are_resticas_own() {
        for good in ["", "1y5m7d2h", "2d", "12h"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["5", "d", "1w", "1d ", "-1d", "123456d", "1d5"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn a_group_that_restic_could_misread_is_refused_with_its_field() {
        let good = Group { name: "etc".into(), includes: vec!["/etc".into()], ..Group::default() };
        assert!(check(&good).is_ok());
        assert!(check(&Group { includes: vec!["command:dump".into()], ..good.clone() }).is_ok());
        type Spoil = fn(&mut Group);
        let cases: [(&str, Spoil); 26] = [
            ("includes", |group| group.includes = vec!["command:rm -rf /".into()]),
            ("includes", |group| group.includes.push("command:dump".into())),
            ("name", |group| group.name = "--all".into()),
            ("includes", |group| group.includes.clear()),
            ("includes", |group| group.includes.push("etc".into())),
            ("includes", |group| group.includes.push("/a\nb".into())),
            ("includes", |group| group.includes.push("/tmp/../../etc".into())),
            ("required_mounts", |group| group.required_mounts.push("/mnt/..".into())),
            ("excludes", |group| group.excludes.push("  ".into())),
            ("excludes", |group| group.excludes.push("/etc/".into())),
            ("excludes", |group| group.excludes.push("[abc".into())),
            ("excludes", |group| group.excludes.push("*.tmp\\".into())),
            ("excludes", |group| group.excludes.push("/etc/d\\xfcr".into())),
            ("includes", |group| group.includes.push("/etc/d\\xfcr".into())),
            ("includes", |group| group.includes.push("/etc/d\\xc3\\xbcr".into())),
            ("required_mounts", |group| group.required_mounts.push("/d\\xfcr".into())),
            ("exclude_if_present", |group| group.exclude_if_present.push("\\xfc".into())),
            ("excludes", |group| {
                group.includes.push("/tmp/mine/all".into());
                group.excludes.push("/tmp".into());
            }),
            ("excludes", |group| group.excludes.push("*.[z-a]".into())),
            ("exclude_if_present", |group| group.exclude_if_present.push("a/b".into())),
            ("exclude_if_present", |group| group.exclude_if_present.push(":x".into())),
            ("required_mounts", |group| group.required_mounts.push("mnt".into())),
            ("hooks_before", |group| group.hooks_before.push("rm -rf /".into())),
            ("keep.within", |group| group.keep.within = "1 week".into()),
            ("keep.within", |group| group.keep.within = "0d00h".into()),
            ("by_hand_days", |group| group.by_hand_days = 367),
        ];
        for (field, spoil) in cases {
            let mut group = good.clone();
            spoil(&mut group);
            assert_eq!(check(&group).unwrap_err().field(), Some(field));
        }
        let fine = Group {
            includes: vec!["/".into(), "/etc/a..b".into(), "/tmpfiles".into(), "/a\\b".into()],
            excludes: vec!["/tmp".into(), "/a\\\\xfc".into(), "/etc/a..b/cache".into(), "*.tmp".into()],
            ..good
        };
        assert!(check(&fine).is_ok());
    }

    #[test]
    fn a_group_that_fits_no_command_is_refused() {
        let includes = (0..20).map(|n| format!("/{n}{}", "x".repeat(4000))).collect();
        let group = Group { name: "etc".into(), includes, ..Group::default() };
        assert_eq!(check(&group).unwrap_err().field(), Some("includes"));
    }
}
