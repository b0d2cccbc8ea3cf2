//! Which snapshots of other tags or host names belong to a source group: those of its former names, and those that it
//! goes on with. Forget, the listing and the next backup go by all of them.

use crate::record::{Group, Host, Origin, SnapshotRow};
use crate::refused::Refused;
use crate::store::{GROUPS, HOSTS, Order, Reads, Span};
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

/// Whether the snapshots of a group are nobody else's: two groups that count the same ones would each forget for both.
pub(super) fn check_free(
    reads: &impl Reads,
    host: &Host,
    old_name: Option<&str>,
    group: &Group,
) -> Result<(), Refused> {
    let own = Origin { hostname: host.restic_host.clone(), tag: group.name.clone() };
    for (_, other) in reads.rows(&GROUPS, &Span::under(&host.id))? {
        if Some(other.name.as_str()) == old_name {
            continue;
        }
        if other.origins.contains(&own) {
            let why = format!(
                "snapshots of this name belong to the group {}, which was called so or goes on with them: choose \
                 another name, or take them out of that group first",
                other.name
            );
            return Err(Refused::invalid("name", why));
        }
        let its = Origin { hostname: host.restic_host.clone(), tag: other.name.clone() };
        let taken = group.origins.iter().find(|origin| **origin == its || other.origins.contains(origin));
        if let Some(Origin { hostname, tag }) = taken {
            let why = format!("{tag}@{hostname} belongs to the group {} already", other.name);
            return Err(Refused::invalid("origins", why));
        }
    }
    if group.origins.iter().all(|origin| origin.hostname == host.restic_host) {
        return Ok(());
    }
    let mut found = None;
    reads.walk(&HOSTS, &Span::ALL, Order::Ascending, |id, other| {
        if id == host.id || !group.origins.iter().any(|origin| origin.hostname == other.restic_host) {
            return Ok(ControlFlow::Continue(()));
        }
        for (_, theirs) in reads.rows(&GROUPS, &Span::under(&id))? {
            let its = Origin { hostname: other.restic_host.clone(), tag: theirs.name.clone() };
            if group.origins.iter().any(|origin| *origin == its || theirs.origins.contains(origin)) {
                found = Some((other.name.clone(), theirs.name));
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    match found {
        None => Ok(()),
        Some((other, theirs)) => Err(Refused::invalid(
            "origins",
            format!("these are the snapshots of the group {theirs} of {other}: delete it there first"),
        )),
    }
}
