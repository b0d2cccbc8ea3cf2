//! The command line's way into a running server: a socket in the data folder, for its owner alone.
//!
//! The data file belongs to one process at a time; `holdfast-server admin …` asks the running server when there is
//! one, and opens the file itself when there is none. One JSON object a line each way.

use crate::{
    archive,
    command_error::Refusal,
    kit,
    own_pieces::OwnPieces,
    rollover::{Rollover, RolloverError, Rotated},
    tasks::Beat,
};
use data_encoding::HEXLOWER;
use fleet::{
    Archives, By, Fleet, Found, KitChoice, OperatorChange, Refused,
    record::{Actor, AuditAction, Scope, Secret},
};
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};
use zeroize::{Zeroize, Zeroizing};

/// The longest line that is read, in bytes: it may name thousands of hosts.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// How long a question and an answer may take to pass.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// What the command line can ask for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// A new API token.
    Token {
        /// What it is for.
        name: String,
        /// What it may do, in words.
        scopes: Vec<String>,
    },
    /// A new password for an account.
    ResetPassword {
        /// Name of the account.
        name: String,
    },
    /// The link for the first account.
    SetupCode,
    /// A look through the data file that the server has open.
    Check,
    /// Whether the key and the authority on disk are those that the server runs with; the data file is not looked through.
    CheckPieces,
    /// A break-glass kit; its file follows the answer, see [`crate::kit`].
    Kit {
        /// Ids or names of hosts.
        hosts: Vec<String>,
        /// Labels of hosts.
        labels: Vec<String>,
        /// What opens it.
        passphrase: Secret,
    },
    /// The next step towards another authority, see [`crate::rollover`].
    RotateAuthority {
        /// Also when hosts are lost by it.
        force: bool,
    },
    /// A new standby; its token is the answer.
    AddStandby {
        /// What it is called.
        name: String,
        /// For whom its archives are encrypted.
        recipient: String,
    },
    /// The standbys of the server.
    Standbys,
    /// A standby is one no more.
    RemoveStandby {
        /// What it is called.
        name: String,
    },
    /// A standby is to end, for it is promoted.
    HandOver,
    /// An archive, made as each night; none is sent.
    KeepArchive,
    /// An archive; its file follows the answer, see [`crate::archive`].
    Archive {
        /// `age` recipients; none = the passphrase opens it.
        recipients: Vec<String>,
        /// One more, which whoever asks has drawn to read it back, and forgets.
        #[serde(default)]
        reads_back: Option<String>,
        /// What opens it.
        passphrase: Option<Secret>,
    },
}

/// The server's answer to a command of the command line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What was asked for: a token, a password, a code; empty = there is none.
    Secret(String),
    /// The data file is whole, and the rest fits it.
    Whole {
        /// Rows of the data file.
        rows: u64,
        /// Hosts that the next start locks out, for another authority was accepted.
        locked_out: usize,
        /// The incarnation of the server that has the place of this one, which stands still then.
        succeeded_by: Option<u64>,
    },
    /// The key and the authority on disk are fit for the next start.
    Pieces {
        /// Hosts that the next start locks out, for another authority was accepted.
        locked_out: usize,
    },
    /// How the authorities stand.
    Authorities(Authorities),
    /// The file of a kit follows.
    Kit {
        /// How many hosts are in it.
        hosts: usize,
    },
    /// An archive was made as each night.
    KeptArchive {
        /// Its path.
        path: String,
        /// How long it is.
        bytes: u64,
    },
    /// The file of an archive follows.
    Archive {
        /// The instant whose state it holds, in milliseconds since 1970.
        made_at_ms: u64,
    },
    /// A standby was added.
    StandbyAdded {
        /// With which it asks.
        token: String,
        /// Where it finds the pages of the server, as far as that is known.
        url: Option<String>,
    },
    /// The standbys of the server.
    Standbys(Vec<StandbyTold>),
    /// The standby ends.
    HandedOver,
    /// It was not done.
    Refused(Refusal),
}

/// A standby of the server.
#[derive(Debug, Serialize, Deserialize)]
pub struct StandbyTold {
    /// What it is called.
    pub name: String,
    /// For whom its archives are encrypted.
    pub recipient: String,
    /// When it was added.
    pub added_at: String,
    /// When it asked last, since the server was started.
    pub asked_at: Option<String>,
    /// Whether, when it asked last, it had all that there is now.
    pub current: bool,
    /// When it was sent an archive last.
    pub fetched_at: Option<String>,
    /// Whether it has kept silent for too long.
    pub late: bool,
}

impl From<fleet::Standby> for StandbyTold {
    fn from(standby: fleet::Standby) -> Self {
        Self {
            name: standby.name,
            recipient: standby.recipient,
            added_at: web::rfc3339(standby.added_at),
            asked_at: standby.asked_at.map(web::rfc3339),
            current: standby.has_all,
            fetched_at: standby.fetched_at.map(web::rfc3339),
            late: standby.is_late,
        }
    }
}

/// How the authorities of a server stand, after what was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Authorities {
    /// `begun`: agents are told of a next one; `waiting`: hosts do not trust it yet, and nothing was done; `done`: it has taken
    /// the place of the present one.
    pub state: String,
    /// SHA-256 of the present one.
    pub present: String,
    /// SHA-256 of the next one; `None` = there is none.
    pub next: Option<String>,
    /// Enrolled hosts.
    pub hosts: usize,
    /// Enrolled hosts that do not trust the next one, or, of one that is done, did not.
    pub lacking: usize,
    /// The names of the first hundred of them.
    pub lacking_hosts: Vec<String>,
}

/// Where the socket of a data folder is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Whether a server runs over this data folder.
#[must_use]
pub fn is_answered(data_dir: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket_path(data_dir)).is_ok()
}

/// Listens on the socket of `data_dir`; an old one that nobody answers is replaced.
pub fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let path = socket_path(data_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What the server has for whoever asks.
#[derive(Clone)]
pub struct ControlServices {
    /// The domain.
    pub fleet: Fleet,
    /// What lies beside the data file.
    pub pieces: Arc<OwnPieces>,
    /// The archives that it makes.
    pub archives: Arc<Archives>,
    /// Its authorities.
    pub rollover: Arc<Rollover>,
    /// Where its pages are.
    pub public_url: String,
}

/// A file that follows the answer.
enum Follows {
    Nothing,
    Kit(web::KitFile),
    Archive(Box<archive::Sending>),
}

/// Answers on the socket of a standby, until it is to end.
pub async fn serve_standby(listener: &UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut stream = BufReader::new(stream.take_line_limit());
        let mut line = String::new();
        let read = tokio::time::timeout(ASKED_WITHIN, stream.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(_))) {
            continue;
        }
        let hands_over = matches!(serde_json::from_str(&line), Ok(Ask::HandOver));
        let answer = if hands_over {
            Answer::HandedOver
        } else {
            Answer::Refused(Refusal::new("standby", "this is a standby: ask the server that it follows"))
        };
        let Ok(mut bytes) = serde_json::to_vec(&answer) else { continue };
        bytes.push(b'\n');
        let stream = stream.get_mut().get_mut();
        let told = tokio::time::timeout(ASKED_WITHIN, stream.write_all(&bytes)).await;
        if hands_over && matches!(told, Ok(Ok(()))) {
            return;
        }
    }
}

/// Answers on the socket, for ever.
pub async fn serve(listener: Arc<UnixListener>, asked: ControlServices, beat: Beat) {
    loop {
        let Ok((stream, _)) = beat.waits(listener.accept()).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let asked = asked.clone();
        tokio::spawn(async move {
            if let Err(error) = talk(stream, asked).await {
                tracing::debug!(%error, "control connection ended");
            }
        });
    }
}

async fn talk(stream: UnixStream, asked: ControlServices) -> io::Result<()> {
    let ControlServices { fleet, pieces, archives, rollover, public_url } = asked;
    let mut stream = BufReader::new(stream.take_line_limit());
    let mut line = String::new();
    tokio::time::timeout(ASKED_WITHIN, stream.read_line(&mut line)).await??;
    let mut follows = Follows::Nothing;
    let asked = serde_json::from_str(&line);
    line.zeroize();
    let answer = match asked {
        Ok(Ask::Check) => check(&fleet, pieces).await,
        Ok(Ask::CheckPieces) => match tokio::task::spawn_blocking(move || pieces.check_own()).await {
            Ok(Ok(locked_out)) => Answer::Pieces { locked_out },
            Ok(Err(why)) => Answer::Refused(Refusal::of(&why)),
            Err(why) => Answer::Refused(Refusal::fault(why)),
        },
        Ok(Ask::Kit { hosts, labels, passphrase }) => {
            match kit::begin(&fleet, KitChoice { hosts, labels }, passphrase, By::system()).await {
                Ok((hosts, file)) => {
                    follows = Follows::Kit(file);
                    Answer::Kit { hosts }
                }
                Err(why) => Answer::Refused(why),
            }
        }
        Ok(Ask::RotateAuthority { force }) => rotate(&fleet, &rollover, force).await,
        Ok(Ask::KeepArchive) => match archives.make(By::system()).await {
            Ok(kept) => {
                fleet.note_of_archive(AuditAction::ArchiveMade, kept.name.clone(), By::system()).await;
                let path = archives.path_of(&kept).display().to_string();
                Answer::KeptArchive { path, bytes: kept.bytes }
            }
            Err(why) => Answer::Refused(why.into()),
        },
        Ok(Ask::Archive { mut recipients, reads_back, passphrase }) => {
            let for_whom = match recipients.as_slice() {
                [] => "by the command line, with a passphrase".to_owned(),
                some => format!("by the command line, for {}", some.join(", ")),
            };
            recipients.extend(reads_back);
            match archive::Sending::begin(&archives, recipients, passphrase).await {
                Ok(sending) => {
                    fleet.note_of_archive(AuditAction::ArchiveDownloaded, for_whom, By::system()).await;
                    let made_at_ms = sending.made_at().0;
                    follows = Follows::Archive(Box::new(sending));
                    Answer::Archive { made_at_ms }
                }
                Err(why) => Answer::Refused(why),
            }
        }
        Ok(ask) => match carry_out(&fleet, ask).await {
            Answer::StandbyAdded { token, .. } => Answer::StandbyAdded { token, url: Some(public_url) },
            answer => answer,
        },
        Err(error) => Answer::Refused(Refusal::new("not_understood", format!("not understood: {error}"))),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    let stream = stream.get_mut().get_mut();
    tokio::time::timeout(ASKED_WITHIN, stream.write_all(&bytes)).await??;
    match follows {
        Follows::Nothing => Ok(()),
        Follows::Kit(file) => kit::send(file, stream).await,
        Follows::Archive(sending) => sending.send(stream).await,
    }
}

trait TakeLineLimit: Sized {
    fn take_line_limit(self) -> tokio::io::Take<Self>;
}

impl TakeLineLimit for UnixStream {
    fn take_line_limit(self) -> tokio::io::Take<Self> {
        AsyncReadExt::take(self, MAX_LINE_BYTES)
    }
}

/// Asks the server that runs on `data_dir`; `None` when none runs.
pub async fn ask(data_dir: &Path, ask: &Ask) -> io::Result<Option<Answer>> {
    match open(data_dir).await? {
        Some(stream) => put(&mut BufReader::new(stream), ask).await.map(Some),
        None => Ok(None),
    }
}

/// A connection to the server that runs on `data_dir`; `None` when none runs.
pub(crate) async fn open(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(socket_path(data_dir)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let path = data_dir.display();
            let why = format!("{path}: {error}: run this as the user whose folder that is, or as root");
            Err(io::Error::new(error.kind(), why))
        }
        Err(error) => Err(error),
    }
}

/// Puts a question, and takes the line that answers it.
pub(crate) async fn put(stream: &mut BufReader<UnixStream>, ask: &Ask) -> io::Result<Answer> {
    let mut bytes = Zeroizing::new(serde_json::to_vec(ask)?);
    bytes.push(b'\n');
    if bytes.len() as u64 > MAX_LINE_BYTES {
        return Err(io::Error::other("that is too long to be asked"));
    }
    stream.get_mut().write_all(&bytes).await?;
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::Error::other("the server ended while it was asked: see its log, and ask again"));
    }
    Ok(serde_json::from_str(&line)?)
}

/// Does what is asked, but for a look through everything: that is for a server that runs.
pub async fn carry_out(fleet: &Fleet, ask: Ask) -> Answer {
    let by = By { actor: Actor::System, peer: String::new() };
    let done = match ask {
        Ask::Token { name, scopes } => match scopes.iter().map(|word| scope(word)).collect() {
            Err(why) => Err(Refusal::new("invalid_input", why)),
            Ok(scopes) => match fleet.create_api_token(&name, scopes, by).await {
                Ok((_, secret)) => Ok(secret),
                Err(refused) => Err(refused.into()),
            },
        },
        Ask::ResetPassword { name } => reset_password(fleet, &name, by).await,
        Ask::SetupCode => match fleet.setup_code().await {
            Ok(code) => Ok(code.unwrap_or_default()),
            Err(error) => Err(error.into()),
        },
        Ask::AddStandby { name, recipient } => match fleet.add_standby(name, recipient, by).await {
            Ok(token) => return Answer::StandbyAdded { token: token.expose().to_owned(), url: None },
            Err(refused) => Err(refused.into()),
        },
        Ask::RemoveStandby { name } => {
            let removed = fleet.remove_standby(name, by).await;
            removed.map(|()| Secret::default()).map_err(Refusal::from)
        }
        Ask::Standbys => {
            return match fleet.standbys() {
                Ok(all) => Answer::Standbys(all.into_iter().map(StandbyTold::from).collect()),
                Err(error) => Answer::Refused(error.into()),
            };
        }
        Ask::HandOver => Err(Refusal::new("no_standby", "a server runs over this folder, and no standby")),
        Ask::Check
        | Ask::CheckPieces
        | Ask::Kit { .. }
        | Ask::KeepArchive
        | Ask::Archive { .. }
        | Ask::RotateAuthority { .. } => Err(Refusal::new("not_understood", "that can't be asked here")),
    };
    match done {
        Ok(secret) => Answer::Secret(secret.expose().to_owned()),
        Err(why) => Answer::Refused(why),
    }
}

async fn check(fleet: &Fleet, pieces: Arc<OwnPieces>) -> Answer {
    match fleet.scrub().await.map(|scrub| scrub.map(|scrub| scrub.found)) {
        Ok(Some(Found::Well(rows))) => match tokio::task::spawn_blocking(move || pieces.check()).await {
            Ok(Ok(locked_out)) => {
                let succeeded_by = fleet.succession().map(|it| it.incarnation.0);
                Answer::Whole { rows, locked_out, succeeded_by }
            }
            Ok(Err(why)) => Answer::Refused(Refusal::of(&why)),
            Err(why) => Answer::Refused(Refusal::fault(why)),
        },
        Ok(Some(Found::Damage(why))) => Answer::Refused(Refusal::new(
            "data_damaged",
            format!(
                "the data file is damaged: stop the server, and restore an archive of it, or salvage what can be read ({why})"
            ),
        )),
        Ok(Some(Found::Failed(why))) => {
            Answer::Refused(Refusal::fault(format!("the data file could not be looked through: {why}")))
        }
        Ok(None) => Answer::Refused(Refusal::new(
            "busy",
            "the data file is being looked through already; ask again in a minute",
        )),
        Err(refused) => Answer::Refused(refused.into()),
    }
}

async fn rotate(fleet: &Fleet, rollover: &Rollover, force: bool) -> Answer {
    let before = authorities(fleet, "waiting");
    match (rollover.rotate(force, By::system()).await, before) {
        (Ok(Rotated::Begun), _) => {
            authorities(fleet, "begun").map_or_else(Answer::Refused, Answer::Authorities)
        }
        // Who was lost is known from before.
        (Ok(Rotated::Done), Ok(before)) => match authorities(fleet, "done") {
            Ok(after) => Answer::Authorities(Authorities {
                lacking: before.lacking,
                lacking_hosts: before.lacking_hosts,
                ..after
            }),
            Err(why) => Answer::Refused(why),
        },
        (Err(RolloverError::Refused(Refused::WouldLose { .. })), Ok(before)) => Answer::Authorities(before),
        (Err(RolloverError::Refused(refused)), _) => Answer::Refused(refused.into()),
        (Err(error @ RolloverError::Tls(_)), _) => {
            Answer::Refused(Refusal::new("certificate", error.to_string()))
        }
        (_, Err(why)) => Answer::Refused(why),
    }
}

fn authorities(fleet: &Fleet, state: &str) -> Result<Authorities, Refusal> {
    let uses = fleet.read().and_then(|read| read.authorities())?;
    let fingerprint = |it: &fleet::AuthorityUse| HEXLOWER.encode(&it.fingerprint);
    let present = uses.first().ok_or_else(|| Refusal::fault("there is no authority"))?;
    let newest = uses.get(1);
    Ok(Authorities {
        state: state.to_owned(),
        present: fingerprint(present),
        next: newest.map(fingerprint),
        hosts: present.hosts + present.lacking,
        lacking: newest.map_or(0, |it| it.lacking),
        lacking_hosts: newest.iter().flat_map(|it| it.listed.iter().map(|it| it.name.clone())).collect(),
    })
}

fn scope(word: &str) -> Result<Scope, String> {
    let all = || Scope::ALL.map(Scope::as_str).join(", ");
    Scope::from_word(word).ok_or_else(|| format!("no scope {word:?}; there are: {}", all()))
}

async fn reset_password(fleet: &Fleet, name: &str, by: By) -> Result<Secret, Refusal> {
    let mut bytes = [0; 15];
    crate::clock::random(&mut bytes);
    let password = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
    let secret = Secret::new(password);
    let hash = web::hash_password(secret.clone()).await.map_err(Refusal::fault)?;
    let change = OperatorChange { password_hash: Some(hash), ..OperatorChange::default() };
    fleet.update_operator(name, change, by).await?;
    Ok(secret)
}
