//! A real mail server: aiosmtpd, with STARTTLS or TLS, and a password, or not at all. Who is `gone` there gets no mail.

use crate::{
    ports,
    process::{Process, run},
    scratch::Scratch,
    tools::Tool,
    wait::{self, SOON},
};
use serde_json::Value;
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
};

const SCRIPT: &str = r#"
import json, os, ssl, sys, time
from email import message_from_bytes, policy
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        part = lambda kind: mail.get_body((kind,)).get_content() if mail.get_body((kind,)) else None
        print(json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": is_tls or session.ssl is not None,
            "id": mail["Message-ID"], "subject": str(mail["Subject"]), "thread": mail["References"],
            "automatic": mail["Auto-Submitted"], "text": part("plain"), "html": part("html"),
        }), flush=True)
        return "250 taken"

def authenticate(server, session, envelope, mechanism, data):
    known = (data.login.decode(), data.password.decode()) == (os.environ["MAIL_USER"], os.environ["MAIL_PASSWORD"])
    # One that says too much.
    message = None if known else f"535 5.7.8 not {data.password.decode()}"
    return AuthResult(success=known, handled=False, message=message)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
is_tls = os.environ["SECURITY"] == "tls"
security = {"ssl_context": context, "auth_require_tls": False} if is_tls else {
    "tls_context": context, "require_starttls": True}
controller = Controller(
    Handler(), hostname="127.0.0.1", port=int(os.environ["PORT"]), auth_required=True, authenticator=authenticate,
    **security,
)
controller.start()
while True:
    time.sleep(60)
"#;

/// A mail server; it ends with this value.
#[derive(Debug)]
pub struct MailServer {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its own certificate, which is its authority as well.
    pub certificate: String,
}

impl MailServer {
    /// One that takes mail of whoever knows this password, by `starttls` or `tls`.
    ///
    /// # Panics
    /// When there is none: `./test` installs it.
    #[must_use]
    pub fn start(scratch: &Scratch, security: &str, user: &str, password: &str) -> Self {
        let folder = scratch.folder("mail");
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=mail -addext \
             subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
                .split(' '),
        );
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        let _ = run("openssl", openssl, SOON).expect_success("a certificate");
        let address = ports::free();
        let mut command = Command::new(Tool::Smtp.path());
        command.args(["-c", SCRIPT]).env("MAIL_USER", user).env("MAIL_PASSWORD", password);
        command.env("SECURITY", security);
        command.env("PORT", address.port().to_string()).env("CERTIFICATE", &certificate).env("KEY", &key);
        let process = Process::start("aiosmtpd", command);
        wait::until_true("aiosmtpd", SOON, || TcpStream::connect(address).is_ok());
        let certificate = fs::read_to_string(certificate).expect("the certificate");
        Self { process, address, certificate }
    }

    /// The mails that came, in order.
    #[must_use]
    pub fn mails(&self) -> Vec<Value> {
        self.process.log().lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}
