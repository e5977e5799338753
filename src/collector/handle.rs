//! Handles one request, from its head to its answer.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, EXPECT, HeaderValue, ORIGIN, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Request as HttpRequest, Uri, Version};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use super::auth;
use super::body::{self, BodyBounds};
use super::budget::{Address, Client};
use super::client_address::{client_address, is_private, is_trusted};
use super::cors::CorsRules;
use super::decode::Coding;
use super::peer::Peer;
use super::public_address::{SentTo, public_address};
use super::refused::refused_request;
use super::reply::{self, Refusal, Reply};
use super::route::{self, Route};
use super::settings::Policy;
use super::settings_document;
use super::shared::Shared;
use super::waiting_bodies::{Waiter, WaitingBody};
use crate::call::{CallKind, Shape, call_of_query};
use crate::ingest::{Arrival, Lines, Receipts};
use crate::metrics::StatusLabel;
use crate::sources::{Found, KeyBeginning, SourceId, WriteKeyHash};
use crate::words::percent;

/// Bytes of memory that an HTTP/2 request takes besides its head and body: the task and state of its stream.
const STREAM_BYTES: usize = 4 * 1_024;
/// Bytes of memory that a header takes besides its name and value.
const HEADER_BYTES: usize = 128;

/// What happens to calls with a valid write key.
enum Destiny {
    Store(SourceId),
    Discard,
}

/// One request being handled.
struct Exchange<'r> {
    head: &'r Parts,
    body: &'r mut Incoming,
    /// Whether the body was read to its end.
    body_read: bool,
    peer: &'r Peer,
    policy: &'r Arc<Policy>,
    until: Instant,
    waiting: WaitingBody<'r>,
    /// The source, once it is known from the body.
    source: Option<SourceId>,
}

impl Shared {
    /// Answers one request. The future may be dropped at any time, if the client hangs up; frames already
    /// passed to the spool are still stored.
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
            source: None,
        };
        let outcome = self.outcome(&mut exchange).await.map_err(|refusal| (refusal.answer(), refusal));
        let source = exchange.source.take();
        let close_asked = outcome.as_ref().is_err_and(|(answer, _)| answer.close);
        let unread = !self.finish_body(exchange, close_asked).await;
        if unread {
            peer.left_unread();
        }
        let mut reply = outcome.unwrap_or_else(|(answer, refusal)| {
            let reply = refusal.reply(&answer, &*self.deps.random);
            let code = answer.code;
            self.ingest.refused(refused_request((&refusal, &answer), &head, (&**peer, &policy), source));
            if matches!(refusal, Refusal::NotFound(_)) || !is_pixel(&head, &policy) {
                return reply;
            }
            // Few clients check the status of an image.
            self.deps.metrics.pixels_not_stored.inc();
            tracing::debug!(code, "a pixel's call was not stored");
            reply::as_image(reply)
        });
        let rules = CorsRules {
            allowed_origins: policy.allowed_origins.as_deref(),
            private_network: policy.private_network,
            receipts: self.ingest.gives_receipts(),
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
            // HTTP/2 has no such header: an unread body is reset with its stream.
            reply.headers_mut().remove(CONNECTION);
        } else if unread || self.draining.is_cancelled() {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let status = StatusLabel { status: reply.status().as_u16() };
        self.deps.metrics.answers.get_or_create(&status).inc();
        reply
    }

    /// Reads the rest of a body that is not needed, so that the connection can be reused. Returns whether the
    /// connection can be reused.
    async fn finish_body(&self, exchange: Exchange<'_>, close: bool) -> bool {
        let Exchange { head, body, body_read, peer, policy, mut waiting, .. } = exchange;
        if body_read || body.is_end_stream() {
            return true;
        }
        // A client that waits for 100 Continue gets the answer instead, and sends no body.
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
            return Err(Refusal::UriTooLong(bounds.uri_bytes));
        }
        if headers_len(&head.headers) > bounds.head_bytes {
            return Err(Refusal::HeadTooLarge(bounds.head_bytes));
        }
        match route::find(&head.method, head.uri.path(), policy.route_prefix.as_deref())? {
            Route::Preflight => Ok(reply::no_content()),
            Route::Health => Ok(reply::healthy()),
            // Counters of the SDKs themselves: accepted, so that they are not retried, and discarded.
            Route::Counters => Ok(reply::success()),
            Route::Settings(encoded) => settings_reply(exchange, encoded),
            Route::SourceConfig => source_config_reply(head, policy),
            Route::Pixel(_) if head.method == Method::HEAD => Ok(reply::image()),
            Route::Pixel(kind) => {
                let receipts = match self.pixel_lines(exchange, kind)? {
                    Some(lines) => self.append(lines, exchange.until).await?,
                    // The key is unknown, and unknown keys are accepted and discarded.
                    None => {
                        self.deps.metrics.pixels_not_stored.inc();
                        None
                    }
                };
                Ok(reply::with_receipts(reply::image(), receipts.as_ref()))
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
        let metrics = &self.deps.metrics;
        let is_known = matches!(in_header, Some(Destiny::Store(_)));
        let waiter = || waiter(head, peer, policy, is_known);
        let since = peer.now();
        let stalls = || peer.body_stalls(waiter().client.known, since);
        let (waiting, received) = (&mut exchange.waiting, &metrics.body_bytes);
        let body = body::read(exchange.body, coding, bounds, waiting, (waiter, stalls), received).await?;
        exchange.body_read = true;
        let lines = self.lines(exchange, body.as_ref(), in_header, shape, client)?;
        // Only the frames wait for the disk, and the spool's queue counts those.
        drop(body);
        exchange.waiting.leave();
        let mut refused = Vec::new();
        let receipts = match lines {
            Some(mut lines) => {
                if head.headers.get(reply::NAMES_REJECTED).is_some() {
                    refused = lines.take_refused();
                }
                self.append(lines, exchange.until).await?
            }
            None => None,
        };
        Ok(reply::with_receipts(reply::success_but(&refused), receipts.as_ref()))
    }

    /// Turns a whole body into the lines to store; `None` if nothing is to be stored.
    fn lines(
        &self,
        exchange: &mut Exchange<'_>,
        body: &[u8],
        in_header: Option<Destiny>,
        shape: Shape,
        client_route: bool,
    ) -> Result<Option<Lines>, Refusal> {
        let (head, peer, policy) = (exchange.head, exchange.peer, exchange.policy);
        let received_at = self.ingest.received_now();
        let request = self.ingest.parse(body, shape).map_err(Refusal::Body)?;
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
        peer.sent_a_key();
        let arrival = Arrival {
            source: exchange.source.insert(source),
            received_at,
            ip: client_address(peer.address, &head.headers, &policy.trusted_proxies),
            // Only web pages send an origin.
            client_side: client_route || head.headers.contains_key(ORIGIN),
            user_agent: None,
            import: None,
        };
        self.ingest.lines(&request, &arrival).map(Some).map_err(Refusal::Append)
    }

    /// The line of a pixel's call, or of the rejected query in its place; `None` if nothing is to be stored.
    fn pixel_lines(&self, exchange: &mut Exchange<'_>, kind: CallKind) -> Result<Option<Lines>, Refusal> {
        let (head, peer, policy) = (exchange.head, exchange.peer, exchange.policy);
        let received_at = self.ingest.received_now();
        let query = head.uri.query().unwrap_or_default();
        let (write_key, call) = call_of_query(query);
        let none = || if call.is_ok() { Refusal::NoWriteKey } else { Refusal::UnreadablePixel };
        let Destiny::Store(source) = found(policy, &write_key.ok_or_else(none)?)? else {
            return Ok(None);
        };
        let arrival = Arrival {
            source: exchange.source.insert(source),
            received_at,
            ip: client_address(peer.address, &head.headers, &policy.trusted_proxies),
            client_side: true,
            user_agent: head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
            import: None,
        };
        // An unreadable query has no body; an empty body is not JSON either, so both are stored as rejected.
        let body = call.unwrap_or_default();
        self.ingest.pixel_lines(kind, &body, query, &arrival).map(Some).map_err(Refusal::Append)
    }

    /// Stores lines, or stops waiting at `until`; they may still be stored after that.
    async fn append(&self, lines: Lines, until: Instant) -> Result<Option<Receipts>, Refusal> {
        let ack = timeout_at(until, self.ingest.append(lines)).await.map_err(|_elapsed| Refusal::TooSlow)?;
        Ok(ack?.receipts)
    }
}

/// A request that waits for its body. `in_header`: its `Authorization` header holds the key of a source.
fn waiter(head: &Parts, peer: &Peer, policy: &Policy, in_header: bool) -> Waiter {
    let is_known = |key: Option<String>| key.is_some_and(|key| policy.sources.is_source(&key));
    let known = in_header
        || is_known(auth::query_key(head.uri.query()))
        || is_known(auth::plain_key(head.headers.get("x-write-key").map(HeaderValue::as_bytes)));
    // The peer may be a load balancer: then all of its clients have the same address.
    let may_be_many = policy.trusted_proxies.is_empty() && is_private(peer.address);
    let address = || Address::from(client_address(peer.address, &head.headers, &policy.trusted_proxies));
    let client = Client { known, address: (!may_be_many).then(address) };
    // In HTTP/1 the head is in the connection's read buffer, once per connection.
    let is_http2 = head.version == Version::HTTP_2;
    let own_bytes = if is_http2 { stream_bytes(&head.uri, &head.headers) } else { 0 };
    Waiter { client, own_bytes }
}

/// Bytes of memory that an HTTP/2 request with this head takes.
pub(super) fn stream_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    STREAM_BYTES + target_len(uri) + headers_len(headers) + HEADER_BYTES * headers.len()
}

fn found(policy: &Policy, write_key: &str) -> Result<Destiny, Refusal> {
    match policy.sources.find(write_key) {
        Found::Source(source) => Ok(Destiny::Store(source)),
        Found::Discard => Ok(Destiny::Discard),
        Found::Unknown => {
            tracing::debug!(hash = ?WriteKeyHash::of(write_key), "a write key belongs to no source");
            let key = KeyBeginning::of(write_key);
            Err(match policy.sources.with_id(write_key) {
                Some(source) => Refusal::SourceIdAsKey(source, key),
                None => Refusal::UnknownWriteKey(key),
            })
        }
        Found::TooManySources => Err(Refusal::TooManySources(KeyBeginning::of(write_key))),
    }
}

/// The result of the `Authorization` header, if it contains a key.
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

fn settings_reply(exchange: &Exchange<'_>, encoded: &str) -> Result<Reply, Refusal> {
    let Exchange { head, peer, policy, .. } = exchange;
    let unknown = |key: &str| Refusal::UnknownSettingsKey(KeyBeginning::of(key));
    let key = percent::decoded(encoded, false).ok_or_else(|| unknown(encoded))?;
    if !policy.sources.is_taken(&key) {
        return Err(unknown(&key));
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
    // A shared cache must not serve an address that one request named to other clients.
    Ok(reply::cached(document, address.of_request))
}

fn source_config_reply(head: &Parts, policy: &Policy) -> Result<Reply, Refusal> {
    let in_header = || auth::basic_key(head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes), true);
    let key = auth::query_key(head.uri.query()).or_else(|| in_header().ok()?);
    let unknown = |key: &str| Refusal::UnknownSettingsKey(KeyBeginning::of(key));
    let key = key.ok_or_else(|| unknown(""))?;
    if !policy.sources.is_taken(&key) {
        return Err(unknown(&key));
    }
    Ok(reply::cached(settings_document::source_config(&key), true))
}

/// Whether the request asks for an image.
fn is_pixel(head: &Parts, policy: &Policy) -> bool {
    let route = route::find(&head.method, head.uri.path(), policy.route_prefix.as_deref());
    matches!(route, Ok(Route::Pixel(_)))
}

fn target_len(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |target| target.as_str().len())
}

/// The length of the headers as written by HTTP/1.
fn headers_len(headers: &HeaderMap) -> usize {
    let line =
        |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    headers.iter().map(line).sum()
}
