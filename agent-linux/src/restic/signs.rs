//! Words of restic that tell why something failed.

use super::step::StepKind;

/// Something in restic's words that tells why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Locked,
    WrongPassword,
    Forbidden,
    /// Something could not be deleted.
    NotRemoved,
    /// A snapshot was passed over.
    Ignored,
    Network,
    DiskFull,
    Damaged,
    NoRepo,
    Exists,
    NoSource,
    /// An exclude pattern.
    InvalidPattern,
    /// The storage's certificate is of nobody whom this machine knows.
    UnknownAuthority,
    /// It is for another name.
    WrongName,
    /// It is not for a server.
    WrongPurpose,
    /// It is not valid now.
    Expired,
    /// The storage speaks no TLS.
    NoTls,
    /// The storage can't make sense of a request, as one does that gets no TLS.
    BadRequest,
    /// The storage says that it speaks TLS only.
    WantsTls,
    /// What answers is no HTTP server.
    NoHttp,
    /// The host key of the storage is none that this machine knows.
    HostKey,
    /// It is another one than it was.
    HostKeyChanged,
    /// ssh gave no session; what it said may have been lost.
    NoSession,
    /// ssh lets nobody in.
    NoLogin,
    /// ssh does not reach the storage.
    NoWay,
    /// The command whose output is saved.
    CommandFailed,
    /// The storage said no, not the repository.
    StatusRefused,
}

/// The signs that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs(u32);

impl Signs {
    /// Those of one line.
    pub(crate) fn of(line: &str) -> Self {
        let mut signs = Self::default();
        signs.look_at(line);
        signs
    }

    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, sign: Sign) -> bool {
        self.0 & (1 << sign as u16) != 0
    }

    /// Whether trying again, as restic does for minutes, can change nothing.
    pub(crate) fn are_hopeless(self, kind: StepKind) -> bool {
        let of_server = [
            Sign::UnknownAuthority,
            Sign::WrongName,
            Sign::WrongPurpose,
            Sign::Expired,
            Sign::NoTls,
            Sign::WantsTls,
        ];
        of_server.into_iter().any(|sign| self.has(sign))
            || (kind == StepKind::Config && (self.has(Sign::BadRequest) || self.has(Sign::NoHttp)))
    }

    /// Looks for signs in one line.
    pub(crate) fn look_at(&mut self, line: &str) {
        for (sign, words) in SIGNS {
            if words.iter().any(|word| line.contains(word)) {
                self.0 |= 1 << *sign as u16;
            }
        }
        if is_missing_part(line) {
            self.0 |= 1 << Sign::Damaged as u16;
        }
        if line.contains("unable to open config file") && says_missing(line) {
            self.0 |= 1 << Sign::NoRepo as u16;
        }
    }
}

/// A file of the repository that its index or a snapshot names is not there. (Locks may go at any time.)
fn is_missing_part(line: &str) -> bool {
    let names_part = ["Load(<", "ReadFull(<", "StreamPack"].iter().any(|word| line.contains(word));
    names_part && !line.contains("<lock/") && says_missing(line)
}

fn says_missing(line: &str) -> bool {
    line.contains("no such file or directory") || line.contains("does not exist")
}

const SIGNS: &[(Sign, &[&str])] = &[
    (Sign::Locked, &["already locked"]),
    (
        Sign::WrongPassword,
        &[
            "wrong password",
            "(401)",
            "401 Unauthorized",
            "an empty password",
            "Access Denied",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
        ],
    ),
    (
        Sign::NoLogin,
        &["Permission denied (publickey", "Permission denied (password", "Permission denied (keyboard-"],
    ),
    (
        Sign::NoWay,
        &[
            "Connection refused",
            "Connection timed out",
            "Connection reset by",
            "Connection closed by",
            "No route to host",
            "Network is unreachable",
            "Could not resolve hostname",
            "kex_exchange_identification",
        ],
    ),
    (Sign::HostKey, &["Host key verification failed"]),
    (Sign::NoSession, &["unable to start the sftp session"]),
    (
        Sign::HostKeyChanged,
        &["REMOTE HOST IDENTIFICATION HAS CHANGED", " has changed and you have requested strict checking"],
    ),
    (Sign::CommandFailed, &["command failed: ", "failed to start command: "]),
    (
        Sign::UnknownAuthority,
        &[
            "x509: certificate signed by unknown authority",
            "x509: certificate is not authorized to sign other certificates",
        ],
    ),
    (
        Sign::WrongName,
        &[
            "x509: certificate is valid for ",
            "x509: certificate is not valid for any names",
            "x509: cannot validate certificate for ",
            "x509: certificate relies on legacy Common Name",
            "is not authorized to sign for this name",
        ],
    ),
    (Sign::WrongPurpose, &["x509: certificate specifies an incompatible key usage"]),
    (Sign::Expired, &["x509: certificate has expired or is not yet valid"]),
    (
        Sign::NoTls,
        &["server gave HTTP response to HTTPS client", "first record does not look like a TLS handshake"],
    ),
    (Sign::BadRequest, &["unexpected HTTP response (400)"]),
    (
        Sign::WantsTls,
        &[
            "Client sent an HTTP request to an HTTPS server",
            "The plain HTTP request was sent to HTTPS port",
            // An alert of TLS.
            r#"malformed HTTP response "\x15\x03"#,
        ],
    ),
    (Sign::NoHttp, &["malformed HTTP response", "malformed HTTP version", "malformed HTTP status code"]),
    (Sign::InvalidPattern, &["invalid pattern(s) provided"]),
    (Sign::Forbidden, &["(403)", "403 Forbidden"]),
    (Sign::NotRemoved, &["unable to remove", "blob not removed", "Remove(<", "failed to remove"]),
    (Sign::Ignored, &["Ignoring \"", "could not load snapshot "]),
    (
        Sign::Network,
        &[
            "connection refused",
            "connection reset",
            "no such host",
            "no route to host",
            "network is unreachable",
            "i/o timeout",
            "timeout exceeded",
            "TLS handshake",
            "tls: ",
            "x509: ",
            "dial tcp",
            "(502)",
            "(503)",
            "(504)",
            "broken pipe",
            "unexpected EOF",
            "server misbehaving",
        ],
    ),
    (Sign::DiskFull, &["no space left on device", "disk quota exceeded", "(507)", "Insufficient Storage"]),
    (
        Sign::Damaged,
        &[
            "repository contains errors",
            "invalid data returned",
            "is damaged",
            "could be damaged",
            "ciphertext verification failed",
            "packs from index missing in repo",
            "LoadIndex returned errors",
            "not found in repository",
            "hash does not match",
        ],
    ),
    (Sign::Exists, &["config file already exists", "repository already exists"]),
    (
        Sign::NoSource,
        &[
            "all target directories/files do not exist",
            "all source directories/files do not exist",
            "nothing to backup",
        ],
    ),
    (Sign::NoRepo, &["repository does not exist"]),
    (Sign::StatusRefused, &["(401)", "(403)", "401 Unauthorized", "403 Forbidden"]),
];
