//! What a thief of the disk finds, and what a wrong start does.

use crate::support::{Agent, World, backup, by, credentials, settings};
use fleet::record::{CredentialsInput, Role, Scopes, Secret};
use fleet::{DATA_FILE, Fleet, KEY_FILE, OpenError, Pieces};
use schema::{Outcome, Slot, SlotRevision, Stream};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn open(folder: &Path, world: &World) -> Result<Fleet, OpenError> {
    Fleet::open(folder, settings(), world.driver())
}

#[tokio::test]
async fn no_secret_stands_in_the_data_file() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let fleet = open(folder.path(), &world).unwrap();
    let (_, token) = fleet.create_host("first", vec![], by()).await.unwrap();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let env = BTreeMap::from([("AWS_SECRET_ACCESS_KEY".to_owned(), Some(Secret::new("planted-env-secret")))]);
    for (slot, word) in [(Slot::Repo, "everyday"), (Slot::Admin, "admin")] {
        let input = CredentialsInput {
            url: format!("rest:https://planted-user:planted-url-{word}@box.example/attic"),
            username: None,
            password: None,
            repo_password: Some(Secret::new(format!("planted-repo-{word}"))),
            ca: None,
            host_keys: None,
            env: Some(env.clone()),
        };
        fleet.put_credentials(agent.host, slot, input, by()).await.unwrap();
    }
    let code = fleet.setup_code().await.unwrap().unwrap();
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
    fleet.set_up(code.expose(), "ada", hash.into(), by()).await.unwrap();
    let (cookie, _) = fleet.open_session("ada", "").await.unwrap();
    let (_, api) = fleet.create_api_token("ci", Scopes::of_role(Role::Admin), by()).await.unwrap();
    let (_, viewer) = fleet.create_viewer("home", false, by()).await.unwrap();
    agent.take_all();
    // Waiting in the outbox: a config.update with the admin slot.
    fleet.dispatch(agent.host, fleet::JobRequest::Prune, by()).await.unwrap();
    let mut buffer = [0; schema::enroll::MAX_TOKEN_CHARS];
    let token = schema::Token::parse(token.text.expose(), &mut buffer).unwrap();
    let secrets: Vec<(&str, Vec<u8>)> = vec![
        ("REST password in the address", b"planted-url-everyday".to_vec()),
        ("admin REST password", b"planted-url-admin".to_vec()),
        ("repository password", b"planted-repo-everyday".to_vec()),
        ("admin repository password", b"planted-repo-admin".to_vec()),
        ("environment", b"planted-env-secret".to_vec()),
        ("earlier repository password", b"repo-password".to_vec()),
        ("earlier REST password", b"rest-password".to_vec()),
        ("set-up code", code.expose().as_bytes().to_vec()),
        ("cookie", cookie.expose().as_bytes().to_vec()),
        ("API token", api.expose().as_bytes().to_vec()),
        ("viewer password", viewer.expose().as_bytes().to_vec()),
        ("MQTT password", agent.password.as_bytes().to_vec()),
        ("link key", agent.key.expose().to_vec()),
        ("enrolment key", token.key.expose().to_vec()),
        ("enrolment secret", token.secret.to_vec()),
        ("master key", fs::read(folder.path().join(KEY_FILE)).unwrap()[..64].to_vec()),
        ("master key", {
            let text = fs::read_to_string(folder.path().join(KEY_FILE)).unwrap();
            let digit = |at: usize| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap();
            (0..32).map(digit).collect()
        }),
    ];
    fleet.shutdown().await;
    let bytes = fs::read(folder.path().join(DATA_FILE)).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"box.example") && holds(b"AWS_SECRET"), "what is no secret is found, so the search works");
    for (what, secret) in &secrets {
        assert!(!holds(secret), "{what} stands in the data file in clear");
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_files_are_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let world = World::new();
    let fleet = open(&data, &world).unwrap();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let done = agent.back_up("etc", Outcome::Succeeded).await;
    let waits = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    for (name, mode) in [("", 0o700), (DATA_FILE, 0o600), (KEY_FILE, 0o600)] {
        assert_eq!(fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name:?}");
    }
    assert!(matches!(open(&data, &world), Err(OpenError::InUse { .. })));
    fleet.shutdown().await;
    let host = agent.host;
    let (key, taken, reports, epoch) = (agent.key.clone(), agent.taken, agent.reports, agent.epoch);
    let (key_id, password, installation) = (agent.key_id, agent.password.clone(), agent.installation);
    drop((agent, fleet));
    let fleet = open(&data, &world).unwrap();
    let mut agent = Agent {
        fleet: fleet.clone(),
        world: world.clone(),
        host,
        key,
        key_id,
        password,
        installation,
        boot_id: [3; 16],
        version: env!("CARGO_PKG_VERSION"),
        epoch,
        stream: Stream(77),
        reports,
        acked: reports,
        taken,
        repo_revision: SlotRevision(1),
        ahead_ms: 0,
        abilities: schema::Abilities::FOR_OTHERS,
        incarnation: schema::Incarnation::ZERO,
        saved: Vec::new(),
    };
    assert!(fleet.login_host(host, &agent.password).is_ok());
    assert_eq!(agent.job(done.id), done);
    assert_eq!(fleet.read().unwrap().storage_bytes(), fs::metadata(data.join(DATA_FILE)).unwrap().len());
    agent.hello(&[]).await;
    assert!(matches!(agent.take_all()[..], [crate::support::Got::Run { job, .. }] if job == waits.id));
    let next = fleet.dispatch(host, fleet::JobRequest::Probe, by()).await.unwrap();
    assert!(next.id > waits.id && next.command_seq == waits.command_seq.next());
}

#[tokio::test]
async fn a_start_with_the_wrong_key_or_none_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let fleet = open(folder.path(), &world).unwrap();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    fleet.put_credentials(host.id, Slot::Repo, credentials(), by()).await.unwrap();
    fleet.shutdown().await;
    drop(fleet);
    let key_file = folder.path().join(KEY_FILE);
    let key = fs::read(&key_file).unwrap();
    fs::write(&key_file, "0".repeat(64)).unwrap();
    assert!(matches!(open(folder.path(), &world), Err(OpenError::KeyWrong)));
    fs::remove_file(&key_file).unwrap();
    assert!(matches!(open(folder.path(), &world), Err(OpenError::Missing { .. })));
    assert!(!key_file.exists(), "no new key is made beside sealed data");
    fs::write(&key_file, &key).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(folder.path(), &world), Err(OpenError::KeyExposed { mode: 0o644, .. })));
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(open(folder.path(), &world).unwrap().read().unwrap().host(host.id).unwrap().is_some());
    // The same key from elsewhere, as a service manager hands it over.
    let elsewhere = folder.path().join("credential");
    fs::rename(&key_file, &elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o440)).unwrap();
    let pieces = Pieces { key_file: Some(elsewhere), ..Pieces::from(folder.path()) };
    let fleet = Fleet::open(pieces, settings(), world.driver()).unwrap();
    assert!(fleet.read().unwrap().credentials(host.id, Slot::Repo).unwrap().is_some());
}
