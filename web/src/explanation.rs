//! Why a job did not succeed, in plain words, and the one step that comes next.

use fleet::record::{AgentGone, Job, JobState};
use schema::{Class, JobKind, Refusal};

/// Where the next step leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// To the everyday credentials.
    RepoCredentials,
    /// To the admin credentials.
    AdminCredentials,
    /// To the run-now actions of the repository.
    RepoActions,
    /// To the source group.
    Group,
    /// To the host.
    Host,
    /// To the host key that was shown.
    HostKey,
    /// To the page to restore files, with the same choices.
    Restore,
    /// The same again.
    Again,
}

/// A likely cause, and what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// The likely cause in a few words.
    pub(crate) title: &'static str,
    /// What was seen, what it probably means, what to do.
    pub(crate) text: &'static str,
    /// The words of the button.
    pub(crate) step_words: &'static str,
    /// Where the button of the next step leads.
    pub(crate) step: NextStep,
    /// Why the step is safe.
    pub(crate) safe: &'static str,
}

const fn explain(
    title: &'static str,
    text: &'static str,
    step: NextStep,
    step_words: &'static str,
    safe: &'static str,
) -> Explanation {
    Explanation { title, text, step_words, step, safe }
}

impl Explanation {
    /// The cause of a job that failed, was lost, or warns; `None` when there is nothing to explain.
    pub(crate) fn of(job: &Job) -> Option<Self> {
        if job.ended_by().is_some_and(|by| !by.is_interruption()) {
            return None;
        }
        Self::of_end(job.what.kind(), job.state, job.refusal, job.class, job.agent_gone)
    }

    /// The same of what is known of the end of a job.
    pub(crate) fn of_end(
        kind: JobKind,
        state: JobState,
        refusal: Option<Refusal>,
        class: Option<Class>,
        gone: Option<AgentGone>,
    ) -> Option<Self> {
        let cause = match gone {
            Some(gone) if state == JobState::Lost => of_gone(gone),
            _ => Self::of_any_kind(kind, state, refusal, class)?,
        };
        Some(if kind == JobKind::Restore { cause.of_restore(state, class, gone) } else { cause })
    }

    /// What is other of a restore: it adds nothing to a repository, and is tried again by way of its page.
    fn of_restore(self, state: JobState, class: Option<Class>, gone: Option<AgentGone>) -> Self {
        let text = match (state, class) {
            (_, Some(Class::DiskFull)) => {
                "There is no space left where the files are restored to, or on the host's own disk (the log says \
                 which). What was restored until then stays, and the last of it may be files that are not whole. Make room \
                 there or choose another folder, then restore again, and let files be replaced whose content differs."
            }
            (JobState::Lost, _) if gone.is_some() => self.text,
            (JobState::Lost | JobState::Cancelled, _) | (_, Some(Class::AgentRestarted)) => {
                "restic was ended before it was done: the agent or its machine went down, or something there stopped it. \
                 What was restored until then stays where it is, and the last of it may be files that are not whole; the log \
                 names the folder. Restore again, and let files be replaced whose content differs."
            }
            (_, Some(Class::Policy)) => {
                "Either the policy file on the host does not allow it, or what lies there already stands in its way: the \
                 message says which. The policy can be changed on the host only; a new folder has nothing in the way."
            }
            _ => self.text,
        };
        let title = if class == Some(Class::Policy) { "The host refused it" } else { self.title };
        let again = matches!(self.step, NextStep::Again) || class == Some(Class::DiskFull);
        if !again {
            return Self { title, text, ..self };
        }
        Self {
            title,
            text,
            step: NextStep::Restore,
            step_words: "Restore again",
            safe: "Safe: it shows what would be written before anything is.",
        }
    }

    fn of_any_kind(
        kind: JobKind,
        state: JobState,
        refusal: Option<Refusal>,
        class: Option<Class>,
    ) -> Option<Self> {
        match state {
            JobState::Lost => Some(LOST),
            JobState::Cancelled if class == Some(Class::AgentRestarted) => {
                Some(of_class(Class::AgentRestarted, kind))
            }
            // Whoever asks has seen that nobody wanted it ended.
            JobState::Cancelled => Some(INTERRUPTED),
            JobState::Failed | JobState::Warning => match (refusal, class) {
                (Some(refusal), _) => Some(of_refusal(refusal)),
                // Its result names each file, and why.
                (None, _) if state == JobState::Warning && kind == JobKind::Restore => None,
                (None, Some(Class::SourceMissing)) if state == JobState::Warning => Some(PARTLY_MISSING),
                (None, Some(class)) => Some(of_class(class, kind)),
                (None, None) if state == JobState::Failed => Some(of_class(Class::Other, kind)),
                (None, None) => None,
            },
            _ => None,
        }
    }
}

const LOST: Explanation = explain(
    "The agent has lost this job",
    "The agent came back without this job and without its result: it was probably killed or its machine went down \
     while restic ran. What restic had sent already is used again by the next run.",
    NextStep::Again,
    "Run it again",
    "Safe: the next run first removes a lock that was left behind.",
);

/// No agent can say here what became of it.
const fn of_gone(gone: AgentGone) -> Explanation {
    match gone {
        AgentGone::Reenrolled => explain(
            "The host was enrolled anew",
            "While this job waited or ran the host was enrolled anew, and its agent began afresh: what became of the job \
             is not known.",
            NextStep::Again,
            "Run it again",
            "Safe: what was sent already is used again.",
        ),
        AgentGone::Replaced => explain(
            "Another machine took the host’s place",
            "While this job waited or ran another machine took the host’s place, or the same one with another state \
             folder. What the former agent made of the job is not known.",
            NextStep::Again,
            "Run it again",
            "Safe: what was sent already is used again.",
        ),
        AgentGone::ServerRestored => explain(
            "Only the server that is lost knows",
            "This server was restored from an archive of when the job was under way, and the agent told the other one what \
             became of it. A backup that went well is in the repository: read the list of snapshots again.",
            NextStep::Again,
            "Run it again",
            "Safe: what was sent already is used again.",
        ),
    }
}

const INTERRUPTED: Explanation = explain(
    "Something on the host stopped it",
    "restic was stopped by a signal that came neither from this server nor from the agent: by another program or person \
     on that machine, or while it went down. What was sent already is used again by the next run.",
    NextStep::Again,
    "Run it again",
    "Safe: it goes on from where it was.",
);

/// Some of the paths are not there: unlike with none of them, restic saved the rest.
const PARTLY_MISSING: Explanation = explain(
    "Some of the paths were not there",
    "A snapshot exists, without the paths that are named below: they do not exist on the host, or a disk is not \
     mounted. It does not count as a good backup.",
    NextStep::Group,
    "Look at the source group",
    "Safe: it only shows the paths.",
);

fn of_class(class: Class, kind: JobKind) -> Explanation {
    match class {
        Class::RepoLocked => explain(
            "The repository is locked",
            "Another process holds a lock. If it still works, wait for it. If it has ended and left its \
             lock behind, the lock can be removed.",
            NextStep::RepoActions,
            "Look at the lock",
            "Safe: it only shows whose the lock is.",
        ),
        Class::Auth => explain(
            "The repository refuses the password",
            "The storage answered, but the user name, its password or the restic password is wrong. Somebody probably \
             changed one of them, or it was mistyped here.",
            NextStep::RepoCredentials,
            "Set credentials",
            "Safe: saving only stores and tests them.",
        ),
        Class::RepoMissing => explain(
            "There is no repository at this address",
            "The storage answered, but holds no restic repository there. Either it was never created, or the address is \
             wrong.",
            NextStep::RepoActions,
            "Look at the repository",
            "Safe: init never touches an existing repository.",
        ),
        Class::AppendOnly => explain(
            "The storage is append-only",
            "The repository is append-only for the everyday credentials, as it should be. Forget and prune \
             need the admin credentials.",
            NextStep::AdminCredentials,
            "Set admin credentials",
            "Safe: they are sent to the host for one job and not stored there.",
        ),
        Class::Network => explain(
            "The storage can't be reached",
            "The host could not connect to the repository's server: it is probably down, its name does not resolve on \
             the host, a firewall stands between them, or something else answers at its port.",
            NextStep::RepoCredentials,
            "Check the address",
            "Safe: a test changes nothing.",
        ),
        Class::SourceMissing => explain(
            "A path to back up is not there",
            "A path of the source group does not exist on the host, or a disk that must be mounted is not. Nothing was \
             saved, so that an empty folder does not replace a good backup.",
            NextStep::Group,
            "Look at the source group",
            "Safe: it only shows the paths.",
        ),
        Class::SourceUnreadable => explain(
            "Some files could not be read",
            "A snapshot exists, without the files that the log names. The agent probably lacks the right to read them, \
             or they vanished while restic ran.",
            NextStep::Group,
            "Look at the source group",
            "Safe: it only shows the paths.",
        ),
        Class::SourceEmpty => explain(
            "There was nothing to save",
            "A snapshot exists, without a single file in it or in some of its paths: they are empty or mere links, all \
             that is in them is excluded, or a command gave no output. Maybe a disk is not mounted. It does not count \
             as a good backup.",
            NextStep::Group,
            "Look at the source group",
            "Safe: it only shows the paths.",
        ),
        Class::DiskFull => explain(
            "There is no space left",
            "The storage of the repository (or the host's own disk, the log says which) is full. Its snapshots can still be \
             listed, looked into and restored; everything else needs room, if only a few KB for its lock. In this order: \
             free some MB there, but never by removing files of the repository; forget what is not needed any more; prune; \
             run it again. What was sent already is used again then.",
            NextStep::RepoActions,
            "Look at the repository",
            "Safe: it only shows the figures.",
        ),
        Class::ResticMissing => explain(
            "restic is not installed on the host",
            "The agent found no restic that it can start. Install it with the host's package manager, version 0.14 or \
             newer; the agent finds it by itself.",
            NextStep::Again,
            "Run it again",
            "Safe: it does nothing as long as restic is missing.",
        ),
        Class::Timeout => explain(
            "It took too long and was stopped",
            "The job did not end before its deadline. The storage is probably slow, or there is very much new data; what \
             was sent already is used again by the next run.",
            NextStep::Again,
            "Run it again",
            "Safe: it goes on from where it was.",
        ),
        Class::Cancelled => explain(
            "It was cancelled",
            "The job was cancelled on request. What was sent already is used again by the next run.",
            NextStep::Again,
            "Run it again",
            "Safe: it goes on from where it was.",
        ),
        Class::Hook => explain(
            "A hook or a command failed",
            "A hook of the source group, which runs before or after restic, or the command whose output it saves did not \
             succeed. The log shows its output.",
            NextStep::Group,
            "Look at the source group",
            "Safe: it only shows the hooks.",
        ),
        Class::Damaged => explain(
            "The repository has errors",
            "restic found data that is missing or damaged. Keep the repository as it is and read the log; do not \
             prune before this is understood.",
            NextStep::RepoActions,
            "Look at the repository",
            "Safe: check reads and changes nothing.",
        ),
        Class::ProofFailed => explain(
            "Files can't be restored, or are different",
            "Files that were drawn by lot from the newest snapshot did not come back as they were saved. Not all that is \
             backed up is there. Let nothing be forgotten or pruned, and run a check that reads all data: it says what else \
             is damaged.",
            NextStep::RepoActions,
            "Look at the repository",
            "Safe: check reads and changes nothing.",
        ),
        Class::RepoExists => explain(
            "There is already a repository",
            "The address holds a repository, and it was not touched. If it is yours, set its restic password and go on; \
             if not, choose another address.",
            NextStep::RepoCredentials,
            "Set credentials",
            "Safe: saving only stores and tests them.",
        ),
        Class::Policy => explain(
            "The host's own policy forbids it",
            "The policy file on the host does not allow this job or one of its paths. It can be changed on the host only.",
            NextStep::Host,
            "Look at the host",
            "Safe: it only shows the host.",
        ),
        Class::UnknownAuthority => explain(
            "The storage's certificate is from an unknown CA",
            "The storage speaks TLS with a certificate that the host can't check. If the CA is your own, give its \
             certificate in the credentials, with an address that begins with https; if not, somebody else may be \
             answering.",
            NextStep::RepoCredentials,
            "Set credentials",
            "Safe: saving only stores and tests them.",
        ),
        Class::WrongName => explain(
            "The storage's certificate is for another name or purpose",
            "The repository's address calls the storage by a name or an address that its certificate is not for, or the \
             certificate is not one for servers. Use a name that it is for, or give the storage another certificate.",
            NextStep::RepoCredentials,
            "Set credentials",
            "Safe: saving only stores and tests them.",
        ),
        Class::CertificateExpired => explain(
            "The storage's certificate is not valid now",
            "It has expired, or is not valid yet. Renew it at the storage, and look at the clocks of storage and host.",
            NextStep::Again,
            "Run it again",
            "Safe: nothing is done before the storage can be trusted.",
        ),
        Class::NoTls => explain(
            "The storage speaks no TLS",
            "The repository's address says https, and the storage answers without TLS. Write http, or give the port at \
             which it speaks TLS.",
            NextStep::RepoCredentials,
            "Set credentials",
            "Safe: saving only stores and tests them.",
        ),
        Class::NeedsTls => explain(
            "The storage seems to want TLS",
            "The repository's address says http, and the storage does not understand it. Write https.",
            NextStep::RepoCredentials,
            "Set credentials",
            "Safe: saving only stores and tests them.",
        ),
        Class::UnknownHostKey => explain(
            "The storage's host key is not known",
            "The storage answers by ssh with a key that the host has never seen. Compare its fingerprint with the one at \
             the storage, and accept it; then it may show no other.",
            NextStep::HostKey,
            "Review the key…",
            "Safe: it is shown, and accepted only when you confirm.",
        ),
        Class::HostKeyChanged => explain(
            "The storage's host key has changed",
            "The storage answers by ssh with another key than before, so nothing was sent to it. Either it was reinstalled, \
             or somebody else is answering in its place. Compare the fingerprint with the one at the storage.",
            NextStep::HostKey,
            "Review the key…",
            "Safe: it is shown, and accepted only when you confirm.",
        ),
        Class::InvalidPattern => explain(
            "An exclude pattern can't be read",
            "restic can't read an exclude pattern of the source group, so nothing was saved: a [ is not closed, or nothing \
             follows a \\. It is not retried before the pattern is fixed.",
            NextStep::Group,
            "Look at the source group",
            "Safe: it only shows the patterns.",
        ),
        Class::NotNow => explain(
            "Postponed by the host's policy",
            "The policy file on the host has quiet hours, or requires another network, so restic was not started. A \
             scheduled backup stays pending and is retried by itself.",
            NextStep::Again,
            "Run it again",
            "Safe: it does nothing as long as the policy says so.",
        ),
        Class::NoCredentials if matches!(kind, JobKind::Prune | JobKind::Forget) => explain(
            "The agent had no admin credentials",
            "This job deletes, and the agent got no credentials that may. Set the admin credentials, then run it again.",
            NextStep::AdminCredentials,
            "Set admin credentials",
            "Safe: they are sent to the host for one job and not stored there.",
        ),
        Class::NoCredentials => explain(
            "The agent has no credentials",
            "The agent has no repository credentials: they were probably lost with its state folder. Save them again \
             to send them to it.",
            NextStep::RepoCredentials,
            "Set credentials",
            "Safe: saving only stores and tests them.",
        ),
        Class::AgentRestarted => explain(
            "The agent was restarted while it ran",
            "The agent or its machine was restarted, and restic ended with it. What was sent already is used again by the \
             next run.",
            NextStep::Again,
            "Run it again",
            "Safe: the next run first removes a lock that was left behind.",
        ),
        Class::NotTried => explain(
            "It was not tried",
            "Something else in the same job failed first, and would have made this fail too. Fix that first.",
            NextStep::Again,
            "Run it again",
            "Safe: nothing was done yet.",
        ),
        Class::OtherRepo => explain(
            "The admin credentials open another repository",
            "The admin credentials and the everyday ones lead to two repositories, so nothing was deleted in either. \
             Their address or login was probably mistyped, or only one of the two was changed.",
            NextStep::AdminCredentials,
            "Set admin credentials",
            "Safe: they are sent to the host for one job and not stored there.",
        ),
        Class::NotInSnapshot => explain(
            "It is not in the snapshot",
            "The snapshot has no file or folder of that path. Choose one on the page Restore, which shows what each snapshot has.",
            NextStep::Restore,
            "Choose a path",
            "Safe: it only shows what there is.",
        ),
        Class::NotDownloadable => explain(
            "It can't be downloaded like that",
            "A file is downloaded as it is, a folder as an archive, and of a link, a device or a pipe there is nothing to \
             download.",
            NextStep::Restore,
            "Choose a path",
            "Safe: it only shows what there is.",
        ),
        Class::Other => explain(
            "restic failed",
            "The cause is not known. The last output of restic is below; the log has the rest.",
            NextStep::Again,
            "Run it again",
            "Safe: a failed run leaves the snapshots before it as they are.",
        ),
    }
}

fn of_refusal(refusal: Refusal) -> Explanation {
    match refusal {
        Refusal::QueueFull => explain(
            "The agent's queue is full",
            "The agent holds as many jobs as it can and refused this one. Wait until some have finished.",
            NextStep::Again,
            "Run it again",
            "Safe: it is refused again as long as the queue is full.",
        ),
        Refusal::Expired => explain(
            "The command expired",
            "The command waited for the host until it was too old to run. Nothing was done.",
            NextStep::Again,
            "Run it again",
            "Safe: nothing was done yet.",
        ),
        Refusal::AlreadyStarted => explain(
            "The agent had this job before",
            "The agent has the id of this job on its disk already and never runs a job twice.",
            NextStep::Again,
            "Run it again",
            "Safe: it is a new job with an id of its own.",
        ),
        Refusal::Policy => of_class(Class::Policy, JobKind::Probe),
        Refusal::Unsupported => explain(
            "This agent does not support it",
            "The agent is too old for this kind of job. Update it on the host.",
            NextStep::Host,
            "Look at the host",
            "Safe: it only shows the host.",
        ),
        Refusal::NoCredentials => of_class(Class::NoCredentials, JobKind::Probe),
        Refusal::StateFolder => explain(
            "The agent can't write its state folder",
            "The agent must store a job before it starts it, and could not: the host's disk is probably full or \
             read-only.",
            NextStep::Host,
            "Look at the host",
            "Safe: it only shows the host.",
        ),
        Refusal::Busy => explain(
            "The host was busy",
            "A download is done at once or not at all, and runs beside any job but another download and a prune, which \
             removes what it would read. Download again when that has ended.",
            NextStep::Host,
            "Look at the host",
            "Safe: it only shows the host.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The explanations by what they explain.
    #[test]
    fn the_words_of_explanations_are_as_they_were() {
        let mut text = String::new();
        let mut tell = |of: &str, explained: Explanation| {
            let Explanation { title, text: words, step_words, step, safe } = explained;
            text.push_str(&format!("{of}: {title}\n  {words}\n  [{step_words}] → {step:?}. {safe}\n\n"));
        };
        for class in Class::ALL {
            tell(class.as_str(), of_class(class, JobKind::Backup));
        }
        tell("no_credentials of a prune", of_class(Class::NoCredentials, JobKind::Prune));
        for refusal in Refusal::ALL {
            tell(&format!("refused, {}", refusal.as_str()), of_refusal(refusal));
        }
        for gone in AgentGone::ALL {
            tell(gone.as_str(), of_gone(gone));
        }
        for (of, cause) in [("lost", LOST), ("interrupted", INTERRUPTED), ("a warning", PARTLY_MISSING)] {
            tell(of, cause);
        }
        insta::assert_snapshot!("explanations", text);
    }

    #[test]
    fn each_class_and_refusal_has_a_cause_of_its_own_with_a_next_step() {
        let refusals = [
            Refusal::QueueFull,
            Refusal::Expired,
            Refusal::AlreadyStarted,
            Refusal::Unsupported,
            Refusal::StateFolder,
        ];
        let causes: Vec<Explanation> = Class::ALL
            .into_iter()
            .map(|class| of_class(class, JobKind::Backup))
            .chain(refusals.map(of_refusal))
            .chain(AgentGone::ALL.map(of_gone))
            .chain([LOST, PARTLY_MISSING])
            .collect();
        for (at, cause) in causes.iter().enumerate() {
            assert!(cause.safe.starts_with("Safe: ") && cause.text.ends_with('.'), "{cause:?}");
            assert!(causes[at + 1..].iter().all(|other| other.title != cause.title), "{cause:?}");
        }
    }
}
