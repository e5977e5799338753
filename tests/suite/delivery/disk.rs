//! Disks that are full, that cannot be read in a place, and manifests that rot.

use std::sync::Arc;

use forebay::call::LineSink as _;
use forebay::disk;
use forebay::disk::Disk as _;
use forebay::log::{AppendError, Encoded, Go, Range, Read, RequestFrames, Stopped};
use forebay::metrics::Metrics;
use forebay::object::{ObjectKey, ObjectName};
use forebay::random::Random;
use forebay::spool::{OpenError, Recovered, SpoolOptions, Stepped, manifest};
use forebay::time::Clock as _;

use super::node::{StepClock, source, to};
use crate::support::sim_disk::{Dice, SimDisk};

const SEGMENT: u64 = 16 * 1_024;

#[derive(Debug)]
struct Fixed;
impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: SEGMENT,
        max_bytes: 10_000 * SEGMENT,
        // As long, against the notes of these tests, as the real one: seals need no space.
        manifest_bytes: 32 * 1_024,
        dedupe_max: 5_000,
        ..Default::default()
    }
}

fn try_open(disk: &SimDisk, options: SpoolOptions) -> Result<(Stepped, Recovered), OpenError> {
    Stepped::open(Arc::new(disk.clone()), options, StepClock::new(), &Fixed, Arc::new(Metrics::new()))
}

fn open(disk: &SimDisk) -> (Stepped, Recovered) {
    try_open(disk, options()).unwrap()
}

fn line(n: u32) -> String {
    format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(500))
}

fn append(spool: &mut Stepped, name: &str, n: u32) -> Result<(), AppendError> {
    let mut frames = RequestFrames::new(source(name), StepClock::new().wall(), 0);
    frames.line().extend_from_slice(line(n).as_bytes());
    frames.call(u128::from(n) + 1);
    spool.append([frames]).map(drop)
}

/// All lines that are sealed or open, with what is lost among them.
fn undelivered(spool: &Stepped) -> (Vec<String>, Vec<Range>) {
    let (mut lines, mut lost) = (Vec::new(), Vec::new());
    let log = spool.log();
    let open = log.open_batches().into_iter().map(|batch| (batch.key, batch.sealed_through, u64::MAX));
    let sealed = log.pending_seals().into_iter().map(|pending| pending.seal);
    let sealed = sealed.map(|seal| (seal.batch, seal.first - 1, seal.last));
    for (key, after, through) in open.chain(sealed) {
        let read = log.read(&key, after, through, &mut |read| {
            match read {
                Read::Frame(frame) => lines.push(String::from_utf8(frame.payload.to_vec()).unwrap()),
                Read::Lost(range) => lost.push(range),
            }
            Ok(Go::On)
        });
        read.unwrap();
    }
    lines.sort();
    (lines, lost)
}

/// Seals everything and takes it as stored.
fn deliver(spool: &mut Stepped) -> usize {
    try_deliver(spool).unwrap()
}

/// Seals everything and takes it as stored, where the disk lets it.
pub(super) fn try_deliver(spool: &mut Stepped) -> Result<usize, Stopped> {
    let log = spool.log();
    let mut delivered = 0;
    for batch in log.open_batches() {
        let encoded = Encoded {
            first: batch.first,
            last: batch.last,
            frames: batch.frames,
            bytes: batch.bytes,
            sha256: String::new(),
            named_at: batch.first_received_at,
            first_received_at: batch.first_received_at,
            last_received_at: batch.first_received_at,
            encoder: String::new(),
            next_received_at: None,
            hours: Vec::new(),
        };
        let (node, spool_id) = (log.node(), log.spool_id());
        let (first_received_at, first_position) = (batch.first_received_at, batch.first);
        let name = ObjectName { first_received_at, node: &node, spool_id: &spool_id, first_position };
        let to = to("bucket");
        let key = ObjectKey::of_batch(&to.bucket, &batch.key.stream, &batch.key.source, batch.key.day, name);
        let seal = log.seal(&batch.key, &encoded, to, key)?;
        log.commit(&seal, None)?;
        delivered += usize::try_from(batch.frames).unwrap();
    }
    Ok(delivered)
}

fn fill(spool: &mut Stepped, from: u32) -> u32 {
    let mut n = from;
    loop {
        match append(spool, "web", n) {
            Ok(()) => n += 1,
            Err(AppendError::Full) => {
                spool.keep().unwrap();
                if append(spool, "web", n) == Err(AppendError::Full) {
                    return n;
                }
                n += 1;
            }
            Err(error) => panic!("{error}: a full disk stops nothing"),
        }
        assert!(n < 100_000);
    }
}

#[test]
fn a_full_disk_refuses_calls_and_stops_nothing_and_takes_calls_again_once_there_is_room() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    disk.set_capacity(Some(disk.used() + 20 * SEGMENT));
    let mut n = 0;
    for round in 0..3 {
        let before = n;
        n = fill(&mut spool, n);
        assert!(n > before + 100, "round {round}: {n}");
        let mut expected: Vec<String> = (before..n).map(line).collect();
        expected.sort();
        assert_eq!(undelivered(&spool).0, expected);
        assert_eq!(deliver(&mut spool), usize::try_from(n - before).unwrap());
        spool.keep().unwrap();
        spool.keep().unwrap();
    }
}

#[test]
fn a_spool_on_a_full_disk_is_opened_delivered_and_used_again() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    disk.set_capacity(Some(disk.used() + 20 * SEGMENT));
    let n = fill(&mut spool, 0);
    drop(spool);
    // Somebody else takes what is left, and more.
    disk.set_capacity(Some(0));
    disk.crash(&mut Dice(1));
    // A start needs not a byte.
    let (mut spool, recovered) = open(&disk);
    assert_eq!((recovered.frames, recovered.lost.len()), (u64::from(n), 0));
    let mut expected: Vec<String> = (0..n).map(line).collect();
    expected.sort();
    assert_eq!(undelivered(&spool).0, expected);
    assert_eq!(append(&mut spool, "web", n), Err(AppendError::Full));
    deliver(&mut spool);
    spool.keep().unwrap();
    spool.keep().unwrap();
    assert!(fill(&mut spool, n) > n, "a segment that is delivered is the next one");
}

#[test]
fn a_sector_that_cannot_be_read_costs_its_frames_and_no_other() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    // Two segments and a bit; each frame is a block.
    for n in 0..60 {
        if append(&mut spool, "web", n) == Err(AppendError::Full) {
            spool.keep().unwrap();
            append(&mut spool, "web", n).unwrap();
        }
    }
    spool.keep().unwrap();
    drop(spool);
    let first = disk.list("").unwrap().into_iter().find(|(name, _)| name.ends_with(".seg")).unwrap().0;
    for at in [0, 4_096 + 40, 9_000] {
        let disk = disk.copy();
        disk.set_unreadable(&first, at);
        let (spool, recovered) = open(&disk);
        let (lines, lost) = undelivered(&spool);
        let count = |lost: &[Range]| lost.iter().map(|range| range.last - range.first + 1).sum::<u64>();
        // A sector holds about seven of these frames, or the header, which hides nothing.
        let gone = count(&lost) + count(&recovered.lost);
        assert_eq!(lines.len() as u64 + gone, 60, "at {at}: {lost:?} {recovered:?}");
        assert!(gone <= 9 && (gone > 0) == (at > 0), "at {at}: {gone}");
    }
}

#[test]
fn notes_that_rot_lose_no_call_and_a_spool_that_is_to_stop_stops() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    spool.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let mut delivered = 0;
    for n in 0..60 {
        if append(&mut spool, "web", n) == Err(AppendError::Full) {
            spool.keep().unwrap();
            append(&mut spool, "web", n).unwrap();
        }
        if n == 10 {
            delivered = deliver(&mut spool);
        }
    }
    drop(spool);
    let manifest = disk.list("").unwrap().into_iter().find(|(name, _)| name.starts_with("MANIFEST")).unwrap();
    let bytes = disk::read_all(&*disk.open(&manifest.0).unwrap()).unwrap();
    // Behind the first note, which tells everything of earlier lives, and before the last, which may be torn.
    let mut damaged = 0;
    for at in (0..manifest::written(&bytes).len() as u64).step_by(40) {
        let disk = disk.copy();
        disk.rewrite(&manifest.0, |bytes| bytes[usize::try_from(at).unwrap()] ^= 0x10);
        let stop = SpoolOptions { stop_on_corruption: true, ..options() };
        let stops = try_open(&disk.copy(), stop).is_err();
        let (spool, recovered) = match try_open(&disk, options()) {
            Ok(opened) => opened,
            Err(OpenError::Manifest(_)) => continue,
            Err(error) => panic!("at {at}: {error}"),
        };
        assert_eq!(stops, recovered.manifest_damaged, "at {at}");
        damaged += u32::from(recovered.manifest_damaged);
        let lines = undelivered(&spool).0;
        let missing: Vec<u32> = (0..60).skip(delivered).filter(|n| !lines.contains(&line(*n))).collect();
        assert_eq!(missing, [0_u32; 0], "at {at}");
        assert_eq!(recovered.lost, [], "at {at}");
        assert_eq!(spool.log().ledger_differences(), [], "at {at}");
        // Where the source goes is said again at each start, and holds for what it had.
        spool.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
        assert!(spool.log().location(&source("web"), 1).is_some(), "at {at}");
    }
    assert!(damaged > 3, "{damaged}");
}
