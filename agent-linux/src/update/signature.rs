//! Whose program it is: an ed25519 signature over the bytes of the file.
//!
//! Made with what is everywhere:
//!
//! ```sh
//! openssl genpkey -algorithm ed25519 -out update-key.pem                          # once; keep it off the machines
//! openssl pkey -in update-key.pem -pubout                                         # the line between the dashes: update_key
//! openssl pkeyutl -sign -rawin -inkey update-key.pem -in FILE -out FILE.sig
//! ```

use data_encoding::BASE64;
use ring::signature::{ED25519, UnparsedPublicKey};

const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// What comes before an ed25519 key in its PEM (RFC 8410).
const PEM_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The public key of whoever makes programs for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateKey([u8; KEY_BYTES]);

impl UpdateKey {
    /// Reads the line of a public key's PEM, or just the 32 bytes, as Base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.trim().as_bytes()).ok()?;
        let key = bytes.strip_prefix(&PEM_HEAD).unwrap_or(&bytes);
        key.try_into().ok().map(Self)
    }

    /// Whether this key has signed these bytes; a signature is its 64 bytes, or their Base64.
    #[must_use]
    pub fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let text = signature.trim_ascii();
        let decoded = (signature.len() != SIGNATURE_BYTES).then(|| BASE64.decode(text).unwrap_or_default());
        let signature = decoded.as_deref().unwrap_or(signature);
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }
}

impl std::fmt::Display for UpdateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // As in its PEM, and so mostly as in the policy file.
        f.write_str(&BASE64.encode(&[&PEM_HEAD[..], &self.0].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    #[test]
    fn only_what_the_key_has_signed_passes() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = pair.public_key().as_ref();
        let key = UpdateKey::parse(&BASE64.encode(public)).unwrap();
        let pem_line = BASE64.encode(&[&PEM_HEAD, public].concat());
        assert!(pem_line.starts_with("MCowBQYDK2VwAyEA"));
        assert_eq!(UpdateKey::parse(&pem_line), Some(key));
        assert_eq!(UpdateKey::parse(&key.to_string()), Some(key));

        let signature = pair.sign(b"a program");
        assert!(key.has_signed(b"a program", signature.as_ref()));
        assert!(key.has_signed(b"a program", format!("{}\n", BASE64.encode(signature.as_ref())).as_bytes()));
        assert!(!key.has_signed(b"another one", signature.as_ref()));
        let mut bent = signature.as_ref().to_vec();
        bent[63] ^= 1;
        assert!(!key.has_signed(b"a program", &bent));
        for signature in [&b""[..], &bent[..63], b"not base64 at all"] {
            assert!(!key.has_signed(b"a program", signature));
        }
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert!(!key.has_signed(b"a program", other.sign(b"a program").as_ref()));
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in ["", "key", "AAAA", &BASE64.encode(&[0; 31]), &BASE64.encode(&[0; 44])] {
            assert_eq!(UpdateKey::parse(text), None, "{text}");
        }
    }
}
