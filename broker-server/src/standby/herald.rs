//! A server that was promoted tells the one of before that its place is taken, whenever that one comes back.

use super::client::Client;
use crate::tasks::Beat;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use data_encoding::BASE64;
use fleet::{Fleet, FormerFound, record::Predecessor};
use serde::Deserialize;
use std::time::Duration;

/// How often it is told. It may come back at any time, also after it has heard it: from a copy.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const WITHIN: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const MOST_ANSWER_BYTES: usize = 4_096;

/// What it answers.
#[derive(Deserialize)]
struct Answer {
    stands_still: bool,
}

/// Tells it for ever; does nothing for a server that was not promoted.
pub(crate) async fn tell(fleet: Fleet, url: String, beat: Beat) {
    loop {
        match fleet.statement(&url) {
            Ok(Some((predecessor, sealed))) => {
                let found = beat.waits(tell_once(&predecessor, &sealed)).await;
                if fleet.tried_to_tell(found.clone()) {
                    log(&found);
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "whose place this server has can't be read"),
        }
        beat.waits(tokio::time::sleep(TELL_EVERY)).await;
    }
}

fn log(found: &FormerFound) {
    match found {
        FormerFound::StandsStill => {
            tracing::warn!("the server whose place this one has came back, and stands still");
        }
        FormerFound::OtherServer => {
            tracing::info!("where the former server was, this one or a later one answers");
        }
        FormerFound::Untold(why) => {
            tracing::info!(why, "the former server can't be told that its place is taken");
        }
    }
}

/// Tells it once, and says what was found.
async fn tell_once(predecessor: &Predecessor, sealed: &[u8]) -> FormerFound {
    match ask(predecessor, sealed).await {
        Ok(true) => FormerFound::StandsStill,
        Ok(false) => FormerFound::OtherServer,
        Err(why) => FormerFound::Untold(why),
    }
}

/// Whether it stands still; or why it was not told.
async fn ask(predecessor: &Predecessor, sealed: &[u8]) -> Result<bool, String> {
    let Predecessor { url, authority, plain } = predecessor;
    let client = Client::new(url, authority.as_deref(), *plain).map_err(|error| error.to_string())?;
    let body = serde_json::json!({ "statement": BASE64.encode(sealed) }).to_string();
    let request = Request::post("/api/standby/succession")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(Body::from(body))
        .map_err(|error| error.to_string())?;
    let answer = client.ask(request, WITHIN).await.map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::FORBIDDEN => return Err("a server with another master key answers there".to_owned()),
        status if !status.is_success() => return Err(format!("it answers HTTP {status}")),
        _ => {}
    }
    let bytes = axum::body::to_bytes(Body::new(answer.into_body()), MOST_ANSWER_BYTES);
    let bytes =
        tokio::time::timeout(WITHIN, bytes).await.map_err(|_| "it does not end its answer".to_owned())?;
    let told = bytes.ok().and_then(|bytes| serde_json::from_slice::<Answer>(&bytes).ok());
    told.map(|answer| answer.stands_still)
        .ok_or_else(|| "what answers there is no Holdfast server".to_owned())
}
