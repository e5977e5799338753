//! Found by the sweep: a last segment that the disk cannot read is damaged, not torn or unused.

use std::sync::Arc;

use forebay::call::LineSink as _;
use forebay::disk::Disk as _;
use forebay::log::{Range, RequestFrames};
use forebay::metrics::Metrics;
use forebay::random::Random;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::spool::offline::{View, verify};
use forebay::spool::{OpenError, Recovered, SpoolOptions, Stepped};
use forebay::time::UnixMillis;

use crate::support::sim_disk::SimDisk;

/// Where the first block begins.
const FIRST_BLOCK: u64 = 4_096;

#[derive(Debug)]
struct Fixed;
impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

fn open(disk: &SimDisk, stop_on_corruption: bool) -> Result<(Stepped, Recovered), OpenError> {
    let options = SpoolOptions { segment_bytes: 32 * 1_024, stop_on_corruption, ..SpoolOptions::default() };
    let clock = Arc::new(SystemClock::new());
    Stepped::open(Arc::new(disk.clone()), options, clock, &Fixed, Arc::new(Metrics::new()))
}

/// Opens a spool with one acknowledged call that cannot be read, at this byte of its segment.
fn check(at: u64, lost: &[Range], unreadable: bool) {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk, false).unwrap();
    let mut frames = RequestFrames::new(SourceId::new("web").unwrap(), UnixMillis(1_700_000_000_000), 0);
    frames.line().extend_from_slice(format!("{{\"x\":\"{}\"}}", "x".repeat(6_000)).as_bytes());
    frames.call(0);
    assert_eq!(spool.append([frames]).unwrap()[0].stored, 1);
    drop(spool);
    let segment = disk.list("").unwrap().into_iter().find(|(name, _)| name.ends_with(".seg")).unwrap().0;
    disk.set_unreadable(&segment, at);
    let stops = disk.copy();
    stops.set_unreadable(&segment, at);
    assert!(open(&stops, true).is_err(), "at {at}: it must stop when calls are lost");
    let view = View::of(Arc::new(disk.clone())).unwrap();
    let verified = verify(&view, &mut |_, _| ()).unwrap();
    let told =
        verified.findings.iter().any(|finding| finding.what.contains("the disk cannot read all of it"));
    assert!(!verified.sound && told, "at {at}: {verified:?}");
    let (_, recovered) = open(&disk, false).unwrap();
    assert_eq!((&recovered.lost[..], recovered.unreadable.is_some()), (lost, unreadable), "at {at}");
    let kept = disk.list("quarantine").unwrap();
    assert!(kept.iter().any(|(name, _)| *name == segment), "at {at}: {kept:?}");
}

#[test]
fn a_last_segment_that_cannot_be_read_is_kept_and_reported() {
    let call = Range { first: 1, last: 1 };
    // Within the call, and in the header of its block, in which case its existence is unknown.
    check(FIRST_BLOCK + 4_096 + 100, &[call], true);
    check(FIRST_BLOCK, &[], true);
}
