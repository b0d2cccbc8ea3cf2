use crate::support::{Agent, DAY_MS, by, enroll, in_memory};
use fleet::{NoLogin, Refused};
use schema::enroll::MAX_TOKEN_CHARS;
use schema::{InstallationId, Timestamp, Token, TokenId};

const FIRST: InstallationId = InstallationId([1; 16]);
const SECOND: InstallationId = InstallationId([2; 16]);

#[tokio::test]
async fn a_machine_with_the_token_becomes_the_host_and_can_log_in() {
    let (_, fleet) = in_memory();
    let (host, token) = fleet.create_host("attic", vec!["home".into()], by()).await.unwrap();
    let (id, password, _, key_id) = enroll(&fleet, token.text.expose(), FIRST).await.unwrap();
    assert_eq!((id, key_id), (host.id, 1));
    assert!(fleet.login_host(host.id, &password).is_ok());
    assert_eq!(fleet.login_host(host.id, "wrong"), Err(NoLogin::Password));
    assert!(fleet.login_host(host.id, "").is_err());
    let read = fleet.read().unwrap();
    let record = read.host(host.id).unwrap().unwrap();
    assert!(record.enrolled_at.is_some());
    assert_eq!(record.facts.unwrap().os, "Debian GNU/Linux 13");
    let used = read.enroll_token(host.id).unwrap().unwrap().used.unwrap();
    assert_eq!((used.1.as_str(), used.2), ("198.51.100.7", FIRST));
}

#[tokio::test]
async fn the_tokens_password_logs_in_in_both_spellings_until_it_expires() {
    let (world, fleet) = in_memory();
    let (_, token) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let mut buffer = [0; MAX_TOKEN_CHARS];
    let wire = Token::parse(token.text.expose(), &mut buffer).unwrap();
    let hex: String = wire.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(fleet.login_enroll(token.token.id, &hex).is_ok());
    assert_eq!(fleet.login_enroll(token.token.id, &hex[1..]), Err(NoLogin::Password));
    assert_eq!(fleet.login_enroll(token.token.id, ""), Err(NoLogin::Password));
    assert_eq!(fleet.login_enroll(TokenId::new(Timestamp(1), [7; 10]), &hex), Err(NoLogin::Unknown));
    world.pass(2 * DAY_MS);
    assert_eq!(fleet.login_enroll(token.token.id, &hex), Err(NoLogin::Expired));
}

#[tokio::test]
async fn the_same_machine_gets_the_same_answer_again_and_another_one_none() {
    let (_, fleet) = in_memory();
    let (_, token) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let first = enroll(&fleet, token.text.expose(), FIRST).await.unwrap();
    let again = enroll(&fleet, token.text.expose(), FIRST).await.unwrap();
    assert_eq!((first.1, first.2.expose()), (again.1, again.2.expose()));
    assert_eq!(enroll(&fleet, token.text.expose(), SECOND).await.err().unwrap(), "Used");
}

#[tokio::test]
async fn a_token_is_worth_nothing_once_its_machine_has_said_hello_not_even_to_a_copy_of_it() {
    let (world, fleet) = in_memory();
    let old = Agent::ready(&world, &fleet, "attic").await;
    let token = fleet.new_enroll_token(old.host, fleet::record::TokenMachine::Any, by()).await.unwrap();
    let mut new = Agent::with_token(&world, &fleet, token.text.expose(), FIRST).await;
    assert!(enroll(&fleet, token.text.expose(), FIRST).await.is_ok(), "the answer may have been lost");
    new.hello(&[]).await;
    assert_eq!(enroll(&fleet, token.text.expose(), FIRST).await.err().unwrap(), "Used");
}

#[tokio::test]
async fn a_token_that_is_too_old_or_of_a_deleted_host_is_refused() {
    let (world, fleet) = in_memory();
    let (host, old) = fleet.create_host("attic", vec![], by()).await.unwrap();
    world.pass(2 * DAY_MS);
    assert_eq!(enroll(&fleet, old.text.expose(), FIRST).await.err().unwrap(), "Expired");
    let fresh = fleet.new_enroll_token(host.id, fleet::record::TokenMachine::Any, by()).await.unwrap();
    fleet.delete_host(host.id, by()).await.unwrap();
    assert!(enroll(&fleet, fresh.text.expose(), FIRST).await.is_err());
    assert!(matches!(
        fleet.new_enroll_token(host.id, fleet::record::TokenMachine::Any, by()).await,
        Err(Refused::HostNotFound)
    ));
}

#[tokio::test]
async fn what_is_not_sealed_with_the_tokens_key_gets_no_answer() {
    let (_, fleet) = in_memory();
    let (_, one) = fleet.create_host("one", vec![], by()).await.unwrap();
    let (_, two) = fleet.create_host("two", vec![], by()).await.unwrap();
    for payload in [&b""[..], &[schema::CURRENT; 5], &[schema::CURRENT; 100]] {
        assert!(fleet.enroll(one.token.id, payload, "").await.is_empty());
    }
    assert_eq!(
        fleet.enroll(one.token.id, &[200; 100], "").await,
        [0, schema::MIN, schema::CURRENT],
        "another wire version"
    );
    // A request sealed for one token, shown to the other.
    let mut buffer = [0; MAX_TOKEN_CHARS];
    let wire = Token::parse(two.text.expose(), &mut buffer).unwrap();
    let mut room = [0; 256];
    let topic = schema::Topic::EnrollRequest(two.token.id);
    let request =
        schema::EnrollRequest { installation: FIRST, hostname: "", os: "", arch: "", agent_version: "" };
    let sealed = schema::envelope::seal(&wire.key, 0, [1; 24], topic, &request, &mut room).unwrap();
    assert!(fleet.enroll(one.token.id, sealed, "").await.is_empty());
    assert!(!fleet.enroll(two.token.id, sealed, "").await.is_empty());
}

#[tokio::test]
async fn enrolling_anew_ends_the_old_key_and_what_waited_with_it() {
    let (world, fleet) = in_memory();
    let mut old = Agent::ready(&world, &fleet, "attic").await;
    let job = fleet.dispatch(old.host, crate::support::backup("etc"), by()).await.unwrap();
    let token = fleet.new_enroll_token(old.host, fleet::record::TokenMachine::Any, by()).await.unwrap();
    assert!(fleet.login_host(old.host, &old.password).is_ok(), "the old key lives until the token is used");
    let mut new = Agent::with_token(&world, &fleet, token.text.expose(), SECOND).await;
    assert_eq!(fleet.login_host(old.host, &old.password), Err(NoLogin::Password));
    assert_eq!((new.host, new.key_id), (old.host, 2));
    assert_eq!(new.job(job.id).state, fleet::record::JobState::Lost);
    assert_eq!(new.waiting(), 0);
    // The old key opens nothing any more, the new one all; the same epoch numbers begin again.
    old.hello(&[]).await;
    assert!(!fleet.read().unwrap().presence(old.host).unwrap().online);
    new.hello(&[]).await;
    assert!(fleet.read().unwrap().presence(new.host).unwrap().online);
    assert!(new.take_all().iter().any(|got| matches!(got, crate::support::Got::Config { .. })));
}

#[tokio::test]
async fn the_newest_token_is_the_last_that_was_made_also_in_one_millisecond() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    for _ in 0..20 {
        let made = fleet.new_enroll_token(host.id, fleet::record::TokenMachine::Any, by()).await.unwrap();
        let newest = fleet.read().unwrap().enroll_token(host.id).unwrap().unwrap();
        assert_eq!(newest.id, made.token.id);
    }
}

#[tokio::test]
async fn a_token_that_was_not_used_ends_when_another_one_of_its_host_is() {
    use fleet::record::TokenMachine;
    let (_, fleet) = in_memory();
    let (host, first) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let same = fleet.new_enroll_token(host.id, TokenMachine::Same, by()).await.unwrap();
    let other = fleet.new_enroll_token(host.id, TokenMachine::Replacement, by()).await.unwrap();
    let (_, password, ..) = enroll(&fleet, other.text.expose(), FIRST).await.unwrap();
    for late in [first, same] {
        assert!(enroll(&fleet, late.text.expose(), SECOND).await.is_err());
    }
    assert!(fleet.login_host(host.id, &password).is_ok(), "the machine that came stays the host");
}
