//! A hundred pages are open when the server is killed: all come back by themselves, and none takes what it shows for
//! live meanwhile.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};
use tests::{
    browser::Browser,
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const PAGES: usize = 100;
/// How long a page waits before it tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What a page has heard.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// The stream is open.
    Open,
    /// A topic, and whether it came first on its stream.
    Topic { name: String, first: bool },
    /// The stream has ended.
    Ended,
}

/// Keeps a stream open as a browser does: with the id of the last event when it has to come back.
fn follow(http: SocketAddr, token: &str, heard: &mpsc::Sender<Heard>) {
    let mut last_id = String::new();
    loop {
        if let Ok(stream) = TcpStream::connect(http)
            && read(stream, token, &mut last_id, heard).is_err()
        {
            return;
        }
        thread::sleep(AGAIN_AFTER);
    }
}

/// Reads one stream to its end. An error: nobody listens any more.
fn read(
    mut stream: TcpStream,
    token: &str,
    last_id: &mut String,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), mpsc::SendError<Heard>> {
    let back = if last_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_id}\r\n") };
    let request = format!(
        "GET /api/events?topics=fleet HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{back}\r\n"
    );
    if stream.write_all(request.as_bytes()).is_err() {
        return Ok(());
    }
    let mut first = true;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.contains("200 OK") {
            heard.send(Heard::Open)?;
        } else if let Some(id) = line.strip_prefix("id: ") {
            id.clone_into(last_id);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let event: serde_json::Value = serde_json::from_str(data).expect("JSON");
            heard
                .send(Heard::Topic { name: event["topic"].as_str().unwrap_or_default().to_owned(), first })?;
            first = false;
        }
    }
    heard.send(Heard::Ended)
}

/// Waits until every page has heard this.
#[track_caller]
fn all_hear(pages: &[mpsc::Receiver<Heard>], what: &str, wanted: impl Fn(&Heard) -> bool) {
    for (number, page) in pages.iter().enumerate() {
        loop {
            match page.recv_timeout(LONG) {
                Ok(heard) if wanted(&heard) => break,
                Ok(_) => {}
                Err(error) => panic!("page {number} waits for {what}: {error}"),
            }
        }
    }
}

#[test]
fn all_open_pages_come_back_after_a_restart_and_none_shows_old_state_as_live() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("server"));
    let token = server.token("watcher", "read");
    let _ = server.api.add_host("attic");
    let browser = Browser::start();
    server.sign_in(&browser);
    browser.wait_text("attic", SOON);
    let pages: Vec<mpsc::Receiver<Heard>> = (0..PAGES)
        .map(|_| {
            let (sender, receiver) = mpsc::channel();
            let (http, token) = (server.http, token.clone());
            thread::spawn(move || follow(http, &token, &sender));
            receiver
        })
        .collect();
    all_hear(&pages, "its stream", |heard| *heard == Heard::Open);
    let _ = server.api.add_host("barn");
    all_hear(&pages, "a change", |heard| matches!(heard, Heard::Topic { name, .. } if name == "fleet"));
    browser.wait_text("barn", SOON);
    let notice = "return !document.getElementById('live-notice').hidden";
    assert_eq!(browser.run(notice), false);

    server.kill_9();
    all_hear(&pages, "the end", |heard| *heard == Heard::Ended);
    browser.wait_text("Connection lost", SOON);
    assert!(browser.text().contains("What you see may be old"), "{}", browser.text());
    let _ = browser.run("window.stayed = true");

    server.start_again();
    let _ = server.api.add_host("cellar");
    all_hear(&pages, "its stream again", |heard| *heard == Heard::Open);
    all_hear(
        &pages,
        "the word that it has to look at everything",
        |heard| matches!(heard, Heard::Topic { name, first: true } if name == "all"),
    );
    browser.wait_text("cellar", SOON);
    wait::until("the notice to go", SOON, || {
        if browser.run(notice) == false { Ok(()) } else { Err(browser.text()) }
    });
    assert_eq!(browser.run("return window.stayed === true"), true, "without a reload");
}

#[test]
fn a_server_that_is_stopped_ends_the_streams_of_open_pages_itself() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("server"));
    let token = server.token("watcher", "read");
    let address = server.base();
    let address = address.trim_start_matches("http://");
    let open = || {
        let mut stream = TcpStream::connect(address).expect("the server");
        let head = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        write!(stream, "GET /api/events?topics=audit HTTP/1.1\r\n{head}").expect("sent");
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).expect("an answer");
        assert_eq!(&begin, b"HTTP/1.1 200");
        stream
    };
    let pages: Vec<TcpStream> = (0..5).map(|_| open()).collect();
    // Opened in advance, as browsers do.
    let idle = TcpStream::connect(address).expect("the server");
    server.stop();
    for mut page in pages {
        let mut rest = Vec::new();
        let _ = page.read_to_end(&mut rest).expect("the end");
        // A stream that only ends with the process has no last chunk.
        assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    }
    drop(idle);
}
