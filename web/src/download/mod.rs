//! Downloads: the bytes of a file or folder of a snapshot, as they come from the agent, to whoever asked.
//!
//! A task of its own takes the pieces and hands them on, so that a browser that is gone, or takes nothing, ends the work
//! and is told of in the audit. Nothing is answered before the first bytes are there: what goes wrong until then is an
//! ordinary answer. What goes wrong later ends the connection in the middle, so that no part passes for the whole.
//!
//! | bound | when it is reached |
//! |---|---|
//! | bytes that wait: the agent's credit ([`schema::limits::BULK_WINDOW`]) and a few pieces here | the agent waits |
//! | nothing taken for [`STALL`] | the download ends |
//! | downloads at once: four in all, one a host | one more is refused |

mod archive;
mod name;
mod tar;
mod tar_out;
mod zip;

use crate::app::Ctx;
use crate::form::Form;
use crate::headers::is_same_site;
use crate::problem::{Problem, sentence};
use crate::query::Query;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use fleet::record::{DownloadForm, Job, JobState, JobWhat};
use fleet::{Broken, By, Changed, Download, DownloadEnd, Fleet, Piece};
use futures_util::stream::unfold;
use schema::{Class, HostId, JobId, os_text::bytes_of};
use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long whoever asked may take nothing. With what restic needs to end, below 30 seconds.
const STALL: Duration = Duration::from_secs(20);
/// How often the agent is told again how far it may send.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the last pieces may take behind the end of the job, and the end of the job behind a break.
const LAST_WORD: Duration = Duration::from_secs(10);
/// Archives are sent in pieces of this size.
const PIECE_BYTES: usize = 32 * 1024;

/// `GET /api/hosts/{host}/snapshots/{snapshot}/download`. A session alone is no proof that a person meant it, and a link
/// on another site could begin one: then the browser must say that it is none.
pub(crate) async fn of_api(
    ctx: Ctx,
    Path((host, snapshot)): Path<(String, String)>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response<Body>, Problem> {
    // Its head is not known before restic has begun.
    if ctx.method == Method::HEAD {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Only GET downloads.",
        ));
    }
    let has_session = ctx.caller.as_ref().is_some_and(|caller| caller.session.is_some());
    if has_session && (!headers.contains_key("sec-fetch-site") || !is_same_site(&headers)) {
        return Err(Problem::csrf());
    }
    let path =
        query.get("path").ok_or_else(|| Problem::invalid("path", "Say the path of a file or folder."))?;
    let form = form_of(query.get("format").unwrap_or("raw"))?;
    if form == DownloadForm::Raw && path.chars().all(|c| c == '/') {
        let why = "That is the folder of all folders: download it as an archive (tar.gz or zip).";
        return Err(Problem::invalid("format", why));
    }
    begin(&ctx, (host.as_str(), query.get("runner")), snapshot, path.to_owned(), form).await
}

/// `POST /hosts/{host}/snapshots/{snapshot}/download?path=`: the same from a page. The path stands in the address, as
/// the button may stand in a form that picks others.
pub(crate) async fn of_page(
    ctx: Ctx,
    Path((host, snapshot)): Path<(String, String)>,
    query: Query,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let wanted = form_of(form.raw("format"))?;
    begin(&ctx, (host.as_str(), None), snapshot, query.get("path").unwrap_or_default().to_owned(), wanted)
        .await
}

fn form_of(word: &str) -> Result<DownloadForm, Problem> {
    DownloadForm::from_word(word).ok_or_else(|| {
        Problem::invalid("format", "The formats are raw (of a file), tar.gz and zip (of a folder).")
    })
}

/// Where a page asks for a download of this path.
pub(crate) fn href(host: HostId, snapshot: &str, path: &str) -> String {
    let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    format!("/hosts/{host}/snapshots/{snapshot}/download?path={path}")
}

async fn begin(
    ctx: &Ctx,
    (source, runner): (&str, Option<&str>),
    snapshot: String,
    path: String,
    form: DownloadForm,
) -> Result<Response<Body>, Problem> {
    let source = ctx.find_host(source).await?;
    let runner = ctx.find_runner(&source, runner).await?;
    let between = (runner.id, source.id);
    let (head, begun) = oneshot::channel();
    let (items, taken) = mpsc::channel(1);
    let (fleet, by) = (ctx.app.fleet.clone(), ctx.by());
    let outgoing = Outgoing { items, sent: Arc::default() };
    // Whoever asked may be gone before the job is made: what follows it to its end must not go with them.
    tokio::spawn(async move {
        match fleet.download(between, (snapshot, path, form), by.clone()).await {
            Ok(download) => {
                Work { fleet, job: download.job.clone(), form, by, outgoing }.run(download, head).await;
            }
            Err(refused) => drop(head.send(Err(refused.into()))),
        }
    });
    let (job, size) = begun.await.map_err(|_| Problem::internal())??;
    let JobWhat::Download { snapshot, path, .. } = &job.what else {
        return Err(Problem::internal());
    };
    let named = name::disposition(snapshot, path, form);
    let kind = match form {
        DownloadForm::Raw => "application/octet-stream",
        DownloadForm::TarGz => "application/gzip",
        DownloadForm::Zip => "application/zip",
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, named),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ];
    let mut response = (headers, body(taken)).into_response();
    if let Some(size) = size.filter(|_| form == DownloadForm::Raw) {
        response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    }
    Ok(response)
}

/// What goes to the connection.
enum Item {
    Bytes(Bytes),
    /// All of it was sent; who takes this says so.
    End(oneshot::Sender<()>),
}

/// Without [`Item::End`] the connection ends in the middle.
fn body(taken: mpsc::Receiver<Item>) -> Body {
    let items = unfold(Some(taken), |taken| async move {
        let mut taken = taken?;
        match taken.recv().await {
            Some(Item::Bytes(bytes)) => Some((Ok(bytes), Some(taken))),
            Some(Item::End(heard)) => {
                let _ = heard.send(());
                None
            }
            None => Some((Err(io::Error::other("the download did not come whole")), None)),
        }
    });
    Body::from_stream(items)
}

/// The way to whoever asked.
#[derive(Clone)]
struct Outgoing {
    items: mpsc::Sender<Item>,
    sent: Arc<AtomicU64>,
}

impl Outgoing {
    async fn put(&self, item: Item) -> Result<(), DownloadEnd> {
        match timeout(STALL, self.items.send(item)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(DownloadEnd::Left),
            Err(_) => Err(DownloadEnd::Stalled),
        }
    }

    async fn send(&self, bytes: Bytes) -> Result<(), DownloadEnd> {
        let count = bytes.len() as u64;
        self.put(Item::Bytes(bytes)).await?;
        self.sent.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Resolves when the end was taken.
    async fn end(&self) -> Result<(), DownloadEnd> {
        let (heard, is_heard) = oneshot::channel();
        self.put(Item::End(heard)).await?;
        match timeout(STALL, is_heard).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(DownloadEnd::Left),
            Err(_) => Err(DownloadEnd::Stalled),
        }
    }
}

/// What the task of a download owns.
struct Work {
    fleet: Fleet,
    job: Job,
    form: DownloadForm,
    by: By,
    outgoing: Outgoing,
}

/// The job and, as far as it is known, the length.
type Head = oneshot::Sender<Result<(Job, Option<u64>), Problem>>;

/// What came first.
enum FirstPiece {
    Bytes(Vec<u8>),
    /// There are none.
    End,
}

impl Work {
    async fn run(self, mut download: Download, head: Head) {
        let (end, why) = self.carry(&mut download, head).await;
        drop(download);
        let sent = self.outgoing.sent.load(Ordering::Relaxed);
        tracing::info!(job = %self.job.id, end = end.code(), why, bytes = sent, "download ended");
        // First it is said, then the connection ends: who looks then finds it.
        self.fleet.end_download(self.job.id, (end, why), sent, self.by).await;
        drop(self.outgoing);
    }

    /// How it ended, and why it broke off where this server knows.
    async fn carry(&self, download: &mut Download, mut head: Head) -> (DownloadEnd, Option<String>) {
        let (size, first) = match self.first(download, &mut head).await {
            Ok(begun) => begun,
            Err((end, problem)) => {
                // Whoever is gone hears nothing.
                let _ = head.send(Err(problem));
                return (end, None);
            }
        };
        if head.send(Ok((self.job.clone(), size))).is_err() {
            return (DownloadEnd::Left, None);
        }
        let mut why = None;
        let done = match self.form {
            DownloadForm::Raw => self.pass(download, first, |bytes| self.outgoing.send(bytes)).await,
            DownloadForm::TarGz | DownloadForm::Zip => self.repack(download, first, &mut why).await,
        };
        let done = match done {
            // Behind the last byte of a known length nobody asks for more.
            Ok(()) => match self.outgoing.end().await {
                Err(DownloadEnd::Left) if size == Some(self.outgoing.sent.load(Ordering::Relaxed)) => Ok(()),
                end => end,
            },
            Err(end) => Err(end),
        };
        (done.err().unwrap_or(DownloadEnd::Whole), why)
    }

    /// Waits for the first bytes.
    async fn first(
        &self,
        download: &mut Download,
        head: &mut Head,
    ) -> Result<(Option<u64>, FirstPiece), (DownloadEnd, Problem)> {
        let mut job_end = pin!(ended(&self.fleet, self.job.id));
        let mut again = tokio::time::interval(AGAIN);
        let mut size = None;
        let broken = loop {
            tokio::select! {
                biased;
                piece = download.next() => match piece {
                    Ok(Piece::Begin(bytes)) => size = bytes,
                    Ok(Piece::Chunk(bytes)) => return Ok((size, FirstPiece::Bytes(bytes))),
                    Ok(Piece::Whole) => return Ok((size, FirstPiece::End)),
                    Err(broken) => break broken,
                },
                () = head.closed() => return Err((DownloadEnd::Left, Problem::internal())),
                job = &mut job_end => return Err((DownloadEnd::Failed, failed(job.as_ref(), None))),
                _ = again.tick() => download.grant(),
            }
        };
        let job = match broken {
            Broken::Told => timeout(LAST_WORD, job_end).await.ok().flatten(),
            _ => None,
        };
        Err((DownloadEnd::Failed, failed(job.as_ref(), Some(broken))))
    }

    /// Takes pieces to the end and hands their bytes to `to`. The last ones only when all is known to be whole: whoever
    /// was told the length takes a file for whole with its last byte.
    async fn pass<F: Future<Output = Result<(), DownloadEnd>>>(
        &self,
        download: &mut Download,
        first: FirstPiece,
        to: impl Fn(Bytes) -> F,
    ) -> Result<(), DownloadEnd> {
        let FirstPiece::Bytes(bytes) = first else { return Ok(()) };
        let mut held = Bytes::from(bytes);
        let mut job_end = pin!(ended(&self.fleet, self.job.id));
        let mut again = tokio::time::interval(AGAIN);
        let mut has_ended = false;
        loop {
            tokio::select! {
                biased;
                piece = download.next() => match piece {
                    Ok(Piece::Chunk(bytes)) => to(std::mem::replace(&mut held, bytes.into())).await?,
                    Ok(Piece::Whole) => {
                        // Who asks for the next one then finds the host free again.
                        if !has_ended {
                            let _ = timeout(LAST_WORD, &mut job_end).await;
                        }
                        return to(held).await;
                    }
                    Ok(Piece::Begin(_)) => return Err(DownloadEnd::Failed),
                    Err(broken) => {
                        tracing::warn!(job = %self.job.id, %broken, "a download broke off");
                        return Err(DownloadEnd::Failed);
                    }
                },
                () = self.outgoing.items.closed() => return Err(DownloadEnd::Left),
                _ = &mut job_end, if !has_ended => has_ended = true,
                () = tokio::time::sleep(LAST_WORD), if has_ended => return Err(DownloadEnd::Failed),
                _ = again.tick() => download.grant(),
            }
        }
    }

    /// Makes another archive of the one that comes, on a thread where that may take its time.
    async fn repack(
        &self,
        download: &mut Download,
        first: FirstPiece,
        why: &mut Option<String>,
    ) -> Result<(), DownloadEnd> {
        let (pieces, come) = mpsc::channel(2);
        let JobWhat::Download { snapshot, path, .. } = &self.job.what else {
            return Err(DownloadEnd::Failed);
        };
        let folder: Vec<u8> = bytes_of(path).collect();
        let top = name::top(snapshot, &folder);
        let (form, outgoing) = (self.form, self.outgoing.clone());
        let at = i64::try_from(self.fleet.now().0 / 1_000).unwrap_or_default();
        let thread = tokio::task::spawn_blocking(move || {
            let from = Incoming { come, open: Bytes::new(), is_whole: false };
            let to = Pieces { outgoing, open: Vec::with_capacity(PIECE_BYTES), end: None };
            let of = archive::Of { folder: &folder, top: &top, at };
            match form {
                DownloadForm::Zip => archive::zip(from, of, to).map(drop),
                _ => archive::tar_gz(from, of, to).map(drop),
            }
        });
        let send = |bytes| async { pieces.send(Some(bytes)).await.map_err(|_| DownloadEnd::Failed) };
        let passed = self.pass(download, first, send).await;
        if passed.is_ok() {
            // Where the thread has ended by itself, it says why.
            let _ = pieces.send(None).await;
        }
        drop(pieces);
        match thread.await {
            Ok(Ok(())) => passed,
            Ok(Err(error)) => {
                let told = error.get_ref().and_then(|inner| inner.downcast_ref::<NotTaken>());
                match (told, passed) {
                    (Some(NotTaken(end)), _) => Err(*end),
                    // The end of what came is why the archive has none.
                    (None, Err(end)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(end),
                    (None, _) => {
                        *why = Some(error.to_string());
                        Err(DownloadEnd::Failed)
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "a download's thread failed");
                Err(DownloadEnd::Failed)
            }
        }
    }
}

/// Why nothing more is taken, as an error of a writer.
#[derive(Debug, thiserror::Error)]
#[error("nobody takes it any more")]
struct NotTaken(DownloadEnd);

/// What comes, for a thread; `None` = all has come whole.
struct Incoming {
    come: mpsc::Receiver<Option<Bytes>>,
    open: Bytes,
    is_whole: bool,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.open.is_empty() && !self.is_whole {
            match self.come.blocking_recv() {
                Some(Some(bytes)) => self.open = bytes,
                Some(None) => self.is_whole = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = self.open.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.open.split_to(count));
        Ok(count)
    }
}

/// Gathers what a thread writes into pieces. Only what was flushed is all of it.
struct Pieces {
    outgoing: Outgoing,
    open: Vec<u8>,
    end: Option<DownloadEnd>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_BYTES - self.open.len());
        self.open.extend_from_slice(&bytes[..count]);
        if self.open.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::replace(&mut self.open, Vec::with_capacity(PIECE_BYTES));
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = match self.end {
            Some(end) => Err(end),
            None => tokio::runtime::Handle::current().block_on(self.outgoing.send(bytes.into())),
        };
        sent.map_err(|end| {
            self.end = Some(end);
            io::Error::other(NotTaken(end))
        })
    }
}

/// Resolves when the job has ended; `None` = nothing more will be heard of it.
async fn ended(fleet: &Fleet, id: JobId) -> Option<Job> {
    let mut changes = fleet.changes();
    loop {
        let fleet = fleet.clone();
        let (tell, told) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let job = fleet.read().and_then(|state| state.job(id)).ok().flatten();
            let _ = tell.send(job);
        });
        match told.await {
            Ok(Some(job)) if job.state.is_ended() => return Some(job),
            Ok(Some(_)) => {}
            _ => return None,
        }
        loop {
            match changes.recv().await {
                Ok(change) if matches!(change.what, Changed::Job { job, .. } if job == id) => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Why there is nothing to download.
fn failed(job: Option<&Job>, broken: Option<Broken>) -> Problem {
    if let Some(schema::Refusal::Busy) = job.and_then(|job| job.refusal) {
        return Problem::new(
            StatusCode::CONFLICT,
            "host_busy",
            sentence(&job.map_or_else(String::new, |job| job.message.clone())),
        );
    }
    let (status, code) = match job.and_then(|job| job.class) {
        Some(Class::NotInSnapshot) => (StatusCode::NOT_FOUND, "not_in_snapshot"),
        Some(Class::NotDownloadable) => (StatusCode::UNPROCESSABLE_ENTITY, "not_downloadable"),
        _ => (StatusCode::BAD_GATEWAY, "download_failed"),
    };
    let message = match (job, broken) {
        (Some(job), _) if job.state == JobState::Cancelled => "the download was cancelled".to_owned(),
        (Some(job), _) if !job.message.is_empty() => job.message.clone(),
        (_, Some(broken)) => broken.to_string(),
        _ => "the download came to nothing".to_owned(),
    };
    Problem::new(status, code, sentence(&message))
}
