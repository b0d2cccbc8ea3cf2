use crate::rig::{AGENT, Authority, Broker, Server, enrol, token, welcome};
use agent_linux::{identity::Identity, state_folder::StateFolder};
use schema::{EnrollRefusal, EnrollResponse, HostId, Timestamp};
use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

const NEVER: Timestamp = Timestamp(u64::MAX);

fn refused(state: &Path, args: &[&str]) -> String {
    let output = Command::new(AGENT)
        .args(["enroll", "--state-dir"])
        .arg(state)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_token_becomes_an_identity_and_a_second_one_needs_force() {
    let broker = Broker::start();
    let mut server = Server::connect(&broker);
    let folder = TempDir::new().expect("a folder");
    let state_dir = folder.path().join("state");
    enrol(&broker, &mut server, &state_dir);
    let state = StateFolder::open(&state_dir).expect("there");
    let identity = Identity::load(&state).expect("an identity");
    assert_eq!(
        (identity.host_name.as_str(), identity.addresses.as_str()),
        ("attic", broker.address().as_str())
    );
    assert_eq!((identity.password.as_str(), identity.key_id), ("mqtt-password-x", 1));
    assert_eq!(
        identity.ca_pem.replace(['\r', '\n'], ""),
        broker.authority.ca_pem().replace(['\r', '\n'], "")
    );
    let text = token(&broker.address(), broker.authority.fingerprint, NEVER);
    let said = refused(&state_dir, &[&text]);
    assert!(said.contains("enrolled already") && said.contains("--force"), "{said}");
    // The token may also come on standard input.
    let mut child = Command::new(AGENT)
        .args(["enrol", "--force", "--state-dir"])
        .arg(&state_dir)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, text.as_bytes()).expect("written");
    drop(input);
    server.welcome(&welcome());
    assert!(child.wait().expect("ends").success());
}

/// Enrols with these options; what the program said.
fn enrol_with(broker: &Broker, server: &mut Server, state: &Path, options: &[&str]) -> String {
    enrol_as(broker, server, (state, options), &welcome())
}

/// The same with this answer of the server.
fn enrol_as(
    broker: &Broker,
    server: &mut Server,
    (state, options): (&Path, &[&str]),
    answer: &EnrollResponse<'_>,
) -> String {
    let text = token(&broker.address(), broker.authority.fingerprint, NEVER);
    let child = Command::new(AGENT)
        .args(["enroll", "--state-dir"])
        .arg(state)
        .args(options)
        .arg(&text)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    server.welcome(answer);
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_machine_that_takes_anothers_place_begins_with_nothing_that_waits_and_says_so() {
    let broker = Broker::start();
    let mut server = Server::connect(&broker);
    let folder = TempDir::new().expect("a folder");
    let state_dir = folder.path().join("state");
    enrol(&broker, &mut server, &state_dir);
    let state = StateFolder::open(&state_dir).expect("there");
    let [reports, alone] = ["journal", "plan"];
    let leave = || [reports, alone].map(|file| state.write(file, b"of before").expect("written"));
    let are_there = || [reports, alone].map(|file| state.read(file).expect("readable").is_some());
    // The same machine keeps its reports. What it does alone the server says anew.
    leave();
    let said = enrol_with(&broker, &mut server, &state_dir, &["--force"]);
    assert_eq!(are_there(), [true, false]);
    assert!(!said.contains("another machine's place"), "{said}");
    leave();
    let held = EnrollResponse::Welcome {
        host: HostId([8; 16]),
        host_name: "attic",
        password: "mqtt-password-x",
        link_key: [7; 32],
        key_id: 2,
        backups_held: true,
    };
    let said = enrol_as(&broker, &mut server, (&state_dir, &["--force"]), &held);
    assert_eq!(are_there(), [false, false]);
    assert!(said.contains("its backups wait until somebody starts them"), "{said}");
}

#[test]
fn the_rights_of_the_command_line_become_the_policy_file_and_one_that_is_there_stays() {
    let broker = Broker::start();
    let mut server = Server::connect(&broker);
    let folder = TempDir::new().expect("a folder");
    let (state, file) = (folder.path().join("state"), folder.path().join("etc/policy.toml"));
    let policy = file.display().to_string();
    let rights = [
        "--policy",
        &policy,
        "--allow-source-root",
        "/srv/photos",
        "--allow-repository=rest:https://nas/*",
        "--allow-restore-to",
        "/srv/back",
        "--allow-restore-in-place",
        "--allow-other-hosts",
        "--no-admin-slot",
    ];
    let said = enrol_with(&broker, &mut server, &state, &rights);
    assert!(said.contains(&format!("stands in {policy}")) && said.contains("--policy"), "{said}");
    let mut check = Command::new(AGENT);
    check.args(["policy", "check", "--policy", &policy, "--state-dir"]).arg(&state);
    let told = String::from_utf8(check.output().expect("starts").stdout).expect("text");
    for line in [
        "Backs up and shows: /srv/photos",
        "Backs up to: rest:https://nas/*",
        "state-restored, /srv/back",
        "Restores to where it was: yes",
        "Credentials that may delete: refused",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    // Other rights where there is a policy: nothing is enrolled, and nothing is changed.
    let text = token(&broker.address(), broker.authority.fingerprint, NEVER);
    let before = std::fs::read_to_string(&file).expect("written");
    let other = folder.path().join("other");
    let said = refused(&other, &["--policy", &policy, "--allow-restore-in-place", &text]);
    assert!(said.contains("never overwritten") && said.contains("token was not used"), "{said}");
    for rights in [["--allow-source-root", "photos"], ["--allow-repository", "*"], ["--restore-base", "back"]]
    {
        let said = refused(&other, &[&rights[..], &[&text]].concat());
        assert!(said.contains("the rights make no policy"), "{said}");
    }
    assert!(!other.exists(), "what was made for it is gone");
    // Without rights it is kept, and said.
    let said = enrol_with(&broker, &mut server, &other, &["--policy", &policy]);
    assert!(said.contains("stood in"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), before);
    // Of a token that is refused, no policy stays.
    let third = folder.path().join("third");
    let child = Command::new(AGENT)
        .args(["enroll", "--no-admin-slot", "--state-dir"])
        .arg(&third)
        .arg(&text)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    server.welcome(&EnrollResponse::Refused(EnrollRefusal::Used));
    assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(1));
    assert!(!third.exists());
}

#[test]
fn text_that_is_no_token_is_refused() {
    let folder = TempDir::new().expect("a folder");
    for junk in ["hello", "hf1.", "hf1.AAAA", "hf1.!!!!", &"hf1.".repeat(400)] {
        let said = refused(&folder.path().join("state"), &[junk]);
        assert!(said.contains("not an enrolment token"), "{junk:?}: {said}");
        assert!(!folder.path().join("state").exists(), "{junk:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = TempDir::new().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|found| found.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let said = refused(&folder.path().join("state"), &[&token(&address, [0; 32], NEVER)]);
    assert!(said.contains(&address) && said.contains("can't be reached"), "{said}");
    let said = refused(&folder.path().join("state"), &[&token(&address, [0; 32], Timestamp(1))]);
    assert!(said.contains("has expired") && said.contains("clock"), "{said}");
}

#[test]
fn another_authority_or_another_name_is_refused() {
    let broker = Broker::start();
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    let other = Authority::new(&["127.0.0.1"]);
    let said = refused(&state, &[&token(&broker.address(), other.fingerprint, NEVER)]);
    assert!(said.contains("another authority"), "{said}");
    let elsewhere = format!("127.0.0.2:{}", broker.port);
    let said = refused(&state, &[&token(&elsewhere, broker.authority.fingerprint, NEVER)]);
    assert!(said.contains("can't be reached") || said.contains("does not name"), "{said}");
    assert!(!state.exists());
}

#[test]
fn a_server_that_says_no_is_understood() {
    let broker = Broker::start();
    let mut server = Server::connect(&broker);
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("new").join("state");
    let text = token(&broker.address(), broker.authority.fingerprint, NEVER);
    for (reason, word) in [
        (EnrollRefusal::Used, "used by another machine"),
        (EnrollRefusal::Expired, "has expired"),
        (EnrollRefusal::HostGone, "deleted"),
    ] {
        let said = std::thread::scope(|scope| {
            let run = scope.spawn(|| refused(&state, &[&text]));
            server.welcome(&EnrollResponse::Refused(reason));
            run.join().expect("ended")
        });
        assert!(said.contains(word), "{said}");
        assert!(!folder.path().join("new").exists(), "neither it nor the folder around it");
    }
    // One that was there stays as it was.
    std::fs::create_dir_all(&state).expect("made");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).expect("changed");
    refused(&state, &["hf1.AAAA"]);
    assert!(state.is_dir());
}
