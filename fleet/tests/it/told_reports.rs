//! Reports to channels: made when they are due, with what happened, and sent once over restarts.

use crate::support::{Agent, DAY_MS, HOUR_MS, World, audited, by, in_memory, settings};
use fleet::record::{
    Cause, ChannelFlags, EndCounts, MessageId, RouteState, Secret, SendFault, StorageRate, WebhookForm,
};
use fleet::{ChannelInput, ChannelView, DATA_FILE, DueMessage, Fleet, GraceInput, ReportInput, Sent};
use schema::stats::{LockSeen, Size, SizeSource, SnapshotCount};
use schema::{Class, Outcome, RepoId, RepoStats, StatsRevision, Timestamp};

/// Mon 20 Nov 2023 08:00 UTC: the first Monday after the world's first day.
const MONDAY: Timestamp = Timestamp(1_700_467_200_000);
const MINUTE_MS: u64 = 60_000;
const GIB: u64 = 1 << 30;

fn hook(form: WebhookForm) -> ChannelInput {
    let secrets = form.needs().iter().map(|name| ((*name).to_owned(), Some(Secret::new("secret"))));
    ChannelInput::Webhook {
        form,
        url: Some(Secret::new("https://hooks.example/x")),
        signing_key: None,
        headers: None,
        secrets: Some(secrets.collect()),
        template: None,
        ca: String::new(),
    }
}

fn weekly() -> ReportInput {
    ReportInput {
        state: RouteState::On,
        every: "weekly".to_owned(),
        day: "monday".to_owned(),
        at: "08:00".to_owned(),
        timezone: "UTC".to_owned(),
    }
}

async fn with_channel(fleet: &Fleet) {
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    fleet.add_channel("hook".to_owned(), flags, hook(WebhookForm::Json), by()).await.unwrap();
}

fn channel(fleet: &Fleet) -> ChannelView {
    fleet.read().unwrap().channels().unwrap().remove(0)
}

/// The report that is to be sent now.
async fn due(fleet: &Fleet) -> Option<DueMessage> {
    fleet.plan_reports().await.unwrap();
    let mut due = fleet.begin_messages().await.unwrap();
    assert!(due.len() <= 1 && due.iter().all(|one| one.message.report.is_some()), "{due:?}");
    due.pop()
}

async fn taken(fleet: &Fleet, due: &DueMessage) {
    fleet.message_answered(due.channel, due.message.id, Sent::Taken).await.unwrap();
}

fn refused() -> Sent {
    Sent::Refused { fault: SendFault::Status(500), said: "no".to_owned(), retry_after_ms: None }
}

#[tokio::test]
async fn the_first_channel_is_offered_a_report_each_monday_which_begins_with_a_good_test() {
    let (world, fleet) = in_memory();
    with_channel(&fleet).await;
    let plan = channel(&fleet).report.unwrap();
    assert_eq!(
        (plan.plan.state, plan.plan.every_word(), &*plan.plan.day_word()),
        (RouteState::WhenTested, "weekly", "monday")
    );
    assert_eq!((&*plan.plan.time_word(), plan.next_at), ("08:00", None));
    world.set(MONDAY);
    assert!(due(&fleet).await.is_none());
    let test = fleet.test_message("hook").unwrap();
    assert!(test.message.report.is_none());
    fleet.channel_tested(test.channel, Sent::Taken, by()).await.unwrap();
    assert!(due(&fleet).await.is_none(), "what was due before is none of it");
    assert_eq!(channel(&fleet).report.unwrap().next_at, Some(MONDAY.plus_ms(7 * DAY_MS)));
    world.pass(7 * DAY_MS);
    let report = due(&fleet).await.unwrap();
    let period = report.message.report.as_ref().unwrap();
    assert_eq!((period.from, period.until), (MONDAY, MONDAY.plus_ms(7 * DAY_MS)));
    taken(&fleet, &report).await;
    assert!(due(&fleet).await.is_none());
    assert!(channel(&fleet).report.unwrap().on_its_way.is_none());
    // A second channel is offered none, and one that keeps alerts takes none.
    let flags = ChannelFlags { is_on: true, acknowledges: false };
    fleet.add_channel("pager".to_owned(), flags, hook(WebhookForm::PagerDuty), by()).await.unwrap();
    let all = fleet.read().unwrap().channels().unwrap();
    assert!(all[1].report.is_none());
    let refused = fleet.set_report("pager".to_owned(), weekly(), by()).await.unwrap_err();
    assert!(refused.to_string().contains("keeps alerts"), "{refused}");
    assert!(fleet.report_message("pager").is_err());
}

#[tokio::test]
async fn a_report_keeps_its_id_and_its_words_over_restarts_until_it_is_taken() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let open = || Fleet::open(folder.path(), settings(), world.driver()).unwrap();
    let fleet = open();
    with_channel(&fleet).await;
    fleet.set_report("hook".to_owned(), weekly(), by()).await.unwrap();
    world.set(MONDAY);
    fleet.plan_reports().await.unwrap();
    fleet.shutdown().await;
    drop(fleet);
    // Each start tries it again, with another fleet meanwhile.
    let mut seen: Vec<(MessageId, _)> = Vec::new();
    for number in 0..4 {
        let fleet = open();
        fleet.create_host(&format!("host-{number}"), vec![], by()).await.unwrap();
        world.pass(HOUR_MS);
        let report = due(&fleet).await.unwrap();
        seen.push((report.message.id, report.message.report.clone()));
        if number % 2 == 0 {
            fleet.message_answered(report.channel, report.message.id, refused()).await.unwrap();
            let way = channel(&fleet).report.unwrap().on_its_way.unwrap();
            assert_eq!((way.tries, way.notices), (number + 1, 0));
            assert!(channel(&fleet).failing.is_some());
        }
        fleet.shutdown().await;
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    let fleet = open();
    world.pass(HOUR_MS);
    let report = due(&fleet).await.unwrap();
    taken(&fleet, &report).await;
    fleet.shutdown().await;
    drop(fleet);
    let fleet = open();
    world.pass(HOUR_MS);
    assert!(due(&fleet).await.is_none(), "it is told once");
    assert!(channel(&fleet).failing.is_none());
    assert!(folder.path().join(DATA_FILE).exists());
}

#[tokio::test]
async fn after_an_outage_one_report_is_made_and_none_for_a_while_in_which_it_was_off() {
    let (world, fleet) = in_memory();
    with_channel(&fleet).await;
    fleet.set_report("hook".to_owned(), weekly(), by()).await.unwrap();
    world.set(MONDAY.plus_ms(23 * DAY_MS));
    let report = due(&fleet).await.unwrap();
    let period = report.message.report.as_ref().unwrap();
    assert_eq!((period.from, period.until), (MONDAY.plus_ms(14 * DAY_MS), MONDAY.plus_ms(21 * DAY_MS)));
    // One that is not taken gives its place to the next one.
    fleet.message_answered(report.channel, report.message.id, refused()).await.unwrap();
    world.set(MONDAY.plus_ms(28 * DAY_MS));
    let next = due(&fleet).await.unwrap();
    assert_ne!(next.message.id, report.message.id);
    assert_eq!(next.message.report.as_ref().unwrap().until, MONDAY.plus_ms(28 * DAY_MS));
    // What is said of the one before says nothing of it.
    fleet.message_answered(report.channel, report.message.id, Sent::Taken).await.unwrap();
    assert!(channel(&fleet).report.unwrap().on_its_way.is_some());
    taken(&fleet, &next).await;
    let off = ReportInput { state: RouteState::Off, ..weekly() };
    fleet.set_report("hook".to_owned(), off, by()).await.unwrap();
    world.pass(8 * DAY_MS);
    assert!(due(&fleet).await.is_none());
    fleet.set_report("hook".to_owned(), weekly(), by()).await.unwrap();
    assert!(due(&fleet).await.is_none(), "what was due while it was off is due no more");
    // The channel is off, and on again.
    let switch = async |is_on| {
        let flags = ChannelFlags { is_on, acknowledges: false };
        fleet.change_channel("hook".to_owned(), flags, hook(WebhookForm::Json), by()).await.unwrap();
    };
    switch(false).await;
    assert_eq!(channel(&fleet).report.unwrap().next_at, None);
    world.pass(8 * DAY_MS);
    assert!(due(&fleet).await.is_none());
    switch(true).await;
    assert!(due(&fleet).await.is_none());
    world.pass(7 * DAY_MS);
    let report = due(&fleet).await.unwrap();
    switch(false).await;
    switch(true).await;
    assert!(due(&fleet).await.is_none(), "what waited at one that is switched off is dropped");
    fleet.message_answered(report.channel, report.message.id, Sent::Taken).await.unwrap();
    let said: Vec<_> = audited(&fleet, "report.changed").into_iter().map(|entry| entry.detail).collect();
    assert_eq!(said.last().unwrap(), "hook: on, weekly on monday at 08:00 (UTC)");
    fleet.delete_channel("hook".to_owned(), by()).await.unwrap();
    fleet.plan_reports().await.unwrap();
}

#[tokio::test]
async fn a_report_that_nobody_takes_is_given_up_after_two_days_and_told_as_such() {
    let (world, fleet) = in_memory();
    with_channel(&fleet).await;
    fleet.set_report("hook".to_owned(), weekly(), by()).await.unwrap();
    world.set(MONDAY);
    let mut tries = 0;
    while let Some(report) = due(&fleet).await {
        tries += 1;
        fleet.message_answered(report.channel, report.message.id, refused()).await.unwrap();
        world.pass(3 * HOUR_MS);
    }
    let channel = channel(&fleet);
    assert_eq!(tries, 20);
    assert_eq!((channel.lost.len(), channel.lost[0].notices, channel.lost[0].tries), (1, 0, 20));
    assert!(channel.report.unwrap().on_its_way.is_none());
}

fn stats(agent: &Agent, revision: u64, bytes: u64) -> RepoStats<'static> {
    let at = agent.world.now();
    RepoStats {
        stream: agent.stream,
        revision: StatsRevision(revision),
        at,
        job: None,
        repo: Some(RepoId([5; 32])),
        size: Some(Size { at, bytes, source: SizeSource::Measured }),
        snapshots: Some(SnapshotCount { at, count: 1, newest_at: Some(at) }),
        check: None,
        prune: None,
        lock: Some(LockSeen { at, lock: None }),
    }
}

#[tokio::test]
async fn a_report_says_what_happened_and_how_the_storage_grows() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    with_channel(&fleet).await;
    fleet.set_report("hook".to_owned(), weekly(), by()).await.unwrap();
    world.set(Timestamp(MONDAY.0 - 2 * HOUR_MS));
    for week in 0..5_u64 {
        fleet.plan_reports().await.unwrap();
        agent.stats(stats(&agent, week + 1, (100 + 7 * week) * GIB)).await;
        agent.back_up("etc", Outcome::Succeeded).await;
        world.pass(if week < 4 { 7 * DAY_MS } else { 0 });
    }
    let failed = agent.back_up("etc", Outcome::Failed).await;
    assert_eq!(failed.class, Some(Class::Network));
    // What somebody cancels is no failure.
    let cancelled = fleet.dispatch(agent.host, crate::support::backup("etc"), by()).await.unwrap();
    fleet.cancel(cancelled.id, by()).await.unwrap();
    fleet.create_host("barn", vec![], by()).await.unwrap();
    world.set(MONDAY.plus_ms(28 * DAY_MS));
    let waiting = fleet.begin_messages().await.unwrap();
    let report = match waiting.into_iter().next() {
        // That of a week before waits still.
        Some(older) => {
            assert!(older.message.report.is_some());
            due(&fleet).await
        }
        None => due(&fleet).await,
    };
    let report = report.unwrap();
    let period = report.message.report.as_ref().unwrap();
    assert_eq!(period.backups, EndCounts { good: 1, with_warnings: 0, failed: 1 });
    let network = Cause::Failed { class: Some(Class::Network), refusal: None };
    assert_eq!((period.failures.items[0].cause, period.failures.items[0].count), (network, 1));
    assert_eq!(period.failures.items.len(), 1);
    assert_eq!(period.added.items, ["barn"]);
    assert_eq!((period.now.hosts, period.before.unwrap().hosts), (2, 1));
    assert!(period.in_need.items.iter().any(|cause| cause.cause == network), "{:?}", period.in_need);
    assert_eq!((&*period.slowest.items[0].name, &*period.slowest.items[0].group), ("attic", "etc"));
    assert_eq!((&*period.largest.items[0].name, period.largest.items[0].bytes), ("attic", 128 * GIB));
    let storage = &period.storages.items[0];
    assert_eq!((storage.bytes, storage.change_bytes), (128 * GIB, Some(7 * GIB as i64)));
    assert_eq!(storage.rate, Some(StorageRate { per_day_bytes: GIB as i64, days: 28, repositories: 1 }));
    assert_eq!(storage.bytes_in(90), Some(218 * GIB));
    assert_eq!(period.agents.items[0].hosts, 1);
    assert_eq!(period.jobs_since, None);
    // One that is wanted now is of the last days, and changes nothing of those that are due.
    let next = channel(&fleet).report.unwrap().next_at;
    let now = fleet.report_message("hook").unwrap();
    let of_now = now.message.report.unwrap();
    assert_eq!(of_now.until.ms_since(of_now.from), 7 * DAY_MS);
    assert_eq!(channel(&fleet).report.unwrap().next_at, next);
    fleet.report_sent(now.channel, Sent::Taken, by()).await.unwrap();
    assert_eq!(audited(&fleet, "report.sent").len(), 1);
}

#[tokio::test]
async fn a_laptop_is_no_incident_for_as_long_as_its_label_lets_it_and_lists_show_it_all_the_same() {
    let (world, fleet) = in_memory();
    let (nas, _) = fleet.create_host("nas", vec![], by()).await.unwrap();
    let (laptop, _) = fleet.create_host("laptop-1", vec!["laptop".to_owned()], by()).await.unwrap();
    let grace =
        GraceInput { label: "laptop".to_owned(), causes: vec!["not_enrolled".to_owned()], hours: 5 * 24 };
    fleet.set_grace(grace.clone(), by()).await.unwrap();
    let plan = async |ms: u64| {
        world.pass(ms);
        fleet.plan_incidents(Vec::new()).await;
        let state = fleet.read().unwrap();
        let open = state.open_incidents().unwrap();
        let met = open.into_iter().flat_map(|id| state.incident(id, 9).unwrap().unwrap().hosts);
        let mut met: Vec<String> = met.filter(|met| met.left.is_none()).map(|met| met.name).collect();
        met.sort();
        met
    };
    assert!(plan(0).await.is_empty());
    assert_eq!(plan(DAY_MS).await, ["nas"]);
    let groups = fleet.read().unwrap().cause_groups().unwrap();
    assert!(groups.of(nas.id).unwrap().is_stored && !groups.of(laptop.id).unwrap().is_stored);
    assert_eq!(groups.all.iter().map(|group| group.hosts.len()).sum::<usize>(), 2);
    assert_eq!(plan(4 * DAY_MS - MINUTE_MS).await, ["nas"]);
    assert_eq!(plan(MINUTE_MS).await, ["laptop-1", "nas"]);
    // Nothing of it is taken back, and without its label a host is like any other.
    fleet.set_grace(GraceInput { hours: 90 * 24, ..grace }, by()).await.unwrap();
    assert_eq!(plan(MINUTE_MS).await, ["laptop-1", "nas"]);
    fleet.delete_grace("laptop".to_owned(), by()).await.unwrap();
    assert_eq!(fleet.delete_grace("laptop".to_owned(), by()).await.unwrap_err().code(), "grace_not_found");
    assert!(fleet.read().unwrap().graces().unwrap().is_empty());
    let said: Vec<_> = audited(&fleet, "grace").into_iter().map(|entry| entry.detail).collect();
    assert_eq!(said, ["laptop", "laptop: 2160 h, not_enrolled", "laptop: 120 h, not_enrolled"]);
}
