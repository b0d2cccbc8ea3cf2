use agent_linux::{
    rfc3339::Instant,
    state_folder::StateFolder,
    status::{self, ErrorStatus, HeartbeatStatus, JobStatus, Status},
};
use schema::{PlanRevision, Timestamp};
use std::{path::Path, process::Command};
use tempfile::TempDir;

fn running() -> Status {
    let job = |id: &str, kind: &str| JobStatus { id: id.to_owned(), kind: kind.to_owned() };
    Status {
        version: "0.1.0".into(),
        is_running: true,
        pid: Some(7),
        program: Some("/usr/bin/holdfast-agent".into()),
        host: Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".into()),
        host_name: Some("attic".into()),
        server: Some("backup.example:8883".into()),
        connected_since: Some(Instant(Timestamp(1_000_000))),
        last_hello_at: Some(Instant(Timestamp(1_000_000))),
        running: Some(job("J1", "backup")),
        download: Some(job("J3", "download")),
        interrupted: None,
        queue: Some(vec![job("J2", "snapshots")]),
        unacked_reports: Some(3),
        plan_revision: Some(PlanRevision(4)),
        backups_held: false,
        next_due_at: Some(Instant(Timestamp(1_000_000 + 3_725_000 + 7_200_000))),
        last_error: Some(ErrorStatus {
            at: Instant(Timestamp(900_000)),
            text: "the connection ended".into(),
        }),
        version_notice: None,
        restic: Some("0.18.0".into()),
        state_folder_fails: Some(false),
        has_credentials: Some(true),
        heartbeat: Some(HeartbeatStatus {
            taken_at: Some(Instant(Timestamp(1_000_000))),
            why: Some("withheld: its backups are held".to_owned()),
        }),
        clock_ahead_ms: Some(-46_800_000),
    }
}

#[test]
fn the_status_for_people_is_this() {
    let expected = "\
holdfast-agent 0.1.0
host          attic (01ARZ3NDEKTSV4RRFFQ69G5FAV)
server        backup.example:8883
connection    since 1 h 2 min ago
last hello    1 h 2 min ago
clock         13 h 0 min behind the server's
restic        0.18.0
credentials   set
running       backup J1
beside it     download J3
waiting       snapshots J2
next backup   in 2 h 0 min
unacked       3 reports
heartbeat     withheld: its backups are held (last: taken 1 h 2 min ago)
last error    the connection ended (1 h 3 min ago)
";
    assert_eq!(running().to_text(1_000_000 + 3_725_000), expected);
}

#[test]
fn a_machine_that_took_anothers_place_says_that_its_backups_are_held() {
    let held = Status { backups_held: true, next_due_at: None, ..running() };
    let text = held.to_text(0);
    assert!(text.contains("next backup   held: this machine took another one's place"), "{text}");
    assert!(!text.contains("none is scheduled"), "{text}");
}

#[test]
fn times_are_written_as_everywhere_else() {
    let json = serde_json::to_value(running()).expect("JSON");
    assert_eq!(json["connected_since"], "1970-01-01T00:16:40Z");
    assert_eq!(json["last_error"]["at"], "1970-01-01T00:15:00Z");
}

fn asked(state: &Path, options: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(crate::rig::AGENT);
    let output = command.args(["status", "--state-dir"]).arg(state).args(options).output().expect("starts");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_machine_that_was_never_enrolled_is_told_what_to_do_and_gets_no_folder() {
    let folder = TempDir::new().expect("a folder");
    let state = folder.path().join("state");
    for made in [false, true] {
        if made {
            StateFolder::open_or_make(&state).expect("made");
        }
        let (code, said) = asked(&state, &[]);
        assert_eq!(code, Some(5), "{said}");
        assert!(said.contains("not enrolled: run holdfast-agent enroll TOKEN"), "{said}");
        let (code, said) = asked(&state, &["--json"]);
        let json: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((code, &json["host"]), (Some(5), &serde_json::Value::Null));
        for nobody_knows in ["has_credentials", "unacked_reports", "queue", "state_folder_fails"] {
            assert!(json[nobody_knows].is_null(), "{nobody_knows}: {said}");
        }
        assert_eq!(state.exists(), made);
    }
    let help = Command::new(crate::rig::AGENT).args(["status", "--help"]).output().expect("starts");
    assert!(String::from_utf8_lossy(&help.stdout).contains("5 not enrolled"));
}

#[test]
fn without_an_agent_and_without_an_identity_it_says_what_to_do() {
    let folder = TempDir::new().expect("a folder");
    let state = StateFolder::open_or_make(&folder.path().join("state")).expect("made");
    let found = status::ask(&state);
    assert!(!found.is_running);
    let text = found.to_text(0);
    assert!(text.contains("not running") && text.contains("not enrolled"), "{text}");
    assert!(text.contains("holdfast-agent enroll"), "{text}");
}

#[test]
fn a_status_of_another_version_can_still_be_read() {
    let status: Status = serde_json::from_str(r#"{"version":"9","is_running":true,"news":1}"#).expect("read");
    assert!(status.is_running && status.queue.is_none());
}
