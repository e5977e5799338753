//! A spool fills its own small disk while the store is away, and the program is killed, stopped or left alone. It must start
//! again without a free byte, deliver everything once the store is back, and take calls again.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use http::StatusCode;
use http_body_util::Full;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::bulk::{BulkJournal, BulkLoad, SOURCES, Text};
use super::stand::Stand;
use super::usage::{Sampler, Usage};
use super::{checker, setting};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::{Answer, Http};
use crate::support::loop_disk::{Filler, Kind, LoopDisk, assert_full};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// Rounds, unless `FOREBAY_SMALL_DISKS` says otherwise.
const ROUNDS: u64 = 3;
const MB: u64 = 1_000_000;
const MIB: u64 = 1_024 * 1_024;
/// Sizes of disks. The default log of xfs needs 300 MiB.
const EXT4_MIN: u64 = 100 * MB;
const XFS_MIN: u64 = 300 * MIB;
const DISK_MAX: u64 = 1_000 * MB;
/// The same in the ordinary test run, which is to be short.
const EXT4_QUICK_MAX: u64 = 160 * MB;
const XFS_QUICK_MAX: u64 = 320 * MIB;
/// Sizes of segments: the smallest that can be set, and the default.
const SEGMENT: std::ops::RangeInclusive<u64> = 8..=64;
/// `spool.max_bytes` holds at least four segments.
const CAP_SEGMENTS_MIN: u64 = 4;

/// Time to fill the largest disk.
const FULL_TIMEOUT: Duration = Duration::from_secs(300);
/// Refusals without an accepted request between them: then the spool is full, and not only waiting for its next segment.
const REFUSED_IN_A_ROW: usize = 20;
/// How soon a refusal must come, and an answer of the admin listener.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How soon calls must be taken again once there is space.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// How long deliveries go on after SIGTERM. The store is away, so none succeeds.
const GRACE: &str = "1 s";
/// Requests that must be accepted after the disk was full.
const LAST_REQUESTS: usize = 5;
/// Bytes of a log that a failure shows.
const LOG_TAIL: usize = 6_000;

/// How the process ends that filled the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Kill,
    Terminate,
    /// It goes on.
    None,
}

/// What is random in a round.
#[derive(Clone, Copy, Debug)]
struct Draw {
    seed: u64,
    kind: Kind,
    disk_bytes: u64,
    segment_bytes: u64,
    /// `spool.max_bytes`; without it the default, 20 GB, which is more than the disk holds.
    cap: Option<u64>,
    /// `flush.max_bytes`.
    object_bytes: u64,
    max_age: &'static str,
    text: Text,
    ending: Ending,
    /// Another file takes what is left of the disk before the next start, or while the process runs on.
    filler: bool,
    /// The store comes back before the next start.
    store_first: bool,
    /// `forebay spool drain` runs before the next start.
    drain: bool,
}

impl Draw {
    /// Consecutive seeds take turns with the file systems and the endings.
    fn of(seed: u64, quick: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (kind, least, most) = match (seed % 2, quick) {
            (0, true) => (Kind::Ext4, EXT4_MIN, EXT4_QUICK_MAX),
            (0, false) => (Kind::Ext4, EXT4_MIN, DISK_MAX),
            (_, true) => (Kind::Xfs, XFS_MIN, XFS_QUICK_MAX),
            (_, false) => (Kind::Xfs, XFS_MIN, DISK_MAX),
        };
        let ending = [Ending::Kill, Ending::Terminate, Ending::None][usize::try_from(seed % 3).unwrap()];
        let disk_bytes = random.random_range(least..=most);
        let cap = random.random_ratio(1, 4).then(|| random.random_range(disk_bytes / 3..disk_bytes / 4 * 3));
        let segment_bytes = random.random_range(SEGMENT) * MIB;
        Self {
            seed,
            kind,
            disk_bytes,
            segment_bytes: cap.map_or(segment_bytes, |cap| {
                segment_bytes.min(cap / CAP_SEGMENTS_MIN).max(SEGMENT.start() * MIB)
            }),
            cap: cap.map(|cap| cap.max(CAP_SEGMENTS_MIN * SEGMENT.start() * MIB)),
            object_bytes: [100 * MB, 8 * MB, MB][random.random_range(0..3)],
            max_age: ["1 s", "1 h"][random.random_range(0..2)],
            text: Text { letters: [16, 64][random.random_range(0..2)] },
            ending,
            filler: random.random_ratio(1, 2),
            store_first: random.random_ratio(1, 2),
            drain: ending != Ending::None && random.random_ratio(1, 4),
        }
    }

    fn spool(&self) -> String {
        let cap = self.cap.map_or(String::new(), |cap| format!("\nmax_bytes = \"{cap} B\""));
        format!("segment_bytes = \"{} B\"{cap}", self.segment_bytes)
    }

    fn flush(&self) -> String {
        let (bytes, age) = (self.object_bytes, self.max_age);
        format!("max_bytes = \"{bytes} B\"\nmax_age = \"{age}\"\nshutdown_grace = \"{GRACE}\"")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_filled_its_disk_starts_delivers_and_takes_calls() {
    let rounds = setting("FOREBAY_SMALL_DISKS");
    // From some 48 bits, so that it is easily read and typed.
    let seed = setting("FOREBAY_SMALL_DISKS_SEED").unwrap_or_else(|| rand::random::<u64>() >> 16);
    let (mut passed, mut failed) = (0, Vec::new());
    for seed in seed..seed + rounds.unwrap_or(ROUNDS) {
        let draw = Draw::of(seed, rounds.is_none());
        eprintln!("\n{draw:?}");
        let began = Instant::now();
        let Some(outcome) = watched(|logs| round(draw, logs)).await else { return };
        let took = began.elapsed();
        match outcome {
            Ok(report) => {
                passed += 1;
                eprintln!("seed {seed} passed in {took:.1?}: {report}");
            }
            Err(why) => {
                eprintln!("seed {seed} FAILED after {took:.1?}: {why}");
                failed.push(seed);
            }
        }
    }
    eprintln!("{} small disks filled, {passed} passed, failed seeds: {failed:?}", passed + failed.len());
    assert!(
        failed.is_empty(),
        "run one again with FOREBAY_SMALL_DISKS_SEED, and the same FOREBAY_SMALL_DISKS or none"
    );
}

/// The logs of all processes of a round.
#[derive(Clone, Debug, Default)]
struct Logs(Arc<Mutex<Vec<Arc<Mutex<String>>>>>);

impl Logs {
    fn add(&self, forebay: &Forebay) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(forebay.live_log());
    }

    /// The end of each.
    fn tails(&self) -> String {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = |(nth, log): (usize, &Arc<Mutex<String>>)| {
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let from = log.ceil_char_boundary(log.len().saturating_sub(LOG_TAIL));
            format!("--- process {nth} ---\n{}", &log[from..])
        };
        logs.iter().enumerate().map(tail).collect()
    }
}

/// Runs a round to its end. A panic is its failure, and the next round goes on; `None` where it was skipped.
async fn watched<F>(round: impl FnOnce(Logs) -> F) -> Option<Result<String, String>>
where
    F: Future<Output = Option<String>> + 'static,
{
    let logs = Logs::default();
    let local = LocalSet::new();
    let task = local.spawn_local(round(logs.clone()));
    match local.run_until(task).await {
        Ok(report) => report.map(Ok),
        Err(error) => {
            let panic = error.into_panic();
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            // What the program says of itself may be in it already.
            let from = why.ceil_char_boundary(why.len().min(LOG_TAIL));
            Some(Err(format!("{}\n{}", &why[..from], logs.tails())))
        }
    }
}

/// One disk that is filled, and what must follow.
async fn round(draw: Draw, logs: Logs) -> Option<String> {
    let stand = Stand::start().await;
    let disk = LoopDisk::mount(draw.kind, draw.disk_bytes, stand.folder.path())?;
    let spool = disk.path().join("spool");
    let config = stand.config_with(&spool, &draw.spool(), &draw.flush(), &SOURCES);
    let mut random = StdRng::seed_from_u64(draw.seed);
    let (mut journal, sampler) = (BulkJournal::default(), Sampler::start(&spool));

    stand.link.set(Link::Cut);
    let mut forebay = stand.serve(&config).await;
    logs.add(&forebay);
    let load = BulkLoad::start(&forebay.collector, &mut random, draw.text);
    let began = Instant::now();
    until_full(&forebay, &load).await;
    let filled_in = began.elapsed();
    answers(&forebay).await;
    let full = Usage::of(&spool);
    let running = match draw.ending {
        Ending::Kill => {
            forebay.kill().await;
            None
        }
        Ending::Terminate => {
            let ended = forebay.terminate().await;
            assert!(ended.success(), "SIGTERM on a full disk ends with {ended}");
            None
        }
        Ending::None => Some(forebay),
    };
    let counts = load.stop(&mut journal).await;
    assert!(counts.slowest_refusal() < ANSWER_MAX, "a refusal took {:?}", counts.slowest_refusal());
    let filler = draw.filler.then(|| {
        let filler = Filler::fill(disk.path());
        assert_full(disk.path());
        filler
    });

    if draw.store_first || draw.drain {
        stand.link.set(Link::Up);
    }
    if draw.drain {
        drained(&spool, &config).await;
    }
    forebay = match running {
        Some(forebay) => forebay,
        None => {
            let forebay = stand.serve(&config).await;
            logs.add(&forebay);
            forebay
        }
    };
    answers(&forebay).await;
    stand.link.set(Link::Up);
    let began = Instant::now();
    forebay.flush().await;
    let delivered_in = began.elapsed();
    let taken_in = takes_calls(&forebay, &mut random, draw.text, &mut journal).await;
    if let Some(filler) = filler {
        filler.remove();
        takes_calls(&forebay, &mut random, draw.text, &mut journal).await;
    }
    forebay.flush().await;
    let report = checker::check_bulk(&journal, &stand.bucket(), "segment-logs/").await;
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
    let (apparent, allocated) = sampler.stop();
    let used = stays_below_the_cap(&draw, &apparent, &allocated);
    Some(format!(
        "full in {filled_in:.1?} with {:?}; {} refused, {} limited, slowest {:?}; delivered in {delivered_in:.1?}, taken again in \
         {taken_in:.1?}; {used}; {}",
        full.kinds,
        counts.refused(),
        counts.limited(),
        counts.slowest_refusal(),
        report.unwrap_or_default(),
    ))
}

/// Waits until the spool takes no more. Meanwhile each request is answered, and the status shows at most 100 %.
async fn until_full(forebay: &Forebay, load: &BulkLoad) {
    wait::until("calls to be refused", FULL_TIMEOUT, async || {
        assert_eq!(load.counts.unanswered(), 0, "each request is answered\n{}", forebay.log());
        assert_below_100_percent(&status(forebay).await);
        (load.counts.refused_in_a_row() >= REFUSED_IN_A_ROW).then_some(())
    })
    .await;
}

/// Sees that the admin listener answers sensibly and at once, whatever the disk's state.
async fn answers(forebay: &Forebay) {
    let began = Instant::now();
    let health = ask(forebay, "/health").await;
    assert_eq!(health.status, StatusCode::OK, "{health:?}");
    let ready = ask(forebay, "/ready").await;
    let says_why = ready.status == StatusCode::SERVICE_UNAVAILABLE && !ready.body.is_empty();
    assert!(ready.status == StatusCode::OK || says_why, "{ready:?}");
    assert_below_100_percent(&status(forebay).await);
    let took = began.elapsed();
    assert!(took < ANSWER_MAX, "/health, /ready and /api/status took {took:?}");
}

fn assert_below_100_percent(status: &Value) {
    let spool = &status["spool"];
    let (used, max) = (spool["used_bytes"].as_u64().unwrap(), spool["max_bytes"].as_u64().unwrap());
    assert!(used <= max, "the status shows {used} of {max} bytes: {} %", used * 100 / max);
}

/// Sees that requests are accepted, soon; how soon.
async fn takes_calls(
    forebay: &Forebay,
    random: &mut StdRng,
    text: Text,
    journal: &mut BulkJournal,
) -> Duration {
    let load = BulkLoad::start(&forebay.collector, random, text);
    let began = Instant::now();
    wait::until("a call to be taken again", RECOVERY_MAX, async || {
        assert_eq!(load.counts.unanswered(), 0, "each request is answered\n{}", forebay.log());
        (load.counts.accepted() > 0).then_some(())
    })
    .await;
    let took = began.elapsed();
    wait::until("calls to be taken again", FULL_TIMEOUT, async || {
        assert_eq!(load.counts.unanswered(), 0, "each request is answered\n{}", forebay.log());
        (load.counts.accepted() >= LAST_REQUESTS).then_some(())
    })
    .await;
    load.stop(journal).await;
    took
}

/// Empties the spool with `forebay spool drain`.
async fn drained(spool: &std::path::Path, config: &PathBuf) {
    let mut drain = command();
    drain.args(["spool", "drain"]).arg(spool).arg("--config").arg(config);
    drain.envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]);
    let output = finished(&mut drain).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("the spool is empty"),
        "spool drain on a full disk: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Sees that the spool never took more than its cap; what it took at most.
fn stays_below_the_cap(draw: &Draw, apparent: &Usage, allocated: &Usage) -> String {
    let (most, on_disk) = (apparent.apparent, allocated.allocated);
    if let Some(cap) = draw.cap {
        assert!(
            most <= cap,
            "the spool's files took {most} of {cap} bytes ({} %): {:?}",
            most * 100 / cap,
            apparent.kinds
        );
        // xfs allocates more than is written to a file that grows, and takes it back when the file is closed.
        let allowed = if matches!(draw.kind, Kind::Xfs) { draw.disk_bytes } else { cap };
        assert!(
            on_disk <= allowed,
            "the spool took {on_disk} of {allowed} bytes on the disk ({} %): {:?}",
            on_disk * 100 / allowed,
            allocated.kinds
        );
    }
    format!("at most {:.1} MB of files, {:.1} MB allocated", mb(most), mb(on_disk))
}

#[expect(clippy::cast_precision_loss, reason = "to be read by people")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / MB as f64
}

async fn status(forebay: &Forebay) -> Value {
    let answer = ask(forebay, "/api/status").await;
    serde_json::from_slice(&answer.body).unwrap()
}

async fn ask(forebay: &Forebay, path: &str) -> Answer {
    let request = http::Request::get(format!("{}{path}", forebay.console)).body(Full::default()).unwrap();
    let answer = Http::new().send(request).await;
    answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", forebay.log()))
}
