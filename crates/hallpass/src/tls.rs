//! TLS from certificate files, which are read anew when they change. A new pair that cannot be used leaves the old one in force.
//!
//! The whole server configuration is replaced rather than a certificate within it, so that no session of an old certificate is
//! resumed under the new one.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::live::Live;

/// How often the files are looked at. Their content is compared, not their dates: that holds on every file system.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, followed by those between it and the root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
    /// The certificate's file holds something else.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// The key's file holds something else.
    #[error("{} holds no unencrypted private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// They are of no use together.
    #[error("the certificate in {} and the key in {} cannot be used: {}", .0.certificate.display(), .0.key.display(), .1)]
    Unusable(Files, rustls::Error),
}

/// A certificate that was read and can be used.
#[derive(Debug)]
pub struct Pair {
    files: Files,
    server: Arc<ServerConfig>,
    content: Content,
}

/// What the files held, digested: the key itself is not kept.
type Content = [[u8; 32]; 2];

/// The certificate in force. Clones share it.
#[derive(Debug, Clone)]
pub struct Tls {
    server: Live<Arc<ServerConfig>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    files: Files,
    /// Of the pair that was read last, whether it could be used or not.
    content: Content,
    /// Whether that pair could not be used, and nobody was told: the other half may be on its way.
    untold: bool,
}

impl Pair {
    /// Reads a certificate and its key, and checks that they fit.
    pub fn read(files: &Files) -> Result<Self, TlsError> {
        let (certificate, key) = read(files)?;
        if fs::metadata(&files.key).is_ok_and(|file| file.permissions().mode() & 0o007 != 0) {
            tracing::warn!(file = %files.key.display(), "the certificate's key can be read by everybody: chmod 640 it");
        }
        let server = server(files, &certificate, &key)?;
        Ok(Self { files: files.clone(), server: Arc::new(server), content: digest(&certificate, &key) })
    }
}

impl Tls {
    /// Begins with a certificate.
    pub fn new(pair: Pair) -> Self {
        let seen = Seen { files: pair.files, content: pair.content, untold: false };
        Self { server: Live::new(pair.server), seen: Arc::new(Mutex::new(seen)) }
    }

    /// Goes on with another certificate: handshakes that begin from now on see it.
    pub fn replace(&self, pair: Pair) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen { files: pair.files, content: pair.content, untold: false };
        self.server.set(pair.server);
    }

    /// Makes handshakes with the certificate of this moment.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.server.get())
    }

    /// Looks at the files again and again.
    pub async fn follow(self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let tls = self.clone();
            // Off the threads of the requests: a file system may take its time.
            if tokio::task::spawn_blocking(move || tls.look()).await.is_err() {
                tracing::error!("looking at the certificate failed");
            }
        }
    }

    /// Takes over what has changed. What cannot be used is reported at the second look, so that nobody is told of a pair of which one
    /// half was still being written.
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read(&seen.files);
        let content = found.as_ref().map_or([[0; 32]; 2], |(certificate, key)| digest(certificate, key));
        let is_new = content != seen.content;
        if !is_new && !seen.untold {
            return;
        }
        seen.content = content;
        let pair = found.and_then(|(certificate, key)| server(&seen.files, &certificate, &key));
        match pair {
            Ok(pair) => {
                seen.untold = false;
                self.server.set(Arc::new(pair));
                tracing::info!(file = %seen.files.certificate.display(), "the certificate was replaced");
            }
            Err(_) if is_new => seen.untold = true,
            Err(error) => {
                seen.untold = false;
                tracing::warn!(%error, "a new certificate cannot be used; the old one stays in force");
            }
        }
    }
}

fn read(files: &Files) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
    let read = |path: &Path| fs::read(path).map_err(|error| TlsError::Io(path.to_owned(), error));
    Ok((read(&files.certificate)?, read(&files.key)?))
}

fn digest(certificate: &[u8], key: &[u8]) -> Content {
    [Sha256::digest(certificate).into(), Sha256::digest(key).into()]
}

fn server(files: &Files, certificate: &[u8], key: &[u8]) -> Result<ServerConfig, TlsError> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    let unusable = |error| TlsError::Unusable(files.clone(), error);
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?.with_no_client_auth();
    let mut server = builder.with_single_cert(chain, key).map_err(unusable)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}
