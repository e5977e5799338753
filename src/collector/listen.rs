//! The listeners: accept connections, and shut them down in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Signals};
use super::settings::{CollectorDeps, CollectorSettings, MAX_BODY_LIMIT, Policy};
use super::shared::Shared;
use super::tls::{TlsError, TlsFront};
use crate::connections::seats::{Seat, Seats};
use crate::once_a_minute::{Line, OnceAMinute};
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::tasks::{Supervised, joined, keep};

/// How long accepting pauses when the process has no file handles left, so that it does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Connections that are examined for each new one while all seats are taken. If all of these have a request
/// in flight, the new one is closed.
const LOOKS_MAX: usize = 64;

/// Sockets that already listen, so that the caller that bound them can report their addresses.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For HTTP.
    pub plain: Vec<TcpListener>,
    /// For HTTP over TLS; needs [`CollectorSettings::tls`].
    pub tls: Vec<TcpListener>,
}

/// Why the collector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is a TLS listener but no certificate and key.
    #[error("a TLS listener needs a certificate and a key: set tls_cert and tls_key")]
    NoTlsFiles,
    /// The certificate or key cannot be used.
    #[error("read the TLS certificate and key")]
    Tls(#[source] TlsError),
    /// `max_body` is larger than one frame of the spool can hold.
    #[error("max_body is {0} bytes; the largest allowed value is {MAX_BODY_LIMIT}")]
    MaxBody(usize),
}

/// The collector before it is started.
#[derive(Debug)]
pub struct Collector;

impl Collector {
    /// Starts taking calls on `listeners`. Must be called inside a tokio runtime.
    /// Errors: [`StartError`]; then nothing was started.
    pub fn start(
        deps: CollectorDeps,
        settings: CollectorSettings,
        policy: Policy,
        listeners: Listeners,
    ) -> Result<Running, StartError> {
        if settings.max_body > MAX_BODY_LIMIT {
            return Err(StartError::MaxBody(settings.max_body));
        }
        let tls = match (&settings.tls, listeners.tls.is_empty()) {
            (Some(files), false) => Some(Arc::new(TlsFront::load(files.clone()).map_err(StartError::Tls)?)),
            (None, false) => return Err(StartError::NoTlsFiles),
            (_, true) => None,
        };
        let shared = Arc::new(Shared::new(deps, settings, policy));
        let front = Front {
            signals: Signals { draining: shared.draining.clone(), closing: CancellationToken::new() },
            stopping: CancellationToken::new(),
            connections: TaskTracker::new(),
            seats: Seats::new(shared.settings.bounds.connections, LOOKS_MAX),
            shared,
        };
        let acceptors = TaskTracker::new();
        for listener in listeners.plain {
            acceptors.spawn(front.keep_accepting(listener, None));
        }
        if let Some(tls) = &tls {
            for listener in listeners.tls {
                acceptors.spawn(front.keep_accepting(listener, Some(Arc::clone(tls))));
            }
            let watcher = Supervised::new(&front.shared.deps.alarms, "TLS file watcher");
            let (tls, front) = (Arc::clone(tls), front.clone());
            let start = move || watch_files(Arc::clone(&tls), front.clone());
            acceptors.spawn(keep(watcher, start));
        }
        Ok(Running { front, acceptors, tls })
    }
}

/// A running collector. To shut it down in order: [`Running::stop_accepting`], [`Running::drain`],
/// [`Running::close`]. When dropped, it stops at once, without waiting.
#[derive(Debug)]
pub struct Running {
    front: Front,
    acceptors: TaskTracker,
    tls: Option<Arc<TlsFront>>,
}

/// The outcome of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    AllAnswered,
    /// The deadline passed first, with so many requests still in flight.
    Unanswered(usize),
}

impl Running {
    /// Puts a new policy in force for all requests that begin after this.
    pub fn reload(&self, policy: Policy) {
        self.front.shared.policy.store(Arc::new(policy));
    }

    /// Reads the TLS certificate and key again; does nothing without TLS. Their files are also checked
    /// every 2 s. Errors: [`TlsError`]; the previous certificate and key stay in force.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// Closes the listeners. Open connections stay open.
    pub async fn stop_accepting(&self) {
        self.front.stopping.cancel();
        self.acceptors.close();
        self.acceptors.wait().await;
    }

    /// Answers the requests in flight, for at most `deadline`. Later requests on open connections get 503
    /// with `Connection: close`, or a GOAWAY, until [`Running::close`].
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let requests = &self.front.shared.requests;
        self.front.shared.draining.cancel();
        requests.close();
        let finished = async {
            requests.wait().await;
            self.front.shared.ingest.finish().await;
        };
        match timeout(deadline, finished).await {
            Ok(()) => Drained::AllAnswered,
            Err(_) => Drained::Unanswered(requests.len()),
        }
    }

    /// Ends all connections after pending writes are done (2 s at most), and waits for every task. The spool
    /// must be open until then: appends whose clients hung up are still finished.
    pub async fn close(self) {
        self.stop_accepting().await;
        self.front.shared.draining.cancel();
        self.front.signals.closing.cancel();
        self.front.connections.close();
        self.front.connections.wait().await;
        self.front.shared.requests.close();
        self.front.shared.requests.wait().await;
        self.front.shared.ingest.finish().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.front.stopping.cancel();
        self.front.signals.closing.cancel();
    }
}

#[derive(Clone, Debug)]
struct Front {
    shared: Arc<Shared>,
    signals: Signals,
    stopping: CancellationToken,
    connections: TaskTracker,
    seats: Arc<Seats>,
}

impl Front {
    fn keep_accepting(
        &self,
        listener: TcpListener,
        tls: Option<Arc<TlsFront>>,
    ) -> impl Future<Output = ()> + use<> {
        let (front, listener) = (self.clone(), Arc::new(listener));
        let name = if tls.is_some() { "TLS accept loop" } else { "accept loop" };
        let start = move || front.clone().accept(Arc::clone(&listener), tls.clone());
        keep(Supervised::new(&self.shared.deps.alarms, name), start)
    }

    async fn accept(self, listener: Arc<TcpListener>, tls: Option<Arc<TlsFront>>) {
        let (began, mut failures) = (tokio::time::Instant::now(), OnceAMinute::default());
        let mut refusals = OnceAMinute::default();
        loop {
            panic_if_planted(PlantedPanic::Accept);
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    tokio::select! {
                        biased;
                        () = self.stopping.cancelled() => return,
                        slot = self.slot() => match slot {
                            Some(slot) => self.begin(stream, peer, slot, tls.clone()),
                            None => self.refuse(&peer, refusals.happened((), began.elapsed())),
                        },
                    }
                }
                // Only this client is gone; the next may be waiting.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(line) = failures.happened((), began.elapsed()) {
                        tracing::warn!(%error, times = line.times, "cannot accept connections; retrying");
                    }
                    tokio::select! {
                        () = self.stopping.cancelled() => return,
                        () = sleep(ACCEPT_REST) => {}
                    }
                }
            }
        }
    }

    fn refuse(&self, peer: &SocketAddr, line: Option<Line>) {
        self.shared.deps.metrics.refused_connections.inc();
        tracing::debug!(%peer, "all connections have a request in flight; the new one is closed");
        if let Some(Line { times, .. }) = line {
            tracing::warn!(
                times,
                "connections are refused, because all open ones have a request in flight; raise \
                 collector.max_connections or the limit of open files"
            );
        }
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr, slot: Slot, tls: Option<Arc<TlsFront>>) {
        let front = self.clone();
        self.connections.spawn(async move {
            // Dropped last, after the socket is closed.
            let slot = slot;
            let standing = Arc::clone(slot.seat.standing());
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%peer, %error, "cannot switch off Nagle's algorithm");
            }
            let (shared, signals) = (front.shared, front.signals);
            let Some(tls) = tls else {
                return connection::serve(stream, peer.ip(), standing, shared, signals, front.connections)
                    .await;
            };
            let handshake = timeout(shared.settings.bounds.handshake, tls.acceptor().accept(stream));
            let accepted = tokio::select! {
                () = signals.closing.cancelled() => return,
                () = standing.told_to_leave() => return,
                accepted = handshake => accepted,
            };
            match accepted {
                Ok(Ok(stream)) => {
                    connection::serve(stream, peer.ip(), standing, shared, signals, front.connections).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        });
    }

    /// A place among the open connections. Cancel-safe.
    async fn slot(&self) -> Option<Slot> {
        let seat = self.seats.take(|| self.shared.deps.clock.monotonic()).await?;
        let open = self.shared.deps.metrics.connections.clone();
        open.inc();
        Some(Slot { seat, open })
    }
}

/// One of the open connections. Dropping it frees the place.
struct Slot {
    seat: Seat,
    open: Gauge,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.dec();
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn watch_files(tls: Arc<TlsFront>, front: Front) {
    loop {
        panic_if_planted(PlantedPanic::TlsWatcher);
        tokio::select! {
            () = front.stopping.cancelled() => return,
            () = sleep(front.shared.settings.bounds.tls_poll) => {}
        }
        let looked = Arc::clone(&tls);
        match joined(tokio::task::spawn_blocking(move || looked.reload_if_changed()).await) {
            None => return,
            Some(None) => {}
            Some(Some(Ok(()))) => tracing::info!("the TLS certificate changed and is in use"),
            Some(Some(Err(error))) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(
                    %error,
                    cause,
                    "the changed TLS files cannot be used; the previous ones stay in use"
                );
            }
        }
    }
}
