//! A spool fills its small disk while the store is away, and the program is killed, stopped or left running.
//! It must start again without a free byte, deliver everything after the store is back, and accept calls
//! again.

use std::future::Future;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::bulk::Text;
use super::full_spool::{FullSpool, Setting};
use super::setting;
use crate::support::loop_disk::Kind;
use crate::support::tcp_proxy::Link;

/// The number of rounds, unless `FOREBAY_SMALL_DISKS` is set.
const ROUNDS: u64 = 3;
const MB: u64 = 1_000_000;
const MIB: u64 = 1_024 * 1_024;
/// Sizes of disks. The default log of xfs needs 300 MiB.
const EXT4_MIN: u64 = 100 * MB;
const XFS_MIN: u64 = 300 * MIB;
const DISK_MAX: u64 = 1_000 * MB;
/// The least space that other files leave; and the most in the ordinary test run, to keep it short.
const ROOM_MIN: u64 = 40 * MB;
const ROOM_QUICK_MAX: u64 = 80 * MB;
/// Sizes of segments: the smallest possible, and the default.
const SEGMENT: std::ops::RangeInclusive<u64> = 8..=64;
/// `spool.max_bytes` must be at least four segments.
const CAP_SEGMENTS_MIN: u64 = 4;
/// The largest share of the space that one segment takes, in per cent: a disk without space for one accepts
/// no calls.
const SEGMENT_PERCENT_MAX: u64 = 60;

/// The text of calls: gzip compresses it to a half, three quarters or a fraction.
const TEXT_THIN: Text = Text { letters: 16, repeats: 1 };
const TEXT_DENSE: Text = Text { letters: 64, repeats: 1 };
const TEXT_REPEATED: Text = Text { letters: 64, repeats: 16 };
/// The largest spool that is filled with the last.
const REPEATED_MAX: u64 = 100 * MB;
/// The age at which batches are due without a request.
const AGE_SOON: &str = "1 s";
/// How long deliveries continue after SIGTERM. The store is away, so none succeeds.
const GRACE: &str = "1 s";

/// How the process that filled the disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Kill,
    Terminate,
    /// It keeps running.
    None,
}

/// The random choices of a round.
#[derive(Clone, Copy, Debug)]
struct Draw {
    seed: u64,
    kind: Kind,
    disk_bytes: u64,
    /// The space that other files leave.
    room: Option<u64>,
    segment_bytes: u64,
    /// `spool.max_bytes`; without it the default of 20 GB, which exceeds the disk.
    cap: Option<u64>,
    /// `flush.max_bytes`.
    object_bytes: u64,
    max_age: &'static str,
    text: Text,
    ending: Ending,
    /// Whether another file takes the rest of the disk before the next start, or while the process keeps
    /// running.
    filler: bool,
    /// Whether the store comes back before the next start.
    store_first: bool,
    /// Whether `forebay spool drain` runs before the next start.
    drain: bool,
}

impl Draw {
    /// Consecutive seeds alternate between file systems and endings.
    fn of(seed: u64, quick: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (kind, least) = [(Kind::Ext4, EXT4_MIN), (Kind::Xfs, XFS_MIN)][turn(seed, 2)];
        let ending = [Ending::Kill, Ending::Terminate, Ending::None][turn(seed, 3)];
        let disk_bytes = size_between(&mut random, least, DISK_MAX);
        let room = match quick {
            true => Some(random.random_range(ROOM_MIN..=ROOM_QUICK_MAX)),
            false => random.random_ratio(1, 3).then(|| random.random_range(ROOM_MIN..=disk_bytes / 2)),
        };
        // The file system itself takes some of the disk.
        let space = room.unwrap_or(disk_bytes / 4 * 3);
        let cap = random.random_ratio(1, 4).then(|| {
            random.random_range(space / 3..space / 4 * 3).max(CAP_SEGMENTS_MIN * SEGMENT.start() * MIB)
        });
        let segment_max = cap.map_or(space * SEGMENT_PERCENT_MAX / 100, |cap| cap / CAP_SEGMENTS_MIN);
        // Repetitive text takes long to fill a large disk: parked, it shrinks to a tenth.
        let segment_bytes = (random.random_range(SEGMENT) * MIB).min(segment_max);
        let texts = if quick || cap.unwrap_or(space) > REPEATED_MAX { 2 } else { 3 };
        Self {
            seed,
            kind,
            disk_bytes,
            room,
            segment_bytes,
            cap,
            object_bytes: [100 * MB, 8 * MB, MB][random.random_range(0..3)],
            max_age: [AGE_SOON, "1 h"][random.random_range(0..2)],
            text: [TEXT_THIN, TEXT_DENSE, TEXT_REPEATED][random.random_range(0..texts)],
            ending,
            // It leaves less than the cap, and four segments must be left for calls to be accepted.
            filler: random.random_ratio(1, 2)
                && cap.is_none_or(|cap| cap >= (CAP_SEGMENTS_MIN + 2) * segment_bytes),
            store_first: random.random_ratio(1, 2),
            drain: ending != Ending::None && random.random_ratio(1, 4),
        }
    }

    fn setting(&self) -> Setting {
        let cap = self.cap.map_or(String::new(), |cap| format!("\nmax_bytes = \"{cap} B\""));
        let (bytes, age) = (self.object_bytes, self.max_age);
        Setting {
            seed: self.seed,
            kind: self.kind,
            mkfs: &[],
            disk_bytes: self.disk_bytes,
            room: self.room,
            spool: format!("segment_bytes = \"{} B\"{cap}", self.segment_bytes),
            flush: format!("max_bytes = \"{bytes} B\"\nmax_age = \"{age}\"\nshutdown_grace = \"{GRACE}\""),
            cap: self.cap,
            text: self.text,
        }
    }
}

/// A random number in a range, with small ones as likely as large ones.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a size whose exact value does not matter"
)]
fn size_between(random: &mut StdRng, least: u64, most: u64) -> u64 {
    let times = most as f64 / least as f64;
    (least as f64 * times.powf(random.random_range(0.0..=1.0))) as u64
}

/// An index that cycles with the seed.
fn turn(seed: u64, of: u64) -> usize {
    usize::try_from(seed % of).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_filled_its_disk_starts_delivers_and_accepts_calls() {
    let rounds = setting("FOREBAY_SMALL_DISKS");
    // About 48 bits, so that a seed is easy to read and type.
    let any = || rand::random::<u64>() >> 16;
    let seed = setting("FOREBAY_SMALL_DISKS_SEED").unwrap_or_else(any);
    let (mut passed, mut failed) = (0, Vec::new());
    for seed in seed..seed + rounds.unwrap_or(ROUNDS) {
        let draw = Draw::of(seed, rounds.is_none());
        eprintln!("\n{draw:?}");
        let began = Instant::now();
        let Some(outcome) = caught(round(draw)).await else { return };
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
        "repeat one with FOREBAY_SMALL_DISKS_SEED, and the same FOREBAY_SMALL_DISKS or none"
    );
}

/// Runs a round to its end. A panic is its failure, and the next round follows; `None` if it was skipped.
async fn caught(round: impl Future<Output = Option<String>> + 'static) -> Option<Result<String, String>> {
    let local = LocalSet::new();
    let task = local.spawn_local(round);
    match local.run_until(task).await {
        Ok(report) => report.map(Ok),
        Err(error) => {
            let panic = error.into_panic();
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Some(Err(why.lines().next().unwrap_or_default().to_owned()))
        }
    }
}

/// Fills one disk and checks the rest.
async fn round(draw: Draw) -> Option<String> {
    let mut spool = FullSpool::new(draw.setting()).await?;
    spool.stand.link.set(Link::Cut);
    let forebay = spool.serve().await;
    let load = spool.load(&forebay);
    let began = Instant::now();
    spool.until_full(&forebay, &load).await;
    let filled_in = began.elapsed();
    spool.answers(&forebay).await;
    let full = spool.usage();
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
    let counts = spool.stop(load).await;
    let filler = draw.filler.then(|| spool.fill());

    if draw.store_first || draw.drain {
        spool.stand.link.set(Link::Up);
    }
    if draw.drain {
        spool.drain().await;
    }
    let began = Instant::now();
    let forebay = match running {
        Some(forebay) => forebay,
        None => spool.serve().await,
    };
    let started_in = began.elapsed();
    spool.answers(&forebay).await;
    spool.stand.link.set(Link::Up);
    let began = Instant::now();
    if draw.max_age == AGE_SOON {
        spool.delivers_by_itself(&forebay).await;
    } else {
        spool.deliver(&forebay).await;
    }
    let delivered_in = began.elapsed();
    let taken_in = spool.takes_calls(&forebay).await;
    if let Some(filler) = filler {
        filler.remove();
        spool.takes_calls(&forebay).await;
    }
    let (refused, limited, slowest) = (counts.refused(), counts.limited(), counts.slowest_refusal());
    let report = spool.settle(forebay).await;
    Some(format!(
        "full in {filled_in:.1?} with {:?}; {refused} refused, {limited} limited, slowest {slowest:?}; started in \
         {started_in:.1?}, delivered in {delivered_in:.1?}, taken again in {taken_in:.1?}; {report}",
        full.kinds,
    ))
}
