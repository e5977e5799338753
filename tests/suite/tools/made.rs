//! A small spool with calls in every state: delivered, parked, in conflict, sealed and open calls of two
//! sources, and rejected ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::batch::BatchKey;
use forebay::call::{LineSink, RejectReason};
use forebay::delivery::make::encode::{self, Job, encode};
use forebay::delivery::make::staging::{OBJECT_IN_MEMORY_MAX, Staged, Staging, StagingMemory};
use forebay::disk::real_disk::RealDisk;
use forebay::log::{Log, Parked, RequestFrames, Seal};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, ObjectKey, ObjectName, S3Location, Stream};
use forebay::random::Random;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::spool::format::{index_name, seen_name, spare_name};
use forebay::spool::offline::View;
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::UnixMillis;

use super::copy;
use crate::support::wait;

/// Short segments, so that a small spool has several.
pub(super) const SEGMENT: u64 = 64 * 1_024;
/// 2023-11-14, when all its calls were received.
pub(super) const RECEIVED_AT: UnixMillis = UnixMillis(1_700_000_000_000);
/// Numbers of the delivered calls of `web`.
pub(super) const DELIVERED: std::ops::Range<u32> = 0..50;
/// Those in a parked object.
pub(super) const PARKED: std::ops::Range<u32> = 50..70;
/// Those in a sealed object with a conflict.
pub(super) const CONFLICT: std::ops::Range<u32> = 70..90;
/// Those that are not sealed.
pub(super) const OPEN: std::ops::Range<u32> = 90..110;
/// Numbers of the calls of `ios`, none of them sealed.
pub(super) const IOS: std::ops::Range<u32> = 0..20;
/// Numbers of the objects of `ios` in the collection `rooms`, if it has any.
pub(super) const ROOMS: std::ops::Range<u32> = 0..7;
/// Numbers of its dead letters of the destination `function`, if it has any.
pub(super) const DEAD: std::ops::Range<u32> = 0..2;
/// Numbers of the rejected lines of `ios`.
pub(super) const REJECTED: std::ops::Range<u32> = 0..3;

#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

/// The spool as a kill left it.
#[derive(Debug)]
pub(super) struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    /// The spool's directory.
    pub(super) fn dir(&self) -> PathBuf {
        self.folder.path().join("killed")
    }

    /// The same spool after a regular end.
    pub(super) fn closed(&self) -> PathBuf {
        self.folder.path().join("made")
    }

    /// A path next to it.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(super) fn line(source: &str, number: u32) -> String {
    format!(r#"{{"source":"{source}","n":{number},"pad":"{}"}}"#, "x".repeat(900))
}

pub(super) fn lines(source: &str, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| line(source, number)).collect()
}

pub(super) fn key(source: &str) -> BatchKey {
    BatchKey { source: SourceId::new(source).unwrap(), day: RECEIVED_AT.day(), stream: Stream::Calls }
}

pub(super) fn options() -> SpoolOptions {
    SpoolOptions { segment_bytes: SEGMENT, dedupe_max: 10_000, ..SpoolOptions::default() }
}

pub(super) fn open(dir: &Path) -> Spool {
    open_as(dir, None)
}

/// Opens it as a collector with this `spool.node` does.
pub(super) fn open_as(dir: &Path, node: Option<&str>) -> Spool {
    let disk = Arc::new(RealDisk::open(dir).unwrap());
    let clock = Arc::new(SystemClock::new());
    let options = SpoolOptions { node: node.map(str::to_owned), ..options() };
    Spool::open(disk, options, clock, &Counting::default(), Arc::new(Metrics::new())).unwrap().0
}

async fn append(spool: &Spool, source: &str, lines: &[String], stream: Stream) {
    for piece in lines.chunks(5) {
        let source = SourceId::new(source).unwrap();
        let mut frames = RequestFrames::new(source.clone(), RECEIVED_AT, 0);
        frames.set_stream(stream.clone());
        for line in piece {
            frames.line().extend_from_slice(line.as_bytes());
            if stream == Stream::Rejected {
                frames.rejected(RejectReason::ALL[0]);
            } else {
                frames.call(spool.fingerprinter().of(&source, line.as_bytes(), "track", b""));
            }
        }
        spool.appender().append(frames).await.unwrap();
    }
}

/// Seals all open calls of `web`.
fn seal(log: &dyn Log, staging: &Staging) -> (Seal, Staged) {
    let batch = log.open_batch(&key("web")).unwrap();
    let job =
        Job { key: key("web"), after: batch.sealed_through, through: u64::MAX, max_bytes: 1 << 20, level: 6 };
    let encode::Made::Object(object) = encode(log, staging, &SystemClock::new(), &job).unwrap() else {
        panic!("there must be frames")
    };
    let location = log.current_location(&key("web").source).unwrap();
    let name = ObjectName {
        first_received_at: object.encoded.named_at,
        node: &log.node(),
        spool_id: &log.spool_id(),
        first_position: object.encoded.first,
    };
    let object_key =
        ObjectKey::of_batch(&location.bucket, &Stream::Calls, &key("web").source, RECEIVED_AT.day(), name);
    let seal = log.seal(&key("web"), &object.encoded, location, object_key).unwrap();
    (seal, object.staged)
}

/// Creates the spool.
pub(super) async fn made() -> Made {
    made_with(&[]).await
}

/// Creates the spool, with lines of `ios` in more streams.
pub(super) async fn made_with(more: &[(&str, std::ops::Range<u32>)]) -> Made {
    let made = Made { folder: tempfile::tempdir().unwrap() };
    let spool = open(&made.closed());
    let log = spool.log();
    let staging = Staging::new(spool.staging_disk(), StagingMemory::default(), OBJECT_IN_MEMORY_MAX);
    let goes = |source: &str, bucket: &str| {
        let bucket = BucketString::parse(bucket).unwrap();
        let location = S3Location::new(bucket, Encryption::SseS3);
        (SourceId::new(source).unwrap(), location)
    };
    spool.locations().set_locations(vec![goes("web", "forebay/raw"), goes("ios", "forebay")]).unwrap();
    append(&spool, "web", &lines("web", DELIVERED), Stream::Calls).await;
    let (first, _) = seal(&*log, &staging);
    log.commit(&first, None).unwrap();
    append(&spool, "web", &lines("web", PARKED), Stream::Calls).await;
    let (second, staged) = seal(&*log, &staging);
    let parked = Parked { len: staged.len, crc32: staged.crc32 };
    assert!(log.make_room(&second, &mut staged.reader(), parked).unwrap());
    append(&spool, "web", &lines("web", CONFLICT), Stream::Calls).await;
    let (third, _) = seal(&*log, &staging);
    log.conflict(&third).unwrap();
    append(&spool, "web", &lines("web", OPEN), Stream::Calls).await;
    // Repeats, of which only the number is stored.
    append(&spool, "web", &lines("web", OPEN.start..OPEN.start + 5), Stream::Calls).await;
    append(&spool, "ios", &lines("ios", IOS), Stream::Calls).await;
    append(&spool, "ios", &lines("rejected", REJECTED), Stream::Rejected).await;
    for (stream, numbers) in more {
        append(&spool, "ios", &lines(stream, numbers.clone()), stream.parse().unwrap()).await;
    }
    wait::until(
        "the first segment to be released, the second indexed",
        Duration::from_secs(20),
        async || {
            let disk = spool.disk();
            let view = View::of(Arc::clone(disk)).ok()?;
            let named: Vec<u64> = view.segments.iter().map(|segment| segment.number).collect();
            let there = |name: &str| disk.open(name).is_ok();
            let settled =
                named == [1, 2, 3] && there(&index_name(1)) && there(&seen_name(1)) && !there(&spare_name(0));
            settled.then_some(())
        },
    )
    .await;
    copy(&made.closed(), &made.dir());
    drop(staging);
    drop(log);
    tokio::task::spawn_blocking(move || spool.close()).await.unwrap();
    made
}
