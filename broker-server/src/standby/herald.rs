//! A server that was promoted tells the one of before that its place is taken, whenever that one comes back.

use super::client::Client;
use crate::tasks::Beat;
use axum::body::Body;
use axum::http::{Request, header};
use data_encoding::BASE64;
use fleet::{Fleet, record::Predecessor};
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
    let mut known = None;
    loop {
        let told = match fleet.statement(&url) {
            Ok(Some((predecessor, sealed))) => beat.waits(tell_once(&predecessor, &sealed)).await,
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "whose place this server has can't be read");
                None
            }
        };
        if told != known {
            match told {
                Some(true) => {
                    tracing::warn!("the server whose place this one has came back, and stands still");
                }
                Some(false) => {
                    tracing::info!("where the former server was, this one or a later one answers");
                }
                None => {}
            }
            known = told;
        }
        beat.waits(tokio::time::sleep(TELL_EVERY)).await;
    }
}

/// Whether it stands still; `None` = it does not answer, or not that.
async fn tell_once(predecessor: &Predecessor, sealed: &[u8]) -> Option<bool> {
    let Predecessor { url, authority, plain } = predecessor;
    let client = match Client::new(url, authority.as_deref(), *plain) {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(%error, "the former server can't be told");
            return None;
        }
    };
    let body = serde_json::json!({ "statement": BASE64.encode(sealed) }).to_string();
    let request = Request::post("/api/standby/succession")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(Body::from(body))
        .ok()?;
    let answer = client.ask(request, WITHIN).await.ok().filter(|answer| answer.status().is_success())?;
    let bytes = axum::body::to_bytes(Body::new(answer.into_body()), MOST_ANSWER_BYTES);
    let bytes = tokio::time::timeout(WITHIN, bytes).await.ok()?.ok()?;
    serde_json::from_slice::<Answer>(&bytes).ok().map(|answer| answer.stands_still)
}
