//! Whether somebody listens at a proxy.

use std::time::Duration;

use http::Uri;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects to the host and port of a URL.
///
/// # Errors
/// Why not.
pub(in crate::check) async fn connect(url: &str, within: Duration) -> Result<(), String> {
    if url.starts_with("socks") {
        return Err("the clients of AWS use HTTP proxies, and no SOCKS proxies".to_owned());
    }
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    match timeout(within, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {} s", within.as_secs())),
    }
}
