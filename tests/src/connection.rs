//! One kept HTTP connection, without anything that a measurement would notice.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// A connection over which one request follows the other.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens it.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    pub fn open(http: SocketAddr) -> Self {
        let stream = TcpStream::connect(http).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self(BufReader::new(stream))
    }

    /// Asks once; how many bytes came, head and body, compressed as browsers ask for it.
    ///
    /// # Panics
    /// When the answer is not a 200, or does not come whole.
    pub fn get(&mut self, token: &str, path: &str) -> usize {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: gzip\r\n\r\n"
        );
        self.0.get_mut().write_all(request.as_bytes()).expect("the request goes out");
        let (mut head, mut length, mut is_chunked) = (0, 0, false);
        loop {
            let mut line = String::new();
            head += self.0.read_line(&mut line).expect("a line of the head");
            let lower = line.to_ascii_lowercase();
            assert!(head != line.len() || line.contains(" 200 "), "{path}: {line}");
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            is_chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
            if line == "\r\n" {
                break;
            }
        }
        if !is_chunked {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).expect("the body");
            return head + length;
        }
        let mut all = head;
        loop {
            let mut line = String::new();
            all += self.0.read_line(&mut line).expect("a chunk");
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk).expect("a chunk");
            all += chunk.len();
            if size == 0 {
                return all;
            }
        }
    }
}
