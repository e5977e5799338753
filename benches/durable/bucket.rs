//! What has arrived in the bucket, found by unpacking it.
//!
//! It looks into the files of the S3 server rather than asking it: the bench stays small to build, and what is counted is
//! what is on disk.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::packed;

/// Lines that are packed again by `gzip -6`, at most: its ratio does not change with more.
const PACKED_AGAIN_MAX: u64 = 128_000_000;

/// What the server notes of an object, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Noted {
    key: String,
    body: String,
}

/// What is in some objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contents {
    /// Lines.
    pub(crate) lines: u64,
    /// Their bytes.
    pub(crate) line_bytes: u64,
    /// Bytes of the objects.
    pub(crate) object_bytes: u64,
    /// Bytes of those of them whose lines were packed again.
    sampled_bytes: u64,
    /// Bytes of `gzip -6` of the same lines.
    packed_bytes: u64,
    sampled_line_bytes: u64,
}

impl Contents {
    /// Bytes of the objects for each byte that `gzip -6` makes of the same lines; NaN where there are none.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
    pub(crate) fn to_gzip(self) -> f64 {
        self.sampled_bytes as f64 / self.packed_bytes as f64
    }
}

/// The names of all bodies that there are.
pub(crate) fn names(dir: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(dir.join("s3/bodies")).expect("the bodies");
    files.map(|file| file.expect("a body").file_name().to_string_lossy().into_owned()).collect()
}

/// What is in the objects of calls whose bodies are among `earlier`, and what is in the others. `dir` is the data directory
/// of the `forebay dev` that serves S3.
pub(crate) fn contents(dir: &Path, earlier: &BTreeSet<String>) -> (Contents, Contents) {
    let s3 = dir.join("s3");
    let (mut before, mut since) = (Contents::default(), Contents::default());
    let noted = fs::read_dir(s3.join("objects")).expect("the objects").map(|file| {
        let note = fs::read(file.expect("an object").path()).expect("what is noted of an object");
        serde_json::from_slice::<Noted>(&note).expect("a note with key and body")
    });
    let mut all: Vec<Noted> = noted.collect();
    // The names of bodies are by chance, those of objects are in the order of time: the first are early and late ones.
    all.sort_by(|a, b| a.body.cmp(&b.body));
    for noted in all {
        assert!(
            noted.key.starts_with("segment-logs/bench-"),
            "only calls are sent, but there is {}",
            noted.key
        );
        let body = fs::read(s3.join("bodies").join(&noted.body)).expect("an object's bytes");
        add(if earlier.contains(&noted.body) { &mut before } else { &mut since }, &body);
    }
    (before, since)
}

fn add(contents: &mut Contents, object: &[u8]) {
    contents.object_bytes += object.len() as u64;
    // Not the decoder of many members: an object is one, and lines of a second would be seen as missing.
    let mut unpacked = GzDecoder::new(object);
    let is_sampled = contents.sampled_line_bytes < PACKED_AGAIN_MAX;
    let mut again = is_sampled.then(|| tempfile::tempfile().expect("a file for lines"));
    let mut piece = vec![0; 256 * 1_024];
    loop {
        let len = unpacked.read(&mut piece).expect("gzip");
        let bytes = piece.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        contents.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        contents.line_bytes += len as u64;
        if let Some(again) = &mut again {
            again.write_all(bytes).expect("room for lines");
            contents.sampled_line_bytes += len as u64;
        }
    }
    if let Some(again) = again {
        contents.sampled_bytes += object.len() as u64;
        contents.packed_bytes += packed::gzip_6(again).expect("the program gzip");
    }
}
