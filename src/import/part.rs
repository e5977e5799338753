//! Makes objects of the rows of a file without a collector: with the same lines, in the same form of object.
//!
//! A part is a step of an import ([`super::Rows`]). The part's key follows from the file and its first row,
//! and the lines follow from the file alone: `receivedAt` is when the file was stored, so a retry overwrites
//! a part with the same lines (decision 0152).

use std::io;

use bytes::Bytes;

use super::envelope::shape_of;
use super::file_id::FileId;
use super::target::Rows;
use crate::call::{
    ClientLibraries, Fingerprinter, Limits, LineSink, ObjectSets, RejectReason, Request, Shape, Stamp,
};
use crate::object::gzip::{Fit, GzipLines};
use crate::object::metadata::ImportedMetadata;
use crate::object::{BucketString, ObjectKey, ParsedPartKey, Stream};
use crate::random::Random;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The compression level of all parts.
const LEVEL: u32 = 6;
/// S3's limit for one put. No part comes near it.
const OBJECT_MAX: u64 = 5_000_000_000;

/// The file and the source of the calls of parts.
#[derive(Clone, Debug)]
pub struct PartsOf<'a> {
    /// The file.
    pub file: FileId,
    /// The source of the calls.
    pub source: &'a SourceId,
    /// The `receivedAt` of all its calls.
    pub received_at: UnixMillis,
}

/// An object to be put.
#[derive(Clone, Debug)]
pub struct PartObject {
    /// The object's stream.
    pub stream: Stream,
    /// The object's key.
    pub key: ObjectKey,
    /// The object's content: one gzip member.
    pub gzip: Bytes,
    /// The number of lines.
    pub lines: u64,
    /// The object's user metadata: names and values.
    pub metadata: Vec<(&'static str, String)>,
}

/// Makes the objects of one step: one of its calls or object sets, and one of those that the limits of a
/// collector refuse, if there are any. `calls` is the step's envelope.
/// Errors: the envelope cannot be read, which is a bug, or an object is too large.
pub fn objects(
    of: &PartsOf<'_>,
    rows: Rows,
    calls: &[u8],
    bucket: &BucketString,
    random: &dyn Random,
) -> io::Result<Vec<PartObject>> {
    let limits = Limits { max_calls: usize::MAX, ..Limits::default() };
    let stamp = Stamp {
        received_at: of.received_at,
        source: of.source,
        ip: None,
        client_side: false,
        client_libraries: ClientLibraries::usual(),
        user_agent: None,
        // The key may be constant, because nothing finds repeats by these fingerprints.
        fingerprinter: &Fingerprinter::new([0; 16]),
    };
    let mut lines = Lines { line: Vec::new(), valid: gzip(), rejected: gzip(), failed: None };
    let stream = match shape_of(calls) {
        Shape::ObjectSets => {
            let request = ObjectSets::parse(calls, usize::MAX, &limits).map_err(io::Error::other)?;
            request.write_lines(&stamp, random, usize::MAX, &mut lines);
            Stream::Objects(request.collection().clone())
        }
        shape @ (Shape::Envelope | Shape::Single(_)) => {
            let request = Request::parse(calls, shape, &limits).map_err(io::Error::other)?;
            request.write_lines(&stamp, random, &mut lines);
            Stream::Calls
        }
    };
    if let Some(error) = lines.failed {
        return Err(error);
    }
    let mut objects = Vec::new();
    for (stream, gzip) in [(stream, lines.valid), (Stream::Rejected, lines.rejected)] {
        if gzip.lines() == 0 {
            continue;
        }
        let made = gzip.finish()?;
        let place = ParsedPartKey {
            stream: stream.clone(),
            source: of.source.clone(),
            received_at: of.received_at,
            file: of.file.to_string(),
            first_row: rows.first,
        };
        let metadata = ImportedMetadata {
            calls: made.lines,
            received_at: of.received_at,
            bytes: made.bytes,
            sha256: &made.sha256,
        };
        objects.push(PartObject {
            stream,
            key: place.key(bucket),
            metadata: metadata.pairs(),
            lines: made.lines,
            gzip: Bytes::from(made.out),
        });
    }
    Ok(objects)
}

fn gzip() -> GzipLines<Vec<u8>> {
    GzipLines::new(Vec::new(), LEVEL, OBJECT_MAX)
}

/// Collects the lines of a step.
struct Lines {
    line: Vec<u8>,
    valid: GzipLines<Vec<u8>>,
    rejected: GzipLines<Vec<u8>>,
    failed: Option<io::Error>,
}

impl Lines {
    fn push(&mut self, is_valid: bool) {
        let gzip = if is_valid { &mut self.valid } else { &mut self.rejected };
        match gzip.push(&self.line) {
            Ok(Fit::Taken) => {}
            Ok(Fit::Full) => self.failed = Some(io::Error::other("a part is larger than an object can be")),
            Err(error) => self.failed = Some(error),
        }
        self.line.clear();
    }
}

impl LineSink for Lines {
    fn line(&mut self) -> &mut Vec<u8> {
        &mut self.line
    }

    fn call(&mut self, _fingerprint: u128) {
        self.push(true);
    }

    fn rejected(&mut self, _reason: RejectReason) {
        self.push(false);
    }

    fn discard(&mut self) {
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::log::ImportKey;
    use crate::random::Random;

    #[derive(Debug)]
    struct NoRandom;

    impl Random for NoRandom {
        fn next_u64(&self) -> u64 {
            panic!("rows have ids")
        }
    }

    fn made(first: u64, calls: &str) -> Vec<PartObject> {
        let source = SourceId::new("shop").unwrap();
        let file: FileId = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        let of = PartsOf { file, source: &source, received_at: UnixMillis(1_432_684_812_000) };
        let rows = Rows { import: ImportKey(1), first, rows: 2, rejected: 0, repeats: 0, prefix: None };
        objects(&of, rows, calls.as_bytes(), &BucketString::parse("lake/a").unwrap(), &NoRandom).unwrap()
    }

    fn text(object: &PartObject) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&object.gzip[..]).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_same_rows_make_the_same_object_whenever_they_are_read() {
        let calls = r#"{"batch":[{"type":"track","messageId":"imp_x_7","userId":"u","event":"e"},{"type":"track","messageId":"imp_x_8","userId":"v","event":"e"}]}"#;
        let [object] = made(7, calls).try_into().unwrap();
        assert_eq!(
            object.key.as_str(),
            "a/segment-logs/shop/1432684800000/1432684812000-imp_unw446h7bvkguk7rnc2jjbggs4_00000000000000000007.gz"
        );
        assert_eq!(object.lines, 2);
        let lines = text(&object);
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.contains(r#""receivedAt":"2015-05-27T00:00:12.000Z""#), "{lines}");
        assert!(lines.contains(r#""projectId":"shop""#), "{lines}");
        let [again] = made(7, calls).try_into().unwrap();
        assert_eq!((&again.key, &again.gzip, &again.metadata), (&object.key, &object.gzip, &object.metadata));
    }

    #[test]
    fn a_call_that_a_collector_refuses_is_kept_with_the_reason() {
        let calls = r#"{"batch":[{"type":"track","messageId":"1","userId":"u","event":"e"},{"type":"no","messageId":"2"}]}"#;
        let objects = made(0, calls);
        let streams: Vec<_> = objects.iter().map(|object| (object.stream.clone(), object.lines)).collect();
        assert_eq!(streams, [(Stream::Calls, 1), (Stream::Rejected, 1)]);
        assert!(objects[1].key.as_str().starts_with("a/segment-logs/_rejected/shop/"), "{}", objects[1].key);
        assert!(text(&objects[1]).contains("unknown_type"), "{}", text(&objects[1]));
        assert!(made(0, r#"{"batch":[]}"#).is_empty());
    }

    #[test]
    fn object_sets_are_in_the_folder_of_their_collection() {
        let sets = r#"{"collection":"rooms","objects":[{"messageId":"imp_x_7","id":"1","properties":{"a":{"b":1}}},{"messageId":"imp_x_8","id":""}]}"#;
        let objects = made(7, sets);
        assert_eq!(
            objects[0].key.as_str(),
            "a/segment-logs/_objects/rooms/shop/1432684800000/1432684812000-imp_unw446h7bvkguk7rnc2jjbggs4_00000000000000000007.gz"
        );
        assert!(text(&objects[0]).contains(r#""id":"1","properties":{"a_b":1}"#), "{}", text(&objects[0]));
        assert!(objects[1].key.as_str().starts_with("a/segment-logs/_rejected/shop/"), "{}", objects[1].key);
    }
}
