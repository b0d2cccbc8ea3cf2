//! A standby against what answers at the address of its server: over real sockets, with archives of real fleets.

use super::{
    client::Client,
    folder::{Following, StandbyFolder},
    follow::Follower,
    trust::Trust,
};
use crate::clock;
use fleet::{ArchiveKey, ArchivePart, Driver, Fleet, Settings};
use schema::Timestamp;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What answers, and what it has heard.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    heard: Arc<Mutex<Vec<String>>>,
}

/// How it answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// With these bytes, and then the connection ends.
    Bytes(Vec<u8>),
    /// With these bytes one by one, so long apart.
    Drip(Vec<u8>, Duration),
    /// With an archive, or that it is not modified when its mark is asked for.
    Archive(Vec<u8>, &'static str),
    /// It takes the connection, and says nothing.
    Silence,
}

/// The head of an answer of HTTP, and what comes behind it.
pub(super) fn http(head: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

impl Peer {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            heard: Arc::default(),
        };
        let serves = peer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serves.clone().talk(stream));
            }
        });
        peer
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// The marks that it was asked by since the last time.
    fn asked(&self) -> Vec<Option<String>> {
        let mark = |head: &String| {
            let line = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("if-none-match: ").map(str::to_owned));
            line.map(|mark| mark.trim_matches('"').to_owned())
        };
        std::mem::take(&mut *self.heard.lock().unwrap()).iter().map(mark).collect()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn talk(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        self.heard.lock().unwrap().push(head.clone());
        let answer = self.answer.lock().unwrap().clone();
        // Whoever asked may have gone.
        let _ = match answer {
            Answer::Silence => stream.read_to_end(&mut Vec::new()).await.map(drop),
            Answer::Bytes(bytes) => stream.write_all(&bytes).await,
            Answer::Archive(_, mark) if head.contains(&format!("\"{mark}\"")) => {
                stream.write_all(&http("304 Not Modified", b"")).await
            }
            Answer::Archive(archive, mark) => {
                stream.write_all(&http(&format!("200 OK\r\nETag: \"{mark}\""), &archive)).await
            }
            Answer::Drip(bytes, apart) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(apart).await;
                }
                Ok(())
            }
        };
    }
}

/// A server, whose archives are of different seconds.
pub(super) struct Of(Fleet, Arc<AtomicU64>);

impl Of {
    /// `seed` makes its master key another one's.
    pub(super) fn seed(seed: u64) -> Self {
        let (now, drawn) = (Arc::new(AtomicU64::new(1_780_000_000_000)), AtomicU64::new(seed));
        let tells = now.clone();
        let driver = Driver {
            now: Arc::new(move || Timestamp(tells.load(Ordering::SeqCst))),
            random: Arc::new(move |bytes| {
                bytes.iter_mut().for_each(|byte| *byte = drawn.fetch_add(7, Ordering::SeqCst) as u8);
            }),
        };
        let settings = Settings {
            mqtt_addresses: vec!["backup.example:8883".to_owned()],
            authorities: vec![vec![7; 40]],
            timezone: "UTC".to_owned(),
            keep: Default::default(),
        };
        Self(Fleet::in_memory(settings, driver).unwrap(), now)
    }

    pub(super) fn archive(&self, recipient: &str) -> Vec<u8> {
        self.1.fetch_add(2_000, Ordering::SeqCst);
        let parts = [("tls/ca.pem", "a certificate"), ("tls/ca.key", "its key")];
        let parts = parts.map(|(name, text)| ArchivePart { name, bytes: text.as_bytes().to_vec().into() });
        let mut bytes = Vec::new();
        let key = ArchiveKey::Recipients(vec![recipient.to_owned()]);
        self.0.begin_archive(parts.into(), "0.0.1").unwrap().write(&key, &mut bytes).unwrap();
        bytes
    }
}

/// A standby in a folder of its own, which has a token.
struct Here {
    folder: StandbyFolder,
    follower: Arc<Follower>,
    archives: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Here {
    fn follows(url: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = StandbyFolder::of(scratch.path());
        folder.make().unwrap();
        fs::write(folder.token_path(), "hfs_x").unwrap();
        let following =
            Following { url: url.to_owned(), trust: Trust::default(), plain: false, addresses: Vec::new() };
        let client = Client::new(url, None, false).unwrap();
        let every = Duration::from_secs(300);
        let follower = Follower::new((following, every), client, folder.clone(), None).unwrap();
        let archives = scratch.path().join("standby/archives");
        Self { folder, follower: Arc::new(follower), archives, _scratch: scratch }
    }

    fn recipient(&self) -> &str {
        &self.follower.recipient
    }

    /// The names of all that is in the folder of archives.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.archives).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Asks once; the word of what is wrong.
    async fn step(&self) -> Option<&'static str> {
        self.follower.step().await;
        self.follower.standing().await.trouble.map(|(_, trouble)| trouble.code())
    }
}

#[tokio::test]
async fn a_standby_refuses_archives_of_another_server_says_so_and_keeps_its_own() {
    let (own, other) = (Of::seed(1), Of::seed(2));
    let peer = Peer::start(Answer::Silence).await;
    let here = Here::follows(&peer.url());
    peer.answers(Answer::Archive(own.archive(here.recipient()), "own-1"));
    assert_eq!(here.step().await, None);
    let kept = here.names();
    assert_eq!(kept.len(), 1);
    let known = here.folder.server().unwrap();
    assert!(known.is_some());
    peer.answers(Answer::Archive(other.archive(here.recipient()), "other"));
    for _ in 0..2 {
        assert_eq!(here.step().await, Some("other_server"));
        assert_eq!((here.names(), here.folder.server().unwrap()), (kept.clone(), known.clone()));
    }
    let standing = here.follower.standing().await;
    let (_, trouble) = standing.trouble.as_ref().unwrap();
    assert!(trouble.to_string().contains("another server"), "{trouble}");
    assert_eq!((standing.usable(), standing.newest().is_some()), (1, true));
    // An earlier version told servers apart by something else.
    let archive = own.archive(here.recipient());
    let (identity, _) = here.folder.identity().unwrap();
    let found =
        fleet::check_archive(archive.as_slice(), &fleet::ArchiveOpener::Identities(identity)).unwrap();
    here.folder.put_server(&data_encoding::HEXLOWER.encode(&found.formerly)).unwrap();
    peer.answers(Answer::Archive(archive, "own-2"));
    assert_eq!(here.step().await, None);
    assert_eq!((here.names().len(), here.folder.server().unwrap()), (2, known));
}

#[tokio::test]
async fn what_came_and_is_not_kept_takes_no_room() {
    let own = Of::seed(1);
    let peer = Peer::start(Answer::Silence).await;
    let here = Here::follows(&peer.url());
    peer.answers(Answer::Archive(own.archive(here.recipient()), "a"));
    assert_eq!(here.step().await, None);
    let kept = here.names();
    let whole = own.archive(here.recipient());
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let (_, somebody) = fleet::new_identity();
    let cut = http("200 OK", &whole);
    for (answer, code) in [
        (Answer::Archive(flipped, "b"), "damaged"),
        (Answer::Archive(b"no archive".to_vec(), "b"), "damaged"),
        (Answer::Archive(own.archive(&somebody), "b"), "wrong_recipient"),
        (Answer::Archive(Of::seed(2).archive(here.recipient()), "b"), "other_server"),
        (Answer::Bytes(cut[..cut.len() - 7].to_vec()), "cut"),
        (Answer::Bytes(http("500 Internal Server Error", b"")), "answered"),
        (Answer::Bytes(b"220 mail.example ESMTP\r\n".to_vec()), "answered"),
    ] {
        let said = format!("{answer:?}");
        peer.answers(answer);
        assert_eq!(here.step().await, Some(code), "{said:.60}");
        assert_eq!(here.names(), kept, "{code}");
    }
}

#[tokio::test]
async fn what_was_removed_or_altered_here_is_told_of_and_asked_for_anew() {
    let own = Of::seed(1);
    let peer = Peer::start(Answer::Silence).await;
    let here = Here::follows(&peer.url());
    let next = |mark| peer.answers(Answer::Archive(own.archive(here.recipient()), mark));
    next("a");
    assert_eq!(here.step().await, None);
    assert_eq!(here.step().await, None);
    assert_eq!(peer.asked(), [None, Some("a".to_owned())], "nothing is new, and nothing is sent");
    // Removed, alone and with the folder.
    for with_folder in [false, true] {
        if with_folder {
            fs::remove_dir_all(&here.archives).unwrap();
        } else {
            fs::remove_file(here.archives.join(&here.names()[0])).unwrap();
        }
        let standing = here.follower.standing().await;
        assert!(standing.newest().is_none() && !standing.is_ready(clock::now(), here.follower.every));
        next("b");
        assert_eq!(here.step().await, None);
        assert_eq!(peer.asked(), [None]);
        assert_eq!(here.names().len(), 1);
    }
    // Altered, with its length as it was. Whoever asks does not hear that it is good.
    let first = here.names().remove(0);
    let path = here.archives.join(&first);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(here.follower.standing().await.newest().is_none());
    peer.answers(Answer::Bytes(http("500 Internal Server Error", b"")));
    assert_eq!(here.step().await, Some("answered"));
    assert_eq!(peer.asked(), [None]);
    let standing = here.follower.standing().await;
    let unusable = standing.unusable();
    assert!(
        unusable.len() == 1 && unusable[0].0 == first && unusable[0].1.contains("damaged"),
        "{unusable:?}"
    );
    assert_eq!(
        (standing.usable(), here.names()),
        (0, vec![first.clone()]),
        "until there is another one it stays"
    );
    next("c");
    assert_eq!(here.step().await, None);
    let names = here.names();
    assert!(names.len() == 1 && names[0] != first, "{names:?}");
    assert_eq!(here.follower.standing().await.unusable(), []);
}

#[tokio::test]
async fn a_damaged_archive_of_before_is_found_and_replaced_while_the_newest_is_good() {
    let own = Of::seed(1);
    let peer = Peer::start(Answer::Silence).await;
    let here = Here::follows(&peer.url());
    for mark in ["a", "b"] {
        peer.answers(Answer::Archive(own.archive(here.recipient()), mark));
        assert_eq!(here.step().await, None);
    }
    let [older, newest] = <[String; 2]>::try_from(here.names()).unwrap();
    fs::write(here.archives.join(&older), b"what a disk makes of it").unwrap();
    peer.answers(Answer::Archive(own.archive(here.recipient()), "c"));
    let _ = peer.asked();
    assert_eq!(here.step().await, None);
    assert_eq!(peer.asked(), [None]);
    let names = here.names();
    assert!(names.len() == 2 && names[0] == newest && !names.contains(&older), "{names:?}");
}

#[tokio::test]
async fn an_archive_that_drips_is_not_waited_for_for_ever() {
    use super::fetch::{Patience, receive};
    let folder = tempfile::tempdir().unwrap();
    let content = vec![b'x'; 10_000];
    let drips = Peer::start(Answer::Drip(http("200 OK", &content), Duration::from_millis(1))).await;
    let client = Client::new(&drips.url(), None, false).unwrap();
    let ask = || {
        let request = axum::http::Request::get("/").body(axum::body::Body::empty()).unwrap();
        client.ask(request, Duration::from_secs(30))
    };
    let hour = Duration::from_secs(3_600);
    for (piece, whole, says) in
        [(hour, Duration::from_millis(300), "no longer is waited"), (Duration::ZERO, hour, "nothing came")]
    {
        let patience = Patience { piece, whole };
        let told =
            receive(ask().await.unwrap(), &folder.path().join("a"), 10_000, patience).await.unwrap_err();
        assert!(told.code() == "cut" && told.to_string().contains(says), "{told}");
    }
    // Of what comes by a slow line it is known how long that takes.
    let whole = |bytes| Patience::with(bytes).whole.as_secs();
    assert_eq!((whole(0), whole(1 << 20), whole(1 << 30)), (900, 900 + 128, 900 + 131_072));
}
