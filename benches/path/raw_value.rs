//! The floor built from well-known means: `serde_json` splits a body into its calls (`&RawValue`) and parses
//! the few members needed to check a call in a second pass; the members that Forebay adds are appended to the
//! client's own bytes. Then checksum and gzip as in the other floor. No tree is built, and no other work of
//! the product is done.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use forebay::crc32c;
use forebay::delivery::make::encode::LEVEL_UNDER_LOAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::load::Bodies;
use crate::path::{Floor, PIECE_BYTES, Sink, thread_cpu};

/// The members that our own lines also get, as fixed bytes: both floors compress lines of the same length.
const ADDED: &[u8] = concat!(
    r#","originalTimestamp":"2026-11-20T06:23:59.123Z","receivedAt":"2026-11-20T06:30:00.123Z","#,
    r#""sentAt":"2026-11-20T06:24:01.018Z","projectId":"bench-0","channel":"server","version":2}"#,
)
.as_bytes();

#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(borrow)]
    batch: Vec<&'b RawValue>,
}

/// The members needed to check a call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header<'b> {
    #[serde(borrow, rename = "type")]
    kind: Text<'b>,
    #[serde(borrow)]
    message_id: Option<Text<'b>>,
    #[serde(borrow)]
    user_id: Option<Text<'b>>,
    #[serde(borrow)]
    anonymous_id: Option<Text<'b>>,
    #[serde(borrow)]
    timestamp: Option<Text<'b>>,
}

/// A text that is borrowed unless it has escapes: inside an `Option`, a bare `Cow` is always allocated.
#[derive(Deserialize)]
struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

impl Header<'_> {
    fn is_whole(&self) -> bool {
        let who = self.user_id.is_some() || self.anonymous_id.is_some();
        !self.kind.0.is_empty() && self.message_id.is_some() && self.timestamp.is_some() && who
    }
}

/// Runs it on the calling thread for about this long.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
pub(crate) fn run(bodies: &Bodies, lasting: Duration) -> Floor {
    let mut object = GzEncoder::new(Sink::default(), Compression::new(LEVEL_UNDER_LOAD));
    let mut piece = Vec::with_capacity(2 * PIECE_BYTES);
    let (mut calls, mut line_bytes) = (0, 0);
    let (began, cpu_before) = (Instant::now(), thread_cpu());
    for body in bodies.iter().cycle() {
        let batch = match bodies.calls_per_request() {
            1 => vec![serde_json::from_slice::<&RawValue>(body).expect("a valid body")],
            _ => serde_json::from_slice::<Envelope<'_>>(body).expect("a valid body").batch,
        };
        for call in batch {
            let header: Header<'_> = serde_json::from_str(call.get()).expect("a valid call");
            assert!(header.is_whole(), "the corpus has only valid calls");
            let start = piece.len();
            let object = call.get().trim_end().strip_suffix('}').expect("an object");
            piece.extend_from_slice(object.as_bytes());
            piece.extend_from_slice(ADDED);
            std::hint::black_box(crc32c::crc32c(piece.get(start..).unwrap_or_default()));
            piece.push(b'\n');
            line_bytes += (piece.len() - start) as u64;
            calls += 1;
        }
        if piece.len() >= PIECE_BYTES {
            object.write_all(&piece).expect("a sink accepts all bytes");
            piece.clear();
        }
        if began.elapsed() >= lasting {
            break;
        }
    }
    let cpu = thread_cpu().saturating_sub(cpu_before);
    let gzip_bytes = object.finish().expect("a sink accepts all bytes").0;
    Floor { calls, took: began.elapsed(), cpu, line_bytes, gzip_bytes }
}
