use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value as Json, json};

use super::super::{ClientLibraries, Fingerprinter, RejectReason, Validation};
use super::*;
use crate::sources::SourceId;
use crate::time::UnixMillis;

mod bad_input;
mod envelope;
mod stamp;

/// Draws 1, 2, 3, …
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Random for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Keeps lines, and checks that each is one line of JSON.
struct Lines {
    checks_json: bool,
    buffer: Vec<u8>,
    start: usize,
    calls: Vec<(u128, String)>,
    rejected: Vec<(RejectReason, Json)>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { checks_json: true, buffer: Vec::new(), start: 0, calls: Vec::new(), rejected: Vec::new() }
    }
}

impl Lines {
    fn close(&mut self) -> String {
        let line = String::from_utf8(self.buffer.split_off(self.start)).unwrap();
        assert!(!line.contains(['\n', '\r', '\t']), "{line}");
        if self.checks_json {
            serde_json::from_str::<Json>(&line).unwrap_or_else(|cause| panic!("{cause}: {line}"));
        }
        line
    }
}

impl LineSink for Lines {
    fn line(&mut self) -> &mut Vec<u8> {
        self.buffer.extend_from_slice(b"before");
        self.start = self.buffer.len();
        &mut self.buffer
    }

    fn call(&mut self, fingerprint: u128) {
        let line = self.close();
        self.calls.push((fingerprint, line));
    }

    fn rejected(&mut self, reason: RejectReason) {
        let line = self.close();
        self.rejected.push((reason, serde_json::from_str(&line).unwrap()));
    }

    fn discard(&mut self) {
        self.buffer.truncate(self.start);
    }
}

/// A request and its surroundings; by default a track call on its own route at 2019-06-21T16:33:26.158Z.
#[derive(Clone)]
struct Example {
    shape: Shape,
    limits: Limits,
    ip: Option<&'static str>,
    client_side: bool,
    user_agent: Option<&'static str>,
}

const TRACK: Example = Example {
    shape: Shape::Single(CallKind::Track),
    limits: Limits { max_event: 1_000, max_calls: 3, max_depth: 8, validation: Validation::Permissive },
    ip: None,
    client_side: false,
    user_agent: None,
};

const BATCH: Example = Example { shape: Shape::Envelope, ..TRACK };

const RECEIVED: &str = "2019-06-21T16:33:26.158Z";

impl Example {
    fn lines(&self, body: &str) -> (Lines, Tally) {
        let request = Request::parse(body.as_bytes(), self.shape, &self.limits).unwrap();
        let mut lines = Lines::default();
        let tally = self.write(&request, &mut lines);
        assert_eq!(lines.calls.len() + lines.rejected.len(), request.lines(), "{body}");
        (lines, tally)
    }

    fn write(&self, request: &Request<'_>, lines: &mut Lines) -> Tally {
        let source = SourceId::new("src").unwrap();
        let fingerprinter = Fingerprinter::new([1; 16]);
        let stamp = Stamp {
            received_at: UnixMillis(1_561_134_806_158),
            source: &source,
            ip: self.ip.map(|ip| ip.parse().unwrap()),
            client_side: self.client_side,
            user_agent: self.user_agent,
            client_libraries: ClientLibraries::usual(),
            fingerprinter: &fingerprinter,
        };
        request.write_lines(&stamp, &Counter::default(), lines)
    }

    /// The one line of a body with one call, as text.
    fn text(&self, body: &str) -> String {
        let (mut lines, _) = self.lines(body);
        assert_eq!((lines.calls.len(), lines.rejected.len()), (1, 0), "{body}");
        lines.calls.remove(0).1
    }

    /// The one line of a body with one call.
    fn line(&self, body: &str) -> BTreeMap<String, Json> {
        serde_json::from_str(&self.text(body)).unwrap()
    }

    fn fingerprint(&self, body: &str) -> u128 {
        self.lines(body).0.calls[0].0
    }

    fn error(&self, body: &[u8]) -> BodyError {
        Request::parse(body, self.shape, &self.limits).unwrap_err()
    }
}

#[test]
fn a_write_key_is_found_in_the_body() {
    let check = |body: &str, expected: Option<&str>| {
        let request = Request::parse(body.as_bytes(), TRACK.shape, &TRACK.limits).unwrap();
        assert_eq!(request.write_key().as_deref(), expected, "{body}");
    };
    check("{}", None);
    check(r#"{"writeKey":"k"}"#, Some("k"));
    check(r#"{"writeKey":" k\t"}"#, Some("k"));
    check(r#"{"writeKey":"\u006b\n"}"#, Some("k"));
    check(r#"{"\u0077riteKey":"k"}"#, Some("k"));
    check(r#"{"writeKey":"a","writeKey":"b"}"#, Some("b"));
    for none in ["null", "1", "\"\"", "\" \"", "{}", r#"["k"]"#] {
        check(&format!(r#"{{"writeKey":{none}}}"#), None);
        check(&format!(r#"{{"writeKey":{none},"batch":[{{"writeKey":"i"}}]}}"#), Some("i"));
    }
    check(r#"{"batch":[{"writeKey":"i"}],"writeKey":"k"}"#, Some("k"));
    check(r#"{"batch":[{"x":1,"writeKey":" i "},{"writeKey":"j"}]}"#, Some("i"));
    check(r#"{"batch":[{},{"writeKey":"j"}]}"#, None);
    check(r#"{"batch":["writeKey"]}"#, None);
    check(r#"{"batch":[]}"#, None);
    check(r#"{"batch":[{"writeKey":"i"}],"batch":[{"writeKey":"j"}]}"#, Some("j"));
}

#[test]
fn the_estimated_length_of_lines_is_a_little_high() {
    let calls: Vec<String> = (0..3)
        .map(|i| format!(r#"{{"type":"track","messageId":"m{i}","event":"e","properties":{{"n":{i}}}}}"#))
        .collect();
    let body = format!(r#"{{"batch":[{}],"context":{{"app":{{"name":"x"}}}}}}"#, calls.join(","));
    let request = Request::parse(body.as_bytes(), BATCH.shape, &BATCH.limits).unwrap();
    let written: usize = BATCH.lines(&body).0.calls.iter().map(|(_, line)| line.len()).sum();
    assert!((written..2 * written).contains(&request.lines_len()), "{written} {}", request.lines_len());
}
