//! What a standby does all the time: asks, keeps what is new, and knows how it stands.

use super::{
    client::Client,
    fetch::{Fetch, Fetched},
    folder::{Following, StandbyFolder},
    kept::{self, Looked},
    trouble::Trouble,
    trust::Trust,
};
use crate::clock;
use fleet::{About, record::Secret};
use schema::Timestamp;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// How long it waits when the server asks it to.
const BUSY_FOR: Duration = Duration::from_secs(5);
/// How long it waits after tries that failed, at the most, unless it asks more seldom anyway.
const BACKOFF_UP_TO: Duration = Duration::from_secs(600);
/// So often in a row a server may ask to wait before that is a failure.
const BUSY_AT_MOST: u32 = 20;
/// It is ready as long as it was up to date within so many of its intervals.
const READY_FOR: u32 = 3;
/// And at least for so long.
const READY_FOR_AT_LEAST: Duration = Duration::from_secs(60);

/// A standby that runs.
pub(super) struct Follower {
    pub(super) following: Following,
    pub(super) every: Duration,
    pub(super) recipient: String,
    /// Whom to ask, and how that one is known now.
    peer: Mutex<(Client, Trust)>,
    folder: StandbyFolder,
    token: PathBuf,
    identity: Secret,
    standing: Mutex<Standing>,
    /// The files of archives are not those that were read.
    altered: Notify,
}

/// How a standby stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The archives here, newest first.
    pub(super) looked: Vec<Looked>,
    current: Option<Current>,
    /// Whether agents knew one of its addresses when an archive came last.
    address_known: Option<bool>,
    /// Since when tries have failed, and why the last one did.
    pub(super) trouble: Option<(Timestamp, Trouble)>,
    /// Tries that failed in a row.
    failing: u32,
    /// How often in a row the server has asked to wait.
    busy: u32,
}

/// What the server has said of the newest archive.
#[derive(Clone, Debug)]
struct Current {
    /// Its name.
    name: String,
    mark: Option<String>,
    /// When it said last that this is all that there is, or sent it.
    at: Timestamp,
}

impl Standing {
    fn newest_usable(&self) -> Option<&Looked> {
        self.looked.iter().find(|looked| looked.usable().is_some())
    }

    /// The newest archive of which a server can be made, and how long it is.
    pub(super) fn newest(&self) -> Option<(&About, u64)> {
        self.newest_usable()?.usable()
    }

    /// How many of them there are.
    pub(super) fn usable(&self) -> usize {
        self.looked.iter().filter(|looked| looked.usable().is_some()).count()
    }

    /// Those that are here and of which none can be made: their names, and why.
    pub(super) fn unusable(&self) -> Vec<(&str, &str)> {
        self.looked
            .iter()
            .filter_map(|looked| Some((looked.name.as_str(), looked.wrong.as_ref()?.why.as_str())))
            .collect()
    }

    fn damaged(&self) -> Vec<String> {
        let is_damaged = |looked: &&Looked| looked.wrong.as_ref().is_some_and(|wrong| wrong.is_damage);
        self.looked.iter().filter(is_damaged).map(|looked| looked.name.clone()).collect()
    }

    /// When all of them were read.
    pub(super) fn read_at(&self) -> Option<Timestamp> {
        self.looked.iter().map(|looked| looked.at).min()
    }

    /// What the server said of the newest, as long as that is here and good.
    fn current(&self) -> Option<&Current> {
        let newest = self.newest_usable()?;
        self.current.as_ref().filter(|current| current.name == newest.name)
    }

    /// When the server said last that what is here is all that there is, or sent it.
    pub(super) fn current_at(&self) -> Option<Timestamp> {
        self.current().map(|current| current.at)
    }

    /// What the server is told of what is here; `None` = it is asked for whatever there is, also in the place of what is
    /// damaged.
    fn mark(&self) -> Option<String> {
        self.current().filter(|_| self.damaged().is_empty())?.mark.clone()
    }

    /// The highest incarnation of what is here.
    fn incarnation(&self) -> u64 {
        let of = |looked: &Looked| looked.about.as_ref().map(|about| about.incarnation);
        self.looked.iter().filter_map(of).max().unwrap_or(0)
    }

    /// Whether it could take the place of the server with what the server has of late: pure.
    pub(super) fn is_ready(&self, now: Timestamp, every: Duration) -> bool {
        let while_ = (every * READY_FOR).max(READY_FOR_AT_LEAST);
        self.current_at().is_some_and(|at| now.ms_since(at) <= while_.as_millis() as u64)
    }

    /// Whether the agents know one of the addresses under which this would be the server; `None` = nobody has said under
    /// which, or there is no archive yet.
    pub(super) fn knows_address(&self, following: &Following) -> Option<bool> {
        let (about, _) = self.newest()?;
        is_known(about, &following.addresses)
    }
}

/// Whether agents were given one of these addresses; `None` = there is none.
pub(super) fn is_known(about: &About, addresses: &[String]) -> Option<bool> {
    (!addresses.is_empty()).then(|| addresses.iter().any(|own| about.addresses().any(|given| given == own)))
}

/// How long it waits before the next try: pure.
fn wait(every: Duration, failing: u32) -> Duration {
    if failing == 0 { every } else { (every * 2_u32.pow(failing.min(10) - 1)).min(every.max(BACKOFF_UP_TO)) }
}

impl Follower {
    pub(super) fn new(
        (following, every): (Following, Duration),
        client: Client,
        folder: StandbyFolder,
        token: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let (identity, recipient) = folder.identity()?;
        let token = token.unwrap_or_else(|| folder.token_path());
        if fs::metadata(&token).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0) {
            tracing::warn!(token = %token.display(), "others on this machine may read the token: chmod 600");
        }
        let (standing, altered) = (Mutex::default(), Notify::new());
        let peer = Mutex::new((client, following.trust.clone()));
        Ok(Self { following, every, recipient, peer, folder, token, identity, standing, altered })
    }

    fn standing_now(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands, by the files of the archives as they are now.
    pub(super) async fn standing(&self) -> Standing {
        let folder = self.folder.clone();
        let there = tokio::task::spawn_blocking(move || kept::there(&folder)).await;
        let mut standing = self.standing_now().clone();
        if let Ok(Ok(there)) = there {
            let (as_read, is_all) = kept::as_read(&standing.looked, &there);
            standing.looked = as_read;
            if !is_all {
                self.altered.notify_one();
            }
        }
        standing
    }

    /// Reads the archives that are here, as far as that is due.
    async fn look(&self) {
        let (folder, identity) = (self.folder.clone(), self.identity.clone());
        let (known, now) = (self.standing_now().looked.clone(), clock::now());
        let looked = tokio::task::spawn_blocking(move || kept::look(&folder, &identity, &known, now)).await;
        match looked {
            Ok(Ok(looked)) => self.standing_now().looked = looked,
            Ok(Err(why)) => tracing::error!(%why, "what is here can't be looked through"),
            Err(why) => tracing::error!(%why, "what is here can't be looked through"),
        }
    }

    /// The server of an archive that came has these authorities of its own: where it is known by one of them, by all of them
    /// from now on.
    fn goes_over(&self, authorities: &str) -> anyhow::Result<()> {
        let mut peer = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(trust) = peer.1.after(authorities) else { return Ok(()) };
        let following = Following { trust, ..self.following.clone() };
        let client = Client::new(&following.url, following.trust.authority.as_deref(), following.plain)?;
        self.folder.put_following(&following)?;
        *peer = (client, following.trust);
        Ok(())
    }

    /// Asks once; returns how long to wait until the next time.
    pub(super) async fn step(&self) -> Duration {
        self.look().await;
        let (mark, incarnation, damaged) = {
            let standing = self.standing_now();
            (standing.mark(), standing.incarnation(), standing.damaged())
        };
        let client = self.peer.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let fetch = Fetch {
            client: &client,
            folder: &self.folder,
            token: &self.token,
            identity: &self.identity,
            recipient: &self.recipient,
            mark: mark.as_deref(),
            incarnation,
            damaged: &damaged,
        };
        let tried = fetch.run().await;
        if let Ok(Fetched::Archive { looked, authorities, .. }) = &tried {
            if let Err(why) = self.goes_over(authorities) {
                tracing::error!(
                    why = format!("{why:#}"),
                    "by which authorities the server is known can't be written down"
                );
            }
            self.standing_now().looked.insert(0, Looked::clone(looked));
            self.look().await;
        }
        let now = clock::now();
        // For whoever promotes this one later, when that server may not be there to say it again.
        let noted = match &tried {
            Err(Trouble::Superseded) => self.folder.note_superseded(Some(&web::rfc3339(now))),
            Ok(Fetched::Current | Fetched::Archive { .. }) => self.folder.note_superseded(None),
            _ => Ok(()),
        };
        if let Err(why) = noted {
            tracing::error!(
                why = format!("{why:#}"),
                "whether another server has that one's place can't be written down"
            );
        }
        let mut standing = self.standing_now();
        standing.busy = if matches!(tried, Ok(Fetched::Busy)) { standing.busy + 1 } else { 0 };
        let tried = match tried {
            Ok(Fetched::Busy) if standing.busy > BUSY_AT_MOST => {
                standing.busy = 0;
                Err(Trouble::Answered("again and again that it is busy".to_owned()))
            }
            tried => tried,
        };
        match tried {
            Ok(Fetched::Busy) => return BUSY_FOR.min(self.every),
            Ok(Fetched::Current) => {
                if let Some(current) = &mut standing.current {
                    current.at = now;
                }
            }
            Ok(Fetched::Archive { looked, mark, bytes, .. }) => {
                let as_of = looked.about.as_ref().map(|about| web::rfc3339(Timestamp(about.made_at_ms)));
                tracing::info!(as_of, bytes, "an archive was fetched");
                standing.current = Some(Current { name: looked.name, mark, at: now });
                let is_known = standing.knows_address(&self.following);
                if is_known == Some(false) && standing.address_known != is_known {
                    let addresses = self.following.addresses.join(",");
                    tracing::warn!(
                        addresses,
                        "the agents of the server were given none of these: name one of them there with --mqtt-public, behind its \
                         own, before it is needed"
                    );
                }
                standing.address_known = is_known;
            }
            Err(trouble) => {
                let since = standing.trouble.as_ref().map_or(now, |(since, _)| *since);
                let is_news = standing.trouble.as_ref().is_none_or(|(_, known)| *known != trouble);
                standing.failing = standing.failing.saturating_add(1);
                // Ever more seldom, as long as it is the same.
                if is_news || standing.failing.is_power_of_two() {
                    tracing::error!(code = trouble.code(), failing = standing.failing, "{trouble}");
                }
                standing.trouble = Some((since, trouble));
                return wait(self.every, standing.failing);
            }
        }
        if standing.trouble.take().is_some() {
            tracing::info!("the server is followed again");
        }
        standing.failing = 0;
        wait(self.every, 0)
    }

    /// Follows for ever.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let wait = self.step().await;
            // What was altered is asked for at once.
            let _ = tokio::time::timeout(wait, self.altered.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kept::Wrong;
    use super::*;

    #[test]
    fn tries_that_fail_come_ever_more_seldom_but_within_ten_minutes() {
        let secs = Duration::from_secs;
        let waits: Vec<u64> = (0..5).map(|failing| wait(secs(60), failing).as_secs()).collect();
        assert_eq!(waits, [60, 60, 120, 240, 480]);
        assert_eq!(wait(secs(60), u32::MAX), BACKOFF_UP_TO);
        assert_eq!(wait(secs(3_600), 9), secs(3_600), "who asks seldom asks no more seldom");
    }

    #[test]
    fn it_is_ready_as_long_as_what_it_has_is_of_late() {
        let about = serde_json::from_value::<About>(serde_json::json!({
            "holdfast_archive": 1, "made_at_ms": 5, "server_version": "1", "data_format": 3, "incarnation": 0, "hosts": 1,
            "mqtt_address": "a:1,b:1",
        }));
        let about = about.unwrap();
        let every = Duration::from_secs(300);
        let now = Timestamp(10_000_000);
        let standing = |current_at: Option<u64>| Standing {
            looked: vec![Looked::sample("b", about.clone()), Looked::sample("a", about.clone())],
            current: current_at.map(|ms| Current {
                name: "b".to_owned(),
                mark: Some("m".to_owned()),
                at: Timestamp(now.0 - ms),
            }),
            ..Standing::default()
        };
        assert!(standing(Some(900_000)).is_ready(now, every));
        assert!(!standing(Some(900_001)).is_ready(now, every));
        assert!(!standing(None).is_ready(now, every));
        assert!(!Standing { looked: Vec::new(), ..standing(Some(0)) }.is_ready(now, every));
        assert_eq!(standing(Some(0)).mark().as_deref(), Some("m"));
        // The one before the newest is not all that the server has.
        for is_damage in [false, true] {
            let mut standing = standing(Some(0));
            standing.looked[0].wrong = Some(Wrong { why: "x".to_owned(), is_damage });
            assert!(
                !standing.is_ready(now, every) && standing.mark().is_none() && standing.newest().is_some()
            );
            assert_eq!((standing.usable(), standing.unusable()), (1, vec![("b", "x")]));
        }
        // One before that is damaged: another one is asked for, while the newest is what it was.
        let mut older = standing(Some(0));
        older.looked[1].wrong = Some(Wrong { why: "x".to_owned(), is_damage: true });
        assert!(older.is_ready(now, every) && older.mark().is_none());
        let known =
            |own: &[&str]| is_known(&about, &own.iter().map(|own| (*own).to_owned()).collect::<Vec<_>>());
        assert_eq!((known(&["b:1"]), known(&["c:1"]), known(&[])), (Some(true), Some(false), None));
    }
}
