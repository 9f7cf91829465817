//! Secrets, one way: minted, shown once, turned into a digest, never back (compatibility, D10).
//!
//! A secret carries at least 238 random bits, so that its digest is a keyed HMAC-SHA-256 and no password hash: there is nothing
//! to guess, and the gate has to check one on every request.

use std::fmt;
use std::hash::{Hash, Hasher};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BODY_LENGTH: usize = 40;

/// What a secret opens. The prefix is what leak scanners look for: do not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// The secret half of a service token.
    ServiceToken,
    /// An API token that belongs to a user.
    UserApiToken,
    /// An API token that belongs to an account.
    AccountApiToken,
    /// The key that a user presents beside an e-mail address.
    GlobalKey,
}

impl SecretKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::ServiceToken => "cfast_",
            Self::UserApiToken => "cfut_",
            Self::AccountApiToken => "cfat_",
            Self::GlobalKey => "cfk_",
        }
    }

    /// Separates the digests of one kind from those of another. Both sorts of API token are looked up together.
    fn domain(self) -> &'static str {
        match self {
            Self::ServiceToken => "service_token",
            Self::UserApiToken | Self::AccountApiToken => "api_token",
            Self::GlobalKey => "global_key",
        }
    }
}

/// Which of its two secrets a record was asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretSlot {
    /// The one that was issued last.
    Current,
    /// The one before it, within its grace.
    Previous,
}

impl SecretSlot {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

/// The text is no service token's secret. It says which rule was broken, and nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// It has neither form.
    #[error("must be a secret as it was issued: cfast_ and 48 characters, or 64 lower-case hex digits")]
    Form,
    /// It has the newer form, with a wrong checksum.
    #[error("its checksum does not fit: it was mistyped or cut off")]
    Checksum,
}

/// A secret in the clear. It has no `Display` and no `Serialize`; every use of [`reveal`](Self::reveal) can be found by name.
///
/// ```compile_fail
/// let secret = hallpass_core::secret::ClientSecret::presented("hunter2");
/// println!("{secret}");
/// ```
///
/// ```compile_fail
/// let secret = hallpass_core::secret::ClientSecret::presented("hunter2");
/// serde_json::to_string(&secret).unwrap();
/// ```
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// A new secret: prefix, 40 alphanumerics, CRC-32 of those 40 as 8 hex digits. `fill` supplies random bytes.
    pub fn mint(kind: SecretKind, fill: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut body = Zeroizing::new(String::with_capacity(BODY_LENGTH));
        let mut random = Zeroizing::new([0_u8; 64]);
        while body.len() < BODY_LENGTH {
            fill(random.as_mut_slice());
            // 248 = 4 * 62: bytes above it would make some symbols likelier than others.
            let symbols = random.iter().filter(|byte| **byte < 248);
            let symbols = symbols.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
            let missing = BODY_LENGTH - body.len();
            body.extend(symbols.take(missing).map(|symbol| char::from(*symbol)));
        }
        let check = crc32fast::hash(body.as_bytes());
        Self(Zeroizing::new(format!("{}{}{check:08x}", kind.prefix(), *body)))
    }

    /// A secret that somebody presented, in whatever form: only its digest decides.
    pub fn presented(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// A service token's secret that was issued elsewhere, in the form that [`mint`](Self::mint) gives it, or in the older one,
    /// 64 hex digits. Nothing else is taken: what somebody made up could be guessed from its digest.
    pub fn issued(text: &str) -> Result<Self, InvalidSecret> {
        if let Some((body, check)) = text
            .strip_prefix(SecretKind::ServiceToken.prefix())
            .and_then(|rest| rest.split_at_checked(BODY_LENGTH))
        {
            if check.len() != 8 || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(InvalidSecret::Form);
            }
            if check != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
                return Err(InvalidSecret::Checksum);
            }
        } else if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidSecret::Form);
        }
        Ok(Self::presented(text))
    }

    /// The text, for the one reply that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(redacted)")
    }
}

/// The key under which digests are made; held apart from the database.
#[derive(Clone)]
pub struct DigestKey(Hmac<Sha256>);

impl DigestKey {
    /// From 32 bytes of key material.
    pub fn new(key: &[u8; 32]) -> Self {
        // A fixed-size block always fits, unlike a slice, whose constructor may fail.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (byte, from) in block.iter_mut().zip(key) {
            *byte = *from;
        }
        Self(Hmac::new(&block))
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(redacted)")
    }
}

/// HMAC-SHA-256 under the digest key over kind, record id and secret. Comparison takes the same time for any two values.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Digest of a secret that belongs to the record `record_id`. API tokens are looked up *by* their digest, so theirs has no
    /// record id: it is the empty text.
    pub fn new(key: &DigestKey, kind: SecretKind, record_id: &str, secret: &ClientSecret) -> Self {
        let mut mac = key.0.clone();
        for part in [kind.domain(), record_id] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(secret.reveal().as_bytes());
        Self(mac.finalize().into_bytes().into())
    }

    /// From the 32 stored bytes.
    pub const fn from_stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        let (mine, _) = self.0.as_chunks::<8>();
        let (theirs, _) = other.0.as_chunks::<8>();
        // Word by word: eight times fewer steps than byte by byte, and all of them whatever differs.
        let same = |(mine, theirs): (&[u8; 8], &[u8; 8])| {
            u64::from_ne_bytes(*mine).ct_eq(&u64::from_ne_bytes(*theirs))
        };
        mine.iter().zip(theirs).map(same).fold(Choice::from(1), |all, same| all & same).into()
    }
}

impl Eq for SecretDigest {}

impl Hash for SecretDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // All of it is random: eight bytes spread as well as 32.
        if let Some(word) = self.0.first_chunk::<8>() {
            state.write_u64(u64::from_ne_bytes(*word));
        }
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mint(kind: SecretKind) -> ClientSecret {
        let mut next = 0_u8;
        ClientSecret::mint(kind, &mut |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(41);
            }
        })
    }

    #[test]
    fn a_minted_secret_has_prefix_body_and_checksum() {
        for (kind, prefix) in [
            (SecretKind::ServiceToken, "cfast_"),
            (SecretKind::UserApiToken, "cfut_"),
            (SecretKind::AccountApiToken, "cfat_"),
            (SecretKind::GlobalKey, "cfk_"),
        ] {
            let secret = mint(kind);
            let rest = secret.reveal().strip_prefix(prefix).unwrap();
            let (body, check) = rest.split_at(40);
            assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{body}");
            assert_eq!(check, format!("{:08x}", crc32fast::hash(body.as_bytes())));
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_published_example() {
        assert_eq!(crc32fast::hash(b"EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ"), 0x63a4_35a7);
    }

    #[test]
    fn both_forms_of_issued_secrets_are_taken_and_nothing_else() {
        let old = "0123456789abcdef".repeat(4);
        for text in [
            "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a7",
            &old,
            mint(SecretKind::ServiceToken).reveal(),
        ] {
            assert_eq!(ClientSecret::issued(text).unwrap().reveal(), text);
        }
        let mistyped = "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a8";
        assert_eq!(ClientSecret::issued(mistyped).unwrap_err(), InvalidSecret::Checksum);
        for text in [
            "",
            "hunter2",
            "cfast_",
            "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a",
            "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqT-63a435a7",
            "cfat_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a7",
            &"é".repeat(32),
            &"0123456789ABCDEF".repeat(4),
            &old[1..],
        ] {
            assert_eq!(ClientSecret::issued(text).unwrap_err(), InvalidSecret::Form, "{text:?}");
        }
    }

    #[test]
    fn every_symbol_is_equally_likely() {
        // One usable byte a call, each value in turn: 31 secrets take every byte from 0 to 247 five times, so each symbol 20 times.
        let mut seen = std::collections::BTreeMap::new();
        let mut byte = 0_u8;
        for _ in 0..31 {
            let secret = ClientSecret::mint(SecretKind::GlobalKey, &mut |bytes| {
                bytes.fill(255);
                bytes[0] = byte;
                byte = byte.wrapping_add(1);
            });
            for symbol in secret.reveal().strip_prefix("cfk_").unwrap().chars().take(40) {
                *seen.entry(symbol).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), 62);
        assert!(seen.values().all(|times| *times == 20), "{seen:?}");
    }

    #[test]
    fn a_digest_depends_on_key_kind_record_and_secret() {
        let key = DigestKey::new(&[7; 32]);
        let secret = ClientSecret::presented("s");
        let digest = SecretDigest::new(&key, SecretKind::ServiceToken, "a", &secret);
        assert_eq!(digest, SecretDigest::new(&key, SecretKind::ServiceToken, "a", &secret));
        for other in [
            SecretDigest::new(&DigestKey::new(&[8; 32]), SecretKind::ServiceToken, "a", &secret),
            SecretDigest::new(&key, SecretKind::GlobalKey, "a", &secret),
            SecretDigest::new(&key, SecretKind::ServiceToken, "b", &secret),
            SecretDigest::new(&key, SecretKind::ServiceToken, "", &ClientSecret::presented("as")),
            SecretDigest::new(&key, SecretKind::ServiceToken, "a", &ClientSecret::presented("t")),
        ] {
            assert_ne!(digest, other);
        }
    }

    #[test]
    fn a_digest_is_plain_hmac_sha_256() {
        // RFC 4231, test case 2, carries over to the primitive underneath.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let shown = SecretDigest(mac.finalize().into_bytes().into());
        let expected = SecretDigest(crate::id::decode_hex(expected.as_bytes()).unwrap());
        assert_eq!(shown, expected);
    }

    #[test]
    fn debug_output_shows_nothing() {
        let secret = ClientSecret::presented("canary");
        let key = DigestKey::new(&[7; 32]);
        let digest = SecretDigest::new(&key, SecretKind::ServiceToken, "a", &secret);
        assert_eq!(
            format!("{secret:?} {key:?} {digest:?}"),
            "ClientSecret(redacted) DigestKey(redacted) SecretDigest(redacted)"
        );
    }
}
