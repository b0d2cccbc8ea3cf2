//! Passwords: the rules for them, and argon2id, which is slow on purpose and therefore runs apart and seldom at once.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use fleet::record::Secret;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// The fewest characters of a password.
pub(crate) const MIN_CHARS: usize = 12;
/// The most bytes: more would only be work for the hash.
const MAX_BYTES: usize = 1_024;

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

/// The hash could not be made: the random source or the pool is gone.
#[derive(Debug, thiserror::Error)]
#[error("passwords can't be hashed right now")]
pub struct HashFailed;

/// argon2id of a password, PHC text, for an account that is changed without the pages.
pub async fn hash_password(password: Secret) -> Result<String, HashFailed> {
    Passwords::new().hash(password).await
}

/// Hashes and verifies, two at a time at most (each takes 19 MiB).
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash(password: &str) -> Result<String, HashFailed> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| HashFailed)?;
    let hash: PasswordHash =
        argon2id().hash_password_with_salt(password.as_bytes(), &salt).map_err(|_| HashFailed)?;
    Ok(hash.to_string())
}

/// What an unknown name's password is compared with, so that the answer takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password").unwrap_or_default());

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(2)) }
    }

    /// argon2id, PHC text.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, HashFailed> {
        let _turn = self.turns.acquire().await.map_err(|_| HashFailed)?;
        tokio::task::spawn_blocking(move || hash(password.expose())).await.map_err(|_| HashFailed)?
    }

    /// Whether the password fits; `None` as the hash costs as much and never fits.
    pub(crate) async fn verify(&self, password: Secret, phc: Option<String>) -> Result<bool, HashFailed> {
        if password.expose().len() > MAX_BYTES {
            return Ok(false);
        }
        let _turn = self.turns.acquire().await.map_err(|_| HashFailed)?;
        tokio::task::spawn_blocking(move || {
            let known = phc.is_some();
            let phc = phc.unwrap_or_else(|| NOBODY.clone());
            let parsed = PasswordHash::new(&phc).map_err(|_| HashFailed)?;
            Ok(argon2id().verify_password(password.expose().as_bytes(), &parsed).is_ok() && known)
        })
        .await
        .map_err(|_| HashFailed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits_and_nobody_never() {
        let passwords = Passwords::new();
        let phc = passwords.hash(Secret::new("a few words in a row")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(passwords.verify(Secret::new("a few words in a row"), Some(phc.clone())).await.unwrap());
        assert!(!passwords.verify(Secret::new("a few words in a Row"), Some(phc)).await.unwrap());
        assert!(!passwords.verify(Secret::new("nobody has this password"), None).await.unwrap());
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
