//! The whole way of one request: from its head to its answer.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, EXPECT, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, Request as HttpRequest, Uri, Version};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth;
use super::backlog::Backlog;
use super::body::{self, BodyBounds};
use super::budget::{Address, Client, Shares};
use super::client_address::{client_address, is_private, is_trusted};
use super::cors::CorsRules;
use super::counters::{Counters, RequestCount};
use super::decode::Coding;
use super::finish_anyway::FinishAnyway;
use super::peer::Peer;
use super::pixel::PixelRequest;
use super::public_address::{SentTo, public_address};
use super::rate_limit::RateLimit;
use super::received_clock::ReceivedClock;
use super::reply::{self, Refusal, Reply};
use super::route::{self, NoRoute, Route};
use super::settings::{CollectorDeps, CollectorSettings, Policy};
use super::settings_document;
use super::source_config;
use super::unread::UnreadAnswers;
use super::waiting::{Waiter, WaitingBodies, WaitingBody};
use crate::call::{Request, Shape, Stamp, Tally};
use crate::metrics::StatusLabel;
use crate::receipt::{self, Receipt};
use crate::sources::{Found, SOURCE_ID_MAX, SourceId, WriteKeyHash};
use crate::spool::frame::FRAME_HEADER;
use crate::spool::segment::BLOCK_BODY_MAX;
use crate::spool::{AppendError, RequestFrames};
use crate::time::UnixMillis;

/// Bytes that a request's lines may probably have. It is an estimate from above, so it is more than the spool takes.
const LINES_LEN_MAX: usize = 2 * BLOCK_BODY_MAX;

/// Bytes of memory that an HTTP/2 request holds besides its head and body: the task and state of its stream.
const STREAM_BYTES: usize = 4 * 1_024;
/// Bytes of memory that a header holds besides its name and value.
const HEADER_BYTES: usize = 128;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) deps: CollectorDeps,
    pub(super) settings: CollectorSettings,
    pub(super) policy: ArcSwap<Policy>,
    pub(super) counters: Arc<Counters>,
    /// Requests that are open, and appends that outlive their clients.
    pub(super) requests: TaskTracker,
    /// As receipts name it.
    spool_id: String,
    pub(super) draining: CancellationToken,
    received: ReceivedClock,
    rate_limit: Option<RateLimit>,
    waiting: WaitingBodies,
    pub(super) unread: Arc<UnreadAnswers>,
    pub(super) backlog: Backlog,
}

/// One request, on its way.
struct Exchange<'r> {
    head: &'r Parts,
    body: &'r mut Incoming,
    /// Whether the body was read to its end.
    body_read: bool,
    peer: &'r Peer,
    policy: &'r Arc<Policy>,
    until: Instant,
    waiting: WaitingBody<'r>,
}

impl Shared {
    pub(super) fn new(deps: CollectorDeps, settings: CollectorSettings, policy: Policy) -> Self {
        Self {
            counters: Arc::new(Counters::new(deps.metrics.clone())),
            waiting: WaitingBodies::new(Shares {
                all: settings.bounds.bodies_bytes,
                unknown: settings.bounds.bodies_bytes / 2,
                address: settings.bounds.address_bodies_bytes,
            }),
            unread: Arc::new(UnreadAnswers::new(settings.bounds.answers_bytes)),
            backlog: Backlog::default(),
            rate_limit: settings.calls_per_second.map(RateLimit::new),
            spool_id: deps.appender.spool_id(),
            deps,
            settings,
            policy: ArcSwap::from_pointee(policy),
            requests: TaskTracker::new(),
            draining: CancellationToken::new(),
            received: ReceivedClock::default(),
        }
    }

    /// Answers one request. May be dropped half-way, when the client hangs up: what was handed to the spool is finished.
    pub(super) async fn answer(&self, request: HttpRequest<Incoming>, peer: &Arc<Peer>) -> Reply {
        let (head, mut body) = request.into_parts();
        let policy = self.policy.load_full();
        let until = Instant::now() + self.settings.bounds.request;
        let is_http2 = head.version == Version::HTTP_2;
        let waiting = WaitingBody::new(&self.waiting, is_http2);
        let mut exchange = Exchange {
            head: &head,
            body: &mut body,
            body_read: false,
            peer,
            policy: &policy,
            until,
            waiting,
        };
        let outcome = self.outcome(&mut exchange).await;
        let close_asked = outcome.as_ref().is_err_and(|refusal| refusal.looks().close);
        let unread = !self.finish_body(exchange, close_asked).await;
        if unread {
            peer.left_unread();
        }
        let mut reply = outcome.unwrap_or_else(|refusal| {
            let reply = refusal.reply(&*self.deps.random);
            if !is_pixel(&head, &policy) {
                return reply;
            }
            // Hardly anybody looks at the status of an image.
            self.counters.metrics().pixels_not_stored.inc();
            tracing::debug!(code = refusal.looks().code, "a pixel's call was not stored");
            reply::as_image(reply)
        });
        let rules = CorsRules {
            allowed_origins: policy.allowed_origins.as_deref(),
            private_network: policy.private_network,
            receipts: self.settings.receipts,
        };
        if head.method == Method::OPTIONS && reply.status().is_success() {
            rules.preflight(&head.headers, reply.headers_mut());
        } else {
            rules.answer(&head.headers, reply.headers_mut());
        }
        if is_http2 {
            if head.method == Method::HEAD {
                reply = reply::without_body(reply);
            }
            reply.body_mut().count(peer);
            // HTTP/2 has no such header: what is unread is reset with the stream.
            reply.headers_mut().remove(CONNECTION);
        } else if unread || self.draining.is_cancelled() {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let status = StatusLabel { status: reply.status().as_u16() };
        self.counters.metrics().answers.get_or_create(&status).inc();
        reply
    }

    /// Reads what is left of a body that did not matter, so that the connection can go on. Returns whether it can.
    async fn finish_body(&self, exchange: Exchange<'_>, close: bool) -> bool {
        let Exchange { head, body, body_read, peer, policy, mut waiting, .. } = exchange;
        if body_read || body.is_end_stream() {
            return true;
        }
        // A client that waits for 100 Continue gets its answer instead, and sends no body.
        if close || head.headers.contains_key(EXPECT) {
            return false;
        }
        let (max, within) = (self.settings.max_body, self.settings.bounds.linger);
        let since = peer.now();
        let waiter = || waiter(head, peer, policy, false);
        body::discard(body, max, within, &mut waiting, (waiter, || peer.body_stalls(false, since))).await
    }

    async fn outcome(&self, exchange: &mut Exchange<'_>) -> Result<Reply, Refusal> {
        let (head, policy) = (exchange.head, exchange.policy);
        let bounds = &self.settings.bounds;
        if self.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        if target_len(&head.uri) > bounds.uri_bytes {
            return Err(Refusal::UriTooLong { limit: bounds.uri_bytes });
        }
        if headers_len(&head.headers) > bounds.head_bytes {
            return Err(Refusal::HeadTooLarge { limit: bounds.head_bytes });
        }
        let route = route::find(&head.method, head.uri.path(), policy.route_prefix.as_deref());
        match route.map_err(refused_route)? {
            Route::Preflight => Ok(reply::no_content()),
            Route::Health => Ok(reply::healthy()),
            // Counters of the SDKs themselves: taken, so that they do not try again, and thrown away.
            Route::Counters => Ok(reply::success()),
            Route::Settings(encoded) => settings_reply(exchange, encoded),
            Route::SourceConfig => source_config_reply(head, policy),
            Route::Pixel(kind) => {
                if head.method != Method::HEAD {
                    let pixel = PixelRequest {
                        kind,
                        query: head.uri.query().unwrap_or_default(),
                        headers: &head.headers,
                        ip: client_address(exchange.peer.address, &head.headers, &policy.trusted_proxies),
                        received_at: self.received_now(),
                    };
                    let receipt = self.store_pixel(policy, pixel, exchange.until).await?;
                    return Ok(reply::with_receipt(reply::image(), receipt.as_ref()));
                }
                Ok(reply::image())
            }
            Route::Calls { shape, client } => self.calls(exchange, shape, client).await,
        }
    }

    async fn calls(&self, exchange: &mut Exchange<'_>, shape: Shape, client: bool) -> Result<Reply, Refusal> {
        let (head, peer, policy) = (exchange.head, exchange.peer, exchange.policy);
        let in_header = header_destiny(head.headers.get(AUTHORIZATION), peer, policy)?;
        let codings = head.headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
        let coding = Coding::of(codings).ok_or(Refusal::UnknownCoding)?;

        let bounds = BodyBounds {
            max: self.settings.max_body,
            until: exchange.until.min(Instant::now() + self.settings.bounds.body),
        };
        let metrics = self.counters.metrics();
        let is_known = matches!(in_header, Some(Destiny::Store(_)));
        let waiter = || waiter(head, peer, policy, is_known);
        let since = peer.now();
        let stalls = || peer.body_stalls(waiter().client.known, since);
        let (waiting, received) = (&mut exchange.waiting, &metrics.body_bytes);
        let body = body::read(exchange.body, coding, bounds, waiting, (waiter, stalls), received).await?;
        exchange.body_read = true;
        let lines = self.lines(exchange, body.as_ref(), in_header, shape, client)?;
        // What waits for the disk are the frames, which the spool's queue counts.
        drop(body);
        exchange.waiting.leave();
        let receipt = match lines {
            Some((frames, tally)) => self.append(frames, tally, exchange.until).await?,
            None => None,
        };
        Ok(reply::with_receipt(reply::success(), receipt.as_ref()))
    }

    /// From a whole body to the frames to store; `None` where there is nothing to store.
    fn lines(
        &self,
        exchange: &Exchange<'_>,
        body: &[u8],
        in_header: Option<Destiny>,
        shape: Shape,
        client_route: bool,
    ) -> Result<Option<(RequestFrames, Tally)>, Refusal> {
        let (head, policy) = (exchange.head, exchange.policy);
        let received_at = self.received_now();
        let request = Request::parse(body, shape, &self.settings.limits).map_err(Refusal::Body)?;
        let destiny = match in_header {
            Some(destiny) => destiny,
            None => {
                let key = request
                    .write_key()
                    .map(std::borrow::Cow::into_owned)
                    .or_else(|| auth::query_key(head.uri.query()))
                    .or_else(|| auth::plain_key(head.headers.get("x-write-key").map(HeaderValue::as_bytes)))
                    .ok_or(Refusal::NoWriteKey)?;
                found(policy, &key)?
            }
        };
        let Destiny::Store(source) = destiny else {
            return Ok(None);
        };
        exchange.peer.sent_a_key();
        let stamp = Stamp {
            received_at,
            source: &source,
            ip: client_address(exchange.peer.address, &head.headers, &policy.trusted_proxies),
            // Only a web page sends one.
            client_side: client_route || head.headers.contains_key(ORIGIN),
            client_libraries: &self.settings.client_libraries,
            user_agent: None,
            fingerprinter: &self.deps.fingerprinter,
        };
        self.frames(&request, &stamp).map(Some)
    }

    /// The frames of a request's lines.
    pub(super) fn frames(
        &self,
        request: &Request<'_>,
        stamp: &Stamp<'_>,
    ) -> Result<(RequestFrames, Tally), Refusal> {
        let len = request.lines_len();
        // Each call of an envelope takes the envelope's context; a small body could become gigabytes of lines.
        if len > LINES_LEN_MAX {
            return Err(Refusal::Append(AppendError::TooLarge));
        }
        let headers = request.lines() * (FRAME_HEADER + SOURCE_ID_MAX + receipt::MEMBER_BYTES);
        let mut frames = self.no_frames(stamp, len + headers, request.lines());
        let tally = request.write_lines(stamp, &*self.deps.random, &mut frames);
        Ok((frames, tally))
    }

    /// Where the lines of a request with so many items go; they will have about `len` bytes.
    pub(super) fn no_frames(&self, stamp: &Stamp<'_>, len: usize, items: usize) -> RequestFrames {
        let mut frames = RequestFrames::new(stamp.source.clone(), stamp.received_at, len);
        frames.came(items);
        frames.say_positions(self.settings.receipts);
        frames
    }

    /// Stores frames, and counts them once they are on stable storage, also when the client has hung up by then.
    /// Returns the receipt of what was stored, where receipts are given.
    pub(super) async fn append(
        &self,
        frames: RequestFrames,
        tally: Tally,
        until: Instant,
    ) -> Result<Option<Receipt>, Refusal> {
        if frames.is_empty() {
            return Ok(None);
        }
        if let Some(limit) = &self.rate_limit {
            let rejected: u32 = frames.rejected_by_reason().map(|(_, count)| count).sum();
            limit
                .take(frames.source(), frames.calls() + rejected, self.deps.clock.monotonic())
                .map_err(|wait| Refusal::TooFast { wait })?;
        }
        let (appender, counters) = (self.deps.appender.clone(), Arc::clone(&self.counters));
        let (source, day) = (frames.source().clone(), frames.received_at().day());
        let append = FinishAnyway::new(&self.requests, async move {
            let count = RequestCount::of(&frames, tally);
            let appended = appender.append(frames).await?;
            counters.stored(&count, appended);
            Ok(appended)
        });
        match timeout_at(until, append).await {
            Ok(outcome) => {
                let appended = outcome.map_err(Refusal::Append)?;
                let first = appended.first.filter(|_| self.settings.receipts);
                Ok(first.map(|first| Receipt {
                    source,
                    day,
                    spool_id: self.spool_id.clone(),
                    first,
                    last: first + u64::from(appended.stored.saturating_sub(1)),
                }))
            }
            Err(_) => Err(Refusal::TooSlow),
        }
    }

    fn received_now(&self) -> UnixMillis {
        let reading = self.received.read(self.deps.clock.wall());
        if let Some(back) = reading.stepped_back {
            self.counters.metrics().clock_steps.inc();
            tracing::warn!(
                seconds = back.as_secs(),
                "the wall clock stepped back; receivedAt follows it, so check this machine's time service"
            );
        }
        let not_before = self.deps.appender.not_before();
        if reading.received_at < not_before {
            self.counters.metrics().received_after_day.inc();
        }
        reading.received_at.max(not_before)
    }
}

/// A request as it waits for its body. `in_header`: its `Authorization` header holds the key of a source.
fn waiter(head: &Parts, peer: &Peer, policy: &Policy, in_header: bool) -> Waiter {
    let is_known = |key: Option<String>| key.is_some_and(|key| policy.sources.is_source(&key));
    let known = in_header
        || is_known(auth::query_key(head.uri.query()))
        || is_known(auth::plain_key(head.headers.get("x-write-key").map(HeaderValue::as_bytes)));
    // It may be a load balancer: then all clients have its address.
    let may_be_many = policy.trusted_proxies.is_empty() && is_private(peer.address);
    let address = || Address::from(client_address(peer.address, &head.headers, &policy.trusted_proxies));
    let client = Client { known, address: (!may_be_many).then(address) };
    // In HTTP/1 there is one for each connection, in its read buffer.
    let is_http2 = head.version == Version::HTTP_2;
    let own_bytes = if is_http2 { stream_bytes(&head.uri, &head.headers) } else { 0 };
    Waiter { client, own_bytes }
}

/// Bytes of memory that an HTTP/2 request with such a head holds.
pub(super) fn stream_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    STREAM_BYTES + target_len(uri) + headers_len(headers) + HEADER_BYTES * headers.len()
}

/// What becomes of calls with a write key that is good.
pub(super) enum Destiny {
    Store(SourceId),
    Discard,
}

/// What the `Authorization` header says, where there is a key in it.
fn header_destiny(
    header: Option<&HeaderValue>,
    peer: &Peer,
    policy: &Arc<Policy>,
) -> Result<Option<Destiny>, Refusal> {
    let Some(header) = header else { return Ok(None) };
    if let Some(source) = peer.known_key.source(header, policy) {
        return Ok(Some(Destiny::Store(source)));
    }
    let key =
        auth::basic_key(Some(header.as_bytes()), policy.accept_bearer).map_err(Refusal::Authorization)?;
    let destiny = key.map(|key| found(policy, &key)).transpose()?;
    if let Some(Destiny::Store(source)) = &destiny {
        peer.known_key.learn(header, source, policy);
    }
    Ok(destiny)
}

pub(super) fn found(policy: &Policy, write_key: &str) -> Result<Destiny, Refusal> {
    match policy.sources.find(write_key) {
        Found::Source(source) => Ok(Destiny::Store(source)),
        Found::Discard => Ok(Destiny::Discard),
        Found::Unknown => {
            tracing::debug!(hash = ?WriteKeyHash::of(write_key), "a write key belongs to no source");
            Err(Refusal::UnknownWriteKey)
        }
        Found::TooManySources => Err(Refusal::TooManySources),
    }
}

fn settings_reply(exchange: &Exchange<'_>, encoded: &str) -> Result<Reply, Refusal> {
    let Exchange { head, peer, policy, .. } = exchange;
    let key = auth::percent_decoded(encoded, false).ok_or(Refusal::UnknownSettingsKey)?;
    if !policy.sources.is_taken(&key) {
        return Err(Refusal::UnknownSettingsKey);
    }
    let sent_to = SentTo {
        uri: &head.uri,
        headers: &head.headers,
        tls: peer.tls,
        by_trusted_proxy: is_trusted(peer.address, &policy.trusted_proxies),
    };
    let address = public_address(policy.public_host.as_deref(), sent_to);
    let prefix = route::behind_prefix(head.uri.path(), policy.route_prefix.as_deref());
    let document = settings_document::document(&key, &address, prefix.map_or("", |(prefix, _)| prefix));
    // What a request says of itself must not be told to others by a cache between.
    Ok(reply::cached(document, address.of_request))
}

fn source_config_reply(head: &Parts, policy: &Policy) -> Result<Reply, Refusal> {
    let in_header = || auth::basic_key(head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes), true);
    let key = auth::query_key(head.uri.query()).or_else(|| in_header().ok()?);
    let key = key.filter(|key| policy.sources.is_taken(key)).ok_or(Refusal::UnknownSettingsKey)?;
    Ok(reply::cached(source_config::document(&key), true))
}

/// Whether whoever asks wants to see an image.
fn is_pixel(head: &Parts, policy: &Policy) -> bool {
    let route = route::find(&head.method, head.uri.path(), policy.route_prefix.as_deref());
    matches!(route, Ok(Route::Pixel(_)))
}

fn refused_route(none: NoRoute) -> Refusal {
    match none {
        NoRoute::Path => Refusal::NotFound,
        NoRoute::Method { allow } => Refusal::Method { allow },
    }
}

fn target_len(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// The length of the headers as HTTP/1 writes them.
fn headers_len(headers: &HeaderMap) -> usize {
    let line =
        |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    headers.iter().map(line).sum()
}
