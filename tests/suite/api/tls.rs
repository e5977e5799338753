//! TLS: versions, protocols, and changing certificates.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay::collector::{TlsError, TlsFiles};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http2;
use super::support::{BASIC, BATCH, Rig, eventually, start_with};
use super::wire::{PATIENCE, Wire, post};

/// A self-signed certificate for `localhost`.
struct Pair {
    certificate: CertificateDer<'static>,
    cert_pem: String,
    key_pem: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Pair {
        certificate: made.cert.der().clone(),
        cert_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    }
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") }
}

fn write(dir: &Path, pair: &Pair) {
    std::fs::write(files(dir).cert, &pair.cert_pem).unwrap();
    std::fs::write(files(dir).key, &pair.key_pem).unwrap();
}

async fn rig(pair: &Pair) -> (Rig, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), pair);
    let rig = start_with(|settings, _| {
        settings.tls = Some(files(dir.path()));
        settings.bounds.tls_poll = Duration::from_millis(20);
        settings.bounds.handshake = Duration::from_millis(500);
    })
    .await;
    (rig, dir)
}

async fn connect(
    rig: &Rig,
    trusted: &Pair,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(rig.tls.unwrap()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

#[tokio::test]
async fn both_versions_and_both_protocols_work() {
    let pair = pair();
    let (rig, _dir) = rig(&pair).await;
    for version in [&TLS12, &TLS13] {
        let stream = connect(&rig, &pair, version, &["http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        let mut wire = Wire::over(stream);
        for _ in 0..3 {
            wire.send(post("/v1/batch", &[BASIC], BATCH)).await;
            assert_eq!(wire.answer().await.status, 200);
        }
        // Without ALPN, HTTP/1.1.
        let mut wire = Wire::over(connect(&rig, &pair, version, &[]).await.unwrap());
        wire.send(post("/v1/batch", &[BASIC], BATCH)).await;
        assert_eq!(wire.answer().await.status, 200);
        let stream = connect(&rig, &pair, version, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (mut sender, _connection) = http2::over(stream).await;
        let response = sender.send_request(http2::batch()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(http2::text(response).await, r#"{"success":true}"#);
    }
}

#[tokio::test]
async fn the_answer_survives_a_body_over_the_limit() {
    let pair = pair();
    let (rig, _dir) = rig(&pair).await;
    let mut wire = Wire::over(connect(&rig, &pair, &TLS13, &[]).await.unwrap());
    wire.send(post("/v1/batch", &[BASIC], vec![b' '; 6 << 20])).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "payload_too_large"));
}

/// A ClientHello of the given version that an ECDSA server of TLS 1.2 can answer.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend_from_slice(&[7; 32]);
    // No session; the suite ECDHE-ECDSA-AES128-GCM-SHA256; no compression; 24 bytes of extensions: groups
    // x25519 and P-256, the signature ECDSA with P-256, uncompressed points.
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 24]);
    hello.extend_from_slice(&[
        0, 10, 0, 6, 0, 4, 0, 0x1d, 0, 0x17, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0,
    ]);
    let len = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x01, 0, len + 4, 1, 0, 0, len];
    record.extend_from_slice(&hello);
    record
}

#[tokio::test]
async fn tls_1_1_is_refused() {
    let (rig, _dir) = rig(&pair()).await;
    let check = async |version: [u8; 2], expected: &[u8]| {
        let mut socket = TcpStream::connect(rig.tls.unwrap()).await.unwrap();
        socket.write_all(&client_hello(version)).await.unwrap();
        let mut answer = [0; 7];
        timeout(PATIENCE, socket.read_exact(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(expected), "{version:?} {answer:?}");
    };
    let (handshake, alert, fatal, protocol_version) = (22, 21, 2, 70);
    check([3, 3], &[handshake, 3, 3]).await;
    check([3, 2], &[alert, 3, 3, 0, 2, fatal, protocol_version]).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_closed() {
    let (rig, _dir) = rig(&pair()).await;
    let began = Instant::now();
    let mut silent = Wire::connect(rig.tls.unwrap()).await;
    assert!(silent.closed().await.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_changed_certificate_is_used_but_a_bad_one_is_not() {
    let (old, new) = (pair(), pair());
    let (rig, dir) = rig(&old).await;
    let mut kept = Wire::over(connect(&rig, &old, &TLS13, &[]).await.unwrap());
    assert!(connect(&rig, &new, &TLS13, &[]).await.is_err());

    write(dir.path(), &new);
    eventually("the new certificate", async || connect(&rig, &new, &TLS13, &[]).await.is_ok()).await;
    kept.send(post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!(kept.answer().await.status, 200, "open connections stay open");

    std::fs::write(files(dir.path()).key, &old.key_pem).unwrap();
    assert!(matches!(rig.running.reload_tls(), Err(TlsError::Pair { .. })));
    std::fs::write(files(dir.path()).key, "nonsense").unwrap();
    assert!(matches!(rig.running.reload_tls(), Err(TlsError::Pem { .. })));
    std::fs::remove_file(files(dir.path()).key).unwrap();
    assert!(matches!(rig.running.reload_tls(), Err(TlsError::Read { .. })));
    assert!(connect(&rig, &new, &TLS13, &[]).await.is_ok(), "the previous certificate stays in force");

    write(dir.path(), &old);
    rig.running.reload_tls().unwrap();
    assert!(connect(&rig, &old, &TLS13, &[]).await.is_ok());
}

#[tokio::test]
async fn handshakes_that_never_end_leave_for_new_connections() {
    let pair = pair();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &pair);
    let rig = start_with(|settings, _| {
        settings.tls = Some(files(dir.path()));
        settings.bounds.connections = 8;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(Wire::connect(rig.tls.unwrap()).await);
    }
    let began = Instant::now();
    let mut plain = Wire::connect(rig.address).await;
    plain.send(post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!(plain.answer().await.status, 200);
    let mut wire = Wire::over(connect(&rig, &pair, &TLS13, &[]).await.unwrap());
    wire.send(post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!(wire.answer().await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
