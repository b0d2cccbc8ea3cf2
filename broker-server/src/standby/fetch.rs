//! One try to get what is new.

use super::{
    client::{Client, NoAnswer},
    folder::{StandbyFolder, read_token},
    kept::Looked,
    trouble::Trouble,
};
use crate::{clock, platform};
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use data_encoding::HEXLOWER;
use fleet::{
    ArchiveError, ArchiveOpener, Contents, GoodArchive, archive_name, check_archive, record::Secret,
};
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use schema::Timestamp;
use std::{
    fs::{File, OpenOptions},
    io::{BufReader, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a server may take to make an archive before it sends it.
const ANSWER_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long nothing may come in the middle of one.
const PIECE_WITHIN: Duration = Duration::from_secs(60);
/// How long one may take as a whole, however slowly it comes: so long,
const WHOLE_AT_LEAST: Duration = Duration::from_secs(15 * 60);
/// and a second for so many bytes: a line that is slower than that never is up to date.
const SLOWEST_BYTES: u64 = 8 << 10;
/// The longest archive that is taken, in bytes.
const MOST_BYTES: u64 = 64 << 30;

/// Who asks, and for what.
pub(super) struct Fetch<'a> {
    pub(super) client: &'a Client,
    pub(super) folder: &'a StandbyFolder,
    pub(super) token: &'a Path,
    pub(super) identity: &'a Secret,
    pub(super) recipient: &'a str,
    /// The mark of what is here; `None` = it is asked for whatever there is.
    pub(super) mark: Option<&'a str>,
    /// The incarnation of what is here.
    pub(super) incarnation: u64,
    /// What is here and not what came any more, by name: it goes when another one has come.
    pub(super) damaged: &'a [String],
}

/// What came of a try that did not fail.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Nothing has changed.
    Current,
    /// The server asks to wait a moment.
    Busy,
    /// An archive, checked and kept; of a server with these authorities (PEM) of its own.
    Archive { looked: Box<Looked>, mark: Option<String>, bytes: u64, authorities: String },
}

impl Fetch<'_> {
    pub(super) async fn run(&self) -> Result<Fetched, Trouble> {
        let named = || self.token.display().to_string();
        let token = read_token(self.token).map_err(|why| Trouble::Disk(format!("{}: {why}", named())))?;
        let no_token = || Trouble::NoToken { path: named(), recipient: self.recipient.to_owned() };
        let token = token.ok_or_else(no_token)?;
        let mut request = Request::get("/api/standby/archive")
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(header::USER_AGENT, concat!("holdfast-server/", env!("CARGO_PKG_VERSION")));
        if let Some(mark) = self.mark {
            request = request.header(header::IF_NONE_MATCH, mark);
        }
        let request = request.body(Body::empty());
        // What can't stand in a head is no token.
        let request = request.map_err(|_| Trouble::WrongToken)?;
        let answer = self.client.ask(request, ANSWER_WITHIN).await.map_err(|why| match why {
            NoAnswer::NotTrusted(doubt) => {
                Trouble::NotTrusted { doubt, names_authority: self.client.names_authority }
            }
            NoAnswer::NotTls => {
                Trouble::Answered("something that is not TLS: does the URL begin with http://?".to_owned())
            }
            NoAnswer::NotHttp => {
                Trouble::Answered("something that is not HTTP: does the URL begin with https://?".to_owned())
            }
            why => Trouble::Unreachable(why.to_string()),
        })?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => Ok(Fetched::Current),
            StatusCode::OK => self.take(answer).await,
            StatusCode::UNAUTHORIZED => Err(Trouble::WrongToken),
            StatusCode::CONFLICT => Err(Trouble::Superseded),
            StatusCode::SERVICE_UNAVAILABLE if answer.headers().contains_key(header::RETRY_AFTER) => {
                Ok(Fetched::Busy)
            }
            status => Err(Trouble::Answered(status.to_string())),
        }
    }

    /// What failed is not left behind: it would take the room of the next one.
    async fn take(&self, answer: Response<Incoming>) -> Result<Fetched, Trouble> {
        self.folder.remove_incoming();
        let taken = self.take_in(answer).await;
        if taken.is_err() {
            self.folder.remove_incoming();
        }
        taken
    }

    async fn take_in(&self, answer: Response<Incoming>) -> Result<Fetched, Trouble> {
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let mark = text(header::ETAG).map(str::to_owned);
        let bytes = text(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        let bytes = bytes.ok_or_else(|| Trouble::Answered("without saying how much it sends".to_owned()))?;
        if bytes > MOST_BYTES {
            let what = format!("with {bytes} bytes, and {MOST_BYTES} are taken at the most");
            return Err(Trouble::Answered(what));
        }
        let path = self.folder.incoming();
        let left = path.parent().and_then(platform::space_left);
        if let Some(left) = left.filter(|left| *left < bytes) {
            return Err(Trouble::Full { bytes, left });
        }
        receive(answer, &path, bytes, Patience::with(bytes)).await?;
        let (from, identity) = (path, self.identity.clone());
        let checked = tokio::task::spawn_blocking(move || check(&from, identity)).await;
        let found = checked.map_err(|error| Trouble::Disk(error.to_string()))?;
        let GoodArchive { contents: Contents { about, .. }, server, formerly, authorities } =
            found.map_err(|error| Trouble::of_archive(&error))?;
        let known = self.folder.server().map_err(|error| Trouble::Disk(format!("{error:#}")))?;
        let [server, formerly] = [server, formerly].map(|digest| HEXLOWER.encode(&digest));
        if known.as_ref().is_some_and(|known| ![&server, &formerly].contains(&known)) {
            return Err(Trouble::OtherServer);
        }
        if about.incarnation < self.incarnation {
            return Err(Trouble::Older { came: about.incarnation, have: self.incarnation });
        }
        // Also in the place of what an earlier version has written down.
        if known.is_none_or(|known| known != server) {
            let put = self.folder.put_server(&server);
            put.map_err(|error| Trouble::Disk(format!("{error:#}")))?;
        }
        let name = archive_name(Timestamp(about.made_at_ms));
        self.folder.keep(&name, self.damaged).map_err(|error| Trouble::of_archive(&error))?;
        let path = self.folder.archives().path.join(&name);
        let looked = Looked::good(&path, name, about, clock::now());
        let looked = looked.map_err(|why| Trouble::Disk(format!("{}: {why}", path.display())))?;
        Ok(Fetched::Archive { looked: Box::new(looked), mark, bytes, authorities })
    }
}

fn check(path: &PathBuf, identity: Secret) -> Result<GoodArchive, ArchiveError> {
    let file = File::open(path).map_err(|why| ArchiveError::File { path: path.clone(), why })?;
    check_archive(BufReader::with_capacity(1 << 20, file), &ArchiveOpener::Identities(identity))
}

/// How long is waited for an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For its next piece.
    pub(super) piece: Duration,
    /// For all of it.
    pub(super) whole: Duration,
}

impl Patience {
    /// For one of so many bytes.
    pub(super) const fn with(bytes: u64) -> Self {
        let whole = WHOLE_AT_LEAST.saturating_add(Duration::from_secs(bytes / SLOWEST_BYTES));
        Self { piece: PIECE_WITHIN, whole }
    }
}

/// Writes what comes; it is on disk when this returns.
pub(super) async fn receive(
    answer: Response<Incoming>,
    path: &Path,
    bytes: u64,
    patience: Patience,
) -> Result<(), Trouble> {
    let received = receive_all(answer, path, bytes, patience.piece);
    tokio::time::timeout(patience.whole, received).await.unwrap_or_else(|_| {
        Err(Trouble::Cut(format!(
            "{bytes} bytes did not come in {} min, and no longer is waited for as many",
            patience.whole.as_secs() / 60
        )))
    })
}

async fn receive_all(
    answer: Response<Incoming>,
    path: &Path,
    bytes: u64,
    within: Duration,
) -> Result<(), Trouble> {
    let failed = |why: std::io::Error| match why.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Trouble::Full { bytes, left: 0 },
        _ => Trouble::Disk(format!("{}: {why}", path.display())),
    };
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = opened.map_err(failed)?;
    let mut pieces = Body::new(answer.into_body()).into_data_stream();
    let mut came = 0;
    loop {
        let next = tokio::time::timeout(within, pieces.next()).await;
        let silent = |_| Trouble::Cut(format!("nothing came for {} s", within.as_secs()));
        let piece = match next.map_err(silent)? {
            None => break,
            Some(piece) => piece.map_err(|error| Trouble::Cut(error.to_string()))?,
        };
        came += piece.len() as u64;
        file.write_all(&piece).map_err(failed)?;
    }
    if came != bytes {
        return Err(Trouble::Cut(format!("{came} of {bytes} bytes came")));
    }
    file.sync_all().map_err(failed)
}
