//! TLS in front of a plain HTTP server, for SDKs that support only TLS. Passes bytes unchanged.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Accepts until it is dropped.
#[derive(Debug)]
pub(crate) struct TlsFront {
    /// The base URL.
    pub(crate) url: String,
    /// The file with the certificate that clients must trust.
    pub(crate) authority: PathBuf,
    _folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

impl TlsFront {
    /// Starts a front for `upstream`, a base URL of plain HTTP.
    pub(crate) async fn start(upstream: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("authority.pem");
        fs::write(&authority, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let upstream: SocketAddr = upstream.trim_start_matches("http://").parse().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(acceptor.clone(), stream, upstream));
            }
        });
        Self { url, authority, _folder: folder, accepting }
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Ends when either side ends.
async fn pass(acceptor: TlsAcceptor, stream: TcpStream, upstream: SocketAddr) {
    let Ok(mut client) = acceptor.accept(stream).await else { return };
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    drop(copy_bidirectional(&mut client, &mut server).await);
}
