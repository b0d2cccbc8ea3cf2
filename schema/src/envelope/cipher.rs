//! XChaCha20-Poly1305, in place, with the tag apart: by `ring` where a program has that, else in plain Rust. Both make the
//! same bytes.

#[cfg(not(feature = "ring"))]
pub use portable::{open, seal};
#[cfg(feature = "ring")]
pub use with_ring::{open, seal};

/// The length of the tag, in bytes.
pub const TAG_BYTES: usize = 16;

#[cfg(any(test, not(feature = "ring")))]
#[cfg_attr(feature = "ring", expect(unreachable_pub, reason = "it is compared with, and nothing else"))]
mod portable {
    use super::TAG_BYTES;
    use crate::envelope::NONCE_BYTES;
    use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce, aead::AeadInOut};

    /// Seals the message in place and gives its tag; `None`: it is too long.
    #[must_use]
    pub fn seal(
        key: &[u8; 32],
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        message: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let cipher = XChaCha20Poly1305::new(key.into());
        let made = cipher.encrypt_inout_detached(&XNonce::from(*nonce), additional, message.into());
        made.map(Into::into).ok()
    }

    /// Opens the message in place; whether it was sealed so. If not, what is in `message` is not to be used.
    #[must_use]
    pub fn open(
        key: &[u8; 32],
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        message: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        let cipher = XChaCha20Poly1305::new(key.into());
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        cipher.decrypt_inout_detached(&nonce, additional, message.into(), &tag).is_ok()
    }
}

#[cfg(feature = "ring")]
mod with_ring {
    use super::TAG_BYTES;
    use crate::envelope::NONCE_BYTES;
    use chacha20::{R20, hchacha};
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
    use zeroize::Zeroizing;

    /// Seals the message in place and gives its tag; `None`: it is too long.
    #[must_use]
    pub fn seal(
        key: &[u8; 32],
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        message: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let (key, nonce) = derived(key, nonce)?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(additional), message).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Opens the message in place; whether it was sealed so. If not, what is in `message` is not to be used.
    #[must_use]
    pub fn open(
        key: &[u8; 32],
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        message: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        let Some((key, nonce)) = derived(key, nonce) else { return false };
        key.open_in_place_separate_tag(nonce, Aad::from(additional), Tag::from(*tag), message, 0..).is_ok()
    }

    /// XChaCha20 is ChaCha20 under a key of its own for each message, which follows from the first 16 bytes of the nonce;
    /// the last 8 are the end of ChaCha20's nonce.
    fn derived(key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Option<(LessSafeKey, Nonce)> {
        let (first, last) = nonce.split_first_chunk::<16>()?;
        let own = Zeroizing::new(<[u8; 32]>::from(hchacha::<R20>(key.into(), first.into())));
        let mut short = [0; 12];
        short[4..].copy_from_slice(last);
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, own.as_slice()).ok()?;
        Some((LessSafeKey::new(unbound), Nonce::assume_unique_for_key(short)))
    }
}

#[cfg(all(test, feature = "ring"))]
mod tests {
    use super::{TAG_BYTES, portable, with_ring};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_one_seals_the_other_opens_and_both_make_the_same_bytes(
            key in any::<[u8; 32]>(),
            nonce in any::<[u8; 24]>(),
            additional in prop::collection::vec(any::<u8>(), 0..80),
            message in prop::collection::vec(any::<u8>(), 0..1_200),
            flipped in any::<prop::sample::Index>(),
        ) {
            let (mut one, mut other) = (message.clone(), message.clone());
            let tag = with_ring::seal(&key, &nonce, &additional, &mut one);
            prop_assert_eq!(tag, portable::seal(&key, &nonce, &additional, &mut other));
            prop_assert_eq!(&one, &other);
            let tag = tag.expect("short");
            let (mut wrong, mut altered) = (tag, one.clone());
            wrong[flipped.index(TAG_BYTES)] ^= 1;
            prop_assert!(!with_ring::open(&key, &nonce, &additional, &mut altered, &wrong));
            prop_assert!(with_ring::open(&key, &nonce, &additional, &mut other, &tag));
            prop_assert!(portable::open(&key, &nonce, &additional, &mut one, &tag));
            prop_assert_eq!((&one, &other), (&message, &message));
        }
    }
}
