//! Compresses lines into one gzip member with the shipped encoder, at both of its levels, hashing them as for
//! objects. Throughput is in bytes of lines. After Criterion's figures come the sizes, compared with those of
//! `gzip -6` for the same lines.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "spooled/mod.rs"]
#[expect(dead_code, reason = "only its lines are needed here")]
mod spooled;

use std::hint::black_box;
use std::io::{Seek as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use forebay::delivery::make::encode::{LEVEL_AT_LEISURE, LEVEL_UNDER_LOAD};
use forebay::object::gzip::{Fit, GzipLines};
use forebay::time::UnixMillis;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECEIVED_AT: UnixMillis = UnixMillis(1_795_156_200_123);
const LINES: usize = 16_384;
const SAMPLES: usize = 20;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);

fn object(lines: &[Vec<u8>], level: u32, out: Vec<u8>) -> Vec<u8> {
    let mut gzip = GzipLines::new(out, level, u64::MAX);
    for line in lines {
        let fit = gzip.push(line).expect("a Vec accepts all bytes");
        assert_eq!(fit, Fit::Taken, "there is no limit");
    }
    gzip.finish().expect("a Vec accepts all bytes").out
}

/// The size that `gzip -6` gives for the lines. `None`, with a message, if there is no gzip.
fn gzip_6(lines: &[Vec<u8>]) -> Option<usize> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    for line in lines {
        file.write_all(line).and_then(|()| file.write_all(b"\n")).expect("space for the lines");
    }
    file.rewind().expect("a file");
    let done = Command::new("gzip").args(["-6", "-n", "-c"]).stdin(Stdio::from(file)).output();
    match done {
        Ok(done) if done.status.success() => Some(done.stdout.len()),
        failed => {
            println!("cannot run gzip -6, so the comparison is skipped: {failed:?}");
            None
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of some megabytes")]
fn gzip_object(criterion: &mut Criterion) {
    let lines = spooled::lines(LINES, RECEIVED_AT);
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    let gzip_6 = gzip_6(&lines);
    let mut group = criterion.benchmark_group("gzip_object");
    group.sample_size(SAMPLES).warm_up_time(WARM_UP).measurement_time(MEASURED);
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(bytes as u64));
    for (when, level) in [("under_load", LEVEL_UNDER_LOAD), ("at_leisure", LEVEL_AT_LEISURE)] {
        let name = format!("level={level}/{when}/lines={LINES}");
        let mut out = object(&lines, level, Vec::new());
        let made = out.len();
        group.bench_function(BenchmarkId::from_parameter(&name), |bench| {
            bench.iter(|| {
                out.clear();
                out = object(black_box(&lines), level, std::mem::take(&mut out));
                black_box(out.len())
            });
        });
        println!("  {bytes} bytes of lines, {made} of gzip: ratio {:.2}", bytes as f64 / made as f64);
        if let Some(gzip_6) = gzip_6 {
            println!("  size / gzip -6 ({gzip_6} bytes): {:.3}\n", made as f64 / gzip_6 as f64);
        }
    }
    group.finish();
}

criterion_group!(benches, gzip_object);
criterion_main!(benches);
