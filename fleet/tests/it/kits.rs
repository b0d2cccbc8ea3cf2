//! Break-glass kits: what is read for one, and what is remembered of those that were made.

use crate::support::{Agent, HOUR_MS, audited, by, credentials, group, in_memory};
use fleet::record::{CredentialsInput, Secret};
use fleet::{KitChoice, KitSlot, WhyGap};
use schema::Slot;

fn named(hosts: &[&str], labels: &[&str]) -> KitChoice {
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    KitChoice { hosts: texts(hosts), labels: texts(labels) }
}

#[tokio::test]
async fn a_kit_has_the_secrets_and_source_groups_of_its_hosts() {
    let (world, fleet) = in_memory();
    let agent = Agent::ready(&world, &fleet, "attic").await;
    fleet.put_group(agent.host, None, group("photos"), by()).await.unwrap();
    let admin = CredentialsInput { repo_password: Some(Secret::new("the admin one")), ..credentials() };
    fleet.put_credentials(agent.host, Slot::Admin, admin, by()).await.unwrap();
    let (bare, _) = fleet.create_host("bare", vec![], by()).await.unwrap();
    let kit = fleet.make_kit(KitChoice::default(), by()).await.unwrap();
    assert_eq!(kit.hosts, [agent.host, bare.id]);
    let state = fleet.read().unwrap();
    let host = state.kit_host(agent.host).unwrap().unwrap();
    assert!(host.groups.iter().any(|group| group.name == "photos"));
    let KitSlot::Held(everyday) = host.everyday else { panic!("it is set") };
    assert_eq!(Some(&everyday.repo_password), credentials().repo_password.as_ref());
    let KitSlot::Held(admin) = host.admin else { panic!("it is set") };
    assert_eq!(admin.repo_password.expose(), "the admin one");
    let bare = state.kit_host(bare.id).unwrap().unwrap();
    assert!(matches!((bare.everyday, bare.admin), (KitSlot::Empty, KitSlot::Empty)));
}

#[tokio::test]
async fn hosts_are_chosen_by_name_id_and_label_and_each_is_in_it_once() {
    let (_, fleet) = in_memory();
    let mut ids = Vec::new();
    for (name, label) in [("barn", "nas"), ("attic", "nas"), ("shed", "laptop")] {
        ids.push(fleet.create_host(name, vec![label.to_owned()], by()).await.unwrap().0.id);
    }
    let [barn, attic, shed] = [ids[0], ids[1], ids[2]];
    let made = async |choice| fleet.make_kit(choice, by()).await.map(|kit| kit.hosts);
    assert_eq!(made(named(&[], &[])).await.unwrap(), [attic, barn, shed]);
    assert_eq!(made(named(&["SHED"], &["nas"])).await.unwrap(), [attic, barn, shed]);
    assert_eq!(made(named(&[&barn.to_string(), "barn"], &[])).await.unwrap(), [barn]);
    assert_eq!(made(named(&[], &["laptop"])).await.unwrap(), [shed]);
    assert_eq!(made(named(&["nobody"], &[])).await.unwrap_err().field(), Some("hosts"));
    assert_eq!(made(named(&[], &["nobody"])).await.unwrap_err().field(), Some("labels"));
    let entries = audited(&fleet, "kit.made");
    assert_eq!(entries.len(), 4, "what was refused made none");
    assert_eq!(entries[0].detail, "1 host: shed");
    let (_, empty) = in_memory();
    assert_eq!(empty.make_kit(KitChoice::default(), by()).await.unwrap_err().field(), Some("hosts"));
}

#[tokio::test]
async fn a_kit_is_older_than_credentials_that_changed_and_lacks_hosts_that_came() {
    let (world, fleet) = in_memory();
    let attic = Agent::ready(&world, &fleet, "attic").await;
    let kits = || fleet.read().unwrap().kits().unwrap();
    let never = kits();
    assert_eq!((never.newest_at, never.lacking(), never.outdated()), (None, 1, 0));
    let made = fleet.make_kit(KitChoice::default(), by()).await.unwrap();
    assert_eq!(kits(), never, "as long as it is not whole");
    fleet.keep_kit(made.clone()).await.unwrap();
    assert_eq!((kits().newest_at, kits().gaps.len()), (Some(made.at), 0));

    world.pass(HOUR_MS);
    let other = CredentialsInput { repo_password: Some(Secret::new("another one")), ..credentials() };
    fleet.put_credentials(attic.host, Slot::Repo, other, by()).await.unwrap();
    let barn = Agent::ready(&world, &fleet, "barn").await;
    let gaps: Vec<_> = kits().gaps.into_iter().map(|gap| (gap.name, gap.why)).collect();
    let expected = [("attic", WhyGap::ChangedSince(made.at)), ("barn", WhyGap::InNone)];
    assert_eq!(gaps, expected.map(|(name, why)| (name.to_owned(), why)));

    // A kit of one host says nothing of the others.
    let kit = fleet.make_kit(named(&["barn"], &[]), by()).await.unwrap();
    fleet.keep_kit(kit).await.unwrap();
    assert_eq!((kits().lacking(), kits().outdated()), (0, 1));
    fleet.put_credentials(barn.host, Slot::Admin, credentials(), by()).await.unwrap();
    assert_eq!(kits().outdated(), 2);
    let kit = fleet.make_kit(KitChoice::default(), by()).await.unwrap();
    fleet.keep_kit(kit.clone()).await.unwrap();
    assert_eq!((kits().gaps.len(), kits().hosts), (0, 2));
    fleet.delete_credentials(barn.host, Slot::Admin, by()).await.unwrap();
    fleet.delete_host(attic.host, by()).await.unwrap();
    fleet.keep_kit(kit).await.unwrap();
    assert_eq!((kits().gaps.len(), kits().hosts), (0, 1));
}
