//! What a connection's client has not read yet, and since when it has read nothing.
//!
//! Answers wait in two places. An HTTP/2 answer waits in its stream until the client opens its window. Bytes
//! wait before the socket until the client reads. Each place has its own timer, because a client that reads
//! the answers to its pings may leave the answers to its requests unread.

use std::time::Duration;

/// What one client may leave unread.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnreadBounds {
    /// Bytes of memory that its answers may hold for longer than `over`.
    pub(super) bytes: usize,
    /// How long the client may read nothing.
    pub(super) timeout: Duration,
    /// How long it may read nothing while more than `bytes` wait.
    pub(super) over: Duration,
}

/// What waits for one client to read it.
#[derive(Debug)]
pub(super) struct Outgoing {
    bounds: UnreadBounds,
    answers: usize,
    answers_since: Option<Duration>,
    socket: usize,
    socket_since: Option<Duration>,
    given_up: bool,
}

impl Outgoing {
    /// Nothing waits.
    pub(super) fn new(bounds: UnreadBounds) -> Self {
        Self { bounds, answers: 0, answers_since: None, socket: 0, socket_since: None, given_up: false }
    }

    /// An answer of an HTTP/2 stream, which holds `bytes` bytes, is ready to be sent.
    pub(super) fn answered(&mut self, bytes: usize) {
        self.answers += bytes;
    }

    /// Such an answer was sent, or its stream is gone.
    pub(super) fn answer_taken(&mut self, bytes: usize) {
        self.answers = self.answers.saturating_sub(bytes);
        self.answers_since = None;
    }

    /// The socket is full, and `bytes` bytes wait before it.
    pub(super) fn socket_full(&mut self, bytes: usize) {
        self.socket = bytes;
    }

    /// The socket took some of the waiting bytes.
    pub(super) fn socket_moved(&mut self) {
        self.socket_since = None;
    }

    /// The socket took all of the waiting bytes.
    pub(super) fn socket_free(&mut self) {
        self.socket = 0;
        self.socket_since = None;
    }

    /// Bytes of memory that wait.
    pub(super) fn bytes(&self) -> usize {
        self.answers + self.socket
    }

    /// At `now`, everything that could be sent was sent, so the rest waits for the client. Before this call,
    /// answers may only be waiting for a processor.
    pub(super) fn sent_what_could_be(&mut self, now: Duration) {
        let since = |waits: usize, since: Option<Duration>| (waits > 0).then(|| since.unwrap_or(now));
        self.answers_since = since(self.answers, self.answers_since);
        self.socket_since = since(self.socket, self.socket_since);
    }

    /// Since when the client has read nothing although something waits.
    pub(super) fn since(&self) -> Option<Duration> {
        [self.answers_since, self.socket_since].into_iter().flatten().min()
    }

    /// Others need the memory: the connection must end.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether the connection must end because others need the memory.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// When the client will have left its answers unread for too long.
    pub(super) fn until(&self) -> Option<Duration> {
        if self.given_up {
            return Some(Duration::ZERO);
        }
        let timeout = if self.bytes() > self.bounds.bytes { self.bounds.over } else { self.bounds.timeout };
        self.since().map(|since| since + timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn outgoing() -> Outgoing {
        Outgoing::new(UnreadBounds { bytes: 1_000, timeout: 5 * SECOND, over: SECOND })
    }

    #[test]
    fn the_time_starts_when_nothing_more_can_be_sent() {
        let mut outgoing = outgoing();
        outgoing.sent_what_could_be(SECOND);
        assert_eq!(outgoing.until(), None);
        outgoing.answered(600);
        assert_eq!(outgoing.until(), None, "it may still wait for a processor");
        outgoing.sent_what_could_be(2 * SECOND);
        outgoing.sent_what_could_be(3 * SECOND);
        assert_eq!(outgoing.until(), Some(7 * SECOND));
        outgoing.answered(600);
        assert_eq!(
            (outgoing.bytes(), outgoing.until()),
            (1_200, Some(3 * SECOND)),
            "more than the limit waits"
        );
        outgoing.answer_taken(600);
        assert_eq!(outgoing.until(), None, "one was read");
        outgoing.sent_what_could_be(4 * SECOND);
        assert_eq!(outgoing.until(), Some(9 * SECOND));
        outgoing.answer_taken(600);
        outgoing.sent_what_could_be(5 * SECOND);
        assert_eq!((outgoing.bytes(), outgoing.until()), (0, None));
    }

    #[test]
    fn reading_from_the_socket_does_not_count_as_reading_an_answer() {
        let mut outgoing = outgoing();
        outgoing.answered(10);
        outgoing.socket_full(90);
        outgoing.sent_what_could_be(SECOND);
        assert_eq!((outgoing.bytes(), outgoing.until()), (100, Some(6 * SECOND)));
        outgoing.socket_moved();
        outgoing.sent_what_could_be(2 * SECOND);
        assert_eq!(outgoing.until(), Some(6 * SECOND));
        outgoing.answer_taken(10);
        outgoing.sent_what_could_be(3 * SECOND);
        assert_eq!(outgoing.until(), Some(7 * SECOND), "the socket has not moved since 2 s");
        outgoing.socket_free();
        outgoing.sent_what_could_be(4 * SECOND);
        assert_eq!((outgoing.bytes(), outgoing.until()), (0, None));
        outgoing.give_up();
        assert_eq!(outgoing.until(), Some(Duration::ZERO));
    }
}
