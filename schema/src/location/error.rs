//! Why the address of a repository is refused, on the server before it is saved and on the agent before restic gets it.
//!
//! Each variant is one mistake that people make, so that the text can say what to write instead. The texts hold nothing
//! of the address itself, which may carry a password.

use core::fmt;

/// Why an address can't be used. [`Display`](fmt::Display) is one sentence for people that says what to write instead;
/// it never holds a part of the address, and so no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocationError {
    /// The address is empty.
    Empty,
    /// It holds control characters, begins or ends with white space, or has white space outside of a path.
    Characters,
    /// It holds a character that can't be seen, such as a zero-width space, as it comes along when text is pasted.
    Unseen,
    /// It is neither an absolute path nor begins with a storage that restic knows.
    Unknown,
    /// The name of the storage is in upper case (`S3:…`); restic knows lower case only.
    UpperCase,
    /// A relative path: what it means would depend on the folder in which the agent was started.
    Relative,
    /// The root folder `/`, where a repository would lie among the files of the system.
    Root,
    /// `http://…`: the address of a REST server without `rest:` before it.
    BareHttp,
    /// `https://…` of a known S3 storage, without `s3:` before it.
    BareS3,
    /// `rest:machine:8000`, without `http://`.
    RestWithoutHttp,
    /// `machine:/path`, as scp has it.
    Scp,
    /// A path of Windows, such as `C:\backup`; agents run on Linux.
    Windows,
    /// A network share (`smb://…`), which restic can't open: the machine has to mount it.
    Share,
    /// `ssh://…`, which restic calls `sftp:`.
    Ssh,
    /// `file://…`; restic takes the path alone.
    File,
    /// The port is no number from 1 to 65535.
    Port,
    /// A `%` that no two hexadecimal digits follow, or those of a control character.
    Escape,
    /// An IPv6 address without brackets (`http://::1:8000/`), where the port can't be told from the address.
    Brackets,
    /// `sftp:user@machine:2222/x`: in this form restic reads the number as a folder, not as a port.
    SftpPort,
    /// `sftp:[::1]:/x`: in this form restic takes no IPv6 address.
    SftpBrackets,
    /// A password in an sftp address; ssh asks for a key instead.
    SftpPassword,
    /// The address names no machine.
    NoServer,
    /// The address names no folder, bucket or container in the storage.
    NoPath,
    /// An sftp path that begins with `~`, which restic does not expand.
    Tilde,
    /// A query (`?…`) or a fragment (`#…`), which no REST server reads and in which a secret could stand.
    HoldsQuery,
    /// The address holds a user name or password, which have fields of their own and are stored sealed.
    HoldsLogin,
    /// A user name or password is given for a storage other than a REST server, which does not take them like that.
    LoginNotUsed,
    /// It could make restic or ssh start a program of somebody's choice on the machine.
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
