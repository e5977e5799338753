//! Compares the lines of requests with an independent model of the rules, built on `serde_json`.

#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test, as intended")]

mod captures;
mod differential;
mod model;
mod receipts;

use std::sync::atomic::{AtomicU64, Ordering};

use forebay::call::{ClientLibraries, Fingerprinter, LineSink, RejectReason, Request, Stamp, Tally};
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;

/// When the requests of these tests are received: 2026-11-20T06:30:00.123Z.
const RECEIVED: UnixMillis = UnixMillis(1_795_156_200_123);

/// Draws 1, 2, 3, …
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Random for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Keeps lines, with the reason if they are rejected.
#[derive(Debug, Default)]
struct Lines {
    open: Vec<u8>,
    closed: Vec<(Option<RejectReason>, String)>,
}

impl LineSink for Lines {
    fn line(&mut self) -> &mut Vec<u8> {
        assert!(self.open.is_empty(), "a line was begun before the previous one was closed");
        &mut self.open
    }

    fn call(&mut self, _fingerprint: u128) {
        let line = String::from_utf8(std::mem::take(&mut self.open)).unwrap();
        assert!(!line.contains(['\n', '\r']), "{line}");
        self.closed.push((None, line));
    }

    fn rejected(&mut self, reason: RejectReason) {
        let line = String::from_utf8(std::mem::take(&mut self.open)).unwrap();
        assert!(!line.contains(['\n', '\r']), "{line}");
        self.closed.push((Some(reason), line));
    }

    fn discard(&mut self) {
        self.open.clear();
    }
}

/// The lines of a request, sent by a route of client-side libraries or not.
fn lines_of(request: &Request<'_>, client_side: bool) -> (Lines, Tally) {
    let source = SourceId::new("src").unwrap();
    let fingerprinter = Fingerprinter::new([3; 16]);
    let stamp = Stamp {
        received_at: RECEIVED,
        source: &source,
        ip: Some([192, 0, 2, 7].into()),
        client_side,
        user_agent: None,
        client_libraries: ClientLibraries::usual(),
        fingerprinter: &fingerprinter,
    };
    let mut lines = Lines::default();
    let tally = request.write_lines(&stamp, &Counter::default(), &mut lines);
    assert_eq!(lines.closed.len(), request.lines());
    (lines, tally)
}
