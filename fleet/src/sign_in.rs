//! What is kept of tries to sign in, and by what a browser is known again. What follows from it is decided by the
//! caller: a row stands for its key, whatever the caller means by it.

use crate::accounts::log_failure;
use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::record::{Operator, Secret, TryCount};
use crate::refused::StoreError;
use crate::request::By;
use crate::seal::Binding;
use crate::store::{Reads, SIGN_IN_TRIES, Span};
use data_encoding::BASE64URL_NOPAD;
use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a browser is known after it signed in.
pub const DEVICE_LIVES_MS: u64 = 400 * 86_400_000;
/// No mark of ours is longer than this, in bytes of text.
const MAX_MARK_BYTES: usize = 512;

/// What a browser's mark says, once it is opened.
#[derive(Serialize, Deserialize)]
struct BrowserMark {
    operator: String,
    /// Of the account: one of the same name that is made later is another one.
    account_made_at: Timestamp,
    made_at: Timestamp,
    id: [u8; 16],
}

impl Fleet {
    /// Everything that is kept of tries to sign in, by key.
    pub fn sign_in_tries(&self) -> Result<Vec<(String, TryCount)>, StoreError> {
        self.view()?.rows(&SIGN_IN_TRIES, &Span::ALL)
    }

    /// Writes these rows; `None` removes one. Whoever calls it bounds how many there are.
    pub async fn keep_sign_in_tries(&self, rows: Vec<(String, Option<TryCount>)>) {
        if rows.is_empty() {
            return;
        }
        let written = self.write_in_passing(By::system(), move |op| {
            for (key, row) in &rows {
                match row {
                    Some(row) => op.tx.put(&SIGN_IN_TRIES, key, row)?,
                    None => drop(op.tx.remove(&SIGN_IN_TRIES, key)?),
                }
            }
            Ok(())
        });
        log_failure(written.await);
    }

    /// A mark by which a browser that has just signed in is known again, as text for a cookie. It opens no door: it
    /// says that wrong passwords of others are not this browser's.
    #[must_use]
    pub fn mark_device(&self, operator: &Operator) -> Secret {
        mark(&self.context(), self.now(), operator)
    }

    /// Which browser this is, by its mark; `None` = the mark is not of this server and this account, or too old.
    #[must_use]
    pub fn known_device(&self, mark: &str, operator: &Operator) -> Option<[u8; 16]> {
        known(&self.context(), self.now(), mark, operator)
    }
}

fn mark(facts: &Facts, now: Timestamp, operator: &Operator) -> Secret {
    let mark = BrowserMark {
        operator: operator.name.clone(),
        account_made_at: operator.created_at,
        made_at: now,
        id: facts.random(),
    };
    let plain = crate::store::to_postcard(1, &mark);
    let sealed = facts.master.seal(Binding::Device, facts.random(), &plain);
    Secret::new(BASE64URL_NOPAD.encode(&sealed))
}

fn known(facts: &Facts, now: Timestamp, text: &str, operator: &Operator) -> Option<[u8; 16]> {
    if text.len() > MAX_MARK_BYTES {
        return None;
    }
    let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let plain = facts.master.open(Binding::Device, &sealed).ok()?;
    let (1, body) = plain.split_first().map(|(version, body)| (*version, body))? else { return None };
    let mark: BrowserMark = crate::store::from_postcard(body)?;
    let is_its = mark.operator == operator.name && mark.account_made_at == operator.created_at;
    let is_young = now.ms_since(mark.made_at) < DEVICE_LIVES_MS;
    (is_its && is_young).then_some(mark.id)
}
