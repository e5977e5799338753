//! From a request's body to its lines: what the collector spends on a call before the spool.
//!
//! For comparison, over the same bytes: `serde_json` only checking the grammar, and the naive way (a tree of
//! values per call, fields inserted, serialised again). Throughput is in calls.

#![allow(clippy::indexing_slicing, reason = "a bench that cannot go on stops where it is")]

#[path = "corpus/mod.rs"]
mod corpus;

use std::hint::black_box;

use corpus::Seeded;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use forebay::call::{
    CallKind, ClientLibraries, Fingerprinter, Limits, LineSink, RejectReason, Request, Shape, Stamp,
};
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

const SEED: u64 = 41;

/// Lines end to end in one buffer, as the spool takes them.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl LineSink for Buffer {
    fn line(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    fn call(&mut self, fingerprint: u128) {
        black_box(fingerprint);
        self.0.push(b'\n');
    }

    fn rejected(&mut self, reason: RejectReason) {
        panic!("the corpus has only valid calls, but one is {reason:?}");
    }

    fn discard(&mut self) {}
}

#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

fn ours(body: &[u8], shape: Shape, out: &mut Buffer) {
    let source = SourceId::new("checkout-web").expect("a legal id");
    let fingerprinter = Fingerprinter::new([9; 16]);
    let stamp = Stamp {
        received_at: UnixMillis(1_795_156_200_123),
        source: &source,
        ip: None,
        client_side: false,
        user_agent: None,
        client_libraries: ClientLibraries::usual(),
        fingerprinter: &fingerprinter,
    };
    let request = Request::parse(body, shape, &Limits::default()).expect("a valid body");
    black_box(request.write_lines(&stamp, &Fixed, out));
}

fn naive(body: &[u8], out: &mut Vec<u8>) {
    let mut body: Value = serde_json::from_slice(body).expect("a valid body");
    let sent_at = body["sentAt"].clone();
    let calls = match body["batch"].take() {
        Value::Array(calls) => calls,
        _ => vec![body],
    };
    for mut call in calls {
        call["receivedAt"] = json!("2026-11-20T06:30:00.123Z");
        call["originalTimestamp"] = call["timestamp"].clone();
        call["sentAt"] = sent_at.clone();
        call["projectId"] = json!("checkout-web");
        serde_json::to_writer(&mut *out, &call).expect("a Vec accepts all bytes");
        out.push(b'\n');
    }
}

fn request_to_lines(criterion: &mut Criterion) {
    let mut random = Seeded(SEED);
    let bodies = [
        ("calls=100", Shape::Envelope, corpus::envelope(&mut random, 100), 100),
        ("calls=1", Shape::Single(CallKind::Track), corpus::call(&mut random), 1),
    ];
    let mut group = criterion.benchmark_group("request_to_lines");
    for (name, shape, body, calls) in &bodies {
        let name = format!("{name}/bytes={}", body.len());
        let body = body.as_bytes();
        group.throughput(Throughput::Elements(*calls));
        group.bench_function(BenchmarkId::new("forebay", &name), |bench| {
            let mut out = Buffer::default();
            bench.iter(|| {
                out.0.clear();
                ours(black_box(body), *shape, &mut out);
                black_box(out.0.len())
            });
        });
        group.bench_function(BenchmarkId::new("forebay_parse_only", &name), |bench| {
            bench.iter(|| black_box(Request::parse(black_box(body), *shape, &Limits::default())).is_ok());
        });
        group.bench_function(BenchmarkId::new("serde_json_check_only", &name), |bench| {
            bench.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(body)).is_ok());
        });
        group.bench_function(BenchmarkId::new("serde_json_tree", &name), |bench| {
            let mut out = Vec::new();
            bench.iter(|| {
                out.clear();
                naive(black_box(body), &mut out);
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, request_to_lines);
criterion_main!(benches);
