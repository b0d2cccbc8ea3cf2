//! Which repository addresses and which extra variables a restic may be given.
//!
//! The agent is the judge, before each job; the server asks the same rule first, so that whoever types an address
//! hears at once what is wrong with it.

mod error;
mod mistaken;
mod parts;

pub use error::LocationError;
pub use mistaken::{is_unseen, mistaken};

use parts::{authority_of, behind_http};

/// A repository address that restic may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'a> {
    /// A folder of this machine, absolute.
    Local(&'a str),
    /// A REST server: its `http…` address.
    Rest(&'a str),
    /// S3 and the like: what stands behind `s3:`.
    S3(&'a str),
    /// A machine that `ssh` reaches: what stands behind `sftp:`.
    Sftp(&'a str),
    /// A service with an address of its own, or a program between: restic knows how.
    Other(&'a str),
}

impl<'a> Location<'a> {
    /// Reads an address, and refuses what could make restic or its helper programs start something else.
    pub fn parse(text: &'a str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(LocationError::Characters);
        }
        if text.contains(is_unseen) {
            return Err(LocationError::Unseen);
        }
        if text.starts_with('/') && !text.starts_with("//") {
            return local(text);
        }
        if let Some(mistaken) = mistaken(text) {
            return Err(mistaken);
        }
        let (scheme, rest) = text.split_once(':').ok_or(LocationError::Relative)?;
        match scheme {
            "local" if rest.starts_with('/') => local(rest),
            "local" => Err(LocationError::Relative),
            "rest" => {
                let unknown = if rest.contains("://") {
                    LocationError::Unknown
                } else {
                    LocationError::RestWithoutHttp
                };
                let authority = authority_of(behind_http(rest).ok_or(unknown)?);
                if authority.contains('@') {
                    return Err(LocationError::HoldsLogin);
                }
                if rest.contains(['?', '#']) {
                    return Err(LocationError::HoldsQuery);
                }
                without_space(rest)?;
                has_escapes(rest)?;
                has_port(authority)?;
                let is_nameless = authority.is_empty() || authority.starts_with(':');
                if is_nameless { Err(LocationError::NoServer) } else { Ok(Self::Rest(rest)) }
            }
            "s3" => {
                let address = behind_http(rest).or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
                let authority = authority_of(address);
                if authority.contains('@') {
                    return Err(LocationError::HoldsLogin);
                }
                without_space(rest)?;
                has_port(authority)?;
                if behind_http(rest).is_some() {
                    has_escapes(rest)?;
                }
                let bucket = address.split_once('/').map_or("", |(_, bucket)| bucket.trim_matches('/'));
                if authority.is_empty() || bucket.is_empty() {
                    return Err(LocationError::NoPath);
                }
                Ok(Self::S3(rest))
            }
            "sftp" => sftp(rest).map(|()| Self::Sftp(rest)),
            // Only a remote that the machine's own rclone configuration names: `:sftp,ssh=…:` starts programs.
            "rclone" => {
                let remote = rest.split(':').next().unwrap_or_default();
                let plain =
                    remote.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
                let begins = remote.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
                match (plain && begins, rest.contains(':')) {
                    (false, _) => Err(LocationError::StartsPrograms),
                    (true, false) => Err(LocationError::NoPath),
                    (true, true) => Ok(Self::Other(text)),
                }
            }
            "b2" | "azure" | "gs" | "swift" => {
                without_space(rest)?;
                if rest.is_empty() || rest.starts_with(':') || (scheme != "b2" && !rest.contains(':')) {
                    return Err(LocationError::NoPath);
                }
                Ok(Self::Other(text))
            }
            _ if rest.starts_with('/') || scheme.contains('@') => Err(LocationError::Scp),
            _ => Err(LocationError::Unknown),
        }
    }

    /// Host and port of the server to try first; `None` when there is none, or only restic knows it.
    #[must_use]
    pub fn server(&self) -> Option<(&'a str, u16)> {
        let (authority, standard) = match *self {
            Self::Rest(address) | Self::S3(address) => match address.strip_prefix("http://") {
                Some(rest) => (authority_of(rest), 80),
                None => (authority_of(address.strip_prefix("https://").unwrap_or(address)), 443),
            },
            Self::Other(text) if text.starts_with("b2:") => ("api.backblazeb2.com", 443),
            Self::Other(text) if text.starts_with("gs:") => ("storage.googleapis.com", 443),
            Self::Local(_) | Self::Sftp(_) | Self::Other(_) => return None,
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, behind) = v6.split_once(']')?;
                (host, behind.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.filter(|port| !port.is_empty()).map_or(Some(standard), |port| port.parse().ok())?;
        (!host.is_empty()).then_some((host, port))
    }

    /// Who gets the secrets that belong to this address: two addresses with the same keeper differ in the path only.
    #[must_use]
    pub fn keeper(&self) -> Keeper<'a> {
        match *self {
            Self::Local(_) => Keeper { kind: "local", at: "", port: None },
            Self::Rest(address) if address.starts_with("http://") => self.served("rest:http"),
            Self::Rest(_) => self.served("rest:https"),
            Self::S3(address) if address.starts_with("http://") => self.served("s3:http"),
            Self::S3(_) => self.served("s3:https"),
            Self::Sftp(rest) => Keeper { kind: "sftp", at: sftp_machine(rest), port: None },
            // The bucket, container or remote says whose it is.
            Self::Other(text) => {
                let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
                Keeper { kind, at: rest.split(':').next().unwrap_or_default(), port: None }
            }
        }
    }

    fn served(&self, kind: &'a str) -> Keeper<'a> {
        let (Self::Rest(address) | Self::S3(address)) = *self else {
            return Keeper { kind, at: "", port: None };
        };
        match self.server() {
            Some((at, port)) => Keeper { kind, at, port: Some(port) },
            None => Keeper { kind, at: authority_of(behind_http(address).unwrap_or(address)), port: None },
        }
    }
}

/// Scheme, machine and port of an address.
#[derive(Clone, Copy, Debug)]
pub struct Keeper<'a> {
    kind: &'a str,
    at: &'a str,
    port: Option<u16>,
}

impl PartialEq for Keeper<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.port == other.port && self.at.eq_ignore_ascii_case(other.at)
    }
}

impl Eq for Keeper<'_> {}

/// The variables of a slot's extra environment that may reach restic: what storages need, and nothing that names a
/// program or a library.
pub const ENV_NAMES: [&str; 33] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "AZURE_ENDPOINT_SUFFIX",
    "B2_ACCOUNT_ID",
    "B2_ACCOUNT_KEY",
    "GOOGLE_PROJECT_ID",
    "GOOGLE_ACCESS_TOKEN",
    // The one that names a file to read: for gs: it is the usual way in, and there is no variable for its content.
    "GOOGLE_APPLICATION_CREDENTIALS",
    "ST_AUTH",
    "ST_USER",
    "ST_KEY",
    "OS_AUTH_URL",
    "OS_REGION_NAME",
    "OS_USERNAME",
    "OS_USER_ID",
    "OS_PASSWORD",
    "OS_TENANT_ID",
    "OS_TENANT_NAME",
    "OS_PROJECT_NAME",
    "OS_PROJECT_DOMAIN_NAME",
    "OS_USER_DOMAIN_NAME",
    "OS_STORAGE_URL",
    "OS_AUTH_TOKEN",
    "RESTIC_COMPRESSION",
    "RESTIC_PACK_SIZE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
];

/// Whether a variable of the slot's extra environment may reach restic.
#[must_use]
pub fn is_env_allowed(name: &str) -> bool {
    ENV_NAMES.contains(&name)
}

/// Whether the variable's value says which machine gets what restic sends: changing it is like changing the address.
#[must_use]
pub fn names_machine(name: &str) -> bool {
    name.ends_with("_PROXY")
        || matches!(name, "OS_AUTH_URL" | "OS_STORAGE_URL" | "ST_AUTH" | "AZURE_ENDPOINT_SUFFIX")
}

fn local(path: &str) -> Result<Location<'_>, LocationError> {
    let is_root = path.split('/').all(|part| matches!(part, "" | "." | ".."));
    if is_root { Err(LocationError::Root) } else { Ok(Location::Local(path)) }
}

/// Each `%` begins a character, and no control character.
fn has_escapes(text: &str) -> Result<(), LocationError> {
    let mut parts = text.split('%');
    let _before = parts.next();
    for part in parts {
        let digit = |at: usize| part.as_bytes().get(at).copied().and_then(hex);
        match digit(0).zip(digit(1)) {
            Some((high, low)) if !(high * 16 + low).is_ascii_control() => {}
            _ => return Err(LocationError::Escape),
        }
    }
    Ok(())
}

/// A port is a number, where there is one.
fn has_port(authority: &str) -> Result<(), LocationError> {
    let behind = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, behind)) => behind,
        None => authority.find(':').map_or("", |at| &authority[at..]),
    };
    match behind.strip_prefix(':') {
        None | Some("") => Ok(()),
        Some(port)
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(())
        }
        Some(_) => Err(LocationError::Port),
    }
}

fn without_space(text: &str) -> Result<(), LocationError> {
    if text.chars().any(char::is_whitespace) { Err(LocationError::Characters) } else { Ok(()) }
}

/// User and machine: up to the path in `sftp://user@machine:port/path`, up to the colon in `sftp:user@machine:path`.
fn sftp_login(rest: &str) -> &str {
    match rest.strip_prefix("//") {
        Some(address) => authority_of(address),
        None => rest.split(':').next().unwrap_or_default(),
    }
}

fn sftp_machine(rest: &str) -> &str {
    let login = sftp_login(rest);
    login.rsplit_once('@').map_or(login, |(_, machine)| machine)
}

/// `ssh` gets user and machine as arguments, so that neither may look like an option, however restic splits them.
fn sftp(rest: &str) -> Result<(), LocationError> {
    let login = sftp_login(rest);
    without_space(login)?;
    if has_option(login) {
        return Err(LocationError::StartsPrograms);
    }
    if rest.starts_with("//") {
        has_escapes(rest)?;
        has_port(sftp_machine(rest))?;
    }
    if sftp_machine(rest).is_empty() {
        return Err(LocationError::NoServer);
    }
    let path = match rest.strip_prefix("//") {
        Some(address) => address.split_once('/'),
        None => rest.split_once(':'),
    };
    match path {
        None => Err(LocationError::NoPath),
        Some((_, path)) if path.starts_with('~') => Err(LocationError::Tilde),
        Some(_) => Ok(()),
    }
}

/// Whether any part begins with `-`, also when it is written `%2D`: at the start, behind an `@` or in brackets.
fn has_option(login: &str) -> bool {
    let mut at_start = true;
    let mut bytes = login.as_bytes();
    while let [first, behind @ ..] = bytes {
        let (byte, behind) = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, behind),
                _ => (b'%', &bytes[1..]),
            },
            (byte, behind) => (*byte, behind),
        };
        if at_start && byte == b'-' {
            return true;
        }
        at_start = matches!(byte, b'@' | b'[') || (at_start && byte == b'/');
        bytes = behind;
    }
    false
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_that_could_start_programs_are_refused() {
        for text in [
            "sftp:-oProxyCommand=x:/repo",
            "sftp:user@-oProxyCommand=x:/repo",
            "sftp:a@b@-oProxyCommand=x:/repo",
            "sftp:a@-oProxyCommand=x@host:/repo",
            "sftp:a@%2doProxyCommand=x:/repo",
            "sftp:///-oProxyCommand=x/repo",
            "sftp://-oProxyCommand=x/repo",
            "sftp://a@b@-F/repo",
            "sftp://a@%2D%6fProxyCommand=x/repo",
            "sftp://a%40-oProxyCommand=x/repo",
            "sftp://[-oProxyCommand=x]/repo",
            "rclone::sftp,ssh=\"touch /tmp/x\":repo",
            "rclone:-config=x:repo",
            "rclone:remote,ssh=x:repo",
            "rclone:",
        ] {
            let found = Location::parse(text);
            assert!(matches!(found, Err(LocationError::StartsPrograms | LocationError::NoServer)), "{text}");
            assert!(text.contains("///") || found == Err(LocationError::StartsPrograms), "{text}");
        }
        for text in ["sftp:me@host:/srv/my repo", "sftp://me@host-2:2222//srv/-repo", "sftp:me@corp@host:/r"]
        {
            assert_eq!(Location::parse(text), Ok(Location::Sftp(&text[5..])));
        }
        let text = "rclone:my-remote:repo";
        assert_eq!(Location::parse(text), Ok(Location::Other(text)));
    }

    #[test]
    fn odd_locations_are_refused() {
        for (text, error) in [
            ("", LocationError::Empty),
            ("repo", LocationError::Relative),
            ("../repo", LocationError::Relative),
            ("local:repo", LocationError::Relative),
            ("smtp:x", LocationError::Unknown),
            ("http://nas:8000/", LocationError::BareHttp),
            ("HTTPS://nas/", LocationError::BareHttp),
            ("C:\\backup", LocationError::Windows),
            ("d:/backup", LocationError::Windows),
            ("C:", LocationError::Windows),
            ("\\\\nas\\backup", LocationError::Windows),
            ("smb://nas/backup", LocationError::Share),
            ("//nas/backup", LocationError::Share),
            ("nfs:nas:/backup", LocationError::Share),
            ("ftp://nas/x", LocationError::Share),
            ("webdavs://nas/x", LocationError::Share),
            ("ssh://me@nas/x", LocationError::Ssh),
            ("sftp:me@nas:2222/x", LocationError::SftpPort),
            ("sftp:me@nas:2222", LocationError::SftpPort),
            ("sftp:nas:22:/x", LocationError::SftpPort),
            ("sftp://me@nas:70000/x", LocationError::Port),
            ("sftp://nas:ssh/x", LocationError::Port),
            ("rest:http://nas:99999/", LocationError::Port),
            ("rest:http://nas:0/", LocationError::Port),
            ("rest:http://[::1]:65536/", LocationError::Port),
            ("s3:minio:99999/bucket", LocationError::Port),
            ("S3:evil", LocationError::UpperCase),
            ("REST:http://nas/", LocationError::UpperCase),
            ("rest:HTTP://nas/", LocationError::UpperCase),
            ("Rest:https://nas/", LocationError::UpperCase),
            ("s3:Https://minio/bucket", LocationError::UpperCase),
            ("SFTP:nas:/x", LocationError::UpperCase),
            ("GS:bucket:/x", LocationError::UpperCase),
            ("/", LocationError::Root),
            ("/./", LocationError::Root),
            ("local:/", LocationError::Root),
            ("/srv\u{200b}/restic", LocationError::Unseen),
            ("\u{feff}/srv/restic", LocationError::Unseen),
            ("rest:http://nas\u{202e}/", LocationError::Unseen),
            ("/srv/\u{7f}", LocationError::Characters),
            ("rest:http://nas:+80/", LocationError::Port),
            ("sftp://nas:+22/x", LocationError::Port),
            ("rest:http://nas/%00", LocationError::Escape),
            ("rest:http://nas/%zz", LocationError::Escape),
            ("rest:http://nas/100%", LocationError::Escape),
            ("rest:http://nas/%0a", LocationError::Escape),
            ("s3:https://minio/bucket/%zz", LocationError::Escape),
            ("sftp://nas/%zz", LocationError::Escape),
            ("s3:bucket", LocationError::NoPath),
            ("s3://bucket", LocationError::NoPath),
            ("s3:", LocationError::NoPath),
            ("s3:minio:9000", LocationError::NoPath),
            ("s3:http://minio:9000/", LocationError::NoPath),
            ("b2:", LocationError::NoPath),
            ("b2::folder", LocationError::NoPath),
            ("gs::/x", LocationError::NoPath),
            ("rclone:x", LocationError::NoPath),
            ("sftp:[::1]:2222/x", LocationError::SftpBrackets),
            ("sftp:me@[fe80::1]:/x", LocationError::SftpBrackets),
            ("sftp:u@h: 2222/x", LocationError::SftpPort),
            ("nas:/volume1", LocationError::Scp),
            ("user@nas:/x", LocationError::Scp),
            ("user@nas:x", LocationError::Scp),
            ("192.168.1.5:/srv", LocationError::Scp),
            ("rest:nas:8000", LocationError::RestWithoutHttp),
            ("rest:nas/x", LocationError::RestWithoutHttp),
            ("rest:http://:8000/", LocationError::NoServer),
            ("c:backup", LocationError::Windows),
            ("rest:http://::1:8000/", LocationError::Brackets),
            ("rest:https://fe80::1/", LocationError::Brackets),
            ("sftp://me@::1:22/x", LocationError::Brackets),
            ("s3:https://::1:9000/bucket", LocationError::Brackets),
            ("https://s3.amazonaws.com/bucket", LocationError::BareS3),
            ("https://bucket.s3.eu-central-1.amazonaws.com/", LocationError::BareS3),
            ("http://s3.nas.lan:9000/bucket", LocationError::BareS3),
            ("sftp://u:pw@h/x", LocationError::SftpPassword),
            ("sftp:u:pw@h:/x", LocationError::SftpPassword),
            ("rest:ftp://host/", LocationError::Unknown),
            ("file:///repo", LocationError::File),
            (" /repo", LocationError::Characters),
            ("/repo\nx", LocationError::Characters),
            ("rest:http://x/ -o y", LocationError::Characters),
            ("s3:host/bucket x", LocationError::Characters),
            ("sftp:me@host -v:/repo", LocationError::Characters),
            ("rest:http:///x", LocationError::NoServer),
            ("sftp:me@:/x", LocationError::NoServer),
            ("rest:http://h/?password=secret", LocationError::HoldsQuery),
            ("sftp:host", LocationError::NoPath),
            ("sftp:me@host", LocationError::NoPath),
            ("sftp://me@host", LocationError::NoPath),
            ("s3:http://minio:9000", LocationError::NoPath),
            ("azure:box", LocationError::NoPath),
            ("gs:bucket", LocationError::NoPath),
            ("swift:box", LocationError::NoPath),
            ("sftp:me@host:~/restic", LocationError::Tilde),
            ("sftp://me@host/~/restic", LocationError::Tilde),
            ("rest:http://h/#secret", LocationError::HoldsQuery),
            ("rest:http://me:secret@host/", LocationError::HoldsLogin),
            ("s3:https://me:secret@host/bucket", LocationError::HoldsLogin),
            ("sftp://me:secret@host/repo", LocationError::SftpPassword),
        ] {
            assert_eq!(Location::parse(text), Err(error), "{text:?}");
        }
        for text in [
            "/srv/my backup",
            "/srv/what?",
            "local:/srv/x",
            "rest:https://nas/me/",
            "rest:http://nas:65535/",
            "rest:http://nas:/",
            "azure:box:/x",
            "b2:bucket",
            "sftp:host:",
            "s3:http://minio:9000/bucket",
            "s3://minio/bucket",
            "rclone:remote:",
            "rest:http://nas/a%20b",
            "rest:http://[fe80::1%25eth0]:8000/",
            "/srv/\u{1f468}\u{200d}\u{1f469}",
            "/srv/100%",
            "sftp:me@nas:a@b",
            "s3:s3.amazonaws.com/bucket",
            "sftp:me@nas:./2222/x",
            "sftp:me@nas:2222x",
            "sftp://me@nas:2222//x",
        ] {
            assert!(Location::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_server_is_told_from_the_location() {
        let server = |text| Location::parse(text).unwrap().server();
        assert_eq!(server("rest:http://nas:8000/me/"), Some(("nas", 8000)));
        assert_eq!(server("rest:https://nas.example/me/"), Some(("nas.example", 443)));
        assert_eq!(server("rest:http://[::1]:8000/"), Some(("::1", 8000)));
        assert_eq!(server("rest:http://[::1]/"), Some(("::1", 80)));
        assert_eq!(server("s3:s3.amazonaws.com/bucket"), Some(("s3.amazonaws.com", 443)));
        assert_eq!(server("s3:http://minio:9000/bucket"), Some(("minio", 9000)));
        assert_eq!(server("b2:bucket:path"), Some(("api.backblazeb2.com", 443)));
        assert_eq!(server("/srv/repo"), None);
        assert_eq!(server("sftp:alias:/repo"), None);
    }

    #[test]
    fn the_keeper_is_scheme_machine_and_port() {
        let same =
            |one, other| Location::parse(one).unwrap().keeper() == Location::parse(other).unwrap().keeper();
        for (one, other) in [
            ("rest:https://nas:8000/a/", "rest:https://NAS:8000/b"),
            ("rest:https://nas/a/", "rest:https://nas:443/a/"),
            ("s3:minio:9000/a", "s3:https://minio:9000/b"),
            ("sftp:me@nas:/a", "sftp:you@nas:/b"),
            ("b2:mine:a", "b2:mine:b"),
            ("/srv/a", "local:/srv/b"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("rest:https://nas:8000/", "rest:http://nas:8000/"),
            ("rest:https://nas:8000/", "rest:https://nas:8001/"),
            ("rest:https://nas:8000/", "rest:https://evil:8000/"),
            ("rest:https://nas:8000/", "s3:https://nas:8000/bucket"),
            ("sftp:me@nas:/a", "sftp:me@evil:/a"),
            ("sftp://nas:22/a", "sftp://nas:2222/a"),
            ("sftp://a@b@evil/a", "sftp://a@nas/a"),
            ("b2:mine:a", "b2:other:a"),
            ("b2:mine:a", "gs:mine:a"),
            ("/srv/a", "rest:https://nas/"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn variables_that_run_or_load_something_are_not_passed_on() {
        assert!(is_env_allowed("AWS_SECRET_ACCESS_KEY"));
        for name in [
            "LD_PRELOAD",
            "PATH",
            "RESTIC_PASSWORD_COMMAND",
            "RCLONE_CONFIG",
            "AWS_CONFIG_FILE",
            "GODEBUG",
            "",
        ] {
            assert!(!is_env_allowed(name), "{name}");
        }
    }
}
