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
    control::{self, Answer, Ask},
    out,
};
use anyhow::Context;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use fleet::{
    ArchiveOpener, DATA_FILE, Driver, OpenError, Pieces, Promotion, RestoreAs, Restored, Stand, promote,
    record::{Predecessor, Secret},
};
use schema::Timestamp;
use serde::Serialize;
use std::{fmt::Write as _, path::Path, process::ExitCode, sync::Arc, time::Duration};

/// The server still answers, and nothing was done.
const ANSWERS: u8 = 3;
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
struct Told {
    /// `done`; `already`: it was done before; `answers`, `hangs` or `other_answers`: something is still where the server was, and
    /// nothing was done.
    state: &'static str,
    /// With `other_answers`: what it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// The server that was followed.
    follows: String,
    /// What this server is now.
    incarnation: Option<u64>,
    /// The archive that it was made of.
    archive: Option<String>,
    /// The instant whose state that holds.
    as_of: Option<String>,
    /// What agents dial.
    addresses: Vec<String>,
    /// Whether one of them is this machine's, by what the standby was told with --mqtt-public; null: it was told nothing.
    address_known: Option<bool>,
    /// Whether the archive has settings for `serve --config`.
    settings: bool,
}

/// Promotes, and says what is to be done next.
pub async fn run(options: cli::Promote) -> anyhow::Result<ExitCode> {
    let data_dir = &options.data_dir;
    let folder = StandbyFolder::of(data_dir);
    let following = if folder.is_there() { folder.following()? } else { None };
    let Some(following) = following else {
        anyhow::bail!(
            "{} is no folder of a standby that has followed a server: serve --follow makes one",
            data_dir.display()
        );
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

async fn told(options: &cli::Promote, folder: &StandbyFolder, following: Following) -> anyhow::Result<Told> {
    let data_dir = &options.data_dir;
    let nothing = |state| Told {
        state,
        answer: None,
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
    if !options.force {
        match there(&following, ANSWER_WITHIN).await? {
            There::Nobody => {}
            There::Server => return Ok(nothing("answers")),
            There::Hangs => return Ok(nothing("hangs")),
            There::Other(answer) => return Ok(Told { answer: Some(answer), ..nothing("other_answers") }),
        }
    }
    if folder.archives().list()?.is_empty() {
        anyhow::bail!("this standby has no archive yet: there is nothing to make a server of");
    }
    let _lock = take_over(data_dir, folder, END_WITHIN).await?;
    // Another promote may have had it until now.
    if is_promoted(data_dir)? {
        return Ok(nothing("already"));
    }
    let (identity, recipient) = folder.identity()?;
    let Following { url, trust, plain, addresses } = following.clone();
    let predecessor = Predecessor { url, authority: trust.authority, plain };
    let promotion = Promotion { predecessor, recipient };
    let (of, to) = (folder.clone(), data_dir.clone());
    let wish = RestoreAs { is_long_ago: options.long_ago, ..RestoreAs::default() };
    let made =
        tokio::task::spawn_blocking(move || newest_good(&of, &identity, (&to, wish), &promotion)).await?;
    let (archive, restored) = made?;
    folder.remove_token();
    let about = &restored.about;
    Ok(Told {
        incarnation: Some(restored.incarnation.0),
        archive: Some(archive),
        as_of: Some(web::rfc3339(Timestamp(about.made_at_ms))),
        addresses: about.addresses().map(str::to_owned).collect(),
        address_known: is_known(about, &addresses),
        ..nothing("done")
    })
}

/// Whether there is a server in this folder already.
fn is_promoted(data_dir: &Path) -> anyhow::Result<bool> {
    match Pieces::from(data_dir).look() {
        Ok(Stand::New) | Err(OpenError::Standby { .. } | OpenError::HalfPromoted { .. }) => Ok(false),
        Ok(_) => Ok(data_dir.join(DATA_FILE).exists()),
        Err(why) => Err(why.into()),
    }
}

/// What is where the server that is followed was.
#[derive(Clone, Debug, PartialEq, Eq)]
enum There {
    /// Nobody, a proxy that finds it gone, or a standby.
    Nobody,
    /// A Holdfast server.
    Server,
    /// Something takes the connection, and says nothing: it may be too busy, or be stopped in the middle.
    Hangs,
    /// Something else, which may stand before the server or be it: what it answers.
    Other(String),
}

/// Looks who is where the server was.
async fn there(following: &Following, within: Duration) -> anyhow::Result<There> {
    let client = Client::new(&following.url, following.trust.authority.as_deref(), following.plain)?;
    let request = Request::get("/healthz").body(Body::empty())?;
    Ok(match client.ask(request, within).await {
        Ok(answer) => match answer.status() {
            // So does a proxy in front of a server that is gone.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => There::Nobody,
            StatusCode::OK => {
                let body = axum::body::to_bytes(Body::new(answer.into_body()), MOST_ANSWER_BYTES);
                match tokio::time::timeout(within, body).await {
                    Err(_) => There::Hangs,
                    Ok(body) => match body.ok().and_then(|body| who(&body)) {
                        Some(is_standby) if is_standby => There::Nobody,
                        Some(_) => There::Server,
                        None => There::Other("a page that is not a Holdfast server's".to_owned()),
                    },
                }
            }
            status => There::Other(format!("HTTP {status}")),
        },
        Err(NoAnswer::Silent) => There::Hangs,
        // One whose certificate was replaced, or that speaks TLS only now, may be the server.
        Err(why @ (NoAnswer::NotTrusted(_) | NoAnswer::NotHttp | NoAnswer::NotTls)) => {
            There::Other(why.to_string())
        }
        Err(NoAnswer::Unreachable(_) | NoAnswer::TooLate) => There::Nobody,
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
        Ok(Ok(Some(Answer::Refused(why)))) => anyhow::bail!(why),
        Ok(Ok(Some(_))) => anyhow::bail!(control::OTHER_VERSION),
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
    tokio::time::timeout(within, waiting).await.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "the standby over {}, or another promote, does not end: stop it, and run this again",
            data_dir.display()
        ))
    })
}

/// Makes the server of the newest archive that is good; which that is.
fn newest_good(
    folder: &StandbyFolder,
    identity: &Secret,
    (data_dir, wish): (&Path, RestoreAs),
    promotion: &Promotion,
) -> anyhow::Result<(String, Restored)> {
    let archives = folder.archives();
    let opener = ArchiveOpener::Identities(identity.clone());
    let _ = std::fs::remove_file(control::socket_path(data_dir));
    let mut last = None;
    for kept in archives.list()? {
        let driver = Driver { now: Arc::new(clock::now), random: Arc::new(clock::random) };
        match promote(&archives.path.join(&kept.name), &opener, data_dir, (driver, wish), promotion) {
            Ok(restored) => return Ok((kept.name, restored)),
            Err(
                why @ (fleet::ArchiveError::Damaged(_)
                | fleet::ArchiveError::NotAnArchive
                | fleet::ArchiveError::WrongKey),
            ) => {
                tracing::warn!(name = kept.name, %why, "an archive can't be used; the one before it is tried");
                last = Some(why);
            }
            Err(why) => return Err(why).with_context(|| kept.name.clone()),
        }
    }
    match last {
        Some(why) => Err(why).context("no archive here can be used"),
        None => anyhow::bail!("the archives of this standby are gone"),
    }
}

fn in_words(told: &Told, data_dir: &Path) -> String {
    let folder = data_dir.display();
    let config = if told.settings { format!(" --config {folder}/settings.toml") } else { String::new() };
    let serve = format!("    holdfast-server serve{config} --data-dir {folder}\n");
    match told.state {
        "answers" => {
            return format!(
                "Nothing was done: the server at {} still answers. Stop it first. {TWO}",
                told.follows
            );
        }
        "hangs" => {
            return format!(
                "Nothing was done: what is at {} takes the connection, and answers nothing within {} s. A server that is too busy, \
                 or was stopped in the middle, may go on. End it first (systemctl stop, or kill; its machine, where that hangs). {TWO}",
                told.follows,
                ANSWER_WITHIN.as_secs()
            );
        }
        "other_answers" => {
            return format!(
                "Nothing was done: something is at {} that does not answer as a Holdfast server ({}): a proxy or a sign-in before \
                 it, perhaps, or another program. Make sure that the server is stopped, and then say so with --force. {TWO}",
                told.follows,
                told.answer.as_deref().unwrap_or_default()
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
        "When the former server comes back it is told, and stands still. Look through the settings for paths and addresses of the \
         other machine.\n",
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
        tests::{Answer as Says, Peer, http},
        trust::Trust,
    };
    use super::*;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn following(url: String) -> Following {
        Following { url, trust: Trust::default(), plain: false, addresses: Vec::new() }
    }

    /// Two servers at once are worse than none for a while.
    #[tokio::test]
    async fn whatever_answers_where_the_server_was_counts_as_the_server_but_a_proxy_that_finds_it_gone() {
        let other = |what: &str| There::Other(what.to_owned());
        for (says, is_there) in [
            (Says::Bytes(http("200 OK", br#"{"status":"ok"}"#)), There::Server),
            // The address leads here already, as one that moves along does.
            (Says::Bytes(http("200 OK", br#"{"status":"ok","standby":true}"#)), There::Nobody),
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
            (Says::Bytes(http("502 Bad Gateway", b"")), There::Nobody),
            (Says::Bytes(http("504 Gateway Timeout", b"")), There::Nobody),
        ] {
            let said = format!("{says:?}");
            let peer = Peer::start(says).await;
            assert_eq!(there(&following(peer.url()), ANSWER_WITHIN).await.unwrap(), is_there, "{said}");
        }
        let silent = Peer::start(Says::Silence).await;
        let soon = Duration::from_millis(200);
        assert_eq!(there(&following(silent.url()), soon).await.unwrap(), There::Hangs);
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gone = following(format!("http://{gone}"));
        assert_eq!(there(&gone, ANSWER_WITHIN).await.unwrap(), There::Nobody);
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
    async fn a_server_that_leads_elsewhere_is_not_replaced_and_the_exit_status_says_so() {
        let data = tempfile::tempdir().unwrap();
        let folder = StandbyFolder::of(data.path());
        folder.make().unwrap();
        let peer = Peer::start(Says::Bytes(http("301 Moved Permanently\r\nLocation: /x", b""))).await;
        folder.put_following(&following(peer.url())).unwrap();
        let data_dir = data.path().to_owned();
        let ended = run(cli::Promote { data_dir, force: false, long_ago: false, json: true }).await.unwrap();
        assert_eq!(ended, ExitCode::from(ANSWERS));
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
