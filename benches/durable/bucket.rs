//! The content of the bucket, found by unpacking all objects.
//!
//! It reads the files of the S3 server instead of using its API: this keeps the bench small to build, and
//! counts what is really on disk.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::packed;

/// Lines that are compressed again by `gzip -6`, at most: its ratio does not change with more.
const PACKED_AGAIN_MAX: u64 = 128_000_000;

/// What the server notes about an object, as far as needed here.
#[derive(Debug, Deserialize)]
struct Noted {
    key: String,
    body: String,
}

/// The content of some objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contents {
    /// Lines.
    pub(crate) lines: u64,
    /// Their bytes.
    pub(crate) line_bytes: u64,
    /// Bytes of the objects.
    pub(crate) object_bytes: u64,
    /// Bytes of the objects whose lines were compressed again.
    sampled_bytes: u64,
    /// Bytes of `gzip -6` of the same lines.
    packed_bytes: u64,
    sampled_line_bytes: u64,
}

impl Contents {
    /// Bytes of objects per byte that `gzip -6` gives for the same lines; NaN without objects.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
    pub(crate) fn to_gzip(self) -> f64 {
        self.sampled_bytes as f64 / self.packed_bytes as f64
    }
}

/// The names of all present bodies.
pub(crate) fn names(dir: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(dir.join("s3/bodies")).expect("the bodies");
    files.map(|file| file.expect("a body").file_name().to_string_lossy().into_owned()).collect()
}

/// The content of the objects of calls whose bodies are among `earlier`, and the content of the others. `dir`
/// is the data directory of the `forebay dev` that serves S3.
pub(crate) fn contents(dir: &Path, earlier: &BTreeSet<String>) -> (Contents, Contents) {
    let s3 = dir.join("s3");
    let (mut before, mut since) = (Contents::default(), Contents::default());
    let noted = fs::read_dir(s3.join("objects")).expect("the objects").map(|file| {
        let note = fs::read(file.expect("an object").path()).expect("what is noted of an object");
        serde_json::from_slice::<Noted>(&note).expect("a note with key and body")
    });
    let mut all: Vec<Noted> = noted.collect();
    // The names of bodies are random, those of objects chronological: this way the first ones are both early
    // and late.
    all.sort_by(|a, b| a.body.cmp(&b.body));
    for noted in all {
        assert!(
            noted.key.starts_with("segment-logs/bench-"),
            "unexpected object {}: only calls are sent",
            noted.key
        );
        let body = fs::read(s3.join("bodies").join(&noted.body)).expect("an object's bytes");
        add(if earlier.contains(&noted.body) { &mut before } else { &mut since }, &body);
    }
    (before, since)
}

fn add(contents: &mut Contents, object: &[u8]) {
    contents.object_bytes += object.len() as u64;
    // Not the multi-member decoder: an object must be one member, so the lines of a second one must show as
    // missing.
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
            again.write_all(bytes).expect("space for lines");
            contents.sampled_line_bytes += len as u64;
        }
    }
    if let Some(again) = again {
        contents.sampled_bytes += object.len() as u64;
        contents.packed_bytes += packed::gzip_6(again).expect("the program gzip");
    }
}
