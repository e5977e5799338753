//! The admin listener: accepts, checks who is called and by whom, and answers.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::planted::{PlantedPanic, panic_if_planted};

use super::answer::{self, Answer};
use super::host::{self, AllowedHosts};
use super::route::{Route, route};
use super::view::{AdminView, UnknownSource};

/// Connections at once. One more waits, unaccepted, until another closes: nothing is refused here.
pub const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request's head. Over it: 431. Bodies are not read.
pub const HEAD_MAX: usize = 16 << 10;
/// How long a request's head may take, and a connection idle. Metrics are scraped more often than that.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long an answer may stay unread (on Linux), so that a client that stopped reading does not keep its slot.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long `POST /api/flush` waits for deliveries.
pub const FLUSH_WAIT: Duration = Duration::from_secs(30);
/// How long requests under way may still take once the listener stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long nothing is accepted after the operating system could not give a connection (too many open files).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

const ROOT_TEXT: &str = "Forebay: metrics at /metrics, readiness at /ready, status at /api/status, ledger at /api/ledger, \
     a receipt at /api/receipt, flush by POST /api/flush\n";

/// What the admin listener answers with.
pub struct AdminServer {
    view: Arc<dyn AdminView>,
    metrics: Metrics,
    hosts: AllowedHosts,
    connections: usize,
}

impl AdminServer {
    /// A server that may be called by the names in `hosts`.
    pub fn new(view: Arc<dyn AdminView>, metrics: Metrics, hosts: AllowedHosts) -> Self {
        Self { view, metrics, hosts, connections: CONNECTIONS_MAX }
    }

    /// The same, with so many connections at once instead of [`CONNECTIONS_MAX`].
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Serves connections until `stop`, then finishes requests under way for at most [`DRAIN_MAX`].
    ///
    /// Not cancel-safe: dropped, it closes every connection at once. Stop it with the token, then await it.
    pub async fn serve(self: Arc<Self>, listener: Arc<TcpListener>, stop: CancellationToken) {
        let server = self;
        let slots = Arc::new(Semaphore::new(server.connections));
        let mut connections = JoinSet::new();
        loop {
            panic_if_planted(PlantedPanic::Admin);
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an admin connection ended by a bug");
                    }
                    continue;
                }
                accepted = accept(&listener, &slots) => accepted,
            };
            match accepted {
                Ok((socket, permit)) => {
                    let (server, stop) = (Arc::clone(&server), stop.clone());
                    connections.spawn(async move {
                        server.connection(socket, stop).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not accept a connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            connections.shutdown().await;
        }
    }

    async fn connection(self: Arc<Self>, socket: TcpStream, stop: CancellationToken) {
        let local = match prepare(&socket) {
            Ok(local) => local,
            Err(error) => {
                tracing::debug!(%error, "an admin connection ended before it began");
                return;
            }
        };
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(&request, local).await) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_header_size(HEAD_MAX);
        let connection = builder.serve_connection(TokioIo::new(socket), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an admin connection ended early");
        }
    }

    async fn answer(&self, request: &Request<Incoming>, local: IpAddr) -> Answer {
        if let Err(intruder) = self.hosts.check(request.headers(), local) {
            return answer::intruder(intruder);
        }
        let uri = request.uri();
        match route(request.method(), uri.path(), uri.query()) {
            Err(why) => answer::no_route(&why),
            Ok(Route::Root) => answer::text(ROOT_TEXT),
            Ok(Route::Metrics) => {
                self.view.refresh_metrics();
                answer::metrics(self.metrics.render())
            }
            Ok(Route::Health) => answer::json(StatusCode::OK, &Health { status: "ok" }),
            Ok(Route::Ready) => match self.view.ready() {
                Ok(()) => answer::json(StatusCode::OK, &Ready { ready: true, reasons: &[] }),
                Err(reasons) => {
                    answer::json(StatusCode::SERVICE_UNAVAILABLE, &Ready { ready: false, reasons: &reasons })
                }
            },
            Ok(Route::Status) => answer::json(StatusCode::OK, &self.view.status()),
            Ok(Route::Days(source)) => answer::json(StatusCode::OK, &self.view.days(source.as_ref())),
            Ok(Route::Ledger(source)) => match self.view.ledger(source.as_ref()) {
                Ok(ledger) => answer::json(StatusCode::OK, &ledger),
                Err(UnknownSource(source)) => answer::unknown_source(&source),
            },
            Ok(Route::Receipt(receipt)) => match self.view.receipt(receipt).await {
                Ok(status) => answer::json(StatusCode::OK, &status),
                Err(why) => answer::receipt_unread(&why),
            },
            Ok(Route::Flush(source)) => {
                if let Err(intruder) = host::check_origin(request.headers()) {
                    return answer::intruder(intruder);
                }
                match self.view.flush(source, FLUSH_WAIT).await {
                    Ok(outcome) => answer::json(StatusCode::OK, &outcome),
                    Err(why) => answer::not_flushed(&why),
                }
            }
        }
    }
}

impl fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminServer").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    reasons: &'a [String],
}

/// Bounds how long sent bytes may stay unread, and gives the address that the client called.
fn prepare(socket: &TcpStream) -> io::Result<IpAddr> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(SEND_TIMEOUT))?;
    socket.set_nodelay(true)?;
    socket.local_addr().map(|address| address.ip())
}

/// A slot first, then a connection for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, permit))
}
