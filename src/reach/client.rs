//! The HTTP clients of the program, besides those of AWS: they follow no redirect and use no proxy. And the
//! resolver of all clients.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;

use super::link_local::is_link_local;

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

/// The system's resolver. Link-local addresses may be left out: a name may lead to such an address, and may
/// lead there only at the second look, so this is checked for the addresses that are connected to.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// Every address of a name: whoever runs the program named it.
    Any,
    /// Those that are not link-local: the name is of a configuration.
    NotLinkLocal,
}

impl Names {
    /// The addresses of a name, with port 0. Errors: the name is not known, or has refused addresses alone.
    pub async fn addresses(self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await;
        // The system's error does not have the name, which may come of a setting and a region.
        let found = found.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        let found: Vec<SocketAddr> = found.collect();
        let is_refused = |at: &SocketAddr| matches!(self, Self::NotLinkLocal) && is_link_local(at.ip());
        let reached: Vec<SocketAddr> = found.iter().copied().filter(|at| !is_refused(at)).collect();
        if reached.is_empty() && !found.is_empty() {
            return Err(io::Error::other("it leads to a link-local address, which is refused"));
        }
        Ok(reached)
    }
}

impl tower_service::Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = *self;
        Box::pin(async move { Ok(names.addresses(name.as_str()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_the_link_is_refused() {
        let addresses = async |name| Names::NotLinkLocal.addresses(name).await;
        let refused = addresses("169.254.169.254").await.unwrap_err();
        assert_eq!(refused.to_string(), "it leads to a link-local address, which is refused");
        assert!(!addresses("localhost").await.unwrap().is_empty());
        assert_eq!(Names::Any.addresses("169.254.169.254").await.unwrap().len(), 1);
        let unknown = addresses("s3.nowhere.invalid").await.unwrap_err();
        assert!(unknown.to_string().starts_with("s3.nowhere.invalid: "), "{unknown}");
    }
}
