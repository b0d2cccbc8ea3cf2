//! A message as mail, handed to a mail server.

use super::failure::Failure;
use crate::outwards::{system_authorities, usable_authorities};
use fleet::Message;
use fleet::record::{ChannelSecrets, Email, MailSecurity, SendFault};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{Address, AsyncTransport as _, Message as Mail, Tokio1Executor};
use std::time::{Duration, SystemTime};

/// How long each step of it may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Sends it; what the mail server said last.
pub(super) async fn send(
    email: &Email,
    secrets: &ChannelSecrets,
    message: &Message,
    base: &str,
) -> Result<String, Failure> {
    let mail = mail_of(email, message, base)?;
    let tls = match email.security {
        MailSecurity::Plain => Tls::None,
        MailSecurity::StartTls => Tls::Required(trust(email)?),
        MailSecurity::Tls => Tls::Wrapper(trust(email)?),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.server)
        .port(email.port)
        .tls(tls)
        .timeout(Some(WITHIN));
    if !email.username.is_empty() {
        let password = secrets.password.expose().to_owned();
        transport = transport.credentials(Credentials::new(email.username.clone(), password));
    }
    match transport.build().send(mail).await {
        Ok(answer) => Ok(answer.message().collect::<Vec<_>>().join(" ")),
        Err(error) => Err(failure(&error)),
    }
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
