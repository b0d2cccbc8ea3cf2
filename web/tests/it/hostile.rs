//! What hosts say is shown as what it is: nothing hides in it, and no number is too large.

use crate::agent::{TestAgent, boat, run};
use crate::world::{Client, World};
use schema::job::BackupSummary;
use schema::{Class, Items, JobId, LogStream, Outcome, SourceFinding, SourceReason, Summary};

/// Steers a terminal, turns round, forges a line.
const HIDDEN: &str = "\u{1b}[2J\u{9b}31m invoice\u{202e}fdp.exe\u{2066}\u{200f}\u{61c}\r\nforged";
const SHOWN: &str = "\\u001b[2J\\u009b31m invoice\\u202efdp.exe\\u2066\\u200f\\u061c";

fn is_clean(text: &str) -> bool {
    text.chars().all(|c| {
        let is_break = matches!(c, '\n' | '\r' | '\t');
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (is_break || !c.is_control()) && !turns
    })
}

async fn pages(client: &Client, agent: &TestAgent, job: JobId) -> Vec<(String, String)> {
    let host = format!("/hosts/{}", agent.host);
    let mut pages = Vec::new();
    for path in [
        "/".to_owned(),
        "/jobs".to_owned(),
        "/audit".to_owned(),
        "/audit.csv".to_owned(),
        "/metrics".to_owned(),
        "/pending".to_owned(),
        host.clone(),
        format!("{host}/repo"),
        format!("{host}/snapshots"),
        format!("{host}/jobs"),
        format!("{host}/folders?path=/"),
        format!("/jobs/{job}"),
        format!("/jobs/{job}?part=job-log"),
    ] {
        pages.push((path.clone(), client.get(&path).await.expect(200).text));
    }
    let request = client
        .request(axum::http::Method::GET, &format!("/api/jobs/{job}/log"))
        .header("accept", "text/plain")
        .body(axum::body::Body::empty())
        .unwrap();
    pages.push(("the log as text".to_owned(), client.raw(request).await.expect(200).text));
    pages
}

#[tokio::test]
async fn nothing_that_a_host_says_hides_on_a_page_or_in_a_download() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let host = format!("/api/hosts/{}", agent.host);
    let listing = run(&client, &format!("{host}/snapshots/refresh")).await;
    agent.list(&world, listing, HIDDEN, &format!("/{HIDDEN}")).await;
    let job = run(&client, &format!("{host}/groups/logbook/backup")).await;
    agent.start(&world, job).await;
    agent.progress(&world, job, 500_000_000, HIDDEN);
    let log = [(LogStream::Err, HIDDEN), (LogStream::Out, HIDDEN)];
    agent.log(&world, job, 0, &log).await;
    for (path, text) in pages(&client, &agent, job).await {
        assert!(is_clean(&text), "{path}: {}", text.escape_debug());
    }
    agent.finish(&world, job, Outcome::Failed, Some(Class::Other), HIDDEN, Summary::None).await;
    let pages = pages(&client, &agent, job).await;
    for (path, text) in &pages {
        assert!(is_clean(text), "{path}: {}", text.escape_debug());
    }
    for path in [format!("/jobs/{job}"), "the log as text".to_owned()] {
        let (_, text) = pages.iter().find(|(found, _)| *found == path).unwrap();
        assert!(text.contains(SHOWN), "{path}: {text}");
    }
    let (_, text) = pages.last().unwrap();
    assert_eq!(text.lines().count(), 2, "a line of the host is one line: {text}");
    // The API is data: what was said, as it was said.
    let log = client.get(&format!("/api/jobs/{job}/log")).await.expect(200).json();
    assert!(log.to_string().contains('\u{202e}'), "{log}");
}

#[tokio::test]
async fn what_people_typed_into_a_form_comes_back_as_it_was() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let path = "/srv/\u{202e}\u{200f}שלום";
    let body = serde_json::json!({"name": "odd", "includes": [path], "keep": {"daily": 1}});
    client.post(&format!("/api/hosts/{}/groups", agent.host), &body).await.expect(201);
    let form = client.get(&format!("/hosts/{}/groups/odd", agent.host)).await.expect(200).text;
    assert!(form.contains(&format!(">{path}</textarea>")), "{form}");
}

#[tokio::test]
async fn no_number_of_a_host_is_too_large_for_a_page() {
    let world = World::new();
    let client = world.admin().await;
    let mut agents = vec![boat(&world, &client).await];
    for name in ["barn", "attic"] {
        let agent = TestAgent::enrol(&world, &client, name).await;
        agent.hello(&world, 1).await;
        agents.push(agent);
    }
    let host = format!("/api/hosts/{}", agents[0].host);
    let mut jobs = Vec::new();
    for agent in &mut agents {
        let own = format!("/api/hosts/{}", agent.host);
        let body = client.get(&format!("{host}/groups/logbook")).await.expect(200).json();
        if own != host {
            let credentials = serde_json::json!({"url": format!("rest:http://vault.lan:8000/{}/", agent.host),
                "repo_password": "restic-secret"});
            let method = axum::http::Method::PUT;
            client.send(method, &format!("{own}/repo-credentials"), Some(&credentials)).await.expect(200);
            client.post(&format!("{own}/groups"), &body).await.expect(201);
        }
        let job = run(&client, &format!("{own}/groups/logbook/backup")).await;
        agent.start(&world, job).await;
        agent.progress(&world, job, u64::MAX, "x");
        world.pass(1_000);
        agent.progress(&world, job, 0, "x");
        world.pass(1_000);
        agent.progress(&world, job, u64::MAX, "x");
        agent.log(&world, job, u32::MAX, &[(LogStream::Out, "the last line of all")]).await;
        agent.log(&world, job, u32::MAX, &[(LogStream::Out, "and one more"), (LogStream::Out, "x")]).await;
        let finding = SourceFinding { path: HIDDEN, reason: SourceReason::Link, leads_to: HIDDEN };
        let mut findings = [0; 999];
        let summary = BackupSummary {
            snapshot: "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00",
            files_new: u64::MAX,
            files_changed: u64::MAX,
            files_unmodified: u64::MAX,
            total_files: u64::MAX,
            total_bytes: u64::MAX,
            added_bytes: u64::MAX,
            added_packed_bytes: Some(u64::MAX),
            errors: u32::MAX,
            findings: Items::write([finding], &mut findings).unwrap(),
            findings_left_out: u32::MAX,
        };
        agent.finish(&world, job, Outcome::Succeeded, None, "", Summary::Backup(summary)).await;
        agent.stats_of(&world, job, u64::MAX, u32::MAX).await;
        jobs.push(job);
    }
    for (agent, job) in agents.iter().zip(jobs) {
        for (path, text) in pages(&client, agent, job).await {
            assert!(!text.contains("Something went wrong"), "{path}");
            assert!(is_clean(&text), "{path}: {}", text.escape_debug());
        }
        for path in ["", "/repo", "/snapshots", "/maintenance"] {
            client.get(&format!("/api/hosts/{}{path}", agent.host)).await.expect(200);
        }
        client.get(&format!("/api/jobs/{job}/log")).await.expect(200);
    }
}
