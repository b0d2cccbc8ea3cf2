use crate::support::{Agent, Got, backup, by, credentials, group, in_memory};
use fleet::record::{CredentialsInput, Group, Secret};
use fleet::{AuditFilter, Fleet, HostFilter, JobRequest, NoLogin, Page, Refused, Status};
use schema::report::Trouble;
use schema::{HostId, Outcome, Refusal, ReportBody, Slot, SlotRevision, Summary};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_name_is_one_hosts_in_whatever_letters() {
    let (_, fleet) = in_memory();
    let (attic, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    assert!(matches!(fleet.create_host("Attic", vec![], by()).await, Err(Refused::NameTaken { .. })));
    let renamed = fleet.update_host(attic.id, Some("Attic".into()), None, by()).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.restic_host.as_str()), ("Attic", "attic"));
    let renamed = fleet.update_host(attic.id, Some("cellar".into()), None, by()).await.unwrap();
    assert_eq!(renamed.restic_host, "attic", "snapshots keep their host name");
    fleet.create_host("attic", vec![], by()).await.unwrap();
    assert!(matches!(
        fleet.update_host(attic.id, Some("ATTIC".into()), None, by()).await,
        Err(Refused::NameTaken { .. })
    ));
    assert_eq!(fleet.read().unwrap().host_by_name("CELLAR").unwrap().unwrap().id, attic.id);
}

#[tokio::test]
async fn what_can_not_be_a_name_or_label_is_refused_with_its_field() {
    let (_, fleet) = in_memory();
    for name in ["", "-x", "a b", "a/b", "+", "ä", &"x".repeat(64)] {
        let refused = fleet.create_host(name, vec![], by()).await.unwrap_err();
        assert_eq!((refused.code(), refused.field()), ("invalid_input", Some("name")), "{name:?}");
    }
    let refused = fleet.create_host("attic", vec!["a b".into()], by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("labels"));
    assert!(fleet.read().unwrap().host_ids().unwrap().is_empty());
}

#[tokio::test]
async fn a_deleted_host_leaves_nothing_but_its_audit() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    let job = agent.back_up("etc", Outcome::Succeeded).await;
    fleet.delete_host(agent.host, by()).await.unwrap();
    let read = fleet.read().unwrap();
    assert!(read.host(agent.host).unwrap().is_none());
    assert!(read.host_by_name("attic").unwrap().is_none());
    assert!(read.job(job.id).unwrap().is_none());
    assert!(read.credentials(agent.host, Slot::Repo).unwrap().is_none());
    assert!(read.groups(agent.host).unwrap().is_empty());
    assert!(read.fleet(&HostFilter::default()).is_empty());
    assert_eq!(fleet.login_host(agent.host, &agent.password), Err(NoLogin::Unknown));
    let filter = AuditFilter { target: Some("ATTIC".into()), ..AuditFilter::default() };
    let entries = read.audit(&filter, &Page::default()).unwrap().items;
    assert_eq!(entries.first().unwrap().action.code(), "host.deleted");
    // What its agent still sends comes to nothing.
    let handled = fleet.handle_presence(agent.host, &agent.hello_bytes(&[]), "").await.unwrap();
    assert_eq!(handled, fleet::Handled::default());
    assert!(matches!(fleet.delete_host(agent.host, by()).await, Err(Refused::HostNotFound)));
    fleet.create_host("attic", vec![], by()).await.unwrap();
}

#[tokio::test]
async fn an_absent_secret_keeps_the_stored_one() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::enrolled(&world, &fleet, "attic").await;
    let host = agent.host;
    let mut input = credentials();
    input.env = Some(BTreeMap::from([
        ("AWS_SECRET_ACCESS_KEY".to_owned(), Some(Secret::new("one"))),
        ("AWS_ACCESS_KEY_ID".to_owned(), Some(Secret::new("two"))),
    ]));
    let first = fleet.put_credentials(host, Slot::Repo, input, by()).await.unwrap();
    assert_eq!((first.revision, first.env_names.len()), (SlotRevision(1), 2));
    let keep = CredentialsInput {
        url: "rest:https://box.example:8000/new".into(),
        env: Some(BTreeMap::from([("AWS_SECRET_ACCESS_KEY".to_owned(), None)])),
        ..CredentialsInput::default()
    };
    let second = fleet.put_credentials(host, Slot::Repo, keep, by()).await.unwrap();
    assert_eq!(
        (second.revision, second.username.as_str(), second.has_password),
        (SlotRevision(2), "attic", true)
    );
    assert_eq!(second.env_names, ["AWS_SECRET_ACCESS_KEY"]);
    let got = agent.take_all();
    let passwords: Vec<_> = got
        .iter()
        .map(|got| match got {
            Got::Config { repo_password, .. } => repo_password.clone().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(passwords, ["repo-password", "repo-password"]);
    let no_value = CredentialsInput {
        url: "rest:https://box.example:8000/new".into(),
        env: Some(BTreeMap::from([("B2_ACCOUNT_KEY".to_owned(), None)])),
        ..CredentialsInput::default()
    };
    let refused = fleet.put_credentials(host, Slot::Repo, no_value, by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("env"));
}

#[tokio::test]
async fn stored_secrets_do_not_follow_to_another_machine() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let env = |value: Option<&str>| {
        Some(BTreeMap::from([("AWS_SECRET_ACCESS_KEY".to_owned(), value.map(Secret::new))]))
    };
    for slot in [Slot::Repo, Slot::Admin] {
        let full = CredentialsInput { env: env(Some("key")), ..credentials() };
        fleet.put_credentials(host.id, slot, full.clone(), by()).await.unwrap();
        for url in [
            "rest:http://box.example:8000/attic",
            "rest:https://box.example:8001/attic",
            "rest:https://evil.example:8000/attic",
        ] {
            let bare = CredentialsInput { url: url.into(), ..CredentialsInput::default() };
            let password = CredentialsInput { password: Some(Secret::new("new")), ..bare.clone() };
            let both = CredentialsInput { repo_password: Some(Secret::new("new")), ..password.clone() };
            let named = CredentialsInput { env: env(None), ..both.clone() };
            for (input, field) in
                [(bare, "password"), (password, "repo_password"), (both, "env"), (named, "env")]
            {
                let refused = fleet.put_credentials(host.id, slot, input, by()).await.unwrap_err();
                assert_eq!(refused.field(), Some(field), "{url}");
                assert!(refused.to_string().contains("again"), "{refused}");
            }
        }
        let s3 =
            CredentialsInput { url: "s3:https://evil.example/attic".into(), ..CredentialsInput::default() };
        let refused = fleet.put_credentials(host.id, slot, s3, by()).await.unwrap_err();
        assert_eq!(refused.field(), Some("repo_password"), "a password that has no place there is dropped");
        // A proxy sees what restic sends, as a machine of that name would.
        let aside = CredentialsInput {
            url: full.url.clone(),
            env: Some(BTreeMap::from([
                ("HTTP_PROXY".to_owned(), Some(Secret::new("http://evil.example/"))),
                ("AWS_SECRET_ACCESS_KEY".to_owned(), None),
            ])),
            ..CredentialsInput::default()
        };
        let refused = fleet.put_credentials(host.id, slot, aside, by()).await.unwrap_err();
        assert_eq!(refused.field(), Some("password"));
        let path = CredentialsInput {
            url: "rest:https://BOX.example:8000/other".into(),
            env: env(None),
            ..CredentialsInput::default()
        };
        let kept = fleet.put_credentials(host.id, slot, path, by()).await.unwrap();
        assert!(kept.has_password && kept.env_names == ["AWS_SECRET_ACCESS_KEY"]);
        let local = CredentialsInput {
            url: "/srv/attic".into(),
            repo_password: Some(Secret::new("new")),
            env: Some(BTreeMap::new()),
            ..CredentialsInput::default()
        };
        let moved = fleet.put_credentials(host.id, slot, local, by()).await.unwrap();
        assert!(!moved.has_password && moved.username.is_empty());
    }
}

#[tokio::test]
async fn what_an_agent_would_refuse_is_refused_when_it_is_typed() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    for url in ["relative", "S3:evil", "rclone::sftp,ssh=x:", "rest:http://h/?password=secret"] {
        let input = CredentialsInput { url: url.into(), ..credentials() };
        let refused = fleet.put_credentials(host.id, Slot::Repo, input, by()).await.unwrap_err();
        assert_eq!(refused.field(), Some("url"), "{url}");
    }
    for name in ["LD_PRELOAD", "PATH", "RCLONE_CONFIG", "SSH_AUTH_SOCK", "RESTIC_PASSWORD_COMMAND"] {
        let env = Some(BTreeMap::from([(name.to_owned(), Some(Secret::new("x")))]));
        let input = CredentialsInput { env, ..credentials() };
        let refused = fleet.put_credentials(host.id, Slot::Repo, input, by()).await.unwrap_err();
        assert_eq!(refused.field(), Some("env"), "{name}");
        assert!(refused.to_string().contains(name), "{refused}");
    }
}

#[tokio::test]
async fn slashes_at_the_end_of_a_path_are_not_kept() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let wanted = Group {
        includes: vec!["/etc/".into(), "/srv//".into(), "/".into()],
        required_mounts: vec!["/srv/".into()],
        ..group("etc")
    };
    let kept = fleet.put_group(host.id, None, wanted, by()).await.unwrap();
    assert_eq!(kept.includes, ["/etc", "/srv", "/"]);
    assert_eq!(kept.required_mounts, ["/srv"]);
}

#[tokio::test]
async fn the_agents_own_state_folder_is_no_source_and_what_lies_above_or_beside_it_is() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let put = |path: &str| {
        let includes = vec!["/etc".to_owned(), path.to_owned()];
        fleet.put_group(host.id, None, Group { includes, ..group(&format!("g{}", path.len())) }, by())
    };
    for path in ["/var/lib/holdfast-agent", "/var/lib//holdfast-agent/", "/var/./lib/holdfast-agent/journal"]
    {
        let refused = put(path).await.unwrap_err();
        assert_eq!(refused.field(), Some("includes"), "{path}");
        assert!(refused.to_string().contains("holds its keys"), "{refused}");
    }
    for path in ["/var/lib", "/", "/var/lib/holdfast-agent2", "/srv/var/lib/holdfast-agent"] {
        put(path).await.unwrap();
    }
}

#[tokio::test]
async fn credentials_without_a_repository_password_are_refused() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let input = CredentialsInput { url: "/srv/attic".into(), ..CredentialsInput::default() };
    let refused = fleet.put_credentials(host.id, Slot::Repo, input, by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("repo_password"));
    let input = CredentialsInput { url: String::new(), ..credentials() };
    let refused = fleet.put_credentials(host.id, Slot::Repo, input, by()).await.unwrap_err();
    assert_eq!(refused.field(), Some("url"));
    assert!(matches!(
        fleet.put_credentials(HostId([9; 16]), Slot::Repo, credentials(), by()).await,
        Err(Refused::HostNotFound)
    ));
}

#[tokio::test]
async fn a_repository_password_that_restic_would_trim_is_refused_with_the_reason() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let put = |slot, password: String| {
        let input = CredentialsInput { repo_password: Some(Secret::new(password)), ..credentials() };
        fleet.put_credentials(host.id, slot, input, by())
    };
    let marks = [' ', '\t', '\n', '\u{a0}', '\u{feff}', '\u{2003}', '\u{2028}', '\u{3000}', '\u{85}'];
    for mark in marks.into_iter().chain(['\u{200b}', '\u{200d}', '\u{2060}', '\u{202e}', '\u{ad}']) {
        for password in [format!("{mark}hunter2"), format!("hunter2{mark}"), mark.to_string()] {
            for slot in [Slot::Repo, Slot::Admin] {
                let refused = put(slot, password.clone()).await.unwrap_err();
                assert_eq!(refused.field(), Some("repo_password"), "{password:?}");
                let words = refused.to_string();
                assert!(words.contains("begins or ends with white space"), "{words}");
                assert!(!words.contains("hunter2"), "{words}");
            }
        }
    }
    assert!(fleet.read().unwrap().credentials(host.id, Slot::Repo).unwrap().is_none());
    put(Slot::Repo, "a b\u{a0}c".to_owned()).await.expect("inside it may stand");
}

#[tokio::test]
async fn deleting_credentials_twice_is_one_change_and_the_agent_is_told() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.delete_credentials(agent.host, Slot::Repo, by()).await.unwrap();
    fleet.delete_credentials(agent.host, Slot::Repo, by()).await.unwrap();
    fleet.delete_credentials(agent.host, Slot::Admin, by()).await.unwrap();
    let got = agent.take_all();
    assert!(matches!(
        got.as_slice(),
        [Got::Config { slot: Slot::Repo, revision: SlotRevision(2), repo_password: None, .. }]
    ));
    assert!(fleet.read().unwrap().credentials(agent.host, Slot::Repo).unwrap().is_none());
    // Set again, the revision goes on.
    let facts = fleet.put_credentials(agent.host, Slot::Repo, credentials(), by()).await.unwrap();
    assert_eq!(facts.revision, SlotRevision(3));
}

#[tokio::test]
async fn when_the_admin_slot_is_set_the_agent_is_asked_for_it_and_gets_no_secret() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    let got = agent.take_all();
    let [
        Got::Config {
            slot: Slot::Admin, revision: SlotRevision(1), for_job: None, repo_password: None, ..
        },
    ] = got[..]
    else {
        panic!("{got:?}")
    };
    let facts = |fleet: &Fleet| fleet.read().unwrap().credentials(agent.host, Slot::Admin).unwrap().unwrap();
    assert_eq!((facts(&fleet).held_revision, facts(&fleet).refused), (SlotRevision::ZERO, None));
}

#[tokio::test]
async fn an_agent_that_refuses_the_admin_slot_is_told_of_and_asked_again_at_each_hello_until_it_takes_it() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_credentials(agent.host, Slot::Admin, credentials(), by()).await.unwrap();
    let facts = |host| fleet.read().unwrap().credentials(host, Slot::Admin).unwrap().unwrap();
    let refusals = || {
        let audit = fleet.read().unwrap().audit(&AuditFilter::default(), &Page::default()).unwrap();
        audit.items.iter().filter(|entry| entry.action.code() == "credentials.refused").count()
    };
    agent.repo_revision = SlotRevision(1);
    let refused = Some(Refusal::Policy);
    let answer =
        |refused| ReportBody::ConfigApplied { slot: Slot::Admin, revision: SlotRevision(1), refused };
    for _ in 0..3 {
        assert!(matches!(agent.take_all()[..], [Got::Config { slot: Slot::Admin, .. }]));
        agent.report(answer(refused)).await;
        assert_eq!(facts(agent.host).refused, refused);
        agent.hello(&[]).await;
    }
    assert_eq!(refusals(), 1, "said once");
    assert!(matches!(agent.take_all()[..], [Got::Config { slot: Slot::Admin, .. }]));
    agent.report(answer(None)).await;
    assert_eq!((facts(agent.host).held_revision, facts(agent.host).refused), (SlotRevision(1), None));
    agent.hello(&[]).await;
    assert_eq!(agent.take_all(), []);
}

#[tokio::test]
async fn a_group_is_created_renamed_and_deleted() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let host = host.id;
    fleet.put_group(host, None, group("etc"), by()).await.unwrap();
    assert!(matches!(fleet.put_group(host, None, group("etc"), by()).await, Err(Refused::NameTaken { .. })));
    assert!(matches!(
        fleet.put_group(host, Some("home"), group("home"), by()).await,
        Err(Refused::GroupNotFound)
    ));
    fleet.put_group(host, None, group("home"), by()).await.unwrap();
    assert!(matches!(
        fleet.put_group(host, Some("etc"), group("home"), by()).await,
        Err(Refused::NameTaken { .. })
    ));
    fleet.put_group(host, Some("etc"), group("config"), by()).await.unwrap();
    let names = |fleet: &Fleet| -> Vec<String> {
        fleet.read().unwrap().groups(host).unwrap().into_iter().map(|group| group.name).collect()
    };
    assert_eq!(names(&fleet), ["config", "home"]);
    assert_eq!(fleet.read().unwrap().host_row(host).unwrap().groups, 2);
    fleet.delete_group(host, "config", by()).await.unwrap();
    assert!(matches!(fleet.delete_group(host, "config", by()).await, Err(Refused::GroupNotFound)));
    assert_eq!(names(&fleet), ["home"]);
}

#[tokio::test]
async fn a_host_can_not_be_called_like_an_address_or_an_id() {
    let (_, fleet) = in_memory();
    let (host, _) = fleet.create_host("attic", vec![], by()).await.unwrap();
    let id = host.id.to_string();
    for name in ["new", "New", "01KB0000000000000000000000", &id, &id.to_lowercase()] {
        let refused = fleet.create_host(name, vec![], by()).await.unwrap_err();
        assert_eq!(refused.field(), Some("name"), "{name}");
        let refused = fleet.update_host(host.id, Some(name.to_owned()), None, by()).await.unwrap_err();
        assert!(refused.to_string().contains("choose another"), "{refused}");
    }
    fleet.create_host("new-attic", vec![], by()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_cant_write_its_state_folder_needs_somebody_until_it_takes_a_job_again() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    agent.back_up("etc", Outcome::Succeeded).await;
    let told = |fleet: &Fleet, host| {
        let row = fleet.read().unwrap().host_row(host).unwrap();
        row.status == Status::Failed && row.reason.code() == "state_folder"
    };
    let running = fleet.dispatch(agent.host, backup("etc"), by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: running.id, behind: 0 }).await;
    agent.report(ReportBody::Started { job: running.id }).await;
    assert!(!told(&fleet, agent.host));
    // Its end can't be written down, so that it seems to run.
    agent.report(ReportBody::Trouble { kind: Trouble::StateFolder, detail: "full" }).await;
    assert!(told(&fleet, agent.host));
    agent.hello(&[]).await;
    let presence = fleet.read().unwrap().presence(agent.host).unwrap();
    assert!(presence.state_folder_since.is_some(), "a connection says nothing of its disk");
    agent.finish(running.id, Outcome::Succeeded, Summary::None).await;
    let refused = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Refused { job: refused.id, reason: Refusal::StateFolder, detail: "full" }).await;
    assert!(told(&fleet, agent.host));
    let taken = fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap();
    agent.take_all();
    agent.report(ReportBody::Accepted { job: taken.id, behind: 0 }).await;
    assert!(!told(&fleet, agent.host));
    // Nor does it take a job to be over.
    agent.report(ReportBody::Trouble { kind: Trouble::StateFolder, detail: "full" }).await;
    assert!(told(&fleet, agent.host));
    agent.report(ReportBody::Trouble { kind: Trouble::StateFolderMended, detail: "" }).await;
    assert!(!told(&fleet, agent.host));
}
