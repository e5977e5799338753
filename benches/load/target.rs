//! The target of requests, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// An address, and the protocol used there.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}{}", if self.tls.is_some() { "https://" } else { "http://" }, self.address, self.path)
    }
}

impl Target {
    /// Without TLS.
    pub(crate) fn plain(address: SocketAddr, path: &str) -> Self {
        Self { address, path: path.to_owned(), tls: None }
    }

    /// With TLS, 1.3 if the server supports it. The certificate must be valid for `name` and lead to one of
    /// those in `ca`.
    ///
    /// # Errors
    /// If `ca` cannot be read or contains no certificate, or if `name` cannot be in a certificate.
    pub(crate) fn tls(address: SocketAddr, path: &str, name: &str, ca: &Path) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let tls = Some((TlsConnector::from(Arc::new(config)), name));
        Ok(Self { address, path: path.to_owned(), tls })
    }

    /// The head of a request up to the value of its last header, the length of the body.
    pub(super) fn head(&self, authorization: &str) -> String {
        let Self { path, address, .. } = self;
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{authorization}Content-Length: "
        )
    }

    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }
}

/// A stream for requests and answers.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
