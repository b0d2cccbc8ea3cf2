//! The cryptography of the agent's TLS: what [`ring::default_provider`] has, but for keys of its own, which an agent has
//! none of. What would read one and sign with it is over 20 KB of program, and can't be left out of that one.
//!
//! [`ring::default_provider`]: rustls::crypto::ring::default_provider

use crate::random;
use rustls::{
    Error, SignatureScheme,
    crypto::{
        CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
        ring::{DEFAULT_CIPHER_SUITES, DEFAULT_KX_GROUPS},
    },
    sign::SigningKey,
};
use rustls_pki_types::PrivateKeyDer;
use std::sync::Arc;
use webpki::ring as by;

/// How a server's certificates and its handshake may be signed.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        by::ECDSA_P256_SHA256,
        by::ECDSA_P256_SHA384,
        by::ECDSA_P384_SHA256,
        by::ECDSA_P384_SHA384,
        by::ED25519,
        by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        by::RSA_PKCS1_2048_8192_SHA256,
        by::RSA_PKCS1_2048_8192_SHA384,
        by::RSA_PKCS1_2048_8192_SHA512,
        by::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        by::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        by::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[by::ECDSA_P384_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[by::ECDSA_P256_SHA256]),
        (SignatureScheme::ED25519, &[by::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        // Of certificates only: a handshake of TLS 1.3 is never signed so.
        (SignatureScheme::RSA_PKCS1_SHA512, &[by::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[by::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[by::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: DEFAULT_CIPHER_SUITES.to_vec(),
        kx_groups: DEFAULT_KX_GROUPS.to_vec(),
        signature_verification_algorithms: SIGNATURES,
        secure_random: &System,
        key_provider: &NoKeys,
    })
}

#[derive(Debug)]
struct System;

impl SecureRandom for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        random::fill(buffer).map_err(|_| GetRandomFailed)
    }
}

#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("an agent has no key of its own".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::ring::default_provider;
    use std::collections::BTreeSet;

    #[test]
    fn but_for_keys_it_is_rustls_own() {
        let (own, theirs) = (provider(), default_provider());
        assert_eq!(own.cipher_suites, theirs.cipher_suites);
        let groups = |provider: &CryptoProvider| {
            provider.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>()
        };
        assert_eq!(groups(&own), groups(&theirs));
        let (own, theirs) = (own.signature_verification_algorithms, theirs.signature_verification_algorithms);
        assert_eq!(own.supported_schemes(), theirs.supported_schemes());
        let algorithms = |of: WebPkiSupportedAlgorithms| {
            let ids = of.all.iter();
            ids.map(|one| {
                (one.public_key_alg_id().as_ref().to_vec(), one.signature_alg_id().as_ref().to_vec())
            })
            .collect::<BTreeSet<_>>()
        };
        assert_eq!(algorithms(own), algorithms(theirs));
        // What a handshake of TLS 1.3 is checked with comes first.
        for ((scheme, by), (other, theirs)) in own.mapping.iter().zip(theirs.mapping) {
            assert_eq!((scheme, by[0].signature_alg_id()), (other, theirs[0].signature_alg_id()));
        }
    }

    #[test]
    fn it_draws_from_the_system_and_takes_no_key() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        provider().secure_random.fill(&mut one).unwrap();
        provider().secure_random.fill(&mut other).unwrap();
        assert_ne!(one, other);
        let key = PrivateKeyDer::Pkcs8(vec![1].into());
        assert!(provider().key_provider.load_private_key(key).is_err());
    }
}
