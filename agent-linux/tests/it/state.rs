use agent_linux::state_folder::{StateError, StateFolder};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};
use tempfile::TempDir;

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions set");
}

#[test]
fn a_new_folder_and_its_files_are_for_their_owner_only() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a/b");
    let state = StateFolder::open_or_make(&path).expect("made");
    state.write("identity", b"secret").expect("written");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!((mode(&path), mode(&state.file("identity"))), (0o700, 0o600));
    assert_eq!(state.read("identity").expect("read"), Some(b"secret".to_vec()));
    assert_eq!(state.read("nothing").expect("read"), None);
    assert!(state.free_bytes() > 0);
}

#[test]
fn a_folder_or_a_file_that_others_can_read_is_refused_with_the_way_out() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("state");
    let state = StateFolder::open_or_make(&path).expect("made");
    state.write("identity", b"secret").expect("written");
    set_mode(&path, 0o750);
    let error = StateFolder::open(&path).expect_err("too open").to_string();
    assert!(error.contains("chmod 700"), "{error}");
    set_mode(&path, 0o700);
    set_mode(&state.file("identity"), 0o644);
    let error = StateFolder::open(&path).expect_err("too open").to_string();
    assert!(error.contains("chmod 600") && error.contains("identity"), "{error}");
    set_mode(&state.file("identity"), 0o600);
    StateFolder::open(&path).expect("fine again");
}

#[test]
fn two_agents_cannot_use_one_folder() {
    let folder = TempDir::new().expect("a folder");
    let state = StateFolder::open_or_make(&folder.path().join("state")).expect("made");
    let lock = state.lock().expect("locked");
    assert!(matches!(state.lock(), Err(StateError::InUse { .. })));
    drop(lock);
    state.lock().expect("free again");
}

#[test]
fn a_file_that_cannot_be_replaced_keeps_what_it_held() {
    let folder = TempDir::new().expect("a folder");
    let state = StateFolder::open_or_make(&folder.path().join("state")).expect("made");
    state.write("identity", b"old").expect("written");
    fs::create_dir(state.file("identity.new")).expect("in the way");
    assert!(state.write("identity", b"new").is_err());
    assert_eq!(state.read("identity").expect("read"), Some(b"old".to_vec()));
}

#[test]
fn a_missing_folder_says_so() {
    let error = StateFolder::open("/nonexistent/holdfast".as_ref()).expect_err("missing").to_string();
    assert!(error.contains("/nonexistent/holdfast"), "{error}");
}
