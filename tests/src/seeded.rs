//! A data folder of a large fleet with a long past.

use crate::scratch::Scratch;
use fleet::{Driver, Fleet, Pieces, Settings};
use schema::Timestamp;
use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use fleet::seed::Seed;

/// What the benches of pages measure over.
const LARGE: Seed = Seed { hosts: 10_000, jobs: 1_000_000 };

/// Ten thousand hosts and a million jobs: the folder that `HOLDFAST_SEEDED` names, or a new one.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn large(scratch: &Scratch) -> PathBuf {
    env::var_os("HOLDFAST_SEEDED").map_or_else(
        || {
            let folder = scratch.path().join("seeded");
            make(&folder, LARGE).expect("a seeded data folder");
            folder
        },
        PathBuf::from,
    )
}

/// Makes it, and says how far it is.
pub fn make(folder: &Path, seed: Seed) -> Result<(), Box<dyn std::error::Error>> {
    let driver = Driver { now: Arc::new(now), random: Arc::new(random) };
    let settings = Settings {
        mqtt_addresses: vec!["127.0.0.1:8883".to_owned()],
        authorities: vec![vec![7; 40]],
        timezone: "UTC".to_owned(),
        keep: Default::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let fleet = Fleet::open(folder, settings, driver)?;
        fleet
            .seed(seed, |jobs| {
                let _ = write!(io::stderr(), "\r{jobs} of {} jobs", seed.jobs);
            })
            .await?;
        let _ = writeln!(io::stderr());
        fleet.shutdown().await;
        // Nobody is enrolled for real: the server that runs over it makes its own.
        Pieces::from(folder).accept_authority()?;
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "the driver draws random bytes here, and only here")]
fn random(buffer: &mut [u8]) {
    if let Err(error) = getrandom::fill(buffer) {
        panic!("no random bytes: {error}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver reads the clock here, and only here")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
