//! Archives of this server: what belongs into one, one each night, and the commands `backup` and `restore`.
//!
//! What an archive is, and how it is written and read, the crate `fleet` says.

mod backup;
mod parts;
mod restore;
mod send;

pub use backup::run as backup;
pub use restore::run as restore;
pub(crate) use restore::{warning, where_to_start};
pub(crate) use send::Sending;

use crate::{
    config::{Config, Source},
    tasks::Beat,
    tls::Tls,
};
use fleet::{ArchiveFolder, Archives, By, Fleet, Found, NoArchive};
use std::{sync::Arc, time::Duration};

/// The data file is looked through before an archive of the night, unless that was done within this time.
const LOOKED_WITHIN_MS: u64 = 12 * 3_600_000;
/// How often it is asked whether an archive is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The archives that a server with these settings makes of itself. They hold what it has open and in memory, whatever has become of
/// it on disk: where a piece is gone, an archive may be the last copy.
pub(crate) fn of_server(config: &Config, fleet: &Fleet, tls: &Arc<Tls>) -> Archives {
    let folder = ArchiveFolder {
        path: config.archive_dir.value.clone(),
        keep: config.archives_kept.value,
        makes: config.archive_dir.source == Source::Default,
        last: Some(config.data_dir.value.join("archive-dir.last")),
    };
    let (config, tls) = (config.clone(), Arc::clone(tls));
    let parts = move || parts::beside(&config, tls.authority_parts());
    Archives::new(fleet.clone(), folder, Arc::new(parts), env!("CARGO_PKG_VERSION"))
}

/// Whether nothing is known to be damaged, by a look that is not old.
async fn is_whole(fleet: &Fleet, beat: &Beat) -> bool {
    let is_fresh = |scrub: fleet::Scrub| {
        matches!(scrub.found, Found::Well(_)) && fleet.now().ms_since(scrub.at) < LOOKED_WITHIN_MS
    };
    if !fleet.last_scrub().is_some_and(is_fresh)
        && let Err(refused) = beat.waits(fleet.scrub()).await
    {
        tracing::warn!(%refused, "the data file could not be looked through before its archive");
    }
    fleet.damage().is_none()
}

/// Makes an archive each night, once somebody has said who is to open it.
pub(crate) async fn each_night(fleet: Fleet, archives: Arc<Archives>, beat: Beat) {
    loop {
        let asked = Arc::clone(&archives);
        match tokio::task::spawn_blocking(move || asked.is_due()).await {
            // The look of the day comes first: what is damaged makes no archive, and pushes out none.
            Ok(Ok(true)) if !is_whole(&fleet, &beat).await => {}
            Ok(Ok(true)) => match beat.waits(archives.make(By::system())).await {
                Ok(kept) => {
                    tracing::info!(name = kept.name, bytes = kept.bytes, "an archive of the server was made");
                }
                Err(NoArchive::Busy | NoArchive::NoKey) => {}
                Err(why) => {
                    tracing::error!(%why, "no archive of the server could be made; it is tried again");
                }
            },
            Ok(Ok(false)) => {}
            Ok(Err(why)) => tracing::warn!(%why, "whether an archive is due can't be told"),
            Err(why) => tracing::error!(%why, "whether an archive is due can't be told"),
        }
        let asked = tokio::time::timeout(LOOK_EVERY, archives.is_hurried());
        let _ = beat.waits(asked).await;
    }
}
