//! A small HTTP server that keeps what it was asked, and answers as it is told.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Method and path, such as `POST /key/start?a=b`.
    pub line: String,
    /// The headers, as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// It answers `200` where nothing else is said.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    /// Starts one, for as long as the test runs.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let receiver = Self {
            address: listener.local_addr().expect("an address"),
            asked: Arc::default(),
            answers: Arc::default(),
        };
        let kept = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || kept.answer(stream));
            }
        });
        receiver
    }

    /// What was asked so far.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// The next answers.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    pub fn answers(&self, statuses: &[u16]) {
        self.answers.lock().expect("no panic").extend(statuses);
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let (mut line, mut head) = (String::new(), String::new());
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok().filter(|read| *read > 0)?;
            if header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
            head += &header;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
        let body = String::from_utf8_lossy(&body).into_owned();
        let status = self.answers.lock().ok()?.pop_front().unwrap_or(200);
        self.asked.lock().ok()?.push(Asked { line, head, body });
        let answer = format!("HTTP/1.1 {status} It\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        stream.write_all(answer.as_bytes()).ok()
    }
}
