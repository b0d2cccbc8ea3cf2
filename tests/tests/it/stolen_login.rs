//! A host's real credentials in wrong hands reach nothing of another host.

use schema::{Epoch, HostTopic, Presence};
use tests::{
    agent::Agent,
    host_login::{Claim, HostLogin},
    process::Finished,
    scene::Scene,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const FAR_EPOCH: Epoch = Epoch(1 << 40);

/// Two enrolled hosts: the scene's, which is being robbed, and another.
fn two_hosts() -> Option<(Scene, Agent)> {
    if !tools::needs(&[Tool::MosquittoSub, Tool::MosquittoPub]) {
        return None;
    }
    let scene = Scene::start_without_repository()?;
    let other = scene.api().add_host("other");
    let mut other = Agent::with_token(&scene.scratch.folder("other agent"), &other.id, &other.enroll_token);
    other.start();
    scene.api().wait_online(&other.host, true, SOON);
    Some((scene, other))
}

fn is_refused(subscribed: &Finished) -> bool {
    subscribed.output.contains("denied") || subscribed.output.contains("mid: 1): 128")
}

fn count_audited(scene: &Scene, host: &str, action: &str) -> usize {
    let audit = scene.api().get("/api/audit?limit=200").expect(200);
    let entries = audit["items"].as_array().cloned().unwrap_or_default();
    entries.iter().filter(|entry| entry["target_id"] == host && entry["action"] == action).count()
}

#[test]
fn a_host_subscribes_to_its_own_topics_and_to_nothing_else() {
    let Some((mut scene, other)) = two_hosts() else { return };
    let login = HostLogin::stolen_from(&scene.agent);
    scene.agent.kill_9();
    let honest = Claim::honest(scene.host());
    let (own, b) = (scene.host(), other.host.as_str());
    for filter in [
        "#".to_owned(),
        "+/#".to_owned(),
        "hf/#".to_owned(),
        "hf/1/#".to_owned(),
        "hf/1/+/cmd".to_owned(),
        "hf/1/+/presence".to_owned(),
        "hf/1/view/#".to_owned(),
        format!("hf/1/{b}/#"),
        format!("hf/1/{b}/cmd"),
        format!("hf/1/{b}/plan"),
        format!("hf/1/{b}/evt"),
        format!("hf/1/{b}/presence"),
        format!("$share/group/hf/1/{b}/cmd"),
        format!("hf/1/{own}/#"),
        "$SYS/#".to_owned(),
    ] {
        let subscribed = login.subscribe(&honest, &filter);
        assert!(subscribed.output.contains("received CONNACK (0)"), "{}", subscribed.output);
        assert!(is_refused(&subscribed), "{filter}: {}", subscribed.output);
        assert!(!subscribed.output.contains("message on"), "{filter}: {}", subscribed.output);
    }
    // The same tools, with what is its own.
    let subscribed = login.subscribe(&honest, &login.topic(HostTopic::Cmd));
    assert!(subscribed.output.contains("Subscribed") && !is_refused(&subscribed), "{}", subscribed.output);
    wait::until("the audit to tell of it", SOON, || {
        if count_audited(&scene, own, "mqtt.refused") > 0 { Ok(()) } else { Err("nothing".to_owned()) }
    });
    assert_eq!(scene.api().host(b)["online"], true);
}

#[test]
fn a_host_can_neither_speak_as_another_nor_take_its_place() {
    let Some((mut scene, mut other)) = two_hosts() else { return };
    let login = HostLogin::stolen_from(&scene.agent);
    let victim = HostLogin::stolen_from(&other);
    let own = scene.host().to_owned();
    let b = other.host.clone();
    scene.agent.kill_9();
    let before = scene.api().host(&b);
    let honest = Claim::honest(&own);

    // On the other's topics, with what would make it look gone, if it were believed.
    let gone = victim.sealed_presence(&Presence::Gone { epoch: FAR_EPOCH, clean: true });
    for topic in HostTopic::ALL {
        let _ = login.publish(&honest, &victim.topic(topic), &gone);
    }
    // Under the other's name, with the own password.
    for claim in [
        Claim { client_id: b.clone(), user: own.clone() },
        Claim { client_id: own.clone(), user: b.clone() },
        Claim { client_id: b.clone(), user: b.clone() },
        Claim { client_id: "enroll-".to_owned() + &b, user: own.clone() },
        Claim { client_id: "somebody".to_owned(), user: own.clone() },
    ] {
        let tried = login.publish(&claim, &victim.topic(HostTopic::Presence), &gone);
        assert!(!tried.status.success(), "{claim:?}: {}", tried.output);
        assert!(!tried.output.contains("CONNACK (0)"), "{claim:?}: {}", tried.output);
    }
    wait::until("the audit to tell of it", SOON, || {
        if count_audited(&scene, &own, "mqtt.refused") > 0 { Ok(()) } else { Err("nothing".to_owned()) }
    });
    // The other has noticed nothing: the same connection stands.
    let after = scene.api().host(&b);
    assert_eq!((&after["online"], &after["status"]), (&true.into(), &before["status"]), "{after}");
    assert!(!other.log().contains("the connection to"), "{}", other.log());

    // What was tried would have worked from the right hands.
    other.kill_9();
    scene.api().wait_online(&b, false, SOON);
    let _ = victim.publish(
        &Claim::honest(&b),
        &victim.topic(HostTopic::Presence),
        &victim.sealed_hello(FAR_EPOCH),
    );
    wait::until("a real login's hello to count", SOON, || {
        let host = scene.api().host(&b);
        if host["agent_version"] == "forged" { Ok(()) } else { Err(host.to_string()) }
    });
    // It has gone without a word, and without a will.
    scene.api().wait_online(&b, false, SOON);
}

#[test]
fn a_sealed_message_moved_to_another_host_does_not_open_and_is_audited() {
    let Some((mut scene, mut other)) = two_hosts() else { return };
    let login = HostLogin::stolen_from(&scene.agent);
    let victim = HostLogin::stolen_from(&other);
    let b = other.host.clone();
    scene.agent.kill_9();
    other.kill_9();
    scene.api().wait_online(&b, false, SOON);
    assert_eq!(count_audited(&scene, &b, "agent.forged"), 0);

    // Whoever sits in between moves what the one has said to the other's topic, over the other's own connection.
    let moved = login.sealed_hello(FAR_EPOCH);
    let published = victim.publish(&Claim::honest(&b), &victim.topic(HostTopic::Presence), &moved);
    assert!(published.status.success(), "{}", published.output);
    wait::until("the audit to tell of it", SOON, || match count_audited(&scene, &b, "agent.forged") {
        1 => Ok(()),
        count => Err(format!("{count} entries")),
    });
    let host = scene.api().host(&b);
    assert_eq!(host["online"], false, "{host}");
    assert_ne!(host["agent_version"], "forged", "{host}");
    // Its own topic does not help either, when it is not the one it was sealed for.
    let _ = victim.publish(
        &Claim::honest(&b),
        &victim.topic(HostTopic::RepoStats),
        &victim.sealed_hello(FAR_EPOCH),
    );
    // Nothing of it stays: the agent comes back as if nothing had been.
    other.start();
    scene.api().wait_online(&b, true, LONG);
    let host = scene.api().host(&b);
    assert_ne!(host["agent_version"], "forged", "{host}");
}
