//! Time limits, counts and sizes that protect the process, and are not configurable.

use std::time::Duration;

/// The bounds that are not configurable. They are fields so that tests can shorten them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections open at once on all public listeners together. A further connection replaces the one that
    /// has waited longest for a request; if all have a request in flight, the new one is closed at once.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request's head may take, from its first byte to its end.
    pub head: Duration,
    /// How long a connection may be idle, before its first byte and between requests. SDKs keep theirs for up
    /// to 75 s.
    pub idle: Duration,
    /// How long a connection that brought calls of a source keeps its place after an answer, regardless of
    /// how many others connect. Otherwise endless requests without a key would push out clients that send
    /// calls.
    pub keyed_place: Duration,
    /// How long a body may take to arrive; then 408.
    pub body: Duration,
    /// How long a whole request may take; then 503.
    pub request: Duration,
    /// Streams open at once on one HTTP/2 connection.
    pub http2_streams: u32,
    /// Bytes of a request's head; a longer one gets 431.
    pub head_bytes: usize,
    /// Bytes of a request's target; a longer one gets 414.
    pub uri_bytes: usize,
    /// Bytes read and discarded after an answer that came before the whole request, so that the client gets
    /// the answer.
    pub linger_bytes: usize,
    /// How long reading and discarding these bytes may take.
    pub linger: Duration,
    /// Bytes of memory that unfinished bodies hold in the whole process. At the bound, the request whose body
    /// has made no progress for the longest time gets 503. Half is reserved for clients whose write key is
    /// known from the head.
    pub bodies_bytes: usize,
    /// Bytes that unfinished bodies of one client address hold. The bound does not apply to private peer
    /// addresses while no proxy is trusted: such a peer may be a load balancer.
    pub address_bodies_bytes: usize,
    /// How long a client may read nothing while answers wait for it; then its connection is reset.
    pub unread: Duration,
    /// How long a client may read nothing while more than [`Bounds::connection_answers_bytes`] wait for it.
    /// All streams of an HTTP/2 connection may be answered at once, so more may wait for an instant.
    pub unread_over: Duration,
    /// Bytes of memory that the unread answers of one client may hold for longer than
    /// [`Bounds::unread_over`].
    pub connection_answers_bytes: usize,
    /// Bytes of memory that unread answers hold in the whole process. At the bound, the connection whose
    /// client has read nothing for the longest time is reset.
    pub answers_bytes: usize,
    /// How often the TLS files are checked for changes.
    pub tls_poll: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 20_000,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            idle: Duration::from_secs(76),
            keyed_place: Duration::from_secs(5),
            body: Duration::from_secs(15),
            request: Duration::from_secs(30),
            http2_streams: 128,
            head_bytes: 48 * 1_024,
            uri_bytes: 32 * 1_024,
            linger_bytes: 8 * 1_024 * 1_024,
            linger: Duration::from_secs(2),
            bodies_bytes: 64 * 1_024 * 1_024,
            address_bodies_bytes: 8 * 1_024 * 1_024,
            unread: Duration::from_secs(5),
            unread_over: Duration::from_secs(1),
            connection_answers_bytes: 64 * 1_024,
            answers_bytes: 16 * 1_024 * 1_024,
            tls_poll: Duration::from_secs(2),
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
