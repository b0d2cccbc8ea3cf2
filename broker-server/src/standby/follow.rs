//! What a standby does all the time: asks, keeps what is new, and knows how it stands.

use super::{
    client::Client,
    fetch::{Fetch, Fetched},
    folder::{Following, StandbyFolder},
    trouble::Trouble,
};
use crate::clock;
use fleet::{About, ArchiveOpener, Kept, check_archive, record::Secret};
use schema::Timestamp;
use std::{
    fs::File,
    io::BufReader,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

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
    client: Client,
    folder: StandbyFolder,
    token: PathBuf,
    identity: Secret,
    standing: Mutex<Standing>,
}

/// How a standby stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The newest archive here, and how long it is.
    pub(super) newest: Option<(About, u64)>,
    /// How many there are.
    pub(super) kept: usize,
    /// When the server said last that what is here is all that there is, or sent it.
    pub(super) current_at: Option<Timestamp>,
    /// Since when tries have failed, and why the last one did.
    pub(super) trouble: Option<(Timestamp, Trouble)>,
    /// Tries that failed in a row.
    failing: u32,
    /// How often in a row the server has asked to wait.
    busy: u32,
    mark: Option<String>,
}

impl Standing {
    /// Whether it could take the place of the server with what the server has of late: pure.
    pub(super) fn is_ready(&self, now: Timestamp, every: Duration) -> bool {
        let while_ = (every * READY_FOR).max(READY_FOR_AT_LEAST);
        let is_current = self.current_at.is_some_and(|at| now.ms_since(at) <= while_.as_millis() as u64);
        self.newest.is_some() && is_current
    }

    /// Whether the agents know one of the addresses under which this would be the server; `None` = nobody has said under
    /// which, or there is no archive yet.
    pub(super) fn knows_address(&self, following: &Following) -> Option<bool> {
        let (about, _) = self.newest.as_ref()?;
        is_known(about, &following.addresses)
    }
}

/// Whether agents were given one of these addresses; `None` = there is none.
pub(super) fn is_known(about: &About, addresses: &[String]) -> Option<bool> {
    let known = || about.mqtt_address.split(',');
    (!addresses.is_empty()).then(|| addresses.iter().any(|own| known().any(|given| given == own)))
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
        let standing = Mutex::default();
        Ok(Self { following, every, recipient, client, folder, token, identity, standing })
    }

    fn standing_now(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Standing {
        self.standing_now().clone()
    }

    /// Looks for the newest good archive that is here already. Reads it, and blocks.
    fn look(&self) -> Result<(), fleet::ArchiveError> {
        let all = self.folder.archives().list()?;
        let good = all.iter().find_map(|kept| match self.check(kept) {
            Ok(about) => Some((about, kept.bytes)),
            Err(why) => {
                tracing::warn!(name = kept.name, %why, "an archive that is here can't be used");
                None
            }
        });
        let mut standing = self.standing_now();
        (standing.newest, standing.kept) = (good, all.len());
        Ok(())
    }

    fn check(&self, kept: &Kept) -> Result<About, fleet::ArchiveError> {
        let path = self.folder.archives().path.join(&kept.name);
        let file = File::open(&path).map_err(|why| fleet::ArchiveError::File { path, why })?;
        let opener = ArchiveOpener::Identities(self.identity.clone());
        let (found, _) = check_archive(BufReader::with_capacity(1 << 20, file), &opener)?;
        Ok(found.about)
    }

    /// Asks once; returns how long to wait until the next time.
    async fn step(&self) -> Duration {
        let (mark, incarnation) = {
            let standing = self.standing_now();
            (standing.mark.clone(), standing.newest.as_ref().map_or(0, |(about, _)| about.incarnation))
        };
        let fetch = Fetch {
            client: &self.client,
            folder: &self.folder,
            token: &self.token,
            identity: &self.identity,
            recipient: &self.recipient,
            mark: mark.as_deref(),
            incarnation,
        };
        let tried = fetch.run().await;
        let all = self.folder.archives().list().unwrap_or_default();
        let now = clock::now();
        let mut standing = self.standing_now();
        standing.kept = all.len();
        let is_there = |(about, bytes): &(About, u64)| {
            all.iter().any(|kept| kept.at.0 / 1_000 == about.made_at_ms / 1_000 && kept.bytes == *bytes)
        };
        if !standing.newest.as_ref().is_some_and(is_there) {
            // Somebody has removed or altered what was here: it is asked for anew.
            (standing.newest, standing.mark) = (None, None);
        }
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
            Ok(Fetched::Current) => standing.current_at = Some(now),
            Ok(Fetched::Archive { about, mark, bytes }) => {
                tracing::info!(
                    as_of = web::rfc3339(Timestamp(about.made_at_ms)),
                    bytes,
                    "an archive was fetched"
                );
                let was_known = standing.knows_address(&self.following);
                standing.current_at = Some(now);
                standing.mark = mark;
                standing.newest = Some((about, bytes));
                let is_known = standing.knows_address(&self.following);
                if is_known == Some(false) && was_known != is_known {
                    let addresses = self.following.addresses.join(",");
                    tracing::warn!(
                        addresses,
                        "the agents of the server were given none of these: name one of them there with --mqtt-public, behind its \
                         own, before it is needed"
                    );
                }
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
        let looks = Arc::clone(&self);
        match tokio::task::spawn_blocking(move || looks.look()).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::error!(%why, "what is here can't be looked through"),
            Err(why) => tracing::error!(%why, "what is here can't be looked through"),
        }
        loop {
            let wait = self.step().await;
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
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
            newest: Some((about.clone(), 1)),
            current_at: current_at.map(|ms| Timestamp(now.0 - ms)),
            ..Standing::default()
        };
        assert!(standing(Some(900_000)).is_ready(now, every));
        assert!(!standing(Some(900_001)).is_ready(now, every));
        assert!(!standing(None).is_ready(now, every));
        assert!(!Standing { newest: None, ..standing(Some(0)) }.is_ready(now, every));
        let known =
            |own: &[&str]| is_known(&about, &own.iter().map(|own| (*own).to_owned()).collect::<Vec<_>>());
        assert_eq!((known(&["b:1"]), known(&["c:1"]), known(&[])), (Some(true), Some(false), None));
    }
}
