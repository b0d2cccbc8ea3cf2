//! From an incident to the outboxes of channels, over restarts.

use crate::support::{DAY_MS, HOUR_MS, World, audited, by, enroll, in_memory, settings};
use fleet::record::{
    Actor, Cause, ChannelFlags, Email, Event, MailSecurity, RouteState, Secret, SendFault, Severity,
    TokenMachine, WebhookForm,
};
use fleet::{
    Acknowledgement, ChannelInput, ChannelView, DATA_FILE, DueMessage, Fleet, IncidentState, Page, Refused,
    RouteInput, Sent, ServerNeed,
};
use schema::{IncidentId, InstallationId, Timestamp};

const MINUTE_MS: u64 = 60_000;
/// It is used, and its messages have no links.
const ON: ChannelFlags = ChannelFlags { is_on: true, acknowledges: false };
const PASSWORD: &str = "a-password-of-a-mail-server";
const HOOK: &str = "https://hooks.example/services/the-secret-path";

fn mail() -> ChannelInput {
    let email = Email {
        server: "mail.example".to_owned(),
        port: 587,
        security: MailSecurity::StartTls,
        username: "holdfast".to_owned(),
        from: "holdfast@example.com".to_owned(),
        to: vec!["ada@example.com".to_owned()],
        ca: String::new(),
    };
    ChannelInput::Email { email, password: Some(Secret::new(PASSWORD)) }
}

fn hook() -> ChannelInput {
    ChannelInput::Webhook {
        form: WebhookForm::Json,
        url: Some(Secret::new(HOOK)),
        signing_key: Some(Secret::new("a-signing-key")),
        headers: None,
        secrets: None,
        template: None,
        ca: String::new(),
    }
}

fn route(name: &str, channels: &[&str]) -> RouteInput {
    RouteInput {
        name: name.to_owned(),
        state: RouteState::On,
        labels: Vec::new(),
        least: Severity::Warning,
        causes: Vec::new(),
        quiet_from: String::new(),
        quiet_until: String::new(),
        timezone: String::new(),
        channels: channels.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn disk() -> Vec<ServerNeed> {
    vec![ServerNeed { cause: Cause::ServerDisk, severity: Severity::Critical }]
}

fn refused() -> Sent {
    Sent::Refused { fault: SendFault::Status(500), said: "no".to_owned(), retry_after_ms: None }
}

fn channel(fleet: &Fleet, name: &str) -> ChannelView {
    let all = fleet.read().unwrap().channels().unwrap();
    all.into_iter().find(|channel| channel.name == name).unwrap()
}

async fn add(fleet: &Fleet, name: &str, input: ChannelInput) {
    fleet.add_channel(name.to_owned(), ON, input, by()).await.unwrap();
}

/// The server's disk fills, and that lasts.
async fn disk_fills(fleet: &Fleet, world: &World) {
    fleet.plan_incidents(disk()).await;
    world.pass(6 * MINUTE_MS);
    fleet.plan_incidents(disk()).await;
}

/// What is due, by the name of its channel.
async fn due(fleet: &Fleet) -> Vec<(String, DueMessage)> {
    let due = fleet.begin_messages().await.unwrap();
    due.into_iter().map(|message| (message.name.clone(), message)).collect()
}

fn told(message: &DueMessage) -> Vec<(Event, Cause)> {
    message.message.notices.iter().map(|notice| (notice.event, notice.cause)).collect()
}

#[tokio::test]
async fn the_first_channel_is_offered_everything_and_tells_it_once_it_was_tested_well() {
    let (world, fleet) = in_memory();
    add(&fleet, "mail", mail()).await;
    add(&fleet, "hook", hook()).await;
    let routes = || fleet.read().unwrap().routes().unwrap();
    let offered = routes();
    assert_eq!(offered.len(), 1);
    assert_eq!(
        (offered[0].route.state, &offered[0].channels),
        (RouteState::WhenTested, &vec!["mail".to_owned()])
    );
    disk_fills(&fleet, &world).await;
    assert!(due(&fleet).await.is_empty() && fleet.next_message_in_ms().unwrap().is_none());
    let test = fleet.test_message("mail").unwrap();
    assert!(test.message.notices.is_empty() && test.secrets.password.expose() == PASSWORD);
    fleet.channel_tested(test.channel, refused(), by()).await.unwrap();
    assert_eq!(routes()[0].route.state, RouteState::WhenTested);
    fleet.channel_tested(test.channel, Sent::Taken, by()).await.unwrap();
    assert_eq!(routes()[0].route.state, RouteState::On);
    assert_eq!(channel(&fleet, "mail").taken_at, Some(world.now()));
    let said: Vec<_> = audited(&fleet, "channel.tested").into_iter().map(|entry| entry.detail).collect();
    assert_eq!(said, ["mail; route everything is on; its report is on", "mail: status"]);
    // It is told that it still stands, as nobody has heard of it.
    world.pass(3 * DAY_MS);
    fleet.plan_incidents(disk()).await;
    let due = due(&fleet).await;
    assert_eq!(told(&due[0].1), [(Event::StillOpen, Cause::ServerDisk)]);
}

#[tokio::test]
async fn what_is_decided_is_in_the_outbox_and_on_disk_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let fleet = Fleet::open(folder.path(), settings(), world.driver()).unwrap();
    add(&fleet, "mail", mail()).await;
    add(&fleet, "hook", hook()).await;
    fleet.add_route(route("all", &["mail", "hook"]), by()).await.unwrap();
    disk_fills(&fleet, &world).await;
    assert_eq!((channel(&fleet, "mail").waiting, fleet.next_message_in_ms().unwrap()), (1, Some(0)));
    let first = due(&fleet).await;
    assert_eq!(first.len(), 2);
    let (mail, hook) = (first[1].1.clone(), first[0].1.clone());
    let (mail, hook) = if mail.name == "mail" { (mail, hook) } else { (hook, mail) };
    fleet.message_answered(mail.channel, mail.message.id, Sent::Taken).await.unwrap();
    // The server dies while the other one is on its way.
    fleet.shutdown().await;
    drop(fleet);
    let file = std::fs::read(folder.path().join(DATA_FILE)).unwrap();
    for secret in [PASSWORD, "the-secret-path", "a-signing-key"] {
        let is_there = file.windows(secret.len()).any(|piece| piece == secret.as_bytes());
        assert!(!is_there, "{secret}");
    }
    let fleet = Fleet::open(folder.path(), settings(), world.driver()).unwrap();
    fleet.plan_incidents(disk()).await;
    assert!(due(&fleet).await.is_empty(), "it waits a while after a try");
    world.pass(MINUTE_MS);
    let again = due(&fleet).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].1.message, hook.message, "one id, one message");
    fleet.message_answered(hook.channel, hook.message.id, Sent::Taken).await.unwrap();
    assert!(fleet.next_message_in_ms().unwrap().is_none());
    // Who was told is told that it is over; when it is told is in one transaction with the incident.
    fleet.plan_incidents(Vec::new()).await;
    world.pass(16 * MINUTE_MS);
    fleet.plan_incidents(Vec::new()).await;
    let over = due(&fleet).await;
    assert!(over.iter().all(|(_, due)| told(due) == [(Event::Recovered, Cause::ServerDisk)]), "{over:?}");
    assert_eq!(over.len(), 2);
}

#[tokio::test]
async fn a_channel_that_fails_is_an_incident_told_by_the_others_and_holds_none_of_them_up() {
    let (world, fleet) = in_memory();
    add(&fleet, "mail", mail()).await;
    add(&fleet, "hook", hook()).await;
    fleet.add_route(route("all", &["mail", "hook"]), by()).await.unwrap();
    disk_fills(&fleet, &world).await;
    for (name, message) in due(&fleet).await {
        let sent = if name == "mail" { refused() } else { Sent::Taken };
        fleet.message_answered(message.channel, message.message.id, sent).await.unwrap();
    }
    let failing = channel(&fleet, "mail");
    assert_eq!(failing.failing.as_ref().map(|(_, error)| error.fault), Some(SendFault::Status(500)));
    assert_eq!(failing.on_its_way.as_ref().map(|way| (way.notices, way.tries)), Some((1, 1)));
    fleet.plan_incidents(disk()).await;
    world.pass(6 * MINUTE_MS);
    fleet.plan_incidents(disk()).await;
    let open = fleet.read().unwrap().incidents(Some(IncidentState::Open), &Page::default(), 9).unwrap();
    assert!(open.items.iter().any(|seen| seen.incident.cause == Cause::Channel));
    for (name, message) in due(&fleet).await {
        let causes: Vec<_> = told(&message).into_iter().map(|(_, cause)| cause).collect();
        if name == "mail" {
            assert_eq!(causes, [Cause::ServerDisk], "the message of before, again");
        } else {
            assert_eq!(causes, [Cause::Channel]);
            assert_eq!(message.message.notices[0].channels, ["mail"], "it says which");
        }
        fleet.message_answered(message.channel, message.message.id, Sent::Taken).await.unwrap();
    }
    assert!(channel(&fleet, "mail").failing.is_none());
    fleet.plan_incidents(disk()).await;
    world.pass(16 * MINUTE_MS);
    fleet.plan_incidents(disk()).await;
    let over = due(&fleet).await;
    assert_eq!(over.len(), 1, "only who was told");
    assert_eq!((over[0].0.as_str(), told(&over[0].1)), ("hook", vec![(Event::Recovered, Cause::Channel)]));
}

#[tokio::test]
async fn three_hundred_hosts_with_one_cause_are_one_message_and_one_when_they_are_gone() {
    let (world, fleet) = in_memory();
    add(&fleet, "mail", mail()).await;
    fleet.add_route(route("all", &["mail"]), by()).await.unwrap();
    let nas = RouteInput { labels: vec!["nas".to_owned()], ..route("nas", &["mail"]) };
    fleet.add_route(nas, by()).await.unwrap();
    let mut hosts = Vec::new();
    for number in 0..300 {
        let (host, _) = fleet.create_host(&format!("host-{number:03}"), vec![], by()).await.unwrap();
        hosts.push(host.id);
    }
    fleet.plan_incidents(Vec::new()).await;
    world.pass(DAY_MS + HOUR_MS);
    fleet.plan_incidents(Vec::new()).await;
    let messages = due(&fleet).await;
    assert_eq!(messages.len(), 1);
    let notices = &messages[0].1.message.notices;
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].event, notices[0].count, notices[0].hosts.len()), (Event::Opened, 300, 20));
    assert_eq!(notices[0].hosts[0].1, "host-000");
    fleet.message_answered(messages[0].1.channel, messages[0].1.message.id, Sent::Taken).await.unwrap();
    for host in hosts {
        fleet.delete_host(host, by()).await.unwrap();
    }
    fleet.plan_incidents(Vec::new()).await;
    world.pass(16 * MINUTE_MS);
    fleet.plan_incidents(Vec::new()).await;
    let over = due(&fleet).await;
    assert_eq!(over.len(), 1);
    let notices = &over[0].1.message.notices;
    assert_eq!((notices.len(), notices[0].event, notices[0].count), (1, Event::Ended, 300));
}

#[tokio::test]
async fn who_was_told_of_an_incident_is_told_how_its_hosts_go_on() {
    let (world, fleet) = in_memory();
    add(&fleet, "mail", mail()).await;
    add(&fleet, "hook", hook()).await;
    let only = RouteInput { causes: vec!["not_enrolled".to_owned()], ..route("new", &["mail"]) };
    fleet.add_route(only, by()).await.unwrap();
    let other = RouteInput { causes: vec!["damaged".to_owned()], ..route("damaged", &["hook"]) };
    fleet.add_route(other, by()).await.unwrap();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    fleet.plan_incidents(Vec::new()).await;
    world.pass(DAY_MS + HOUR_MS);
    fleet.plan_incidents(Vec::new()).await;
    let opened = due(&fleet).await;
    assert_eq!(told(&opened[0].1), [(Event::Opened, Cause::NotEnrolled)]);
    fleet.message_answered(opened[0].1.channel, opened[0].1.message.id, Sent::Taken).await.unwrap();
    let token = fleet.new_enroll_token(host.id, TokenMachine::Any, by()).await.unwrap();
    enroll(&fleet, token.text.expose(), InstallationId([3; 16])).await.unwrap();
    fleet.plan_incidents(Vec::new()).await;
    world.pass(3 * MINUTE_MS);
    // No route is of this cause; but whoever heard of the host hears what it lacks now.
    let next = due(&fleet).await;
    assert_eq!(next.len(), 1);
    let (event, cause) = told(&next[0].1)[0];
    assert_eq!((next[0].0.as_str(), event), ("mail", Event::Opened));
    assert_ne!(cause, Cause::NotEnrolled);
    fleet.message_answered(next[0].1.channel, next[0].1.message.id, Sent::Taken).await.unwrap();
    // And that it is over.
    fleet.delete_host(host.id, by()).await.unwrap();
    fleet.plan_incidents(Vec::new()).await;
    world.pass(16 * MINUTE_MS);
    fleet.plan_incidents(Vec::new()).await;
    let over = due(&fleet).await;
    assert_eq!(over.len(), 1);
    assert_eq!(told(&over[0].1), [(Event::Ended, Cause::NotEnrolled), (Event::Ended, cause)]);
}

#[tokio::test]
async fn channels_and_routes_are_changed_and_deleted_and_what_waits_goes_with_them() {
    let (world, fleet) = in_memory();
    add(&fleet, "mail", mail()).await;
    let code = |refused: Result<(), Refused>| refused.unwrap_err().code();
    assert_eq!(code(fleet.add_channel("mail".to_owned(), ON, mail(), by()).await), "name_taken");
    assert_eq!(code(fleet.add_channel("a b".to_owned(), ON, mail(), by()).await), "invalid_input");
    assert_eq!(code(fleet.change_channel("x".to_owned(), ON, mail(), by()).await), "channel_not_found");
    assert_eq!(code(fleet.add_route(route("all", &["x"]), by()).await), "invalid_input");
    assert_eq!(code(fleet.change_route(route("all", &["mail"]), by()).await), "route_not_found");
    fleet.add_route(route("all", &["mail"]), by()).await.unwrap();
    assert_eq!(code(fleet.add_route(route("all", &["mail"]), by()).await), "name_taken");
    let bad = RouteInput { causes: vec!["weather".to_owned()], ..route("all", &["mail"]) };
    assert_eq!(fleet.change_route(bad, by()).await.unwrap_err().field(), Some("causes"));
    let quiet = RouteInput {
        quiet_from: "22:00".to_owned(),
        quiet_until: "07:00".to_owned(),
        timezone: "Europe/Nowhere".to_owned(),
        ..route("all", &["mail"])
    };
    assert_eq!(fleet.change_route(quiet, by()).await.unwrap_err().field(), Some("timezone"));
    disk_fills(&fleet, &world).await;
    assert_eq!(channel(&fleet, "mail").waiting, 1);
    fleet.change_channel("mail".to_owned(), ChannelFlags { is_on: false, ..ON }, mail(), by()).await.unwrap();
    let off = channel(&fleet, "mail");
    assert_eq!((off.flags.is_on, off.waiting), (false, 0));
    let said = &audited(&fleet, "channel.changed")[0].detail;
    assert!(said.contains("are dropped: 1"), "{said}");
    fleet.delete_channel("mail".to_owned(), by()).await.unwrap();
    assert_eq!(code(fleet.delete_channel("mail".to_owned(), by()).await), "channel_not_found");
    let routes = fleet.read().unwrap().routes().unwrap();
    assert!(routes.iter().all(|route| route.channels.is_empty() && route.route.channels.is_empty()));
    fleet.delete_route("all".to_owned(), by()).await.unwrap();
    assert_eq!(code(fleet.delete_route("all".to_owned(), by()).await), "route_not_found");
}

/// What there is to tell by mail, with the keys of its links.
async fn keys(fleet: &Fleet) -> Vec<(IncidentId, String)> {
    let mut all = Vec::new();
    for (_, message) in due(fleet).await {
        all.extend(message.message.ack_keys.clone());
        fleet.message_answered(message.channel, message.message.id, Sent::Taken).await.unwrap();
    }
    all
}

#[tokio::test]
async fn the_link_of_a_message_acknowledges_once_for_a_week_and_not_after_somebody_else_has() {
    let (world, fleet) = in_memory();
    let linked = ChannelFlags { acknowledges: true, ..ON };
    fleet.add_channel("mail".to_owned(), linked, mail(), by()).await.unwrap();
    add(&fleet, "hook", hook()).await;
    fleet.add_route(route("all", &["mail", "hook"]), by()).await.unwrap();
    disk_fills(&fleet, &world).await;
    let [(incident, key)] = keys(&fleet).await.try_into().expect("one of the two channels may have links");
    let code = |done: Result<(), Refused>| done.map_or_else(|refused| refused.code(), |()| "done");
    let shown = |key: &str| code(fleet.read().unwrap().incident_of_link(incident, key, 0).map(drop));
    let press = async |incident, key: &str| {
        let word = Acknowledgement { until: None, note: "seen".to_owned() };
        let pressed = fleet.acknowledge_by_link(
            incident,
            key.to_owned(),
            word,
            "shown".to_owned(),
            "a peer".to_owned(),
        );
        code(pressed.await)
    };
    assert_eq!(shown(&key), "done");
    assert_eq!(press(incident, &format!("{key}0")).await, "link_unknown");
    assert_eq!(press(IncidentId([9; 16]), &key).await, "incident_not_found");
    let off = async |flags| fleet.change_channel("mail".to_owned(), flags, mail(), by()).await.unwrap();
    for flags in [ON, ChannelFlags { is_on: false, ..linked }] {
        off(flags).await;
        assert_eq!((shown(&key), press(incident, &key).await), ("link_unknown", "link_unknown"), "{flags:?}");
    }
    off(linked).await;
    assert_eq!((press(incident, &key).await, press(incident, &key).await), ("done", "link_used"));
    let seen = || fleet.read().unwrap().incident(incident, 0).unwrap().unwrap().incident;
    let by_link = Actor::Link("mail".to_owned());
    assert_eq!(seen().ack.map(|ack| (ack.by, ack.note)), Some((by_link.clone(), "seen".to_owned())));
    let entries = audited(&fleet, "incident.acknowledged");
    assert_eq!((entries.len(), &entries[0].actor, entries[0].peer.as_str()), (1, &by_link, "a peer"));
    // Who takes that back has seen it: the link of before stays used.
    fleet.acknowledge_incident(incident, None, "shown".to_owned(), by()).await.unwrap();
    assert_eq!((shown(&key), press(incident, &key).await), ("link_used", "link_used"));
    world.pass(4 * DAY_MS);
    fleet.plan_incidents(disk()).await;
    let [(_, reminded)] = keys(&fleet).await.try_into().expect("it is still open");
    assert_ne!(reminded, key);
    assert_eq!((shown(&reminded), shown(&key)), ("done", "link_used"));
    world.pass(8 * DAY_MS);
    assert_eq!(press(incident, &reminded).await, "link_expired");
    fleet.plan_incidents(disk()).await;
    let [(_, last)] = keys(&fleet).await.try_into().expect("it is still open");
    fleet.plan_incidents(Vec::new()).await;
    assert_eq!(press(incident, &last).await, "incident_ended");
    world.pass(HOUR_MS);
    fleet.plan_incidents(Vec::new()).await;
    assert_eq!(keys(&fleet).await, [], "what is over is not acknowledged");
}

#[tokio::test]
async fn a_heartbeat_is_sent_again_and_again_is_no_way_to_tell_of_incidents_and_says_when_it_fails() {
    let (world, fleet) = in_memory();
    let beat = |every_min| ChannelInput::Heartbeat {
        url: Some(Secret::new("https://watch.example/ping/the-secret-path")),
        every_min,
        ca: String::new(),
    };
    let code = |done: Result<(), Refused>| done.map_or_else(|refused| refused.code(), |()| "done");
    for wrong in [0, 24 * 60 + 1] {
        assert_eq!(code(fleet.add_channel("beat".to_owned(), ON, beat(wrong), by()).await), "invalid_input");
    }
    let linked = ChannelFlags { acknowledges: true, ..ON };
    fleet.add_channel("beat".to_owned(), linked, beat(5), by()).await.unwrap();
    assert!(!channel(&fleet, "beat").flags.acknowledges);
    assert!(
        fleet.read().unwrap().routes().unwrap().is_empty(),
        "the first channel that tells gets the route"
    );
    assert_eq!(code(fleet.add_route(route("all", &["beat"]), by()).await), "invalid_input");
    add(&fleet, "mail", mail()).await;
    assert_eq!(fleet.read().unwrap().routes().unwrap().len(), 1);
    let due = async || fleet.begin_beats().await.unwrap();
    let [first] = due().await.try_into().expect("one at once");
    assert_eq!(first.secrets.url.expose(), "https://watch.example/ping/the-secret-path");
    fleet.beat_answered(first.channel, Sent::Taken).await.unwrap();
    assert!(due().await.is_empty());
    world.pass(5 * MINUTE_MS);
    assert_eq!(due().await.len(), 1);
    fleet.beat_answered(first.channel, refused()).await.unwrap();
    assert!(channel(&fleet, "beat").failing.is_some());
    world.pass(MINUTE_MS);
    assert_eq!(due().await.len(), 1, "sooner, for whoever watches waits");
    assert_eq!(fleet.next_message_in_ms().unwrap(), None, "it waits in no outbox");
    // The others tell of it.
    let failing = async || {
        fleet.plan_incidents(Vec::new()).await;
        let noticed = Some(IncidentState::Noticed);
        let all = fleet.read().unwrap().incidents(noticed, &Page::default(), 9).unwrap().items;
        all.iter().any(|seen| seen.incident.cause == Cause::Channel && seen.incident.ended.is_none())
    };
    assert!(failing().await);
    fleet.beat_answered(first.channel, Sent::Taken).await.unwrap();
    assert!(!failing().await);
    for (name, other) in [("beat", mail()), ("mail", beat(5))] {
        assert_eq!(code(fleet.change_channel(name.to_owned(), ON, other, by()).await), "invalid_input");
    }
    // Address and all stay where nothing else is said.
    let kept = ChannelInput::Heartbeat { url: None, every_min: 1, ca: String::new() };
    fleet.change_channel("beat".to_owned(), ON, kept, by()).await.unwrap();
    world.pass(MINUTE_MS);
    assert_eq!(due().await[0].secrets, first.secrets);
    fleet.delete_channel("beat".to_owned(), by()).await.unwrap();
    fleet.beat_answered(first.channel, Sent::Taken).await.unwrap();
    assert!(due().await.is_empty());
}

#[tokio::test]
async fn what_a_deleted_channel_has_sent_is_of_no_later_one_which_is_offered_its_route() {
    let (world, fleet) = in_memory();
    let linked = ChannelFlags { acknowledges: true, ..ON };
    let add = async |name: &str| {
        fleet.add_channel(name.to_owned(), linked, mail(), by()).await.unwrap();
        fleet.test_message(name).unwrap().channel
    };
    let first = add("mail").await;
    fleet.channel_tested(first, Sent::Taken, by()).await.unwrap();
    disk_fills(&fleet, &world).await;
    let [(incident, key)] = keys(&fleet).await.try_into().expect("it is told");
    fleet.delete_channel("mail".to_owned(), by()).await.unwrap();
    let second = add("another").await;
    assert_ne!(first, second);
    let refused = fleet.read().unwrap().incident_of_link(incident, &key, 0).map(drop);
    assert_eq!(refused.unwrap_err().code(), "link_unknown");
    let offered = fleet.read().unwrap().routes().unwrap();
    assert_eq!(offered.len(), 1);
    assert_eq!(
        (offered[0].route.state, &offered[0].channels),
        (RouteState::WhenTested, &vec!["another".to_owned()])
    );
    // What was under way to the first one says nothing of the second.
    let late = fleet.channel_tested(first, Sent::Taken, by()).await;
    assert_eq!(late.unwrap_err().code(), "channel_not_found");
    assert_eq!(fleet.read().unwrap().routes().unwrap()[0].route.state, RouteState::WhenTested);
}

#[tokio::test]
async fn a_link_that_was_used_while_the_clock_was_ahead_is_not_good_again() {
    let (world, fleet) = in_memory();
    let linked = ChannelFlags { acknowledges: true, ..ON };
    fleet.add_channel("mail".to_owned(), linked, mail(), by()).await.unwrap();
    fleet.add_route(route("all", &["mail"]), by()).await.unwrap();
    disk_fills(&fleet, &world).await;
    let [(incident, key)] = keys(&fleet).await.try_into().expect("it is told");
    let press = async || {
        let word = Acknowledgement::default();
        let pressed =
            fleet.acknowledge_by_link(incident, key.clone(), word, "shown".to_owned(), String::new());
        pressed.await.map_err(|refused| refused.code())
    };
    assert_eq!(press().await, Ok(()));
    let ahead = world.now();
    world.set(Timestamp(ahead.0 - 3 * DAY_MS));
    fleet.tick().await;
    assert_eq!(press().await, Err("link_used"));
    world.set(ahead.plus_ms(1));
    assert_eq!(press().await, Err("link_used"));
}
