//! The admin listener: accepts connections, checks hosts and origins, and answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{from_slice, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::import::Target;
use crate::live::refused_groups::GROUPS_MAX;
use crate::live::{Filter, LiveView, Mode};
use crate::metrics::Metrics;

use super::accepting;
pub use super::accepting::DRAIN_MAX;
use super::access::{Need, Refusal};
use super::admin_view::AdminView;
use super::answer::{self, Answer};
use super::archive_route::ArchiveRoute;
use super::archive_view::ArchiveView;
use super::bucket_imports::BucketImportsView;
use super::bucket_imports_route::BucketImportsRoute;
use super::console;
use super::destinations::{AllDestinations, DestinationError, DestinationsView};
use super::destinations_route::DestinationsRoute;
use super::gate::Gate;
use super::host::{self, AllowedHosts};
use super::import_bodies::ImportBodies;
use super::live::LiveStream;
use super::logins::Logins;
use super::no_route::NoRoute;
use super::route::{ImportRoute, Route, route};
use super::sdks::SdkLines;
use super::session::{LogIn, SessionStatus, over_tls};
use super::sessions::{Role, cookie};
use super::status::{DestinationBehind, Status};

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

/// How old the count of dead letters that were sent again may be on a page about destinations, which asks every
/// two seconds.
const COUNT_AGE_ON_PAGE: Duration = Duration::from_secs(5);
/// The same in a status, which programs poll: each new count costs requests to the store.
const COUNT_AGE_IN_STATUS: Duration = Duration::from_secs(60);
/// How long a status waits for the count: people ask for it when a store does not answer.
const STATUS_WAIT: Duration = Duration::from_secs(1);

const ROOT_TEXT: &str = "Forebay: the console in a browser, metrics at /metrics, readiness at /ready, status at /api/status, \
     ledger at /api/ledger, a receipt at /api/receipt, flush by POST /api/flush, \
     imports by `forebay import csv FILE`\n";

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
    /// Does what is asked of imports of buckets.
    pub bucket_imports: Option<Arc<dyn BucketImportsView>>,
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
            bucket_imports: None,
        }
    }

    /// Serves connections until `stop`, then finishes requests in flight for at most [`DRAIN_MAX`].
    ///
    /// Not cancel-safe: dropping it closes every connection at once. Stop it with the token, then await it.
    pub async fn serve(self: Arc<Self>, listener: Arc<TcpListener>, stop: CancellationToken) {
        let (server, connections, stopped) = (Arc::clone(&self), self.connections, stop.clone());
        let answer = move |request: Request<Incoming>, ends: (IpAddr, IpAddr)| {
            let (server, stop) = (Arc::clone(&server), stopped.clone());
            async move {
                let (Ok(answer) | Err(answer)) = server.answer(request, ends, &stop).await;
                answer
            }
        };
        accepting::serve(listener, connections, stop, answer).await;
    }

    /// The status, without the dead letters that were sent again, if the buckets can be asked in time.
    async fn status(&self) -> Status {
        let mut status = self.view.status();
        let has_dead = status.destinations.iter().any(|one| one.dead_left > 0);
        if let (true, Some(destinations), Some(archive)) = (has_dead, &self.destinations, &self.archive) {
            let counted = archive.sent_again(destinations.destinations(), COUNT_AGE_IN_STATUS);
            if let Ok(all) = tokio::time::timeout(STATUS_WAIT, counted).await {
                status.destinations = all.destinations.iter().filter_map(DestinationBehind::of).collect();
            }
        }
        status
    }

    /// Answers a request. `local` and `peer` are the ends of the connection.
    /// Errors: the answer to a request that cannot be fulfilled.
    async fn answer(
        &self,
        request: Request<Incoming>,
        (local, peer): (IpAddr, IpAddr),
        stop: &CancellationToken,
    ) -> Result<Answer, Answer> {
        if let Some(refused) = self.refuse(&request, local, peer) {
            return Err(refused);
        }
        let (uri, headers) = (request.uri(), request.headers());
        let unknown = || answer::no_route(&NoRoute::Path);
        let route = route(request.method(), uri.path(), uri.query());
        Ok(match route.map_err(|why| answer::no_route(&why))? {
            Route::Root if console::wants_page(headers) => console::answer(&console::PAGE, headers),
            Route::Root => answer::text(ROOT_TEXT),
            Route::File(file) => console::answer(file, headers),
            Route::Metrics => {
                self.view.refresh_metrics();
                answer::metrics(self.metrics.render())
            }
            Route::Health => answer::ok(&json!({ "status": "ok" })),
            Route::Ready => match self.view.ready() {
                Ok(()) => answer::ok(&json!({ "ready": true, "reasons": [] })),
                Err(reasons) => {
                    let not_ready = json!({ "ready": false, "reasons": reasons });
                    answer::json(StatusCode::SERVICE_UNAVAILABLE, &not_ready)
                }
            },
            Route::Status => answer::ok(&self.status().await),
            Route::History => answer::ok(&self.view.history()),
            Route::Node => answer::ok(&self.view.node()),
            Route::Live(filter) => self.live(filter, headers, stop),
            Route::Refused(filter) => {
                let live = self.live.as_ref().ok_or_else(unknown)?;
                answer::ok(&live.refused_groups(&filter, GROUPS_MAX))
            }
            Route::Days(source) => answer::ok(&self.view.days(source.as_ref())),
            Route::Ledger(source) => answer::of(self.view.ledger(source.as_ref())),
            Route::Receipt(receipt) => answer::of(self.view.receipt(receipt).await),
            Route::Sdks(source) => {
                let place = self.view.sdk_address(source.as_ref());
                answer::of(place.map(|place| SdkLines::new(&place, &host::name(headers))))
            }
            Route::Session => self.session(headers, peer),
            Route::LogIn => self.log_in(request, peer).await?,
            Route::LogOut => self.log_out(headers),
            Route::Flush(source) => {
                let turn = self.flushes.try_acquire();
                let wait = if turn.is_ok() { FLUSH_WAIT } else { Duration::ZERO };
                answer::of(self.view.flush(source, wait).await)
            }
            Route::Resolve(asked) => answer::of(self.view.resolve(asked).await),
            Route::Archive(route) => show(&**self.archive.as_ref().ok_or_else(unknown)?, route).await,
            Route::Destinations(route) => {
                let view = self.destinations.as_ref().ok_or_else(unknown)?;
                of_destinations(&**view, self.archive.as_deref(), route).await
            }
            Route::BucketImports(route) => {
                let imports = self.bucket_imports.as_ref().ok_or_else(unknown)?;
                match route {
                    BucketImportsRoute::Run(asked) => answer::of(imports.run(asked).await),
                    BucketImportsRoute::Object(asked) => answer::of(imports.object(asked).await),
                    BucketImportsRoute::Reset(name, asked) => answer::of(imports.reset(name, asked).await),
                    BucketImportsRoute::RetryRejects(name, key, dry_run) => {
                        answer::of(imports.retry_rejects(name, key, dry_run).await)
                    }
                    BucketImportsRoute::Pause(name, paused) => answer::of(imports.pause(name, paused).await),
                    BucketImportsRoute::Rename(old, new) => answer::of(imports.rename(old, new).await),
                    BucketImportsRoute::Release(name, instance, dry_run) => {
                        answer::of(imports.release(name, instance, dry_run).await)
                    }
                }
            }
            Route::Import(route) => {
                let imports = self.imports.as_ref().ok_or_else(answer::no_imports)?;
                self.import(&**imports, route, request.into_body()).await?
            }
        })
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
            return Some(answer::refusal(&intruder));
        }
        let need = Need::of(request.method(), path);
        self.gate.check(need, headers, peer).err().map(|why| answer::refusal(&why))
    }

    fn session(&self, headers: &HeaderMap, peer: IpAddr) -> Answer {
        let role = match self.gate.role(headers, peer) {
            Ok(role) => role,
            Err(refusal @ Refusal::TooManyGuesses(_)) => return answer::refusal(&refusal),
            Err(_) => None,
        };
        answer::ok(&SessionStatus::new(role, &self.gate.settings()))
    }

    async fn log_in(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Answer, Answer> {
        let _place = self.logins.begin(peer).ok_or_else(answer::busy)?;
        let secure = over_tls(request.headers());
        let body = read(request.into_body(), LOGIN_BODY_MAX, LOGIN_BODY_TIMEOUT).await?;
        // The parser's own error might repeat the token.
        let given = from_slice::<LogIn>(&body);
        let given = given.map_err(|_| answer::bad_body(&"expected {\"token\":\"…\"}"))?;
        let session = self.gate.log_in(given.token.trim(), peer);
        let (role, id) = session.map_err(|refusal| answer::refusal(&refusal))?;
        let status = SessionStatus::new(Some(role), &self.gate.settings());
        Ok(with_cookie(answer::ok(&status), id.map(|id| id.cookie(secure))))
    }

    fn log_out(&self, headers: &HeaderMap) -> Answer {
        self.gate.log_out(headers);
        let settings = self.gate.settings();
        let role = settings.token.is_none().then_some(Role::Admin);
        let answer = answer::ok(&SessionStatus::new(role, &settings));
        with_cookie(answer, Some(cookie("", 0, over_tls(headers))))
    }

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
    async fn import(
        &self,
        imports: &dyn Target,
        route: ImportRoute,
        body: Incoming,
    ) -> Result<Answer, Answer> {
        let place = self.import_bodies.permit().await;
        let read = read(body, IMPORT_BODY_MAX, IMPORT_BODY_TIMEOUT);
        let body = place.filled(read).await.ok_or_else(answer::gave_way)??;
        let bad = |error: serde_json::Error| answer::bad_body(&error);
        Ok(match route {
            ImportRoute::Rows(rows) => answer::of(imports.rows(rows, body).await),
            ImportRoute::Earlier => answer::of(imports.earlier(from_slice(&body).map_err(bad)?).await),
            ImportRoute::Begin => answer::of(imports.begin(from_slice(&body).map_err(bad)?).await),
            ImportRoute::End => answer::of(imports.end(from_slice(&body).map_err(bad)?).await),
        })
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
            answer::of(archive.deliveries(source, before, limit).await)
        }
        ArchiveRoute::Days(source) => answer::of(archive.days(source).await),
        ArchiveRoute::Objects(asked) => answer::of(archive.objects(asked).await),
        ArchiveRoute::Peek(source, key) => answer::of(archive.peek(source, key).await),
        ArchiveRoute::Find(asked) => answer::of(archive.find(asked).await),
        ArchiveRoute::Imports(asked) => answer::of(archive.imports(asked).await),
    }
}

async fn of_destinations(
    view: &dyn DestinationsView,
    archive: Option<&dyn ArchiveView>,
    route: DestinationsRoute,
) -> Answer {
    let with_sent_again = async |all: AllDestinations| match archive {
        Some(archive) => archive.sent_again(all, COUNT_AGE_ON_PAGE).await,
        None => all,
    };
    match route {
        DestinationsRoute::All => answer::ok(&with_sent_again(view.destinations()).await),
        DestinationsRoute::One(name) => {
            let mut all = view.destinations();
            all.destinations.retain(|one| one.name == name.as_str());
            let one = with_sent_again(all).await.destinations.pop();
            answer::of(one.ok_or_else(|| DestinationError::Unknown(name.to_string())))
        }
        DestinationsRoute::Attempts(asked) => answer::of(view.attempts(&asked)),
        DestinationsRoute::Discard(name) => {
            answer::of(view.discard(name).await.map(|()| json!({ "discarded": true })))
        }
    }
}

debug_fields!(AdminServer { hosts });
