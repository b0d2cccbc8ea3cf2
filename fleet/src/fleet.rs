use crate::change::{Change, ChangeSeq};
use crate::context::Context;
use crate::damage::Damage;
use crate::fleet_state::FleetState;
use crate::op::Op;
use crate::record::meta::META_KEY_CHECK;
use crate::record::{EnrollToken, JobProgress, LogChunk, Secret};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::roster;
use crate::store::{META, Moment, ReadView, Reads, Store, Tx, WriterCounts};
use schema::{HostId, JobId, Timestamp};
use std::sync::Arc;
use tokio::sync::broadcast;

/// A fresh enrolment token: the record, and the text to copy that is shown once.
#[derive(Clone, Debug)]
pub struct NewEnrollToken {
    /// What can still be seen of the token later, without its secret.
    pub token: EnrollToken,
    /// The whole token as text for a person to copy; begins with `hf1.`.
    pub text: Secret,
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

/// The handle through which everything is read and changed. Clones are cheap and share one store.
#[derive(Clone)]
pub struct Fleet {
    // Operations hold the context and never the fleet, so that the last handle is not dropped by the writer.
    context: Arc<Context>,
    store: Arc<Store>,
}

impl Fleet {
    pub(crate) fn new(context: Arc<Context>, store: Store) -> Self {
        Self { context, store: Arc::new(store) }
    }

    /// The driver's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.context.now()
    }

    /// What a host is called, as far as that is in memory: for the log. `None` = there is no such host.
    #[must_use]
    pub fn host_name(&self, host: HostId) -> Option<String> {
        roster::name_of(&self.context.roster.entries()?, host)
    }

    /// One consistent snapshot. Cheap; but what it sees is not freed while it lives, so let it go soon.
    pub fn read(&self) -> Result<FleetState, StoreError> {
        let view = self.view()?;
        let entries = self
            .context
            .roster
            .entries()
            .map_or_else(|| roster::read_all(&self.context.settings.timezone, &view), Ok)?;
        Ok(FleetState::new(view, entries, self.context(), self.store.bytes()))
    }

    /// The number of the newest change: what is read after this was asked knows of it.
    #[must_use]
    pub fn change_seq(&self) -> ChangeSeq {
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

    /// Sealed messages for the `cmd` of a host that is connected; they may be lost.
    #[must_use]
    pub fn credits(&self) -> broadcast::Receiver<(HostId, Vec<u8>)> {
        self.context.credits.subscribe()
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

    /// What tells whether anything was changed since another mark; another one at each start.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{:x}-{}", self.context.started_at.0, self.store.counts().changes)
    }

    pub(crate) fn context(&self) -> Arc<Context> {
        self.context.clone()
    }

    pub(crate) fn view(&self) -> Result<ReadView, StoreError> {
        self.store.read()
    }

    /// What can be read of the data file; `None` = it is not known to be damaged. Then nothing is written any more.
    #[must_use]
    pub fn damage(&self) -> Option<Arc<Damage>> {
        self.context.damage().cloned()
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) async fn moment(&self) -> Result<Option<Moment>, Refused> {
        self.store.moment().await
    }

    /// Runs an operation in the next commit, and returns what it returned once that is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        by: By,
        run: impl FnMut(&mut Op<'_, '_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        self.context.may_change()?;
        self.store.write(self.operation(by, run)).await
    }

    /// The same for what need not outlive the process, such as who is signed in: also a server that only reads does it.
    pub(crate) async fn write_in_passing<T: Send + 'static>(
        &self,
        by: By,
        run: impl FnMut(&mut Op<'_, '_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let mut run = self.operation(by, run);
        let noted = move |tx: &mut Tx<'_>| {
            let before = tx.writes();
            let done = run(tx);
            tx.is_passing_since(before);
            done
        };
        self.store.write_in_passing(noted).await
    }

    fn operation<T>(
        &self,
        by: By,
        mut run: impl FnMut(&mut Op<'_, '_>) -> Result<T, Refused> + Send + 'static,
    ) -> impl FnMut(&mut Tx<'_>) -> Result<T, Refused> + Send + 'static {
        let context = self.context();
        let mut asked_at = None;
        move |tx| {
            let now = *asked_at.get_or_insert_with(|| context.now());
            run(&mut Op { tx, now, by: &by, facts: &context.facts })
        }
    }
}
