use crate::authority;
use crate::change::Change;
use crate::context::Context;
use crate::data_folder::check_data_folder;
use crate::link::hello;
use crate::op::Op;
use crate::pieces::{Authority, Pieces, Stand};
use crate::record::meta::{META_KEY_CHECK, Meta};
use crate::record::{Actor, EnrollToken, JobProgress, LogChunk, Secret};
use crate::refused::{OpenError, Refused, StoreError};
use crate::request::By;
use crate::roster;
use crate::scrub::{self, Found, Scrub};
use crate::seal::{Binding, MasterKey};
use crate::settings::{Driver, Settings};
use crate::snapshot::Snapshot;
use crate::store::{
    Begins, Committed, JOBS, META, Moment, Order, ReadView, Reads, Span, Store, Tx, WriterCounts, check,
};
use schema::{HostId, JobId, Timestamp};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::broadcast;

/// A fresh enrolment token: the record, and the text to copy that is shown once.
#[derive(Clone, Debug)]
pub struct NewEnrollToken {
    /// What may be seen later.
    pub token: EnrollToken,
    /// `hf1.…`
    pub text: Secret,
}

/// What a look through the pieces of a server at rest has found: all fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Rows of the data file.
    pub rows: u64,
    /// Hosts that have to be enrolled again, for another authority was accepted.
    pub locked_out: usize,
}

/// What ingest does after a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// To send on the host's `cmd` at once.
    pub reply: Option<Vec<u8>>,
    /// The outbox holds something that is to be sent, or sent again: read it from number 0.
    pub wake: bool,
    /// Commands that were acknowledged before are to be sent again (the agent lost what it had): end the session, so
    /// that the next one reads the outbox from the start.
    pub rewound: bool,
    /// The host is in quarantine: end the session.
    pub kept_out: bool,
}

/// The one door. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    // Operations hold the context and never the fleet, so that the last handle is not dropped by the writer.
    context: Arc<Context>,
    store: Arc<Store>,
}

impl Fleet {
    /// Opens the pieces of a server; makes them, and their folder, when there is none of them.
    pub fn open(pieces: impl Into<Pieces>, settings: Settings, driver: Driver) -> Result<Self, OpenError> {
        let pieces = pieces.into();
        let is_new = pieces.begin()? == Stand::New;
        let master = match &pieces.key_file {
            None if is_new => MasterKey::read_or_create(&pieces, random(&driver))?,
            None => MasterKey::read(&pieces.key_path(), false)?,
            Some(handed_over) => MasterKey::read(handed_over, true)?,
        };
        let context = Arc::new(Context::new(driver, settings, master));
        let looked = if is_new { None } else { scrub::at_start(&pieces)? };
        if let Some(rows) = looked {
            let (now, begun) = (context.now(), context.started_at);
            *context.scrub() =
                Some(Scrub { at: now, took_ms: now.ms_since(begun), found: Found::Well(rows) });
        }
        let begins = if is_new { Begins::New } else { Begins::Kept };
        let store = Store::open(&pieces.data_file(), begins, committed(&context), |tx| {
            start(&context, tx)?;
            if pieces.authority == Authority::NotAsked {
                return Ok(());
            }
            let mut op = Op { tx, now: context.now(), by: &By::system(), facts: &context.facts };
            authority::bind(&mut op, &context.settings.ca_fingerprint, pieces.accepts_authority()?)
        })?;
        pieces.made()?;
        if pieces.authority != Authority::NotAsked {
            pieces.authority_accepted()?;
        }
        Self::begin(context, store)
    }

    /// Looks through the whole data file: every page that is in use is what was written, every row can be read, the
    /// master key fits, and so does the authority; `None` = the next start makes one. Changes nothing. Reads all of the
    /// file, and blocks.
    pub fn check(pieces: &Pieces, ca_fingerprint: Option<&[u8; 32]>) -> Result<Checked, OpenError> {
        check_data_folder(&pieces.data_dir)?;
        let master = MasterKey::read(&pieces.key_path(), pieces.key_file.is_some())?;
        let is_accepted = pieces.accepts_authority()?;
        let mut locked_out = 0;
        let rows = check(&pieces.data_file(), |tx| {
            key_fits(&master, tx)?;
            locked_out = authority::locks_out(tx, ca_fingerprint, is_accepted)?;
            Ok(())
        })?;
        Ok(Checked { rows, locked_out })
    }

    /// Whether what is on disk of the key and of the authority is what this server runs with: what the next start finds.
    /// `ca_fingerprint` is that of the authority on disk; `None` = the next start makes one. Returns how many hosts that
    /// start locks out.
    pub fn check_pieces(
        &self,
        pieces: &Pieces,
        ca_fingerprint: Option<&[u8; 32]>,
    ) -> Result<usize, OpenError> {
        pieces.look()?;
        let master = MasterKey::read(&pieces.key_path(), pieces.key_file.is_some())?;
        let view = self.view()?;
        key_fits(&master, &view)?;
        authority::locks_out(&view, ca_fingerprint, pieces.accepts_authority()?)
    }

    /// A fleet that is gone with the process.
    pub fn in_memory(settings: Settings, driver: Driver) -> Result<Self, OpenError> {
        let master = MasterKey::new(random(&driver));
        let context = Arc::new(Context::new(driver, settings, master));
        let store = Store::in_memory(committed(&context), |tx| start(&context, tx))?;
        Self::begin(context, store)
    }

    fn begin(context: Arc<Context>, store: Store) -> Result<Self, OpenError> {
        context.roster.refresh(&context.settings.timezone, &store.read()?, &BTreeSet::new())?;
        Ok(Self { context, store: Arc::new(store) })
    }

    /// The driver's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.context.now()
    }

    /// One consistent snapshot. Cheap; but what it sees is not freed while it lives, so let it go soon.
    pub fn read(&self) -> Result<Snapshot, StoreError> {
        let view = self.view()?;
        let entries = self
            .context
            .roster
            .entries()
            .map_or_else(|| roster::read_all(&self.context.settings.timezone, &view), Ok)?;
        Ok(Snapshot::new(view, entries, self.context(), self.store.bytes()))
    }

    /// The number of the newest change: what is read after this was asked knows of it.
    #[must_use]
    pub fn change_seq(&self) -> u64 {
        self.context().change_seq()
    }

    /// What changes from now on. Who lags (`RecvError::Lagged`) reads anew what it shows.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.context.changes.subscribe()
    }

    /// Hosts whose outbox got something. Who lags looks at all outboxes.
    #[must_use]
    pub fn wakes(&self) -> broadcast::Receiver<HostId> {
        self.context.wakes.subscribe()
    }

    /// How far a job is; `None` when nothing was heard, or it has ended.
    #[must_use]
    pub fn progress(&self, job: JobId) -> Option<JobProgress> {
        self.context.board().progress(job)
    }

    /// Lines that came live and are not durable yet.
    #[must_use]
    pub fn live_log(&self, job: JobId) -> Vec<LogChunk> {
        self.context.board().lines(job)
    }

    /// What has been written since the start.
    #[must_use]
    pub fn writer_counts(&self) -> WriterCounts {
        self.store.counts()
    }

    /// Whether the data file can be written: writes a row as it stands, on disk when this answers.
    pub async fn prove_writable(&self) -> Result<(), Refused> {
        self.write(By::system(), |op| {
            let key = META_KEY_CHECK.to_owned();
            if let Some(check) = op.tx.get(&META, &key)? {
                op.tx.put(&META, &key, &check)?;
            }
            Ok(())
        })
        .await
    }

    /// Ends the writer when all that was asked before is committed. What is asked later is refused.
    pub async fn shutdown(&self) {
        let store = self.store.clone();
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("the store could not be closed");
        }
    }

    pub(crate) fn context(&self) -> Arc<Context> {
        self.context.clone()
    }

    pub(crate) fn view(&self) -> Result<ReadView, StoreError> {
        self.store.read()
    }

    pub(crate) async fn moment(&self) -> Result<Option<Moment>, Refused> {
        self.store.moment().await
    }

    /// Runs an operation in the next commit, and returns what it returned once that is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        by: By,
        mut run: impl FnMut(&mut Op<'_, '_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let context = self.context();
        let mut asked_at = None;
        self.store
            .write(move |tx| {
                let now = *asked_at.get_or_insert_with(|| context.now());
                run(&mut Op { tx, now, by: &by, facts: &context.facts })
            })
            .await
    }
}

/// Whether a master key can be read from a file that is handed over.
pub fn check_key_file(handed_over: &Path) -> Result<(), OpenError> {
    MasterKey::read(handed_over, true).map(drop)
}

/// Looks whether the key fits the file, and puts right what only a running server knows.
fn start(context: &Context, tx: &mut Tx<'_>) -> Result<(), OpenError> {
    let mut op = Op { tx, now: context.now(), by: &By::system(), facts: &context.facts };
    let Op { tx, facts, .. } = &mut op;
    if !key_fits(&facts.master, &**tx)? {
        let check = facts.master.seal(Binding::Check, facts.random(), b"holdfast");
        tx.put(&META, &META_KEY_CHECK.to_owned(), &Meta::KeyCheck(check))?;
    }
    // An id that an agent made has the time of that agent, which may be years ahead.
    let mut newest = None;
    tx.walk(&JOBS, &Span::ALL, Order::Descending, |id, job| {
        newest = Some(id).filter(|_| job.actor != Actor::Agent);
        Ok(if newest.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if let Some(newest) = newest {
        facts.job_ids_begin_after(newest);
    }
    hello::nobody_is_connected(&mut op)?;
    context.clock_begins(op.now);
    Ok(())
}

/// `false`: the file has not seen a key yet.
fn key_fits(master: &MasterKey, reads: &impl Reads) -> Result<bool, OpenError> {
    match reads.get(&META, &META_KEY_CHECK.to_owned())? {
        Some(Meta::KeyCheck(sealed)) => match master.open(Binding::Check, &sealed) {
            Ok(_) => Ok(true),
            Err(_) => Err(OpenError::KeyWrong),
        },
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }.into()),
        None => Ok(false),
    }
}

fn committed(context: &Arc<Context>) -> Committed {
    let context = context.clone();
    Box::new(move |effects, read| context.committed(effects, read))
}

fn random<const N: usize>(driver: &Driver) -> [u8; N] {
    let mut bytes = [0; N];
    (driver.random)(&mut bytes);
    bytes
}
