//! Downloads: the bytes of a file or folder of a snapshot, from the agent through this server to whoever asked.
//!
//! A download is a job that is done at once or not at all. Its bytes are never stored: each piece is opened where it
//! came in, checked by the [`receiver::Receiver`], and waits in a queue that is as long as the agent's credit until it is taken.
//! The one who takes it says so ([`Fleet::grant`]), and so grants the next.

mod open;
mod receiver;

pub(crate) use open::Downloads;
pub use receiver::{Broken, Piece};

use crate::audit;
use crate::fleet::Fleet;
use crate::job::{self, transition};
use crate::link;
use crate::op::Op;
use crate::record::{Actor, AuditAction, AuditTarget, DownloadForm, Job, JobWhat};
use crate::refused::{Refused, StoreError};
use crate::request::{By, JobRequest};
use crate::store::{JOBS, OPEN_JOBS, Reads as _, Span};
use open::DownloadPermit;
use schema::limits::BULK_WINDOW;
use schema::{Bulk, HostId, HostTopic, JobId, ToAgent, Topic};
use tokio::sync::mpsc;

/// A download that has begun. Its pieces come as they are granted; dropped, what still comes is thrown away.
pub struct Download {
    /// The job that sends it.
    pub job: Job,
    fleet: Fleet,
    pieces: mpsc::Receiver<Result<Piece, Broken>>,
    taken: u32,
    _place: DownloadPermit,
}

impl Download {
    /// The next piece. After [`Piece::Whole`] and after an error there are no more. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<Piece, Broken> {
        let piece = self.pieces.recv().await.unwrap_or(Err(Broken::HostLost))?;
        self.taken = self.taken.saturating_add(1);
        if self.taken.is_multiple_of(BULK_WINDOW / 4) {
            self.grant();
        }
        Ok(piece)
    }

    /// Says how far may be sent. Said again every few seconds, as it may be lost, and so that the agent knows that
    /// somebody is here.
    pub fn grant(&self) {
        self.fleet.grant(self.job.id, self.taken.saturating_add(BULK_WINDOW));
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.fleet.context().downloads.end(self.job.id);
    }
}

impl Fleet {
    /// Begins a download of a snapshot of `source`, which `host` sends; `path` is as people write it.
    pub async fn download(
        &self,
        (host, source): (HostId, HostId),
        (snapshot, path, form): (String, String, DownloadForm),
        by: By,
    ) -> Result<Download, Refused> {
        let place = self.context().downloads.place().ok_or(Refused::TooManyDownloads)?;
        let job = self.dispatch(host, JobRequest::Download { snapshot, path, form, source }, by).await?;
        // No agent answers before restic has opened the repository. Should one, the transfer has a hole, and fails.
        let pieces = self.context().downloads.begin(host, job.id);
        Ok(Download { job, fleet: self.clone(), pieces, taken: 0, _place: place })
    }

    /// A message on `bulk`. Memory only; what nobody waits for is let go.
    pub fn handle_bulk(&self, host: HostId, payload: &[u8]) {
        let context = self.context();
        if !context.downloads.is_expected(host) {
            return;
        }
        let Ok(Some((_, key))) = self.link_key(host) else { return };
        let Ok(message) = link::open_envelope(&key, host, HostTopic::Bulk, payload) else { return };
        context.saw_from_host(host, HostTopic::Bulk, payload.len(), &message);
        if let Ok(bulk) = schema::decode::<Bulk<'_>>(&message) {
            context.downloads.take(host, &bulk);
        }
    }

    fn grant(&self, job: JobId, before: u32) {
        let context = self.context();
        let Some(host) = context.downloads.grant(job, before) else { return };
        let Ok(Some(key)) = self.link_key(host) else { return };
        let credit = ToAgent::Credit { job, before };
        let topic = Topic::Host(host, HostTopic::Cmd);
        if let Ok(sealed) = link::seal_message(|| context.random(), &key, topic, &credit) {
            // Nobody listens: nobody is connected.
            let _ = context.credits.send((host, sealed));
        }
    }

    /// Notes how a download ended for whoever asked, and ends its job if that goes on. `bytes` were handed to the
    /// connection; `why` says what broke it off here, where that is known.
    pub async fn end_download(
        &self,
        job: JobId,
        (end, why): (DownloadEnd, Option<String>),
        bytes: u64,
        by: By,
    ) {
        if end != DownloadEnd::Whole {
            // No person's decision; and it may have ended by itself.
            let _ = self.cancel(job, By::system()).await;
        }
        let noted = self
            .write(by, move |op| {
                let Some(row) = op.tx.get(&JOBS, &job)? else { return Ok(()) };
                if end != DownloadEnd::Whole {
                    // The agent's word came before; what comes later is judged by the cancel.
                    let said = why.as_deref().unwrap_or(end.words());
                    job::change(op, row.host, job, |job| transition::undelivered(job, said))?;
                }
                let JobWhat::Download { snapshot, path, form, .. } = &row.what else { return Ok(()) };
                let what = form.of(snapshot, path);
                let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                let detail = format!("{}{why}, {bytes} bytes sent: {what}", end.code());
                Ok(audit::note(op, AuditAction::DownloadEnded, AuditTarget::Job(row.host, job), detail)?)
            })
            .await;
        if let Err(error) = noted {
            tracing::error!(%job, %error, "the end of a download could not be noted");
        }
    }
}

/// After a start nobody waits for the downloads of before.
pub(crate) fn nobody_waits(op: &mut Op<'_, '_>) -> Result<(), StoreError> {
    for (_, id) in op.tx.keys(&OPEN_JOBS, &Span::ALL, usize::MAX)? {
        let Some(before) = op.tx.get(&JOBS, &id)? else { continue };
        if matches!(before.what, JobWhat::Download { .. }) && before.cancel_asked_at.is_none() {
            let (cancel_asked_at, cancel_asked_by) = (Some(op.now), Some(Actor::System));
            let message = "the server ended meanwhile".to_owned();
            let after = Job { cancel_asked_at, message, cancel_asked_by, ..before.clone() };
            job::save(op, Some(&before), &after)?;
            let JobWhat::Download { snapshot, path, form, .. } = &before.what else { continue };
            let detail =
                format!("server_restarted, how much was sent is not known: {}", form.of(snapshot, path));
            audit::note(op, AuditAction::DownloadEnded, AuditTarget::Job(before.host, id), detail)?;
        }
    }
    Ok(())
}

/// How a download ended for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadEnd {
    /// All of it was handed to the connection.
    Whole,
    /// Whoever asked went away.
    Left,
    /// Whoever asked took nothing for too long.
    Stalled,
    /// It did not come whole, or not at all.
    Failed,
}

impl DownloadEnd {
    /// The stable word for it in the audit.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Left => "left",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
        }
    }

    /// What its job says of it; empty = nothing.
    const fn words(self) -> &'static str {
        match self {
            Self::Whole | Self::Failed => "",
            Self::Left => "whoever asked for it went away before its end",
            Self::Stalled => "whoever asked for it took nothing for too long",
        }
    }
}
