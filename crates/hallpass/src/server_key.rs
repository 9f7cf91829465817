//! One server key, from which the keys for each purpose are derived (HKDF-SHA-256, RFC 5869).
//!
//! The key lives apart from the database: a copy of the store alone opens nothing. It is 32 bytes, written as 64 hex digits.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hallpass_core::secret::DigestKey;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::world::World;

/// The server key.
#[derive(Clone)]
pub struct ServerKey([u8; 32]);

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKey(redacted)")
    }
}

/// Why there is no server key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not there.
    #[error("there is no server key at {}; make one with `(umask 077; openssl rand -hex 32 > {})`, and keep a copy apart from the database", .0.display(), .0.display())]
    Missing(PathBuf),
    /// The file cannot be read or written.
    #[error("cannot use the server key at {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
    /// The file holds something else.
    #[error("{} is not a server key: it must hold 64 hex digits (32 bytes)", .0.display())]
    Malformed(PathBuf),
}

impl ServerKey {
    /// A new key.
    pub fn random(world: &World) -> Self {
        Self(world.random())
    }

    /// Reads the key from a file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            io::ErrorKind::InvalidData => KeyError::Malformed(path.to_owned()),
            _ => KeyError::Io(path.to_owned(), error),
        })?;
        if fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
            tracing::warn!(file = %path.display(), "the server key can be read by others than its owner: chmod 600 it");
        }
        Self::from_hex(text.trim()).ok_or_else(|| KeyError::Malformed(path.to_owned()))
    }

    /// Writes a new key to a file, readable by its owner alone, and makes it durable before it is used. Where two processes try
    /// at once, the first one's key is both of theirs: a key is never replaced.
    pub fn create(path: &Path, world: &World) -> Result<Self, KeyError> {
        let key = Self::random(world);
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            writeln!(file, "{}", hex(&key.0))?;
            file.sync_all()?;
            let linked = fs::hard_link(&draft, path);
            fs::remove_file(&draft)?;
            linked?;
            path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
        };
        match write() {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::read(path),
            Err(error) => Err(KeyError::Io(path.to_owned(), error)),
        }
    }

    /// The key under which secrets are digested.
    pub fn digest_key(&self) -> DigestKey {
        DigestKey::new(&self.derive(b"hallpass digest 1"))
    }

    /// The key under which references of refusals are sealed.
    pub fn reference_key(&self) -> [u8; 32] {
        self.derive(b"hallpass reference 1")
    }

    /// The key under which the private halves of signing keys are encrypted.
    pub fn signing_key_wrap(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.derive(b"hallpass signing key wrap 1"))
    }

    /// A value that is stored with the data, so that a key which does not fit is noticed at start. It says nothing of the key.
    pub fn fingerprint(&self) -> String {
        hex(&self.derive(b"hallpass fingerprint 1"))
    }

    #[expect(clippy::expect_used, reason = "32 bytes are always within what HKDF can give")]
    fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, &self.0).expand(purpose, &mut key).expect("32 bytes fit");
        key
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (n, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(n * 2..n * 2 + 2)?, 16).ok()?;
        }
        Some(Self(key))
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_for_its_owner_alone_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.key");
        assert!(matches!(ServerKey::read(&path), Err(KeyError::Missing(_))));
        let key = ServerKey::create(&path, &World::machine()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ServerKey::read(&path).unwrap().fingerprint(), key.fingerprint());
        assert_eq!(format!("{key:?}"), "ServerKey(redacted)");
        let again = ServerKey::create(&path, &World::machine()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_64_hex_digits_is_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.key");
        for text in [&b""[..], b"00", &[b'g'; 64], &[b'0'; 63], &[0xff; 64], "é".repeat(32).as_bytes()] {
            fs::write(&path, text).unwrap();
            assert!(matches!(ServerKey::read(&path), Err(KeyError::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn purposes_have_different_keys() {
        let key = ServerKey([7; 32]);
        assert_ne!(key.derive(b"hallpass digest 1"), key.derive(b"hallpass fingerprint 1"));
        assert_ne!(*key.signing_key_wrap(), key.derive(b"hallpass digest 1"));
        assert_ne!(key.fingerprint(), ServerKey([8; 32]).fingerprint());
    }
}
