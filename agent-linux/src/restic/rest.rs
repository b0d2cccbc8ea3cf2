//! Whether a REST server refuses to delete, asked without harm: by deleting what can't exist.
//!
//! An append-only rest-server answers 403 before it looks for the object; a full one looks, finds nothing, and says
//! 200 or 404. The object's name is the SHA-256 of its content, and nothing has the name that is asked for. Only
//! plain HTTP is asked.

use super::secrets::Credentials;
use core::time::Duration;
use data_encoding::BASE64;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use zeroize::Zeroizing;

const LIMIT: Duration = Duration::from_secs(10);
/// No content has this hash.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// `Some(true)`: it refuses; `Some(false)`: it would delete; `None`: it can't be told.
pub(crate) async fn is_append_only(credentials: &Credentials, server: (&str, u16)) -> Option<bool> {
    let address = credentials.url.strip_prefix("rest:http://")?;
    let request = request(address, credentials);
    let status = timeout(LIMIT, ask(server, request.as_bytes())).await.ok()?.ok()?;
    verdict(&status)
}

fn request(address: &str, credentials: &Credentials) -> Zeroizing<String> {
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    let login = Zeroizing::new(format!("{}:{}", credentials.username, credentials.password));
    let authorization = match (&*credentials.username, &*credentials.password) {
        ("", "") => Zeroizing::new(String::new()),
        _ => Zeroizing::new(format!(
            "Authorization: Basic {}\r\n",
            *Zeroizing::new(BASE64.encode(login.as_bytes()))
        )),
    };
    Zeroizing::new(format!(
        "DELETE /{path}{slash}data/{NOTHING} HTTP/1.1\r\nHost: {authority}\r\n{}Accept: application/vnd.x.restic.rest.v2\r\nConnection: close\r\n\r\n",
        *authorization
    ))
}

async fn ask((host, port): (&str, u16), request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(request).await?;
    let mut status = vec![0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status)
}

/// Reads `HTTP/1.1 403`.
fn verdict(status: &[u8]) -> Option<bool> {
    match status.strip_prefix(b"HTTP/1.")?.get(2..5)? {
        b"403" => Some(true),
        b"200" | b"204" | b"404" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_counts() {
        assert_eq!(verdict(b"HTTP/1.1 403"), Some(true));
        assert_eq!(verdict(b"HTTP/1.0 404"), Some(false));
        for other in
            [&b"HTTP/1.1 401"[..], b"HTTP/1.1 500", b"HTTP/1.1 301", b"SSH-2.0-Open", b"", b"HTTP/1.1"]
        {
            assert_eq!(verdict(other), None);
        }
    }

    #[test]
    fn the_request_asks_for_one_object_below_the_repository() {
        let credentials = Credentials {
            url: "rest:http://nas:8000/me/repo/".into(),
            username: "me".into(),
            password: "pw".into(),
            repo_password: String::new(),
            ca: String::new(),
            host_keys: String::new(),
            env: Vec::new(),
        };
        let text = request("nas:8000/me/repo/", &credentials);
        assert!(text.starts_with("DELETE /me/repo/data/0000"), "{}", *text);
        assert!(text.contains("\r\nHost: nas:8000\r\nAuthorization: Basic bWU6cHc=\r\n"));
        assert!(request("nas:8000", &credentials).starts_with("DELETE /data/0000"));
    }
}
