//! A host key that an agent was shown, and the word of somebody who compared it.

use crate::support::{Agent, Got, audited, by, credentials, finished, in_memory};
use fleet::record::{CredentialsInput, Secret};
use fleet::{JobRequest, Refused};
use schema::report::Finished;
use schema::{Class, JobId, Outcome, ReportBody, Slot, Summary};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFtrxhWjDF951LzoCci9l1s2HWVOkTsqsV930PsUvmt";
const PRINT: &str = "SHA256:u3lydffBIbP0wuYEkDC4pi1RFpXJHyIO9sYZj+FSTyI";

fn by_ssh() -> CredentialsInput {
    CredentialsInput {
        url: "sftp:keeper@nas:/srv/restic".to_owned(),
        repo_password: Some(Secret::new("repo-password")),
        ..CredentialsInput::default()
    }
}

/// A test of the credentials that was shown this key.
async fn shown(agent: &mut Agent, slot: Slot, key: &str) -> JobId {
    let job = agent.fleet.dispatch(agent.host, JobRequest::Probe, by()).await.unwrap().id;
    agent.take_all();
    agent.report(ReportBody::Accepted { job, behind: 0 }).await;
    let end = finished(job, Outcome::Failed, agent.world.now(), Summary::HostKey { slot, key });
    agent.report(ReportBody::Finished(Finished { class: Some(Class::UnknownHostKey), ..end })).await;
    job
}

#[tokio::test]
async fn a_key_that_was_compared_goes_to_the_agent_and_no_other_does() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    for slot in Slot::ALL {
        fleet.put_credentials(agent.host, slot, by_ssh(), by()).await.unwrap();
    }
    let job = shown(&mut agent, Slot::Repo, KEY).await;
    world.pass(1_000);
    let wrong = fleet.accept_host_key(job, "SHA256:AAAA", by()).await.unwrap_err();
    assert_eq!(wrong.field(), Some("fingerprint"), "{wrong}");
    assert!(wrong.to_string().contains(PRINT), "{wrong}");
    let other = fleet.accept_host_key(JobId([1; 16]), PRINT, by()).await.unwrap_err();
    assert!(matches!(other, Refused::JobNotFound), "{other}");

    let facts = fleet.accept_host_key(job, &format!("{PRINT} (ssh-ed25519)"), by()).await.unwrap();
    assert_eq!(facts.host_keys, format!("{KEY}\n"));
    let admin = fleet.read().unwrap().credentials(agent.host, Slot::Admin).unwrap().unwrap();
    assert_eq!(admin.host_keys, facts.host_keys, "the other slot leads to the same machine");
    let sent = agent.take_all();
    assert!(
        sent.iter().any(|got| matches!(got, Got::Config { host_keys, .. } if *host_keys == facts.host_keys))
    );
    assert!(audited(&fleet, "credentials.host_key_accepted")[0].detail.contains(PRINT));
    // The word was given for what was shown then.
    let again = fleet.accept_host_key(job, PRINT, by()).await.unwrap_err();
    assert!(matches!(again, Refused::StateChanged), "{again}");
    // It goes with the path of the address, and not to another machine.
    let moved = |url: &str| CredentialsInput { url: url.to_owned(), ..by_ssh() };
    for (url, kept) in [("sftp:keeper@nas:/other", true), ("sftp:keeper@elsewhere:/srv", false)] {
        let facts = fleet.put_credentials(agent.host, Slot::Repo, moved(url), by()).await.unwrap();
        assert_eq!(!facts.host_keys.is_empty(), kept, "{url}");
    }
}

#[tokio::test]
async fn what_was_shown_of_other_credentials_or_is_no_key_is_not_accepted() {
    let (world, fleet) = in_memory();
    let mut agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_credentials(agent.host, Slot::Repo, by_ssh(), by()).await.unwrap();
    for key in ["", "ssh-ed25519 nonsense", "\u{202e}"] {
        let job = shown(&mut agent, Slot::Repo, key).await;
        let refused = fleet.accept_host_key(job, "", by()).await.unwrap_err();
        assert!(matches!(refused, Refused::StateChanged), "{key:?}: {refused}");
    }
    let empty = shown(&mut agent, Slot::Admin, KEY).await;
    let refused = fleet.accept_host_key(empty, PRINT, by()).await.unwrap_err();
    assert!(matches!(refused, Refused::StateChanged), "there are no admin credentials: {refused}");
    let job = shown(&mut agent, Slot::Repo, KEY).await;
    world.pass(1_000);
    fleet.put_credentials(agent.host, Slot::Repo, credentials(), by()).await.unwrap();
    let refused = fleet.accept_host_key(job, PRINT, by()).await.unwrap_err();
    assert!(matches!(refused, Refused::StateChanged), "{refused}");
}
