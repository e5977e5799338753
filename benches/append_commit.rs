//! Append and commit: from a request's frames to the answer that they are on stable storage, through the real
//! spool.
//!
//! After each append the same bytes are written and synced once more, alone, to a file of written zeroes.
//! Disks of virtual machines have fast and slow phases, so only the ratio of the two can be compared. It is
//! printed after Criterion's figures. `in_flight` requests are appended at once and awaited together. On
//! tmpfs a sync costs nothing, so only the spool's own work remains.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "spooled/mod.rs"]
mod spooled;

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use forebay::disk::real_disk::RealDisk;
use forebay::log::RequestFrames;
use forebay::metrics::Metrics;
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::Clock as _;
use hdrhistogram::Histogram;
use spooled::Requests;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls of a request, and requests in flight.
const CASES: [(usize, usize); 5] = [(1, 1), (1, 64), (100, 1), (100, 16), (2_500, 1)];
const SAMPLES: usize = 20;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(2);
/// As large as a segment: after so many bytes the appended frames are released, and the spool reuses its
/// segments.
const FILE_BYTES: u64 = 64 * 1_024 * 1_024;
const ZERO_BYTES: usize = 1_024 * 1_024;

/// The disk without the spool.
struct Raw {
    file: File,
    at: u64,
}

impl Raw {
    fn new(dir: &Path) -> Self {
        let path = dir.join("raw");
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).expect("a file");
        let zeroes = vec![0; ZERO_BYTES];
        for at in (0..FILE_BYTES).step_by(ZERO_BYTES) {
            file.write_all_at(&zeroes, at).expect("space for a file");
        }
        file.sync_all().expect("a sync");
        Self { file, at: 0 }
    }

    fn commit(&mut self, bytes: &[u8]) {
        if self.at + bytes.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at).expect("a write");
        self.file.sync_data().expect("a sync");
        self.at += bytes.len() as u64;
    }
}

#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("valid bounds of a histogram")
}

fn record(into: &mut Histogram<u64>, took: Duration) {
    into.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
}

fn append(runtime: &Runtime, spool: &Spool, requests: Vec<RequestFrames>) {
    let mut appends = JoinSet::new();
    runtime.block_on(async {
        for frames in requests {
            let appender = spool.appender();
            appends.spawn(async move { appender.append(frames).await });
        }
        while let Some(appended) = appends.join_next().await {
            black_box(appended.expect("no panic").expect("space in the spool"));
        }
    });
}

fn case(criterion: &mut Criterion, on: &str, dir: &Path, calls: usize, in_flight: usize) {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let disk = Arc::new(RealDisk::open(&dir.path().join("spool")).expect("a directory of its own"));
    let (clock, metrics) = (Arc::new(SystemClock::new()), Arc::new(Metrics::new()));
    let mut requests = Requests::new(clock.wall());
    let (spool, _) = Spool::open(disk, SpoolOptions::default(), clock, &SystemRandom, Arc::clone(&metrics))
        .expect("an empty spool");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut raw = Raw::new(dir.path());
    let (mut appends, mut writes) = (histogram(), histogram());
    let (mut all_calls, mut since, mut block) = (0, 0, Vec::new());
    let mut group = criterion.benchmark_group("append_commit");
    group.sample_size(SAMPLES).warm_up_time(WARM_UP).measurement_time(MEASURED);
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements((calls * in_flight) as u64));
    let name = format!("on={on}/calls={calls}/in_flight={in_flight}");
    group.bench_function(BenchmarkId::from_parameter(&name), |bench| {
        bench.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let group: Vec<RequestFrames> = (0..in_flight).map(|_| requests.next(calls)).collect();
                block.clear();
                group.iter().for_each(|frames| block.extend_from_slice(frames.bytes()));
                let took = timed(|| append(&runtime, &spool, group));
                record(&mut appends, took);
                record(&mut writes, timed(|| raw.commit(&block)));
                total += took;
                all_calls += (calls * in_flight) as u64;
                since += block.len() as u64;
                if since > FILE_BYTES / 2 {
                    since = 0;
                    spooled::let_go(&*spool.log());
                }
            }
            total
        });
    });
    group.finish();
    report(&appends, &writes, block.len());
    println!("  {} bytes in blocks a call\n", metrics.spool_written_bytes.get() / all_calls.max(1));
}

#[expect(clippy::cast_precision_loss, reason = "latencies in nanoseconds")]
fn report(appends: &Histogram<u64>, writes: &Histogram<u64>, bytes: usize) {
    let at = |of: &Histogram<u64>, quantile| of.value_at_quantile(quantile) as f64 / 1e3;
    let ratio = |quantile| at(appends, quantile) / at(writes, quantile);
    println!(
        "  append p50 {:.0} us, p99 {:.0} us; write and sync of the same {bytes} bytes p50 {:.0} us, p99 {:.0} us",
        at(appends, 0.5),
        at(appends, 0.99),
        at(writes, 0.5),
        at(writes, 0.99)
    );
    println!("  append / write and sync: p50 {:.2}, p99 {:.2}", ratio(0.5), ratio(0.99));
}

fn append_commit(criterion: &mut Criterion) {
    for (on, dir) in [("disk", env!("CARGO_TARGET_TMPDIR")), ("tmpfs", "/dev/shm")] {
        for (calls, in_flight) in CASES {
            case(criterion, on, Path::new(dir), calls, in_flight);
        }
    }
}

criterion_group!(benches, append_commit);
criterion_main!(benches);
