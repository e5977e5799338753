//! The test object: a single line, put by the same code as every object.

use std::io;

use bytes::Bytes;

use crate::object::gzip::GzipLines;
use crate::object::metadata::Metadata;
use crate::object::{ObjectKey, S3Location};
use crate::sources::SourceId;
use crate::store::{Body, Put};
use crate::time::UnixMillis;

use super::subject::Reach;

/// The compression level; irrelevant for one line.
const LEVEL: u32 = 6;

/// A put of one line, with all headers that delivery would send for an object of `source`. `at`: the current
/// time; different for each object, because it is part of the name.
/// Errors: the compressor's error.
pub(super) fn put(
    reach: &Reach,
    to: &S3Location,
    source: &SourceId,
    node: &str,
    at: UnixMillis,
) -> io::Result<Put> {
    let line = serde_json::json!({ "type": "check", "node": node, "receivedAt": crate::words::rfc3339(at) });
    let mut gzip = GzipLines::new(Vec::new(), LEVEL, u64::MAX);
    gzip.push(format!("{line}\n").as_bytes())?;
    let done = gzip.finish()?;
    let metadata = Metadata {
        calls: done.lines,
        first_received_at: at,
        last_received_at: at,
        node,
        first_position: 0,
        last_position: 0,
        bytes: done.bytes,
        sha256: &done.sha256,
        previous_last_position: None,
        lost_calls: 0,
    };
    Ok(Put {
        key: ObjectKey::of_check(&to.bucket, node, at),
        crc32: crc32fast::hash(&done.out),
        content_encoding: reach.content_encoding.then_some("gzip"),
        metadata: metadata.pairs(),
        tags: reach.tags.pairs(source, at.day()),
        mode: reach.put,
        body: Body::Bytes(Bytes::from(done.out)),
        location: to.clone(),
    })
}
