use agent_linux::{restic::Credentials, slots::Slots, state_folder::StateFolder};
use schema::{JobId, Slot, SlotRevision};
use std::fs;
use tempfile::TempDir;

fn state() -> (TempDir, StateFolder) {
    let folder = TempDir::new().expect("a folder");
    let state = StateFolder::open_or_make(&folder.path().join("state")).expect("made");
    (folder, state)
}

fn credentials(mark: &str) -> Credentials {
    Credentials {
        url: format!("rest:https://store/{mark}"),
        username: format!("user-{mark}"),
        password: format!("password-{mark}"),
        repo_password: format!("repo-password-{mark}"),
        ca: format!("authority-{mark}"),
        host_keys: format!("ssh-ed25519 {mark}\n"),
        env: vec![("AWS_SECRET_ACCESS_KEY".into(), format!("env-{mark}"))],
    }
}

#[test]
fn a_stored_slot_is_there_after_a_restart_and_not_in_clear() {
    let (_folder, state) = state();
    let mut slots = Slots::open(&state).expect("opens");
    slots.store(Slot::Repo, SlotRevision(4), Some(credentials("one"))).expect("stored");
    let slots = Slots::open(&state).expect("opens again");
    assert_eq!(slots.for_job(JobId([1; 16]), Slot::Repo), Some(credentials("one")));
    assert_eq!(slots.for_job(JobId([1; 16]), Slot::Admin), None);
    assert_eq!(
        (slots.states()[0].revision, slots.states()[0].filled, slots.states()[1].revision),
        (SlotRevision(4), true, SlotRevision::ZERO)
    );
    for entry in fs::read_dir(state.path()).expect("a folder").flatten() {
        let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("read")).into_owned();
        assert!(!text.contains("-one"), "{} holds secrets in clear", entry.path().display());
    }
}

#[test]
fn an_emptied_slot_keeps_its_revision() {
    let (_folder, state) = state();
    let mut slots = Slots::open(&state).expect("opens");
    slots.store(Slot::Admin, SlotRevision(4), Some(credentials("one"))).expect("stored");
    slots.store(Slot::Admin, SlotRevision(5), None).expect("emptied");
    let slots = Slots::open(&state).expect("opens again");
    assert_eq!((slots.states()[1].revision, slots.states()[1].filled), (SlotRevision(5), false));
}

#[test]
fn a_record_moved_to_the_other_slot_or_altered_does_not_open_and_is_kept_aside() {
    let (_folder, state) = state();
    let mut slots = Slots::open(&state).expect("opens");
    slots.store(Slot::Admin, SlotRevision(4), Some(credentials("one"))).expect("stored");
    let record = state.read("slot-admin").expect("read").expect("there");
    state.write("slot-repo", &record).expect("moved");
    let mut altered = record.clone();
    *altered.last_mut().expect("not empty") ^= 1;
    state.write("slot-admin", &altered).expect("altered");
    let slots = Slots::open(&state).expect("opens all the same");
    assert!(slots.set_aside);
    assert_eq!((slots.states()[0].filled, slots.states()[1].filled), (false, false));
    assert_eq!(state.read("slot-repo.damaged").expect("read"), Some(record));
    assert!(!Slots::open(&state).expect("opens").set_aside);
}

#[test]
fn any_cut_of_a_record_is_refused_without_a_panic() {
    let (_folder, state) = state();
    let mut slots = Slots::open(&state).expect("opens");
    slots.store(Slot::Repo, SlotRevision(4), Some(credentials("one"))).expect("stored");
    let record = state.read("slot-repo").expect("read").expect("there");
    for length in 0..record.len() {
        state.write("slot-repo", &record[..length]).expect("written");
        assert!(Slots::open(&state).expect("opens").set_aside, "cut to {length}");
    }
}

#[test]
fn the_old_flat_form_becomes_the_repo_slot_and_is_gone() {
    let (_folder, state) = state();
    let old = br#"{"url":"rest:http://s/","username":"u","password":"p","repo_password":"r"}"#;
    state.write("credentials", old).expect("written");
    let slots = Slots::open(&state).expect("opens");
    let found = slots.for_job(JobId([1; 16]), Slot::Repo).expect("there");
    assert_eq!((found.url.as_str(), found.repo_password.as_str()), ("rest:http://s/", "r"));
    assert_eq!(slots.states()[0].revision, SlotRevision::ZERO);
    assert_eq!(state.read("credentials").expect("read"), None);
    let again = Slots::open(&state).expect("opens again");
    assert_eq!(again.for_job(JobId([1; 16]), Slot::Repo), Some(found));
}

#[test]
fn an_old_form_that_cannot_be_read_is_kept_aside_and_never_overwrites() {
    let (_folder, state) = state();
    let mut slots = Slots::open(&state).expect("opens");
    slots.store(Slot::Repo, SlotRevision(9), Some(credentials("new"))).expect("stored");
    state.write("credentials", b"{\"url\": 7}").expect("written");
    let slots = Slots::open(&state).expect("opens");
    assert!(slots.set_aside && state.file("credentials.damaged").exists());
    state.write("credentials", br#"{"url":"x","repo_password":"r"}"#).expect("written");
    let slots = Slots::open(&state).expect("opens");
    assert_eq!(slots.for_job(JobId([1; 16]), Slot::Repo), Some(credentials("new")));
    assert_eq!(slots.states()[0].revision, SlotRevision(9));
}

#[test]
fn what_is_held_for_a_job_is_for_that_job_only_and_never_on_disk() {
    let (_folder, state) = state();
    let mut slots = Slots::open(&state).expect("opens");
    let (one, other) = (JobId([1; 16]), JobId([2; 16]));
    slots.hold(one, Slot::Admin, Some(credentials("admin")));
    assert_eq!(slots.for_job(one, Slot::Admin), Some(credentials("admin")));
    assert_eq!(slots.for_job(other, Slot::Admin), None);
    assert!(!state.file("slot-admin").exists());
    slots.forget(one);
    assert_eq!(slots.for_job(one, Slot::Admin), None);
}

#[test]
fn what_is_held_for_a_job_for_another_host_is_neither_stored_nor_given_to_a_job_of_its_own() {
    let (folder, state) = state();
    let mut slots = Slots::open(&state).expect("opens");
    slots.store(Slot::Repo, SlotRevision(1), Some(credentials("own"))).expect("stored");
    let (one, other) = (JobId([1; 16]), JobId([2; 16]));
    let files = || fs::read_dir(folder.path().join("state")).expect("a folder").count();
    let before = files();
    slots.hold(one, Slot::Repo, Some(credentials("another's")));
    assert_eq!(files(), before);
    assert_eq!(slots.held_for(one, Slot::Repo), Some(credentials("another's")));
    assert_eq!(slots.held_for(other, Slot::Repo), None);
    assert_eq!(slots.for_job(one, Slot::Repo), Some(credentials("own")));
    slots.forget_unless(|job| job == one);
    assert!(slots.holds_any());
    slots.forget_unless(|job| job == other);
    assert!(!slots.holds_any());
    let slots = Slots::open(&state).expect("opens again");
    assert_eq!(slots.for_job(one, Slot::Repo), Some(credentials("own")));
    assert_eq!(slots.held_for(one, Slot::Repo), None);
}
