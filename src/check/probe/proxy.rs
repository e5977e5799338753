//! Checks whether a proxy accepts connections.

use std::time::Duration;

use http::Uri;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::words::about_seconds;
use crate::words::url::bare_host;

/// Connects to the host and port of a URL. Errors: the reason why it failed.
pub(crate) async fn connect(url: &str, within: Duration) -> Result<(), String> {
    if url.starts_with("socks") {
        return Err("the AWS clients support HTTP proxies, but no SOCKS proxies".to_owned());
    }
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let host = bare_host(uri.host().unwrap_or_default()).to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    match timeout(within, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {}", about_seconds(within.as_secs()))),
    }
}
