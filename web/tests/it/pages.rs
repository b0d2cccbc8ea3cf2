//! Every page with data behind it, forms and their errors, fragments.

use crate::agent::{TestAgent, boat, run};
use crate::words::words;
use crate::world::{Client, World};
use axum::body::Body;
use axum::http::Method;
use schema::job::ProbeSummary;
use schema::stats::Lock;
use schema::{Class, LogStream, Outcome, Summary};
use serde_json::json;

#[tokio::test]
async fn every_page_opens_for_an_admin() {
    let world = World::new();
    let client = world.admin().await;
    assert!(client.get("/").await.expect(200).text.contains("Add the first host"));
    let mut agent = boat(&world, &client).await;
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(&world, job).await;
    agent.progress(&world, job, 420_000_000, "/srv/logbook/2026.db");
    let hourly = json!({"name": "hourly", "cron": "@hourly", "groups": ["logbook"]});
    client.post(&format!("/api/hosts/{}/schedules", agent.host), &hourly).await.expect(201);
    let channel = json!({"name": "mira", "webhook": {"form": "json", "url": "https://away.example/"}});
    client.post("/api/channels", &channel).await.expect(201);
    client.post("/api/routes", &json!({"name": "mira", "channels": ["mira"]})).await.expect(201);
    let (_, run) = crate::pending::waiting(&world, &client).await;
    world.fleet.plan_incidents(Vec::new()).await;
    let noticed = client.get("/api/incidents?state=noticed").await.expect(200).json();
    let incident = noticed["items"][0]["id"].as_str().unwrap().to_owned();
    let mut seen = 0;
    for (method, path, _) in web::routes() {
        let page = !path.starts_with("/api") && !path.starts_with("/static") && !path.contains("{code}");
        // Opened by the key of a message alone.
        let page = page && !path.contains("{key}");
        if method != "GET" || !page {
            continue;
        }
        let address = path
            .replace("{host}", &agent.host.to_string())
            .replace("{snapshot}", "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00")
            .replace("{group}", "logbook")
            .replace("{name}", "mira")
            .replace("{kind}", "prune")
            .replace("{schedule}", "hourly")
            .replace("{run}", &run)
            .replace("{incident}", &incident)
            .replace("{job}", &job.to_string());
        let answer = client.get(&address).await;
        // An address that only takes forms leads to the page of the form.
        let answer = match answer.status.as_u16() {
            303 => client.get(answer.header("location").split('#').next().unwrap()).await,
            _ => answer,
        };
        let fine = answer.status == 200;
        assert!(fine, "{address}: {} {}", answer.status, answer.text);
        assert!(!answer.text.contains("style=\"") && !answer.text.contains("<script>"), "{address}");
        seen += 1;
    }
    assert!(seen > 25, "{seen}");
}

#[tokio::test]
async fn a_running_job_shows_its_progress_and_a_fragment_is_the_same_as_on_the_page() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(&world, job).await;
    agent.progress(&world, job, 420_000_000, "/srv/<b>logbook</b>.db");
    agent.log(&world, job, 0, &[(LogStream::Out, "open <script>alert(1)</script>")]).await;
    let page = client.get(&format!("/jobs/{job}")).await.expect(200).text;
    assert!(page.contains("42 %") && page.contains("Cancel…"), "{page}");
    assert!(page.contains("/srv/&lt;b&gt;logbook"), "paths are escaped");
    assert!(page.contains("open &lt;script&gt;alert"), "log lines are escaped");
    let part = client.get(&format!("/jobs/{job}?part=job-live")).await.expect(200).text;
    assert!(page.contains(part.trim()), "{part}");
    let tail = client.get(&format!("/jobs/{job}?part=job-log&after=1")).await.expect(200).text;
    assert!(!tail.contains("script") && tail.contains("after=1"), "only what is new: {tail}");
    client.get(&format!("/jobs/{job}?part=nothing")).await.expect(404);
}

#[tokio::test]
async fn a_failed_job_says_why_and_what_to_do() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(&world, job).await;
    agent
        .finish(
            &world,
            job,
            Outcome::Failed,
            Some(Class::Auth),
            "wrong password or no key found",
            Summary::None,
        )
        .await;
    let page = client.get(&format!("/jobs/{job}")).await.expect(200).text;
    insta::assert_snapshot!("job_failed", words(&page));
    let fleet = client.get("/").await.expect(200).text;
    assert!(
        fleet.contains("1 needs attention") && fleet.contains("The repository refuses the password"),
        "{fleet}"
    );
}

#[tokio::test]
async fn an_old_agent_is_marked_and_found() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let href = format!("/hosts/{}", agent.host);
    assert!(!client.get("/").await.expect(200).text.contains("Old agent"));
    agent.hello_of(&world, 2, [3; 16], "0.0.9").await;
    let page = client.get("/").await.expect(200).text;
    assert!(page.contains("Old agent <b>1</b>") && page.contains("Debian 13, old agent 0.0.9"), "{page}");
    assert!(client.get("/?agent=old").await.expect(200).text.contains(&href));
    assert!(client.get(&href).await.expect(200).text.contains("older than this server"));
    client.get("/?agent=new").await.expect(422);
    let listed = client.get("/api/hosts?agent=old").await.json();
    assert_eq!(
        (listed["items"].as_array().unwrap().len(), &listed["items"][0]["agent_is_old"]),
        (1, &json!(true))
    );
    agent.hello_of(&world, 3, [3; 16], "0.1.0").await;
    assert!(client.get("/api/hosts?agent=old").await.json()["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn two_machines_with_one_identity_have_a_page_that_lets_the_host_in_again() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = boat(&world, &client).await;
    let href = format!("/hosts/{}", agent.host);
    let page = format!("{href}/quarantine");
    assert!(client.get(&page).await.expect(200).text.contains("Not in quarantine"));
    for (epoch, boot) in [(2, 0xaa), (3, 0x03), (4, 0xaa)] {
        agent.hello_of(&world, epoch, [boot; 16], "0.1.0").await;
    }
    let shown = client.get(&page).await.expect(200).text;
    insta::assert_snapshot!("quarantine", words(&shown));
    assert!(client.get("/").await.expect(200).text.contains(&page));
    assert!(client.get(&href).await.expect(200).text.contains("See what to do"));
    let found = client.get(&format!("/api{href}")).await.json();
    assert_eq!((&found["status"], &found["online"]), (&json!("failed"), &json!(false)), "{found}");
    assert_eq!(found["quarantine"]["machines"][1]["boot_id"], "03".repeat(16), "{found}");

    let answer = client.post_form(&page, "").await.expect(303);
    assert_eq!(answer.header("location"), href);
    agent.hello_of(&world, 5, [0xaa; 16], "0.1.0").await;
    let found = client.get(&format!("/api{href}")).await.json();
    assert!(found["quarantine"].is_null() && found["online"] == json!(true), "{found}");
    client.send(Method::DELETE, &format!("/api{href}/quarantine"), None).await.expect(204);
    let told = client.get("/audit").await.expect(200).text;
    assert!(told.contains("lifted the quarantine of") && told.contains("was quarantined:"), "{told}");
}

#[tokio::test]
async fn a_failure_that_was_mended_says_so_and_tells_how_it_stood_then() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let backup = format!("/api/hosts/{}/groups/logbook/backup", agent.host);
    world.pass(3 * 86_400_000);
    let failed = run(&client, &backup).await;
    agent.start(&world, failed).await;
    agent.finish(&world, failed, Outcome::Failed, Some(Class::Auth), "wrong password", Summary::None).await;
    let page = client.get(&format!("/jobs/{failed}")).await.expect(200).text;
    assert!(page.contains("<dt>Last good</dt><dd>3 d ago"), "{page}");
    assert!(page.contains("At risk") && !page.contains("Fixed since"), "{page}");
    world.pass(86_400_000);
    let good = run(&client, &backup).await;
    agent.back_up(&world, good).await;
    let page = client.get(&format!("/jobs/{failed}")).await.expect(200).text;
    assert!(page.contains("Fixed since") && page.contains(&format!("/jobs/{good}")), "{page}");
    assert!(page.contains("<dt>Last good before it</dt><dd>4 d ago"), "{page}");
    assert!(!page.contains("At risk") && !page.contains("is-primary"), "{page}");
    let before = page.split("Earlier jobs").nth(1).unwrap();
    assert!(before.contains("Backup of logbook") && !before.contains(&good.to_string()), "{page}");
}

#[tokio::test]
async fn a_backup_without_one_of_its_paths_made_a_snapshot_and_is_no_good_one() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    world.pass(3_600_000);
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(&world, job).await;
    let link = schema::SourceFinding {
        path: "/srv/new",
        reason: schema::SourceReason::Link,
        leads_to: "/mnt/<new>",
    };
    let mut buffer = [0; 99];
    let saved = schema::job::BackupSummary {
        snapshot: "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00",
        files_new: 1,
        files_changed: 0,
        files_unmodified: 9,
        total_files: 10,
        total_bytes: 1 << 20,
        added_bytes: 1 << 10,
        added_packed_bytes: None,
        errors: 0,
        findings: schema::Items::write([link], &mut buffer).unwrap(),
        findings_left_out: 7,
    };
    let (class, said) = (Some(Class::SourceMissing), "not there: /srv/old");
    agent.finish(&world, job, Outcome::Warning, class, said, Summary::Backup(saved)).await;
    let page = client.get(&format!("/jobs/{job}")).await.expect(200).text;
    insta::assert_snapshot!("job_without_a_path", words(&page));
    assert!(page.contains("a link to /mnt/&lt;new&gt;"), "paths are escaped");
}

#[tokio::test]
async fn a_group_whose_snapshots_from_before_are_not_listed_says_so_until_they_are() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let host = format!("/hosts/{}", agent.host);
    let says = async || {
        let page = client.get(&host).await.expect(200).text;
        page.contains("Existing snapshots of logbook are not listed yet").then_some(page)
    };
    let page = says().await.unwrap();
    assert!(page.contains(&format!("href=\"{host}/snapshots\">Snapshots</a>")), "{page}");
    assert!(!page.contains("Accept…"), "{page}");
    let job = run(&client, &format!("/api{host}/snapshots/refresh")).await;
    agent.start(&world, job).await;
    agent
        .finish(&world, job, Outcome::Succeeded, None, "", Summary::Snapshots { count: 0, left_out: 0 })
        .await;
    assert_eq!(says().await, None);
}

#[tokio::test]
async fn a_locked_repository_says_who_holds_it() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let job = run(&client, &format!("/api/hosts/{}/repo/stats", agent.host)).await;
    let lock = Lock {
        since: world.now(),
        exclusive: true,
        hostname: "barn",
        username: "root",
        pid: 4_127,
        stale: true,
    };
    agent.stats(&world, job, Some(lock)).await;
    for part in ["repo-health", "repo-actions"] {
        let shown = client.get(&format!("/hosts/{}/repo?part={part}", agent.host)).await.expect(200).text;
        insta::assert_snapshot!(format!("locked-{part}"), words(&shown));
    }
}

#[tokio::test]
async fn a_prune_is_asked_for_twice_and_there_is_nothing_to_unlock_without_a_lock() {
    let world = World::new();
    let client = world.admin().await;
    let agent = boat(&world, &client).await;
    let repo = format!("/hosts/{}/repo", agent.host);
    let part = client.get(&format!("{repo}?part=repo-actions")).await.expect(200).text;
    assert!(part.contains("There is no lock, as of now.") && part.contains("disabled"), "{part}");
    assert!(!part.contains("data-dialog"), "a prune that is off asks nothing: {part}");
    let admin = json!({"url": "rest:http://vault.lan:8001/boat-pi/", "repo_password": "p"});
    let path = format!("/api{}/admin-credentials", repo.trim_end_matches("/repo"));
    client.send(Method::PUT, &path, Some(&admin)).await.expect(200);
    let page = client.get(&repo).await.expect(200).text;
    let link = format!("<a class=\"button\" href=\"{repo}/prune\" data-dialog=\"confirm-prune\">");
    assert!(page.contains(&link) && page.contains("<dialog"), "{page}");
    let question = client.get(&format!("{repo}/prune")).await.expect(200).text;
    insta::assert_snapshot!("prune_question", words(&question));
    client.get(&format!("{repo}/check")).await.expect(303);
    world.pass(2 * 86_400_000);
    let part = client.get(&format!("{repo}?part=repo-actions")).await.expect(200).text;
    assert!(!part.contains("There is no lock"), "what was seen two days ago holds no more: {part}");
}

#[tokio::test]
async fn an_agent_of_an_unknown_version_is_told_on_the_page() {
    let world = World::new();
    let client = world.admin().await;
    let agent = TestAgent::enrol(&world, &client, "old-box").await;
    agent.strange(&world).await;
    let page = client.get(&format!("/hosts/{}", agent.host)).await.expect(200).text;
    assert!(
        page.contains("protocol version that this server does not") && page.contains("version 99"),
        "{page}"
    );
}

#[tokio::test]
async fn the_rights_that_are_ticked_become_options_of_the_enrolment_line() {
    let world = World::new();
    let mut client = world.admin().await;
    let form = client.get("/hosts/new").await.expect(200).text;
    for name in [
        "source_roots",
        "repositories",
        "restore_base",
        "restore_targets",
        "restore_in_place",
        "other_hosts",
        "no_admin_slot",
    ] {
        assert!(form.contains(&format!("name=\"{name}\"")), "{name}: {form}");
    }
    let rights = "source_roots=%2Fsrv%0D%0A%2Fhome%2Fthe+photos&repositories=rest%3Ahttps%3A%2F%2Fnas%2F*&restore_base=&\
        restore_targets=%2Fsrv%2Fback&restore_in_place=on&other_hosts=on&no_admin_slot=on";
    let options = "holdfast-agent enroll --allow-source-root /srv --allow-source-root &#39;/home/the photos&#39; \
        --allow-repository &#39;rest:https://nas/*&#39; --allow-restore-to /srv/back --allow-restore-in-place --allow-other-hosts --no-admin-slot hf1.";
    let made = client.post_form("/hosts", &format!("name=barn&{rights}")).await.expect(303);
    let page = made.header("location").to_owned();
    let shown = client.get(&page).await.expect(200).text;
    assert!(shown.replace("&#x2f;", "/").contains(options), "{shown}");
    assert!(
        shown.contains("name=\"restore_in_place\" checked"),
        "the next line begins with the same: {shown}"
    );
    // Another line with others, or with none.
    let token = page.replace("/enrol", "/enroll-token");
    client.post_form(&token, "no_admin_slot=on").await.expect(303);
    let shown = client.get(&page).await.expect(200).text;
    assert!(shown.contains("holdfast-agent enroll --no-admin-slot hf1."), "{shown}");
    // What makes no sense is said beside its field, what was typed stays, and no line is made.
    for path in ["/hosts", &token] {
        let refused = client.post_form(path, "name=shed&source_roots=photos&no_admin_slot=on").await;
        let refused = refused.expect(422).text;
        assert!(
            refused.contains("id=\"source_roots-error\"") && refused.contains(">photos</textarea>"),
            "{refused}"
        );
        assert!(!refused.contains("hf1."), "{refused}");
    }
    let hosts = client.get("/api/hosts").await.expect(200).json();
    assert_eq!(hosts["items"].as_array().unwrap().len(), 1, "{hosts}");
    let body = json!({"name": "shed", "rights": {"source_roots": ["/srv"], "no_admin_slot": true}});
    let made = client.post("/api/hosts", &body).await.expect(201).json();
    let line = made["enroll_command"].as_str().unwrap();
    assert!(
        line.starts_with("holdfast-agent enroll --allow-source-root /srv --no-admin-slot hf1."),
        "{line}"
    );
    let body = json!({"name": "cellar", "rights": {"restore_base": "back"}});
    client.post("/api/hosts", &body).await.expect(422);
}

#[tokio::test]
async fn the_enrolment_page_moves_on_when_the_host_comes() {
    let world = World::new();
    let client = world.admin().await;
    let agent = TestAgent::enrol(&world, &client, "harbour-pi").await;
    let part = format!("/hosts/{}/enrol?part=enrol-wait", agent.host);
    // Enrolled, and not started: all steps are replaced, the line is gone.
    let enrolled = client.get(&part).await.expect(200);
    let words = ["harbour-pi is enrolled; now start its agent", "holdfast-agent run", "10.20.7.31"];
    assert!(words.iter().all(|words| enrolled.text.contains(words)), "{}", enrolled.text);
    assert!(!enrolled.text.contains("Works once"), "{}", enrolled.text);
    assert_eq!(enrolled.header("hx-retarget"), "#enrol");
    world.pass(1_000);
    let new = client.send(Method::POST, &format!("/hosts/{}/enroll-token", agent.host), None).await;
    assert_eq!(new.expect(303).header("location"), format!("/hosts/{}/enrol", agent.host));
    let waiting = client.get(&part).await.expect(200);
    assert!(waiting.text.contains("Waiting for harbour-pi"), "{}", waiting.text);
    assert_eq!(waiting.header("hx-retarget"), "");
    let agent = TestAgent::enrol(&world, &client, "harbour-pi-2").await;
    let part = format!("/hosts/{}/enrol?part=enrol-wait", agent.host);
    agent.hello(&world, 1).await;
    let here = client.get(&part).await.expect(200);
    assert!(
        here.text.contains("harbour-pi-2 is connected") && here.text.contains("Set credentials"),
        "{}",
        here.text
    );
    assert_eq!(here.header("hx-retarget"), "#enrol");
}

#[tokio::test]
async fn errors_stand_at_their_field_and_what_was_typed_is_kept() {
    let world = World::new();
    let mut client = world.admin().await;
    let answer = client.post_form("/hosts", "name=no+spaces&labels=attic%2C+boats").await.expect(422);
    for kept in
        ["value=\"no spaces\"", "value=\"attic, boats\"", "id=\"name-error\"", "aria-invalid=\"true\""]
    {
        assert!(answer.text.contains(kept), "{kept}: {}", answer.text);
    }
    let agent = TestAgent::enrol(&world, &client, "barn").await;
    let host = format!("/hosts/{}", agent.host);
    let form = "name=media&includes=relative%2Fpath&excludes=*.tmp&keep_daily=seven&keep_within=30d";
    let answer = client.post_form(&format!("{host}/groups"), form).await.expect(422);
    for kept in ["value=\"media\"", "relative/path", "*.tmp", "value=\"seven\"", "id=\"keep_daily-error\""] {
        assert!(answer.text.contains(kept), "{kept}: {}", answer.text);
    }
    let answer = client.post_form(&format!("{host}/groups"), &form.replace("seven", "7")).await.expect(422);
    assert!(answer.text.contains("id=\"includes-error\""), "{}", answer.text);
    let good = form.replace("seven", "7").replace("relative", "%2Frelative");
    let answer = client.post_form(&format!("{host}/groups"), &good).await.expect(303);
    assert_eq!(answer.header("location"), format!("{host}#groups"));
    let edit = client.get(&format!("{host}/groups/media")).await.expect(200).text;
    assert!(edit.contains("/relative/path") && edit.contains("value=\"30d\""), "{edit}");
}

#[tokio::test]
async fn one_handler_answers_a_plain_form_htmx_and_json() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let path = format!("/hosts/{}/groups/logbook/backup", agent.host);
    let plain = client.post_form(&path, "").await.expect(303);
    let job = plain.header("location").strip_prefix("/jobs/").unwrap().parse().unwrap();
    agent.back_up(&world, job).await;
    let request = client
        .request(Method::POST, &path)
        .header("hx-request", "true")
        .header("x-csrf-token", &client.csrf)
        .body(Body::empty())
        .unwrap();
    let htmx = client.raw(request).await.expect(200);
    assert!(htmx.header("hx-redirect").starts_with("/jobs/"), "{:?}", htmx.headers);
    let job = htmx.header("hx-redirect").strip_prefix("/jobs/").unwrap().parse().unwrap();
    agent.back_up(&world, job).await;
    let json = client.send(Method::POST, &format!("/api{path}"), None).await.expect(202).json();
    assert_eq!(json["state"], "queued");
    let refused = client.post_form(&path, "").await.expect(409);
    assert!(
        refused.text.contains("queued or runs already") && refused.text.contains("<html"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn credentials_are_saved_and_tested_by_the_form_which_answers_itself() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = TestAgent::enrol(&world, &client, "barn").await;
    agent.hello(&world, 1).await;
    let host = format!("/hosts/{}", agent.host);
    let form = "url=rest%3Ahttp%3A%2F%2Fvault%2Fbarn%2F&username=&password=&repo_password=p&env=AWS_REGION%3D1&then=test";
    client.post_form(&format!("{host}/repo-credentials"), form).await.expect(303);
    let page = client.get(&format!("{host}/repo")).await.expect(200).text;
    assert!(page.contains("Testing") && page.contains("Set: AWS_REGION."), "{page}");
    let jobs = client.get("/api/jobs?kind=probe").await.json();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
    let request = client
        .request(Method::POST, &format!("{host}/repo-credentials"))
        .header("hx-request", "true")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!("csrf={}&url=&username=kept", client.csrf)))
        .unwrap();
    let part = client.raw(request).await.expect(422).text;
    assert!(
        part.trim_start().starts_with("<form") && part.contains("value=\"kept\"") && !part.contains("<html"),
        "{part}"
    );
    // To another machine: what was typed stays, and the field says what is needed there.
    let form = "url=rest%3Ahttp%3A%2F%2Fother%2Fbarn%2F&username=kept&password=&repo_password=&env=";
    let part = client.post_form(&format!("{host}/repo-credentials"), form).await.expect(422).text;
    assert!(part.contains("value=\"rest:http://other/barn/\"") && part.contains("value=\"kept\""), "{part}");
    assert!(part.contains("id=\"repo_password-error\""), "{part}");
    assert!(part.contains("Give the repository&#39;s password again"), "{part}");
}

#[tokio::test]
async fn only_a_repository_that_is_missing_is_said_to_be_missing() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let host = agent.host;
    let classes = [
        (Class::Auth, "The repository refuses the password", "not opened"),
        (Class::Network, "The storage can&#39;t be reached", "not opened"),
        (Class::RepoMissing, "there was no repository then", "not there yet"),
    ];
    for (class, words, figure) in classes {
        let job = run(&client, &format!("/api/hosts/{host}/repo-credentials/test")).await;
        agent.start(&world, job).await;
        let found = ProbeSummary { repo: None, repo_version: None, append_only: None, answered_ms: 40 };
        let summary = Summary::Probe(found);
        agent.finish(&world, job, Outcome::Failed, Some(class), "it did not open", summary).await;
        let test = client.get(&format!("/hosts/{host}/repo?part=repo-test")).await.expect(200).text;
        assert!(test.contains(words), "{class:?}: {test}");
        assert!(class == Class::RepoMissing || !test.contains("no repository"), "{class:?}: {test}");
        let page = client.get(&format!("/jobs/{job}")).await.expect(200).text;
        assert!(page.contains(figure), "{class:?}: {page}");
    }
}

#[tokio::test]
async fn hosts_are_renamed_and_deleted_from_their_settings() {
    let world = World::new();
    let mut client = world.admin().await;
    client.post("/api/hosts", &json!({"name": "other"})).await.expect(201);
    let agent = TestAgent::enrol(&world, &client, "barn").await;
    let host = format!("/hosts/{}", agent.host);
    let taken = client.post_form(&host, "name=other&labels=").await.expect(409);
    assert!(taken.text.contains("The name other is taken") && taken.text.contains("id=\"name-error\""));
    client.post_form(&host, "name=barn-qnap&labels=attic").await.expect(303);
    assert!(client.get(&format!("{host}/delete")).await.expect(200).text.contains("Delete barn-qnap?"));
    client.post_form(&format!("{host}/delete"), "").await.expect(303);
    client.get(&host).await.expect(404);
}

#[tokio::test]
async fn assets_are_kept_by_browsers_and_addressed_by_their_content() {
    let world = World::new();
    let client = world.stranger();
    let page = client.get("/login").await.text;
    let mut seen = 0;
    for address in page.split('"').filter(|text| text.starts_with("/static/")) {
        let answer = client.get(address.split('#').next().unwrap()).await.expect(200);
        assert!(answer.header("cache-control").contains("immutable"), "{address}");
        assert!(!answer.text.is_empty());
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
    let old = client.get("/static/000000000000/app.js").await.expect(200);
    assert_eq!(old.header("cache-control"), "no-cache");
    client.get("/static/x/none.js").await.expect(404);
}

#[tokio::test]
async fn the_fleet_page_searches_and_filters() {
    let world = World::new();
    let client = world.admin().await;
    boat(&world, &client).await;
    client.post("/api/hosts", &json!({"name": "studio-mini"})).await.expect(201);
    let all = client.get("/").await.expect(200).text;
    assert!(
        all.contains("1 of 2 hosts protected") && all.contains("boat-pi") && all.contains("studio-mini"),
        "{all}"
    );
    let rows = client.get("/?part=fleet-hosts&q=studio").await.expect(200).text;
    assert!(rows.contains("studio-mini") && !rows.contains("boat-pi"), "{rows}");
    let rows = client.get("/?part=fleet-hosts&state=ok").await.expect(200).text;
    assert!(rows.contains("boat-pi") && !rows.contains("studio-mini"));
    assert!(client.get("/?q=nothing").await.text.contains("No host matches"));
    // What is typed is searched for in place: the filters count what is found, and the address is told.
    let found = client.get_htmx("/?part=fleet-list&state=ok&sort=name&q=boat").await.expect(200).text;
    assert!(found.contains("data-address=\"/?q=boat&amp;state=ok&amp;sort=name\""), "{found}");
    assert!(
        found.contains("All <b>1</b>") && found.contains("Ok <b>1</b>") && !found.contains("New <b>"),
        "{found}"
    );
    assert!(found.contains("id=\"fleet-hosts\"") && !found.contains("studio-mini"), "{found}");
    let found = client.get("/?q=studio&sort=name").await.expect(200).text;
    assert!(found.contains("New <b>1</b>") && found.contains("Ok <b>0</b>"), "{found}");
    assert!(
        found.contains("hx-get=\"/?part=fleet-list&amp;sort=name\""),
        "the search keeps the order: {found}"
    );
    assert!(found.contains("type=\"hidden\" name=\"sort\" value=\"name\""), "also without scripts: {found}");
    assert!(
        found.contains("href=\"/?q=studio&amp;state=new&amp;sort=name\""),
        "and a filter keeps the search"
    );
    let live = client.get("/?part=fleet-filters&q=studio").await.expect(200).text;
    assert!(live.contains("data-topics=\"fleet incidents\"") && live.contains("All <b>1</b>"), "{live}");
    let hostile = client.get("/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await.expect(200).text;
    assert!(!hostile.contains("<script>alert"));
}

#[tokio::test]
async fn what_needs_somebody_is_shown_by_its_very_cause_and_the_numbers_add_up() {
    let world = World::new();
    let client = world.admin().await;
    let mut boat = boat(&world, &client).await;
    let body = json!({"url": "rest:http://vault.lan:8000/sloop/", "username": "sloop", "password": "rest-secret",
        "repo_password": "restic-secret"});
    let group = json!({"name": "logbook", "includes": ["/srv/logbook"], "by_hand_days": 2});
    let mut others = Vec::new();
    for name in ["sloop", "yawl", "dinghy"] {
        let mut agent = TestAgent::enrol(&world, &client, name).await;
        agent.hello(&world, 1).await;
        let host = format!("/api/hosts/{}", agent.host);
        client.send(Method::PUT, &format!("{host}/repo-credentials"), Some(&body)).await.expect(200);
        client.post(&format!("{host}/groups"), &group).await.expect(201);
        let job = run(&client, &format!("{host}/groups/logbook/backup")).await;
        agent.back_up(&world, job).await;
        others.push(agent);
    }
    for (agent, class) in others.iter_mut().zip([Class::Auth, Class::Auth, Class::Hook]) {
        let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
        agent.start(&world, job).await;
        agent.finish(&world, job, Outcome::Failed, Some(class), "no", Summary::None).await;
    }
    let page = client.get("/").await.expect(200).text;
    let said = words(&page);
    assert!(
        said.contains("1 of 4 hosts protected; 3 need attention") && said.contains("3 are not protected."),
        "{said}"
    );
    // One step from what needs somebody to its rows.
    let href = page.split('"').find(|text| text.contains("cause=")).unwrap().replace("&amp;", "&");
    assert_eq!(href, "/?cause=failed.auth&storage=vault.lan%3A8000#fleet-list");
    let shown = client.get(href.split('#').next().unwrap()).await.expect(200).text;
    let rows = shown.split("id=\"fleet-hosts\"").nth(1).unwrap();
    assert!(rows.contains("sloop") && rows.contains("yawl"), "{rows}");
    assert!(!rows.contains("dinghy") && !rows.contains("boat-pi"), "{rows}");
    assert!(shown.contains("All <b>2</b>") && shown.contains("Failed <b>2</b>"), "{shown}");
    let listed = client.get("/api/hosts?cause=failed.auth&storage=vault.lan:8000").await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(
        client.get("/api/hosts?cause=failed.auth&storage=").await.json()["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let wrong = client.get("/api/hosts?cause=auth").await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (422, "invalid_input"));
    // Page, report and metrics count the same four parts.
    world.pass(60_000);
    let job = run(&client, &format!("/api/hosts/{}/repo-credentials/test", boat.host)).await;
    boat.start(&world, job).await;
    boat.finish(&world, job, Outcome::Failed, Some(Class::Auth), "401", Summary::None).await;
    let report = client.get("/api/report").await.expect(200).json();
    let number = |field: &str| report[field].as_u64().unwrap();
    assert_eq!((number("hosts_total"), number("protected"), number("protected_in_need")), (4, 0, 0));
    assert_eq!(number("unprotected_in_need"), 4);
    let metrics = client.get("/metrics").await.expect(200).text;
    let parts: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("holdfast_hosts_protection{")).collect();
    let sum: f64 = parts.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert!(parts.len() == 4 && (sum - 4.0).abs() < 0.1, "{parts:?}");
    let said = words(&client.get("/?part=fleet-sentence").await.expect(200).text);
    assert!(said.contains("0 of 4 hosts protected; 4 need attention"), "{said}");
    let host = words(&client.get(&format!("/hosts/{}", boat.host)).await.expect(200).text);
    assert!(
        host.contains("Its credentials are refused: Wrong password") && host.contains("Set credentials"),
        "{host}"
    );
    assert!(host.contains("All was backed up on 1 of 1 day since it was enrolled"), "{host}");
}

#[tokio::test]
async fn a_group_is_said_to_be_backed_up_by_hand_in_its_form() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = boat(&world, &client).await;
    let host = format!("/hosts/{}", agent.host);
    let row = async |client: &Client| client.get(&format!("/api{host}")).await.expect(200).json();
    let form = "name=logbook&includes=%2Fsrv%2Flogbook&retry_max=3";
    client.post_form(&format!("{host}/groups/logbook"), form).await.expect(303);
    let told = row(&client).await;
    assert_eq!((&told["reason_code"], &told["protected"]), (&json!("no_schedule"), &json!(false)));
    let page = client.get(&host).await.expect(200).text;
    assert!(page.contains("In no schedule that is on") && page.contains("/new-schedule"), "{page}");
    let refused =
        client.post_form(&format!("{host}/groups/logbook"), &format!("{form}&by_hand_days=400")).await;
    assert!(refused.expect(422).text.contains("at most 366 days old"));
    client.post_form(&format!("{host}/groups/logbook"), &format!("{form}&by_hand_days=30")).await.expect(303);
    let told = row(&client).await;
    assert_eq!((&told["status"], &told["protected"]), (&json!("ok"), &json!(true)));
    assert!(client.get(&host).await.text.contains("By hand, at least every 30 days"));
    assert_eq!(client.get(&format!("/api{host}/groups/logbook")).await.json()["by_hand_days"], 30);
}

#[tokio::test]
async fn the_kinds_of_messages_are_counted_again_while_the_page_is_open() {
    let world = World::new();
    let client = world.admin().await;
    let counted =
        async |client: &Client| client.get("/topics?part=topics-kinds&kind=evt").await.expect(200).text;
    let page = client.get("/topics?kind=evt").await.expect(200).text;
    let href = page.split('"').find(|text| text.contains("part=topics-kinds")).unwrap().replace("&amp;", "&");
    assert!(
        href.starts_with("/topics?kind=evt&") && counted(&client).await.contains("evt <b>0</b>"),
        "{href}"
    );
    boat(&world, &client).await;
    let now = client.get(&href).await.expect(200).text;
    assert!(!now.contains("evt <b>0</b>") && now.contains("data-topics=\"traffic\""), "{now}");
    let number = |text: &str| text.split("</b>").next().unwrap().replace(',', "").parse::<u64>().unwrap();
    let counts: Vec<u64> = now.split("<b>").skip(1).map(number).collect();
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "each message is of one kind: {now}");
    assert!(
        !client.get("/topics?pause=1").await.text.contains("part=topics-kinds"),
        "not while it is paused"
    );
}

#[tokio::test]
async fn pages_travel_packed_to_who_can_unpack_them() {
    let world = World::new();
    let client = world.admin().await;
    for (path, packed) in [("/", "gzip"), ("/api/events", "")] {
        let request = client.request(Method::GET, path).header("accept-encoding", "gzip, br");
        let response =
            tower::ServiceExt::oneshot(world.router.clone(), request.body(Body::empty()).unwrap()).await;
        let response = response.unwrap();
        let header = response.headers().get("content-encoding");
        assert_eq!(header.map_or("", |value| value.to_str().unwrap()), packed, "{path}");
    }
}

#[tokio::test]
async fn an_acknowledged_failure_leaves_the_list_of_what_needs_somebody() {
    let world = World::new();
    let client = world.admin().await;
    let mut agent = boat(&world, &client).await;
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", agent.host)).await;
    agent.start(&world, job).await;
    agent.finish(&world, job, Outcome::Failed, Some(Class::Network), "no route", Summary::None).await;
    let api = format!("/api/hosts/{}", agent.host);
    let mark = client.get(&api).await.expect(200).json()["mark"].as_str().unwrap().to_owned();
    let list = client.get("/?part=fleet-attention").await.expect(200).text;
    assert!(list.contains(&mark) && list.contains("Acknowledge"), "{list}");
    let path = format!("{api}/acknowledgement");
    let put = async |body| client.send(Method::PUT, &path, Some(&body)).await;
    let stale = put(json!({"mark": "failed.auth.1"})).await;
    assert_eq!((stale.status.as_u16(), stale.code().as_str()), (409, "state_changed"));
    let told = put(json!({ "mark": mark })).await.expect(200).json();
    assert_eq!((&told["status"], &told["acknowledged_by"]), (&json!("failed"), &json!("mira")), "{told}");
    let list = client.get("/?part=fleet-attention").await.expect(200).text;
    assert!(!list.contains("Acknowledge"), "{list}");
    let head = client.get(&format!("/hosts/{}", agent.host)).await.expect(200).text;
    assert!(head.contains("Acknowledged by mira"), "{head}");
    let sentence = client.get("/?part=fleet-sentence").await.expect(200).text;
    assert!(sentence.contains("1 host acknowledged") && !sentence.contains("need"), "{sentence}");
    assert_eq!(client.send(Method::DELETE, &path, None).await.status, 204);
    assert!(client.get("/?part=fleet-attention").await.expect(200).text.contains("Acknowledge"));
}

#[tokio::test]
async fn hosts_that_are_away_for_differently_long_have_one_cause() {
    const DAY_MS: u64 = 86_400_000;
    let world = World::new();
    let client = world.admin().await;
    for name in ["boat-pi", "studio-mini"] {
        TestAgent::enrol(&world, &client, name).await;
        world.pass(2 * DAY_MS);
    }
    let list = client.get("/?part=fleet-attention").await.expect(200).text;
    assert_eq!(list.matches("Offline for").count(), 1, "{list}");
    assert!(list.contains("Offline for more than a day") && list.contains("studio-mini"), "{list}");
    let told = client.get("/api/hosts").await.expect(200).json();
    let reason = |name: &str| {
        let hosts = told["items"].as_array().unwrap();
        let host = hosts.iter().find(|host| host["name"] == name).unwrap();
        (host["reason_code"].clone(), host["reason"].clone())
    };
    assert_eq!(reason("boat-pi"), (json!("offline"), json!("Offline for 4 days")));
    assert_eq!(reason("studio-mini"), (json!("offline"), json!("Offline for 2 days")));
    // The audit has the words that were shown.
    let mark = told["items"][0]["mark"].as_str().unwrap();
    let path = format!("/api/hosts/{}/acknowledgement", told["items"][0]["id"].as_str().unwrap());
    client.send(Method::PUT, &path, Some(&json!({ "mark": mark }))).await.expect(200);
    let audit = client.get("/api/audit?action=host.acknowledged").await.expect(200).json();
    assert_eq!(audit["items"][0]["detail"], told["items"][0]["reason"], "{audit}");
}

#[tokio::test]
async fn the_fleet_has_pages_of_fifty_and_a_search_begins_at_the_first() {
    let world = World::new();
    let client = world.admin().await;
    for number in 0..120 {
        let host = json!({ "name": format!("box-{number:03}") });
        client.send(Method::POST, "/api/hosts", Some(&host)).await.expect(201);
    }
    let page = async |query: &str| client.get(&format!("/{query}")).await.expect(200).text;
    let rows = |text: &str| text.matches("<tr id=\"host-").count();
    let first = page("").await;
    assert_eq!(rows(&first), 50);
    assert!(first.contains("1 to 50 of 120 hosts, worst first") && first.contains("href=\"/?page=2\""));
    assert!(first.contains("box-000") && !first.contains("box-050"), "by name");
    let last = page("?page=3").await;
    assert_eq!(rows(&last), 20);
    assert!(last.contains("101 to 120 of 120 hosts") && !last.contains("rel=\"next\""), "{last}");
    assert_eq!(
        page("?page=9&part=fleet-hosts").await.matches("<tr id=").count(),
        20,
        "the last one there is"
    );
    let found = page("?q=box-1&part=fleet-hosts").await;
    assert_eq!(rows(&found), 20);
    assert!(found.contains("20 hosts") && !found.contains("rel="), "{found}");
    let second = page("?q=box&state=new&page=2&part=fleet-hosts").await;
    assert!(second.contains("page=2") && second.contains("href=\"/?q=box&amp;state=new\""), "{second}");
    for nonsense in ["0", "-1", "two", "99999999999999999999"] {
        client.get(&format!("/?page={nonsense}")).await.expect(422);
    }
}

#[tokio::test]
async fn the_audit_is_exported_whole_as_its_filter_says() {
    let world = World::new();
    let client = world.admin().await;
    for number in 0..600 {
        let body = json!({"name": format!("host-{number}"), "labels": []});
        client.post("/api/hosts", &body).await.expect(201);
    }
    let answer = client.get("/audit.csv?action=host.created").await.expect(200);
    assert!(answer.header("content-type").starts_with("text/csv"), "{}", answer.header("content-type"));
    assert!(answer.header("content-disposition").contains("holdfast-audit-"));
    let lines: Vec<&str> = answer.text.lines().collect();
    assert_eq!(lines.len(), 601, "a head and more than one part");
    assert!(lines[0].starts_with("at,actor_kind,actor,action"), "{}", lines[0]);
    assert!(lines[1].contains(",host.created,added a host,host,host-599,"), "{}", lines[1]);
    let page = client.get("/audit?action=host.created&actor=operator").await.expect(200).text;
    assert!(page.contains("href=\"/audit.csv?actor=operator&amp;action=host.created\""), "{page}");
}

#[tokio::test]
async fn the_settings_tell_when_certificates_end() {
    let world = World::new();
    let client = world.admin().await;
    let page = client.get("/settings").await.expect(200).text;
    assert!(page.contains("ends in 90 d") || page.contains("ends in 89 d"), "{page}");
    assert!(page.contains("renewed by itself"));
}

#[tokio::test]
async fn the_fleet_is_sorted_by_its_heads_and_a_row_comes_alone() {
    let world = World::new();
    let client = world.admin().await;
    let mut boat = boat(&world, &client).await;
    for name in ["Attic", "cellar"] {
        client.post("/api/hosts", &json!({"name": name})).await.expect(201);
    }
    let order = async |query: &str| {
        let page = client.get(&format!("/?{query}")).await.expect(200).text;
        let names = page.split("class=\"row-link\"").skip(1);
        let name = |rest: &str| rest.split('>').nth(1).unwrap().split('<').next().unwrap().to_owned();
        names.map(name).collect::<Vec<_>>()
    };
    assert_eq!(order("sort=name").await, ["Attic", "boat-pi", "cellar"]);
    assert_eq!(order("sort=-name").await, ["cellar", "boat-pi", "Attic"]);
    for known in ["sort=good", "sort=-good", "sort=seen", "sort=-seen"] {
        assert_eq!(order(known).await[0], "boat-pi", "{known}: what is not known comes last either way");
    }
    let page = client.get("/?sort=-good&state=new").await.expect(200).text;
    assert!(page.contains("aria-sort=\"descending\""), "{page}");
    assert!(page.contains("href=\"/?state=new&amp;sort=good\""), "pressed again it is turned round: {page}");
    let wrong = client.get("/?sort=colour").await;
    assert_eq!(wrong.status, 422);

    let address = format!("/hosts/{}/row", boat.host);
    assert_eq!(client.get(&address).await.status, 303, "whoever opens it gets the host");
    let row = client.get_htmx(&address).await.expect(200).text;
    assert!(row.trim().starts_with("<tr id=\"host-") && row.trim().ends_with("</tr>"), "{row}");
    let page = client.get("/").await.expect(200).text;
    let without_space = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(without_space(&page).contains(&without_space(&row)), "the row is the same as on the page");
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", boat.host)).await;
    boat.start(&world, job).await;
    assert!(client.get_htmx(&address).await.text.contains("Backup runs"));
}

#[tokio::test]
async fn a_form_that_is_sent_twice_does_its_work_once() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = boat(&world, &client).await;
    let host = format!("/hosts/{}", agent.host);
    let group = "name=photos&includes=%2Fsrv%2Fphotos";
    let schedule = "name=nightly&cron=30+2+*+*+*&timezone=UTC&groups=logbook&enabled=on";
    for (path, form, list) in [
        ("/hosts".to_owned(), "name=attic", "/api/hosts".to_owned()),
        (format!("{host}/groups"), group, format!("/api{host}/groups")),
        (format!("{host}/schedules"), schedule, format!("/api{host}/schedules")),
        ("/tokens".to_owned(), "name=ci&scopes=read", "/api/tokens".to_owned()),
        ("/viewers".to_owned(), "name=dashboard", "/api/viewers".to_owned()),
        (
            "/operators".to_owned(),
            "name=janne&role=viewer&password=a+few+words+in+a+row",
            "/api/operators".to_owned(),
        ),
    ] {
        client.post_form(&path, form).await.expect(303);
        let count = client.get(&list).await.expect(200).json()["items"].as_array().map(Vec::len);
        let again = client.post_form(&path, form).await;
        assert!([409, 422].contains(&again.status.as_u16()), "{path}: {} {}", again.status, again.text);
        assert_eq!(
            client.get(&list).await.expect(200).json()["items"].as_array().map(Vec::len),
            count,
            "{path}"
        );
    }
    // A backup that is asked for twice: the second press leads to the one that is under way.
    let backup = format!("{host}/groups/logbook/backup");
    client.post_form(&backup, "").await.expect(303);
    let _ = client.post_form(&backup, "").await;
    let jobs = client
        .get(&format!("/api/jobs?host={}&kind=backup&state=queued", agent.host))
        .await
        .expect(200)
        .json();
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(1), "{jobs}");
}

#[tokio::test]
async fn what_is_refused_at_the_broker_is_shown_where_it_helps() {
    let world = World::new();
    let admin = world.admin().await;
    assert!(admin.get("/refused-connections").await.expect(200).text.contains("No refused connections"));
    let host = admin.post("/api/hosts", &json!({"name": "barn"})).await.expect(201).json();
    let row = |name: Option<String>, reason, tries| web::RefusedConnection {
        origin: "192.0.2.7".to_owned(),
        name,
        reason,
        tries,
        first_ms_ago: 7_200_000,
        last_ms_ago: 60_000,
        let_in_ms_ago: None,
    };
    let of_host = host["id"].as_str().unwrap().to_owned();
    world.refused.lock().unwrap().rows = vec![
        row(Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned()), web::NotLetIn::UnknownHost, 2),
        row(Some(of_host.clone()), web::NotLetIn::HostPassword, 1),
        row(None, web::NotLetIn::NoTls, 900),
    ];
    let page = admin.get("/refused-connections").await.expect(200).text;
    insta::assert_snapshot!("refused_connections", words(&page));
    let fleet = admin.get("/").await.expect(200).text;
    assert!(!fleet.contains("What looks like an agent is refused"), "two tries are no agent");
    let head = admin.get(&format!("/hosts/{of_host}")).await.expect(200).text;
    assert!(head.contains("A machine that connects as this host is refused"), "{head}");
    assert!(head.contains("href=\"/refused-connections\""));
    world.refused.lock().unwrap().rows[0].tries = 3;
    let fleet = admin.get("/").await.expect(200).text;
    assert!(fleet.contains("What looks like an agent is refused") && fleet.contains("192.0.2.7"), "{fleet}");
    let list = admin.get("/api/refused-connections").await.expect(200).json();
    let first = &list["items"][0];
    assert_eq!(
        (&first["reason"], &first["last_at"]),
        (&json!("unknown_host"), &json!("2026-11-23T06:30:12Z")),
        "{first}"
    );
    world.refused.lock().unwrap().rows[0].last_ms_ago = 3_600_001;
    assert!(
        !admin.get("/").await.expect(200).text.contains("What looks like an agent is refused"),
        "an hour ago"
    );

    // What was let in since is still told, and nobody is sent to do something about it.
    for row in &mut world.refused.lock().unwrap().rows {
        (row.last_ms_ago, row.let_in_ms_ago) = (60_000, Some(30_000));
    }
    let page = admin.get("/refused-connections").await.expect(200).text;
    assert_eq!(page.matches("Over: it was let in").count(), 3, "{page}");
    assert!(!page.contains("Enrol it again"), "{page}");
    let fleet = admin.get("/").await.expect(200).text;
    assert!(!fleet.contains("What looks like an agent is refused"), "{fleet}");
    let head = admin.get(&format!("/hosts/{of_host}")).await.expect(200).text;
    assert!(!head.contains("A machine that connects as this host is refused"), "{head}");
    let list = admin.get("/api/refused-connections").await.expect(200).json();
    assert_eq!(list["items"][0]["let_in_at"], json!("2026-11-23T06:30:42Z"), "{list}");
}
