//! Figures of a repository that come late, twice and in another order leave the projection right.

use schema::{
    HostTopic, RepoId, RepoStats, StatsRevision, Stream, Timestamp,
    stats::{CheckResult, Lock, LockSeen, PruneResult, Size, SizeSource, SnapshotCount},
};
use serde_json::{Value, json};
use tests::{
    host_login::{Claim, HostLogin},
    scene::Scene,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const HOUR_MS: u64 = 3_600_000;

/// A full hour, a day ago.
fn begun_ms() -> u64 {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("a time after 1970");
    (now / HOUR_MS - 24) * HOUR_MS
}

/// What the agent knew after its `n`th job, one a minute: all figures are new each time, and a lock comes and goes.
fn stats(stream: Stream, begun_ms: u64, n: u64) -> RepoStats<'static> {
    let at = Timestamp(begun_ms + n * 60_000);
    let lock = Lock { since: at, exclusive: true, hostname: "attic", username: "mira", pid: 7, stale: false };
    RepoStats {
        stream,
        // Above whatever the agent of this test has come to by itself.
        revision: StatsRevision(1_000 + n),
        at,
        job: None,
        repo: Some(RepoId([5; 32])),
        size: Some(Size { at, bytes: n * 1_000, source: SizeSource::Summed }),
        snapshots: Some(SnapshotCount { at, count: n as u32, newest_at: Some(at) }),
        check: Some(CheckResult { at, errors: n as u32 % 3, subset_pct: n as u8 }),
        prune: Some(PruneResult { at, freed_bytes: n * 10 }),
        lock: Some(LockSeen { at, lock: (n % 2 == 1).then_some(lock) }),
    }
}

/// What the API tells after message `n`.
fn assert_stands(scene: &Scene, n: u64) {
    let repo = scene.server.repo(scene.host());
    let told = |field: &str| repo[field].clone();
    assert_eq!(told("size_bytes"), json!(n * 1_000), "{repo}");
    assert_eq!(told("snapshots"), json!(n), "{repo}");
    assert_eq!(
        (told("last_check_errors"), told("last_check_subset_pct")),
        (json!(n % 3), json!(n)),
        "{repo}"
    );
    assert_eq!(told("last_prune_freed_bytes"), json!(n * 10), "{repo}");
    assert_eq!(told("lock").is_null(), n.is_multiple_of(2), "{repo}");
}

#[test]
fn late_doubled_and_reordered_figures_leave_the_newest_standing() {
    if !tools::needs(&[Tool::MosquittoPub]) {
        return;
    }
    let Some(mut scene) = Scene::start_without_repository() else { return };
    scene.agent.stop();
    let login = HostLogin::stolen_from(&scene.agent);
    let stream = HostLogin::stream_of(&scene.agent);
    let begun_ms = begun_ms();
    let topic = login.topic(HostTopic::RepoStats);
    let send = |stream: Stream, n: u64| {
        // It waits for the acknowledgement, which comes when the server has taken it.
        let sent = login.publish(
            &Claim::honest(scene.host()),
            &topic,
            &login.sealed_stats(&stats(stream, begun_ms, n)),
        );
        let _ = sent.expect_success("a message on repo/stats");
    };
    let mut newest = 0;
    for n in [2, 1, 2, 5, 3, 5, 4, 1, 8, 6, 7, 8, 2, 3] {
        send(stream, n);
        newest = newest.max(n);
        assert_stands(&scene, newest);
    }
    // Of a journal that is not this agent's any more: only what is newer counts, and here nothing is.
    send(Stream(stream.0 ^ 1), 7);
    assert_stands(&scene, 8);
    let history = |scene: &Scene| scene.server.repo(scene.host())["history"].clone();
    let points = |history: &Value| history.as_array().map_or(0, Vec::len);
    assert_eq!(points(&history(&scene)), 1, "one hour, one point: {}", history(&scene));

    // The server comes back, and the broker hands out again what is retained.
    scene.server.kill_9();
    scene.server.start_again();
    assert_stands(&scene, 8);
}

#[test]
fn what_comes_late_does_not_overwrite_what_a_real_backup_has_told() {
    if !tools::needs(&[Tool::MosquittoPub]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    let told = wait::until("the figures of the backup", SOON, || {
        let repo = scene.server.repo(scene.host());
        if repo["snapshots"] == 1 { Ok(repo) } else { Err(repo.to_string()) }
    });
    scene.agent.stop();
    let login = HostLogin::stolen_from(&scene.agent);
    let stream = HostLogin::stream_of(&scene.agent);
    let topic = login.topic(HostTopic::RepoStats);
    // An old message of its own journal, as a broker may hand it out again, and one of a journal that is gone.
    let old = RepoStats { revision: StatsRevision(1), ..stats(stream, begun_ms(), 7) };
    let gone =
        RepoStats { lock: None, check: None, prune: None, ..stats(Stream(stream.0 ^ 1), begun_ms(), 7) };
    for message in [old, gone] {
        let sent = login.publish(&Claim::honest(scene.host()), &topic, &login.sealed_stats(&message));
        let _ = sent.expect_success("a message on repo/stats");
        assert_eq!(scene.server.repo(scene.host()), told);
    }
    // And the agent goes on from where it was.
    scene.agent.start();
    scene.api().wait_online(scene.host(), true, LONG);
    let _ = scene.back_up();
    wait::until("the figures of the next backup", SOON, || {
        let repo = scene.server.repo(scene.host());
        if repo["snapshots"] == 2 { Ok(()) } else { Err(repo.to_string()) }
    });
}

#[test]
fn a_figure_of_a_clock_that_is_years_ahead_counts_as_of_its_arrival_however_often_it_is_told() {
    if !tools::needs(&[Tool::MosquittoPub]) {
        return;
    }
    let Some(mut scene) = Scene::start_without_repository() else { return };
    scene.agent.stop();
    let login = HostLogin::stolen_from(&scene.agent);
    let stream = HostLogin::stream_of(&scene.agent);
    let topic = login.topic(HostTopic::RepoStats);
    let ten_years = 10 * 365 * 24 * HOUR_MS;
    let far = begun_ms() + ten_years;
    let send = |revision: u64, check_ms: u64| {
        let check = CheckResult { at: Timestamp(check_ms), errors: 0, subset_pct: 5 };
        let stats = RepoStats {
            revision: StatsRevision(1_000 + revision),
            check: Some(check),
            ..stats(stream, far, revision)
        };
        let sent = login.publish(&Claim::honest(scene.host()), &topic, &login.sealed_stats(&stats));
        let _ = sent.expect_success("a message on repo/stats");
        let repo = scene.server.repo(scene.host());
        let at: jiff::Timestamp = tests::api::text(&repo["last_check_at"]).parse().expect("an instant");
        assert!(at <= jiff::Timestamp::now(), "{repo}");
        at
    };
    let first = send(1, far);
    // The API tells seconds.
    wait::until_true("a second to pass", SOON, || jiff::Timestamp::now().as_second() > first.as_second() + 1);
    assert_eq!(send(2, far), first, "the same check, told again with something else");
    assert!(send(3, far + 1) > first, "another one");
}
