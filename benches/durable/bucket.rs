//! Counts what has arrived in the bucket, by unpacking it.
//!
//! It looks into the files of the S3 server rather than asking it: the bench stays small to build, and what is counted is
//! what is on disk.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

/// What the server notes of an object, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Noted {
    key: String,
    body: String,
}

/// Lines in all objects of calls, and bytes of the objects. `dir` is the data directory of the `forebay dev` that serves S3.
pub(crate) fn lines(dir: &Path) -> (u64, u64) {
    let s3 = dir.join("s3");
    let (mut lines, mut bytes) = (0, 0);
    for file in fs::read_dir(s3.join("objects")).expect("the objects") {
        let note = fs::read(file.expect("an object").path()).expect("what is noted of an object");
        let noted: Noted = serde_json::from_slice(&note).expect("a note with key and body");
        assert!(
            noted.key.starts_with("segment-logs/bench-"),
            "only calls are sent, but there is {}",
            noted.key
        );
        let body = fs::read(s3.join("bodies").join(&noted.body)).expect("an object's bytes");
        bytes += body.len() as u64;
        lines += lines_of(&body);
    }
    (lines, bytes)
}

fn lines_of(object: &[u8]) -> u64 {
    // Not the decoder of many members: an object is one, and lines of a second would be seen as missing.
    let mut unpacked = GzDecoder::new(object);
    let mut piece = vec![0; 256 * 1_024];
    let mut lines = 0;
    loop {
        match unpacked.read(&mut piece).expect("gzip") {
            0 => return lines,
            len => lines += memchr::memchr_iter(b'\n', piece.get(..len).unwrap_or_default()).count() as u64,
        }
    }
}
