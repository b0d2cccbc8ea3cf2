//! Why an address is refused.

use core::fmt;

/// Why an address can't be used; says what to do. Never holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocationError {
    /// Nothing there.
    Empty,
    /// Control characters, spaces at an end, or white space where no path stands.
    Characters,
    /// A character that can't be seen, as it comes along when something is pasted.
    Unseen,
    /// A storage that restic does not know.
    Unknown,
    /// The beginning of an address in upper case, which restic does not know.
    UpperCase,
    /// A path that depends on where the agent was started.
    Relative,
    /// The folder of all folders.
    Root,
    /// `http://…` without `rest:` before it.
    BareHttp,
    /// `https://…` of an S3 storage, without `s3:` before it.
    BareS3,
    /// `rest:machine:8000`, without `http://`.
    RestWithoutHttp,
    /// `machine:/path`, as scp has it.
    Scp,
    /// A path as Windows has them.
    Windows,
    /// A share that only the machine itself can mount: `smb://…`.
    Share,
    /// `ssh://…`.
    Ssh,
    /// `file://…`.
    File,
    /// A port that is none.
    Port,
    /// A `%` that no two digits follow, or those of a control character.
    Escape,
    /// `http://::1:8000/`, where the port can't be told from the address.
    Brackets,
    /// `sftp:user@machine:2222/x`, where a port can't stand.
    SftpPort,
    /// `sftp:[::1]:/x`, which restic reads otherwise.
    SftpBrackets,
    /// A password in an sftp address.
    SftpPassword,
    /// No machine is named.
    NoServer,
    /// No folder, bucket or container is named.
    NoPath,
    /// An sftp path that begins with `~`.
    Tilde,
    /// A query or a fragment, which no REST server reads and where a secret could stand.
    HoldsQuery,
    /// User and password belong into their own fields.
    HoldsLogin,
    /// User or password for what knows none.
    LoginNotUsed,
    /// It could start programs of somebody's choice.
    StartsPrograms,
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => {
                "the repository address is empty: set it in the credentials of the host"
            }
            Self::Characters => {
                "the repository address holds control characters, or white space where none can stand: write it without"
            }
            Self::Unseen => {
                "the repository address holds a character that can't be seen, such as a zero-width space, which probably came along when it was pasted: type the address anew"
            }
            Self::UpperCase => {
                "restic knows the beginnings of addresses in lower case only: write rest:http://, sftp:, s3: and the like"
            }
            Self::Root => "the root folder can't be a repository: write a folder of it, as /srv/restic",
            Self::BareS3 => {
                "this is the address of an S3 storage: write s3: before the https, and the bucket behind the machine, as s3:https://s3.amazonaws.com/bucket"
            }
            Self::RestWithoutHttp => {
                "in a rest: address http:// or https:// comes before the machine: write rest:http://machine:8000/"
            }
            Self::Scp => {
                "write sftp: before it for a machine that ssh reaches: sftp:user@machine:/srv/restic; a REST server has rest:http://machine:8000/"
            }
            Self::Escape => {
                "behind a % in the repository address stand two digits of a character (0 to 9, a to f), which is no control character: write a % itself as %25"
            }
            Self::Brackets => {
                "an IPv6 address stands in brackets, so that a port can follow: write rest:http://[::1]:8000/"
            }
            Self::SftpBrackets => {
                "in sftp:user@machine:path no IPv6 address can stand: write sftp://user@[::1]:22//srv/restic"
            }
            Self::SftpPassword => {
                "sftp takes no password here: leave it out, and let the machine's ssh key in at the storage (ssh-keygen, ~/.ssh/authorized_keys)"
            }
            Self::Unknown => {
                "the repository address is neither an absolute path nor one of rest:http…, sftp:, s3:, b2:, azure:, gs:, swift:, rclone:"
            }
            Self::Relative => {
                "the repository address is a path that begins nowhere: write it from the root on, as /srv/restic"
            }
            Self::BareHttp => {
                "restic speaks with REST servers by addresses that begin with rest: write rest: before the http, or s3: when it is an S3 storage"
            }
            Self::Windows => {
                "this is a path of Windows, and agents run on Linux: write the folder as the machine knows it, such as /mnt/nas/restic"
            }
            Self::Share => {
                "restic can't speak with network shares: mount it on the machine and write the folder, such as /mnt/nas/restic, or use rest:, sftp: or rclone:"
            }
            Self::Ssh => {
                "write it with sftp: sftp://user@machine:22//srv/restic, or sftp:user@machine:/srv/restic"
            }
            Self::File => "write the folder alone, without file:// before it, as /srv/restic",
            Self::Port => "the port in the repository address is none: it is a number from 1 to 65535",
            Self::SftpPort => {
                "in sftp:user@machine:path a path follows, and no port can stand: write sftp://user@machine:2222//srv/restic; a folder of such a name is written as ./2222"
            }
            Self::NoServer => {
                "the repository address names no machine: write it as rest:https://machine:8000/path"
            }
            Self::NoPath => {
                "the repository address names no folder in the storage: write it as sftp:user@machine:/srv/restic, s3:machine/bucket, s3:https://machine/bucket, b2:bucket:folder, azure:container:/folder, gs:bucket:/folder, swift:container:/folder or rclone:remote:folder"
            }
            Self::Tilde => {
                "restic does not read ~ in an sftp path: leave it out, a path without / in front begins in the home folder"
            }
            Self::HoldsQuery => {
                "a rest: address has no ? and no #: leave out what follows, and give passwords in their own fields"
            }
            Self::HoldsLogin => {
                "the repository address holds a user name or password: move them into their own fields"
            }
            Self::LoginNotUsed => {
                "a user name and password can be used with rest: addresses only; other storages take them as environment variables"
            }
            Self::StartsPrograms => {
                "the repository address could start a program on this machine, so the agent refuses it"
            }
        })
    }
}

impl core::error::Error for LocationError {}
