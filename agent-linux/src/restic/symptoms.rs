//! Words of restic that tell why something failed.

use super::step::StepKind;

/// Something in restic's words that tells why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symptom {
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
    /// restic can't read an exclude pattern.
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
    /// A file of the repository ended before its end. So does one whose connection was cut.
    CutShort,
    /// There is no snapshot of that id.
    NoSnapshot,
}

/// The symptoms that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Symptoms(u32);

impl Symptoms {
    /// The symptoms that one line of restic's output shows.
    pub(crate) fn of(line: &str) -> Self {
        let mut symptoms = Self::default();
        symptoms.look_at(line);
        symptoms
    }

    /// The symptoms of both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, symptom: Symptom) -> bool {
        self.0 & (1 << symptom as u16) != 0
    }

    /// Whether trying again, as restic does for minutes, can change nothing.
    pub(crate) fn are_hopeless(self, kind: StepKind) -> bool {
        let of_server = [
            Symptom::UnknownAuthority,
            Symptom::WrongName,
            Symptom::WrongPurpose,
            Symptom::Expired,
            Symptom::NoTls,
            Symptom::WantsTls,
        ];
        of_server.into_iter().any(|symptom| self.has(symptom))
            || (kind == StepKind::Config && (self.has(Symptom::BadRequest) || self.has(Symptom::NoHttp)))
    }

    /// Looks for symptoms in one line.
    pub(crate) fn look_at(&mut self, line: &str) {
        for (symptom, words) in SIGNS {
            if words.iter().any(|word| line.contains(word)) {
                self.0 |= 1 << *symptom as u16;
            }
        }
        if is_missing_part(line) {
            self.0 |= 1 << Symptom::Damaged as u16;
        }
        // It was forgotten, or never was.
        if line.contains("<snapshot/") && says_missing(line) {
            self.0 |= 1 << Symptom::NoSnapshot as u16;
        }
        if names_part(line) && ends_early(line) {
            self.0 |= 1 << Symptom::CutShort as u16;
        } else if line.contains("unexpected EOF") {
            self.0 |= 1 << Symptom::Network as u16;
        }
        if line.contains("unable to open config file") && says_missing(line) {
            self.0 |= 1 << Symptom::NoRepo as u16;
        }
    }
}

/// A file of the repository that its index or a snapshot names is not there. (Locks and snapshots may go at any time.)
fn is_missing_part(line: &str) -> bool {
    names_part(line) && !line.contains("<snapshot/") && says_missing(line)
}

fn names_part(line: &str) -> bool {
    ["Load(<", "ReadFull", "StreamPack"].iter().any(|word| line.contains(word)) && !line.contains("<lock/")
}

/// What was read was shorter than the index says. (A request that gets no answer ends with `EOF`, too: it names its address.)
fn ends_early(line: &str) -> bool {
    line.ends_with("EOF") && !line.ends_with("\": EOF") && !line.ends_with("\": unexpected EOF")
}

fn says_missing(line: &str) -> bool {
    line.contains("no such file or directory") || line.contains("does not exist")
}

const SIGNS: &[(Symptom, &[&str])] = &[
    (Symptom::Locked, &["already locked"]),
    (
        Symptom::WrongPassword,
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
        Symptom::NoLogin,
        &["Permission denied (publickey", "Permission denied (password", "Permission denied (keyboard-"],
    ),
    (
        Symptom::NoWay,
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
    (Symptom::HostKey, &["Host key verification failed"]),
    (Symptom::NoSession, &["unable to start the sftp session"]),
    (
        Symptom::HostKeyChanged,
        &["REMOTE HOST IDENTIFICATION HAS CHANGED", " has changed and you have requested strict checking"],
    ),
    (Symptom::CommandFailed, &["command failed: ", "failed to start command: "]),
    (
        Symptom::UnknownAuthority,
        &[
            "x509: certificate signed by unknown authority",
            "x509: certificate is not authorized to symptom other certificates",
        ],
    ),
    (
        Symptom::WrongName,
        &[
            "x509: certificate is valid for ",
            "x509: certificate is not valid for any names",
            "x509: cannot validate certificate for ",
            "x509: certificate relies on legacy Common Name",
            "is not authorized to symptom for this name",
        ],
    ),
    (Symptom::WrongPurpose, &["x509: certificate specifies an incompatible key usage"]),
    (Symptom::Expired, &["x509: certificate has expired or is not yet valid"]),
    (
        Symptom::NoTls,
        &["server gave HTTP response to HTTPS client", "first record does not look like a TLS handshake"],
    ),
    (Symptom::BadRequest, &["unexpected HTTP response (400)"]),
    (
        Symptom::WantsTls,
        &[
            "Client sent an HTTP request to an HTTPS server",
            "The plain HTTP request was sent to HTTPS port",
            // An alert of TLS.
            r#"malformed HTTP response "\x15\x03"#,
        ],
    ),
    (Symptom::NoHttp, &["malformed HTTP response", "malformed HTTP version", "malformed HTTP status code"]),
    (Symptom::InvalidPattern, &["invalid pattern(s) provided"]),
    (Symptom::Forbidden, &["(403)", "403 Forbidden"]),
    (Symptom::NotRemoved, &["unable to remove", "blob not removed", "Remove(<", "failed to remove"]),
    (Symptom::Ignored, &["Ignoring \"", "could not load snapshot "]),
    (
        Symptom::Network,
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
            "server misbehaving",
        ],
    ),
    (Symptom::DiskFull, &["no space left on device", "disk quota exceeded", "(507)", "Insufficient Storage"]),
    (
        Symptom::Damaged,
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
            "nonce is invalid",
            "is too short",
            // Asked for a part of a file that is beyond its end.
            "unexpected HTTP response (416)",
            "Unknown blob ",
            "not found in index",
            "config file has zero size",
            "Unmarshal: ",
            // restic 0.18.0 panics where it can't read a folder of a snapshot.
            "internal/walker.walk({",
            // find says it on standard output.
            "Unable to load tree ",
        ],
    ),
    (Symptom::Exists, &["config file already exists", "repository already exists"]),
    (
        Symptom::NoSource,
        &[
            "all target directories/files do not exist",
            "all source directories/files do not exist",
            "nothing to backup",
        ],
    ),
    (Symptom::NoRepo, &["repository does not exist"]),
    (Symptom::NoSnapshot, &["no matching ID found"]),
    (Symptom::StatusRefused, &["(401)", "(403)", "401 Unauthorized", "403 Forbidden"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What restic 0.14, 0.18 and 0.19 say of a file of the repository that was cut short, emptied, zeroed, altered or removed, in a
    /// folder and behind a rest-server; without the names.
    #[test]
    fn a_file_of_the_repository_that_is_not_as_it_was_is_damage() {
        for line in [
            "Load(<data/b83e484516>, 43, 0) failed: file is too short",
            "ReadFull(<data/b83e484516>): file is too short",
            "cached file <data/5cbe302013> is too short",
            "ReadFull(<data/b83e484516>): unexpected HTTP response (416): partial out of bounds read",
            "ReadFull(<data/b83e484516>): unexpected HTTP response (416): 416 Requested Range Not Satisfiable",
            "ReadFull(<data/b83e484516>): <data/b83e484516> does not exist",
            "Load(<data/b83e484516>, 43, 0) failed: open …: no such file or directory",
            "ignoring error for …: nonce is invalid",
            "decrypting blob <data/b83e484516> from pack b83e484516 failed: ciphertext verification failed",
            "Fatal: config cannot be loaded: nonce is invalid",
            "config file has zero size, invalid repository?",
            "Fatal: Unmarshal: unexpected end of JSON input",
            "LoadRaw(<index/5341f6e436>): invalid data returned",
            "Unknown blob 296c232063",
            "id 654e4f83 not found in repository",
            "github.com/restic/restic/internal/walker.walk({0x1143910, 0xc0000f9270}, {0x1139520, 0xc0003cf380}, ...)",
            "Unable to load tree 0e60b4686b27a8049a4899d0b654409b15e5b07167ed4a31297da314a1c4d152 ... which belongs to snapshot 2c1b77d60e52c5d80606b7afe81c66f858684da1b17d071af41039fef3ea5f66",
            "  tree 654e4f83: file \"\" blob 296c2320 not found in index",
        ] {
            let seen = Symptoms::of(line);
            assert!(seen.has(Symptom::Damaged) && !seen.has(Symptom::Network), "{line}");
        }
        for line in [
            "Load(<data/b83e484516>, 43, 0) returned error, retrying after 1.5s: ReadFull: EOF",
            "Load(<data/b83e484516>, 43, 0) returned error, retrying after 1.5s: unexpected EOF",
            "ignoring error for …: ReadFull: unexpected EOF",
        ] {
            let seen = Symptoms::of(line);
            assert!(seen.has(Symptom::CutShort) && !seen.has(Symptom::Network), "{line}");
        }
        for line in [
            "Load(<data/b83e484516>, 43, 0) returned error, retrying after 1.5s: Get \"\": unexpected EOF",
            "Save(<data/b83e484516>) returned error, retrying after 1.5s: unexpected EOF",
        ] {
            let seen = Symptoms::of(line);
            assert!(seen.has(Symptom::Network) && !seen.has(Symptom::CutShort), "{line}");
        }
        let seen =
            Symptoms::of("Load(<snapshot/0000000000>, 0, 0) failed: open …: no such file or directory");
        assert!(seen.has(Symptom::NoSnapshot) && !seen.has(Symptom::Damaged));
        assert!(!Symptoms::of("Load(<lock/0123456789>, 0, 0) failed: EOF").has(Symptom::CutShort));
    }
}
