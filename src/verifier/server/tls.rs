//! The certificate of the verifier's sockets, read anew when its files change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::Protocol;
use crate::verifier::Metrics;

/// How often it is looked whether the files have changed. They are read whole: where a Secret is mounted, a change is
/// a link that points elsewhere, which no time stamp of a file tells.
pub const RENEWAL: Duration = Duration::from_secs(10);

/// A certificate and its key, as their files had them when they last made sense.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// The digest of what the files held at first.
    loaded: Digested,
    current: Arc<Current>,
}

type Digested = [u8; 32];

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTls {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no {expected} in PEM form", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The two files are not of one pair.
    #[error("the certificate {} cannot be used with the key {}: {error}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

/// Where each handshake finds the pair that is current then.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

/// The contents of both files.
struct Files {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they hold no certificate and its key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, InvalidTls> {
        let files = Files::read(certificate, key)?;
        let pair = files.pair(certificate, key)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            loaded: files.digest(),
            current: Arc::new(Current(RwLock::new(Arc::new(pair)))),
        }))
    }

    /// Reads the files again whenever they change, for ever. While they make no sense the pair before stays.
    pub async fn renew(&self, every: Duration, metrics: &Metrics) {
        let mut seen = Some(self.loaded);
        loop {
            tokio::time::sleep(every).await;
            let files = Files::read(&self.certificate, &self.key);
            let found = files.as_ref().ok().map(Files::digest);
            if found == seen {
                continue;
            }
            seen = found;
            let pair = files.and_then(|files| files.pair(&self.certificate, &self.key));
            metrics.certificate_read(pair.is_ok());
            match pair {
                Ok(pair) => self.current.set(pair),
                Err(error) => tracing::warn!(%error, "keeping the certificate as it was"),
            }
        }
    }

    pub(super) fn acceptor(&self, protocol: Protocol) -> TlsAcceptor {
        let mut config = config(self.current.clone());
        config.alpn_protocols = vec![protocol.as_str().into()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn config(resolver: Arc<dyn ResolvesServerCert>) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|error| unreachable!("the provider speaks TLS 1.2 and 1.3: {error}"))
        .with_no_client_auth()
        .with_cert_resolver(resolver)
}

impl Current {
    fn set(&self, pair: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, InvalidTls> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| InvalidTls::Unreadable {
                path: path.to_owned(),
                error,
            })
        };
        Ok(Self {
            certificate: read(certificate)?,
            key: Zeroizing::new(read(key)?),
        })
    }

    fn digest(&self) -> Digested {
        let certificate = Sha256::digest(&self.certificate);
        let both = Sha256::new().chain_update(certificate).chain_update(&*self.key);
        both.finalize().into()
    }

    fn pair(&self, certificate: &Path, key: &Path) -> Result<CertifiedKey, InvalidTls> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or_else(|| InvalidTls::not_pem(certificate, "certificate"))?;
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| InvalidTls::not_pem(key, "private key"))?;
        CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| InvalidTls::Mismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            error,
        })
    }
}

impl InvalidTls {
    fn not_pem(path: &Path, expected: &'static str) -> Self {
        Self::NotPem {
            path: path.to_owned(),
            expected,
        }
    }
}
