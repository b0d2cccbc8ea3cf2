//! The files of a state folder beside the journal, as they were kept once: each later program reads them.
//!
//! `agent-linux/tests/files/state-N.txt` holds name and bytes of each, in hex. When this fails: fix the code, or raise
//! [`FORM`], have older forms read too, and keep the new ones beside them with `HOLDFAST_WRITE_GOLDENS=1`. What is kept of a
//! form already is never written over. `restic-processes`, `snapshots-made` and `update` are kept beside their code.

use agent_linux::{
    identity::{self, Identity},
    plan::KeptPlan,
    restic::Credentials,
    slots::Slots,
    state_folder::StateFolder,
};
use schema::{
    HostId, Incarnation, InstallationId, Items, JobId, Plan, PlanRevision, Slot, SlotRevision, Timestamp,
    envelope::Key,
};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};
use tempfile::TempDir;

/// The form that is written. All of them are read.
const FORM: u32 = 1;
/// In the order in which they are kept.
const FILES: [&str; 6] = ["ca.pem", "identity", "installation", "local.key", "plan", "slot-repo"];

fn kept(form: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/files/state-{form}.txt"))
}

fn state() -> (TempDir, StateFolder) {
    let folder = TempDir::new().expect("a folder");
    let state = StateFolder::open_or_make(&folder.path().join("state")).expect("made");
    (folder, state)
}

fn credentials() -> Credentials {
    Credentials {
        url: "rest:https://store.example/attic".to_owned(),
        username: "attic".to_owned(),
        password: "a password".to_owned(),
        repo_password: "another one".to_owned(),
        ca: "an authority".to_owned(),
        host_keys: "ssh-ed25519 AAAA\n".to_owned(),
        env: vec![("AWS_SECRET_ACCESS_KEY".to_owned(), "a third".to_owned())],
    }
}

fn plan() -> Plan<'static> {
    Plan {
        revision: PlanRevision(7),
        incarnation: Incarnation(1_795_392_000),
        backups_held: true,
        restic_host: "attic",
        groups: Items::EMPTY,
        schedules: Items::EMPTY,
        addresses: "backup.example:8883,[2001:db8::1]:8883",
        authorities: Items::EMPTY,
    }
}

fn make(state: &StateFolder) {
    let made = Identity {
        host: HostId([0x0b; 16]),
        host_name: "attic".to_owned(),
        addresses: "backup.example:8883".to_owned(),
        password: "the password of the broker".to_owned(),
        link_key: Key::new([0x4b; 32]),
        key_id: 3,
        ca_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
    };
    made.store(state).expect("stored");
    state.write("installation", &[0x11; 16]).expect("written");
    let mut slots = Slots::open(state).expect("opens");
    slots.store(Slot::Repo, SlotRevision(4), Some(credentials())).expect("stored");
    let mut buffer = [0; 512];
    let encoded = schema::encode(&plan(), &mut buffer).expect("fits").to_vec();
    let mut kept = KeptPlan::default();
    assert!(kept.keep(&encoded, Incarnation::ZERO, Timestamp(1_750_000_000_123)));
    kept.store(state).expect("stored");
}

fn write(form: u32) {
    let (_folder, state) = state();
    make(&state);
    let mut text = String::new();
    for name in FILES {
        let bytes = state.read(name).expect("read").expect("there");
        let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        writeln!(text, "{name} {hex}").expect("text");
    }
    fs::write(kept(form), text).expect("kept");
}

fn read(form: u32) -> BTreeMap<String, Vec<u8>> {
    let text = fs::read_to_string(kept(form)).expect("a kept file");
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, hex)| {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            (name.to_owned(), (0..hex.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

#[test]
fn kept_state_files_of_each_form_say_what_they_always_said() {
    if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() && !kept(FORM).exists() {
        write(FORM);
    }
    for form in 1..=FORM {
        let (_folder, state) = state();
        let files = read(form);
        assert!(FILES.iter().all(|name| files.contains_key(*name)), "form {form}");
        for (name, bytes) in &files {
            state.write(name, bytes).expect("written");
        }
        let found = Identity::load(&state).expect("an identity");
        assert_eq!((found.host, found.host_name.as_str()), (HostId([0x0b; 16]), "attic"));
        assert_eq!((found.addresses.as_str(), found.key_id), ("backup.example:8883", 3));
        assert_eq!(found.password, "the password of the broker");
        assert_eq!(found.link_key.expose(), &[0x4b; 32]);
        assert_eq!(found.ca_pem, "-----BEGIN CERTIFICATE-----\n");
        assert_eq!(identity::installation(&state).expect("read"), InstallationId([0x11; 16]));
        let slots = Slots::open(&state).expect("opens");
        assert!(!slots.set_aside);
        assert_eq!(slots.states()[0].revision, SlotRevision(4));
        assert_eq!(slots.for_job(JobId([1; 16]), Slot::Repo), Some(credentials()));
        let found = KeptPlan::load(&state);
        assert_eq!((found.get(), found.since), (Some(plan()), Timestamp(1_750_000_000_123)));
    }
}

/// What has no random part is written as it is kept.
#[test]
fn state_files_are_written_in_the_newest_form_that_is_kept() {
    let (_folder, state) = state();
    make(&state);
    let files = read(FORM);
    for name in FILES.iter().filter(|name| !matches!(**name, "local.key" | "slot-repo")) {
        let bytes = state.read(name).expect("read").expect("there");
        assert_eq!(
            bytes, files[*name],
            "{name} is written differently: raise FORM, and have form {FORM} read"
        );
    }
    let sealed = state.read("slot-repo").expect("read").expect("there");
    assert_eq!((sealed[0], sealed.len()), (files["slot-repo"][0], files["slot-repo"].len()));
}

/// The plan of the commit 9245fd3 had neither incarnation nor addresses nor authorities. It is taken for none: the server
/// sends the next one at the first connect.
#[test]
fn a_plan_of_the_earlier_form_is_none_and_does_no_harm() {
    let (_folder, state) = state();
    make(&state);
    let since = 1_750_000_000_123_u64.to_le_bytes();
    let earlier = [&since[..], &[7, 1, 5], b"attic", &[0, 0]].concat();
    state.write("plan", &earlier).expect("written");
    assert_eq!(KeptPlan::load(&state), KeptPlan::default());
    let found = Identity::load(&state).expect("an identity");
    assert_eq!(KeptPlan::load(&state).addresses(&found), "backup.example:8883");
}
