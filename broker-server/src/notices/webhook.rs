//! A message as HTTP requests: sent, signed, and what was answered.

use super::failure::Failure;
use crate::outwards::{Machine, NoAnswer, tls};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use data_encoding::HEXLOWER;
use fleet::record::{ChannelSecrets, Healthchecks, Heartbeat, Secret, SendFault, Webhook};
use fleet::{Message, Ping};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hyper::body::Incoming;
use ring::hmac;
use schema::Timestamp;
use std::time::Duration;

/// How long what it answers is read.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long a request may take until its status is there, the connection included.
const WITHIN: Duration = Duration::from_secs(10);
/// So many requests of a message are on their way at once.
const AT_ONCE: usize = 6;
/// The longest answer that is read, in bytes.
const MOST_ANSWER_BYTES: usize = 64 << 10;
/// Who asks.
const AGENT: &str = concat!("Holdfast/", env!("CARGO_PKG_VERSION"));

/// Sends it; what the other side said last.
pub(super) async fn send(
    webhook: &Webhook,
    secrets: &ChannelSecrets,
    message: &Message,
    base: &str,
    now: Timestamp,
) -> Result<String, Failure> {
    let setting = |why: String| Failure::said(SendFault::Setting, why);
    let requests =
        web::requests(message, webhook, secrets, base).map_err(|error| setting(error.to_string()))?;
    let authority = Some(webhook.ca.as_str()).filter(|ca| !ca.is_empty());
    // Each is of another incident; but what a test opens it closes.
    let at_once = if message.notices.is_empty() { 1 } else { AT_ONCE };
    let built = requests.iter().map(|request| build(request, secrets, authority, message, now));
    let built = built.collect::<Result<Vec<_>, _>>()?;
    let each = built.into_iter().map(async move |(machine, request)| ask(&machine, request).await);
    let said: Vec<String> = stream::iter(each).buffered(at_once).try_collect().await?;
    Ok(said.into_iter().next_back().unwrap_or_default())
}

fn build(
    request: &web::Request,
    secrets: &ChannelSecrets,
    authority: Option<&str>,
    message: &Message,
    now: Timestamp,
) -> Result<(Machine, Request<Body>), Failure> {
    let (uri, machine) = machine(&request.url, authority)?;
    let setting = |why: &str| Failure::said(SendFault::Setting, why);
    let bad = || setting(BAD_ADDRESS);
    let of_url = uri.authority().ok_or_else(bad)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut built = Request::builder()
        .method(request.method)
        .uri(path)
        .header(header::HOST, of_url.as_str())
        .header(header::USER_AGENT, AGENT)
        .header(header::CONTENT_TYPE, &request.content_type)
        .header(header::CONTENT_LENGTH, request.body.expose().len())
        .header("X-Holdfast-Id", message.id.to_string());
    if !secrets.signing_key.is_empty() {
        let at = (now.0 / 1_000).to_string();
        let signature = signature(&secrets.signing_key, &at, request.body.expose());
        built = built.header("X-Holdfast-Timestamp", at).header("X-Holdfast-Signature", signature);
    }
    let mut built = built.body(Body::from(request.body.expose().to_owned())).map_err(|_| bad())?;
    let own = request.headers.iter().map(|(name, value)| (*name, value));
    let added = secrets.headers.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in own.chain(added) {
        let name = HeaderName::try_from(name).map_err(|_| setting("A header can't be used."))?;
        let mut value =
            HeaderValue::try_from(value.expose()).map_err(|_| setting("A header can't be used."))?;
        value.set_sensitive(true);
        built.headers_mut().insert(name, value);
    }
    Ok((machine, built))
}

/// Its own words would show the address.
const BAD_ADDRESS: &str = "Its address can't be used.";

/// The machine of an address, and the address.
fn machine(url: &Secret, authority: Option<&str>) -> Result<(Uri, Machine), Failure> {
    let bad = || Failure::said(SendFault::Setting, BAD_ADDRESS);
    let uri: Uri = url.expose().parse().map_err(|_| bad())?;
    let of_url = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or_else(bad)?;
    let host = of_url.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let tls = is_tls.then(|| tls(authority)).transpose();
    let tls = tls.map_err(|error| Failure::said(SendFault::Setting, error.to_string()))?;
    let port = of_url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    Ok((uri, Machine { tls, host, port }))
}

/// Asks the address of a heartbeat; what was answered.
pub(super) async fn beat(beat: &Heartbeat, secrets: &ChannelSecrets) -> Result<String, Failure> {
    let authority = Some(beat.ca.as_str()).filter(|ca| !ca.is_empty());
    let (uri, machine) = machine(&secrets.url, authority)?;
    let bad = || Failure::said(SendFault::Setting, BAD_ADDRESS);
    let request = Request::builder()
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, uri.authority().ok_or_else(bad)?.as_str())
        .header(header::USER_AGENT, AGENT)
        .body(Body::empty())
        .map_err(|_| bad())?;
    ask(&machine, request).await
}

/// Tells a check; what was answered.
pub(super) async fn ping(checks: &Healthchecks, ping: &Ping) -> Result<String, Failure> {
    let authority = Some(checks.ca.as_str()).filter(|ca| !ca.is_empty());
    let (uri, machine) = machine(&ping.url, authority)?;
    let bad = || Failure::said(SendFault::Setting, BAD_ADDRESS);
    let request = Request::builder()
        .method("POST")
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, uri.authority().ok_or_else(bad)?.as_str())
        .header(header::USER_AGENT, AGENT)
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(header::CONTENT_LENGTH, ping.body.len())
        .body(Body::from(ping.body.clone()))
        .map_err(|_| bad())?;
    ask(&machine, request).await
}

/// By which the other side knows that it is from here, and of when: HMAC-SHA256 of the instant, a point and the body.
fn signature(key: &Secret, at: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    format!("sha256={}", HEXLOWER.encode(tag.as_ref()))
}

async fn ask(machine: &Machine, request: Request<Body>) -> Result<String, Failure> {
    let asked = tokio::time::timeout(WITHIN, machine.ask(request, WITHIN)).await;
    let answer = asked.map_err(|_| Failure::of(SendFault::TooSlow))?.map_err(|error| match error {
        NoAnswer::Unreachable(why) => Failure::said(SendFault::Unreachable, why.to_string()),
        NoAnswer::NotTrusted(doubt) => Failure::said(SendFault::Untrusted, doubt.why),
        NoAnswer::Silent | NoAnswer::TooLate => Failure::of(SendFault::TooSlow),
        NoAnswer::NotHttp | NoAnswer::NotTls => Failure::of(SendFault::NotUnderstood),
    })?;
    let status = answer.status();
    let retry_after_ms = retry_after_ms(&answer);
    let said = begin_of(Body::new(answer.into_body())).await;
    if status.is_success() {
        return Ok(said);
    }
    let fault = match status.is_redirection() {
        true => SendFault::Redirect(status.as_u16()),
        false => SendFault::Status(status.as_u16()),
    };
    Err(Failure { fault, said, retry_after_ms })
}

/// The begin of what it says, as far as that comes soon: its status counts, whether it goes on or not.
async fn begin_of(body: Body) -> String {
    let (mut stream, mut said) = (body.into_data_stream(), Vec::new());
    let reading = async {
        while let Some(Ok(piece)) = stream.next().await {
            said.extend_from_slice(&piece[..piece.len().min(MOST_ANSWER_BYTES - said.len())]);
            if said.len() == MOST_ANSWER_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(ANSWER_WITHIN, reading).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// How long it asks to be left alone: in seconds. A date is not heard: which clock it is of is not known.
fn retry_after_ms(answer: &Response<Incoming>) -> Option<u64> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_the_instant_and_the_body() {
        let key = Secret::new("key");
        let signed = signature(&key, "1780012800", "{}");
        // printf '1780012800.{}' | openssl dgst -sha256 -hmac key
        assert_eq!(signed, EXPECTED);
        assert_ne!(signature(&key, "1780012801", "{}"), signed);
        assert_ne!(signature(&Secret::new("other"), "1780012800", "{}"), signed);
    }

    const EXPECTED: &str = "sha256=038b9600d3da2327b62839a0015dbf754f6bd1d87bc5ec509034ed98d2e64958";
}
