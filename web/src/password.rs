//! Passwords: the rules for them, and argon2id, which is slow on purpose: it runs apart, two at a time, in two pieces
//! of memory that are kept for it, and who finds too many before him is told so.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use fleet::record::Secret;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The fewest characters of a password.
pub(crate) const MIN_CHARS: usize = 12;
/// The most bytes: more would only be work for the hash.
const MAX_BYTES: usize = 1_024;
/// So many are hashed at the same time; each takes 19 MiB.
const AT_ONCE: usize = 2;
/// So many strangers wait for their turn, those whose turn it is among them.
const STRANGERS: usize = 16;
/// The same of those who are known: strangers never take their places.
const KNOWN: usize = 32;

/// Why a password can't be taken, in words; `None` = it can.
pub(crate) fn objection(password: &str) -> Option<String> {
    let chars = password.chars().count();
    if chars < MIN_CHARS {
        let chars = crate::format::many(chars as u64, "character");
        Some(format!("Too short: {chars}, at least {MIN_CHARS} are needed."))
    } else if password.len() > MAX_BYTES {
        Some(format!("Too long: at most {MAX_BYTES} bytes."))
    } else {
        None
    }
}

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashFailed {
    /// Too many wait already.
    #[error("too many passwords are being checked right now")]
    Busy,
    /// The random source or the pool is gone, or what is stored is no hash of ours.
    #[error("passwords can't be hashed right now")]
    Broken,
}

/// Whose password it is, as far as the queue asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody of whom nothing is known.
    Stranger,
    /// Who has shown a session, a browser that is known, or the set-up code.
    Known,
}

/// argon2id of a password, PHC text, for an account that is changed without the pages.
pub async fn hash_password(password: Secret) -> Result<String, HashFailed> {
    Passwords::shared().hash(password).await
}

/// Hashes and verifies. One for the whole process: its memory is what bounds it.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    known: Arc<Semaphore>,
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

static SHARED: LazyLock<Passwords> = LazyLock::new(Passwords::new);

fn argon2id(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[expect(clippy::disallowed_methods, reason = "the driver of hashing: nothing but a new hash draws a salt")]
fn salt() -> Result<[u8; 16], HashFailed> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| HashFailed::Broken)?;
    Ok(salt)
}

fn hash(password: &str, memory: &mut [Block]) -> Result<String, HashFailed> {
    let salt = salt()?;
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2id(Params::DEFAULT)
        .hash_password_into_with_memory(password.as_bytes(), &salt, &mut out, memory)
        .map_err(|_| HashFailed::Broken)?;
    let text = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: (&Params::DEFAULT).try_into().map_err(|_| HashFailed::Broken)?,
        salt: Some(Salt::new(&salt).map_err(|_| HashFailed::Broken)?),
        hash: Some(Output::new(&out).map_err(|_| HashFailed::Broken)?),
    };
    Ok(text.to_string())
}

fn fits(password: &str, phc: &str, memory: &mut [Block]) -> Result<bool, HashFailed> {
    let broken = |_| HashFailed::Broken;
    let parsed = PasswordHash::new(phc).map_err(broken)?;
    let params = Params::try_from(&parsed).map_err(|_| HashFailed::Broken)?;
    let (Some(salt), Some(hash)) = (&parsed.salt, &parsed.hash) else { return Err(HashFailed::Broken) };
    let mut out = [0; 64];
    let out = out.get_mut(..hash.len()).ok_or(HashFailed::Broken)?;
    argon2id(params)
        .hash_password_into_with_memory(password.as_bytes(), salt.as_ref(), out, memory)
        .map_err(|_| HashFailed::Broken)?;
    Ok(out.ct_eq(hash.as_bytes()).into())
}

/// What an unknown name's password is compared with, so that the answer takes as long: a hash of nothing in particular
/// that has the same parameters.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Passwords {
    fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            known: Arc::new(Semaphore::new(KNOWN)),
            memory: Arc::default(),
        }
    }

    /// The one of this process.
    pub(crate) fn shared() -> Self {
        SHARED.clone()
    }

    /// argon2id, PHC text. For who is known.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, HashFailed> {
        self.run(Asker::Known, move |memory| hash(password.expose(), memory)).await
    }

    /// Whether the password fits; `None` as the hash costs as much and never fits.
    pub(crate) async fn verify(
        &self,
        asker: Asker,
        password: Secret,
        phc: Option<String>,
    ) -> Result<bool, HashFailed> {
        if password.expose().len() > MAX_BYTES {
            return Ok(false);
        }
        self.run(asker, move |memory| {
            let fits = fits(password.expose(), phc.as_deref().unwrap_or(NOBODY), memory)?;
            Ok(fits && phc.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        asker: Asker,
        work: impl FnOnce(&mut [Block]) -> Result<T, HashFailed> + Send + 'static,
    ) -> Result<T, HashFailed> {
        let queue = match asker {
            Asker::Stranger => &self.strangers,
            Asker::Known => &self.known,
        };
        let place = Arc::clone(queue).try_acquire_owned().map_err(|_| HashFailed::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| HashFailed::Broken)?;
        let memory = Arc::clone(&self.memory);
        // The turn goes with the work: who does not wait for the answer frees nothing before it is done.
        let work = move || with_memory(&memory, (place, turn), work);
        tokio::task::spawn_blocking(work).await.map_err(|_| HashFailed::Broken)?
    }
}

/// Lends one of the pieces of memory; there are never more than turns, and they are never given back to the system,
/// which would keep them anyway.
fn with_memory<T>(
    pool: &Mutex<Vec<Vec<Block>>>,
    _turn: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    work: impl FnOnce(&mut [Block]) -> Result<T, HashFailed>,
) -> Result<T, HashFailed> {
    let pool = || pool.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = pool().pop();
    let mut memory = kept.unwrap_or_else(|| vec![Block::new(); Params::DEFAULT.block_count()]);
    let done = work(&mut memory);
    pool().push(memory);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits_and_nobody_never() {
        let passwords = Passwords::new();
        let phc = passwords.hash(Secret::new("a few words in a row")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let verify = async |password: &str, phc: Option<String>| {
            passwords.verify(Asker::Stranger, Secret::new(password), phc).await
        };
        assert_eq!(verify("a few words in a row", Some(phc.clone())).await, Ok(true));
        assert_eq!(verify("a few words in a Row", Some(phc)).await, Ok(false));
        assert_eq!(verify("nobody has this password", None).await, Ok(false));
        assert_eq!(verify("x", Some("$argon2id$nonsense".to_owned())).await, Err(HashFailed::Broken));
        let greedy = "$argon2id$v=19$m=1000000,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(verify("x", Some(greedy.to_owned())).await, Err(HashFailed::Broken), "more than there is");
    }

    /// The text that the library itself makes and reads is ours.
    #[tokio::test]
    async fn the_library_reads_what_is_written_here() {
        use argon2::PasswordVerifier as _;
        let phc = Passwords::new().hash(Secret::new("a few words in a row")).await.unwrap();
        let parsed = PasswordHash::new(&phc).unwrap();
        assert!(argon2id(Params::DEFAULT).verify_password(b"a few words in a row", &parsed).is_ok());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_memory_is_used_again_and_strangers_leave_room_for_the_known() {
        let passwords = Passwords::new();
        let held = passwords.turns.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let verify = |asker| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.verify(asker, Secret::new("x"), None).await })
        };
        let waiting: Vec<_> = (0..STRANGERS).map(|_| verify(Asker::Stranger)).collect();
        while passwords.strangers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(verify(Asker::Stranger).await.unwrap(), Err(HashFailed::Busy));
        let known = verify(Asker::Known);
        drop(held);
        assert_eq!(known.await.unwrap(), Ok(false));
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Ok(false));
        }
        assert!(passwords.memory.lock().unwrap().len() <= AT_ONCE);
        assert_eq!(verify(Asker::Stranger).await.unwrap(), Ok(false));
    }

    #[test]
    fn a_short_password_is_told_how_short() {
        assert_eq!(
            objection("ninechars").as_deref(),
            Some("Too short: 9 characters, at least 12 are needed.")
        );
        assert_eq!(objection("twelve chars"), None);
        assert!(objection(&"x".repeat(2_000)).is_some());
    }
}
