//! Files of a restic repository that restic itself makes none of on demand, or only at a price, written as its own design
//! page describes them: an empty repository, what a lock of another machine is made of, and a key that opens at once. For
//! tests alone.

use aes::{
    Aes128, Aes256,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use data_encoding::{BASE64, HEXLOWER};
use poly1305::Poly1305;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// A key pair: AES-256 for the content, Poly1305-AES for its tag.
pub struct Keys {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
}

impl Keys {
    /// Those that `restic cat masterkey` has printed.
    ///
    /// # Panics
    /// When there are none in it.
    #[must_use]
    pub fn printed(output: &str) -> Self {
        let keys = master_key(output);
        Self {
            encrypt: bytes(&keys["encrypt"]),
            mac_k: bytes(&keys["mac"]["k"]),
            mac_r: bytes(&keys["mac"]["r"]),
        }
    }

    /// `nonce | AES-256-CTR(plain) | Poly1305-AES`.
    #[must_use]
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let nonce = [7; 16];
        let cipher = Aes256::new(&self.encrypt.into());
        let mut counter = u128::from_be_bytes(nonce);
        let mut body = plain.to_vec();
        for block in body.chunks_mut(16) {
            let mut stream = counter.to_be_bytes().into();
            cipher.encrypt_block(&mut stream);
            block.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
            counter = counter.wrapping_add(1);
        }
        let mut mask = nonce.into();
        Aes128::new(&self.mac_k.into()).encrypt_block(&mut mask);
        let mut mac_key = [0; 32];
        mac_key[..16].copy_from_slice(&self.mac_r);
        mac_key[16..].copy_from_slice(&mask);
        let tag = Poly1305::new(&mac_key.into()).compute_unpadded(&body);
        [&nonce[..], &body, &tag[..]].concat()
    }
}

/// Writes a file into a folder of the repository, under the name that restic gives it: its digest.
///
/// # Panics
/// When it can't be written.
pub fn put(folder: &Path, file: &[u8]) {
    let at = folder.join(HEXLOWER.encode(&Sha256::digest(file)));
    fs::write(&at, file).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
}

/// Makes an empty repository, as `restic init` does, with a key that takes no time to open: restic tries for seconds of a
/// processor what a key may cost. Which repository it is, and its keys, follow from its folder and the password. Returns
/// its id.
///
/// # Panics
/// When the files can't be written.
pub fn make(repository: &Path, password: &str) -> String {
    let drawn = |what: &str| {
        let of = format!("{what} of {} with {password}", repository.display());
        <[u8; 32]>::from(Sha256::digest(of.as_bytes()))
    };
    for byte in 0..=u8::MAX {
        create(&repository.join("data").join(HEXLOWER.encode(&[byte])));
    }
    for folder in ["index", "keys", "locks", "snapshots"] {
        create(&repository.join(folder));
    }
    let mac = drawn("tag");
    let printed = json!({
        "mac": { "k": BASE64.encode(&mac[..16]), "r": BASE64.encode(&mac[16..]) },
        "encrypt": BASE64.encode(&drawn("content")),
    })
    .to_string();
    let id = HEXLOWER.encode(&drawn("id"));
    let config = json!({ "version": 2, "id": id, "chunker_polynomial": "3871fa29420cfd" });
    let config = Keys::printed(&printed).seal(config.to_string().as_bytes());
    fs::write(repository.join("config"), config).expect("the repository's config");
    put_key(repository, password, &printed);
    id
}

/// Writes a program to `program` that stands in for `restic` while a repository is made: an `init` puts one of [`make`] where
/// `repository` is to be, and says what restic says then; all else is restic. Whoever tries what comes after an `init`
/// saves the seconds that restic takes for it.
///
/// # Panics
/// When the files can't be written.
pub fn stand_in(program: &Path, restic: &Path, repository: &Path, password: &str) {
    let made = program.with_extension("repository");
    let id = make(&made, password);
    let script = format!(
        r#"#!/bin/sh
case " $* " in *" init "*)
    mkdir -p '{parent}' && mv -T '{made}' '{repository}' || exit 1
    echo '{{"message_type":"initialized","id":"{id}","repository":"made"}}'
    exit ;;
esac
exec '{restic}' "$@"
"#,
        parent = repository.parent().expect("a folder for it").display(),
        made = made.display(),
        repository = repository.display(),
        restic = restic.display(),
    );
    fs::write(program, script).expect("a script");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("its mode");
}

fn create(folder: &Path) {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

/// Puts a key that takes no time to open in the place of all keys of the repository, for the same password. restic
/// makes keys that cost a tenth of a second of a processor each time, which is what most of the time of a small
/// repository's restic goes into; its own tests make cheap ones too. `printed` is what `restic cat masterkey` printed.
///
/// # Panics
/// When the files can't be read or written.
pub fn open_at_once(repository: &Path, password: &str, printed: &str) {
    for old in fs::read_dir(repository.join("keys")).expect("the keys").flatten() {
        fs::remove_file(old.path()).expect("a key to go");
    }
    put_key(repository, password, printed);
}

fn put_key(repository: &Path, password: &str, printed: &str) {
    let salt = [5; 64];
    let mut derived = [0; 64];
    let cost = scrypt::Params::new(1, 1, 1, scrypt::Params::RECOMMENDED_LEN).expect("a cost");
    scrypt::scrypt(password.as_bytes(), &salt, &cost, &mut derived).expect("a length");
    let part = |from: usize| -> [u8; 16] { derived[from..from + 16].try_into().expect("16 bytes") };
    let mut encrypt = [0; 32];
    encrypt.copy_from_slice(&derived[..32]);
    let user = Keys { encrypt, mac_k: part(32), mac_r: part(48) };
    let key = json!({
        "created": "2026-01-01T00:00:00Z", "username": "mira", "hostname": "test", "kdf": "scrypt",
        "N": 2, "r": 1, "p": 1, "salt": BASE64.encode(&salt),
        "data": BASE64.encode(&user.seal(master_key(printed).to_string().as_bytes())),
    });
    put(&repository.join("keys"), key.to_string().as_bytes());
}

/// The JSON in what `restic cat masterkey` has printed.
fn master_key(output: &str) -> Value {
    let from = output.find('{').unwrap_or_else(|| panic!("no master key in: {output}"));
    serde_json::from_str(output[from..].trim()).expect("JSON")
}

fn bytes<const N: usize>(text: &Value) -> [u8; N] {
    let text = text.as_str().expect("a key in base64");
    BASE64.decode(text.as_bytes()).expect("base64").try_into().expect("a key of the right length")
}
