//! The admin listener: accepts connections, checks hosts and origins, and answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connections::seats::Seats;
use crate::import::{Begin, End, Target};
use crate::live::{Filter, LiveView, Mode};
use crate::metrics::Metrics;
use crate::once_a_minute::OnceAMinute;
use crate::planted_bugs::{PlantedPanic, panic_if_planted};

use super::access::{Need, Refusal};
use super::admin_view::{AdminView, UnknownSource};
use super::answer::{self, Answer};
use super::archive_route::ArchiveRoute;
use super::archive_view::ArchiveView;
use super::connection;
use super::console::{self, File};
use super::destinations::{DestinationError, DestinationsView};
use super::destinations_route::DestinationsRoute;
use super::gate::Gate;
use super::host::{self, AllowedHosts};
use super::import_bodies::{GaveWay, ImportBodies};
use super::live::LiveStream;
use super::logins::Logins;
use super::no_route::NoRoute;
use super::role::Role;
use super::route::{Route, route};
use super::sdks::SdkLines;
use super::session::{LogIn, SessionStatus, over_tls};
use super::sessions;

/// Connections at once. A further one replaces the connection that has waited longest for a request. If all
/// have a request in flight, the new one waits until one is answered: this listener refuses no one.
pub const CONNECTIONS_MAX: usize = 256;
/// How long `POST /api/flush` waits for deliveries.
pub const FLUSH_WAIT: Duration = Duration::from_secs(30);
/// Flushes that wait at once. A further flush is answered at once with what is pending, so that repeated
/// flushes cannot take all seats.
pub const FLUSHES_WAITING_MAX: usize = 64;
/// The most bytes of the body of an import's request.
pub const IMPORT_BODY_MAX: usize = 2 << 20;
/// How long the body of an import's request may take.
pub const IMPORT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of the body of a login.
pub const LOGIN_BODY_MAX: usize = 1 << 10;
/// How long the body of a login may take.
pub const LOGIN_BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests in flight may still take after the listener stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long accepting pauses after it failed (too many open files).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

const ROOT_TEXT: &str = "Forebay: the console in a browser, metrics at /metrics, readiness at /ready, status at /api/status, \
     ledger at /api/ledger, a receipt at /api/receipt, flush by POST /api/flush, \
     imports by `forebay import`\n";

/// The admin server.
pub struct AdminServer {
    view: Arc<dyn AdminView>,
    metrics: Metrics,
    hosts: AllowedHosts,
    gate: Arc<Gate>,
    logins: Logins,
    flushes: Semaphore,
    import_bodies: ImportBodies,
    /// Connections at once: [`CONNECTIONS_MAX`], unless set.
    pub connections: usize,
    /// Takes imported rows.
    pub imports: Option<Arc<dyn Target>>,
    /// Shows what arrives.
    pub live: Option<Arc<LiveView>>,
    /// Shows deliveries, the archive and imports.
    pub archive: Option<Arc<dyn ArchiveView>>,
    /// Shows destinations.
    pub destinations: Option<Arc<dyn DestinationsView>>,
}

impl AdminServer {
    /// A server that answers to the names in `hosts`, and to requests that `gate` lets in.
    pub fn new(view: Arc<dyn AdminView>, metrics: Metrics, hosts: AllowedHosts, gate: Arc<Gate>) -> Self {
        Self {
            view,
            metrics,
            hosts,
            gate,
            connections: CONNECTIONS_MAX,
            logins: Logins::default(),
            flushes: Semaphore::new(FLUSHES_WAITING_MAX),
            imports: None,
            live: None,
            import_bodies: ImportBodies::new(),
            archive: None,
            destinations: None,
        }
    }

    /// Serves connections until `stop`, then finishes requests in flight for at most [`DRAIN_MAX`].
    ///
    /// Not cancel-safe: dropping it closes every connection at once. Stop it with the token, then await it.
    pub async fn serve(self: Arc<Self>, listener: Arc<TcpListener>, stop: CancellationToken) {
        let server = self;
        let seats = Seats::new(server.connections, server.connections);
        let (epoch, mut failures) = (Instant::now(), OnceAMinute::default());
        let mut connections = JoinSet::new();
        loop {
            panic_if_planted(PlantedPanic::Admin);
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an admin connection panicked; this is a bug in Forebay");
                    }
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let seat = tokio::select! {
                        () = stop.cancelled() => break,
                        seat = seats.take_in_time(|| epoch.elapsed()) => seat,
                    };
                    let (server, stop) = (Arc::clone(&server), stop.clone());
                    connections.spawn(async move {
                        let answer = async |request: Request<Incoming>, local| {
                            let mut answer = server.answer(request, (local, peer.ip()), &stop).await;
                            answer::guard(answer.headers_mut());
                            answer
                        };
                        let standing = Arc::clone(seat.standing());
                        connection::serve(socket, standing, epoch, stop.clone(), answer).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    if let Some(line) = failures.happened((), epoch.elapsed()) {
                        tracing::warn!(
                            %error,
                            times = line.times,
                            "the admin listener cannot accept connections; retrying"
                        );
                    }
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

    /// Answers a request. `local` and `peer` are the ends of the connection.
    async fn answer(
        &self,
        request: Request<Incoming>,
        (local, peer): (IpAddr, IpAddr),
        stop: &CancellationToken,
    ) -> Answer {
        if let Some(refused) = self.refuse(&request, local, peer) {
            return refused;
        }
        let uri = request.uri();
        match route(request.method(), uri.path(), uri.query()) {
            Err(why) => answer::no_route(&why),
            Ok(Route::Root) if console::wants_page(request.headers()) => {
                console::answer(File::Page, request.headers())
            }
            Ok(Route::Root) => answer::text(ROOT_TEXT),
            Ok(Route::File(file)) => console::answer(file, request.headers()),
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
            Ok(Route::History) => answer::json(StatusCode::OK, &self.view.history()),
            Ok(Route::Node) => answer::json(StatusCode::OK, &self.view.node()),
            Ok(Route::Live(filter)) => self.live(filter, request.headers(), stop),
            Ok(Route::Days(source)) => answer::json(StatusCode::OK, &self.view.days(source.as_ref())),
            Ok(Route::Ledger(source)) => match self.view.ledger(source.as_ref()) {
                Ok(ledger) => answer::json(StatusCode::OK, &ledger),
                Err(UnknownSource(source)) => answer::unknown_source(&source),
            },
            Ok(Route::Receipt(receipt)) => match self.view.receipt(receipt).await {
                Ok(status) => answer::json(StatusCode::OK, &status),
                Err(why) => answer::receipt_unread(&why),
            },
            Ok(Route::Sdks(source)) => match self.view.sdk_address(source.as_ref()) {
                Ok(place) => {
                    answer::json(StatusCode::OK, &SdkLines::new(&place, &host::name(request.headers())))
                }
                Err(UnknownSource(source)) => answer::unknown_source(&source),
            },
            Ok(Route::Session) => self.session(&request, peer),
            Ok(Route::LogIn) => self.log_in(request, peer).await,
            Ok(Route::LogOut) => self.log_out(&request),
            Ok(Route::Flush(source)) => {
                let turn = self.flushes.try_acquire();
                let wait = if turn.is_ok() { FLUSH_WAIT } else { Duration::ZERO };
                match self.view.flush(source, wait).await {
                    Ok(outcome) => answer::json(StatusCode::OK, &outcome),
                    Err(why) => answer::not_flushed(&why),
                }
            }
            Ok(Route::Archive(route)) => match &self.archive {
                Some(archive) => show(&**archive, route).await,
                None => answer::no_route(&NoRoute::Path),
            },
            Ok(Route::Destinations(route)) => match &self.destinations {
                Some(destinations) => of_destinations(&**destinations, route).await,
                None => answer::no_route(&NoRoute::Path),
            },
            Ok(
                route @ (Route::ImportEarlier | Route::ImportBegin | Route::ImportRows(_) | Route::ImportEnd),
            ) => match &self.imports {
                Some(imports) => self.import(&**imports, &route, request.into_body()).await,
                None => answer::no_imports(),
            },
        }
    }

    /// The refusal of a request: because of its host, of the page that sent it, or of its token or session.
    /// `None`: it may be answered.
    fn refuse(&self, request: &Request<Incoming>, local: IpAddr, peer: IpAddr) -> Option<Answer> {
        let (headers, path) = (request.headers(), request.uri().path());
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        // Pages of other sites cannot read an answer, but asking takes seats and reads objects from the
        // store. That also holds for a link on such a page that a person follows.
        let is_open = reads && !path.starts_with("/api/");
        let of_page = || if is_open { Ok(()) } else { host::check_origin(headers) };
        if let Err(intruder) = self.hosts.check(headers, local).and_then(|()| of_page()) {
            return Some(answer::intruder(intruder));
        }
        let need = Need::of(request.method(), path);
        self.gate.check(need, headers, peer).err().map(answer::refusal)
    }
}

impl AdminServer {
    fn session(&self, request: &Request<Incoming>, peer: IpAddr) -> Answer {
        let role = match self.gate.role(request.headers(), peer) {
            Ok(role) => role,
            Err(refusal @ Refusal::TooManyGuesses(_)) => return answer::refusal(refusal),
            Err(_) => None,
        };
        answer::json(StatusCode::OK, &SessionStatus::new(role, &self.gate.settings()))
    }

    async fn log_in(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let Some(_place) = self.logins.begin(peer) else { return answer::busy() };
        let secure = over_tls(request.headers());
        let body = match read(request.into_body(), LOGIN_BODY_MAX, LOGIN_BODY_TIMEOUT).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        // The parser's own error might repeat the token.
        let Ok(given) = serde_json::from_slice::<LogIn>(&body) else {
            return answer::bad_body(&"expected {\"token\":\"…\"}");
        };
        let (role, id) = match self.gate.log_in(given.token.trim(), peer) {
            Ok(session) => session,
            Err(refusal) => return answer::refusal(refusal),
        };
        let status = SessionStatus::new(Some(role), &self.gate.settings());
        with_cookie(answer::json(StatusCode::OK, &status), id.map(|id| id.cookie(secure)))
    }

    fn log_out(&self, request: &Request<Incoming>) -> Answer {
        self.gate.log_out(request.headers());
        let settings = self.gate.settings();
        let role = settings.token.is_none().then_some(Role::Admin);
        let answer = answer::json(StatusCode::OK, &SessionStatus::new(role, &settings));
        with_cookie(answer, Some(sessions::no_cookie(over_tls(request.headers()))))
    }
}

fn with_cookie(mut answer: Answer, cookie: Option<String>) -> Answer {
    // A cookie of hexadecimal digits is always a header value.
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// The body of a request, if it is short enough and comes in time.
async fn read(body: Incoming, max: usize, patience: Duration) -> Result<Bytes, Answer> {
    let body = Limited::new(body, max).collect();
    match tokio::time::timeout(patience, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(answer::large_body(max)),
        Ok(Err(error)) => Err(answer::bad_body(&*error)),
        Err(_) => Err(answer::slow_body()),
    }
}

/// Shows deliveries, the archive or imports.
async fn show(archive: &dyn ArchiveView, route: ArchiveRoute) -> Answer {
    match route {
        ArchiveRoute::Deliveries { source, before, limit } => {
            answer::shown(archive.deliveries(source, before, limit).await)
        }
        ArchiveRoute::Days(source) => answer::shown(archive.days(source).await),
        ArchiveRoute::Objects(asked) => answer::shown(archive.objects(asked).await),
        ArchiveRoute::Peek(source, key) => answer::shown(archive.peek(source, key).await),
        ArchiveRoute::Imports { limit } => answer::shown(archive.imports(limit).await),
    }
}

async fn of_destinations(view: &dyn DestinationsView, route: DestinationsRoute) -> Answer {
    match route {
        DestinationsRoute::All => answer::json(StatusCode::OK, &view.destinations()),
        DestinationsRoute::One(name) => {
            let all = view.destinations().destinations;
            let one = all.into_iter().find(|one| one.name == name.as_str());
            answer::destination(one.ok_or_else(|| DestinationError::Unknown(name.to_string())))
        }
        DestinationsRoute::Attempts(asked) => answer::destination(view.attempts(&asked)),
        DestinationsRoute::Discard(name) => {
            answer::destination(view.discard(name).await.map(|()| Discarded { discarded: true }))
        }
    }
}

#[derive(Serialize)]
struct Discarded {
    discarded: bool,
}

impl AdminServer {
    fn live(&self, filter: Filter, headers: &HeaderMap, stop: &CancellationToken) -> Answer {
        let Some(live) = self.live.as_ref().filter(|live| live.mode() != Mode::Off) else {
            return answer::live_off();
        };
        match live.watch(filter) {
            Some(viewer) => {
                let (gate, headers) = (Arc::clone(&self.gate), headers.clone());
                let may_go_on = move || gate.still_reads(&headers);
                answer::live(LiveStream::new(viewer, stop.clone().cancelled_owned(), may_go_on))
            }
            None => answer::too_many_viewers(),
        }
    }

    /// Answers a request of an import. Bodies in memory at once are bounded.
    async fn import(&self, imports: &dyn Target, route: &Route, body: Incoming) -> Answer {
        let place = self.import_bodies.permit().await;
        let body = match place.filled(read(body, IMPORT_BODY_MAX, IMPORT_BODY_TIMEOUT)).await {
            Ok(Ok(body)) => body,
            Ok(Err(refused)) => return refused,
            Err(GaveWay) => return answer::gave_way(),
        };
        match route {
            Route::ImportRows(rows) => answer::import(imports.rows(*rows, body).await),
            Route::ImportEarlier => match serde_json::from_slice::<Begin>(&body) {
                Ok(begin) => answer::import(imports.earlier(begin).await),
                Err(error) => answer::bad_body(&error),
            },
            Route::ImportBegin => match serde_json::from_slice::<Begin>(&body) {
                Ok(begin) => answer::import(imports.begin(begin).await),
                Err(error) => answer::bad_body(&error),
            },
            _ => match serde_json::from_slice::<End>(&body) {
                Ok(end) => answer::import(imports.end(end).await),
                Err(error) => answer::bad_body(&error),
            },
        }
    }
}

debug_fields!(AdminServer { hosts });

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    reasons: &'a [String],
}
