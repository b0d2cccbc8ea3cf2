//! What `/proc` knows about processes.

use std::{collections::BTreeMap, fs, path::Path};

/// One process at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its state letter; `Z` is one that has ended and is not reaped.
    pub state: char,
    /// Its arguments, zeros between them.
    pub arguments: Vec<u8>,
}

impl Seen {
    /// The name of the program it was started as, without folders.
    #[must_use]
    pub fn program(&self) -> String {
        let first = self.arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        let path = String::from_utf8_lossy(first).into_owned();
        Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// All its arguments, apart by blanks.
    #[must_use]
    pub fn command(&self) -> String {
        String::from_utf8_lossy(&self.arguments).replace('\0', " ")
    }

    fn read(pid: u32) -> Option<Self> {
        // The name in it may hold blanks and brackets: what follows the last bracket is regular.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Self { pid, parent, state, arguments })
    }
}

/// All processes.
#[must_use]
pub fn all() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Seen::read).collect()
}

/// Whether a process runs; one that waits to be reaped does not.
#[must_use]
pub fn runs(pid: u32) -> bool {
    Seen::read(pid).is_some_and(|seen| seen.state != 'Z')
}

/// What a process has of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In use now, in bytes.
    pub resident: u64,
    /// Of that its own: no file of which the system can give the pages back.
    pub anonymous: u64,
    /// The most that it ever used.
    pub peak: u64,
}

/// What a process has of memory.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that runs");
    let bytes = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of its status");
        value.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    };
    Memory { resident: bytes("VmRSS:"), anonymous: bytes("RssAnon:"), peak: bytes("VmHWM:") }
}

/// What a process has taken of a processor, user and system time together, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// By itself.
    pub own: f64,
    /// With its children that have ended.
    pub with_children: f64,
}

/// What a process has taken of a processor; nothing when there is no such process.
#[must_use]
pub fn spent(pid: u32) -> Spent {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    // utime, stime, cutime, cstime: fields 14 to 17, in ticks of 10 ms.
    let ticks: Vec<f64> = fields.skip(11).take(4).filter_map(|ticks| ticks.parse().ok()).collect();
    let seconds = |count: usize| ticks.iter().take(count).sum::<f64>() / 100.0;
    Spent { own: seconds(2), with_children: seconds(4) }
}

/// How often each thread of a process has gone to sleep by itself so far: each time something had woken it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleeps(BTreeMap<String, u64>);

impl Sleeps {
    /// As of now.
    ///
    /// # Panics
    /// When there is no such process.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("a process that runs").flatten();
        let count = |thread: fs::DirEntry| {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let value = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            let count = value.and_then(|value| value.trim().parse::<u64>().ok())?;
            Some((thread.file_name().to_string_lossy().into_owned(), count))
        };
        Self(threads.filter_map(count).collect())
    }

    /// How many more than before; a thread that has ended since was woken for that.
    #[must_use]
    pub fn since(&self, before: &Self) -> u64 {
        let known = |thread: &String| before.0.get(thread).copied().unwrap_or_default();
        let more: u64 = self.0.iter().map(|(thread, count)| count.saturating_sub(known(thread))).sum();
        let ended = before.0.keys().filter(|thread| !self.0.contains_key(*thread)).count();
        more + ended as u64
    }
}

/// The children of a process and theirs, nearest first.
#[must_use]
pub fn descendants(of: u32) -> Vec<Seen> {
    let table = all();
    let mut found: Vec<Seen> = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for child in table.iter().filter(|seen| seen.parent == parent) {
            parents.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{SOON, until};
    use std::process::{self, Command};

    #[test]
    fn a_child_is_found_by_its_parent_and_its_program() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        // In the middle of becoming another program, a process has no arguments.
        until("the child under the name of its program", SOON, || {
            let seen = descendants(process::id()).into_iter().find(|seen| seen.pid == child.id());
            match seen.map(|seen| seen.program()) {
                Some(program) if program == "sleep" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        assert!(runs(child.id()));
        child.kill().expect("a child to kill");
        child.wait().expect("a child to reap");
        assert!(!runs(child.id()));
    }
}
