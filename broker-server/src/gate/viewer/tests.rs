use super::*;
use bytes::Bytes;
use v5::RetainHandling;

const PLAIN: Wish = Wish { retain_as_published: false, retained: RetainHandling::Always };

fn retained(max_gone: usize) -> Retained {
    Retained::new(2000, usize::MAX, max_gone)
}

/// Sets a topic, and gives what the router would bring of it.
fn put(retained: &Retained, topic: &str, payload: &str) -> TopicChange {
    let (topic, payload) =
        (Bytes::copy_from_slice(topic.as_bytes()), Bytes::copy_from_slice(payload.as_bytes()));
    let mut change = TopicChange { version: 0, topic: topic.clone(), payload: payload.clone() };
    let topic = std::str::from_utf8(&topic).unwrap();
    retained.put(topic, &payload, |version| change.version = version).unwrap();
    change
}

/// Topics, payloads and retain flags of the PUBLISH packets in `out`.
fn published(mut out: &[u8]) -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    while let Some(frame) = packet::frame(out, usize::MAX).unwrap() {
        let (this, rest) = out.split_at(frame.total_bytes());
        if let Ok(packet::Packet::Publish(publish)) = packet::packet(frame.first, &this[frame.header_bytes..])
        {
            let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
            found.push((publish.topic.into(), payload, publish.retain));
        }
        out = rest;
    }
    found
}

fn filled(session: &mut ViewerSession, retained: &Retained) -> Vec<(String, String, bool)> {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        session.fill(retained, &mut out).unwrap();
        if out.is_empty() {
            return all;
        }
        all.extend(published(&out));
    }
}

fn session(protocol: Protocol, retained: &Retained, filter: &str, wish: Wish) -> ViewerSession {
    let mut session = ViewerSession::new(protocol, false, 4, retained.version());
    session.subscribe(filter, wish).unwrap();
    session
}

fn brought(changes: impl IntoIterator<Item = TopicChange>) -> ViewMail {
    ViewMail { changes: changes.into_iter().collect(), ..ViewMail::default() }
}

fn missed() -> ViewMail {
    ViewMail { missed: true, ..ViewMail::default() }
}

fn said(topic: &str, payload: &str, retain: bool) -> (String, String, bool) {
    (topic.to_owned(), payload.to_owned(), retain)
}

#[test]
fn the_retained_set_comes_in_pieces_and_whole() {
    let retained = retained(10);
    for i in 0..1000 {
        put(&retained, &format!("hf/1/view/h{i}/repo"), &"x".repeat(100));
    }
    let mut session = session(Protocol::V311, &retained, "hf/1/view/#", PLAIN);
    let (mut found, mut pieces, mut out) = (Vec::new(), 0, Vec::new());
    loop {
        session.fill(&retained, &mut out).unwrap();
        if out.is_empty() {
            break;
        }
        assert!(out.len() < 2 * LOW_WATER_BYTES);
        pieces += 1;
        found.extend(published(&out));
        out.clear();
    }
    assert!(pieces > 5);
    assert_eq!(found.len(), 1000);
    assert!(found.iter().all(|(_, _, retain)| *retain));
}

#[test]
fn whoever_missed_something_is_told_what_is_different_and_what_is_gone() {
    let retained = retained(10);
    put(&retained, "hf/1/view/a/job/1", "sent");
    put(&retained, "hf/1/view/a/repo", "old");
    put(&retained, "hf/1/view/b/repo", "same");
    let mut session = session(Protocol::V311, &retained, "hf/1/view/#", PLAIN);
    assert_eq!(filled(&mut session, &retained).len(), 3);
    put(&retained, "hf/1/view/a/repo", "new");
    put(&retained, "hf/1/view/a/job/1", "");
    session.mail(missed());
    assert_eq!(
        filled(&mut session, &retained),
        [said("hf/1/view/a/repo", "new", false), said("hf/1/view/a/job/1", "", false)]
    );
    // And is in step again.
    let change = put(&retained, "hf/1/view/b/repo", "newer");
    session.mail(brought([change]));
    assert_eq!(filled(&mut session, &retained), [said("hf/1/view/b/repo", "newer", false)]);
}

#[test]
fn a_change_that_never_came_is_noticed_at_the_next_one() {
    let retained = retained(10);
    let mut session = session(Protocol::V311, &retained, "#", PLAIN);
    assert_eq!(filled(&mut session, &retained), []);
    let first = put(&retained, "hf/1/view/a/job/1", "sent");
    let _lost = put(&retained, "hf/1/view/a/job/1", "");
    let _lost = put(&retained, "hf/1/view/a/repo", "1");
    let last = put(&retained, "hf/1/view/b/repo", "1");
    session.mail(brought([first, last]));
    assert_eq!(
        filled(&mut session, &retained),
        [
            said("hf/1/view/a/job/1", "sent", false),
            said("hf/1/view/a/job/1", "", false),
            said("hf/1/view/a/repo", "1", false),
            said("hf/1/view/b/repo", "1", false),
        ]
    );
}

#[test]
fn who_is_always_behind_gets_the_retained_set_all_the_same() {
    let retained = retained(10);
    for i in 0..300 {
        put(&retained, &format!("hf/1/view/z{i}/repo"), "x");
    }
    let mut session = session(Protocol::V311, &retained, "hf/1/view/#", PLAIN);
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..40 {
        for i in 0..PIECE {
            put(&retained, &format!("hf/1/view/a{i}"), &format!("{round} {}", "x".repeat(LOW_WATER_BYTES)));
        }
        session.mail(missed());
        let mut out = Vec::new();
        session.fill(&retained, &mut out).unwrap();
        seen.extend(
            published(&out).into_iter().map(|(topic, ..)| topic).filter(|topic| topic.contains("/z")),
        );
    }
    assert_eq!(seen.len(), 300);
}

#[test]
fn who_is_too_far_behind_to_be_told_what_is_gone_is_let_go() {
    let retained = retained(3);
    for i in 0..10 {
        put(&retained, &format!("hf/1/view/a/job/{i}"), "sent");
    }
    let mut session = session(Protocol::V311, &retained, "hf/1/view/#", PLAIN);
    assert_eq!(filled(&mut session, &retained).len(), 10);
    for i in 0..4 {
        put(&retained, &format!("hf/1/view/a/job/{i}"), "");
    }
    session.mail(missed());
    assert_eq!(session.fill(&retained, &mut Vec::new()), Err(CloseReason::Behind));
}

#[test]
fn filters_are_bounded_and_changes_outside_of_them_are_not_sent() {
    let retained = retained(10);
    let mut session = session(Protocol::V311, &retained, "hf/1/view/a/#", PLAIN);
    for i in 1..4 {
        session.subscribe(&format!("hf/1/view/b{i}"), PLAIN).unwrap();
    }
    assert_eq!(session.subscribe("hf/1/view/c", PLAIN), Err(NotGranted::TooMany));
    session.subscribe("hf/1/view/b1", PLAIN).unwrap();
    let changes = ["hf/1/view/a/x", "hf/1/view/aa/x", "hf/1/view/b2"].map(|topic| put(&retained, topic, "1"));
    session.mail(brought(changes));
    let topics: Vec<_> = filled(&mut session, &retained).into_iter().map(|(topic, ..)| topic).collect();
    assert!(topics.contains(&"hf/1/view/b2".to_owned()) && !topics.contains(&"hf/1/view/aa/x".to_owned()));
}

#[test]
fn a_wide_filter_shows_what_is_allowed_and_nothing_else() {
    let retained = retained(10);
    let sealed = "hf/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/presence";
    put(&retained, sealed, "sealed");
    put(&retained, "hf/1/view/a/presence", "open");
    for (debug, expected) in
        [(false, vec!["hf/1/view/a/presence"]), (true, vec![sealed, "hf/1/view/a/presence"])]
    {
        for filter in ["#", "+/#", "hf/1/#", "+/+/+/+/#"] {
            let mut session = ViewerSession::new(Protocol::V311, debug, 4, retained.version());
            session.subscribe(filter, PLAIN).unwrap();
            let shown = |session: &mut ViewerSession| -> Vec<String> {
                filled(session, &retained).into_iter().map(|(topic, ..)| topic).collect()
            };
            assert_eq!(shown(&mut session), expected, "{filter}");
            let changes = [
                put(&retained, sealed, "sealed again"),
                put(&retained, "hf/1/view/a/presence", "open again"),
            ];
            session.mail(brought(changes));
            assert_eq!(shown(&mut session), expected, "{filter}");
        }
    }
}

#[test]
fn a_bridge_gets_changes_with_the_retain_flag_and_so_does_who_asks_for_it() {
    let retained = retained(10);
    let v5 = Protocol::V5(v5::Options { max_packet_bytes: usize::MAX, keeps_session: false });
    let kept = Wish { retain_as_published: true, ..PLAIN };
    for (protocol, wish, retain) in
        [(Protocol::V311, PLAIN, 0), (Protocol::Bridge, kept, 1), (v5, PLAIN, 0), (v5, kept, 1)]
    {
        let mut session = session(protocol, &retained, "hf/1/view/new/#", wish);
        for payload in ["1", ""] {
            let change = put(&retained, "hf/1/view/new/repo", payload);
            session.mail(brought([change]));
            let mut out = Vec::new();
            session.fill(&retained, &mut out).unwrap();
            assert_eq!(out.first(), Some(&(0x30 | retain)), "{protocol:?}");
        }
    }
}

#[test]
fn who_keeps_what_is_said_hears_at_the_beginning_what_is_gone_and_others_do_not() {
    let retained = retained(200);
    for i in 0..100 {
        put(&retained, &format!("hf/1/view/gone/job/{i}"), "sent");
        put(&retained, &format!("hf/1/view/gone/job/{i}"), "");
    }
    put(&retained, "hf/1/view/other/repo", "1");
    put(&retained, "hf/1/view/other/repo", "");
    put(&retained, "hf/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/presence", "sealed");
    put(&retained, "hf/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/presence", "");
    put(&retained, "hf/1/view/gone/repo", "1");
    let v5 = Protocol::V5(v5::Options { max_packet_bytes: usize::MAX, keeps_session: false });
    let kept = Wish { retain_as_published: true, ..PLAIN };
    let unasked = Wish { retained: RetainHandling::Never, ..kept };
    for (protocol, filter, wish, told) in [
        (Protocol::Bridge, "hf/1/view/gone/#", kept, 101),
        (Protocol::Bridge, "#", kept, 102),
        (Protocol::V311, "#", PLAIN, 1),
        (v5, "#", kept, 102),
        (v5, "#", PLAIN, 1),
        (v5, "#", unasked, 0),
    ] {
        let mut session = session(protocol, &retained, filter, wish);
        let mut out = Vec::new();
        session.fill(&retained, &mut out).unwrap();
        let mut frames = Vec::new();
        let mut rest = out.as_slice();
        while let Some(frame) = packet::frame(rest, usize::MAX).unwrap() {
            assert_eq!(frame.first, 0x31, "{protocol:?}");
            frames.push(frame.total_bytes());
            rest = &rest[frame.total_bytes()..];
        }
        assert_eq!(frames.len(), told, "{protocol:?} {filter}");
    }
    // What is back is not told to be gone, and the last word is what stands.
    put(&retained, "hf/1/view/other/repo", "2");
    let mut bridge = session(Protocol::Bridge, &retained, "hf/1/view/other/#", kept);
    assert_eq!(filled(&mut bridge, &retained), [said("hf/1/view/other/repo", "2", true)]);
}

#[test]
fn retained_messages_come_as_the_subscription_asks_for_them() {
    let retained = retained(10);
    put(&retained, "hf/1/view/a/repo", "1");
    for (handling, first, again) in
        [(RetainHandling::Always, 1, 1), (RetainHandling::IfNew, 1, 0), (RetainHandling::Never, 0, 0)]
    {
        let wish = Wish { retain_as_published: false, retained: handling };
        let mut session = session(Protocol::V311, &retained, "hf/1/view/#", wish);
        assert_eq!(filled(&mut session, &retained).len(), first, "{handling:?}");
        session.subscribe("hf/1/view/#", wish).unwrap();
        assert_eq!(filled(&mut session, &retained).len(), again, "{handling:?}");
    }
}

#[test]
fn what_is_too_large_for_a_client_is_not_sent_to_it() {
    let retained = retained(10);
    put(&retained, "hf/1/view/a/large", &"x".repeat(100));
    put(&retained, "hf/1/view/a/small", "x");
    let protocol = Protocol::V5(v5::Options { max_packet_bytes: 50, keeps_session: false });
    let mut session = session(protocol, &retained, "hf/1/view/#", PLAIN);
    let mut out = Vec::new();
    session.fill(&retained, &mut out).unwrap();
    let mut expected = Vec::new();
    v5::publish(&mut expected, "hf/1/view/a/small", b"x", true);
    assert_eq!(out, expected);
}
