//! TLS of `forebay serve`, and the renewal of its certificate.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::support::{Caller, PATIENCE, Rig, change_alarm, logged};
use crate::support::forebay::Forebay;
use crate::support::wait;

/// A new certificate for `localhost`, in the files of the configuration.
pub(super) fn renew(folder: &Path) -> CertifiedKey<KeyPair> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made
}

/// Sends a request over TLS, trusting only this certificate; returns the answer.
pub(super) async fn post(
    address: SocketAddr,
    trusted: &CertifiedKey<KeyPair>,
    body: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    let request = format!(
        "POST /v1/batch?writeKey=web-key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The address for calls over TLS, from the log.
pub(super) async fn tls_address(forebay: &Forebay) -> SocketAddr {
    const SAID: &str = "accepting calls over TLS";
    logged(forebay, SAID).await;
    let log = forebay.log();
    let line: Value = serde_json::from_str(log.lines().find(|line| line.contains(SAID)).unwrap()).unwrap();
    let found = [&line["addr"], &line["fields"]["addr"]].into_iter().find_map(Value::as_str);
    found.unwrap_or_else(|| panic!("no address: {line}")).parse().unwrap()
}

#[tokio::test]
async fn calls_arrive_over_tls_and_a_renewed_certificate_is_used() {
    let rig = Rig::start(&["lake"]).await;
    let folder = rig.folder.path();
    let first = renew(folder);
    let mut settings = rig.settings(&["web"]);
    settings.collector = format!(
        "drain_delay = \"0 s\"\ntls_listen = \"127.0.0.1:0\"\ntls_cert = \"{0}/cert.pem\"\ntls_key = \"{0}/key.pem\"",
        folder.display()
    );
    let forebay = settings.serve().await;
    let address = tls_address(&forebay).await;
    let mut caller = Caller::new();
    let (ids, body) = caller.request(3, 0);
    let answer = post(address, &first, &body).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    caller.note("web", ids);

    let second = renew(folder);
    forebay.signal(Signal::HUP);
    let (ids, body) = caller.request(3, 0);
    let answer =
        wait::until("the new certificate", PATIENCE, async || post(address, &second, &body).await.ok());
    assert!(answer.await.starts_with("HTTP/1.1 200"));
    caller.note("web", ids);
    assert!(post(address, &first, &body).await.is_err(), "the old certificate is no longer used");

    // An incomplete pair changes nothing.
    fs::write(folder.join("cert.pem"), "not a certificate").unwrap();
    forebay.signal(Signal::HUP);
    logged(&forebay, "the changed TLS files cannot be used").await;
    let alarm = change_alarm(&forebay).await.unwrap();
    assert!(alarm.starts_with("TLS files: the change is not in force"), "{alarm}");
    let (ids, body) = caller.request(3, 0);
    assert!(post(address, &second, &body).await.unwrap().starts_with("HTTP/1.1 200"));
    caller.note("web", ids);
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert!(forebay.terminate().await.success());
}
