//! A lock that another machine left in a repository long ago: restic makes none on demand, so it is written here, as
//! restic's own design page describes its files.

use crate::repository::Repository;
use aes::{
    Aes128, Aes256,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use data_encoding::{BASE64, HEXLOWER};
use poly1305::Poly1305;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, path::Path};

/// The machine that the lock is of.
pub const HOLDER: &str = "old-laptop";

/// Puts an exclusive lock of two days ago into the repository that lies in `folder`.
///
/// # Panics
/// When it can't be made.
pub fn leave(folder: &Path, repository: &Repository) {
    let two_days_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    let lock = json!({
        "time": two_days_ago.to_string(), "exclusive": true, "hostname": HOLDER, "username": "mira", "pid": 4711,
    });
    let keys =
        repository.restic(&["cat", "masterkey", "--no-lock", "--quiet"]).expect_success("the master key");
    let keys: Value = serde_json::from_str(keys[keys.find('{').expect("JSON")..].trim()).expect("JSON");
    let file = sealed(&keys, lock.to_string().as_bytes());
    let name = HEXLOWER.encode(&Sha256::digest(&file));
    fs::write(folder.join("locks").join(name), file).expect("a lock in the repository");
}

/// `nonce | AES-256-CTR(plain) | Poly1305-AES`.
fn sealed(keys: &Value, plain: &[u8]) -> Vec<u8> {
    let nonce = [7; 16];
    let cipher = Aes256::new(&key::<32>(&keys["encrypt"]).into());
    let mut counter = u128::from_be_bytes(nonce);
    let mut body = plain.to_vec();
    for block in body.chunks_mut(16) {
        let mut stream = counter.to_be_bytes().into();
        cipher.encrypt_block(&mut stream);
        block.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        counter = counter.wrapping_add(1);
    }
    let mut mask = nonce.into();
    Aes128::new(&key::<16>(&keys["mac"]["k"]).into()).encrypt_block(&mut mask);
    let mac_key: [u8; 32] =
        [key::<16>(&keys["mac"]["r"]), mask.into()].concat().try_into().expect("32 bytes");
    let tag = Poly1305::new(&mac_key.into()).compute_unpadded(&body);
    [&nonce[..], &body, &tag[..]].concat()
}

fn key<const N: usize>(text: &Value) -> [u8; N] {
    let text = text.as_str().expect("a key in base64");
    BASE64.decode(text.as_bytes()).expect("base64").try_into().expect("a key of the right length")
}
