//! The single-thread floor: what a call costs without HTTP, disk and upload.
//!
//! Parse, lines, checksum and gzip, with the shipped encoder and level, in one thread over the same bodies
//! that the load generator sends. Nothing that does the whole job by these means can be faster on one core.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use forebay::call::{CallKind, ClientLibraries, Fingerprinter, Limits, Request, Shape, Stamp};
use forebay::delivery::make::encode::LEVEL_UNDER_LOAD;
use forebay::log::RequestFrames;
use forebay::log::frame::{self, FRAME_HEADER, Salt};
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};

use crate::load::Bodies;

/// Lines reach the compressor in pieces of this size, as in the product.
pub(crate) const PIECE_BYTES: usize = 128 * 1_024;

/// The last stage that the floor includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Through {
    /// The body is parsed and its lines written into frames.
    Lines,
    /// Frames get their positions and checksums.
    Checksum,
    /// Lines are compressed: the floor F.
    Gzip,
    /// Lines are hashed too, as for objects.
    Sha256,
}

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// Calls processed.
    pub(crate) calls: u64,
    /// Wall-clock time.
    pub(crate) took: Duration,
    /// CPU time of the thread.
    pub(crate) cpu: Duration,
    /// Bytes of lines.
    pub(crate) line_bytes: u64,
    /// Bytes of gzip.
    pub(crate) gzip_bytes: u64,
}

#[expect(clippy::cast_precision_loss, reason = "calls and bytes of some seconds")]
impl Floor {
    /// Calls per second of wall-clock time.
    pub(crate) fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    /// CPU per call, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.calls as f64
    }
}

#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

/// Counts the compressor's output.
#[derive(Debug, Default)]
pub(crate) struct Sink(pub(crate) u64);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs it on the calling thread for about this long.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
pub(crate) fn run(bodies: &Bodies, through: Through, lasting: Duration) -> Floor {
    let source = SourceId::new("bench-0").expect("a legal id");
    let fingerprinter = Fingerprinter::new([9; 16]);
    let received_at = UnixMillis(1_795_156_200_123);
    let stamp = Stamp {
        received_at,
        source: &source,
        ip: None,
        client_side: false,
        user_agent: None,
        client_libraries: ClientLibraries::usual(),
        fingerprinter: &fingerprinter,
    };
    let shape =
        if bodies.calls_per_request() == 1 { Shape::Single(CallKind::Track) } else { Shape::Envelope };
    let salt = Salt::new(&[1; 16], 1);
    let mut object = GzEncoder::new(Sink::default(), Compression::new(LEVEL_UNDER_LOAD));
    let (mut piece, mut sha256) = (Vec::with_capacity(2 * PIECE_BYTES), Sha256::new());
    let (mut calls, mut line_bytes) = (0, 0);
    let (began, cpu_before) = (Instant::now(), thread_cpu());
    for body in bodies.iter().cycle() {
        let request = Request::parse(body, shape, &Limits::default()).expect("a valid body");
        let capacity = request.lines_len() + request.lines() * (FRAME_HEADER + source.as_str().len());
        let mut frames = RequestFrames::new(source.clone(), received_at, capacity);
        std::hint::black_box(request.write_lines(&stamp, &Fixed, &mut frames));
        if through >= Through::Checksum {
            let mut bytes = frames.bytes().to_vec();
            let mut at = 0;
            while let Some(len) = bytes.get(at..).and_then(frame::length) {
                let one = bytes.get_mut(at..at + len).expect("a whole frame");
                frame::stamp(one, calls, salt);
                let about = frame::fields(one).expect("a frame of our own");
                line_bytes += about.payload.len() as u64 + 1;
                if through >= Through::Gzip {
                    piece.extend_from_slice(about.payload);
                    piece.push(b'\n');
                }
                calls += 1;
                at += len;
            }
        } else {
            calls += u64::from(frames.calls());
        }
        if piece.len() >= PIECE_BYTES {
            if through >= Through::Sha256 {
                sha256.update(&piece);
            }
            object.write_all(&piece).expect("a sink accepts all bytes");
            piece.clear();
        }
        if began.elapsed() >= lasting {
            break;
        }
    }
    std::hint::black_box(sha256.finalize());
    let cpu = thread_cpu().saturating_sub(cpu_before);
    let gzip_bytes = object.finish().expect("a sink accepts all bytes").0;
    Floor { calls, took: began.elapsed(), cpu, line_bytes, gzip_bytes }
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}
