//! Counts what has arrived in the bucket, by unpacking it.

use std::io::Read as _;
use std::net::SocketAddr;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use flate2::read::GzDecoder;

use crate::node::{ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY};

/// Lines in all objects of calls, and bytes of the objects.
pub(crate) fn lines(s3: SocketAddr) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(count(s3))
}

async fn count(s3: SocketAddr) -> (u64, u64) {
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "bench"))
        .endpoint_url(format!("http://{s3}"))
        .force_path_style(true)
        .build();
    let client = Client::from_conf(config);
    let mut pages = client.list_objects_v2().bucket(BUCKET).prefix("segment-logs/").into_paginator().send();
    let (mut lines, mut bytes) = (0, 0);
    while let Some(page) = pages.next().await {
        let page = page.expect("a page of the listing");
        for key in page.contents().iter().filter_map(|object| object.key()) {
            assert!(!key.contains("/_rejected/"), "the load holds nothing to reject, but there is {key}");
            let answer = client.get_object().bucket(BUCKET).key(key).send().await.expect("an object");
            let body = answer.body.collect().await.expect("an object's bytes").into_bytes();
            bytes += body.len() as u64;
            lines += lines_of(&body);
        }
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
