//! A message as mail, handed to a mail server.

use super::bounded::Bounded;
use super::failure::{Failure, Taken};
use crate::outwards::{system_authorities, tls, usable_authorities};
use fleet::Message;
use fleet::record::{ChannelSecrets, Email, MailSecurity, SendFault};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message as Mail};
use rustls::pki_types::ServerName;
use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long each step of it may take.
const WITHIN: Duration = Duration::from_secs(10);
/// The most that a mail server may say in one dialogue, its certificates included, in bytes.
const MOST_SAID_BYTES: usize = 256 << 10;

/// Sends it to all who take it.
pub(super) async fn send(
    email: &Email,
    secrets: &ChannelSecrets,
    message: &Message,
    base: &str,
) -> Result<Taken, Failure> {
    let mail = mail_of(email, message, base)?;
    let mut connection = open(email).await?;
    let sent = hand_over(&mut connection, email, secrets, &mail).await;
    // Whether it hears that does not matter any more.
    let _ = tokio::time::timeout(WITHIN, connection.abort()).await;
    sent
}

/// A step of the dialogue.
async fn step<T>(of: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    let done = tokio::time::timeout(WITHIN, of).await;
    done.map_err(|_| Failure::of(SendFault::TooSlow))?.map_err(|error| failure(&error))
}

/// A connection that is kept from others as the channel says.
async fn open(email: &Email) -> Result<AsyncSmtpConnection, Failure> {
    let unreachable = |why: io::Error| Failure::said(SendFault::Unreachable, why.to_string());
    let late = |_| Failure::of(SendFault::TooSlow);
    let connecting = TcpStream::connect((email.server.as_str(), email.port));
    let stream = tokio::time::timeout(WITHIN, connecting).await.map_err(late)?.map_err(unreachable)?;
    let peer = stream.peer_addr().map_err(unreachable)?;
    let stream = Bounded::new(stream, peer, MOST_SAID_BYTES);
    let hello = ClientId::default();
    if email.security == MailSecurity::Tls {
        let setting = |why: String| Failure::said(SendFault::Setting, why);
        let authority = Some(email.ca.as_str()).filter(|ca| !ca.is_empty());
        let mut config = (*tls(authority).map_err(|error| setting(error.to_string()))?).clone();
        // That is of HTTP.
        config.alpn_protocols.clear();
        let name = ServerName::try_from(email.server.clone()).map_err(|error| setting(error.to_string()))?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = tokio::time::timeout(WITHIN, handshake).await.map_err(late)?.map_err(|why| {
            let doubt = why.get_ref().and_then(|why| why.downcast_ref::<rustls::Error>());
            let fault = if doubt.is_some() { SendFault::Untrusted } else { SendFault::Unreachable };
            Failure::said(fault, why.to_string())
        })?;
        let stream = Box::new(Bounded::new(stream, peer, MOST_SAID_BYTES));
        return step(AsyncSmtpConnection::connect_with_transport(stream, &hello)).await;
    }
    let mut connection = step(AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello)).await?;
    if email.security == MailSecurity::StartTls {
        step(connection.starttls(trust(email)?, &hello)).await?;
    }
    Ok(connection)
}

/// One that refuses it for good keeps it from nobody else.
async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    email: &Email,
    secrets: &ChannelSecrets,
    mail: &Mail,
) -> Result<Taken, Failure> {
    if !email.username.is_empty() {
        let password = secrets.password.expose().to_owned();
        let credentials = Credentials::new(email.username.clone(), password);
        step(connection.auth(DEFAULT_MECHANISMS, &credentials)).await?;
    }
    let envelope = mail.envelope();
    step(connection.command(MailFrom::new(envelope.from().cloned(), Vec::new()))).await?;
    let mut refused: Option<Failure> = None;
    let mut is_taken = false;
    for to in envelope.to() {
        let asked = connection.command(Rcpt::new(to.clone(), Vec::new()));
        let answer = tokio::time::timeout(WITHIN, asked).await;
        match answer.map_err(|_| Failure::of(SendFault::TooSlow))? {
            Ok(_) => is_taken = true,
            Err(error) if error.is_permanent() => {
                let Failure { fault, said, .. } = failure(&error);
                let first = refused.get_or_insert_with(|| Failure::of(fault));
                let before = if first.said.is_empty() { "" } else { "; " };
                first.said.push_str(&format!("{before}{to}: {said}"));
            }
            Err(error) => return Err(failure(&error)),
        }
    }
    if !is_taken {
        return Err(refused.unwrap_or_else(|| Failure::of(SendFault::Setting)));
    }
    step(connection.command(Data)).await?;
    let answer = step(connection.message(&mail.formatted())).await?;
    Ok(Taken { said: answer.message().collect::<Vec<_>>().join(" "), refused })
}

fn trust(email: &Email) -> Result<TlsParameters, Failure> {
    let setting = |why: String| Failure::said(SendFault::Setting, why);
    let pem = match email.ca.as_str() {
        "" => system_authorities().map_err(|error| setting(error.to_string()))?,
        given => given.as_bytes().to_vec(),
    };
    let authorities = usable_authorities(&pem).map_err(|error| setting(error.to_string()))?;
    let mut trust = TlsParameters::builder(email.server.clone()).certificate_store(CertificateStore::None);
    for authority in authorities {
        let authority = Certificate::from_der(authority.to_vec());
        trust = trust.add_root_certificate(authority.map_err(|error| setting(error.to_string()))?);
    }
    trust.build().map_err(|error| setting(error.to_string()))
}

/// The mail, the same at each try.
fn mail_of(email: &Email, message: &Message, base: &str) -> Result<Mail, Failure> {
    let setting = |why: String| Failure::said(SendFault::Setting, why);
    let address = |text: &str| text.parse::<Address>().map_err(|error| setting(format!("{text}: {error}")));
    let (words, from) = (web::mail(message, base), address(&email.from)?);
    let domain = from.domain().to_owned();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(message.made_at.0);
    let mut mail = Mail::builder()
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        .date(at)
        .from(Mailbox::new(Some("Holdfast".to_owned()), from))
        .subject(words.subject)
        // Nobody is on holiday for a machine.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for to in &email.to {
        mail = mail.to(Mailbox::new(None, address(to)?));
    }
    if let Some(thread) = words.thread {
        let thread = format!("<incident-{}@{domain}>", thread.to_lowercase());
        mail = mail.in_reply_to(thread.clone()).references(thread);
    }
    mail.multipart(MultiPart::alternative_plain_html(words.text, words.html))
        .map_err(|error| setting(error.to_string()))
}

fn failure(error: &Error) -> Failure {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        source = inner.source();
    }
    let fault = match error.status() {
        Some(code) => SendFault::Smtp(code.into()),
        None if error.is_timeout() => SendFault::TooSlow,
        None if error.is_tls() || said.contains("certificate") => SendFault::Untrusted,
        None if error.is_response() => SendFault::NotUnderstood,
        None if error.is_client() => SendFault::Setting,
        None => SendFault::Unreachable,
    };
    Failure::said(fault, said)
}
