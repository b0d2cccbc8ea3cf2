//! What kinds of jobs and classes of failure are called.

use fleet::record::RestoreTarget;
use schema::{Class, JobKind, Overwrite};

/// What a kind of job is called; a dry run only says what it would do.
pub(crate) const fn job_kind(kind: JobKind, is_dry_run: bool) -> &'static str {
    match kind {
        JobKind::Probe => "Credentials test",
        JobKind::Init => "Repository init",
        JobKind::Backup => "Backup",
        JobKind::Forget if is_dry_run => "Preview of a forget",
        JobKind::Forget => "Forget",
        JobKind::Prune => "Prune",
        JobKind::Check => "Check",
        JobKind::Unlock => "Unlock",
        JobKind::Stats => "Repository stats",
        JobKind::Snapshots => "Snapshot list",
        JobKind::Ls => "Snapshot folder list",
        JobKind::Restore if is_dry_run => "Dry run of a restore",
        JobKind::Restore => "Restore",
        JobKind::Browse => "Folder list",
        JobKind::Drill => "Proof",
        JobKind::Find => "Search",
        JobKind::Diff => "Comparison",
        JobKind::Download => "Download",
    }
}

/// Where a restore goes.
pub(crate) fn restore_target(target: &RestoreTarget) -> String {
    match target {
        RestoreTarget::NewFolder { within } if within.is_empty() => "a new folder".to_owned(),
        RestoreTarget::NewFolder { within } => format!("a new folder in {within}"),
        RestoreTarget::Folder { path } => path.clone(),
        RestoreTarget::Original => "the original places".to_owned(),
    }
}

/// What becomes of files that are there when something is restored over them.
pub(crate) const fn overwrite(overwrite: Overwrite) -> &'static str {
    match overwrite {
        Overwrite::Never => "stay",
        Overwrite::IfNewer => "are replaced when the snapshot's are newer",
        Overwrite::IfChanged => "are replaced when size or time differ",
        Overwrite::Always => "are replaced when their content differs",
    }
}

/// A class in a few plain words.
pub(crate) const fn class(class: Class) -> &'static str {
    match class {
        Class::RepoLocked => "Repository is locked",
        Class::Auth => "Wrong password",
        Class::RepoMissing => "No repository at the address",
        Class::AppendOnly => "Storage is append-only",
        Class::Network => "Repository can't be reached",
        Class::SourceMissing => "A path to back up is not there",
        Class::SourceUnreadable => "Some files could not be read",
        Class::SourceEmpty => "A path to back up brought nothing",
        Class::DiskFull => "No space left",
        Class::ResticMissing => "restic is not installed",
        Class::Timeout => "Took too long",
        Class::Cancelled => "Cancelled",
        Class::Hook => "A hook or a command failed",
        Class::Damaged => "Repository has errors",
        Class::RepoExists => "There is a repository already",
        Class::Policy => "Forbidden by the host's policy",
        Class::NoCredentials => "The agent has no credentials",
        Class::AgentRestarted => "Agent was restarted",
        Class::NotTried => "Not tried",
        Class::OtherRepo => "Admin credentials open another repository",
        Class::NotNow => "Put off by the host's policy",
        Class::InvalidPattern => "An exclude pattern can't be read",
        Class::UnknownAuthority => "The storage's certificate is of an unknown authority",
        Class::WrongName => "The storage's certificate is for another name or purpose",
        Class::CertificateExpired => "The storage's certificate is not valid now",
        Class::NoTls => "The storage speaks no TLS",
        Class::NeedsTls => "The storage seems to want TLS",
        Class::UnknownHostKey => "The storage's ssh host key is not known",
        Class::HostKeyChanged => "The storage's ssh host key has changed",
        Class::ProofFailed => "Files can't be restored, or are different",
        Class::NotInSnapshot => "It is not in the snapshot",
        Class::NotDownloadable => "It can't be downloaded like that",
        Class::Other => "Backup failed",
    }
}
