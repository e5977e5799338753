//! Time limits, counts and sizes that protect the process, and are not configurable.

use std::time::Duration;

/// Connections open at once on all public listeners together. A further connection replaces the one that has
/// waited longest for a request; if all have a request in flight, the new one is closed at once.
pub const CONNECTIONS_MAX: usize = 20_000;
/// How long a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request's head may take, from its first byte to its end.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle, before its first byte and between requests. SDKs keep theirs for up to
/// 75 s.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(76);
/// How long a connection that brought calls of a source keeps its place after an answer, regardless of how
/// many others connect. Otherwise endless requests without a key would push out clients that send calls.
pub const KEYED_PLACE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a body may take to arrive; then 408.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a whole request may take; then 503.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams open at once on one HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 128;
/// Bytes of a request's head; a longer one gets 431.
pub const HEAD_BYTES_MAX: usize = 48 * 1_024;
/// Bytes of a request's target; a longer one gets 414.
pub const URI_BYTES_MAX: usize = 32 * 1_024;
/// Bytes read and discarded after an answer that came before the whole request, so that the client gets the
/// answer.
pub const LINGER_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// How long reading and discarding these bytes may take.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of memory that unfinished bodies hold in the whole process. At the bound, the request whose body has
/// made no progress for the longest time gets 503. Half is reserved for clients whose write key is known from
/// the head.
pub const BODIES_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Bytes that unfinished bodies of one client address hold. The bound does not apply to private peer
/// addresses while no proxy is trusted: such a peer may be a load balancer.
pub const ADDRESS_BODIES_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// How long a client may read nothing while answers wait for it; then its connection is reset.
pub const UNREAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of memory that the unread answers of one client may hold for longer than [`UNREAD_OVER_TIMEOUT`].
pub const CONNECTION_ANSWERS_BYTES_MAX: usize = 64 * 1_024;
/// How long a client may read nothing while more than [`CONNECTION_ANSWERS_BYTES_MAX`] wait for it. All
/// streams of an HTTP/2 connection may be answered at once, so more may wait for an instant.
pub const UNREAD_OVER_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of memory that unread answers hold in the whole process. At the bound, the connection whose client
/// has read nothing for the longest time is reset.
pub const ANSWERS_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// How often the TLS files are checked for changes.
pub const TLS_POLL: Duration = Duration::from_secs(2);

/// The bounds that are not configurable. They are fields so that tests can shorten them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// [`HANDSHAKE_TIMEOUT`].
    pub handshake: Duration,
    /// [`HEAD_TIMEOUT`].
    pub head: Duration,
    /// [`IDLE_TIMEOUT`].
    pub idle: Duration,
    /// [`KEYED_PLACE_TIMEOUT`].
    pub keyed_place: Duration,
    /// [`BODY_TIMEOUT`].
    pub body: Duration,
    /// [`REQUEST_TIMEOUT`].
    pub request: Duration,
    /// [`HTTP2_STREAMS_MAX`].
    pub http2_streams: u32,
    /// [`HEAD_BYTES_MAX`].
    pub head_bytes: usize,
    /// [`URI_BYTES_MAX`].
    pub uri_bytes: usize,
    /// [`LINGER_BYTES_MAX`].
    pub linger_bytes: usize,
    /// [`LINGER_TIMEOUT`].
    pub linger: Duration,
    /// [`BODIES_BYTES_MAX`].
    pub bodies_bytes: usize,
    /// [`ADDRESS_BODIES_BYTES_MAX`].
    pub address_bodies_bytes: usize,
    /// [`UNREAD_TIMEOUT`].
    pub unread: Duration,
    /// [`UNREAD_OVER_TIMEOUT`].
    pub unread_over: Duration,
    /// [`CONNECTION_ANSWERS_BYTES_MAX`].
    pub connection_answers_bytes: usize,
    /// [`ANSWERS_BYTES_MAX`].
    pub answers_bytes: usize,
    /// [`TLS_POLL`].
    pub tls_poll: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            handshake: HANDSHAKE_TIMEOUT,
            head: HEAD_TIMEOUT,
            idle: IDLE_TIMEOUT,
            keyed_place: KEYED_PLACE_TIMEOUT,
            body: BODY_TIMEOUT,
            request: REQUEST_TIMEOUT,
            http2_streams: HTTP2_STREAMS_MAX,
            head_bytes: HEAD_BYTES_MAX,
            uri_bytes: URI_BYTES_MAX,
            linger_bytes: LINGER_BYTES_MAX,
            linger: LINGER_TIMEOUT,
            bodies_bytes: BODIES_BYTES_MAX,
            address_bodies_bytes: ADDRESS_BODIES_BYTES_MAX,
            unread: UNREAD_TIMEOUT,
            unread_over: UNREAD_OVER_TIMEOUT,
            connection_answers_bytes: CONNECTION_ANSWERS_BYTES_MAX,
            answers_bytes: ANSWERS_BYTES_MAX,
            tls_poll: TLS_POLL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::settings::CollectorSettings;

    #[test]
    fn the_defaults_match_the_documentation() {
        let seconds = Duration::from_secs;
        assert_eq!(
            Bounds::default(),
            Bounds {
                connections: 20_000,
                handshake: seconds(5),
                head: seconds(5),
                idle: seconds(76),
                keyed_place: seconds(5),
                body: seconds(15),
                request: seconds(30),
                http2_streams: 128,
                head_bytes: 49_152,
                uri_bytes: 32_768,
                linger_bytes: 8_388_608,
                linger: seconds(2),
                bodies_bytes: 67_108_864,
                address_bodies_bytes: 8_388_608,
                unread: seconds(5),
                unread_over: seconds(1),
                connection_answers_bytes: 65_536,
                answers_bytes: 16_777_216,
                tls_poll: seconds(2),
            }
        );
        assert_eq!(CollectorSettings::default().max_body, 1_048_576);
    }
}
