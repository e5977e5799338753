//! Requests as the collector hands them to the spool, made from the corpus, and deliveries that need no
//! store.

use forebay::call::{CallKind, ClientLibraries, Fingerprinter, Limits, LineSink as _, Request, Shape, Stamp};
use forebay::log::frame::{self, FRAME_HEADER};
use forebay::log::{Encoded, Log, RequestFrames};
use forebay::object::{BucketString, Encryption, ObjectKey, ObjectName, S3Location};
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;

use crate::corpus::{self, Seeded};

const SEED: u64 = 41;
/// Far more bytes than the window of gzip.
const LINES: usize = 8_192;
/// Sources that alternate from request to request.
const SOURCES: usize = 4;

#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

/// A body of so many calls, and its shape: one call is sent alone, several in an envelope.
pub(crate) fn body(random: &mut Seeded, calls: usize) -> (String, Shape) {
    match calls {
        1 => (corpus::call(random), Shape::Single(CallKind::Track)),
        _ => (corpus::envelope(random, calls), Shape::Envelope),
    }
}

/// From a body to its frames, as in the collector.
pub(crate) fn frames(
    body: &[u8],
    shape: Shape,
    source: &SourceId,
    fingerprinter: &Fingerprinter,
    received_at: UnixMillis,
) -> RequestFrames {
    let stamp = Stamp {
        received_at,
        source,
        ip: None,
        client_side: false,
        client_libraries: ClientLibraries::usual(),
        user_agent: None,
        fingerprinter,
    };
    let request = Request::parse(body, shape, &Limits::default()).expect("a valid body");
    let capacity = request.lines_len() + request.lines() * (FRAME_HEADER + source.as_str().len());
    let mut frames = RequestFrames::new(source.clone(), received_at, capacity);
    frames.came(request.lines());
    std::hint::black_box(request.write_lines(&stamp, &Fixed, &mut frames));
    frames
}

/// The sources of the calls.
pub(crate) fn sources() -> Vec<SourceId> {
    (0..SOURCES).map(|number| SourceId::new(&format!("bench-{number}")).expect("a legal id")).collect()
}

/// So many lines, without their line feeds.
pub(crate) fn lines(count: usize, received_at: UnixMillis) -> Vec<Vec<u8>> {
    let (mut random, fingerprinter) = (Seeded(SEED), Fingerprinter::new([9; 16]));
    let source = SourceId::new("bench-0").expect("a legal id");
    let line = |_| {
        let (body, shape) = body(&mut random, 1);
        let frames = frames(body.as_bytes(), shape, &source, &fingerprinter, received_at);
        frame::fields(frames.bytes()).expect("a frame").payload.to_vec()
    };
    (0..count).map(line).collect()
}

/// Makes any number of requests. None of their calls is a repeat.
#[derive(Debug)]
pub(crate) struct Requests {
    sources: Vec<SourceId>,
    lines: Vec<Vec<u8>>,
    received_at: UnixMillis,
    calls: u64,
    requests: usize,
}

impl Requests {
    /// Requests received at this time.
    pub(crate) fn new(received_at: UnixMillis) -> Self {
        Self { sources: sources(), lines: lines(LINES, received_at), received_at, calls: 0, requests: 0 }
    }

    /// The next request.
    pub(crate) fn next(&mut self, calls: usize) -> RequestFrames {
        let source = self.sources.iter().cycle().nth(self.requests % SOURCES).expect("a source");
        self.requests += 1;
        let mut frames = RequestFrames::new(source.clone(), self.received_at, calls * 1_024);
        frames.came(calls);
        let begin = usize::try_from(self.calls).unwrap_or(0) % self.lines.len();
        for line in self.lines.iter().cycle().skip(begin).take(calls) {
            self.calls += 1;
            frames.line().extend_from_slice(line);
            // Each number has a place of its own among all fingerprints, and none is 0. The lower half is
            // used for the lookup, so it is spread like a hash.
            let mut spread = Seeded(self.calls);
            frames.call((u128::from(self.calls) << 64) | u128::from(spread.draw()));
        }
        frames
    }
}

/// Seals everything open and commits it as stored, so that its segments are reused. Returns the bytes of its
/// lines.
pub(crate) fn let_go(log: &dyn Log) -> u64 {
    let (node, spool_id) = (log.node(), log.spool_id());
    let mut bytes = 0;
    for batch in log.open_batches() {
        bytes += batch.bytes;
        let at = batch.first_received_at;
        let encoded = Encoded {
            first: batch.first,
            last: batch.last,
            frames: batch.frames,
            bytes: batch.bytes,
            sha256: "0".repeat(64),
            named_at: at,
            first_received_at: at,
            last_received_at: at,
            encoder: "zlib-rs 3".into(),
            next_received_at: None,
            hours: Vec::new(),
        };
        let bucket = BucketString::parse("bucket").expect("a bucket string");
        let to = S3Location::new(bucket, Encryption::None);
        let name = ObjectName {
            first_received_at: at,
            node: &node,
            spool_id: &spool_id,
            first_position: batch.first,
        };
        let key = ObjectKey::of_batch(&to.bucket, &batch.key.stream, &batch.key.source, batch.key.day, name);
        let seal = log.seal(&batch.key, &encoded, to, key).expect("a working spool");
        log.commit(&seal, None).expect("a working spool");
    }
    bytes
}
