//! Asking an address over real connections, in clear and over TLS.

use agent_linux::heartbeat::{ask::ask, error::AskError, source::Source};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rumqttc::tokio_rustls::TlsAcceptor;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use std::{path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// Reads a request and answers it; returns the request.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 512];
        let read = stream.read(&mut piece).await.expect("it works");
        assert!(read > 0, "the request ends");
        request.extend_from_slice(&piece[..read]);
    }
    stream.write_all(answer.as_bytes()).await.expect("it works");
    stream.shutdown().await.expect("it works");
    String::from_utf8(request).expect("it works")
}

async fn plain(text: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("it works");
    let base = format!("http://{}", listener.local_addr().expect("it works"));
    (base, tokio::spawn(async move { answer(listener.accept().await.expect("it works").0, text).await }))
}

#[tokio::test]
async fn what_is_answered_counts_by_its_status_and_nobody_is_followed() {
    for (text, heard) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 204 Nothing\r\n\r\n", Ok(())),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n", Err(AskError::Redirect(302))),
        ("HTTP/1.1 404 Gone\r\n\r\n", Err(AskError::Status(404))),
        ("220 mail.example ESMTP\r\n", Err(AskError::NotHttp)),
        ("", Err(AskError::NotHttp)),
    ] {
        let (base, asked) = plain(text).await;
        assert_eq!(ask(Source::Given(format!("{base}/ping/a-secret?a=b")), None).await, heard, "{text}");
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /ping/a-secret?a=b HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
        assert!(asked.contains("\r\nUser-Agent: holdfast-agent/"), "{asked}");
    }
    let nobody = ask(Source::Given("http://127.0.0.1:1/".to_owned()), None).await;
    assert_eq!(nobody, Err(AskError::Unreachable));
}

#[tokio::test]
async fn an_address_in_a_file_is_read_each_time() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("heartbeat");
    let source = || Source::File(file.clone());
    assert_eq!(ask(source(), None).await, Err(AskError::File));
    std::fs::write(&file, "nonsense").unwrap();
    assert_eq!(ask(source(), None).await, Err(AskError::Address));
    std::fs::write(&file, "x".repeat(5_000)).unwrap();
    assert_eq!(ask(source(), None).await, Err(AskError::File));
    let (base, asked) = plain("HTTP/1.1 200 OK\r\n\r\n").await;
    std::fs::write(&file, format!("{base}/a\n")).unwrap();
    assert_eq!(ask(source(), None).await, Ok(()));
    assert!(asked.await.unwrap().starts_with("GET /a "));
}

#[tokio::test]
async fn over_tls_it_is_believed_by_the_authorities_that_were_named_and_by_no_other() {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), Issuer::new(params, key))
    };
    let ((ours, issuer), (others, _)) = (authority("ours"), authority("others"));
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // One that does not believe it breaks off.
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = answer(stream, "HTTP/1.1 200 OK\r\n\r\n").await;
                }
            });
        }
    });
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> Option<PathBuf> {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let by = async |host: &str, ca: Option<PathBuf>| {
        ask(Source::Given(format!("https://{host}:{port}/a")), ca).await
    };
    // As a system keeps them: several, and something that is none.
    let bundle =
        format!("{others}\n-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n{ours}");
    assert_eq!(by("localhost", file("bundle", &bundle)).await, Ok(()));
    assert_eq!(by("localhost", file("others", &others)).await, Err(AskError::Untrusted));
    assert_eq!(by("127.0.0.1", file("ours", &ours)).await, Err(AskError::Untrusted), "it is not named so");
    assert_eq!(by("localhost", file("none", "no certificate")).await, Err(AskError::Authorities));
    assert_eq!(by("localhost", Some(scratch.path().join("missing"))).await, Err(AskError::Authorities));
    assert!(by("localhost", None).await.is_err(), "no system trusts it");
}
