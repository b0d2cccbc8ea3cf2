//! How one run of restic ended: exit code, signal and words to outcome, class and message. Pure.

use super::{
    child::{EXIT_NO_RESTIC, EXIT_NO_WAY},
    findings::Findings,
    step::StepKind,
    symptoms::{Symptom, Symptoms},
};
use schema::{Class, Outcome};

/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2 * 1024;

/// How restic's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
}

impl Ended {
    /// The exit code, if it exited.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) => None,
        }
    }
}

/// Why we stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody ended the job.
    Cancelled,
    /// The deadline passed.
    Timeout,
    /// It said nothing for longer than anything of it takes.
    Silent,
    /// It would have tried again what can't succeed.
    Hopeless,
    /// Nobody takes what it gives.
    Unheard,
}

/// Why a download was ended that nobody takes any more.
pub(super) const UNHEARD: &str =
    "The connection to the server ended, or the server took nothing more of it, so the download was ended.";

/// What is made of restic's end: how the job went, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it is not plain success.
    pub class: Option<Class>,
    /// What to do, and restic's last lines; empty for plain success.
    pub message: String,
}

impl Verdict {
    /// The verdict for success without remarks.
    #[must_use]
    pub const fn succeeded() -> Self {
        Self { outcome: Outcome::Succeeded, class: None, message: String::new() }
    }

    /// A success that a person should look at.
    #[must_use]
    pub fn warning(class: Class, message: &str) -> Self {
        Self { outcome: Outcome::Warning, ..Self::failed(class, message) }
    }

    /// A failure that restic had no part in.
    #[must_use]
    pub fn failed(class: Class, message: &str) -> Self {
        let message = super::lines::clean(message, MAX_MESSAGE_BYTES);
        Self { outcome: Outcome::Failed, class: Some(class), message }
    }
}

/// Judges one run, in the order in which the symptoms count.
#[must_use]
pub fn judge(kind: StepKind, ended: Ended, stop: Option<Stop>, found: &Findings) -> Verdict {
    let (outcome, class) = sort(kind, ended, stop, found);
    let Some(class) = class else { return Verdict::succeeded() };
    if (class, stop) == (Class::Timeout, Some(Stop::Silent)) {
        let message = format!(
            "restic {} said nothing any more and was ended: it probably hangs. Look at the storage and at the machine, then run it again.",
            kind.as_str()
        );
        return Verdict { outcome, class: Some(class), message };
    }
    if stop == Some(Stop::Unheard) && class == Class::Network {
        return Verdict { outcome, class: Some(class), message: UNHEARD.to_owned() };
    }
    Verdict { outcome, class: Some(class), message: message(kind, class, outcome, ended, found) }
}

fn sort(kind: StepKind, ended: Ended, stop: Option<Stop>, found: &Findings) -> (Outcome, Option<Class>) {
    let failed = |class| (Outcome::Failed, Some(class));
    let warning = |class| (Outcome::Warning, Some(class));
    match (ended, stop) {
        // It came to its end before our signal.
        (Ended::Code(0), _) => {}
        (_, Some(Stop::Cancelled)) => return (Outcome::Cancelled, Some(Class::Cancelled)),
        // It would have tried for longer than anybody waits.
        (_, Some(Stop::Timeout)) if kind == StepKind::Config && found.symptoms.has(Symptom::Network) => {
            return failed(Class::Network);
        }
        (_, Some(Stop::Timeout | Stop::Silent)) => return failed(Class::Timeout),
        (_, Some(Stop::Hopeless)) => return failed(classify(kind, found)),
        (_, Some(Stop::Unheard)) => return failed(Class::Network),
        _ => {}
    }
    match ended {
        Ended::Code(0) => match kind {
            // 0.18 says 403 and exits 0, having removed nothing.
            StepKind::Forget
                if found.symptoms.has(Symptom::NotRemoved) || found.symptoms.has(Symptom::Ignored) =>
            {
                failed(if found.symptoms.has(Symptom::Forbidden) { Class::AppendOnly } else { Class::Other })
            }
            // 0.14 says that there is no such snapshot, and exits 0.
            StepKind::Diff if !found.differences.is_whole => failed(Class::Other),
            StepKind::Ls | StepKind::Walk | StepKind::Stat if found.symptoms.has(Symptom::Ignored) => {
                failed(if found.symptoms.has(Symptom::Damaged) { Class::Damaged } else { Class::Other })
            }
            StepKind::Backup if !found.missing.is_empty() => warning(Class::SourceMissing),
            StepKind::Check if found.check_errors.is_some_and(|errors| errors > 0) => failed(Class::Damaged),
            StepKind::Snapshots if found.listing_is_whole && found.symptoms.has(Symptom::Ignored) => {
                warning(Class::Damaged)
            }
            StepKind::Find if found.listing_is_whole && found.symptoms.has(Symptom::Damaged) => {
                warning(Class::Damaged)
            }
            StepKind::Snapshots
            | StepKind::Choose
            | StepKind::Find
            | StepKind::Ls
            | StepKind::Walk
            | StepKind::Stat
                if !found.listing_is_whole =>
            {
                failed(Class::Other)
            }
            _ => (Outcome::Succeeded, None),
        },
        Ended::Code(3) if kind == StepKind::Backup => match () {
            () if found.symptoms.has(Symptom::Damaged) => warning(Class::Damaged),
            () if found.file_errors == 0 && !found.missing.is_empty() => warning(Class::SourceMissing),
            () => warning(Class::SourceUnreadable),
        },
        Ended::Code(3) if found.symptoms.has(Symptom::Forbidden) => failed(Class::AppendOnly),
        Ended::Code(10) => failed(Class::RepoMissing),
        Ended::Code(11) => failed(Class::RepoLocked),
        Ended::Code(12) => failed(Class::Auth),
        Ended::Code(code) if code == i32::from(EXIT_NO_RESTIC) => failed(Class::ResticMissing),
        // Somebody else's signal; 2 and 15 before restic could catch them.
        Ended::Code(130 | 143) | Ended::Signal(2 | 15) => (Outcome::Cancelled, Some(Class::Cancelled)),
        Ended::Signal(_) => failed(Class::Other),
        Ended::Code(_) => failed(classify(kind, found)),
    }
}

/// The class of an exit code that says nothing: the last words count, then all that was said before.
fn classify(kind: StepKind, found: &Findings) -> Class {
    let last = match &found.exit_error {
        Some(words) => words.symptoms,
        None => {
            found.last_words.iter().fold(Symptoms::default(), |symptoms, words| symptoms.and(words.symptoms))
        }
    };
    if let Some(class) = class_of_ssh(found.symptoms) {
        return class;
    }
    [last, found.symptoms].iter().find_map(|symptoms| class_of(kind, found, symptoms)).unwrap_or(Class::Other)
}

/// What ssh said stands before restic's own words, which are of a connection that was closed.
fn class_of_ssh(symptoms: Symptoms) -> Option<Class> {
    // Those of a command whose output is saved may be the words of an ssh, too.
    if symptoms.has(Symptom::CommandFailed) {
        return None;
    }
    let order = [
        (Symptom::HostKeyChanged, Class::HostKeyChanged),
        (Symptom::HostKey, Class::UnknownHostKey),
        (Symptom::NoLogin, Class::Auth),
        (Symptom::NoWay, Class::Network),
    ];
    order.iter().find(|(symptom, _)| symptoms.has(*symptom)).map(|&(_, class)| class)
}

fn class_of(kind: StepKind, found: &Findings, symptoms: &Symptoms) -> Option<Class> {
    let order = [
        (Symptom::Locked, Class::RepoLocked),
        (Symptom::WrongPassword, Class::Auth),
        (Symptom::Forbidden, Class::AppendOnly),
        (Symptom::UnknownAuthority, Class::UnknownAuthority),
        (Symptom::WrongName, Class::WrongName),
        (Symptom::WrongPurpose, Class::WrongName),
        (Symptom::Expired, Class::CertificateExpired),
        (Symptom::NoTls, Class::NoTls),
        (Symptom::WantsTls, Class::NeedsTls),
        (Symptom::NoHttp, Class::Network),
        (Symptom::Network, Class::Network),
        (Symptom::DiskFull, Class::DiskFull),
        (Symptom::Exists, Class::RepoExists),
        (Symptom::Damaged, Class::Damaged),
        (Symptom::NoSource, Class::SourceMissing),
        (Symptom::InvalidPattern, Class::InvalidPattern),
        (Symptom::CommandFailed, Class::Hook),
        (Symptom::NoRepo, Class::RepoMissing),
    ];
    let class = order.iter().find(|(symptom, _)| symptoms.has(*symptom)).map(|&(_, class)| class);
    match (class, kind) {
        (None, StepKind::Config) if symptoms.has(Symptom::BadRequest) => Some(Class::NeedsTls),
        // Nothing was heard of a network that fails: the file itself is shorter than it was.
        (None, _) if symptoms.has(Symptom::CutShort) => Some(match found.symptoms.has(Symptom::Network) {
            true => Class::Network,
            false => Class::Damaged,
        }),
        // Reading or adding was forbidden, not removing: the login is not the right one.
        (Some(Class::AppendOnly), _) if !found.symptoms.has(Symptom::NotRemoved) => Some(Class::Auth),
        (None, StepKind::Check) if found.check_errors.is_some_and(|errors| errors > 0) => {
            Some(Class::Damaged)
        }
        (class, _) => class,
    }
}

fn message(kind: StepKind, class: Class, outcome: Outcome, ended: Ended, found: &Findings) -> String {
    let mut text = advice(kind, class, outcome, ended, found);
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    if class != Class::Cancelled && !found.last_words.is_empty() {
        text.push_str("\nrestic:");
        // The very last says most: when not all fit, it is the others that go.
        let mut room = MAX_MESSAGE_BYTES.saturating_sub(text.len());
        let fits = found.last_words.iter().rev().take_while(|words| {
            let left = room.checked_sub(words.text.len() + 1);
            room = left.unwrap_or(0);
            left.is_some()
        });
        for words in found.last_words.iter().skip(found.last_words.len() - fits.count()) {
            text.push('\n');
            text.push_str(&words.text);
        }
    }
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    text
}

/// What happened and what to do next, in plain words.
fn advice(kind: StepKind, class: Class, outcome: Outcome, ended: Ended, found: &Findings) -> String {
    let fixed = match class {
        Class::RepoLocked => {
            return match &found.holder {
                Some(holder) => format!(
                    "Another process works on the repository: {} on {}. Wait for it, or unlock the repository when it is gone.",
                    holder.pid, holder.hostname
                ),
                None => "Another process works on the repository. Wait for it, or unlock the repository when it is gone.".to_owned(),
            };
        }
        Class::Auth if found.symptoms.has(Symptom::NoLogin) => {
            "The storage's ssh lets nobody in: this machine's key is not one that it knows. Make one for the user that the agent runs as (ssh-keygen), and put its public part into ~/.ssh/authorized_keys at the storage."
        }
        Class::Auth
            if ended == Ended::Code(12) || found.symptoms.has(Symptom::WrongPassword) && !says_401(found) =>
        {
            "The repository does not open with this password. Check the restic password in the credentials."
        }
        Class::Auth => {
            "The storage does not accept this user name and password. Check both in the credentials, and that the user may use this address."
        }
        Class::RepoMissing => {
            "There is no repository at this address. Check the address, or initialise the repository."
        }
        Class::AppendOnly => {
            "The storage lets nothing be deleted with these credentials (append-only). Set admin credentials that may delete."
        }
        Class::Network if found.symptoms.has(Symptom::NoHttp) => {
            "What answers at this address speaks no HTTP, so it is not the storage's server. Check the address and the port."
        }
        Class::Network => {
            "The storage can't be reached. Check that its server runs, the address and port, and the network between."
        }
        Class::SourceMissing => {
            let missing = found.missing.join(", ");
            return match (outcome, missing.is_empty()) {
                (_, true) => "None of the paths to back up is there. Check the source group.".to_owned(),
                (Outcome::Warning, _) => {
                    format!(
                        "A snapshot was made, but without {missing}: no such path. Check the source group."
                    )
                }
                _ => format!("No such path: {missing}. Check the source group."),
            };
        }
        Class::SourceUnreadable => {
            let errors = found.file_errors;
            return format!(
                "A snapshot was made, but {errors} {} could not be read. Let the agent read them, or exclude them.",
                if errors == 1 { "file or folder" } else { "files or folders" }
            );
        }
        Class::DiskFull if kind == StepKind::Restore => {
            "No space is left where the files are restored to. Make room there, then restore again, with overwrite always: unfinished files look right."
        }
        Class::DiskFull if kind == StepKind::Prune => {
            "No space is left, in the storage or in the agent's own folder for restic's cache (the path below says which). A prune writes a new index, and anew what it takes out of packs, before it deletes anything. Make some room, but never by removing files of the repository; then prune again. The least room is needed by hand: restic prune --max-repack-size 0"
        }
        Class::DiskFull => {
            "No space is left, in the storage or in the agent's own folder for restic's cache (the path below says which). Snapshots can still be listed, looked into and restored; everything else needs room, if only a few KB for its lock. Make room in this order: some MB on that disk, but never by removing files of the repository; then forget what is not needed any more; then prune; then run this again."
        }
        Class::Damaged if kind == StepKind::Snapshots => {
            "Some snapshots can't be read, so they are not in the list (the log names them): perhaps a copy or a synchronisation was not finished. Run a check."
        }
        Class::Damaged if kind == StepKind::Find => {
            "Not all snapshots could be looked through to the end (the log says which): folders in them can't be read. Run a check."
        }
        Class::Damaged if outcome == Outcome::Warning => {
            "A snapshot was made, but older data in the repository could not be read: it may be damaged. Run a check."
        }
        Class::Damaged if kind == StepKind::Check => {
            "The check found errors in the repository; the log names them. Let nothing be forgotten or pruned until it is mended. Mend it by hand, on the machine, then back up and check again; restic's guide: https://restic.readthedocs.io/en/stable/077_troubleshooting.html"
        }
        Class::Damaged => {
            "The repository has errors. Run a check to see them; restic's guide to repairs: https://restic.readthedocs.io/en/stable/077_troubleshooting.html"
        }
        Class::UnknownAuthority => {
            "The certificate of the storage is of an authority that this machine does not know. If it is your own, write the address with https:// (also of a storage that leads on from http to https), and give the authority's certificate (PEM) in the credentials."
        }
        Class::WrongName if found.symptoms.has(Symptom::WrongPurpose) => {
            "The certificate of the storage is not one for a server: its extended key usage leaves that out. Give the storage one that is (serverAuth)."
        }
        Class::WrongName => {
            "The certificate of the storage is for another name or address than the one in the repository's address. Use a name that it is for, or give the storage a certificate for this one."
        }
        Class::CertificateExpired => {
            "The certificate of the storage has expired, or is not valid yet. Renew it there, and look at the clocks of both machines."
        }
        Class::NoTls => {
            "The storage speaks no TLS at this port. Write http:// in the address, or give the port at which it does."
        }
        Class::UnknownHostKey => {
            "The host key of the storage is none that is known here. Compare its fingerprint, which the page of this job shows, with the one at the storage (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), and accept it there."
        }
        Class::HostKeyChanged => {
            "The host key of the storage is another one than the one that is known. Either the storage was set up anew, or somebody else is answering. Compare its fingerprint, which the page of this job shows, with the one at the storage (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) before you accept it."
        }
        Class::NeedsTls => {
            "The storage makes no sense of the request, as one does that speaks TLS only. Write https:// in the address."
        }
        Class::InvalidPattern => {
            "restic can't read an exclude pattern of the source group (below); nothing was saved. Close each [, and put another character behind a \\."
        }
        Class::RepoExists => "There is a repository at this address already; nothing was changed.",
        Class::ResticMissing => "restic could not be started. Install it again, or name its path.",
        Class::Cancelled => return format!("restic {} was ended before it was done.", kind.as_str()),
        Class::Timeout => {
            return format!("restic {} did not end within its deadline and was ended.", kind.as_str());
        }
        _ if found.symptoms.has(Symptom::NoSnapshot) => {
            "The repository holds no snapshot of this id: it was forgotten, or is in another repository. List the snapshots to see those that are there."
        }
        _ => {
            return match ended {
                Ended::Signal(9) => format!(
                    "restic {} was killed from outside; often that is the system, short of memory.",
                    kind.as_str()
                ),
                Ended::Signal(signal) => format!("restic {} was ended by signal {signal}.", kind.as_str()),
                Ended::Code(code) if code == i32::from(EXIT_NO_WAY) => {
                    format!("The agent could not start restic {}.", kind.as_str())
                }
                Ended::Code(code) => format!("restic {} failed with exit code {code}.", kind.as_str()),
            };
        }
    };
    fixed.to_owned()
}

fn says_401(found: &Findings) -> bool {
    let words = found.exit_error.iter().chain(&found.last_words);
    words.into_iter().any(|words| words.symptoms.has(Symptom::StatusRefused))
}
