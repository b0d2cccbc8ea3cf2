//! The pages over TLS, with curl; and what a server refuses to start with.

use rustix::process::Signal;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    ports,
    process::{Process, run},
    scratch::Scratch,
    tools,
    wait::{self, SOON},
};

struct Served {
    process: Process,
    http: SocketAddr,
    data_dir: PathBuf,
    setup: String,
}

fn line(data_dir: &Path, http: &str, more: &[String]) -> Command {
    let mut command = Command::new(tools::program("holdfast-server"));
    command.arg("serve").arg("--data-dir").arg(data_dir).arg(format!("--http={http}"));
    command.args(["--mqtt", "--mqtt-plain"].map(|flag| format!("{flag}={}", ports::free())));
    command.args(more);
    command
}

fn serve(scratch: &Scratch, more: &[String]) -> Served {
    let (http, data_dir) = (ports::free(), scratch.path().join("server"));
    let mut process = Process::start("holdfast-server", line(&data_dir, &http.to_string(), more));
    let setup = process.line("its set-up link", SOON, |line| {
        line.split_once("setup: ").map(|(_, link)| link.trim().to_owned())
    });
    Served { process, http, data_dir, setup }
}

/// What curl gets: the status, then headers and body; `000` = it trusts nobody there.
fn curl(more: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--max-time", "20", "-w", "\nstatus %{http_code}\n"]).args(more);
    run("curl", command, SOON).output
}

/// A certificate with its key, by openssl, into these two files.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("pages.pem"), folder.join("pages.key"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "30", "-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"]);
    command.arg("-out").arg(&certificate).arg("-keyout").arg(&key);
    let _ = run("openssl", command, SOON).expect_success("a certificate");
    (certificate, key)
}

#[test]
fn the_servers_own_certificate_serves_the_pages_and_the_set_up_link_names_them() {
    let scratch = Scratch::new();
    let served = serve(&scratch, &["--http-tls".to_owned()]);
    let base = format!("https://{}", served.http);
    assert!(served.setup.starts_with(&format!("{base}/setup/")), "{}", served.setup);
    let ca = served.data_dir.join("tls/ca.pem");
    let ca = ca.to_str().expect("text");
    let page = curl(&["--cacert", ca, &served.setup]);
    assert!(page.trim_end().ends_with("status 200") && page.contains("action=\"/setup/"), "{page}");
    assert!(!page.to_lowercase().contains("strict-transport-security"), "nobody could get out of it again");
    assert!(curl(&[&served.setup]).contains("status 000"), "who does not know the authority");

    // Cookies are for TLS alone.
    let code = served.setup.rsplit('/').next().expect("a code");
    let body = format!(r#"{{"code":"{code}","name":"mira","password":"correct horse battery staple"}}"#);
    let made = curl(&[
        "--cacert",
        ca,
        "-H",
        "content-type: application/json",
        "-d",
        &body,
        &format!("{base}/api/setup"),
    ]);
    assert!(made.trim_end().ends_with("status 201"), "{made}");
    let cookies: Vec<&str> =
        made.lines().filter(|line| line.to_lowercase().starts_with("set-cookie")).collect();
    assert_eq!(cookies.len(), 2, "{made}");
    assert!(
        cookies.iter().all(|cookie| cookie.contains("; Secure") && cookie.contains("__Host-")),
        "{cookies:?}"
    );

    // Without TLS nothing is served: who looks is led on, who sends is told.
    let plain = format!("http://{}/login", served.http);
    let looked = curl(&[&plain]);
    assert!(looked.contains("status 307") && looked.contains(&base), "{looked}");
    let sent = curl(&["-d", "name=mira&password=x", &plain]);
    assert!(sent.contains("status 400") && sent.contains(&base), "{sent}");
    drop(served);

    let shown =
        line(&scratch.path().join("server"), "127.0.0.1:1", &["--http-tls".into(), "--print-config".into()]);
    let shown = run("holdfast-server", shown, SOON).expect_success("the settings");
    let row = shown.lines().find(|line| line.starts_with("http-tls ")).expect("its row");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["http-tls", "true", "flag"], "{shown}");
}

#[test]
fn a_given_certificate_is_used_and_read_again_without_a_restart() {
    let scratch = Scratch::new();
    let (certificate_file, key_file) = certificate(scratch.path(), "first");
    let more = [
        format!("--http-tls-certificate={}", certificate_file.display()),
        format!("--http-tls-key={}", key_file.display()),
    ];
    let mut served = serve(&scratch, &more);
    let url = format!("https://{}/healthz", served.http);
    let trusts = |file: &Path| {
        let page = curl(&["--cacert", file.to_str().expect("text"), &url]);
        if page.trim_end().ends_with("status 200") { Ok(page) } else { Err(page) }
    };
    let first = scratch.path().join("first.pem");
    fs::copy(&certificate_file, &first).expect("a copy");
    let page = trusts(&first).expect("the given certificate");
    assert!(page.to_lowercase().contains("strict-transport-security"), "{page}");
    assert!(trusts(&served.data_dir.join("tls/ca.pem")).is_err(), "it is not the agents' one");

    // Another one, of another authority: agents were not given this one to trust.
    let _ = certificate(scratch.path(), "second");
    served.process.signal(Signal::HUP);
    wait::until("the second certificate", SOON, || trusts(&certificate_file).map(drop));
    assert!(trusts(&first).is_err());

    // One that can't be used leaves the old one in its place, and is told.
    let second = scratch.path().join("second.pem");
    fs::rename(&certificate_file, &second).expect("a copy");
    fs::write(&certificate_file, "no certificate").expect("a file");
    served.process.signal(Signal::HUP);
    wait::until("the word about it", SOON, || match served.process.log().text() {
        log if log.contains("stays the old one") => Ok(()),
        log => Err(log),
    });
    trusts(&second).expect("the old one");

    // And without a signal, when the files change.
    let _ = certificate(scratch.path(), "third");
    wait::until("the third certificate", SOON, || trusts(&certificate_file).map(drop));
    assert!(served.process.ended().is_none());
}

/// It can be brought again: an archive without it is better than none, and says so.
#[test]
fn an_archive_is_made_also_where_the_certificate_of_the_pages_is_gone() {
    let scratch = Scratch::new();
    let (certificate_file, key_file) = certificate(scratch.path(), "pages");
    let more = [
        format!("--http-tls-certificate={}", certificate_file.display()),
        format!("--http-tls-key={}", key_file.display()),
    ];
    let mut served = serve(&scratch, &more);
    let words = scratch.path().join("words");
    fs::write(&words, "five words in a row").expect("the passphrase");
    let holdfast = |line: &[&str]| {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.args(line).arg("--passphrase-file").arg(&words);
        run("holdfast-server", command, SOON).expect_success(line[0])
    };
    let data = served.data_dir.display().to_string();
    for is_there in [true, false] {
        if !is_there {
            fs::remove_file(&key_file).expect("the key is gone");
        }
        let archive = scratch.path().join(format!("{is_there}.age")).display().to_string();
        let said = holdfast(&["backup", "--data-dir", &data, "--to", &archive]);
        let lacks = "it goes without the certificate and key of the pages (--http-tls-certificate)";
        assert_eq!(said.contains(lacks), !is_there, "{said}");
        // A server that is made of it starts.
        let scratch = scratch.path().display().to_string();
        let said = holdfast(&["restore", &archive, "--rehearse", "--scratch", &scratch]);
        assert!(said.contains("would start"), "{said}");
    }
    assert!(served.process.log().text().contains("archives of the server go without this"));
    served.process.kill_9();
}

#[test]
fn pages_in_clear_for_everybody_are_refused_with_words() {
    let scratch = Scratch::new();
    for http in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let data_dir = scratch.path().join("none");
        let refused = run("holdfast-server", line(&data_dir, http, &[]), SOON);
        assert_eq!(refused.status.code(), Some(2), "{}", refused.output);
        for word in ["--http-tls", "--trusted-proxy", "loopback"] {
            assert!(refused.output.contains(word), "{}", refused.output);
        }
        assert!(!data_dir.exists());
    }
    // At all addresses the set-up link names one that others reach.
    let port = ports::free().port();
    for (more, scheme) in [("--http-tls", "https"), ("--trusted-proxy=127.0.0.1", "http")] {
        let data_dir = scratch.path().join(scheme);
        let command = line(&data_dir, &format!("0.0.0.0:{port}"), &[more.to_owned()]);
        let mut process = Process::start("holdfast-server", command);
        let link = process
            .line("its set-up link", SOON, |line| line.split_once("setup: ").map(|(_, l)| l.to_owned()));
        assert!(link.starts_with(&format!("{scheme}://")) && !link.contains("127.0.0.1"), "{link}");
        assert!(!link.contains("0.0.0.0"), "{link}");
        let _ = process.terminate();
    }
}

#[test]
fn in_clear_only_this_machine_and_named_proxies_are_served() {
    let Some(own) = own_address() else {
        tools::skip("this machine has no address but loopback");
        return;
    };
    let scratch = Scratch::new();
    let ask = |name: &str, proxy: IpAddr, more: &[&str]| {
        let port = ports::free().port();
        let mut flags = vec![format!("--trusted-proxy={proxy}")];
        flags.extend(more.iter().map(ToString::to_string));
        let mut process = Process::start(
            "holdfast-server",
            line(&scratch.path().join(name), &format!("0.0.0.0:{port}"), &flags),
        );
        process.line("its set-up link", SOON, |line| line.contains("setup: ").then_some(()));
        let from = |at: IpAddr, more: &[&str]| {
            curl(&[&[format!("http://{at}:{port}/login").as_str()], more].concat())
        };
        let answers = [from(own, &[]), from(own, &["-d", "name=mira&password=x"]), from(LOOPBACK, &[])];
        let _ = process.terminate();
        answers
    };
    // Somebody else is the proxy.
    let other: IpAddr = "198.51.100.7".parse().expect("an address");
    let [looked, sent, local] = ask("strange", other, &[]);
    assert!(looked.contains("status 403") && looked.contains("--trusted-proxy"), "{looked}");
    assert!(sent.contains("status 403") && !sent.to_lowercase().contains("location:"), "{sent}");
    assert!(local.contains("status 200"), "{local}");
    let [looked, sent, _] = ask("known", other, &["--public-url=https://fleet.example"]);
    assert!(looked.contains("status 307") && looked.contains("https://fleet.example/"), "{looked}");
    assert!(sent.contains("status 403"), "{sent}");
    let [looked, ..] = ask("proxy", own, &[]);
    assert!(looked.contains("status 200"), "{looked}");
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An address of this machine under which others reach it; nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn a_data_folder_that_others_may_write_is_refused_with_words() {
    let scratch = Scratch::new();
    let mut served = serve(&scratch, &[]);
    let _ = served.process.terminate();
    let folder = served.data_dir.clone();
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its own file");
    };
    for (path, open, closed) in [
        (folder.clone(), 0o777, 0o700),
        (folder.clone(), 0o770, 0o750),
        (folder.join("holdfast.redb"), 0o666, 0o600),
    ] {
        mode(&path, open);
        for command in ["serve", "check"] {
            let mut line = Command::new(tools::program("holdfast-server"));
            line.arg(command).arg("--data-dir").arg(&folder);
            line.args(["--http", "--mqtt", "--mqtt-plain"].map(|flag| format!("{flag}={}", ports::free())));
            let refused = run("holdfast-server", line, SOON);
            assert_eq!(refused.status.code(), Some(1), "{}", refused.output);
            let words = ["can be written by others", "chmod go-w", path.to_str().expect("text")];
            assert!(words.iter().all(|word| refused.output.contains(word)), "{}", refused.output);
        }
        mode(&path, closed);
    }
    // Nor one that others could put another one in the place of.
    let above = scratch.path().join("above");
    fs::create_dir(&above).expect("a folder");
    mode(&above, 0o777);
    let refused = run("holdfast-server", line(&above.join("server"), "127.0.0.1:0", &[]), SOON);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.output);
    let words = ["can be written by everybody", "another data folder", above.to_str().expect("text")];
    assert!(words.iter().all(|word| refused.output.contains(word)), "{}", refused.output);
    // A new one is made closed.
    let made = fs::metadata(&folder).expect("the folder").permissions().mode() & 0o777;
    assert_eq!(made & 0o022, 0);
    let again = serve_again(&folder);
    assert!(again.contains("setup: "), "{again}");
}

fn serve_again(folder: &Path) -> String {
    let mut process = Process::start("holdfast-server", line(folder, &ports::free().to_string(), &[]));
    process.line("its set-up link", SOON, |line| line.contains("setup: ").then_some(()));
    let _ = process.terminate();
    process.log().text()
}
