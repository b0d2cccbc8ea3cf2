//! The page to restore files: what is picked, where to, the plan of a dry run, and what only a fresh plan and the name
//! of the host let be done; as a plain form, and as htmx asks.

use crate::agent::{TestAgent, boat, run};
use crate::words::words;
use crate::world::{Client, World};
use fleet::record::Role;
use schema::restore::{RestoreFailure, RestoreSummary};
use schema::{Abilities, Class, Items, JobId, Outcome, Summary};
use serde_json::{Value, json};

const SNAPSHOT: &str = "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00";

/// A boat whose one snapshot is listed.
async fn listed(world: &World, client: &Client) -> TestAgent {
    let mut agent = boat(world, client).await;
    let job = run(client, &format!("/api/hosts/{}/snapshots/refresh", agent.host)).await;
    agent.list(world, job, "logbook", "/srv/logbook").await;
    agent
}

fn job_of(location: &str) -> JobId {
    location.rsplit(['=', '/']).next().unwrap().parse().unwrap()
}

/// What a restore of these numbers of files says.
fn done(files: u64, replaced: u64, failed: u64) -> RestoreSummary<'static> {
    RestoreSummary {
        files,
        replaced,
        skipped: 0,
        deleted: 0,
        failed,
        bytes: 4_939_212_390,
        target: "/var/lib/holdfast/restored/holdfast-restore-4d02a9f1".into(),
        free_bytes: Some(1 << 40),
        is_estimate: false,
        verified: false,
        failures: Items::EMPTY,
        failures_left_out: 0,
    }
}

async fn ends(agent: &mut TestAgent, world: &World, job: JobId, summary: RestoreSummary<'_>) {
    agent.start(world, job).await;
    agent.finish(world, job, Outcome::Succeeded, None, "", Summary::Restore(summary)).await;
}

/// Makes a plan with the fields of the second part; where it leads.
async fn planned(client: &mut Client, href: &str, fields: &str) -> String {
    let form = format!("snapshot={SNAPSHOT}&path=%2Fsrv%2Flogbook%2Fa&{fields}");
    client.post_form(&format!("{href}/plan"), &form).await.expect(303).header("location").to_owned()
}

#[tokio::test]
async fn it_opens_at_what_was_backed_up_and_walks_on_by_plain_forms() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let host = client.get(&format!("/hosts/{}", agent.host)).await.expect(200).text;
    assert!(host.contains(&format!("href=\"{href}\"")), "{host}");

    // Looking changes nothing: the page asks the host for nothing by itself.
    let page = client.get(&href).await.expect(200).text;
    assert!(page.contains("/srv/logbook was not listed yet") && page.contains("group logbook"), "{page}");
    assert!(page.contains(&format!("hx-post=\"{href}?look=1\"")), "scripts ask at once: {page}");
    assert!(page.contains("Nothing picked yet"), "{page}");

    let form = format!("snapshot={SNAPSHOT}&at=%2Fsrv%2Flogbook");
    let answer = client.post_form(&format!("{href}?look=1"), &form).await.expect(303);
    let walked = answer.header("location").split('#').next().unwrap().to_owned();
    let page = client.get(&walked).await.expect(200).text;
    assert!(page.contains("Listing…") && page.contains("data-topics=\"job/"), "{page}");
    let open: Value = client.get("/api/jobs?kind=ls").await.json();
    let job = open["items"][0]["id"].as_str().unwrap().parse().unwrap();
    agent.look(&world, job, &["2026", "it's <b>"]).await;
    let page = client.get(&walked).await.expect(200).text;
    assert!(page.contains("value=\"/srv/logbook/it&#39;s &lt;b&gt;\""), "{page}");

    // What is ticked goes with each step; a folder that was not listed is asked for on the way.
    let form = format!("{form}&path=%2Fsrv%2Flogbook%2Fit%27s+%3Cb%3E&open=%2Fsrv%2Flogbook%2F2026");
    let answer = client.post_form(&href, &form).await.expect(303);
    let walked = answer.header("location").split('#').next().unwrap().to_owned();
    assert!(walked.contains("path=%2Fsrv%2Flogbook%2Fit%27s+%3Cb%3E&at=%2Fsrv%2Flogbook%2F2026"), "{walked}");
    let page = client.get(&walked).await.expect(200).text;
    assert!(page.contains("<b>1 picked</b>: 1 folder") && page.contains("Listing…"), "{page}");
    assert!(page.contains("Picked elsewhere"), "{page}");
    let again = client.get("/api/jobs?kind=ls").await.json();
    assert_eq!(again["items"].as_array().unwrap().len(), 2, "asked once more: {again}");

    // The count alone, as it is asked for with each tick.
    let ticked = format!("snapshot={SNAPSHOT}&path=%2Fsrv%2Flogbook%2F2026&path=%2Fx%2Fy&more=nonsense");
    let count = client.post_form(&format!("{href}?part=restore-picked"), &ticked).await.expect(200).text;
    assert!(count.contains("<b>2 picked</b>: 1 folder, 1 other path") && !count.contains("<html"), "{count}");
}

#[tokio::test]
async fn a_month_shows_the_days_that_have_snapshots_and_another_month_keeps_what_was_ticked() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let page = client.get(&href).await.expect(200).text;
    let day = |page: &str| {
        let (_, rest) = page.split_once("<table class=\"calendar\">").unwrap_or_else(|| panic!("{page}"));
        rest.split_once("aria-current=\"date\"")
            .map(|(before, _)| before.rsplit_once('<').unwrap().1.to_owned())
    };
    let current = day(&page).unwrap();
    assert!(current.contains(&format!("name=\"use\" value=\"{SNAPSHOT}\"")), "{current}");
    let ticked = format!("snapshot={SNAPSHOT}&path=%2Fsrv%2Flogbook%2F2026&month=1999-12");
    let there = client.post_form(&href, &ticked).await.expect(303);
    let there = there.header("location");
    assert!(
        there.ends_with("&month=1999-12#month") && there.contains("path=%2Fsrv%2Flogbook%2F2026"),
        "{there}"
    );
    let page = client.get(there).await.expect(200).text;
    assert!(page.contains("December 1999") && day(&page).is_none(), "{page}");
    assert!(page.contains("No earlier month has snapshots") && page.contains("<b>1 picked</b>"), "{page}");
}

#[tokio::test]
async fn what_can_not_be_is_said_where_it_was_typed() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let base = format!("snapshot={SNAPSHOT}");
    let page = client.post_form(&href, &format!("{base}&step=where")).await.expect(422).text;
    assert!(page.contains("Tick files or folders first"), "{page}");
    let page = client.post_form(&href, &format!("{base}&more=srv&step=where")).await.expect(422).text;
    assert!(page.contains("id=\"more-error\"") && page.contains("value=\"srv\""), "{page}");
    let page =
        client.post_form(&href, &format!("{base}&by_day=1&day=1999-12-31&group=")).await.expect(422).text;
    assert!(page.contains("No snapshot is as old as that"), "{page}");
    let there = client.post_form(&href, &format!("{base}&all=1&step=where")).await.expect(303);
    let page = client.get(there.header("location")).await.expect(200).text;
    assert!(page.contains("All of it") && page.contains("Make the plan"), "{page}");
    let bad = format!("{base}&path=%2Fsrv&to=within&folder=");
    let page = client.post_form(&format!("{href}/plan"), &bad).await.expect(422).text;
    assert!(page.contains("id=\"target.path-error\"") && page.contains("Name the folder"), "{page}");
    let bad = format!("{base}&path=%2F&to=original&delete=1");
    let page = client.post_form(&format!("{href}/plan"), &bad).await.expect(422).text;
    assert!(
        page.contains("Nothing is deleted from a whole machine")
            && page.contains("name=\"delete\" value=\"1\" checked"),
        "{page}"
    );

    // What is typed stays when the host has gone.
    agent.gone(&world, 1).await;
    let typed = format!("{base}&path=%2Fsrv&to=folder&folder=%2Fsrv%2Fback");
    let page = client.post_form(&format!("{href}/plan"), &typed).await.expect(409).text;
    assert!(page.contains("value=\"/srv/back\"") && page.contains("offline"), "{page}");
    // Neither does a script ask again and again.
    let look = format!("{base}&at=%2Fsrv%2Flogbook");
    let page = client.post_form(&format!("{href}?look=1"), &look).await.expect(200).text;
    assert!(page.contains("can’t be now") && !page.contains("hx-trigger=\"load\""), "{page}");
    for gone in ["01J00000000000000000000000", "nonsense"] {
        let page = client.get(&format!("{href}?plan={gone}")).await.expect(200).text;
        assert!(page.contains("This plan is not kept any more"), "{page}");
        client.post_form(&format!("{href}/start"), &format!("plan={gone}")).await.expect(404);
    }
}

#[tokio::test]
async fn more_paths_than_an_address_holds_are_carried_by_the_form() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = listed(&world, &client).await;
    let paths: String = (0..300).map(|at| format!("&path=%2Fsrv%2Flogbook%2Fa-long-name-{at}")).collect();
    let href = format!("/hosts/{}/restore", agent.host);
    let form = format!("snapshot={SNAPSHOT}{paths}&step=where");
    let page = client.post_form(&href, &form).await.expect(200).text;
    assert_eq!(
        page.matches("type=\"hidden\" name=\"path\"").count(),
        600,
        "the way on and the way back: {page}"
    );
    assert!(page.contains("300 picked"), "{page}");
    assert!(page.contains("names only 100 of the 300 paths"), "{page}");
}

#[tokio::test]
async fn only_a_plan_makes_the_button_live_and_it_carries_the_numbers() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let plan = planned(&mut client, &href, "to=new_folder&verify=1").await;
    let job = job_of(&plan);
    assert_eq!(
        planned(&mut client, &href, "to=new_folder&verify=1").await,
        plan,
        "pressed twice: one dry run"
    );
    let page = client.get(&plan).await.expect(200).text;
    assert!(
        page.contains(&format!("data-topics=\"job/{job}\"")) && !page.contains("/restore/start"),
        "{page}"
    );
    let early = client.post_form(&format!("{href}/start"), &format!("plan={job}")).await.expect(409).text;
    assert!(early.contains("The dry run has not ended yet"), "{early}");

    ends(&mut agent, &world, job, done(1_189, 14, 0)).await;
    let part = client.get_htmx(&format!("{plan}&part=restore-plan")).await.expect(200).text;
    assert!(part.contains("Restore 1,203 files, 4.60 GiB") && !part.contains("data-topics"), "{part}");
    insta::assert_snapshot!("restore_plan", words(&client.get(&plan).await.expect(200).text));
    let started = client.post_form(&format!("{href}/start"), &format!("plan={job}")).await.expect(303);
    let restore = job_of(started.header("location"));
    let made = client.get(&format!("/api/jobs/{restore}")).await.json();
    let asked = client.get(&format!("/api/jobs/{job}")).await.json();
    assert_eq!((&made["restore"], &made["dry_run"]), (&asked["restore"], &json!(false)), "{made}");

    // An hour later it has to be looked at again.
    world.pass(2 * 3_600_000);
    agent.hello(&world, 2).await;
    let late = client.post_form(&format!("{href}/start"), &format!("plan={job}")).await.expect(409).text;
    assert!(late.contains("what is there may have changed") && late.contains("disabled"), "{late}");
}

#[tokio::test]
async fn a_plan_that_is_started_twice_at_once_is_one_restore() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let job = job_of(&planned(&mut client, &href, "to=new_folder&verify=1").await);
    ends(&mut agent, &world, job, done(3, 0, 0)).await;
    let (mut one, mut other) = (client.clone(), client.clone());
    let (start, plan) = (format!("{href}/start"), format!("plan={job}"));
    let (first, second, third) = tokio::join!(
        one.post_form(&start, &plan),
        other.post_form(&start, &plan),
        client.post_form(&start, &plan)
    );
    let mut statuses = [first, second, third].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409, 409]);
}

#[tokio::test]
async fn what_a_restore_that_broke_off_has_left_is_not_left_alone_without_a_word() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let fields = "to=original&overwrite=never&verify=1";
    let plan = job_of(&planned(&mut client, &href, fields).await);
    ends(&mut agent, &world, plan, done(9, 0, 0)).await;
    let started =
        client.post_form(&format!("{href}/start"), &format!("plan={plan}&confirm=boat-pi")).await.expect(303);
    let broken = job_of(started.header("location"));
    agent.start(&world, broken).await;
    let full = Some(Class::DiskFull);
    agent.finish(&world, broken, Outcome::Failed, full, "no space left", Summary::None).await;
    let page = client.get(&format!("/jobs/{broken}")).await.expect(200).text;
    assert!(page.contains("What was restored before it ended is not known"), "{page}");
    assert!(page.contains("files that are not whole"), "{page}");
    // Restore again compares what is there.
    let again = client.get(&format!("{href}?plan={broken}")).await.expect(200).text;
    assert!(again.contains("value=\"always\" selected"), "{again}");
    // Another choice is told what it leaves.
    let plan = job_of(&planned(&mut client, &href, fields).await);
    ends(&mut agent, &world, plan, RestoreSummary { skipped: 9, verified: true, ..done(0, 0, 0) }).await;
    let page = client.get(&format!("{href}?plan={plan}")).await.expect(200).text;
    assert!(
        page.contains("Files there may not be whole") && page.contains("Nothing would be written"),
        "{page}"
    );
    // One that leaves all alone has mended nothing, and read nothing back.
    let body = json!({"snapshot": SNAPSHOT, "paths": ["/srv/logbook/a"], "confirm": "boat-pi",
        "target": {"kind": "original"}});
    let by_api = async |client: &Client, agent: &mut TestAgent, body: &Value, summary| {
        let made = client.post(&format!("/api{href}"), body).await.expect(202).json();
        let job: JobId = made["id"].as_str().unwrap().parse().unwrap();
        ends(agent, &world, job, summary).await;
        client.get(&format!("/api/jobs/{job}")).await.json()
    };
    let alone = RestoreSummary { skipped: 9, verified: true, ..done(0, 0, 0) };
    let left = by_api(&client, &mut agent, &body, alone).await;
    assert_eq!(left["summary"]["verified"], false, "{left}");
    let page = client.get(&format!("/jobs/{broken}")).await.expect(200).text;
    assert!(!page.contains("Fixed since"), "{page}");
    let mut other = body.clone();
    other["paths"] = json!(["/srv/logbook/b"]);
    other["overwrite"] = json!("always");
    by_api(&client, &mut agent, &other, done(9, 0, 0)).await;
    let page = client.get(&format!("/jobs/{broken}")).await.expect(200).text;
    assert!(!page.contains("Fixed since"), "of another file: {page}");
    let mut always = body;
    always["overwrite"] = json!("always");
    by_api(&client, &mut agent, &always, RestoreSummary { verified: true, ..done(0, 9, 0) }).await;
    let page = client.get(&format!("/jobs/{broken}")).await.expect(200).text;
    assert!(page.contains("Fixed since"), "{page}");
    let plan = job_of(&planned(&mut client, &href, fields).await);
    ends(&mut agent, &world, plan, RestoreSummary { skipped: 9, ..done(0, 0, 0) }).await;
    let page = client.get(&format!("{href}?plan={plan}")).await.expect(200).text;
    assert!(!page.contains("Files there may not be whole"), "{page}");
}

#[tokio::test]
async fn what_may_replace_files_asks_for_the_name_of_the_host_and_keeps_what_was_typed() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let plan = planned(&mut client, &href, "to=original&overwrite=if_changed&verify=1").await;
    let job = job_of(&plan);
    ends(&mut agent, &world, job, RestoreSummary { free_bytes: Some(1 << 30), ..done(0, 14, 0) }).await;
    let page = client.get(&plan).await.expect(200).text;
    for wanted in
        ["Type boat-pi to go on", "14 files are replaced. This can’t be undone.", "There is not enough room"]
    {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    let start = format!("{href}/start");
    let page = client.post_form(&start, &format!("plan={job}&confirm=boat")).await.expect(422).text;
    assert!(page.contains("id=\"confirm-error\"") && page.contains("value=\"boat\""), "{page}");
    client.post_form(&start, &format!("plan={job}&confirm=boat-pi")).await.expect(303);
    // A restore is no plan, and neither is the dry run of another host.
    let other = TestAgent::enrol(&world, &client, "barn").await;
    client
        .post_form(&format!("/hosts/{}/restore/start", other.host), &format!("plan={job}"))
        .await
        .expect(404);
    let page = client.get(&format!("/hosts/{}/restore?plan={job}", other.host)).await.expect(200).text;
    assert!(page.contains("This plan is one of another host."), "{page}");
}

#[tokio::test]
async fn another_host_restores_what_one_that_is_gone_has_saved_and_both_pages_show_it() {
    let world = World::new();
    let mut client = world.admin().await;
    let agent = listed(&world, &client).await;
    agent.gone(&world, 1).await;
    let mut bench = TestAgent::enrol(&world, &client, "bench").await;
    bench.hello(&world, 1).await;
    TestAgent::enrol(&world, &client, "barn").await;
    let (source, runner) = (agent.host, bench.host);
    let href = format!("/hosts/{source}/restore");
    let second = format!("{href}?snapshot={SNAPSHOT}&path=%2Fsrv%2Flogbook%2Fa&step=where");
    let page = client.get(&second).await.expect(200).text;
    for wanted in [
        "By another host only:",
        &format!("<option value=\"{runner}\">bench</option>"),
        "disabled>barn, can’t: it is offline</option>",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    // What its agent said of itself is told before anything is asked of it.
    for (epoch, abilities, wanted) in [
        (2, Abilities::FOR_OTHERS, ">bench, its policy did not allow it when it connected last</option>"),
        (3, Abilities::default(), "disabled>bench, can’t: its agent is too old for that; update it</option>"),
    ] {
        bench.abilities = abilities;
        bench.hello(&world, epoch).await;
        let page = client.get(&second).await.expect(200).text;
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    let too_old =
        client.post(&format!("/api{href}"), &json!({"snapshot": SNAPSHOT, "runner": "bench"})).await;
    assert_eq!(too_old.expect(409).code(), "runner_agent_too_old");
    bench.abilities = Abilities::FOR_OTHERS.and(Abilities::OTHERS_ALLOWED);
    bench.hello(&world, 4).await;
    let by_bench = format!("runner={runner}");
    let over = client.get(&format!("{second}&{by_bench}")).await.expect(200).text;
    assert!(over.contains("restore_in_place = true in its policy file"), "{over}");
    let bad = format!("snapshot={SNAPSHOT}&path=%2Fsrv&to=original&{by_bench}");
    let page = client.post_form(&format!("{href}/plan"), &bad).await.expect(422).text;
    assert!(page.contains("id=\"target.kind-error\"") && page.contains("selected>bench"), "{page}");

    let plan = planned(&mut client, &href, &format!("to=new_folder&verify=1&{by_bench}")).await;
    assert!(plan.starts_with(&href), "{plan}");
    ends(&mut bench, &world, job_of(&plan), done(3, 0, 0)).await;
    let page = client.get(&plan).await.expect(200).text;
    assert!(page.contains("on bench: a new folder") && page.contains("Restore 3 files"), "{page}");
    let started = client.post_form(&format!("{href}/start"), &format!("plan={}", job_of(&plan))).await;
    let location = started.expect(303).header("location").to_owned();
    let job = job_of(&location);
    let open = client.get(&format!("/api/jobs/{job}")).await.json();
    assert_eq!(
        (&open["host"], &open["restore"]["source"]),
        (&json!(runner.to_string()), &json!(source.to_string()))
    );
    ends(&mut bench, &world, job, RestoreSummary { verified: true, ..done(3, 0, 0) }).await;
    let page = client.get(&location).await.expect(200).text;
    for wanted in ["Files of", "boat-pi", "They are on bench.", &format!("{href}?plan={job}")] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    for host in [source, runner] {
        let of = format!("/jobs/{job}\"");
        assert!(client.get(&format!("/hosts/{host}")).await.expect(200).text.contains(&of), "{host}");
        let jobs = client.get(&format!("/hosts/{host}/jobs")).await.expect(200).text;
        assert!(jobs.contains(&of), "{host}: {jobs}");
    }

    // By the API; what may delete is confirmed by the name of the host that does it.
    let at = format!("/api{href}");
    let body = json!({"snapshot": SNAPSHOT, "runner": "bench", "delete": true, "confirm": "boat-pi",
        "target": {"kind": "folder", "path": "/srv/back"}});
    let answer = client.post(&at, &body).await.expect(422);
    assert_eq!(answer.code(), "confirm_required", "{}", answer.text);
    assert!(answer.text.contains("with bench, the name of the host that does it"), "{}", answer.text);
    let unknown = client.post(&at, &json!({"snapshot": SNAPSHOT, "runner": "nobody"})).await.expect(422);
    assert_eq!(unknown.json()["error"]["field"], "runner", "{}", unknown.text);
    let away = client.post(&at, &json!({"snapshot": SNAPSHOT, "runner": "barn"})).await.expect(409);
    assert_eq!(away.code(), "runner_offline", "{}", away.text);
    client.post(&at, &json!({"snapshot": SNAPSHOT, "runner": "bench"})).await.expect(202);
}

#[tokio::test]
async fn the_list_of_snapshots_is_read_again_without_leaving_it() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = listed(&world, &client).await;
    let list = format!("/hosts/{}/snapshots", agent.host);
    let answer = client.post_form(&format!("{list}/refresh"), "").await.expect(303);
    assert_eq!(answer.header("location"), list);
    let page = client.get(&list).await.expect(200).text;
    assert!(page.contains("The snapshots are being listed") && page.contains("4d02a9f1"), "{page}");
    let open: Value = client.get("/api/jobs?kind=snapshots").await.json();
    let job = open["items"][0]["id"].as_str().unwrap().parse().unwrap();
    agent.list(&world, job, "logbook", "/srv/logbook").await;
    let page = client.get(&list).await.expect(200).text;
    assert!(page.contains("when the list is refreshed"), "{page}");
}

#[tokio::test]
async fn the_page_of_the_job_says_what_is_missing_and_what_to_try_next() {
    let world = World::new();
    let mut client = world.admin().await;
    let mut agent = listed(&world, &client).await;
    let href = format!("/hosts/{}/restore", agent.host);
    let plan = planned(&mut client, &href, "to=new_folder&verify=1").await;
    ends(&mut agent, &world, job_of(&plan), done(1_206, 0, 0)).await;
    let started =
        client.post_form(&format!("{href}/start"), &format!("plan={}", job_of(&plan))).await.expect(303);
    let page = started.header("location").to_owned();
    let job = job_of(&page);
    agent.start(&world, job).await;
    agent.progress(&world, job, 420_000_000, "");
    let running = client.get(&page).await.expect(200).text;
    assert!(
        running.contains("42 %") && running.contains("Written") && running.contains("18,240"),
        "{running}"
    );

    let mut room = [0; 512];
    let failure = RestoreFailure { path: "/srv/logbook/a/<1>".into(), reason: "pack 7c1e can't be read" };
    let failures = Items::write([failure], &mut room).unwrap();
    let summary = RestoreSummary { failures, failures_left_out: 2, ..done(1_203, 0, 3) };
    let (outcome, class) = (Outcome::Warning, Some(Class::Other));
    agent.finish(&world, job, outcome, class, "3 of 1206 files failed", Summary::Restore(summary)).await;
    let ended = client.get(&page).await.expect(200).text;
    assert!(!ended.contains("callout is-ok") && !ended.contains("badge is-ok is-large"), "{ended}");
    assert!(
        ended.contains("/srv/logbook/a/&lt;1&gt;") && ended.contains(&format!("{href}?plan={job}")),
        "{ended}"
    );
    insta::assert_snapshot!("restore_partly", words(&ended));

    // Back with the same choices, where nothing is done before there is another plan.
    let again = client.get(&format!("{href}?plan={job}")).await.expect(200).text;
    assert!(again.contains("value=\"/srv/logbook/a\"") && again.contains("Make the plan"), "{again}");
}

#[tokio::test]
async fn viewers_see_no_way_to_restore() {
    let world = World::new();
    let client = world.admin().await;
    let agent = listed(&world, &client).await;
    let viewer = world.account(&client, "viola", Role::Viewer).await;
    let operator = world.account(&client, "otto", Role::Operator).await;
    let host = format!("/hosts/{}", agent.host);
    for page in
        [host.clone(), format!("{host}/snapshots"), format!("{host}/snapshots/{SNAPSHOT}?path=%2Fsrv")]
    {
        let of = format!("{host}/restore");
        assert!(operator.get(&page).await.expect(200).text.contains(&of), "{page}");
        assert!(!viewer.get(&page).await.expect(200).text.contains(&of), "{page}");
    }
    viewer.get(&format!("{host}/restore")).await.expect(403);
    operator.get(&format!("{host}/restore")).await.expect(200);
}
