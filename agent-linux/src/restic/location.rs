//! Where a repository is: restic's location string, its parts, and the server behind it.

use super::secrets::Credentials;
use zeroize::Zeroizing;

/// A repository location that restic may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'a> {
    /// A folder of this machine, absolute.
    Local(&'a str),
    /// A REST server: its `http…` address.
    Rest(&'a str),
    /// S3 and the like: what stands behind `s3:`.
    S3(&'a str),
    /// A service with an address of its own, or a program between: restic knows how.
    Other(&'a str),
}

/// Why a location can't be used; says what to do. Never holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing there.
    #[error("the repository address is empty: set it in the credentials of the host")]
    Empty,
    /// Control characters or spaces at an end.
    #[error("the repository address holds control characters or begins or ends with a space")]
    Characters,
    /// A path that depends on where the agent was started.
    #[error(
        "the repository address is neither an absolute path nor one of rest:, sftp:, s3:, b2:, azure:, gs:, swift:, rclone:"
    )]
    Unknown,
    /// User and password belong into their own fields.
    #[error("the repository address holds a user name or password: move them into their own fields")]
    HoldsLogin,
    /// User or password for what knows none.
    #[error(
        "a user name and password can be used with rest: addresses only; other storages take them as environment variables"
    )]
    LoginNotUsed,
    /// It could start programs of somebody's choice.
    #[error("the repository address could start a program on this machine, so the agent refuses it")]
    StartsPrograms,
}

impl<'a> Location<'a> {
    /// Reads a location, and refuses what could make restic or its helper programs start something else.
    pub fn parse(text: &'a str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(LocationError::Characters);
        }
        if text.starts_with('/') {
            return Ok(Self::Local(text));
        }
        let (scheme, rest) = text.split_once(':').ok_or(LocationError::Unknown)?;
        match scheme {
            "local" if rest.starts_with('/') => Ok(Self::Local(rest)),
            "rest" => {
                let behind = rest.strip_prefix("http://").or_else(|| rest.strip_prefix("https://"));
                let authority = authority_of(behind.ok_or(LocationError::Unknown)?);
                if authority.contains('@') { Err(LocationError::HoldsLogin) } else { Ok(Self::Rest(rest)) }
            }
            "s3" => {
                let behind = rest.strip_prefix("http://").or_else(|| rest.strip_prefix("https://"));
                if authority_of(behind.unwrap_or(rest)).contains('@') {
                    return Err(LocationError::HoldsLogin);
                }
                Ok(Self::S3(rest))
            }
            "sftp" => {
                // `ssh` gets user and host as arguments.
                let login = rest.trim_start_matches('/');
                let host = login.split_once('@').map_or(login, |(_, host)| host);
                if login.starts_with('-') || host.starts_with('-') {
                    return Err(LocationError::StartsPrograms);
                }
                Ok(Self::Other(text))
            }
            // Only a remote that the machine's own rclone configuration names: `:sftp,ssh=…:` starts programs.
            "rclone" => {
                let remote = rest.split(':').next().unwrap_or_default();
                let plain =
                    remote.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
                let begins = remote.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
                if plain && begins { Ok(Self::Other(text)) } else { Err(LocationError::StartsPrograms) }
            }
            "b2" | "azure" | "gs" | "swift" => Ok(Self::Other(text)),
            _ => Err(LocationError::Unknown),
        }
    }

    /// Host and port of the server to try first; `None` when there is none, or only restic knows it.
    #[must_use]
    pub fn server(&self) -> Option<(String, u16)> {
        let address = match *self {
            Self::Rest(address) => address.to_owned(),
            Self::S3(address) if address.starts_with("http") => address.to_owned(),
            Self::S3(address) => format!("https://{address}"),
            Self::Other(text) if text.starts_with("b2:") => "https://api.backblazeb2.com".to_owned(),
            Self::Other(text) if text.starts_with("gs:") => "https://storage.googleapis.com".to_owned(),
            Self::Local(_) | Self::Other(_) => return None,
        };
        let (rest, standard) = match address.strip_prefix("https://") {
            Some(rest) => (rest, 443),
            None => (address.strip_prefix("http://")?, 80),
        };
        let authority = authority_of(rest);
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
        (!host.is_empty()).then(|| (host.to_owned(), port))
    }
}

fn authority_of(behind_scheme: &str) -> &str {
    behind_scheme.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The whole location for restic, with user and password in it where they belong.
pub fn compose(credentials: &Credentials) -> Result<Zeroizing<String>, LocationError> {
    let location = Location::parse(&credentials.url)?;
    if credentials.username.is_empty() && credentials.password.is_empty() {
        return Ok(Zeroizing::new(credentials.url.clone()));
    }
    let Location::Rest(address) = location else { return Err(LocationError::LoginNotUsed) };
    let (scheme, rest) = address.split_once("://").ok_or(LocationError::Unknown)?;
    let user = Zeroizing::new(percent_encoded(&credentials.username));
    let password = Zeroizing::new(percent_encoded(&credentials.password));
    Ok(Zeroizing::new(format!("rest:{scheme}://{}:{}@{rest}", *user, *password)))
}

/// `text` with everything but RFC 3986's unreserved characters as `%XX`.
#[must_use]
pub(crate) fn percent_encoded(text: &str) -> String {
    use core::fmt::Write;
    // Never grows, so that no copy of a secret stays behind.
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether a variable of the slot's extra environment may reach restic: what storages need, and nothing that names
/// a program, a library or a file to read.
#[must_use]
pub fn is_env_allowed(name: &str) -> bool {
    const NAMES: [&str; 33] = [
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
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(url: &str, username: &str, password: &str) -> Credentials {
        Credentials {
            url: url.into(),
            username: username.into(),
            password: password.into(),
            repo_password: String::new(),
            env: Vec::new(),
        }
    }

    #[test]
    fn locations_that_could_start_programs_are_refused() {
        for text in [
            "sftp:-oProxyCommand=x:/repo",
            "sftp:user@-oProxyCommand=x:/repo",
            "sftp://-oProxyCommand=x/repo",
            "rclone::sftp,ssh=\"touch /tmp/x\":repo",
            "rclone:-config=x:repo",
            "rclone:remote,ssh=x:repo",
            "rclone:",
        ] {
            assert_eq!(Location::parse(text), Err(LocationError::StartsPrograms), "{text}");
        }
        for text in ["sftp:me@host:/srv/repo", "sftp://me@host:2222//srv/repo", "rclone:my-remote:repo"] {
            assert_eq!(Location::parse(text), Ok(Location::Other(text)));
        }
    }

    #[test]
    fn odd_locations_are_refused() {
        for (text, error) in [
            ("", LocationError::Empty),
            ("repo", LocationError::Unknown),
            ("../repo", LocationError::Unknown),
            ("local:repo", LocationError::Unknown),
            ("rest:ftp://host/", LocationError::Unknown),
            ("file:///repo", LocationError::Unknown),
            (" /repo", LocationError::Characters),
            ("/repo\nx", LocationError::Characters),
            ("rest:http://me:secret@host/", LocationError::HoldsLogin),
            ("s3:https://me:secret@host/bucket", LocationError::HoldsLogin),
        ] {
            assert_eq!(Location::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_server_is_told_from_the_location() {
        let server = |text: &str| Location::parse(text).unwrap().server();
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(server("rest:http://nas:8000/me/"), at("nas", 8000));
        assert_eq!(server("rest:https://nas.example/me/"), at("nas.example", 443));
        assert_eq!(server("rest:http://[::1]:8000/"), at("::1", 8000));
        assert_eq!(server("rest:http://[::1]/"), at("::1", 80));
        assert_eq!(server("rest:http://nas:99999/"), None);
        assert_eq!(server("s3:s3.amazonaws.com/bucket"), at("s3.amazonaws.com", 443));
        assert_eq!(server("s3:http://minio:9000/bucket"), at("minio", 9000));
        assert_eq!(server("b2:bucket:path"), at("api.backblazeb2.com", 443));
        assert_eq!(server("/srv/repo"), None);
        assert_eq!(server("sftp:alias:/repo"), None);
    }

    #[test]
    fn user_and_password_are_encoded_into_the_location() {
        let composed = compose(&credentials("rest:https://nas:8000/me/", "m@x", "p/w:ü&\"")).unwrap();
        assert_eq!(*composed, "rest:https://m%40x:p%2Fw%3A%C3%BC%26%22@nas:8000/me/");
        assert_eq!(*compose(&credentials("/srv/repo", "", "")).unwrap(), "/srv/repo");
        assert_eq!(compose(&credentials("/srv/repo", "me", "pw")), Err(LocationError::LoginNotUsed));
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
