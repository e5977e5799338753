//! Tries to bind to an address, and identifies its current user.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::holders;
use crate::check::ports::{PortUse, here};

/// How long an answer to `/health` may take.
const ANSWER: Duration = Duration::from_secs(2);
/// The most bytes read of an answer.
const ANSWER_MAX: u64 = 4_096;

/// Whether a listener can be opened there, and if not, who uses it.
pub(crate) async fn look(addr: SocketAddr) -> PortUse {
    match bind(addr) {
        Ok(()) => PortUse::Free,
        Err(error) => match error.kind() {
            io::ErrorKind::AddrInUse => {
                // Before it is asked: it may end then.
                let by = holders::of_listener(addr);
                PortUse::Taken { by_forebay: is_forebay(addr).await, by }
            }
            io::ErrorKind::PermissionDenied => PortUse::Denied,
            io::ErrorKind::AddrNotAvailable => PortUse::NotHere,
            _ => PortUse::Other(error.to_string()),
        },
    }
}

/// Whether a listener of Forebay that is no store answers at this URL of plain HTTP.
pub(crate) async fn is_forebay_at(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    let Some(host) = host.filter(|host| host.contains(':')) else { return false };
    match tokio::time::timeout(ANSWER, tokio::net::lookup_host(host)).await {
        Ok(Ok(mut found)) => match found.next() {
            Some(addr) => is_forebay(addr).await,
            None => false,
        },
        _ => false,
    }
}

/// Binds without listening, so that no connection is accepted and dropped.
fn bind(addr: SocketAddr) -> io::Result<()> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Like the collector: lingering connections of its last run do not prevent binding.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)
}

/// Whether the listener there answers `/health` like Forebay.
async fn is_forebay(addr: SocketAddr) -> bool {
    let asked = tokio::time::timeout(ANSWER, health(here(addr))).await;
    asked.is_ok_and(|answer| answer.is_ok_and(|answer| tells_of_forebay(&answer)))
}

async fn health(addr: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET /health HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The collector answers `{"status":"ok"}`, the admin listener `ok`, both only with 200.
fn tells_of_forebay(answer: &str) -> bool {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    answer.starts_with("HTTP/1.1 200") && (body == r#"{"status":"ok"}"# || body == "ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forebays_answer_counts() {
        assert!(tells_of_forebay("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"status\":\"ok\"}"));
        assert!(tells_of_forebay("HTTP/1.1 200 OK\r\n\r\nok\n"));
        assert!(!tells_of_forebay("HTTP/1.1 404 Not Found\r\n\r\nok"));
        assert!(!tells_of_forebay("HTTP/1.1 200 OK\r\n\r\n<html>"));
        assert!(!tells_of_forebay("SSH-2.0-OpenSSH"));
    }

    #[tokio::test]
    async fn a_used_port_is_distinguished_from_a_free_one() {
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = other.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let (mut stream, _) = other.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap();
        });
        let found = look(addr).await;
        let PortUse::Taken { by_forebay: false, by: Some(holder) } = found else { panic!("{found:?}") };
        assert_eq!(holder.pid, std::process::id());
        accepting.await.unwrap();
        assert_eq!(look(addr).await, PortUse::Free);
        assert_eq!(look("203.0.113.7:0".parse().unwrap()).await, PortUse::NotHere);
    }
}
