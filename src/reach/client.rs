//! The HTTP clients of the program, besides those of AWS: they follow no redirect and use no proxy.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::resolver::Names;

/// The time of silence after which a connection is probed.
const KEEPALIVE: Duration = Duration::from_secs(90);

/// A client of web addresses, `http` or `https`.
pub type WebClient = Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>;

/// A client of servers that speak plain HTTP.
pub type PlainClient = Client<HttpConnector<Names>, Full<Bytes>>;

/// A client of web addresses. Certificates are checked against those that the system trusts. `connect` limits
/// the time for a connection; `None`: only the request has a limit.
/// Errors: the system's trusted certificates cannot be read.
pub fn web(names: Names, connect: Option<Duration>) -> io::Result<WebClient> {
    let mut http = tcp(names);
    http.enforce_http(false);
    http.set_connect_timeout(connect);
    let connector =
        HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// A client of a server that a person named, such as an admin listener.
pub fn plain() -> PlainClient {
    Client::builder(TokioExecutor::new()).build(tcp(Names::Any))
}

fn tcp(names: Names) -> HttpConnector<Names> {
    let mut http = HttpConnector::new_with_resolver(names);
    http.set_keepalive(Some(KEEPALIVE));
    http
}
