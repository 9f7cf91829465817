//! The RSA keys that sign assertions: made, encrypted under a key of the server's, opened again, and published as a key set.
//!
//! The store keeps what is made here, and `store/signing_keys.rs` says which key signs and which are published. Making a key takes a
//! good part of a second, so nobody does it on the event loop. Its randomness is AWS-LC's own, the one exception to `world.rs`.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::id::AccountId;
use hallpass_core::time::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_RSA_SHA256, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::server_key::ServerKey;
use crate::world::World;

/// The public exponent of every key that is made here, 65537, as a key set writes it.
const EXPONENT: &str = "AQAB";
/// For how many years a certificate is written to be good. Whoever trusts a key set does so by fetching it again.
const CERTIFICATE_YEARS: i32 = 5;

/// What can go wrong with signing keys. No text here holds key material.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// No key could be made.
    #[error("cannot make a signing key: {0}")]
    Make(String),
    /// The private half cannot be decrypted.
    #[error("the signing key {0} does not open: it was encrypted under another server key, or is damaged")]
    Closed(String),
    /// The account has no key that signs.
    #[error("the account has no signing key")]
    NoKey,
    /// What is to be signed cannot be written as JSON, or not be signed.
    #[error("cannot sign: {0}")]
    Sign(String),
}

/// The key under which private halves are encrypted. Cheap to clone.
#[derive(Clone)]
pub struct WrapKey(Arc<LessSafeKey>);

impl std::fmt::Debug for WrapKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WrapKey(redacted)")
    }
}

impl WrapKey {
    /// The one that belongs to a server key.
    ///
    /// # Panics
    /// Never: the derived key has the length that the cipher wants.
    #[expect(clippy::expect_used, reason = "32 bytes are always a key of AES-256")]
    pub fn new(server_key: &ServerKey) -> Self {
        let key = server_key.signing_key_wrap();
        let key = UnboundKey::new(&AES_256_GCM, &*key).expect("32 bytes fit");
        Self(Arc::new(LessSafeKey::new(key)))
    }

    /// Encrypts a private half, bound to its account and its `kid`.
    fn close(
        &self,
        account: AccountId,
        kid: &str,
        nonce: [u8; NONCE_LEN],
        private: &[u8],
    ) -> Result<Vec<u8>, SigningError> {
        let mut text = private.to_vec();
        let done = self.0.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            bound_to(account, kid),
            &mut text,
        );
        done.map_err(|_| SigningError::Make("it cannot be encrypted".to_owned()))?;
        Ok([nonce.as_slice(), &text].concat())
    }

    fn open(
        &self,
        account: AccountId,
        kid: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let closed = || SigningError::Closed(kid.to_owned());
        let (nonce, text) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or_else(closed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, bound_to(account, kid), &mut text).map_err(|_| closed())?;
        Ok(Zeroizing::new(opened.to_vec()))
    }
}

/// What an encrypted key is bound to: moved to another account or name, it does not open.
fn bound_to(account: AccountId, kid: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("hallpass signing key 1 {account} {kid}").into_bytes())
}

/// A key that was just made, as it is stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its name: the SHA-256 of its public half, as 64 hex digits.
    pub kid: String,
    /// Its private half, encrypted.
    pub wrapped: Vec<u8>,
    /// The modulus, in base64url.
    pub modulus: String,
    /// A certificate of its public half, signed by itself, as PEM.
    pub certificate: String,
}

impl NewKey {
    /// Makes a key for an account. It takes a good part of a second.
    pub fn make(account: AccountId, wrap: &WrapKey, world: &World) -> Result<Self, SigningError> {
        let failed = |what: &str| SigningError::Make(what.to_owned());
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| failed("no RSA key"))?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| failed("it has no encoding"))?;
        let kid = kid(&pair);
        let modulus = modulus(&pair).ok_or_else(|| failed("it is no key of 2048 bits"))?;
        let wrapped = wrap.close(account, &kid, world.random(), private.as_ref())?;
        let certificate = certify(account, private.as_ref(), world.now())
            .map_err(|error| SigningError::Make(error.to_string()))?;
        Ok(Self { kid, wrapped, modulus, certificate })
    }
}

fn kid(pair: &KeyPair) -> String {
    Sha256::digest(pair.public_key()).iter().fold(String::with_capacity(64), |mut digits, byte| {
        // Writing to a text cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// The modulus in base64url. Around it, the encoding of every public key of 2048 bits with the exponent 65537 is the same (RFC 8017,
/// A.1.1); `None` for any other.
fn modulus(pair: &KeyPair) -> Option<String> {
    const BEFORE: [u8; 9] = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
    const BEHIND: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
    let encoded = pair.public_key().as_ref();
    Some(URL_SAFE_NO_PAD.encode(encoded.strip_prefix(&BEFORE)?.strip_suffix(&BEHIND)?))
}

/// A certificate for those who want one in place of a key. Its subject is the name that only this account can issue by.
fn certify(account: AccountId, private: &[u8], now: Timestamp) -> Result<String, rcgen::Error> {
    let pair =
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(private), &PKCS_RSA_SHA256)?;
    let mut certificate = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, format!("{account}.hallpass.internal"));
    certificate.distinguished_name = subject;
    // A time begins with its year.
    let year = now.to_string().get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
    certificate.not_before = date_time_ymd(year, 1, 1);
    certificate.not_after = date_time_ymd(year + CERTIFICATE_YEARS, 1, 1);
    Ok(certificate.self_signed(&pair)?.pem())
}

/// What a stored key is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published ahead of time: the next rotation makes it sign.
    Next,
    /// It signs.
    Current,
    /// It signs no more, and is published as long as what it signed may be looked at.
    Previous,
}

/// A key as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name.
    pub kid: String,
    /// What it is there for.
    pub state: KeyState,
    /// Its private half, encrypted; `None` for one that signs no more.
    pub wrapped: Option<Vec<u8>>,
    /// The modulus, in base64url.
    pub modulus: String,
    /// The certificate, as PEM.
    pub certificate: String,
    /// Since when it signs, or signed; `None` for one that never did.
    pub signs_since: Option<Timestamp>,
}

impl StoredKey {
    /// The key as it was made; `None` for one that signs no more.
    pub fn made(&self) -> Option<NewKey> {
        let Self { kid, wrapped, modulus, certificate, .. } = self.clone();
        Some(NewKey { kid, wrapped: wrapped?, modulus, certificate })
    }

    /// Whether its private half can be decrypted, and is that of the public one. A key that signs no more has none.
    pub fn opens(&self, wrap: &WrapKey, account: AccountId) -> bool {
        self.open(wrap, account).is_ok()
    }

    fn open(&self, wrap: &WrapKey, account: AccountId) -> Result<KeyPair, SigningError> {
        let closed = || SigningError::Closed(self.kid.clone());
        let private = wrap.open(account, &self.kid, self.wrapped.as_deref().ok_or_else(closed)?)?;
        let pair = KeyPair::from_pkcs8(&private).map_err(|_| closed())?;
        // A key is published by what is stored beside it, and whoever can write to the store could have exchanged that.
        if kid(&pair) != self.kid || modulus(&pair).as_ref() != Some(&self.modulus) {
            return Err(closed());
        }
        Ok(pair)
    }

    fn published_certificate(&self) -> PublishedCertificate<'_> {
        PublishedCertificate { kid: &self.kid, cert: &self.certificate }
    }
}

#[derive(Serialize)]
struct PublishedKey<'a> {
    kid: &'a str,
    kty: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
    e: &'static str,
    n: &'a str,
}

#[derive(Serialize)]
struct PublishedCertificate<'a> {
    kid: &'a str,
    cert: &'a str,
}

#[derive(Serialize)]
struct Published<'a> {
    keys: Vec<PublishedKey<'a>>,
    public_cert: PublishedCertificate<'a>,
    public_certs: Vec<PublishedCertificate<'a>>,
}

/// The body of `/cdn-cgi/access/certs` for the keys of one account (RFC 7517, and the certificates beside it).
pub fn publish(keys: &[StoredKey]) -> Result<String, SigningError> {
    let published = Published {
        keys: keys
            .iter()
            .map(|key| PublishedKey {
                kid: &key.kid,
                kty: "RSA",
                alg: "RS256",
                purpose: "sig",
                e: EXPONENT,
                n: &key.modulus,
            })
            .collect(),
        public_cert: signing(keys)?.published_certificate(),
        public_certs: keys.iter().map(StoredKey::published_certificate).collect(),
    };
    serde_json::to_string(&published).map_err(|error| SigningError::Sign(error.to_string()))
}

fn signing(keys: &[StoredKey]) -> Result<&StoredKey, SigningError> {
    keys.iter().find(|key| key.state == KeyState::Current).ok_or(SigningError::NoKey)
}

/// The keys of one account: the one that signs, opened, and what is published. Cheap to clone.
#[derive(Clone)]
pub struct KeySet {
    kid: Arc<str>,
    /// The header of every assertion as it stands in them, with the dot behind it.
    header: Arc<str>,
    pair: Arc<KeyPair>,
    published: Arc<str>,
    signs_since: Option<Timestamp>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl KeySet {
    /// Opens the key that signs, and writes down what is published.
    pub fn open(wrap: &WrapKey, account: AccountId, keys: &[StoredKey]) -> Result<Self, SigningError> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'static str,
            kid: &'a str,
            typ: &'static str,
        }
        let key = signing(keys)?;
        let pair = key.open(wrap, account)?;
        let header = Header { alg: "RS256", kid: &key.kid, typ: "JWT" };
        let header = serde_json::to_vec(&header).map_err(|error| SigningError::Sign(error.to_string()))?;
        Ok(Self {
            kid: key.kid.as_str().into(),
            header: (URL_SAFE_NO_PAD.encode(header) + ".").into(),
            pair: Arc::new(pair),
            published: publish(keys)?.into(),
            signs_since: key.signs_since,
        })
    }

    /// Signs claims: a compact JWS by RS256 (RFC 7515). It takes about half a millisecond.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, SigningError> {
        let claims = serde_json::to_vec(claims).map_err(|error| SigningError::Sign(error.to_string()))?;
        let mut token = String::from(&*self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| SigningError::Sign("the key refuses".to_owned()))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The name of the key that signs.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The body of `/cdn-cgi/access/certs`.
    pub fn published(&self) -> &str {
        &self.published
    }

    /// Since when the key that signs does so.
    pub fn signs_since(&self) -> Option<Timestamp> {
        self.signs_since
    }
}

#[cfg(test)]
#[path = "signing_keys_tests.rs"]
mod tests;
