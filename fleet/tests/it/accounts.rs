use crate::support::{DAY_MS, HOUR_MS, by, in_memory};
use fleet::record::{Role, Scopes};
use fleet::{Fleet, NoLogin, OperatorChange, Refused};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";

async fn set_up(fleet: &Fleet) {
    let code = fleet.setup_code().await.unwrap().unwrap();
    fleet.set_up(code.expose(), "ada", HASH.into(), by()).await.unwrap();
}

#[tokio::test]
async fn the_first_account_is_made_with_the_code_and_only_once() {
    let (_, fleet) = in_memory();
    let code = fleet.setup_code().await.unwrap().unwrap();
    assert!(code.expose().len() >= 20);
    assert_eq!(code, fleet.setup_code().await.unwrap().unwrap(), "the same until it is used");
    assert!(matches!(fleet.set_up("wrong", "ada", HASH.into(), by()).await, Err(Refused::SetupCode)));
    assert!(matches!(fleet.set_up("", "ada", HASH.into(), by()).await, Err(Refused::SetupCode)));
    let clear = fleet.set_up(code.expose(), "ada", "hunter2".into(), by()).await.unwrap_err();
    assert_eq!(clear.field(), Some("password"), "a password in clear is never stored");
    let admin = fleet.set_up(code.expose(), "ada", HASH.into(), by()).await.unwrap();
    assert_eq!(admin.role, Role::Admin);
    assert_eq!(fleet.setup_code().await.unwrap(), None);
    assert!(matches!(fleet.set_up(code.expose(), "eve", HASH.into(), by()).await, Err(Refused::SetupClosed)));
}

#[tokio::test]
async fn the_last_admin_stays() {
    let (_, fleet) = in_memory();
    set_up(&fleet).await;
    let demote = OperatorChange { role: Some(Role::Viewer), ..OperatorChange::default() };
    assert!(matches!(fleet.update_operator("ada", demote.clone(), by()).await, Err(Refused::LastAdmin)));
    assert!(matches!(fleet.delete_operator("ada", by()).await, Err(Refused::LastAdmin)));
    fleet.create_operator("bob", Role::Operator, HASH.into(), by()).await.unwrap();
    assert!(matches!(fleet.delete_operator("ada", by()).await, Err(Refused::LastAdmin)));
    let promote = OperatorChange { role: Some(Role::Admin), ..OperatorChange::default() };
    fleet.update_operator("bob", promote, by()).await.unwrap();
    fleet.update_operator("ada", demote, by()).await.unwrap();
    fleet.delete_operator("ada", by()).await.unwrap();
    assert!(matches!(fleet.delete_operator("bob", by()).await, Err(Refused::LastAdmin)));
    assert!(matches!(fleet.delete_operator("ada", by()).await, Err(Refused::AccountNotFound)));
}

#[tokio::test]
async fn two_admins_who_delete_each_other_at_once_leave_one() {
    let (_, fleet) = in_memory();
    set_up(&fleet).await;
    fleet.create_operator("bob", Role::Admin, HASH.into(), by()).await.unwrap();
    let (one, two) = tokio::join!(fleet.delete_operator("ada", by()), fleet.delete_operator("bob", by()));
    assert!(one.is_ok() != two.is_ok());
    assert_eq!(fleet.read().unwrap().operators().unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_is_taken_in_whatever_letters() {
    let (_, fleet) = in_memory();
    set_up(&fleet).await;
    let taken = fleet.create_operator("Ada", Role::Viewer, HASH.into(), by()).await.unwrap_err();
    assert_eq!((taken.code(), taken.field()), ("name_taken", Some("name")));
    let bad = fleet.create_operator("a b", Role::Viewer, HASH.into(), by()).await.unwrap_err();
    assert_eq!(bad.code(), "invalid_input");
    let theme = OperatorChange { theme: Some("pink".into()), ..OperatorChange::default() };
    assert_eq!(fleet.update_operator("ada", theme, by()).await.unwrap_err().field(), Some("theme"));
}

#[tokio::test]
async fn a_session_ends_with_time_with_its_account_and_with_a_new_password() {
    let (world, fleet) = in_memory();
    set_up(&fleet).await;
    fleet.create_operator("bob", Role::Operator, HASH.into(), by()).await.unwrap();
    let lives = |cookie: &str| fleet.read().unwrap().session(cookie).unwrap().is_some();
    let (idle, _) = fleet.open_session("ada", "192.0.2.1").await.unwrap();
    let (used, session) = fleet.open_session("ada", "192.0.2.1").await.unwrap();
    assert_ne!(idle, used);
    assert!(!session.csrf.is_empty());
    assert!(lives(idle.expose()) && !lives("") && !lives("guess"));
    for _ in 0..29 {
        world.pass(DAY_MS);
        fleet.touch_session(used.expose()).await;
    }
    assert!(!lives(idle.expose()) && lives(used.expose()));
    world.pass(DAY_MS);
    assert!(!lives(used.expose()), "a month is enough");
    let (bob, _) = fleet.open_session("bob", "").await.unwrap();
    let (ada, _) = fleet.open_session("ada", "").await.unwrap();
    let password =
        OperatorChange { password_hash: Some(HASH.replace("c2Fs", "dGVz")), ..OperatorChange::default() };
    fleet.update_operator("ada", password, by()).await.unwrap();
    assert!(!lives(ada.expose()) && lives(bob.expose()));
    fleet.delete_operator("bob", by()).await.unwrap();
    assert!(!lives(bob.expose()));
    let (ada, _) = fleet.open_session("ada", "").await.unwrap();
    fleet.close_session(ada.expose(), "192.0.2.7".to_owned()).await;
    let closed = crate::support::audited(&fleet, "session.closed").remove(0);
    assert_eq!(closed.peer, "192.0.2.7");
    assert!(!lives(ada.expose()));
    fleet.sweep().await;
}

#[tokio::test]
async fn use_is_written_down_at_most_once_a_minute() {
    let (world, fleet) = in_memory();
    set_up(&fleet).await;
    let (cookie, _) = fleet.open_session("ada", "").await.unwrap();
    let (_, token) = fleet.create_api_token("ci", Scopes::of_role(Role::Viewer), by()).await.unwrap();
    world.pass(HOUR_MS);
    let before = fleet.writer_counts().commits;
    for _ in 0..50 {
        fleet.touch_session(cookie.expose()).await;
        fleet.touch_api_token(token.expose()).await;
        world.pass(1_000);
    }
    assert_eq!(fleet.writer_counts().commits - before, 2);
}

#[tokio::test]
async fn api_tokens_and_viewers_are_known_by_their_secret_alone() {
    let (_, fleet) = in_memory();
    let (token, secret) = fleet.create_api_token("ci", Scopes::of_role(Role::Operator), by()).await.unwrap();
    assert!(secret.expose().starts_with("hft_") && secret.expose().len() >= 36);
    assert!(matches!(
        fleet.create_api_token("ci", Scopes::of_role(Role::Viewer), by()).await,
        Err(Refused::NameTaken { .. })
    ));
    let read = fleet.read().unwrap();
    assert_eq!(read.api_token(secret.expose()).unwrap().unwrap().id, token.id);
    assert_eq!(read.api_token("hft_").unwrap(), None);
    fleet.delete_api_token(&token.id, by()).await.unwrap();
    assert_eq!(fleet.read().unwrap().api_token(secret.expose()).unwrap(), None);
    assert!(matches!(fleet.delete_api_token(&token.id, by()).await, Err(Refused::AccountNotFound)));

    let (viewer, password) = fleet.create_viewer("home", true, by()).await.unwrap();
    assert_eq!(fleet.login_viewer("home", password.expose()), Ok(viewer));
    assert_eq!(fleet.login_viewer("home", "wrong"), Err(NoLogin::Password));
    assert_eq!(fleet.login_viewer("nobody", password.expose()), Err(NoLogin::Unknown));
    fleet.delete_viewer("home", by()).await.unwrap();
    assert_eq!(fleet.login_viewer("home", password.expose()), Err(NoLogin::Unknown));
}
