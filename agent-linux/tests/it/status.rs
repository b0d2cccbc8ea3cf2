use agent_linux::{
    state::StateFolder,
    status::{self, ErrorStatus, JobStatus, Status},
};
use tempfile::TempDir;

fn running() -> Status {
    let job = |id: &str, kind: &str| JobStatus { id: id.to_owned(), kind: kind.to_owned() };
    Status {
        version: "0.1.0".into(),
        is_running: true,
        host: Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".into()),
        host_name: Some("attic".into()),
        server: Some("backup.example:8883".into()),
        connected_since: Some(1_000_000),
        last_hello_at: Some(1_000_000),
        running: Some(job("J1", "backup")),
        queue: vec![job("J2", "snapshots")],
        unacked_reports: 3,
        last_error: Some(ErrorStatus { at: 900_000, text: "the connection ended".into() }),
        version_notice: None,
        restic: Some("0.18.0".into()),
        state_folder_fails: false,
        has_credentials: true,
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
restic        0.18.0
credentials   set
running       backup J1
waiting       snapshots J2
unacked       3 reports
last error    the connection ended (1 h 3 min ago)
";
    assert_eq!(running().to_text(1_000_000 + 3_725_000), expected);
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
    assert!(status.is_running && status.queue.is_empty());
}
