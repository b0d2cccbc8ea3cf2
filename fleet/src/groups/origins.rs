//! Which snapshots of other tags or host names belong to a source group: those of its former names, and those that it
//! goes on with. Forget, the listing and the next backup go by all of them.

use crate::record::{Group, Host, Origin, SnapshotRow};
use crate::refused::{Refused, StoreError};
use crate::store::{GROUPS, HOSTS, Order, Reads, Span};
use schema::HostId;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The most of one group.
const MAX_ORIGINS: usize = 32;
/// The longest tag or host name, in bytes.
const MAX_BYTES: usize = 255;

/// A group that changes its name keeps its snapshots: they have the former name as their tag.
pub(super) fn keep_history(group: &mut Group, before: &Group, restic_host: &str) {
    if group.name != before.name {
        let former = Origin { hostname: restic_host.to_owned(), tag: before.name.clone() };
        if !group.origins.contains(&former) {
            group.origins.push(former);
        }
    }
    // Its own are its own.
    group.origins.retain(|origin| origin.hostname != restic_host || origin.tag != group.name);
}

/// Whether restic could take them as they are meant.
pub(super) fn check(origins: &[Origin]) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::invalid("origins", why));
    if origins.len() > MAX_ORIGINS {
        return refuse(format!(
            "at most {MAX_ORIGINS} can belong to one group: take out those that have no snapshots"
        ));
    }
    for (place, Origin { hostname, tag }) in origins.iter().enumerate() {
        if hostname.is_empty() {
            return refuse(format!("{tag:?} has no host name: give the one that its snapshots have"));
        }
        for text in [hostname, tag] {
            if text.len() > MAX_BYTES || text.contains(',') || text.chars().any(char::is_control) {
                return refuse(format!("{text:?} can't be a tag or host name of restic's"));
            }
        }
        if hostname.starts_with('-') || hostname.trim() != hostname || tag.trim() != tag {
            return refuse(format!(
                "{hostname:?} with {tag:?} can't be meant: look for spaces at their ends"
            ));
        }
        if origins[..place].iter().any(|other| other.hostname == *hostname && other.tag == *tag) {
            return refuse(format!("{tag}@{hostname} stands there twice"));
        }
    }
    Ok(())
}

/// Whose snapshots are whose, by host name and tag.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// The groups of the host that asks.
    own: Vec<(Origin, String)>,
    /// What is of groups of other hosts.
    others: Vec<Origin>,
}

/// Whose a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A source group of the host.
    Group(&'a str),
    /// A source group of another host that uses the same repository.
    OtherHost,
    /// No group covers it: no forget ever drops it, no backup goes on from it.
    Nobody,
}

impl Owners {
    /// Those of a host alone.
    #[must_use]
    pub fn of_host(restic_host: &str, groups: &[Group]) -> Self {
        let named = |group: &Group| {
            let origins = origins_of(restic_host, group).into_iter();
            origins.map(|origin| (origin, group.name.clone())).collect::<Vec<_>>()
        };
        Self { own: groups.iter().flat_map(named).collect(), others: Vec::new() }
    }

    /// Beside them those of another host on the same repository.
    pub fn add_other(&mut self, restic_host: &str, groups: &[Group]) {
        self.others.extend(groups.iter().flat_map(|group| origins_of(restic_host, group)));
    }

    /// Whether a snapshot is of a group of the host; of another name: whether it has that tag.
    #[must_use]
    pub fn is_of(&self, row: &SnapshotRow, group: &str) -> bool {
        match self.of(row) {
            Owner::Group(its) => its == group,
            Owner::OtherHost | Owner::Nobody => row.tags.iter().any(|tag| tag == group),
        }
    }

    /// Whose this one is: what the group of it would forget, and no more.
    #[must_use]
    pub fn of(&self, row: &SnapshotRow) -> Owner<'_> {
        let is_of = |origin: &Origin| {
            let has_no_tag = row.tags.is_empty() && row.tags_left_out == 0;
            origin.hostname == row.hostname
                && if origin.tag.is_empty() { has_no_tag } else { row.tags.contains(&origin.tag) }
        };
        match self.own.iter().find(|(origin, _)| is_of(origin)) {
            Some((_, group)) => Owner::Group(group),
            None if self.others.iter().any(is_of) => Owner::OtherHost,
            None => Owner::Nobody,
        }
    }
}

/// Its own, and what else belongs to it.
fn origins_of(restic_host: &str, group: &Group) -> Vec<Origin> {
    let own = Origin { hostname: restic_host.to_owned(), tag: group.name.clone() };
    std::iter::once(own).chain(group.origins.iter().cloned()).collect()
}

/// The group of a host that the snapshots of a tag are of now, made under the host's own name.
pub(crate) fn owner_of(reads: &impl Reads, host: HostId, tag: &str) -> Result<Option<String>, StoreError> {
    if reads.has(&GROUPS, &(host, tag.to_owned()))? {
        return Ok(Some(tag.to_owned()));
    }
    let Some(record) = reads.get(&HOSTS, &host)? else { return Ok(None) };
    let groups: Vec<Group> =
        reads.rows(&GROUPS, &Span::under(&host))?.into_iter().map(|(_, group)| group).collect();
    Ok(owner_among(&groups, &record.restic_host, tag))
}

/// The same, among all groups of the host.
pub(crate) fn owner_among(groups: &[Group], restic_host: &str, tag: &str) -> Option<String> {
    let is_own = |origin: &Origin| origin.hostname == restic_host && origin.tag == tag;
    let named = groups.iter().find(|group| group.name == tag);
    let owner = named.or_else(|| groups.iter().find(|group| group.origins.iter().any(is_own)));
    owner.map(|group| group.name.clone())
}

/// Whether the snapshots of a group are nobody else's, in any host's group: two groups that count the same ones would
/// each forget for both.
pub(super) fn check_free(
    reads: &impl Reads,
    host: &Host,
    old_name: Option<&str>,
    group: &Group,
) -> Result<(), Refused> {
    let own = Origin { hostname: host.restic_host.clone(), tag: group.name.clone() };
    let mut refused = None;
    reads.walk(&GROUPS, &Span::ALL, Order::Ascending, |(id, name), other| {
        if id == host.id && Some(name.as_str()) == old_name {
            return Ok(ControlFlow::Continue(()));
        }
        // Host names of snapshots are each one host's alone: only who goes on with others' can meet somebody.
        if other.origins.is_empty() && group.origins.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(its_host) = reads.get(&HOSTS, &id)? else { return Ok(ControlFlow::Continue(())) };
        let whose = if id == host.id { String::new() } else { format!(" of {}", its_host.name) };
        let its = Origin { hostname: its_host.restic_host, tag: name.clone() };
        if other.origins.contains(&own) {
            refused = Some(Refused::invalid(
                "name",
                format!(
                    "snapshots of this name belong to the group {name}{whose}, which was called so or goes on with \
                     them: choose another name, or take them out of that group first"
                ),
            ));
        } else if let Some(Origin { hostname, tag }) =
            group.origins.iter().find(|origin| **origin == its || other.origins.contains(origin))
        {
            let why = format!("the snapshots of {tag}@{hostname} belong to the group {name}{whose} already");
            refused = Some(Refused::invalid("origins", why));
        }
        Ok(if refused.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    refused.map_or(Ok(()), Err)
}

/// A host name for the snapshots of a new host: its own, unless snapshots of that name are another host's: one that was
/// called so when it was made, or one of whose groups goes on with them.
pub(crate) fn free_restic_host(reads: &impl Reads, name: &str) -> Result<String, StoreError> {
    let mut taken = BTreeSet::new();
    reads.walk(&HOSTS, &Span::ALL, Order::Ascending, |_, other| {
        taken.insert(other.restic_host);
        Ok(ControlFlow::Continue(()))
    })?;
    reads.walk(&GROUPS, &Span::ALL, Order::Ascending, |_, group| {
        taken.extend(group.origins.into_iter().map(|origin| origin.hostname));
        Ok(ControlFlow::Continue(()))
    })?;
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    Ok(names.find(|name| !taken.contains(name)).unwrap_or_else(|| name.to_owned()))
}
