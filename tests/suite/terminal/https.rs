//! An admin listener behind a proxy with TLS.

use std::process::Output;

use tokio::io::AsyncWriteExt as _;

use crate::support::forebay::{command, finished};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::tls_front::TlsFront;

async fn status(url: &str, authority: Option<&str>) -> (Option<i32>, String) {
    let mut command = command();
    command.args(["status", "--admin", url]);
    authority.map(|file| command.env("SSL_CERT_FILE", file));
    let Output { status, stdout, stderr } = finished(&mut command).await;
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test]
async fn a_command_reaches_a_node_through_tls_or_says_what_prevents_it() {
    let node = ScriptedHttp::elsewhere(|_| Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body: r#"{"version":"0.1.0","ready":true}"#.to_owned(),
    })
    .await;
    let plain = node.url();
    let front = TlsFront::start(&plain).await;
    let authority = front.authority.to_str();

    let (code, said) = status(&front.url, authority).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("forebay 0.1.0"), "{said}");
    let (code, said) = status(&front.url, None).await;
    assert_eq!(code, Some(1), "{said}");
    for part in ["no TLS connection can be made with https://localhost:", "UnknownIssuer", "SSL_CERT_FILE"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // A server of plain HTTP answers a handshake with an error, or hangs up.
    let no_tls = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", no_tls.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let (mut stream, _) = no_tls.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    });
    let (code, said) = status(&url, authority).await;
    drop(answering.await.unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no TLS connection") && said.contains("use http://"), "{said}");
}
