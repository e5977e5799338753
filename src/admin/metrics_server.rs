//! A listener that has metrics and nothing else, for a process without a node: `batch serve`.
//!
//! It asks for no password: it shows numbers, and is there only if somebody has named its address. On a loopback
//! address the host name of each request is checked, as on the admin listener.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::accepting::serve;
use super::answer::{self, Answer};
use super::host::AllowedHosts;
use super::no_route::NoRoute;
use crate::metrics::Metrics;

/// Connections at once: a few scrapers. At the limit the one that has waited longest for a request leaves.
pub const METRICS_CONNECTIONS_MAX: usize = 16;

/// The server of metrics alone.
#[derive(Debug)]
pub struct MetricsServer {
    metrics: Metrics,
    prefix: &'static str,
    /// `None`: other machines reach it, by whatever name they have for this one.
    hosts: Option<AllowedHosts>,
}

impl MetricsServer {
    /// A server of the metrics whose names begin with `prefix`, at this address.
    pub fn new(metrics: Metrics, prefix: &'static str, listen: SocketAddr) -> Self {
        let is_loopback = listen.ip().to_canonical().is_loopback();
        Self { metrics, prefix, hosts: is_loopback.then(|| AllowedHosts::new(listen, &[])) }
    }

    /// Serves at most so many connections at once until `stop`. Not cancel-safe: dropping it closes every connection
    /// at once.
    pub async fn serve(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        connections: usize,
        stop: CancellationToken,
    ) {
        let answer = move |request: Request<Incoming>, (local, _): (IpAddr, IpAddr)| {
            let answer = self.answer(request.method(), request.uri().path(), request.headers(), local);
            std::future::ready(answer)
        };
        serve(listener, connections, stop, answer).await;
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, local: IpAddr) -> Answer {
        if let Some(hosts) = &self.hosts
            && let Err(intruder) = hosts.check(headers, local)
        {
            return answer::refusal(&intruder);
        }
        match path {
            "/metrics" if [Method::GET, Method::HEAD].contains(method) => {
                answer::metrics(self.metrics.render_of(self.prefix))
            }
            "/metrics" => answer::no_route(&NoRoute::Method { allow: "GET, HEAD" }),
            _ => answer::only_metrics(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn asked(server: &MetricsServer, method: Method, path: &str, host: &str) -> (StatusCode, String) {
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        let answer = server.answer(&method, path, &headers, "127.0.0.1".parse().unwrap());
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn numbers_of_one_kind_are_shown_to_this_machine() {
        let metrics = Metrics::new();
        metrics.batch_throttles.inc_by(3);
        let listen = "127.0.0.1:9464".parse().unwrap();
        let server = MetricsServer::new(metrics.clone(), "forebay_batch_", listen);
        let (status, text) = asked(&server, Method::GET, "/metrics", "localhost:9464").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("\nforebay_batch_throttles_total 3\n") && text.ends_with("# EOF\n"), "{text}");
        let others = text.lines().filter(|line| !line.contains("forebay_batch_")).count();
        assert_eq!(others, 1, "{text}");
        for (method, path, host, expected) in [
            (Method::POST, "/metrics", "localhost", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/api/status", "localhost", StatusCode::NOT_FOUND),
            (Method::GET, "/metrics", "evil.example", StatusCode::MISDIRECTED_REQUEST),
        ] {
            assert_eq!(asked(&server, method, path, host).await.0, expected, "{path} {host}");
        }
        let everywhere = MetricsServer::new(metrics, "forebay_batch_", "0.0.0.0:9464".parse().unwrap());
        let (status, _) = asked(&everywhere, Method::GET, "/metrics", "jobs.example:9464").await;
        assert_eq!(status, StatusCode::OK);
    }
}
