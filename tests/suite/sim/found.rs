//! What seeds have found, each in the fewest steps that show it.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use forebay::batch::BatchKey;
use forebay::call::LineSink as _;
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Destination, Encryption, ObjectKey, ObjectName, Stream};
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::spool::disk;
use forebay::spool::ledger::Hour;
use forebay::spool::manifest::{self, Manifest};
use forebay::spool::note::{Note, Parked, Seal};
use forebay::spool::outlet::parked_name;
use forebay::spool::reader::{Go, Read};
use forebay::spool::scan::Range;
use forebay::spool::segment::{BLOCK_HEADER, SEGMENT_HEADER, index_name, segment_name};
use forebay::spool::state::State;
use forebay::spool::{
    AppendError, Disk, Encoded, OpenError, Recovered, RequestFrames, SpoolOptions, Stepped, Stopped,
};
use forebay::time::UnixMillis;

use super::clock::SimClock;
use crate::support::sim_disk::{Dice, EIO, SimDisk, Trouble};

pub(super) const NOON: UnixMillis = UnixMillis(1_700_049_600_000);
const SEGMENT: u64 = 16 * 1_024;

#[derive(Debug)]
struct Fixed;
impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        41
    }
}

pub(super) fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: SEGMENT,
        max_bytes: 100 * SEGMENT,
        manifest_bytes: 4_096,
        dedupe_max: 1_000,
        ..SpoolOptions::default()
    }
}

pub(super) fn try_open(disk: &SimDisk, options: SpoolOptions) -> Result<(Stepped, Recovered), OpenError> {
    try_open_at(disk, options, NOON)
}

pub(super) fn try_open_at(
    disk: &SimDisk,
    options: SpoolOptions,
    at: UnixMillis,
) -> Result<(Stepped, Recovered), OpenError> {
    let clock = Arc::new(SimClock::new(at.0));
    Stepped::open(Arc::new(disk.clone()), options, clock, &Fixed, Arc::new(Metrics::new()))
}

pub(super) fn open(disk: &SimDisk) -> (Stepped, Recovered) {
    try_open(disk, options()).unwrap()
}

fn batch(source: &str) -> BatchKey {
    BatchKey { source: SourceId::new(source).unwrap(), day: NOON.day(), stream: Stream::Calls }
}

/// Stores one line in a block of its own.
pub(super) fn append(spool: &mut Stepped, source: &str, line: &str) {
    append_at(spool, source, line, NOON);
}

/// Stores one line, received then, in a block of its own.
pub(super) fn append_at(spool: &mut Stepped, source: &str, line: &str, at: UnixMillis) {
    let frames = || {
        let mut frames = RequestFrames::new(batch(source).source, at, 0);
        frames.line().extend_from_slice(line.as_bytes());
        frames.call(0);
        frames
    };
    let mut stored = spool.append([frames()]);
    if stored == Err(AppendError::Full) {
        spool.keep().unwrap();
        stored = spool.append([frames()]);
    }
    assert_eq!(stored.unwrap().len(), 1);
}

/// Stores lines of another source until the open segment is full, and lets the housekeeper close it.
pub(super) fn fill_segment(spool: &mut Stepped) {
    fill_segment_at(spool, NOON);
}

pub(super) fn fill_segment_at(spool: &mut Stepped, at: UnixMillis) {
    let before = spool.outlet().usage().segments;
    while spool.outlet().usage().segments == before {
        append_at(spool, "other", &"x".repeat(1_000), at);
    }
    spool.keep().unwrap();
}

/// What is read of a batch: its lines, and what is lost.
pub(super) fn read(spool: &Stepped, source: &str) -> (Vec<String>, Vec<Range>) {
    let (mut lines, mut lost) = (Vec::new(), Vec::new());
    let read = spool.outlet().read(&batch(source), 0, u64::MAX, &mut |read| {
        match read {
            Read::Frame(frame) => lines.push(String::from_utf8(frame.payload.to_vec()).unwrap()),
            Read::Lost(range) => lost.push(range),
        }
        Ok(Go::On)
    });
    read.unwrap();
    (lines, lost)
}

/// Seals one line at one position.
fn seal(spool: &Stepped, source: &str, position: u64) -> Seal {
    seal_with(spool, source, position, "sha")
}

/// Seals one line, whose hash is given, at one position.
pub(super) fn seal_with(spool: &Stepped, source: &str, position: u64, sha256: &str) -> Seal {
    seal_lines(spool, source, Range { first: position, last: position }, 1, sha256)
}

/// Seals lines, whose number and hash are given.
pub(super) fn seal_lines(spool: &Stepped, source: &str, range: Range, frames: u64, sha256: &str) -> Seal {
    let encoded = Encoded { first: range.first, last: range.last, ..encoded(frames, sha256, NOON) };
    seal_encoded(spool, source, &encoded)
}

/// Seals one line, received then, at one position.
pub(super) fn seal_at(spool: &Stepped, source: &str, position: u64, at: UnixMillis) -> Seal {
    let encoded = Encoded { first: position, last: position, ..encoded(1, "sha", at) };
    seal_encoded(spool, source, &encoded)
}

fn encoded(frames: u64, sha256: &str, at: UnixMillis) -> Encoded {
    Encoded {
        first: 0,
        last: 0,
        frames,
        bytes: 2 * frames,
        sha256: sha256.to_owned(),
        named_at: at,
        first_received_at: at,
        last_received_at: at,
        encoder: "test/6".to_owned(),
        next_received_at: None,
        hours: vec![(Hour::of(at), frames)],
    }
}

fn seal_encoded(spool: &Stepped, source: &str, encoded: &Encoded) -> Seal {
    try_seal_encoded(spool, source, encoded).unwrap()
}

/// Seals one line at one position, if there is space for the note.
pub(super) fn try_seal(spool: &Stepped, source: &str, position: u64) -> Result<Seal, Stopped> {
    try_seal_encoded(spool, source, &Encoded { first: position, last: position, ..encoded(1, "sha", NOON) })
}

fn try_seal_encoded(spool: &Stepped, source: &str, encoded: &Encoded) -> Result<Seal, Stopped> {
    let (outlet, key) = (spool.outlet(), batch(source));
    let to = Destination::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
    let name =
        ObjectName { first_received_at: NOON, node: "n", spool_id: "s", first_position: encoded.first };
    let object_key = ObjectKey::of_batch(&to.bucket, key.stream, &key.source, key.day, name);
    outlet.seal(&key, encoded, to, object_key)
}

/// Damages what stands behind `needle` in a file.
pub(super) fn damage(disk: &SimDisk, name: &str, needle: &str) {
    disk.rewrite(name, |bytes| {
        let at = memchr::memmem::find(bytes, needle.as_bytes()).unwrap();
        bytes[at + needle.len()] ^= 1;
    });
}

/// Damages the header of a segment's first block.
pub(super) fn damage_first_block(disk: &SimDisk, segment: u64) {
    let at = usize::try_from(SEGMENT_HEADER).unwrap() + BLOCK_HEADER / 2;
    disk.flip(&segment_name(segment), at, 1);
}

/// Lets the machine stop at each change of the disk that a start makes, and shows what the next start finds.
fn after_starts_cut_short(disk: &SimDisk, mut look: impl FnMut(u64, &SimDisk, &Stepped)) {
    for after in 0..60 {
        let disk = disk.copy();
        disk.trouble(after, Trouble::Crash);
        drop(try_open(&disk, options()));
        disk.crash(&mut Dice(after));
        let (spool, _) = open(&disk);
        look(after, &disk, &spool);
    }
}

pub(super) fn lost(first: u64, last: u64) -> Vec<Range> {
    vec![Range { first, last }]
}

#[test]
fn a_segment_that_was_begun_on_a_full_disk_is_no_hole() {
    let disk = SimDisk::default();
    disk.set_capacity(Some(SEGMENT_HEADER + 2_048));
    let (mut spool, _) = open(&disk);
    disk.set_capacity(None);
    spool.keep().unwrap();
    append(&mut spool, "web", "1");
    drop(spool);
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, read(&spool, "web").0), (vec![], vec!["1".to_owned()]));
}

/// Seed 9930: the whole frames of a torn write were known where the segment stayed in place, and named as lost once its tail was
/// cleared.
#[test]
fn a_torn_write_that_stays_in_place_on_a_full_disk_is_not_lost() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let mut request = RequestFrames::new(batch("web").source, NOON, 0);
    for line in ["whole", "torn"] {
        request.line().extend_from_slice(line.as_bytes());
        request.call(0);
    }
    spool.append([request]).unwrap();
    drop(spool);
    let torn = disk.list("").unwrap().into_iter().find_map(|(name, len)| {
        let file = disk.open(&name).ok().filter(|_| name.starts_with("wal-"))?;
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        let at = bytes.windows(4).position(|window| window == b"torn")?;
        Some((file, at as u64))
    });
    let (file, at) = torn.unwrap();
    file.write_at(&[IoSlice::new(b"TORN")], at).unwrap();
    let used: u64 = disk.list("").unwrap().iter().map(|(_, len)| len).sum();
    // Nor does what the start lets go of do for a segment.
    disk.set_capacity(Some(used - SEGMENT));
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, read(&spool, "web")), (vec![], (vec!["1".to_owned()], vec![])));
}

#[test]
fn frames_lost_before_the_first_that_is_found_are_named_and_once() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    drop(spool);
    damage_first_block(&disk, 0);
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, read(&spool, "web").0), (lost(1, 1), vec!["2".to_owned()]));
    drop(spool);
    assert_eq!(open(&disk).1.lost, []);
}

#[test]
fn a_hole_that_is_known_hides_none_before_it() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    for line in ["1", "rots:", "3"] {
        append(&mut spool, "web", line);
    }
    fill_segment(&mut spool);
    drop(spool);
    disk.remove(&index_name(0)).unwrap();
    damage(&disk, &segment_name(0), "rots");
    assert_eq!(open(&disk).1.lost, lost(2, 2));
    damage_first_block(&disk, 0);
    disk.remove(&index_name(0)).unwrap();
    assert_eq!(open(&disk).1.lost, lost(1, 1));
}

#[test]
fn frames_let_go_of_long_ago_are_not_missed() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "other", "1");
    fill_segment(&mut spool);
    let last = spool.outlet().open_batches()[0].last;
    let sealed = seal(&spool, "other", last);
    spool.outlet().commit(&sealed, None).unwrap();
    spool.keep().unwrap();
    drop(spool);
    // The first opening forgets what was let go of, the second reads what the first one wrote.
    for _ in 0..3 {
        let (mut spool, recovered) = open(&disk);
        assert_eq!(recovered.lost, []);
        append(&mut spool, "web", "2");
        spool.close().unwrap();
    }
}

#[test]
fn a_parked_object_that_a_crash_left_without_its_note_goes() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let sealed = seal(&spool, "web", 1);
    // The file is made, written, synced and named durably; then comes the note.
    disk.trouble(4, Trouble::Crash);
    let parked = Parked { len: 6, crc32: crc32fast::hash(b"object") };
    spool.outlet().park(&sealed, &mut b"object".as_slice(), parked).unwrap_err();
    drop(spool);
    disk.crash(&mut Dice(1));
    assert_eq!(disk.list("parked").unwrap().len(), 1);
    let (spool, _) = open(&disk);
    assert_eq!(disk.list("parked").unwrap(), []);
    assert_eq!(spool.outlet().pending_seals().len(), 1);
}

#[test]
fn frames_that_neither_index_nor_scan_finds_are_named() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    fill_segment(&mut spool);
    drop(spool);
    damage_first_block(&disk, 0);
    disk.rewrite(&index_name(0), |bytes| *bytes.last_mut().unwrap() ^= 1);
    disk.rewrite(&index_name(0), |bytes| {
        // The runs of every batch, which stand behind the directory.
        let at = bytes.len() - 4;
        bytes.iter_mut().skip(at - 40).for_each(|byte| *byte ^= 1);
    });
    let (spool, _) = open(&disk);
    assert_eq!(read(&spool, "web"), (vec!["2".to_owned()], lost(1, 1)));
}

#[test]
fn a_write_that_is_torn_behind_an_orderly_end_is_no_damage() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    spool.close().unwrap();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "torn:");
    drop(spool);
    let open_segment = segment_name(2);
    damage(&disk, &open_segment, "torn");
    let (spool, recovered) = open(&disk);
    assert!(recovered.torn_bytes > 0 && recovered.lost.is_empty(), "{recovered:?}");
    assert_eq!(read(&spool, "web").0, ["1"]);
}

#[test]
fn an_index_that_is_made_again_takes_in_nothing_that_was_let_go() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let sealed = seal(&spool, "web", 1);
    spool.outlet().commit(&sealed, None).unwrap();
    append(&mut spool, "web", "2");
    fill_segment(&mut spool);
    disk.rewrite(&index_name(0), |bytes| bytes.iter_mut().skip(32).for_each(|byte| *byte ^= 1));
    assert_eq!(read(&spool, "web"), (vec!["2".to_owned()], vec![]));
}

#[test]
fn what_only_the_page_cache_holds_lets_nothing_go() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let sealed = seal(&spool, "web", 1);
    let parked = Parked { len: 6, crc32: crc32fast::hash(b"object") };
    assert!(spool.outlet().park(&sealed, &mut b"object".as_slice(), parked).unwrap());
    // The sync of the commit's note fails: it is read back, and is not on the disk.
    disk.trouble(1, Trouble::Fails(EIO));
    spool.outlet().commit(&sealed, None).unwrap_err();
    drop(spool);
    let mut came_back = 0;
    after_starts_cut_short(&disk, |_, disk, spool| {
        for pending in spool.outlet().pending_seals() {
            came_back += 1;
            disk.open(&parked_name(pending.seal.number)).unwrap();
        }
    });
    assert!(came_back > 0, "a commit that was never stored is never forgotten");
}

#[test]
fn a_torn_write_hides_nothing_that_rotted_before_it() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "torn:");
    drop(spool);
    damage_first_block(&disk, 0);
    damage(&disk, &segment_name(0), "torn");
    let (mut spool, recovered) = open(&disk);
    assert!(recovered.torn_bytes > 0, "{recovered:?}");
    assert_eq!(recovered.lost, lost(1, 1));
    append(&mut spool, "web", "2");
    assert_eq!(read(&spool, "web"), (vec!["2".to_owned()], vec![]));
}

#[test]
fn what_was_sealed_was_synced_and_is_never_taken_for_a_torn_write() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "rots:");
    let sealed = seal(&spool, "web", 1);
    drop(spool);
    damage(&disk, &segment_name(0), "rots");
    let (spool, recovered) = open(&disk);
    assert_eq!((recovered.lost, recovered.torn_bytes), (lost(1, 1), 0));
    assert_eq!(spool.outlet().pending_seal(sealed.number).unwrap().seal, sealed);
}

#[test]
fn released_segments_of_another_length_do_not_lie_there_for_ever() {
    let disk = SimDisk::default();
    drop(open(&disk));
    for segment_bytes in [2 * SEGMENT, 3 * SEGMENT, SEGMENT] {
        drop(try_open(&disk, SpoolOptions { segment_bytes, ..options() }).unwrap());
    }
    let names = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    assert_eq!(names.filter(|name| name.starts_with("spare-")).collect::<Vec<_>>(), [""; 0]);
}

/// Seed 700363: a call rotted that had been received on a later day than all that is left. The counts alone know that day.
#[test]
fn the_ledger_balances_behind_a_start_cut_short_that_lost_calls_of_a_day_the_clock_went_back_behind() {
    let disk = SimDisk::default();
    let later = NOON.plus(Duration::from_secs(3 * 86_400));
    let (mut spool, _) = try_open_at(&disk, options(), later).unwrap();
    append_at(&mut spool, "web", "rots:", later);
    drop(spool);
    let (mut spool, _) = open(&disk);
    append(&mut spool, "ios", "stays");
    drop(spool);
    let files = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    damage(&disk, &files.filter(|name| name.starts_with("wal-")).min().unwrap(), "rots");
    after_starts_cut_short(&disk, |after, _, spool| {
        assert_eq!(spool.outlet().ledger_differences(), [], "cut short at change {after}");
    });
}

/// Seed 1349 of the simulation in which starts refuse at damage: an ordinary power cut was taken for damage.
#[test]
fn notes_that_were_written_at_once_are_torn_as_one() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
    let id = [7; 16];
    let mut manifest = Manifest::begin(Arc::clone(&disk), id, 1, State::new()).unwrap();
    let name = manifest::manifest_name(1);
    let read = || manifest::written(&disk::read_all(&*disk.open(&name).unwrap()).unwrap()).to_vec();
    let before = read().len();
    manifest.append(vec![Note::Segment { number: 1 }, Note::Segment { number: 2 }]).unwrap();
    assert_eq!(manifest.state().segments.len(), 2);
    let whole = read();
    assert_eq!(manifest::replay(&name, &whole, &id, 1).unwrap().0, *manifest.state());
    for torn in before..whole.len() {
        // The machine stopped: what was written first is not there, and what was written last is.
        let mut bytes = whole.clone();
        bytes[before..=torn].fill(0);
        let (state, notes) = manifest::replay(&name, &bytes, &id, 1).unwrap();
        assert_eq!((state, notes), (State::new(), 1), "{torn}");
    }
}
