//! A look through the whole data file, at the start and while the server runs.
//!
//! redb verifies nothing of what it reads. A disk that alters a byte is found out by whoever looks on purpose: at the
//! start as far as that is quick, and again and again while the server runs, slowly.

use crate::change::Changed;
use crate::damage::{Damage, Found, Scrub};
use crate::fleet::Fleet;
use crate::pieces::Pieces;
use crate::refused::{OpenError, Refused, StoreError};
use crate::salvage;
use crate::store::check;

/// A file no larger than this is looked through before each start, in bytes.
const AT_START_BYTES: u64 = 512 << 20;

/// Looks through the file before it is opened, unless that would take long. `None` = it would.
pub(crate) fn at_start(pieces: &Pieces) -> Result<Option<u64>, OpenError> {
    let file = pieces.data_file();
    let bytes = file.metadata().map_or(0, |facts| facts.len());
    if bytes > AT_START_BYTES { Ok(None) } else { check(&file, |_| Ok(())).map(Some) }
}

/// Says in the log what can't be read, once.
pub(crate) fn log(damage: &Damage) {
    for table in damage.torn_tables() {
        let unreadable =
            table.unreadable.map_or_else(|| "an unknown number".to_owned(), |rows| rows.to_string());
        tracing::error!(
            table = table.table,
            read = table.read,
            unreadable,
            undecodable = table.undecodable,
            between = ?table.gaps.iter().take(10).collect::<Vec<_>>(),
            "rows of the data file can't be read"
        );
    }
    tracing::error!(
        why = damage.why,
        rows = damage.rows(),
        hosts = damage.hosts.join(", "),
        remade = damage.remade_hosts.join(", "),
        "the data file is damaged, and is only read from now on: agents keep their reports, nothing is begun. Stop the \
         server, and restore an archive (holdfast-server restore), or make a new data folder of what can be read \
         (holdfast-server salvage)"
    );
}

impl Fleet {
    /// What the last look through the data file has found; `None` = nobody has looked since the start.
    #[must_use]
    pub fn last_scrub(&self) -> Option<Scrub> {
        self.context().scrub().clone()
    }

    /// Looks through the whole data file, slowly, while it is in use. Damage counts when it is found twice. `None` =
    /// somebody looks already, or there is no file.
    /// Damage is no news once it is known: then what was found stands.
    pub async fn scrub(&self) -> Result<Option<Scrub>, Refused> {
        if self.damage().is_some() {
            return Ok(self.last_scrub());
        }
        let begun = self.now();
        let mut found = self.look_through().await?;
        if matches!(found, Some(Found::Damage(_))) {
            found = self.look_through().await?;
        }
        let Some(found) = found else { return Ok(None) };
        let now = self.now();
        let scrub = Scrub { at: now, took_ms: now.ms_since(begun), found };
        *self.context().scrub() = Some(scrub.clone());
        if let Found::Damage(why) = &scrub.found {
            self.only_read(why.clone()).await;
        }
        Ok(Some(scrub))
    }

    /// From now on nothing is written to the data file: what can be read of it is read from a copy.
    async fn only_read(&self, why: String) {
        self.store().stop_writing().await;
        let (fleet, words) = (self.clone(), why.clone());
        let read = tokio::task::spawn_blocking(move || {
            let (context, Some(file)) = (fleet.context(), fleet.store().file()) else { return Ok(None) };
            salvage::readable(&file, &context.facts, context.now(), words)
        });
        let damage = match read.await {
            Ok(Ok(Some((copy, damage)))) => {
                self.store().read_from(copy);
                damage
            }
            Ok(Ok(None)) => Damage { why, ..Damage::default() },
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what can be read of the data file is not known"
                );
                Damage { why, ..Damage::default() }
            }
            Err(error) => {
                tracing::error!(%error, "what can be read of the data file is not known");
                Damage { why, ..Damage::default() }
            }
        };
        log(&damage);
        let context = self.context();
        let again = self.view().and_then(|view| context.roster.begin_anew(&context.settings.timezone, &view));
        if let Err(error) = again {
            tracing::error!(%error, "the list of hosts stays as it was");
        }
        context.is_damaged(damage);
        context.tell(Changed::Damage);
    }

    async fn look_through(&self) -> Result<Option<Found>, Refused> {
        let Some(moment) = self.moment().await? else { return Ok(None) };
        let checked = tokio::task::spawn_blocking(move || moment.check()).await;
        Ok(Some(match checked {
            Ok(Ok(Some(rows))) => Found::Well(rows),
            Ok(Ok(None)) => Found::Failed("too much was written meanwhile; it is tried again".to_owned()),
            Ok(Err(OpenError::Damaged { why, .. } | OpenError::Store(StoreError::Damaged { why }))) => {
                Found::Damage(why)
            }
            Ok(Err(error)) => Found::Failed(error.to_string()),
            Err(error) => Found::Failed(error.to_string()),
        }))
    }
}
