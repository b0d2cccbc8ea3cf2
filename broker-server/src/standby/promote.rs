//! The command `promote`: makes a standby the server.
//!
//! In this order: the server must not answer any more, or a person says that this may be; a standby that runs hands over;
//! the newest archive that is good becomes the data of this folder as by a restore. What is torn in between does not serve,
//! and the same command goes on; archives are only read.

use super::{
    client::{Client, NoAnswer},
    folder::{Following, Lock, StandbyFolder},
    follow::is_known,
};
use crate::{
    archive::where_to_start,
    cli, clock,
    command_error::CommandError,
    control::{self, Answer, Ask},
    out,
    standby_fault::StandbyFault,
};
use anyhow::Context;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use data_encoding::HEXLOWER;
use fleet::{
    ArchiveError, ArchiveOpener, DATA_FILE, Driver, OpenError, Pieces, Promotion, RestoreAs, Restored, Stand,
    promote,
    record::{Predecessor, Secret},
};
use schema::Timestamp;
use serde::Serialize;
use std::{fmt::Write as _, path::Path, process::ExitCode, sync::Arc, time::Duration};

/// The server still answers, and nothing was done.
const ANSWERS: u8 = 3;
/// The header by which a server says that it only reads, and why.
const ONLY_READS: &str = "holdfast-only-reads";
/// How long the server may take to show that it is there.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const MOST_ANSWER_BYTES: usize = 4_096;
/// What becomes of two servers.
const TWO: &str = "With --force this one is made the server all the same. Where the other one still runs, there are two then: agents \
    go over to this one as soon as they reach it and never back, the other one stands still once it is told, and what it is told \
    until then is lost.\n";
/// How long a standby that was asked to end may take.
const END_WITHIN: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug, Serialize)]
struct PromotionOutcome {
    /// `done`; `already`: it was done before; `answers`, `hangs` or `other_answers`: something is still where the server was;
    /// `unreachable`: that can't be told from here; `superseded`: another server has had that one's place since. With these five
    /// nothing was done.
    state: &'static str,
    /// With `other_answers`: what it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// What was found where the server was; null: nobody looked.
    found: Option<String>,
    /// Another server has had that one's place since, as it has told this standby.
    superseded: bool,
    /// The server that was followed.
    follows: String,
    /// What this server is now.
    incarnation: Option<u64>,
    /// The archive that it was made of.
    archive: Option<String>,
    /// Newer ones that could not be used.
    skipped: Vec<Skipped>,
    /// The instant whose state that holds.
    as_of: Option<String>,
    /// What agents dial.
    addresses: Vec<String>,
    /// Whether one of them is this machine's, by what the standby was told with --mqtt-public; null: it was told nothing.
    address_known: Option<bool>,
    /// Whether the archive has settings for `serve --config`.
    settings: bool,
}

/// What is said where the address leads to a standby by now.
const A_STANDBY: &str = "a standby answers there, perhaps this one: where the server is now, and whether it runs, can't be told by that";

/// An archive that could not be used.
#[derive(Debug, Serialize)]
struct Skipped {
    archive: String,
    why: String,
}

/// Promotes, and says what is to be done next.
pub async fn run(options: cli::Promote) -> anyhow::Result<ExitCode> {
    let data_dir = &options.data_dir;
    let folder = StandbyFolder::of(data_dir);
    let following = if folder.is_there()? { folder.following()? } else { None };
    let Some(following) = following else {
        return Err(StandbyFault::NoStandby(data_dir.clone()).into());
    };
    let told = told(&options, &folder, following).await?;
    if options.json {
        out::line(serde_json::to_string(&told)?)?;
    } else {
        out::print(in_words(&told, data_dir))?;
    }
    let is_done = matches!(told.state, "done" | "already");
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(ANSWERS) })
}

async fn told(
    options: &cli::Promote,
    folder: &StandbyFolder,
    following: Following,
) -> anyhow::Result<PromotionOutcome> {
    let data_dir = &options.data_dir;
    let nothing = |state| PromotionOutcome {
        state,
        answer: None,
        found: None,
        superseded: false,
        skipped: Vec::new(),
        follows: following.url.clone(),
        incarnation: None,
        archive: None,
        as_of: None,
        addresses: Vec::new(),
        address_known: None,
        settings: data_dir.join("settings.toml").exists(),
    };
    if is_promoted(data_dir)? {
        // It may have ended before that was done.
        folder.remove_token();
        return Ok(nothing("already"));
    }
    let mut found = None;
    let superseded = folder.superseded()?;
    if !options.force {
        let (state, seen) = match there(&following, ANSWER_WITHIN).await? {
            // It need not be there any more to have said so.
            There::Nobody(_) | There::Unreachable(_) | There::Hangs(_) | There::Other(_)
                if superseded.is_some() =>
            {
                (Some("superseded"), said_so(superseded.as_deref()))
            }
            There::Superseded => (Some("superseded"), "it says so itself".to_owned()),
            There::Nobody(seen) => (None, seen),
            There::Server => (Some("answers"), "a Holdfast server".to_owned()),
            There::Hangs(seen) => (Some("hangs"), seen),
            There::Unreachable(why) => (Some("unreachable"), why),
            There::Other(seen) => (Some("other_answers"), seen),
        };
        found = Some(seen);
        if let Some(state) = state {
            let answer = found.clone().filter(|_| state == "other_answers");
            return Ok(PromotionOutcome { answer, found, ..nothing(state) });
        }
    }
    if folder.archives().list()?.is_empty() {
        return Err(StandbyFault::NoArchive.into());
    }
    let _lock = take_over(data_dir, folder, END_WITHIN).await?;
    // Another promote may have had it until now.
    if is_promoted(data_dir)? {
        return Ok(nothing("already"));
    }
    let (identity, recipient) = folder.identity()?;
    let Following { url, trust, plain, addresses } = following.clone();
    let predecessor = Predecessor { url, authority: trust.authority, plain };
    let promotion = Promotion { predecessor, recipient, server: server_of(folder)? };
    let (of, to) = (folder.clone(), data_dir.clone());
    let wish = RestoreAs { is_clock_right: options.clock_is_right, ..RestoreAs::default() };
    let made =
        tokio::task::spawn_blocking(move || newest_good(&of, &identity, (&to, wish), &promotion)).await?;
    let Made { archive, restored, skipped } = made?;
    folder.remove_token();
    let about = &restored.about;
    Ok(PromotionOutcome {
        found: found.or_else(|| superseded.as_deref().map(|at| said_so(Some(at)))),
        superseded: superseded.is_some(),
        skipped,
        incarnation: Some(restored.incarnation.0),
        archive: Some(archive),
        as_of: Some(web::rfc3339(Timestamp(about.made_at_ms))),
        addresses: about.addresses().map(str::to_owned).collect(),
        address_known: is_known(about, &addresses),
        ..nothing("done")
    })
}

/// How it is known that another server has the place of the one that was followed.
fn said_so(at: Option<&str>) -> String {
    format!("it said so to this standby, {}", at.unwrap_or_default())
}

/// Whether there is a server in this folder already.
fn is_promoted(data_dir: &Path) -> anyhow::Result<bool> {
    match Pieces::from(data_dir).look() {
        Ok(Stand::New) | Err(OpenError::Standby { .. } | OpenError::HalfPromoted { .. }) => Ok(false),
        Ok(_) => Ok(data_dir.join(DATA_FILE).exists()),
        Err(why) => Err(why.into()),
    }
}

/// Which server's archives are here, as it is known; `None` = that was not written down.
fn server_of(folder: &StandbyFolder) -> anyhow::Result<Option<[u8; 32]>> {
    let Some(text) = folder.server()? else { return Ok(None) };
    let digest = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    digest.map(Some).ok_or_else(|| StandbyFault::NoServer(folder.server_path()).into())
}

/// What is where the server that is followed was, and how that shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum There {
    /// Nobody, for certain: its machine refuses the connection, or a proxy finds it gone.
    Nobody(String),
    /// A Holdfast server.
    Server,
    /// One that stands still, for another one has its place.
    Superseded,
    /// Something takes the connection, or a proxy before it does, and says nothing: it may be too busy, or be stopped in the
    /// middle.
    Hangs(String),
    /// Something else, which may stand before the server or be it: what it answers.
    Other(String),
    /// It can't be told: nothing came of it, which may be for the network of this very machine.
    Unreachable(String),
}

/// Looks who is where the server was.
async fn there(following: &Following, within: Duration) -> anyhow::Result<There> {
    let client = Client::new(&following.url, following.trust.authority.as_deref(), following.plain)?;
    let request = Request::get("/healthz").body(Body::empty())?;
    let silent = || {
        There::Hangs(format!("it takes the connection, and answers nothing within {} s", within.as_secs()))
    };
    Ok(match client.ask(request, within).await {
        Ok(answer) => match answer.status() {
            // A proxy that finds the server gone: it is refused, or its connection ends.
            status @ StatusCode::BAD_GATEWAY => {
                There::Nobody(format!("a proxy that finds it gone (HTTP {status})"))
            }
            // And one that waits for it in vain, as for a server that hangs.
            status @ StatusCode::GATEWAY_TIMEOUT => {
                There::Hangs(format!("a proxy that waits for it in vain (HTTP {status})"))
            }
            StatusCode::OK if answer.headers().get(ONLY_READS).is_some_and(|why| why == "superseded") => {
                There::Superseded
            }
            StatusCode::OK => {
                let body = axum::body::to_bytes(Body::new(answer.into_body()), MOST_ANSWER_BYTES);
                match tokio::time::timeout(within, body).await {
                    Err(_) => silent(),
                    Ok(body) => match body.ok().and_then(|body| who(&body)) {
                        Some(is_standby) if is_standby => There::Unreachable(A_STANDBY.to_owned()),
                        Some(_) => There::Server,
                        None => There::Other("a page that is not a Holdfast server's".to_owned()),
                    },
                }
            }
            status => There::Other(format!("HTTP {status}")),
        },
        Err(NoAnswer::Silent) => silent(),
        // One whose certificate was replaced, or that speaks TLS only now, may be the server.
        Err(why @ (NoAnswer::NotTrusted(_) | NoAnswer::NotHttp | NoAnswer::NotTls)) => {
            There::Other(why.to_string())
        }
        Err(NoAnswer::Unreachable(why)) if why.kind() == std::io::ErrorKind::ConnectionRefused => {
            There::Nobody(format!("its machine refuses the connection ({why})"))
        }
        // A name that is not known, no way there, a connection that breaks: this machine may be the one that is cut off.
        Err(why @ (NoAnswer::Unreachable(_) | NoAnswer::TooLate)) => There::Unreachable(why.to_string()),
    })
}

/// Whether it is a standby, this one perhaps, to which the address leads by now, or a server that answers so when it is asked
/// for `/healthz`; `None` = neither.
fn who(body: &[u8]) -> Option<bool> {
    let told = serde_json::from_slice::<serde_json::Value>(body).ok()?;
    (told["status"] == "ok").then(|| told["standby"] == true)
}

/// Has a standby that runs end, and takes its right to work in the folder.
async fn take_over(data_dir: &Path, folder: &StandbyFolder, within: Duration) -> anyhow::Result<Lock> {
    if let Some(lock) = folder.lock()? {
        return Ok(lock);
    }
    match tokio::time::timeout(within, control::ask(data_dir, &Ask::HandOver)).await {
        Ok(Ok(Some(Answer::HandedOver) | None)) => {}
        Ok(Ok(Some(Answer::Refused(why)))) => return Err(why.into()),
        Ok(Ok(Some(_))) => return Err(CommandError::OtherVersion.into()),
        // It ended while it was asked.
        Ok(Err(error)) => tracing::debug!(%error, "the standby did not answer"),
        Err(_) => tracing::debug!("the standby hangs"),
    }
    let waiting = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(lock) = folder.lock()? {
                return Ok(lock);
            }
        }
    };
    tokio::time::timeout(within, waiting)
        .await
        .unwrap_or_else(|_| Err(StandbyFault::DoesNotEnd(data_dir.to_owned()).into()))
}

/// A server that was made of an archive.
struct Made {
    archive: String,
    restored: Restored,
    /// Newer ones that could not be used, the newest first.
    skipped: Vec<Skipped>,
}

/// Whether it says of the archive alone that it can't be used, so that another one may be.
fn is_of_archive(why: &ArchiveError, archive: &Path) -> bool {
    match why {
        ArchiveError::Damaged(_)
        | ArchiveError::NotAnArchive
        | ArchiveError::WrongKey
        | ArchiveError::WantsPassphrase
        | ArchiveError::OtherServer
        | ArchiveError::Read(_) => true,
        ArchiveError::File { path, .. } => path == archive,
        _ => false,
    }
}

/// Makes the server of the newest archive that is good, and says which that is.
fn newest_good(
    folder: &StandbyFolder,
    identity: &Secret,
    (data_dir, wish): (&Path, RestoreAs),
    promotion: &Promotion,
) -> anyhow::Result<Made> {
    let archives = folder.archives();
    let opener = ArchiveOpener::Identities(identity.clone());
    let _ = std::fs::remove_file(control::socket_path(data_dir));
    let mut skipped = Vec::new();
    for kept in archives.list()? {
        let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
        let path = archives.path.join(&kept.name);
        match promote(&path, &opener, data_dir, (driver, wish), promotion) {
            Ok(restored) => return Ok(Made { archive: kept.name, restored, skipped }),
            Err(why) if is_of_archive(&why, &path) => {
                tracing::warn!(name = kept.name, %why, "an archive can't be used; the one before it is tried");
                skipped.push(Skipped { archive: kept.name, why: why.to_string() });
            }
            Err(why) => return Err(why).with_context(|| kept.name.clone()),
        }
    }
    if skipped.is_empty() {
        return Err(StandbyFault::ArchivesGone.into());
    }
    let all: Vec<String> =
        skipped.iter().map(|Skipped { archive, why }| format!("{archive}: {why}")).collect();
    Err(StandbyFault::NoneUsable(all.join("; ")).into())
}

fn in_words(told: &PromotionOutcome, data_dir: &Path) -> String {
    let folder = data_dir.display();
    let config = if told.settings { format!(" --config {folder}/settings.toml") } else { String::new() };
    let serve = format!("    holdfast-server serve{config} --data-dir {folder}\n");
    let found = told.found.as_deref().unwrap_or_default();
    match told.state {
        "answers" => {
            return format!(
                "Nothing was done: the server at {} still answers. Stop it first. {TWO}",
                told.follows
            );
        }
        "superseded" => {
            return format!(
                "Nothing was done: another server has the place of the one at {} ({found}). A standby that is promoted now takes the \
                 agents from that other one, and what that one was told since is lost. Follow that one, with an empty folder. Where \
                 it is gone for good, say so with --force.\n",
                told.follows,
            );
        }
        "hangs" => {
            return format!(
                "Nothing was done: what is at {} hangs: {found}. A server that is too busy, or was stopped in the middle, may go on. \
                 End it first (systemctl stop, or kill; its machine, where that hangs). {TWO}",
                told.follows,
            );
        }
        "unreachable" => {
            return format!(
                "Nothing was done: whether the server at {} is gone can't be told from here: {found}. It may be its machine, or a way \
                 to it, or the name; or this machine is cut off, and the server runs on and serves its agents. Look from another \
                 place, and at its machine. When you know that it is gone, say so with --force. {TWO}",
                told.follows,
            );
        }
        "other_answers" => {
            return format!(
                "Nothing was done: something is at {} that does not answer as a Holdfast server ({}): a proxy or a sign-in before \
                 it, perhaps, or another program. Make sure that the server is stopped, and then say so with --force. {TWO}",
                told.follows, found
            );
        }
        "already" => return format!("{folder} was promoted before: it is the server. Start it:\n\n{serve}"),
        _ => {}
    }
    let mut text = format!(
        "{folder}: the server as of {}, incarnation {}\n\nWhat the server at {} was told since then is lost, but for what \
         its agents still\nhold; the audit says so. {}\n\n{serve}\n",
        told.as_of.as_deref().unwrap_or_default(),
        told.incarnation.unwrap_or_default(),
        told.follows,
        where_to_start(told.addresses.iter().map(String::as_str)),
    );
    match &told.found {
        Some(found) => text.push_str(&format!("Where the server was: {found}.\n")),
        None => text.push_str("Nobody has looked what is where the server was (--force).\n"),
    }
    if told.superseded {
        text.push_str(
            "WARNING: another server has had the place of the one that was followed. Where that one still runs, agents obey this one \
             once it is started and leave that one, and what that one was told since is lost.\n",
        );
    }
    for Skipped { archive, why } in &told.skipped {
        text.push_str(&format!("WARNING: a newer archive could not be used, {archive}: {why}\n"));
    }
    match told.address_known {
        Some(true) => {}
        Some(false) => text.push_str(
            "WARNING: none of them is an address that this standby was given with --mqtt-public. Lead one of them here (DNS, an \
             address that moves along); no agent comes before.\n",
        ),
        None => text.push_str(
            "Whether one of them is this machine's was not said (--mqtt-public of the standby): lead one of them here where it is \
             not.\n",
        ),
    }
    text.push_str(
        "When the former server comes back it is told, and stands still; the page /restoration of this one says whether it was. Look \
         through the settings for paths and addresses of the other machine.\n",
    );
    let _ = writeln!(
        text,
        "{folder}/standby keeps the archives that there were and what opens them, as a way back; they are as secret as the master \
         key. Nothing needs them: remove that folder when this server has archives of its own."
    );
    text
}

#[cfg(test)]
mod tests {
    use super::super::{
        tests::{Answer as Says, Of, Peer, http},
        trust::Trust,
    };
    use super::*;

    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn following(url: String) -> Following {
        Following { url, trust: Trust::default(), plain: false, addresses: Vec::new() }
    }

    /// Two servers at once are worse than none for a while.
    #[tokio::test]
    async fn nobody_is_where_the_server_was_only_when_its_machine_or_a_proxy_says_so() {
        let other = |what: &str| There::Other(what.to_owned());
        for (says, is_there) in [
            (Says::Bytes(http("200 OK", br#"{"status":"ok"}"#)), There::Server),
            (
                Says::Bytes(http("200 OK\r\nHoldfast-Only-Reads: damaged", br#"{"status":"ok"}"#)),
                There::Server,
            ),
            (
                Says::Bytes(http("200 OK\r\nHoldfast-Only-Reads: superseded", br#"{"status":"ok"}"#)),
                There::Superseded,
            ),
            // The address leads here already: the server may run on where it was.
            (
                Says::Bytes(http("200 OK", br#"{"status":"ok","standby":true}"#)),
                There::Unreachable(A_STANDBY.to_owned()),
            ),
            (Says::Bytes(http("200 OK", b"{}")), other("a page that is not a Holdfast server's")),
            (Says::Bytes(http("200 OK", &[b'x'; 9_000])), other("a page that is not a Holdfast server's")),
            (
                Says::Bytes(http("301 Moved Permanently\r\nLocation: https://elsewhere.example/", b"")),
                other("HTTP 301 Moved Permanently"),
            ),
            (Says::Bytes(http("302 Found\r\nLocation: /login", b"")), other("HTTP 302 Found")),
            (Says::Bytes(http("401 Unauthorized", b"")), other("HTTP 401 Unauthorized")),
            (Says::Bytes(http("404 Not Found", b"")), other("HTTP 404 Not Found")),
            (Says::Bytes(http("500 Internal Server Error", b"")), other("HTTP 500 Internal Server Error")),
            (Says::Bytes(http("503 Service Unavailable", b"")), other("HTTP 503 Service Unavailable")),
            (Says::Bytes(b"220 something else\r\n".to_vec()), other("it answers something that is not HTTP")),
            (
                Says::Bytes(http("502 Bad Gateway", b"")),
                There::Nobody("a proxy that finds it gone (HTTP 502 Bad Gateway)".to_owned()),
            ),
            (
                Says::Bytes(http("504 Gateway Timeout", b"")),
                There::Hangs("a proxy that waits for it in vain (HTTP 504 Gateway Timeout)".to_owned()),
            ),
        ] {
            let said = format!("{says:?}");
            let peer = Peer::start(says).await;
            assert_eq!(there(&following(peer.url()), ANSWER_WITHIN).await.unwrap(), is_there, "{said}");
        }
        let silent = Peer::start(Says::Silence).await;
        let soon = Duration::from_millis(200);
        assert!(matches!(there(&following(silent.url()), soon).await.unwrap(), There::Hangs(_)));
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gone = following(format!("http://{gone}"));
        let refused = there(&gone, ANSWER_WITHIN).await.unwrap();
        assert!(matches!(&refused, There::Nobody(seen) if seen.contains("refuses")), "{refused:?}");
        // This machine itself may be cut off: a name that nobody knows, a connection that breaks.
        let breaks = Peer::start(Says::Bytes(Vec::new())).await;
        let nowhere = Following { plain: true, ..following("http://holdfast.invalid:8443".to_owned()) };
        for cut_off in [following(breaks.url()), nowhere] {
            let found = there(&cut_off, ANSWER_WITHIN).await.unwrap();
            assert!(matches!(found, There::Unreachable(_)), "{}: {found:?}", cut_off.url);
        }
        // Who speaks TLS where something else is does not take it for a certificate that is not believed.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            stream.read_to_end(&mut Vec::new()).await
        });
        let authority = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem();
        let trust = Trust::begin(Some(authority), None);
        let plain = Following { trust, ..following(format!("https://{address}")) };
        let found = there(&plain, ANSWER_WITHIN).await.unwrap();
        assert_eq!(found, There::Other("it answers something that is not TLS".to_owned()));
    }

    #[tokio::test]
    async fn a_server_that_may_be_there_is_not_replaced_and_the_exit_status_says_so() {
        for answer in ["301 Moved Permanently\r\nLocation: /x", "504 Gateway Timeout"] {
            let data = tempfile::tempdir().unwrap();
            let folder = StandbyFolder::of(data.path());
            folder.make().unwrap();
            let peer = Peer::start(Says::Bytes(http(answer, b""))).await;
            folder.put_following(&following(peer.url())).unwrap();
            let ended = run(options(data.path())).await.unwrap();
            assert_eq!(ended, ExitCode::from(ANSWERS));
            assert!(!data.path().join(DATA_FILE).exists());
        }
    }

    fn options(data_dir: &Path) -> cli::Promote {
        cli::Promote { data_dir: data_dir.to_owned(), force: false, clock_is_right: true, json: true }
    }

    /// A standby with archives of these servers, the newest last; its own one is that of the first.
    async fn standby_with(seeds: &[u64]) -> (tempfile::TempDir, StandbyFolder, Vec<String>) {
        let data = tempfile::tempdir().unwrap();
        let folder = StandbyFolder::of(data.path());
        folder.make().unwrap();
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        folder.put_following(&following(format!("http://{gone}"))).unwrap();
        let (identity, recipient) = folder.identity().unwrap();
        let mut names = Vec::new();
        for (nth, seed) in seeds.iter().enumerate() {
            let of = Of::seed(*seed);
            // Each is later than the ones before.
            let archive = (0..=nth).fold(Vec::new(), |_, _| of.archive(&recipient));
            let opener = ArchiveOpener::Identities(identity.clone());
            let found = fleet::check_archive(archive.as_slice(), &opener).unwrap();
            if nth == 0 {
                folder.put_server(&HEXLOWER.encode(&found.server)).unwrap();
            }
            let name = fleet::archive_name(Timestamp(found.contents.about.made_at_ms));
            std::fs::write(folder.archives().path.join(&name), archive).unwrap();
            names.push(name);
        }
        (data, folder, names)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_archive_that_can_not_be_read_leads_to_the_one_before_it_and_is_told() {
        let (data, folder, names) = standby_with(&[1, 1, 1]).await;
        let archives = folder.archives().path;
        let (cut, locked) = (archives.join(&names[1]), archives.join(&names[2]));
        let bytes = std::fs::read(&cut).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).unwrap();
        if std::fs::File::open(&locked).is_ok() {
            // For root nothing is locked.
            std::fs::write(&locked, "x").unwrap();
        }
        let told = told(&options(data.path()), &folder, folder.following().unwrap().unwrap()).await.unwrap();
        assert_eq!((told.state, told.archive.as_ref()), ("done", Some(&names[0])));
        let skipped: Vec<&String> = told.skipped.iter().map(|skipped| &skipped.archive).collect();
        assert_eq!(skipped, [&names[2], &names[1]]);
        assert!(told.found.as_ref().unwrap().contains("refuses"));
        let said = in_words(&told, data.path());
        assert!(said.contains(&names[2]) && said.contains("refuses the connection"), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_standby_whose_server_has_lost_its_place_to_another_one_is_promoted_only_by_force() {
        let (data, folder, names) = standby_with(&[1]).await;
        let follows = || folder.following().unwrap().unwrap();
        folder.note_superseded(Some("2026-12-01T03:44:00Z")).unwrap();
        let refused = told(&options(data.path()), &folder, follows()).await.unwrap();
        assert_eq!((refused.state, refused.superseded), ("superseded", false));
        let said = in_words(&refused, data.path());
        assert!(said.contains("2026-12-01T03:44:00Z") && said.contains("Follow that one"), "{said}");
        assert!(!data.path().join(DATA_FILE).exists());
        // The server is the server again.
        folder.note_superseded(None).unwrap();
        assert_eq!(folder.superseded().unwrap(), None);
        folder.note_superseded(Some("2026-12-01T03:45:00Z")).unwrap();
        let forced = cli::Promote { force: true, ..options(data.path()) };
        let made = told(&forced, &folder, follows()).await.unwrap();
        assert_eq!((made.state, made.superseded, made.archive.as_ref()), ("done", true, Some(&names[0])));
        assert!(in_words(&made, data.path()).contains("WARNING: another server has had the place"));
    }

    /// What is wrong with the folder, or with the clock, is wrong with each of them.
    #[test]
    fn only_what_is_wrong_with_an_archive_alone_leads_to_the_one_before_it() {
        let (archive, folder) = (Path::new("/standby/archives/one.age"), Path::new("/data"));
        let file = |path: &Path, errno| ArchiveError::File {
            path: path.to_owned(),
            why: std::io::Error::from_raw_os_error(errno),
        };
        for (why, is_its_own) in [
            (file(archive, 13), true),
            (file(archive, 5), true),
            (ArchiveError::Read(std::io::Error::from_raw_os_error(5)), true),
            (ArchiveError::Damaged(String::new()), true),
            (ArchiveError::OtherServer, true),
            (file(folder, 13), false),
            (ArchiveError::Busy(folder.to_owned()), false),
            (ArchiveError::LongAgo { days: 400 }, false),
            (ArchiveError::Newer { found: 9, understood: 1 }, false),
        ] {
            assert_eq!(is_of_archive(&why, archive), is_its_own, "{why}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_archive_of_another_server_is_not_made_the_server() {
        let (data, folder, names) = standby_with(&[1, 2]).await;
        let follows = || folder.following().unwrap().unwrap();
        let made = told(&options(data.path()), &folder, follows()).await.unwrap();
        assert_eq!((made.archive.as_ref(), made.skipped.len()), (Some(&names[0]), 1));
        assert!(made.skipped[0].why.contains("another server"), "{:?}", made.skipped);
        let (data, folder, names) = standby_with(&[1, 2]).await;
        std::fs::remove_file(folder.archives().path.join(&names[0])).unwrap();
        let follows = folder.following().unwrap().unwrap();
        let why = told(&options(data.path()), &folder, follows).await.unwrap_err().to_string();
        assert!(why.contains("no archive here can be used") && why.contains(&names[1]), "{why}");
        assert!(!data.path().join(DATA_FILE).exists());
    }

    #[tokio::test]
    async fn a_standby_that_hangs_is_not_waited_for_for_ever() {
        let data = tempfile::tempdir().unwrap();
        let folder = StandbyFolder::of(data.path());
        folder.make().unwrap();
        let held = folder.lock().unwrap().unwrap();
        // It listens, and never answers.
        let _socket = control::listen(data.path()).unwrap();
        let soon = Duration::from_secs(60);
        let taken = |within| tokio::time::timeout(soon, take_over(data.path(), &folder, within));
        let why = taken(Duration::from_millis(200)).await.expect("an end").unwrap_err();
        assert!(why.to_string().contains("does not end: stop it"), "{why}");
        // One that is ended meanwhile gives way.
        drop(held);
        assert!(taken(Duration::from_millis(200)).await.expect("an end").is_ok());
    }
}
