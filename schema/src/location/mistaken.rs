//! Addresses that are meant otherwise: what people write who know another program, or paste along.

use super::{
    error::LocationError,
    parts::{authority_of, behind_http},
};

/// What is known to be meant otherwise: forms that other programs have for addresses, which restic has not.
#[must_use]
pub fn mistaken(text: &str) -> Option<LocationError> {
    if text.contains(is_unseen) {
        return Some(LocationError::Unseen);
    }
    let begins = |start: &str| begins(text, start);
    let mut bytes = text.bytes();
    let is_drive =
        bytes.next().is_some_and(|letter| letter.is_ascii_alphabetic()) && bytes.next() == Some(b':');
    if is_drive || text.starts_with("\\\\") {
        return Some(LocationError::Windows);
    }
    if text.starts_with("//")
        || ["smb:", "cifs:", "nfs:", "afp:", "ftp:", "ftps:", "dav:", "davs:", "webdav:", "webdavs:"]
            .into_iter()
            .any(begins)
    {
        return Some(LocationError::Share);
    }
    if begins("http://") || begins("https://") {
        return Some(bare_http(text));
    }
    if begins("ssh:") || begins("scp:") {
        return Some(LocationError::Ssh);
    }
    if begins("file:") {
        return Some(LocationError::File);
    }
    if is_in_upper_case(text) {
        return Some(LocationError::UpperCase);
    }
    if lacks_brackets(text) {
        return Some(LocationError::Brackets);
    }
    text.strip_prefix("sftp:").and_then(mistaken_sftp)
}

fn begins(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

fn bare_http(text: &str) -> LocationError {
    let authority = authority_of(text.split_once("://").map_or("", |(_, address)| address));
    let is_s3 = authority.starts_with("s3.")
        || authority.starts_with("s3-")
        || authority.contains(".s3.")
        || authority.contains(".s3-")
        || authority.ends_with(".amazonaws.com");
    if is_s3 { LocationError::BareS3 } else { LocationError::BareHttp }
}

fn is_in_upper_case(text: &str) -> bool {
    /// The longer before the shorter.
    const BEGINNINGS: [&str; 13] = [
        "rest:http://",
        "rest:https://",
        "rest:",
        "s3:http://",
        "s3:https://",
        "s3:",
        "sftp:",
        "local:",
        "rclone:",
        "b2:",
        "azure:",
        "gs:",
        "swift:",
    ];
    let meant = BEGINNINGS.into_iter().find(|start| begins(text, start));
    meant.is_some_and(|start| !text.starts_with(start))
}

/// `http://::1:8000/`: digits of an IPv6 address as the machine, and no brackets.
fn lacks_brackets(text: &str) -> bool {
    let address = match text.split_once(':') {
        Some(("rest", rest)) => behind_http(rest),
        Some(("s3", rest)) => behind_http(rest).or(Some(rest)),
        Some(("sftp", rest)) => rest.strip_prefix("//"),
        _ => None,
    };
    let authority = address.map_or("", authority_of);
    let machine = authority.rsplit_once('@').map_or(authority, |(_, machine)| machine);
    machine.bytes().filter(|byte| *byte == b':').count() > 1
        && machine.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

fn mistaken_sftp(rest: &str) -> Option<LocationError> {
    if let Some(address) = rest.strip_prefix("//") {
        let login = authority_of(address).rsplit_once('@')?.0;
        return login.contains(':').then_some(LocationError::SftpPassword);
    }
    let (login, path) = rest.split_once(':')?;
    if login.contains('[') {
        return Some(LocationError::SftpBrackets);
    }
    // `user:password@machine:/path`: the password would pass for the beginning of a path.
    let first = path.split('/').next().unwrap_or_default();
    if !login.contains('@') && first.split_once('@').is_some_and(|(_, machine)| machine.contains(':')) {
        return Some(LocationError::SftpPassword);
    }
    let path = path.trim_start();
    let digits = path.bytes().take_while(u8::is_ascii_digit).count();
    let is_port = digits > 0 && matches!(path.as_bytes().get(digits), None | Some(b'/' | b':'));
    is_port.then_some(LocationError::SftpPort)
}

/// A character that shows nothing, or changes how others show: nobody sees that it is there. The joiners of scripts and
/// emoji are none of these.
#[must_use]
pub const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}' | '\u{1160}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
