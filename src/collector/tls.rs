//! TLS: the certificate and key, reloaded when their files change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::settings::TlsFiles;
use crate::disk::is_no_handle;
use crate::lock::lock;

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A file is not PEM of the kind expected.
    #[error("{0} holds no {1} in PEM form")]
    Pem(PathBuf, &'static str, #[source] pem::Error),
    /// The certificate and the key do not match, or are of an unknown kind.
    #[error("use {cert} with {key}: check that the key belongs to the first certificate of the chain")]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The error beneath.
        #[source]
        cause: rustls::Error,
    },
}

/// The modification time and length of both files when they were read.
type Marks = [Option<(SystemTime, u64)>; 2];

/// The TLS settings in force, and the files that they came from.
pub(super) struct TlsFront {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    marks: Mutex<Marks>,
}

impl TlsFront {
    /// Reads the files.
    pub(super) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let marks = marks_of(&files);
        let config = read_config(&files)?;
        Ok(Self { files, config: ArcSwap::from_pointee(config), marks: Mutex::new(marks) })
    }

    /// Makes TLS streams of accepted connections, with the settings now in force.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reads the files again. On an error, the previous settings stay in force.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        // The marks are taken first, so that a change during the read is found by the next check.
        let now = marks_of(&self.files);
        let before = std::mem::replace(&mut *lock(&self.marks), now);
        let read = read_config(&self.files);
        if let Err(TlsError::Read(_, cause)) = &read
            && is_no_handle(cause)
        {
            // Nothing is wrong with the files: the next check reads them.
            *lock(&self.marks) = before;
        }
        self.config.store(Arc::new(read?));
        Ok(())
    }

    /// Reads the files again if they changed since the last read. `None` if they did not.
    pub(super) fn reload_if_changed(&self) -> Option<Result<(), TlsError>> {
        let changed = *lock(&self.marks) != marks_of(&self.files);
        changed.then(|| self.reload())
    }
}

debug_fields!(TlsFront { files });

fn marks_of(files: &TlsFiles) -> Marks {
    let mark = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    [mark(&files.cert), mark(&files.key)]
}

fn read_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let TlsFiles { cert, key } = files;
    let pem = |path: &Path, expected, cause| TlsError::Pem(path.to_owned(), expected, cause);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|cause| pem(cert, "certificate", cause))?;
    if chain.is_empty() {
        return Err(pem(cert, "certificate", pem::Error::NoItemsFound));
    }
    let secret =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|cause| pem(key, "private key", cause))?;
    let pair = |cause| TlsError::Pair { cert: cert.clone(), key: key.clone(), cause };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::Read(path.to_owned(), cause))
}
