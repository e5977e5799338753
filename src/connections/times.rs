//! Decides how long a connection may take: a state machine over events and their times, and its timer.
//!
//! There are two limits: from the first byte of a request's head to its end, and idle between requests.
//! Neither the HTTP/1 parser's own timer (it also runs while a kept-alive connection idles) nor HTTP/2 (it
//! has none) can keep both, and none runs while the protocol is still unknown. So this module examines the
//! bytes as they arrive: for HTTP/1 only whether any come while no request is open, for HTTP/2 the frame
//! headers, because settings, pings and window updates may come at any time and are no requests.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// A head was not complete in time.
    Head,
    /// No request came for too long.
    Idle,
}

/// Whether a connection may go on. A listener may have more reasons to close one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<E = Expired> {
    /// It may go on; check again at this time at the latest.
    Fine {
        /// Monotonic time.
        again_at: Duration,
    },
    /// It must close.
    Close(E),
}

/// The times of one connection. All times are readings of the monotonic clock.
#[derive(Debug)]
pub struct ConnectionTimes {
    head_timeout: Duration,
    idle_timeout: Duration,
    wire: Wire,
    open_requests: u32,
    idle_since: Duration,
    head_since: Option<Duration>,
    unread: bool,
}

#[derive(Debug)]
enum Wire {
    /// Only so many bytes of the HTTP/2 preface have come so far.
    Unknown(usize),
    Http1,
    Http2(FrameTracker),
}

impl ConnectionTimes {
    /// A connection accepted at `now`.
    pub fn new(head_timeout: Duration, idle_timeout: Duration, now: Duration) -> Self {
        Self {
            head_timeout,
            idle_timeout,
            wire: Wire::Unknown(0),
            open_requests: 0,
            idle_since: now,
            head_since: None,
            unread: false,
        }
    }

    /// Bytes came from the client.
    pub fn bytes_read(&mut self, mut bytes: &[u8], now: Duration) {
        if let Wire::Unknown(matched) = &mut self.wire {
            while let (Some(wanted), Some((first, rest))) = (PREFACE.get(*matched), bytes.split_first()) {
                if wanted != first {
                    self.wire = Wire::Http1;
                    break;
                }
                *matched += 1;
                bytes = rest;
                self.head_since.get_or_insert(now);
            }
        }
        match &mut self.wire {
            Wire::Unknown(matched) => {
                if *matched == PREFACE.len() {
                    self.head_since = None;
                    let mut frames = FrameTracker::default();
                    frames.bytes_read(bytes, now, &mut self.head_since);
                    self.wire = Wire::Http2(frames);
                }
            }
            Wire::Http1 if self.open_requests > 0 => {}
            Wire::Http1 => {
                // Old clients end a body with a line break that is part of no request.
                let is_of_a_head = |byte: &u8| self.head_since.is_some() || !matches!(byte, b'\r' | b'\n');
                if bytes.iter().any(is_of_a_head) {
                    self.head_since.get_or_insert(now);
                }
            }
            Wire::Http2(frames) => frames.bytes_read(bytes, now, &mut self.head_since),
        }
    }

    /// A request's head is complete.
    pub fn request_began(&mut self) {
        self.open_requests += 1;
        if !self.is_http2() {
            self.head_since = None;
        }
    }

    /// A request was answered, or its client gave up.
    pub fn request_ended(&mut self, now: Duration) {
        self.open_requests = self.open_requests.saturating_sub(1);
        if self.open_requests == 0 {
            self.idle_since = now;
        }
    }

    /// How many requests are in flight.
    pub fn open_requests(&self) -> u32 {
        self.open_requests
    }

    /// Whether a request is in flight.
    pub fn has_open_requests(&self) -> bool {
        self.open_requests > 0
    }

    /// An answer was sent before the whole request was read.
    pub fn left_unread(&mut self) {
        self.unread = true;
    }

    /// Whether the client may still be sending when the connection is shut down.
    pub fn may_still_send(&self) -> bool {
        self.unread || self.head_since.is_some()
    }

    /// Whether the connection is known to be HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.wire, Wire::Http2(_))
    }

    /// Whether the connection is known to be HTTP/1.
    pub fn is_http1(&self) -> bool {
        matches!(self.wire, Wire::Http1)
    }

    /// Whether the connection may go on.
    pub fn verdict(&self, now: Duration) -> Verdict {
        let head_until = self.head_since.map(|since| since + self.head_timeout);
        // Open requests have their own time limits, so the next check can be one idle time later.
        let idle_until = if self.open_requests == 0 { self.idle_since } else { now } + self.idle_timeout;
        match head_until {
            Some(until) if now >= until => Verdict::Close(Expired::Head),
            // In HTTP/1 a head that began in time may finish. In HTTP/2 it may not, because any frame could
            // delay the end for ever.
            Some(until) if !self.is_http2() => Verdict::Fine { again_at: until },
            _ if now >= idle_until => Verdict::Close(Expired::Idle),
            Some(until) => Verdict::Fine { again_at: until.min(idle_until) },
            None => Verdict::Fine { again_at: idle_until },
        }
    }
}

const FRAME_HEADER_LEN: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Finds out from the frames of an HTTP/2 connection when a request's head is coming in.
#[derive(Debug, Default)]
struct FrameTracker {
    header: [u8; FRAME_HEADER_LEN],
    header_len: usize,
    payload_left: usize,
    block_open: bool,
}

impl FrameTracker {
    fn bytes_read(&mut self, mut bytes: &[u8], now: Duration, head_since: &mut Option<Duration>) {
        loop {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.payload_left > 0 {
                return;
            }
            if self.header_len == FRAME_HEADER_LEN {
                self.header_len = 0;
                if !self.block_open {
                    *head_since = None;
                }
            }
            let Some((first, rest)) = bytes.split_first() else {
                return;
            };
            head_since.get_or_insert(now);
            if let Some(slot) = self.header.get_mut(self.header_len) {
                *slot = *first;
            }
            self.header_len += 1;
            bytes = rest;
            if self.header_len == FRAME_HEADER_LEN {
                self.frame_begins(head_since);
            }
        }
    }

    fn frame_begins(&mut self, head_since: &mut Option<Duration>) {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == HEADERS || kind == CONTINUATION {
            self.block_open = flags & END_HEADERS == 0;
        } else if !self.block_open {
            *head_since = None;
        }
    }
}

/// Fires when a time limit of a connection passes. It is rearmed only for an earlier time or after it fired,
/// not at every request.
#[derive(Debug)]
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Duration,
}

impl Default for Timer {
    fn default() -> Self {
        Self { sleep: Box::pin(sleep(Duration::ZERO)), armed: Duration::MAX }
    }
}

impl Timer {
    /// Ready when `verdict`, given the time, closes the connection. Poll it after everything that may change
    /// the verdict.
    pub fn poll_expired<E>(
        &mut self,
        now: impl Fn() -> Duration,
        verdict: impl Fn(Duration, &Context<'_>) -> Verdict<E>,
        cx: &mut Context<'_>,
    ) -> Poll<E> {
        loop {
            let again_at = match verdict(now(), cx) {
                Verdict::Close(expired) => return Poll::Ready(expired),
                Verdict::Fine { again_at } => again_at,
            };
            if again_at < self.armed {
                self.armed = again_at;
                self.sleep.as_mut().reset(Instant::now() + again_at.saturating_sub(now()));
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.armed = Duration::MAX;
        }
    }
}

#[cfg(test)]
mod tests;
