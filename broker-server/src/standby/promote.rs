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
    cli, clock,
    control::{self, Answer, Ask},
    out,
};
use anyhow::Context;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use fleet::{
    ArchiveOpener, DATA_FILE, Driver, Pieces, Promotion, RestoreAs, Restored, Stand, promote,
    record::{Predecessor, Secret},
};
use schema::Timestamp;
use serde::Serialize;
use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

/// The server still answers, and nothing was done.
const ANSWERS: u8 = 3;
/// How long the server may take to show that it is there.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a standby that was asked to end may take.
const END_WITHIN: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug, Serialize)]
struct Told {
    /// `done`; `already`: it was done before; `answers`: the server still answers, and nothing was done.
    state: &'static str,
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
    Ok(if told.state == "answers" { ExitCode::from(ANSWERS) } else { ExitCode::SUCCESS })
}

async fn told(options: &cli::Promote, folder: &StandbyFolder, following: Following) -> anyhow::Result<Told> {
    let data_dir = &options.data_dir;
    let nothing = |state| Told {
        state,
        follows: following.url.clone(),
        incarnation: None,
        archive: None,
        as_of: None,
        addresses: Vec::new(),
        address_known: None,
        settings: data_dir.join("settings.toml").exists(),
    };
    if is_promoted(data_dir)? {
        return Ok(nothing("already"));
    }
    if !options.force && answers(&following).await? {
        return Ok(nothing("answers"));
    }
    if folder.archives().list()?.is_empty() {
        anyhow::bail!("this standby has no archive yet: there is nothing to make a server of");
    }
    let _lock = take_over(data_dir, folder).await?;
    // Another promote may have had it until now.
    if is_promoted(data_dir)? {
        return Ok(nothing("already"));
    }
    let (identity, recipient) = folder.identity()?;
    let Following { url, authority, plain, addresses } = following.clone();
    let promotion = Promotion { predecessor: Predecessor { url, authority, plain }, recipient };
    let (folder, to) = (folder.clone(), data_dir.clone());
    let wish = RestoreAs { is_long_ago: options.long_ago, ..RestoreAs::default() };
    let made =
        tokio::task::spawn_blocking(move || newest_good(&folder, &identity, (&to, wish), &promotion)).await?;
    let (archive, restored) = made?;
    let about = &restored.about;
    Ok(Told {
        incarnation: Some(restored.incarnation.0),
        archive: Some(archive),
        as_of: Some(web::rfc3339(Timestamp(about.made_at_ms))),
        addresses: about.mqtt_address.split(',').map(str::to_owned).collect(),
        address_known: is_known(about, &addresses),
        ..nothing("done")
    })
}

/// Whether there is a server in this folder already.
fn is_promoted(data_dir: &Path) -> anyhow::Result<bool> {
    match Pieces::from(data_dir).look() {
        Ok(Stand::New) | Err(fleet::OpenError::Standby { .. } | fleet::OpenError::HalfRestored { .. }) => {
            Ok(false)
        }
        Ok(_) => Ok(data_dir.join(DATA_FILE).exists()),
        Err(why) => Err(why.into()),
    }
}

/// Whether the server that is followed still serves.
async fn answers(following: &Following) -> anyhow::Result<bool> {
    let client = Client::new(&following.url, following.authority.as_deref(), following.plain)?;
    let request = Request::get("/healthz").body(Body::empty())?;
    Ok(match client.ask(request, ANSWER_WITHIN).await {
        // A proxy in front of a server that is gone answers, too, with one of these; all else may well be the server.
        Ok(answer) => !matches!(answer.status(), StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT),
        // So may one whose certificate was replaced, that speaks TLS only now, or that is too busy to answer.
        Err(NoAnswer::NotTrusted(_) | NoAnswer::NotHttp | NoAnswer::Silent) => true,
        Err(NoAnswer::Unreachable(_) | NoAnswer::TooLate) => false,
    })
}

/// Has a standby that runs end, and takes its right to work in the folder.
async fn take_over(data_dir: &Path, folder: &StandbyFolder) -> anyhow::Result<Lock> {
    if let Some(lock) = folder.lock()? {
        return Ok(lock);
    }
    match tokio::time::timeout(END_WITHIN, control::ask(data_dir, &Ask::HandOver)).await {
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
    tokio::time::timeout(END_WITHIN, waiting).await.unwrap_or_else(|_| {
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
                "Nothing was done: the server at {} still answers. Stop it first. With --force this one is made the server all \
                 the same: there are two then; agents go over to this one as soon as they reach it and never back, the other one \
                 stands still once it is told, and what it is told until then is lost.\n",
                told.follows
            );
        }
        "already" => return format!("{folder} was promoted before: it is the server. Start it:\n\n{serve}"),
        _ => {}
    }
    let mut text = format!(
        "{folder}: the server as of {}, incarnation {}\n\nIts agents dial {}. What the server at {} was told since then is lost, but \
         for what\nthey still hold; the audit says so. Start it where one of these leads:\n\n{serve}\n",
        told.as_of.as_deref().unwrap_or_default(),
        told.incarnation.unwrap_or_default(),
        told.addresses.join(","),
        told.follows,
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
    text
}
